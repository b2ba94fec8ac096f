"""SEGNN (Brandstetter et al. 2022): steerable features up to l = 2, on e3nn's irreps, harmonics and Wigner 3j symbols.

As in the paper's comparison: a learned embedding with as many channels as there are elements, spherical harmonics
l = 0, 1, 2 of the edge direction as attributes, the bare distance (no radial basis, no cutoff function) beside the two
states in a message, messages summed, no normalisation.

The tensor products are e3nn's fully connected ones, computed in another order. Attributes have one channel, so that a
product with them is one small matrix an atom, the same for all channels and layers (``steering``), after a plain
linear map of the channels (``SteerableLinear``). An edge's attributes are the harmonics of one direction: with the
states turned until the polar axis lies along the edge, only m = 0 of them is left, and the products become one matrix
for each |m|, the same for all edges (Passaro and Zitnick 2023). Both products of a message stay in that frame.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from e3nn.nn import Gate
from e3nn.o3 import Irreps, spherical_harmonics, wigner_3j
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot, silu

from eqgat.baselines.common import GraphModel, neighbour_mean
from eqgat.baselines.spec import ModelSpec
from eqgat.checks import check_options
from eqgat.config import Readout
from eqgat.errors import UserError
from eqgat.layers import sum_over_neighbours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch_geometric.data import Data

__all__ = ["PATHS", "SEGNN", "SPEC", "EdgeFrames", "SteerableLinear", "balanced_irreps", "steering"]

ATTRIBUTES = Irreps("1x0e+1x1o+1x2e")  # of edges and atoms: spherical harmonics l = 0, 1, 2
DEGREES = (0, 1, 2)
Path = tuple[int, int, int]
# (l of the features, of the attributes, of the result): the products that exist, and keep the parity (-1)^l.
PATHS = [(a, b, c) for c, a, b in product(DEGREES, repeat=3) if abs(a - b) <= c <= a + b and (a + b + c) % 2 == 0]


def balanced_irreps(width: int) -> Irreps:
    """Hidden irreps of about ``width`` numbers, shared out evenly over l = 0, 1, 2: 76 -> 27x0e+8x1o+5x2e.

    Each l gets width/3 numbers, rounded down to whole copies; scalars take what is left over.

    Raises:
        UserError: fewer than nine numbers.

    >>> balanced_irreps(76)
    27x0e+8x1o+5x2e
    """
    if width < 9:
        raise UserError(f"width={width} leaves no vectors: a steerable state needs 9 numbers or more")
    vectors, tensors = width // 3 // 3, width // 3 // 5
    return Irreps(f"{width - 3 * vectors - 5 * tensors}x0e+{vectors}x1o+{tensors}x2e")


def steering(attributes: Tensor) -> dict[Path, Tensor]:
    """Attributes [M, 9] -> for each path (l_1, l_2, l_3) the matrix [M, 2 l_3 + 1, 2 l_1 + 1] that multiplies features.

    Its entries are sums over the attributes of degree l_2 with the Wigner 3j symbols, times sqrt(2 l_3 + 1): e3nn's
    "component" normalisation.

    >>> {path: tuple(matrix.shape) for path, matrix in steering(torch.ones(5, 9)).items()}[1, 1, 0]
    (5, 1, 3)
    """
    parts = attributes.split([2 * l + 1 for l in DEGREES], dim=1)
    return {
        (a, b, c): (parts[b] @ _symbols((a, b, c), attributes.dtype, attributes.device)).view(-1, 2 * c + 1, 2 * a + 1)
        for a, b, c in PATHS
    }


@cache
def _symbols(path: Path, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Wigner 3j symbols [2 l_2 + 1, (2 l_3 + 1)(2 l_1 + 1)], exact in every ``dtype``, as a buffer would not be."""
    symbols = math.sqrt(2 * path[2] + 1) * wigner_3j(*path, dtype=torch.float64)
    return symbols.permute(1, 2, 0).flatten(1).to(device, dtype)


class SteerableLinear(nn.Module):
    """Fully connected tensor product of features with attributes, plus a bias on the scalars of the result.

    Weights start as those of a linear layer, uniform in ±1/sqrt(number of products that enter one output), and act
    without e3nn's path normalisation, so that one learning rate suits all models.

    >>> layer = SteerableLinear(balanced_irreps(76), balanced_irreps(36))
    >>> layer(torch.ones(5, 76), steering(torch.ones(5, 9))).shape
    torch.Size([5, 36])
    """

    def __init__(self, into: Irreps, out: Irreps) -> None:
        super().__init__()
        self.into, self.out, before, after = into, out, _channels(into), _channels(out)
        self.paths = [(a, b, c) for a, b, c in PATHS if before[a] and after[c]]
        fan_in = [sum(before[a] for a, _, c in self.paths if c == l) for l in DEGREES]
        self.weights = nn.ParameterList()
        for a, _, c in self.paths:
            limit = 1 / math.sqrt(fan_in[c])
            self.weights.append(torch.empty(before[a], after[c]).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.zeros(after[0]))

    def forward(self, x: Tensor, matrices: dict[Path, Tensor]) -> Tensor:
        """``x`` [M, dim into], matrices of ``steering`` -> [M, dim out], irreps in the order l = 0, 1, 2."""
        features, results = self._by_degree(x), []
        for l in sorted({c for _, _, c in self.paths}):
            own = [(path, weight) for path, weight in zip(self.paths, self.weights, strict=True) if path[2] == l]
            if l == 0:  # first the one number a channel, then the channels: the other order would make more numbers
                products = [torch.bmm(matrices[path], features[path[0]]).squeeze(1) for path, _ in own]
                results.append(torch.cat(products, dim=1) @ torch.cat([weight for _, weight in own]) + self.bias)
            else:
                mixed = torch.cat([features[path[0]] @ weight for path, weight in own], dim=1)
                matrix = torch.cat([matrices[path] for path, _ in own], dim=2)
                results.append(torch.bmm(matrix, mixed).transpose(1, 2).flatten(1))
        return torch.cat(results, dim=1)

    def along_the_axis(self, x: list[Tensor]) -> list[Tensor]:
        """The product with the harmonics of the polar axis; ``x`` and result as ``EdgeFrames.enter`` gives them."""
        before, after = _channels(self.into), _channels(self.out)
        weights = []
        for m in DEGREES:
            blocks = [[self.bias.new_zeros(before[a], after[c]) for c in DEGREES[m:]] for a in DEGREES[m:]]
            for (a, b, c), weight in zip(self.paths, self.weights, strict=True):
                if m <= min(a, c):
                    blocks[a - m][c - m] = blocks[a - m][c - m] + _along_the_axis((a, b, c))[m] * weight
            weights.append(torch.cat([torch.cat(row, dim=1) for row in blocks]))
        bias = nn.functional.pad(self.bias, (0, after[1] + after[2]))
        return [values @ weights[abs(m)] if m else values @ weights[0] + bias for m, values in enumerate(x, start=-2)]

    def _by_degree(self, x: Tensor) -> list[Tensor]:
        """[M, dim into] -> for each l all its channels, [M, 2 l + 1, channels]."""
        parts: list[list[Tensor]] = [[x.new_zeros(len(x), 2 * l + 1, 0)] for l in DEGREES]
        # One split, not a slice a part: the backward pass of a slice fills a tensor as large as x.
        for part, (channels, irrep) in zip(x.split([where.dim for where in self.into], dim=1), self.into, strict=True):
            parts[irrep.l].append(part.view(len(x), channels, irrep.dim).transpose(1, 2))
        return [torch.cat(part, dim=2) for part in parts]


@cache
def _along_the_axis(path: Path) -> list[float]:
    """Entries m = 0, 1, 2 of the diagonal of ``steering`` for an edge along e3nn's polar axis, y; there are no others."""
    axis = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    harmonics = spherical_harmonics(ATTRIBUTES, axis, normalize=True, normalization="component")
    matrix = steering(harmonics.unsqueeze(0))[path].squeeze(0)
    return [float(matrix[path[2] + m, path[0] + m]) for m in range(min(path[0], path[2]) + 1)]


class EdgeFrames(NamedTuple):
    """For each edge the rotations of l = 1 and l = 2, [E, 3, 3] and [E, 5, 5], that lay it along the polar axis.

    >>> frames = EdgeFrames.of(torch.tensor([[0.0, 0.0, 1.0]]))
    >>> (frames.vectors @ torch.tensor([0.0, 0.0, 1.0])).tolist()  # e3nn's polar axis is y
    [[0.0, 1.0, 0.0]]
    """

    vectors: Tensor
    tensors: Tensor

    @classmethod
    def of(cls, direction: Tensor) -> EdgeFrames:
        """``direction`` [E, 3], unit vectors. Which of the rotations about the edge is taken does not matter.

        An edge without a direction (zeros: two atoms in one place) gets zeros, which let scalars through alone.

        >>> EdgeFrames.of(torch.tensor([[0.6, 0.0, 0.8]])).tensors.shape
        torch.Size([1, 5, 5])
        """
        helper = one_hot(direction.abs().argmin(dim=1), 3).to(direction.dtype)
        first = normalize(torch.linalg.cross(direction, helper), dim=1)
        vectors = torch.stack([first, direction, torch.linalg.cross(first, direction)], dim=1)
        coupling = math.sqrt(5) * wigner_3j(1, 1, 2, dtype=torch.float64).to(direction)
        tensors = torch.einsum("ijk,eia,ejb,abc->ekc", coupling, vectors, vectors, coupling)
        return cls(vectors, tensors)

    def enter(self, scalars: Tensor, vectors: Tensor, tensors: Tensor) -> list[Tensor]:
        """[E, n_0], [E, n_1, 3], [E, n_2, 5] -> for m = -2 ... 2 the components of all l >= |m| in the edges' frames.

        >>> frames = EdgeFrames.of(torch.tensor([[0.0, 0.0, 1.0]]))
        >>> [tuple(part.shape) for part in frames.enter(torch.ones(1, 4), torch.ones(1, 2, 3), torch.ones(1, 1, 5))]
        [(1, 1), (1, 3), (1, 7), (1, 3), (1, 1)]
        """
        v = torch.bmm(vectors, self.vectors.transpose(1, 2)).unbind(2)
        t = torch.bmm(tensors, self.tensors.transpose(1, 2)).unbind(2)
        groups = [[t[0]], [v[0], t[1]], [scalars, v[1], t[2]], [v[2], t[3]], [t[4]]]
        return [torch.cat(group, dim=1) for group in groups]

    def leave(self, x: list[Tensor], irreps: Irreps) -> Tensor:
        """The inverse of ``enter``, as [E, dim irreps].

        >>> states = [torch.ones(1, channels) for channels in (1, 3, 7, 3, 1)]
        >>> EdgeFrames.of(torch.tensor([[0.0, 0.0, 1.0]])).leave(states, Irreps("4x0e+2x1o+1x2e")).shape
        torch.Size([1, 15])
        """
        counts = _channels(irreps)
        scalars, v_0, t_0 = x[2].split(counts, dim=1)
        (v_before, t_before), (v_after, t_after) = (part.split(counts[1:], dim=1) for part in (x[1], x[3]))
        vectors = torch.bmm(torch.stack([v_before, v_0, v_after], dim=2), self.vectors)
        tensors = torch.bmm(torch.stack([x[0], t_before, t_0, t_after, x[4]], dim=2), self.tensors)
        return torch.cat([scalars, vectors.flatten(1), tensors.flatten(1)], dim=1)


def _channels(irreps: Irreps) -> list[int]:
    """Number of channels of l = 0, 1, 2."""
    return [sum(channels for channels, irrep in irreps if irrep.l == l) for l in DEGREES]


class GatedSteerableLinear(nn.Module):
    """A ``SteerableLinear``, then SiLU on scalars and a sigmoid gate on each vector and tensor."""

    def __init__(self, into: Irreps, out: Irreps) -> None:
        super().__init__()
        scalars = Irreps([part for part in out if part.ir.l == 0])
        gated = Irreps([part for part in out if part.ir.l > 0])
        gates = Irreps(f"{gated.num_irreps}x0e")
        self.gate = Gate(scalars, [silu], gates, [torch.sigmoid], gated)
        self.linear = SteerableLinear(into, self.gate.irreps_in)

    def forward(self, x: Tensor, matrices: dict[Path, Tensor]) -> Tensor:
        """``x`` [M, dim into], matrices of ``steering`` -> [M, dim out]."""
        return self.gate(self.linear(x, matrices))

    def along_the_axis(self, x: list[Tensor]) -> list[Tensor]:
        """The same with the harmonics of the polar axis; ``x`` and result as ``EdgeFrames.enter`` gives them."""
        x = self.linear.along_the_axis(x)
        scalars, vectors, tensors = _channels(self.gate.irreps_out)
        counts = [scalars, vectors + tensors, vectors + tensors]
        kept, gates, x[2] = x[2].split(counts, dim=1)
        gates = self.gate.act_gates(gates)
        gated = [values * gates[:, -values.shape[1] :] for values in x]  # vectors come before tensors
        gated[2] = torch.cat([self.gate.act_scalars(kept), gated[2]], dim=1)
        return gated


class Layer(nn.Module):
    """m_ji = two gated products of [x_i || x_j || d_ji]; x_i += two products of [x_i || sum_j m_ji]."""

    def __init__(self, hidden: Irreps) -> None:
        super().__init__()
        self.hidden = hidden
        self.message = nn.ModuleList(
            [GatedSteerableLinear((2 * hidden + Irreps("1x0e")), hidden), GatedSteerableLinear(hidden, hidden)]
        )
        self.update_in = GatedSteerableLinear(2 * hidden, hidden)
        self.update_out = SteerableLinear(hidden, hidden)

    def forward(
        self,
        x: Tensor,
        source: Tensor,
        receiver: Tensor,
        distance: Tensor,
        frames: EdgeFrames,
        node: dict[Path, Tensor],
    ) -> Tensor:
        """``x`` [N, dim hidden], ``distance`` [E, 1], frames of the edges, matrices of ``steering`` for the atoms."""
        ends = torch.stack([receiver, source], dim=1).flatten()
        parts = [part.index_select(0, ends) for part in x.split([where.dim for where in self.hidden], dim=1)]
        scalars, vectors, tensors = (
            part.view(len(distance), part.shape[1] * 2 // (2 * l + 1), 2 * l + 1) for l, part in enumerate(parts)
        )
        message = frames.enter(torch.cat([scalars.squeeze(2), distance], dim=1), vectors, tensors)
        for linear in cast("Iterable[GatedSteerableLinear]", self.message):
            message = linear.along_the_axis(message)
        total = sum_over_neighbours(frames.leave(message, self.hidden), receiver, len(x))
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
        UserError: an unknown choice or a size that is not positive.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> SEGNN(num_elements=9, out_channels=1, width=36, num_layers=1).eval()(graph).shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        num_elements: int,
        out_channels: int,
        width: int = 188,
        num_layers: int = 3,
        cutoff: float = 4.5,
        readout: Readout = "graph",
    ) -> None:
        check_options(SEGNN.__init__, locals())
        super().__init__(num_elements, readout, num_layers, cutoff)
        self.hidden = balanced_irreps(width)
        self.embedding = nn.Embedding(num_elements, num_elements)
        self.node_in = SteerableLinear(Irreps(f"{num_elements}x0e"), self.hidden)
        self.layers = nn.ModuleList(Layer(self.hidden) for _ in range(num_layers))
        pooled = out_channels * self.hidden.num_irreps if readout == "graph" else out_channels
        self.node_hidden = GatedSteerableLinear(self.hidden, self.hidden)
        self.node_out = SteerableLinear(self.hidden, Irreps(f"{pooled}x0e"))
        # Pooled features are scalars, on which a tensor product is a plain linear layer.
        self.head = (
            nn.Sequential(nn.Linear(pooled, pooled), nn.SiLU(), nn.Linear(pooled, out_channels))
            if readout == "graph"
            else nn.Identity()
        )

    @property
    def num_features(self) -> int:
        """Numbers of an atom before the head."""
        return self.node_out.out.dim

    @property
    def hops(self) -> int:
        """One more than layers: the first states depend on the edges into an atom."""
        return self.num_layers + 1

    def _embed(self, data: Data, batch: Tensor, num_graphs: int) -> Tensor:
        source, receiver = data.edge_index
        distance, direction = self._geometry(data)
        x = self.embedding(data.z)
        harmonics = spherical_harmonics(ATTRIBUTES, direction, normalize=True, normalization="component").to(x.dtype)
        mean = neighbour_mean(harmonics, receiver, len(x))
        mean = torch.cat([torch.ones_like(mean[:, :1]), mean[:, 1:]], dim=1)  # l = 0 is 1, also for an isolated atom
        frames, node = EdgeFrames.of(direction.to(x.dtype)), steering(mean)
        x = self.node_in(x, node)
        for layer in self.layers:
            x = layer(x, source, receiver, distance.to(x.dtype).unsqueeze(1), frames, node)
        return self.node_out(self.node_hidden(x, node), node)


# SEGNN reads out as many numbers an atom for a pair as EQGAT.
SPEC = ModelSpec(
    SEGNN,
    labels={"1": "SEGNN", "3": "SEGNN"},
    settings={
        "triangle": {"model_options": {"width": 76}},
        "ppi": {"model_options": {"num_layers": 3, "out_channels": 100}},
        "": {"model_options": {"num_layers": 3}},
    },
)
