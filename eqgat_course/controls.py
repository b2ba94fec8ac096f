"""Negative controls that several chapters use: what must fail a test of symmetry."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from eqgat.errors import UserError
from eqgat.layers import EquivariantNorm, mean_over_graph
from eqgat.model import EQGAT

__all__ = ["ReleasedNorm", "capped_radius_graph", "with_released_norm", "with_vector_bias"]


def capped_radius_graph(pos: Tensor, cutoff: float, cap: int = 32) -> Tensor:
    """The radius graph of ``pos`` [N, 3], but each atom keeps only the first ``cap`` neighbours that the search finds.

    A negative control. The search tree halves space along x, y and z, so "first" depends on the order of the atoms
    and on the orientation of the molecule. Returns ``edge_index`` [2, E], sorted by receiver.
    """
    found = cKDTree(pos.numpy()).query_ball_point(pos.numpy(), cutoff, return_sorted=False)
    kept = [[j for j in neighbours if j != i][:cap] for i, neighbours in enumerate(found)]
    receiver = np.repeat(np.arange(len(pos)), [len(neighbours) for neighbours in kept])
    return torch.tensor(np.stack([np.concatenate(kept), receiver]), dtype=torch.int64)


class ReleasedNorm(EquivariantNorm):
    """The normalisation of the released code, kept as a negative control: it breaks rotation equivariance.

    Scalars are divided by the variance, vectors by q = mean over the graph of sum over channels of v_x^2: the x
    component alone. Only rotations about the x axis leave q as it is.

    >>> along_y = torch.tensor([[[0.0], [1.0], [0.0]]])
    >>> ReleasedNorm(1)(torch.zeros(1, 1), along_y, torch.tensor([0]), 1)[1].amax() > 1e5  # divided by almost nothing
    tensor(True)
    """

    def forward(self, s: Tensor, v: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v], ``batch`` [N]) -> the same shapes."""

        def mean(x: Tensor) -> Tensor:
            return mean_over_graph(x, batch, num_graphs).index_select(0, batch)

        centred = s - mean(s.mean(dim=1, keepdim=True))
        s = self.weight * centred / (mean(centred.square().mean(dim=1, keepdim=True)) + self.epsilon) + self.bias
        q = mean(v[:, 0].square().sum(dim=1, keepdim=True)) + self.epsilon
        return s, v / q.unsqueeze(2)


def with_released_norm(model: EQGAT) -> EQGAT:
    """The model, changed in place, with every equivariant norm replaced by ``ReleasedNorm``.

    Raises:
        UserError: the model has no norm to replace.

    >>> type(with_released_norm(EQGAT(num_elements=9, out_channels=1, norm="equivariant")).norms[0]).__name__
    'ReleasedNorm'
    """
    if not model.norms:
        raise UserError('the model has no norm; build it with norm="equivariant" first')
    weights = [weight for name, weight in model.norms.named_parameters() if name.endswith("weight")]
    norms = nn.ModuleList(ReleasedNorm(len(weight)) for weight in weights)
    norms.load_state_dict(model.norms.state_dict())
    model.norms = norms.to(model.embedding.weight)
    return model


def with_vector_bias(model: EQGAT, bias: float = 0.1) -> EQGAT:
    """The model, changed in place, with a bias on the vectors of its first update: a negative control.

    One number per channel is added to x, y and z alike, as ``nn.Linear`` does unless told not to: a vector along
    (1, 1, 1) that stays where it is when the molecule turns.

    >>> with_vector_bias(EQGAT(num_elements=9, out_channels=1)).layers[0].update.vector_out.bias[:2]
    tensor([0.1000, 0.1000], grad_fn=...)
    """
    update: Any = model.layers[0].update
    biased = nn.Linear(*update.vector_out.weight.shape[::-1]).to(update.vector_out.weight)
    biased.load_state_dict({"weight": update.vector_out.weight, "bias": torch.full_like(biased.bias, bias)})
    update.vector_out = biased
    return model
