"""Exercises of notebook 15: who may be in the test set, an interval over proteins, a blind metric, what starts fresh."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from eqgat.training.metrics import regression_metrics
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
)


@exercise("15.1", "What starts fresh", "predict")
def fresh_numbers(answer: Any) -> None:
    expect_close(
        answer,
        32 * 32 + 32 + 32 + 1,
        "the head is two linear layers with a non-linear function in between: 32 numbers to 32, and 32 to one. Count the weights "
        "and the biases of both.",
        {
            "you left out the biases: 32 and 1.": 32 * 32 + 32,
            "that is the head of the shipped model, with 20 outputs. Ours has one.": 32 * 32 + 32 + 20 * 32 + 20,
            "that is the last layer alone. The layer before it is part of the head too.": 33,
            "that is the whole model. Its layers are kept; only the head starts fresh.": 27313,
        },
        rtol=1e-9,
    )


@exercise("15.2", "Which of the two numbers to believe", "predict")
def which_split(answer: Any) -> None:
    expect_choice(
        answer,
        "b",
        {
            "a": "two neighbours along a chain share most of their atoms. If one is in train and the other in test, the test "
            "asks for what was shown.",
            "c": "a mean of two numbers answers no question. Ask which of the two tests is like the use: a protein that the "
            "model has never seen.",
            "d": "both have the same labels and the same model; what differs is who is in the test set, and that has a large effect here.",
        },
    )


@exercise("15.3", "An interval over proteins", "implement", points=2)
def interval_over_proteins(answer: Any) -> None:
    for seed in (151, 152):
        groups = int(between(seed, 5, 9))
        sizes = torch.randint(3, 12, (groups,), generator=generator(seed))
        of = torch.repeat_interleave(torch.arange(groups), sizes)
        (noise,) = gaussian(seed, (len(of),))
        error = noise * (1 + of) + 0.5 * of  # proteins differ, in size and in how well they are predicted
        drawn = torch.randint(groups, (200, groups), generator=generator(seed + 10))
        expect_close(
            read(call(answer, error, of, drawn)),
            _interval(error, of, drawn),
            "for each row of drawn, put the errors of the drawn proteins side by side (a protein drawn twice counts twice), "
            "take the root of their mean square, and return the 2.5 and 97.5 per cent points of the 200 numbers, [2].",
            {
                "these are errors squared: the root is missing.": _interval(error, of, drawn, root=False),
                "you average what each protein has of its own. A large protein has more rows than a small one, and all "
                "rows of the drawn proteins count alike.": _interval(error, of, drawn, each=True),
                "you draw each protein once at most. Who is drawn twice counts twice.": _interval(
                    error, of, drawn, once=True
                ),
                "these are the 5 and 95 per cent points: an interval of 90 %, not 95 %.": _interval(
                    error, of, drawn, tail=5.0
                ),
                "these are the least and the largest of the 200 numbers; take the 2.5 and 97.5 per cent points.": _interval(
                    error, of, drawn, tail=0.0
                ),
            },
            rtol=1e-4,
        )


def _interval(
    error: torch.Tensor,
    of: torch.Tensor,
    drawn: torch.Tensor,
    root: bool = True,
    each: bool = False,
    once: bool = False,
    tail: float = 2.5,
) -> np.ndarray:
    """The interval, or that of a mistake."""
    values = []
    for row in drawn.tolist():
        parts = [error[of == group] for group in (sorted(set(row)) if once else row)]
        square = torch.stack([part.square().mean() for part in parts]) if each else torch.cat(parts).square()
        values.append(float(square.mean()) ** (0.5 if root else 1))
    return np.percentile(values, [tail, 100 - tail])


@exercise("15.4", "A correlation of one, and useless", "break it", points=2)
def blind_metric(answer: Any) -> None:
    for seed in (155, 156):
        (noise,) = gaussian(seed, (int(between(seed, 20, 40)),))
        target = 60 + 40 * noise
        given = read(call(answer, target), "return your predictions, one number a target")
        expect(given.shape == target.shape, "return one prediction a target: [n] from [n].")
        expect(given.isfinite().all(), "some predictions are NaN or infinite.")
        found = regression_metrics(given.numpy(), target.numpy())
        expect(
            found["pearson"] > 0.999,
            f"your predictions have a correlation of {found['pearson']:.3f} with the targets. A straight line keeps it at one: "
            "which lines are there beside y = x?",
        )
        expect(
            found["r2"] < -1,
            f"R² is {found['r2']:.2f}. It is 0 for whoever says the mean every time; be worse than minus one, and keep the "
            "correlation.",
        )
