"""Metrics of the ATOM3D tasks, of a whole split at once. What cannot be computed is nan, never 0.

Correlations are scipy's, AUC and average precision torchmetrics'.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from eqgat.errors import UserError

__all__ = ["classification_metrics", "pair_metrics", "ranking_metrics", "regression_metrics", "target_table"]

_CORRELATIONS = {"spearman": stats.spearmanr, "pearson": stats.pearsonr, "kendall": stats.kendalltau}
_FEWEST = 3  # rows that a target needs for a correlation of its own
# Of targets and predictions, [rows] or [rows, columns] each.
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mse": lambda target, prediction: float(np.mean((target - prediction) ** 2)),
    "rmse": lambda target, prediction: SCORES["mse"](target, prediction) ** 0.5,
    "mae": lambda target, prediction: float(np.mean(np.abs(target - prediction))),
    "r2": lambda target, prediction: (
        1 - SCORES["mse"](target, prediction) / variance if (variance := float(np.var(target))) > 0 else float("nan")
    ),
}


def regression_metrics(prediction: Tensor | np.ndarray, target: Tensor | np.ndarray) -> dict[str, float]:
    """ "mse", "rmse" (root of the mean over all rows), "mae", "r2", "prediction_std", and the correlations "pearson",
    "spearman" and "kendall", of [n] or [n, 1].

    R² = 1 - MSE / variance of the targets: 0 for their mean, less for what is worse; nan where all targets are equal.
    "prediction_std" (n - 1; nan for one row) shows an answer that hardly varies, whatever its correlations are.
    Correlations with a constant, or of fewer than three rows, are nan. Spearman's gives ties their average rank.

    >>> found = regression_metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    >>> round(found["r2"], 3), found["prediction_std"]
    (0.786, 1.0)
    """
    prediction, target = _column(prediction), _column(target)
    _same_length(prediction, target)
    return {
        **{name: score(target, prediction) for name, score in SCORES.items()},
        "prediction_std": float(np.std(prediction, ddof=1)) if len(prediction) > 1 else float("nan"),
        **_correlations(prediction, target),
    }


def target_table(
    prediction: Tensor | np.ndarray, target: Tensor | np.ndarray, groups: Sequence[str] | np.ndarray
) -> pd.DataFrame:
    """One row a target protein: its name as index, ``size``, "spearman", "pearson", "kendall" among its rows.

    nan where a target has fewer than three rows, or where its labels or its predictions are all equal.

    >>> target_table(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]), ["T1"] * 3)["spearman"].tolist()
    [0.5]
    """
    prediction, target = _column(prediction), _column(target)
    _same_length(prediction, target, groups)
    rows = pd.DataFrame({"prediction": prediction, "target": target, "group": np.asarray(groups)})
    return pd.DataFrame(
        [
            {"target": name, "size": len(own), **_correlations(own["prediction"].to_numpy(), own["target"].to_numpy())}
            for name, own in rows.groupby("group", sort=True)
        ]
    ).set_index("target")


def ranking_metrics(
    prediction: Tensor | np.ndarray, target: Tensor | np.ndarray, groups: Sequence[str] | np.ndarray
) -> dict[str, float]:
    """Metrics of PSR and RSR: those of ``regression_metrics``, with correlations taken in two ways.

    "global_spearman" is over all rows pooled; "mean_spearman" is taken within each target, then averaged over targets
    with equal weight (and so for "pearson" and "kendall"). Targets with fewer than three rows are left out
    ("num_small_targets"), and so are those whose Spearman is undefined, because their labels or predictions are all
    equal ("num_undefined_targets"); "num_targets" counts those that are left.

    >>> found = ranking_metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]), ["T1", "T1", "T1"])
    >>> found["mean_spearman"], found["num_targets"]
    (0.5, 1.0)
    """
    table = target_table(prediction, target, groups)
    pooled = regression_metrics(prediction, target)
    small = table["size"] < _FEWEST
    undefined = ~small & table["spearman"].isna()
    return {
        **{name: pooled[name] for name in ("mse", "rmse", "mae", "r2", "prediction_std")},
        **{f"global_{name}": pooled[name] for name in _CORRELATIONS},
        **{f"mean_{name}": float(table[name].mean()) for name in _CORRELATIONS},
        "num_targets": float((~small & ~undefined).sum()),
        "num_small_targets": float(small.sum()),
        "num_undefined_targets": float(undefined.sum()),
    }


def classification_metrics(logits: Tensor, target: Tensor) -> dict[str, float]:
    """Metrics of RES, of logits [n, classes] and classes [n]: "accuracy" over all rows and "cross_entropy" in nats.

    Of equal logits the first class counts as predicted.

    >>> classification_metrics(torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([1, 1]))["accuracy"]
    0.5
    """
    _same_length(logits, target)
    return {
        "accuracy": float((logits.argmax(dim=1) == target).double().mean()),
        "cross_entropy": float(torch.nn.functional.cross_entropy(logits.double(), target)),
    }


def pair_metrics(logits: Tensor, target: Tensor) -> dict[str, float]:
    """Metrics of PPI, of logits and labels 0 or 1, [n] or [n, 1]: "roc_auc", "average_precision", "cross_entropy".

    Over all pairs pooled. Both are nan where the labels are all equal.

    >>> round(pair_metrics(torch.tensor([-1.0, 2.0, 1.0]), torch.tensor([0, 1, 0]))["roc_auc"], 6)
    1.0
    """
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    logits, target = (torch.as_tensor(x).reshape(-1) for x in (logits, target))
    _same_length(logits, target)
    both = 0 < int(target.sum()) < len(target)
    # Ranks are those of the logits; as float64 they stay apart where the sigmoid would make ties of them.
    scores = torch.from_numpy(stats.rankdata(logits.double().numpy()) / (len(logits) + 1))
    return {
        "roc_auc": float(binary_auroc(scores, target.int())) if both else float("nan"),
        "average_precision": float(binary_average_precision(scores, target.int())) if both else float("nan"),
        "cross_entropy": float(torch.nn.functional.binary_cross_entropy_with_logits(logits.double(), target.double())),
    }


def correlation(target: np.ndarray, prediction: np.ndarray, kind: Callable[..., Any] = stats.spearmanr) -> float:
    if len(target) < _FEWEST or np.ptp(target) == 0 or np.ptp(prediction) == 0 or not np.isfinite(prediction).all():
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return float(kind(target, prediction)[0])


def _correlations(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    return {name: correlation(target, prediction, kind) for name, kind in _CORRELATIONS.items()}


def _column(values: Tensor | np.ndarray | Sequence[float]) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _same_length(*values: Sized) -> None:
    if len({len(value) for value in values}) != 1 or not len(values[0]):
        raise UserError(
            f"predictions, targets and groups need one row each, and at least one; there are "
            f"{', '.join(str(len(value)) for value in values)} rows"
        )
