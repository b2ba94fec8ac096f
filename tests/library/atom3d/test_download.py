"""Downloading from a server on this machine: resuming, checking, unpacking nothing that is not safe."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from atom3d_items import write_task

from eqgat.cli import main
from eqgat.datasets.atom3d import PreparedData, load_atom3d
from eqgat.datasets.atom3d import download as module
from eqgat.datasets.atom3d.download import download, unpack
from eqgat.datasets.atom3d.prepare import prepare
from eqgat.datasets.atom3d.prepared import write_prepared
from eqgat.errors import UserError

ARCHIVE = "LBA-split-by-sequence-identity-30.tar.gz"


class Zenodo(http.server.BaseHTTPRequestHandler):
    """One record with one file, and whatever trouble a test asks for."""

    archive = b""
    checksum: str | None = None
    break_after: int | None = None  # bytes, then the connection is closed, once
    ranges = True
    odd: bytes | None = None  # what the record says instead
    announced: int | None = None  # its size, if not the true one
    requests: list[str | None]

    def do_GET(self) -> None:
        kind = type(self)
        if self.path.startswith("/api/records/4914718") and kind.odd is not None:
            self._send(200, kind.odd)
        elif self.path.startswith("/api/records/4914718"):
            body = json.dumps(
                {
                    "metadata": {"license": {"id": "cc-by-4.0"}},
                    "files": [
                        {
                            "key": ARCHIVE,
                            "size": len(kind.archive) if kind.announced is None else kind.announced,
                            "checksum": f"md5:{kind.checksum or hashlib.md5(kind.archive).hexdigest()}",
                        }
                    ],
                }
            ).encode()
            self._send(200, body)
        elif self.path == f"/records/4914718/files/{ARCHIVE}?download=1":
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if kind.ranges else 0
            kind.requests.append(self.headers.get("Range"))
            body = kind.archive[start:]
            cut, kind.break_after = kind.break_after, None
            self._send(206 if start else 200, body, cut)
        else:
            self._send(404, b"")

    def _send(self, status: int, body: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """LBA as the official archive has it."""
    root = write_task("lba", tmp_path / "made", 2)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(root / "split-by-sequence-identity-30", "split-by-sequence-identity-30")
    return buffer.getvalue()


@pytest.fixture
def zenodo(archive: bytes) -> Iterator[tuple[str, type[Zenodo]]]:
    """Address of the server, and its class, whose fields are its behaviour."""
    kind = type("Handler", (Zenodo,), {"archive": archive, "requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)  # seconds until it sees its end
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", kind
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_fetched_checked_unpacked_and_read(zenodo: tuple, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    target = download("lba", tmp_path / "data", source=zenodo[0], progress=False)
    assert target == tmp_path / "data" / "split-by-sequence-identity-30"
    assert [path.name for path in (tmp_path / "data").iterdir()] == [target.name]
    assert len(load_atom3d("lba", tmp_path / "data", "test")) == 2
    said = capsys.readouterr().out
    assert "cc-by-4.0" in said
    assert "PDBBind" in said
    assert "Townshend" in said
    assert download("lba", tmp_path / "data", source="http://127.0.0.1:1") == target  # nothing to fetch


def test_it_goes_on_where_it_stopped(zenodo: tuple, tmp_path: Path, archive: bytes) -> None:
    kind = zenodo[1]
    kind.break_after = 1000
    download("lba", tmp_path, source=zenodo[0], progress=False)
    assert kind.requests == [None, "bytes=1000-"]
    shutil.rmtree(tmp_path / "split-by-sequence-identity-30")
    (tmp_path / f"{ARCHIVE}.part").write_bytes(archive[:2000])
    download("lba", tmp_path, source=zenodo[0], progress=False, keep_archive=True)
    assert kind.requests[2:] == ["bytes=2000-"]
    assert (tmp_path / ARCHIVE).read_bytes() == archive


def test_a_server_that_cannot_resume_starts_again(zenodo: tuple, tmp_path: Path, archive: bytes) -> None:
    zenodo[1].ranges = False
    (tmp_path / f"{ARCHIVE}.part").write_bytes(archive[:2000])
    assert (download("lba", tmp_path, source=zenodo[0], progress=False) / "data").is_dir()


def test_a_wrong_checksum_is_not_unpacked(zenodo: tuple, tmp_path: Path) -> None:
    zenodo[1].checksum = "0" * 32
    with pytest.raises(ValueError, match="instead of 0000"):
        download("lba", tmp_path / "data", source=zenodo[0], progress=False)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [ARCHIVE + ".broken"]


def test_too_little_space_is_said_before(zenodo: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(UserError, match=r"the disk is full: .* Make room for"):
        download("lba", tmp_path, source=zenodo[0], progress=False)
    assert zenodo[1].requests == []


def test_without_a_network_it_says_what_to_do(tmp_path: Path, archive: bytes, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(OSError, match="no connection") as caught:
        download("lba", tmp_path, source="http://127.0.0.1:1")
    assert ARCHIVE in str(caught.value)
    assert "records/4914718" in str(caught.value)
    assert main(["download", "lba", str(tmp_path), "--source", "http://127.0.0.1:1"]) == 2
    assert "Without a network" in capsys.readouterr().err
    (tmp_path / ARCHIVE).write_bytes(archive)  # copied there by hand
    assert (download("lba", tmp_path, source="http://127.0.0.1:1") / "data").is_dir()
    assert "was not checked" in capsys.readouterr().out


def test_a_moved_record_is_named(zenodo: tuple, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"answered with an error \(HTTP Error 404"):
        download("ppi", tmp_path, source=zenodo[0])
    with pytest.raises(ValueError, match="unknown task"):
        download("msp", tmp_path)


def member(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    data = b"x" * info.size
    return info, data


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (member("../outside", size=3), "leads outside"),
        (member("/etc/outside", size=3), "leads outside"),
        (member("data/../../outside", size=3), "leads outside"),
        (member("C:\\outside", size=3), "leads outside"),
        (member("data/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link or a device"),
        (member("data/link", type=tarfile.LNKTYPE, linkname="data/good"), "a link or a device"),
        (member("data/device", type=tarfile.CHRTYPE), "a link or a device"),
        (member("data/pipe", type=tarfile.FIFOTYPE), "a link or a device"),
        (member("data/bomb", size=2**22), "larger than"),
    ],
)
def test_unsafe_archives_are_refused_whole(bad: tuple, message: str, tmp_path: Path) -> None:
    file = tmp_path / "archive.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        for info, data in (member("data/good", size=5), bad):
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(ValueError, match=message):
        unpack(file, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["archive.tar.gz"]


def test_a_damaged_archive_leaves_nothing(archive: bytes, tmp_path: Path) -> None:
    file = tmp_path / "archive.tar.gz"
    file.write_bytes(archive[: len(archive) // 2])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(file, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    (tmp_path / "target").mkdir()
    with pytest.raises(FileExistsError):
        unpack(file, tmp_path / "target")


@pytest.mark.parametrize("place", ["content", "trailer"])
def test_a_changed_byte_is_noticed_without_a_checksum(place: str, tmp_path: Path) -> None:
    # tarfile alone stops where the last member ends, before the checksum of the compression.
    file = tmp_path / "archive.tar.gz"
    with tarfile.open(file, "w:gz", compresslevel=0) as tar:
        tar.addfile(*(lambda info, data: (info, io.BytesIO(data)))(*member("split/data/good", size=50_000)))
    changed = bytearray(file.read_bytes())
    changed[20_000 if place == "content" else -6] ^= 1
    file.write_bytes(changed)
    with pytest.raises(ValueError, match="fetch it again"):
        unpack(file, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["archive.tar.gz"]


def test_compression_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    file = tmp_path / "archive.tar.gz"
    text = "".join(hashlib.md5(bytes([k % 256, k // 256])).hexdigest() for k in range(5000)).encode()
    with tarfile.open(file, "w:gz") as tar:
        info = tarfile.TarInfo("split/data/good")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    changed = bytearray(file.read_bytes())
    changed[10_000:20_000] = b"\xff" * 10_000
    file.write_bytes(changed)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(file, tmp_path / "target")


def test_a_full_disk_is_not_the_archives_fault(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ARCHIVE
    file.write_bytes(archive)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match=r"the disk is full: .* Make room for .* more") as caught:
        download("lba", tmp_path)
    assert "fetch it again" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [file.name]


def test_a_folder_in_the_way_is_named_before_anything_is_fetched(zenodo: tuple, tmp_path: Path) -> None:
    (tmp_path / "split-by-sequence-identity-30").mkdir()
    with pytest.raises(FileExistsError, match="no folder 'data'"):
        download("lba", tmp_path, source=zenodo[0])
    assert zenodo[1].requests == []


def test_prepare_tells_and_does(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = write_task("ppi", tmp_path)
    assert main(["prepare", "ppi", str(root), "--dry-run"]) == 0
    assert "6 items in train" in capsys.readouterr().out
    assert not (root / "prepared").exists()
    digest = load_atom3d("ppi", root, "test", positives=1).digest()
    assert main(["prepare", "ppi", str(root), "--option", "positives=1"]) == 0
    assert "12 samples of 6 items; left out: 0 broken items" in capsys.readouterr().out
    data = load_atom3d("ppi", root, "test", positives=1)
    assert isinstance(data, PreparedData)
    assert data.digest() == digest
    with pytest.raises(ValueError, match="was prepared for ppi with"):
        load_atom3d("ppi", root, "test")
    assert not isinstance(load_atom3d("ppi", root, "test", prepared=False), PreparedData)


def test_prepare_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["prepare", "psr", str(tmp_path)]) == 2
    assert "no PSR data" in capsys.readouterr().err
    root = write_task("psr", tmp_path / "psr")
    assert main(["prepare", "psr", str(root), "--option", "radius=3"]) == 2
    assert "psr has no option radius" in capsys.readouterr().err
    assert main(["prepare", "psr", str(root), "--option", "radius"]) == 2
    assert "'radius' is not NAME=VALUE" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["prepare", "psr", str(root), "--out", str(tmp_path / "file")]) == 2
    assert "is a file; give a folder" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(UserError, match=r"the disk is full: .* Make room for"):
        prepare("psr", root)


def test_more_than_was_announced_is_not_taken(zenodo: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zenodo[1], "announced", 125)
    with pytest.raises(UserError, match="sends more than the 125 bytes that were announced"):
        download("lba", tmp_path / "data", source=zenodo[0], progress=False)
    assert sum(file.stat().st_size for file in (tmp_path / "data").iterdir()) <= 125


@pytest.mark.parametrize(
    "odd", [b"[]", b"3", b"{}", b'{"files": 3}', b'{"files": [3]}', b'{"files": [{"key": 3}]}', b"x"]
)
def test_an_odd_record_is_named(odd: bytes, zenodo: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zenodo[1], "odd", odd)
    with pytest.raises((UserError, OSError), match=r"unknown form|has no file|no connection"):
        download("lba", tmp_path / "data", source=zenodo[0], progress=False)


@pytest.mark.parametrize("after", [0, 3, 20])
def test_a_full_disk_leaves_the_old_prepared_data(after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever write fails first: no partial folder stays, and the message says how much was missing."""
    data = load_atom3d("psr", write_task("psr", tmp_path / "psr"))
    write_prepared(data, tmp_path / "out" / "train")
    before = {file.name: file.read_bytes() for file in (tmp_path / "out" / "train").iterdir()}
    calls = iter(range(10_000))

    def fsync(number: int) -> None:
        if next(calls) >= after % 16:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(UserError, match=r"the disk is full: .* needs .* free\. Make room for"):
        write_prepared(data, tmp_path / "out" / "train", needed=1e15)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train"]
    assert {file.name: file.read_bytes() for file in (tmp_path / "out" / "train").iterdir()} == before
