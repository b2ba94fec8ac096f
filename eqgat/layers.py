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

from eqgat.config import EQGATConfig


class Edges(NamedTuple):
    """What a layer needs to know of the graph; the same for all layers, computed once a batch.

    >>> Edges._fields
    ('source', 'receiver', 'distance', 'direction', 'radial', 'num_neighbours')
    """

    source: Tensor  # j, [E]
    receiver: Tensor  # i, [E], ascending
    distance: Tensor  # d_ji, [E], Å
    direction: Tensor  # p_ji,n, [E, 3]
    radial: Tensor  # κ(d_ji) G_d(d_ji), [E, K]
    num_neighbours: Tensor  # |N(i)|, [N], in the dtype of the features


def sum_over_neighbours(values: Tensor, receiver: Tensor, num_nodes: int) -> Tensor:
    """sum_{j in N(i)} values_ji: [E, ...] -> [N, ...]; an atom without neighbours gets zero.

    >>> sum_over_neighbours(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), num_nodes=3)
    tensor([3., 0., 4.])
    """
    return values.new_zeros(num_nodes, *values.shape[1:]).index_add(0, receiver, values)


def mean_over_graph(values: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
    """Mean over the atoms of each graph: [N, ...] -> [num_graphs, ...]; zero for a graph without atoms.

    >>> mean_over_graph(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1]), num_graphs=2).tolist()
    [[2.0], [5.0]]
    """
    count = torch.bincount(batch, minlength=num_graphs).clamp(min=1).to(values.dtype)
    return sum_over_neighbours(values, batch, num_graphs) / count.view(-1, *[1] * (values.dim() - 1))


def neighbour_softmax(logits: Tensor, receiver: Tensor, num_nodes: int) -> Tensor:
    """α_ji = exp(a_ji) / sum_{k in N(i)} exp(a_ki), each channel by itself (text after Eq. 1).

    Args:
        logits: a_ji [E, C].
        receiver: i [E].
        num_nodes: N.

    Returns:
        α [E, C] in (0, 1]; the edges into one atom sum to 1 in every channel, and a single neighbour has α = 1.

    >>> neighbour_softmax(torch.tensor([[0.0], [0.0], [7.0]]), torch.tensor([0, 0, 1]), num_nodes=2).tolist()
    [[0.5], [0.5], [1.0]]
    """
    # Subtracting the largest logit of a neighbourhood cancels in the fraction and keeps exp from overflowing.
    index, values = receiver.unsqueeze(1).expand_as(logits), logits.detach().contiguous()  # a slice is far slower
    largest = values.new_zeros(num_nodes, logits.shape[1]).scatter_reduce(0, index, values, "amax", include_self=False)
    weight = (logits - largest.index_select(0, receiver)).exp()
    total = sum_over_neighbours(weight, receiver, num_nodes)
    return weight / total.index_select(0, receiver)


def vector_length(v: Tensor, epsilon: float = 1e-6) -> Tensor:
    """sqrt(|v|^2 + epsilon) over the three components: [N, 3, C] -> [N, C]; smooth where v = 0.

    >>> vector_length(torch.tensor([[[3.0], [0.0], [4.0]]]))
    tensor([[5.]])
    """
    return (v.square().sum(dim=1) + epsilon).sqrt()


class AttentionFilter(nn.Module):
    """Eq. 1: f_ji = MLP([s_i || s_j || κ(d_ji) G_d(d_ji)]) = [a_ji, b_ji,0, b_ji,1, b_ji,2].

    The logits a_ji are F_s numbers with feature attention, 1 with one coefficient an edge.

    Args:
        config: sizes and variant.
        num_terms: how many vector terms get coefficients: 3, without cross product 2, in the first layer 1.
            (There v = 0, so that the paper's other 2 F_v outputs would multiply zero and never learn.)

    >>> AttentionFilter(EQGATConfig(num_elements=9, out_channels=1), num_terms=3).sizes
    [100, 16, 16, 16]
    """

    def __init__(self, config: EQGATConfig, num_terms: int) -> None:
        super().__init__()
        num_scalar = config.scalar_channels
        self.sizes = [num_scalar if config.attention == "feature" else 1, *[config.vector_channels] * num_terms]
        self.hidden = nn.Linear(2 * num_scalar + config.num_radial, num_scalar)
        self.out = nn.Linear(num_scalar, sum(self.sizes))

    def forward(self, s: Tensor, edges: Edges) -> list[Tensor]:
        """``s`` [N, F_s] -> the list of a_ji [E, F_s or 1] and those of b_ji,0, b_ji,1, b_ji,2 [E, F_v] there are."""
        num_scalar = s.shape[1]
        of_receiver, of_source, of_radial = self.hidden.weight.tensor_split([num_scalar, 2 * num_scalar], dim=1)
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

    >>> s, v = GatedUpdate(8, 4)(torch.zeros(5, 8), torch.zeros(5, 3, 4))
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
        gate, s_change = self.out(hidden).split([num_vector, s.shape[1]], dim=1)  # views: g as such would keep Δs, too
        return s + s_change, v + self.vector_out(gate.unsqueeze(1).contiguous() * w)


class InvariantReadout(nn.Module):
    """From (s, v) to one invariant vector an atom: W [s || |v V|] + bias, [N, F_s].

    >>> InvariantReadout(8, 4)(torch.zeros(5, 8), torch.zeros(5, 3, 4)).shape
    torch.Size([5, 8])
    """

    def __init__(self, scalar_channels: int, vector_channels: int) -> None:
        super().__init__()
        self.vector = nn.Linear(vector_channels, vector_channels, bias=False)
        self.out = nn.Linear(scalar_channels + vector_channels, scalar_channels)

    def forward(self, s: Tensor, v: Tensor) -> Tensor:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v]) -> [N, F_s]."""
        x: Tensor = self.out(torch.cat([s, vector_length(self.vector(v))], dim=1))
        return x


class EquivariantNorm(nn.Module):
    """Normalisation by statistics of the whole graph that no rotation changes (not in the paper; an option).

    s <- γ (s - mean) / std + β and v <- v / sqrt(mean |v|^2), means over the atoms and channels of a graph.
    The released code divides vectors by a mean of v_x^2 instead, which no rotation but those about x leaves alone.

    >>> s, v = EquivariantNorm(1)(torch.tensor([[0.0], [2.0]]), torch.zeros(2, 3, 1), torch.tensor([0, 0]), 1)
    >>> s.flatten()
    tensor([-1.0000,  1.0000], grad_fn=...)
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
    """What one layer did in one forward pass. Coefficients of terms that a layer does not have are zero.

    >>> from eqgat import EQGAT
    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(cutoff=4.5)
    >>> [record.v_cross.shape[1:] for record in EQGAT(num_elements=9, out_channels=1, num_layers=2).trace(graph)]
    [torch.Size([3, 16]), torch.Size([3, 16])]
    """

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
        product: Tensor = torch.linalg.cross(central, partner, dim=1)
        return self.b_cross.unsqueeze(1) * product


class EQGATLayer(nn.Module):
    """Messages (Eqs. 1-6), residual connection and gated update of one layer.

    Args:
        config: sizes and variants.
        first: the layer that gets v = 0: it has the direction term (Eq. 3) alone, and no W_v.

    >>> EQGATLayer(EQGATConfig(num_elements=9, out_channels=1), first=True).filter.sizes
    [100, 16]
    """

    def __init__(self, config: EQGATConfig, *, first: bool) -> None:
        super().__init__()
        num_scalar, num_vector = config.scalar_channels, config.vector_channels
        self.cross_product, self.vector_aggregation = config.cross_product, config.vector_aggregation
        self.filter = AttentionFilter(config, num_terms=1 if first else 2 if config.cross_product is None else 3)
        self.scalar_weight = nn.Linear(num_scalar, num_scalar)  # W_s; its bias: released code
        self.vector_weight = None if first else nn.Linear(num_vector, num_vector, bias=False)  # W_v
        self.update = GatedUpdate(num_scalar, num_vector)

    def forward(self, s: Tensor, v: Tensor, edges: Edges) -> LayerTrace:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v]) -> the new states, and all that was computed on the way to them."""
        source, receiver, num_nodes = edges.source, edges.receiver, len(s)
        b: list[Tensor]
        logits, *b = self.filter(s, edges)  # Eq. 1
        attention = neighbour_softmax(logits, receiver, num_nodes)
        values = attention * self.scalar_weight(s).index_select(0, source)  # Eq. 2
        scalar_message = sum_over_neighbours(values, receiver, num_nodes)

        terms = edges.direction.unsqueeze(2) * b[0].unsqueeze(1)  # Eq. 3
        v_mixed = partner = v
        if self.vector_weight is not None:
            v_mixed = self.vector_weight(v).to(v.dtype)  # autocast gives bfloat16
            terms = terms + b[1].unsqueeze(1) * v_mixed.index_select(0, source)  # Eq. 4
        vector_message = sum_over_neighbours(terms, receiver, num_nodes)
        if len(b) == 3:  # Eq. 5, factored
            partner = v if self.cross_product == "raw" else v_mixed
            weighted = sum_over_neighbours(b[2].unsqueeze(1) * partner.index_select(0, source), receiver, num_nodes)
            vector_message = vector_message + torch.linalg.cross(v, weighted, dim=1)
        if self.vector_aggregation == "mean":  # Eq. 6
            vector_message = vector_message / edges.num_neighbours.clamp(min=1).view(-1, 1, 1)

        s_out, v_out = self.update(s + scalar_message, v + vector_message)
        b_direction, b_mix, b_cross = [*b, *[torch.zeros_like(b[0])] * (3 - len(b))]
        coefficients = logits, attention, b_direction, b_mix, b_cross
        return LayerTrace(edges, s, v, *coefficients, v_mixed, partner, scalar_message, vector_message, s_out, v_out)
