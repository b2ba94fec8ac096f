"""Right and wrong answers to the exercises of notebook 15."""

import numpy as np
import torch
from case import Case, choice, in_numpy


def interval(error, protein, drawn, root=True, once=False, each=False, tail=2.5):
    values = []
    for row in drawn:
        chosen = row.unique() if once else row
        parts = [error[protein == k] for k in chosen]
        if each:
            values.append(torch.stack([part.square().mean() for part in parts]).mean())
        else:
            values.append(torch.cat(parts).square().mean())
    found = torch.stack(values)
    found = found.sqrt() if root else found
    return torch.quantile(found, torch.tensor([tail / 100, 1 - tail / 100], dtype=found.dtype))


def interval_by_sums(error, protein, drawn):
    """Sums and counts of each protein first: no row is touched twice."""
    count = torch.bincount(protein).double()
    square = torch.zeros_like(count).index_add(0, protein, error.square())
    rmse = (square[drawn].sum(dim=1) / count[drawn].sum(dim=1)).sqrt()
    return [float(np.percentile(rmse, 2.5)), float(np.percentile(rmse, 97.5))]


def interval_in_numpy(error, protein, drawn):
    values = [np.sqrt(np.mean(np.concatenate([error[protein == k] for k in row]) ** 2)) for row in drawn]
    return np.percentile(values, [2.5, 97.5])


def by_rows(error, protein, drawn):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(len(error), (len(drawn), len(error)), generator=generator)
    values = error[rows].square().mean(dim=1).sqrt()
    return torch.quantile(values, torch.tensor([0.025, 0.975], dtype=values.dtype))


CASES = {
    "15.1": Case(
        right=[1089, "1089", torch.tensor(1089)],
        wrong=[
            (1056, "left out the biases"),
            (1716, "20 outputs"),
            (33, "the last layer alone"),
            (27313, "the whole model"),
            (1000, "two linear layers"),
        ],
    ),
    "15.2": Case(
        right=choice("b"),
        wrong=[
            ("a", "share most of their atoms"),
            ("(c)", "answers no question"),
            ("D", "who is in the test set"),
            ("both", "one of the letters"),
        ],
    ),
    "15.3": Case(
        right=[interval, interval_by_sums, in_numpy(interval_in_numpy)],
        wrong=[
            (lambda e, p, d: interval(e, p, d, root=False), "the root is missing"),
            (lambda e, p, d: interval(e, p, d, each=True), "what each protein has of its own"),
            (lambda e, p, d: interval(e, p, d, once=True), "at most"),
            (lambda e, p, d: interval(e, p, d, tail=5.0), "90 %"),
            (lambda e, p, d: interval(e, p, d, tail=0.0), "the least and the largest"),
            (by_rows, "a protein drawn twice counts twice"),
            (lambda e, p, d: interval(e, p, d)[0], "the shape should be"),
            (lambda e, p, d: interval(e, p, d) * torch.nan, "NaN"),
        ],
    ),
    "15.4": Case(
        right=[
            lambda target: 10 * target + 5,
            lambda target: target + 1000,
            in_numpy(lambda target: 0.01 * target - 500.0),
        ],
        wrong=[
            (lambda target: target, "R² is 1.00"),
            (lambda target: 0.5 * target + 30, "be worse than minus one"),
            (lambda target: -10 * target, "a correlation of -1.000"),
            (lambda target: torch.full_like(target, 7.0), "a correlation of nan"),
            (lambda target: target.sum(), "one prediction a target"),
            (lambda target: target / 0, "infinite"),
        ],
    ),
}
