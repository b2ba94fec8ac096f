"""Geometric graphs: who is whose neighbour, how far away, in which direction (Section 2).

Conventions, used everywhere in this package:

* an edge ``(j, i)`` carries a message *from* the source ``j`` *to* the receiver ``i``;
* ``edge_index[0]`` holds the sources ``j``, ``edge_index[1]`` the receivers ``i``, and the edges are
  sorted by receiver, so that the neighbourhood of one atom is one contiguous block;
* positions are in Å; the unit vector of an edge is p_ji,n = (p_i - p_j) / d_ji (Section 3): it points
  from the neighbour to the central atom.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eqgat.checks import check_batch, check_positions
from eqgat.errors import UserError
from eqgat.neighbours import close_pairs

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
        UserError: wrong shapes, NaN, infinite or too distant coordinates, a cutoff that is not positive, a bad batch,
            more than 50 million edges (``eqgat.neighbours.MOST_EDGES``), as where many atoms coincide.

    >>> radius_graph(torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 9]]), cutoff=4.5)
    tensor([[1, 0],
            [0, 1]])
    """
    check_positions(pos)
    if cutoff is None or isinstance(cutoff, (str, Tensor)) or not 0 < cutoff < math.inf:
        raise UserError(f"cutoff must be a positive length in Å, a number; got {cutoff!r}")
    graph = torch.zeros(len(pos), dtype=torch.int64, device=pos.device) if batch is None else batch
    check_batch(graph, len(pos))
    return close_pairs(pos.detach().double(), graph, cutoff)


def edge_geometry(pos: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
    """Distances and unit vectors of the edges: d_ji and p_ji,n = (p_i - p_j) / d_ji (Section 3).

    Where two atoms coincide (to 1e-10 Å) the direction is undefined; it is set to zero there, and so are all
    derivatives of both results, so that such an edge adds no direction and no NaN.

    Args:
        pos: positions [N, 3] in Å.
        edge_index: [2, E], source j and receiver i.

    Returns:
        ``distance`` [E] in Å and ``direction`` [E, 3] without unit.

    >>> edge_geometry(torch.tensor([[0.0, 0, 0], [0, 3, 4]]), torch.tensor([[0], [1]]))
    (tensor([5.]), tensor([[0.0000, 0.6000, 0.8000]]))
    """
    source, receiver = edge_index
    relative = pos[receiver] - pos[source]
    apart = relative.detach().abs().amax(dim=1, keepdim=True) > 1e-10  # Å; float32 may lose squares
    # A stand-in where d = 0, before the root and the division, keeps NaN out of the backward passes.
    relative = torch.where(apart, relative, 1.0)
    distance = torch.linalg.vector_norm(relative, dim=1, keepdim=True)
    return (distance * apart).squeeze(1), relative / distance * apart
