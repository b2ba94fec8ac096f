"""What the five tasks of ATOM3D say of themselves in the same way. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eqgat.datasets.task import SPLITS, TaskSpec
from eqgat.errors import UserError

__all__ = ["Archive", "GraphOptions", "SizeOptions", "atom3d_task", "profiles"]


@dataclass(frozen=True)
class Archive:
    """Where the official data of a task are.

    Attributes:
        record: number of the Zenodo record.
        file: the archive.
        folder: that it unpacks to.
        gigabytes: about how large it is; None: not known here.
        md5: checksum; None: only Zenodo knows it.
        source: of the data, to be cited too.
        note: on its terms.
    """

    record: int
    file: str
    folder: str
    gigabytes: float | None
    md5: str | None
    source: str
    note: str = ""


@dataclass(frozen=True)
class GraphOptions:
    """How graphs are made of the atoms, see ``load_atom3d``."""

    cutoff: float = 4.5
    hops: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.cutoff < float("inf"):
            raise UserError(f"cutoff must be a positive length in Å; got {self.cutoff}")
        if self.hops is not None and self.hops < 1:
            raise UserError(f"hops must be at least 1, or None for all atoms; got {self.hops}")


@dataclass(frozen=True)
class SizeOptions:
    """How much of the data is taken, see ``load_splits``."""

    train_items: int | None = None

    def __post_init__(self) -> None:
        if self.train_items is not None and self.train_items < 1:
            raise UserError(f"train_items must be at least 1, or None for all; got {self.train_items}")


def atom3d_task(name: str, *options: type, **rest: Any) -> TaskSpec:
    """A task of ATOM3D. ``rest``: the fields of ``TaskSpec`` that are its own.

    >>> atom3d_task("lba", kind="regression", metrics=("mse",), profiles={}, sizes=(3507, 466, 490)).title
    'LBA'
    """

    def load(folder: str | None, **chosen: Any) -> dict[str, Any]:
        from eqgat.datasets.atom3d.load import load_splits  # with torch

        return load_splits(name, folder, **chosen)

    return TaskSpec(
        **{
            "name": name,
            "title": name.upper(),
            "load": load,
            "options": (*options, GraphOptions, SizeOptions),
            "describe": lambda splits: describe(splits, rest["sizes"]),
            **rest,
        }
    )


def describe(splits: Mapping[str, Any], sizes: tuple[int | None, ...]) -> str:
    """What the data are: results of other data must not pass for ATOM3D's.

    Args:
        splits: the data sets.
        sizes: of ATOM3D's own splits in this order: items, in RES environments; None: not published.
    """
    train = splits["train"]
    if train.toy:
        return "toy data made of the embedded structures, not ATOM3D's"
    found = [splits[split].official_size for split in SPLITS]
    if all(known in (None, size) for known, size in zip(sizes, found, strict=True)):
        return "ATOM3D"
    return f"{'small real ' if train.num_items < 2000 else ''}LMDB set in the ATOM3D schema, not ATOM3D's"


def profiles(
    layers: int, epochs: int, batch_size: int, quick: dict[str, Any], **model_options: Any
) -> dict[str, dict[str, Any]]:
    """Both profiles of a task: Section 4 and Table 2; for what these leave open, the released code.

    F_s = 100, F_v = 16, 32 radial functions, 4.5 Å; no norm, because the paper has none. The quick profile has the
    same models, for some minutes on one core of a CPU and small data: a larger learning rate that falls to zero along
    a cosine, smaller batches, targets and what the head sees standardised (regression), and in PPI whole complexes with pairs
    drawn anew in every epoch. It was chosen by validation metrics alone.

    >>> profiles(layers=5, epochs=30, batch_size=16, quick={"epochs": 3})["quick"]["epochs"]
    3
    """
    common = {"num_elements": 9, "num_layers": layers, "cutoff": 4.5, **model_options}
    base = {"batch_size": batch_size, "model_options": common}
    return {
        "full": {**base, "epochs": epochs, "learning_rate": 1e-4},
        "quick": {**base, "learning_rate": 1e-3, "schedule": "cosine", **quick},
    }
