"""The search behind ``eqgat.graph.radius_graph``: which atoms are closer than the cutoff.

On a CPU a KD-tree a graph does it. Elsewhere the atoms stay where they are: each atom is held against ranges of
candidates, all atoms of its graph where graphs are small, and the atoms of the 27 cells around it otherwise. All three
take the same distance, in float64 and in the same order of operations, so that they agree on each edge.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from torch import Tensor

from eqgat.errors import UserError

__all__ = ["MAX_EDGES", "by_candidates", "by_trees"]

MAX_EDGES = 50_000_000
"""More edges than this are refused: 0.8 GB for the edges alone, thirty times those of a ribosome within 4.5 Å."""

_BLOCK = 1 << 20  # pairs that are looked at together: some 100 MB
_SMALL = 500  # atoms of a graph of which all pairs are looked at


def by_trees(points: np.ndarray, graph: np.ndarray, cutoff: float) -> np.ndarray:
    """``edge_index`` [2, E], sorted by receiver and source, of ``points`` [N, 3]; ``graph`` [N], ascending."""
    starts = [0, *(np.flatnonzero(np.diff(graph)) + 1), len(points)]
    pairs, found = [np.empty((0, 2), dtype=np.int64)], 0
    for a, b in pairwise(starts):
        if b - a > 1:
            pairs.append(_close_pairs(points[a:b], cutoff, found) + a)
            found += 2 * len(pairs[-1])
    first, second = np.concatenate(pairs).T
    # A sparse matrix sorts the edges by (receiver, source) several times faster than a comparison sort.
    receiver, source = np.concatenate([first, second]), np.concatenate([second, first])
    matrix = csr_array((np.ones(len(source), dtype=bool), (receiver, source)), shape=(len(points), len(points)))
    matrix.sort_indices()
    return np.stack([matrix.indices.astype(np.int64), np.repeat(np.arange(len(points)), np.diff(matrix.indptr))])


def _close_pairs(points: np.ndarray, cutoff: float, found: int) -> np.ndarray:
    """Pairs of rows of ``points`` [n, 3] with distance < ``cutoff``, each pair once: [P, 2], int64."""
    tree = cKDTree(points, balanced_tree=False)
    reach = cutoff * (1 + 1e-12)  # the tree rounds otherwise than we do
    # No atom has more neighbours than 27 times the atoms of the fullest cell. (Cells that get the same number count as
    # one, which makes the bound larger, and it stays a bound.)
    cell = (points // cutoff % 2**20) @ (1.0, 2.0**20, 2.0**40)
    if found + len(points) * 27 * np.unique(cell, return_counts=True)[1].max() > MAX_EDGES:
        _refuse_too_many(found + tree.count_neighbors(tree, reach) - len(points), cutoff)
    pairs = tree.query_pairs(reach, output_type="ndarray").astype(np.int64, copy=False)
    x, y, z = (points.take(pairs[:, 0], axis=0) - points.take(pairs[:, 1], axis=0)).T
    return pairs[np.sqrt(x * x + y * y + z * z) < cutoff]


def _refuse_too_many(num_edges: int, cutoff: float) -> None:
    if num_edges > MAX_EDGES:
        raise UserError(
            f"{num_edges:,} edges or more within {cutoff} Å, and at most {MAX_EDGES:,} are made; do many atoms "
            "coincide, or are the positions not in Å? Otherwise take a smaller cutoff, or fewer atoms at once"
        )


def by_candidates(points: Tensor, graph: Tensor, cutoff: float, cells: bool | None = None) -> Tensor:
    """The same as ``by_trees``, in tensors of any device.

    Args:
        points: [N, 3], float64.
        graph: number of the graph of each atom [N], ascending.
        cutoff: in Å.
        cells: look in the cells around an atom, or at all atoms of its graph; None: as the size says.
    """
    if len(points) < 2:
        return graph.new_empty(2, 0)
    begin, end = torch.searchsorted(graph, graph), torch.searchsorted(graph, graph, right=True)
    if cells is None:
        cells = int((end - begin).max()) > _SMALL
    if not cells:
        order = torch.arange(len(points), device=points.device)
        return _close_candidates(points, order, begin.unsqueeze(1), (end - begin).unsqueeze(1), cutoff)
    cell, step = _cell_numbers(points, graph, begin, end, cutoff)
    cell_sorted, order = cell.sort(stable=True)
    # Cells that follow each other along z have numbers that follow each other: 9 ranges of 3 cells.
    row = cell.unsqueeze(1) + torch.stack([i * step[0] + j * step[1] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    first, last = torch.searchsorted(cell_sorted, row - 1), torch.searchsorted(cell_sorted, row + 1, right=True)
    source, receiver = _close_candidates(points, order, first, last - first, cutoff)
    place = (receiver * len(points) + source).sort().values
    return torch.stack([place % len(points), place // len(points)])


def _cell_numbers(
    points: Tensor, graph: Tensor, begin: Tensor, end: Tensor, cutoff: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The number of the cell of each atom [N], and how much it grows by a step along x and along y.

    Cells are a little wider than the cutoff, so that rounding puts no neighbour two cells away; an empty layer around
    each graph keeps neighbouring cells apart from those of others. Where atoms are so far apart that the numbers
    would overflow, cells are wider.
    """
    _, number = graph.unique_consecutive(return_inverse=True)
    index = number.unsqueeze(1).expand_as(points)
    low = points.new_zeros(int(number[-1]) + 1, 3).scatter_reduce(0, index, points, "amin", include_self=False)
    offset = points - low[number]
    width = (offset.amax() / 2**15).clamp(min=cutoff * (1 + 1e-6))
    place = (offset / width).floor().long() + 1
    size = place.amax(dim=0) + 2
    x, y, z = place.unbind(1)
    return ((number * size[0] + x) * size[1] + y) * size[2] + z, (size[1] * size[2], size[2])


def _close_candidates(points: Tensor, order: Tensor, start: Tensor, count: Tensor, cutoff: float) -> Tensor:
    """Edges [2, E] from the candidates order[start], order[start + 1], ... of each atom; start, count [N, ranges]."""
    ends, edges, found, first = count.sum(1).cumsum(0).cpu(), [], 0, 0
    while first < len(points):
        seen = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(torch.searchsorted(ends, seen + _BLOCK, right=True)))
        block = count[first:last].flatten()
        total = int(ends[last - 1]) - seen
        which = torch.repeat_interleave(torch.arange(len(block), device=points.device), block, output_size=total)
        shift = start[first:last].flatten() - (block.cumsum(0) - block)
        source = order[torch.arange(total, device=points.device) + shift[which]]
        receiver = first + which // count.shape[1]
        x, y, z = (points[receiver] - points[source]).unbind(1)
        near = ((x * x + y * y + z * z).sqrt() < cutoff) & (source != receiver)
        edges.append(torch.stack([source[near], receiver[near]]))
        found += edges[-1].shape[1]
        _refuse_too_many(found, cutoff)
        first = last
    return torch.cat(edges, dim=1)
