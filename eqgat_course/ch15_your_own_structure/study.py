"""What notebook 15 trains on: the accessible surface of residues of twenty embedded proteins, computed and not measured.

The label is known exactly, from the same atoms that the model sees. That makes it a poor discovery and a good exercise:
everything that is said about a prediction can be checked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from eqgat.datasets import embedded_path, embedded_structure
from eqgat.datasets.own import all_residues
from eqgat.errors import UserError
from eqgat.molecule import Molecule
from eqgat.profiles import profile
from eqgat.training import Settings, own_settings, read_results
from eqgat.training.metrics import regression_metrics
from eqgat.training.results import results_folder
from eqgat.training.run import train
from eqgat_course.toy.res import PROTEINS

__all__ = [
    "EXAMPLE",
    "STARTS",
    "accessible_area",
    "compare",
    "comparison",
    "example_here",
    "example_settings",
    "example_table",
    "neighbour_count",
    "plain_answers",
    "results_folder",
    "sphere",
    "stored_run",
    "write_example",
]

PROBE = 1.4  # Å, the radius of a water molecule
POINTS = 194  # on the sphere around each atom
RESIDUES_EACH = 10  # labelled residues of a protein
TARGET = "area"
SHAPE = {"scalar_channels": 32, "vector_channels": 8, "num_layers": 3, "num_radial": 16}  # of the shipped model
EPOCHS = 10
STARTS = {"from res": "res", "from scratch": ""}
_CHAINS = {split: [name for name in names if len(name) == 5] for split, names in PROTEINS.items()}
# As the shipped weights were trained: their training proteins stay in train, so that no test protein was ever seen.
EXAMPLE = {"train": _CHAINS["train"][:10], "val": _CHAINS["val"][:4], "test": _CHAINS["test"][:6]}


@cache
def sphere(points: int = POINTS) -> np.ndarray:
    """Directions spread evenly over a sphere, [points, 3], along a spiral whose turns keep the golden angle."""
    k = np.arange(points) + 0.5
    z, turn = 1 - 2 * k / points, np.pi * (3 - 5**0.5) * k
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)


def accessible_area(
    molecule: Molecule, residues: Sequence[int] | None = None, probe: float = PROBE, points: int = POINTS
) -> np.ndarray:
    """Solvent-accessible surface of residues, Å², by the points of Shrake and Rupley (1973).

    Around each atom lies a sphere of its van der Waals radius (gemmi's) plus that of the probe. A point on it counts if it
    is inside no other atom's sphere.

    Args:
        molecule: all of its atoms hide surface.
        residues: numbers of those wanted, as in ``residue_index``; None: all.
        probe: radius of what touches the surface, Å.
        points: on each sphere.
    """
    wanted = range(int(molecule.residue_index.max()) + 1) if residues is None else residues
    radii = np.array([gemmi.Element(symbol).vdw_r for symbol in molecule.symbol.tolist()]) + probe
    tree, area = cKDTree(molecule.positions), np.zeros(len(molecule))
    for atom in np.flatnonzero(np.isin(molecule.residue_index, wanted)):
        centre, radius = molecule.positions[atom], radii[atom]
        near = np.array([k for k in tree.query_ball_point(centre, radius + radii.max()) if k != atom], dtype=int)
        on = centre + radius * sphere(points)
        apart = np.linalg.norm(on[:, None] - molecule.positions[near], axis=2)
        area[atom] = 4 * np.pi * radius**2 * (apart >= radii[near]).all(axis=1).mean()
    return np.bincount(molecule.residue_index, weights=area)[list(wanted)]


def neighbour_count(molecule: Molecule, rows: np.ndarray, radius: float = 10.0) -> np.ndarray:
    """Atoms within ``radius`` Å of these atoms, [n]: what needs no learning."""
    return np.array(
        [len(near) for near in cKDTree(molecule.positions).query_ball_point(molecule.positions[rows], radius)]
    )


@cache
def example_table(residues_each: int = RESIDUES_EACH) -> pd.DataFrame:
    """The labels: structure, chain, residue, insertion_code, area (Å²), split, and the count of neighbours."""
    tables = []
    for split, names in EXAMPLE.items():
        for name in names:
            molecule = embedded_structure(name)
            residues = all_residues(molecule)
            chosen = np.sort(np.random.default_rng(15).choice(len(residues), residues_each, replace=False))
            residues = residues.iloc[chosen]
            area = accessible_area(molecule, molecule.residue_index[residues["row"]].tolist())
            counts = neighbour_count(molecule, residues["row"].to_numpy())
            tables.append(residues.drop(columns="row").assign(area=area.round(1), split=split, neighbours=counts))
    return pd.concat(tables, ignore_index=True)


def write_example(folder: str | Path) -> Path:
    """A folder as somebody has it who comes from the laboratory: twenty structures and ``labels.csv``; returns it."""
    folder = Path(folder)
    (folder / "structures").mkdir(parents=True, exist_ok=True)
    for names in EXAMPLE.values():
        for name in names:
            shutil.copyfile(embedded_path(name), folder / "structures" / embedded_path(name).name)
    example_table().drop(columns=["resname", "neighbours"]).to_csv(folder / "labels.csv", index=False)
    return folder


def example_settings(labels: str | Path, start: str = "res", seed: int = 0, **changes: Any) -> Settings:
    """The run of the chapter; with ``start=""`` it is the same model, with weights drawn from the seed.

    Graphs hold the atoms within 9 Å of the residue's CA, as those did that the shipped weights were trained on.
    """
    return own_settings(
        labels,
        TARGET,
        seed=seed,
        data_options={"radius": 9.0},
        model_options={} if start else SHAPE,
        **{"start": start or None, "epochs": EPOCHS, "schedule": "cosine", **changes},
    )


def example_here(labels: str | Path) -> tuple[Settings, dict[str, str]]:
    """The chapter's run and where: on the CPU; in the full profile ten times as long, on a GPU where there is one."""
    if profile() == "quick":
        return example_settings(labels), {"accelerator": "cpu"}
    return example_settings(labels, epochs=10 * EPOCHS), {"accelerator": "auto"}


def compare(store: str | Path, seeds: Sequence[int] = range(5)) -> None:
    """Fine-tuning against training from scratch: one run a seed and start, with its rows written into the store.

    ``python -c "from eqgat_course.ch15_your_own_structure.study import *; compare(results_folder())"`` made the rows
    that notebook 15 shows, in about two minutes of one core.
    """
    store, here = Path(store).resolve(), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(write_example(folder))  # so that the rows say labels.csv, and not where it happened to lie
        try:
            for start in STARTS.values():
                for seed in seeds:
                    settings = example_settings("labels.csv", start, seed)
                    train(settings, data="structures", runs="runs", results=store, accelerator="cpu", progress=False)
        finally:
            os.chdir(here)


def comparison() -> pd.DataFrame:
    """The stored rows of the test set: columns start, seed, metric, value, command, commit."""
    rows = read_results(task="own")
    rows = rows[(rows["split"] == "test") & rows["changed"].str.contains('"target": "area"')]
    started = rows["changed"].str.contains('"start": "res"')
    return rows.assign(start=started.map({True: "from res", False: "from scratch"}))[
        ["start", "seed", "metric", "value", "command", "commit"]
    ].reset_index(drop=True)


def stored_run(start: str, seed: int) -> str:
    """Name of a stored run, for ``read_predictions``.

    Raises:
        UserError: the store has none.
    """
    for file in sorted((results_folder() / "own").glob("*.predictions.csv.gz")):
        name = file.name.removesuffix(".predictions.csv.gz")
        row = pd.read_csv(file.with_name(f"{name}.csv"), keep_default_na=False).iloc[0]
        if row["seed"] == seed and ('"start": "res"' in row["changed"]) == (start == "from res"):
            return name
    raise UserError(f"the store has no run {start} with seed {seed}; compare() makes them")


def plain_answers() -> dict[str, dict[str, float]]:
    """Metrics on the test proteins of two answers without a network: the mean of the training labels, and a line on the
    count of neighbours."""
    table = example_table()
    train, test = (table[table["split"] == split] for split in ("train", "test"))
    slope, offset = np.polyfit(train["neighbours"], train["area"], 1)
    given = {
        "mean of the training labels": np.full(len(test), train["area"].mean()),
        "line on the count of neighbours": slope * test["neighbours"].to_numpy() + offset,
    }
    return {name: regression_metrics(values, test["area"].to_numpy()) for name, values in given.items()}
