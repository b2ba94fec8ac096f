"""What the samples of all tasks share: the splits, and the polymer of an embedded structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from eqgat.datasets.embedded import embedded_structure
from eqgat.molecule import Molecule

Entry = TypeVar("Entry")


def polymer(name: str) -> Molecule:
    """An embedded structure without ligands, ions and waters, heavy atoms only."""
    return embedded_structure(name, hetero=False)


def split_of(splits: Mapping[str, tuple[Entry, ...]], split: str) -> tuple[Entry, ...]:
    """The entries of a split; ``ValueError`` for an unknown one."""
    if split not in splits:
        raise ValueError(f"there is no split {split!r}; the splits are {', '.join(splits)}")
    return splits[split]
