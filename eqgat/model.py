"""EQGAT: embedding, L layers, readout, head (Sections 3 and 4; variants of Appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from eqgat.checks import check_graph, check_lengths
from eqgat.config import Aggregation, Attention, CrossProduct, EQGATConfig, Norm, Readout, one_config
from eqgat.fast import in_chunks, in_pieces
from eqgat.graph import edge_geometry
from eqgat.layers import Edges, EQGATLayer, EquivariantNorm, InvariantReadout, LayerTrace, mean_over_graph
from eqgat.radial import BesselBasis
from eqgat.saving import SavedModel

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["EQGAT", "EQGATConfig", "graph_numbers"]


class EQGAT(SavedModel):
    """Equivariant graph attention network (Le, Noé, Clevert, 2022).

    Predictions do not change when the molecule is rotated or translated; the vectors inside rotate with it. With
    the cross product the model tells mirror images apart; without, it does not.

    The options are those of ``EQGATConfig``, given by name or as one ``EQGATConfig``. Every model of this package
    has the same call: ``model(data)`` with a PyG ``Data`` or ``Batch`` that holds ``z`` [N] (int64, element numbers),
    ``pos`` [N, 3] (Å), ``edge_index`` [2, E] (sorted by receiver) and, for several graphs, ``batch`` [N].
    The layers run through ``eqgat.fast``, the same function in less time and memory; with ``fast=False``, or
    ``model.fast = False`` later, as they stand in ``eqgat.layers``.

    >>> from eqgat.datasets import embedded_structure
    >>> model = EQGAT(num_elements=9, out_channels=1)
    >>> model(embedded_structure("5pti").graph(cutoff=4.5)).shape
    torch.Size([1, 1])
    """

    @one_config
    def __init__(
        self,
        config: EQGATConfig | None = None,
        *,
        num_elements: int = 0,
        out_channels: int = 0,
        scalar_channels: int = EQGATConfig.scalar_channels,
        vector_channels: int = EQGATConfig.vector_channels,
        num_layers: int = EQGATConfig.num_layers,
        num_radial: int = EQGATConfig.num_radial,
        cutoff: float = EQGATConfig.cutoff,
        attention: Attention = EQGATConfig.attention,
        cross_product: CrossProduct = EQGATConfig.cross_product,
        vector_aggregation: Aggregation = EQGATConfig.vector_aggregation,
        norm: Norm = EQGATConfig.norm,
        readout: Readout = EQGATConfig.readout,
        fast: bool = True,
    ) -> None:
        super().__init__()
        self.fast = fast
        sizes = (num_elements, out_channels, scalar_channels, vector_channels, num_layers, num_radial, cutoff)
        self.config = c = config or EQGATConfig(*sizes, attention, cross_product, vector_aggregation, norm, readout)
        self.embedding = nn.Embedding(c.num_elements, c.scalar_channels)
        self.basis = BesselBasis(c.num_radial, c.cutoff)
        layers = nn.ModuleList(EQGATLayer(c, first=number == 0) for number in range(c.num_layers))
        self.layers = cast("Sequence[EQGATLayer]", layers)
        self.norms = nn.ModuleList(EquivariantNorm(c.scalar_channels) for _ in range(c.num_layers + 1 if c.norm else 0))
        self.readout = InvariantReadout(c.scalar_channels, c.vector_channels)
        self.head = nn.Sequential(
            nn.Linear(c.scalar_channels, c.scalar_channels), nn.SiLU(), nn.Linear(c.scalar_channels, c.out_channels)
        )
        for module in self.modules():  # weights: PyTorch's default, uniform in ±1/sqrt(fan-in)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    @property
    def hops(self) -> int | None:
        """How many edges away an answer at an atom depends on others; None: on the whole graph, through the norm."""
        return None if self.norms else len(self.layers)

    def forward(self, data: Data) -> Tensor:
        """Predictions [number of graphs, out_channels], or [N, out_channels] with ``readout="node"``.

        Raises:
            UserError: what ``check_graph`` and ``check_lengths`` refuse: missing fields, wrong shapes, NaN, bad edges.
        """
        x = self.node_embedding(data)
        if self.config.readout == "graph":
            x = mean_over_graph(x, *graph_numbers(data))
        return cast("Tensor", self.head(x))

    def node_embedding(self, data: Data) -> Tensor:
        """One invariant vector an atom, [N, F_s]: scalars and lengths of vectors combined, before pooling and head."""
        x: Tensor = self.readout(*self.encode(data))
        return x

    def encode(self, data: Data) -> tuple[Tensor, Tensor]:
        """States after the last layer: ``s`` [N, F_s], invariant, and ``v`` [N, 3, F_v], rotating with the molecule."""
        return self._run(data)

    @torch.no_grad()
    def trace(self, data: Data) -> list[LayerTrace]:
        """What each layer did, recorded by the forward pass itself; one ``LayerTrace`` a layer, without gradients."""
        records: list[LayerTrace] = []
        self._run(data, records)
        return records

    def _run(self, data: Data, records: list[LayerTrace] | None = None) -> tuple[Tensor, Tensor]:
        check_graph(data, self.config.num_elements)
        batch, num_graphs = graph_numbers(data)
        source, receiver = data.edge_index
        s = self.embedding(data.z)
        v = s.new_zeros(len(s), 3, self.config.vector_channels)

        def geometry(edge_index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            # Taken in the precision of the coordinates, then cast to that of the weights.
            distance, direction = edge_geometry(data.pos, edge_index)
            return distance, direction.to(s.dtype), self.basis(distance).to(s.dtype)

        distance, direction, radial = in_pieces(geometry, data.edge_index)
        check_lengths(distance, self.config.cutoff)
        num_neighbours = torch.bincount(receiver, minlength=len(s)).to(s.dtype)
        edges = Edges(source, receiver, distance, direction, radial, num_neighbours)
        chunks = in_chunks(self.layers, edges) if self.fast and records is None else None
        for number, layer in enumerate(self.layers):
            if self.norms:
                s, v = self.norms[number](s, v, batch, num_graphs)
            if chunks is not None:
                s, v = chunks.run(number, s, v)
                continue
            record = layer(s, v, edges)
            s, v = record.s, record.v
            if records is not None:
                records.append(record)
        return self.norms[-1](s, v, batch, num_graphs) if self.norms else (s, v)


def graph_numbers(data: Data) -> tuple[Tensor, int]:
    """The graph number of each atom [N] and the number of graphs (empty ones count).

    >>> from torch_geometric.data import Data
    >>> graph_numbers(Data(pos=torch.zeros(3, 3), batch=torch.tensor([0, 0, 1])))
    (tensor([0, 0, 1]), 2)
    """
    batch, ptr = data.get("batch"), data.get("ptr")
    if batch is None:
        return torch.zeros(len(data.pos), dtype=torch.int64, device=data.pos.device), 1
    return batch, len(ptr) - 1 if ptr is not None else int(batch.max()) + 1 if len(batch) else 0
