"""What one EQGAT layer costs, counted and not timed: multiplications by formula and by PyTorch, numbers kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import silu
from torch.utils.flop_counter import FlopCounterMode

from eqgat.layers import AttentionFilter, Edges

__all__ = ["PARTS", "literal_filter", "matrix_multiplications", "multiplications", "numbers_kept"]

PARTS = ("Eq. 1, first map", "Eq. 1, second map", "cross products", "other terms", "per-atom maps")


def multiplications(
    num_atoms: int,
    num_edges: int,
    scalar_channels: int = 100,
    vector_channels: int = 16,
    num_radial: int = 32,
    literal: bool = False,
) -> dict[str, int]:
    """Multiplications in the forward pass of one layer with all three vector terms, by part (``PARTS``).

    Args:
        num_atoms, num_edges: N and E.
        scalar_channels, vector_channels, num_radial: F_s, F_v, K.
        literal: as printed, the concatenation and the cross product on every edge; else with the two identities.
    """
    n, e, fs, fv, k = num_atoms, num_edges, scalar_channels, vector_channels, num_radial
    first = e * (2 * fs + k) * fs if literal else 2 * n * fs * fs + e * k * fs
    # weights times vectors: 3 F_v an edge; a cross product: 6 multiplications
    cross = (6 + 3) * e * fv if literal else 3 * e * fv + 6 * n * fv
    maps = fs * fs + 3 * fv * fv + 3 * (2 * fv * fv + fv * fv) + (fs + fv) * fs + fs * (fs + fv) + 3 * fv
    return dict(zip(PARTS, (first, e * fs * (fs + 3 * fv), cross, e * (fs + 6 * fv), n * maps), strict=True))


def literal_filter(own: AttentionFilter, s: Tensor, edges: Edges) -> list[Tensor]:
    """Eq. 1 as printed: the concatenation of every edge through both maps; the same results as ``own(s, edges)``."""
    joined = torch.cat([s[edges.receiver], s[edges.source], edges.radial], dim=1)
    return list(own.out(silu(own.hidden(joined))).split(own.sizes, dim=1))


def matrix_multiplications(function: Callable[[], object]) -> int:
    """Multiplications in the matrix products of a call, as PyTorch counts them (its operations are twice as many)."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() // 2


def numbers_kept(function: Callable[[], object], known: tuple[Tensor, ...] = ()) -> int:
    """How many numbers PyTorch keeps from a call for its backward pass; each tensor once, those in ``known`` not."""
    kept: dict[int, Tensor] = {}
    besides = {tensor.data_ptr() for tensor in known}

    def keep(tensor: Tensor) -> Tensor:
        return kept.setdefault(tensor.data_ptr(), tensor) if tensor.is_floating_point() else tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function()
    del result
    return sum(tensor.numel() for pointer, tensor in kept.items() if pointer not in besides)
