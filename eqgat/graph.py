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

from eqgat.checks import check_positions
from eqgat.neighbours import by_candidates, by_trees

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
        ValueError: wrong shapes, NaN or infinite coordinates, a cutoff that is not positive, an unsorted batch, more
            than 50 million edges (``eqgat.neighbours.MAX_EDGES``), as where many atoms coincide.
    """
    check_positions(pos)
    if not (cutoff > 0 and math.isfinite(cutoff)):
        raise ValueError(f"cutoff must be a positive length in Å; got {cutoff}")
    graph = torch.zeros(len(pos), dtype=torch.int64, device=pos.device) if batch is None else batch
    if graph.shape != pos.shape[:1]:
        raise ValueError(f"batch must have shape [N] = [{len(pos)}]; got {list(graph.shape)}")
    if len(graph) and not bool((graph[1:] >= graph[:-1]).all()):
        raise ValueError("batch must be ascending: the atoms of one graph stand together")
    points = pos.detach().double()
    if pos.device.type == "cpu":
        return torch.from_numpy(by_trees(points.numpy(), graph.numpy(), cutoff))
    return by_candidates(points, graph, cutoff)


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
