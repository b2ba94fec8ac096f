"""RES: environments of residues of the embedded proteins; which amino acid was here?

The recipe is that of ATOM3D: atoms of the elements C, O, N, S, P and Se that are not hetero atoms; for each residue of
one of the 20 kinds that has N, CA, C and O, its side chain is taken away and the atoms within 10√3 = 17.32 Å of a
virtual beta carbon are its environment. The label is the kind of the residue.

**The virtual beta carbon.** ATOM3D adds (-0.5311, -0.7584, 1.2198) Å to the alpha carbon. These numbers belong to a
frame with x along CA→N and C in the upper half of the xy-plane; there the point lies within a few hundredths of an Å
of the true beta carbon. ATOM3D adds them in the frame of the *file*, so that the centre, and with it some atoms at the
rim, depends on how the molecule happens to lie in space: about 2 Å from the true beta carbon on average, in any
direction. ``frame="lab"`` (the default) does as ATOM3D does, ``frame="local"`` uses the residue's own frame.

**The split** is by protein: an environment of a training protein is never tested on, nor is one of a relative. That
no two proteins are related was checked once with local alignments of all pairs (BLOSUM62, gaps 11/1), and the tests
repeat it: the best score between two different proteins is 57, where 78 would be one chance in a thousand for a
search of this size (Karlin-Altschul statistics, lambda 0.267, K 0.041). Sequence is all that was compared; ATOM3D
splits by the topology of the fold (CATH), which is stricter: two proteins here may share a fold.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from eqgat.datasets.atom3d.res import RESIDUES
from eqgat.datasets.embedded import embedded_names
from eqgat.molecule import Molecule
from eqgat_course.toy._schema import generator, official_atoms, polymer, split_of

RADIUS = 10 * np.sqrt(3)  # Å
VIRTUAL_BETA = np.array([-0.5311, -0.7584, 1.2198])  # Å, from the alpha carbon
BACKBONE = ("N", "CA", "C", "O")
ELEMENTS_KEPT = ("C", "O", "N", "S", "P", "SE")

# Closed adenylate kinase is the same protein as the open one, the RNA has no residues to guess.
_OTHERS = ("5pti", "1a8o", "1hvr", "1lcd", "adk_open")
_VAL = ("1dx5I", "1h4aX", "1mr1D", "2cviA", "2va0A", "3hklA", "3k7pA", "3vjzA", "adk_open")
_TEST = ("5pti", "1a8o", "1ahsA", "1v7mV", "2a2lA", "2gu3A", "2xr6A", "3e8mA", "3gknA", "3l4rA", "3on9A", "4gcnA")
PROTEINS = {
    "train": tuple(name for name in (*_OTHERS, *embedded_names("chain")) if name not in (*_VAL, *_TEST)),
    "val": _VAL,
    "test": _TEST,
}


def virtual_beta(backbone: np.ndarray, frame: str = "lab") -> np.ndarray:
    """Virtual beta carbons, [R, 3] in Å, from the atoms N, CA, C of R residues, [R, 3, 3] (residue, atom, axis).

    ``frame="lab"`` adds the offset as it stands, ``"local"`` in the frame of the residue; ``ValueError`` for others.
    """
    n, ca, c = np.moveaxis(np.asarray(backbone, dtype=np.float64), 1, 0)
    if frame == "lab":
        return ca + VIRTUAL_BETA
    if frame != "local":
        raise ValueError(f'frame must be "lab" (as ATOM3D) or "local" (the residue\'s own); got {frame!r}')
    x = (n - ca) / np.linalg.norm(n - ca, axis=1, keepdims=True)
    y = (c - ca) - ((c - ca) * x).sum(1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    return ca + np.stack([x, y, np.cross(x, y)], axis=2) @ VIRTUAL_BETA


@cache
def _read(name: str) -> tuple[pd.DataFrame, Molecule, tuple[tuple[int, np.ndarray, np.ndarray], ...]]:
    """Table of the kept atoms; per usable residue its label, its atoms' rows and the rows of N, CA, C, O."""
    structure = polymer(name)
    structure = structure.select(structure.atoms["element"].str.upper().isin(ELEMENTS_KEPT).to_numpy())
    names, residues = structure.atoms["name"].to_numpy(), []
    for residue in structure.residues.itertuples():
        rows = np.arange(residue.first, residue.last + 1)
        at = {names[row]: row for row in rows}
        if residue.resname in RESIDUES and all(atom in at for atom in BACKBONE):
            residues.append((RESIDUES.index(residue.resname), rows, np.array([at[atom] for atom in BACKBONE])))
    return official_atoms(structure, f"{name}.pdb"), structure, tuple(residues)


def res_item(name: str, environments: int | None = 40, frame: str = "lab", seed: int = 0) -> dict:
    """One item in ATOM3D's form: a protein and ``environments`` of its residues (``None``: all), chosen at random.

    Keys: ``id``; ``atoms`` (20 columns); ``labels``, one row an environment with ``subunit`` (chain_number_resname),
    ``label`` (0 to 19), and the centre ``x``, ``y``, ``z`` in Å; ``subunit_indices``, a list of rows of ``atoms`` for
    each. ``ValueError`` for an unknown name or frame, or fewer than one environment.
    """
    if environments is not None and environments < 1:
        raise ValueError(f"environments must be at least 1, or None for all residues; got {environments}")
    atoms, structure, residues = _read(name)
    positions = structure.positions
    chosen = np.arange(len(residues))
    if environments is not None and environments < len(residues):
        chosen = np.sort(generator("res", name, seed).choice(len(residues), environments, replace=False))
    rows_of = [residues[k] for k in chosen]
    centres = virtual_beta(positions[np.array([corners[:3] for _, _, corners in rows_of])], frame)
    near = cKDTree(positions).query_ball_point(centres, RADIUS)
    indices = []
    for (_, rows, corners), around in zip(rows_of, near, strict=True):
        side_chain = np.setdiff1d(rows, corners)
        indices.append(np.setdiff1d(around, side_chain).tolist())
    first = atoms.loc[[rows[0] for _, rows, _ in rows_of], ["chain", "residue", "resname"]]
    labels = pd.DataFrame(
        {
            "subunit": [f"{row.chain}_{row.residue}_{row.resname}" for row in first.itertuples()],
            "label": np.array([label for label, _, _ in rows_of], dtype=np.int64),
            **dict(zip("xyz", centres.T, strict=True)),
        }
    )
    return {"id": name, "atoms": atoms.copy(), "labels": labels, "subunit_indices": indices}


def res_items(split: str = "train", environments: int | None = 40, frame: str = "lab", seed: int = 0) -> list[dict]:
    """The items of a split, one a protein; the arguments are those of ``res_item``."""
    return [res_item(name, environments, frame, seed) for name in split_of(PROTEINS, split)]
