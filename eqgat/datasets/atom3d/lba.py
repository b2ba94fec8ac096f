"""LBA, ligand binding affinity: a pocket with its ligand -> -log10 of the binding constant K in mol/l.

The pocket is what ATOM3D cut out: every residue with an atom within 6 Å of a heavy atom of the ligand, without
waters, with metals and cofactors. Its atoms come first in the graph, the ligand's after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from eqgat.datasets.atom3d.lmdb import BrokenItem
from eqgat.datasets.atom3d.samples import (
    AtomOptions,
    Atoms,
    Parsed,
    Reader,
    Sample,
    View,
    finite_score,
    read_molecule,
    table,
)
from eqgat.datasets.atom3d.spec import Archive, atom3d_task, profiles
from eqgat.datasets.atom3d.trivial import ligand_and_pocket

__all__ = ["SPEC", "LBAOptions"]


@dataclass(frozen=True)
class LBAOptions(AtomOptions):
    """The atoms of pocket and ligand; hydrogens are kept, as in the released code (``waters``, ``hetero``, ``models``
    concern the pocket alone)."""

    hydrogens: bool = True


def parse(item: Mapping[str, Any], options: LBAOptions) -> Parsed:
    """One graph: the pocket's atoms, then the ligand's, with the ligand's bonds."""
    pocket, _ = read_molecule(table(item, "atoms_pocket", "x", "y", "z", "element"), options)
    whole = AtomOptions(hydrogens=options.hydrogens)
    ligand, rows = read_molecule(table(item, "atoms_ligand", "x", "y", "z", "element"), whole)
    start = len(pocket.pos)
    bonds, order = _bonds(item, rows)
    molecule = Atoms(
        np.concatenate([pocket.atomic_number, ligand.atomic_number]),
        np.concatenate([pocket.pos, ligand.pos]),
        start,
        bonds + np.int32(start),
        order,
    )
    name = str(item["id"])
    return Parsed([molecule], [Sample((View(0),), finite_score(item, "neglog_aff"), name, name)])


def _bonds(item: Mapping[str, Any], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bonds [b, 2] between the kept ``rows`` of the ligand, counted among these, and their order [b]."""
    if item.get("bonds") is None or not len(item["bonds"]):
        return Atoms._field_defaults["bonds"], Atoms._field_defaults["order"]
    bonds = table(item, "bonds", "atom1", "atom2", "type")
    pairs = bonds[["atom1", "atom2"]].to_numpy(np.int64)
    size = len(item["atoms_ligand"])
    if pairs.min() < 0 or pairs.max() >= size:
        raise BrokenItem(f"a bond names an atom that the ligand of {size} atoms does not have")
    place = np.full(size, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows))
    kept = (place[pairs] >= 0).all(axis=1)
    return place[pairs[kept]], bonds["type"].to_numpy(np.float32)[kept]


SPEC = atom3d_task(
    "lba",
    LBAOptions,
    goal="to predict how strongly a protein binds a ligand",
    kind="regression",
    answers="structures",
    metrics=("mse", "rmse", "mae", "pearson", "spearman", "kendall"),
    reader=Reader(LBAOptions, parse, num_views=1, num_marks=0, classes=False),
    archive=Archive(
        4914718,
        "LBA-split-by-sequence-identity-30.tar.gz",
        "split-by-sequence-identity-30",
        0.56,
        None,
        "PDBBind 2019, refined set",
        "The terms of PDBBind apply to structures and affinities.",
    ),
    sizes=(3507, 466, 490),
    profiles=profiles(3, 20, 16, {"epochs": 3, "batch_size": 8, "standardise": True}, out_channels=1),
    counts={"atoms of ligand and pocket": ligand_and_pocket},
)
