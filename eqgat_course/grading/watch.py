"""What a session holds, watched by its judge: memory of all its processes, and files, with or without a name.

The limits of the operating system are for one process and one file each; a submission may start many of both.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil  # comes with ipykernel

__all__ = ["MOST_FILES", "MOST_PROCESSES", "Watch", "file_bytes", "memory"]

MOST_PROCESSES, MOST_FILES = 64, 5000
_PERIOD = 0.2


class Watch:
    """A thread that calls ``stop`` once the session of process ``pid`` holds too much; ``reason`` says of what."""

    def __init__(self, pid: int, scratch: Path, most_bytes: int, stop: Callable[[], None]) -> None:
        """``most_bytes``: of memory, beyond what ``pid`` takes now, and of files, each."""
        self.pid, self.scratch, self.most_bytes, self.stop = pid, scratch, most_bytes, stop
        self.reason = ""
        self._base = memory([pid])
        self._others = {child.pid for child in _children()} - {pid}  # a test runner has children of its own
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._done.wait(_PERIOD):
            self.reason = self._too_much()
            if self.reason:
                self.stop()
                while not self._done.wait(_PERIOD / 4):  # what has left the group; more may start while this looks
                    for child in self._session():
                        with suppress(psutil.Error):
                            child.kill()
                return

    def _session(self) -> list[psutil.Process]:
        """The session's processes: what leaves its process group is adopted by this one, which starts nothing else."""
        return [child for child in _children() if child.pid not in self._others]

    def _too_much(self) -> str:
        with suppress(psutil.Error):
            pids = [child.pid for child in self._session()]
            megabytes = f"{self.most_bytes // 2**20} MB"
            if len(pids) > MOST_PROCESSES:
                return f"the answer started more than {MOST_PROCESSES} processes"
            if memory(pids) - self._base > self.most_bytes:
                return f"the answer and the processes that it started took more than {megabytes} of memory"
            try:
                if file_bytes(pids, self.scratch, self.most_bytes) > self.most_bytes:
                    return f"the answer wrote more than {megabytes} or {MOST_FILES} files"
            except PermissionError:
                return "the answer hid its open files from the grader"
        return ""


def _children() -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process().children(recursive=True)
    return []


def memory(pids: list[int]) -> int:
    """Bytes that the processes hold in memory; where the system tells it (Linux), shared pages are counted once."""
    total = 0
    for pid in pids:
        with suppress(psutil.Error, OSError, StopIteration, ValueError):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
            except OSError:  # another system, or a process that hides
                total += psutil.Process(pid).memory_info().rss
    return total


def file_bytes(pids: list[int], scratch: Path, most: int) -> int:
    """Bytes on disk, or in memory, of the files below ``scratch`` and of those without a name that are open (Linux).

    Stops, with more than ``most``, at ``MOST_FILES``. Raises: PermissionError: a process hides what it has open.
    """
    sizes: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(scratch):
        for name in names:
            with suppress(OSError):
                found = os.lstat(os.path.join(folder, name))
                sizes[found.st_dev, found.st_ino] = 512 * found.st_blocks
        if len(sizes) > MOST_FILES:
            return most + 1
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            for handle in os.scandir(f"/proc/{pid}/fd"):
                with suppress(FileNotFoundError, ProcessLookupError):
                    found = os.stat(handle.path)
                    if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                        sizes[found.st_dev, found.st_ino] = 512 * found.st_blocks
    return sum(sizes.values())
