"""A sample of what ``make damage`` does: flipped bits are never believed, killed runs end bit by bit the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import flip, kill


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQGAT_CACHE", str(tmp_path / "cache"))


def test_flipped_bits_are_never_believed(tmp_path: Path) -> None:
    outcomes, believed = flip(42, seed=1, folder=tmp_path)
    assert believed == []
    assert sum(outcomes.values()) == 42
    assert sum(number for what, number in outcomes.items() if what.endswith("refused")) >= 36


@pytest.mark.slow
def test_killed_runs_end_bit_by_bit_the_same(tmp_path: Path) -> None:
    outcomes = kill(3, seed=1, folder=tmp_path)
    assert outcomes["kills"] == 3
    assert outcomes["runs compared"] > 0
