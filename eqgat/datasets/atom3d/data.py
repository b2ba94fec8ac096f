"""Data sets of graphs: what all of them have, and those that are made of the items of an LMDB folder."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eqgat.datasets.atom3d.lmdb import BrokenItem
from eqgat.datasets.atom3d.samples import Atoms, Parsed, View, make_graph
from eqgat.datasets.task import ATOM3D, TASKS
from eqgat.errors import UserError
from eqgat.options import check_values

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["Atom3DData", "Contents", "ContentsBuilder", "ItemData", "make_options", "warn_of_broken"]


_ROOM = 2**25  # numbers of items that are kept in memory after they were read, 256 MiB


def make_options(task: str, **options: Any) -> Any:
    """The options of a task of ATOM3D.

    Raises:
        UserError: an unknown task, an option that it does not have, or a value that makes no sense.

    >>> make_options("psr", hydrogens=True).hydrogens
    True
    """
    if task not in ATOM3D:
        raise UserError(f"unknown task {task!r}; there are {', '.join(ATOM3D)}")
    kind = TASKS[task].reader.options
    check_values([kind], options, task)
    try:
        return kind(**options)
    except UserError as error:
        raise UserError(f"{task}: {error}") from error


@dataclass
class Contents:
    """What a pass over all items of a split found.

    Attributes:
        item, number [n]: sample -> its item, and which of that item's samples it is.
        y, names, groups, skipped: see ``Atom3DData``.
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
    """Collects ``Contents``, item after item.

    >>> from eqgat.datasets.atom3d.samples import Sample
    >>> builder = ContentsBuilder(classes=False)
    >>> builder.add(0, Parsed(samples=[Sample((), 6.5, "1abc", "1abc")]))
    >>> builder.finish(num_items=1).y
    tensor([[6.5000]])
    """

    classes: bool
    radius: float | None = None  # of the graphs, which is part of what they are
    rows: list[tuple[int, int, float, str, str]] = field(default_factory=list)  # item, number, y, name, group
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
            self.rows.append((index, number, sample.y, sample.name, sample.group))

    def finish(self, num_items: int) -> Contents:
        """All of it, with a warning where items are broken. Raises ``UserError`` where nothing is left."""
        skipped = pd.DataFrame(self.skipped, columns=["item", "name", "reason"])
        if not self.rows:
            first = f"{skipped['name'][0]}: {skipped['reason'][0]}".removeprefix(": ") if len(skipped) else ""
            raise UserError(
                f"no graph can be made of {num_items} items{first and '; the first: '}{first}. If this "
                "holds for all of them, these are data of another task, or in another form"
            )
        warn_of_broken(skipped, num_items)
        if self.radius is not None:
            self.digest.update(f"radius {self.radius}".encode())
        item, number, y, names, groups = zip(*self.rows, strict=True)
        targets = torch.tensor(y, dtype=torch.int64 if self.classes else torch.float64)
        return Contents(
            np.array(item, dtype=np.int64),
            np.array(number, dtype=np.int64),
            targets if self.classes else targets.float().unsqueeze(1),
            np.array(names),
            np.array(groups),
            skipped,
            self.digest.hexdigest(),
        )


def warn_of_broken(skipped: pd.DataFrame, num_items: int) -> None:
    """A warning where whole items are left out.

    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     warn_of_broken(pd.DataFrame({"name": [""], "reason": ["no atoms"]}), num_items=3)
    >>> str(told[0].message)
    '1 of 3 items are broken and left out; the first: no atoms. All are listed in .skipped'
    """
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
        toy: whether they were made of the structures that come with the package.
        told: what was left out before there were items, in words.
    """

    toy = False
    told = ""
    y: Tensor
    names: np.ndarray
    groups: np.ndarray
    skipped: pd.DataFrame
    num_items: int

    def __init__(self, task: str, split: str, options: Any, cutoff: float, hops: int | None = None) -> None:
        self.task, self.split, self.options, self.cutoff, self.hops = task, split, options, cutoff, hops
        self.reader = TASKS[task].reader
        if hops is not None and (hops < 1 or not self.reader.num_marks):
            raise UserError(f"hops must be at least 1, or None, and needs graphs with a centre; got {hops} for {task}")

    @property
    def radius(self) -> float | None:
        """Graphs hold only atoms within this many Å of their centre; None: all."""
        return getattr(self.options, "radius", None)

    @property
    def official_size(self) -> int:
        """What ATOM3D counts of a split: its items; in RES the environments, left out ones too."""
        return len(self) + int((self.skipped["name"] != "").sum()) if self.reader.classes else self.num_items

    def name(self, index: int) -> str:
        """Name of a sample."""
        return str(self.names[index])

    def digest(self) -> str:
        """Short hash of graphs and targets; the same for prepared data as for their source."""
        raise NotImplementedError

    def _views(self, index: int) -> list[tuple[Atoms, np.ndarray | None, np.ndarray]]:
        """Atoms, rows and marks of each graph of a sample."""
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

    >>> from eqgat.datasets.atom3d.load import toy_items
    >>> ItemData("lba", toy_items("lba", "train"), "train")[0]
    Data(...)
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
        self._kept: dict[int, Parsed] = {}
        self._room = _ROOM

    def parse(self, index: int) -> Parsed:
        """Molecules and samples of one item. Raises ``BrokenItem``."""
        if index not in self._kept:
            item = self.items[index]
            if not isinstance(item, Mapping):
                raise BrokenItem(
                    f"item {index} is a {type(item).__name__}, not a dictionary (atom3d's own reader "
                    "gives None for an item that it cannot decode; read_lmdb says why)"
                )
            try:
                parsed = self.reader.parse(item, self.options)
                for text in (text for sample in parsed.samples for text in (sample.name, sample.group)):
                    text.encode()
            except Exception as error:  # an item can be wrong in any way, and must not stop the others
                what = (
                    f"{error}"
                    if isinstance(error, BrokenItem)
                    else f"it cannot be read as {self.task.upper()} ({type(error).__name__}: {error})"
                )
                raise BrokenItem(f"item {index} ({str(item.get('id'))[:80]!a}): {what}") from error
            self._keep(index, parsed)
        return self._kept[index]

    def _keep(self, index: int, parsed: Parsed) -> None:
        """Keep an item for its other samples and the next epoch; the oldest ones go where there is no more room."""
        self._room -= parsed.size
        self._kept[index] = parsed
        while self._room < 0 and len(self._kept) > 1:
            self._room += self._kept.pop(next(iter(self._kept))).size

    def __getstate__(self) -> dict[str, Any]:
        """Without the kept items: each loader process reads for itself."""
        return {**self.__dict__, "_kept": {}, "_room": _ROOM}

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
    def skipped(self) -> pd.DataFrame:
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
