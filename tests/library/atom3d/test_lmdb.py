"""The container: what is written is read again; damage is named; a pickled file stays closed."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import pickle
from pathlib import Path

import lmdb
import numpy as np
import pandas as pd
import pytest

from eqgat.datasets.atom3d.lmdb import BrokenItem, Pages, read_lmdb, write_lmdb
from eqgat.errors import UserError
from eqgat.files import sums_beside

ATOMS = pd.DataFrame({"x": [1.1234567, 2.0], "element": ["C", "N"]}, index=[5000, 5001])


def change(folder: Path, key: str, value: bytes | None) -> None:
    sums_beside(folder / "data.mdb").unlink(missing_ok=True)  # as in data of others
    with lmdb.open(str(folder), map_size=2**22) as environment, environment.begin(write=True) as transaction:
        transaction.delete(key.encode()) if value is None else transaction.put(key.encode(), value)


def raw(folder: Path, key: str) -> bytes:
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return transaction.get(key.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_lmdb(
        tmp_path / "data",
        [{"id": "one", "atoms": ATOMS, "scores": {"rms": 1.5}}, {"atoms": ATOMS.iloc[:1], "subunit_indices": [[0]]}],
    )


def test_round_trip(folder: Path) -> None:
    items = read_lmdb(folder)
    assert len(items) == 2
    assert items.ids() == ["one", "1"]
    first = items[0]
    pd.testing.assert_frame_equal(first["atoms"], ATOMS.round(6))
    assert (first["id"], first["scores"], first["file_path"]) == ("one", {"rms": 1.5}, str(folder))
    assert [item["id"] for item in items] == ["one", "1"]
    assert items[-1]["subunit_indices"] == [[0]]
    with pytest.raises(IndexError):
        items[2]


@pytest.mark.skipif(pd.__version__ >= "3", reason="atom3d 0.2.6 does not know its own tables under pandas 3")
def test_it_is_the_official_format(folder: Path) -> None:
    datasets = pytest.importorskip("atom3d.datasets")
    theirs = datasets.LMDBDataset(str(folder))
    ours = read_lmdb(folder)
    assert len(theirs) == 2
    pd.testing.assert_frame_equal(theirs[0]["atoms"], ours[0]["atoms"])
    assert theirs.ids() == ours.ids()


@pytest.mark.parametrize("kind", ["<class 'pandas.core.frame.DataFrame'>", "<class 'pandas.DataFrame'>"])
def test_tables_are_told_by_the_end_of_their_type(folder: Path, kind: str) -> None:
    item = json.loads(gzip.decompress(raw(folder, "0")))
    item["types"]["atoms"] = kind
    change(folder, "0", gzip.compress(json.dumps(item).encode()))
    assert isinstance(read_lmdb(folder)[0]["atoms"], pd.DataFrame)


def test_old_files_without_types(folder: Path) -> None:
    item = json.loads(gzip.decompress(raw(folder, "0")))
    del item["types"]
    change(folder, "0", gzip.compress(json.dumps(item).encode()))
    read = read_lmdb(folder)[0]
    assert isinstance(read["atoms"], pd.DataFrame)
    assert read["scores"] == {"rms": 1.5}


def test_damaged_and_missing_items_are_named(folder: Path) -> None:
    change(folder, "0", b"not gzip")
    change(folder, "1", None)
    items = read_lmdb(folder)
    with pytest.raises(BrokenItem, match="item 0 cannot be decoded"):
        items[0]
    with pytest.raises(BrokenItem, match="item 1 is missing"):
        items[1]
    change(folder, "0", gzip.compress(b'{"cut off'))
    with pytest.raises(BrokenItem, match="JSONDecodeError"):
        read_lmdb(folder)[0]


def test_pickled_items_are_refused(folder: Path) -> None:
    change(folder, "serialization_format", b"pkl")
    with pytest.raises(ValueError, match="unpickling"):
        read_lmdb(folder)


def test_messagepack(folder: Path) -> None:
    msgpack = pytest.importorskip("msgpack")
    item = {"id": "one", "atoms": ATOMS.to_dict(orient="split"), "types": {"atoms": "<class 'pandas.DataFrame'>"}}
    change(folder, "0", gzip.compress(msgpack.packb(item)))
    change(folder, "serialization_format", b"msgpack")
    pd.testing.assert_frame_equal(read_lmdb(folder)[0]["atoms"], ATOMS)


def test_wrong_folders_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no data\.mdb"):
        read_lmdb(tmp_path)
    with pytest.raises(FileExistsError, match="already"):
        write_lmdb(folder, [])
    with pytest.raises(ValueError, match="two items"):
        write_lmdb(tmp_path / "twice", [{"id": "a"}, {"id": "a"}])
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "data.mdb").write_bytes(b"x" * 10_000)
    with pytest.raises(ValueError, match="not a sound LMDB"):
        read_lmdb(tmp_path / "junk")
    empty = write_lmdb(tmp_path / "empty", [])
    change(empty, "num_examples", None)
    with pytest.raises(ValueError, match="num_examples"):
        read_lmdb(empty)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.9999])
def test_a_file_that_is_cut_off_is_refused(folder: Path, share: float) -> None:
    # Without the check the process dies of a bus error, which no message survives.
    sums_beside(folder / "data.mdb").unlink()
    file = folder / "data.mdb"
    whole = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(max(8192, int(share * whole)))
    with pytest.raises(ValueError, match=rf"cut off: it has .* of at least {whole:,} bytes. Unpack the archive again"):
        read_lmdb(folder)


def first_id(items: object) -> str:
    return items[0]["id"]  # type: ignore[index]


def test_other_processes_open_it_for_themselves(folder: Path) -> None:
    items = read_lmdb(folder)
    assert items[0]["id"] == "one"
    with multiprocessing.Pool(1) as pool:
        assert pool.map(first_id, [items, items]) == ["one", "one"]
    assert pickle.loads(pickle.dumps(items))[1]["id"] == "1"


def test_pages_are_read_as_the_library_reads_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    entries = {
        str(key).encode(): random.bytes(int(random.choice([0, 5, 100, 1500, 3000, 20_000]))) for key in range(1500)
    }
    with lmdb.open(str(tmp_path / "x"), map_size=2**26) as environment:
        with environment.begin(write=True) as transaction:
            for key, value in entries.items():
                transaction.put(key, value)
        with environment.begin(write=True) as transaction:
            for key in list(entries)[::7]:
                transaction.delete(key)
                del entries[key]
    pages = Pages(tmp_path / "x" / "data.mdb")
    assert pages.entries == len(entries)
    for key in range(1500):
        assert pages.get(str(key).encode()) == entries.get(str(key).encode())
    assert pages.get(b"") is None
    assert pages.get(b"zzz") is None


def test_a_flipped_bit_is_never_believed(tmp_path: Path) -> None:
    """Without a checksum of the file, as in the official data; with one it is refused as a whole."""
    folder = write_lmdb(tmp_path / "data", [{"id": str(k), "numbers": list(range(k, k + 300))} for k in range(30)])
    file, truth = folder / "data.mdb", list(read_lmdb(folder))
    good, random, noticed = file.read_bytes(), np.random.default_rng(0), 0
    for _ in range(50):
        bad = bytearray(good)
        bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        file.write_bytes(bad)
        with pytest.raises(UserError, match="damaged"):
            read_lmdb(folder)
    sums_beside(file).unlink()
    for _ in range(100):
        bad = bytearray(good)
        bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        file.write_bytes(bad)
        try:
            items = read_lmdb(folder)
        except UserError:
            noticed += 1
            continue
        for number in range(len(items)):
            try:
                assert items[number] == truth[number]
            except BrokenItem:
                noticed += 1
    assert noticed > 10


def test_a_wrong_number_of_items_is_refused(folder: Path) -> None:
    for number in (b"1000000000", b"-1", b"two", b"9" * 5000):
        change(folder, "num_examples", number)
        with pytest.raises(UserError, match="items, and holds 5 entries"):
            read_lmdb(folder)


def test_odd_items_do_not_stop_the_others(folder: Path) -> None:
    deep = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for text in (deep, b"[1]", b'{"types": 3, "a": {}}', b'{"types": {"a": 3}, "a": {}}', b"\xff\xfe"):
        change(folder, "0", gzip.compress(text))
        items = read_lmdb(folder)
        with pytest.raises(BrokenItem, match="item 0 cannot be decoded"):
            items[0]
        assert items[1]["id"] == "1"
