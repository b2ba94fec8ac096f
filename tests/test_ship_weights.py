"""What ships a run of RES: the folder is one that the package reads, and no relative of an embedded protein slips in."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import ship_weights
import torch
from atom3d_items import items, protein, res_item

from eqgat.datasets.atom3d import write_lmdb
from eqgat.datasets.task import TASKS
from eqgat.pretrained import about, pretrained, pretrained_entries, pretrained_history, pretrained_rows
from eqgat.training import make_settings
from eqgat.training.run import Run, train
from eqgat_course.toy import sample_items

SMALL = {"scalar_channels": 8, "vector_channels": 4, "num_layers": 1, "num_radial": 4}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the folder of the shipped models."""
    (tmp_path / "shelf").mkdir()
    for module in ("ship_weights", "eqgat.pretrained"):
        monkeypatch.setattr(f"{module}.HERE", tmp_path / "shelf")
    return tmp_path / "shelf"


def write_data(root: Path, *more: dict) -> Path:
    """A small data set of RES; ``more``: further proteins to train on."""
    for split in ("train", "val", "test"):
        proteins = [*items("res", split, 3), *(more if split == "train" else ())]
        write_lmdb(root / TASKS["res"].archive.folder / "data" / split, proteins)
    return root


def trained(folder: Path, data: Path) -> Run:
    settings = make_settings("res", epochs=1, model_options=SMALL, data_options={"radius": 20.0})
    return train(settings, data=str(data), runs=folder / "runs", results=folder / "results", progress=False)


def ship(folder: Path, run: Run, data: Path) -> None:
    ship_weights.main([str(run.folder), "mine", "--data", str(data), "--results", str(folder / "results")])


@pytest.mark.slow
def test_a_shipped_run_is_read_as_the_others_are(shelf: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    run = trained(tmp_path, data)
    ship(tmp_path, run, data)
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), pretrained("mine").parameters(), strict=True))
    assert (about("mine").elements, about("mine").words.startswith("model mine: trained to name")) == (("C", "N", "O"), True)  # fmt: skip
    rows = pretrained_rows("mine").set_index(["split", "metric"])["value"]
    for split, metrics in run.metrics.items():
        assert {name: rows[split, name] for name in metrics} == pytest.approx(metrics)
    assert 0 <= rows["embedded test", "accuracy"] < 0.5
    assert len(pretrained_history("mine")) == 1
    entries = pretrained_entries("mine")
    assert entries["entry"].tolist() == [f"{split}{k}" for split in ("train", "val", "test") for k in range(3)]
    assert entries["environments"].tolist() == [8] * 9


def test_nothing_is_shipped_that_learned_from_a_relative(shelf: Path, tmp_path: Path) -> None:
    akin = {**sample_items("res", "test")[0], "id": "copy"}
    data = write_data(tmp_path / "data", akin)
    with pytest.raises(SystemExit, match=r"akin to embedded proteins: copy$"):
        ship(tmp_path, trained(tmp_path, data), data)
    assert list(shelf.iterdir()) == []


@pytest.mark.slow
def test_a_relative_is_known_by_pieces_of_its_sequence() -> None:
    def changed(item: dict, every: int) -> dict:
        """The protein with an alanine at each ``every``-th residue."""
        atoms = item["atoms"].copy()
        atoms.loc[atoms["residue"].astype(int) % every == 0, "resname"] = "ALA"
        return {**item, "atoms": atoms, "id": f"{item['id']}/{every}"}

    test, validation = sample_items("res", "test")[0], sample_items("res", "val")[0]
    assert ship_weights.relatives([changed(test, 9), changed(validation, 9)]) == [f"{test['id']}/9", f"{validation['id']}/9"]  # fmt: skip
    strangers = [changed(test, 2), *sample_items("res", "train"), res_item("made up", protein(60))]
    assert ship_weights.relatives(strangers) == []
    few = test["atoms"]["residue"].drop_duplicates()[:19]
    short = {**test, "atoms": pd.DataFrame(test["atoms"][test["atoms"]["residue"].isin(few)])}
    assert ship_weights.relatives([short]) == [], "a chain of 19 residues says too little"
