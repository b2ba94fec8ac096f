"""What notebook 07 proves beyond the layer: how a model may move its atoms."""

from __future__ import annotations

from torch import Tensor

from eqgat.graph import edge_geometry
from eqgat.layers import sum_over_neighbours

__all__ = ["coordinate_update"]


def coordinate_update(pos: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
    """p_i + sum_j p_ji,n s_ji: new positions that turn and shift with the old (Appendix A.1, note; [27]).

    The paper prints the formula without the sum over the neighbours j.

    Args:
        pos: p [N, 3] in Å.
        edge_index: [2, E], source j and receiver i.
        weight: s_ji [E], invariant, in Å.

    Returns:
        New positions [N, 3] in Å.

    >>> coordinate_update(torch.tensor([[0.0, 0, 0], [0, 0, 2]]), torch.tensor([[0], [1]]), torch.tensor([0.5]))
    tensor([[0.0000, 0.0000, 0.0000],
            [0.0000, 0.0000, 2.5000]])
    """
    _, direction = edge_geometry(pos, edge_index)
    return pos + sum_over_neighbours(direction * weight.unsqueeze(1), edge_index[1], len(pos))
