"""A disk that is really full: each command leaves what was there, nothing half-made, and says how much was missing.

The disk is a small one in memory, which only root may mount; where it cannot be mounted, the tests of the single
modules, whose writing fails on request, say the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from atom3d_items import write_task

from eqgat.cli import main

pytestmark = pytest.mark.slow

TRAIN = ["train", "triangle", "--size", "60", "--epochs", "2", "--batch-size", "16", "--accelerator", "cpu"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def fill(disk: Path, left: int) -> None:
    """Leave so many KiB."""
    usage = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(usage.f_bavail * usage.f_frsize - left * 1024))


def prepare(disk: Path) -> list[str]:
    write_task("psr", disk.parent / "psr")
    return ["prepare", "psr", str(disk.parent / "psr"), "--out", str(disk / "prepared")]


def download(disk: Path) -> list[str]:
    """The archive is there, and is to be unpacked."""
    folder = write_task("lba", disk.parent / "lba")
    with tarfile.open(disk / "LBA-split-by-sequence-identity-30.tar.gz", "w:gz") as tar:
        tar.add(folder / "split-by-sequence-identity-30", "split-by-sequence-identity-30")
    return ["download", "lba", str(disk)]


def tables(disk: Path) -> list[str]:
    (disk / "results").mkdir()
    return ["tables", "--results", str(disk / "results"), "--out", str(disk / "tables")]


def train(disk: Path) -> list[str]:
    (disk / "data").mkdir()
    files = ["--data", str(disk / "data"), "--runs", str(disk / "runs"), "--results", str(disk / "results")]
    return ["train", "triangle", "--size", "60", "--epochs", "1", "--accelerator", "cpu", *files]


def one_figure(disk: Path) -> list[str]:
    return ["figures", "planar-cross-product", "--out", str(disk / "figures"), "--workers", "1"]


def begun(arguments: list[str], disk: Path) -> None:
    """What an earlier call left, which this one would replace or go on from."""
    if arguments[0] == "train":
        assert main([*arguments, "--time-limit", "00:00:00"]) in (0, 3)
        assert list(disk.rglob("last.ckpt"))
    elif arguments[0] != "download":
        assert main(arguments) == 0
        for file in disk.rglob("*.png"):  # else the same picture is left as it is
            file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize("command", [prepare, download, tables, train, one_figure])
def test_a_full_disk_changes_nothing(command, disk, capsys):
    arguments = command(disk)
    begun(arguments, disk)
    for left in (0, 12):
        fill(disk, left)
        before = contents(disk)
        capsys.readouterr()
        assert main(arguments) == 2
        told = capsys.readouterr().err
        assert re.search(r"needs .* free\. Make room for .* more|has .* free, and .* are needed; make room", told), told
        assert contents(disk) == before
        (disk / "filler").unlink()
    assert main(arguments) == 0
