"""Right and wrong answers to the exercises of notebook 08."""

from fractions import Fraction

import numpy as np
import torch
from case import Case, in_float32, in_numpy


def upright(vectors, positions, axis=2, centre=True, divide=True, absolute=True):
    if centre:
        positions = positions - positions.mean(dim=0)
    component = vectors @ torch.linalg.svd(positions)[2][axis]
    if divide:
        component = component / vectors.norm(dim=1)
    return component.abs() if absolute else component


def upright_by_eigenvectors(vectors, positions):
    centred = positions - positions.mean(dim=0)
    normal = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, 0]
    return torch.stack([abs(torch.dot(v, normal)) / torch.linalg.norm(v) for v in vectors])


def upright_from_the_rest(vectors, positions):
    """Pythagoras: what is not in the plane."""
    axes = torch.linalg.svd(positions - positions.mean(dim=0))[2][:2]
    return (1 - (vectors @ axes.T).square().sum(dim=1) / vectors.square().sum(dim=1)).clamp(min=0).sqrt()


def upright_in_numpy(vectors, positions):
    _, _, axes = np.linalg.svd(positions - positions.mean(axis=0))
    return np.abs(vectors @ axes[2]) / np.linalg.norm(vectors, axis=1)


CASES = {
    "08.1": Case(
        right=[1.0, 1, "1", torch.ones(1), Fraction(459, 459), np.float32(1.0)],
        wrong=[
            (1 / 15.8, "mean of α over the edges"),
            (15.8, "number of neighbours"),
            ("459", "all atoms receive"),
            (2.0, "gives away a fixed total"),
            ("all", "a number or tensor is expected"),
        ],
    ),
    "08.2": Case(
        right=[
            upright,
            upright_by_eigenvectors,
            upright_from_the_rest,
            in_numpy(upright_in_numpy),
            in_float32(upright),
        ],
        wrong=[
            (lambda v, p: upright(v, p, axis=0), "first axis"),
            (lambda v, p: upright(v, p, axis=1), "second axis"),
            (lambda v, p: upright(v, p, centre=False), "not centred"),
            (lambda v, p: upright(v, p, divide=False), "not divided by the length"),
            (lambda v, p: upright(v, p, absolute=False), "sign is left in"),
            (lambda v, p: (1 - upright(v, p) ** 2).sqrt(), "lies in the plane"),
            (lambda v, p: v[:, 2].abs() / v.norm(dim=1), "the size of its component along the normal"),
            (lambda v, p: upright(v, p).max(), "shape should be"),
        ],
    ),
    "08.3": Case(
        right=[
            lambda p, x: (p * x).sum(dim=1),
            lambda p, x: torch.cosine_similarity(p, x),
            in_numpy(lambda p, x: np.einsum("ni,ni->n", p, x) ** 3),
            lambda p, x: [float(a @ b) for a, b in zip(p, x, strict=True)],
            in_float32(lambda p, x: torch.tanh((p * x).sum(dim=1)) * p.norm(dim=1)),
        ],
        wrong=[
            (lambda p, x: p[:, 2], "changes when the protein is turned"),
            (lambda p, x: p.norm(dim=1), "the mirror image gets the same colours"),
            (lambda p, x: (p * x).sum(dim=1) * 0, "the mirror image gets the same colours"),
            (lambda p, x: (p + x).norm(dim=1), "not opposite"),
            (lambda p, x: (p * x).sum(dim=1) + 1, "not opposite"),
            (lambda p, x: (p * x).sum(), "one number for each atom"),
            (lambda p, x: (p * x).sum(dim=1).log(), "NaN or infinite"),
        ],
    ),
}
