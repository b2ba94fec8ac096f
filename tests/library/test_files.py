"""Files that appear whole or not at all, and whose damage is noticed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from eqgat import files
from eqgat.errors import UserError
from eqgat.files import read_checked, sums_beside, verify, write_checked, write_files


def test_the_checksum_is_the_one_that_sha256sum_reads(tmp_path):
    write_checked(tmp_path / "a.txt", b"hello\n")
    digest = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert sums_beside(tmp_path / "a.txt").read_text() == f"{digest}  a.txt\n"
    assert read_checked(tmp_path / "a.txt") == b"hello\n"


@pytest.mark.parametrize("damaged", [b"", b"hell", b"hello!", b"jello"])
def test_damage_is_noticed(tmp_path, damaged):
    file = tmp_path / "a.txt"
    write_checked(file, b"hello")
    file.write_bytes(damaged)
    for read in (read_checked, verify):
        with pytest.raises(UserError, match=r"a\.txt is damaged"):
            read(file)


def test_a_missing_or_empty_checksum_is_no_checksum(tmp_path):
    file = tmp_path / "a.txt"
    write_checked(file, b"hello")
    sums_beside(file).write_text("")
    with pytest.raises(UserError, match="damaged"):
        read_checked(file)
    sums_beside(file).unlink()
    with pytest.raises(UserError, match=r"no checksum: a\.txt\.sha256"):
        read_checked(file)
    write_checked(file, file.read_bytes())
    assert read_checked(file) == b"hello"


@pytest.mark.parametrize("step", range(4))
def test_a_process_that_dies_at_any_step_leaves_the_old_or_the_new_file_both_valid(tmp_path, monkeypatch, step):
    """Three renames make a checked file; the process is stopped before the first, second, third, or not at all."""
    file, replace, left = tmp_path / "a.txt", os.replace, [step]

    def dying(source, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        replace(source, target)

    write_checked(file, b"old")
    monkeypatch.setattr(os, "replace", dying)
    try:
        write_checked(file, b"new")
        assert step == 3
    except KeyboardInterrupt:
        assert step < 3
    monkeypatch.undo()
    assert read_checked(file) == (b"old" if step < 2 else b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "a.txt.sha256"]
    write_checked(file, b"newer")
    assert len(sums_beside(file).read_text().splitlines()) == 1


def test_a_full_disk_leaves_the_old_file_and_says_what_is_missing(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    write_files({file: b"old"})

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match=r"the disk is full: .*a\.txt needs 3 bytes, and .* has .* free"):
        write_files({file: b"new"})
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("there", [True, False])
def test_of_a_link_the_file_that_it_points_to_is_written(tmp_path, there):
    (tmp_path / "far").mkdir()
    if there:
        (tmp_path / "far" / "b.txt").write_text("old")
    (tmp_path / "a.txt").symlink_to("far/b.txt")
    write_checked(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "far" / "b.txt").read_text() == "new"
    assert read_checked(tmp_path / "a.txt") == b"new"


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
@pytest.mark.parametrize("name", ["a.txt", "link", "a.txt.sha256"])
def test_a_pipe_or_a_folder_is_not_replaced_by_a_file(tmp_path, name):
    for make in (os.mkfifo, os.mkdir):
        folder = tmp_path / make.__name__
        folder.mkdir()
        (folder / "link").symlink_to("thing")
        thing = folder / ("thing" if name == "link" else name)
        make(thing)
        before = thing.stat()
        with pytest.raises(UserError, match="is a folder, a device or a pipe"):
            write_checked(folder / name.removesuffix(".sha256"), "new")
        assert thing.stat() == before
        assert sorted(file.name for file in folder.iterdir()) == sorted({"link", thing.name})


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
def test_a_written_file_may_be_read_by_whom_the_user_lets(tmp_path):
    program = "import os; os.umask(0o027); from eqgat.files import write_checked; write_checked('a.txt', b'')"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
