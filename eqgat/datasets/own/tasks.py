"""The tasks on own data. No row of theirs is one of the paper's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eqgat.datasets.atom3d.spec import GraphOptions
from eqgat.datasets.own.load import load_residues, load_table
from eqgat.datasets.own.options import StructureOptions, TableOptions
from eqgat.datasets.task import TaskSpec

__all__ = ["CLASSES", "NUMBERS", "RESIDUES"]


def _task(
    name: str,
    title: str,
    goal: str,
    numbers: bool = False,
    load: Callable[..., dict[str, Any]] = load_table,
    options: type = TableOptions,
    describe: Callable[[Mapping[str, Any]], str] = lambda splits: splits["train"].about,
    quick_data: Mapping[str, Any] | None = None,
    **model_options: Any,
) -> TaskSpec:
    """Quick: some minutes on one core for some hundred graphs; full: for a GPU."""
    common = {
        "model_options": {"num_elements": 9, "num_layers": 3, "cutoff": 4.5, "out_channels": 1, **model_options},
        "standardise": numbers, "standardise_readout": numbers, "lr_factor": 0.5,
    }  # fmt: skip
    return TaskSpec(
        name=name,
        title=title,
        goal=goal,
        kind="regression" if numbers else "classes",
        answers="residues" if load is load_residues else "structures",
        load=load,
        options=(options, GraphOptions),
        describe=describe,
        metrics=("mse", "rmse", "mae", "r2", "pearson", "spearman") if numbers else ("cross_entropy", "accuracy"),
        losses=("mse",) if numbers else ("cross-entropy",),
        derived=() if options is StructureOptions else ("classes", "out_channels", "readout"),
        atom_options=("radius",) if options is StructureOptions else ("radius", "hydrogens", "waters", "hetero"),
        profiles={
            "quick": {
                **common, "epochs": 40, "batch_size": 8, "learning_rate": 1e-3, "lr_patience": 3, "stop_after": 10,
                "data_options": quick_data or {},
            },
            "full": {
                **common, "epochs": 200, "batch_size": 32, "learning_rate": 3e-4, "lr_patience": 8, "stop_after": 25,
            },
        },
    )  # fmt: skip


NUMBERS = _task("own", "Own numbers", "to predict numbers of own structures", numbers=True)
CLASSES = _task("own-classes", "Own classes", "to tell classes of own structures apart")
RESIDUES = _task(
    "own-res",
    "Own RES",
    "to name the amino acid at an alpha carbon",
    load=load_residues,
    options=StructureOptions,
    describe=lambda splits: f"residues of {sum(s.num_items for s in splits.values())} own structures, not ATOM3D's",
    quick_data={"environments": 40},
    out_channels=20,
    readout="node",
)
