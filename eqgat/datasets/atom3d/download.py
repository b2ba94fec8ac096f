"""``eqgat download TASK DIR``: fetch an ATOM3D archive from Zenodo, check it, unpack it safely."""

from __future__ import annotations

import json
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from eqgat.datasets.atom3d.spec import Archive
from eqgat.datasets.task import ATOM3D, TASKS
from eqgat.errors import UserError
from eqgat.files import check_space, checksum, home, is_writable, no_space

__all__ = ["ZENODO", "download", "unpack"]

ZENODO = "https://zenodo.org"
CITATION = (
    "R. J. L. Townshend et al. (2021): ATOM3D: Tasks On Molecules in Three Dimensions. NeurIPS Datasets and "
    "Benchmarks. arXiv:2012.04035"
)
_MOST_FILES, _GROWTH = 10_000, 20  # in an archive; unpacked bytes for each packed one
_CHUNK = 2**20


def download(
    task: str, folder: str | Path, *, source: str = ZENODO, keep_archive: bool = False, progress: bool = True
) -> Path:
    """Fetch and unpack the archive of a task; what was fetched before an interruption is not fetched again.

    An archive that lies in ``folder`` already, copied there by hand, is used as it is.

    Args:
        task: "lba", "psr", "rsr", "res" or "ppi".
        folder: where to put it; made if it is not there.
        source: of the records, Zenodo or a mirror with the same addresses.
        keep_archive: do not remove the archive after unpacking.
        progress: a bar on stderr; never drawn where stderr is not a terminal.

    Returns:
        The folder that the archive unpacks to, which ``load_atom3d`` reads.

    Raises:
        UserError: unknown task; a wrong checksum; an archive that is not safe to unpack; too little space.
        OSError: no connection, or a folder in the way; the message says what to do.
    """
    if task not in ATOM3D:
        raise UserError(f"unknown task {task!r}; there are {', '.join(ATOM3D)}")
    folder = home(folder)
    is_writable(folder, "the folder")
    record: Archive = TASKS[task].archive
    target, archive = folder / record.folder, folder / record.file
    if (target / "data").is_dir():
        print(f"{target} is there already; remove it to fetch it again")
        return target
    if target.exists():
        raise FileExistsError(f"{target} exists and has no folder 'data' in it; remove it, or give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    page = f"{source}/records/{record.record}"
    info: dict[str, Any] = {} if archive.is_file() else _record(source, record, archive)
    licence = info.get("licence") or f"see {page}"
    print(
        f"{task.upper()} of ATOM3D, {page}\nlicence: {licence}. {record.note}\nplease cite: {CITATION};\n"
        f"and the source of the data: {record.source}"
    )
    md5 = info.get("md5") or record.md5
    if not archive.is_file():
        size = info["size"]
        part = archive.with_name(archive.name + ".part")
        check_space(target, 3 * size - (part.stat().st_size if part.is_file() else 0))
        _fetch(info["url"], part, size, archive, progress)
        _check_sum(part, md5)
        part.replace(archive)
    else:
        check_space(target, 2 * archive.stat().st_size)
        _check_sum(archive, md5)
    if md5 is None:
        print(f"no checksum of {record.file} is known; it was not checked")
    unpack(archive, target)
    if not keep_archive:
        archive.unlink()
    print(f"unpacked into {target}; next: eqgat prepare {task} {folder}")
    return target


def unpack(archive: str | Path, target: str | Path, limit: int | None = None) -> None:
    """Unpack a tar archive whose files are in one folder, which becomes ``target``, whole or not at all.

    Only plain files and folders with relative paths that stay inside are unpacked, at most ``limit`` bytes (default:
    20 times the archive) in 10,000 files.

    Raises:
        UserError: the archive is damaged or holds anything else; nothing is left behind but the archive.
        OSError: the disk is full or the folder closed; likewise.
        FileExistsError: ``target`` exists.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "inside").mkdir()
    ...     unpack(shutil.make_archive(f"{folder}/packed", "tar", folder, "inside"), f"{folder}/out")
    ...     (Path(folder) / "out").is_dir()
    True
    """
    archive, target = Path(archive), Path(target)
    if target.exists():
        raise FileExistsError(f"{target} exists; remove it first")
    limit = _GROWTH * archive.stat().st_size + 2**20 if limit is None else limit
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        total = 0
        with tarfile.open(archive, "r:*") as tar:
            for count, member in enumerate(tar, start=1):
                total += member.size
                if problem := _problem(member, count, total, limit):
                    raise UserError(f"{archive.name} is not safe to unpack: {problem}")
                _extract(tar, member, partial)
            while tar.fileobj.read(_CHUNK):  # to the end of the file, where the compression has its own checksum
                pass
        tops = [path for path in partial.iterdir() if path.is_dir() and path.name != "data"]
        inner = partial / target.name if (partial / target.name).is_dir() else tops[0] if len(tops) == 1 else partial
        inner.replace(target)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's trouble, not the archive's
            if (full := no_space(error, target, limit / _GROWTH * 2)) is not error:
                raise full from error
            raise OSError(
                error.errno,
                f"{archive.name} cannot be unpacked into {target} ({error.strerror}); the "
                "archive is kept. Mend that, and give the same command again",
            ) from error
        raise UserError(f"{archive} cannot be unpacked ({error}); remove it and fetch it again") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write a member that ``_problem`` has nothing against, as a plain file or folder without any rights of its own."""
    place = folder / member.name
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    with place.open("wb") as stream:
        shutil.copyfileobj(content, stream, _CHUNK)  # type: ignore[arg-type]
    if place.stat().st_size != member.size:
        raise EOFError(f"{member.name} ends early")


def _problem(member: tarfile.TarInfo, count: int, total: int, limit: int) -> str:
    """What is wrong with a member of an archive; "" if nothing is."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
        return f"the path {member.name!r} leads outside"
    if not (member.isreg() or member.isdir()):
        return f"{member.name!r} is a link or a device"
    if count > _MOST_FILES:
        return f"it has more than {_MOST_FILES} files"
    return f"it is larger than {limit / 2**30:.1f} GiB unpacked" if total > limit else ""


def _record(source: str, record: Archive, archive: Path) -> dict[str, Any]:
    """Address, size, checksum and licence of the archive, as the record tells them."""
    address = f"{source}/api/records/{record.record}"
    try:
        with urllib.request.urlopen(address, timeout=60) as reply:
            answer = json.load(reply)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        raise _offline(source, record, archive, error) from error
    try:
        file = next((file for file in answer["files"] if file["key"] == record.file), None)
        if file is not None:
            licence = answer.get("metadata", {}).get("license") or {}
            return {
                "url": f"{source}/records/{record.record}/files/{record.file}?download=1",
                "size": int(file["size"]),
                "md5": str(file.get("checksum", "")).removeprefix("md5:") or None,
                "licence": licence.get("id") if isinstance(licence, dict) else str(licence),
            }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{address} answers in an unknown form ({type(error).__name__}: {error}); fetch {record.file} in another "
            f"way, copy it to {archive}, and give the same command again"
        ) from error
    raise UserError(f"the record {address} has no file {record.file}; its address may have changed")


def _fetch(url: str, part: Path, size: int, archive: Path, progress: bool, attempts: int = 5) -> None:
    """Load ``url`` into ``part``, from where it ends; tries again after interruptions."""
    from tqdm import tqdm

    for attempt in range(attempts):
        start = part.stat().st_size if part.is_file() else 0
        if start > size:
            part.unlink()
            start = 0
        if start == size:
            return
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                resumed = reply.status == 206
                with (
                    part.open("ab" if resumed else "wb") as stream,
                    tqdm(
                        total=size,
                        initial=start if resumed else 0,
                        unit="B",
                        unit_scale=True,
                        desc=archive.name,
                        disable=None if progress else True,
                    ) as bar,
                ):
                    room = size - (start if resumed else 0)
                    while chunk := reply.read(min(_CHUNK, room + 1)):
                        if len(chunk) > room:
                            raise UserError(
                                f"{url} sends more than the {size:,} bytes that were announced; nothing more was "
                                f"read. Remove {part} and try again, or fetch the file in another way"
                            )
                        stream.write(chunk)
                        bar.update(len(chunk))
                        room -= len(chunk)
        except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError) as error:
            failure: Exception = error
        except OSError as error:
            raise no_space(error, part, size - (part.stat().st_size if part.is_file() else 0)) from error
        else:
            failure = ConnectionError("the connection ended early")
        if part.is_file() and part.stat().st_size == size:
            return
        if attempt + 1 < attempts:
            time.sleep(min(2.0**attempt, 10) if progress else 0)
    raise OSError(
        f"{archive.name} could not be fetched in {attempts} attempts ({failure}); what has come is kept in "
        f"{part}, and the same command goes on from there"
    ) from failure


def _offline(source: str, record: Archive, archive: Path, error: Exception) -> OSError:
    size = "" if record.gigabytes is None else f" ({record.gigabytes} GB)"
    what = (
        f"{source} answered with an error ({error})"
        if isinstance(error, urllib.error.HTTPError)
        else f"no connection to {source} ({error})"
    )
    return OSError(
        f"{what}. Without a network: fetch {record.file}{size} from "
        f"{ZENODO}/records/{record.record} elsewhere, copy it to {archive}, and give the same command again. Notebooks "
        "and tests need no download: they use small real data that come with the package"
    )


def _check_sum(file: Path, md5: str | None) -> None:
    if md5 is None:
        return
    found = checksum(file, "md5")
    if found != md5:
        broken = file.with_name(file.name.removesuffix(".part") + ".broken")
        file.replace(broken)
        raise UserError(
            f"{file.name.removesuffix('.part')} has the checksum {found} instead of {md5}: "
            f"it is damaged, and was renamed to {broken.name}. Give the command again to fetch it anew"
        )
