"""Answers that need no learning: one plain number of a structure, to be held against what models give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

__all__ = [
    "CORRELATIONS",
    "RANKING",
    "close_pairs",
    "ligand_and_pocket",
    "num_atoms",
    "openness",
    "plain_scores",
    "radius_of_gyration",
]

CLASH = 2.3  # Å: heavy atoms closer than this are bonded, bonded to the same third atom, or in a clash
BURIAL = 10.0  # Å around an alpha carbon
CORRELATIONS = ("spearman", "pearson", "kendall")
RANKING = (
    *("mse", "rmse", "mae"),
    *(f"{way}_{name}" for way in ("mean", "global") for name in CORRELATIONS),
)


def num_atoms(pos: np.ndarray) -> float:
    """Atoms of a structure, [n, 3] in Å.

    >>> num_atoms(np.zeros((3, 3)))
    3.0
    """
    return float(len(pos))


def close_pairs(pos: np.ndarray) -> float:
    """Pairs of atoms closer than ``CLASH`` Å, an atom. Those of the bonds are the same in all decoys of a target.

    >>> close_pairs(np.array([[0.0, 0, 0], [1.5, 0, 0], [9.0, 0, 0], [12.0, 0, 0]]))
    0.25
    """
    return len(cKDTree(pos).query_pairs(CLASH)) / len(pos)


def radius_of_gyration(pos: np.ndarray) -> float:
    """Root mean square distance of points [n, 3] from their centre, in their unit.

    >>> radius_of_gyration(np.array([[1.0, 0, 0], [-1.0, 0, 0]]))
    1.0
    """
    return float(np.sqrt(pos.var(axis=0).sum()))


def plain_scores(radius: float, clashes: float) -> dict[str, Callable[[Any], Tensor]]:
    """Scores of the structures of a split, [n, 1]; the signs say whether a large one is good (GDT_TS) or bad (RMSD).

    >>> from torch_geometric.data import Data
    >>> data = [Data(pos=torch.tensor([[0.0, 0, 0], [2.0, 0, 0]]))]
    >>> plain_scores(radius=-1.0, clashes=-1.0)["radius of gyration"](data)
    tensor([[-1.]])
    """

    def scores(quantity: Callable[[np.ndarray], float], sign: float) -> Callable[[Any], Tensor]:
        return lambda data: sign * torch.tensor([[quantity(data[k].pos.numpy())] for k in range(len(data))])

    return {
        "number of atoms": scores(num_atoms, 1.0),
        "radius of gyration": scores(radius_of_gyration, radius),
        "clashes": scores(close_pairs, clashes),
    }


def ligand_and_pocket(data: Any) -> Tensor:
    """Atoms of the ligand and of the pocket, as the graphs hold them, [n, 2].

    >>> from torch_geometric.data import Data
    >>> ligand_and_pocket([Data(ligand=torch.tensor([False, False, True]), num_nodes=3)])
    tensor([[1., 2.]])
    """
    counts = [(int(graph.ligand.sum()), graph.num_nodes) for graph in (data[k] for k in range(len(data)))]
    return torch.tensor([[float(ligand), float(both - ligand)] for ligand, both in counts])


def openness(data: Any) -> Tensor:
    """Minus the atoms of its own partner within 10 Å of the alpha carbon, summed over both of a pair, [n, 1].

    >>> from torch_geometric.data import Data
    >>> partner = Data(pos=torch.tensor([[0.0, 0, 0], [2.0, 0, 0], [20.0, 0, 0]]), center_index=torch.tensor([0]))
    >>> openness([(partner, partner)])
    tensor([[-4.]])
    """

    def near(graph: Any) -> int:
        return int(((graph.pos - graph.pos[graph.center_index]).norm(dim=1) < BURIAL).sum())

    return torch.tensor([[-float(sum(near(graph) for graph in data[k]))] for k in range(len(data))])
