"""What comes out of grading: the table, a page for each student, and one of the class for the teacher."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from eqgat.files import write_files
from eqgat.viz import scripts
from eqgat_course.exercises import EXERCISES, load_exercises

__all__ = ["COLUMNS", "write_reports"]

COLUMNS = ("student", "notebook", "exercise", "points", "max", "status", "hint")
_MOST_SHOWN = 20_000  # characters of an answer


def write_reports(
    results: list[dict[str, Any]],
    out: Path,
    texts: Mapping[str, str],
    refused: Iterable[str] = (),
    weakness: str = "",
) -> None:
    """Write ``grades.csv``, a row an answer, and ``totals.csv``, a row a student; and from the templates in ``pages``
    ``class.html`` for the teacher and ``reports/STUDENT.html``.

    Both pages hold all that they need but the script for formulas: without it formulas are read as they are written.

    Args:
        results: of ``grade_one``.
        out: folder.
        texts: exercise -> its text in Markdown.
        refused: files that were not graded, and why.
        weakness: why isolation was weaker than it can be; empty if it was not.
    """
    (out / "reports").mkdir(parents=True, exist_ok=True)
    results = sorted(results, key=lambda result: (result["student"], result["notebook"]))
    titles = {number: exercise.title[:1].upper() + exercise.title[1:] for number, exercise in load_exercises().items()}
    pages = Environment(loader=FileSystemLoader(Path(__file__).with_name("pages")), autoescape=True, trim_blocks=True)
    pages.globals.update(number=lambda value: f"{value:g}")
    pages.filters["words"] = _words
    script = scripts.source(scripts.MATHJAX)
    formulas = "mathjax.js" if script else ""
    if script:
        (out / "reports" / formulas).write_text(script, encoding="utf-8")
    notebooks, students = sorted({result["notebook"][:2] for result in results}), list(_students(results))
    contents = {
        out / "grades.csv": _table(
            COLUMNS,
            (
                [result["student"], result["notebook"], row["exercise"], *_points(row), row["status"], row["hint"]]
                for result in results
                for row in result["rows"]
            ),
        ),
        out / "totals.csv": _table(
            ("student", *notebooks, "points", "max"),
            (
                [
                    student["name"],
                    *("" if earned is None else f"{earned:g}" for earned in student["by_notebook"]),
                    f"{student['earned']:g}",
                    f"{student['most']:g}",
                ]
                for student in students
            ),
        ),
    }
    for student, group in groupby(results, key=lambda result: result["student"]):
        parts = [_part(result, titles, texts) for result in group]
        sums = _sums(row for part in parts for row in part["rows"])
        page = pages.get_template("student.html").render(student=student, parts=parts, formulas=formulas, **sums)
        contents[out / "reports" / f"{student}.html"] = page
    contents[out / "class.html"] = pages.get_template("class.html").render(
        exercises=list(_exercises(results, titles)),
        notebooks=notebooks,
        students=students,
        notes=list(_notes(results, refused)),
        stopped=[result for result in results if result["problem"]],
        seeds=", ".join(sorted({str(result["seed"]) for result in results})) or "no number",
        seconds=median(result["seconds"] for result in results) if results else 0,
        weakness=weakness or ("" if all(result["isolated"] for result in results) else "see the notes below"),
        formulas="",
    )
    write_files(contents)


def _part(result: dict[str, Any], titles: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, Any]:
    """One notebook on a student's page."""
    rows = []
    for row in result["rows"]:
        text = Markup(markdown2html_mistune(texts[row["exercise"]])) if row["exercise"] in texts else ""
        rows.append(
            {
                **row,
                "title": titles.get(row["exercise"], ""),
                "text": text,
                "answer": "" if row["status"] == "blank" else result["answers"].get(row["exercise"], "")[:_MOST_SHOWN],
            }
        )
    title = result["notebook"].replace("_", " ")
    return {"title": title, "problem": result["problem"], "rows": rows, **_sums(rows)}


def _exercises(results: list[dict[str, Any]], titles: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A row of the class page for each exercise."""
    rows = sorted((row for result in results for row in result["rows"]), key=lambda row: row["exercise"])
    for number, group in groupby(rows, key=lambda row: row["exercise"]):
        answers = list(group)
        solved = sum(row["status"] == "right" for row in answers)
        blank = sum(row["status"] in ("blank", "missing") for row in answers)
        mistakes = [row for row in answers if row["status"] not in ("right", "blank", "missing", "not judged")]
        hints = Counter(_short(row["hint"] or row["status"]) for row in mistakes)
        mistake, times = hints.most_common(1)[0] if hints else ("", 0)
        yield {
            "exercise": number,
            "title": titles.get(number, ""),
            "answers": len(answers),
            "solved": solved,
            "blank": blank,
            "percent": round(100 * solved / len(answers)),
            "mistake": mistake,
            "times": times,
            "minutes": EXERCISES[number].minutes if number in EXERCISES else None,
        }


def _students(results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    notebooks = sorted({result["notebook"][:2] for result in results})
    for student, group in groupby(results, key=lambda result: result["student"]):
        rows = [(result["notebook"][:2], row) for result in group for row in result["rows"]]
        own = {notebook: [row for other, row in rows if other == notebook] for notebook in notebooks}
        yield {
            "name": student,
            "by_notebook": [_sums(own[notebook])["earned"] if own[notebook] else None for notebook in notebooks],
            **_sums(row for _, row in rows),
        }


def _notes(results: list[dict[str, Any]], refused: Iterable[str]) -> Iterator[dict[str, str]]:
    """What ended early, and answers that mention the package or the interpreter's insides."""
    for reason in refused:
        yield {"who": "", "what": f"Not graded: {reason}"}
    for result in results:
        notes = [
            f"{row['exercise']}: {row['status']}"
            for row in result["rows"]
            if row["status"] not in ("right", "wrong", "blank")
        ]
        notes += [f"{exercise} uses {', '.join(names)}" for exercise, names in result["uses"].items()]
        notes += [] if result["isolated"] else ["graded with weaker isolation"]
        if notes:
            yield {"who": f"{result['student']}", "what": f"{result['notebook']}: {_short('; '.join(notes))}"}


def _sums(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    rows = list(rows)
    return {"earned": sum(row["points"] for row in rows), "most": sum(row["max"] for row in rows)}


def _points(row: dict[str, Any]) -> tuple[str, str]:
    return f"{row['points']:g}", f"{row['max']:g}"


def _table(header: Iterable[str], rows: Iterable[list[str]]) -> str:
    stream = io.StringIO()
    table = csv.writer(stream)
    table.writerow(header)
    for row in rows:
        table.writerow(map(_cell, row))
    return stream.getvalue()


def _words(text: str) -> Markup:
    """Text for a page; what stands between backticks is shown as code."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(text))))


def _short(value: str) -> str:
    """One line of at most 600 characters."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", value)[:600]


def _cell(value: str) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    short = _short(value)
    return f"'{short}" if short.startswith(("=", "+", "-", "@")) else short
