"""Even rows of a table of atoms are read without gemmi, and as gemmi reads them."""

from __future__ import annotations

import dataclasses
import gzip

import numpy as np
import pytest

from eqgat import mmcif
from eqgat.datasets import embedded_path
from eqgat.molecule import StructureError
from eqgat.structures import read_structure

TEXT = gzip.decompress(embedded_path("5pti").read_bytes()).decode()
START = TEXT.index("\nATOM ") + 1
EVEN = [f"data_x\n#\nloop_{TEXT[TEXT.index('loop_', START - 800, START) + 5 : START]}", *TEXT[START:].split("\n")[:30]]
EVEN = "\n".join([EVEN[0].rstrip("\n"), *EVEN[1:], "#", "_x.y 1", ""]).split("\n")
FIRST = next(line for line, row in enumerate(EVEN) if row.startswith("ATOM"))


def read(lines: list[str], tmp_path, monkeypatch, cut: bool) -> str:
    """What becomes of a file, whole, or its error."""
    path = tmp_path / "x.cif"
    path.write_text("\n".join(lines), encoding="utf-8")
    with monkeypatch.context() as patch:
        if not cut:
            patch.setattr(mmcif, "_cut_even_rows", lambda text: (text, None))
        try:
            molecule = read_structure(path, waters=True, hydrogens=True, altloc="all")
        except StructureError as error:
            return str(error)
    values = (getattr(molecule, field.name) for field in dataclasses.fields(molecule))
    return repr([(str(value.dtype), value.tolist()) if isinstance(value, np.ndarray) else value for value in values])


def test_the_table_of_a_real_file_is_even():
    assert mmcif._cut_even_rows(TEXT)[1] is not None
    short, even = mmcif._cut_even_rows("\n".join(EVEN))
    assert len(even) == 30
    assert len(short) < len("\n".join(EVEN)) / 2
    assert short.count("\n") == len(EVEN) - 1, "errors name the lines of the file"


@pytest.mark.parametrize(
    "cell",
    [
        *("'a b'", '"a', "a'", "'", "''", "'a'", '"C\'"', "a'b", ";", "x;", "#", "x#y", "_x", "_atom_site.x", "loop_"),
        *("data_y", "save_", "stop_", "$x", "[x]", "é", "\x0b", "\x1c", "\t", "\xa0", "\x7f", ".", "?", "'.'", "1 2"),
        *("1.0(3)", "1e3", "-", "", "\n", mmcif._CUT),
    ],
)
@pytest.mark.parametrize("column", [0, 3, 4, 5, 10, 14, 16, 20])
def test_an_odd_cell_is_read_as_gemmi_reads_it(column, cell, tmp_path, monkeypatch):
    """In one row or in all, in the width of its column or not."""
    starts = [k for k, letter in enumerate(EVEN[FIRST]) if letter != " " and (not k or EVEN[FIRST][k - 1] == " ")]
    start, end = starts[column], [*starts, len(EVEN[FIRST])][column + 1]
    for rows in (range(FIRST + 7, FIRST + 8), range(FIRST, FIRST + 30)):
        for width in (end - start - 1, 0):
            lines = list(EVEN)
            for row in rows:
                lines[row] = f"{EVEN[row][:start]}{cell.ljust(width)} {EVEN[row][end:]}"
            assert read(lines, tmp_path, monkeypatch, True) == read(lines, tmp_path, monkeypatch, False)


@pytest.mark.parametrize(
    "line",
    [
        *("", "  ", "#", "# note", ";", "loop_", "_c.d 1", "data_z", "ATOM", "loop_\n_e.f\n1", "_g.h\n;\ntext\n;"),
        "_g.h\n;\nloop_\n_atom_site.a\n_atom_site.b\n1 2\n3 4\n;",  # a text that shows a table
        "loop_\n_atom_site.a\n_atom_site.b\n1 2\n3 4",
    ],
)
@pytest.mark.parametrize("place", [1, FIRST, FIRST + 9, FIRST + 30, len(EVEN)])
def test_an_odd_line_is_read_as_gemmi_reads_it(place, line, tmp_path, monkeypatch):
    lines = [*EVEN[:place], line, *EVEN[place:]]
    assert read(lines, tmp_path, monkeypatch, True) == read(lines, tmp_path, monkeypatch, False)


@pytest.mark.parametrize("cells", ["       1 2    ", "1 2           "])
def test_two_words_in_one_column_and_none_in_its_neighbour(cells, tmp_path, monkeypatch):
    row, x = EVEN[FIRST + 9], EVEN[FIRST].index(EVEN[FIRST].split()[10])
    lines = [*EVEN[: FIRST + 9], row[:x] + cells + row[x + len(cells) :], *EVEN[FIRST + 10 :]]
    assert "[1.0, 2.0, " in read(lines, tmp_path, monkeypatch, True)
    assert read(lines, tmp_path, monkeypatch, True) == read(lines, tmp_path, monkeypatch, False)


def test_models_beyond_the_first_are_left_out_of_both(tmp_path, monkeypatch):
    lines = [*EVEN[: FIRST + 15], *(f"{row[:-1]}2" for row in EVEN[FIRST + 15 : FIRST + 30]), "#", ""]
    assert mmcif._cut_even_rows("\n".join(lines))[1] is not None
    read_as = read(lines, tmp_path, monkeypatch, True)
    assert read_as == read(lines, tmp_path, monkeypatch, False)
    assert len(read_structure(tmp_path / "x.cif", hydrogens=True)) == 15


def test_a_bad_number_in_an_even_row_is_named_with_its_line(tmp_path):
    row = FIRST + 11
    lines = [
        *EVEN[:row],
        EVEN[row].replace(EVEN[row].split()[10], "x" * len(EVEN[row].split()[10]), 1),
        *EVEN[row + 1 :],
    ]
    (tmp_path / "x.cif").write_text("\n".join(lines))
    with pytest.raises(StructureError, match=f"x.cif, line {row + 1}: cartn_x is no number: 'xx"):
        read_structure(tmp_path / "x.cif")
