"""What notebook 09 says about the Triangle benchmark: which runs there are, and which differences exceed the spread."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data

from eqgat.datasets import make_triangles
from eqgat.graph import radius_graph
from eqgat.training.settings import make_settings
from eqgat_course.results import TRIANGLE_MODELS, quick_triangle_errors

__all__ = [
    "PAPER_CLOUDS",
    "bent_arm",
    "compare",
    "missing_runs",
    "nearest_cloud",
    "robustness",
    "robustness_in_words",
    "table_3",
    "target_variances",
    "tuning_runs",
]

CHANGES: dict[str, dict[str, Any]] = {
    "cutoff 4.5 Å": {"cutoff": 4.5},
    "2 layers": {"num_layers": 2},
    "4 layers": {"num_layers": 4},
}
TUNING_SEED = 10
PAPER_CLOUDS = "cpu"  # the profile that has them, in a size for one core
_SEEDS = (0, 1, 2)


def missing_runs(results: pd.DataFrame, profile: str) -> list[str]:
    """The commands of the runs of Table 3, three seeds each, that the store does not have."""
    rows = results[(results["task"] == "triangle") & (results["profile"] == profile) & (results["changed"] == "")]
    known = set(zip(rows["model"], rows["seed"].astype(int), strict=True))
    return [
        make_settings("triangle", model, profile, seed).command
        for model, seed in product(TRIANGLE_MODELS, _SEEDS)
        if (model, seed) not in known
    ]


def tuning_runs(results: pd.DataFrame, profile: str = "quick") -> pd.DataFrame:
    """Validation MSE of the runs by which a profile was chosen: a row per model and batch, a column per rate.

    They have a seed of their own and were made with ``--no-test``: their rows are of the validation set alone.
    """
    rows = results[
        (results["task"] == "triangle")
        & (results["profile"] == profile)
        & (results["metric"] == "mse")
        & (results["split"] == "val")
        & (results["seed"] == TUNING_SEED)
    ]
    plain = rows["changed"].str.contains('"standardise_readout": false')
    shown = rows.assign(
        model=rows["model"].map(TRIANGLE_MODELS) + plain.map({True: ", plain readout", False: ""}),
        batch=rows["batch_size"].astype(int),
        epochs=rows["epochs"].astype(int),
    )
    wide = shown.pivot_table("value", ["model", "batch", "epochs"], "learning_rate").reset_index(["batch", "epochs"])
    wide.columns = [name if isinstance(name, str) else f"rate {name:g}" for name in wide.columns]
    return wide.map(lambda value: "" if pd.isna(value) else f"{value:.2f}" if isinstance(value, float) else value)


def table_3(frame: pd.DataFrame) -> pd.DataFrame:
    """``build_table(3, ...)`` with the columns that a reader needs, and words in place of missing numbers."""
    columns = {
        "model": "model",
        "source": "numbers of",
        "profile": "profile",
        "device": "device",
        "n": "n",
        "mean": "test MSE",
        "std": "std",
        "learning_rate": "rate",
        "parameters": "parameters",
    }
    shown = frame[list(columns)].rename(columns=columns)
    for column, form in (("n", ".0f"), ("test MSE", ".3f"), ("std", ".3f"), ("rate", "g"), ("parameters", ",.0f")):
        shown[column] = [("" if pd.isna(value) else f"{value:{form}}") for value in shown[column].astype(float)]
    return shown.fillna("")


def compare(frame: pd.DataFrame, reference: str = "EQGAT-Full") -> pd.DataFrame:
    """How far each model is from ``reference``, in units of the spread over seeds; a row per model and group.

    Groups are the paper's numbers, and ours by profile and device. The unit is sqrt(std_1² + std_2²), by which two
    single runs of the two models differ for no other reason than their seeds.

    Args:
        frame: ``build_table(3, ...)``.
        reference: the paper's name of the model to compare with.
    """
    rows = []
    for key, group in frame.groupby(["source", "profile", "device"], sort=False, dropna=False):
        base = group[group["model"] == reference]
        if len(base) != 1:
            continue
        mean, std = float(base["mean"].iloc[0]), float(base["std"].iloc[0])
        for row in group[group["model"] != reference].to_dict("records"):
            difference, unit = row["mean"] - mean, float(np.hypot(std, row["std"]))
            ratio = abs(difference) / unit if unit > 0 else float("nan")
            verdict = "unknown: one run has no spread" if np.isnan(ratio) else "yes" if ratio > 2 else "no"
            rows.append(
                {
                    "numbers of": key[0],
                    "profile": "" if pd.isna(key[1]) else key[1],
                    "model": row["model"],
                    f"MSE minus {reference}'s": round(difference, 3),
                    "in spreads": round(ratio, 1),
                    "more than two spreads": verdict,
                }
            )
    return pd.DataFrame(rows)


def robustness(noise: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Each model on noisy test clouds, and trained with another cutoff or depth.

    Args:
        noise: rows of ``read_noise``.
        results: the store; only quick runs on the Triangle data count.

    Returns:
        A row a model (the paper's name). Columns: ``seeds``; ``0 Å`` and so on: test MSE at that noise, mean over seeds;
        the keys of ``CHANGES``: how many times as large the error without noise is then, over the seeds that have both,
        nan where there is none.
    """
    table = noise.pivot_table("mse", "model", "noise").rename(columns=lambda value: f"{value:g} Å")
    table.insert(0, "seeds", noise.groupby("model")["seed"].nunique())
    still = noise[noise["noise"] == 0].set_index(["model", "seed"])["mse"]
    for name, options in CHANGES.items():
        own = quick_triangle_errors(results, options).set_index(["model", "seed"])["value"]
        pairs = pd.concat({"own": own, "still": still}, axis=1).dropna().groupby("model").mean()
        table[name] = pairs["own"] / pairs["still"]
    table.columns.name = None
    return table.reindex([model for model in TRIANGLE_MODELS if model in table.index]).rename(index=TRIANGLE_MODELS)


def robustness_in_words(table: pd.DataFrame, blind: float) -> list[str]:
    """A sentence for each row of ``robustness``; ``blind``: error of predict-the-mean."""
    said = []
    for model, row in table.iterrows():
        still = row["0 Å"]
        noise = {
            name: row[name] for name in table.columns if name.endswith(" Å") and name[0].isdigit() and name != "0 Å"
        }
        doubled = next((name for name, error in noise.items() if error > 2 * still), "")
        lost = next((name for name, error in noise.items() if error > blind), "")
        words = f"**{model}**: {still:.1f} without noise; "
        words += f"more than twice that from {doubled} on" if doubled else "never twice that"
        words += (
            f", worse than predict-the-mean from {lost} on" if lost else ", better than predict-the-mean throughout"
        )
        changes = {name: row[name] for name in CHANGES if row[name] == row[name]}
        if changes:
            ratios = ", ".join(f"{ratio:.1f} times with {name}" for name, ratio in changes.items())
            words += f"; trained anew, its error is multiplied: {ratios}"
        said.append(words + ".")
    return said


def target_variances(profile: str, most: int = 4000) -> Tensor:
    """Variance of distance, perimeter and area [3], in Å², Å² and Å⁴, over the first clouds of a profile's data."""
    options = {**make_settings("triangle", "eqgat", profile).data_options}
    options["n"] = min(most, options["n"])
    return make_triangles(**options, progress=False).y.double().var(dim=0)


def nearest_cloud(train_pos: Tensor, train_y: Tensor, test_pos: Tensor) -> Tensor:
    """A look-up table: for each test cloud the targets of the training cloud that is most like it, [m, 3].

    Alike means: the points, in their order, are as far from the centre of the cloud. Rotations and shifts change
    nothing. It knows nothing of triangles and profits from a leak alone.
    """
    train, test = ((pos - pos.mean(dim=1, keepdim=True)).norm(dim=2) for pos in (train_pos, test_pos))
    return train_y[torch.cdist(test, train).argmin(dim=1)]


def bent_arm(bent: bool) -> Data:
    """Five points in a chain with steps of 4 Å, straight or bent at right angles; the first, third and fifth special.

    The cutoff is 5 Å. Both have the same edges with the same lengths, because points that are not neighbours in the
    chain stay beyond the cutoff. Their triangles differ.
    """
    x, y, z = torch.eye(3, dtype=torch.float64)
    steps = torch.stack([x, y, z, y] if bent else [x] * 4)
    pos = torch.cat([torch.zeros(1, 3, dtype=torch.float64), 4.0 * steps.cumsum(dim=0)])
    return Data(z=torch.tensor([1, 0, 1, 0, 1]), pos=pos, edge_index=radius_graph(pos, 5.0))
