"""Own data: what a table and a folder give, how they are split, and the way from training to predictions and metrics."""

from __future__ import annotations

import functools
import operator
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from eqgat import EQGAT
from eqgat.cli import main
from eqgat.datasets import embedded_path, embedded_structure
from eqgat.datasets.own import (
    StructureOptions,
    all_residues,
    load_residues,
    load_table,
    read_labels,
    sequence_clusters,
    split_structures,
)
from eqgat.datasets.own.labels import row_names
from eqgat.errors import UserError
from eqgat.pretrained import pretrained, saved_folder
from eqgat.training import evaluate, load_trained, make_settings, own_settings, predict, read_predictions
from eqgat.training.intervals import cluster_interval
from eqgat.training.run import train
from eqgat.training.settings import build_model
from eqgat.training.tasks import make_task
from eqgat.viz.evaluation import calibration, evaluation_figure

SMALL = {"scalar_channels": 8, "vector_channels": 4, "num_layers": 1, "num_radial": 4}
NAMES = ("2xcjA", "3a4rA", "2cviA", "1lpbA", "2xdgA", "1i8nA", "2va0A", "1mr1D")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pieces of ten residues, a table of labels of them and one of residues."""
    place = tmp_path_factory.mktemp("own")
    (place / "structures").mkdir()
    (place / "structures" / "notes.txt").write_text("no structure")
    whole, residues = [], []
    for number, name in enumerate(NAMES):
        molecule = embedded_structure(name, hetero=False)
        piece = molecule.select(molecule.residue_index < 10)
        (place / "structures" / f"{name}.pdb").write_text(piece.to_pdb())
        split = "train" if number < 4 else "val" if number < 6 else "test"
        whole.append((name, len(piece), "long" if len(piece) > 75 else "short", split))
        for row in all_residues(piece).itertuples():
            residues.append(
                (f"{name}.pdb", row.chain, f"{row.residue}{row.insertion_code}", float(row.residue % 3), split)
            )
    pd.DataFrame(whole, columns=["structure", "atoms", "kind", "part"]).to_csv(place / "whole.csv", index=False)
    table = pd.DataFrame(residues, columns=["structure", "chain", "residue", "value", "split"])
    table.to_csv(place / "residues.csv", index=False)
    return place


def write(folder: Path, text: str) -> Path:
    file = folder / "table.csv"
    file.write_text(text, encoding="utf-8")
    return file


def table_of(folder: Path, **more: Any) -> dict[str, Any]:
    return load_table(str(folder / "structures"), **{"labels": str(folder / "whole.csv"), "target": "atoms", **more})


# tables


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


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "table.csv").write_bytes("structure,y\na,1\nµ,2\n".encode(encoding))
    with pytest.raises(UserError, match="write it as CSV in UTF-8"):
        read_labels(tmp_path / "table.csv", "y")


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


# data


def test_graphs_and_labels_belong_together(folder: Path) -> None:
    parts = table_of(folder, split="part")
    assert {split: len(part) for split, part in parts.items()} == {"train": 4, "val": 2, "test": 2}
    for part in parts.values():
        assert [len(part[k].z) for k in range(len(part))] == [int(part[k].y) for k in range(len(part))]
        assert part.told == ""


def test_residues_are_found_by_chain_and_number(folder: Path) -> None:
    parts = load_table(str(folder / "structures"), labels=str(folder / "residues.csv"), target="value", hops=1)
    assert {split: len(part) for split, part in parts.items()} == {"train": 40, "val": 20, "test": 20}
    part = parts["test"]
    molecule = embedded_structure("2va0A", hetero=False)
    for k in (0, 7):
        graph = part[k]
        _, chain, residue = part.names[k].split("/")
        here = graph.pos[graph.center_index][0].numpy()
        assert np.allclose(here, molecule.positions[molecule.find_atom(chain, int(residue), "CA")], atol=1e-3)
        assert float(graph.y) == int(residue) % 3
    assert set(part.groups) == {"2va0A", "1mr1D"}


def test_what_table_and_folder_do_not_share_is_counted(folder: Path, tmp_path: Path) -> None:
    for file in (folder / "structures").glob("*.pdb"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "2xcjA.pdb").write_text("ATOM  nonsense\n")
    rows = pd.read_csv(folder / "whole.csv").iloc[:-1]
    rows.loc[len(rows)] = ["lost", 3, "long", "train"]
    rows["atoms"] = rows["atoms"].astype(object)
    rows.loc[1, "atoms"] = ""
    rows.to_csv(tmp_path / "table.csv", index=False)
    told = load_table(str(tmp_path), labels=str(tmp_path / "table.csv"), target="atoms", split="part")["train"].told
    assert "1 rows of table.csv without a label" in told
    assert "1 structures of the table without a file (first: lost)" in told
    assert "2 structure files without a label" in told
    assert "1 structure files that cannot be read (first: 2xcjA, 2xcjA.pdb, line 1" in told


def test_residues_that_are_not_there_are_counted_and_none_at_all_is_an_error(folder: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(folder / "residues.csv", dtype=str)
    rows.loc[0, "residue"] = "999"
    rows.to_csv(tmp_path / "some.csv", index=False)
    how = {"target": "value"}
    told = load_table(str(folder / "structures"), labels=str(tmp_path / "some.csv"), **how)["train"].told
    assert told.startswith("left out: 1 residues of the table that are not in the structure")
    assert "999" in told
    rows["chain"] = "Z"
    rows.to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(UserError, match=r"none of the 80 residues .* has the chains A with residues"):
        load_table(str(folder / "structures"), labels=str(tmp_path / "none.csv"), **how)


def test_a_residue_that_two_chains_have_needs_its_chain(tmp_path: Path) -> None:
    (tmp_path / "1hvr.pdb").write_text(embedded_structure("1hvr").to_pdb())  # two chains, both numbered from 1
    table = write(tmp_path, "structure,chain,residue,y\n1hvr,,25,1\n1hvr,B,25,2\n1hvr,,999,3\n")
    part = load_table(str(tmp_path), labels=str(table), target="y", whole=True)["all"]
    assert part.names.tolist() == ["1hvr/B/25"]
    assert "1 residues of the table that are in several chains (give a column chain) (first: 1hvr/25)" in part.told
    assert "1 residues of the table that are not in the structure" in part.told


def test_folders_that_cannot_be_used(folder: Path, tmp_path: Path) -> None:
    how = {"labels": str(folder / "whole.csv"), "target": "atoms"}
    with pytest.raises(UserError, match="there is no folder"):
        load_table(str(tmp_path / "nowhere"), **how)
    with pytest.raises(UserError, match="no structure file in"):
        load_table(str(tmp_path), **how)
    (tmp_path / "other.pdb").write_text((folder / "structures" / "2xcjA.pdb").read_text())
    with pytest.raises(UserError, match=r"no structure of .* has a file in"):
        load_table(str(tmp_path), **how)
    (tmp_path / "other.ent").write_text("")
    with pytest.raises(UserError, match="have one name"):
        load_table(str(tmp_path), **how)


@pytest.mark.parametrize(
    ("files", "text", "how", "said"),
    [
        # names of files
        ("a.pdb b.cif/", "structure,y\na,1\nb,2\n", {}, "1 structures of the table without a file (first: b)"),
        ("a.pdb x/b.pdb", "structure,y\na,1\nb,2\n", {}, "1 structures of the table without a file (first: b)"),
        ("x/b.pdb", "structure,y\na,1\n", {}, "! no structure file in"),
        ("a.pdb A.pdb", "structure,y\na,1\n", {}, "1 structure files without a label (first: A.pdb)"),
        ("a.pdb ._a.pdb", "structure,y\na,1\n", {}, "1 structure files without a label (first: ._a.pdb)"),
        ("a.pdb a.cif", "structure,y\na,1\n", {}, "! a.cif and a.pdb in"),
        ("a.pdb a.pdb.pdb", "structure,y\na,1\n", {}, "! a.pdb and a.pdb.pdb in"),
        ("a.pdb b.pdb->nowhere", "structure,y\na,1\nb,2\n", {}, "1 structure files that cannot be read (first: b, no"),
        ("a.pdb b.pdb->b.pdb", "structure,y\na,1\nb,2\n", {}, "1 structure files that cannot be read (first: b,"),
        ("NA.pdb 0012.pdb", "structure,y\nNA.pdb,1\n0012,2\n", {}, ""),
        ("a.pdb", "structure,y\na,1\nb,\n", {}, "1 rows of table.csv without a label (first: line 3)"),
        # residues
        ("a.pdb", "structure,chain,residue,y\na,A,3,1\na,,3,2\n", {}, "! first the lines 2, 3 (a/A/3, a/3)"),
        (
            "a.pdb",
            "structure,chain,residue,y\na,A,3,1\na,1.0,4,2\n",
            {},
            "not in the structure, or have no CA or C1' atom (first: a/1.0/4)",
        ),
        # splits
        (
            "a.pdb b.pdb",
            "structure,y\na,1\nb,2\nc,3\n",
            {"split": "random"},
            "! cannot be split into train, val and test; that takes three at least; left out: 1 structures of the table without a file (first: c)",
        ),
        ("a.pdb b.pdb c.pdb", "structure,y,Split\na,1,TRAIN\nb,2,Valid\nc,3,Test\n", {"split": ""}, ""),
        ("a.pdb b.pdb c.pdb", "structure,y,split\na,1,train\nb,2,\nc,3,test\n", {"split": ""}, "! line 3: split is ''"),
        (
            "a.pdb",
            "structure,residue,y,split\na,3,1,train\na,4,2,val\na,5,2,test\n",
            {"split": ""},
            "note: 1 structures with rows in several parts of the split (first: a)",
        ),
        (
            "a.pdb b.pdb c.pdb d.pdb",
            "structure,y,split\na,1,train\nb,1,train\nc,2,val\nd,3,test\n",
            {"split": ""},
            "! all 2 labels in train are equal",
        ),
        (
            "a.pdb b.pdb c.pdb",
            "structure,y,split\na,1,train\nb,2,val\nc,3,test\n",
            {"split": "", "classes": ("1", "2", "3")},
            "note: 2 classes without a row in train (first: 2)",
        ),
    ],
)
def test_what_a_careless_folder_and_table_give(
    folder: Path, tmp_path: Path, files: str, text: str, how: dict[str, Any], said: str
) -> None:
    """Nothing to say, a note of what was left out, or, behind "!", an error."""
    place = tmp_path / "structures"
    place.mkdir()
    for name in files.split():
        path = place / name.partition("->")[0]
        path.parent.mkdir(exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        elif "->" in name:
            path.symlink_to(name.partition("->")[2])
        else:
            path.write_text((folder / "structures" / "2xcjA.pdb").read_text())
    options = {"labels": str(write(tmp_path, text)), "target": "y", "whole": not how, **how}
    if said.startswith("!"):
        with pytest.raises(UserError, match=re.escape(said[2:])):
            load_table(str(place), **options)
    else:
        told = load_table(str(place), **options)["train" if how else "all"].told
        assert said in told
        assert bool(said) == bool(told)


def test_a_chain_without_a_name_needs_none_in_the_table(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "structures" / "2xcjA.pdb").read_text().splitlines()
    (tmp_path / "a.pdb").write_text("\n".join(f"{line[:21]} {line[22:]}" for line in lines if line.startswith("ATOM")))
    how = {"target": "y", "whole": True}
    part = load_table(str(tmp_path), labels=str(write(tmp_path, "structure,chain,residue,y\na,,3,1\n")), **how)["all"]
    assert (part.names.tolist(), part.told) == (["a/3"], "")
    with pytest.raises(UserError, match="has the chains without a name with residues 2 to 11"):
        load_table(str(tmp_path), labels=str(write(tmp_path, "structure,chain,residue,y\na,A,3,1\n")), **how)


@pytest.mark.parametrize(
    ("split", "said"),
    [("nope", "has no column 'nope' to split by"), ("kind", "line 2: kind is 'long'; it must say train, val or test")],
)
def test_a_column_that_is_no_split(folder: Path, split: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        table_of(folder, split=split)


def test_a_random_split_depends_on_its_seed_alone_and_leaves_no_part_empty(folder: Path) -> None:
    one, same, other = (
        [part.names.tolist() for part in table_of(folder, split="random", split_seed=seed).values()]
        for seed in (0, 0, 1)
    )
    assert one == same != other
    assert sorted(functools.reduce(operator.iadd, one, [])) == sorted(NAMES)
    assert all(one)


def test_clusters_stay_together_and_unrelated_proteins_are_alone() -> None:
    molecules = {name: embedded_structure(name) for name in (*NAMES, "adk_open", "adk_closed")}
    clusters = sequence_clusters(molecules)
    assert clusters["adk_open"] == clusters["adk_closed"]
    assert len(set(clusters.values())) == len(molecules) - 1
    for seed in range(6):
        part, groups = split_structures(molecules, StructureOptions(split="clusters", split_seed=seed))
        assert part["adk_open"] == part["adk_closed"]
        assert groups == clusters
    two = {name: molecules[name] for name in ("adk_open", "adk_closed")}
    with pytest.raises(UserError, match="2 structures in 1 clusters"):
        split_structures(two, StructureOptions(split="clusters"))


def test_the_digest_knows_labels_and_atoms(folder: Path, tmp_path: Path) -> None:
    usual = table_of(folder, split="part")["train"].digest()
    assert table_of(folder, split="part")["train"].digest() == usual
    changed = pd.read_csv(folder / "whole.csv")
    changed.loc[0, "atoms"] += 1
    changed.to_csv(tmp_path / "whole.csv", index=False)
    assert table_of(folder, split="part", labels=str(tmp_path / "whole.csv"))["train"].digest() != usual


def test_residues_of_unlabelled_structures_become_environments_without_their_side_chains(folder: Path) -> None:
    parts = load_residues(str(folder / "structures"), environments=4, hops=1)
    assert sum(len(part) for part in parts.values()) == 4 * len(NAMES)
    graph = parts["train"][0]
    assert graph.y.shape == (1,)
    assert 0 <= int(graph.y) < 20
    with pytest.raises(UserError, match='split "random" or by "clusters"'):
        load_residues(str(folder / "structures"), split="part")


def with_insertion_code(folder: Path) -> Path:
    """5pti, whose prolines 8 and 9 are called 8 and 8A."""
    lines = embedded_structure("5pti", hetero=False).to_pdb().splitlines()
    file = folder / "5pti.pdb"
    file.write_text("\n".join(line[:22] + "   8A" + line[27:] if line[22:27] == "   9 " else line for line in lines))
    return file


def test_residue_identity_tells_a_residue_from_the_one_inserted_behind_it(tmp_path: Path) -> None:
    usual, _ = predict("res", [embedded_path("5pti")])
    table, told = predict("res", [with_insertion_code(tmp_path)])
    assert told == {}
    names = list(zip(table["residue"], table["insertion_code"], table["resname"], strict=True))
    assert names[7:9] == [(8, "", "PRO"), (8, "A", "PRO")]
    assert table["prediction"].equals(usual["prediction"])
    (tmp_path / "a.pdb").symlink_to("5pti.pdb")
    (tmp_path / "b.pdb").symlink_to("5pti.pdb")
    part = load_residues(str(tmp_path), whole=True)["all"]
    assert len(part) == len(set(part.names)) == 3 * len(table)
    assert "5pti/A_8A_PRO" in part.names


# starting weights


def test_saved_weights_are_kept_and_the_head_starts_fresh() -> None:
    settings = make_settings("own", start="res", model_options={"out_channels": 1, "readout": "graph"})
    model, saved = build_model(settings), pretrained("res")
    assert isinstance(model, EQGAT)
    assert set(model.fresh_parameters) == {"head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"}
    kept = {name: value for name, value in model.state_dict().items() if name not in model.fresh_parameters}
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in kept.items())
    assert not torch.equal(model.head[0].weight, saved.head[0].weight)
    again, other = build_model(settings), build_model(make_settings("own", start="res", seed=1))
    assert torch.equal(model.head[0].weight, again.head[0].weight)
    assert not torch.equal(model.head[0].weight, other.head[0].weight)


def test_residue_identity_goes_on_with_the_whole_model() -> None:
    model = build_model(make_settings("own-res", start="res"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), pretrained("res").state_dict().values(), strict=True)
    )
    assert model.fresh_parameters == ()


def test_other_options_than_those_of_the_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the weights of res are of a model with"):
        make_settings("own", start="res", model_options={"num_layers": 5})
    with pytest.raises(UserError, match="there is no model in"):
        make_settings("own", start=str(tmp_path))
    with pytest.raises(UserError, match="only eqgat can start"):
        make_settings("own", "schnet", start="res")


def test_settings_know_which_weights_they_started_from(tmp_path: Path) -> None:
    EQGAT(num_elements=9, out_channels=1, **SMALL).save_pretrained(tmp_path)
    before = make_settings("own", start=str(tmp_path))
    EQGAT(num_elements=9, out_channels=1, **SMALL).save_pretrained(tmp_path)
    after = make_settings("own", start=str(tmp_path))
    assert before.run_id == after.run_id
    assert before.to_json() != after.to_json()


# the whole way


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("runs")
    settings = own_settings(folder / "residues.csv", "value", epochs=2, model_options=SMALL)
    said: list[str] = []
    run = train(settings, data=str(folder / "structures"), runs=place, results=place / "results", say=said.append)
    return run, place, said


def test_a_run_says_what_it_trains_on_and_keeps_its_test_predictions(trained: Any, folder: Path) -> None:
    run, place, said = trained
    assert said[0].startswith("own: own labels: value of 80 residues of 8 structures (residues.csv)")
    assert "items: 40 train, 20 val, 20 test; model eqgat, profile quick, seed 0, on CPU" in said[0]
    stored = read_predictions(run.folder.name, place / "results")
    assert stored["id"].tolist() == run.predictions["id"].tolist()
    assert set(stored["group"]) == {"2va0A", "1mr1D"}
    low, high = cluster_interval([run.predictions], "rmse") or (0, 0)
    assert low <= run.metrics["test"]["rmse"] <= high


def test_predictions_of_the_saved_model_are_those_of_the_test(trained: Any, folder: Path) -> None:
    run, _, _ = trained
    table, told = predict(run.folder, [folder / "structures"])
    assert list(told.values()) == ["1 files or folders in it that are no structure files (first: notes.txt)"]
    assert len(table) == 80
    names = table["structure"] + "/" + table["chain"] + "/" + table["residue"].astype(str) + table["insertion_code"]
    ours = table.set_index(names)["prediction"][run.predictions["id"]]
    assert np.allclose(ours, run.predictions["prediction"], atol=1e-5)


def test_residues_without_a_row_are_counted_and_a_chain_may_have_no_name(
    trained: Any, folder: Path, tmp_path: Path
) -> None:
    run, _, _ = trained
    lines = (folder / "structures" / "2xcjA.pdb").read_text().splitlines()
    kept = [
        line for line in lines if line.startswith("ATOM") and line[12:16] + line[22:26] not in (" CA    5", " CA    6")
    ]
    (tmp_path / "a.pdb").write_text("\n".join(f"{line[:21]} {line[22:]}" for line in kept))
    for source, why in ((run.folder, "a residue with a CA"), ("res", "one of the 20 amino acids with N, CA, C and O")):
        table, told = predict(source, [tmp_path / "a.pdb"])
        assert (len(table), set(table["chain"])) == (8, {""})
        assert told["a"].startswith(f"2 residues have no row: none is {why}")


def test_an_evaluation_of_one_part_says_what_the_table_lacks(trained: Any, folder: Path, tmp_path: Path) -> None:
    run, _, _ = trained
    table = tmp_path / "table.csv"
    table.write_text((folder / "residues.csv").read_text() + "lost,A,1,1,train\n")
    found = evaluate(run.folder, structures=folder / "structures", labels=table, split="test")
    assert (len(found.predictions), found.told) == (
        20, "left out: 1 structures of the table without a file (first: lost)"
    )  # fmt: skip


@pytest.mark.slow
def test_evaluation_finds_the_metrics_of_the_run(trained: Any, folder: Path) -> None:
    run, _, _ = trained
    how = {"structures": folder / "structures", "labels": folder / "residues.csv"}
    found = evaluate(run.folder, **how, split="test")
    values = found.metrics.set_index("metric")["value"]
    for name, value in run.metrics["test"].items():
        assert values[name] == pytest.approx(value, nan_ok=True, abs=1e-5)
    by_default = evaluate(run.folder / "model", **how)
    assert by_default.predictions["id"].tolist() == found.predictions["id"].tolist()
    assert "of them the part that it has not seen is tested" in by_default.told
    whole = evaluate(run.folder / "model", **how, split="all")
    assert len(whole.predictions) == 80
    assert "it has seen some of them" in whole.told
    with pytest.raises(UserError, match="this model answers for"):
        evaluate(run.folder, structures=folder / "structures", labels=folder / "whole.csv", target="atoms")


def test_the_same_run_goes_on_and_is_found_again(trained: Any, folder: Path, tmp_path: Path) -> None:
    run, _, _ = trained
    data = str(folder / "structures")
    first = train(run.settings, data=data, runs=tmp_path, time_limit=0)
    assert not first.finished
    second = train(run.settings, data=data, runs=tmp_path)
    assert second.metrics == run.metrics
    third = train(run.settings, data=data, runs=tmp_path)
    assert third.finished
    assert third.predictions is not None


def test_predictions_of_structures_with_names_like_numbers_are_read_back(folder: Path, tmp_path: Path) -> None:
    parts = {"a": "train", "b": "train", "c": "val", "0012": "test", "NA": "test", "1e10": "test"}
    for name, source in zip(parts, NAMES, strict=False):
        shutil.copyfile(folder / "structures" / f"{source}.pdb", tmp_path / f"{name}.pdb")
    rows = [f"{name},{number},{split}\n" for number, (name, split) in enumerate(parts.items())]
    settings = own_settings(write(tmp_path, "structure,y,split\n" + "".join(rows)), "y", epochs=1, model_options=SMALL)
    run = train(settings, data=str(tmp_path), runs=tmp_path / "runs", results=tmp_path / "results")
    stored = read_predictions(run.folder.name, tmp_path / "results")
    assert stored["id"].tolist() == stored["group"].tolist() == ["0012", "NA", "1e10"]


def test_training_stops_when_nothing_gets_better(folder: Path, tmp_path: Path) -> None:
    # A rate of 1e-12 changes nothing, so that no epoch is better than the first.
    settings = own_settings(
        folder / "whole.csv", "atoms", epochs=9, stop_after=2, learning_rate=1e-12, model_options=SMALL,
        data_options={"split": "part"}, schedule="plateau", standardise_readout=False,
    )  # fmt: skip
    run = train(settings, data=str(folder / "structures"), runs=tmp_path, test=False)
    assert run.trained
    assert len(run.history) == 3
    assert train(settings, data=str(folder / "structures"), runs=tmp_path).finished
    with pytest.raises(UserError, match="stop_after must not be negative"):
        own_settings(folder / "whole.csv", "atoms", stop_after=-1)


def test_classes_of_structures_from_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = ["--structures", str(folder / "structures"), "--labels", str(folder / "whole.csv")]
    small = [word for name, value in SMALL.items() for word in ("--model-option", f"{name}={value}")]
    train_it = ["train", *own, "--target", "kind", "--classes", "--split", "part", "--epochs", "1", *small]
    assert main(train_it) == 0
    said = capsys.readouterr()
    assert "own-classes: own labels: kind of 8 structures (whole.csv)" in said.err
    assert "accuracy" in said.out
    (run,) = Path("runs/own-classes").iterdir()
    assert main(["predict", str(run), str(folder / "structures"), "-o", "out.csv"]) == 0
    table = pd.read_csv("out.csv")
    assert set(table["prediction"]) <= {"long", "short"}
    assert np.allclose(table["p_long"] + table["p_short"], 1, atol=1e-5)
    assert main(["evaluate", str(run), *own, "--split", "test", "-o", "tested"]) == 0
    assert {file.name for file in Path("tested").iterdir()} == {
        "predictions.csv", "metrics.csv", "evaluation.png", "evaluation.svg"
    }  # fmt: skip
    rows = pd.read_csv("tested/predictions.csv")
    assert {"target_class", "predicted_class", "prediction_0", "prediction_1"} <= set(rows)
    command = shlex.split(load_trained(run).settings.command)
    assert "--classes" in command
    assert "readout" not in " ".join(command)


def test_a_pretraining_on_own_structures_gives_weights_to_start_from(folder: Path, tmp_path: Path) -> None:
    where, small = str(folder / "structures"), {**SMALL}
    first = make_settings("own-res", model_options=small, data_options={"environments": 2}, epochs=1)
    run = train(first, data=where, runs=tmp_path)
    assert saved_folder(run.folder) == run.folder / "model"
    second = own_settings(
        folder / "whole.csv", "atoms", start=str(run.folder), epochs=1, data_options={"split": "part"}
    )
    assert second.model_options["scalar_channels"] == 8
    assert train(second, data=where, runs=tmp_path).finished
    table, _ = predict(run.folder, [folder / "structures" / "2xcjA.pdb"])
    assert len(table) == 10


@pytest.mark.slow
def test_the_shipped_model_is_evaluated_to_the_numbers_of_its_row() -> None:
    from eqgat.pretrained import pretrained_rows

    rows = pretrained_rows("res").set_index(["split", "metric"])["value"].astype(float)["embedded test"]
    found = evaluate("res", task="res", split="test")
    values = found.metrics.set_index("metric")
    assert values["value"]["accuracy"] == pytest.approx(rows["accuracy"], abs=2e-3)
    assert values["low"]["accuracy"] < values["value"]["accuracy"] < values["high"]["accuracy"]
    assert found.data.startswith("toy data")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate res --task lba", "this is a model of res"),
        ("evaluate res --structures {s} --labels {w}", "cannot be tested on a table"),
        ("evaluate res --structures {s} --task res", "not both"),
        ("evaluate nowhere", "there is no model in 'nowhere'"),
        ("evaluate res --structures nowhere", "there is no folder 'nowhere'"),
        ("predict res nowhere.pdb", "there is no structure file or folder"),
        ("predict res {s} -o {s}", "is a folder; give the name of a file"),
        ("train", "name a task, or give your own data"),
        ("train own", "name a task, or give your own data"),
        ("train lba --labels {w}", "go with own data"),
        ("train lba --structures {s}", "with a table of labels, or for res"),
        ("train res --structures {s} --labels {w} --target atoms", "res needs no labels"),
        ("train --structures {s}", "--labels FILE --target COLUMN"),
        ("train --structures {s} --labels {w} --target kind", "is no number"),
        ("train --structures {s} --labels {w} --target atoms --data {s}", "takes the place of --data"),
        ("train --structures nowhere --labels {w} --target atoms", r"no folder 'nowhere' \(--structures\)"),
        ("train --structures {s} --labels {w} --target atoms --from nowhere", "there is no model in"),
        ("train --structures {s} --labels {w} --target atoms --option shares=[1]", "shares must be three"),
        ("train --structures {s} --labels {w} --target atoms --option shares=[NaN,1,1]", "shares must be three"),
        (
            "train --structures {s} --labels {w} --target atoms --option split_seed=-1",
            "split_seed must not be negative",
        ),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_line(
    folder: Path,
    words: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    line = words.format(s=folder / "structures", w=folder / "whole.csv").split()
    assert main(line) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert re.search(said, error)


# pictures


def test_calibration_of_a_prediction_that_is_right_lies_on_the_diagonal() -> None:
    x = np.arange(40.0)
    table = calibration(x, x, bins=4)
    assert np.allclose(table["said"], table["found"])
    assert table["count"].tolist() == [10, 10, 10, 10]
    flat = calibration(x, np.full(40, 3.0))
    assert (flat["found"] == 3).all()
    assert (flat["error"] == 0).all()


def test_the_picture_shows_each_row_and_says_its_numbers() -> None:
    rows = pd.DataFrame({"id": range(30), "group": ["a", "b", "c"] * 10, "target": np.arange(30.0)})
    rows["prediction"] = rows["target"] + 2
    fig = evaluation_figure(rows, "pK")
    parity = fig.axes[0].lines[1]
    assert parity.get_xdata().tolist() == rows["target"].tolist()
    assert parity.get_ydata().tolist() == rows["prediction"].tolist()
    assert fig.axes[2].lines[0].get_xdata().tolist() == [2, 2, 2]
    assert "mean absolute error 2 over 30" in fig.eqgat_details["alt"]


def test_a_graph_of_a_residue_holds_all_that_its_answer_depends_on(folder: Path) -> None:
    torch.manual_seed(0)
    model = EQGAT(num_elements=9, out_channels=1, readout="node", **{**SMALL, "num_layers": 2})
    where = {"labels": str(folder / "residues.csv"), "target": "value"}
    few = load_table(str(folder / "structures"), hops=2, **where)["test"]
    all_of_it = load_table(str(folder / "structures"), **where)["test"]
    task = make_task(own_settings(folder / "residues.csv", "value"))
    with torch.no_grad():
        for k in (0, 5, 13):
            one, other = (task.predict(model, task.collate([data[k]])) for data in (few, all_of_it))
            assert torch.allclose(one, other, atol=1e-5)
