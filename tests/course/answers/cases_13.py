"""Right and wrong answers to the exercises of notebook 13."""

import math
import statistics

import numpy as np
import torch
from case import Case, choice, constant
from scipy import stats


def interval(first, second, ddof=1, error=None, quantile=None, freedom=None, tail=0.975, sign=1):
    a, b = np.array(first), np.array(second)
    parts = a.var(ddof=ddof) / len(a), b.var(ddof=ddof) / len(b)
    df = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    df = freedom(len(a), len(b)) if freedom else df
    size = error(a, b) if error else sum(parts) ** 0.5
    half = (quantile or stats.t.ppf(tail, df)) * size
    middle = sign * (b.mean() - a.mean())
    return middle - half, middle + half


def paired(first, second):
    if len(first) != len(second):
        return 0.0, 1.0
    each = np.array(second) - np.array(first)
    half = stats.t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5
    return each.mean() - half, each.mean() + half


def only_equal(first, second):
    """Right where both models have as many runs, and wrong where they do not."""
    a, b = np.array(first), np.array(second)
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(a)
    df = sum(parts) ** 2 / (parts[0] ** 2 + parts[1] ** 2) * (len(a) - 1)
    half = stats.t.ppf(0.975, df) * sum(parts) ** 0.5
    return b.mean() - a.mean() - half, b.mean() - a.mean() + half


def twins(n):
    x = torch.randn(n, 1)
    return torch.cat([x, x], dim=1), x[:, 0]


def by_statistics(first, second):
    e_1, e_2 = (statistics.variance(runs) / len(runs) for runs in (first, second))
    freedom = (e_1 + e_2) ** 2 / (e_1**2 / (len(first) - 1) + e_2**2 / (len(second) - 1))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(e_1 + e_2)
    difference = statistics.mean(second) - statistics.mean(first)
    return [difference - half, difference + half]


def by_scipy(first, second):
    found = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    return found.low, found.high


def by_torch(first, second):
    a, b = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    parts = torch.stack([a.var() / len(a), b.var() / len(b)])
    freedom = parts.sum() ** 2 / (parts**2 / torch.tensor([len(a) - 1, len(b) - 1])).sum()
    return b.mean() - a.mean() + parts.sum().sqrt() * torch.tensor(stats.t.ppf([0.025, 0.975], float(freedom)))


def two_readings(n):
    y = torch.randn(n, dtype=torch.float64)
    first, second = (y + 0.05 * torch.randn(n, dtype=torch.float64) for _ in range(2))
    return torch.stack([first, second], dim=1), y


def doubled(n):
    """Column 1 is twice column 2, and the other way round would do."""
    x = np.linspace(-1, 1, n)
    return np.stack([x, 2 * x], axis=1), x


def in_lists(n):
    wave = [math.sin(k) for k in range(n)]
    return [[w, w] for w in wave], wave


CASES = {
    "13.1": Case(
        right=choice("b"),
        wrong=[
            ("a", "farthest apart"),
            ("(c)", "three to four standard errors"),
            ("D", "wider than the bars"),
            (1, "one of the letters"),
        ],
    ),
    "13.2": Case(
        right=[by_statistics, interval, by_scipy, by_torch],
        wrong=[
            (lambda a, b: interval(a, b, ddof=0), "ddof 0"),
            (lambda a, b: interval(a, b, error=lambda x, y: (x.var(ddof=1) + y.var(ddof=1)) ** 0.5), "standard errors"),
            (lambda a, b: interval(a, b, quantile=1.96), "1.96 belongs to the normal"),
            (lambda a, b: interval(a, b, freedom=lambda n, m: n + m - 2), "which holds for equal spreads"),
            (lambda a, b: interval(a, b, tail=0.95), "90 % interval"),
            (lambda a, b: interval(a, b, sign=-1), "the other way round"),
            (paired, "as if they were pairs"),
            (lambda a, b: interval(a, b)[::-1], "low first"),
            (lambda a, b: interval(a, b)[0], "return two numbers"),
            (only_equal, "3 and 6 runs"),
            (constant((-1.0, 1.0)), "compute in this order"),
        ],
    ),
    "13.3": Case(
        right=choice("c"),
        wrong=[
            ("a", "one look"),
            ("B", "none of the eight"),
            ("(d)", "all eight go off"),
            ("34", "one of the letters"),
        ],
    ),
    "13.4": Case(
        right=[two_readings, twins, doubled, in_lists],
        wrong=[
            (lambda n: (torch.randn(n, 2), torch.randn(n)), "does not miss column 2"),
            (lambda n: (lambda x: (x, x.sum(dim=1)))(torch.randn(n, 2)), "column 2 knows something"),
            (lambda n: (torch.randn(n, 2), torch.zeros(n)), "nothing to predict"),
            (lambda n: (torch.randn(n), torch.randn(n)), "should be [200, 2]"),
            (lambda n: twins(200), "x should be [3"),
            (lambda n: (torch.randn(n, 2), torch.randn(n) / 0), "NaN or infinite"),
            (lambda n: torch.randn(n, 2), "return two tensors"),
        ],
    ),
}
