"""Six models of one line each, most of which fail a symmetry test: negative controls for notebook 01.

Each takes positions [N, 3] in Å and returns one number, which should depend on the molecule alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from eqgat.graph import edge_geometry, radius_graph
from eqgat.symmetry import random_reflection, random_rotation, relative_error
from eqgat_course.controls import capped_radius_graph

__all__ = [
    "TOY_MODELS",
    "along_x",
    "capped_list",
    "distances",
    "euler_rotation",
    "raw_coordinates",
    "row_numbers",
    "symmetry_errors",
    "triple_product",
]

CUTOFF = 6.0  # Å; wide enough for a cap of 32 neighbours to cut something in a protein without hydrogens


def euler_rotation(alpha: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """R_z(α) R_y(β) R_z(γ) for angles in radians, each [...]: rotations [..., 3, 3]."""

    def about(axis: int, angle: Tensor) -> Tensor:
        matrix = torch.zeros(*angle.shape, 3, 3, dtype=angle.dtype)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        matrix[..., axis, axis] = 1
        matrix[..., a, a] = matrix[..., b, b] = angle.cos()
        matrix[..., b, a], matrix[..., a, b] = angle.sin(), -angle.sin()
        return matrix

    return about(2, alpha) @ about(1, beta) @ about(2, gamma)


def raw_coordinates(pos: Tensor) -> Tensor:
    """A: a small network reads x, y, z of each atom; mean over the atoms."""
    weight = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(pos)
    return torch.tanh(pos / 10 @ weight).sum(dim=1).mean()


def along_x(pos: Tensor) -> Tensor:
    """B: mean of |x_j - x_i| over the edges; y and z are never read."""
    source, receiver = radius_graph(pos, CUTOFF)
    return (pos[source, 0] - pos[receiver, 0]).abs().mean()


def capped_list(pos: Tensor) -> Tensor:
    """C: mean distance over the edges, at most 32 unsorted neighbours an atom."""
    return edge_geometry(pos, capped_radius_graph(pos, CUTOFF))[0].mean()


def row_numbers(pos: Tensor) -> Tensor:
    """D: distances from the centre, weighted by the row in which the atom stands."""
    weight = torch.linspace(0, 1, len(pos), dtype=pos.dtype)
    return (weight * (pos - pos.mean(dim=0)).norm(dim=1)).mean()


def triple_product(pos: Tensor) -> Tensor:
    """E: signed volume of three weighted mean positions, a · (b x c)."""
    relative = pos - pos.mean(dim=0)
    distance = relative.norm(dim=1, keepdim=True)
    a, b, c = (((-distance / length).exp() * relative).mean(dim=0) for length in (2.0, 5.0, 15.0))
    return a @ torch.linalg.cross(b, c)


def distances(pos: Tensor) -> Tensor:
    """F: mean distance over all edges of the radius graph."""
    return edge_geometry(pos, radius_graph(pos, CUTOFF))[0].mean()


TOY_MODELS: dict[str, Callable[[Tensor], Tensor]] = {
    "A raw coordinates": raw_coordinates,
    "B along x": along_x,
    "C capped list": capped_list,
    "D row numbers": row_numbers,
    "E triple product": triple_product,
    "F distances": distances,
}


def symmetry_errors(model: Callable[[Tensor], Tensor], pos: Tensor, seed: int = 0) -> dict[str, float]:
    """Relative change of ``model(pos)`` under a random rotation, reflection, translation and reordering of the atoms.

    Args:
        model: takes positions [N, 3], returns a number.
        pos: positions [N, 3] in Å, float64.
        seed: of the four random transformations; the shift has about 10 Å.

    Returns:
        "rotation", "reflection", "translation", "permutation": |f(g.x) - f(x)| / |f(x)|.
    """
    generator = torch.Generator().manual_seed(seed)
    moved = {
        "rotation": pos @ random_rotation(seed).T,
        "reflection": pos @ random_reflection(seed).T,
        "translation": pos + 10 * torch.randn(3, generator=generator, dtype=torch.float64),
        "permutation": pos[torch.randperm(len(pos), generator=generator)],
    }
    return {name: relative_error(model(new), model(pos)) for name, new in moved.items()}
