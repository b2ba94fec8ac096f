"""Checks of notebook 02: the radial basis."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from eqgat.radial import bessel_basis, polynomial_envelope
from eqgat_course.exercises import (
    CheckFailed,
    between,
    call,
    exercise,
    expect,
    expect_choice,
    expect_close,
    gradient,
    read,
)


def _grid(start: float, stop: float, number: int = 9) -> Tensor:
    return torch.linspace(start, stop, number, dtype=torch.float64)


@exercise("02.1", "The Bessel basis and its limit", "implement", points=2)
def bessel(function: Any) -> None:
    cutoff, number = between(1, 3.0, 6.0), int(between(2, 4, 9))
    d = _grid(0.3, cutoff - 0.1, int(between(3, 9, 14)))
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
    expect_close(
        call(function, d, cutoff, 1),
        right[:, :1],
        f"right for {number} functions, wrong for a single one, whose shape is [{len(d)}, 1]",
    )
    zero = torch.zeros(2, dtype=torch.float64)
    expect_close(
        call(function, zero, cutoff, number),
        bessel_basis(zero, cutoff, number),
        "at d = 0 the value should be the limit sqrt(2/c) kπ/c. The formula as printed divides 0 by 0 there",
        {"at d = 0 you return zero; the limit is sqrt(2/c) kπ/c": torch.zeros(2, number)},
    )
    slope = gradient(function, [zero, cutoff, number], 0)
    if slope is None:
        raise CheckFailed(
            "the values are right, but no gradient gets through: they are computed outside PyTorch, or detached from d"
        )
    expect(
        slope.isfinite().all(),
        "the value at d = 0 is right, but its derivative is NaN: where a division 0 / 0 is computed, and torch.where takes "
        "the other branch, the gradient is still 0 times infinity. Avoid the division: torch.sinc",
    )
    expect_close(slope, torch.zeros(2), "the slope at d = 0 should be zero: every G_k is even in d")


@exercise("02.2", "The envelope for any exponent", "implement", points=2)
def envelope(function: Any) -> None:
    cutoff = between(4, 3.0, 6.0)
    for p in (6, int(between(5, 2, 6)), int(between(6, 7, 10))):
        d = _grid(0.0, cutoff - 0.1)
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
    beyond = _grid(cutoff, 2 * cutoff)
    expect_close(
        call(function, beyond, cutoff, 6),
        torch.zeros_like(beyond),
        "beyond the cutoff the envelope is zero. The polynomial alone is not: it runs far from zero there, "
        "so choose by torch.where(x < 1, ...)",
    )


@exercise("02.3", "A neighbour leaves", "predict")
def at_the_cutoff(answer: Any) -> None:
    expect_choice(
        answer,
        "b",
        {
            "a": "the envelope damps the radial part of e_ji alone. What else stands in the brackets of Eq. 1, and does it "
            "know the distance?",
            "c": "at d = c the basis functions are zero, yet nothing is divided by them. What does an MLP return for the "
            "input [s_i || s_j || 0]?",
            "d": "the message of an edge is used in full until the edge is gone. Ask what the sum loses in that moment, "
            "and what happens to the denominators of the softmax and of the mean",
        },
    )


@exercise("02.4", "All conditions but the last", "break it", points=2)
def third_condition(function: Any) -> None:
    cutoff = between(7, 3.5, 6.0)
    d = torch.tensor([0.0, cutoff / 2, cutoff - 1e-7, cutoff], dtype=torch.float64)
    value = read(call(function, d, cutoff))
    expect(
        value.shape == d.shape, f"return one number for each distance, {list(d.shape)}; yours are {list(value.shape)}"
    )
    expect(value.isfinite().all(), "some values are NaN or infinite")
    d.requires_grad_()
    value = call(function, d, cutoff)
    expect(
        isinstance(value, Tensor) and value.requires_grad,
        "the value does not depend on d in a way that PyTorch can differentiate",
    )
    (slope,) = torch.autograd.grad(value.sum(), d, create_graph=True)
    curvature = (torch.autograd.grad(slope.sum(), d)[0] if slope.requires_grad else torch.zeros_like(d)).detach()
    value, slope = value.detach(), slope.detach()
    expect(
        slope.isfinite().all() and curvature.isfinite().all(), "the slope or the curvature is NaN or infinite somewhere"
    )
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
