"""Checks of the exercises of notebook 11: a superposition, and what two ways to average a correlation do not see."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eqgat.symmetry import random_rotation
from eqgat.training.metrics import ranking_metrics
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
from eqgat_course.toy.superposition import rmsd


@exercise("11.1", "The best superposition", "implement", points=2)
def best_rmsd(answer: Any) -> None:
    length = int(between(112, 25, 40))
    fixed, noise, shift = gaussian(111, (length, 3), (length, 3), (3,))
    fixed = 6.0 * fixed + 20.0 * shift
    mobile = (fixed + noise) @ random_rotation(seeded(111)).T - 7.0

    def turned(x: Tensor, y: Tensor, centre: bool = True, turn: bool = True, back: bool = False) -> Tensor:
        x, y = (x - x.mean(dim=0), y - y.mean(dim=0)) if centre else (x, y)
        u, _, vt = torch.linalg.svd(x.T @ y)
        rotation = (u @ vt).T if back else u @ vt
        return (x @ rotation if turn else x) - y

    def root(difference: Tensor) -> Tensor:
        return difference.square().sum(dim=1).mean().sqrt()

    right = rmsd(mobile.numpy(), fixed.numpy())
    expect_close(
        call(answer, mobile, fixed),
        right,
        "centre both, rotate, then take the root of the mean over the residues of the squared distances.",
        {
            "the two are not laid on each other yet: shift and turn first.": root(mobile - fixed),
            "the means are subtracted, but nothing is turned.": root(turned(mobile, fixed, turn=False)),
            "the means must be subtracted before the singular value decomposition.": root(
                turned(mobile, fixed, centre=False)
            ),
            "the rotation is applied the wrong way round: positions are rows here, so x R^T and not x R.": root(
                turned(mobile, fixed, back=True)
            ),
            "the mean is over all 3L coordinates; it should be over the L residues.": right / math.sqrt(3),
            "this is the mean squared distance; take its root.": right**2,
            "this is the mean distance; RMSD is the root of the mean squared distance.": turned(mobile, fixed)
            .norm(dim=1)
            .mean(),
        },
    )
    mirror = fixed * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    expect_close(
        call(answer, mirror, fixed),
        rmsd(mirror.numpy(), fixed.numpy()),
        "right for a rotated copy, wrong for a mirror image. What does the sign of the determinant do?",
        {
            "a mirror image is laid upon the structure as if it were the same: the sign of the determinant is missing.": root(
                turned(mirror, fixed)
            )
        },
    )


@exercise("11.2", "The number of atoms", "predict")
def number_of_atoms(answer: Any) -> None:
    hints = {
        "a": "a correlation of 0 would mean: we looked, and there is no relation. Put a constant into the formula: "
        "what is divided by what?",
        "c": "over all decoys the number of atoms is not constant, within a target it is. They cannot be the same.",
        "d": "ties are not right answers. How large is the spread of the predictions within one target, which "
        "Spearman's correlation divides by?",
    }
    expect_choice(answer, "b", hints)


def _decoys(seed: int, extra: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, true values and targets [n] in mixed order; with a small target and two undefined ones."""
    random = np.random.default_rng(seeded(seed))
    sizes = {"T3": 12, "T1": 7, "T8": 20, **({"T5": 2, "T2": 1, "T7": 6, "T4": 5, "T6": 4} if extra else {})}
    rows: list[tuple[float, float, str]] = []
    for place, (name, size) in enumerate(sizes.items()):
        true = 0.2 + 0.15 * place + 0.1 * random.random(size)
        predicted = 3.0 - place + (true - true.mean()) * 5 + random.normal(0, 0.2, size)
        true = np.full(size, 0.5) if name == "T7" else true
        predicted = np.full(size, 1.0) if name in ("T4", "T6") else predicted
        rows += zip(predicted, true, [name] * size, strict=True)
    random.shuffle(rows)
    first, second, third = (np.array(column) for column in zip(*rows, strict=True))
    return first, second, third


@exercise("11.3", "Mean R_S with its counts", "implement", points=2)
def mean_spearman(answer: Any) -> None:
    for extra, small, undefined in ((True, 2, 3), (False, 0, 0)):
        _expect_mean(answer, *_decoys(113, extra), small, undefined)
    nothing = call(answer, np.ones(6), np.arange(6.0), np.array(["A"] * 3 + ["B"] * 3))
    expect(math.isnan(float(read(nothing[0]))), "where no target has a correlation the mean is nan, not 0.")


def _expect_mean(
    answer: Any, predicted: np.ndarray, true: np.ndarray, target: np.ndarray, small: int, undefined: int
) -> None:
    """The mean of these decoys, with its two counts."""
    result = call(answer, predicted, true, target)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 3,
        "return three numbers: the mean, the number of small targets, the number of undefined ones.",
    )
    mean, few, constant = (float(read(part, "each of the three is a number")) for part in result)
    expect(
        not math.isnan(mean),
        "the mean is not a number: one undefined target is enough for that. Leave those out.",
    )
    right = ranking_metrics(predicted, true, target)
    if not close(mean, right["mean_spearman"]):
        names = sorted(set(target))
        rows = [target == name for name in names]
        own = [ranking_metrics(predicted[row], true[row], target[row])["mean_spearman"] for row in rows]
        known = [value for value in own if not math.isnan(value)]
        sizes = [row.sum() for row, value in zip(rows, own, strict=True) if not math.isnan(value)]
        expect_close(
            mean,
            right["mean_spearman"],
            "the correlation within each target that has one, then their plain mean.",
            {
                "that is the correlation over all rows: the global one.": right["global_spearman"],
                "undefined or small targets count as 0 here; they should be left out.": sum(known) / len(own),
                "that is Pearson's correlation, of the values. Spearman's is of their ranks.": right["mean_pearson"],
                "targets are weighted by their size here; each should count the same.": np.average(
                    known, weights=sizes
                ),
            },
        )
    expect(few == small, f"{small} targets have fewer than three rows; you count {few:g}.")
    expect(
        constant == undefined,
        f"of the targets with three rows or more, {undefined} have constant labels or predictions; you count {constant:g}.",
    )


@exercise("11.4", "Right everywhere, wrong as a whole", "break it", points=2)
def saboteur(answer: Any) -> None:
    _, true, target = _decoys(114, extra=False)
    predicted = read(call(answer, true, target)).numpy()
    expect(predicted.shape == true.shape, "return one prediction for each decoy: [n].")
    expect(bool(np.isfinite(predicted).all()), "some predictions are NaN or infinite.")
    found = ranking_metrics(predicted, true, target)
    expect(found["num_targets"] == 3, "within a target the predictions must differ, or it has no correlation.")
    expect(
        found["mean_spearman"] > 0.999,
        f"the order within the targets must stay right: mean R_S is {found['mean_spearman']:.2f} and not 1.",
    )
    expect(
        found["global_spearman"] < 0,
        f"the global R_S is still {found['global_spearman']:.2f}. Give targets with good decoys low predictions: "
        "move whole targets up and down, which changes nothing within them.",
    )
