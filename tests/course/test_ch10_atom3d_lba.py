"""What notebook 10 computes with: pockets, energies and bounds; what it says of the stored runs of LBA."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from eqgat.training.results import (
    read_results,
)
from eqgat_course.ch10_atom3d_lba import study as affinity
from eqgat_course.toy.lba import lba_item


def test_the_pocket_of_the_samples_is_the_recipe():
    item = lba_item("10gs")
    dry = item["atoms_protein"].query("hetero != 'W'").reset_index(drop=True)
    pos, ligand = (torch.tensor(table[["x", "y", "z"]].to_numpy()) for table in (dry, item["atoms_ligand"]))
    residue = torch.tensor(dry.groupby(["chain", "residue"]).ngroup().to_numpy())
    mask = affinity.pocket_rows(pos, residue, ligand).numpy()
    assert dry.loc[mask, "serial_number"].tolist() == item["atoms_pocket"]["serial_number"].tolist()
    graph = affinity.complex_graph("10gs")
    counts = affinity.edge_kinds(graph)
    between = graph.ligand[graph.edge_index[0]] != graph.ligand[graph.edge_index[1]]
    assert counts["between"] == int(between.sum())
    assert sum(counts.values()) == graph.num_edges


def test_energies_and_bounds_by_hand():
    assert affinity.free_energy(9.0) == pytest.approx(-8.314462e-3 / 4.184 * 298.15 * math.log(1e9), rel=1e-5)
    random = np.random.default_rng(0)
    truth = random.normal(size=2000)
    labels, guess = truth + random.normal(0, 0.5, 2000), 0.7 * truth + random.normal(0, 0.4, 2000) + 0.3
    error = float(np.sqrt(np.mean((guess - labels) ** 2)))
    assert labels.std() < affinity.largest_spread(error, float(np.corrcoef(guess, labels)[0, 1]))
    assert np.corrcoef(truth, labels)[0, 1] == pytest.approx(affinity.best_correlation(0.5, labels.std()), abs=0.02)
    family, label = affinity.family_labels(families=400)
    means = pd.Series(label).groupby(family).mean()
    assert means.std() == pytest.approx(math.hypot(1.2, 1.2 / math.sqrt(8)), abs=0.15)


def test_what_10_says_of_our_networks_is_what_the_store_holds():
    """Ranges over all seeds, as they are printed; the mean and the line stand beside them."""
    rows = read_results(task="lba")
    rows = rows[rows["metric"].isin(["rmse", "pearson"])].astype({"value": float, "num_train": int})
    test = rows[(rows["split"] == "test") & (rows["metric"] == "rmse")]
    trained = test[~test["model"].str.startswith("trivial: ")]
    assert set(trained["num_train"]) == {259}
    ends = trained.groupby("model")["value"].agg(["min", "max", "size"]).round(2)
    networks = ["eqgat", "eqgat-no-cross-product", "eqgat-no-feature-attention", "painn", "schnet", "gvp", "segnn"]
    assert (ends.loc[networks, "min"].min(), ends.loc[networks, "max"].max()) == (1.27, 1.31)
    assert ends.pop("size").to_dict() == {name: 1 if name == "segnn" else 3 for name in ends.index}
    assert set(ends.index) - set(networks) == {"cnn3d", "gcn"}
    by_seed = trained[trained["model"] == "cnn3d"].sort_values("seed")["value"].round(2)
    assert by_seed.tolist() == [1.64, 1.27, 1.57]
    assert ends.loc["gcn", ["min", "max"]].round().tolist() == [9, 51]
    line, mean = "trivial: line through atoms of ligand and pocket", "trivial: mean"
    found = rows[rows["model"].isin([line, mean])].set_index(["model", "split", "metric"])["value"]
    assert (trained["value"] > found[mean, "test", "rmse"]).all()
    untrained = test.loc[test["model"] == "trivial: untrained network", "value"]
    assert abs(untrained.mean() - found[mean, "test", "rmse"]) < 0.005
    assert found[line].round(2).to_dict() == {
        ("test", "rmse"): 1.35,
        ("test", "pearson"): 0.09,
        ("val", "rmse"): 1.68,
        ("val", "pearson"): 0.47,
    }
    assert found[mean].round(2).loc[[("test", "rmse"), ("val", "rmse")]].tolist() == [1.26, 1.84]
