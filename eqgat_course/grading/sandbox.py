"""What a session may do to the machine: limits of the operating system, set by the session before the student's code.

On Linux: memory beyond what the libraries take, processor time, size of one file, number of processes (not for root);
and, from Linux 5.13 on, Landlock: the session reads the Python installation and writes its scratch folder, nothing
else; from 6.7 on it opens no TCP connection, from 6.12 on it signals no process but its own. On macOS: processor time
and file size alone. ``watch`` adds limits on what all processes and files of a session take together. Whoever grades
as root, or on a system without Landlock, should grade in a container or with an account of its own; ``weaknesses`` says
so. Without Landlock a session might change whatever the account may change; into the judge it cannot reach on Linux
(``hide``), elsewhere it might.
"""

from __future__ import annotations

import ctypes
import os
import re
import site
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import eqgat

__all__ = [
    "Limits",
    "confine",
    "die_with_parent",
    "drop_privileges",
    "environment",
    "hide",
    "kill_children",
    "landlock_version",
    "set_limits",
    "weaknesses",
]

_CREATE, _ADD_PATH, _RESTRICT = 444, 445, 446  # the same on every architecture
_EXECUTE, _WRITE, _READ, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_OF_FILES = _EXECUTE | _WRITE | _READ | 1 << 14 | 1 << 15
_PASSED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "EQGAT_PROFILE")


@dataclass(frozen=True)
class Limits:
    """Seconds for one cell or test, seconds for a submission, memory in MB beyond the libraries, one file in MB."""

    cell: float = 60.0
    total: float = 300.0
    memory: int = 2048
    file: int = 200


def environment(scratch: Path) -> dict[str, str]:
    """The variables of a session: few of the teacher's, every folder for writing in ``scratch``, one thread."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    folders = ("HOME", "TMPDIR", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "XDG_CACHE_HOME")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    modules = {"PYTHONPATH": str(Path(eqgat.__file__).parents[1]), "PYTHONUSERBASE": site.getuserbase()}
    return {
        **passed,
        **dict.fromkeys(folders, str(scratch)),
        **threads,
        **modules,
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
    }


def landlock_version() -> int:
    """Version of Landlock that the kernel offers; 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, ctypes.CDLL(None).syscall(_CREATE, None, ctypes.c_size_t(0), 1))


def weaknesses() -> list[str]:
    """What this machine does not enforce, one sentence each."""
    found = []
    if landlock_version() == 0:
        found.append("no Landlock here: a submission could change files of the account that grades")
    if sys.platform == "darwin":
        found.append("macOS does not enforce the memory limit; it is watched only")
    if os.geteuid() == 0:
        found.append("you grade as root, whose processes the system does not count: use an ordinary account")
    return found


def die_with_parent() -> None:
    """Be killed when the parent ends, and adopt grandchildren whose parents end (Linux)."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
        libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def hide() -> None:
    """Close this process's memory and open files to other programs of the account (Linux), Landlock or not."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def drop_privileges() -> None:
    """Give up for good what root may and others may not (Linux): lift limits, read every file, reach any process."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        libc.prctl(28, 0x2F, 0, 0, 0)  # PR_SET_SECUREBITS: a program that root starts gets nothing back; locked
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        libc.capset(struct.pack("=Ii", 0x20080522, 0), bytes(24))


def confine(scratch: Path) -> bool:
    """Forbid this process for good to write outside ``scratch`` and to read outside of it and Python; was it done?"""
    version = landlock_version()
    if version == 0:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    rights = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network, scope = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    attributes = struct.pack("QQQ", rights, network, scope)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    _allow(libc, rules, _readable(), (_EXECUTE | _READ | _READ_DIR) & rights)
    _allow(libc, rules, [scratch], rights)
    _allow(libc, rules, [Path("/dev/null")], (_READ | _WRITE) & rights)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, without which an ordinary account may not restrict itself
    done = libc.syscall(_RESTRICT, rules, 0) == 0
    os.close(rules)
    return bool(done)


def _readable() -> list[Path]:
    package = Path(eqgat.__file__).parent
    system = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/opt/conda", "/proc", "/sys", "/dev/urandom", "/dev/zero")
    installed = [path for path in sys.path if re.search(r"(site|dist)-packages|lib/python", path)]
    return [package, *map(Path, (sys.prefix, sys.base_prefix, *installed, *system))]


def _allow(libc: ctypes.CDLL, rules: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = rights if path.is_dir() else rights & _OF_FILES
        libc.syscall(_ADD_PATH, rules, 1, struct.pack("=Qi", allowed, handle), 0)
        os.close(handle)


def set_limits(limits: Limits) -> None:
    """Set the limits of this process for good (call when the libraries are loaded)."""
    import resource

    def limit(kind: int, value: int) -> None:
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))

    limit(resource.RLIMIT_CPU, int(2 * limits.total) + 1)
    limit(resource.RLIMIT_FSIZE, limits.file * 2**20)
    limit(resource.RLIMIT_CORE, 0)
    if sys.platform.startswith("linux"):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit(resource.RLIMIT_AS, pages * resource.getpagesize() + limits.memory * 2**20)
        limit(resource.RLIMIT_NPROC, _threads_of_user() + 128)


def _threads_of_user() -> int:
    """Threads that run under this account, which RLIMIT_NPROC counts."""
    number = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == os.getuid():
                number += len(os.listdir(folder / "task"))
        except OSError:  # ended meanwhile
            continue
    return number


def kill_children() -> None:
    """Kill every descendant of this process: what a session started outside of its group is adopted by its judge."""
    import psutil  # comes with ipykernel

    for _ in range(50):
        children = psutil.Process().children(recursive=True)
        if not children:
            return
        for child in children:
            try:
                child.kill()
                child.wait(timeout=1)
            except psutil.Error:
                continue
