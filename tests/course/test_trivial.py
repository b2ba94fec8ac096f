"""Answers without learning: the numbers to beat."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from atom3d_items import write_task

from eqgat.cli import main
from eqgat.datasets.atom3d import load_atom3d
from eqgat.training import read_results
from eqgat.training.metrics import ranking_metrics
from eqgat.training.results import read_predictions
from eqgat_course.experiments.tables import build_table
from eqgat_course.experiments.trivial import trivial_answers, write_trivial_answers


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tasks, six items a split, under one folder."""
    folder = tmp_path_factory.mktemp("atom3d")
    for task in ("lba", "psr", "res", "ppi"):
        write_task(task, folder / task)
    return folder


@pytest.mark.slow
def test_trivial_answers(root: Path, tmp_path: Path) -> None:
    """The numbers to beat: by hand where that is short; in the store under a name that no table takes for a model."""
    res, train_labels = load_atom3d("res", root, "test"), load_atom3d("res", root, "train").y.tolist()
    commonest = max(range(20), key=lambda label: (train_labels.count(label), -label))
    assert trivial_answers("res", str(root), untrained=0) == {
        "commonest class": {"accuracy": pytest.approx((res.y == commonest).double().mean().item())},
        "best constant, seen afterwards": {
            "accuracy": pytest.approx(max(res.y.tolist().count(k) for k in range(20)) / len(res))
        },
    }
    ppi = trivial_answers("ppi", str(root), untrained=0)
    assert ppi["constant"]["roc_auc"] == 0.5
    assert 0 <= ppi["residues that lie open"]["roc_auc"] <= 1
    lba = load_atom3d("lba", root, "test").y - load_atom3d("lba", root, "train").y.mean()
    assert trivial_answers("lba", str(root), untrained=0)["mean"]["rmse"] == pytest.approx(
        lba.square().mean().sqrt().item()
    )
    graphs = {split: load_atom3d("lba", root, split) for split in ("train", "test")}
    rows = {
        split: np.array([[1, int(g.ligand.sum()), int((~g.ligand).sum())] for g in (data[k] for k in range(len(data)))])
        for split, data in graphs.items()
    }
    slopes = np.linalg.pinv(rows["train"].astype(float)) @ graphs["train"].y.double().numpy()
    left = rows["test"] @ slopes - graphs["test"].y.double().numpy()
    assert trivial_answers("lba", str(root), untrained=0)["line through atoms of ligand and pocket"][
        "rmse"
    ] == pytest.approx(float(np.sqrt((left**2).mean())), rel=1e-4)
    psr = trivial_answers("psr", str(root), untrained=1)
    assert math.isnan(psr["mean"]["mean_spearman"])
    assert set(psr) == {"mean", "number of atoms", "radius of gyration", "clashes", "untrained network, seed 0"}
    assert psr["untrained network, seed 0"]["prediction_std"] > 0
    assert main(["trivial", "res", "--data", str(root), "--results", str(tmp_path)]) == 0
    rows = read_results(tmp_path)
    assert rows[rows["model"] == "trivial: untrained network"].groupby("metric")["seed"].apply(list).to_dict() == {
        "accuracy": [0, 1, 2, 3, 4],
        "cross_entropy": [0, 1, 2, 3, 4],
    }
    others = sorted(set(rows["model"]) - {"trivial: untrained network"})
    assert others == ["trivial: best constant, seen afterwards", "trivial: commonest class"]
    assert build_table(1, rows)["source"].tolist() == build_table(1, rows.iloc[:0])["source"].tolist()


@pytest.mark.slow
def test_answers_that_vary_leave_their_predictions(root: Path, tmp_path: Path) -> None:
    found = write_trivial_answers("psr", tmp_path, str(root), untrained=0)
    (file,) = tmp_path.glob("psr/psr-trivial-clashes-*.predictions.csv.gz")
    table = read_predictions(file.name.partition(".")[0], tmp_path)
    metrics = ranking_metrics(table["prediction"].to_numpy(), table["target"].to_numpy(), table["group"])
    assert metrics["global_spearman"] == pytest.approx(found["clashes"]["global_spearman"], nan_ok=True)
    assert list(tmp_path.glob("psr/psr-trivial-mean-*.csv"))
    assert not list(tmp_path.glob("*/psr-trivial-mean*predictions*"))
