"""Data sets of graphs, from the items of an LMDB folder or from a prepared folder. ``load_atom3d`` opens both."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eqgat.datasets.atom3d.lmdb import BrokenItem, read_lmdb
from eqgat.datasets.atom3d.samples import Atoms, Parsed, Reader, View, make_graph

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = [
    "ARCHIVES",
    "SPLITS",
    "TASKS",
    "Atom3DData",
    "Contents",
    "ItemData",
    "Subset",
    "load_atom3d",
    "looks_official",
    "make_options",
    "open_items",
    "task_reader",
]

SPLITS = ("train", "val", "test")
# Task -> module:reader, and the folder that the official archive unpacks to.
TASKS = {"lba": "lba:READER", "psr": "ranking:PSR", "rsr": "ranking:RSR", "res": "res:READER", "ppi": "ppi:READER"}
ARCHIVES = {
    "lba": "split-by-sequence-identity-30",
    "psr": "split-by-year",
    "rsr": "candidates-split-by-time",
    "res": "split-by-cath-topology",
    "ppi": "DIPS-split",
}
# Items of the official splits (RES: environments), as far as they are published; RSR's training set is not.
_OFFICIAL_SIZES = {
    "lba": (3507, 466, 490),
    "psr": (25_400, 2800, 16_014),
    "rsr": (None, 4000, 4000),
    "res": (3_820_837, 192_371, 648_372),
    "ppi": (87_303, 31_050, 15_268),
}


def looks_official(task: str, splits: Mapping[str, Atom3DData]) -> bool:
    """Whether the splits have the sizes of ATOM3D's own."""
    sizes = [
        len(data) + int((data.skipped["name"] != "").sum()) if task == "res" else data.num_items
        for data in (splits[split] for split in SPLITS)
    ]
    return all(known in (None, size) for known, size in zip(_OFFICIAL_SIZES[task], sizes, strict=True))


def task_reader(task: str) -> Reader:
    """How a task reads its items. Raises ``ValueError`` for an unknown one."""
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; there are {', '.join(TASKS)}")
    module, name = TASKS[task].split(":")
    return getattr(import_module(f"eqgat.datasets.atom3d.{module}"), name)


def make_options(task: str, **options: Any) -> Any:
    """The options of a task. Raises ``ValueError``, naming those there are, for one that it does not have."""
    kind = task_reader(task).options
    if wrong := set(options) - set(kind.__dataclass_fields__):
        raise ValueError(
            f"{task} has no option {', '.join(sorted(wrong))}; it has {', '.join(kind.__dataclass_fields__)}"
        )
    return kind(**options)


@dataclass
class Contents:
    """What a pass over all items of a split found.

    Attributes:
        item, number [n]: sample -> its item, and which of that item's samples it is.
        y: targets, [n, 1] float32, or [n] int64 for classes.
        names, groups: of the samples; a group is a target protein or a complex.
        skipped: columns item, name, reason: items that are broken (name "") and samples that could not be made.
        digest: equal for equal graphs and targets.
    """

    item: np.ndarray
    number: np.ndarray
    y: Tensor
    names: np.ndarray
    groups: np.ndarray
    skipped: pd.DataFrame
    digest: str


@dataclass
class ContentsBuilder:
    """Collects ``Contents``, item after item."""

    classes: bool
    radius: float | None = None  # of the graphs, which is part of what they are
    item: list[int] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    skipped: list[tuple[int, str, str]] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, index: int, parsed: Parsed | BrokenItem) -> None:
        """One item."""
        if isinstance(parsed, BrokenItem):
            self.skipped.append((index, "", str(parsed)))
            return
        self.skipped += [(index, lost.name, lost.reason) for lost in parsed.skipped]
        for molecule in parsed.molecules:
            for part in (molecule.atomic_number, molecule.pos, molecule.bonds, molecule.order):
                self.digest.update(np.ascontiguousarray(part))
        for number, sample in enumerate(parsed.samples):
            for view in sample.views:
                self.digest.update(np.array([view.molecule, *view.marks], dtype=np.int64))
                if view.rows is not None:
                    self.digest.update(np.ascontiguousarray(view.rows, dtype=np.int64))
            self.digest.update(f"{sample.name}={sample.y!r}".encode())
            self.item.append(index)
            self.number.append(number)
            self.y.append(sample.y)
            self.names.append(sample.name)
            self.groups.append(sample.group)

    def finish(self, num_items: int) -> Contents:
        """All of it, with a warning where items are broken. Raises ``ValueError`` where nothing is left."""
        skipped = pd.DataFrame(self.skipped, columns=["item", "name", "reason"])
        if not self.item:
            first = f"{skipped['name'][0]}: {skipped['reason'][0]}".removeprefix(": ") if len(skipped) else ""
            raise ValueError(
                f"no graph can be made of {num_items} items{first and '; the first: '}{first}. If this "
                "holds for all of them, these are data of another task, or in another form"
            )
        _warn_of_broken(skipped, num_items)
        if self.radius is not None:
            self.digest.update(f"radius {self.radius}".encode())
        y = (
            torch.tensor(self.y, dtype=torch.int64)
            if self.classes
            else torch.tensor(self.y, dtype=torch.float64).float().unsqueeze(1)
        )
        return Contents(
            np.array(self.item, dtype=np.int64),
            np.array(self.number, dtype=np.int64),
            y,
            np.array(self.names),
            np.array(self.groups),
            skipped,
            self.digest.hexdigest(),
        )


def _warn_of_broken(skipped: pd.DataFrame, num_items: int) -> None:
    """A warning where whole items are left out."""
    broken = skipped[skipped["name"] == ""]
    if len(broken):
        warnings.warn(
            f"{len(broken)} of {num_items} items are broken and left out; the first: "
            f"{broken['reason'].iloc[0]}. All are listed in .skipped",
            stacklevel=4,
        )


class Atom3DData(torch.utils.data.Dataset):
    """Samples of one split: ``data[i]`` is a graph, in PPI a pair of graphs; see ``make_graph`` for their fields.

    Each graph also has ``y`` ([1, 1]; a class: [1]) and ``name``.

    Attributes:
        task, split: which.
        options: of the task, as they were when the graphs were chosen.
        cutoff: of the edges, Å.
        hops: graphs hold only atoms at most this many edges away from their centre; None: all.
        y: all targets, [n, 1] float32, or [n] int64 for classes.
        names, groups: of the samples [n]; a group is a target protein (PSR, RSR), a structure (RES), a complex (PPI).
        skipped: what was left out: item, name (empty for a whole item), reason.
        num_items: structures or complexes, broken ones too.
    """

    y: Tensor
    names: np.ndarray
    groups: np.ndarray
    skipped: pd.DataFrame
    num_items: int

    def __init__(self, task: str, split: str, options: Any, cutoff: float, hops: int | None = None) -> None:
        self.task, self.split, self.options, self.cutoff, self.hops = task, split, options, cutoff, hops
        self.reader = task_reader(task)
        if hops is not None and (hops < 1 or not self.reader.num_marks):
            raise ValueError(f"hops must be at least 1, or None, and needs graphs with a centre; got {hops} for {task}")

    @property
    def radius(self) -> float | None:
        """Graphs hold only atoms within this many Å of their centre; None: all."""
        return getattr(self.options, "radius", None)

    def name(self, index: int) -> str:
        """Name of a sample."""
        return str(self.names[index])

    def digest(self) -> str:
        """Short hash of graphs and targets; the same for prepared data as for their source."""
        raise NotImplementedError

    def _views(self, index: int) -> list[tuple[Atoms, np.ndarray | None, np.ndarray]]:
        """Molecule, rows and marks of each graph of a sample."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> Data | tuple[Data, ...]:
        index = range(len(self))[index]
        y, name = self.y[index : index + 1], self.name(index)
        graphs = []
        for view in self._views(index):
            graph = make_graph(*view, radius=self.radius, cutoff=self.cutoff, hops=self.hops)
            graph.y, graph.name = y, name
            graphs.append(graph)
        return graphs[0] if len(graphs) == 1 else tuple(graphs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.task} {self.split}, {self.options}, cutoff {self.cutoff} Å)"


class ItemData(Atom3DData):
    """Samples made from items of the official schema when they are asked for.

    Counting the samples and finding broken items needs one pass over all items, made at the first need. For large
    data use ``python -m eqgat prepare`` once instead.

    Args:
        task: "lba", "psr", "rsr", "res" or "ppi".
        items: the items, in a list or as ``read_lmdb`` gives them; ``BrokenItem`` from one of them is recorded.
        split: name of the split.
        cutoff, hops: see ``load_atom3d``.
        progress: a bar on stderr during the pass; never drawn where stderr is not a terminal.
        **options: see the task's options.
    """

    def __init__(
        self,
        task: str,
        items: Sequence[dict[str, Any]],
        split: str = "train",
        cutoff: float = 4.5,
        progress: bool = True,
        hops: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task, split, make_options(task, **options), cutoff, hops)
        self.items, self.progress = items, progress
        self._contents: Contents | None = None
        self._last: tuple[int, Parsed] | None = None

    def parse(self, index: int) -> Parsed:
        """Molecules and samples of one item. Raises ``BrokenItem``."""
        if self._last is None or self._last[0] != index:
            item = self.items[index]
            if not isinstance(item, Mapping):
                raise BrokenItem(
                    f"item {index} is a {type(item).__name__}, not a dictionary (atom3d's own reader "
                    "gives None for an item that it cannot decode; read_lmdb says why)"
                )
            try:
                parsed = self.reader.parse(item, self.options)
            except (BrokenItem, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                what = (
                    f"{error}"
                    if isinstance(error, BrokenItem)
                    else f"it cannot be read as {self.task.upper()} ({type(error).__name__}: {error})"
                )
                raise BrokenItem(f"item {index} ({item.get('id')}): {what}") from error
            self._last = index, parsed
        return self._last[1]

    def parse_all(self) -> Any:
        """(index, ``Parsed`` or ``BrokenItem``) of every item, in order."""
        from tqdm import tqdm

        hidden = None if self.progress and len(self.items) > 200 else True
        for index in tqdm(
            range(len(self.items)), desc=f"Reading {self.task} {self.split}", unit="item", disable=hidden
        ):
            try:
                yield index, self.parse(index)
            except BrokenItem as error:
                yield index, error

    @property
    def contents(self) -> Contents:
        """What one pass over the items found."""
        if self._contents is None:
            builder = ContentsBuilder(self.reader.classes, self.radius)
            for index, parsed in self.parse_all():
                builder.add(index, parsed)
            self._contents = builder.finish(len(self.items))
        return self._contents

    @property
    def y(self) -> Tensor:  # type: ignore[override]
        return self.contents.y

    @property
    def names(self) -> np.ndarray:  # type: ignore[override]
        return self.contents.names

    @property
    def groups(self) -> np.ndarray:  # type: ignore[override]
        return self.contents.groups

    @property
    def skipped(self) -> pd.DataFrame:  # type: ignore[override]
        return self.contents.skipped

    @property
    def num_items(self) -> int:  # type: ignore[override]
        return len(self.items)

    def digest(self) -> str:
        return self.contents.digest[:12]

    def _views(self, index: int) -> list[tuple[Atoms, np.ndarray | None, np.ndarray]]:
        parsed = self.parse(int(self.contents.item[index]))
        views: tuple[View, ...] = parsed.samples[self.contents.number[index]].views
        return [(parsed.molecules[v.molecule], v.rows, np.array(v.marks, dtype=np.int64)) for v in views]


class Subset(Sequence[Any]):
    """Some items of a sequence."""

    def __init__(self, items: Sequence[Any], indices: Sequence[int]) -> None:
        self.items, self.indices = items, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:  # type: ignore[override]
        return self.items[self.indices[index]]


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
            ``python -m eqgat prepare`` wrote. RES may also be the raw archive with its lists of indices beside it.
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
        ValueError: an unknown task, split or option; several data sets in ``root``; prepared data of another task or
            with other options.
    """
    chosen = make_options(task, **options)
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    root = Path(root).expanduser()
    from eqgat.datasets.atom3d.prepared import PreparedData, find_prepared

    folder = find_prepared(task, root, split) if prepared else None
    if folder is None:
        return ItemData(task, open_items(task, root, split), split, cutoff, progress, hops, **options)
    data = PreparedData(folder, cutoff, hops)
    other = {key: value for key, value in asdict(data.options).items() if getattr(chosen, key, None) != value}
    if data.task != task or other:
        raise ValueError(
            f"{folder} was prepared for {data.task} with {other or 'its options'}; ask for these, prepare "
            "the data again, or remove the folder"
        )
    _warn_of_broken(data.skipped, data.num_items)
    return data


def open_items(task: str, root: Path, split: str) -> Sequence[dict[str, Any]]:
    """The items of a split; raises as ``load_atom3d`` does."""
    if not root.is_dir():
        wrong = f"{root} is a file" if root.exists() else f"no folder {root}"
        raise FileNotFoundError(
            f"{wrong}; unpack the archive of {task.upper()} and give its folder"
            f"{', ' + str(root.parent) if root.name == 'data.mdb' else ''}"
        )
    found = _lmdb_folders(root)
    if root.name in SPLITS and root in found:  # the folder of one split: the others are beside it
        found = [root.parent / split] if (root.parent / split / "data.mdb").is_file() else []
    matching = [folder for folder in found if folder.name == split]
    if len(matching) > 1:  # several tasks or archives under one root
        named = [f for f in matching if ARCHIVES[task] in f.parts] or [f for f in matching if task in f.parts]
        matching = [f for f in named if task in f.parts] if len(named) > 1 else named or matching
    if len(matching) == 1:
        return read_lmdb(matching[0])
    if len(matching) > 1:
        places = ", ".join(str(folder.relative_to(root)) for folder in matching)
        raise ValueError(f"{root} holds several data sets with a split {split!r} ({places}); give the folder of one")
    if task == "res" and len(found) == 1 and found[0].name not in SPLITS:
        return _raw_residues(root, found[0], split)
    expected = f"{ARCHIVES[task]}/data/{split}/data.mdb" + (
        f", or raw/data/data.mdb with indices/{split}_indices.txt" if task == "res" else ""
    )
    raise FileNotFoundError(
        f"no {task.upper()} data for the split {split!r} in {root}; expected in it or in one of "
        f"its folders: {expected}. An archive whose name ends in -indices holds no structures; "
        f"one that is still packed is unpacked by `python -m eqgat download {task} {root}`"
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


def _raw_residues(root: Path, folder: Path, split: str) -> Subset:
    """The items of RES's raw archive that the split's list of indices names."""
    lists = sorted(root.glob(f"**/{split}_indices.txt")) or sorted(folder.parent.glob(f"**/{split}_indices.txt"))
    if len(lists) != 1:
        raise FileNotFoundError(
            f"{folder} holds all structures of RES; which ones are in the split {split!r} is in a "
            f"file {split}_indices.txt, of which there are {len(lists)} in {root}. It comes with "
            "RES-split-by-cath-topology-indices.tar.gz"
        )
    items = read_lmdb(folder)
    indices = np.array(lists[0].read_text(encoding="utf-8").split(), dtype=np.int64)
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= len(items):
        raise ValueError(f"{lists[0]} names items that {folder} with its {len(items)} items does not have")
    return Subset(items, indices.tolist())
