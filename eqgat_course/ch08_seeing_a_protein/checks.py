"""Checks of the exercises of notebook 08: attention received, upright arrows, a colour that knows left from right."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eqgat.symmetry import random_reflection, random_rotation
from eqgat_course.exercises import between, call, close, exercise, expect, expect_close, gaussian, read, seeded
from eqgat_course.shapes import best_plane, out_of_plane


@exercise("08.1", "How much attention an atom receives", "predict")
def mean_received(answer: Any) -> None:
    expect_close(
        answer,
        1.0,
        "each of the N atoms gives away a fixed total. How much is that, and among how many atoms is it shared out?",
        {
            "that is about the mean of α over the edges; here all edges out of one atom are added up.": 1 / 15.8,
            "that is the mean number of neighbours; an edge does not carry 1, the edges into one atom together do.": 15.8,
            "that is what all atoms receive together; the mean is over the atoms.": 459.0,
        },
        atol=1e-2,
    )


@exercise("08.2", "How upright an arrow stands", "implement", points=2)
def upright(answer: Any) -> None:
    flat, vectors, middle = gaussian(82, (int(between(81, 6, 12)), 3), (int(between(84, 4, 9)), 3), (3,))
    positions = (flat * torch.tensor([2.0, 1.2, 0.02])) @ random_rotation(seeded(82)).T + 20 * middle
    normal, _ = best_plane(positions)
    right = out_of_plane(vectors, normal)
    actual = read(call(answer, vectors, positions))
    centred = positions - positions.mean(dim=0)
    axes = torch.linalg.svd(centred, full_matrices=True)[2]
    uncentred = torch.linalg.svd(positions, full_matrices=True)[2][2]
    length = vectors.norm(dim=1)
    expect_close(
        actual,
        right,
        "for each vector the size of its component along the normal, divided by its own length.",
        {
            "the positions are not centred: their middle is far from the origin, and so the plane is another one.": (
                vectors @ uncentred
            ).abs()
            / length,
            "this is the first axis of the decomposition, along which the atoms spread most. The normal is the last.": (
                vectors @ axes[0]
            ).abs()
            / length,
            "this is the second axis of the decomposition, still in the plane. The normal is the last.": (
                vectors @ axes[1]
            ).abs()
            / length,
            "not divided by the length of each vector: a long arrow is not more upright than a short one.": (
                vectors @ normal
            ).abs(),
            "this is the share that lies in the plane: 0 for an upright arrow.": (1 - right.square()).sqrt(),
            "the sign is left in: a normal has no sign of its own, so the share must not have one.": vectors
            @ normal
            / length,
            "the sign is left in: a normal has no sign of its own, so its share must not have one.": -(vectors @ normal)
            / length,
        },
    )
    turn = random_rotation(seeded(83))
    expect_close(
        call(answer, vectors @ turn.T, positions @ turn.T),
        right,
        "right as the atoms lie, but it changes when atoms and vectors are turned together.",
    )


@exercise("08.3", "A colour that knows left from right", "break it", points=2)
def handed_colour(answer: Any) -> None:
    polar, axial = gaussian(85, *[(int(between(86, 12, 30)), 3)] * 2)

    def colour(p: Tensor, x: Tensor) -> Tensor:
        result = read(call(answer, p, x)).to(torch.float64)
        expect(result.shape == p.shape[:1], "return one number for each atom: [N] from two arrays [N, 3].")
        return result

    before = colour(polar, axial)
    expect(before.isfinite().all(), "some of the colours are NaN or infinite.")
    for seed in range(3):
        turn = random_rotation(seeded(seed))
        expect(
            close(colour(polar @ turn.T, axial @ turn.T), before, rtol=1e-4),
            "this colour changes when the protein is turned. Use what does not: lengths and dot products.",
        )
    mirror = random_reflection(seeded(3))
    after = colour(polar @ mirror.T, -axial @ mirror.T)
    expect(
        not close(after, before, rtol=1e-4),
        "the mirror image gets the same colours. In a mirror Q a polar vector becomes Q p, an axial one -Q x: "
        "lengths stay as they are. Which product of the two does not?",
    )
    expect(
        close(after, -before, rtol=1e-4),
        "it tells the mirror image from the molecule, but the colours are not opposite: a diverging colour map "
        "needs a number that only changes its sign.",
    )
