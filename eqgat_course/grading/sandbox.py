"""Where a session runs: inside bubblewrap, where that is installed, and always within limits.

Inside bubblewrap (Linux, the program ``bwrap``) a session has no network, no process but its own, no user but nobody,
and a file system that holds Python, the packages and the course without its checks, all read-only, and an empty folder
in memory as its home. Nothing of it outlives the session. Elsewhere a session is an ordinary process of the account
that grades, in an empty folder; ``weakness`` says why, and so do the command and the teacher's page.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil  # comes with ipykernel

import eqgat
import eqgat_course

__all__ = ["MOST_PROCESSES", "Limits", "Watch", "course_without_checks", "kill", "launch", "set_limits", "weakness"]

MOST_PROCESSES = 64
_PERIOD = 0.2
_HOME = "/student"
# Of the grading itself a session needs its own side alone.
_HIDDEN = ("checks.py", "release", "projects", "grade.py", "judge.py", "plan.py", "remote.py", "report.py")
_PASSED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "EQGAT_PROFILE")


@dataclass(frozen=True)
class Limits:
    """Seconds for one cell or test, seconds for a submission, memory in MB beyond the libraries, one file in MB."""

    cell: float = 60.0
    total: float = 900.0
    memory: int = 2048
    file: int = 200


@cache
def weakness() -> str:
    """Why sessions are not isolated on this machine, one sentence; empty where bubblewrap works."""
    if not sys.platform.startswith("linux"):
        return "bubblewrap, which isolates answers, exists on Linux only"
    if shutil.which("bwrap") is None:
        return "bubblewrap, which isolates answers, is not installed (Debian, Ubuntu, Fedora: package bubblewrap)"
    with tempfile.TemporaryDirectory() as folder:
        command = [*_bwrap(Path(folder), Limits()), *_python(Path(folder), "import numpy")]
        tried = subprocess.run(command, capture_output=True, text=True, env=_environment(Path(folder), _HOME))
    if tried.returncode == 0:
        return ""
    reason = (tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"])[-1]
    return f"bubblewrap, which isolates answers, is installed but does not work here ({reason})"


def course_without_checks(folder: Path) -> None:
    """Write what a session may see of ``eqgat_course`` into ``folder``: all but checks, solutions and grading.

    And matplotlib's list of fonts, which would else be made anew for each session.
    """
    source = Path(eqgat_course.__file__).parent
    shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns(*_HIDDEN, "__pycache__"))
    for fonts in Path(os.environ.get("MPLCONFIGDIR") or Path.home() / ".cache/matplotlib").glob("fontlist-*.json"):
        shutil.copy(fonts, folder)


def launch(
    course: Path, scratch: Path, limits: Limits, code: str, arguments: list[str], isolated: bool
) -> subprocess.Popen[bytes]:
    """Start Python with the packages of ``course``; its standard input and output are pipes.

    Args:
        course: folder of ``course_without_checks``.
        scratch: its home, if it is not isolated.
        limits: of memory, for the files of an isolated one.
        code: what to run.
        arguments: its ``sys.argv[1:]``.
        isolated: inside bubblewrap?
    """
    return subprocess.Popen(
        [*(_bwrap(course, limits) if isolated else []), *_python(course, code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        env=_environment(course, _HOME if isolated else str(scratch)),
        start_new_session=True,
    )


def _python(course: Path, code: str) -> list[str]:
    """Python that runs ``code`` with our packages.

    The interpreter itself, because links to it, as in a virtual environment, may lead outside of what a session sees;
    and packages come after Python's own modules, because some bring an old copy of one.
    """
    folders = [str(path) for path in (course, Path(eqgat.__file__).parents[1], *_packages())]
    return [os.path.realpath(sys.executable), "-ISB", "-c", f"import sys; sys.path += {folders}; {code}"]


def _packages() -> list[Path]:
    """Folders of installed packages: what Python calls so, and what the teacher has put on PYTHONPATH."""
    chosen = [Path(part).resolve() for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    folders = [Path(part) for part in sys.path if part]
    return [
        path
        for path in folders
        if path.is_dir()
        and (
            path.name in ("site-packages", "dist-packages")
            or (path.resolve() in chosen and not (path / "eqgat_course").exists())
        )
    ]


def _environment(course: Path, home: str) -> dict[str, str]:
    """The variables of a session: few of the teacher's, every folder for writing in its home, one thread."""
    folders = ("HOME", "TMPDIR", "TEMP", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "XDG_CACHE_HOME")
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
        **dict.fromkeys(folders, home),
        **dict.fromkeys(threads, "1"),
        "MPLCONFIGDIR": home if home == _HOME else str(course),
        "MPLBACKEND": "agg",
        "USER": "student",
    }


def _bwrap(course: Path, limits: Limits) -> list[str]:
    """The command that goes before another to isolate it. Every folder keeps its place.

    What root starts is root for the kernel, which then counts no processes: so root lays out the files, becomes nobody,
    and only nobody's program enters the user name space.
    """
    known = subprocess.run(["bwrap", "--help"], capture_output=True, text=True).stdout
    alone = ["bwrap", "--unshare-user", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    alone += ["--uid", "65534", "--gid", "65534", "--hostname", "grading"]
    alone += ["--disable-userns"] if "--disable-userns" in known else []
    if os.geteuid() == 0:
        tools = [
            part for tool in ("bwrap", "setpriv") if (path := shutil.which(tool)) for part in ("--ro-bind", path, path)
        ]
        command = ["bwrap", "--die-with-parent", *_files(course), *tools]
        command += ["--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc", "--cap-add", "ALL", "--"]
        command += [
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
        ]
        command += [*alone, "--ro-bind", "/", "/"]
    else:
        command = [*alone, *_files(course)]
    command += ["--size", str(limits.memory * 2**20)] if "--size" in known else []
    command += ["--tmpfs", _HOME]
    for fonts in course.glob("fontlist-*.json"):
        command += ["--ro-bind", str(fonts), f"{_HOME}/{fonts.name}"]
    command += ["--dev", "/dev", "--proc", "/proc"]
    for place in ("/dev", "/proc", "/"):
        command += ["--remount-ro", place]
    return [*command, "--chdir", _HOME, "--"]


def _files(course: Path) -> list[str]:
    """Options of bubblewrap: the files that a session reads. None of them is in /usr/src, /home or /work as a whole."""
    base = Path(sys.base_prefix)
    seen = [
        *map(Path, ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/alternatives")),
        *(base / "lib", base.resolve() / "lib", Path(sysconfig.get_path("stdlib")), Path(sys.executable).resolve()),
        Path(sysconfig.get_path("purelib", vars={"base": sys.base_prefix})),
        *(Path(part) for part in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if part),
        *_packages(),
    ]
    package = Path(eqgat.__file__).parent
    options = ["--perms", "0755", "--dir", _HOME]
    for folder in dict.fromkeys(parent for path in (*seen, package, course) for parent in reversed(path.parents)):
        options += ["--perms", "0755", "--dir", str(folder)] if folder != Path("/") else []
    for name in ("/lib", "/lib64"):
        options += ["--symlink", os.readlink(name), name] if os.path.islink(name) else ["--ro-bind-try", name, name]
    for path in dict.fromkeys(seen):
        options += ["--ro-bind-try", str(path), str(path)]
    for path in dict.fromkeys(seen):
        if (path / "eqgat_course").is_dir():  # an installed course has its checks
            options += ["--tmpfs", str(path / "eqgat_course"), "--remount-ro", str(path / "eqgat_course")]
    return [*options, "--ro-bind", str(package), str(package), "--ro-bind", str(course), str(course)]


def set_limits(limits: Limits, isolated: bool) -> None:
    """Set the limits of this process for good (call when the libraries are loaded). Nothing happens on Windows.

    ``isolated``: the user name space counts what the session starts; elsewhere all processes of the account count.
    """
    with suppress(ImportError):
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
            limit(resource.RLIMIT_NPROC, MOST_PROCESSES) if isolated else None
            limit(resource.RLIMIT_AS, pages * resource.getpagesize() + limits.memory * 2**20)


class Watch:
    """A thread that ends a session past its time, or when its processes together hold too much; ``reason`` says why.

    The limits of the operating system are for one process each, and a submission may start many.
    """

    def __init__(self, pid: int, most_bytes: int, until: float) -> None:
        """``most_bytes``: beyond what the session takes now. ``until``: of ``time.monotonic``, may be changed."""
        self.pid, self.most_bytes, self.until = pid, most_bytes, until
        self.late, self.reason = False, ""
        self._base = sum(map(_memory, _family(pid)))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._done.wait(_PERIOD):
            family = _family(self.pid)
            self.late = time.monotonic() > self.until
            if len(family) > MOST_PROCESSES:
                self.reason = f"the answer started more than {MOST_PROCESSES} processes"
            elif sum(map(_memory, family)) + _nameless(family) - self._base > self.most_bytes:
                self.reason = f"the answer took more than {self.most_bytes // 2**20} MB of memory in all its processes"
            if self.late or self.reason:
                kill(self.pid)
                return


def kill(pid: int) -> None:
    """Kill a session: with bubblewrap, all that it started ends with it; else what is still its descendant."""
    for process in reversed(_family(pid)):
        with suppress(psutil.Error):
            process.kill()
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, 9)


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _memory(process: psutil.Process) -> int:
    """Bytes that a process holds in memory; where the system tells it (Linux), shared pages are counted once."""
    with suppress(psutil.Error, OSError, StopIteration, ValueError):
        with suppress(OSError):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
        return int(process.memory_info().rss)
    return 0


def _nameless(family: list[psutil.Process]) -> int:
    """Bytes of open files without a name, which are memory that no process seems to hold (Linux)."""
    sizes: dict[tuple[int, int], int] = {}
    for process in family:
        with suppress(OSError):
            for handle in os.scandir(f"/proc/{process.pid}/fd"):
                with suppress(OSError):
                    found = os.stat(handle.path)
                    if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                        sizes[found.st_dev, found.st_ino] = 512 * found.st_blocks
    return sum(sizes.values())
