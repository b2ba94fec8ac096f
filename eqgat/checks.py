"""Checks of what goes into a model: bad input gets an error that says what is wrong and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import torch
from torch import Tensor

from eqgat.errors import UserError

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = [
    "check_batch",
    "check_edges",
    "check_graph",
    "check_lengths",
    "check_options",
    "check_positions",
]

RESOLUTION = 1e-3  # Å; structure files give coordinates to three decimals
MOST_GRAPHS = 10**6  # in a batch; a wrong number in it would fill the memory with empty graphs


def check_options(taker: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Check options against their types: whole numbers from 1, positive sizes, given choices, dropout below 1.

    Args:
        taker: the function, or the dataclass, that takes them by name; options of other types are not looked at.
        values: option -> value, and maybe more.

    Raises:
        UserError: the first option that does not fit.

    >>> from eqgat import EQGATConfig
    >>> EQGATConfig(num_elements=9, out_channels=1, norm="batch")
    Traceback (most recent call last):
    eqgat.errors.UserError: norm must be one of 'equivariant', None; got 'batch'
    """
    for name, kind in get_type_hints(taker).items():
        if name not in values:
            continue
        value, number = values[name], kind in (int, float) and not isinstance(values[name], bool)
        if kind is int:
            if not (number and isinstance(value, int) and value >= 1):
                raise UserError(f"{name} must be a whole number of at least 1; got {value!r}")
        elif "dropout" in name:
            if not (number and isinstance(value, (int, float)) and 0 <= value < 1):
                raise UserError(f"{name} must be a probability below 1; got {value!r}")
        elif kind is float:
            if not (number and isinstance(value, (int, float)) and 0 < value < math.inf):
                raise UserError(f"{name} must be a positive length in Å; got {value!r}")
        elif (choices := _choices(kind)) and value not in choices:
            raise UserError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")


def _choices(kind: Any) -> list[Any]:
    """The values of ``Literal["a", "b"] | None``: ["a", "b", None]."""
    if kind is type(None):
        return [None]
    return [choice for part in get_args(kind) for choice in ([part] if isinstance(part, str) else _choices(part))]


def _check_tensor(name: str, value: object, shape: Sequence[int | str], dtype: torch.dtype | None = None) -> None:
    """Check that ``value`` is a tensor of this type (None: any floating one) and shape; a string fits every size."""
    wanted = (
        f"{'a floating' if dtype is None else f'an {str(dtype)[6:]}'} tensor of shape [{', '.join(map(str, shape))}]"
    )
    if not isinstance(value, Tensor):
        raise UserError(f"{name} must be {wanted}; got {type(value).__name__} (torch.as_tensor makes a tensor)")
    fits = len(value.shape) == len(shape) and all(
        isinstance(size, str) or size == actual for size, actual in zip(shape, value.shape, strict=True)
    )
    if not fits or not (value.is_floating_point() if dtype is None else value.dtype == dtype):
        raise UserError(f"{name} must be {wanted}; got {str(value.dtype)[6:]} {list(value.shape)}")


def check_positions(pos: Tensor) -> None:
    """Check that ``pos`` is a floating [N, 3] tensor of finite numbers (Å), near enough for its own precision.

    Raises:
        UserError: another shape or type; NaN or infinite coordinates; atoms so far from the origin that rounding moves
            them by more than 0.001 Å, the resolution of structure files (in float32, beyond about 17,000 Å).

    >>> check_positions(torch.tensor([[0.0, 0.0, 1e30]]))
    Traceback (most recent call last):
    eqgat.errors.UserError: pos reaches 1e+30 Å from the origin, where torch.float32 rounds by up to 6e+22 Å; ...
    """
    _check_tensor("pos", pos, ("N", 3))
    if not len(pos):
        return
    farthest = float(pos.detach().abs().amax())  # NaN, if one coordinate is
    if not math.isfinite(farthest):
        bad = (~torch.isfinite(pos).all(dim=1)).nonzero().flatten().tolist()
        raise UserError(
            f"pos has NaN or infinite coordinates at {len(bad)} atom(s), first at row {bad[0]}; "
            "repair or remove these atoms before building a graph"
        )
    rounding = farthest * torch.finfo(pos.dtype).eps / 2
    if rounding > RESOLUTION:
        raise UserError(
            f"pos reaches {farthest:.3g} Å from the origin, where {pos.dtype} rounds by up to {rounding:.1g} Å; "
            "move the molecule to the origin (pos - pos.mean(dim=0)) before rounding, or give pos in float64"
        )


def check_batch(batch: Tensor, num_nodes: int, ptr: Tensor | None = None) -> None:
    """Check the graph numbers of the atoms, [N], int64, ascending from 0, and the graphs' limits ``ptr`` where given.

    Raises:
        UserError: another shape or type, negative or unsorted numbers, limits that are not those of ``batch``.

    >>> check_batch(torch.tensor([1, 0]), 2)
    Traceback (most recent call last):
    eqgat.errors.UserError: batch must be ascending from 0: the atoms of one graph stand together; ...
    """
    _check_tensor("batch", batch, (num_nodes,), torch.int64)
    if num_nodes and (int(batch[0]) < 0 or bool((batch[1:] < batch[:-1]).any())):
        raise UserError(
            "batch must be ascending from 0: the atoms of one graph stand together; "
            "sort the atoms by graph, or build the batch with Batch.from_data_list"
        )
    if num_nodes and ptr is None and int(batch[-1]) >= MOST_GRAPHS:
        raise UserError(f"batch numbers the graphs up to {int(batch[-1])}; number them 0, 1, 2, ...")
    if ptr is not None:
        _check_tensor("ptr", ptr, ("number of graphs + 1",), torch.int64)
        limits = torch.arange(len(ptr), device=batch.device)
        if not len(ptr) or not torch.equal(torch.searchsorted(batch, limits), ptr) or int(ptr[-1]) != num_nodes:
            raise UserError(
                "ptr does not fit batch: graph g must be the atoms ptr[g] to ptr[g + 1] - 1; "
                "build both with Batch.from_data_list, or leave ptr out"
            )


def check_edges(edge_index: Tensor, num_nodes: int, batch: Tensor | None = None) -> None:
    """Check that edges are [2, E], int64, in range, each once, between two atoms of one graph, sorted by receiver.

    Raises:
        UserError: the first of these that does not hold.

    >>> check_edges(torch.tensor([[0, 1], [0, 0]]), num_nodes=2)
    Traceback (most recent call last):
    eqgat.errors.UserError: edge_index has 1 edge(s) from an atom to itself, first at column 0; ...
    """
    _check_tensor("edge_index", edge_index, (2, "E"), torch.int64)
    if edge_index.shape[1] == 0:
        return
    source, receiver = edge_index
    lowest, highest = (int(limit) for limit in edge_index.aminmax())
    if lowest < 0 or highest >= num_nodes:
        raise UserError(
            f"edge_index refers to atoms {lowest}..{highest}, but the graph has the atoms 0..{num_nodes - 1}"
        )
    if bool((receiver[1:] < receiver[:-1]).any()):
        raise UserError(
            "edges must be sorted by receiver, edge_index[1]; build them with eqgat.radius_graph, or sort "
            "with edge_index[:, edge_index[1].argsort(stable=True)]"
        )
    loops = source == receiver
    if bool(loops.any()):
        columns = loops.nonzero().flatten().tolist()
        raise UserError(
            f"edge_index has {len(columns)} edge(s) from an atom to itself, first at column {columns[0]}; "
            "remove them (torch_geometric.utils.remove_self_loops)"
        )
    pairs = receiver * num_nodes + source
    if not bool((pairs[1:] > pairs[:-1]).all()):  # eqgat.radius_graph sorts by source, too, and needs no second look
        pairs = pairs.sort().values
        if repeated := int((pairs[1:] == pairs[:-1]).sum()):
            receiver_, source_ = divmod(int(pairs[1:][pairs[1:] == pairs[:-1]][0]), num_nodes)
            raise UserError(
                f"edge_index has {repeated} edge(s) more than once, as from atom {source_} to {receiver_}, whose message "
                "would count twice; build the edges with eqgat.radius_graph, or use torch_geometric.utils.coalesce"
            )
    if batch is not None and bool((batch[source] != batch[receiver]).any()):
        raise UserError("an edge connects atoms of two different graphs of the batch")


def check_lengths(distance: Tensor, cutoff: float) -> None:
    """Check that no edge is longer than the cutoff, but for the rounding of coordinates.

    Args:
        distance: d_ji [E], in Å.
        cutoff: c, in Å.

    Raises:
        UserError: edges of another cutoff, or of other positions.

    >>> check_lengths(torch.tensor([3.1, 5.2]), cutoff=4.5)
    Traceback (most recent call last):
    eqgat.errors.UserError: the longest edge has 5.200 Å, but the cutoff of the model is 4.5 Å; ...
    """
    longest = float(distance.detach().amax()) if len(distance) else 0.0
    if longest > cutoff + 4 * RESOLUTION:  # two atoms, each rounded by up to sqrt(3) x RESOLUTION
        raise UserError(
            f"the longest edge has {longest:.3f} Å, but the cutoff of the model is {cutoff} Å; "
            "build the edges with eqgat.radius_graph from these positions and this cutoff"
        )


def check_graph(data: Data, num_elements: int) -> None:
    """Check that ``data`` is a graph that a model with ``num_elements`` atom types can read.

    Raises:
        UserError: a field that is missing, of another shape or type, or out of range: see the checks above.

    >>> from torch_geometric.data import Data
    >>> check_graph(Data(z=torch.tensor([7]), pos=torch.zeros(1, 3)), num_elements=9)
    Traceback (most recent call last):
    eqgat.errors.UserError: data.edge_index is missing; a graph needs z [N], pos [N, 3] in Å and edge_index [2, E] ...
    """
    if isinstance(data, Mapping) or not callable(getattr(data, "get", None)):
        raise UserError(
            f"a model reads a graph, Data of torch_geometric, or a Batch of them; got {type(data).__name__} "
            "(Molecule.graph makes one, Batch.from_data_list joins a list)"
        )
    for name in ("z", "pos", "edge_index"):
        if data.get(name) is None:
            raise UserError(
                f"data.{name} is missing; a graph needs z [N], pos [N, 3] in Å and edge_index [2, E] "
                "(eqgat.radius_graph builds it)"
            )
    check_positions(data.pos)
    num_nodes, batch = len(data.pos), data.get("batch")
    _check_tensor("z", data.z, (num_nodes,), torch.int64)
    if num_nodes:
        lowest, highest = (int(limit) for limit in data.z.aminmax())
        if lowest < 0 or highest >= num_elements:
            raise UserError(f"z holds element numbers {lowest}..{highest}, but the model knows 0..{num_elements - 1}")
    if batch is not None:
        check_batch(batch, num_nodes, data.get("ptr"))
    check_edges(data.edge_index, num_nodes, batch)
