"""The container of the ATOM3D data sets: an LMDB folder of gzipped JSON items.

``read_lmdb`` opens one, ``write_lmdb`` makes one in the official format. The reader goes around four defects of
``atom3d.datasets.LMDBDataset`` 0.2.6: under pandas 3 that class returns dictionaries instead of tables, it returns
None for a damaged item, it shares one open environment among forked processes, and it unpickles.

The file is read by ``Pages`` and not by the LMDB library, which believes every number in it: one flipped bit there can
end the whole process without a message.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from eqgat.errors import UserError
from eqgat.files import checksum, new_folder, sums_beside, verify, write_files

__all__ = ["BrokenItem", "LMDBItems", "read_lmdb", "write_lmdb"]

_TABLE = "<class 'pandas.core.frame.DataFrame'>"  # as the official data have it, whatever this pandas calls it
_PARTS = {"columns", "index", "data"}
_LARGEST = 2**30  # bytes of an item

# Of LMDB's format: its first bytes with the version, kinds of pages, flag of a value on pages of its own, "no page".
_MAGIC = struct.pack("<II", 0xBEEFC0DE, 1)
_BRANCH, _LEAF, _OVERFLOW, _ELSEWHERE, _NO_PAGE = 1, 2, 4, 1, 2**64 - 1
_PAGE_SIZES = [2**power for power in range(9, 17)]
_DEEPEST = 32  # levels of the tree; a damaged one may lead in a circle


class BrokenItem(UserError):
    """An item of a data set that cannot be used; the message says which and why."""


class LMDBItems(Sequence[dict[str, Any]]):
    """The items of one LMDB folder as dictionaries; tables of atoms are pandas DataFrames.

    It can be pickled and forked: each process opens the folder for itself.

    Attributes:
        folder: where it is.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     LMDBItems(write_lmdb(folder, [{"id": "1abc"}, {"id": "2xyz"}])).ids()
    ['1abc', '2xyz']
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        file = self.folder / "data.mdb"
        if not file.is_file():
            raise FileNotFoundError(f"no data.mdb in {self.folder}; give the folder of an unpacked LMDB")
        if sums_beside(file).is_file():  # written by write_lmdb
            verify(file)
        self._pages = Pages(file)
        size, form = self._pages.get(b"num_examples"), self._pages.get(b"serialization_format")
        if size is None or form is None:
            raise UserError(f"{self.folder} is not an ATOM3D data set: it has no num_examples or serialization_format")
        if not size.isdigit() or len(size) > 18 or int(size) > self._pages.entries:
            raise UserError(
                f"{self.folder} says that it has {size[:20].decode(errors='replace')} items, and holds "
                f"{self._pages.entries} entries; it is damaged: unpack the archive again"
            )
        self._size, self.format = int(size), form.decode(errors="replace")
        if self.format not in ("json", "msgpack"):
            raise UserError(
                f"{self.folder} is serialised as {self.format[:20]!r}; only json and msgpack are read, because "
                "unpickling runs whatever code the file holds. Write it again with write_lmdb"
            )

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        """Item ``index``, with ``id`` and ``file_path`` filled in where they are not stored.

        Raises:
            IndexError: no such item.
            BrokenItem: the item is missing or cannot be decoded.
        """
        index = range(self._size)[index]
        try:
            stored = self._pages.get(str(index).encode())
            if stored is None:
                raise BrokenItem(f"item {index} is missing")
            item = _tables(_decode(_unzip(stored), self.format))
        except BrokenItem:
            raise
        except Exception as error:  # it can be damaged in any way, and must not stop the others
            raise BrokenItem(f"item {index} cannot be decoded ({type(error).__name__}: {error})") from error
        return {"file_path": str(self.folder), "id": str(index), **item}

    def ids(self) -> list[str]:
        """Names of the items, in order; empty where the folder does not list them."""
        stored = self._pages.get(b"id_to_idx")
        return [] if stored is None else list(_decode(stored, self.format))


def read_lmdb(folder: str | os.PathLike[str]) -> LMDBItems:
    """The items of an LMDB folder (one that holds ``data.mdb``).

    Raises:
        FileNotFoundError: there is none.
        UserError: not an LMDB of ATOM3D's, a damaged one, or a pickled one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read_lmdb(write_lmdb(folder, [{"id": "1abc", "scores": {"rms": 2.0}}]))[0]["scores"]
    {'rms': 2.0}
    """
    return LMDBItems(folder)


def write_lmdb(folder: str | os.PathLike[str], items: Iterable[Mapping[str, Any]]) -> Path:
    """Write items in the official format (gzipped JSON, tables in "split" orientation) into a new folder.

    All items are held in memory while they are written: this is for small data sets. Equal items give equal bytes
    in each entry. ``file_path`` is not stored. The folder appears whole or not at all.

    Raises:
        FileExistsError: the folder holds a data set already, or anything else.
        UserError: two items with one id; the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(read_lmdb(write_lmdb(folder, [{"id": "1abc"}, {"id": "2xyz"}])))
    2
    """
    import lmdb

    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} holds a data set already, or something else; give another folder")
    entries: dict[str, bytes] = {}
    positions: dict[str, int] = {}
    for index, item in enumerate(items):
        stored = {key: value for key, value in item.items() if key not in ("types", "file_path")}
        stored.setdefault("id", str(index))
        if str(stored["id"]) in positions:
            raise UserError(f"two items have the id {stored['id']!r}")
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
    room = sum(len(value) + 8192 for value in entries.values()) * 2 + 2**20
    with new_folder(folder, room / 2) as made:
        try:
            with lmdb.open(str(made), map_size=room) as environment, environment.begin(write=True) as transaction:
                for key, value in entries.items():
                    transaction.put(key.encode("ascii"), value)
        except lmdb.Error as error:  # a system's error, of a full disk for example, is only in its text
            number = next((n for n in (errno.ENOSPC, errno.EDQUOT, errno.EIO) if os.strerror(n) in str(error)), 0)
            raise OSError(number, str(error)) from error
        (made / "lock.mdb").unlink(missing_ok=True)
        file = made / "data.mdb"
        write_files({sums_beside(file): f"{checksum(file)}  data.mdb\n"})
    return folder


class Pages:
    """The entries of a ``data.mdb`` (LMDB's format 1, 64 bit, little-endian), looked up page by page, nothing believed.

    A file is a tree of pages. Two pages at its start each describe a state of the whole; the later one counts. Branch
    pages hold the first key of each page below them; leaf pages hold keys and values, or where on pages of their own
    a long value lies. It can be pickled and forked: each read opens the file anew.

    Args:
        file: which.

    Raises:
        UserError: not such a file, or one that is cut off.

    Attributes:
        entries: number of entries, as the file says.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.length = file, file.stat().st_size
        states = []
        with file.open("rb") as stream:
            head = stream.read(44)
            said = struct.unpack_from("<I", head, 40)[0] if len(head) == 44 else 0
            self.size = said if said in _PAGE_SIZES else 4096  # of a damaged first page: by it the second is found
            for place in (0, self.size):
                stream.seek(place)
                page = stream.read(160)
                if len(page) == 160 and page[16:24] == _MAGIC:
                    entries, root = struct.unpack_from("<QQ", page, 120)
                    last, number = struct.unpack_from("<QQ", page, 136)
                    states.append((number, entries, root, last))
        if not states:
            raise UserError(f"{file.parent} is not a sound LMDB folder; unpack the archive again")
        _, self.entries, self.root, last = max(states)
        needed = (last + 1) * self.size
        if self.length < needed:
            raise UserError(
                f"{file} is cut off: it has {self.length:,} of at least {needed:,} bytes. Unpack the archive "
                "again, and see that there is room for all of it"
            )

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None if there is none. Raises ``BrokenItem`` where a page is damaged."""
        if self.root == _NO_PAGE:
            return None
        try:
            with self.file.open("rb") as stream:
                number = self.root
                for _ in range(_DEEPEST):
                    page, flags = self._page(stream, number)
                    places = struct.unpack_from(f"<{(struct.unpack_from('<H', page, 12)[0] - 16) // 2}H", page, 16)
                    if flags == _LEAF:
                        return self._value(stream, page, places, key)
                    if flags != _BRANCH:
                        break
                    # The first key of a branch page stands for everything before the second.
                    chosen = max(bisect_right(places, key, lo=1, key=partial(_key, page)) - 1, 0)
                    low, high, upper = struct.unpack_from("<HHH", page, places[chosen])
                    number = low | high << 16 | upper << 32
        except (struct.error, IndexError) as error:
            raise BrokenItem(f"a page of {self.file.name} on the way to {key!r} is damaged ({error})") from error
        raise BrokenItem(f"a page of {self.file.name} on the way to {key!r} is damaged")

    def _page(self, stream: BinaryIO, number: int) -> tuple[bytes, int]:
        """A page and its kind."""
        if not 0 < number < self.length // self.size:
            raise IndexError(f"there is no page {number}")
        stream.seek(number * self.size)
        page = stream.read(self.size)
        own, flags = struct.unpack_from("<QxxH", page)
        if own != number:
            raise IndexError(f"page {number} says that it is page {own}")
        return page, flags

    def _value(self, stream: BinaryIO, page: bytes, places: tuple[int, ...], key: bytes) -> bytes | None:
        """The value of a key on a leaf page."""
        index = bisect_left(places, key, key=partial(_key, page))
        if index == len(places) or _key(page, places[index]) != key:
            return None
        low, high, flags, size = struct.unpack_from("<HHHH", page, places[index])
        start, length = places[index] + 8 + size, low | high << 16
        if not flags & _ELSEWHERE:
            value = page[start : start + length]
        else:
            number = struct.unpack_from("<Q", page, start)[0]
            _, kind = self._page(stream, number)
            if kind != _OVERFLOW:
                raise IndexError(f"page {number} holds no value")
            stream.seek(number * self.size + 16)
            value = stream.read(length) if length < self.length else b""
        if len(value) != length:
            raise IndexError("a value is cut off")
        return value


def _key(page: bytes, place: int) -> bytes:
    """Key of the entry at a place of a page."""
    size = struct.unpack_from("<H", page, place + 6)[0]
    return page[place + 8 : place + 8 + size]


def _unzip(stored: bytes) -> bytes:
    """The content of an item, up to a size that no structure reaches; its own checksum is tested."""
    reader = zlib.decompressobj(wbits=31)
    content = reader.decompress(stored, _LARGEST)
    if reader.unconsumed_tail:
        raise ValueError(f"it is larger than {_LARGEST / 2**30:.0f} GiB")
    if not reader.eof:
        raise EOFError("it is cut off")
    return content


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
