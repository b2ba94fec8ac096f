"""What notebook 12 says about RES and PPI: reach of an answer, curves of a score, pairs and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from eqgat.datasets.atom3d import RESIDUES, ItemData, write_prepared
from eqgat.datasets.atom3d.samples import count_hops
from eqgat.datasets.atom3d.trivial import BURIAL
from eqgat.training import read_predictions
from eqgat.training.evaluation import metric_table
from eqgat.training.metrics import pair_metrics
from eqgat_course.experiments.plans import read_plan, recorded
from eqgat_course.experiments.tables import paper_numbers
from eqgat_course.toy import sample_items

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = [
    "BURIAL",
    "all_pairs",
    "area_by_group",
    "at_scale",
    "auc_by_counting",
    "by_burial",
    "by_residue",
    "curves",
    "drawn_scores",
    "hop_table",
    "openness",
    "paper_column",
    "prepared_samples",
    "stored_runs",
    "without_learning",
]


def hop_table(graph: Data, layers: int) -> pd.DataFrame:
    """How the atoms that an answer at the central atom depends on grow outwards; one row a hop, 0 to ``layers``.

    Columns: "atoms" at most so many hops away; "farthest" of them from the centre, Å; "edges" into them, which is
    what the layer computes that has to know the states of these atoms.
    """
    hops = count_hops(graph.edge_index, graph.center_index, graph.num_nodes, layers)
    away = (graph.pos - graph.pos[graph.center_index]).norm(dim=1)
    degree = torch.bincount(graph.edge_index[1], minlength=graph.num_nodes)
    rows = [
        {
            "hops": k,
            "atoms": int((hops <= k).sum()),
            "farthest": float(away[hops <= k].max()),
            "edges": int(degree[hops <= k].sum()),
        }
        for k in range(layers + 1)
    ]
    return pd.DataFrame(rows).set_index("hops")


def curves(scores: Sequence[float], labels: Sequence[int]) -> pd.DataFrame:
    """ROC and precision-recall points of distinct scores, from the strictest threshold on: one more row a threshold.

    Columns: "threshold" (scores at least so high count as positive), "true positives", "false positives", "recall"
    (true positives of all positives), "false positive rate", "precision". The first row accepts nothing; its precision
    is undefined, nan.
    """
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")
    truth = np.asarray(labels)[order].astype(bool)
    right, wrong = np.concatenate([[0], truth.cumsum()]), np.concatenate([[0], (~truth).cumsum()])
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "threshold": [np.inf, *np.asarray(scores, dtype=float)[order]],
                "true positives": right,
                "false positives": wrong,
                "recall": right / max(truth.sum(), 1),
                "false positive rate": wrong / max((~truth).sum(), 1),
                "precision": right / (right + wrong),
            }
        )


def openness(pos: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Minus the number of a partner's own heavy atoms within 10 Å of each of ``rows``: large where a residue lies open.

    Args:
        pos: all atoms of the partner [n, 3], Å.
        rows: alpha carbons [r].
    """
    return -np.array([len(near) for near in cKDTree(pos).query_ball_point(pos[rows], BURIAL)], dtype=float)


def all_pairs(split: str = "test", items: Sequence[Any] | None = None) -> pd.DataFrame:
    """Every pair of residues of the embedded complexes of a split: "complex", "touching" (0, 1), "first", "second".

    The last two are the ``openness`` of the two residues, each in its own partner alone.
    """
    tables = []
    for item in sample_items("ppi", split) if items is None else items:
        parsed = ItemData("ppi", [item], positives=10**6, negatives=10**6, progress=False).parse(0)
        marks = np.array([[view.marks[0] for view in sample.views] for sample in parsed.samples])
        open_ = {}
        for side, name in enumerate(("first", "second")):
            rows, place = np.unique(marks[:, side], return_inverse=True)
            open_[name] = openness(parsed.molecules[side].pos, rows)[place]
        touching = [int(sample.y) for sample in parsed.samples]
        tables.append(pd.DataFrame({"complex": str(item["id"]), "touching": touching, **open_}))
    return pd.concat(tables, ignore_index=True)


def drawn_scores(
    pairs: pd.DataFrame, draws: int = 200, positives: int = 10, ratio: int = 1, seed: int = 0
) -> pd.DataFrame:
    """One and the same scorer, judged on different draws of pairs: "roc_auc" and "average_precision" of each draw.

    The scorer is ``first + second``: both residues lie open.

    Args:
        pairs: ``all_pairs``.
        draws: how many times to draw.
        positives: pairs that touch, from each complex (all, where it has fewer).
        ratio: pairs that do not, for each of these.
        seed: of the draws.
    """
    random, rows = np.random.default_rng(seed), []
    groups = [
        (np.flatnonzero(own & (pairs["touching"] == 1)), np.flatnonzero(own & (pairs["touching"] == 0)))
        for own in ((pairs["complex"] == name).to_numpy() for name in pairs["complex"].unique())
    ]
    score = torch.from_numpy((pairs["first"] + pairs["second"]).to_numpy())
    truth = torch.from_numpy(pairs["touching"].to_numpy())
    for _ in range(draws):
        chosen = []
        for touching, apart in groups:
            count = min(positives, len(touching))
            chosen += [
                random.choice(touching, count, replace=False),
                random.choice(apart, min(ratio * count, len(apart)), replace=False),
            ]
        kept = torch.from_numpy(np.concatenate(chosen))
        metrics = pair_metrics(score[kept], truth[kept])
        rows.append({name: metrics[name] for name in ("roc_auc", "average_precision")})
    return pd.DataFrame(rows)


def prepared_samples(task: str, folder: str | Path, **of_training: Any) -> str:
    """The embedded samples of a task in the prepared form, which is faster to train from; returns the folder.

    ``of_training``: options of ``sample_items`` for the training split alone, such as fewer ``environments``.
    """
    for split in ("train", "val", "test"):
        items = sample_items(task, split, **of_training if split == "train" else {})
        write_prepared(ItemData(task, items, split, progress=False), Path(folder) / task / split)
    return str(folder)


def paper_column(task: str) -> pd.DataFrame:
    """The paper's Table 1 for "RES" or "PPI": model as index, mean and std."""
    numbers = paper_numbers(1)
    return numbers[numbers["task"] == task].set_index("model")[["mean", "std"]]


def stored_runs(results: pd.DataFrame, task: str, metric: str) -> pd.DataFrame:
    """Test rows of a task in the store, models and trivial answers: model, profile, seed, epochs, data, value.

    Runs with changed settings are left out, and answers without learning on other data than the models'.
    """
    rows = results[
        (results["task"] == task)
        & (results["split"] == "test")
        & (results["metric"] == metric)
        & (results["changed"] == "")
    ]
    of_models = rows.loc[rows["epochs"].astype(int) > 0, "data"]
    rows = rows[rows["data"].isin(of_models)] if len(of_models) else rows
    rows = rows.assign(data=[text.rpartition(", ")[0] for text in rows["data"]], value=rows["value"].astype(float))
    return rows[["model", "profile", "seed", "epochs", "device", "data", "value"]].sort_values("value")


def at_scale(results: pd.DataFrame, *plans: str, task: str = "res") -> pd.DataFrame:
    """A task on larger sets: each metric on the test set of each run of these plans that the store has.

    Returns:
        A row for each run and metric: model, profile, parameters, seed, epochs, proteins (drawn of the training set; "all"),
        trained on (samples: environments, or complexes), metric, value, low, high (95 %, whole proteins or complexes
        drawn anew), constant (what a fixed answer gets, chosen afterwards: the commonest class; the frequencies; half
        an area), run, to read its predictions by, and data, as in the store.
    """
    found = []
    runs = [run for plan in plans for run in read_plan(plan).runs if run.settings.task == task]
    for planned in runs:
        rows, settings = recorded(planned, results), planned.settings
        for data, run in rows.groupby("data"):
            name = f"{settings.run_id}-data{str(data).rpartition(', ')[2][:10]}"
            predictions = read_predictions(name)
            shares = predictions["target"].value_counts(normalize=True)
            fixed = {
                "accuracy": float(shares.max()),
                "cross_entropy": float(-(shares * np.log(shares)).sum()),
                "roc_auc": 0.5,
            }
            table = metric_table(dict(zip(run["metric"], run["value"].astype(float), strict=True)), predictions)
            first = run.iloc[0]
            about = {
                "model": settings.model,
                "profile": settings.profile,
                "parameters": int(first["parameters"]),
                "seed": settings.seed,
                "epochs": int(first["epochs"]),
                "proteins": settings.data_options.get("train_items", "all"),
                "trained on": int(first["num_train"]),
            }
            found.append(pd.DataFrame(about, index=table.index).join(table))
            found[-1] = found[-1].assign(constant=found[-1]["metric"].map(fixed), run=name, data=data)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["model", "metric"])


def without_learning(results: pd.DataFrame, task: str, data: str, metric: str) -> pd.Series:
    """Test metric of each answer without learning on these data; of untrained networks the mean over seeds."""
    rows = results[
        (results["task"] == task)
        & (results["data"] == data)
        & (results["split"] == "test")
        & (results["metric"] == metric)
        & results["model"].str.startswith("trivial: ")
    ]
    return rows.assign(value=rows["value"].astype(float)).groupby("model")["value"].mean().sort_values()


def by_residue(predictions: pd.DataFrame) -> pd.DataFrame:
    """For each amino acid of a RES test: how often it was there, was found, and what it was taken for most often."""
    logits = predictions.filter(like="prediction_").to_numpy()
    answer, truth = logits.argmax(axis=1), predictions["target"].to_numpy().astype(int)
    rows = []
    for k, name in enumerate(RESIDUES):
        answers = answer[truth == k]
        wrong = np.bincount(answers[answers != k], minlength=len(RESIDUES))
        rows.append(
            (name, len(answers), (answers == k).mean() if len(answers) else np.nan, RESIDUES[int(wrong.argmax())])
        )
    return pd.DataFrame(rows, columns=["residue", "there", "found", "taken for"]).sort_values("found", ascending=False)


def by_burial(answers: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """How often environments with few and with many atoms are answered rightly; each third, and the difference.

    Args:
        answers: of ``residue_answers``, with a radius.
        draws: how many test sets are drawn, of whole proteins, for the 95 % intervals.
    """
    names = ["open", "between", "buried"]
    own = answers.assign(right=answers["answer"] == answers["truth"], third=pd.qcut(answers["atoms"], 3, labels=names))
    counted = own.pivot_table("right", "protein", "third", aggfunc=["sum", "size"], fill_value=0, observed=False)
    drawn = np.random.default_rng(0).integers(len(counted), size=(draws, len(counted)))
    right, size = (counted[part].to_numpy()[drawn].sum(axis=1) for part in ("sum", "size"))
    found = own.groupby("third", observed=False).agg(
        environments=("right", "size"), fewest=("atoms", "min"), most=("atoms", "max"), accuracy=("right", "mean")
    )
    found["low"], found["high"] = np.percentile(right / size, [2.5, 97.5], axis=0)
    step = right[:, -1] / size[:, -1] - right[:, 0] / size[:, 0]
    found.index = found.index.astype(str)
    found.loc["buried - open", ["accuracy", "low", "high"]] = [
        found["accuracy"].iloc[-1] - found["accuracy"].iloc[0],
        *np.percentile(step, [2.5, 97.5]),
    ]
    return found


def area_by_group(predictions: pd.DataFrame) -> pd.Series:
    """ROC AUC of the pairs of each complex, complex as index."""
    return pd.Series(
        {
            str(group): auc_by_counting(
                torch.tensor(own["prediction"].to_numpy()), torch.tensor(own["target"].to_numpy())
            )
            for group, own in predictions.groupby("group")
        }
    )


def auc_by_counting(scores: Tensor, labels: Tensor) -> float:
    """Share of the pairs (one positive, one negative) in which the positive has the larger score; ties count half."""
    positive, negative = scores[labels == 1].double(), scores[labels == 0].double()
    difference = positive[:, None] - negative[None, :]
    return float(((difference > 0).double() + 0.5 * (difference == 0).double()).mean())
