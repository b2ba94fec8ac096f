"""PaiNN (Schütt, Unke, Gastegger 2021) at the sizes of Tables 1 and 3: scalars and vectors, no attention.

Differences from the original, all of them the paper's comparison: F_v may differ from F_s, messages are averaged,
the radial basis is Gaussian, and the update uses |V v|² where the original has the product <U v, V v>.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from eqgat.baselines.common import GaussianBasis, GraphModel, cosine_cutoff, make_norms, neighbour_mean
from eqgat.baselines.spec import LIKE_EQGAT, ModelSpec
from eqgat.checks import check_options
from eqgat.config import Norm, Readout
from eqgat.layers import InvariantReadout, vector_length

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["SPEC", "PaiNN"]


class Message(nn.Module):
    """[a, g_0, g_1] = φ(s_j) ⊙ w(d_ji); s_i += mean_j a; v_i += mean_j (g_0 ⊗ direction + g_1 ⊙ v_j).

    In the first layer v = 0, and there is no g_1.
    """

    def __init__(self, scalar_channels: int, vector_channels: int, num_radial: int, first: bool) -> None:
        super().__init__()
        self.sizes = [scalar_channels, *[vector_channels] * (1 if first else 2)]
        self.phi = nn.Sequential(
            nn.Linear(scalar_channels, scalar_channels), nn.SiLU(), nn.Linear(scalar_channels, sum(self.sizes))
        )
        self.filter = nn.Linear(num_radial, sum(self.sizes))

    def forward(
        self, s: Tensor, v: Tensor, source: Tensor, receiver: Tensor, direction: Tensor, basis: Tensor, envelope: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``s`` [N, F_s], ``v`` [N, 3, F_v], ``direction`` [E, 3], ``basis`` [E, K], ``envelope`` [E, 1]."""
        weighted = self.filter(basis) * envelope * self.phi(s).index_select(0, source)
        scalar, *gates = weighted.split(self.sizes, dim=1)
        vector = direction.unsqueeze(2) * gates[0].unsqueeze(1)
        if len(gates) == 2:
            vector = vector + gates[1].unsqueeze(1) * v.index_select(0, source)
        return s + neighbour_mean(scalar, receiver, len(s)), v + neighbour_mean(vector, receiver, len(s))


class Update(nn.Module):
    """n = |v V|; [a_vv, a_sv, a_ss] = MLP([s || n]); s += a_sv ⊙ n² + a_ss; v += a_vv ⊙ (v U)."""

    def __init__(self, scalar_channels: int, vector_channels: int) -> None:
        super().__init__()
        self.sizes = [vector_channels, scalar_channels, scalar_channels]
        self.u = nn.Linear(vector_channels, vector_channels, bias=False)
        self.v = nn.Linear(vector_channels, scalar_channels, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * scalar_channels, scalar_channels), nn.SiLU(), nn.Linear(scalar_channels, sum(self.sizes))
        )

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v]) -> the same shapes."""
        length = vector_length(self.v(v))
        a_vv, a_sv, a_ss = self.mlp(torch.cat([s, length], dim=1)).split(self.sizes, dim=1)
        return s + a_sv * length.square() + a_ss, v + a_vv.unsqueeze(1) * self.u(v)


class PaiNN(GraphModel):
    """PaiNN: O(3)- and translation-invariant predictions, vectors inside.

    Args:
        num_elements, out_channels: size of the vocabulary, number of targets.
        scalar_channels, vector_channels, num_layers, num_radial: F_s, F_v, L, K (Gaussians).
        cutoff: c in Å; must be the cutoff that the edges were built with.
        norm: None or "equivariant", as in EQGAT.
        readout: "graph" (mean over the atoms) or "node".

    Raises:
        UserError: an unknown choice or a size that is not positive.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> PaiNN(num_elements=9, out_channels=1).eval()(graph).shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        num_elements: int,
        out_channels: int,
        scalar_channels: int = 100,
        vector_channels: int = 16,
        num_layers: int = 5,
        num_radial: int = 32,
        cutoff: float = 4.5,
        norm: Norm = None,
        readout: Readout = "graph",
    ) -> None:
        check_options(PaiNN.__init__, locals())
        super().__init__(num_elements, readout, num_layers, cutoff)
        f, self.vector_channels = scalar_channels, vector_channels
        self.embedding = nn.Embedding(num_elements, f)
        self.basis = GaussianBasis(num_radial, cutoff)
        self.messages = nn.ModuleList(
            Message(f, vector_channels, num_radial, first=number == 0) for number in range(num_layers)
        )
        self.updates = nn.ModuleList(Update(f, vector_channels) for _ in range(num_layers))
        self.norms = make_norms(norm, f, num_layers)
        self.readout = InvariantReadout(f, vector_channels)
        self.head = nn.Sequential(nn.Linear(f, f), nn.SiLU(), nn.Linear(f, out_channels))
        self._zero_biases()

    def _embed(self, data: Data, batch: Tensor, num_graphs: int) -> Tensor:
        source, receiver = data.edge_index
        s = self.embedding(data.z)
        v = s.new_zeros(len(s), 3, self.vector_channels)
        distance, direction = self._geometry(data)
        basis, direction = self.basis(distance).to(s.dtype), direction.to(s.dtype)
        envelope = cosine_cutoff(distance, self.cutoff).to(s.dtype).unsqueeze(1)
        for number, (message, update) in enumerate(zip(self.messages, self.updates, strict=True)):
            if self.norms:
                s, v = self.norms[number](s, v, batch, num_graphs)
            s, v = update(*message(s, v, source, receiver, direction, basis, envelope))
        if self.norms:
            s, v = self.norms[-1](s, v, batch, num_graphs)
        return self.readout(s, v)


SPEC = ModelSpec(PaiNN, labels={"1": "PaiNN", "3": "PaiNN"}, settings={"triangle": {"model_options": LIKE_EQGAT}})
