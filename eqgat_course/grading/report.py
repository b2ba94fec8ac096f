"""The teacher's table and a page for each student, from the results of the judges."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "write_reports"]

COLUMNS = ("student", "notebook", "exercise", "points", "max", "status", "hint")


def write_reports(results: list[dict[str, Any]], out: Path, refused: Iterable[str] = ()) -> None:
    """Write ``grades.csv``, ``reports/STUDENT.md``, and ``for-the-teacher.md`` with what deserves a look.

    Args:
        results: of ``grade_one``.
        out: folder.
        refused: files that were not graded, and why, for the teacher.
    """
    (out / "reports").mkdir(parents=True, exist_ok=True)
    results = sorted(results, key=lambda result: (result["student"], result["notebook"]))
    with _replacing(out / "grades.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for result in results:
            for row in result["rows"]:
                table.writerow(
                    [
                        _cell(value)
                        for value in (
                            result["student"],
                            result["notebook"],
                            row["exercise"],
                            f"{row['points']:g}",
                            f"{row['max']:g}",
                            row["status"],
                            row["hint"],
                        )
                    ]
                )
    for student, group in groupby(results, key=lambda result: result["student"]):
        with _replacing(out / "reports" / f"{student}.md") as partial:
            partial.write_text(_page(student, list(group)), encoding="utf-8")
    with _replacing(out / "for-the-teacher.md") as partial:
        partial.write_text(_remarks(results, refused), encoding="utf-8")


def _page(student: str, results: list[dict[str, Any]]) -> str:
    earned, most = _sums([row for result in results for row in result["rows"]])
    lines = [f"# {_text(student)}", "", f"**{earned:g} of {most:g} points.**", ""]
    for result in results:
        earned, most = _sums(result["rows"])
        lines += [f"## {result['notebook']}: {earned:g} of {most:g}", ""]
        if result["problem"]:
            lines += [f"> {_text(result['problem'])}", ""]
        lines += ["| exercise | points | | what to look at |", "|---|---|---|---|"]
        lines += [
            f"| {row['exercise']} | {row['points']:g} of {row['max']:g} | {_text(row['status'])} | "
            f"{_text(row['hint'])} |"
            for row in result["rows"]
        ]
        lines.append("")
    return "\n".join(lines)


def _remarks(results: list[dict[str, Any]], refused: Iterable[str]) -> str:
    """Submissions that were stopped, and answers that mention the package or the interpreter's insides."""
    lines = [
        "# What deserves a look",
        "",
        "Not judgements: an answer may use this package where the exercise allows it.",
        "",
    ]
    lines += [f"- Not graded: {_text(reason)}" for reason in refused]
    for result in results:
        notes = [
            f"{row['exercise']}: {row['status']}"
            for row in result["rows"]
            if row["status"] not in ("right", "wrong", "blank")
        ]
        notes += [f"{exercise} uses {', '.join(names)}" for exercise, names in result["uses"].items()]
        if result["problem"]:
            notes.append(result["problem"])
        if notes:
            lines.append(f"- **{_text(result['student'])}**, {result['notebook']}: {_text('; '.join(notes))}")
    return "\n".join(lines) + "\n"


def _sums(rows: list[dict[str, Any]]) -> tuple[float, float]:
    return sum(row["points"] for row in rows), sum(row["max"] for row in rows)


def _text(value: str) -> str:
    """A student's words as plain text in Markdown: one line, no markup, no HTML."""
    short = re.sub(r"[\x00-\x1f\x7f]+", " ", value)[:600]
    return re.sub(r"([\\`*_{}\[\]<>|#!])", r"\\\1", short).replace("\\<", "&lt;").replace("\\>", "&gt;")


def _cell(value: str) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    short = re.sub(r"[\x00-\x1f\x7f]+", " ", str(value))[:600]
    return f"'{short}" if short.startswith(("=", "+", "-", "@")) else short


class _replacing:
    """A file that takes the place of the old one when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path, self.partial = path, path.with_name(path.name + ".part")

    def __enter__(self) -> Path:
        return self.partial

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            os.replace(self.partial, self.path)
