"""Right and wrong answers to the exercises of notebook 02."""

import math

import torch

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


CASES = {
    "02.1": {
        "solution": bessel_basis,
        "wrong": [
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
        ],
    },
    "02.2": {
        "solution": polynomial_envelope,
        "wrong": [
            (_polynomial(scaled=False), "not d in Å"),
            (_polynomial(signs=(0, 1, -1, 1)), "one minus"),
            (_polynomial(signs=(1, 1, -1, 1)), "signs alternate"),
            (_polynomial(signs=(0, -1, 1, -1)), "leading 1"),
            (_polynomial(order=(2, 1, 0)), "exchanged"),
            (_polynomial(fixed=6), "p = 6 alone"),
            (_polynomial(cut=False), "beyond the cutoff"),
        ],
    },
    "02.3": {
        "solution": "b",
        "wrong": [("a", "radial part"), ("c", "[s_i || s_j || 0]"), ("d", "denominators"), ("z", "letters")],
    },
    "02.4": {
        "solution": lambda d, c: 0.5 * (1 + torch.cos(math.pi * d / c)),
        "wrong": [
            (polynomial_envelope, "nothing is broken"),
            (lambda d, c: 1 - d / c, "slope at c"),
            (lambda d, c: (d / c) ** 2, "κ(0)"),
            (lambda d, c: 1 - (d / c) ** 2 / 2, "κ(c)"),
            (lambda d, c: 1.0, "shape of d"),
        ],
    },
}
