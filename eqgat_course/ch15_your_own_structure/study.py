"""What notebook 15 trains on: the accessible surface of residues of twenty embedded proteins, computed and not measured.

The label is known exactly, from the same atoms that the model sees. That makes it a poor discovery and a good exercise:
everything that is said about a prediction can be checked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
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
from eqgat.molecule import Molecule
from eqgat.training import Settings, own_settings, read_results
from eqgat.training.results import results_folder
from eqgat_course.toy.res import PROTEINS

__all__ = [
    "EXAMPLE",
    "STARTS",
    "accessible_area",
    "commands",
    "compare",
    "comparison",
    "example_settings",
    "example_table",
    "neighbour_count",
    "results_folder",
    "sphere",
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
    example_table().drop(columns="neighbours").to_csv(folder / "labels.csv", index=False)
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


def commands(start: str, seed: int) -> list[str]:
    """The same run as words to type, in a folder that ``write_example`` filled.

    >>> " ".join(commands("res", 3))
    'train --structures structures --labels labels.csv --target area --seed 3 --epochs 10 --schedule cosine --option radius=9.0 --from res'
    """
    own = ["--structures", "structures", "--labels", "labels.csv", "--target", TARGET, "--seed", f"{seed}"]
    shape = [word for name, value in SHAPE.items() for word in ("--model-option", f"{name}={value}")]
    how = ["--epochs", f"{EPOCHS}", "--schedule", "cosine", "--option", "radius=9.0"]
    return ["train", *own, *how, *(["--from", start] if start else shape)]


def compare(store: str | Path, seeds: Sequence[int] = range(5)) -> None:
    """Fine-tuning against training from scratch: one run a seed and start, with its rows written into the store.

    ``python -c "from eqgat_course.ch15_your_own_structure.study import *; compare(results_folder())"`` made the rows
    that notebook 15 shows; some minutes on one core.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_example(folder)
        for start in STARTS.values():
            for seed in seeds:
                words = [*commands(start, seed), "--results", str(Path(store).resolve()), "--accelerator", "cpu"]
                subprocess.run([sys.executable, "-m", "eqgat", *words], cwd=folder, check=True)


def comparison() -> pd.DataFrame:
    """The stored rows of the test set: columns start, seed, metric, value, command, commit."""
    rows = read_results(task="own")
    rows = rows[(rows["split"] == "test") & rows["changed"].str.contains('"target": "area"')]
    started = rows["changed"].str.contains('"start": "res"')
    return rows.assign(start=started.map({True: "from res", False: "from scratch"}))[
        ["start", "seed", "metric", "value", "command", "commit"]
    ].reset_index(drop=True)
