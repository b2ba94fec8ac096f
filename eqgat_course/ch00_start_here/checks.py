"""Checks of notebook 00, Start here."""

from __future__ import annotations

from typing import Any

import torch

from eqgat.symmetry import random_rotation
from eqgat_course.exercises import call, close, exercise, expect, expect_close, seeded


def _cloud() -> torch.Tensor:
    return torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seeded(5))) * 3 + 20


@exercise("00.1", "what a translation does", "predict", points=1)
def translation(answer: Any) -> None:
    """The features depend on differences of positions alone."""
    expect(
        answer != "v",
        "vectors rotate with the molecule, but does the arrow from one atom to another notice that both were shifted?",
    )
    expect(answer != "s", "scalars are made from distances. Does a distance change when both atoms are shifted?")
    expect(answer != "both", "compute p_i - p_j before and after adding the same shift t to both positions")
    expect(answer == "neither", 'the answer is one of the words "s", "v", "both" or "neither"')


@exercise("00.2", "a descriptor that does not turn", "implement", points=2)
def radius_of_gyration(answer: Any) -> None:
    """sqrt(mean |p_i - mean p|^2), on a cloud away from the origin."""
    pos = _cloud()
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
        },
    )


@exercise("00.3", "a descriptor that turns", "break it", points=1)
def not_rotation_invariant(answer: Any) -> None:
    """One number that a translation keeps and a rotation changes."""
    pos = _cloud()
    value = torch.as_tensor(call(answer, pos))
    expect(value.numel() == 1, f"one number is asked for; yours has the shape {list(value.shape)}")
    expect(
        close(call(answer, pos + 7.0), value, atol=1e-6),
        "a translation changes it already. Subtract the mean position first, so that only the rotation matters.",
    )
    expect(
        any(not close(call(answer, pos @ random_rotation(seed).T), value, rtol=1e-3) for seed in range(3)),
        "rotations leave it alone: it is invariant. Use something that depends on the axes, such as one coordinate.",
    )
