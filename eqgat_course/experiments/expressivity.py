"""Which model learns to tell which pair of clouds apart: success rates over seeds, beside what is proved.

That a model *can* tell two clouds apart means that some weights do. Here it is trained to, on the two clouds alone, turned
anew in every step, and must then be right on turned copies. What is proved to be impossible must not succeed once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.data import Batch, Data

from eqgat import radius_graph
from eqgat.symmetry import random_rotation
from eqgat.training.results import device_name, git_commit, package_versions, results_folder
from eqgat_course.clouds import BOND, CUTOFF, PAIRS, arms, prism, untrained
from eqgat_course.experiments.cells import fill_table, read_table

__all__ = ["KINDS", "TASKS", "Task", "measure", "measure_all", "read_rates", "succeeds"]

KINDS = ("SchNet", "PaiNN", "GVP", "EQGAT without cross product", "EQGAT", "SEGNN")
VECTORS = ("PaiNN", "GVP", "EQGAT without cross product", "EQGAT")
STEPS, SEEDS, RATE = 300, 10, 5e-3
FILE = "expressivity.csv"
KEYS = ("pair", "layers", "model")


@dataclass(frozen=True)
class Task:
    """Two clouds to tell apart with ``layers`` layers; ``blind``: the models that are proved to fail, and why.

    GVP is not among the blind where arrows cancel. In exact arithmetic it would be, but its norm divides each vector by
    its own length: what rounding leaves of a sum that is zero grows from layer to layer, and can be learned.
    """

    name: str
    layers: int
    build: Callable[[], tuple[Data, Data]]
    blind: tuple[str, ...]
    why: str


def zigzag(inner: int, end: int) -> Data:
    """A straight chain of ``inner`` carbons with a carbon bent off at each end: the second up (``end`` 1) or down (-1)."""
    line = [[BOND * k, 0.0, 0.0] for k in range(inner)]
    up, out = BOND * math.sin(math.radians(60)), BOND * math.cos(math.radians(60))
    ends = [[-out, up, 0.0], [BOND * (inner - 1) + out, end * up, 0.0]]
    pos = torch.tensor([ends[0], *line, ends[1]], dtype=torch.float64)
    return Data(z=torch.ones(len(pos), dtype=torch.int64), pos=pos, edge_index=radius_graph(pos, CUTOFF))


def on_a_circle(places: Iterable[int]) -> list[list[float]]:
    """Directions at eighths of a full turn."""
    return [[math.cos(math.pi * k / 4), math.sin(math.pi * k / 4), 0.0] for k in places]


def _tasks() -> Iterable[Task]:
    yield Task("one ring of 6 / two of 3", 2, PAIRS["one ring of 6 / two of 3"], ("SchNet",), "the same distances")
    for layers in (1, 2):
        yield Task(
            "the same angles between pairs of neighbours",
            layers,
            lambda: (arms(on_a_circle((0, 1, 2, 5))), arms(on_a_circle((0, 1, 3, 4)))),
            ("SchNet", *VECTORS) if layers == 1 else ("SchNet",),
            "the length of a sum of arrows depends on the angles of pairs alone"
            if layers == 1
            else "the same distances",
        )
    yield Task("torsion 180° / 60°", 2, PAIRS["torsion 180° / 60°"], ("SchNet",), "the same distances along edges")
    yield Task(
        "torsion 60° / −60°",
        2,
        PAIRS["torsion 60° / −60°"],
        tuple(kind for kind in KINDS if kind != "EQGAT"),
        "mirror images: these models cannot tell a mirror image from its original",
    )
    for fold in (2, 3):
        yield Task(
            f"{fold}-fold prism, straight / twisted",
            3,
            lambda fold=fold: (arms(prism(0, fold)), arms(prism(180 / fold, fold))),  # type: ignore[misc]
            ("SchNet", *(kind for kind in VECTORS if kind != "GVP"), *(("SEGNN",) if fold > 2 else ())),
            "the arrows cancel" + (", those of degree 2 too" if fold > 2 else ""),
        )
    for layers in (2, 3, 4):
        yield Task(
            "chain of 4 with bent ends, cis / trans",
            layers,
            lambda: (zigzag(4, 1), zigzag(4, -1)),
            KINDS if layers < 3 else ("SchNet",),
            "no atom hears of both ends" if layers < 3 else "the same distances along edges",
        )


TASKS = tuple(_tasks())


def succeeds(kind: str, task: Task, seed: int, steps: int = STEPS) -> bool:
    """Whether a model of ``eqgat_course.clouds.untrained`` learns the two clouds of a task.

    Adam at 5e-3 on the cross entropy of both clouds, turned at random in each of ``steps`` steps, ended early once the
    loss is below 0.02. Success: ten turned copies of each are all recognised.

    >>> succeeds("EQGAT", TASKS[0], seed=0), succeeds("SchNet", TASKS[0], seed=0, steps=20)
    (True, False)
    """
    model, clouds = untrained(kind, seed, task.layers), task.build()

    def turned(number: int) -> Batch:
        copies = [cloud.clone() for cloud in clouds]
        for place, copy in enumerate(copies):
            copy.pos = copy.pos @ random_rotation(2 * number + place).T
        return Batch.from_data_list(copies)

    label = torch.tensor([0, 1])
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(steps):
        loss = cross_entropy(model(turned(10**6 * (seed + 1) + step))[:, :2], label)
        if loss < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return all(bool((model(turned(k))[:, :2].argmax(dim=1) == label).all()) for k in range(10))


def measure(kind: str, task: Task, seeds: int = SEEDS) -> dict[str, object]:
    """One row: how many of ``seeds`` trainings succeed, with what is proved and how the row was made."""
    start = time.perf_counter()
    found = sum(succeeds(kind, task, seed) for seed in range(seeds))
    return {
        "pair": task.name,
        "layers": task.layers,
        "model": kind,
        "proved blind": kind in task.blind,
        "why": task.why if kind in task.blind else "",
        "seeds": seeds,
        "successes": found,
        "steps": STEPS,
        "learning_rate": RATE,
        "seconds": round(time.perf_counter() - start, 1),
        "device": device_name(torch.device("cpu")),
        "versions": package_versions(),
        "commit": git_commit(),
        "command": "eqgat expressivity",
    }


def read_rates(file: Path | None = None) -> pd.DataFrame:
    """The stored rows of ``measure``; empty where nothing was run."""
    return read_table(file or results_folder() / FILE, (*KEYS, "proved blind", "seeds", "successes"))


def measure_all(store: Path, say: Callable[[str], None]) -> None:
    """Measure all models on all tasks that the store lacks, and write each row as it comes."""
    torch.set_num_threads(1)
    cells = {
        (task.name, task.layers, kind): lambda kind=kind, task=task: pd.DataFrame([measure(kind, task)])
        for task in TASKS
        for kind in KINDS
    }
    fill_table(store / FILE, KEYS, cells, "cells (pair, layers, model) to run", _found, say)


def _found(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    return f"{row['successes']} of {row['seeds']}, {row['seconds']} s"
