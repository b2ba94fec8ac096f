"""What answers without learning score on a task: the numbers that a model has to beat.

They look at the training labels (the mean, the commonest class) or at one plain number of a structure, which the task
names, and are scored with the metrics of the models. Networks that were never trained stand among them: what they
reach is no merit of training. The rows go into the results store with ``model`` "trivial: ...".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eqgat.datasets.task import SPLITS
from eqgat.errors import UserError
from eqgat.training.results import COLUMNS, git_commit, now, package_versions, prediction_table, write_results
from eqgat.training.settings import Settings, make_settings
from eqgat.training.tasks import Task, make_task, standardisation

__all__ = ["predict_the_mean", "trivial_answers", "write_trivial_answers"]

# What means nothing of answers in another unit than the labels'.
_OTHER_UNIT = ("mse", "rmse", "mae", "cross_entropy", "r2", "prediction_std")
_UNTRAINED = "untrained network"


def predict_the_mean(task: Task, splits: Mapping[str, Any], split: str = "test") -> dict[str, float]:
    """Metrics of the trivial model that always predicts the mean of the training targets; for regression."""
    target = splits[split].y
    mean = splits["train"].y.double().mean(dim=0).float()
    return task.metrics(mean.expand_as(target), target, splits[split])


def trivial_answers(
    task: str, folder: str | None = None, split: str = "test", untrained: int = 5
) -> dict[str, dict[str, float]]:
    """Name -> metrics of each trivial answer of a task, on a split.

    Regression and ranking: the mean of the training labels (its correlations are undefined, nan). Classes: the
    commonest of the training labels, and that of the very labels that are scored, which no constant can beat. Then the
    task's own, and straight lines through its counts, fitted to the training labels. Errors of answers in another unit than the labels' mean nothing and are left out. Last, EQGAT with its
    initial weights, "untrained network, seed 0" and so on; in regression its answers are shifted and scaled as in
    training.

    Args:
        task: its name.
        folder: of the data; None: what comes with the package.
        split: to be scored.
        untrained: seeds of the untrained network.

    Raises:
        UserError: an unknown task or split, or data that cannot be used.
    """
    chosen, splits = _load(task, folder, split)
    return {name: metrics for name, (metrics, _) in _answers(chosen, splits, split, untrained).items()}


def _load(task: str, folder: str | None, split: str) -> tuple[Task, dict[str, Any]]:
    """The task and its data, whole graphs and stored pairs."""
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    chosen = make_task(make_settings(task))
    whole: dict[str, Any] = {key: None for key in ("hops", "drawn_pairs") if key in chosen.data_options()}
    chosen = make_task(make_settings(task, data_options=whole))
    return chosen, chosen.load(folder)


def _answers(
    chosen: Task, splits: dict[str, Any], split: str, untrained: int
) -> dict[str, tuple[dict[str, float], Tensor | None]]:
    """Name -> metrics and predictions, without those of constants and of untrained networks."""
    data, kind = splits[split], chosen.spec.kind
    found: dict[str, tuple[dict[str, float], Tensor | None]] = {}
    if kind == "classes":
        classes = chosen.num_outputs()
        for name, labels in (("commonest class", splits["train"].y), ("best constant, seen afterwards", data.y)):
            same = torch.full((len(data),), int(labels.bincount(minlength=classes).argmax()))
            logits = torch.nn.functional.one_hot(same, classes).float()
            found[name] = {"accuracy": chosen.metrics(logits, data.y, data)["accuracy"]}, None
    elif kind != "pairs":
        found["mean"] = predict_the_mean(chosen, splits, split), None
    for name, answer in chosen.spec.trivial.items():
        metrics = chosen.metrics(answers := answer(data), data.y, data)
        found[name] = {key: value for key, value in metrics.items() if key not in _OTHER_UNIT}, answers
    for name, numbers in chosen.spec.counts.items():
        weights = torch.linalg.lstsq(_line(numbers(splits["train"])), splits["train"].y.double()).solution
        answers = (_line(numbers(data)) @ weights).float()
        found[f"line through {name}"] = chosen.metrics(answers, data.y, data), answers
    for seed in range(untrained):
        found[f"{_UNTRAINED}, seed {seed}"] = _untrained(replace(chosen.settings, seed=seed), splits, data), None
    return found


def _line(numbers: torch.Tensor) -> torch.Tensor:
    """[n, k] -> [n, k + 1], with a column of ones for the offset."""
    return torch.cat([torch.ones(len(numbers), 1), numbers], dim=1).double()


def _untrained(settings: Settings, splits: dict[str, Any], data: Any) -> dict[str, float]:
    """Metrics of the network of these settings with its initial weights."""
    task = make_task(settings)
    model, (mean, std) = task.build().eval(), standardisation(task, splits["train"])
    with torch.no_grad():
        rows = [
            task.predict(model, task.prepare(task.collate([data[k] for k in range(start, min(start + 8, len(data)))])))
            for start in range(0, len(data), 8)
        ]
    return task.metrics(torch.cat(rows) * std + mean, data.y, data)


def write_trivial_answers(
    task: str, store: str | Path, folder: str | None = None, split: str = "test", untrained: int = 5
) -> dict[str, dict[str, float]]:
    """``trivial_answers``, with their rows written into a results store, and their predictions where they vary.

    Raises:
        UserError: as ``trivial_answers`` does; the disk is full.
    """
    chosen, splits = _load(task, folder, split)
    digest, found = chosen.digest(splits), _answers(chosen, splits, split, untrained)
    for name, (metrics, answers) in found.items():
        run, (name, _, seed) = f"{task}-trivial-{re.sub('[^a-z0-9]+', '-', name)}", name.partition(", seed ")
        common = dict.fromkeys(COLUMNS, "") | {
            "task": task,
            "model": f"trivial: {name}",
            "profile": "none",
            **dict.fromkeys(("epochs", "best_epoch", "batch_size", "parameters"), 0),
            "seed": int(seed or 0),
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
        table = None if answers is None else prediction_table(answers, splits[split].y, splits[split])
        write_results(
            store,
            f"{run}-{tag}" if split == "test" else f"{run}-{split}-{tag}",
            common,
            {split: metrics},
            predictions=table,
        )
    return {name: metrics for name, (metrics, _) in found.items()}
