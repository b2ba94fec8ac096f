"""Residues of a protein: their flat groups of atoms, one without its side chain, and what a model says was there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from torch_geometric.data import Batch

from eqgat import EQGAT
from eqgat.datasets.atom3d import RESIDUES, ItemData
from eqgat.molecule import Molecule
from eqgat_course.toy import sample_items

__all__ = ["aromatic_rings", "bonds_between", "peptide_planes", "residue_answers", "without_side_chain"]

_SIX_RING = ("CB", "CG", "CD1", "CD2", "CE1", "CE2", "CZ")
AROMATIC = {
    "PHE": _SIX_RING,
    "TYR": _SIX_RING,
    "HIS": ("CB", "CG", "ND1", "CD2", "CE1", "NE2"),
    "TRP": ("CB", "CG", "CD1", "CD2", "NE1", "CE2", "CE3", "CZ2", "CZ3", "CH2"),
}


def without_side_chain(
    structure: Molecule, chain: str, residue: int, radius: float | None = None
) -> tuple[Molecule, int]:
    """The structure with one residue reduced to N, CA, C, O, and the row of its CA: "which amino acid was here?"

    Args:
        structure, chain, residue: which residue of what.
        radius: keep only atoms within this many Å of that CA; None: all.

    Raises:
        ValueError: no such residue.
    """
    atoms = structure.atoms
    here = ((atoms["chain"] == chain) & (atoms["residue"] == residue)).to_numpy()
    if not here.any():
        raise ValueError(f"there is no residue {residue} in chain {chain!r} of {structure.name}")
    masked = structure.select(~here | atoms["name"].isin(["N", "CA", "C", "O"]).to_numpy())
    if radius is not None:
        centre = masked.positions[masked.find_atom(chain, residue, "CA")]
        masked = masked.select(np.linalg.norm(masked.positions - centre, axis=1) <= radius)
    return masked, masked.find_atom(chain, residue, "CA")


def residue_answers(model: EQGAT, split: str = "test", radius: float | None = None) -> pd.DataFrame:
    """What a model says about every environment of a split of the embedded RES data, one row an environment.

    Columns: "protein", "truth" and "answer" (names of amino acids), "chance" (probability given to the truth), "atoms"
    (of the environment).

    Args:
        model: with one row of 20 logits an atom.
        split: "train", "val" or "test".
        radius: of the environments around CA, Å; None: as they are.
    """
    groups, batches = _environments(split, radius, model.config.cutoff)
    with torch.no_grad():
        logits = torch.cat([model(batch)[batch.center_index] for batch in batches])
    truth = torch.cat([batch.y for batch in batches])
    kinds, chance = np.array(RESIDUES), logits.softmax(dim=1)[torch.arange(len(logits)), truth]
    return pd.DataFrame(
        {
            "protein": groups,
            "truth": kinds[truth.numpy()],
            "answer": kinds[logits.argmax(dim=1).numpy()],
            "chance": chance.numpy(),
            "atoms": torch.cat([batch.ptr.diff() for batch in batches]).numpy(),
        }
    )


@cache
def _environments(split: str, radius: float | None, cutoff: float) -> tuple[np.ndarray, list[Batch]]:
    """Proteins of the environments of a split, and their graphs in batches; kept, since several models are asked."""
    data = ItemData("res", sample_items("res", split), split, cutoff, radius=radius)
    starts = range(0, len(data), 32)
    return data.groups, [
        Batch.from_data_list([data[row] for row in range(start, min(start + 32, len(data)))]) for start in starts
    ]


def aromatic_rings(structure: Molecule) -> dict[str, list[int]]:
    """ "PHE 22" -> rows of its ring and of CB, which lies in the same plane; residues that lack one of them left out."""
    rings = {}
    for residue, at in _residues(structure):
        names = AROMATIC.get(residue.resname, ())
        if names and all(name in at for name in names):
            rings[f"{residue.resname} {residue.residue}"] = [at[name] for name in names]
    return rings


def peptide_planes(structure: Molecule) -> dict[str, list[int]]:
    """ "22-23" -> rows of CA, C, O of residue 22 and N, CA of residue 23, where the two are bonded (C-N below 1.6 Å)."""
    planes, positions = {}, structure.positions
    for (one, here), (two, there) in pairwise(_residues(structure)):
        if not {"CA", "C", "O"} <= set(here) or not {"N", "CA"} <= set(there):
            continue
        if np.linalg.norm(positions[here["C"]] - positions[there["N"]]) < 1.6:
            planes[f"{one.residue}-{two.residue}"] = [here["CA"], here["C"], here["O"], there["N"], there["CA"]]
    return planes


def _residues(structure: Molecule) -> Iterator[tuple[Any, dict[str, int]]]:
    """Each residue with a map from atom name to row."""
    names = structure.atoms["name"].to_numpy()
    for residue in structure.residues.itertuples():
        yield residue, {names[row]: row for row in range(residue.first, residue.last + 1)}


def bonds_between(structure: Molecule, source: np.ndarray, receiver: np.ndarray) -> np.ndarray:
    """How many covalent bonds lead from one atom to another, for each pair of rows, [E]; 4: four and more, or none."""
    i, j = structure.bonds().T
    one = coo_array((np.ones(len(i)), (i, j)), shape=(len(structure),) * 2).tocsr()
    return np.minimum(dijkstra(one, directed=False, unweighted=True, limit=3)[source, receiver], 4).astype(int)
