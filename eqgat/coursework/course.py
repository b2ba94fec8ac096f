"""The exercises as a table, from the registry: number, notebook, kind, points, minutes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from eqgat.coursework.exercises import load_exercises
from eqgat.notebooks import find_notebooks

__all__ = ["KINDS", "exercise_map"]

KINDS = ("predict", "implement", "break it")


def exercise_map(folder: Path) -> str:
    """All exercises as a Markdown table, and a line with the sums; no newline at the end.

    Args:
        folder: of the notebooks, for their names.
    """
    titles = {path.name[:2]: path.stem for path in find_notebooks(folder, [])}
    exercises = load_exercises()
    lines = ["| exercise | notebook | what | kind | points | minutes |", "|---|---|---|---|---|---|"]
    lines += [f"| {number} | {titles.get(number[:2], number[:2])} | {item.title} | {item.kind} | {item.points} | "
              f"{item.minutes} |" for number, item in exercises.items()]
    kinds = Counter(item.kind for item in exercises.values())
    lines += ["", f"{len(exercises)} exercises: " + ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS)
              + f"; {sum(item.points for item in exercises.values())} points, "
              f"{sum(item.minutes for item in exercises.values())} minutes."]
    return "\n".join(lines)
