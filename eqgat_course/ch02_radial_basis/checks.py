"""Checks of notebook 02: the radial basis."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from eqgat.radial import bessel_basis, polynomial_envelope
from eqgat_course.exercises import call, exercise, expect, expect_close, seeded


def _grid(start: float, stop: float, number: int = 9) -> Tensor:
    return torch.linspace(start, stop, number, dtype=torch.float64)


@exercise("02.1", "the Bessel basis and its limit", "implement", points=2)
def bessel(function: Any) -> None:
    cutoff, number = 3.7 + seeded(0) / 5000, 5 + seeded(0) // 1000
    d = _grid(0.3, 3.5)
    right, k = bessel_basis(d, cutoff, number), torch.arange(1, number + 1, dtype=torch.float64)
    column = d.unsqueeze(1)
    formula = math.sqrt(2 / cutoff) * torch.sin(k * math.pi * column / cutoff)
    expect_close(
        call(function, d, cutoff, number),
        right,
        "compute one entry of sqrt(2/c) sin(k π d/c) / d by hand",
        {
            "the division by d is missing: these are the modes of the string, u_k = d G_k": formula,
            "the factor sqrt(2/c) is missing": formula / column / math.sqrt(2 / cutoff),
            "your k counts from 0; the first function has k = 1": math.sqrt(2 / cutoff)
            * torch.sin((k - 1) * math.pi * column / cutoff)
            / column,
            "π is missing. torch.sinc(x) is sin(πx)/(πx), torch.sin(x) has no π in it": math.sqrt(2 / cutoff)
            * torch.sin(k * column / cutoff)
            / column,
            "these are sinc values; the factor kπ/c, which the division by πx took away, has to come back": math.sqrt(
                2 / cutoff
            )
            * torch.sinc(k * column / cutoff),
            "these are bare sinc values; the factors sqrt(2/c) and kπ/c are missing": torch.sinc(k * column / cutoff),
            "π is there twice: torch.sinc(x) is sin(πx)/(πx) already": math.sqrt(2 / cutoff)
            * k
            * math.pi
            / cutoff
            * torch.sinc(k * math.pi * column / cutoff),
            "the shape is [K, E]; one row for each distance is wanted, [E, K]": right.T,
            "the envelope belongs to the next exercise": polynomial_envelope(d, cutoff).unsqueeze(1) * right,
        },
    )
    zero = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    at_zero = call(function, zero, cutoff, number)
    expect_close(
        at_zero,
        bessel_basis(zero.detach(), cutoff, number),
        "at d = 0 the value should be the limit sqrt(2/c) kπ/c. The formula as printed divides 0 by 0 there",
        {"at d = 0 you return zero; the limit is sqrt(2/c) kπ/c": torch.zeros(2, number)},
    )
    (slope,) = torch.autograd.grad(at_zero.sum(), zero)
    expect(
        slope.isfinite().all(),
        "the value at d = 0 is right, but its derivative is NaN: torch.where computes both "
        "branches, and the gradient of the branch not taken is 0 times infinity. Avoid the division: torch.sinc",
    )
    expect_close(slope, torch.zeros(2), "the slope at d = 0 should be zero: every G_k is even in d")


@exercise("02.2", "the envelope for any exponent", "implement", points=2)
def envelope(function: Any) -> None:
    cutoff = 5.0 + seeded(0) / 5000
    for p in (6, 3):
        d = _grid(0.1, 4.9)
        x, right = d / cutoff, polynomial_envelope(d, cutoff, p)
        a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
        fixed = polynomial_envelope(d, cutoff, 6)
        mistakes = {
            "put x = d/c into the powers, not d in Å": 1 - a * d**p + b * d ** (p + 1) - c * d ** (p + 2),
            "this is one minus the envelope: it should be 1 at d = 0": 1 - right,
            "the signs alternate: minus x^p, plus x^(p+1), minus x^(p+2)": 1
            + a * x**p
            - b * x ** (p + 1)
            + c * x ** (p + 2),
            "the leading 1 is missing": right - 1,
            "the first and the last coefficient are exchanged": 1 - c * x**p + b * x ** (p + 1) - a * x ** (p + 2),
        }
        if p != 6:
            mistakes["this is right for p = 6 alone: your coefficients do not depend on p"] = fixed
        expect_close(
            call(function, d, cutoff, p),
            right,
            f"wrong for p = {p} inside the cutoff. At x = 1 value, slope and curvature should be zero",
            mistakes,
        )
    beyond = _grid(cutoff, 9.0)
    expect_close(
        call(function, beyond, cutoff, 6),
        torch.zeros_like(beyond),
        "beyond the cutoff the envelope is zero. The polynomial alone is not: it runs far from zero there, "
        "so choose by torch.where(x < 1, ...)",
    )


@exercise("02.3", "what happens at the cutoff", "predict")
def at_the_cutoff(answer: Any) -> None:
    choice = str(answer).strip().lower()
    expect(choice in ("a", "b", "c", "d"), 'answer with one of the letters "a", "b", "c", "d"')
    expect(
        choice != "a",
        "the envelope damps the radial part of e_ji alone. What else stands in the brackets of Eq. "
        "1, and does it know the distance?",
    )
    expect(
        choice != "c",
        "at d = c the basis functions are zero, yet nothing is divided by them. What does an MLP "
        "return for the input [s_i || s_j || 0]?",
    )
    expect(
        choice != "d",
        "the message of an edge is used in full until the edge is gone. Ask what the sum loses in "
        "that moment, and what happens to the denominators of the softmax and of the mean",
    )


@exercise("02.4", "an envelope that fails the third condition", "break it", points=2)
def third_condition(function: Any) -> None:
    cutoff = 4.0 + seeded(0) / 5000
    d = torch.tensor([0.0, cutoff / 2, cutoff - 1e-7, cutoff], dtype=torch.float64, requires_grad=True)
    value = call(function, d, cutoff)
    expect(isinstance(value, Tensor) and value.shape == d.shape, "return a tensor of the shape of d")
    expect(value.requires_grad, "the value does not depend on d in a way that PyTorch can differentiate")
    (slope,) = torch.autograd.grad(value.sum(), d, create_graph=True)
    curvature = (torch.autograd.grad(slope.sum(), d)[0] if slope.requires_grad else torch.zeros_like(d)).detach()
    value, slope = value.detach(), slope.detach()
    expect(abs(float(value[0]) - 1) < 1e-5, f"κ(0) should be 1, yours is {float(value[0]):.3g}")
    expect(abs(float(value[2])) < 1e-5, f"κ(c) should be 0, yours is {float(value[2]):.3g}")
    expect(
        abs(float(slope[2])) < 1e-5,
        f"the slope at c should be 0, yours is {float(slope[2]):.3g} per Å. That breaks the second condition as well",
    )
    expect(
        abs(float(curvature[2])) > 1e-3,
        "its curvature at c is zero, so the third condition holds and nothing is "
        "broken. Use a function with a simple bend at c, such as (1 - x)²",
    )
