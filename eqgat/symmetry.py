"""Symmetry, measured: random rotations and reflections, equivariance errors, and models that must fail.

Positions are rows, so that a matrix Q acts as ``pos @ Q.T``; vector features [N, 3, F_v] transform as ``Q @ v``.
Everything is meant for float64: an exact symmetry then shows errors near 1e-15, a broken one far above.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from eqgat.graph import edge_geometry, radius_graph
from eqgat.layers import EquivariantNorm, mean_over_graph, sum_over_neighbours
from eqgat.model import EQGAT

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = [
    "EquivarianceErrors",
    "ReleasedNorm",
    "coordinate_update",
    "equivariance_errors",
    "random_reflection",
    "random_rotation",
    "relative_error",
    "rotation_about",
    "transform",
    "with_released_norm",
    "with_vector_bias",
]

KINDS = ("rotation", "reflection", "translation", "permutation")


def random_rotation(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """A rotation drawn uniformly (Haar measure) from SO(3), [3, 3], det = +1.

    The QR decomposition of a Gaussian matrix is uniform on O(3) once the signs of R's diagonal are fixed;
    a negative determinant is then mended by turning one column around.
    """
    gaussian = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    q = q * r.diagonal().sign()
    q[:, 0] *= torch.linalg.det(q).sign()
    return q.to(dtype)


def random_reflection(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """An orthogonal matrix with det = -1, [3, 3]: a mirror image followed by a uniformly drawn rotation."""
    return random_rotation(seed, dtype) @ torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=dtype))


def rotation_about(
    axis: Tensor | tuple[float, float, float], angle: float, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Rotation by ``angle`` (in radians) about ``axis`` [3], by Rodrigues' formula, [3, 3].

    Raises:
        ValueError: an axis of length zero.
    """
    axis = torch.as_tensor(axis, dtype=dtype)
    if not float(axis.norm()) > 0:
        raise ValueError("the axis of a rotation must not have length zero")
    x, y, z = (axis / axis.norm()).tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=dtype)
    turn = torch.tensor(angle, dtype=dtype)
    return torch.eye(3, dtype=dtype) + turn.sin() * cross + (1 - turn.cos()) * cross @ cross


def transform(data: Data, matrix: Tensor | None = None, shift: Tensor | None = None) -> Data:
    """A copy of the graph with positions Q p_i + t; the edges stay, as distances do.

    Args:
        data: a graph.
        matrix: Q [3, 3], orthogonal; None for the identity.
        shift: t [3] in Å; None for zero.
    """
    moved = data.clone()
    if matrix is not None:
        moved.pos = moved.pos @ matrix.to(moved.pos).T
    if shift is not None:
        moved.pos = moved.pos + shift.to(moved.pos)
    return moved


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """max |actual - expected| / max |expected|, or the numerator alone where everything expected is zero."""
    if expected.numel() == 0:
        return 0.0
    scale = float(expected.detach().abs().max())
    return float((actual - expected).detach().abs().max()) / (scale or 1.0)


@dataclass(frozen=True)
class EquivarianceErrors:
    """Largest relative error of output, s and v under one transformation."""

    output: float
    s: float
    v: float

    def __str__(self) -> str:
        return "  ".join(f"{name} {value:.1e}" for name, value in asdict(self).items())


def equivariance_errors(
    model: EQGAT,
    data: Data,
    seed: int = 0,
    kinds: Iterable[str] = KINDS,
) -> dict[str, EquivarianceErrors]:
    """How far the model is from f(g.x) = g.f(x) (Eq. 7), for a random element of each kind.

    Args:
        model: an ``EQGAT``, or a module called like it whose ``readout`` gets s and v; use ``model.double()``.
        data: one graph; positions in float64 for errors near rounding. Its edges are built anew after each
            transformation, so that the neighbour list is tested too.
        seed: of the rotation, reflection, translation and permutation.
        kinds: which of them to try.

    Returns:
        Errors under "rotation", "reflection", "translation" (by about 100 Å) and "permutation". For the reflection
        Q the vectors are compared with Q v, which holds for polar vectors alone.
    """
    data = data.clone()
    data.edge_index = radius_graph(data.pos, model.config.cutoff, data.get("batch"))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data.pos), generator=generator)
    shift = 100 * torch.randn(3, generator=generator, dtype=torch.float64)
    permuted = data.clone()
    permuted.pos, permuted.z = data.pos[order], data.z[order]
    cases = {
        "rotation": (transform(data, random_rotation(seed)), random_rotation(seed)),
        "reflection": (transform(data, random_reflection(seed)), random_reflection(seed)),
        "translation": (transform(data, shift=shift), torch.eye(3)),
        "permutation": (permuted, torch.eye(3)),
    }
    errors = {}
    states: list[tuple[Tensor, Tensor]] = []  # s and v, on their way into the readout
    watch = model.readout.register_forward_hook(lambda module, inputs, output: states.append(inputs))
    try:
        with torch.no_grad():
            y, (s, v) = model(data), states.pop()
            for name in kinds:
                moved, matrix = cases[name]
                moved.edge_index = radius_graph(moved.pos, model.config.cutoff, data.get("batch"))
                rows = order if name == "permutation" else slice(None)
                y_expected = y[rows] if model.config.readout == "node" else y
                y_moved, (s_moved, v_moved) = model(moved), states.pop()
                errors[name] = EquivarianceErrors(
                    relative_error(y_moved, y_expected),
                    relative_error(s_moved, s[rows]),
                    relative_error(v_moved, matrix.to(v) @ v[rows]),
                )
    finally:
        watch.remove()
    return errors


class ReleasedNorm(EquivariantNorm):
    """The normalisation of the released code, kept as a negative control: it breaks rotation equivariance.

    Scalars are divided by the variance, vectors by q = mean over the graph of sum over channels of v_x^2: the x
    component alone. Only rotations about the x axis leave q as it is.
    """

    def forward(self, s: Tensor, v: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v], ``batch`` [N]) -> the same shapes."""

        def mean(x: Tensor) -> Tensor:
            return mean_over_graph(x, batch, num_graphs).index_select(0, batch)

        centred = s - mean(s.mean(dim=1, keepdim=True))
        s = self.weight * centred / (mean(centred.square().mean(dim=1, keepdim=True)) + self.epsilon) + self.bias
        q = mean(v[:, 0].square().sum(dim=1, keepdim=True)) + self.epsilon
        return s, v / q.unsqueeze(2)


def with_released_norm(model: EQGAT) -> EQGAT:
    """The model, changed in place, with every equivariant norm replaced by ``ReleasedNorm``.

    Raises:
        ValueError: the model has no norm to replace.
    """
    if not model.norms:
        raise ValueError('the model has no norm; build it with norm="equivariant" first')
    norms = nn.ModuleList(ReleasedNorm(len(norm.weight)) for norm in model.norms)
    norms.load_state_dict(model.norms.state_dict())
    model.norms = norms.to(model.embedding.weight)
    return model


def with_vector_bias(model: EQGAT, bias: float = 0.1) -> EQGAT:
    """The model, changed in place, with a bias on the vectors of its first update: a negative control.

    One number per channel is added to x, y and z alike, as ``nn.Linear`` does unless told not to: a vector along
    (1, 1, 1) that stays where it is when the molecule turns.
    """
    update = model.layers[0].update
    biased = nn.Linear(*update.vector_out.weight.shape[::-1]).to(update.vector_out.weight)
    biased.load_state_dict({"weight": update.vector_out.weight, "bias": torch.full_like(biased.bias, bias)})
    update.vector_out = biased
    return model


def coordinate_update(pos: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
    """p_i + sum_j p_ji,n s_ji: new positions that turn and shift with the old (Appendix A.1, note; [27]).

    The paper prints the formula without the sum over the neighbours j.

    Args:
        pos: p [N, 3] in Å.
        edge_index: [2, E], source j and receiver i.
        weight: s_ji [E], invariant, in Å.

    Returns:
        New positions [N, 3] in Å.
    """
    _, direction = edge_geometry(pos, edge_index)
    return pos + sum_over_neighbours(direction * weight.unsqueeze(1), edge_index[1], len(pos))
