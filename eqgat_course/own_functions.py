"""The student's own functions, collected from the notebooks beside this one, to build a whole EQGAT of them."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from eqgat import radius_graph
from eqgat.layers import neighbour_softmax, sum_over_neighbours, vector_length
from eqgat.radial import bessel_basis, polynomial_envelope
from eqgat_course.cells import code_of, grade_id
from eqgat_course.exercises import CheckFailed, Unanswered, check

__all__ = ["PARTS", "Part", "collect", "layers_of"]


class Part(NamedTuple):
    """One function of the model: the exercise that asks for it, and what the suite has in its place."""

    exercise: str
    suite: Callable[..., Any]


def _edge_filter(
    s: Tensor,
    radial: Tensor,
    edge_index: Tensor,
    weight: Tensor,
    bias: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
    vector_channels: int,
) -> tuple[Tensor, ...]:
    source, receiver = edge_index
    of_receiver, of_source, of_radial = weight.split([s.shape[1], s.shape[1], radial.shape[1]], dim=1)
    hidden = linear(s, of_receiver, bias)[receiver] + linear(s, of_source)[source] + linear(radial, of_radial)
    return linear(silu(hidden), out_weight, out_bias).split([s.shape[1], *[vector_channels] * 3], dim=1)


def _scalar_message(attention: Tensor, s: Tensor, weight: Tensor, edge_index: Tensor) -> Tensor:
    source, receiver = edge_index
    return sum_over_neighbours(attention * linear(s, weight)[source], receiver, len(s))


def _direction_term(pos: Tensor, edge_index: Tensor, b: Tensor) -> Tensor:
    source, receiver = edge_index
    return nn.functional.normalize(pos[receiver] - pos[source], dim=1).unsqueeze(2) * b.unsqueeze(1)


def _mixing_term(v: Tensor, weight: Tensor, b: Tensor, edge_index: Tensor) -> Tensor:
    return b.unsqueeze(1) * (v @ weight)[edge_index[0]]


def _cross_term(v: Tensor, b: Tensor, source: Tensor, receiver: Tensor) -> Tensor:
    return b.unsqueeze(1) * torch.linalg.cross(v[receiver], v[source], dim=1)


def _vector_message(terms: Tensor, receiver: Tensor, num_nodes: int) -> Tensor:
    count = torch.bincount(receiver, minlength=num_nodes).clamp(min=1)
    return sum_over_neighbours(terms, receiver, num_nodes) / count.view(-1, 1, 1)


def _gated_update(
    s: Tensor,
    v: Tensor,
    vector_in: Callable[[Tensor], Tensor],
    vector_out: Callable[[Tensor], Tensor],
    hidden: Callable[[Tensor], Tensor],
    out: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    u, w = vector_in(v).chunk(2, dim=2)
    gate, change = out(silu(hidden(torch.cat([s, vector_length(u)], dim=1)))).split([v.shape[2], s.shape[1]], dim=1)
    return s + change, v + vector_out(gate.unsqueeze(1) * w)


PARTS = {
    "my_radius_graph": Part("01.1", radius_graph),
    "my_bessel_basis": Part("02.1", bessel_basis),
    "my_envelope": Part("02.2", polynomial_envelope),
    "edge_filter": Part("03.1", _edge_filter),
    "my_softmax": Part("03.2", neighbour_softmax),
    "scalar_message": Part("03.3", _scalar_message),
    "my_direction_term": Part("04.1", _direction_term),
    "my_mixing_term": Part("04.2", _mixing_term),
    "my_vector_message": Part("04.3", _vector_message),
    "cross_term": Part("05.1", _cross_term),
    "gated_update": Part("06.2", _gated_update),
}


def collect(folder: str | Path = ".", suite: Collection[str] = (), **here: Callable[..., Any]) -> SimpleNamespace:
    """The functions of ``PARTS`` by name; prints whose each is.

    A function is the student's if the notebook of its exercise lies in the folder, saved, and its answer passes the
    check. The suite's stands in for every other one. An answer cell is run with the imports of its notebook alone.

    Args:
        folder: where the student's notebooks are.
        suite: names to take from the suite in any case.
        here: functions of the notebook that calls, by name.

    Raises:
        KeyError: a name that is no part of the model.
    """
    for name in (*suite, *here):
        if name not in PARTS:
            raise KeyError(f"{name!r} is no part of the model; there are {', '.join(PARTS)}")
    found = {}
    for name, part in PARTS.items():
        try:
            if name in suite:
                raise LookupError("as you asked")
            own = here[name] if name in here else _from_notebook(Path(folder), name, part.exercise)
            check(part.exercise, own, draw=1)
            found[name], whose = own, "yours"
        except Unanswered:
            found[name], whose = part.suite, "the suite's; yours is blank"
        except CheckFailed:
            found[name], whose = part.suite, "the suite's; yours does not pass its check"
        except Exception as error:  # whatever stops a student's cell
            found[name], whose = part.suite, f"the suite's; {error}"
        print(f"{name:18} exercise {part.exercise}  {whose}")
    return SimpleNamespace(**found)


def _from_notebook(folder: Path, name: str, exercise: str) -> Any:
    """The function ``name`` of the answer cell of an exercise. Raises: LookupError: there is no notebook or cell."""
    path = next(iter(sorted(folder.glob(f"{exercise[:2]}_*.ipynb"))), None)
    if path is None:
        raise LookupError(f"no notebook {exercise[:2]} in this folder")
    names: dict[str, Any] = {"__name__": path.stem}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        if grade_id(cell) == f"ex-{exercise.replace('.', '-')}":
            exec(compile(source, f"{path.name}, exercise {exercise}", "exec"), names)
            return names[name]
        try:
            lines = ast.parse(code_of(source)).body
        except SyntaxError:  # a cell that the student is in the middle of
            continue
        imports: list[ast.stmt] = [line for line in lines if isinstance(line, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), path.name, "exec"), names)
    raise LookupError(f"no answer cell of exercise {exercise} in {path.name}")


def layers_of(weights: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The weights of each layer, under their names in the layer, from a ``state_dict`` of EQGAT or what was made of it.

    The first layer of ``eqgat`` leaves out what would multiply v = 0: the last 2 F_v outputs of the filter, and W_v.
    Here they are zeros, so that all layers look alike.
    """
    layers: list[dict[str, Tensor]] = []
    while any(name.startswith(f"layers.{len(layers)}.") for name in weights):
        start = f"layers.{len(layers)}."
        layers.append({name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)})
    for layer in layers:
        if "vector_weight.weight" not in layer:
            vector_channels = len(layer["update.vector_out.weight"])
            for name in ("filter.out.weight", "filter.out.bias"):
                value = layer[name]
                layer[name] = torch.cat([value, value.new_zeros(2 * vector_channels, *value.shape[1:])])
            layer["vector_weight.weight"] = value.new_zeros(vector_channels, vector_channels)
    return layers
