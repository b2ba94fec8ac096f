"""Notebook 15: the labels are what they are said to be, nobody is tested on what was trained on, and the stored rows are whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from Bio.PDB import PDBParser
from Bio.PDB.SASA import ShrakeRupley

from eqgat.datasets import embedded_structure
from eqgat.datasets.own import load_table
from eqgat.molecule import Molecule
from eqgat.pretrained import pretrained
from eqgat.training import read_predictions
from eqgat.training.metrics import regression_metrics
from eqgat_course.ch15_your_own_structure import study
from eqgat_course.ch15_your_own_structure.study import (
    EXAMPLE,
    SHAPE,
    accessible_area,
    comparison,
    example_settings,
    example_table,
    plain_answers,
    sphere,
    stored_run,
    write_example,
)
from eqgat_course.toy.res import PROTEINS


def test_the_surface_of_one_and_of_two_atoms_is_that_of_spheres():
    one = Molecule(symbol=["C"], positions=[[0, 0, 0]])
    radius = 1.7 + study.PROBE
    assert accessible_area(one)[0] == pytest.approx(4 * np.pi * radius**2)
    # Two equal spheres at distance d: each loses a cap of height radius - d / 2.
    two = Molecule(symbol=["C", "C"], positions=[[0, 0, 0], [3.0, 0, 0]], residue_index=[0, 1])
    left = 4 * np.pi * radius**2 - 2 * np.pi * radius * (radius - 1.5)
    assert accessible_area(two, points=5000) == pytest.approx([left, left], rel=0.005)
    assert np.linalg.norm(sphere(50).sum(axis=0)) < 0.5
    assert np.allclose(np.linalg.norm(sphere(50), axis=1), 1)


def test_biopython_finds_the_same_surface(tmp_path):
    molecule = embedded_structure("1lpbA", hetero=False)
    file = tmp_path / "1lpbA.pdb"
    file.write_text(molecule.to_pdb())
    chain = next(PDBParser(QUIET=True).get_structure("x", file).get_chains())
    ShrakeRupley(probe_radius=1.4, n_points=194, radii_dict={"C": 1.7, "N": 1.55, "O": 1.52, "S": 1.8}).compute(
        chain, level="R"
    )
    theirs = np.array([residue.sasa for residue in chain])
    ours = accessible_area(molecule)
    assert len(theirs) == len(ours)
    assert np.abs(ours - theirs).mean() < 2
    assert np.corrcoef(ours, theirs)[0, 1] > 0.998


def test_some_residues_have_the_area_that_all_have():
    molecule = embedded_structure("5pti")
    assert accessible_area(molecule, [3, 20], points=50) == pytest.approx(accessible_area(molecule, points=50)[[3, 20]])


def test_no_test_protein_was_seen_by_the_shipped_weights():
    assert sum(map(len, EXAMPLE.values())) == 20
    assert set(EXAMPLE["test"]) <= set(PROTEINS["test"])
    assert set(EXAMPLE["val"]) <= set(PROTEINS["val"])
    assert set(EXAMPLE["train"]) <= set(PROTEINS["train"])


def test_the_folder_is_one_that_training_takes_whole(tmp_path):
    folder = write_example(tmp_path)
    parts = load_table(str(folder / "structures"), labels=str(folder / "labels.csv"), target="area", radius=9.0)
    assert {split: len(part) for split, part in parts.items()} == {"train": 100, "val": 40, "test": 60}
    assert parts["train"].told == ""
    assert np.allclose(sorted(parts["test"].y.flatten()), sorted(example_table().query("split == 'test'")["area"]))


def test_both_starts_have_one_shape_and_settings(tmp_path):
    labels = write_example(tmp_path) / "labels.csv"
    one, other = (example_settings(labels, start) for start in ("res", ""))
    saved = pretrained("res").config
    assert {name: getattr(saved, name) for name in SHAPE} == SHAPE
    for name in ("epochs", "batch_size", "learning_rate", "schedule", "standardise", "data_options"):
        assert getattr(one, name) == getattr(other, name)
    assert {**saved.__dict__, **other.model_options} == {**saved.__dict__, "out_channels": 1}
    assert {**saved.__dict__, **one.model_options} == {**saved.__dict__, "out_channels": 1}


def test_the_stored_rows_are_five_seeds_of_each_start_from_one_commit():
    rows = comparison()
    rmse = rows[rows["metric"] == "rmse"].pivot(index="seed", columns="start", values="value")
    assert rmse.shape == (5, 2)
    assert rmse.notna().all(axis=None)
    assert rows["commit"].nunique() == 1
    assert not rows["commit"].str.endswith("+").any()
    assert rows["command"].str.contains("--from res").equals(rows["start"] == "from res")


def test_stored_predictions_give_the_stored_metrics_and_have_the_labels_of_today():
    rows = comparison()
    for start in ("from res", "from scratch"):
        predictions = read_predictions(stored_run(start, 2))
        found = regression_metrics(predictions["prediction"].to_numpy(), predictions["target"].to_numpy())
        stored = rows[(rows["start"] == start) & (rows["seed"] == 2)].set_index("metric")["value"]
        assert found["rmse"] == pytest.approx(stored["rmse"], rel=1e-4)
        test = example_table().query("split == 'test'")
        assert np.allclose(predictions["target"], test["area"], atol=1e-3)
        assert set(predictions["group"]) == set(EXAMPLE["test"])


def test_what_the_notebook_says_of_the_comparison_is_what_the_rows_say():
    rmse = comparison().query("metric == 'rmse'").pivot(index="seed", columns="start", values="value")
    mean, deviation = rmse.mean().round(1), rmse.std().round(1)
    assert mean.to_dict() == {"from res": 36.3, "from scratch": 44.7}
    assert deviation.to_dict() == {"from res": 1.3, "from scratch": 4.1}
    assert (rmse["from res"] < rmse["from scratch"]).all()
    plain = {name: found["rmse"] for name, found in plain_answers().items()}
    line = plain["line on the count of neighbours"]
    assert (rmse["from scratch"] > line).all()
    assert (rmse["from scratch"] < plain["mean of the training labels"]).all()
    assert (rmse["from res"] < line).sum() == 3
    assert line - mean["from res"] == pytest.approx(0.5, abs=0.1)


def test_the_partner_hides_surface_of_a_third_of_the_residues():
    whole = embedded_structure("1hvr")
    alone = whole.select((whole.chain_name == "A") & (whole.residue_number < 100))
    hidden = accessible_area(alone, points=60) - accessible_area(whole, range(99), points=60)
    assert 0.25 < pd.Series(hidden > 20).mean() < 0.4
