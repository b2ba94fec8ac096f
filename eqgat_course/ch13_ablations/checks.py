"""Checks of the exercises of notebook 13: intervals of few runs, false alarms, knocked out or retrained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import stats

from eqgat_course.ch13_ablations.study import linear_errors, welch
from eqgat_course.exercises import between, call, exercise, expect, expect_choice, expect_close, read, seeded


@exercise("13.1", "Which differences survive", "predict")
def survivors(answer: Any) -> None:
    hints = {
        "a": "look for the panel in which the bars of the full model and of an ablated one are farthest apart, "
        "measured by their own length.",
        "c": "with three runs an interval reaches about three to four standard errors to each side, not two. How "
        "many of the eight differences are larger than that?",
        "d": "most of the bars in the figure overlap, and an interval from three runs is wider than the bars.",
    }
    expect_choice(answer, "b", hints)


@exercise("13.2", "The interval of a difference", "implement", points=3)
def difference_interval(answer: Any) -> None:
    random = np.random.default_rng(seeded(132))
    first, second = 2.5 + 0.7 * random.standard_normal(4), 2.0 + 0.3 * random.standard_normal(4)
    expect_interval(answer, first, second, paired=True)
    expect_interval(answer, first[:3], 2.0 + 0.2 * random.standard_normal(6))


def expect_interval(answer: Any, first: np.ndarray, second: np.ndarray, paired: bool = False) -> None:
    """Welch's interval of these runs, and hints for the ways to miss it."""
    n_1, n_2, means = len(first), len(second), (first.mean(), second.mean())
    std_1, std_2 = (float(np.std(x, ddof=1)) for x in (first, second))
    right = welch(means[0], std_1, means[1], std_2, n_1, n_2)

    def around(half: float, middle: float = right.difference) -> list[float]:
        return [middle - half, middle + half]

    def half(factor: float = 0.975, freedom: float = right.freedom, error: float = right.error) -> float:
        return float(stats.t.ppf(factor, freedom)) * error

    population = welch(means[0], float(np.std(first)), means[1], float(np.std(second)), n_1, n_2)
    mistakes = {
        "the standard deviation divides by n (ddof 0). From a few runs it comes out too small; divide by n - 1: "
        "statistics.stdev, or numpy's std with ddof=1.": [population.low, population.high],
        "you took the standard deviations of single runs, not the standard errors of their means: divide each variance "
        "by its number of runs.": around(half(error=float(np.hypot(std_1, std_2)))),
        "1.96 belongs to the normal distribution, for spreads that are known. Yours come from a few runs: take the "
        "quantile of the t distribution with Welch's degrees of freedom.": around(1.96 * right.error),
        "the degrees of freedom are n₁ + n₂ - 2, which holds for equal spreads. Welch's formula has the two parts of "
        "the squared error.": around(half(freedom=n_1 + n_2 - 2)),
        "this is the 90 % interval: 5 % on each side. For 95 % take the quantile at 0.975.": around(half(0.95)),
        "the difference is second minus first; yours is the other way round.": around(half(), -right.difference),
        "you return difference and half width; asked for are the two ends.": [right.difference, half()],
        "the two ends are in the wrong order: low first.": [right.high, right.low],
    }
    if paired:
        each = second - first
        mistakes[
            "you subtracted run from run, as if they were pairs. Run 0 of one model has nothing to do with run 0 "
            "of the other: take the two means and the two spreads."
        ] = around(float(stats.t.ppf(0.975, n_1 - 1)) * float(np.std(each, ddof=1)) / n_1**0.5)
    result = read(call(answer, first.tolist(), second.tolist()))
    expect(result.shape == (2,), f"return two numbers, low and high; yours has the shape {list(result.shape)}.")
    where = "" if paired else f" (Here the models have {n_1} and {n_2} runs.)"
    expect_close(
        result,
        [right.low, right.high],
        f"compute in this order: two means, two variances (n - 1), the squared error of each mean, their sum, "
        f"Welch's degrees of freedom, the quantile.{where}",
        mistakes,
    )


@exercise("13.3", "Eight looks at nothing", "predict")
def false_alarms(answer: Any) -> None:
    hints = {
        "a": "5 % is the chance for one look. Here somebody looks eight times and reports the best.",
        "b": "8 × 5 % counts the cases with two or more false alarms twice. Work out the chance that none of the eight "
        "goes off, and subtract it from 1.",
        "d": "that would be the chance that all eight go off.",
    }
    expect_choice(answer, "c", hints)


@exercise("13.4", "Knocked out and not missed", "break it", points=2)
def redundant_data(answer: Any) -> None:
    for n in (200, int(between(133, 300, 400))):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeded(134))
            result = call(answer, n)
        expect(isinstance(result, (tuple, list)) and len(result) == 2, "return two tensors: x [n, 2] and y [n].")
        x, y = (read(part).to(torch.float64) for part in result)
        expect(
            tuple(x.shape) == (n, 2) and tuple(y.shape) == (n,),
            f"x should be [{n}, 2] and y [{n}]; yours are {list(x.shape)} and {list(y.shape)}.",
        )
        expect(torch.isfinite(x).all() and torch.isfinite(y).all(), "x or y has NaN or infinite values.")
        size = float(y.square().mean())
        expect(size > 0, "y is zero everywhere; there is nothing to predict.")
        shares = [error / size for error in linear_errors(x, y).values()]
        full, knocked, retrained = shares
        expect(
            knocked - full >= 0.15,  # less than the exercise says: random data may miss by chance what they aim at
            "the trained model does not miss column 2 when it is knocked out: its weight there is too small. It "
            "must lean on column 2.",
        )
        expect(
            retrained - full <= 0.01,
            "retrained without column 2, the model is worse: column 2 knows something that column 1 does "
            "not. What could column 1 be, so that it can take over?",
        )
