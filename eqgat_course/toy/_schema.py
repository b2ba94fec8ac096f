"""What the samples of all tasks share: the splits, and atom tables as the official files have them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import pandas as pd

from eqgat.datasets.embedded import embedded_structure
from eqgat.molecule import Molecule

Entry = TypeVar("Entry")


def official_atoms(structure: Molecule, file: str) -> pd.DataFrame:
    """The atoms of a structure, [N, 20], as ATOM3D writes those of a PDB file.

    ``ensemble`` and ``structure`` are the file's name, ``subunit`` and ``model`` 0, ``element`` is upper case, and
    ``fullname`` and ``segid`` fill their four columns.
    """
    return structure.atoms.assign(
        ensemble=file,
        structure=file,
        subunit=0,
        model=0,
        element=structure.atoms["element"].str.upper(),
        segid="    ",
    )


def polymer(name: str) -> Molecule:
    """An embedded structure without ligands, ions and waters, heavy atoms only."""
    return embedded_structure(name, hetero=False)


def generator(*what: object) -> np.random.Generator:
    """Random numbers that depend only on what they are for: the same on every machine and in every order."""
    digest = hashlib.sha256("/".join(map(str, what)).encode()).digest()
    return np.random.default_rng(list(digest))


def split_of(splits: Mapping[str, tuple[Entry, ...]], split: str) -> tuple[Entry, ...]:
    """The entries of a split; ``ValueError`` for an unknown one."""
    if split not in splits:
        raise ValueError(f"there is no split {split!r}; the splits are {', '.join(splits)}")
    return splits[split]
