"""Shared by the tests of training: runs of seconds, and whether two of them ended bit by bit the same."""

from __future__ import annotations

from typing import Any

import torch

from eqgat.training import Settings, make_settings
from eqgat.training.run import Run
from eqgat.training.tasks import make_task

# A program that makes the run whose settings are its first argument; to be closed by a parenthesis.
TRAIN = (
    "import json, sys\nfrom eqgat.training import Settings\nfrom eqgat.training.run import train\n"
    "train(Settings(**json.loads(sys.argv[1])), runs=sys.argv[2]"
)
DATA = {"n": 120, "num_points": 10, "radius": 4.6}


def settings(model: str = "eqgat", seed: int = 0, **changes: Any) -> Settings:
    """Three epochs of six batches on tiny clouds; patience 0, so that the learning rate changes within them."""
    changes = {"epochs": 3, "batch_size": 16, "schedule": "plateau", "lr_patience": 0, "learning_rate": 1e-2, **changes}
    return make_settings("triangle", model, "quick", seed, data_options=DATA, **changes)


def digest(chosen: Settings) -> str:
    """Of the data that these settings train on; a run's folder is named after it."""
    task = make_task(chosen)
    return task.digest(task.load(None))


def final_state(run: Run) -> dict[str, Any]:
    return torch.load(run.folder / "last.ckpt", weights_only=True)


def same(a: Any, b: Any) -> bool:
    """Bit by bit equal, through dictionaries and lists."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def assert_same_run(a: Run, b: Run) -> None:
    x, y = final_state(a), final_state(b)
    for name in ("model", "optimizer", "scheduler", "best"):
        assert same(x[name], y[name]), name
    assert a.metrics == b.metrics
    assert [{**record, "seconds": 0} for record in a.history] == [{**record, "seconds": 0} for record in b.history]
