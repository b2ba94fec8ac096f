"""A table and a folder together: the graphs and labels that they give, and what is left out, with its count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_items import NAMES, table_of, write

from eqgat.datasets import embedded_structure
from eqgat.datasets.own import load_residues, load_table
from eqgat.errors import UserError


def test_graphs_and_labels_belong_together(folder: Path) -> None:
    parts = table_of(folder, split="part")
    assert {split: len(part) for split, part in parts.items()} == {"train": 4, "val": 2, "test": 2}
    for part in parts.values():
        assert [len(part[k].z) for k in range(len(part))] == [int(part[k].y) for k in range(len(part))]
        assert part.told == ("note: 1 columns of whole.csv that are not used: kind" if part is parts["train"] else "")


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
        # columns
        ("a.pdb", "structure,y,chian,note\na,1,A,x\n", {}, "not used: chian (is chain meant?), note"),
        (
            "a.pdb b.pdb c.pdb",
            "structure,y,split,part\na,1,train,\nb,2,val,\nc,,test,\n",
            {"split": "split", "whole": True},
            "left out: 1 rows of table.csv without a label (first: line 4); 1 structure files without a label "
            "(first: c.pdb); note: 1 columns of table.csv that are not used: part",
        ),
        (
            "a.pdb b.pdb c.pdb",
            "structure,y,split\na,1,train\nb,2,train\nc,3,test\n",
            {"split": "random"},
            "note: 1 columns of table.csv that are not used: split",
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
        told = load_table(str(place), **options)["all" if options["whole"] else "train"].told
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
