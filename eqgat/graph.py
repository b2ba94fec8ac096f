"""Geometric graphs: who is whose neighbour, how far away, in which direction (Section 2).

Conventions, used everywhere in this package:

* an edge ``(j, i)`` carries a message *from* the source ``j`` *to* the receiver ``i``;
* ``edge_index[0]`` holds the sources ``j``, ``edge_index[1]`` the receivers ``i``, and the edges are
  sorted by receiver, so that the neighbourhood of one atom is one contiguous block;
* positions are in Å; the unit vector of an edge is p_ji,n = (p_i - p_j) / d_ji (Section 3): it points
  from the neighbour to the central atom.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from torch import Tensor

from eqgat.checks import check_positions

__all__ = ["edge_geometry", "radius_graph"]


def radius_graph(pos: Tensor, cutoff: float, batch: Tensor | None = None) -> Tensor:
    """All directed edges between atoms closer than the cutoff: N(i) = {j : d_ji < c, j != i} (Section 2).

    There is no cap on the number of neighbours: a cap keeps whichever neighbours come first and so makes
    the graph depend on the order of the atoms and, with it, on the orientation of the molecule. The distance
    exactly at the cutoff is outside, as the paper's definition of N(i) has it.

    Args:
        pos: positions [N, 3] in Å.
        cutoff: c in Å, positive.
        batch: graph number of each atom [N], ascending; atoms of different graphs are never neighbours.

    Returns:
        ``edge_index`` [2, E], int64, on the device of ``pos``: sources j, receivers i, sorted by (i, j).

    Raises:
        ValueError: wrong shapes, NaN or infinite coordinates, a cutoff that is not positive, an unsorted batch.
    """
    check_positions(pos)
    if not (cutoff > 0 and np.isfinite(cutoff)):
        raise ValueError(f"cutoff must be a positive length in Å; got {cutoff}")
    points = pos.detach().to("cpu", torch.float64).numpy()
    starts = [0, len(points)]
    if batch is not None:
        if batch.shape != pos.shape[:1]:
            raise ValueError(f"batch must have shape [N] = [{len(pos)}]; got {list(batch.shape)}")
        if len(batch) and not bool((batch[1:] >= batch[:-1]).all()):
            raise ValueError("batch must be ascending: the atoms of one graph stand together")
        starts = [0, *(np.flatnonzero(np.diff(batch.cpu().numpy())) + 1), len(points)]
    first, second = np.concatenate([_close_pairs(points[a:b], cutoff) + a for a, b in pairwise(starts)]).T
    # A sparse matrix sorts the edges by (receiver, source) several times faster than a comparison sort.
    receiver, source = np.concatenate([first, second]), np.concatenate([second, first])
    matrix = csr_array((np.ones(len(source), dtype=bool), (receiver, source)), shape=(len(points), len(points)))
    matrix.sort_indices()
    receiver = np.repeat(np.arange(len(points)), np.diff(matrix.indptr))
    return torch.from_numpy(np.stack([matrix.indices.astype(np.int64), receiver])).to(pos.device)


def _close_pairs(points: np.ndarray, cutoff: float) -> np.ndarray:
    """Pairs of rows of ``points`` [n, 3] with distance < ``cutoff``, each pair once: [P, 2], int64."""
    if len(points) < 2:
        return np.empty((0, 2), dtype=np.int64)
    pairs = cKDTree(points, balanced_tree=False).query_pairs(cutoff, output_type="ndarray").astype(np.int64, copy=False)
    # The tree also returns pairs exactly at the cutoff.
    relative = points.take(pairs[:, 0], axis=0) - points.take(pairs[:, 1], axis=0)
    return pairs[np.sqrt(np.einsum("ij,ij->i", relative, relative)) < cutoff]


def edge_geometry(pos: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
    """Distances and unit vectors of the edges: d_ji and p_ji,n = (p_i - p_j) / d_ji (Section 3).

    Where two atoms coincide the direction is undefined; it is set to zero there, and so are the gradients of
    both results, so that such an edge adds no direction and no NaN.

    Args:
        pos: positions [N, 3] in Å.
        edge_index: [2, E], source j and receiver i.

    Returns:
        ``distance`` [E] in Å and ``direction`` [E, 3] without unit.
    """
    source, receiver = edge_index
    relative = pos[receiver] - pos[source]
    distance = torch.linalg.vector_norm(relative, dim=1)
    apart = distance > 0
    # Dividing by 1 where d = 0, before the mask, keeps NaN out of the backward pass.
    direction = relative / torch.where(apart, distance, 1.0).unsqueeze(1)
    return distance, direction * apart.unsqueeze(1)
