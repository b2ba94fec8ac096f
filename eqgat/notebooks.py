"""Execute the notebooks, each in a fresh kernel, and say which one runs and how long it took.

``python -m eqgat notebooks`` writes executed copies, HTML pages and an index of them into ``build/notebooks`` and
leaves the committed ones alone; ``--in-place`` renews the committed ones.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat

from eqgat.pages import write_index, write_mathjax, write_page
from eqgat.profiles import profile

__all__ = ["find_notebooks", "main", "run_notebook"]

WIDGET = "application/vnd.jupyter.widget-view+json"


def find_notebooks(folder: Path, names: list[str]) -> list[Path]:
    """The notebooks ``NN_title.ipynb`` of a folder in order, or those whose file name starts with one of ``names``.

    Raises:
        FileNotFoundError: the folder holds none, or none that starts with a given name.
    """
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise FileNotFoundError(f"no notebooks NN_title.ipynb in {folder.resolve()}; "
                                "run this from the project's folder, or name one with --folder")
    for name in names:
        if not any(path.name.startswith(name) for path in every):
            raise FileNotFoundError(f"no notebook starts with {name!r}; there are {', '.join(p.stem for p in every)}")
    return [path for path in every if not names or path.name.startswith(tuple(names))]


def run_notebook(source: Path, target: Path, cell_timeout: int = 600) -> float:
    """Execute ``source`` top to bottom in a fresh kernel, write it to ``target``; seconds taken.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; nothing is written.
    """
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
        client = NotebookClient(notebook, timeout=cell_timeout, kernel_name="python3", record_timing=False,
                                coalesce_streams=True, config=config,
                                resources={"metadata": {"path": str(source.parent)}})
        client.on_notebook_start = _stop_at_signals
        client.widget_registry = {"@jupyter-widgets/output": {"OutputModel": SilentOutput}}
        client.execute()
    seconds = time.perf_counter() - start
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:  # a widget is dead without its kernel; the still beside it says the same
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    notebook.metadata["language_info"] = {"name": "python"}  # the kernel adds its exact version
    partial = target.with_suffix(".tmp")
    nbformat.write(notebook, partial)
    os.replace(partial, target)
    return seconds


def _stop_at_signals(notebook: nbformat.NotebookNode) -> None:
    """Ctrl-C ends the whole run: nbclient's own handlers end the kernel alone, and the next notebook would start."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows, or not in the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _one_by_one(paths: list[Path], out: Path) -> Iterator[tuple[Path, float | None, str]]:
    """Run the notebooks in order, each into ``out``; yields path, seconds (None: it failed), and why it failed."""
    for path in paths:
        print(f"{path.stem:<32} {profile()} profile ... ", end="", flush=True)
        try:
            yield path, run_notebook(path, out / path.name), ""
        except Exception as error:  # one broken notebook must not hide the state of the others
            yield path, None, f"{type(error).__name__}: {error}"


_ONE = """
import pathlib, sys
from eqgat.notebooks import run_notebook
try:
    print(run_notebook(*map(pathlib.Path, sys.argv[1:])))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def _several(paths: list[Path], out: Path, workers: int) -> Iterator[tuple[Path, float | None, str]]:
    """As ``_one_by_one``, ``workers`` notebooks at a time, each run by a process of its own; yields as they end."""
    waiting, running = list(paths), {}

    def stop(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                path = waiting.pop(0)
                print(f"{path.stem:<32} {profile()} profile, started", flush=True)
                said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
                command = [sys.executable, "-c", _ONE, str(path), str(out / path.name)]
                running[path] = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT), said
            time.sleep(0.1)
            for path, (process, said) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[path]
                with said:
                    said.seek(0)
                    text = said.read()
                print(f"{path.stem:<32} ", end="")
                yield (path, float(text.split()[-1]), "") if process.returncode == 0 else (path, None, text)
    finally:
        for process, said in running.values():
            process.terminate()
            process.wait()
            said.close()
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    """The command ``python -m eqgat notebooks``; 0 if all notebooks ran."""
    parser = argparse.ArgumentParser(prog="python -m eqgat notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 00 or 03; all by default")
    parser.add_argument("--folder", type=Path, default=Path("notebooks"))
    parser.add_argument("--out", type=Path, default=Path("build/notebooks"))
    parser.add_argument("--in-place", action="store_true", help="write the outputs into the notebooks themselves")
    parser.add_argument("--workers", type=int, default=1, help="notebooks to run at the same time (default: 1)")
    options = parser.parse_args(argv)
    out = options.folder if options.in_place else options.out
    try:
        paths = find_notebooks(options.folder, options.names)
        out.mkdir(parents=True, exist_ok=True)
        local_mathjax = not options.in_place and write_mathjax(out)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    seconds: dict[str, float | None] = {}
    several = options.workers > 1 and len(paths) > 1
    try:
        for path, took, error in _several(paths, out, options.workers) if several else _one_by_one(paths, out):
            seconds[path.name] = took
            print(f"failed\n{error}" if took is None else f"{took:5.1f} s", flush=True)
            if took is not None and not options.in_place:
                write_page(out / path.name, local_mathjax)
    except KeyboardInterrupt:
        print("interrupted; the notebooks done so far are kept")
        return 130
    ran = sum(took is not None for took in seconds.values())
    where = out if options.in_place else write_index(out, find_notebooks(options.folder, []), seconds, profile())
    print(f"{ran} of {len(paths)} notebooks ran; written to {where}")
    return 0 if ran == len(paths) else 1
