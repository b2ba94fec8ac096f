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
import sys
import tempfile
import time
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


def main(argv: list[str] | None = None) -> int:
    """The command ``python -m eqgat notebooks``; 0 if all notebooks ran."""
    parser = argparse.ArgumentParser(prog="python -m eqgat notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 00 or 03; all by default")
    parser.add_argument("--folder", type=Path, default=Path("notebooks"))
    parser.add_argument("--out", type=Path, default=Path("build/notebooks"))
    parser.add_argument("--in-place", action="store_true", help="write the outputs into the notebooks themselves")
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
    for path in paths:
        print(f"{path.stem:<32} {profile()} profile ... ", end="", flush=True)
        try:
            took = run_notebook(path, out / path.name)
        except KeyboardInterrupt:
            print("interrupted; the notebooks done so far are kept")
            return 130
        except Exception as error:  # one broken notebook must not hide the state of the others
            seconds[path.name] = None
            print(f"failed\n{type(error).__name__}: {error}")
            continue
        seconds[path.name] = took
        print(f"{took:5.1f} s")
        if not options.in_place:
            write_page(out / path.name, local_mathjax)
    ran = sum(took is not None for took in seconds.values())
    where = out if options.in_place else write_index(out, find_notebooks(options.folder, []), seconds, profile())
    print(f"{ran} of {len(paths)} notebooks ran; written to {where}")
    return 0 if ran == len(paths) else 1
