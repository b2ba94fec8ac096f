"""Files that appear whole or not at all, and whose damage is noticed: a SHA-256 checksum stands beside each.

The checksum of ``weights.pt`` is in ``weights.pt.sha256``, in the form that ``sha256sum --check`` reads.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from eqgat.errors import UserError

__all__ = ["checksum_file", "file_digest", "read_checked", "verify", "write_checked", "write_checksum", "write_whole"]


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content``; whatever happens, ``path`` holds the old content or the new, and no other file stays.

    Raises:
        OSError: the file cannot be written; where the disk is full, with the space that is missing.

    >>> folder = Path(tempfile.mkdtemp())
    >>> write_whole(folder / "a.txt", b"hello")
    >>> [file.name for file in folder.iterdir()]
    ['a.txt']
    """
    path = Path(path)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with open(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(partial, _MODE)
        os.replace(partial, path)
    except BaseException as error:
        Path(partial).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free
            message = f"no space left for {path}: it takes {len(content):,} bytes, {free:,} are free"
            raise OSError(error.errno, message) from error
        raise


def checksum_file(path: str | os.PathLike[str]) -> Path:
    """Where the checksum of a file stands.

    >>> checksum_file("weights.pt").name
    'weights.pt.sha256'
    """
    path = Path(path)
    return path.with_name(f"{path.name}.sha256")


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file of any size, in hexadecimal.

    >>> file = Path(tempfile.mkdtemp()) / "empty"
    >>> write_whole(file, b"")
    >>> file_digest(file)[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_checked(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file and its checksum; a process killed at any moment leaves the old file or the new one, both valid.

    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> write_checked(file, b"hello")
    >>> read_checked(file)
    b'hello'
    """
    # Until the new file has replaced the old one, the checksums of both are valid.
    old, new = _checksums(path), hashlib.sha256(content).hexdigest()
    _write_checksums(path, [new, *old])
    write_whole(path, content)
    _write_checksums(path, [new])


def write_checksum(path: str | os.PathLike[str]) -> None:
    """Write the checksum of a file that another program wrote, a database for example.

    >>> file = Path(tempfile.mkdtemp()) / "data.mdb"
    >>> _ = file.write_bytes(b"0123")
    >>> write_checksum(file)
    >>> verify(file)
    """
    _write_checksums(path, [file_digest(path)])


def verify(path: str | os.PathLike[str]) -> None:
    """Check a file of any size against its checksum.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the checksum is missing, or the file is damaged.

    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> write_checked(file, b"hello")
    >>> _ = file.write_bytes(b"hellO")
    >>> verify(file)
    Traceback (most recent call last):
    eqgat.errors.UserError: .../a.txt is damaged: its content does not have the checksum in a.txt.sha256
    """
    _compare(path, file_digest(path))


def read_checked(path: str | os.PathLike[str]) -> bytes:
    """The content of a file, once it has passed the check against its checksum.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the checksum is missing, or the file is damaged.

    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> write_checked(file, b"hello")
    >>> read_checked(file)
    b'hello'
    """
    content = Path(path).read_bytes()
    _compare(path, hashlib.sha256(content).hexdigest())
    return content


def _compare(path: str | os.PathLike[str], digest: str) -> None:
    beside = checksum_file(path)
    if not beside.is_file():
        raise UserError(f"{path} has no checksum: {beside.name} must stand beside it; write the file again")
    if digest not in _checksums(path):
        raise UserError(f"{path} is damaged: its content does not have the checksum in {beside.name}")


def _checksums(path: str | os.PathLike[str]) -> list[str]:
    """Valid checksums of a file: one, or two where a process was killed while it wrote."""
    beside = checksum_file(path)
    if not beside.is_file():
        return []
    return [
        line.split()[0] for line in beside.read_text(encoding="ascii", errors="replace").splitlines() if line.strip()
    ]


def _write_checksums(path: str | os.PathLike[str], digests: list[str]) -> None:
    lines = "".join(f"{digest}  {Path(path).name}\n" for digest in dict.fromkeys(digests))
    write_whole(checksum_file(path), lines.encode())


def _mode() -> int:
    """What a new file may be read by, as the user has set it; a temporary file is for its owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


_MODE = _mode()
