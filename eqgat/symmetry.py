"""Symmetry, measured: random rotations and reflections, equivariance errors of any model or function.

Positions are rows, so that a matrix Q acts as ``pos @ Q.T``; vector features [N, 3, F_v] transform as ``Q @ v``.
Everything is meant for float64: an exact symmetry then shows errors near 1e-15, a broken one far above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from eqgat.errors import UserError
from eqgat.graph import radius_graph

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = [
    "EquivarianceErrors",
    "equivariance_errors",
    "random_reflection",
    "random_rotation",
    "relative_error",
    "rotation_about",
    "transform",
]

KINDS = ("rotation", "reflection", "translation", "permutation")
Kind = Literal["scalar", "vector", "pseudovector", "position"]  # how something transforms
SHAPES: dict[str | None, list[int]] = {"scalar": [], "vector": [3], "pseudovector": [3], "position": [3], None: []}


def random_rotation(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """A rotation drawn uniformly (Haar measure) from SO(3), [3, 3], det = +1.

    The QR decomposition of a Gaussian matrix is uniform on O(3) once the signs of R's diagonal are fixed;
    a negative determinant is then mended by turning one column around.

    >>> bool(torch.isclose(torch.linalg.det(random_rotation(seed=0)), torch.tensor(1.0, dtype=torch.float64)))
    True
    """
    gaussian = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    q = q * r.diagonal().sign()
    q[:, 0] *= torch.linalg.det(q).sign()
    rotation: Tensor = q.to(dtype)
    return rotation


def random_reflection(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """An orthogonal matrix with det = -1, [3, 3]: a mirror image followed by a uniformly drawn rotation.

    >>> bool(torch.isclose(torch.linalg.det(random_reflection(seed=0)), torch.tensor(-1.0, dtype=torch.float64)))
    True
    """
    return random_rotation(seed, dtype) @ torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=dtype))


def rotation_about(
    axis: Tensor | tuple[float, float, float], angle: float, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Rotation by ``angle`` (in radians) about ``axis`` [3], by Rodrigues' formula, [3, 3].

    Raises:
        UserError: an axis of length zero.

    >>> rotation_about((0, 0, 1), angle=torch.pi / 2).round().int().tolist()
    [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    """
    axis = torch.as_tensor(axis, dtype=dtype)
    if not float(axis.norm()) > 0:
        raise UserError("the axis of a rotation must not have length zero")
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

    >>> from torch_geometric.data import Data
    >>> transform(Data(pos=torch.zeros(1, 3)), shift=torch.tensor([1.0, 2.0, 3.0])).pos
    tensor([[1., 2., 3.]])
    """
    moved = data.clone()
    if matrix is not None:
        moved.pos = moved.pos @ matrix.to(moved.pos).T
    if shift is not None:
        moved.pos = moved.pos + shift.to(moved.pos)
    return moved


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """max |actual - expected| / max |expected|, or the numerator alone where everything expected is zero.

    >>> relative_error(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0]))
    0.25
    """
    if expected.numel() == 0:
        return 0.0
    scale = float(expected.detach().abs().max())
    return float((actual - expected).detach().abs().max()) / (scale or 1.0)


class EquivarianceErrors(SimpleNamespace):
    """Largest relative error of each output under one transformation, by the name of the output.

    >>> print(EquivarianceErrors(output=1e-15, v=0.5))
    output 1.0e-15  v 5.0e-01
    """

    def __str__(self) -> str:
        return "  ".join(f"{name} {value:.1e}" for name, value in vars(self).items())


def equivariance_errors(
    function: Callable[..., Any],
    inputs: Data | tuple[Any, ...],
    seed: int = 0,
    kinds: Iterable[str] = KINDS,
    *,
    takes: Sequence[Kind | None] = (),
    gives: Mapping[str, Kind | None] | None = None,
    cutoff: float | None = None,
) -> dict[str, EquivarianceErrors]:
    """How far a function is from f(g.x) = g.f(x) (Eq. 7), for a random element of each kind.

    How something transforms is said by its kind: "scalar" [N, ...] (one row an atom), "vector" and "pseudovector"
    [N, 3, ...] (Q v, and det(Q) Q v), "position" [N, 3] (Q p + t), or None: one thing for the whole molecule, the same
    under every transformation.

    Args:
        function: a model or any other callable; in float64 for errors near rounding.
        inputs: one graph, given as ``function(data)``; or a tuple of tensors, given as ``function(*inputs)``.
        seed: of the rotation, reflection, translation (by about 100 Å) and permutation.
        kinds: which of "rotation", "reflection", "translation" and "permutation" to try.
        takes: kinds of the ``inputs``, where these are tensors.
        gives: name -> kind of what the function returns, a tensor or a tuple of tensors. None: the function is an
            ``EQGAT``, or a module whose ``readout`` gets s and v: its output, s and v are compared.
        cutoff: in Å; the edges of a graph are built anew with it after each transformation, so that the neighbour list
            is tested too. None: ``function.config.cutoff``, or, where there is none, the edges as they are.

    Returns:
        Errors of each output for each kind.

    Raises:
        UserError: inputs or outputs that do not fit their kinds.

    >>> def centre_to_atom(pos):
    ...     return pos - pos.mean(dim=0)
    >>> pos = torch.randn(5, 3, dtype=torch.float64)
    >>> errors = equivariance_errors(centre_to_atom, (pos,), takes=["position"], gives={"arrow": "vector"})
    >>> all(error.arrow < 1e-12 for error in errors.values())
    True
    """
    config: Any = getattr(function, "config", None)
    cutoff = getattr(config, "cutoff", None) if cutoff is None else cutoff
    outputs: dict[str, str | None] = {**gives} if gives is not None else {"output": None, "s": "scalar", "v": "vector"}
    if gives is None:
        if config is None or not hasattr(function, "readout"):
            raise UserError('say what the function returns, for example gives={"output": None} for a prediction')
        outputs["output"] = "scalar" if config.readout == "node" else None
        function = _with_states(function)
    given: tuple[Any, ...] = inputs if isinstance(inputs, tuple) else (inputs,)
    taken: list[str | None] = [*takes] if isinstance(inputs, tuple) else ["graph"]
    if isinstance(inputs, tuple):
        num_atoms, batch = next((len(value) for value, kind in zip(given, taken, strict=False) if kind), 0), None
        _check_kinds("inputs", inputs, taken, num_atoms)
    else:
        num_atoms, batch = len(inputs.pos), inputs.get("batch")
        if cutoff is not None:
            given = (inputs.clone().update({"edge_index": radius_graph(inputs.pos, cutoff, batch)}),)
    moves = _moves(seed, num_atoms, batch)
    errors = {}
    with torch.no_grad():
        before = _as_tuple(function(*given))
        _check_kinds("outputs", before, [*outputs.values()], num_atoms)
        for name in kinds:
            move = moves[name]
            moved = [move.of(value, kind, cutoff) for value, kind in zip(given, taken, strict=True)]
            expected = [move.of(value, kind) for value, kind in zip(before, outputs.values(), strict=True)]
            found = map(relative_error, _as_tuple(function(*moved)), expected)
            errors[name] = EquivarianceErrors(**dict(zip(outputs, found, strict=True)))
    return errors


class _Move(NamedTuple):
    """Rotation or reflection Q, translation t, and a new order of the atoms."""

    matrix: Tensor
    shift: Tensor
    order: Tensor

    def of(self, value: Any, kind: str | None, cutoff: float | None = None) -> Any:
        """``value``, moved as its kind says."""
        if kind is None:
            return value
        if kind == "graph":
            return self.of_graph(value, cutoff)
        value, matrix = value[self.order], self.matrix.to(value)
        if kind == "scalar":
            return value
        if kind == "position":
            return value @ matrix.T + self.shift.to(value)
        sign = torch.linalg.det(matrix).sign() if kind == "pseudovector" else 1
        return sign * torch.einsum("ab,nb...->na...", matrix, value)

    def of_graph(self, data: Data, cutoff: float | None) -> Data:
        """The graph with moved positions; every field with one row an atom is put into the new order."""
        moved = transform(data, self.matrix, self.shift)
        for name, value in moved.items():
            if isinstance(value, Tensor) and data.is_node_attr(name):
                moved[name] = value[self.order]
        if cutoff is not None:
            moved.edge_index = radius_graph(moved.pos, cutoff, moved.get("batch"))
        elif data.get("edge_index") is not None:
            edge_index = self.order.argsort()[data.edge_index]
            moved.edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
        return moved


def _moves(seed: int, num_atoms: int, batch: Tensor | None) -> dict[str, _Move]:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(num_atoms, generator=generator)
    shift = 100 * torch.randn(3, generator=generator, dtype=torch.float64)
    if batch is not None:  # the atoms of one graph stay together
        order = order[batch[order].argsort(stable=True)]
    still, origin, same = torch.eye(3, dtype=torch.float64), torch.zeros(3), torch.arange(num_atoms)
    return {
        "rotation": _Move(random_rotation(seed), origin, same),
        "reflection": _Move(random_reflection(seed), origin, same),
        "translation": _Move(still, shift, same),
        "permutation": _Move(still, origin, order),
    }


def _with_states(model: Any) -> Callable[[Data], tuple[Tensor, Tensor, Tensor]]:
    """The model as a function that also gives s and v, caught on their way into the readout."""

    def function(data: Data) -> tuple[Tensor, Tensor, Tensor]:
        states: list[tuple[Tensor, Tensor]] = []
        watch = model.readout.register_forward_hook(lambda module, inputs, output: states.append(inputs))
        try:
            return (model(data), *states[0])
        finally:
            watch.remove()

    return function


def _as_tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _check_kinds(role: str, values: Sequence[Any], kinds: Sequence[str | None], num_atoms: int) -> None:
    """Raise ``UserError`` unless there is a kind for each value, and each value has the shape of its kind."""
    if len(values) != len(kinds):
        raise UserError(f"{len(values)} {role}, but {len(kinds)} kinds; name the kind of each")
    for value, kind in zip(values, kinds, strict=True):
        if kind not in SHAPES:
            raise UserError(f"a kind must be one of {', '.join(map(repr, SHAPES))}; got {kind!r}")
        shape = [num_atoms, *SHAPES[kind]]
        if kind is not None and [*getattr(value, "shape", ())][: len(shape)] != shape:
            raise UserError(
                f"a {kind} among the {role} must have the shape {shape}; got {[*getattr(value, 'shape', ())]}"
            )
