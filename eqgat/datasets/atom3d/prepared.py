"""The prepared form: one folder a split with a few flat binary files that are mapped into memory, not read.

A graph then costs two slices and a search for neighbours, instead of gzip and JSON. Atoms are stored once a
structure; the environments of RES are lists of rows, and the 30 Å spheres of PPI are cut out when asked for.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eqgat.datasets.atom3d.data import Atom3DData, ContentsBuilder, ItemData, make_options
from eqgat.datasets.atom3d.lmdb import BrokenItem
from eqgat.datasets.atom3d.samples import Atoms, Parsed
from eqgat.errors import UserError
from eqgat.files import checksum, new_folder, read_checked, write_checked

__all__ = ["PreparedData", "find_prepared", "write_prepared"]

_FORMAT = 2  # raised when a change makes older folders unreadable
_META = "split.json"
# File -> type, and numbers in a row (0: of one dimension).
_FILES = {
    "atomic_number": ("u1", 0),
    "pos": ("<f8", 3),
    "molecule_start": ("<i8", 0),
    "ligand_start": ("<i4", 0),
    "bonds": ("<i4", 2),
    "bond_order": ("<f4", 0),
    "bond_start": ("<i8", 0),
    "view_molecule": ("<i4", 0),
    "rows": ("<i4", 0),
    "row_start": ("<i8", 0),
    "marks": ("<i4", 0),
    "y": ("<f8", 0),
    "text": ("u1", 0),
    "text_start": ("<i8", 0),
}


def find_prepared(task: str, root: Path, split: str) -> Path | None:
    """The prepared folder of a split in ``root``: split, task/split or prepared/task/split; None if there is none.

    >>> print(find_prepared("lba", Path("no/such/folder"), "train"))
    None
    """
    for folder in (root, root / split, root / task / split, root / "prepared" / task / split):
        if (folder / _META).is_file() and (folder.name == split or folder != root):
            return folder
    return None


class PreparedData(Atom3DData):
    """A split that ``write_prepared`` wrote; the same samples as its source has.

    Args:
        folder: of the split.
        cutoff, hops: see ``load_atom3d``.

    Raises:
        UserError: a folder of another version, or a file that is missing, cut off or damaged.

    >>> import tempfile
    >>> from eqgat.datasets.atom3d.load import toy_items
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_prepared(ItemData("lba", toy_items("lba", "train")), f"{folder}/train")
    ...     PreparedData(f"{folder}/train").name(0)
    '1hvr'
    """

    def __init__(self, folder: str | os.PathLike[str], cutoff: float = 4.5, hops: int | None = None) -> None:
        self.folder = Path(folder)
        try:
            meta = json.loads(read_checked(self.folder / _META))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.folder} is not a sound prepared data set ({error}); prepare the data again"
            ) from error
        if not isinstance(meta, dict) or meta.get("format") != _FORMAT:
            raise UserError(f"{self.folder} was prepared by another version of this package; prepare the data again")
        super().__init__(meta["task"], meta["split"], make_options(meta["task"], **meta["options"]), cutoff, hops)
        self.meta = meta
        for name, (kind, width) in _FILES.items():
            file, count = self.folder / f"{name}.bin", meta["counts"][name]
            expected = count * max(width, 1) * np.dtype(kind).itemsize
            if not file.is_file() or file.stat().st_size != expected:
                raise UserError(f"{file} is missing or cut off; prepare the data again")
            if checksum(file) != meta["sha256"][name]:
                raise UserError(f"{file} is damaged; prepare the data again")

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        """The files, mapped into memory."""
        arrays = {}
        for name, (kind, width) in _FILES.items():
            count = self.meta["counts"][name]
            shape = (count, width) if width else (count,)
            # As plain arrays, whose slices take a fraction of the time of a memmap's.
            arrays[name] = (
                np.asarray(np.memmap(self.folder / f"{name}.bin", kind, "r", shape=shape))
                if count
                else np.empty(shape, kind)
            )
        return arrays

    def __getstate__(self) -> dict[str, Any]:
        """Without the maps: each loader process opens them for itself."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_arrays", "names", "groups")}

    @cached_property
    def y(self) -> Tensor:  # type: ignore[override]
        y = torch.from_numpy(np.array(self._arrays["y"]))
        return y.long() if self.reader.classes else y.float().unsqueeze(1)

    @cached_property
    def names(self) -> np.ndarray:  # type: ignore[override]
        return self._text(0)

    @cached_property
    def groups(self) -> np.ndarray:  # type: ignore[override]
        return self._text(1)

    @property
    def skipped(self) -> pd.DataFrame:
        return pd.DataFrame(self.meta["skipped"], columns=["item", "name", "reason"])

    @property
    def num_items(self) -> int:  # type: ignore[override]
        return self.meta["num_items"]

    def digest(self) -> str:
        return self.meta["digest"][:12]

    def name(self, index: int) -> str:
        """Name of a sample, without reading those of all others."""
        start, end = self._arrays["text_start"][index : index + 2]
        return bytes(self._arrays["text"][start:end]).decode().split("\t")[0]

    def _text(self, place: int) -> np.ndarray:
        return np.array([line.split("\t")[place] for line in bytes(self._arrays["text"]).decode().split("\n")[:-1]])

    def _views(self, index: int) -> list[tuple[Atoms, np.ndarray | None, np.ndarray]]:
        a, count, marks = self._arrays, self.reader.num_views, self.reader.num_marks
        views = []
        for view in range(index * count, (index + 1) * count):
            place = a["view_molecule"][view]
            atoms = slice(*a["molecule_start"][place : place + 2])
            bonds = slice(*a["bond_start"][place : place + 2])
            start, end = a["row_start"][view : view + 2]
            nodes = (a["atomic_number"][atoms], a["pos"][atoms], int(a["ligand_start"][place]))
            rows = a["rows"][start:end] if end > start else None
            marked = a["marks"][view * marks : (view + 1) * marks].astype(np.int64)
            views.append((Atoms(*nodes, a["bonds"][bonds], a["bond_order"][bonds]), rows, marked))
        return views


class _Writer:
    """Appends items to the files of a split."""

    def __init__(self, folder: Path) -> None:
        self.streams: dict[str, BinaryIO] = {name: (folder / f"{name}.bin").open("wb") for name in _FILES}
        self.counts: Counter[str] = Counter()
        for name in ("molecule_start", "bond_start", "row_start", "text_start"):
            self._append(name, [0])

    def _append(self, name: str, values: Any) -> None:
        kind, width = _FILES[name]
        array = np.ascontiguousarray(values, dtype=kind)
        self.streams[name].write(array.tobytes())
        self.counts[name] += array.size // max(width, 1)

    def add(self, parsed: Parsed) -> None:
        """The molecules and samples of one item."""
        first = self.counts["ligand_start"]
        for molecule in parsed.molecules:
            self._append("atomic_number", molecule.atomic_number)
            self._append("pos", molecule.pos)
            self._append("molecule_start", [self.counts["pos"]])
            self._append("ligand_start", [molecule.ligand_start])
            self._append("bonds", molecule.bonds)
            self._append("bond_order", molecule.order)
            self._append("bond_start", [self.counts["bonds"]])
        for sample in parsed.samples:
            for view in sample.views:
                self._append("view_molecule", [first + view.molecule])
                self._append("rows", [] if view.rows is None else view.rows)
                self._append("row_start", [self.counts["rows"]])
                self._append("marks", view.marks)
            self._append("y", [sample.y])
            line = "\t".join(text.replace("\t", " ").replace("\n", " ") for text in (sample.name, sample.group)) + "\n"
            self._append("text", np.frombuffer(line.encode(), np.uint8))
            self._append("text_start", [self.counts["text"]])

    def close(self) -> None:
        """To the disk."""
        for stream in self.streams.values():
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()

    def abandon(self) -> None:
        """Close what is open, whatever comes of it."""
        for stream in self.streams.values():
            with suppress(OSError):
                stream.close()


def write_prepared(data: ItemData, folder: str | os.PathLike[str], needed: float = 0) -> PreparedData:
    """Read every item of ``data`` once and write the prepared form; it appears whole or not at all.

    Beside the binary files stand ``split.json`` (task, options, counts, checksums, what was left out) and, for PPI, the
    chosen pairs as ``pairs.csv``. What was there before is replaced.

    Args:
        data: a split.
        folder: of the split.
        needed: bytes that it will take, for the message of a full disk.

    Raises:
        UserError: no graph can be made of the items; the disk is full.
        FileExistsError: the folder holds something else than prepared data.

    >>> import tempfile
    >>> from eqgat.datasets.atom3d.load import toy_items
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(write_prepared(ItemData("lba", toy_items("lba", "train")), f"{folder}/train"))
    1
    """
    folder = Path(folder)
    if folder.exists() and not (folder / _META).is_file():
        raise FileExistsError(f"{folder} exists and is not a prepared data set; give another folder")
    with new_folder(folder, needed) as partial:
        writer, builder = _Writer(partial), ContentsBuilder(data.reader.classes, data.radius)
        try:
            for index, parsed in data.parse_all():
                builder.add(index, parsed)
                if not isinstance(parsed, BrokenItem):
                    writer.add(parsed)
            contents = builder.finish(len(data.items))
            writer.close()
        finally:
            writer.abandon()
        meta = {
            "format": _FORMAT,
            "task": data.task,
            "split": data.split,
            "options": asdict(data.options),
            "num_items": data.num_items,
            "num_samples": len(contents.y),
            "digest": contents.digest,
            "counts": dict(writer.counts),
            "sha256": {name: checksum(partial / f"{name}.bin") for name in _FILES},
            "skipped": contents.skipped.to_numpy().tolist(),
        }
        write_checked(partial / _META, json.dumps(meta, indent=1))
        if data.task == "ppi":
            pairs = pd.DataFrame({"name": contents.names, "touching": contents.y.squeeze(1).int()})
            write_checked(partial / "pairs.csv", pairs.to_csv(index=False))
    return PreparedData(folder, data.cutoff, data.hops)
