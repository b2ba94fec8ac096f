"""What notebook 10 computes: graphs of complexes, a model that memorises them, labels that run in families."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from eqgat import EQGAT
from eqgat.datasets.atom3d import ItemData
from eqgat.training import seeded
from eqgat_course.fitting import fit
from eqgat_course.toy.lba import lba_item

__all__ = [
    "GAS_CONSTANT",
    "best_correlation",
    "complex_graph",
    "edge_kinds",
    "family_labels",
    "free_energy",
    "largest_spread",
    "memorise",
    "moved_graph",
    "pocket_rows",
]

GAS_CONSTANT = 1.987204e-3  # kcal / (mol K)


def free_energy(pk: float, temperature: float = 298.15) -> float:
    """Standard free energy of binding in kcal/mol from -log10 K (K in mol/l): -RT ln(10) pK, at 1 mol/l."""
    return -GAS_CONSTANT * temperature * math.log(10) * pk


def complex_graph(name: str) -> Data:
    """The graph of an embedded complex as LBA's reader makes it; ``ligand`` [N] marks atoms that no model looks at."""
    return ItemData("lba", [lba_item(name)], "train")[0]


def edge_kinds(graph: Data) -> dict[str, int]:
    """Directed edges by what they join: within the pocket, between pocket and ligand, within the ligand."""
    ends = graph.ligand[graph.edge_index].sum(dim=0)
    return dict(zip(("pocket", "between", "ligand"), ends.bincount(minlength=3).tolist(), strict=True))


def pocket_rows(pos: Tensor, residue: Tensor, ligand_pos: Tensor, radius: float = 6.0) -> Tensor:
    """Mask [N] of the atoms whose residue has at least one atom closer than ``radius`` to a ligand atom.

    Args:
        pos: atoms of the protein, [N, 3], Å.
        residue: number of each atom's residue, [N].
        ligand_pos: [M, 3], Å.
        radius: Å.
    """
    close = torch.cdist(pos, ligand_pos).min(dim=1).values < radius
    return torch.isin(residue, residue[close])


def moved_graph(graph: Data, matrix: Tensor) -> Data:
    """A copy of a graph, its atoms multiplied by an orthogonal matrix [3, 3]: turned, or mirrored."""
    return graph.clone().update({"pos": graph.pos @ matrix.to(graph.pos).T})


def memorise(
    graphs: Sequence[Data],
    steps: int = 60,
    learning_rate: float = 3e-3,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
    every: int = 10,
) -> tuple[Callable[[Data], float], pd.DataFrame]:
    """Fit a small EQGAT (F_s = 32, F_v = 8, three layers) to the labels of a few complexes, all in one batch.

    Args:
        graphs: with ``y`` [1, 1].
        steps, learning_rate, seed: of Adam; MSE of the labels, standardised as in the quick profile.
        report: called with step and RMSE, every so many steps and at the end.
        every: how often.

    Returns:
        A function graph -> predicted pK, and columns step and rmse (before each step, and after the last).
    """
    batch, history = Batch.from_data_list(list(graphs)), []
    shift, scale = batch.y.mean(), batch.y.std() if len(graphs) > 1 else torch.tensor(1.0)
    model = seeded(EQGAT, seed, num_elements=9, out_channels=1, scalar_channels=32, vector_channels=8, num_layers=3)

    def loss(step: int) -> Tensor:
        value = (model(batch) - (batch.y - shift) / scale).square().mean()
        history.append((step, float(value.detach().sqrt() * scale)))
        if report is not None and (step % every == 0 or step == steps):
            report(*history[-1])
        return value

    fit(model, loss, steps, learning_rate)
    loss(steps)
    model.eval()
    return lambda graph: float(model(graph).detach() * scale + shift), pd.DataFrame(history, columns=["step", "rmse"])


def family_labels(
    families: int = 60, size: int = 8, between: float = 1.2, within: float = 1.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Made-up labels that run in families, as those of the ligands of one protein do: family [n] and pK [n].

    pK = 6.5 + what the family shares (standard deviation ``between``) + what is the ligand's own (``within``).
    """
    random = np.random.default_rng(seed)
    family = np.repeat(np.arange(families), size)
    return family, 6.5 + random.normal(0, between, families)[family] + random.normal(0, within, len(family))


def largest_spread(rmse: float, pearson: float) -> float:
    """Upper bound of the labels' standard deviation from a model's RMSE and Pearson r: RMSE >= sd sqrt(1 - r^2)."""
    return rmse / math.sqrt(1 - pearson**2)


def best_correlation(noise: float, spread: float) -> float:
    """Pearson r that a model of the true values reaches where labels of standard deviation ``spread`` have errors.

    ``noise``: standard deviation of the errors, independent of the true values.
    """
    return math.sqrt(1 - (noise / spread) ** 2)
