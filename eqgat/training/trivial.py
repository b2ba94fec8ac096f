"""What answers without learning score on the ATOM3D tasks: the numbers that a model has to beat.

    python -m eqgat.training.trivial psr --data DIR

They look at the training labels (the mean, the commonest class) or at one plain number of a structure, and are scored
on the test split with the metrics of the models. Their rows go into the results store with ``model`` "trivial: ...".
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from eqgat.datasets.samples.decoys import radius_of_gyration
from eqgat.training.results import git_commit, now, package_versions, results_folder, write_results
from eqgat.training.settings import make_settings
from eqgat.training.tasks import make_task, predict_the_mean

__all__ = ["TRIVIAL", "main", "trivial_answers"]

CLASH = 2.3  # Å: heavy atoms closer than this are bonded, bonded to the same third atom, or in a clash
BURIAL = 10.0  # Å around an alpha carbon
_ERRORS = ("mse", "rmse", "mae", "cross_entropy")  # of answers in another unit than the labels'


def num_atoms(pos: np.ndarray) -> float:
    """Atoms of a structure, [n, 3] in Å."""
    return float(len(pos))


def close_pairs(pos: np.ndarray) -> float:
    """Pairs of atoms closer than ``CLASH`` Å, an atom. Those of the bonds are the same in all decoys of a target."""
    return len(cKDTree(pos).query_pairs(CLASH)) / len(pos)


def _structures(quantity: Callable[[np.ndarray], float], sign: float) -> Callable[[Any], Tensor]:
    """Scores of the structures of a split: ``sign`` times a quantity of each."""
    return lambda data: sign * torch.tensor([[quantity(data[k].pos.numpy())] for k in range(len(data))])


def _openness(data: Any) -> Tensor:
    """Minus the atoms of its own partner within 10 Å of the alpha carbon, summed over both residues of a pair."""

    def near(graph: Any) -> int:
        return int(((graph.pos - graph.pos[graph.center_index]).norm(dim=1) < BURIAL).sum())

    return torch.tensor([[-float(sum(near(graph) for graph in data[k]))] for k in range(len(data))])


# Higher is better in PSR (GDT_TS) and PPI (they touch); RSR's label is an RMSD.
TRIVIAL: dict[str, dict[str, Callable[[Any], Tensor]]] = {
    "lba": {},
    "psr": {
        "number of atoms": _structures(num_atoms, 1.0),
        "radius of gyration": _structures(radius_of_gyration, -1.0),
        "clashes": _structures(close_pairs, -1.0),
    },
    "rsr": {
        "number of atoms": _structures(num_atoms, 1.0),
        "radius of gyration": _structures(radius_of_gyration, 1.0),
        "clashes": _structures(close_pairs, 1.0),
    },
    "res": {},
    "ppi": {"constant": lambda data: torch.zeros(len(data), 1), "residues that lie open": _openness},
}


def trivial_answers(task: str, folder: str | None = None, split: str = "test") -> dict[str, dict[str, float]]:
    """Name -> metrics of each trivial answer of a task, on a split.

    Regression and ranking: the mean of the training labels (its correlations are undefined, nan). RES: the commonest
    class of the training labels, and that of the very labels that are scored, which no constant can beat. PPI: a
    constant. Squared errors of the other answers mean nothing and are left out.

    Args:
        task: "lba", "psr", "rsr", "res" or "ppi".
        folder: of the data; None: the embedded samples.
        split: to be scored.
    """
    chosen = make_task(
        make_settings(
            task,
            data_options={"hops": None, "drawn_pairs": None}
            if task == "ppi"
            else {"hops": None}
            if task == "res"
            else None,
        )
    )
    splits = chosen.load(folder)
    data = splits[split]
    found = {}
    if task == "res":
        for name, labels in (("commonest class", splits["train"].y), ("best constant, seen afterwards", data.y)):
            same = torch.full((len(data),), int(labels.bincount(minlength=20).argmax()))
            logits = torch.nn.functional.one_hot(same, 20).float()
            found[name] = {"accuracy": chosen.metrics(logits, data.y, data)["accuracy"]}
    elif task != "ppi":
        found["mean"] = predict_the_mean(chosen, splits, split)
    for name, answer in TRIVIAL[task].items():
        metrics = chosen.metrics(answer(data), data.y, data)
        found[name] = {key: value for key, value in metrics.items() if key not in _ERRORS}
    return found


def main(argv: list[str] | None = None) -> int:
    """Score the trivial answers of a task on its test split; write their rows into the results store."""
    parser = argparse.ArgumentParser(prog="python -m eqgat.training.trivial", description=main.__doc__)
    parser.add_argument("task", choices=list(TRIVIAL))
    parser.add_argument("--data", metavar="DIR", help="folder of the data; default: the embedded samples")
    parser.add_argument("--results", metavar="DIR", help="results store (default: figures/results)")
    arguments = parser.parse_args(argv)
    task = make_task(make_settings(arguments.task))
    splits = task.load(arguments.data)
    for name, metrics in trivial_answers(arguments.task, arguments.data).items():
        common = {
            "task": arguments.task,
            "model": f"trivial: {name}",
            "variant": "",
            "profile": "none",
            "changed": "",
            "seed": 0,
            "epochs": 0,
            "best_epoch": 0,
            "batch_size": 0,
            "learning_rate": 0.0,
            "precision": "",
            "parameters": 0,
            "num_train": len(splits["train"]),
            "device": "CPU",
            "seconds": 0.0,
            "data": task.digest(splits),
            "versions": package_versions(),
            "commit": git_commit(),
            "date": now(),
            "command": f"python -m eqgat.training.trivial {arguments.task} --data DIR",
        }
        run = f"{arguments.task}-trivial-{re.sub('[^a-z]+', '-', name)}"
        file = write_results(arguments.results or results_folder(), run, common, {"test": metrics}, [])
        file.with_name(f"{run}.history.csv").unlink()  # nothing was trained: there is no curve
        print(f"{run}: " + ", ".join(f"{key} {value:.4g}" for key, value in metrics.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
