"""Negative controls that several chapters use: what must fail a test of symmetry."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

__all__ = ["capped_radius_graph"]


def capped_radius_graph(pos: Tensor, cutoff: float, cap: int = 32) -> Tensor:
    """The radius graph of ``pos`` [N, 3], but each atom keeps only the first ``cap`` neighbours that the search finds.

    A negative control. The search tree halves space along x, y and z, so "first" depends on the order of the atoms
    and on the orientation of the molecule. Returns ``edge_index`` [2, E], sorted by receiver.
    """
    found = cKDTree(pos.numpy()).query_ball_point(pos.numpy(), cutoff, return_sorted=False)
    kept = [[j for j in neighbours if j != i][:cap] for i, neighbours in enumerate(found)]
    receiver = np.repeat(np.arange(len(pos)), [len(neighbours) for neighbours in kept])
    return torch.tensor(np.stack([np.concatenate(kept), receiver]), dtype=torch.int64)
