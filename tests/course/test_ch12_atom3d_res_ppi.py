"""What notebook 12 counts and draws: curves, hops, pairs of residues, draws of pairs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cdist
from torch_geometric.data import Data

from eqgat.datasets.atom3d import ItemData
from eqgat.pretrained import pretrained, pretrained_rows
from eqgat.training.intervals import difference_interval
from eqgat.training.metrics import pair_metrics
from eqgat.training.results import COLUMNS, read_history, read_predictions, read_results
from eqgat.viz.evaluation import calibration
from eqgat_course.ch12_atom3d_res_ppi import figures, study
from eqgat_course.ch12_atom3d_res_ppi.study import (
    all_pairs,
    auc_by_counting,
    curves,
    drawn_scores,
    hop_table,
    stored_runs,
)
from eqgat_course.experiments.plans import read_plan
from eqgat_course.residues import residue_answers
from eqgat_course.toy.ppi import ppi_item
from eqgat_course.toy.res import res_item


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    return all_pairs(items=[ppi_item("1hvr", "AB")])


def test_the_curves_of_the_notebook_by_hand() -> None:
    table = curves(figures.SCORES, figures.TRUTH)
    assert table["true positives"].tolist() == [0, 1, 1, 2, 3, 3, 3, 3]
    assert table["false positives"].tolist() == [0, 0, 1, 1, 1, 2, 3, 4]
    assert math.isnan(table["precision"][0])
    assert table["precision"][1:].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5, 3 / 6, 3 / 7])
    area = (table["recall"] * table["false positive rate"].diff().shift(-1)).sum()
    metrics = pair_metrics(torch.tensor(figures.SCORES), torch.tensor(figures.TRUTH))
    assert area == pytest.approx(10 / 12) == pytest.approx(metrics["roc_auc"])
    assert metrics["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_counting_gives_the_library_s_area_with_ties() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(50, generator=generator).mul(2).round(), torch.arange(50) % 3 == 0
    assert auc_by_counting(scores, labels.long()) == pytest.approx(pair_metrics(scores, labels.long())["roc_auc"])


def test_hops_of_a_path_by_hand() -> None:
    path = torch.tensor([[1, 0, 2, 1, 3, 2], [0, 1, 1, 2, 2, 3]])
    graph = Data(
        pos=torch.tensor([[0.0, 0, 0], [4, 0, 0], [8, 0, 0], [12, 0, 0]]),
        edge_index=path,
        center_index=torch.tensor([0]),
    )
    table = hop_table(graph, 2)
    assert table["atoms"].tolist() == [1, 2, 3]
    assert table["farthest"].tolist() == [0, 4, 8]
    assert table["edges"].tolist() == [1, 3, 5]


def test_all_pairs_are_all_and_each_is_labelled_once(pairs: pd.DataFrame) -> None:
    item = ppi_item("1hvr", "AB")
    assert len(pairs) == 99 * 99
    assert pairs["touching"].sum() == len(item["atoms_neighbors"])
    assert pairs["first"].nunique() <= 99
    assert (pairs[["first", "second"]] < 0).all(axis=None)


def test_a_draw_is_balanced_and_repeats_itself(pairs: pd.DataFrame) -> None:
    one, other = (drawn_scores(pairs, draws=3, seed=1) for _ in range(2))
    assert one.equals(other)
    assert not one.equals(drawn_scores(pairs, draws=3, seed=2))
    everything = pair_metrics(
        torch.tensor((pairs["first"] + pairs["second"]).to_numpy()), torch.tensor(pairs["touching"].to_numpy())
    )
    assert drawn_scores(pairs, draws=1, positives=10**6, ratio=10**4)["roc_auc"][0] == pytest.approx(
        everything["roc_auc"]
    )


def test_changed_runs_and_other_metrics_are_left_out() -> None:
    row = dict.fromkeys(COLUMNS, "") | {
        "task": "res",
        "split": "test",
        "metric": "accuracy",
        "value": 0.2,
        "seed": 0,
        "epochs": 1,
        "data": "other, not ATOM3D's, 0123",
        "model": "eqgat",
    }
    rows = pd.DataFrame([row, row | {"changed": "{}"}, row | {"metric": "cross_entropy"}, row | {"split": "val"}])
    found = stored_runs(rows, "res", "accuracy")
    assert len(found) == 1
    assert found["data"].iloc[0] == "other, not ATOM3D's"
    assert stored_runs(pd.DataFrame(columns=list(COLUMNS)), "res", "accuracy").empty


def test_answers_without_learning_are_those_on_the_same_data() -> None:
    row = dict.fromkeys(COLUMNS, "") | {"task": "ppi", "split": "test", "metric": "roc_auc", "seed": 0}
    plain = row | {"model": "trivial: constant", "epochs": 0}
    rows = pd.DataFrame(
        [
            row | {"model": "eqgat", "epochs": 1, "data": "pairs, 01", "value": 0.7},
            plain | {"data": "pairs, 01", "value": 0.5},
            plain | {"data": "pairs, 23", "value": 0.4},
            plain | {"model": "trivial: untrained network", "data": "pairs, 23", "value": 0.4},
            plain | {"model": "trivial: untrained network", "data": "pairs, 23", "seed": 1, "value": 0.6},
        ]
    )
    assert stored_runs(rows, "ppi", "roc_auc")["value"].tolist() == [0.5, 0.7]
    found = study.without_learning(rows, "ppi", "pairs, 23", "roc_auc")
    assert found.to_dict() == {"trivial: constant": 0.4, "trivial: untrained network": 0.5}


@pytest.mark.slow
def test_what_12_says_of_the_larger_set_is_what_its_run_gave():
    both_seeds = study.at_scale(read_results(), "res-large")
    runs = both_seeds[both_seeds["metric"] == "accuracy"].groupby("model")["run"].agg(list)
    assert {model: len(names) for model, names in runs.items()} == {
        "eqgat": 3,
        "eqgat-no-cross-product": 1,
        "painn": 1,
        "schnet": 1,
    }
    own, *others = ([read_predictions(run) for run in names] for names in runs)
    ends = [difference_interval(own, other, "accuracy") or () for other in others]
    assert [[round(end, 3) for end in found] for found in ends] == [[-0.015, 0.004], [0.028, 0.059], [0.018, 0.047]]
    for run in runs["eqgat"]:
        known = study.by_residue(read_predictions(run)).set_index("residue")["found"]
        assert known.loc[["ILE", "TYR", "PHE", "TRP", "HIS", "ARG", "ASN", "GLN", "MET"]].max() < 0.03
    rights = both_seeds[(both_seeds["model"] == "eqgat") & (both_seeds["metric"] == "accuracy")]["value"]
    assert rights.between(1 / 5.5, 1 / 4.5).all()  # one in five, by each seed
    all_rows = both_seeds.query("seed == 0").set_index(["model", "metric"])
    assert 1 / 5.5 < all_rows.loc[("eqgat-no-cross-product", "accuracy"), "value"] < 1 / 4.5
    assert 1 / 6.5 < all_rows.loc[("schnet", "accuracy"), "value"] < 1 / 5.5
    rows = all_rows.loc["eqgat"]
    accuracy, entropy = rows.loc["accuracy"], rows.loc["cross_entropy"]
    assert (accuracy["epochs"], accuracy["trained on"]) == (3, 20_555)
    assert 1 / 5.5 < accuracy["value"] < 1 / 4.5  # one in five
    assert 1 / 12 < accuracy["constant"] < 1 / 11  # one in eleven
    assert accuracy["low"] > 2 * accuracy["constant"]  # far away
    assert entropy["high"] < entropy["constant"]
    found = study.by_residue(read_predictions("res-eqgat-quick-seed0-f38c208f")).set_index("residue")
    assert list(found.index[:2]) == ["GLY", "CYS"]
    hardly = set(found.index[found["found"] < 0.02])
    assert {"ILE", "TYR", "PHE", "TRP", "HIS"} < hardly
    assert set(found.loc[list(hardly), "taken for"]) == {"LEU", "LYS"}
    history = read_history("res-eqgat-quick-seed0-f38c208f")
    assert history["train_loss"].is_monotonic_decreasing
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[-2] - 0.05


def test_residues_found_and_taken_for_are_counted_by_hand():
    scores = np.zeros((4, 20))
    scores[[0, 1, 2, 3], [2, 2, 5, 0]] = 1.0
    table = pd.DataFrame(scores, columns=[f"prediction_{k}" for k in range(20)]).assign(target=[2, 2, 2, 5])
    found = study.by_residue(table).set_index("residue")
    third, sixth = (found.loc[study.RESIDUES[k]] for k in (2, 5))
    assert (third["there"], third["taken for"]) == (3, study.RESIDUES[5])
    assert third["found"] == pytest.approx(2 / 3)
    assert (sixth["there"], sixth["found"], sixth["taken for"]) == (1, 0.0, study.RESIDUES[0])


@pytest.mark.slow
def test_what_12_says_of_burial_is_what_the_shipped_network_answers():
    for split in ("test", "val"):
        found = study.by_burial(residue_answers(pretrained("res"), split, radius=9.0))
        assert found["accuracy"][:3].idxmax() == "buried"
        assert -0.05 < found.loc["buried - open", "low"] < 0 < found.loc["buried - open", "high"]


def test_thirds_by_burial_are_counted_by_hand():
    answers = pd.DataFrame(
        {
            "protein": ["a", "a", "a", "b", "b", "b"],
            "truth": list("XXXXXX"),
            "answer": list("YXXYYX"),
            "atoms": [10, 50, 90, 20, 60, 100],
        }
    )
    found = study.by_burial(answers)
    assert found["accuracy"].tolist() == [0.0, 0.5, 1.0, 1.0]
    assert found["environments"].tolist()[:3] == [2, 2, 2]
    assert found.loc["between", ["low", "high"]].tolist() == [0.0, 1.0]  # protein b, or a, twice
    assert found.loc["buried - open", ["low", "high"]].tolist() == [1.0, 1.0]


def test_what_12_says_of_the_answers_of_the_shipped_network_is_in_its_predictions():
    predictions = read_predictions(figures.SHIPPED)
    rows = pretrained_rows("res").query("split == 'test' and metric == 'accuracy'")
    answers = predictions.filter(like="prediction_").to_numpy().argmax(axis=1)
    assert (answers == predictions["target"]).mean() == pytest.approx(rows["value"].item()), "another run was shipped"
    found = study.by_residue(predictions).set_index("residue")
    assert list(found.index[:3]) == ["PRO", "GLY", "LEU"]
    assert set(found.loc[["ILE", "MET", "PHE", "TYR", "TRP"], "taken for"]) == {"LEU"}
    scores = predictions.filter(like="prediction_").to_numpy()
    chance = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).max(axis=1)
    right = scores.argmax(axis=1) == predictions["target"].to_numpy()
    table = calibration(chance, right)
    near = table.iloc[(table["said"] - 0.36).abs().argmin()]
    assert near[["said", "found"]].round(2).tolist() == [0.36, 0.30]
    assert (table["said"] > table["found"] - 0.02).all()  # a little too sure, if anything
    by_protein = pd.Series(right).groupby(predictions["group"].to_numpy()).agg(["size", "mean"])
    largest = by_protein.sort_values("size", ascending=False, kind="stable").iloc[:12]
    assert (largest["size"] == 40).all()
    assert by_protein[by_protein["size"] == 40]["mean"].agg(["min", "max"]).round(3).tolist() == [0.1, 0.425]


@pytest.mark.slow
def test_what_12_says_of_more_proteins_and_other_models_is_in_the_store():
    rows = study.at_scale(read_results(), "res-weights", "res-proteins").query("metric == 'accuracy'")
    curve = rows.query("model == 'eqgat' and seed == 0").set_index("proteins")
    assert (100 * curve.loc[[64, 128, 256, "all"], "value"]).round().tolist() == [16, 20, 22, 26]
    assert curve.loc[32, "low"] < curve.loc[32, "constant"] < curve.loc[32, "high"]
    assert curve.loc[32, "trained on"] == 1279
    whole = rows.query("proteins == 'all'").set_index(["model", "seed"])
    percent = {name: round(100 * value) for name, value in whole["value"].items()}
    assert [percent["eqgat", seed] for seed in (0, 1)] == [26, 24]
    assert {name: told for name, told in percent.items() if name[0] in ("painn", "schnet")} == {
        ("painn", 0): 23,
        ("schnet", 0): 18,
        ("schnet", 1): 18,
    }
    assert [percent["eqgat-no-cross-product", seed] for seed in (0, 1)] == [23, 24]
    assert whole.loc[("schnet", 0), "high"] < whole.loc[("painn", 0), "low"] < whole.loc[("eqgat", 1), "low"]
    assert whole.loc[("eqgat", 0), "low"] < whole.loc[("painn", 0), "high"]  # they overlap
    first, second, other = (
        read_predictions(whole.loc[run, "run"]) for run in (("eqgat", 0), ("eqgat", 1), ("painn", 0))
    )
    assert difference_interval([first, second], [other], "accuracy") == pytest.approx((0.010, 0.034), abs=5e-4)


def test_what_12_says_of_the_environments_that_a_lookup_by_number_loses() -> None:
    item = res_item("1hvr", environments=None)
    lost = {name.partition("/")[2] for name in ItemData("res", [item], alpha_carbon="released").skipped["name"]}
    atoms = item["atoms"]
    chain, place = atoms["chain"].to_numpy(), atoms[["x", "y", "z"]].to_numpy(float)
    near = (cdist(place, place) < 6) & (chain[:, None] != chain)
    at = atoms[near.any(axis=1) & (atoms["hetero"] == " ")]
    interface = set(at["chain"] + "_" + at["residue"].astype(str) + "_" + at["resname"])
    assert (len(lost), len(lost & interface), len(interface - lost), len(interface)) == (53, 50, 40, 90)


@pytest.mark.slow
def test_what_12_says_of_more_complexes_is_in_the_store():
    store = read_results()
    rows = study.at_scale(store, "atom3d", task="ppi").query("metric == 'roc_auc'").set_index(["model", "seed"])
    assert set(rows["trained on"]) == {114}
    assert set(rows["epochs"]) == {6}
    areas = rows["value"].round(2).groupby("model").agg(["min", "max", "size"])
    assert areas.loc["eqgat"].tolist() == [0.79, 0.80, 3]
    assert [areas.loc[name].tolist() for name in ("painn", "schnet")] == [[0.75, 0.75, 3], [0.70, 0.73, 3]]
    data = rows["data"].iloc[0]
    count = study.without_learning(store, "ppi", data, "roc_auc")["trivial: residues that lie open"]
    assert round(count, 2) == 0.72
    plain = [read_predictions(f"ppi-trivial-residues-that-lie-open-data{data[-12:-2]}")]
    of = {name: [read_predictions(run) for run in rows.loc[name, "run"]] for name in ("eqgat", "painn", "schnet")}
    ends = {name: difference_interval(runs, plain, "roc_auc") or () for name, runs in of.items()}
    assert [[round(end, 2) for end in found] for found in ends.values()] == [[0.04, 0.12], [-0.01, 0.07], [-0.05, 0.05]]
    ahead = {name: difference_interval(of["eqgat"], of[name], "roc_auc") or () for name in ("painn", "schnet")}
    assert [[round(end, 2) for end in found] for found in ahead.values()] == [[0.02, 0.09], [0.04, 0.13]]
    areas_of = {name: [study.area_by_group(run) for run in of[name]] for name in ("eqgat", "painn")}
    pairs = list(zip(areas_of["eqgat"], areas_of["painn"], strict=True))
    assert [((ours > theirs).sum(), len(ours)) for ours, theirs in pairs] == [(20, 30), (20, 30), (21, 30)]


def test_the_area_of_each_complex_by_hand():
    pairs = pd.DataFrame({"group": ["a"] * 4 + ["b"] * 2, "target": [1, 1, 0, 0, 0, 1]})
    areas = study.area_by_group(pairs.assign(prediction=[0.9, 0.2, 0.1, 0.5, 2.0, 1.0]))
    assert areas.to_dict() == {"a": 0.75, "b": 0.0}


def test_painn_learns_at_lower_rates_than_the_others_as_12_says():
    for name, rates in (("res-large", (3e-4, 1e-4)), ("res-weights", (3e-3, 1e-3))):
        used = {(run.settings.model == "painn", run.settings.learning_rate) for run in read_plan(name).runs}
        assert used == {(False, rates[0]), (True, rates[1])}
