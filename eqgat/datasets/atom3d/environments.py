"""Items of RES made of any structure, by ATOM3D's recipe: the surroundings of residues whose side chains are taken away.

Atoms of the elements C, O, N, S, P and Se stay; for each residue of one of the 20 kinds that has N, CA, C and O, its side
chain is taken away, and the atoms within 10√3 = 17.32 Å of a virtual beta carbon are its environment. The label is the
kind of the residue.

ATOM3D puts the virtual beta carbon (-0.5311, -0.7584, 1.2198) Å from the alpha carbon. These numbers belong to a
frame with x along CA→N and C in the upper half of the xy-plane; there the point lies within a few hundredths of an Å
of the true beta carbon. ATOM3D adds them in the frame of the *file*, so that the centre, and with it some atoms at the
rim, depends on how the molecule happens to lie in space: about 2 Å from the true beta carbon on average, in any
direction. ``frame="lab"`` does as ATOM3D does, ``frame="local"`` uses the residue's own frame.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from eqgat.datasets.atom3d.res import RESIDUES
from eqgat.errors import UserError
from eqgat.molecule import Molecule

__all__ = ["BACKBONE", "RADIUS", "generator", "official_atoms", "residue_item", "virtual_beta"]

RADIUS = 10 * np.sqrt(3)  # Å
VIRTUAL_BETA = np.array([-0.5311, -0.7584, 1.2198])  # Å, from the alpha carbon
BACKBONE = ("N", "CA", "C", "O")
ELEMENTS_KEPT = ("C", "O", "N", "S", "P", "SE")
_SMALLEST_SINE = 0.01  # of the angle N-CA-C: on a line, or in one place, the three give no frame


def official_atoms(structure: Molecule, file: str) -> pd.DataFrame:
    """The atoms of a structure, [N, 20], as ATOM3D writes those of a PDB file.

    ``ensemble`` and ``structure`` are the file's name, ``subunit`` and ``model`` 0, ``element`` is upper case, and
    ``fullname`` and ``segid`` fill their four columns.

    >>> from eqgat.datasets import embedded_structure
    >>> atoms = official_atoms(embedded_structure("5pti"), "5pti.pdb")
    >>> atoms.shape[1], atoms["element"].iloc[0], atoms["ensemble"].iloc[0]
    (20, 'N', '5pti.pdb')
    """
    return structure.atoms.assign(
        ensemble=file,
        structure=file,
        subunit=0,
        model=0,
        element=structure.atoms["element"].str.upper(),
        segid="    ",
    )


def generator(*what: object) -> np.random.Generator:
    """Random numbers that depend only on what they are for: the same on every machine and in every order.

    >>> bool(generator("res", "5pti").random() == generator("res", "5pti").random())
    True
    """
    digest = hashlib.sha256("/".join(map(str, what)).encode()).digest()
    return np.random.default_rng(list(digest))


def virtual_beta(backbone: np.ndarray, frame: str = "lab") -> np.ndarray:
    """Virtual beta carbons, [R, 3] in Å, from the atoms N, CA, C of R residues, [R, 3, 3] (residue, atom, axis).

    ``frame="lab"`` adds the offset as it stands, ``"local"`` in the frame of the residue; ``UserError`` for others.

    >>> n_ca_c = np.array([[[1.46, 0, 0], [0, 0, 0], [-0.55, 1.42, 0]]])  # already in the residue's own frame
    >>> bool(np.allclose(virtual_beta(n_ca_c, "local"), virtual_beta(n_ca_c, "lab")))
    True
    """
    n, ca, c = np.moveaxis(np.asarray(backbone, dtype=np.float64), 1, 0)
    if frame == "lab":
        return ca + VIRTUAL_BETA
    if frame != "local":
        raise UserError(f'frame must be "lab" (as ATOM3D) or "local" (the residue\'s own); got {frame!r}')
    x = (n - ca) / np.linalg.norm(n - ca, axis=1, keepdims=True)
    y = (c - ca) - ((c - ca) * x).sum(1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    return ca + np.stack([x, y, np.cross(x, y)], axis=2) @ VIRTUAL_BETA


def _has_frame(backbone: np.ndarray) -> bool:
    """Whether N, CA, C, [3, 3], are a triangle."""
    n, c = backbone[0] - backbone[1], backbone[2] - backbone[1]
    return bool(np.linalg.norm(np.cross(n, c)) > _SMALLEST_SINE * np.linalg.norm(n) * np.linalg.norm(c))


def residue_item(
    structure: Molecule, environments: int | None = None, frame: str = "local", seed: int = 0
) -> dict[str, Any]:
    """One item in ATOM3D's form: a structure and ``environments`` of its residues (None: all), chosen at random.

    Keys: ``id``; ``atoms`` (20 columns); ``labels``, one row an environment with ``subunit`` (chain_number_resname, and
    an insertion code behind the number), ``label`` (0 to 19), and the centre ``x``, ``y``, ``z`` in Å, and
    ``insertion_code``, which ATOM3D leaves out; ``subunit_indices``, a list of rows of ``atoms`` for each. A structure
    without such residues has no rows of labels. A residue whose N, CA and C lie on a line, or in one place, has no frame
    of its own and is left out, too, where ``frame`` is "local".

    Raises:
        UserError: an unknown frame, or fewer than one environment.

    >>> from eqgat.datasets import embedded_structure
    >>> item = residue_item(embedded_structure("5pti", hetero=False), environments=3)
    >>> len(item["labels"]), len(item["subunit_indices"])
    (3, 3)
    """
    if environments is not None and environments < 1:
        raise UserError(f"environments must be at least 1, or None for all residues; got {environments}")
    kept = np.isin(np.char.upper(structure.symbol.astype(str)), ELEMENTS_KEPT)
    structure = structure.select(kept) if kept.any() else structure
    positions = structure.positions
    atoms, names, residues = official_atoms(structure, f"{structure.name}.pdb"), structure.atom_name, []
    for residue in structure.residues.itertuples():
        rows = np.arange(residue.first, residue.last + 1)
        at = {names[row]: row for row in rows}
        if residue.resname in RESIDUES and all(atom in at for atom in BACKBONE):
            corners = np.array([at[atom] for atom in BACKBONE])
            if frame != "local" or _has_frame(positions[corners[:3]]):
                residues.append((RESIDUES.index(residue.resname), rows, corners))
    chosen: np.ndarray = np.arange(len(residues))
    if environments is not None and environments < len(residues):
        draw = generator("res", structure.name, seed)
        chosen = np.sort(draw.choice(len(residues), environments, replace=False))
    rows_of = [residues[k] for k in chosen]
    corners_of = np.array([corners[:3] for _, _, corners in rows_of], dtype=np.int64).reshape(-1, 3)
    centres = virtual_beta(positions[corners_of], frame)
    near = cKDTree(positions).query_ball_point(centres, RADIUS) if len(centres) else []
    indices = []
    for (_, rows, corners), around in zip(rows_of, near, strict=True):
        side_chain = np.setdiff1d(rows, corners)
        indices.append(np.setdiff1d(around, side_chain).tolist())
    first = atoms.loc[[rows[0] for _, rows, _ in rows_of], ["chain", "residue", "insertion_code", "resname"]]
    codes = first["insertion_code"].str.strip().tolist()
    labels = pd.DataFrame(
        {
            "subunit": [
                f"{row.chain}_{row.residue}{code}_{row.resname}"
                for row, code in zip(first.itertuples(), codes, strict=True)
            ],
            "label": np.array([label for label, _, _ in rows_of], dtype=np.int64),
            **dict(zip("xyz", centres.T, strict=True)),
            "insertion_code": codes,
        }
    )
    return {"id": structure.name, "atoms": atoms, "labels": labels, "subunit_indices": indices}
