"""Checks of notebook 00, Start here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eqgat.symmetry import random_rotation
from eqgat_course.exercises import (
    between,
    call,
    close,
    exercise,
    expect,
    expect_choice,
    expect_close,
    gaussian,
    read,
    seeded,
)


def _cloud(seed: int) -> Tensor:
    """Atoms in a cloud of three widths, away from the origin, [N, 3]."""
    widths, centre = torch.tensor([2.0, 3.0, 5.0]), torch.tensor([20.0, -15.0, 8.0])
    return gaussian(seed, (int(between(seed, 20, 50)), 3))[0] * widths + centre


@exercise("00.1", "What a translation does", "predict", points=1)
def translation(answer: Any) -> None:
    """The features depend on differences of positions alone."""
    expect_choice(
        answer,
        "neither",
        {
            "v": "vectors rotate with the molecule, but does the arrow from one atom to another notice that both were "
            "shifted?",
            "s": "scalars are made from distances. Does a distance change when both atoms are shifted?",
            "both": "compute p_i - p_j before and after adding the same shift t to both positions",
        },
    )


@exercise("00.2", "A descriptor that does not turn", "implement", points=2)
def radius_of_gyration(answer: Any) -> None:
    """sqrt(mean |p_i - mean p|^2), on two clouds away from the origin."""
    for seed in (5, 6):
        pos = _cloud(seed)
        centred = pos - pos.mean(dim=0)
        squares = centred.square().sum(dim=1)
        expect_close(
            call(answer, pos),
            squares.mean().sqrt(),
            "take each atom's distance from the centre (the mean position), square it, average over the atoms, "
            "and take the root",
            {
                "the atoms are measured from the origin; subtract their mean position first": pos.square()
                .sum(dim=1)
                .mean()
                .sqrt(),
                "summed over the atoms instead of averaged: more atoms do not make it wider": squares.sum().sqrt(),
                "the root is missing: the result would be in Å^2": squares.mean(),
                "averaged over the three coordinates too; sum the squares of x, y and z of an atom": centred.square()
                .mean()
                .sqrt(),
                "this is the mean distance; the radius of gyration is the root of the mean square": squares.sqrt().mean(),
                "divided by N - 1, as torch.std and torch.var do; the mean over the atoms divides by N": (
                    squares.sum() / (len(pos) - 1)
                ).sqrt(),
            },
        )


@exercise("00.3", "A descriptor that turns", "break it", points=1)
def not_rotation_invariant(answer: Any) -> None:
    """One number that a translation keeps and a rotation changes."""
    pos = _cloud(5)
    value = read(call(answer, pos))
    expect(value.numel() == 1, f"one number is asked for; yours has the shape {list(value.shape)}")
    expect(value.isfinite().all(), "the number is NaN or infinite")
    expect(close(call(answer, pos), value), "it gives another number when it is called again with the same positions")
    expect(
        all(close(call(answer, pos + 10 * shift), value, atol=1e-6) for shift in gaussian(7, (3,), (3,), (3,))),
        "a translation changes it already. Subtract the mean position first, so that only the rotation matters.",
    )
    turns = [random_rotation(seeded(seed)) for seed in range(3)]
    expect(
        any(not close(call(answer, pos @ turn.T), value, rtol=1e-3, atol=1e-6) for turn in turns),
        "rotations leave it alone: it is invariant. Use something that depends on the axes, such as one coordinate.",
    )
