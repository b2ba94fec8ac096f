"""What the training engine asks of a task: its data, its loss, its metrics. One class a task."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch_geometric.data import Batch, Data

from eqgat import radius_graph
from eqgat.datasets.cache import cache_folder
from eqgat.training.settings import Settings, build_model

__all__ = ["TASKS", "Task", "TriangleTask", "make_task", "predict_the_mean", "standardisation"]

# Task -> module:class. A task is imported when it is asked for, with whatever libraries its data need.
TASKS = {
    "triangle": "eqgat.training.tasks:TriangleTask",
    **{name: f"eqgat.training.atom3d:{name.upper()}Task" for name in ("lba", "psr", "rsr", "res", "ppi")},
}


class Task:
    """A task, as the engine sees it. A new one overrides ``load`` and ``metrics``, and the rest where it differs.

    Attributes:
        monitor: name of the validation metric that chooses the best epoch and steers the learning rate.
        mode: "min" or "max".
    """

    monitor = "mse"
    mode = "min"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, folder: str | None) -> dict[str, Any]:
        """Map-style data sets "train", "val" and "test"; ``folder`` is where the user keeps the data.

        Each item gives one row of predictions and of targets. Data are loaded in each process.
        """
        raise NotImplementedError

    def digest(self, splits: dict[str, Any]) -> str:
        """A short hash that is equal for equal data; kept with every result."""
        raise NotImplementedError

    def num_outputs(self) -> int:
        """Numbers in a row of predictions."""
        return self.settings.model_options.get("out_channels", 1)

    def build(self) -> nn.Module:
        """The model, with initial weights that depend on the seed alone."""
        return build_model(self.settings)

    def collate(self, items: Sequence[Data] | Batch) -> Batch:
        """Items of the data set -> a batch."""
        return Batch.from_data_list(list(items))

    def prepare(self, batch: Batch) -> Batch:
        """Last touch on the device, for example the edges."""
        return batch

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Predictions [rows, out_channels], raw."""
        return model(batch)

    def targets(self, batch: Batch) -> Tensor:
        """Targets [rows, out_channels], raw."""
        return batch.y

    def train_targets(self, train: Any) -> Tensor:
        """All training targets [n, out_channels], for standardising."""
        return train.y

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch, of raw or of standardised values."""
        return mse_loss(prediction, target)

    def metrics(self, prediction: Tensor, target: Tensor, data: Any) -> dict[str, float]:
        """Metrics of a whole split, of raw values in the order of ``data``, on the CPU; has ``self.monitor``."""
        raise NotImplementedError


class TriangleTask(Task):
    """Distance, perimeter and area of a triangle of special points (Appendix B); MSE of the raw targets."""

    def load(self, folder: str | None) -> dict[str, Any]:
        """Clouds, made or found in ``folder`` (default: the user's cache), split 80/10/10 in order."""
        from eqgat.datasets.triangle import make_triangles

        return make_triangles(**self.settings.data_options, cache=folder or cache_folder()).split()

    def digest(self, splits: dict[str, Any]) -> str:
        """Of the positions and special points of all splits."""
        return "-".join(splits[name].digest()[:6] for name in ("train", "val", "test"))

    def collate(self, items: Sequence[Data] | Batch) -> Batch:
        """The data set makes whole batches itself."""
        return items if isinstance(items, Batch) else super().collate(items)

    def prepare(self, batch: Batch) -> Batch:
        """Edges on the device."""
        batch.edge_index = radius_graph(batch.pos, self.settings.model_options["cutoff"], batch.batch)
        return batch

    def metrics(self, prediction: Tensor, target: Tensor, data: Any) -> dict[str, float]:
        """ "mse", the mean over the three targets as in Table 3, and "mse_<target>" of each."""
        each = (prediction.double() - target.double()).square().mean(dim=0)
        return {
            "mse": float(each.mean()),
            **{f"mse_{name}": float(value) for name, value in zip(data.target_names, each, strict=True)},
        }


def make_task(settings: Settings) -> Task:
    """The task of a run.

    Raises:
        ValueError: no such task.
    """
    if settings.task not in TASKS:
        raise ValueError(f"no data for task {settings.task!r}; there are {', '.join(TASKS)}")
    module, name = TASKS[settings.task].split(":")
    return getattr(import_module(module), name)(settings)


def standardisation(task: Task, train: Any) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the training targets [out_channels]; 0 and 1 where the settings say raw.

    The deviation of a single target is taken to be 1.
    """
    if not task.settings.standardise:
        return torch.zeros(task.num_outputs()), torch.ones(task.num_outputs())
    target = task.train_targets(train).double()
    deviation = target.std(dim=0).clamp(min=1e-12) if len(target) > 1 else torch.ones(target.shape[1:])
    return target.mean(dim=0).float(), deviation.float()


def predict_the_mean(task: Task, splits: dict[str, Any], split: str = "test") -> dict[str, float]:
    """Metrics of the trivial model that always predicts the mean of the training targets; for regression."""
    target = task.train_targets(splits[split])
    mean = task.train_targets(splits["train"]).double().mean(dim=0).float()
    return task.metrics(mean.expand_as(target), target, splits[split])
