"""SchNet (Schütt et al. 2018) at the sizes of Tables 1 and 3: continuous filters on distances alone.

PyTorch Geometric has a SchNet, but its sizes cannot be matched: its projection x_j -> W x_j has no bias, its head
halves the width and ends in one output, its embedding has 100 rows, it sums, and it has no normalisation. Here
messages are averaged over the neighbours, as in the paper's comparison; the original sums.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import softplus

from eqgat.baselines.common import GaussianBasis, GraphModel, cosine_cutoff, make_norms, neighbour_mean
from eqgat.baselines.spec import ModelSpec
from eqgat.checks import check_options
from eqgat.config import Norm, Readout

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["SPEC", "SchNet"]


class ShiftedSoftplus(nn.Module):
    """ln(1 + e^x) - ln 2: smooth, and zero at zero."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return softplus(x) - math.log(2)


class Interaction(nn.Module):
    """x_i <- x_i + MLP(mean_j W(d_ji) ⊙ (A x_j + a)), with the filter W(d) = cosine cutoff · MLP(Gaussians of d)."""

    def __init__(self, channels: int, num_radial: int) -> None:
        super().__init__()
        self.filter = nn.Sequential(
            nn.Linear(num_radial, channels), ShiftedSoftplus(), nn.Linear(channels, channels), ShiftedSoftplus()
        )
        self.project = nn.Linear(channels, channels)
        self.update = nn.Sequential(nn.Linear(channels, channels), ShiftedSoftplus(), nn.Linear(channels, channels))

    def forward(self, x: Tensor, source: Tensor, receiver: Tensor, basis: Tensor, envelope: Tensor) -> Tensor:
        """``x`` [N, F], edges [E], ``basis`` [E, K], ``envelope`` [E, 1] -> [N, F]."""
        message = self.filter(basis) * envelope * self.project(x).index_select(0, source)
        return x + self.update(neighbour_mean(message, receiver, len(x)))


class SchNet(GraphModel):
    """SchNet: rotation-, reflection- and translation-invariant, because it sees distances only.

    Args:
        num_elements, out_channels: size of the vocabulary, number of targets.
        scalar_channels, num_layers, num_radial: F, L, K (Gaussians).
        cutoff: c in Å; must be the cutoff that the edges were built with.
        norm: None or "equivariant", as in EQGAT.
        readout: "graph" (mean over the atoms) or "node".

    Raises:
        UserError: an unknown choice or a size that is not positive.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> SchNet(num_elements=9, out_channels=1).eval()(graph).shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        num_elements: int,
        out_channels: int,
        scalar_channels: int = 100,
        num_layers: int = 5,
        num_radial: int = 32,
        cutoff: float = 4.5,
        norm: Norm = None,
        readout: Readout = "graph",
    ) -> None:
        check_options(SchNet.__init__, locals())
        super().__init__(num_elements, readout, num_layers, cutoff)
        f = scalar_channels
        self.embedding = nn.Embedding(num_elements, f)
        self.basis = GaussianBasis(num_radial, cutoff)
        self.layers = nn.ModuleList(Interaction(f, num_radial) for _ in range(num_layers))
        self.norms = make_norms(norm, f, num_layers)
        self.readout = nn.Linear(f, f, bias=False)
        self.head = nn.Sequential(nn.Linear(f, f), nn.SiLU(), nn.Linear(f, out_channels))
        self._zero_biases()

    def _embed(self, data: Data, batch: Tensor, num_graphs: int) -> Tensor:
        source, receiver = data.edge_index
        x = self.embedding(data.z)
        distance, _ = self._geometry(data)
        basis = self.basis(distance).to(x.dtype)
        envelope = cosine_cutoff(distance, self.cutoff).to(x.dtype).unsqueeze(1)
        no_vectors = x.new_zeros(len(x), 3, 0)
        for number, layer in enumerate(self.layers):
            if self.norms:
                x, _ = self.norms[number](x, no_vectors, batch, num_graphs)
            x = layer(x, source, receiver, basis, envelope)
        if self.norms:
            x, _ = self.norms[-1](x, no_vectors, batch, num_graphs)
        return self.readout(x)


SPEC = ModelSpec(
    SchNet,
    labels={"1": "SchNet", "3": "SchNet"},
    settings={"triangle": {"model_options": {"scalar_channels": 32, "num_radial": 16, "norm": "equivariant"}}},
)
