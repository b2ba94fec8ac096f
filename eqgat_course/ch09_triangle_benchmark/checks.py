"""Checks of the exercises of notebook 09: the three targets, a sum of unlike units, a test set that lies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eqgat.symmetry import random_rotation
from eqgat_course.exercises import (
    between,
    call,
    exercise,
    expect,
    expect_choice,
    expect_close,
    gaussian,
    generator,
    read,
    seeded,
)


@exercise("09.1", "The three targets", "implement", points=2)
def three_targets(answer: Any) -> None:
    for seed in (91, 92):
        _expect_targets(answer, seed)


def _expect_targets(answer: Any, seed: int) -> None:
    size = int(between(seed, 10, 20))
    points = 4.0 * gaussian(seed, (size, 3))[0] + 2.0
    special = torch.randperm(size, generator=generator(seed))[:3]
    a, b, c = corners = points[special]
    sides = torch.stack([(a - b).norm(), (b - c).norm(), (c - a).norm()])
    normal = torch.linalg.cross(b - a, c - a)
    distance = (points.mean(dim=0) - corners.mean(dim=0)).norm()
    plain = torch.ones(size, dtype=torch.bool)
    plain[special] = False

    def row(d: Tensor = distance, p: Tensor | None = None, s: Tensor | None = None) -> Tensor:
        return torch.stack([d, sides.sum() if p is None else p, normal.norm() / 2 if s is None else s])

    expect_close(
        call(answer, points, special),
        row(),
        "compare each of the three numbers with the definitions above, one at a time.",
        {
            "the last two are in the order of the released code; the paper's is distance, perimeter, area.": row()[
                [0, 2, 1]
            ],
            "the length of the cross product is the area of the parallelogram; the triangle is half of it.": row(
                s=normal.norm()
            ),
            "the distance is between two centres: that of all points and that of the three corners. Yours starts at the "
            "origin.": row(d=corners.mean(dim=0).norm()),
            "the centre of the structure is that of all points, special ones included.": row(
                d=(points[plain].mean(dim=0) - corners.mean(dim=0)).norm()
            ),
            "the perimeter adds lengths, not squared lengths.": row(p=sides.square().sum()),
            "one side is missing from the perimeter.": row(p=sides.sum() - sides[2]),
        },
    )


@exercise("09.2", "The same clouds in nanometres", "predict")
def nanometres(answer: Any) -> None:
    hints = {
        "a": "the area is in Å², and its error squared in Å⁴. By what factor does that shrink when 1 Å becomes 0.1 nm? "
        "And the squared errors of the two lengths?",
        "c": "distance and perimeter are both lengths and shrink by the same factor. Which of the two was larger?",
        "d": "the three squared errors do not shrink by one factor: two are squares of lengths, one is the square of "
        "an area.",
    }
    expect_choice(answer, "b", hints)


@exercise("09.3", "A model that profits from a leak", "break it", points=2)
def memoriser(answer: Any) -> None:
    clouds, size, tests = int(between(93, 30, 50)), int(between(94, 20, 40)), int(between(95, 10, 20))
    source = generator(93)
    train = 3.0 * torch.randn(clouds, size, 3, generator=source)
    train_y = 10.0 * torch.rand(clouds, 3, generator=source)
    rows = torch.randperm(clouds, generator=source)[:tests]
    copies = torch.stack([cloud @ random_rotation(seeded(i)).float().T for i, cloud in enumerate(train[rows])])
    shifted = copies + 5 * torch.randn(tests, 1, 3, generator=source)

    def error(pos: Tensor, target: Tensor) -> float:
        result = read(call(answer, train, train_y, pos))
        expect(result.shape == target.shape, "return one row of three predictions for each test cloud: [m, 3].")
        return float((result - target).square().mean())

    guess = float((train_y.mean(dim=0) - train_y[rows]).square().mean())
    same = error(train[rows], train_y[rows])
    expect(
        same < guess / 100,
        "not even a training cloud itself, given as a test cloud, gets its own targets back. "
        "Find the training cloud most like the test cloud, and return its row of train_y.",
    )
    expect(
        error(copies, train_y[rows]) < guess / 100,
        "it finds a training cloud again as it stands, but not a rotated copy. Compare what no rotation changes: "
        "distances.",
    )
    expect(
        error(shifted, train_y[rows]) < guess / 100,
        "it finds rotated copies, but not copies that were also shifted: distances from the origin change. Measure "
        "from the centre of the cloud, or between points.",
    )
