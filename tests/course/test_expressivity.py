"""Clouds that models learn to tell apart: the clouds are what is said of them, and the store keeps what was found."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from eqgat.errors import UserError
from eqgat_course.clouds import difference, untrained
from eqgat_course.experiments import cli, expressivity
from eqgat_course.experiments.expressivity import KINDS, TASKS, measure, read_rates, succeeds


def test_clouds_of_a_task_have_the_same_distances_along_edges():
    for task in TASKS:
        one, other = task.build()
        lengths = [(c.pos[c.edge_index[0]] - c.pos[c.edge_index[1]]).norm(dim=1).sort().values for c in (one, other)]
        assert_close(*lengths)
        assert one.z.tolist() == other.z.tolist()


def test_the_circle_has_the_same_angles_in_pairs_and_is_another_shape():
    one, other = TASKS[1].build()
    assert_close(torch.pdist(one.pos[1:]).sort().values, torch.pdist(other.pos[1:]).sort().values)
    assert [len(set(torch.cdist(c.pos[1:], c.pos[1:]).sum(0).round(decimals=6).tolist())) for c in (one, other)] == [
        3,
        2,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_proved_blind_gives_the_same_number(kind):
    blind = [task for task in TASKS if kind in task.blind]
    found = [difference(untrained(kind, 1, task.layers), *task.build()) for task in blind]
    assert all(value < 1e-12 for value in found), found


def test_eqgat_is_not_blind_where_nothing_is_proved():
    for task in TASKS:
        found = difference(untrained("EQGAT", 1, task.layers), *task.build())
        assert (found < 1e-12) == ("EQGAT" in task.blind), (task.name, task.layers, found)


def test_training_finds_what_can_be_found_and_nothing_else():
    assert succeeds("EQGAT", TASKS[3], seed=0)
    assert not succeeds("SchNet", TASKS[3], seed=0, steps=30)


def test_the_store_is_checked_and_no_proof_is_beaten(tmp_path, monkeypatch):
    rows = read_rates()
    beaten = rows[rows["proved blind"].astype(bool) & (rows["successes"] > 0)]
    assert beaten.empty, beaten
    monkeypatch.setattr(expressivity, "TASKS", TASKS[:1])
    monkeypatch.setattr(expressivity, "KINDS", ("EQGAT",))
    monkeypatch.setattr(expressivity, "measure", lambda kind, task: measure(kind, task, seeds=1))
    cli.expressivity(["--results", str(tmp_path)])
    assert read_rates(tmp_path / "expressivity.csv")["successes"].tolist() == [1]
    cli.expressivity(["--results", str(tmp_path)])  # nothing is left to run
    (tmp_path / "expressivity.csv").write_text(pd.DataFrame({"pair": ["forged"]}).to_csv())
    with pytest.raises(UserError):
        read_rates(tmp_path / "expressivity.csv")
