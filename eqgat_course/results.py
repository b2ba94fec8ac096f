"""The rows of the results store as the notebooks read them: the Triangle runs, and ATOM3D beside the paper's Table 1."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pandas as pd

from eqgat.pretrained import pretrained_entries, pretrained_rows
from eqgat.training.results import read_results, results_folder
from eqgat.training.settings import MODELS
from eqgat_course.experiments.tables import changes_in_words, paper_numbers

__all__ = [
    "NOT_TRAINED",
    "SHORT_NAMES",
    "TARGETS",
    "TRIANGLE_MODELS",
    "benchmark",
    "beside_the_paper",
    "in_cells",
    "quick_triangle_errors",
    "runs_in_words",
    "shipped_model",
    "trained_for",
    "triangle_runs",
]

# Names of ``beside_the_paper`` that are too long for the axis of a figure.
SHORT_NAMES = {
    "EQGAT-No-Cross-Product": "no cross product",
    "EQGAT-No-Feature-Attention": "no feature attention",
    "trivial: line through atoms of ligand and pocket": "line through atoms (trivial)",
    "trivial: mean": "mean (trivial)",
    "trivial: untrained network": "untrained network",
    "trivial: clashes": "clashes",
    "trivial: number of atoms": "number of atoms",
    "trivial: radius of gyration": "radius of gyration",
}
NOT_TRAINED = "nothing yet: the results store has no such runs"  # for a figure of the store
TARGETS = ("distance", "perimeter", "area")
TRIANGLE_MODELS = {name: entry.labels["3"] for name, entry in MODELS.items() if "3" in entry.labels}


def quick_triangle_errors(results: pd.DataFrame, model_options: dict[str, Any]) -> pd.DataFrame:
    """Rows of the test MSE of quick Triangle runs that changed these options of the model, and nothing else.

    ``value`` is a float and ``seed`` a whole number.
    """
    wanted = {"model_options": model_options} if model_options else {}
    rows = results[
        (results["task"] == "triangle")
        & (results["profile"] == "quick")
        & (results["split"] == "test")
        & (results["metric"] == "mse")
    ]
    same = rows["changed"].map(lambda text: json.loads(text or "{}") == wanted).astype(bool)
    return rows[same].astype({"value": float, "seed": int})


def triangle_profiles(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The test rows of the Triangle data, profile by profile; runs with changed settings are left out."""
    rows = results[
        (results["task"] == "triangle")
        & (results["split"] == "test")
        & (results["changed"] == "")
        & results["model"].isin(TRIANGLE_MODELS)
    ]
    return {profile: rows[rows["profile"] == profile] for profile in ("full", "cpu", "quick")}


def triangle_runs(results: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """``triangle_profiles``' rows of one profile, and its name: the one that more models have been run in.

    Of a tie, the one with more runs, then full, then cpu. Without rows the name is "".
    """
    of = triangle_profiles(results)
    chosen = max(of, key=lambda profile: (of[profile]["model"].nunique(), len(of[profile])))
    return of[chosen], chosen if len(of[chosen]) else ""


def trained_for(rows: pd.DataFrame) -> str:
    """What was trained for a figure that shows these rows; trivial answers are left out.

    Args:
        rows: columns model, data, profile, and seed where it is known.

    >>> rows = pd.DataFrame({"model": ["EQGAT", "trivial: mean"], "data": "triangles", "profile": ["quick", "none"]})
    >>> trained_for(rows)
    'EQGAT on triangles, quick profile'
    >>> trained_for(rows.assign(seed=0))
    'EQGAT on triangles, quick profile, seed 0'
    >>> trained_for(pd.concat([rows.assign(seed=0), rows.assign(seed=1), rows.assign(model="PaiNN", seed=0)[:1]]))
    'EQGAT (seeds 0, 1), PaiNN (seed 0) on triangles, quick profile'
    """
    trivial = rows["model"].astype(str).str.startswith("trivial: ").astype(bool)  # also where there are no rows
    runs = rows[~trivial]
    told = []
    for (data, profile), own in runs.groupby(["data", "profile"]):
        names = list(dict.fromkeys(own["model"].astype(str)))
        seeds = [_seeds(own[own["model"] == name]) for name in names] if "seed" in own else [""] * len(names)
        alike = len(set(seeds)) == 1
        of = names if alike else [f"{name} ({which})" for name, which in zip(names, seeds, strict=True)]
        told.append(f"{', '.join(of)} on {data}, {profile} profile{f', {seeds[0]}' if alike and seeds[0] else ''}")
    return "; ".join(told) or NOT_TRAINED


def _seeds(rows: pd.DataFrame) -> str:
    seeds = sorted(set(rows["seed"].astype(int)))
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


@cache
def shipped_model(name: str = "res") -> str:
    """What was trained for a figure that shows shipped weights of RES, from the rows that come with them.

    >>> shipped_model()
    "EQGAT with 27,940 parameters, quick profile, seed 0, on 20,475 RES environments of 513 proteins, not ATOM3D's; the weights in `eqgat/pretrained/res`"
    """
    run, entries = pretrained_rows(name).iloc[0], pretrained_entries(name)
    return (
        f"EQGAT with {int(run['parameters']):,} parameters, {run['profile']} profile, seed {run['seed']}, on "
        f"{int(run['num_train']):,} RES environments of {int((entries['split'] == 'train').sum())} proteins, not ATOM3D's; "
        f"the weights in `eqgat/pretrained/{name}`"
    )


def benchmark(part: str) -> pd.DataFrame:
    """What ``make bench`` has measured of a part ("models", "scale", "loading", ...); its report says what that is.

    Returns:
        A row for each measurement: case, side, quantity, unit, value (the median), low and high (quartiles), repeats,
        and machine, device, threads, versions, commit.
    """
    numbers = pd.read_csv(results_folder().parent / "bench" / "numbers.csv", keep_default_na=False)
    return numbers[numbers["part"] == part]


def beside_the_paper(task: str, metrics: tuple[str, ...], results: pd.DataFrame | None = None) -> pd.DataFrame:
    """The paper's numbers for a task, then ours; one row a model, with its data, profile and number of seeds.

    Ours are all test rows of the store, also those with changed settings: ``changed`` says what was, in words. They are on other
    data than the paper's unless ``data`` says "ATOM3D". Without runs only the paper's rows are left.

    Args:
        task: "lba", "psr", "rsr", "res" or "ppi".
        metrics: names as in the store, of the columns to show.
        results: rows of the store; default: all of the task.

    Returns:
        Columns: model, numbers of ("paper", "this code"), data, profile, changed, n (seeds, text), for each metric its
        mean (nan: not measured, or undefined) and "<metric> std" (n - 1; nan for one seed).
    """
    results = read_results(task=task) if results is None else results
    paper = paper_numbers(1)
    paper = paper[(paper["task"] == task.upper()) & paper["metric"].isin(metrics)]
    rows = []
    for model, group in paper.groupby("model", sort=False):
        row = {"model": model, "numbers of": "paper", "data": "ATOM3D", "profile": "paper's", "changed": "", "n": ""}
        for number in group.to_dict("records"):
            row |= {number["metric"]: number["mean"], f"{number['metric']} std": number["std"]}
        rows.append(row)
    own = results[(results["task"] == task) & (results["split"] == "test") & results["metric"].isin(metrics)]
    for key, group in own.groupby(["model", "data", "profile", "changed"], sort=False):
        model, data, profile, changed = key
        row = {
            "model": _label(model),
            "numbers of": "this code",
            "data": data.rpartition(", ")[0] or data,
            "profile": profile,
            "changed": changes_in_words(changed),
            "n": str(group["seed"].nunique()),
        }
        for metric, values in group.groupby("metric")["value"]:
            row |= {metric: float(values.astype(float).mean()), f"{metric} std": float(values.astype(float).std())}
        rows.append(row)
    numbers = [column for metric in metrics for column in (metric, f"{metric} std")]
    return pd.DataFrame(rows, columns=["model", "numbers of", "data", "profile", "changed", "n", *numbers])


def runs_in_words(frame: pd.DataFrame) -> str:
    """Which runs of ours a figure of ``beside_the_paper`` shows; answers without learning are left out.

    >>> both = pd.DataFrame({"model": ["EQGAT", "PaiNN"], "n": ["3", "1"], "profile": "quick", "changed": "", "data": "toys"})
    >>> runs_in_words(both)
    'EQGAT (3 seeds), PaiNN (1 seed): quick profile, toys.'
    >>> runs_in_words(both.assign(n="3", changed=["", "3 layers"]))
    'EQGAT, PaiNN (3 seeds each): quick profile, toys; with changed settings: PaiNN.'
    """
    runs = frame[~frame["model"].astype(str).str.startswith("trivial: ").astype(bool)]
    told = []
    for (profile, data), own in runs.groupby(["profile", "data"], sort=False):
        seeds = [f"{n} seed{'s' * (n != '1')}" for n in own["n"]]
        names = ", ".join(f"{model} ({number})" for model, number in zip(own["model"], seeds, strict=True))
        if len(seeds) > 1 and len(set(seeds)) == 1:
            names = f"{', '.join(own['model'])} ({seeds[0]} each)"
        changed = ", ".join(own.loc[own["changed"] != "", "model"])
        told.append(f"{names}: {profile} profile, {data}{f'; with changed settings: {changed}' if changed else ''}.")
    return " ".join(told)


def in_cells(frame: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """``beside_the_paper`` to be looked at: a mean and its spread in one cell, what is empty everywhere left out.

    >>> one = pd.DataFrame({"model": ["EQGAT"], "changed": [""], "n": ["3"], "rmse": [1.0], "rmse std": [0.25]})
    >>> {name: cell.split() for name, cell in in_cells(one).loc["EQGAT"].items()}
    {'n': ['3'], 'rmse': ['1.000', '±', '0.250']}
    """

    def cell(mean: float, std: float) -> str:
        if pd.isna(mean):
            return ""
        return f"{mean:.{digits}f}" if pd.isna(std) else f"{mean:.{digits}f}\u00a0±\u00a0{std:.{digits}f}"

    spreads = {column: f"{column} std" for column in frame if f"{column} std" in frame}
    text = frame.drop(columns=[*spreads.values()])
    for column, spread in spreads.items():
        text[column] = [cell(*pair) for pair in zip(frame[column], frame[spread], strict=True)]
    return text.loc[:, (text != "").any()].set_index("model")


def _label(model: str) -> str:
    entry = MODELS.get(model)
    return model if entry is None else entry.labels.get("1", entry.labels.get("4", model))
