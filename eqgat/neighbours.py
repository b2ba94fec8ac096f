"""The search behind ``eqgat.graph.radius_graph``: which atoms are closer than the cutoff.

On a CPU a KD-tree does it. Elsewhere the atoms stay where they are: each atom is held against ranges of
candidates, all atoms of its graph where graphs are small, and the atoms of the 27 cells around it otherwise. All three
take the same distance, in float64 and in the same order of operations, so that they agree on each edge.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from torch import Tensor

from eqgat.errors import UserError

__all__ = ["MOST_EDGES", "close_pairs"]

MOST_EDGES = 50_000_000
"""More edges than this are refused: 0.8 GB for the edges alone, thirty times those of a ribosome within 4.5 Å."""

_BLOCK = 1 << 20  # pairs that are looked at together: some 100 MB
_SMALL = 500  # atoms of a graph of which all pairs are looked at


def close_pairs(points: Tensor, graph: Tensor, cutoff: float) -> Tensor:
    """Each ordered pair of atoms of one graph with a distance below the cutoff, on the device of the atoms.

    Args:
        points: [N, 3] in Å, float64.
        graph: number of the graph of each atom [N], int64, ascending.
        cutoff: in Å.

    Returns:
        ``edge_index`` [2, E] = (source, receiver), sorted by receiver, then by source.

    Raises:
        UserError: more than ``MOST_EDGES``.

    >>> close_pairs(torch.eye(3, dtype=torch.float64), torch.tensor([0, 0, 1]), cutoff=2.0)
    tensor([[1, 0],
            [0, 1]])
    """
    if points.device.type == "cpu":
        return torch.from_numpy(by_trees(points.numpy(), graph.numpy(), cutoff))
    return by_candidates(points, graph, cutoff)


def by_trees(points: NDArray[np.float64], graph: NDArray[np.int64], cutoff: float) -> NDArray[np.int64]:
    """``close_pairs`` of arrays, by a KD-tree."""
    # A fourth axis sets the graphs apart, so that one search finds the pairs of all.
    tree = cKDTree(np.column_stack([points, 2 * cutoff * graph]), balanced_tree=False)
    reach = cutoff * (1 + 1e-12)  # the tree rounds otherwise than we do
    if _at_most(points, graph, cutoff) > MOST_EDGES:
        _refuse_too_many(tree.count_neighbors(tree, reach) - len(points), cutoff)
    first, second = tree.query_pairs(reach, output_type="ndarray").astype(np.int64, copy=False).T
    x, y, z = (points.take(first, axis=0) - points.take(second, axis=0)).T
    near = np.sqrt(x * x + y * y + z * z) < cutoff
    first, second = first[near], second[near]
    # Making a sparse matrix sorts the edges by (receiver, source) several times faster than a comparison sort.
    receiver, source = np.concatenate([first, second]), np.concatenate([second, first])
    matrix = csr_array((np.ones(len(source), dtype=bool), (receiver, source)), shape=(len(points), len(points)))
    receiver = np.repeat(np.arange(len(points)), np.diff(matrix.indptr))
    return np.stack([matrix.indices.astype(np.int64), receiver])


def _at_most(points: NDArray[np.float64], graph: NDArray[np.int64], cutoff: float) -> int:
    """A number that the edges do not exceed: an atom has at most 27 times as many neighbours as the fullest cell atoms.

    Cells far from each other may get the same number and count as one, which only makes the bound larger.
    """
    if len(points) ** 2 <= MOST_EDGES:
        return len(points) ** 2
    cell = points // cutoff % 2**14 @ (1.0, 2.0**14, 2.0**28) + graph % 2**11 * 2.0**42
    return 27 * len(points) * int(np.unique(cell, return_counts=True)[1].max())


def _refuse_too_many(num_edges: int, cutoff: float) -> None:
    if num_edges > MOST_EDGES:
        raise UserError(
            f"{num_edges:,} edges or more within {cutoff} Å, and at most {MOST_EDGES:,} are made: many atoms coincide, "
            "or the cutoff is far too large; repair the positions, or take fewer atoms at once"
        )


def by_candidates(points: Tensor, graph: Tensor, cutoff: float, cells: bool | None = None) -> Tensor:
    """``close_pairs`` by tensors alone: of the cells around each atom, or of all atoms of its graph.

    ``cells`` says which of the two; None: as the size of the graphs says.
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
