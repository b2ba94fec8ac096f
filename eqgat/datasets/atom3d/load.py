"""``load_atom3d`` opens a split of a task, from the official archive as it unpacks or from a prepared folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Subset

from eqgat.datasets.atom3d.data import Atom3DData, ItemData, make_options, warn_of_broken
from eqgat.datasets.atom3d.lmdb import read_lmdb
from eqgat.datasets.atom3d.prepared import PreparedData, find_prepared
from eqgat.datasets.task import SPLITS, TASKS
from eqgat.errors import UserError
from eqgat.files import home

__all__ = ["load_atom3d", "load_splits", "open_items", "toy_items"]


def load_splits(
    task: str, folder: str | None, unprepared: Sequence[str] = (), train_items: int | None = None, **options: Any
) -> dict[str, Atom3DData]:
    """All splits of a task; without a folder, of the toy data that the course brings.

    Args:
        task, folder: which.
        unprepared: splits that are to be read from their items.
        train_items: train on so many items alone, drawn at random, the same in every run and fewer within more, to
            learn what more data bring; they are read from the items. None: all.
        **options: see ``load_atom3d``.

    Raises:
        FileNotFoundError, UserError: see ``load_atom3d`` and ``toy_items``; more ``train_items`` than there are.

    >>> {split: len(data) for split, data in load_splits("lba", None).items()}
    {'train': 1, 'val': 1, 'test': 1}
    """
    splits: dict[str, Atom3DData] = {}
    for split in SPLITS:
        few = train_items if split == "train" else None
        if folder is not None and few is None:
            splits[split] = load_atom3d(task, folder, split, prepared=split not in unprepared, **options)
            continue
        items = toy_items(task, split) if folder is None else open_items(task, home(folder), split)
        splits[split] = ItemData(task, items if few is None else _drawn(items, few), split, **options)
        splits[split].toy = folder is None
    return splits


def _drawn(items: Any, count: int) -> Any:
    if not 0 < count <= len(items):
        raise UserError(f"train_items must be between 1 and the {len(items)} items that there are; got {count}")
    return Subset(items, np.random.default_rng(0).permutation(len(items))[:count].tolist())


def toy_items(task: str, split: str, **options: Any) -> list[dict[str, Any]]:
    """The items of a split of the toy data, from the package that offers "eqgat.toy_data" as an entry point.

    Raises:
        UserError: none does.

    >>> [item["id"] for item in toy_items("lba", "train")]
    ['1hvr']
    """
    offers = list(entry_points(group="eqgat.toy_data"))
    if not offers:
        raise UserError(
            f"there are no toy data of {task}, as the course (eqgat_course) is not installed; give the folder of the "
            f"data with --data; `eqgat download {task} DIR` fetches them"
        )
    return offers[0].load()(task, split, **options)


def load_atom3d(
    task: str,
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    cutoff: float = 4.5,
    hops: int | None = None,
    progress: bool = True,
    prepared: bool = True,
    **options: Any,
) -> Atom3DData:
    """One split of an ATOM3D task, from the official archive as it unpacks or from a prepared folder.

    Args:
        task: "lba", "psr", "rsr", "res" or "ppi".
        root: the folder that the archive was unpacked into, or any folder in it down to that of the split; or what
            ``eqgat prepare`` wrote. RES may also be the raw archive with its lists of indices beside it.
        split: "train", "val" or "test".
        cutoff: of the edges, Å; 4.5 in the paper.
        hops: in RES and PPI, keep only atoms from which the alpha carbon is at most this many edges away; None: all.
            With as many hops as a model has layers, no prediction at the alpha carbon changes: it depends on no other
            atom. (SEGNN sees one hop more. A norm over the whole graph, or a batch norm, sees everything.)
        progress: a bar on stderr while data that are not prepared are read for the first time.
        prepared: take prepared data where there are some; False: only the official ones.
        **options: of the task, see ``LBAOptions``, ``PSROptions``, ``RSROptions``, ``RESOptions``, ``PPIOptions``.

    Raises:
        FileNotFoundError: no such data in ``root``; the message says what was expected.
        UserError: an unknown task, split or option; several data sets in ``root``; prepared data of another task or
            with other options.

    >>> load_atom3d("lba", "no/such/folder")
    Traceback (most recent call last):
    FileNotFoundError: no folder no/such/folder; unpack the archive of LBA and give its folder
    """
    chosen = make_options(task, **options)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    root = home(root)
    folder = find_prepared(task, root, split) if prepared else None
    if folder is None:
        return ItemData(task, open_items(task, root, split), split, cutoff, progress, hops, **options)
    data = PreparedData(folder, cutoff, hops)
    other = {key: value for key, value in asdict(data.options).items() if getattr(chosen, key, None) != value}
    if data.task != task or other:
        raise UserError(
            f"{folder} was prepared for {data.task} with {other or 'its options'}; ask for these, prepare "
            "the data again, or remove the folder"
        )
    warn_of_broken(data.skipped, data.num_items)
    return data


def open_items(task: str, root: Path, split: str) -> Sequence[dict[str, Any]]:
    """The items of a split; raises as ``load_atom3d`` does.

    >>> import tempfile
    >>> from eqgat.datasets.atom3d.lmdb import write_lmdb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_lmdb(f"{folder}/data/train", [{"id": "1abc"}])
    ...     len(open_items("lba", Path(folder), "train"))
    1
    """
    if not root.is_dir():
        wrong = f"{root} is a file" if root.exists() else f"no folder {root}"
        raise FileNotFoundError(
            f"{wrong}; unpack the archive of {task.upper()} and give its folder"
            f"{', ' + str(root.parent) if root.name == 'data.mdb' else ''}"
        )
    found, archive = _lmdb_folders(root), TASKS[task].archive.folder
    if root.name in SPLITS and root in found:  # the folder of one split: the others are beside it
        found = [root.parent / split] if (root.parent / split / "data.mdb").is_file() else []
    matching = [folder for folder in found if folder.name == split]
    if len(matching) > 1:  # several tasks or archives under one root
        named = [f for f in matching if TASKS[task].archive.folder in f.parts] or [
            f for f in matching if task in f.parts
        ]
        matching = [f for f in named if task in f.parts] if len(named) > 1 else named or matching
    if len(matching) == 1:
        return read_lmdb(matching[0])
    if len(matching) > 1:
        places = ", ".join(str(folder.relative_to(root)) for folder in matching)
        raise UserError(f"{root} holds several data sets with a split {split!r} ({places}); give the folder of one")
    if task == "res" and len(found) == 1 and found[0].name not in SPLITS:
        return _raw_residues(root, found[0], split)
    expected = f"{archive}/data/{split}/data.mdb" + (
        f", or raw/data/data.mdb with indices/{split}_indices.txt" if task == "res" else ""
    )
    raise FileNotFoundError(
        f"no {task.upper()} data for the split {split!r} in {root}; expected in it or in one of "
        f"its folders: {expected}. An archive whose name ends in -indices holds no structures; "
        f"one that is still packed is unpacked by `eqgat download {task} {root}`"
    )


def _lmdb_folders(root: Path, depth: int = 5) -> list[Path]:
    """Folders with a ``data.mdb``, at most ``depth`` levels down."""
    if (root / "data.mdb").is_file():
        return [root]
    if depth == 0:
        return []
    try:
        inner = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except PermissionError:
        return []
    return [folder for path in inner for folder in _lmdb_folders(path, depth - 1)]


def _raw_residues(root: Path, folder: Path, split: str) -> Any:
    """The items of RES's raw archive that the split's list of indices names."""
    lists = sorted(root.glob(f"**/{split}_indices.txt")) or sorted(folder.parent.glob(f"**/{split}_indices.txt"))
    if len(lists) != 1:
        raise FileNotFoundError(
            f"{folder} holds all structures of RES; which ones are in the split {split!r} is in a "
            f"file {split}_indices.txt, of which there are {len(lists)} in {root}. It comes with "
            "RES-split-by-cath-topology-indices.tar.gz"
        )
    items: Any = read_lmdb(folder)
    try:
        indices = np.array(lists[0].read_text(encoding="utf-8").split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{lists[0]} is not a list of numbers of items ({error})") from error
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= len(items):
        raise UserError(f"{lists[0]} names items that {folder} with its {len(items)} items does not have")
    return Subset(items, indices.tolist())
