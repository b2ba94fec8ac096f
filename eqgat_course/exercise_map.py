"""The exercises as a table, from the registry: number, notebook, kind, points, minutes."""

from __future__ import annotations

from collections import Counter

from eqgat_course.equations import insert_between
from eqgat_course.exercises import load_exercises

__all__ = ["KINDS", "MARKERS", "exercise_map", "insert_map"]

KINDS = ("predict", "implement", "break it", "prove")
MARKERS = ("<!-- exercises -->", "<!-- /exercises -->")


def exercise_map() -> str:
    """All exercises as a Markdown table, and a line with the sums; no newline at the end."""
    exercises = load_exercises()
    lines = ["| exercise | notebook | what | kind | points | minutes |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {number} | {number[:2]} | {item.title} | {item.kind} | {item.points} | {item.minutes} |"
        for number, item in exercises.items()
    ]
    kinds: Counter[str] = Counter(item.kind for item in exercises.values())
    lines += [
        "",
        f"{len(exercises)} exercises: "
        + ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS)
        + f"; {sum(item.points for item in exercises.values())} points, "
        f"{sum(item.minutes for item in exercises.values())} minutes.",
    ]
    return "\n".join(lines)


def insert_map(text: str) -> str:
    """``text`` with the table of exercises between its ``MARKERS``; errors as ``insert_between``."""
    return insert_between(MARKERS, text, exercise_map())
