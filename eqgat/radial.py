"""The radial part of the edge embedding: Bessel basis and polynomial envelope (Section 3, reference [9])."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from eqgat.errors import UserError

__all__ = ["BesselBasis", "bessel_basis", "polynomial_envelope"]


def polynomial_envelope(distance: Tensor, cutoff: float, exponent: int = 6) -> Tensor:
    """Smooth step κ(d) from 1 at d = 0 to 0 at d = c, where κ, κ' and κ'' vanish (Section 3; [9], Eq. 8).

    With x = d / c and exponent p:
    κ = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2) for x < 1, and 0 beyond.

    Args:
        distance: d, any shape, in Å.
        cutoff: c in Å.
        exponent: p, a whole number of at least 2 (below, κ has a kink at d = 0); 6 in the paper's reference.

    Returns:
        κ(d), same shape, without unit.

    >>> polynomial_envelope(torch.tensor([0.0, 2.25, 4.5]), cutoff=4.5)
    tensor([1.0000, 0.8555, 0.0000])
    """
    p, x = exponent, distance / cutoff
    value = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    return torch.where(x < 1, value, 0.0)


def bessel_basis(distance: Tensor, cutoff: float, num_radial: int) -> Tensor:
    """Radial Bessel functions G_k(d) = sqrt(2/c) sin(k π d / c) / d, k = 1..K (Section 3; [9], Eq. 7).

    Written with x = k π d / c as sqrt(2/c) (kπ/c) sin(x)/x, and near 0 with the series of sin(x)/x, it has the right
    limit sqrt(2/c) kπ/c at d = 0 and the right first and second derivatives, without a division by zero.

    Args:
        distance: d [...], in Å.
        cutoff: c in Å.
        num_radial: K.

    Returns:
        G(d) [..., K], in Å^(-3/2).

    >>> bessel_basis(torch.tensor([0.0, 1.0]), cutoff=2.0, num_radial=1)
    tensor([[1.5708],
            [1.0000]])
    """
    wave = math.pi / cutoff * torch.arange(1, num_radial + 1, device=distance.device, dtype=distance.dtype)
    x = distance.unsqueeze(-1) * wave
    small = x < 1e-3  # where the next term of the series, x^6 / 5040, is below rounding
    divisor = torch.where(small, 1.0, x)
    series = 1 - x.square() / 6 + x.square().square() / 120
    return math.sqrt(2 / cutoff) * wave * torch.where(small, series, divisor.sin() / divisor)


class BesselBasis(nn.Module):
    """κ(d) G_d(d): K radial functions scaled by the envelope, as they enter Eq. 1. No trainable parameters.

    Raises:
        UserError: ``num_radial`` below 1, a cutoff (Å) that is not positive and finite, an exponent below 2.

    >>> BesselBasis(num_radial=8, cutoff=4.5)(torch.tensor([1.5, 4.5])).shape
    torch.Size([2, 8])
    """

    def __init__(self, num_radial: int, cutoff: float, exponent: int = 6) -> None:
        super().__init__()
        if num_radial < 1 or not 0 < cutoff < math.inf or exponent < 2:
            raise UserError(
                f"need num_radial >= 1, cutoff > 0 Å and exponent >= 2; got {num_radial}, {cutoff} and {exponent}"
            )
        self.num_radial, self.cutoff, self.exponent = num_radial, float(cutoff), exponent

    def forward(self, distance: Tensor) -> Tensor:
        """``distance`` [E] in Å -> ``radial`` [E, K]."""
        envelope = polynomial_envelope(distance, self.cutoff, self.exponent)
        return envelope.unsqueeze(-1) * bessel_basis(distance, self.cutoff, self.num_radial)
