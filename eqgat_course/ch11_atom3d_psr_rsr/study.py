"""What notebook 11 computes: decoys laid on the real structure, ranks, and a small model that learns to rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Batch

from eqgat import EQGAT
from eqgat.datasets.atom3d import ItemData
from eqgat.molecule import Molecule
from eqgat.profiles import profile
from eqgat.saving import seeded
from eqgat_course.toy import ranking
from eqgat_course.toy._schema import polymer
from eqgat_course.toy.superposition import superpose

__all__ = ["TEST", "TRAIN", "alpha_carbons", "decoy_set", "fit_ranking", "overlay", "ranking_toy", "readout_spread"]

TRAIN = ("2xcjA", "3a4rA", "1mr1D")  # the smaller proteins of the samples' training and test splits
TEST = ("1ahsA", "2gu3A", "2va0A")
SIZES: dict[str, Any] = {
    "num_elements": 9,
    "out_channels": 1,
    "scalar_channels": 32,
    "vector_channels": 8,
    "num_layers": 2,
}


def decoy_set(split: str, targets: Sequence[str], walks: int = 2) -> ItemData:
    """The embedded PSR decoys of a few proteins, with GDT_TS as label, as graphs."""
    return ItemData("psr", ranking.psr_items(split, walks=walks, targets=targets), split)


def alpha_carbons(structure: Molecule) -> np.ndarray:
    """Rows of the alpha carbons [L]."""
    return np.flatnonzero(structure.atoms["name"] == "CA")


def overlay(name: str, decoy: str, walks: int = 3) -> Molecule:
    """An embedded protein (chain R) and one of its decoys (chain D), superposed on the alpha carbons."""
    real = polymer(name)
    rows = alpha_carbons(real)
    moved = dict(ranking.decoys(name, walks, 8))[decoy]
    start, goal = moved[rows], real.positions[rows]
    # The motion that superposes the alpha carbons, applied to all atoms: superpose weighs all others with zero.
    laid = superpose(moved, real.positions, np.isin(np.arange(len(real)), rows).astype(float))
    assert np.allclose(laid[rows], superpose(start, goal), atol=1e-6)
    both = [real.atoms.assign(chain="R"), real.with_positions(laid).atoms.assign(chain="D")]
    return Molecule.from_table(pd.concat(both), name=f"{name} and {decoy}")


def ranking_toy() -> pd.DataFrame:
    """Three targets with four decoys each, made up: within each the order is right, over all it is wrong."""
    return pd.DataFrame(
        {
            "target": np.repeat(["A", "B", "C"], 4),
            "true": [0.80, 0.84, 0.88, 0.92, 0.55, 0.59, 0.63, 0.67, 0.30, 0.34, 0.38, 0.42],
            "predicted": [0.30, 0.33, 0.37, 0.40, 0.50, 0.54, 0.57, 0.61, 0.71, 0.75, 0.78, 0.83],
        }
    )


def fit_ranking(
    train: ItemData,
    test: ItemData,
    loss: Callable[[Tensor, Tensor], Tensor],
    epochs: int | None = None,
    batch_size: int = 8,
    learning_rate: float = 3e-3,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> Tensor:
    """Fit a small EQGAT to GDT_TS; predictions [n, 1] for ``test`` after the last epoch.

    Args:
        train, test: of ``decoy_set``.
        loss: of predictions and standardised labels of a batch, [n, 1] each.
        epochs: None: 4, in the full profile 40.
        batch_size, learning_rate, seed: of Adam; the seed sets initial weights and the order of the decoys.
        report: called after each epoch with its number and the mean training loss.
    """
    epochs = epochs or {"quick": 4, "full": 40}[profile()]
    graphs = [train[k] for k in range(len(train))]
    mean, std = train.y.mean(), train.y.std()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EQGAT(**SIZES)
        orders = [torch.randperm(len(graphs)).split(batch_size) for _ in range(epochs)]
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for epoch, order in enumerate(orders, 1):
        losses = []
        for rows in order:
            batch = Batch.from_data_list([graphs[row] for row in rows])
            value = loss(model(batch), (batch.y - mean) / std)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(float(value.detach()))
        if report is not None:
            report(epoch, float(np.mean(losses)))
    with torch.no_grad():
        return torch.cat([model(test[k]) for k in range(len(test))]) * std + mean


def readout_spread(data: ItemData, seed: int = 0) -> float:
    """How much what the head of an untrained full-size EQGAT sees differs between graphs, in parts of its size.

    Root mean square over channels of the standard deviation over graphs, divided by that of the mean.
    """
    model = seeded(EQGAT, seed, num_elements=9, out_channels=1)
    seen: list[Tensor] = []
    model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for k in range(len(data)):
            model(data[k])
    x = torch.cat(seen)
    return float(x.std(dim=0).norm() / x.mean(dim=0).norm())
