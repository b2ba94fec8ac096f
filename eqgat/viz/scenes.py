"""A protein as a cartoon coloured by residue, and of which handedness the vectors of a layer are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from eqgat.molecule import Molecule
from eqgat.viz.parts import Camera, Scalars
from eqgat.viz.scene import Scene
from eqgat.viz.style import SEQUENTIAL

__all__ = ["residue_label", "residue_scene", "vector_kind"]

LABEL_DISTANCE = 8.0  # Å, at least, between two labels of a whole protein


def residue_scene(
    structure: Molecule,
    values: Any,
    label: str,
    unit: str = "",
    num_labels: int = 0,
    camera: Camera | None = None,
    limits: tuple[float, float] | None = None,
    title: str = "",
    cmap: str = SEQUENTIAL,
) -> Scene:
    """A protein as a cartoon, each residue in a colour of its own: of ``values`` [R], or of the mean of [N] over its atoms.

    ``num_labels`` residues with the largest values are labelled, at their alpha carbons, none close to another label.

    >>> from eqgat.datasets import embedded_structure
    >>> protein = embedded_structure("5pti")
    >>> residue_scene(protein, protein.bfactor, "B factor", "Å²", num_labels=1).labels
    {449: 'Ala58'}
    """
    means = np.asarray(values, dtype=float)
    if len(means) != len(structure.residues):
        means = pd.Series(means).groupby(structure.residue_index).mean().to_numpy()
        label = f"{label}, mean of a residue"
    ranked = structure.residues.iloc[np.argsort(-means, kind="stable")]
    at = [int((structure.atoms["name"].iloc[row.first : row.last + 1] == "CA").idxmax()) for row in ranked.itertuples()]
    labels = {row: residue_label(structure, row) for row in _far_apart(structure.positions, at, num_labels)}
    return Scene.from_structure(
        structure,
        representation="cartoon",
        labels=labels,
        title=title,
        camera=camera or Camera.facing(structure.positions),
        atom_scalars=Scalars(means[structure.residue_index], label, unit, cmap, limits),
    )


def _far_apart(positions: np.ndarray, ranked: list[int], count: int) -> list[int]:
    """The first ``count`` rows of ``ranked``, leaving out those too close to an earlier one."""
    chosen: list[int] = []
    for row in ranked:
        away = np.linalg.norm(positions[chosen] - positions[row], axis=1)
        if len(chosen) < count and (away > LABEL_DISTANCE).all():
            chosen.append(row)
    return chosen


def vector_kind(term: str, before: int, cross_product: bool = True) -> str:
    """Handedness of a term in a layer with ``before`` layers before it: "polar", "axial" or "mixed".

    Vectors are polar after the first layer. The second adds axial ones to them and mixes both kinds, and its update
    puts pseudoscalars into s, so that from the third on even the coefficients differ in a mirror. Without cross
    products everything stays polar.

    >>> vector_kind("v_cross", before=1), vector_kind("v_cross", before=2)
    ('axial', 'mixed')
    """
    if before == 0 or not cross_product:
        return "polar"
    if before == 1:
        return {"v_direction": "polar", "v_mix": "polar", "v_cross": "axial"}.get(term, "mixed")
    return "mixed"


def residue_label(structure: Molecule, row: int) -> str:
    """Of the residue of an atom: Phe22 for amino acids, PO4 70 for what is not written in letters alone.

    >>> from eqgat.datasets import embedded_structure
    >>> residue_label(embedded_structure("5pti"), 0)
    'Arg1'
    """
    atom = structure.atoms.iloc[int(row)]
    name = atom["resname"].strip()
    return f"{name.capitalize()}{atom['residue']}" if name.isalpha() else f"{name} {atom['residue']}"
