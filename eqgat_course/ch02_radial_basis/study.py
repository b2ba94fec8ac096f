"""One neighbour of the running example is moved along its own direction, through the cutoff: what happens to m_i?"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch_geometric.data import Data

from eqgat.graph import edge_geometry, radius_graph
from eqgat.radial import polynomial_envelope
from eqgat_course.running_example import RunningExample, running_example

__all__ = ["CutoffCrossing"]


@dataclass(frozen=True)
class CutoffCrossing:
    """The central atom i of the running example, its neighbours, and one of them, j, that can be moved.

    Attributes:
        example: the running example; its untrained model computes the messages of its first layer.
    """

    example: RunningExample = field(default_factory=running_example)

    @property
    def moved(self) -> int:
        """Row of the atom j that moves: the neighbour farthest from i."""
        graph, rows = self.example.graph, self.example.neighbours
        return int(rows[(graph.pos[rows] - graph.pos[self.example.centre]).norm(dim=1).argmax()])

    def graph_at(self, distance: float) -> Data:
        """Atom i (row 0), atom j (row 1) at ``distance`` (Å) from it, and the other neighbours of i where they are."""
        graph, i, j = self.example.graph, self.example.centre, self.moved
        rows = torch.tensor([i, j, *[int(row) for row in self.example.neighbours if int(row) != j]])
        pos = graph.pos[rows]
        pos[1] = pos[0] + distance * (pos[1] - pos[0]) / (pos[1] - pos[0]).norm()
        return Data(z=graph.z[rows], pos=pos, edge_index=radius_graph(pos, self.example.model.config.cutoff))

    def messages_at(self, distance: float) -> tuple[Tensor, Tensor]:
        """m_i,s [F_s] and m_i,v [3, F_v] of the first layer, as in Eqs. 1-6, with j at ``distance`` (Å)."""
        layer = self.example.model.trace(self.graph_at(distance))[0]
        return layer.scalar_message[0], layer.vector_message[0]

    @torch.no_grad()
    def damped_messages_at(self, distance: float) -> tuple[Tensor, Tensor]:
        """The same, but every neighbour counts κ(d_ji) times: in the softmax, in the sum, in |N(i)|. Not the paper's.

        m_i,s = sum_j κ_j exp(a_j) W_s s_j / sum_k κ_k exp(a_k) and m_i,v = sum_j κ_j v_j / sum_k κ_k.
        """
        data = self.graph_at(distance)
        model = self.example.model
        layer = model.trace(data)[0]
        into_i = data.edge_index[1] == 0
        kappa = polynomial_envelope(edge_geometry(data.pos, data.edge_index)[0][into_i], model.config.cutoff)
        weight = kappa.unsqueeze(1) * layer.attention_logits[into_i].exp()
        values = model.layers[0].scalar_weight(layer.s_in)[data.edge_index[0, into_i]]
        vectors = kappa.view(-1, 1, 1) * layer.v_direction[into_i]
        return (weight * values).sum(dim=0) / weight.sum(dim=0), vectors.sum(dim=0) / kappa.sum()
