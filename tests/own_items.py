"""Shared by the tests of own data: names of structures, a small model, and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eqgat.datasets.own import load_table

SMALL = {"scalar_channels": 8, "vector_channels": 4, "num_layers": 1, "num_radial": 4}
NAMES = ("2xcjA", "3a4rA", "2cviA", "1lpbA", "2xdgA", "1i8nA", "2va0A", "1mr1D")


def write(folder: Path, text: str) -> Path:
    """A table of labels with this text."""
    file = folder / "table.csv"
    file.write_text(text, encoding="utf-8")
    return file


def table_of(folder: Path, **more: Any) -> dict[str, Any]:
    """Splits of the structures of the fixture ``folder``; ``more``: see ``load_table``."""
    return load_table(str(folder / "structures"), **{"labels": str(folder / "whole.csv"), "target": "atoms", **more})
