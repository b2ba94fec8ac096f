"""The radial basis: equal to its formula, right at the limits, smooth at the cutoff, orthonormal."""

from __future__ import annotations

import math

import pytest
import torch

from eqgat.radial import BesselBasis, bessel_basis, polynomial_envelope

C = 4.5


def test_bessel_basis_equals_formula_and_its_limit():
    d = torch.tensor([0.7, 1.5, 3.3, 4.5], dtype=torch.float64)
    k = torch.arange(1, 9, dtype=torch.float64)
    expected = math.sqrt(2 / C) * torch.sin(k * math.pi * d[:, None] / C) / d[:, None]
    assert torch.allclose(bessel_basis(d, C, 8), expected, atol=1e-14)
    at_zero = bessel_basis(torch.zeros(1, dtype=torch.float64), C, 8)[0]
    assert torch.allclose(at_zero, math.sqrt(2 / C) * k * math.pi / C)


def test_value_by_hand():
    """c = 2, d = 1, k = 1: sqrt(2/2) sin(π/2) / 1 = 1; k = 2: sin(π) = 0. Envelope at x = 1/2, p = 6."""
    assert torch.allclose(bessel_basis(torch.tensor([1.0]), 2.0, 2), torch.tensor([[1.0, 0.0]]), atol=1e-6)
    # 1 - 28/64 + 48/128 - 21/256 = (256 - 112 + 96 - 21) / 256
    assert polynomial_envelope(torch.tensor(1.0), 2.0).item() == pytest.approx(219 / 256)


def test_derivative_at_zero_vanishes():
    d = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(bessel_basis(d, C, 8).sum(), d)
    assert gradient.item() == 0


def test_second_derivative_at_zero_is_that_of_the_formula():
    """G_k'' = -sqrt(2/c) (kπ/c)^3 / 3 at d = 0; torch.sinc gives NaN there."""
    d = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    k = torch.arange(1, 9, dtype=torch.float64)
    for number in range(8):
        (first,) = torch.autograd.grad(bessel_basis(d, C, 8)[0, number], d, create_graph=True)
        (second,) = torch.autograd.grad(first, d)
        expected = -math.sqrt(2 / C) * (k[number] * math.pi / C) ** 3 / 3
        assert second.item() == pytest.approx(expected.item(), rel=1e-12)


def test_near_zero_the_series_continues_the_formula():
    """Value and derivative on both sides of the distance where the series ends, against more terms.

    At the last distance the first term that the series leaves out is 3e-12 of the value: there it would be seen.
    """
    for d in (1e-12, 1e-5, 0.99e-3 * C / math.pi, 1.01e-3 * C / math.pi, 1e-2, 0.05 * C / math.pi):
        distance = torch.tensor(d, dtype=torch.float64, requires_grad=True)
        value = bessel_basis(distance, C, 1)[0]
        (slope,) = torch.autograd.grad(value, distance)
        x, scale = math.pi * d / C, math.sqrt(2 / C) * math.pi / C
        assert value.item() == pytest.approx(scale * (1 - x**2 / 6 + x**4 / 120 - x**6 / 5040), rel=1e-14, abs=0)
        expected = scale * math.pi / C * (-x / 3 + x**3 / 30 - x**5 / 840)
        assert slope.item() == pytest.approx(expected, rel=1e-6, abs=0)


def test_first_and_second_derivatives_equal_finite_differences():
    d = torch.tensor([0.4, 1.5, 3.3, 4.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(BesselBasis(4, C), d)
    assert torch.autograd.gradgradcheck(BesselBasis(4, C), d)


def test_bessel_basis_is_orthonormal():
    """The integral of G_k G_l d^2 over 0..c is 1 for k = l and 0 otherwise (midpoint rule)."""
    n = 20000
    d = (torch.arange(n, dtype=torch.float64) + 0.5) * C / n
    basis = bessel_basis(d, C, 6)
    gram = (basis * d[:, None] ** 2).T @ basis * C / n
    assert torch.allclose(gram, torch.eye(6, dtype=torch.float64), atol=1e-6)


def test_envelope_and_two_derivatives_vanish_at_the_cutoff():
    d = torch.tensor([C * (1 - 1e-9)], dtype=torch.float64, requires_grad=True)
    value = polynomial_envelope(d, C)
    (first,) = torch.autograd.grad(value, d, create_graph=True)
    (second,) = torch.autograd.grad(first, d)
    assert abs(value.item()) < 1e-12
    assert abs(first.item()) < 1e-12
    assert abs(second.item()) < 1e-6  # the third derivative does not vanish, so κ'' falls linearly
    assert polynomial_envelope(torch.tensor([0.0, C, 5.0, 100.0]), C).tolist() == [1, 0, 0, 0]


def test_the_module_multiplies_envelope_and_basis():
    d = torch.tensor([0.5, 2.0, 4.4], dtype=torch.float64)
    expected = polynomial_envelope(d, C, 4)[:, None] * bessel_basis(d, C, 8)
    assert torch.equal(BesselBasis(8, C, exponent=4)(d), expected)
    assert BesselBasis(8, C)(torch.tensor([C, 5.0])).abs().max() == 0


def test_bad_options_are_refused():
    for options in [(0, C), (8, 0.0), (8, -1.0), (8, float("nan")), (8, float("inf"))]:
        with pytest.raises(ValueError, match="num_radial >= 1, cutoff > 0"):
            BesselBasis(*options)
    with pytest.raises(ValueError, match="exponent >= 2"):
        BesselBasis(8, C, exponent=1)
