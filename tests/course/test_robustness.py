"""Noise moves the points and not the answers, the store keeps what was found, and nothing is measured twice."""

from __future__ import annotations

import pytest
import torch

from eqgat.datasets import make_triangles
from eqgat.errors import UserError
from eqgat.training.run import train
from eqgat.training.settings import make_settings
from eqgat_course.experiments import cli, robustness
from eqgat_course.experiments.robustness import Displaced, measure_all, read_noise

TINY = {"data_options": {"n": 100, "num_points": 8, "radius": 5.0}, "epochs": 1}


def test_points_move_by_as_much_as_is_said_and_answers_stay():
    clean = make_triangles(n=40, num_points=30, radius=8.0)
    moves = torch.cat([(Displaced(clean, 0.2)[k].pos - clean[k].pos) for k in range(len(clean))])
    assert abs(float(moves.std()) - 0.2) < 0.01
    assert abs(float(moves.mean())) < 0.01
    assert all(Displaced(clean, 0.2)[k].y.equal(clean[k].y) for k in range(len(clean)))
    twice = torch.cat([(Displaced(clean, 0.4)[k].pos - clean[k].pos) for k in range(len(clean))])
    torch.testing.assert_close(twice, 2 * moves, rtol=0, atol=1e-5)


def test_without_noise_the_error_is_that_of_the_run_and_nothing_is_measured_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(robustness, "SEEDS", 1)
    monkeypatch.setattr(robustness, "make_settings", lambda *given: make_settings(*given, **TINY))
    said = []
    measure_all(tmp_path, tmp_path / "runs", said.append, models=("schnet",))
    rows = read_noise(tmp_path)
    found = train(make_settings("triangle", "schnet", "quick", 0, **TINY), runs=tmp_path / "runs")
    assert rows["noise"].tolist() == list(robustness.NOISE)
    assert rows["mse"][0] == pytest.approx(found.metrics["test"]["mse"], rel=1e-4)
    assert rows["mse"].iloc[-1] != rows["mse"][0]
    measure_all(tmp_path, tmp_path / "runs", said.append, models=("schnet",))
    assert said[0].startswith("1 of 1 ")
    assert said[-1].startswith("0 of 1 ")
    (tmp_path / "noise.csv").write_text("model\nforged\n")
    with pytest.raises(UserError):
        read_noise(tmp_path)


def test_an_unknown_model_is_named():
    with pytest.raises(UserError, match="unknown model 'nobody'"):
        cli.robustness(["--models", "nobody"])
