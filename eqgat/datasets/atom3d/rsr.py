"""RSR, ranking of RNA structures: a decoy -> its RMSD from the experiment's structure in Å, lower is better, taken raw.

Items are read as those of PSR.
"""

from __future__ import annotations

from dataclasses import dataclass

from eqgat.datasets.atom3d.psr import parse
from eqgat.datasets.atom3d.samples import AtomOptions, Reader
from eqgat.datasets.atom3d.spec import Archive, atom3d_task, profiles
from eqgat.datasets.atom3d.trivial import RANKING, plain_scores

__all__ = ["SPEC", "RSROptions"]


@dataclass(frozen=True)
class RSROptions(AtomOptions):
    """Heavy atoms by default.

    Attributes:
        label: the score to predict: "rms", the RMSD in Å (paper), or another one of the item's Rosetta scores.
    """

    label: str = "rms"


# The loss is the released code's, 0.8 (1 - r) + 0.2 MSE with the correlation r in the batch; the paper does not say.
# The archive that the released code's instructions name, ...-indices, holds no structures. The size of the official
# training set is not published.
SPEC = atom3d_task(
    "rsr",
    RSROptions,
    goal="to predict how close a model of an RNA is to its measured structure",
    kind="ranking",
    answers="structures",
    metrics=RANKING,
    losses=("correlation", "mse"),
    reader=Reader(RSROptions, parse, num_views=1, num_marks=0, classes=False),
    archive=Archive(
        4961085,
        "RSR-candidates-split-by-time.tar.gz",
        "candidates-split-by-time",
        1.3,
        None,
        "FARFAR2 models for RNA-Puzzles",
    ),
    sizes=(None, 4000, 4000),
    profiles=profiles(
        5, 30, 16, {"epochs": 3, "batch_size": 8, "standardise": True, "standardise_readout": True}, out_channels=1
    ),
    trivial=plain_scores(radius=1.0, clashes=1.0),
)
