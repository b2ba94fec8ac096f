"""Intervals over the clusters of a test set: as wide as theory says, and never narrower for rows that are alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from eqgat.errors import UserError
from eqgat.training.intervals import cluster_interval, difference_interval
from eqgat.training.results import COLUMNS, read_results, write_results
from eqgat.training.settings import make_settings
from eqgat_course.experiments.tables import build_table, markdown


def table(clusters: int, copies: int, seed: int = 0) -> pd.DataFrame:
    """Errors that are the same for all rows of a cluster."""
    error = np.repeat(np.random.default_rng(seed).standard_normal(clusters), copies)
    group = np.repeat([f"protein {k}" for k in range(clusters)], copies)
    return pd.DataFrame({"id": range(len(error)), "group": group, "target": 0.0, "prediction": error})


def test_copies_of_a_protein_add_nothing() -> None:
    alone, copied = cluster_interval([table(30, 1)], "mse"), cluster_interval([table(30, 20)], "mse")
    assert alone is not None
    assert copied == pytest.approx(alone)
    rows = cluster_interval([table(30, 20).drop(columns="group")], "mse")  # as if all 600 were independent
    assert rows is not None
    assert rows[1] - rows[0] < 0.4 * (alone[1] - alone[0])


def test_the_width_is_that_of_the_standard_error() -> None:
    rows = table(400, 1)
    low, high = cluster_interval([rows], "mse", draws=2000) or (0, 0)
    error = (rows["prediction"] ** 2).std() / 20
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert low < (rows["prediction"] ** 2).mean() < high


def test_each_kind_of_metric() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 200)
    pairs = pd.DataFrame({"id": range(200), "target": truth, "prediction": truth + 0.5 * random.standard_normal(200)})
    low, high = cluster_interval([pairs, pairs], "roc_auc") or (0, 0)
    assert 0.5 < low < high < 1
    classes = pd.DataFrame({"id": range(200), "target": truth, "prediction_0": 1.0, "prediction_1": 0.0})
    low, high = cluster_interval([classes], "accuracy") or (0, 0)
    assert low < (truth == 0).mean() < high
    assert cluster_interval([table(9, 1)], "something") is None
    with pytest.raises(UserError, match="not tested on the same samples"):
        cluster_interval([table(9, 1), table(8, 1)], "mse")


def test_a_mean_over_targets_has_students_interval() -> None:
    random = np.random.default_rng(1)
    first, second = (
        table(6, 5).assign(target=np.tile(np.arange(5), 6), prediction=random.standard_normal(30)) for _ in range(2)
    )
    own, other = (
        np.array([part["target"].corr(part["prediction"], method="spearman") for _, part in ranked.groupby("group")])
        for ranked in (first, second)
    )
    expected = ttest_1samp(own, 0).confidence_interval()
    assert cluster_interval([first], "mean_spearman") == pytest.approx(tuple(expected))
    expected = ttest_1samp((own + other) / 2, 0).confidence_interval()
    assert cluster_interval([first, second], "mean_spearman") == pytest.approx(tuple(expected))
    expected = ttest_rel(own, other).confidence_interval()
    assert difference_interval([first], [second], "mean_spearman") == pytest.approx(tuple(expected))


def test_no_interval_reaches_beyond_what_a_correlation_can_be() -> None:
    near = table(5, 5).assign(target=np.tile(np.arange(5), 5), prediction=[*np.tile(np.arange(5), 4), 1, 0, 2, 4, 3])
    low, high = cluster_interval([near], "mean_spearman") or (0, 0)
    assert 0 < low < high == 1
    other = near.assign(prediction=-near["prediction"])
    assert difference_interval([near], [other], "mean_spearman") == pytest.approx((2 * low, 2))


@pytest.mark.parametrize("metric", ["mse", "mean_spearman"])
def test_so_many_clusters_are_wanted_as_is_said_and_two_at_least(metric: str) -> None:
    four, five = (
        table(count, 5).assign(target=np.tile(np.arange(5), count), prediction=np.arange(5 * count) % 3)
        for count in (4, 5)
    )
    assert cluster_interval([four], metric, fewest=5) is None
    assert cluster_interval([five], metric, fewest=5) is not None
    assert difference_interval([four], [four], metric, fewest=5) is None
    assert cluster_interval([four], metric) is not None
    assert cluster_interval([four[four["group"] == "protein 0"]], metric, fewest=0) is None


@pytest.mark.slow
def test_the_table_shows_the_interval_beside_the_spread(tmp_path: Path) -> None:
    for seed in range(2):
        settings = make_settings("psr", seed=seed)
        common = dict.fromkeys(COLUMNS, "") | {"task": "psr", "model": "eqgat", "profile": "quick", "seed": seed}
        common |= {"data": "some set, 0123456789ab", "learning_rate": 0.1, "parameters": 1}
        for column in ("split", "metric", "value"):
            del common[column]
        kept = table(6, 5).assign(target=np.tile(np.arange(5), 6))
        kept["prediction"] = np.random.default_rng(seed).standard_normal(30)
        metrics = {"test": {"mean_spearman": 0.1 * seed}}
        write_results(tmp_path, settings.run_name(common["data"]), common, metrics, predictions=kept)
    row = build_table(1, read_results(tmp_path), tmp_path).query("source == 'this code'").iloc[0]
    assert row["low"] < row["high"]
    shown = f"0.050 ± 0.071 [{row['low']:.3f}, {row['high']:.3f}] |"
    assert shown in markdown(1, build_table(1, read_results(tmp_path), tmp_path))
    assert build_table(1, read_results(tmp_path))["low"].isna().all()


def test_a_difference_is_drawn_in_pairs() -> None:
    """Errors that differ by a constant: the interval of each is wide, that of their difference has no width."""
    rows = table(30, 1)
    worse = rows.assign(prediction=rows["target"] + np.sqrt((rows["prediction"] - rows["target"]) ** 2 + 3))
    low, high = cluster_interval([rows], "mse") or (0, 0)
    assert high - low > 0.1
    assert difference_interval([worse], [rows], "mse") == pytest.approx((3, 3))
    assert difference_interval([worse, rows], [rows], "mse") == pytest.approx((1.5, 1.5))
    assert difference_interval([rows], [worse], "something") is None
