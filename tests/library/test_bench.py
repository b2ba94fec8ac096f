"""The benchmark tool: its batches and sides are what the report says, and a report can be made of any rows."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from cases import CASES, SIDES, Case, make_batch, make_side, protein
from measure import Spread, in_turn, ratio, row
from report import write_report

SMALL = [Case("Triangle", "triangle", 2, 20), Case("LBA-like", "lba", 2, 40)]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_the_three_forms_of_eqgat_give_the_same_numbers_and_all_sides_can_be_trained(case: Case) -> None:
    data, found = make_batch(case), {}
    assert data.num_nodes == case.count * case.size
    for name in SIDES:
        model, run = make_side(name, case)
        found[name] = run(data)
        found[name].sum().backward()
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters()), name
    for name in ("EQGAT readable", "EQGAT literal"):
        assert torch.allclose(found[name], found["EQGAT"], rtol=1e-4, atol=1e-5)


def test_proteins_of_every_size_look_like_proteins() -> None:
    for size in (400, 1500, 20_000):
        data = protein(size)
        assert len(data.z) == size
        assert 12 < data.num_edges / size < 20, "neighbours within 4.5 Å; copies do not overlap"


def test_a_slow_side_sits_out_and_ratios_are_of_pairs() -> None:
    calls = {"a": 0, "b": 0}

    def task(name: str) -> None:
        calls[name] += 1

    in_turn({name: lambda name=name: task(name) for name in calls}, torch.device("cpu"), repeats=5, seconds=-1)
    assert calls == {"a": 4, "b": 4}  # one to warm up, three that count
    assert ratio({"a": [2.0, 9.0, 4.0], "b": [1.0, 3.0]}, "a", "b") == Spread(2.5, 2.25, 2.75, 2)


@pytest.mark.slow
def test_a_report_of_all_rows(tmp_path) -> None:
    rows = [
        row("models", name, "EQGAT", quantity, "s", Spread.of([1.0, 2.0, 3.0]))
        for name in CASES
        for quantity in ("training step", "memory of a step")
    ]
    rows.append(row("scale", "500", "EQGAT", "forward", "µs an atom", 7.0))
    write_report(tmp_path, {"machine": "a test"}, pd.DataFrame(rows))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "machine: a test." in text
    assert "| Triangle | EQGAT | 2 (1.5 - 2.5) | 2 (1.5 - 2.5) |" in text
    assert {path.name for path in tmp_path.iterdir()} == {
        *("report.md", "numbers.csv", "models.png", "models.svg", "scale.png", "scale.svg")
    }
    again = pd.DataFrame([row("scale", "1000", "EQGAT", "forward", "µs an atom", 5.0)])
    write_report(tmp_path, {"machine": "another"}, again)
    numbers = pd.read_csv(tmp_path / "numbers.csv")
    assert dict(zip(numbers["part"], numbers["machine"], strict=True)) == {"models": "a test", "scale": "another"}
    assert "| 1000 | EQGAT | 5 |" in (tmp_path / "report.md").read_text(encoding="utf-8")
