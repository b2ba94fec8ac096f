import math

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr


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


CASES = {
    "11.1": {
        "solution": best_rmsd,
        "wrong": [
            (lambda x, y: best_rmsd(x, y, sign=False), "sign of the determinant is missing"),
            (lambda x, y: best_rmsd(x, y, turn=False), "nothing is turned"),
            (lambda x, y: best_rmsd(x, y, centre=False, sign=False), "before the singular value"),
            (lambda x, y: best_rmsd(x, y, back=True), "wrong way round"),
            (lambda x, y: (x - y).square().sum(dim=1).mean().sqrt(), "not laid on each other"),
            (lambda x, y: best_rmsd(x, y) / 3**0.5, "3L coordinates"),
            (lambda x, y: best_rmsd(x, y) ** 2, "take its root"),
        ],
    },
    "11.2": {
        "solution": "b",
        "wrong": [
            ("a", "what is divided by what"),
            ("c", "cannot be the same"),
            ("d", "ties are not right"),
            ("e", "one of the letters"),
        ],
    },
    "11.3": {
        "solution": mean_spearman,
        "wrong": [
            (lambda p, t, g: (spearmanr(p, t)[0], 2, 3), "the global one"),
            (lambda p, t, g: mean_spearman(p, t, g, zeros=True), "count as 0"),
            (lambda p, t, g: mean_spearman(p, t, g, keep=True), "one undefined target"),
            (lambda p, t, g: mean_spearman(p, t, g, weighted=True), "weighted by their size"),
            (lambda p, t, g: mean_spearman(p, t, g, correlation=pearsonr), "Pearson's correlation, of the values"),
            (lambda p, t, g: (mean_spearman(p, t, g)[0], 0, 3), "two targets have fewer"),
            (lambda p, t, g: (mean_spearman(p, t, g)[0], 2, 5), "three have constant"),
            (lambda p, t, g: np.nan_to_num(mean_spearman(p, t, g)), "return three numbers"),
            (lambda p, t, g: tuple(np.nan_to_num(mean_spearman(p, t, g)).tolist()), "nan, not 0"),
        ],
    },
    "11.4": {
        "solution": saboteur,
        "wrong": [
            (lambda t, g: t, "global R_S is still"),
            (lambda t, g: -t, "must stay right"),
            (lambda t, g: saboteur(t, g, within=0.0), "predictions must differ"),
            (lambda t, g: t[:3], "one prediction for each"),
        ],
    },
}
