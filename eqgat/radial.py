"""The radial part of the edge embedding: Bessel basis and polynomial envelope (Section 3, reference [9])."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

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
    """
    p, x = exponent, distance / cutoff
    value = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    return torch.where(x < 1, value, 0.0)


def bessel_basis(distance: Tensor, cutoff: float, num_radial: int) -> Tensor:
    """Radial Bessel functions G_k(d) = sqrt(2/c) sin(k π d / c) / d, k = 1..K (Section 3; [9], Eq. 7).

    Written with sinc(x) = sin(πx)/(πx) as G_k = sqrt(2/c) (kπ/c) sinc(k d / c), which has the right limit
    sqrt(2/c) kπ/c at d = 0, and the right derivative (zero), without a division by d.

    Args:
        distance: d [...], in Å.
        cutoff: c in Å.
        num_radial: K.

    Returns:
        G(d) [..., K], in Å^(-3/2).
    """
    order = torch.arange(1, num_radial + 1, device=distance.device, dtype=distance.dtype)
    return math.sqrt(2 / cutoff) * (math.pi / cutoff) * order * torch.sinc(distance.unsqueeze(-1) * order / cutoff)


class BesselBasis(nn.Module):
    """κ(d) G_d(d): K radial functions scaled by the envelope, as they enter Eq. 1. No trainable parameters.

    Raises:
        ValueError: ``num_radial`` below 1, a cutoff (Å) that is not positive, an exponent below 2.
    """

    def __init__(self, num_radial: int, cutoff: float, exponent: int = 6) -> None:
        super().__init__()
        if num_radial < 1 or not cutoff > 0 or exponent < 2:
            raise ValueError(
                f"need num_radial >= 1, cutoff > 0 Å and exponent >= 2; got {num_radial}, {cutoff} and {exponent}"
            )
        self.num_radial, self.cutoff, self.exponent = num_radial, float(cutoff), exponent

    def forward(self, distance: Tensor) -> Tensor:
        """``distance`` [E] in Å -> ``radial`` [E, K]."""
        envelope = polynomial_envelope(distance, self.cutoff, self.exponent)
        return envelope.unsqueeze(-1) * bessel_basis(distance, self.cutoff, self.num_radial)
