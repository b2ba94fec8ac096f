"""What the baselines share: the call ``model(data)``, the Gaussian basis and the cosine cutoff."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from eqgat.checks import check_graph, check_lengths
from eqgat.config import Norm, Readout
from eqgat.errors import UserError
from eqgat.graph import edge_geometry
from eqgat.layers import EquivariantNorm, mean_over_graph
from eqgat.layers import mean_over_graph as neighbour_mean
from eqgat.model import graph_numbers

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["GaussianBasis", "GraphModel", "atom3d_settings", "cosine_cutoff", "make_norms", "neighbour_mean"]


def cosine_cutoff(distance: Tensor, cutoff: float) -> Tensor:
    """(cos(π d / c) + 1) / 2 for d < c and 0 beyond: [...] in Å -> [...], 1 at d = 0, smooth to 0 at d = c.

    >>> cosine_cutoff(torch.tensor([0.0, 2.0, 4.0]), cutoff=4.0)
    tensor([1.0000, 0.5000, 0.0000])
    """
    return torch.where(distance < cutoff, 0.5 * (torch.cos(math.pi * distance / cutoff) + 1), 0.0)


class GaussianBasis(nn.Module):
    """K Gaussians with centres equally spaced on [0, c], as wide as the spacing: [E] in Å -> [E, K].

    Raises:
        UserError: fewer than two Gaussians (one has no spacing).

    >>> GaussianBasis(num_radial=3, cutoff=4.0)(torch.tensor([2.0]))
    tensor([[0.6065, 1.0000, 0.6065]])
    """

    def __init__(self, num_radial: int, cutoff: float) -> None:
        super().__init__()
        if num_radial < 2:
            raise UserError(f"a Gaussian basis needs num_radial >= 2; got {num_radial}")
        self.num_radial, self.cutoff = num_radial, float(cutoff)

    def forward(self, distance: Tensor) -> Tensor:
        """``distance`` [E] -> exp(-(d - μ_k)² / (2 σ²)) [E, K]."""
        centre = torch.linspace(0, self.cutoff, self.num_radial, dtype=distance.dtype, device=distance.device)
        width = self.cutoff / (self.num_radial - 1)
        return torch.exp(-0.5 * ((distance.unsqueeze(-1) - centre) / width).square())


def make_norms(norm: Norm, scalar_channels: int, num_layers: int) -> nn.ModuleList:
    """One ``EquivariantNorm`` before each layer and one after the last, as in EQGAT; empty with ``norm=None``.

    >>> len(make_norms("equivariant", scalar_channels=4, num_layers=2)), len(make_norms(None, 4, 2))
    (3, 0)
    """
    return nn.ModuleList(EquivariantNorm(scalar_channels) for _ in range(0 if norm is None else num_layers + 1))


class GraphModel(nn.Module):
    """A model with EQGAT's call. A subclass sets ``head``, may set ``norms``, and writes ``_embed``.

    Args:
        num_elements: size of the vocabulary.
        readout: "graph" (mean over the atoms) or "node".
        num_layers: how many edges away an answer at an atom depends on others.
        cutoff: c of the graphs, in Å.

    >>> GraphModel(num_elements=9, readout="graph", num_layers=2, cutoff=4.5).hops
    2
    """

    head: nn.Module

    def __init__(self, num_elements: int, readout: Readout, num_layers: int, cutoff: float) -> None:
        super().__init__()
        self.num_elements, self.readout_kind, self.num_layers, self.cutoff = num_elements, readout, num_layers, cutoff
        self.norms = nn.ModuleList()

    @property
    def hops(self) -> int | None:
        """How many edges away an answer at an atom depends on others; None: on the whole graph, through a norm."""
        return None if self.norms else self.num_layers

    def forward(self, data: Data) -> Tensor:
        """Predictions [number of graphs, out_channels], or [N, out_channels] with ``readout="node"``.

        Raises:
            UserError: missing fields, wrong shapes, NaN coordinates, unsorted, repeated or out-of-range edges, or of
                another cutoff, unknown elements.
        """
        x = self.node_embedding(data)
        if self.readout_kind == "graph":
            x = mean_over_graph(x, *graph_numbers(data))
        return self.head(x)

    def node_embedding(self, data: Data) -> Tensor:
        """One invariant vector an atom, [N, C], before pooling and head."""
        check_graph(data, self.num_elements)
        return self._embed(data, *graph_numbers(data))

    def _embed(self, data: Data, batch: Tensor, num_graphs: int) -> Tensor:
        raise NotImplementedError

    def _geometry(self, data: Data) -> tuple[Tensor, Tensor]:
        """Distances [E] in Å and unit vectors [E, 3] of the edges, which the model's cutoff must allow."""
        distance, direction = edge_geometry(data.pos, data.edge_index)
        check_lengths(distance, self.cutoff)
        return distance, direction

    def _zero_biases(self) -> None:
        """Weights keep PyTorch's default, uniform in ±1/sqrt(fan-in); biases start at zero, as in EQGAT."""
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


def atom3d_settings(
    epochs: int, learning_rate: float, batch_size: int, model: dict[str, Any], **data: Any
) -> dict[str, Any]:
    """Settings of a task for a model whose training is ATOM3D's and not the paper's.

    >>> atom3d_settings(5, 1e-4, 16, {}, hydrogens=True)["data_options"]
    {'hydrogens': True}
    """
    training = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size}
    return {**training, "model_options": model, "data_options": data}
