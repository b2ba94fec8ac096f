"""GVP-GNN (Jing et al. 2021): geometric vector perceptrons on scalars and vectors of atoms and edges.

Two published layouts, named by ``layout``:

* ``"triangle"``: the one that the EQGAT authors ran on the Triangle data (Table 3): elements embedded in F_s
  channels, no norm before the first layer, the head on the scalars of the last layer.
* ``"atom3d"``: the one of GVP's authors for ATOM3D (Table 1's GVP-GNN row): norms before the embeddings of atoms
  and edges, a last perceptron that turns vectors into scalars, a wider head with dropout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from eqgat.baselines.common import GaussianBasis, GraphModel, neighbour_mean
from eqgat.baselines.spec import ModelSpec
from eqgat.checks import check_options
from eqgat.config import Readout
from eqgat.layers import vector_length

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["GVPGNN", "SPEC"]

Pair = tuple[Tensor, Tensor]  # scalars [M, S] and vectors [M, 3, V] of M atoms or edges


class VectorPerceptron(nn.Module):
    """A geometric vector perceptron with vector gate.

    h = v W_h;  s' = W_s [s || |h|] + b;  v' = σ(W_g s⁺ + b_g) ⊙ (h W_v), where s⁺ is σ(s') (with ``activate``) or s'.
    The scalars leave through a ReLU (with ``activate``). ``out`` without vectors has no gate; ``into`` without vectors
    gives zero vectors.
    """

    def __init__(self, into: tuple[int, int], out: tuple[int, int], activate: bool = True) -> None:
        super().__init__()
        (scalars_in, vectors_in), (scalars_out, self.vectors_out) = into, out
        hidden = max(vectors_in, self.vectors_out) if vectors_in else 0
        self.activate = activate
        self.scalar = nn.Linear(scalars_in + hidden, scalars_out)
        self.hidden = nn.Linear(vectors_in, hidden, bias=False) if hidden else None
        has_vectors = hidden > 0 and self.vectors_out > 0
        self.vector = nn.Linear(hidden, self.vectors_out, bias=False) if has_vectors else None
        self.gate = nn.Linear(scalars_out, self.vectors_out) if has_vectors else None

    def forward(self, pair: Pair) -> Pair:
        """(``s`` [M, S], ``v`` [M, 3, V]) -> the same with the new numbers of channels."""
        s, v = pair
        if self.hidden is None:
            s, v = self.scalar(s), s.new_zeros(len(s), 3, self.vectors_out)
        else:
            hidden = self.hidden(v)
            s = self.scalar(torch.cat([s, vector_length(hidden)], dim=1))
            if self.vector is None or self.gate is None:
                v = s.new_zeros(len(s), 3, 0)
            else:
                gate = torch.sigmoid(self.gate(torch.sigmoid(s) if self.activate else s))
                v = gate.unsqueeze(1) * self.vector(hidden)
        return relu(s) if self.activate else s, v


class PairNorm(nn.Module):
    """Layer norm of the scalars; vectors divided by the root mean square of their lengths (no rotation changes it)."""

    def __init__(self, scalars: int) -> None:
        super().__init__()
        self.scalar = nn.LayerNorm(scalars)

    def forward(self, pair: Pair) -> Pair:
        """(``s`` [M, S], ``v`` [M, 3, V]) -> the same shapes."""
        s, v = pair
        if v.shape[2]:
            v = v / (v.square().sum(dim=1).mean(dim=1) + 1e-8).sqrt().view(-1, 1, 1)
        return self.scalar(s), v


class Layer(nn.Module):
    """Messages by perceptrons on [s_j || e_ji || s_i], averaged; then a feed-forward pair; both residual and normed."""

    def __init__(self, node: tuple[int, int], edge: tuple[int, int], num_message: int, drop: float) -> None:
        super().__init__()
        self.drop = drop
        into = (2 * node[0] + edge[0], 2 * node[1] + edge[1])
        self.message = nn.Sequential(
            *[
                VectorPerceptron(into if number == 0 else node, node, activate=number < num_message - 1)
                for number in range(num_message)
            ]
        )
        wide = (4 * node[0], 2 * node[1])
        self.feed_forward = nn.Sequential(VectorPerceptron(node, wide), VectorPerceptron(wide, node, activate=False))
        self.norms = nn.ModuleList(PairNorm(node[0]) for _ in range(2))

    def forward(self, pair: Pair, edge: Pair, source: Tensor, receiver: Tensor) -> Pair:
        """States of the atoms, embeddings of the edges -> new states of the atoms."""
        s, v = pair
        message = self.message(
            tuple(
                torch.cat([x.index_select(0, source), e, x.index_select(0, receiver)], dim=-1)
                for x, e in zip(pair, edge, strict=True)
            )
        )
        s_mean, v_mean = (neighbour_mean(part, receiver, len(s)) for part in message)
        pair = self.norms[0](self._add((s, v), (s_mean, v_mean)))
        return self.norms[1](self._add(pair, self.feed_forward(pair)))

    def _add(self, pair: Pair, change: Pair) -> Pair:
        """Residual step; in training, whole vectors are dropped, never single components."""
        kept = torch.ones_like(change[1][:, :1])
        return (
            pair[0] + dropout(change[0], self.drop, self.training),
            pair[1] + change[1] * dropout(kept, self.drop, self.training),
        )


class GVPGNN(GraphModel):
    """GVP-GNN: O(3)- and translation-invariant predictions, vectors inside.

    Args:
        num_elements, out_channels: size of the vocabulary, number of targets.
        scalar_channels, vector_channels: of the atoms.
        edge_scalars: of the edges, which also have one vector.
        num_layers, num_radial: layers; Gaussians of the distance.
        num_message: perceptrons in the message function.
        cutoff: c in Å; must be the cutoff that the edges were built with.
        dropout: probability of dropping a channel in training.
        layout: "triangle" or "atom3d", see above.
        readout: "graph" (mean over the atoms) or "node".

    Raises:
        UserError: an unknown choice, a size that is not positive, a probability outside [0, 1).

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> GVPGNN(num_elements=9, out_channels=1).eval()(graph).shape
    torch.Size([1, 1])
    """

    has_unused_weights = True  # the last perceptrons make vectors that nothing reads
    wide_pair_head = True

    def __init__(
        self,
        num_elements: int,
        out_channels: int,
        scalar_channels: int = 100,
        vector_channels: int = 16,
        edge_scalars: int = 32,
        num_layers: int = 5,
        num_radial: int = 16,
        num_message: int = 3,
        cutoff: float = 4.5,
        dropout: float = 0.1,
        layout: Literal["triangle", "atom3d"] = "atom3d",
        readout: Readout = "graph",
    ) -> None:
        check_options(GVPGNN.__init__, locals())
        super().__init__(num_elements, readout, num_layers, cutoff)
        f, node, edge = scalar_channels, (scalar_channels, vector_channels), (edge_scalars, 1)
        normed = layout == "atom3d"
        width = num_elements if normed else f
        self.basis = GaussianBasis(num_radial, cutoff)
        self.embedding = nn.Embedding(num_elements, width)
        self.node_in = nn.Sequential(*[PairNorm(width)] * normed, VectorPerceptron((width, 0), node, activate=False))
        self.edge_in = nn.Sequential(
            *[PairNorm(num_radial)] * normed, VectorPerceptron((num_radial, 1), edge, activate=False)
        )
        self.layers = nn.ModuleList(Layer(node, edge, num_message, dropout) for _ in range(num_layers))
        self.node_out = nn.Sequential(PairNorm(f), VectorPerceptron(node, (f, 0))) if normed else nn.Identity()
        wide = [nn.Linear(f, 2 * f), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * f, out_channels)]
        narrow = [nn.Linear(f, f), nn.ReLU(), nn.Linear(f, out_channels)]
        self.head = nn.Sequential(*(wide if normed else narrow))

    def _embed(self, data: Data, batch: Tensor, num_graphs: int) -> Tensor:
        source, receiver = data.edge_index
        s = self.embedding(data.z)
        distance, direction = self._geometry(data)
        edge = self.edge_in((self.basis(distance).to(s.dtype), direction.to(s.dtype).unsqueeze(2)))
        pair = self.node_in((s, s.new_zeros(len(s), 3, 0)))
        for layer in self.layers:
            pair = layer(pair, edge, source, receiver)
        return self.node_out(pair)[0]


_TRIANGLE = {"scalar_channels": 32, "vector_channels": 8, "edge_scalars": 16, "num_radial": 16, "num_message": 2}
SPEC = ModelSpec(
    GVPGNN,
    labels={"1": "GVP-GNN", "3": "GVP"},
    settings={
        "triangle": {"model_options": {**_TRIANGLE, "layout": "triangle"}},
        "": {"model_options": {"num_layers": 5}},
    },
)
