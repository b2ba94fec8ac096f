"""What notebook 09 reads from the store: right with few runs, and with none at all."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_ind

from eqgat import EQGAT
from eqgat.baselines import SchNet
from eqgat.datasets import make_triangles
from eqgat.symmetry import random_rotation
from eqgat.training.results import COLUMNS, read_history, read_results
from eqgat_course.ch09_triangle_benchmark import figures
from eqgat_course.ch09_triangle_benchmark.study import (
    TUNING_SEED,
    bent_arm,
    compare,
    missing_runs,
    nearest_cloud,
    robustness,
    robustness_in_words,
    table_3,
    tuning_runs,
)
from eqgat_course.experiments.robustness import read_noise
from eqgat_course.experiments.tables import build_table
from eqgat_course.results import TRIANGLE_MODELS, quick_triangle_errors, triangle_runs

mpl.use("agg")
STORE_FIGURES = (figures.learning_curves, figures.error_by_target, figures.table_3_as_figure)


def store(*runs: tuple[str, str, int, float]) -> pd.DataFrame:
    """Rows of runs (model, profile, seed, value), the same value for each metric."""
    rows = [
        {
            **dict.fromkeys(COLUMNS, ""),
            "task": "triangle",
            "split": "test",
            "parameters": 1,
            "device": "CPU",
            "learning_rate": 1e-3,
            "model": model,
            "profile": profile,
            "seed": seed,
            "metric": metric,
            "value": value,
        }
        for model, profile, seed, value in runs
        for metric in ("mse", "mse_distance", "mse_perimeter", "mse_area")
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_both_arms_look_the_same_to_distances_and_not_to_directions():
    arms = [bent_arm(False), bent_arm(True)]
    assert torch.equal(arms[0].edge_index, arms[1].edge_index)
    assert arms[0].edge_index.shape[1] == 8
    for kind, same in ((SchNet, True), (EQGAT, False)):
        torch.manual_seed(0)
        model = kind(num_elements=2, out_channels=3, num_layers=2, cutoff=5.0).double()
        answers = [model(arm) for arm in arms]
        assert torch.allclose(*answers, rtol=0, atol=1e-12) == same


def test_look_up_table_finds_rotated_copies():
    data = make_triangles(20, num_points=10, radius=5.0, progress=False)
    copies = data.pos[5:9] @ random_rotation(3).float().T + 4.0
    assert torch.equal(nearest_cloud(data.pos, data.y, copies), data.y[5:9])


def test_profile_with_more_models_is_chosen_and_full_wins_a_tie():
    assert triangle_runs(store())[1] == ""
    assert triangle_runs(store(("eqgat", "quick", 0, 1.0)))[1] == "quick"
    rows, profile = triangle_runs(store(("eqgat", "quick", 0, 1.0), ("eqgat", "full", 0, 1.0)))
    assert profile == "full"
    assert set(rows["profile"]) == {"full"}
    more = store(("eqgat", "quick", 0, 1.0), ("eqgat", "quick", 1, 1.0), ("eqgat", "full", 0, 1.0))
    assert triangle_runs(more)[1] == "quick"
    assert (
        triangle_runs(store(("eqgat", "quick", 0, 1.0), ("schnet", "quick", 0, 1.0), ("eqgat", "full", 0, 1.0)))[1]
        == "quick"
    )


def test_missing_runs_are_commands():
    missing = missing_runs(store(("eqgat", "quick", 0, 1.0)), "quick")
    assert len(missing) == 3 * len(TRIANGLE_MODELS) - 1
    assert not any(line.endswith("--model eqgat --profile quick --seed 0") for line in missing)
    assert all(line.startswith("eqgat train triangle") for line in missing)


def test_runs_that_chose_the_settings_are_shown_by_validation_alone():
    runs = store(("painn", "quick", TUNING_SEED, 4.0), ("painn", "quick", TUNING_SEED, 2.0), ("painn", "quick", 0, 1.0))
    runs = runs.assign(split="val", learning_rate=[1e-3] * 4 + [1e-2] * 4 + [3e-3] * 4, batch_size=16, epochs=7)
    tested = store(("eqgat", "quick", TUNING_SEED, 9.0)).assign(batch_size=16, epochs=7)
    shown = tuning_runs(pd.concat([runs, tested]))
    assert shown.to_dict("index") == {"PaiNN": {"batch": 16, "epochs": 7, "rate 0.001": "4.00", "rate 0.01": "2.00"}}
    assert tuning_runs(store()).empty


def test_differences_are_measured_in_the_spread_of_two_runs():
    runs = [("eqgat", "quick", seed, value) for seed, value in enumerate((1.0, 2.0, 3.0))]
    runs += [("painn", "quick", seed, value) for seed, value in enumerate((2.0, 3.0, 4.0))]
    runs += [("schnet", "quick", seed, value) for seed, value in enumerate((9.0, 10.0, 11.0))]
    runs += [("gvp", "quick", 0, 5.0)]
    table = build_table(3, store(*runs))
    ours = compare(table).query("`numbers of` == 'this code'").set_index("model")
    assert ours.loc["PaiNN", "in spreads"] == pytest.approx(0.7)
    assert ours.loc["PaiNN", "more than two spreads"] == "no"
    assert ours.loc["SchNet", "more than two spreads"] == "yes"
    assert "unknown" in ours.loc["GVP", "more than two spreads"]
    paper = compare(table).query("`numbers of` == 'paper'")
    assert len(paper) == 6
    assert set(table_3(table)["numbers of"]) == {"paper", "this code"}


@pytest.mark.parametrize("draw", STORE_FIGURES)
@pytest.mark.parametrize("runs", [(), (("painn", "quick", 0, 3.0),)], ids=["empty", "one run without its curve"])
def test_figures_of_the_store_can_be_drawn_whatever_it_holds(monkeypatch, draw, runs):
    monkeypatch.setattr(figures, "read_results", lambda **_: store(*runs))

    def no_curve(run):
        raise FileNotFoundError(run)

    monkeypatch.setattr(figures, "read_history", no_curve)
    fig = draw()
    fig.canvas.draw()
    assert "no runs" in fig.eqgat_details["caption"] or "None of ours" in fig.eqgat_details["caption"] or runs


def test_what_09_says_of_the_stored_runs_is_what_they_hold():
    rows = triangle_runs(read_results())[0].query("metric == 'mse'").sort_values("seed")
    errors = {name: runs.set_index("seed")["value"] for name, runs in rows.groupby("model")}
    eqgat, schnet, painn = errors["eqgat"], errors["schnet"], errors["painn"]
    ablations = errors["eqgat-no-cross-product"], errors["eqgat-no-feature-attention"]
    assert [len(eqgat), *map(len, ablations)] == [20, 20, 20]
    assert round(schnet.mean() / eqgat.mean(), 1) == 3.6
    assert (schnet / eqgat).dropna().round(1).tolist() == [3.1, 5.5, 2.7]
    assert (eqgat < painn.min()).sum() == 19
    for other in (painn, *ablations):
        assert 0 < other.mean() - eqgat.mean() < 2 * (other.var() + eqgat.var()) ** 0.5
    segnn = errors.pop("segnn")
    assert segnn.round(2).tolist() == [0.62, 0.93, 0.62]
    assert 0.3 < segnn.mean() / eqgat.mean() < 0.37  # about a third
    assert segnn.max() < min(other.min() for other in errors.values())
    told = compare(build_table(3, read_results())).query("`numbers of` == 'this code' and profile == 'quick'")
    assert set(told.loc[told["more than two spreads"] == "yes", "model"]) == {"SchNet", "SEGNN"}
    assert errors["gvp"].round(1).tolist() == [4.3, 31.1, 3.6]
    assert max(errors, key=lambda name: errors[name].mean()) == "gvp"


def test_robustness_takes_means_over_seeds_and_says_where_the_error_doubles():
    noise = pd.DataFrame(
        [
            ("schnet", seed, level, error + seed)
            for seed in (0, 1)
            for level, error in ((0.0, 2.0), (0.1, 4.0), (0.5, 90.0))
        ],
        columns=["model", "seed", "noise", "mse"],
    )
    run = {"task": "triangle", "profile": "quick", "split": "test", "metric": "mse", "model": "schnet"}
    changed = '{"model_options": {"num_layers": 2}}'
    results = pd.DataFrame(
        [
            {**run, "seed": 0, "changed": changed, "value": 4.0},
            {**run, "seed": 1, "changed": changed, "value": 6.0},
            {**run, "seed": 7, "changed": changed, "value": 1000.0},  # a seed that was not tested with noise
            {**run, "seed": 0, "changed": "", "value": 1000.0},
            {**run, "seed": 0, "changed": changed, "value": 1000.0, "metric": "mae"},
        ]
    )
    row = robustness(noise, results).loc["SchNet"]
    assert (row["seeds"], row["0 Å"], row["0.1 Å"], row["0.5 Å"], row["2 layers"]) == (2, 2.5, 4.5, 90.5, 2.0)
    assert pd.isna(row["4 layers"])
    assert robustness_in_words(robustness(noise, results), 80.0) == [
        "**SchNet**: 2.5 without noise; more than twice that from 0.5 Å on, worse than predict-the-mean from 0.5 Å on; "
        "trained anew, its error is multiplied: 2.0 times with 2 layers."
    ]


def test_what_09_says_of_noise_cutoff_and_depth_is_in_the_store():
    noise = read_noise()
    store = read_results(task="triangle")
    whole = robustness(noise, store)
    levels = [name for name in whole.columns if name.endswith(" Å") and name[0].isdigit()]
    blind = noise["mse_of_the_mean"].min()
    assert (whole[levels[:-1]].idxmin() == "SEGNN").all()
    assert (whole[levels[:-1]].drop(index="SEGNN").idxmin() == "EQGAT-Full").all()
    assert (levels[-2:], whole["1 Å"].idxmin()) == (["0.5 Å", "1 Å"], "EQGAT-Full")
    assert (whole["1 Å"] < blind).all()
    assert whole["1 Å"]["GVP"] > blind / 2
    own = noise[noise["model"] == "gvp"].pivot(index="seed", columns="noise", values="mse")
    assert own[0.0].round(1).tolist() == [4.3, 31.1, 3.6]
    assert own[1.0].drop(1).round().tolist() == [15, 14]
    changed = [quick_triangle_errors(store, {"num_layers": layers}) for layers in (2, 4)]
    assert all(rows[rows["model"] == "gvp"]["value"].lt(blind / 4).sum() == 3 for rows in changed)
    table = whole.drop(index="GVP")
    assert (table[levels].idxmax() == "SchNet").all()
    assert (table["1 Å"] < blind / 2).all()  # far better than predict-the-mean
    assert (table["1 Å"] / table["0 Å"]).idxmin() == "SchNet"  # loses least in proportion
    assert (table["1 Å"] / table["0 Å"]).idxmax() == "SEGNN"
    assert round(table["0.1 Å"]["SEGNN"] / table["0 Å"]["SEGNN"], 1) == 1.3
    assert round(table["0.5 Å"]["SEGNN"] / table["0 Å"]["SEGNN"]) == 6
    table = table.drop(index="SEGNN")
    assert (table["0.1 Å"] < 1.2 * table["0 Å"]).all()
    vectors = table.drop(index="SchNet")
    assert (vectors["0.5 Å"] > 2 * vectors["0 Å"]).all()
    assert (whole["cutoff 4.5 Å"] > whole["2 layers"]).all()
    assert whole["cutoff 4.5 Å"].nlargest(2).index.tolist() == ["SEGNN", "PaiNN"]
    deeper = whole["4 layers"].drop("GVP")
    assert round(deeper.pop("SEGNN"), 1) == 1.3
    assert deeper.between(0.75, 0.92).all()
    assert whole["seeds"].tolist() == [3] * 7


def test_what_09_says_of_the_quick_profiles_rates_is_in_the_store():
    shown = tuning_runs(read_results(task="triangle"))
    columns = ["rate 0.001", "rate 0.003", "rate 0.01"]
    tried = shown[(shown[columns] != "").all(axis=1)]
    whole = tried[tried["epochs"] == 7][columns].astype(float)
    assert (len(whole), set(whole.idxmin(axis=1))) == (4, {"rate 0.003"})
    assert tried.drop(index=whole.index)[["epochs", *columns]].T.to_dict("list") == {
        "SEGNN": [3, "2.85", "3.38", "34.66"]
    }


def test_what_09_says_of_the_cpu_profile_is_in_the_store():
    store = read_results(task="triangle")
    rates = tuning_runs(store, "cpu")["rate 0.003"].replace("", float("nan")).astype(float)
    assert rates["EQGAT-Full, plain readout"] > 10 * rates["EQGAT-Full"]
    assert tuning_runs(store, "cpu").loc["SEGNN", ["rate 0.001", "rate 0.003"]].tolist() == ["120.63", "26.67"]
    chosen = store[(store["profile"] == "cpu") & store["changed"].str.contains("standardise_readout")]
    history = read_history(f"triangle-eqgat-cpu-seed10-1a1510f7-data{chosen['data'].iloc[0].replace('-', '')[:10]}")
    assert (history["val_r2_area"][:2].abs() < 0.01).all()  # the same numbers for every cloud
    assert history["val_r2_area"].iloc[2] > 0.5


def test_what_09_says_of_the_cpu_rows_is_in_the_store():
    rows = read_results(task="triangle").query(
        "profile == 'cpu' and split == 'test' and metric == 'mse' and changed == ''"
    )
    error = rows.astype({"value": float, "seed": int}).pivot_table("value", "seed", "model")
    assert len(error) == 3
    segnn = error.pop("segnn")
    assert segnn.round(1).tolist() == [13.5, 19.9, 7.2]
    assert (segnn > error["eqgat"]).all()
    assert segnn.mean() - error["eqgat"].mean() < 2 * float(np.hypot(segnn.std(), error["eqgat"].std()))
    ablations = ["eqgat-no-cross-product", "eqgat-no-feature-attention"]
    assert set(error) == {"eqgat", "painn", "schnet", "gvp", *ablations}
    assert (error["gvp"].round(1).min(), error["gvp"].round(1).max()) == (5.9, 7.1)
    assert (error["gvp"] > error["eqgat"]).all()
    assert round(error["gvp"].mean() / error["eqgat"].mean(), 1) == 1.4
    spread = float(np.hypot(error["gvp"].std(), error["eqgat"].std()))
    assert 2 < (error["gvp"] - error["eqgat"]).mean() / spread < 2.1
    assert round(10.12 / 6.0, 1) == 1.7
    ratio = error[ablations].mean() / error["eqgat"].mean()
    assert ratio.round(2).tolist() == [1.16, 1.04]
    for name in ablations:
        assert (error[name] < error["eqgat"]).sum() == 1
        assert ttest_ind(error["eqgat"], error[name], equal_var=False).pvalue > 0.05
    blind = float(make_triangles(4000, progress=False).y.var(dim=0).mean())
    assert (error["eqgat"] < blind / 30).all()
    assert (error["schnet"] > 5 * error["eqgat"]).all()
    assert 5.5 < 37.5 / 6.0 < 6.5
    level = error["painn"] - error["eqgat"]
    assert level.min() < 0 < level.max()  # now one is ahead, now the other
    assert 3.5 < error["eqgat"].mean() < 6.0
