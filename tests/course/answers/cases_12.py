"""Right and wrong answers to the exercises of notebook 12."""

from fractions import Fraction

import numpy as np
import torch
from case import Case, choice, constant, in_float32, in_numpy
from scipy.stats import mannwhitneyu, rankdata


def area(scores, labels, tie=0.5, positive=1):
    above, below = scores[labels == positive], scores[labels == 1 - positive]
    difference = above[:, None] - below[None, :]
    return ((difference > 0).double() + tie * (difference == 0).double()).mean()


def ranked(negatives, above):
    """One positive with so many of the negatives above it."""
    scores = torch.cat([torch.zeros(1), torch.ones(above), -torch.ones(negatives - above)])
    return scores, torch.tensor([1] + [0] * negatives)


def area_by_ranks(scores, labels):
    positive = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum()
    return (ranks - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))


def area_in_a_loop(scores, labels):
    above, below = scores[labels == 1].tolist(), scores[labels == 0].tolist()
    won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in above for b in below)
    return Fraction(won) / (len(above) * len(below))


def area_by_trapezoids(scores, labels):
    """Under the curve itself, with one corner for each different score."""
    cuts = scores.unique().flip(0)
    at_least = scores[None] >= cuts[:, None]
    true, false = ((at_least & (labels == k)).sum(dim=1) / (labels == k).sum() for k in (1, 0))
    zero = torch.zeros(1)
    return torch.trapezoid(torch.cat([zero, true]), torch.cat([zero, false]))


def mann_whitney(scores, labels):
    above, below = scores[labels == 1], scores[labels == 0]
    return mannwhitneyu(above, below).statistic / (len(above) * len(below))


CASES = {
    "12.1": Case(
        right=[22.5, "22.5", "22.5 Å", Fraction(45, 2), np.float32(22.5), torch.tensor([22.5])],
        wrong=[
            (4.5, "there are five layers"),
            ("18", "one edge too few"),
            (27.0, "one edge too many"),
            (17.32, "about the model"),
            (10.0, "laid end to end"),
            ("far", "a number or tensor is expected"),
        ],
    ),
    "12.2": Case(
        right=[
            area,
            in_numpy(area_by_ranks),
            area_in_a_loop,
            area_by_trapezoids,
            in_numpy(mann_whitney),
            in_float32(area),
        ],
        wrong=[
            (lambda s, y: area(s, y, positive=0), "exchanged"),
            (lambda s, y: area(s, y) * (y == 1).sum() * (y == 0).sum(), "divide by the number of all pairs"),
            (lambda s, y: area(s, y) * (y == 1).sum() * (y == 0).sum() / (len(y) * (len(y) - 1) / 2), "one class"),
            (lambda s, y: ((s > 0).long() == y).double().mean(), "accuracy"),
            (lambda s, y: area(s, y, tie=0.0), "ties count as wrong"),
            (lambda s, y: area(s, y, tie=1.0), "ties count as right"),
            (lambda s, y: None, "returned nothing"),
            (constant(0.8), "count the pairs"),
            (lambda s, y: area(s.clamp(max=10), y), "passed through an increasing"),
        ],
    ),
    "12.3": Case(
        right=choice("c"),
        wrong=[("a", "false positives"), ("(B)", "two shares"), ("d", "two definitions"), ("e", "one of the letters")],
    ),
    "12.4": Case(
        right=[
            ranked(700, 30),
            [ranked(700, 30)[0].tolist(), ranked(700, 30)[1].tolist()],
            tuple(part.numpy() for part in ranked(2000, 100)),
            (torch.linspace(1, 0, 1000), (torch.arange(1000) == 95).int()),
        ],
        wrong=[
            (ranked(30, 1), "still of use"),
            (ranked(700, 300), "nine tenths"),
            ((torch.zeros(3), torch.zeros(3)), "both kinds"),
            ((torch.zeros(3), torch.tensor([0, 1])), "each score needs one"),
            ((torch.zeros(3), torch.tensor([0, 1, 2])), "labels are 0"),
            ((torch.zeros(2), ["yes", "no"]), "lists of numbers"),
            (torch.zeros(3), "two tensors"),
        ],
    ),
}
