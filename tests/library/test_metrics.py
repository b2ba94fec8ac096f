"""Metrics against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from eqgat.training.metrics import (
    classification_metrics,
    pair_metrics,
    ranking_metrics,
    regression_metrics,
    target_table,
)


def test_regression_by_hand() -> None:
    # Errors 1, -1, 2, 0: MSE 6/4. Deviations of the targets from 2.5: -1.5, -0.5, 0.5, 1.5 (squares: 5); of the
    # predictions 2, 1, 5, 4 from 3: -1, -2, 2, 1 (squares: 10); products: 1.5 + 1 + 1 + 1.5 = 5.
    found = regression_metrics(torch.tensor([[2.0], [1.0], [5.0], [4.0]]), torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
    assert found["mse"] == pytest.approx(1.5)
    assert found["rmse"] == pytest.approx(math.sqrt(1.5))
    assert found["mae"] == pytest.approx(1.0)
    assert found["pearson"] == pytest.approx(5 / math.sqrt(50))
    assert found["r2"] == pytest.approx(1 - 6 / 5)
    assert found["prediction_std"] == pytest.approx(math.sqrt(10 / 3))
    # Ranks 2 1 4 3 against 1 2 3 4: 1 - 6 * 4 / (4 * 15). Of 6 pairs, (1, 2) and (3, 4) are the wrong way round.
    assert found["spearman"] == pytest.approx(0.6)
    assert found["kendall"] == pytest.approx((4 - 2) / 6)


def test_ties_have_average_ranks() -> None:
    # Ranks of the predictions 1, 1, 2 are 1.5, 1.5, 3: deviations -0.5, -0.5, 1 against -1, 0, 1, so that
    # r = 1.5 / sqrt(1.5 * 2).
    assert regression_metrics([1, 1, 2], [5, 6, 7])["spearman"] == pytest.approx(1.5 / math.sqrt(3.0))


def test_ranking_within_targets_and_over_all() -> None:
    groups = ["A"] * 3 + ["B"] * 3 + ["small"] * 2 + ["equal"] * 3
    target = [1, 2, 3, 11, 12, 13, 1, 2, 5, 5, 5]
    prediction = [1, 2, 3, 1, 3, 2, 1, 2, 1, 2, 3]
    table = target_table(np.array(prediction), np.array(target), groups)
    assert table["spearman"].to_dict() == pytest.approx(
        {"A": 1.0, "B": 0.5, "small": math.nan, "equal": math.nan}, nan_ok=True
    )
    assert table["size"].to_dict() == {"A": 3, "B": 3, "equal": 3, "small": 2}
    found = ranking_metrics(np.array(prediction), np.array(target), groups)
    assert found["mean_spearman"] == pytest.approx(0.75)
    assert found["mean_kendall"] == pytest.approx((1 + 1 / 3) / 2)
    assert (found["num_targets"], found["num_small_targets"], found["num_undefined_targets"]) == (2, 1, 1)
    assert found["global_spearman"] == pytest.approx(regression_metrics(prediction, target)["spearman"])
    assert found["global_spearman"] < 0.5


def test_a_constant_prediction_has_no_correlation() -> None:
    found = ranking_metrics(np.ones(6), np.arange(6), ["A", "A", "A", "B", "B", "B"])
    assert all(math.isnan(found[name]) for name in ("global_spearman", "mean_spearman", "mean_pearson"))
    assert (found["num_targets"], found["num_undefined_targets"]) == (0, 2)
    assert found["prediction_std"] == 0
    assert found["r2"] == pytest.approx(1 - (1 + 0 + 1 + 4 + 9 + 16) / 17.5)
    assert math.isnan(regression_metrics([1.0, 2.0], [3.0, 3.0])["r2"])


def test_accuracy_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]]))
    found = classification_metrics(logits, torch.tensor([0, 1, 2, 1]))
    assert found["accuracy"] == pytest.approx(0.5)  # of equal logits the first counts
    assert found["cross_entropy"] == pytest.approx(-math.log(0.5 * 0.6 * 0.1 * 0.4) / 4)


def test_auc_and_average_precision_by_hand() -> None:
    # Positives at 3, 1, 0; negatives at 2, 1, -1. Of 9 pairs: 3 beats all three; 1 beats -1 and ties once; 0 beats -1.
    logits, labels = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.0, -1.0]), torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    found = pair_metrics(logits, labels.unsqueeze(1))
    assert found["roc_auc"] == pytest.approx((3 + 1.5 + 1) / 9)
    # Recall rises by a third at 3 (precision 1), at 1 (2 of 4) and at 0 (3 of 5).
    assert found["average_precision"] == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)
    far = pair_metrics(torch.tensor([90.0, 80.0, 70.0]), torch.tensor([1.0, 1.0, 0.0]))
    assert far["roc_auc"] == 1.0  # though the sigmoid of all three is 1 in single precision
    assert pair_metrics(torch.zeros(4), torch.tensor([1.0, 0.0, 1.0, 0.0]))["roc_auc"] == 0.5
    one = pair_metrics(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))
    assert math.isnan(one["roc_auc"])
    assert math.isnan(one["average_precision"])


def test_hard_votes_have_the_balanced_accuracy_as_their_auc() -> None:
    votes, labels = torch.tensor([1.0, 1, 0, 0, 0]), torch.tensor([1.0, 0, 1, 0, 0])
    assert pair_metrics(votes, labels)["roc_auc"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_rows_must_match() -> None:
    with pytest.raises(ValueError, match="one row each"):
        regression_metrics([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="at least one"):
        ranking_metrics([], [], [])
