"""The registry of the suite's figures: each is one function, called by its notebook and by `make figures` alike::

    @figure(name="bessel-basis", notebook="02", data="computed, cutoff 4.5 Å", trained="nothing", caption="The ...")
    def bessel_basis() -> Figure:
        ...

`python -m eqgat figures` builds all of them, as PNG and SVG, and writes the list of what was built.
"""

from __future__ import annotations

import functools
import importlib
import io
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eqgat.cli import Parser
from eqgat.errors import UserError
from eqgat.files import write_files
from eqgat.viz.style import as_files, describe, details_of, style
from eqgat_course.chapters import modules

SMALL = 11.5  # points: still 8 when a figure is printed 4.5 inches wide
README = "README.md"


def no_runs_yet(ax: Axes) -> None:
    """What stands in a panel for which the results store has no runs."""
    ax.text(
        0.5, 0.5, "no runs in the\nresults store yet", ha="center", va="center", transform=ax.transAxes, fontsize=SMALL
    )
    ax.set(xticks=[], yticks=[])
    ax.grid(False)


@dataclass(frozen=True)
class FigureEntry:
    """One figure of the suite: what draws it, where its data come from, and what was trained for it."""

    name: str
    notebook: str
    data: str
    trained: str
    caption: str
    alt: str
    draw: Callable[..., Figure]


REGISTRY: dict[str, FigureEntry] = {}


def figure(
    name: str, notebook: str, data: str, trained: str, caption: str = "", alt: str = ""
) -> Callable[[Callable[..., Figure]], Callable[..., Figure]]:
    """Register a function that returns a matplotlib Figure.

    Args:
        name: file name without suffix: small letters, digits and hyphens.
        notebook: number of the notebook that shows it, as in its file name ("02").
        data: where the numbers come from, for readers ("embedded structure 1l2y", "figures/results/triangle.csv").
        trained: "nothing", or which model on which data; what only the results store knows, such as the profile, is
            attached with `eqgat.viz.describe`.
        caption: one or two sentences, without a number that `data` and `trained` do not have: results are computed where
            the figure is drawn, and attached with `eqgat.viz.describe` (`describe(fig, "", alt)` for the alt alone).
        alt: what a reader who cannot see the figure has to know; the same holds. The caption if left out, also that of
            `describe`.

    The function is called without arguments by `build`, so every argument needs a default. It runs in the suite's
    style, whatever the notebook has set.

    Raises:
        ValueError: if the name is malformed, or already taken by another function.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"figure name {name!r}: use small letters, digits and single hyphens, as in 'bessel-basis'")

    def register(function: Callable[..., Figure]) -> Callable[..., Figure]:
        @functools.wraps(function)
        def draw(*args: object, **kwargs: object) -> Figure:
            with style():
                fig = function(*args, **kwargs)
            plt.close(fig)  # else a notebook shows the figure twice: once as the value, once at the end of the cell
            made = details_of(fig)
            return describe(fig, made.get("caption", caption), made.get("alt", alt), made.get("trained", trained))

        known = REGISTRY.get(name)  # the same function again is a module that was reloaded
        if known and (known.draw.__module__, known.draw.__name__) != (draw.__module__, draw.__name__):
            raise ValueError(f"two figures are named {name!r}: in {known.draw.__module__} and {draw.__module__}")
        REGISTRY[name] = FigureEntry(name, notebook, data, trained, caption, alt, draw)
        return draw

    return register


def load_all() -> dict[str, FigureEntry]:
    """Import the figures of every chapter, so that each registers its own; entries by notebook, then name."""
    for module in modules("figures"):
        importlib.import_module(module)
    return dict(sorted(REGISTRY.items(), key=lambda item: (item[1].notebook, item[0])))


def build(outdir: str | Path = "figures", names: Iterable[str] | None = None, workers: int = 1) -> list[Path]:
    """Draw figures into `outdir` as PNG and SVG; print each one's time. Without names: all, and the README too.

    `workers`: processes, each with one thread. The figures of a notebook share data, so one process draws them all.
    The files do not depend on the number of workers, nor on which figures are drawn beside them; a file that shows the
    same picture already is left as it is. Returns their paths.

    Raises:
        UserError: if a name is not registered, the message lists those that are; if there is no worker; or the disk is
            full: each figure is then the old one or the new one, as PNG and SVG.
    """
    entries = load_all()
    wanted = list(entries) if names is None else list(names)
    unknown = [name for name in wanted if name not in entries]
    if unknown:
        raise UserError(f"no figure named {', '.join(unknown)}; there are: {', '.join(entries)}")
    if workers < 1:
        raise UserError(f"workers must be 1 or more; got {workers}")
    outdir = Path(outdir)
    groups: dict[str, list[str]] = {}
    for name in wanted:
        groups.setdefault(entries[name].notebook, []).append(name)
    largest_first = sorted(groups.values(), key=len, reverse=True)
    made: dict[str, tuple[list[Path], dict[str, str]]] = {}
    if min(workers, len(groups)) < 2:
        drawn: Iterable[list] = ([_drawn(name, outdir)] for name in wanted)
    else:
        drawn = _drawn_by(
            min(workers, len(groups)),
            [(group, sorted({entries[name].draw.__module__ for name in group})) for group in largest_first],
            outdir,
        )
    for batch in drawn:
        for name, paths, details, seconds in batch:
            made[name] = paths, details
            print(f"[{len(made)}/{len(wanted)}] {name}: {seconds:.1f} s", flush=True)
    written = [path for name in wanted for path in made[name][0]]
    if names is None:
        path = outdir / README
        write_files({path: readme([(entries[name], made[name][1]) for name in wanted])})
        written.append(path)
    return written


def _drawn(name: str, outdir: Path) -> tuple[str, list[Path], dict[str, str], float]:
    """Draw one figure and save it, on one thread and with a seed of its own, so that nothing else has a say in it."""
    import torch

    start, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)  # sums depend on how they are split
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            fig = REGISTRY[name].draw()
        return name, _write(fig, outdir / name), details_of(fig), time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)


def _write(fig: Figure, stem: Path) -> list[Path]:
    """Save a figure, unless the files that are there show the same picture: processors differ in the last digits."""
    contents = as_files(fig, stem)
    png = stem.with_name(f"{stem.name}.png")
    if not (all(path.is_file() for path in contents) and _look_alike(png, io.BytesIO(contents[png]))):
        write_files(contents)
    return list(contents)


def _look_alike(one: Path, other: io.BytesIO) -> bool:
    """Are two PNG files the same picture: at most one pixel in a thousand differs by more than an eye can see?

    A first one that cannot be read is no picture.
    """
    try:
        first, second = plt.imread(one), plt.imread(other)
    except (OSError, SyntaxError, ValueError):  # Pillow's, for damaged files of all kinds
        return False
    return first.shape == second.shape and bool((np.abs(first - second).max(axis=-1) > 0.04).mean() < 1e-3)


def _drawn_by(workers: int, groups: list[tuple[list[str], list[str]]], outdir: Path) -> Iterator[list]:
    """The same for groups of figures and their modules, each in one of several processes; results as they come."""
    # Spawned, not forked: threads of torch do not survive a fork. Workers read the number of threads when they start.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            tasks = [pool.submit(_draw_group, names, modules, outdir) for names, modules in groups]
            try:
                for task in as_completed(tasks):
                    yield task.result()
            except BaseException:  # a figure failed, or somebody pressed Ctrl-C
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _draw_group(
    names: list[str], modules: list[str], outdir: Path
) -> list[tuple[str, list[Path], dict[str, str], float]]:
    import matplotlib as mpl

    mpl.use("agg")
    for module in modules:
        importlib.import_module(module)
    return [_drawn(name, outdir) for name in names]


def readme(rows: list[tuple[FigureEntry, dict[str, str]]]) -> str:
    """The text of figures/README.md: every figure with its notebook, its data, what was trained for it, and its caption."""
    lines = [
        "# Figures",
        "",
        "Written by `python -m eqgat figures` (`make figures`); do not edit. Every figure is drawn by a function in",
        "`eqgat_course/`, in the folder of its chapter, which its notebook calls as well. Each exists as PNG and as SVG.",
        "",
        "| figure | notebook | data | trained for it | drawn by |",
        "|---|---|---|---|---|",
    ]
    for entry, details in rows:
        source = f"`{entry.draw.__module__}.{entry.draw.__name__}`"
        trained = details.get("trained", entry.trained)
        lines.append(f"| [{entry.name}](#{entry.name}) | {entry.notebook} | {entry.data} | {trained} | {source} |")
    for entry, details in rows:
        alt = details.get("alt", "").replace("[", "(").replace("]", ")").replace("\n", " ")
        lines += ["", f"## {entry.name}", "", f"![{alt}]({entry.name}.png)", "", details.get("caption", "")]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Command line of `eqgat figures [--out DIR] [--workers N] [--list] [NAMES]`; returns the exit status."""
    parser = Parser(prog="eqgat figures", description="Draw the suite's figures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to draw (default: all, and their README)")
    parser.add_argument("--out", default="figures", metavar="DIR", help="folder to write into (default: figures)")
    parser.add_argument(
        "--workers",
        type=int,
        default=min(2, os.cpu_count() or 1),
        metavar="N",
        help="processes that draw at the same time (default: 2, or 1 on a single core)",
    )
    parser.add_argument("--list", action="store_true", help="only list the figures")
    options = parser.parse_args(argv)
    if options.list:
        for entry in load_all().values():
            print(f"{entry.name}  (notebook {entry.notebook}; {entry.data})")
        return 0
    import matplotlib as mpl

    mpl.use("agg")
    build(options.out, options.names or None, options.workers)
    return 0
