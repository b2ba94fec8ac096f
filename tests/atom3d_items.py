"""Tiny items in the schema of the official ATOM3D data, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eqgat.datasets.atom3d import RESIDUES, write_lmdb
from eqgat.molecule import ATOM_COLUMNS

BACKBONE = (("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O"), ("CB", "C"))


def atoms_table(rows: list[tuple], **columns: Any) -> pd.DataFrame:
    """Rows of (chain, residue, resname, name, element, x, y, z) as a table with all 20 columns."""
    table = pd.DataFrame(rows, columns=["chain", "residue", "resname", "name", "element", "x", "y", "z"])
    table = table.assign(**{**{k: v for k, v in ATOM_COLUMNS.items() if k not in table}, **columns})
    return table[list(ATOM_COLUMNS)]


def protein(
    size: int = 8, chain: str = "A", seed: int = 0, shift: float = 0.0, start: int = 1, **columns: Any
) -> pd.DataFrame:
    """A made-up chain of ``size`` residues with five heavy atoms each, in a box of the density of a protein."""
    random = np.random.default_rng(seed)
    box = (size * 5 * 12.0) ** (1 / 3)
    rows = [
        (chain, start + k, RESIDUES[k % 20], name, element, *np.add(random.uniform(0, box, 3).round(3), [shift, 0, 0]))
        for k in range(size)
        for name, element in BACKBONE
    ]
    return atoms_table(rows, **columns)


def lba_item(name: str, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    pocket = pd.concat(
        [
            protein(5, seed=seed),
            atoms_table([("A", 1, "HIS", "H", "H", 1.0, 1.0, 1.0), ("A", 90, "ZN", "ZN", "ZN", 3.0, 3.0, 3.0)]),
        ]
    )
    ligand = atoms_table(
        [
            ("L", 0, "LIG", f"X{k}", symbol, *random.uniform(2, 5, 3).round(3))
            for k, symbol in enumerate(["C", "H", "Cl", "Br"])
        ]
    )
    bonds = pd.DataFrame({"atom1": [0, 0, 2], "atom2": [1, 2, 3], "type": [1.0, 1.0, 1.5]})
    return {
        "id": name,
        "atoms_protein": protein(8, seed=seed),
        "atoms_pocket": pocket,
        "atoms_ligand": ligand,
        "bonds": bonds,
        "smiles": "C",
        "seq": [],
        "scores": {"neglog_aff": 4.0 + seed},
    }


def ranking_item(target: str, decoy: str, seed: int = 0, score: str = "gdt_ts", value: float = 0.5) -> dict[str, Any]:
    water = atoms_table([("A", 200, "HOH", "O", "O", 0.0, 0.0, 0.0)], hetero="W")
    hydrogen = atoms_table([("A", 1, "HIS", "H", "H", 1.0, 1.0, 1.0), ("A", 1, "HIS", "D", "D", 2.0, 1.0, 1.0)])
    return {
        "id": str((target, decoy)),
        "atoms": pd.concat([protein(6, seed=seed), water, hydrogen], ignore_index=True),
        "scores": {score: value, "tm": 0.1},
    }


def res_item(name: str, atoms: pd.DataFrame | None = None, seed: int = 0) -> dict[str, Any]:
    """Environments by ATOM3D's recipe, with a radius of 6 Å: the residue's own side chain is left out."""
    atoms = protein(8, seed=seed) if atoms is None else atoms
    atoms = atoms.reset_index(drop=True)
    pos, labels, indices = atoms[["x", "y", "z"]].to_numpy(), [], []
    for (chain, residue, resname), own in atoms.groupby(["chain", "residue", "resname"], sort=False):
        center = own.loc[own["name"] == "CA", ["x", "y", "z"]].to_numpy()[0] + [-0.5311, -0.7584, 1.2198]
        near = np.linalg.norm(pos - center, axis=1) < 6
        near[own.index] = own["name"].isin(["N", "CA", "C", "O"])
        indices.append(np.flatnonzero(near).tolist())
        labels.append((f"{chain}_{residue}_{resname}", RESIDUES.index(resname), *center))
    return {
        "id": name,
        "atoms": atoms,
        "labels": pd.DataFrame(labels, columns=["subunit", "label", "x", "y", "z"]),
        "subunit_indices": indices,
    }


def ppi_item(
    name: str, seed: int = 0, size: int = 8, touching: tuple[tuple[int, int], ...] = ((1, 101), (2, 102))
) -> dict[str, Any]:
    """Two chains; ``touching`` names residues of the first (from 1) and of the second (from 101)."""
    sides = [
        protein(size, "A", seed, subunit=f"{name}_ligand_bound", structure="l.pdb", ensemble=name),
        protein(
            size,
            "B",
            seed + 1,
            shift=10.0,
            start=101,
            subunit=f"{name}_receptor_bound",
            structure="r.pdb",
            ensemble=name,
        ),
    ]
    pairs = pd.concat(sides, ignore_index=True)
    pairs.index += 5000
    neighbours = pd.DataFrame(
        [
            {
                **{
                    f"{key}{end}": value
                    for end, (side, chain, number) in enumerate([("ligand", "A", a), ("receptor", "B", b)])
                    for key, value in {
                        "ensemble": name,
                        "subunit": f"{name}_{side}_bound",
                        "structure": f"{side[0]}.pdb",
                        "model": 1,
                        "chain": chain,
                        "residue": number,
                    }.items()
                },
                "label": 1,
            }
            for a, b in touching
        ]
    )
    return {"id": name, "atoms_pairs": pairs, "atoms_neighbors": neighbours}


def items(task: str, split: str, count: int = 6) -> list[dict[str, Any]]:
    """A few items of a task, other ones in each split."""
    seeds = range({"train": 0, "val": 100, "test": 200}[split], 10_000)
    if task == "lba":
        return [lba_item(f"{split}{k}", seeds[k]) for k in range(count)]
    if task in ("psr", "rsr"):
        score = {"psr": "gdt_ts", "rsr": "rms"}[task]
        return [ranking_item(f"{split}{k % 2}", f"decoy{k}", seeds[k], score, k / count) for k in range(count)]
    if task == "res":
        return [res_item(f"{split}{k}", seed=seeds[k]) for k in range(count)]
    return [ppi_item(f"{split}{k}", seeds[k]) for k in range(count)]


def write_task(task: str, root: Path, count: int = 6) -> Path:
    """A whole task in the folders of the official archive."""
    from eqgat.datasets.task import TASKS

    for split in ("train", "val", "test"):
        write_lmdb(root / TASKS[task].archive.folder / "data" / split, items(task, split, count))
    return root
