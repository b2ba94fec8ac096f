"""The registry of the suite's figures: each is one function, called by its notebook and by `make figures` alike.

    @figure(name="bessel-basis", notebook="02", data="computed, cutoff 4.5 Å", caption="The first eight ...")
    def bessel_basis() -> Figure:
        ...

`python -m eqgat figures` builds all of them, as PNG and SVG, and writes the list of what was built.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import pkgutil
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from eqgat.viz.style import describe, details_of, save, style

NO_PROFILE = "any: nothing was trained"
README = "README.md"


@dataclass(frozen=True)
class FigureEntry:
    """One figure of the suite: what draws it, and where its data come from."""

    name: str
    notebook: str
    data: str
    caption: str
    alt: str
    profile: str
    draw: Callable[..., Figure]


REGISTRY: dict[str, FigureEntry] = {}


def figure(
    name: str, notebook: str, data: str, caption: str = "", alt: str = "", profile: str = NO_PROFILE
) -> Callable[[Callable[..., Figure]], Callable[..., Figure]]:
    """Register a function that returns a matplotlib Figure.

    Args:
        name: file name without suffix: small letters, digits and hyphens.
        notebook: number of the notebook that shows it, as in its file name ("02").
        data: where the numbers come from, for readers ("embedded structure 1l2y", "figures/results/triangle.csv").
        caption: one or two sentences. A caption made from the data is attached with `eqgat.viz.describe` instead.
        alt: what a reader who cannot see the figure has to know; the caption if left out.
        profile: "quick" or "full" where a trained model is shown.

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
            return describe(fig, made.get("caption", caption), made.get("alt", alt), made.get("profile", profile))

        known = REGISTRY.get(name)  # the same function again is a module that was reloaded
        if known and (known.draw.__module__, known.draw.__name__) != (draw.__module__, draw.__name__):
            raise ValueError(f"two figures are named {name!r}: in {known.draw.__module__} and {draw.__module__}")
        REGISTRY[name] = FigureEntry(name, notebook, data, caption, alt, profile, draw)
        return draw

    return register


def load_all() -> dict[str, FigureEntry]:
    """Import every module of this package, so that each registers its figures; entries by notebook, then name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(REGISTRY.items(), key=lambda item: (item[1].notebook, item[0])))


def build(outdir: str | Path = "figures", names: Iterable[str] | None = None) -> list[Path]:
    """Draw figures into `outdir` as PNG and SVG; print each one's time. Without names: all, and the README too.

    Returns the written paths.

    Raises:
        ValueError: if a name is not registered; the message lists those that are.
    """
    entries = load_all()
    wanted = list(entries) if names is None else list(names)
    unknown = [name for name in wanted if name not in entries]
    if unknown:
        raise ValueError(f"no figure named {', '.join(unknown)}; there are: {', '.join(entries)}")
    outdir = Path(outdir)
    written, rows = [], []
    for count, name in enumerate(wanted, 1):
        start = time.perf_counter()
        fig = entries[name].draw()
        written += save(fig, outdir / name)
        rows.append((entries[name], details_of(fig)))
        print(f"[{count}/{len(wanted)}] {name}: {time.perf_counter() - start:.1f} s", flush=True)
    if names is None:
        path = outdir / README
        path.write_text(readme(rows), encoding="utf-8")
        written.append(path)
    return written


def readme(rows: list[tuple[FigureEntry, dict[str, str]]]) -> str:
    """The text of figures/README.md: every figure with its notebook, data, profile and caption."""
    lines = [
        "# Figures",
        "",
        "Written by `python -m eqgat figures` (`make figures`); do not edit. Every figure is drawn by a function in",
        "`eqgat/viz/figures/`, which its notebook calls as well. Each exists as PNG and as SVG.",
        "",
        "| figure | notebook | data | profile | drawn by |",
        "|---|---|---|---|---|",
    ]
    for entry, details in rows:
        source = f"`{entry.draw.__module__}.{entry.draw.__name__}`"
        profile = details.get("profile", entry.profile)
        lines.append(f"| [{entry.name}](#{entry.name}) | {entry.notebook} | {entry.data} | {profile} | {source} |")
    for entry, details in rows:
        alt = details.get("alt", "").replace("[", "(").replace("]", ")").replace("\n", " ")
        lines += ["", f"## {entry.name}", "", f"![{alt}]({entry.name}.png)", "", details.get("caption", "")]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Command line of `python -m eqgat figures [--out DIR] [--list] [NAMES]`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eqgat figures", description="Draw the suite's figures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to draw (default: all, and their README)")
    parser.add_argument("--out", default="figures", metavar="DIR", help="folder to write into (default: figures)")
    parser.add_argument("--list", action="store_true", help="only list the figures")
    options = parser.parse_args(argv)
    if options.list:
        for entry in load_all().values():
            print(f"{entry.name}  (notebook {entry.notebook}; {entry.data})")
        return 0
    import matplotlib as mpl

    mpl.use("agg")
    try:
        build(options.out, options.names or None)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
