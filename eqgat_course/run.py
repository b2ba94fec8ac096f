"""Execute the notebooks, each in a fresh kernel, and say which one runs and how long it took.

``python -m eqgat notebooks`` writes executed copies into ``build/notebooks`` and leaves the committed ones alone;
``--in-place`` renews the committed ones. ``--copy DIR`` executes nothing and lays out the notebooks in a folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from eqgat.cli import Parser
from eqgat.files import is_writable, write_files
from eqgat.profiles import profile

__all__ = ["copy_notebooks", "find_notebooks", "main", "notebook_folder", "run_notebook"]

WIDGET = "application/vnd.jupyter.widget-view+json"


def find_notebooks(folder: Path, names: list[str], option: str = "--folder") -> list[Path]:
    """The notebooks ``NN_title.ipynb`` of a folder in order, or those whose file name starts with one of ``names``.

    ``option``: the command's, that gives the folder; for the message.

    Raises:
        FileNotFoundError: the folder holds none, or none that starts with a given name.
    """
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise FileNotFoundError(
            f"no notebooks NN_title.ipynb in {folder.resolve()}; "
            f"run this from the project's folder, or name one with {option}"
        )
    for name in names:
        if not any(path.name.startswith(name) for path in every):
            raise FileNotFoundError(f"no notebook starts with {name!r}; there are {', '.join(p.stem for p in every)}")
    return [path for path in every if not names or path.name.startswith(tuple(names))]


def run_notebook(source: Path, target: Path, cell_timeout: int = 600) -> float:
    """Execute ``source`` top to bottom in a fresh kernel, write it to ``target``; seconds taken.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; nothing is written.
    """
    return asyncio.run(_execute(source, target, cell_timeout))


def notebook_folder() -> Path:
    """Where the notebooks are: the folder ``notebooks`` here; else those that came with the installation."""
    local = Path("notebooks")
    wheel = Path(__file__).parent / "notebooks"
    return next((folder for folder in (local, wheel) if folder.is_dir()), Path(__file__).parents[1] / "notebooks")


def copy_notebooks(folder: Path) -> tuple[list[Path], list[Path]]:
    """Copy the notebooks into a folder; what is there stays. Paths new, paths kept.

    Raises:
        FileNotFoundError: there are none.
    """
    new: list[Path] = []
    kept: list[Path] = []
    for path in find_notebooks(notebook_folder(), []):
        target = folder / path.name
        (kept if target.exists() else new).append(target)
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return new, kept


async def _execute(source: Path, target: Path, cell_timeout: int = 600) -> float:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.output_widget import OutputWidget
    from traitlets.config import Config

    class SilentOutput(OutputWidget):
        """A widget's output area that sends nothing back: sending can hide the kernel's reply (nbclient issue 312)."""

        def sync_state(self) -> None:
            pass

    notebook = nbformat.read(source, as_version=4)
    config = Config()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as sockets:
        if sys.platform != "win32":  # over TCP, two kernels that start at once may be given the same ports
            config.KernelManager.transport, config.KernelManager.ip = "ipc", str(Path(sockets) / "kernel")
        # Timings, and below the state of widgets with its random names, would make each execution a change of the file.
        client = NotebookClient(
            notebook,
            timeout=cell_timeout,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            config=config,
            resources={"metadata": {"path": str(source.parent)}},
        )
        client.widget_registry = {"@jupyter-widgets/output": {"OutputModel": SilentOutput}}
        try:
            await client.async_execute()
        finally:
            if client.km is not None and client.km.has_kernel:  # stopped while the kernel was starting
                await client.km.shutdown_kernel(now=True)
    seconds = time.perf_counter() - start
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:  # a widget is dead without its kernel; the still beside it says the same
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    notebook.metadata["language_info"] = {"name": "python"}  # the kernel adds its exact version
    write_files({target: nbformat.writes(notebook) + "\n"})
    return seconds


class _Event(NamedTuple):
    """A notebook was started (``seconds`` and ``error`` are None), ran, or failed (``error`` says why)."""

    path: Path
    seconds: float | None = None
    error: str | None = None


def _run_all(paths: list[Path], out: Path, workers: int) -> Generator[_Event, None, None]:
    """Run the notebooks in order, ``workers`` at a time, each into ``out``; closing the iterator ends their kernels.

    They run in a thread of their own: there, nbclient takes no signals. It would end the one kernel and go on.
    """
    events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
    started: Future[tuple[asyncio.AbstractEventLoop, list[asyncio.Task[None]]]] = Future()

    async def one(path: Path, places: asyncio.Semaphore) -> None:
        async with places:
            events.put(_Event(path))
            try:
                events.put(_Event(path, seconds=await _execute(path, out / path.name)))
            except Exception as error:  # one broken notebook must not hide the state of the others
                events.put(_Event(path, error=f"{type(error).__name__}: {error}"))

    async def every() -> None:
        places = asyncio.Semaphore(workers)
        tasks = [asyncio.ensure_future(one(path, places)) for path in paths]
        started.set_result((asyncio.get_running_loop(), tasks))
        try:
            await asyncio.wait(tasks)
        finally:
            events.put(None)

    thread = threading.Thread(target=lambda: asyncio.run(every()))
    thread.start()
    try:
        while (event := events.get()) is not None:
            yield event
    finally:
        loop, tasks = started.result()
        for task in tasks:
            with contextlib.suppress(RuntimeError):  # the loop is closed: all were done
                loop.call_soon_threadsafe(task.cancel)
        thread.join()


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """A block that SIGTERM ends in order, with the kernels that it started."""

    def stop(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    """The command ``python -m eqgat notebooks``; 0 if all notebooks ran."""
    parser = Parser(prog="eqgat notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 00 or 03; all by default")
    parser.add_argument(
        "--folder", type=Path, default=notebook_folder(), help="where the notebooks are (default: notebooks)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/notebooks"), help="where executed copies go (default: %(default)s)"
    )
    parser.add_argument("--in-place", action="store_true", help="write the outputs into the notebooks themselves")
    parser.add_argument("--workers", type=int, default=1, help="notebooks to run at the same time (default: 1)")
    parser.add_argument(
        "--copy", type=Path, metavar="DIR", help="copy the notebooks into DIR, to work in; run none; keep what is there"
    )
    options = parser.parse_args(argv)
    if options.workers < 1:
        parser.error(f"--workers must be 1 or more; got {options.workers}")
    out = options.folder if options.in_place else options.out
    if options.copy is not None:
        new, kept = copy_notebooks(options.copy)
        print(f"{len(new)} notebooks are new in {options.copy}, {len(kept)} were there and stay as they are")
        return 0
    paths = find_notebooks(options.folder, options.names)
    chosen = profile()  # refuses a wrong one now, not in the middle of each notebook
    is_writable(out, "--out")
    out.mkdir(parents=True, exist_ok=True)
    ended = ran = 0
    start = time.perf_counter()
    try:
        threads = max(1, (os.cpu_count() or 1) // options.workers)
        os.environ.setdefault(
            "OMP_NUM_THREADS", str(threads)
        )  # more threads than cores make each kernel several times slower
        with _terminating(), contextlib.closing(_run_all(paths, out, options.workers)) as events:
            for path, took, reason in events:
                if took is None and reason is None:
                    continue
                ended, ran = ended + 1, ran + (took is not None)
                said = f"failed\n{reason}" if took is None else f"{took:5.1f} s"
                print(f"[{ended}/{len(paths)}] {path.stem:<32} {said}", flush=True)
    except KeyboardInterrupt:
        print("interrupted; the notebooks done so far are kept")
        return 130
    seconds = time.perf_counter() - start
    print(f"{ran} of {len(paths)} notebooks ran in {seconds:.0f} s, {chosen} profile; written to {out}")
    return 0 if ran == len(paths) else 1
