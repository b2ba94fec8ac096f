"""How far a test metric could be off because the test set is small, from its proteins, targets or complexes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import special, stats

from eqgat.errors import UserError
from eqgat.training.metrics import SCORES, correlation

__all__ = ["cluster_interval", "difference_interval"]

Score = Callable[[np.ndarray, np.ndarray], float]  # of targets and predictions, [rows] or [rows, columns] each


def _area(target: np.ndarray, prediction: np.ndarray) -> float:
    """Area under the ROC curve, from the ranks; nan where the labels are all equal."""
    positive = target == 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    return float((stats.rankdata(prediction)[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _cross_entropy(target: np.ndarray, logits: np.ndarray) -> float:
    """Of classes, from logits [rows, classes]; of pairs, from the logit of each, [rows]."""
    if logits.ndim == 1:
        return float(np.mean(np.logaddexp(0, logits) - target * logits))
    return float(np.mean(special.logsumexp(logits, axis=1) - logits[np.arange(len(target)), target.astype(int)]))


_SCORES: dict[str, Score] = {
    **SCORES,
    "pearson": lambda target, prediction: correlation(target, prediction, stats.pearsonr),
    "cross_entropy": _cross_entropy,
    "accuracy": lambda target, prediction: float(np.mean(prediction.argmax(axis=1) == target)),
    "roc_auc": _area,
    "spearman": correlation,
    "global_spearman": correlation,
}


def cluster_interval(
    runs: Sequence[pd.DataFrame], metric: str, draws: int = 500, seed: int = 0, fewest: int = 2
) -> tuple[float, float] | None:
    """The 95 % interval of a metric's mean over runs that comes of the clusters in the test set.

    Rows of one protein, target or complex are alike, so that whole clusters count; where the data have no groups, a row
    is a cluster. A mean over targets ("mean_spearman") has Student's interval of that mean. Other metrics have the
    percentile interval of test sets whose clusters are drawn anew, with replacement, the same for all runs; of fewer
    than ten clusters it is too short, of two or three by far. It says nothing of what another seed of the training
    would change: that is the spread over runs.

    Args:
        runs: predictions of each run for the same test set, as ``read_predictions`` gives them.
        metric: its name in the results store.
        draws: how many test sets are drawn.
        seed: of the draws.
        fewest: clusters that there must be.

    Returns:
        Lower and upper end; None for a metric that is not known here, and for too few clusters.

    Raises:
        UserError: the runs were not tested on the same samples.

    >>> rows = pd.DataFrame({"id": range(6), "target": [0.0] * 6, "prediction": [1.0, -1.0] * 3})
    >>> cluster_interval([rows], "mse")
    (1.0, 1.0)
    """
    return _interval(runs, np.full(len(runs), 1 / len(runs)), metric, draws, seed, fewest)


def difference_interval(
    ours: Sequence[pd.DataFrame],
    theirs: Sequence[pd.DataFrame],
    metric: str,
    draws: int = 500,
    seed: int = 0,
    fewest: int = 2,
) -> tuple[float, float] | None:
    """The same interval for a difference: a metric's mean over ``ours`` minus that over ``theirs``, on the same clusters.

    A protein that is hard for one model is mostly hard for the other; so this is narrower than two intervals suggest.
    Arguments, result and errors are those of ``cluster_interval``.

    >>> rows = pd.DataFrame({"id": range(6), "target": [0.0] * 6, "prediction": [1.0, -1.0] * 3})
    >>> difference_interval([rows], [rows.assign(prediction=2.0)], "mse")
    (-3.0, -3.0)
    """
    shares = np.repeat([1 / len(ours), -1 / len(theirs)], [len(ours), len(theirs)])
    return _interval([*ours, *theirs], shares, metric, draws, seed, fewest)


def _interval(
    runs: Sequence[pd.DataFrame], shares: np.ndarray, metric: str, draws: int, seed: int, fewest: int
) -> tuple[float, float] | None:
    """The interval of the sum over the runs of share times metric; see ``cluster_interval``."""
    within = metric.startswith("mean_") and "group" in runs[0]
    score = correlation if metric == "mean_spearman" else _SCORES.get(metric)
    if score is None or (metric.startswith("mean_") and not within):
        return None
    if any(not run["id"].equals(runs[0]["id"]) for run in runs):
        raise UserError("the runs were not tested on the same samples in the same order")
    clusters = list(runs[0].groupby("group" if "group" in runs[0] else "id", sort=True).indices.values())
    values = [(_columns(run, "target"), _columns(run, "prediction")) for run in runs]

    def scores(rows: np.ndarray) -> float:
        return float(shares @ [score(target[rows], prediction[rows]) for target, prediction in values])

    if within:  # the metric is a mean over clusters of what each has of its own
        own = np.array([scores(rows) for rows in clusters])
        own = own[~np.isnan(own)]
        if len(own) < max(fewest, 2):
            return None
        mean, half = float(own.mean()), float(stats.t.ppf(0.975, len(own) - 1) * stats.sem(own))
        most = float(np.abs(shares).sum())  # no correlation is beyond 1, and no difference of two beyond 2
        return max(mean - half, -most), min(mean + half, most)
    if len(clusters) < max(fewest, 2):
        return None
    chosen = np.random.default_rng(seed).integers(len(clusters), size=(draws, len(clusters)))
    drawn = [scores(np.concatenate([clusters[cluster] for cluster in one])) for one in chosen]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _columns(run: pd.DataFrame, name: str) -> np.ndarray:
    """``name``, or name_0, name_1, ... side by side."""
    found = [column for column in run if column == name or column.startswith(f"{name}_")]
    return run[found[0]].to_numpy() if len(found) == 1 else run[found].to_numpy()
