"""Files that are written whole or not at all, with a checksum beside them that is checked when they are read.

The checksums stand in a small text file in the form of the program ``sha256sum``, which can check them too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from eqgat.errors import UserError

__all__ = [
    "check_new_file",
    "check_output",
    "check_space",
    "checksum",
    "home",
    "is_structure",
    "is_writable",
    "new_folder",
    "no_space",
    "read_checked",
    "stem",
    "sums_beside",
    "verify",
    "write_checked",
    "write_files",
]

_CHUNK = 2**20
_ENDINGS = re.compile(r"(?i)(\.(pdb\d*|ent|cif|mmcif)(\.gz)?)+$")


def checksum(file: str | os.PathLike[str], kind: str = "sha256") -> str:
    """SHA-256 of a file, or another sum that ``hashlib`` knows, in hexadecimal.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checksum(write_checked(Path(folder) / "a.txt", "some text"))[:8]
    'b94f6f12'
    """
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(file, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sums_beside(file: str | os.PathLike[str]) -> Path:
    """Where the checksum of a single file stands: ``weights.pt`` -> ``weights.pt.sha256``.

    >>> sums_beside("model/weights.pt").name
    'weights.pt.sha256'
    """
    file = Path(file)
    return file.with_name(f"{file.name}.sha256")


def write_checked(file: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file and its checksum beside it. See ``write_files``.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_checked(Path(folder) / "a.txt", "some text")
    ...     read_checked(file)
    b'some text'
    """
    file = Path(file)
    write_files({file: content}, sums_beside(file))
    return file


def write_files(contents: Mapping[Path, bytes | str], sums: Path | None = None) -> None:
    """Write files that belong together, whole or not at all.

    All are written beside their places first, and only then moved there: a full disk leaves the old ones as they are. A
    process killed between two moves leaves old and new files, each whole and each with a checksum that is in ``sums``.

    Args:
        contents: file -> its content; folders are made. Of a link, the file that it points to is written.
        sums: file of the checksums, in the folder of the files; None: none are written.

    Raises:
        UserError: a folder, device or pipe is in the place of a file; the disk is full, and how much room was missing.
        OSError: other trouble with the disk.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_files({Path(folder) / name: name for name in ("a", "b")}, Path(folder) / "sums.sha256")
    ...     read_checked(Path(folder) / "b", Path(folder) / "sums.sha256")
    b'b'
    """
    data = {Path(file): text.encode() if isinstance(text, str) else text for file, text in contents.items()}
    new = [f"{hashlib.sha256(text).hexdigest()}  {file.name}" for file, text in data.items()]
    old = sums.read_text(encoding="utf-8").splitlines() if sums is not None and sums.is_file() else []
    staged: dict[Path, Path] = {}
    needed = sum(map(len, data.values()))
    first = next(iter(data))
    for file in (*data, *([] if sums is None else [sums])):
        check_output(file, sums=sums)
    try:
        for file, text in data.items():
            place = _target(file)
            place.parent.mkdir(parents=True, exist_ok=True)
            staged[place] = _stage(place, text)
        if sums is not None:  # both, until the last file is in its place
            _put(sums, [*new, *(line for line in old if line not in new)])
        for place, partial in staged.items():
            os.replace(partial, place)
        if sums is not None and old:
            _put(sums, new)
    except OSError as error:
        raise no_space(error, first, needed) from error
    finally:
        for partial in staged.values():
            partial.unlink(missing_ok=True)


def _put(sums: Path, lines: list[str]) -> None:
    """Replace the file of checksums."""
    sums = _target(sums)
    partial = _stage(sums, "\n".join([*lines, ""]).encode())
    try:
        os.replace(partial, sums)
    finally:
        partial.unlink(missing_ok=True)


def _target(file: Path) -> Path:
    """The file that a link points to, there or not; of any other the file itself."""
    return Path(os.path.realpath(file)) if file.is_symlink() else file


def _stage(file: Path, content: bytes) -> Path:
    """A whole copy of what ``file`` is to become, on the disk, beside it."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def read_checked(file: str | os.PathLike[str], sums: Path | None = None) -> bytes:
    """The content of a file, whose checksum must be among those in ``sums`` (default: beside it).

    Raises:
        UserError: the file was changed or damaged after it was written, or has no checksum.
        FileNotFoundError: no such file.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_checked(Path(folder) / "a", "old").write_text("new")
    ...     read_checked(Path(folder) / "a")
    Traceback (most recent call last):
    eqgat.errors.UserError: ...a is damaged: its checksum is not the one in a.sha256; make the file anew
    """
    file = Path(file)
    content = file.read_bytes()
    _compare(file, hashlib.sha256(content).hexdigest(), sums or sums_beside(file))
    return content


def verify(file: str | os.PathLike[str], sums: Path | None = None) -> None:
    """Raise as ``read_checked`` does, without holding the file in memory.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     verify(write_checked(Path(folder) / "a.txt", "some text"))
    """
    file = Path(file)
    _compare(file, checksum(file), sums or sums_beside(file))


def _compare(file: Path, found: str, sums: Path) -> None:
    try:
        lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError as error:
        raise UserError(f"{file} has no checksum: {sums.name} is missing beside it; make the file anew") from error
    if f"{found}  {file.name}" not in lines:
        raise UserError(f"{file} is damaged: its checksum is not the one in {sums.name}; make the file anew")


def no_space(error: OSError, place: Path, needed: float) -> OSError | UserError:
    """The error to raise for ``error``: where the disk is full, one that says how much room was missing.

    Args:
        error: what the system said.
        place: what was to be written.
        needed: bytes that all of it takes.

    >>> no_space(PermissionError(13, "no"), Path("weights.pt"), 1e6)
    PermissionError(13, 'no')
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    folder = next(path for path in place.absolute().parents if path.is_dir())
    free = shutil.disk_usage(folder).free
    return UserError(
        f"the disk is full: {place} needs {_size(needed)}, and {folder} has {_size(free)} free. Make room for "
        f"{_size(max(needed - free, 1))} more; what was there before is unchanged"
    )


def check_space(place: Path, needed: float) -> None:
    """Raise what ``no_space`` says of a full disk, where ``place`` needs more bytes than there are.

    >>> check_space(Path("weights.pt"), 1e30)
    Traceback (most recent call last):
    eqgat.errors.UserError: the disk is full: weights.pt needs ...
    """
    folder = next(path for path in place.absolute().parents if path.is_dir())
    if shutil.disk_usage(folder).free < needed:
        raise no_space(OSError(errno.ENOSPC, "no room"), place, needed)


def _size(count: float) -> str:
    """Bytes as a text that can be read: 3.2 MiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def check_output(
    file: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = (), sums: Path | None = None
) -> None:
    """Check that a file can be written, with its checksum in ``sums`` if any, without harm to what is there.

    Raises:
        UserError: it is one of ``inputs``, under whatever name; a part of a model, whose checksum is beside it; or no
            file but a folder, a device or a pipe.

    >>> check_output(__file__, [__file__])
    Traceback (most recent call last):
    eqgat.errors.UserError: ... would be written over what is read; give another name for what is written
    """
    file = Path(file)
    if "\0" in str(file):
        raise UserError(f"{str(file)!r} has a null character in its name; give another name")
    if not file.exists():
        return
    if not file.is_file():
        raise UserError(f"{file} is a folder, a device or a pipe, and would be replaced; give the name of a file")
    if any(os.path.exists(one) and os.path.samefile(file, one) for one in inputs):
        raise UserError(f"{file} would be written over what is read; give another name for what is written")
    if sums_beside(file) != sums and sums_beside(file).exists():
        raise UserError(
            f"{file} is kept with a checksum, as parts of models are; give another name for what is written"
        )


def home(path: str | os.PathLike[str]) -> Path:
    """A path with a home folder in the place of ~ or ~NAME.

    Raises:
        UserError: there is no user of that name.

    >>> home("~nobody-of-this-name/data")
    Traceback (most recent call last):
    eqgat.errors.UserError: '~nobody-of-this-name/data' begins with the name of no user here; give the whole path
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{str(path)!r} begins with the name of no user here; give the whole path") from error


def check_new_file(file: str | os.PathLike[str], option: str, inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Check, before a command starts its work, that the file which it was told to write can be written where it is.

    Raises:
        UserError: naming ``option``: a folder, or in a folder that is not there or cannot be written to; and as
            ``check_output``.

    >>> check_new_file("no/such/folder/page.html", "--out")
    Traceback (most recent call last):
    eqgat.errors.UserError: --out: there is no folder no/such/folder to write page.html into; make it, or give another one
    """
    file = Path(file)
    if file.is_dir():
        raise UserError(f"{option} {file} is a folder; give the name of a file in it")
    if not file.parent.is_dir():
        raise UserError(
            f"{option}: there is no folder {file.parent} to write {file.name} into; make it, or give another one"
        )
    is_writable(file.parent, option)
    check_output(file, inputs)


def stem(name: str) -> str:
    """A file's name without the endings of structure files, as text: bytes that are no UTF-8 become the sign for that.

    >>> stem("1abc.pdb.gz"), stem("1abc.pdb1"), stem("notes.txt"), stem(os.fsdecode(b"caf\\xe9.pdb"))
    ('1abc', '1abc', 'notes.txt', 'caf\ufffd')
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _ENDINGS.sub("", text)


def is_structure(name: str) -> bool:
    """Whether a file's name is one of a structure file.

    >>> is_structure("1abc.pdb.gz"), is_structure("notes.txt")
    (True, False)
    """
    return _ENDINGS.search(name) is not None


def is_writable(folder: str | os.PathLike[str], option: str) -> None:
    """Check that files can be written into ``folder``, or that it can be made; leaves nothing behind.

    Raises:
        UserError: naming ``option``, the one that gives the folder.

    >>> is_writable("/dev/null/results", "--results")
    Traceback (most recent call last):
    eqgat.errors.UserError: --results /dev/null/results: /dev/null is a file; give a folder
    """
    try:
        folder = home(folder).absolute()
        if "\0" in str(folder):
            raise OSError("a null character is in its name")
        place = next(path for path in (folder, *folder.parents) if path.exists())
        if not place.is_dir():
            raise UserError(f"{option} {folder}: {place} is a file; give a folder")
        with tempfile.TemporaryFile(dir=place):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{option} {str(folder)!r} cannot be written to ({error}); give another folder") from error


@contextmanager
def new_folder(folder: Path, needed: float = 0) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` when all is written, and disappears if anything fails.

    Args:
        folder: what it becomes; what was there before is replaced.
        needed: bytes that it will take, for the message of a full disk.

    Raises:
        UserError: the disk is full.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_folder(Path(folder) / "data") as partial:
    ...         _ = (partial / "a").write_text("some text")
    ...     (Path(folder) / "data" / "a").read_text()
    'some text'
    """
    partial, former = (folder.with_name(f"{folder.name}.{os.getpid()}.{end}") for end in ("partial", "former"))
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            folder.replace(former)
        partial.replace(folder)
    except OSError as error:
        raise no_space(error, folder, needed) from error
    finally:
        for left in (partial, former):
            shutil.rmtree(left, ignore_errors=True)
