"""What answers without learning score on a task: the numbers that a model has to beat.

They look at the training labels (the mean, the commonest class) or at one plain number of a structure, which the task
names, and are scored with the metrics of the models. Their rows go into the results store with ``model``
"trivial: ...".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from eqgat.datasets.task import SPLITS
from eqgat.errors import UserError
from eqgat.training.results import COLUMNS, git_commit, now, package_versions, write_results
from eqgat.training.settings import make_settings
from eqgat.training.tasks import Task, make_task, predict_the_mean

__all__ = ["trivial_answers", "write_trivial_answers"]

_OTHER_UNIT = ("mse", "rmse", "mae", "cross_entropy")  # errors of answers in another unit than the labels'


def trivial_answers(task: str, folder: str | None = None, split: str = "test") -> dict[str, dict[str, float]]:
    """Name -> metrics of each trivial answer of a task, on a split.

    Regression and ranking: the mean of the training labels (its correlations are undefined, nan). Classes: the
    commonest of the training labels, and that of the very labels that are scored, which no constant can beat. Then the
    task's own. Errors of answers in another unit than the labels' mean nothing and are left out.

    Args:
        task: its name.
        folder: of the data; None: what comes with the package.
        split: to be scored.

    Raises:
        UserError: an unknown task or split, or data that cannot be used.
    """
    chosen, splits = _load(task, folder, split)
    return _answers(chosen, splits, split)


def _load(task: str, folder: str | None, split: str) -> tuple[Task, dict[str, Any]]:
    """The task and its data, whole graphs and stored pairs."""
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    chosen = make_task(make_settings(task))
    whole: dict[str, Any] = {key: None for key in ("hops", "drawn_pairs") if key in chosen.data_options()}
    chosen = make_task(make_settings(task, data_options=whole))
    return chosen, chosen.load(folder)


def _answers(chosen: Task, splits: dict[str, Any], split: str) -> dict[str, dict[str, float]]:
    data, kind, found = splits[split], chosen.spec.kind, {}
    if kind == "classes":
        classes = chosen.num_outputs()
        for name, labels in (("commonest class", splits["train"].y), ("best constant, seen afterwards", data.y)):
            same = torch.full((len(data),), int(labels.bincount(minlength=classes).argmax()))
            logits = torch.nn.functional.one_hot(same, classes).float()
            found[name] = {"accuracy": chosen.metrics(logits, data.y, data)["accuracy"]}
    elif kind != "pairs":
        found["mean"] = predict_the_mean(chosen, splits, split)
    for name, answer in chosen.spec.trivial.items():
        metrics = chosen.metrics(answer(data), data.y, data)
        found[name] = {key: value for key, value in metrics.items() if key not in _OTHER_UNIT}
    return found


def write_trivial_answers(
    task: str, store: str | Path, folder: str | None = None, split: str = "test"
) -> dict[str, dict[str, float]]:
    """``trivial_answers``, with their rows written into a results store.

    Raises:
        UserError: as ``trivial_answers`` does; the disk is full.
    """
    chosen, splits = _load(task, folder, split)
    digest, found = chosen.digest(splits), _answers(chosen, splits, split)
    for name, metrics in found.items():
        run = f"{task}-trivial-{re.sub('[^a-z]+', '-', name)}"
        common = dict.fromkeys(COLUMNS, "") | {
            "task": task,
            "model": f"trivial: {name}",
            "profile": "none",
            **dict.fromkeys(("seed", "epochs", "best_epoch", "batch_size", "parameters"), 0),
            **dict.fromkeys(("learning_rate", "seconds"), 0.0),
            "num_train": len(splits["train"]),
            "device": "CPU",
            "data": digest,
            "versions": package_versions(),
            "commit": git_commit(),
            "date": now(),
            "command": f"eqgat trivial {task} --split {split}" + (" --data DIR" if folder else ""),
        }
        for column in ("split", "metric", "value"):
            del common[column]
        tag = chosen.settings.run_name(digest).rpartition("-")[2]
        write_results(store, f"{run}-{tag}" if split == "test" else f"{run}-{split}-{tag}", common, {split: metrics})
    return found
