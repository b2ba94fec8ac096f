"""The container of the ATOM3D data sets: an LMDB folder of gzipped JSON items.

``read_lmdb`` opens one, ``write_lmdb`` makes one in the official format. The reader goes around four defects of
``atom3d.datasets.LMDBDataset`` 0.2.6: under pandas 3 that class returns dictionaries instead of tables, it returns
None for a damaged item, it shares one open environment among forked processes, and it unpickles.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["BrokenItem", "LMDBItems", "read_lmdb", "write_lmdb"]

_TABLE = "<class 'pandas.core.frame.DataFrame'>"  # as the official data have it, whatever this pandas calls it
_PARTS = {"columns", "index", "data"}


class BrokenItem(ValueError):
    """An item of a data set that cannot be used; the message says which and why."""


class LMDBItems(Sequence[dict[str, Any]]):
    """The items of one LMDB folder as dictionaries; tables of atoms are pandas DataFrames.

    It can be pickled and forked: each process opens the folder for itself.

    Attributes:
        folder: where it is.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        file = self.folder / "data.mdb"
        if not file.is_file():
            raise FileNotFoundError(f"no data.mdb in {self.folder}; give the folder of an unpacked LMDB")
        self._stamp = file.stat().st_mtime_ns, file.stat().st_size
        size, form = self._get("num_examples"), self._get("serialization_format")
        if size is None or form is None:
            raise ValueError(f"{self.folder} is not an ATOM3D data set: it has no num_examples or serialization_format")
        self._size, self.format = int(size), form.decode()
        if self.format not in ("json", "msgpack"):
            raise ValueError(
                f"{self.folder} is serialised as {self.format!r}; only json and msgpack are read, because "
                "unpickling runs whatever code the file holds. Write it again with write_lmdb"
            )

    def _get(self, key: str) -> bytes | None:
        with _environment(str(self.folder.resolve()), os.getpid(), self._stamp).begin() as transaction:
            return transaction.get(key.encode("ascii"))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(self._size))

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        """Item ``index``, with ``id`` and ``file_path`` filled in where they are not stored.

        Raises:
            IndexError: no such item.
            BrokenItem: the item is missing or cannot be decoded.
        """
        index = range(self._size)[index]
        stored = self._get(str(index))
        if stored is None:
            raise BrokenItem(f"item {index} is missing")
        try:
            item = _tables(_decode(gzip.decompress(stored), self.format))
        except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError) as error:
            raise BrokenItem(f"item {index} cannot be decoded ({type(error).__name__}: {error})") from error
        return {"file_path": str(self.folder), "id": str(index), **item}

    def ids(self) -> list[str]:
        """Names of the items, in order; empty where the folder does not list them."""
        stored = self._get("id_to_idx")
        return [] if stored is None else list(_decode(stored, self.format))


def read_lmdb(folder: str | os.PathLike[str]) -> LMDBItems:
    """The items of an LMDB folder (one that holds ``data.mdb``).

    Raises:
        FileNotFoundError: there is none.
        ValueError: not an LMDB of ATOM3D's, or a pickled one.
    """
    return LMDBItems(folder)


def write_lmdb(folder: str | os.PathLike[str], items: Iterable[Mapping[str, Any]]) -> Path:
    """Write items in the official format (gzipped JSON, tables in "split" orientation) into a new folder.

    All items are held in memory while they are written: this is for small data sets. Equal items give equal bytes
    in each entry. ``file_path`` is not stored.

    Raises:
        FileExistsError: the folder holds a data set already.
        ValueError: two items with one id.
    """
    import lmdb

    folder = Path(folder)
    if (folder / "data.mdb").exists():
        raise FileExistsError(f"{folder} holds a data set already; remove it or give another folder")
    entries: dict[str, bytes] = {}
    positions: dict[str, int] = {}
    for index, item in enumerate(items):
        stored = {key: value for key, value in item.items() if key not in ("types", "file_path")}
        stored.setdefault("id", str(index))
        if str(stored["id"]) in positions:
            raise ValueError(f"two items have the id {stored['id']!r}")
        positions[str(stored["id"])] = index
        types = {key: _TABLE if isinstance(value, pd.DataFrame) else str(type(value)) for key, value in stored.items()}
        text = json.dumps({**stored, "types": {**types, "types": "<class 'dict'>"}}, default=_plain)
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as stream:
            stream.write(text.encode())
        entries[str(index)] = buffer.getvalue()
    entries |= {
        "num_examples": str(len(positions)).encode(),
        "serialization_format": b"json",
        "id_to_idx": json.dumps(positions).encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    room = sum(len(value) + 8192 for value in entries.values()) * 2 + 2**20
    with lmdb.open(str(folder), map_size=room) as environment, environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode("ascii"), value)
    return folder


@lru_cache(maxsize=64)
def _environment(folder: str, _process: int, _stamp: tuple[int, int]) -> Any:
    """The open environment of a folder, one in each process: LMDB must not be carried through a fork."""
    try:
        import lmdb
    except ImportError as error:
        raise ModuleNotFoundError(
            "reading ATOM3D's LMDB folders needs the package lmdb: pip install 'eqgat[data]'. "
            "Data prepared elsewhere with `python -m eqgat prepare` are read without it"
        ) from error
    try:
        environment = lmdb.open(folder, readonly=True, lock=False, readahead=False, meminit=False, max_readers=1)
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    except lmdb.Error as error:
        raise ValueError(f"{folder} is not a sound LMDB folder ({error}); unpack the archive again") from error
    if _stamp[1] < needed:  # a page behind the end of the file would not raise: it kills the process
        environment.close()
        raise ValueError(
            f"{folder}/data.mdb is cut off: it has {_stamp[1]:,} of at least {needed:,} bytes. Unpack the "
            "archive again, and see that there is room for all of it"
        )
    return environment


def _decode(text: bytes, form: str) -> Any:
    if form == "json":
        return json.loads(text)
    import msgpack

    return msgpack.unpackb(text)


def _tables(item: dict[str, Any]) -> dict[str, Any]:
    """Tables become DataFrames again: by their stored type; in old files, which have none, by their parts."""
    if not isinstance(item, dict):
        raise TypeError(f"it is a {type(item).__name__}, not a dictionary")
    types = item.pop("types", None)
    for key, value in item.items():
        wanted = types[key].endswith(".DataFrame'>") if types and key in types else True
        if wanted and isinstance(value, dict) and set(value) == _PARTS:
            item[key] = pd.DataFrame(**value)
    return item


def _plain(value: Any) -> Any:
    """What JSON cannot write, as plain lists and numbers; coordinates to six decimals, as in the official data."""
    if isinstance(value, pd.DataFrame):
        return json.loads(value.to_json(orient="split", double_precision=6))
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be stored; use text, numbers, lists, dictionaries and tables")
