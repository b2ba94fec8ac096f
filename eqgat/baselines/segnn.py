"""SEGNN (Brandstetter et al. 2022): steerable features up to l = 2, on e3nn's tensor products.

As in the paper's comparison: a learned embedding with as many channels as there are elements, spherical harmonics
l = 0, 1, 2 of the edge direction as attributes, the bare distance (no radial basis, no cutoff function) beside the two
states in a message, messages summed, no normalisation.
"""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from e3nn.nn import Gate
from e3nn.o3 import FullyConnectedTensorProduct, Irreps, spherical_harmonics
from torch import Tensor, nn
from torch.nn.functional import silu
from torch_geometric.data import Data

from eqgat.baselines.common import GraphModel, check_options, neighbour_mean
from eqgat.graph import edge_geometry
from eqgat.layers import sum_over_neighbours

__all__ = ["SEGNN", "balanced_irreps"]

ATTRIBUTES = Irreps("1x0e+1x1o+1x2e")  # of edges and atoms: spherical harmonics l = 0, 1, 2


def balanced_irreps(width: int) -> Irreps:
    """Hidden irreps of about ``width`` numbers, shared out evenly over l = 0, 1, 2: 76 -> 27x0e+8x1o+5x2e.

    Each l gets width/3 numbers, rounded down to whole copies; scalars take what is left over.
    """
    vectors, tensors = width // 3 // 3, width // 3 // 5
    return Irreps(f"{width - 3 * vectors - 5 * tensors}x0e+{vectors}x1o+{tensors}x2e")


class SteerableLinear(nn.Module):
    """Fully connected tensor product of features with attributes, plus a bias on the scalars of the result.

    Weights start as those of a linear layer, uniform in ±1/sqrt(number of products that enter one output), and act
    without e3nn's path normalisation, so that one learning rate suits all models.
    """

    def __init__(self, into: Irreps, out: Irreps) -> None:
        super().__init__()
        self.product = FullyConnectedTensorProduct(into, ATTRIBUTES, out, irrep_normalization="component",
                                                   path_normalization="none")
        scalars = [s for s, (_, irrep) in zip(self.product.irreps_out.slices(), self.product.irreps_out, strict=True)
                   if irrep.l == 0]
        self.scalars = slice(scalars[0].start, scalars[-1].stop) if scalars else slice(0, 0)
        self.bias = nn.Parameter(torch.zeros(self.scalars.stop - self.scalars.start))
        fan_in: dict[int, int] = defaultdict(int)
        for path in self.product.instructions:
            fan_in[path.i_out] += path.path_shape[0] * path.path_shape[1]
        with torch.no_grad():
            for path, weight in zip(self.product.instructions, self.product.weight_views(), strict=True):
                limit = 1 / math.sqrt(fan_in[path.i_out])
                weight.uniform_(-limit, limit)

    def forward(self, x: Tensor, attributes: Tensor) -> Tensor:
        """``x`` [M, dim into], ``attributes`` [M, 9] -> [M, dim out]."""
        y = self.product(x, attributes)
        return torch.cat([y[:, : self.scalars.start], y[:, self.scalars] + self.bias, y[:, self.scalars.stop:]], dim=1)


class GatedSteerableLinear(nn.Module):
    """A ``SteerableLinear``, then SiLU on scalars and a sigmoid gate on each vector and tensor."""

    def __init__(self, into: Irreps, out: Irreps) -> None:
        super().__init__()
        scalars = Irreps([part for part in out if part.ir.l == 0])
        gated = Irreps([part for part in out if part.ir.l > 0])
        gates = Irreps(f"{gated.num_irreps}x0e")
        self.gate = Gate(scalars, [silu], gates, [torch.sigmoid], gated)
        self.linear = SteerableLinear(into, self.gate.irreps_in)

    def forward(self, x: Tensor, attributes: Tensor) -> Tensor:
        """``x`` [M, dim into], ``attributes`` [M, 9] -> [M, dim out]."""
        return self.gate(self.linear(x, attributes))


class Layer(nn.Module):
    """m_ji = two gated products of [x_i || x_j || d_ji]; x_i += two products of [x_i || sum_j m_ji]."""

    def __init__(self, hidden: Irreps) -> None:
        super().__init__()
        self.message = nn.ModuleList([GatedSteerableLinear((2 * hidden + Irreps("1x0e")), hidden),
                                      GatedSteerableLinear(hidden, hidden)])
        self.update_in = GatedSteerableLinear(2 * hidden, hidden)
        self.update_out = SteerableLinear(hidden, hidden)

    def forward(self, x: Tensor, source: Tensor, receiver: Tensor, distance: Tensor,
                edge: Tensor, node: Tensor) -> Tensor:
        """``x`` [N, dim hidden], ``distance`` [E, 1], attributes ``edge`` [E, 9] and ``node`` [N, 9]."""
        message = torch.cat([x.index_select(0, receiver), x.index_select(0, source), distance], dim=1)
        for product in self.message:
            message = product(message, edge)
        total = sum_over_neighbours(message, receiver, len(x))
        return x + self.update_out(self.update_in(torch.cat([x, total], dim=1), node), node)


class SEGNN(GraphModel):
    """SEGNN: O(3)- and translation-invariant predictions, features of l = 0, 1, 2 inside.

    Args:
        num_elements, out_channels: size of the vocabulary, number of targets.
        width: numbers an atom has, shared over l = 0, 1, 2 by ``balanced_irreps``. The paper's comparison takes
            F_s + 3 F_v + 5 F_v / 2 of its EQGAT: 188 for (100, 16), 76 for (32, 8).
        num_layers: L.
        cutoff: c in Å; must be the cutoff that the edges were built with. Only checked: nothing depends on it.
        readout: "graph" (mean over the atoms) or "node".

    Raises:
        ValueError: an unknown choice or a size that is not positive.
    """

    def __init__(self, num_elements: int, out_channels: int, width: int = 188, num_layers: int = 3,
                 cutoff: float = 4.5, readout: str = "graph") -> None:
        super().__init__(num_elements, readout)
        check_options({"readout": (readout, ("graph", "node"))}, num_elements=num_elements, out_channels=out_channels,
                      width=width, num_layers=num_layers, cutoff=cutoff)
        self.hidden = balanced_irreps(width)
        self.embedding = nn.Embedding(num_elements, num_elements)
        self.node_in = SteerableLinear(Irreps(f"{num_elements}x0e"), self.hidden)
        self.layers = nn.ModuleList(Layer(self.hidden) for _ in range(num_layers))
        pooled = out_channels * self.hidden.num_irreps if readout == "graph" else out_channels
        self.node_hidden = GatedSteerableLinear(self.hidden, self.hidden)
        self.node_out = SteerableLinear(self.hidden, Irreps(f"{pooled}x0e"))
        # Pooled features are scalars, on which a tensor product is a plain linear layer.
        self.head = nn.Sequential(nn.Linear(pooled, pooled), nn.SiLU(), nn.Linear(pooled, out_channels)) \
            if readout == "graph" else nn.Identity()

    def _embed(self, data: Data, batch: Tensor, num_graphs: int) -> Tensor:
        source, receiver = data.edge_index
        distance, direction = edge_geometry(data.pos, data.edge_index)
        x = self.embedding(data.z)
        edge = spherical_harmonics(ATTRIBUTES, direction, normalize=True, normalization="component").to(x.dtype)
        node = neighbour_mean(edge, receiver, len(x))
        node = torch.cat([torch.ones_like(node[:, :1]), node[:, 1:]], dim=1)  # l = 0 is 1, also for an isolated atom
        x = self.node_in(x, node)
        for layer in self.layers:
            x = layer(x, source, receiver, distance.to(x.dtype).unsqueeze(1), edge, node)
        return self.node_out(self.node_hidden(x, node), node)
