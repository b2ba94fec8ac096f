import numpy as np
import torch
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


CASES = {
    "13.1": {
        "solution": "b",
        "wrong": [
            ("a", "farthest apart"),
            ("c", "three to four standard errors"),
            ("d", "wider than the bars"),
            (1, "one of the letters"),
        ],
    },
    "13.2": {
        "solution": interval,
        "wrong": [
            (lambda a, b: interval(a, b, ddof=0), "ddof 0"),
            (lambda a, b: interval(a, b, error=lambda x, y: (x.var(ddof=1) + y.var(ddof=1)) ** 0.5), "standard errors"),
            (lambda a, b: interval(a, b, quantile=1.96), "1.96 belongs to the normal"),
            (lambda a, b: interval(a, b, freedom=lambda n, m: n + m - 2), "which holds for equal spreads"),
            (lambda a, b: interval(a, b, tail=0.95), "90 % interval"),
            (lambda a, b: interval(a, b, sign=-1), "the other way round"),
            (paired, "as if they were pairs"),
            (lambda a, b: interval(a, b)[::-1], "low first"),
            (lambda a, b: interval(a, b)[0], "shape should be [2]"),
            (only_equal, "3 and 6 runs"),
        ],
    },
    "13.3": {
        "solution": "c",
        "wrong": [("a", "one look"), ("b", "none of the eight"), ("d", "all eight go off")],
    },
    "13.4": {
        "solution": twins,
        "wrong": [
            (lambda n: (torch.randn(n, 2), torch.randn(n)), "does not miss column 2"),
            (lambda n: (lambda x: (x, x.sum(dim=1)))(torch.randn(n, 2)), "column 2 knows something"),
            (lambda n: (torch.randn(n, 2), torch.zeros(n)), "nothing to predict"),
            (lambda n: (torch.randn(n), torch.randn(n)), "should be [200, 2]"),
        ],
    },
}
