"""What displaced points cost: models that were trained on clean Triangle clouds are tested on noisy ones.

The answers asked for stay those of the clean clouds, as a structure's label does when its coordinates are uncertain.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch_geometric.data import Data

from eqgat.datasets.triangle import TriangleData
from eqgat.training.evaluation import load_trained, predict_all
from eqgat.training.results import device_name, git_commit, package_versions, results_folder
from eqgat.training.run import train
from eqgat.training.settings import Settings, make_settings
from eqgat_course.experiments.cells import fill_table, read_table

__all__ = ["FILE", "MODELS", "NOISE", "Displaced", "measure_all", "measure_noise", "read_noise"]

MODELS = ("eqgat", "eqgat-no-cross-product", "eqgat-no-feature-attention", "schnet", "painn", "gvp", "segnn")
SEEDS = 3
NOISE = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # Å, standard deviation of each coordinate
FILE = "noise.csv"
COLUMNS = ("model", "seed", "noise", "mse", "mse_of_the_mean", "clouds")


class Displaced:
    """A data set whose points are displaced: in the same directions for every model, ``noise`` (Å) times as far.

    >>> from eqgat.datasets import make_triangles
    >>> clean = make_triangles(n=10, num_points=10, radius=6.0)
    >>> moved = Displaced(clean, 0.1)
    >>> bool((moved[0].pos != clean[0].pos).all()), moved[0].y.equal(clean[0].y)
    (True, True)
    """

    def __init__(self, data: TriangleData, noise: float) -> None:
        self.data, self.noise = data, noise

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Data:
        item = self.data[index]
        moves = torch.randn(item.pos.shape, generator=torch.Generator().manual_seed(index))
        return Data(z=item.z, pos=item.pos + self.noise * moves, y=item.y)


def measure_noise(settings: Settings, runs: Path) -> pd.DataFrame:
    """Test errors of one model at each noise, a row each; it is trained first where ``runs`` has not got it."""
    found = train(settings, runs=runs, progress=False)
    trained = load_trained(found.folder)
    test = trained.task.load(None)["test"]
    still = test.y.mean(dim=0).expand_as(test.y)
    rows = [
        {
            "model": settings.model,
            "seed": settings.seed,
            "noise": noise,
            "mse": trained.task.metrics(predict_all(trained, Displaced(test, noise)), test.y, test)["mse"],
            "mse_of_the_mean": float((test.y - still).square().mean()),
            "clouds": len(test),
        }
        for noise in NOISE
    ]
    return pd.DataFrame(rows).assign(
        profile=settings.profile,
        data=found.data,
        device=device_name(torch.device("cpu")),
        versions=package_versions(),
        commit=git_commit(),
        command="eqgat robustness",
    )


def read_noise(store: Path | None = None) -> pd.DataFrame:
    """The stored rows of ``measure_noise``; empty where nothing was run."""
    return read_table((store or results_folder()) / FILE, COLUMNS)


def measure_all(store: Path, runs: Path, say: Callable[[str], None], models: tuple[str, ...] = MODELS) -> None:
    """Measure all models and seeds that the store lacks, and write the rows of each as they come."""
    cells = {
        (model, seed): lambda model=model, seed=seed: measure_noise(
            make_settings("triangle", model, "quick", seed), runs
        )
        for seed in range(SEEDS)
        for model in models
    }
    fill_table(store / FILE, ("model", "seed"), cells, "trained models (model, seed) to test", _found, say)


def _found(rows: pd.DataFrame) -> str:
    return "error " + ", ".join(f"{row.mse:.3g} at {row.noise:g} Å" for row in rows.itertuples())
