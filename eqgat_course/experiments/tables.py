"""The paper's tables, with the paper's numbers and ours side by side; ours come from the results store alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eqgat.datasets.task import TASKS
from eqgat.errors import UserError
from eqgat.files import write_files
from eqgat.training.intervals import cluster_interval
from eqgat.training.results import read_predictions, read_results
from eqgat.training.settings import MODELS, build_model, make_settings, num_parameters
from eqgat_course.experiments.plans import plan_names, read_plan, recorded

__all__ = ["build_table", "changes_in_words", "markdown", "paper_numbers", "plans_page", "write_tables"]

PAPER, OURS = "paper", "this code"
_WRONG_COUNTS = {"EQGAT-No-Cross-Product", "EQGAT-No-Feature-Attention"}
_TITLES = {
    1: "Table 1: ATOM3D, test sets. Spearman correlations, accuracy and AUC: higher is better; RMSE: lower is better.",
    2: "Table 2: settings of EQGAT on ATOM3D.",
    3: "Table 3: Triangle data, test set. Mean squared error over the three raw targets: lower is better.",
    4: "Table 4: ablations, test sets. RMSE: lower is better; Spearman correlations: higher is better.",
}
FEWEST = 5  # targets, proteins or complexes; an interval of fewer misleads
_HOW = (
    "Student's over targets for a mean over targets, else by drawing targets, proteins or complexes anew; of five to ten "
    "it is rather too short, for fewer there is none"
)
# What our rows say of themselves, and what it is called in a page.
_TOLD = {
    "profile": "Profile",
    "device": "Device",
    "data": "Data",
    "changed": "Changed",
    "n": "Runs",
    "num_train": "To learn",
}
_OTHER_DATA = "Rows whose data are not ATOM3D's cannot be compared with the paper's."
_NOTES = {
    1: "GNN's PSR, RSR and LBA numbers came from a script that took the validation set for the test set. "
    f"{_OTHER_DATA}",
    4: _OTHER_DATA,
    3: "The paper's parameter counts of the two ablations are wrong: 27.4 thousand is the full model's; with the "
    "paper's sizes they have 26,883 and 24,342. "
    "The cpu profile has the paper's clouds, but some 4,000 of them instead of 50,000, and 6 epochs instead of 50. "
    "The quick profile has clouds of 30 points; its errors cannot be compared with the paper's. The learning "
    "rates of both were chosen on validation, by runs that left the test set alone: rows of the store with split val only. "
    "SEGNN has the others' rate in quick, where its own trials, of three epochs, put a lower one a little ahead.",
}


def paper_numbers(table: int | str) -> pd.DataFrame:
    """Numbers that the paper prints in a table: task, metric, direction, model, mean, std, note. Nothing computed.

    Raises:
        UserError: there is no such table.

    >>> paper_numbers(1)["task"].unique().tolist()
    ['PSR', 'RSR', 'LBA', 'RES', 'PPI']
    """
    with files("eqgat_course.experiments").joinpath("paper_tables.csv").open(encoding="utf-8") as stream:
        numbers = pd.read_csv(stream, dtype={"table": str, "mean": float, "std": float})
    found = numbers[numbers["table"] == str(table)]
    if found.empty:
        raise UserError(f"the paper has no numbers for table {table!r}; there are {sorted(set(numbers['table']))}")
    return found.drop(columns="table").fillna({"note": "", "direction": ""}).reset_index(drop=True)


def build_table(table: int, results: pd.DataFrame, store: Path | None = None) -> pd.DataFrame:
    """One row per number: model, task, metric, source, profile, changed, device, n, mean, std (n - 1), seeds, and more.

    Ours are means over seeds of the test rows in ``results`` whose profile was not changed, or was changed as a plan of
    runs for this table says; runs with other changes, on other data or another kind of device make rows of their own.
    Where we have no run there is no row. "low" and "high" are the ends
    of the interval over targets, proteins or complexes of the test set, see ``cluster_interval``, where ``store`` has
    the predictions of all these runs.
    """
    rows = []
    for number in paper_numbers(table).to_dict("records"):
        if number["metric"].startswith("num_parameters"):
            continue
        rows.append(
            {
                **{key: number[key] for key in ("model", "task", "metric", "mean", "std", "note")},
                "source": PAPER,
                "parameters": _printed_count(table, number["task"], number["model"]),
            }
        )
    labels = {name: entry.labels[str(table)] for name, entry in MODELS.items() if str(table) in entry.labels}
    wanted = {(row["task"], row["metric"]) for row in rows}
    planned = set(_planned_changes(table))
    own = results[(results["split"] == "test") & results["model"].isin(labels)]
    settings = zip(own["task"], own["model"], own["profile"], own["changed"], strict=True)
    own = own.loc[np.array([not changed or (*run, changed) in planned for *run, changed in settings], dtype=bool)]
    keys = ["task", "model", "metric", "profile", "changed", "device", "data"]
    for (task, model, metric, profile, changed, device, data), group in own.groupby(keys, sort=True):
        if (_paper_task(task), metric) not in wanted:
            continue
        if group["seed"].duplicated().any():
            raise UserError(f"two rows of {model} on {task} have the same seed; remove one of their files")
        values = group["value"].astype(float)
        rows.append(
            {
                "model": labels[model],
                "task": _paper_task(task),
                "metric": metric,
                "source": OURS,
                "profile": profile,
                "changed": changes_in_words(changed),
                "device": device,
                # ATOM3D's tasks can be run on other data of the same form; what they were is said before a comma.
                "data": data.rpartition(", ")[0],
                "n": len(values),
                "mean": values.mean(),
                "std": values.std(ddof=1),
                **_interval(group, metric, store),
                "seeds": " ".join(map(str, sorted(group["seed"]))),
                "learning_rate": float(group["learning_rate"].iloc[0]),
                "parameters": float(group["parameters"].iloc[0]),
                "num_train": float(group["num_train"].iloc[0] or "nan"),
                "note": "",
            }
        )
    columns = [
        *("model", "task", "metric", "source", "profile", "changed", "device", "data", "n"),
        *("mean", "std", "low", "high", "seeds", "learning_rate", "parameters", "num_train", "note"),
    ]
    frame = pd.DataFrame(rows, columns=columns).astype(
        dict.fromkeys(("n", "low", "high", "learning_rate", "parameters", "num_train"), float)
    )
    order = {name: place for place, name in enumerate(dict.fromkeys(row["model"] for row in rows))}
    return frame.sort_values("model", key=lambda column: column.map(order), kind="stable").reset_index(drop=True)


def changes_in_words(changed: str) -> str:
    """What a run changed against its profile, as the store's column "changed" has it, to be read in a table.

    >>> changes_in_words('{"epochs": 6, "model_options": {"num_layers": 3, "num_radial": 16}}')
    'epochs 6, num layers 3, num radial 16'
    """

    def items(found: dict[str, Any]) -> Iterator[str]:
        for name, value in found.items():
            if isinstance(value, dict):
                yield from items(value)
            else:
                yield f"{name.replace('_', ' ')} {'none' if value is None else value}"

    return ", ".join(items(json.loads(changed or "{}")))


def _planned_changes(table: int) -> Iterator[tuple[str, str, str, str]]:
    """Task, model, profile and changes of the runs that the plans for a table name."""
    for plan in map(read_plan, plan_names()):
        if table in plan.tables:
            for run in plan.runs:
                yield run.settings.task, run.settings.model, run.settings.profile, run.settings.changed


def markdown(table: int, frame: pd.DataFrame) -> str:
    """The table as a page: for each task a row per model and source, with a column per metric.

    What is the same for all of our rows of a task is said once, above them.
    """
    tasks = list(dict.fromkeys(frame["task"]))
    lines = [f"# {_TITLES[table]}"]
    for task in tasks:
        lines += ["", *([f"## {task}", ""] if len(tasks) > 1 else []), *_rows(table, frame[frame["task"] == task])]
    ours = frame[frame["source"] == OURS]
    lines += [
        "",
        "Mean ± standard deviation (n - 1) over runs, each with its own seed; in brackets the 95 % interval that comes of "
        f"the test set's size, {_HOW}, where the predictions were kept. "
        'Rows of "this code" are computed from the results store; where there is none, nobody has run it here.'
        if len(ours)
        else "Mean ± standard deviation. There are no runs of this code yet.",
    ]
    if ours["num_train"].notna().any():
        lines += [
            "",
            "To learn: how many training samples there were (PPI: complexes). Numbers of one task with other training "
            "sets were mostly tested on other sets, too, and cannot be compared.",
        ]
    return "\n".join([*lines, "", *([_NOTES[table], ""] if table in _NOTES else [])])


def _rows(table: int, part: pd.DataFrame) -> Iterator[str]:
    """The lines of one task's table."""
    metrics = list(dict.fromkeys(part["metric"]))
    # In Table 3 alone the paper prints a count of parameters for each model, and rates were chosen for each.
    fixed, told = (
        ({"parameters": "Parameters"}, _TOLD | {"learning_rate": "Learning rate"}) if table == 3 else ({}, _TOLD)
    )
    ours = part[part["source"] == OURS]
    several = {name: title for name, title in told.items() if ours[name].nunique(dropna=False) > 1}
    alike = {title.lower(): ours[name].iloc[0] for name, title in told.items() if len(ours) and name not in several}
    if said := [f"{title}: {_text(value)}" for title, value in alike.items() if _text(value)]:
        yield f"Rows of this code: {'; '.join(said)}."
        yield ""
    columns = {**fixed, **several}
    header = ["Model", "Numbers of", *columns.values(), *map(_spelt, metrics)]
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for key, group in part.groupby(["model", "source", *columns], sort=False, dropna=False):
        row = [_text(value) for value in key]
        if fixed and row[1] == PAPER and row[0] in _WRONG_COUNTS:
            row[2] += " (wrong)"
        cells = {cell["metric"]: _cell(cell) for cell in group.to_dict("records")}
        yield f"| {' | '.join([*row, *(cells.get(metric, '') for metric in metrics)])} |"


def _spelt(metric: str) -> str:
    """The name of a metric as a heading.

    >>> _spelt("roc_auc"), _spelt("mean_spearman")
    ('ROC AUC', 'Mean Spearman')
    """
    short = {"mse", "rmse", "roc", "auc"}
    return " ".join(word.upper() if word in short else word.capitalize() for word in metric.split("_"))


def _text(value: Any) -> str:
    """A text, or a number as one reads it: 27,411 or 0.003; nothing for none."""
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:,.0f}" if value >= 1 else f"{value:g}"


def settings_table() -> pd.DataFrame:
    """Table 2: the paper's settings and those of this code, side by side."""
    wanted = {
        "learning_rate": "learning_rate",
        "max_epochs": "epochs",
        "lr_patience_epochs": "lr_patience",
        "lr_decay_factor": "lr_factor",
        "batch_size": "batch_size",
    }
    models = {
        "num_layers": "num_layers",
        "num_rbf": "num_radial",
        "cutoff_angstrom": "cutoff",
        "scalar_channels": "scalar_channels",
        "vector_channels": "vector_channels",
    }
    rows = []
    for number in paper_numbers(2).to_dict("records"):
        settings = make_settings(number["task"].lower(), "eqgat", "full")
        name = number["metric"]
        if name in wanted:
            own = getattr(settings, wanted[name])
        else:
            model = build_model(settings)
            own = (
                num_parameters(model) / 1000
                if name == "num_parameters_thousands"
                else getattr(model.config, models[name])
            )
        rows.append(
            {"setting": name, "task": number["task"], PAPER: number["mean"], OURS: float(own), "note": number["note"]}
        )
    return pd.DataFrame(rows)


def plans_page(results: pd.DataFrame) -> str:
    """The plans of runs that fill the tables, and how much of each is in the store (on whatever data)."""
    lines = [
        "# Plans of runs",
        "",
        "One command runs all that a plan asks for and the store lacks; given again, it goes on where it was stopped. "
        "`--dry-run` tells what it would do, `--print-commands` prints the command of each run, for the array of a "
        "batch system.",
        "",
        "| Tables | Command | Runs | In the store | For |",
        "| --- | --- | --- | --- | --- |",
    ]
    for plan in sorted(map(read_plan, plan_names()), key=lambda plan: (not plan.tables, plan.tables, plan.name)):
        done = sum(len(recorded(run, results)) > 0 for run in plan.runs)
        data = " --data-root DIR" if any(run.data for run in plan.runs) else ""
        cells = (
            ", ".join(map(str, plan.tables)),
            f"`eqgat runs --plan {plan.name}{data}`",
            str(len(plan.runs)),
            str(done),
            plan.about,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def write_tables(store: Path, out: Path) -> None:
    """Write Tables 1 to 4 as CSV and Markdown, and the list of plans: all of them or none.

    Args:
        store: the results; it may be empty.
        out: folder of the tables.

    Raises:
        UserError: damaged results; the disk is full; ``out`` lies in the store, whose tables are read as results.
    """
    if out.resolve().parent == store.resolve():
        raise UserError(f"{out} is a folder of the results store; give another one for the tables (--out)")
    results, contents = read_results(store), {}
    for table in (1, 3, 4):
        frame = build_table(table, results, store)
        contents[out / f"table{table}.csv"] = frame.to_csv(index=False, float_format="%.6g")
        contents[out / f"table{table}.md"] = markdown(table, frame)
    settings = settings_table()
    contents[out / "table2.csv"] = settings.to_csv(index=False, float_format="%.6g")
    contents[out / "table2.md"] = _settings_markdown(settings)
    contents[out / "plans.md"] = plans_page(results)
    write_files(contents)


def _settings_markdown(frame: pd.DataFrame) -> str:
    tasks = list(dict.fromkeys(frame["task"]))
    header = ["Setting", *[f"{task}, {source}" for task in tasks for source in (PAPER, OURS)]]
    lines = [f"# {_TITLES[2]}", "", f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for setting, group in frame.groupby("setting", sort=False):
        cells = [
            f"{value:g}" for task in tasks for value in group[group["task"] == task][[PAPER, OURS]].to_numpy().ravel()
        ]
        lines.append(f"| {str(setting).replace('_', ' ')} | {' | '.join(cells)} |")
    notes = frame[frame["note"] != ""].drop_duplicates("note")
    return "\n".join([*lines, "", *[f"{row['task']}: {row['note']}." for _, row in notes.iterrows()], ""])


def _cell(row: dict) -> str:
    """Mean, spread and interval."""
    text = f"{row['mean']:.3f}"
    if not pd.isna(row["std"]):
        text += f" ± {row['std']:.3f}"
    if not pd.isna(row["low"]):
        text += f" [{row['low']:.3f}, {row['high']:.3f}]"
    return text


def _interval(rows: pd.DataFrame, metric: str, store: Path | None) -> dict[str, float]:
    """ "low" and "high" of runs that differ in nothing but their seed; nothing where predictions are missing."""
    if store is None:
        return {}
    try:
        runs = [
            read_predictions(
                replace(
                    make_settings(row["task"], row["model"], row["profile"], int(row["seed"])), changed=row["changed"]
                ).run_name(row["data"]),
                store,
            )
            for row in rows.to_dict("records")
        ]
    except FileNotFoundError:
        return {}
    found = cluster_interval(runs, metric, fewest=FEWEST)
    return {} if found is None else dict(zip(("low", "high"), found, strict=True))


def _paper_task(task: str) -> str:
    return TASKS[task].title if task in TASKS else task


def _printed_count(table: int, task: str, model: str) -> float | None:
    """The number of parameters that the paper prints for a model, where it prints one."""
    numbers = paper_numbers(table)
    found = numbers[
        (numbers["metric"] == "num_parameters_thousands") & (numbers["task"] == task) & (numbers["model"] == model)
    ]
    return round(1000 * float(found["mean"].iloc[0])) if len(found) else None
