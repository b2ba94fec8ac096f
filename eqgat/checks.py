"""Checks of what goes into a model: bad input gets an error that says what is wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["check_edges", "check_graph", "check_positions"]


def check_positions(pos: Tensor) -> None:
    """Raise ``ValueError`` unless ``pos`` is a floating [N, 3] tensor of finite numbers."""
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"pos must have shape [N, 3], one row of x, y, z in Å per atom; got {list(pos.shape)}")
    if not pos.is_floating_point():
        raise ValueError(f"pos must be a floating tensor (coordinates in Å); got {pos.dtype}")
    finite = torch.isfinite(pos).all(dim=1)
    if not bool(finite.all()):
        bad = (~finite).nonzero().flatten().tolist()
        raise ValueError(
            f"pos has NaN or infinite coordinates at {len(bad)} atom(s), first at row {bad[0]}; "
            "repair or remove these atoms before building a graph"
        )


def check_edges(edge_index: Tensor, num_nodes: int, batch: Tensor | None = None) -> None:
    """Raise ``ValueError`` unless ``edge_index`` is [2, E], in range, sorted by receiver, within one graph each."""
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"edge_index must have shape [2, E] = (source j, receiver i); got {list(edge_index.shape)}")
    if edge_index.dtype != torch.int64:
        raise ValueError(f"edge_index must be int64; got {edge_index.dtype}")
    if edge_index.shape[1] == 0:
        return
    source, receiver = edge_index
    if int(edge_index.min()) < 0 or int(edge_index.max()) >= num_nodes:
        raise ValueError(
            f"edge_index refers to atoms {int(edge_index.min())}..{int(edge_index.max())}, "
            f"but the graph has the atoms 0..{num_nodes - 1}"
        )
    if not bool((receiver[1:] >= receiver[:-1]).all()):
        raise ValueError(
            "edges must be sorted by receiver, edge_index[1]; build them with eqgat.radius_graph, or sort "
            "with edge_index[:, edge_index[1].argsort(stable=True)]"
        )
    if batch is not None and not bool((batch[source] == batch[receiver]).all()):
        raise ValueError("an edge connects atoms of two different graphs of the batch")


def check_graph(data: Data, num_elements: int) -> None:
    """Raise ``ValueError`` unless ``data`` is a graph that a model with ``num_elements`` atom types can read."""
    for name in ("z", "pos", "edge_index"):
        if data.get(name) is None:
            raise ValueError(
                f"data.{name} is missing; a graph needs z [N], pos [N, 3] in Å and edge_index [2, E] "
                "(eqgat.radius_graph builds it)"
            )
    check_positions(data.pos)
    if data.z.shape != data.pos.shape[:1] or data.z.dtype != torch.int64:
        raise ValueError(
            f"z must be int64 of shape [N] = [{len(data.pos)}], one element number per atom; "
            f"got {data.z.dtype} {list(data.z.shape)}"
        )
    if len(data.z) and not 0 <= int(data.z.min()) <= int(data.z.max()) < num_elements:
        raise ValueError(
            f"z holds element numbers {int(data.z.min())}..{int(data.z.max())}, "
            f"but the model knows 0..{num_elements - 1}"
        )
    check_edges(data.edge_index, len(data.pos), data.get("batch"))
