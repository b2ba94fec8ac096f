"""What notebook 08 looks at: flat groups, a hidden residue, an enzyme in two shapes, one atom removed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch_geometric.data import Data

from eqgat import EQGAT, radius_graph
from eqgat.inspection import mean_terms
from eqgat.molecule import Molecule
from eqgat_course.shapes import best_plane, out_of_plane

__all__ = ["ADK_DOMAINS", "adk_domain", "cut_out", "displacement", "removals", "upright_shares"]

# The lid and the nucleotide-binding domain of adenylate kinase, as residue numbers; the rest is the core.
ADK_DOMAINS = {"LID": (122, 159), "NMP": (30, 59)}


def cut_out(structure: Molecule, rows: list[int], cutoff: float = 4.5) -> Data:
    """The graph of these atoms alone, float64, as if nothing were around them."""
    return structure.select(rows).graph(cutoff, torch.float64)


def upright_shares(model: EQGAT, structure: Molecule, groups: dict[str, list[int]], alone: bool) -> pd.DataFrame:
    """How much of each term of the second layer stands upright on the plane of each group.

    Args:
        model: in float64.
        structure: where the groups are.
        groups: name -> rows of a flat group of atoms.
        alone: each group cut out; else within the whole structure.

    Returns:
        One row a group: "flatness" (root mean square distance of its atoms from their best plane, Å) and, for each
        term, the mean of |v · n| / |v| over atoms and channels. An arrow of random direction would have 0.5.
    """
    cutoff = model.config.cutoff
    terms = None if alone else mean_terms(model.trace(structure.graph(cutoff, torch.float64))[1])
    rows = []
    for name, atoms in groups.items():
        normal, flatness = best_plane(torch.from_numpy(structure.positions[atoms]))
        here = (
            mean_terms(model.trace(cut_out(structure, atoms, cutoff))[1])
            if alone
            else {term: values[atoms] for term, values in (terms or {}).items()}
        )
        shares = {term: float(out_of_plane(values.transpose(1, 2), normal).nanmean()) for term, values in here.items()}
        rows.append({"group": name, "flatness": flatness, **shares})
    return pd.DataFrame(rows)


def removals(model: EQGAT, data: Data, centre: int, candidates: Tensor) -> Tensor:
    """How much the outputs at the central atom change when one other atom is taken away, [n].

    The measure is the total variation distance between the two probability distributions: half the sum of absolute
    differences, 0 for no change and 1 at most.

    Args:
        model: with one row of logits an atom.
        data: a graph.
        centre: row of the central atom.
        candidates: rows of the atoms to take away, one at a time, [n]; not the central atom.
    """

    def probabilities(graph: Data, row: int) -> Tensor:
        return model(graph)[row].softmax(dim=0)

    changes = []
    with torch.no_grad():
        whole = probabilities(data, centre)
        for row in candidates.tolist():
            kept = torch.arange(len(data.z)) != row
            fewer = Data(
                z=data.z[kept], pos=data.pos[kept], edge_index=radius_graph(data.pos[kept], model.config.cutoff)
            )
            changes.append((probabilities(fewer, centre - (row < centre)) - whole).abs().sum() / 2)
    return torch.stack(changes)


def adk_domain(residues: np.ndarray) -> np.ndarray:
    """ "LID", "NMP" or "core" for residue numbers of adenylate kinase."""
    names = np.full(len(residues), "core")
    for name, (first, last) in ADK_DOMAINS.items():
        names[(residues >= first) & (residues <= last)] = name
    return names


def displacement(first: Molecule, second: Molecule, fixed: np.ndarray) -> tuple[Molecule, np.ndarray]:
    """``second`` laid over ``first`` so that the ``fixed`` atoms (mask [N]) fit best, and how far each atom is off, Å.

    Raises:
        ValueError: structures with different atoms.
    """
    if not first.atoms[["residue", "name"]].equals(second.atoms[["residue", "name"]]):
        raise ValueError("the two structures must have the same atoms in the same order")
    here, there = first.positions, second.positions
    middle, other = here[fixed].mean(axis=0), there[fixed].mean(axis=0)
    rotation, _ = Rotation.align_vectors(here[fixed] - middle, there[fixed] - other)
    moved = rotation.apply(there - other) + middle
    return second.with_positions(moved), np.linalg.norm(here - moved, axis=1)
