"""Right and wrong answers to the exercises of notebook 11."""

import math

import numpy as np
import pandas as pd
import torch
from case import Case, choice, constant, in_float32, in_numpy
from scipy.spatial.transform import Rotation
from scipy.stats import pearsonr, rankdata, spearmanr


def best_rmsd(mobile, fixed, sign=True, centre=True, turn=True, back=False):
    x, y = (mobile - mobile.mean(dim=0), fixed - fixed.mean(dim=0)) if centre else (mobile, fixed)
    u, _, vt = torch.linalg.svd(x.T @ y)
    d = torch.ones(3, dtype=x.dtype)
    d[2] = torch.linalg.det(u @ vt) if sign else 1.0
    rotation = u @ torch.diag(d) @ vt
    if turn:
        x = x @ (rotation.T if back else rotation)
    return (x - y).square().sum(dim=1).mean().sqrt()


def mean_spearman(predicted, true, target, correlation=spearmanr, zeros=False, weighted=False, keep=False):
    found, sizes, small, undefined = [], [], 0, 0
    for name in sorted(set(target)):
        x, y = predicted[target == name], true[target == name]
        fails = len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0
        small, undefined = small + (len(x) < 3), undefined + (fails and len(x) >= 3)
        if not fails or zeros or keep:
            found.append((math.nan if keep else 0.0) if fails else correlation(x, y)[0])
            sizes.append(len(x))
    if not found:
        return math.nan, small, undefined
    return np.average(found, weights=sizes if weighted else None), small, undefined


def saboteur(true, target, within=0.01, between=-1.0):
    means = {name: true[target == name].mean() for name in set(target)}
    middle = np.array([means[name] for name in target])
    return within * (true - middle) + between * middle


def rmsd_by_scipy(mobile, fixed):
    x, y = mobile - mobile.mean(axis=0), fixed - fixed.mean(axis=0)
    return Rotation.align_vectors(y, x)[1] / len(x) ** 0.5


def rmsd_from_singular_values(mobile, fixed):
    """No rotation is made: the sum of the squares of both, minus twice the sum of the singular values."""
    x, y = mobile - mobile.mean(dim=0), fixed - fixed.mean(dim=0)
    values = torch.linalg.svdvals(x.T @ y)
    overlap = values[0] + values[1] + torch.linalg.det(x.T @ y).sign() * values[2]
    return ((x.square().sum() + y.square().sum() - 2 * overlap).clamp(min=0) / len(x)).sqrt()


def rmsd_by_quaternion(mobile, fixed):
    """Horn: the largest eigenvalue of a matrix [4, 4]."""
    x, y = mobile - mobile.mean(axis=0), fixed - fixed.mean(axis=0)
    m = x.T @ y
    k = np.zeros((4, 4))
    k[0, 0] = np.trace(m)
    k[0, 1:] = k[1:, 0] = [m[1, 2] - m[2, 1], m[2, 0] - m[0, 2], m[0, 1] - m[1, 0]]
    k[1:, 1:] = m + m.T - np.trace(m) * np.eye(3)
    rest = (x**2).sum() + (y**2).sum() - 2 * np.linalg.eigvalsh(k)[-1]
    return np.sqrt(max(rest, 0) / len(x))


def by_ranks(predicted, true, target):
    found, small, undefined = [], 0, 0
    for name in np.unique(target):
        x, y = predicted[target == name], true[target == name]
        if len(x) < 3:
            small += 1
        elif len(set(x)) == 1 or len(set(y)) == 1:
            undefined += 1
        else:
            found.append(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
    return np.array([sum(found) / len(found) if found else np.nan, small, undefined]).tolist()


def by_pandas(predicted, true, target):
    groups = [g for _, g in pd.DataFrame({"p": predicted, "t": true}).groupby(target)]
    large = [g for g in groups if len(g) > 2]
    defined = [g for g in large if g.nunique().min() > 1]
    mean = pd.Series([g.p.rank().corr(g.t.rank()) for g in defined], dtype=float).mean()
    return torch.tensor(mean), len(groups) - len(large), len(large) - len(defined)


def ranks_against_the_means(true, target):
    names = list(set(target))
    order = np.argsort(np.argsort([-true[target == name].mean() for name in names]))
    within = rankdata(true) / (len(true) + 1)
    return [int(order[names.index(name)]) + w for name, w in zip(target, within, strict=True)]


def cubed(true, target):
    means = pd.Series(true).groupby(target).transform("mean").to_numpy()
    return torch.tensor((true - means) ** 3 - 5 * means)


CASES = {
    "11.1": Case(
        right=[
            best_rmsd,
            in_numpy(rmsd_by_scipy),
            rmsd_from_singular_values,
            in_numpy(rmsd_by_quaternion),
            in_float32(best_rmsd),
        ],
        wrong=[
            (lambda x, y: best_rmsd(x, y, sign=False), "sign of the determinant is missing"),
            (lambda x, y: best_rmsd(x, y, turn=False), "nothing is turned"),
            (lambda x, y: best_rmsd(x, y, centre=False, sign=False), "before the singular value"),
            (lambda x, y: best_rmsd(x, y, back=True), "wrong way round"),
            (lambda x, y: (x - y).square().sum(dim=1).mean().sqrt(), "not laid on each other"),
            (lambda x, y: best_rmsd(x, y) / 3**0.5, "3L coordinates"),
            (lambda x, y: best_rmsd(x, y) ** 2, "take its root"),
            (constant(1.7), "centre both, rotate"),
        ],
    ),
    "11.2": Case(
        right=choice("b"),
        wrong=[
            ("a", "what is divided by what"),
            ("C)", "cannot be the same"),
            ("d", "ties are not right"),
            ("e", "one of the letters"),
        ],
    ),
    "11.3": Case(
        right=[mean_spearman, by_ranks, by_pandas],
        wrong=[
            (lambda p, t, g: (spearmanr(p, t)[0], 2, 3), "the global one"),
            (lambda p, t, g: mean_spearman(p, t, g, zeros=True), "count as 0"),
            (lambda p, t, g: mean_spearman(p, t, g, keep=True), "one undefined target"),
            (lambda p, t, g: mean_spearman(p, t, g, weighted=True), "weighted by their size"),
            (lambda p, t, g: mean_spearman(p, t, g, correlation=pearsonr), "Pearson's correlation, of the values"),
            (lambda p, t, g: (mean_spearman(p, t, g)[0], 0, 3), "2 targets have fewer"),
            (lambda p, t, g: (mean_spearman(p, t, g)[0], 2, 5), "3 have constant"),
            (lambda p, t, g: (mean_spearman(p, t, g)[0], 2, 3), "0 targets have fewer"),
            (lambda p, t, g: mean_spearman(p, t, g)[0], "return three numbers"),
            (lambda p, t, g: tuple(np.nan_to_num(mean_spearman(p, t, g)).tolist()), "nan, not 0"),
            (constant((0.9, 2, 3)), "the correlation within each target"),
        ],
    ),
    "11.4": Case(
        right=[saboteur, ranks_against_the_means, cubed],
        wrong=[
            (lambda t, g: t, "global R_S is still"),
            (lambda t, g: -t, "must stay right"),
            (lambda t, g: saboteur(t, g, within=0.0), "predictions must differ"),
            (lambda t, g: t[:3], "one prediction for each"),
            (lambda t, g: np.where(t > t.mean(), t, np.inf), "NaN or infinite"),
        ],
    ),
}
