"""EQGAT: embedding, L layers, readout, head (Sections 3 and 4; variants of Appendix C)."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from eqgat.checks import check_graph
from eqgat.fast import Chunks, fast_layer, in_pieces, is_plain
from eqgat.graph import edge_geometry
from eqgat.layers import Edges, EQGATLayer, EquivariantNorm, InvariantReadout, LayerTrace, mean_over_graph
from eqgat.radial import BesselBasis

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["EQGAT", "EQGATConfig", "graph_numbers"]

_FORMAT = 1  # of saved models; raised when a change makes older files unreadable


@dataclass(frozen=True)
class EQGATConfig:
    """The options of ``EQGAT``. The defaults are the paper's for the larger ATOM3D tasks (Section 4, Table 2).

    Attributes:
        num_elements: size of the vocabulary of atom types; 9 for proteins, 2 for the Triangle data.
        out_channels: number of targets.
        scalar_channels, vector_channels: F_s and F_v.
        num_layers: L.
        num_radial: K, the number of Bessel functions.
        cutoff: c in Å; must be the cutoff that the edges were built with.
        attention: "feature": one attention weight per scalar channel (paper); "scalar": one per edge
            (ablation No-Feature-Attention).
        cross_product: "raw": v_i x v_j (Eq. 5); "mixed": v_i x (v_j W_v), as in the released code; None: ablation
            No-Cross-Product, which makes the model equivariant under reflections too.
        vector_aggregation: "mean" (Eq. 6) or "sum" (released code on the Triangle data).
        norm: None (paper) or "equivariant": before each layer and after the last.
        readout: "graph": one prediction a graph, from the mean over its atoms; "node": one per atom.

    Raises:
        ValueError: an unknown choice, a size below 1, a cutoff that is not positive.
    """

    num_elements: int
    out_channels: int
    scalar_channels: int = 100
    vector_channels: int = 16
    num_layers: int = 5
    num_radial: int = 32
    cutoff: float = 4.5
    attention: str = "feature"
    cross_product: str | None = "raw"
    vector_aggregation: str = "mean"
    norm: str | None = None
    readout: str = "graph"

    def __post_init__(self) -> None:
        choices: dict[str, tuple[str | None, ...]] = {
            "attention": ("feature", "scalar"),
            "cross_product": ("raw", "mixed", None),
            "vector_aggregation": ("mean", "sum"),
            "norm": (None, "equivariant"),
            "readout": ("graph", "node"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")
        for name in ("num_elements", "out_channels", "scalar_channels", "vector_channels", "num_layers", "num_radial"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not self.cutoff > 0:
            raise ValueError(f"cutoff must be a positive length in Å; got {self.cutoff}")


class EQGAT(nn.Module):
    """Equivariant graph attention network (Le, Noé, Clevert, 2022).

    Predictions do not change when the molecule is rotated or translated; the vectors inside rotate with it. With
    the cross product the model tells mirror images apart; without, it does not.

    The options are the fields of ``EQGATConfig``, given by name: ``EQGAT(num_elements=9, out_channels=1)``.
    Every model of this package has the same call: ``model(data)`` with a PyG ``Data`` or ``Batch`` that holds
    ``z`` [N] (int64, element numbers), ``pos`` [N, 3] (Å), ``edge_index`` [2, E] (sorted by receiver) and,
    for several graphs, ``batch`` [N].
    """

    def __init__(self, *, fast: bool = True, **options: Any) -> None:
        super().__init__()
        self.fast = fast
        self.config = c = EQGATConfig(**options)
        self.embedding = nn.Embedding(c.num_elements, c.scalar_channels)
        self.basis = BesselBasis(c.num_radial, c.cutoff)
        self.layers = nn.ModuleList(
            EQGATLayer(
                c.scalar_channels,
                c.vector_channels,
                c.num_radial,
                first=number == 0,
                attention=c.attention,
                cross_product=c.cross_product,
                vector_aggregation=c.vector_aggregation,
            )
            for number in range(c.num_layers)
        )
        self.norms = nn.ModuleList(EquivariantNorm(c.scalar_channels) for _ in range(c.num_layers + 1 if c.norm else 0))
        self.readout = InvariantReadout(c.scalar_channels, c.vector_channels)
        self.head = nn.Sequential(
            nn.Linear(c.scalar_channels, c.scalar_channels), nn.SiLU(), nn.Linear(c.scalar_channels, c.out_channels)
        )
        for module in self.modules():  # weights: PyTorch's default, uniform in ±1/sqrt(fan-in)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, data: Data) -> Tensor:
        """Predictions [number of graphs, out_channels], or [N, out_channels] with ``readout="node"``.

        Raises:
            ValueError: missing fields, wrong shapes, NaN coordinates, unsorted or out-of-range edges, unknown elements.
        """
        x = self.node_embedding(data)
        if self.config.readout == "graph":
            x = mean_over_graph(x, *graph_numbers(data))
        return self.head(x)

    def node_embedding(self, data: Data) -> Tensor:
        """One invariant vector an atom, [N, F_s]: scalars and lengths of vectors combined, before pooling and head."""
        return self.readout(*self.encode(data))

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
        s = self.embedding(data.z)
        v = s.new_zeros(len(s), 3, self.config.vector_channels)

        def geometry(edge_index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            # Taken in the precision of the coordinates, then cast to that of the weights.
            distance, direction = edge_geometry(data.pos, edge_index)
            return distance, direction.to(s.dtype), self.basis(distance).to(s.dtype)

        source, receiver = data.edge_index
        num_neighbours = torch.bincount(receiver, minlength=len(s)).to(s.dtype)
        edges = Edges(source, receiver, *in_pieces(geometry, data.edge_index), num_neighbours)
        chunks = Chunks(edges, s.shape[1]) if self.fast and records is None and all(map(is_plain, self.layers)) else None
        for number, layer in enumerate(self.layers):
            if self.norms:
                s, v = self.norms[number](s, v, batch, num_graphs)
            if chunks is not None:
                s, v = fast_layer(layer, s, v, chunks)
                continue
            record = layer(s, v, edges)
            s, v = record.s, record.v
            if records is not None:
                records.append(record)
        return self.norms[-1](s, v, batch, num_graphs) if self.norms else (s, v)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write ``config.json`` and ``weights.pt`` into ``folder``; each file appears whole or not at all."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"format": _FORMAT, "model": "EQGAT", **asdict(self.config)}
        partial = folder / "partial.tmp"
        torch.save(self.state_dict(), partial)
        partial.replace(folder / "weights.pt")
        partial.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / "config.json")

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> EQGAT:
        """A model saved by ``save_pretrained``, on the CPU. Nothing is unpickled but plain tensors.

        Raises:
            FileNotFoundError: the folder or one of its two files is missing.
            ValueError: files of another model or an unknown format, or weights that do not fit the configuration.
        """
        folder = Path(folder)
        for name in ("config.json", "weights.pt"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"no {name} in {folder}; give the folder that save_pretrained wrote")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.pop("model", None) != "EQGAT" or config.pop("format", None) != _FORMAT:
            raise ValueError(
                f"{folder} does not hold an EQGAT model of format {_FORMAT}; "
                "save it again with save_pretrained of this version"
            )
        try:
            model = cls(**config)
            model.load_state_dict(torch.load(folder / "weights.pt", map_location="cpu", weights_only=True))
        except Exception as error:
            raise ValueError(
                f"the weights or the configuration in {folder} are damaged, or of another version: {error}"
            ) from error
        return model


def graph_numbers(data: Data) -> tuple[Tensor, int]:
    """The graph number of each atom [N] and the number of graphs (empty ones count)."""
    batch = data.get("batch")
    if batch is None:
        return torch.zeros(len(data.pos), dtype=torch.int64, device=data.pos.device), 1
    num_graphs = data.get("ptr")
    return batch, len(num_graphs) - 1 if num_graphs is not None else int(batch.max()) + 1 if len(batch) else 0
