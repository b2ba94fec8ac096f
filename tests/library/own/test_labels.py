"""Tables of labels: what is read from them, and what is refused with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from own_items import write

from eqgat.datasets.own import read_labels
from eqgat.datasets.own.labels import row_names
from eqgat.errors import UserError


def test_identifiers_stay_text_and_empty_labels_are_counted(tmp_path: Path) -> None:
    table = read_labels(write(tmp_path, "\ufeffstructure;y\n1e10; 1.5 \n0012;NA\n7abc;-2e1\n"), "y")
    assert table.rows["structure"].tolist() == ["1e10", "7abc"]
    assert table.rows["target"].tolist() == [1.5, -20.0]
    assert (table.empty, table.residues, table.classes) == ([3], False, ())


def test_insertion_codes_are_read_from_the_number_or_from_their_column(tmp_path: Path) -> None:
    one = read_labels(write(tmp_path, "structure,chain,residue,y\na,A,52A,1\na,A,-3,2\n"), "y").rows
    other = read_labels(write(tmp_path, "structure,chain,residue,insertion_code,y\na,A,52,A,1\na,A,-3,,2\n"), "y").rows
    for rows in (one, other):
        assert rows["residue"].tolist() == [52, -3]
        assert rows["insertion_code"].tolist() == ["A", ""]


def test_classes_are_numbered_in_the_order_of_their_names_or_as_known(tmp_path: Path) -> None:
    file = write(tmp_path, "structure,y\na,rim\nb,core\n")
    assert read_labels(file, "y", classes=True).rows["target"].tolist() == [1, 0]
    assert read_labels(file, "y", classes=True, known=("rim", "core")).rows["target"].tolist() == [0, 1]
    with pytest.raises(UserError, match="line 2: y is 'rim', an unknown class; there are core, edge"):
        read_labels(file, "y", classes=True, known=("core", "edge"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,y\na,1\n", "has no column 'structure'; it has name, y"),
        ("structure,z\na,1\n", "has no column 'y'; it has structure, z"),
        ("structure,y\na,1\nb,high\n", r"line 3: y is 'high', which is no number \(1 of 2 rows\)"),
        ("structure,y\na,1\nb,inf\n", "line 3: y is 'inf'"),
        ("structure,y\na,1\nb,2\na,3\n", r"2 rows that name the same thing as another row, first the lines 2, 4 \(a\)"),
        ("structure,residue,y\na,1,1\na,1,1\n", r"lines 2, 3 \(a/1\)"),
        ("structure,residue,y\na,x,1\n", "line 2: residue is 'x'"),
        ("structure,y\na,\nb,nan\n", "has no label in the column 'y'"),
        ("structure,y\n", "has no label"),
        ("", "cannot be read as a table"),
        # a structure or a column twice
        ("structure,y\na,1\na.pdb,2\na.cif.gz,3\n", r"first the lines 2, 3, 4 \(a\)"),
        ("structure,y, y\na,1,2\n", "has two columns 'y'"),
        # lines are those of the file, with empty ones and those inside of quotes
        ('structure,y,note\n\na,1,"two\nlines"\n\n\nb,x,\n', "line 7: y is 'x'"),
        ("structure,y\r\n\r\na,x\r\n", "line 3: y is 'x'"),
        ("structure,y\ra,1\rb,x\r", "line 3: y is 'x'"),
        ('structure,y\na,1\nb,"2\nc,3\n', "line 3: unexpected end of data"),
        # fields without a column: a decimal comma, a title above the names, a field too many
        ("structure,y\na,1,5\n", "line 2: '5' is in column 3, which has no name"),
        ("structure,y,,\na,1,,5\n", "line 2: '5' is in column 4, which has no name"),
        ("Results,,\nstructure,y\na,1\n", "line 2: 'y' is in column 2, which has no name"),
        ("sep=;\nstructure;y\na;1\n", "line 2: 'y' is in column 2, which has no name"),
        ("structure,y\n,1\n", "line 2: structure is ''; name it in each row"),
        # residues
        ("structure,residue,y\na,99999999999999999999,1\n", "line 2: residue is '99999999999999999999'"),
        ("structure,residue,y\na,52.5,1\n", "line 2: residue is '52.5'"),
        ("structure,residue,insertion_code,y\na,52A,B,1\n", "line 2: insertion_code is 'B'"),
        ("structure,residue,insertion_code,y\na,52,AB,1\n", "line 2: insertion_code is 'AB'"),
        # what looks like a number and is none, or none that float32 has
        *[
            (f'structure,y\na,1\nb,"{label}"\n', f"line 3: y is '{label}', which is no number")
            for label in (
                "1,5",
                "1,234",
                "1 234",
                ">10",
                "<5",
                "n.d.",
                "5 nM",
                "2-Sep",
                "True",
                "1e400",
                "-1e39",
                "1_0",
            )
        ],
        # another separator or encoding
        ("structure|y\na|1\n", "has no column 'structure'; it has structure|y"),
    ],
)
def test_a_bad_table_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_labels(write(tmp_path, text), "y")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("structure;y\na;1\n", [("a", 1.0)]),
        ("structure\ty, mean of, all,runs\ty\na\t,,,\t1\n", [("a", 1.0)]),
        ('"structure","y"\r\n"a","1"\r\n', [("a", 1.0)]),
        (",,,\nstructure,y,,\na,1,,\n,,,\n", [("a", 1.0)]),  # as Excel writes empty rows and columns
        (",structure,y\n0,a,1\n1,b,2\n", [("a", 1.0), ("b", 2.0)]),  # as pandas and R write rows with their numbers
        ("structure,y,note\na,1\n", [("a", 1.0)]),
        ("Structure,y\nA,1\na,2\n", [("A", 1.0), ("a", 2.0)]),
        ("structure,line,name,y\na,4,x,1\n", [("a", 1.0)]),  # columns that have names of ours
        (
            "structure,chain,residue,y\na,NA,1.0,1\na,null,-2,2\na,1,+3,3\n",
            [("a/NA/1", 1.0), ("a/null/-2", 2.0), ("a/1/3", 3.0)],
        ),
        ("structure,Residue,Insertion Code,y\na,52,A,1\n", [("a/52A", 1.0)]),
        (
            "structure,residue,insertion_code,y\na,52A,,1\na,52B,B,2\na,52,NA,3\n",
            [("a/52A", 1.0), ("a/52B", 2.0), ("a/52", 3.0)],
        ),
    ],
)
def test_tables_as_other_programs_write_them(tmp_path: Path, text: str, rows: list[tuple[str, float]]) -> None:
    found = read_labels(write(tmp_path, text), "y").rows
    assert list(zip(row_names(found), found["target"], strict=True)) == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    """As Excel saves "CSV UTF-8" and "Unicode Text", which has tabs; the lines are still those of the file."""
    file = tmp_path / "table.txt"
    file.write_bytes('\ufeffstructure\tµ, nM\r\na\t1\r\n"Å"\t2\r\n'.encode(encoding))
    rows = read_labels(file, "µ, nM").rows
    assert (rows["structure"].to_dict(), rows["target"].tolist()) == ({2: "a", 3: "Å"}, [1.0, 2.0])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("structure,y\na,1\nµ,2\n".encode("latin-1"), 3),
        ("structure,y\na,1\n".encode("utf-16-le"), 1),  # without a mark it could be anything
        ("structure,y\na,1\n".encode("utf-16")[:-1], 2),  # broken off
    ],
    ids=["latin-1", "no mark", "broken off"],
)
def test_another_encoding_is_refused(tmp_path: Path, content: bytes, line: int) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(
        UserError,
        match=rf"^{re.escape(str(tmp_path))}/table\.csv, line {line}: text of another encoding than UTF-8; save the table anew as CSV in UTF-8",
    ):
        read_labels(tmp_path / "table.csv", "y")


@pytest.mark.parametrize(
    ("head", "others"),
    [
        ("structure,y,Residues,note", {"Residues": "residue", "note": ""}),
        ("structure,residue,y,chian,insertioncode", {"chian": "chain", "insertioncode": "insertion_code"}),
        ("structure,chain,residue,y,chains", {"chains": ""}),  # chain is there
        ("structure,chain,y,SPLIT,spilt", {"chain": "", "SPLIT": "", "spilt": ""}),  # split is there
        ("structure,y,slit", {"slit": "split"}),
        ("structure,residue,y", {}),
    ],
)
def test_other_columns_are_named_with_what_they_may_be_a_slip_of(
    tmp_path: Path, head: str, others: dict[str, str]
) -> None:
    row = ",".join(["1"] * len(head.split(",")))
    assert read_labels(write(tmp_path, f"{head}\n{row}\n"), "y").others == others


def test_a_slip_in_the_name_of_a_column_explains_rows_that_are_there_twice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leave one of them \(or call 'residu' 'residue'\?\)"):
        read_labels(write(tmp_path, "structure,residu,y\na,1,1\na,2,2\n"), "y")


def test_a_column_line_can_be_the_target(tmp_path: Path) -> None:
    rows = read_labels(write(tmp_path, "structure,line\na,1\nb,2\n"), "line").rows
    assert rows["target"].to_dict() == {2: 1.0, 3: 2.0}


def test_classes_are_names_even_where_they_look_like_something_else(tmp_path: Path) -> None:
    file = write(tmp_path, "structure,y\na,1\nb,10\nc,none\n")
    table = read_labels(file, "y", classes=True)
    assert (table.classes, table.empty) == (("1", "10"), [4])
    assert read_labels(file, "y", classes=True, known=("none", "1", "10")).rows["target"].tolist() == [1, 2, 0]
    with pytest.raises(UserError, match="line 3: y is 'X', and elsewhere in other letters"):
        read_labels(write(tmp_path, "structure,y\na,x\nb,X\n"), "y", classes=True)


def test_one_class_alone_teaches_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one class alone, 'rim'"):
        read_labels(write(tmp_path, "structure,y\na,rim\nb,rim\n"), "y", classes=True)
    with pytest.raises(UserError, match="no table of labels"):
        read_labels(tmp_path / "nowhere.csv", "y")
