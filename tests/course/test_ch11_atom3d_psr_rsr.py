"""What notebook 11 computes with: results beside the paper's, overlays, a model that fits; what it says of stored runs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from stored_rows import planned_runs

from eqgat.training.intervals import difference_interval
from eqgat.training.metrics import target_table
from eqgat.training.results import (
    COLUMNS,
    read_history,
    read_predictions,
    read_results,
    results_folder,
    write_results,
)
from eqgat_course.ch10_atom3d_lba import study as affinity
from eqgat_course.ch11_atom3d_psr_rsr import study as ranking
from eqgat_course.results import beside_the_paper
from eqgat_course.toy.superposition import rmsd


def test_results_stand_below_the_papers_and_undefined_ones_stay_undefined(tmp_path):
    metrics = ("mean_spearman", "global_spearman")
    assert read_results(tmp_path, task="psr").empty
    alone = beside_the_paper("psr", metrics, read_results(tmp_path, task="psr"))
    assert alone["model"].tolist() == ["CNN", "GNN", "GVP-GNN", "SchNet", "PaiNN", "SEGNN", "EQGAT"]
    common = dict.fromkeys(COLUMNS, "") | {"task": "psr", "profile": "quick", "data": "small, not ATOM3D's, 0123"}
    for model, seed, values in (
        ("eqgat", 0, (0.4, 0.6)),
        ("eqgat", 1, (0.6, 0.6)),
        ("trivial: mean", 0, (math.nan, math.nan)),
    ):
        own = {name: value for name, value in common.items() if name not in ("split", "metric", "value")}
        write_results(
            tmp_path,
            f"{model[:5]}-{seed}",
            own | {"model": model, "seed": seed},
            {"test": dict(zip(metrics, values, strict=True)), "val": {"mse": 1.0}},
            [],
        )
    both = beside_the_paper("psr", metrics, read_results(tmp_path, task="psr"))
    ours = both[both["numbers of"] == "this code"].set_index("model")
    assert ours.loc["EQGAT", ["n", "data"]].tolist() == ["2", "small, not ATOM3D's"]
    assert ours.loc["EQGAT", "mean_spearman"] == pytest.approx(0.5)
    assert ours.loc["EQGAT", "mean_spearman std"] == pytest.approx(math.sqrt(0.02))
    assert math.isnan(ours.loc["trivial: mean", "mean_spearman"])
    assert both[:7].drop(columns="n").equals(alone.drop(columns="n"))


def test_a_model_memorises_one_label_and_turning_changes_nothing():
    graph = affinity.complex_graph("10gs")
    model, history = affinity.memorise([graph], steps=15)
    assert history["rmse"].iloc[-1] < 0.7 * history["rmse"].max()
    turned = affinity.moved_graph(graph, torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
    assert model(turned) == pytest.approx(model(graph), abs=1e-3)


def test_an_overlay_is_the_best_superposition(tmp_path, monkeypatch):
    monkeypatch.setenv("EQGAT_CACHE", str(tmp_path))
    both = ranking.overlay("2xcjA", "spread_0_1", walks=1)
    half = len(both) // 2
    assert both.atoms["chain"].tolist() == ["R"] * half + ["D"] * half
    alpha = np.flatnonzero(both.atoms["name"][:half] == "CA")
    real, decoy = both.positions[alpha], both.positions[half + alpha]
    assert np.sqrt(((real - decoy) ** 2).sum(axis=1).mean()) == pytest.approx(rmsd(decoy, real))
    assert rmsd(decoy, real) > 0.6


NETWORKS = ["eqgat", "eqgat-no-cross-product", "eqgat-no-feature-attention", "painn", "gvp", "schnet"]


def test_what_11_says_of_the_stored_runs_of_psr() -> None:
    """Each number that the text names, and who is ahead of whom."""
    rows = read_results(task="psr").query("split == 'test'").astype({"value": float})
    assert rows.query("model != 'gcn'")["data"].nunique() == 1, "all rows are of the same data"
    trained = rows[~rows["model"].str.startswith("trivial")]
    seeds = trained.groupby("model")["seed"].nunique().to_dict()
    assert seeds == {"segnn": 1, **dict.fromkeys([*NETWORKS, "gcn", "cnn3d"], 3)}
    values = rows.groupby(["model", "metric"])["value"].mean().unstack()
    size, close = (values.loc[name] for name in ("trivial: radius of gyration", "trivial: clashes"))
    told = values.loc[NETWORKS, ["r2", "mean_spearman", "global_spearman"]].round(2)
    assert told.to_numpy().tolist() == [
        [0.63, 0.74, 0.79],
        [0.67, 0.74, 0.81],
        [0.68, 0.77, 0.81],
        [0.68, 0.76, 0.83],
        [0.64, 0.73, 0.80],
        [0.52, 0.72, 0.75],
    ]
    off = trained.query("metric == 'rmse' and model in @NETWORKS")["value"]
    assert (off < 0.75 * values.loc["trivial: mean", "rmse"]).all()
    assert "eqgat" not in set(told.idxmax()) | {values.loc[NETWORKS, "rmse"].idxmin()}
    cnn = values.loc["cnn3d"].round(2)
    assert (cnn["mean_spearman"], cnn["global_spearman"]) == (0.62, 0.58)
    assert round(close["mean_spearman"], 2) == 0.56 < cnn["mean_spearman"] < told["mean_spearman"].min()
    assert round(size["mean_spearman"], 3) == 0.770
    ahead = values.loc[[*NETWORKS, "segnn"], "mean_spearman"] > size["mean_spearman"]
    assert list(ahead.index[ahead]) == [NETWORKS[2]]
    assert round(values.loc[NETWORKS[2], "mean_spearman"] - size["mean_spearman"], 3) == 0.003
    own = trained.query("metric == 'mean_spearman' and model == @NETWORKS[2]")["value"]
    assert round(own.std(), 3) == 0.066
    assert told["r2"].between(0.5, 0.7).all()
    alone = values.loc["segnn"]
    assert 0.5 < alone["r2"] < 0.7
    assert alone["rmse"] < 0.75 * values.loc["trivial: mean", "rmse"]
    assert round(alone["global_spearman"], 2) == 0.85 > told["global_spearman"].max()
    plain = values[values.index.str.startswith("trivial: ") & ~values.index.str.contains("untrained")]
    assert round(plain["global_spearman"].max(), 2) == 0.68 < told["global_spearman"].min()
    assert values.loc["eqgat", "num_targets"] == 5
    lost = trained.query("metric == 'r2' and model in ['gcn', 'cnn3d']")["value"]
    assert (len(lost), (lost < -19).all()) == (6, True)
    assert abs(values.loc["gcn", "global_spearman"]) < 0.1
    assert values.loc["gcn", "mean_spearman"] < 0
    gnn = rows.query("model == 'gcn'").iloc[0]
    steps = len(read_history("psr-gcn-quick-seed0")) * (int(gnn["num_train"]) // int(gnn["batch_size"]) + 1)
    assert steps == 36
    seeds = trained.query("metric == 'mean_spearman' and model in @NETWORKS").astype({"seed": int})
    places = seeds.pivot_table("value", "model", "seed").rank(ascending=False).loc["eqgat"].tolist()
    assert places[:2] == [6, 2]
    assert seeds.query("model == 'eqgat'").set_index("seed")["value"].round(2).loc[[0, 1]].tolist() == [0.63, 0.83]


@pytest.mark.slow
def test_what_11_says_of_whole_targets_drawn_anew() -> None:
    runs = {name: [read_predictions(run) for run in planned_runs("psr", name)] for name in NETWORKS}
    ends = {
        (rival, metric): difference_interval(runs["eqgat"], runs[rival], metric) or ()
        for rival in NETWORKS[1:]
        for metric in ("mean_spearman", "global_spearman")
    }
    assert [round(end, 2) for end in ends["painn", "mean_spearman"]] == [-0.06, 0.02]
    assert [round(end, 2) for end in ends["schnet", "mean_spearman"]] == [-0.09, 0.14]
    sure = [key for key, (low, high) in ends.items() if not low < 0 < high]
    assert (sure, len(ends)) == ([("painn", "global_spearman")], 10)
    low, high = ends[sure[0]]
    assert round(low, 2) == -0.13
    assert -0.001 < high < 0


def by_target(run: str) -> pd.DataFrame:
    table = read_predictions(run)
    return target_table(table["prediction"].to_numpy(), table["target"].to_numpy(), table["group"])


@pytest.mark.slow
def test_what_11_says_of_the_target_with_five_decoys() -> None:
    found = pd.DataFrame({run: by_target(run)["spearman"] for name in NETWORKS for run in planned_runs("psr", name)})
    assert by_target(found.columns[0])["size"].nsmallest(2).to_dict() == {"6KYT": 5, "2zib": 25}
    assert found.loc["6KYT", planned_runs("psr", "eqgat")].round(2).tolist() == [-0.41, 0.56, 0.21]
    others = found.drop("6KYT").mean().round(2)
    assert (others.min(), others.max()) == (0.89, 0.93)


def test_what_11_says_of_the_stored_runs_of_rsr() -> None:
    rows = read_results(task="rsr").astype({"value": float, "parameters": int})
    assert rows["data"].nunique() == 1, "all rows are of the same data"
    test = rows[(rows["split"] == "test") & rows["metric"].isin(["mean_spearman", "global_spearman"])]
    ends = test.groupby(["metric", "model"])["value"].agg(["min", "max", "size"]).round(2)
    networks = ["eqgat", "painn", "schnet"]
    within, over = ends.loc["mean_spearman"], ends.loc["global_spearman"]
    assert within.loc[networks, ["min", "max"]].to_numpy().tolist() == [[0.31, 0.50], [0.49, 0.60], [0.47, 0.55]]
    assert (within.loc[networks, "size"] == 3).all()
    assert within.loc[["trivial: clashes", "trivial: radius of gyration"], "max"].tolist() == [0.25, 0.25]
    assert round(within.loc["segnn", "max"], 2) == 0.59
    assert over.loc[[*networks, "segnn"], "max"].max() == 0.28
    assert over.loc["trivial: number of atoms", "max"] == 0.50
    assert rows["parameters"].max() == 44_840
    tried = rows[(rows["split"] == "val") & (rows["seed"].astype(int) == 10)].set_index(["metric", "changed"])["value"]
    for metric, told in (("prediction_std", [1.2, 0.02]), ("r2", [0.16, -0.07])):
        found = tried.loc[metric]
        plain = found.index.str.contains('"standardise_readout": false')
        assert [float(f"{found[~plain].item():.2g}"), round(found[plain].item(), 2)] == told
    explained = rows[(rows["metric"] == "r2") & rows["model"].isin([*networks, "segnn"])]
    chosen = explained[(explained["split"] == "val") & (explained["model"] == "eqgat") & (explained["seed"] < 10)]
    assert chosen.sort_values("seed")["value"].round(2).tolist() == [-0.03, 0.01, 0.17]
    trained = explained[explained["split"] == "test"]["value"]
    assert (len(trained), (trained < 0).all()) == (10, True)
    off = rows[(rows["metric"] == "rmse") & (rows["split"] == "test")].set_index("model")["value"]
    assert round(off["trivial: mean"], 2) == 2.84
    assert (off.loc[networks] < off["trivial: mean"]).sum() == 8
    assert round(off["segnn"], 2) == 3.72
    runs = [file.name.split(".")[0] for file in (results_folder() / "rsr").glob("rsr-*-quick-*.predictions.csv.gz")]
    least = pd.Series({run: by_target(run)["spearman"].min() for run in runs})
    assert len(least) == 10
    assert (least.drop(least.idxmin()) > 0.25).all()
    assert str(least.idxmin()).startswith("rsr-eqgat-quick-seed2")
    assert abs(least.min()) < 0.005
