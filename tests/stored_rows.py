"""Rows of a results store: as a run would write them, and the committed runs of a plan; shared by the tests."""

from __future__ import annotations

from pathlib import Path

from eqgat.training.results import COLUMNS, read_results, write_results
from eqgat_course.experiments.plans import read_plan, recorded


def common(**changes: object) -> dict[str, object]:
    values = dict.fromkeys(COLUMNS, "")
    for name in ("split", "metric", "value"):
        del values[name]
    return {
        **values,
        "task": "triangle",
        "model": "eqgat",
        "profile": "full",
        "seed": 0,
        "parameters": 27411,
        "learning_rate": 1e-4,
        "device": "a GPU",
        "data": "d",
        **changes,
    }


def add(folder: Path, mse: float, **changes: object) -> Path:
    values = common(**changes)
    run_id = "-".join(str(values[k]) for k in ("task", "model", "profile", "seed", "device", "changed"))
    return write_results(
        folder,
        run_id,
        values,
        {"test": {"mse": mse, "mse_area": 3 * mse}, "val": {"mse": -1.0}},
        [{"epoch": 0, "train_loss": 1.0}],
    )


def planned_runs(task: str, model: str, plan: str = "atom3d") -> list[str]:
    """Names of the committed runs of a model that a plan for the tables asks for, by seed; all of them are there."""
    results, found = read_results(task=task), []
    for run in read_plan(plan).runs:
        if (run.settings.task, run.settings.model, run.test) == (task, model, True):
            found.append(run.settings.run_name(recorded(run, results)["data"].unique().item()))
    return found
