"""One EQGAT layer: attention filter, messages, residual, gated update (Section 3, Eqs. 1-6, Fig. 1b).

Shapes: N atoms, E directed edges (j, i) sorted by receiver i, F_s scalar channels, F_v vector channels,
K radial functions. Scalars ``s`` are [N, F_s]; vectors ``v`` are [N, 3, F_v], as in the paper.

Two exact identities keep it small and fast, and change no result:

* the first linear map of the edge MLP on [s_i || s_j || radial] is the sum of three smaller maps, two taken
  once a node and one once an edge;
* sum_j b_ji,2 ⊙ (v_i x v_j) = v_i x (sum_j b_ji,2 ⊙ v_j), because the cross product is linear in its second
  argument: it is taken once a node, not once an edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

__all__ = [
    "AttentionFilter",
    "EQGATLayer",
    "Edges",
    "EquivariantNorm",
    "GatedUpdate",
    "InvariantReadout",
    "LayerTrace",
    "mean_over_graph",
    "neighbour_softmax",
    "sum_over_neighbours",
    "vector_length",
]


class Edges(NamedTuple):
    """What a layer needs to know of the graph; the same for all layers, computed once a batch."""

    source: Tensor  # j, [E]
    receiver: Tensor  # i, [E], ascending
    distance: Tensor  # d_ji, [E], Å
    direction: Tensor  # p_ji,n, [E, 3]
    radial: Tensor  # κ(d_ji) G_d(d_ji), [E, K]
    num_neighbours: Tensor  # |N(i)|, [N], in the dtype of the features


def sum_over_neighbours(values: Tensor, receiver: Tensor, num_nodes: int) -> Tensor:
    """sum_{j in N(i)} values_ji: [E, ...] -> [N, ...]; an atom without neighbours gets zero."""
    return values.new_zeros(num_nodes, *values.shape[1:]).index_add(0, receiver, values)


def mean_over_graph(values: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
    """Mean over the atoms of each graph: [N, C] -> [num_graphs, C]; zero for a graph without atoms."""
    count = torch.bincount(batch, minlength=num_graphs).clamp(min=1).to(values.dtype)
    return sum_over_neighbours(values, batch, num_graphs) / count.unsqueeze(1)


def neighbour_softmax(logits: Tensor, receiver: Tensor, num_nodes: int) -> Tensor:
    """α_ji = exp(a_ji) / sum_{k in N(i)} exp(a_ki), each channel by itself (text after Eq. 1).

    Args:
        logits: a_ji [E, C].
        receiver: i [E].
        num_nodes: N.

    Returns:
        α [E, C] in (0, 1]; the edges into one atom sum to 1 in every channel, and a single neighbour has α = 1.
    """
    # Subtracting the largest logit of a neighbourhood cancels in the fraction and keeps exp from overflowing.
    index = receiver.unsqueeze(1).expand_as(logits)
    largest = logits.new_zeros(num_nodes, logits.shape[1]).scatter_reduce(
        0, index, logits.detach().contiguous(), "amax", include_self=False
    )  # of a slice it would be far slower
    weight = (logits - largest.index_select(0, receiver)).exp()
    total = sum_over_neighbours(weight, receiver, num_nodes)
    return weight / total.index_select(0, receiver)


def vector_length(v: Tensor, epsilon: float = 1e-6) -> Tensor:
    """sqrt(|v|^2 + epsilon) over the three components: [N, 3, C] -> [N, C]; smooth where v = 0."""
    return (v.square().sum(dim=1) + epsilon).sqrt()


class AttentionFilter(nn.Module):
    """Eq. 1: f_ji = MLP([s_i || s_j || κ(d_ji) G_d(d_ji)]) = [a_ji, b_ji,0, b_ji,1, b_ji,2].

    Args:
        scalar_channels, vector_channels, num_radial: F_s, F_v, K.
        num_logits: size of a_ji: F_s with feature attention, 1 with one coefficient an edge.
        num_terms: how many vector terms get coefficients: 3, without cross product 2, in the first layer 1.
            (There v = 0, so that the paper's other 2 F_v outputs would multiply zero and never learn.)
    """

    def __init__(
        self, scalar_channels: int, vector_channels: int, num_radial: int, num_logits: int, num_terms: int
    ) -> None:
        super().__init__()
        self.sizes = [num_logits, *[vector_channels] * num_terms]
        self.hidden = nn.Linear(2 * scalar_channels + num_radial, scalar_channels)
        self.out = nn.Linear(scalar_channels, sum(self.sizes))

    def forward(self, s: Tensor, edges: Edges) -> list[Tensor]:
        """``s`` [N, F_s] -> the list of a_ji [E, num_logits], b_ji,0, b_ji,1, b_ji,2 [E, F_v], as many as there are."""
        num_scalar = s.shape[1]
        of_receiver, of_source, of_radial = self.hidden.weight.split([num_scalar, num_scalar, edges.radial.shape[1]], 1)
        hidden = (
            linear(s, of_receiver, self.hidden.bias).index_select(0, edges.receiver)
            + linear(s, of_source).index_select(0, edges.source)
            + linear(edges.radial, of_radial)
        )
        return list(self.out(silu(hidden)).split(self.sizes, dim=1))


class GatedUpdate(nn.Module):
    """The update function of Fig. 1b: scalars and lengths of vectors mix, vectors are scaled by a gate, both residual.

    [u || w] = v W_0;  n = |u|;  [g || Δs] = MLP([s || n]);  s <- s + Δs;  v <- v + (g ⊙ w) W_1.
    The only non-linearities act on invariants (s and n); vectors meet linear maps of channels without bias and
    multiplication by invariant gates, which commute with every rotation.
    """

    def __init__(self, scalar_channels: int, vector_channels: int) -> None:
        super().__init__()
        self.vector_in = nn.Linear(vector_channels, 2 * vector_channels, bias=False)
        self.vector_out = nn.Linear(vector_channels, vector_channels, bias=False)
        self.hidden = nn.Linear(scalar_channels + vector_channels, scalar_channels)
        self.out = nn.Linear(scalar_channels, vector_channels + scalar_channels)

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v]) -> the same shapes."""
        num_vector = v.shape[2]
        u, w = self.vector_in(v).split(num_vector, dim=2)
        hidden = silu(self.hidden(torch.cat([s, vector_length(u)], dim=1)))
        gate, s_change = self.out(hidden).split([num_vector, s.shape[1]], dim=1)
        return s + s_change, v + self.vector_out(gate.unsqueeze(1) * w)


class InvariantReadout(nn.Module):
    """From (s, v) to one invariant vector an atom: W [s || |v V|] + bias, [N, F_s]."""

    def __init__(self, scalar_channels: int, vector_channels: int) -> None:
        super().__init__()
        self.vector = nn.Linear(vector_channels, vector_channels, bias=False)
        self.out = nn.Linear(scalar_channels + vector_channels, scalar_channels)

    def forward(self, s: Tensor, v: Tensor) -> Tensor:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v]) -> [N, F_s]."""
        return self.out(torch.cat([s, vector_length(self.vector(v))], dim=1))


class EquivariantNorm(nn.Module):
    """Normalisation by statistics of the whole graph that no rotation changes (not in the paper; an option).

    s <- γ (s - mean) / std + β and v <- v / sqrt(mean |v|^2), means over the atoms and channels of a graph.
    The released code divides vectors by a mean of v_x^2 instead, which no rotation but those about x leaves alone.
    """

    def __init__(self, scalar_channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(scalar_channels))
        self.bias = nn.Parameter(torch.zeros(scalar_channels))

    def forward(self, s: Tensor, v: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v], ``batch`` [N]) -> the same shapes."""

        def mean(x: Tensor) -> Tensor:  # over the channels of an atom and the atoms of its graph, [N, 1]
            return mean_over_graph(x.mean(dim=1, keepdim=True), batch, num_graphs).index_select(0, batch)

        centred = s - mean(s)
        s = self.weight * centred / (mean(centred.square()) + self.epsilon).sqrt() + self.bias
        return s, v / (mean(v.square().sum(dim=1)) + self.epsilon).sqrt().unsqueeze(2)


@dataclass
class LayerTrace:
    """What one layer did in one forward pass. Coefficients of terms that a layer does not have are zero."""

    edges: Edges  # the graph that it saw
    s_in: Tensor  # s^(l), [N, F_s] (normalised, where the model has a norm)
    v_in: Tensor  # v^(l), [N, 3, F_v]
    attention_logits: Tensor  # a_ji, [E, F_s] or [E, 1]
    attention: Tensor  # α_ji, same shape
    b_direction: Tensor  # b_ji,0, [E, F_v]
    b_mix: Tensor  # b_ji,1, [E, F_v]
    b_cross: Tensor  # b_ji,2, [E, F_v]
    v_mixed: Tensor  # v_n = v W_v, [N, 3, F_v]
    v_partner: Tensor  # what v_i is crossed with: v_j (Eq. 5) or v_j W_v, [N, 3, F_v]
    scalar_message: Tensor  # m_i,s, [N, F_s]
    vector_message: Tensor  # m_i,v, [N, 3, F_v]
    s: Tensor  # s^(l+1), [N, F_s]
    v: Tensor  # v^(l+1), [N, 3, F_v]

    @property
    def v_direction(self) -> Tensor:
        """v_ji,0 = p_ji,n ⊗ b_ji,0, [E, 3, F_v] (Eq. 3)."""
        return self.edges.direction.unsqueeze(2) * self.b_direction.unsqueeze(1)

    @property
    def v_mix(self) -> Tensor:
        """v_ji,1 = b_ji,1 ⊙ v_n,j, [E, 3, F_v] (Eq. 4)."""
        return self.b_mix.unsqueeze(1) * self.v_mixed[self.edges.source]

    @property
    def v_cross(self) -> Tensor:
        """v_ji,2 = b_ji,2 ⊙ (v_i x v_j), [E, 3, F_v] (Eq. 5), edge by edge."""
        central, partner = self.v_in[self.edges.receiver], self.v_partner[self.edges.source]
        return self.b_cross.unsqueeze(1) * torch.linalg.cross(central, partner, dim=1)


class EQGATLayer(nn.Module):
    """Messages (Eqs. 1-6), residual connection and gated update of one layer.

    Args:
        scalar_channels, vector_channels, num_radial: F_s, F_v, K.
        first: the layer that gets v = 0: it has the direction term (Eq. 3) alone, and no W_v.
        attention: "feature" (one α per scalar channel) or "scalar" (one α an edge: No-Feature-Attention).
        cross_product: "raw" (v_i x v_j, Eq. 5), "mixed" (v_i x v_j W_v, as released) or None (No-Cross-Product).
        vector_aggregation: "mean" (Eq. 6) or "sum".
    """

    def __init__(
        self,
        scalar_channels: int,
        vector_channels: int,
        num_radial: int,
        *,
        first: bool,
        attention: str = "feature",
        cross_product: str | None = "raw",
        vector_aggregation: str = "mean",
    ) -> None:
        super().__init__()
        self.cross_product, self.vector_aggregation = cross_product, vector_aggregation
        num_terms = 1 if first else 2 if cross_product is None else 3
        self.filter = AttentionFilter(
            scalar_channels, vector_channels, num_radial, scalar_channels if attention == "feature" else 1, num_terms
        )
        self.scalar_weight = nn.Linear(scalar_channels, scalar_channels)  # W_s; its bias: released code
        self.vector_weight = None if first else nn.Linear(vector_channels, vector_channels, bias=False)  # W_v
        self.update = GatedUpdate(scalar_channels, vector_channels)

    def forward(self, s: Tensor, v: Tensor, edges: Edges) -> LayerTrace:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v]) -> the new states, and all that was computed on the way to them."""
        source, receiver, num_nodes = edges.source, edges.receiver, len(s)
        logits, *coefficients = self.filter(s, edges)  # Eq. 1
        attention = neighbour_softmax(logits, receiver, num_nodes)
        scalar_message = sum_over_neighbours(  # Eq. 2
            attention * self.scalar_weight(s).index_select(0, source), receiver, num_nodes
        )

        terms = edges.direction.unsqueeze(2) * coefficients[0].unsqueeze(1)  # Eq. 3
        v_mixed = partner = v
        if self.vector_weight is not None:
            v_mixed = self.vector_weight(v)
            terms = terms + coefficients[1].unsqueeze(1) * v_mixed.index_select(0, source)  # Eq. 4
        vector_message = sum_over_neighbours(terms, receiver, num_nodes)
        if len(coefficients) == 3:  # Eq. 5, factored
            partner = v if self.cross_product == "raw" else v_mixed
            weighted = coefficients[2].unsqueeze(1) * partner.index_select(0, source)
            vector_message = vector_message + torch.linalg.cross(
                v, sum_over_neighbours(weighted, receiver, num_nodes), dim=1
            )
        if self.vector_aggregation == "mean":  # Eq. 6
            vector_message = vector_message / edges.num_neighbours.clamp(min=1).view(-1, 1, 1)

        s_out, v_out = self.update(s + scalar_message, v + vector_message)
        b = [*coefficients, *[torch.zeros_like(coefficients[0])] * (3 - len(coefficients))]
        return LayerTrace(
            edges, s, v, logits, attention, *b, v_mixed, partner, scalar_message, vector_message, s_out, v_out
        )
