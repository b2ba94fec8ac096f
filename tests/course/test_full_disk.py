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
    if not (disk.parent / "psr").exists():
        write_task("psr", disk.parent / "psr", 40)
    return ["prepare", "psr", str(disk.parent / "psr"), "--out", str(disk / "prepared")]


def download(disk: Path) -> list[str]:
    """The archive is there, and is to be unpacked."""
    if not (disk.parent / "lba").exists():
        folder = write_task("lba", disk.parent / "lba", 40)
        with tarfile.open(disk / "LBA-split-by-sequence-identity-30.tar.gz", "w:gz") as tar:
            tar.add(folder / "split-by-sequence-identity-30", "split-by-sequence-identity-30")
    return ["download", "lba", str(disk), "--split", "identity-30"]


def tables(disk: Path) -> list[str]:
    (disk / "results").mkdir(exist_ok=True)
    return ["tables", "--results", str(disk / "results"), "--out", str(disk / "tables")]


def train(disk: Path) -> list[str]:
    return [*TRAIN, "--data", str(disk / "data"), "--runs", str(disk / "runs"), "--results", str(disk / "results")]


def one_figure(disk: Path) -> list[str]:
    return ["figures", "fig-1a-neighbourhood", "planar-cross-product", "--out", str(disk / "figures"), "--workers", "1"]


@pytest.mark.parametrize("left", [0, 4, 24, 100])
@pytest.mark.parametrize("command", [prepare, download, tables, train, one_figure])
@pytest.mark.parametrize("again", [False, True])
def test_a_full_disk_changes_nothing(command, left, again, disk, capsys):
    """With nothing there before, and (``again``) with what an earlier call left, which the new one would replace."""
    arguments = command(disk)
    if again:
        assert main(arguments) == 0
        capsys.readouterr()
    fill(disk, left)
    before = contents(disk)
    status = main(arguments)
    told = capsys.readouterr().err
    after = contents(disk)
    if status:
        assert (status, told.count("\n")) == (2, 1), told
        assert re.search(r"the disk is full: .* needs .*, and .* has .* free\. Make room for .* more", told)
        assert {name: text for name, text in after.items() if name in before} == before
        assert not [name for name in after if "partial" in name or name.endswith((".tmp", ".former"))]
    else:
        assert after.keys() >= before.keys()
    for file in ("filler",):
        (disk / file).unlink()
    assert main(arguments) == 0
