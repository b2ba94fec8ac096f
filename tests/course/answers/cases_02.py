"""Right and wrong answers to the exercises of notebook 02."""

import math

import torch
from case import Case, choice, constant, in_float32, in_numpy

from eqgat.radial import bessel_basis, polynomial_envelope


def _wave(first=1, factor=math.pi, divide=True, norm=True, limit=None):
    def answer(d, cutoff, num_radial):
        k = torch.arange(first, num_radial + first, dtype=d.dtype)
        column = d.unsqueeze(1)
        wave = torch.sin(k * factor * column / cutoff) * (math.sqrt(2 / cutoff) if norm else 1)
        if not divide:
            return wave
        if limit is None:
            return wave / column
        return torch.where(column == 0, limit * math.sqrt(2 / cutoff) * k * math.pi / cutoff, wave / column)

    return answer


def _polynomial(signs=(1, -1, 1, -1), scaled=True, order=(0, 1, 2), fixed=None, cut=True):
    def answer(d, cutoff, exponent):
        p = fixed or exponent
        x = d / cutoff if scaled else d
        size = ((p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2)
        terms = [1.0, *(size[order[n]] * x ** (p + n) for n in range(3))]
        value = sum(sign * term for sign, term in zip(signs, terms, strict=True))
        return torch.where(d < cutoff, value, 0.0) if cut else value

    return answer


def basis_in_a_loop(d, cutoff, num_radial):
    columns = [torch.sinc(k * d / cutoff) * k * math.pi / cutoff for k in range(1, num_radial + 1)]
    return math.sqrt(2 / cutoff) * torch.stack(columns, dim=1)


def basis_with_safe_division(d, cutoff, num_radial):
    k = torch.arange(1, num_radial + 1) * math.pi / cutoff  # whole numbers times a float: float32
    column = d.unsqueeze(1)
    safe = torch.where(column == 0, 1.0, column)
    return math.sqrt(2 / cutoff) * torch.where(column == 0, k, torch.sin(k * safe) / safe)


def basis_by_recurrence(d, cutoff, num_radial):
    """Chebyshev: sin((k+1)x) = 2 cos(x) sin(kx) - sin((k-1)x), all divided by d."""
    x = d * math.pi / cutoff
    waves = [torch.zeros_like(d), torch.sinc(d / cutoff) * math.pi / cutoff]
    for _ in range(num_radial - 1):
        waves.append(2 * torch.cos(x) * waves[-1] - waves[-2])
    return torch.stack(waves[1:], dim=1) * math.sqrt(2 / cutoff)


def horner(d, cutoff, p):
    x = (d / cutoff).clamp(max=1)
    return 1 - x**p * ((p + 1) * (p + 2) / 2 - x * (p * (p + 2) - x * p * (p + 1) / 2))


def piecewise(d, cutoff):
    """One, then a parabola that touches zero: bent at c."""
    x = d / cutoff
    return torch.where(x < 0.5, 1 - 2 * x**2, 2 * (1 - x) ** 2)


CASES = {
    "02.1": Case(
        right=[
            bessel_basis,
            basis_in_a_loop,
            basis_with_safe_division,
            basis_by_recurrence,
            in_float32(bessel_basis),
            torch.func.vmap(lambda d, c, k: bessel_basis(d[None], c, k)[0], in_dims=(0, None, None)),
        ],
        wrong=[
            (_wave(divide=False), "division by d is missing"),
            (_wave(norm=False), "sqrt(2/c) is missing"),
            (_wave(first=0), "counts from 0"),
            (_wave(factor=1.0), "π is missing"),
            (_wave(), "divides 0 by 0"),
            (_wave(limit=0.0), "you return zero"),
            (_wave(limit=1.0), "derivative is NaN"),
            (lambda d, c, k: torch.sinc(d.unsqueeze(1) * torch.arange(1, k + 1) / c), "bare sinc"),
            (lambda d, c, k: bessel_basis(d * math.pi, c, k), "π is there twice"),
            (lambda d, c, k: bessel_basis(d, c, k).T, "shape is [K, E]"),
            (lambda d, c, k: bessel_basis(d, c, k).squeeze(), "wrong for a single one"),
            (lambda d, c, k: bessel_basis(d + 1e-12, c, k).detach(), "no gradient gets through"),
            (lambda d, c, k: bessel_basis(d, c, k) * (1 + d[:, None]), "compute one entry"),
            (constant(torch.ones(9, 5)), "compute one entry"),
        ],
    ),
    "02.2": Case(
        right=[
            polynomial_envelope,
            _polynomial(),
            horner,
            in_numpy(lambda d, c, p: horner(torch.tensor(d), c, p).numpy()),
            in_float32(horner),
        ],
        wrong=[
            (_polynomial(scaled=False), "not d in Å"),
            (_polynomial(signs=(0, 1, -1, 1)), "one minus"),
            (_polynomial(signs=(1, 1, -1, 1)), "signs alternate"),
            (_polynomial(signs=(0, -1, 1, -1)), "leading 1"),
            (_polynomial(order=(2, 1, 0)), "exchanged"),
            (_polynomial(fixed=6), "p = 6 alone"),
            (_polynomial(cut=False), "beyond the cutoff"),
            (lambda d, c, p: polynomial_envelope(d, 5.0, p), "wrong for p = 6 inside"),
        ],
    ),
    "02.3": Case(
        right=choice("b"),
        wrong=[("a", "radial part"), ("(C)", "[s_i || s_j || 0]"), ("d", "denominators"), ("z", "letters")],
    ),
    "02.4": Case(
        right=[
            lambda d, c: (1 - d / c) ** 2,
            lambda d, c: 0.5 * (1 + torch.cos(math.pi * d / c)),
            lambda d, c: 1 - 3 * (d / c) ** 2 + 2 * (d / c) ** 3,
            piecewise,
            in_float32(lambda d, c: (d / c - 1).square()),
        ],
        wrong=[
            (polynomial_envelope, "nothing is broken"),
            (lambda d, c: 1 - d / c, "slope at c"),
            (lambda d, c: (d / c) ** 2, "κ(0)"),
            (lambda d, c: 1 - (d / c) ** 2 / 2, "κ(c)"),
            (lambda d, c: 1.0, "one number for each distance"),
            (lambda d, c: ((1 - d / c) ** 2).detach(), "PyTorch can differentiate"),
            (lambda d, c: (1 - d / 8.0) ** 2, "κ(c)"),
            (lambda d, c: (1 - d / c) ** 2 + (1 - d / c).abs().sqrt() * 0, "NaN"),
        ],
    ),
}
