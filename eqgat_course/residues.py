"""A residue without its side chain, and what a model says was there: asked in the notebooks on RES and on seeing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import Batch

from eqgat import EQGAT
from eqgat.datasets.atom3d import RESIDUES, ItemData
from eqgat.molecule import Molecule
from eqgat_course.toy import sample_items

__all__ = ["residue_answers", "without_side_chain"]


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

    Columns: "protein", "truth" and "answer" (names of amino acids), "chance" (probability given to the truth).

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
