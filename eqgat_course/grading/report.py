"""What comes out of grading: the table, a page for each student, and one of the class for the teacher."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import DictLoader, Environment
from markupsafe import Markup
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from eqgat.viz import scripts
from eqgat_course.exercises import EXERCISES, load_exercises

__all__ = ["COLUMNS", "write_reports"]

COLUMNS = ("student", "notebook", "exercise", "points", "max", "status", "hint")

# Both pages hold all that they need, but the script for formulas: without it formulas are read as they are written.
_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{% block title %}{% endblock %}</title>
<style>
:root { color-scheme: light dark; --text: #1d2330; --soft: #5d6675; --page: #ffffff; --box: #f3f5f8; --line: #d5dae2;
  --good: #0f7b4d; --bad: #b3402e; --bar: #3b73b9; }
@media (prefers-color-scheme: dark) { :root { --text: #e5e8ee; --soft: #a2abba; --page: #14171d; --box: #1e232c;
  --line: #39414e; --good: #5fcf9b; --bad: #f0907f; --bar: #6ea3e6; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: var(--text);
  background: var(--page); }
h1 { margin-bottom: 0.2rem; } h2 { margin-top: 2.2rem; } .soft { color: var(--soft); }
.warning { border-left: 4px solid var(--bad); background: var(--box); padding: 0.5rem 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.8rem 0.4rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bar { background: var(--box); border: 1px solid var(--line); height: 0.8rem; width: 7rem; }
.bar div { background: var(--bar); height: 100%; }
article { border: 1px solid var(--line); border-radius: 6px; padding: 0.7rem 1rem; margin: 0.8rem 0; }
article h3 { margin: 0; font-size: 1.05rem; display: flex; justify-content: space-between; gap: 1rem; }
article p.hint { margin: 0.4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.right { color: var(--good); } .other { color: var(--bad); } summary { cursor: pointer; color: var(--soft); }
code { background: var(--box); padding: 0 0.2em; } a { color: var(--bar); } .anchor-link { display: none; }
</style>
{%- if formulas %}
<script>MathJax = { tex: { inlineMath: [["$", "$"]] }, options: { ignoreHtmlClass: "plain" } };</script>
<script src="{{ formulas }}" defer></script>
{%- endif %}
</head>
<body>
{% block body %}{% endblock %}
</body>
</html>
"""

_STUDENT = """{% extends "frame" %}
{% block title %}{{ student }}: points{% endblock %}
{% block body %}
<h1 class="plain">{{ student }}</h1>
<p><b>{{ number(earned) }} of {{ number(most) }} points</b></p>
{% for part in parts %}
<h2>{{ part.title }}: {{ number(part.earned) }} of {{ number(part.most) }}</h2>
{% if part.problem %}<p class="warning plain">{{ part.problem }}</p>{% endif %}
{% for row in part.rows %}
<article>
<h3><span>{{ row.exercise }}{% if row.title %} {{ row.title }}{% endif %}</span>
<span class="{{ 'right' if row.status == 'right' else 'other' }}">{{ row.status }},
{{ number(row.points) }} of {{ number(row.max) }}</span></h3>
{% if row.hint %}<p class="hint plain">{{ row.hint }}</p>{% endif %}
{% if row.text %}<details{{ "" if row.status == "right" else " open" }}><summary>The exercise</summary>{{ row.text }}</details>{% endif %}
</article>
{% endfor %}
{% endfor %}
{% endblock %}
"""

_CLASS = """{% extends "frame" %}
{% block title %}The class: points and what deserves a look{% endblock %}
{% block body %}
<h1>The class</h1>
<p class="soft">{{ students | length }} student{{ "" if students | length == 1 else "s" }}. Hidden tests drew with
{{ seeds }}; the same number after <code>--seed</code> gives the same tests again.</p>
{% if weakness %}<p class="warning">Isolation was weaker than it can be: {{ weakness }}.</p>{% endif %}
<h2>Exercises</h2>
<div class="wide"><table>
<tr><th>Exercise</th><th>Solved</th><th></th><th>Commonest mistake</th><th class="n">Planned</th><th class="n">Test
took</th></tr>
{% for row in exercises %}
<tr><td>{{ row.exercise }} {{ row.title }}</td>
<td><div class="bar"><div style="width: {{ row.percent }}%"></div></div></td>
<td class="n">{{ row.solved }} of {{ row.answers }}</td>
<td class="plain">{% if row.mistake %}{{ row.mistake }} <span class="soft">({{ row.times }} of {{ row.answers }})</span>
{% endif %}</td>
<td class="n">{% if row.minutes %}{{ row.minutes }} min{% endif %}</td>
<td class="n">{{ "%.1f" | format(row.seconds) }} s</td></tr>
{% endfor %}
</table></div>
<h2>Students</h2>
<div class="wide"><table>
<tr><th>Student</th>{% for notebook in notebooks %}<th class="n">{{ notebook }}</th>{% endfor %}
<th class="n">Points</th></tr>
{% for student in students %}
<tr><td class="plain"><a href="reports/{{ student.name }}.html">{{ student.name }}</a></td>
{% for earned in student.by_notebook %}<td class="n">{{ number(earned) if earned is not none }}</td>{% endfor %}
<td class="n">{{ number(student.earned) }} of {{ number(student.most) }}</td></tr>
{% endfor %}
</table></div>
<h2>What deserves a look</h2>
<p class="soft">Not judgements: an answer may use this package where the exercise allows it.</p>
<ul class="plain">
{% for note in notes %}<li>{% if note.who %}<b>{{ note.who }}</b>, {% endif %}{{ note.what }}</li>
{% else %}<li>nothing</li>
{% endfor %}
</ul>
{% endblock %}
"""


def write_reports(
    results: list[dict[str, Any]],
    out: Path,
    texts: Mapping[str, str],
    refused: Iterable[str] = (),
    weakness: str = "",
) -> None:
    """Write ``grades.csv``, ``class.html`` for the teacher and ``reports/STUDENT.html``.

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
    pages = Environment(
        loader=DictLoader({"frame": _FRAME, "student": _STUDENT, "class": _CLASS}), autoescape=True, trim_blocks=True
    )
    pages.globals.update(number=lambda value: f"{value:g}")
    script = scripts.source(scripts.MATHJAX)
    formulas = "mathjax.js" if script else ""
    if script:
        (out / "reports" / formulas).write_text(script, encoding="utf-8")
    with _replacing(out / "grades.csv") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for result in results:
            for row in result["rows"]:
                values = [result["student"], result["notebook"], row["exercise"], *_points(row)]
                table.writerow(map(_cell, [*values, row["status"], row["hint"]]))
    for student, group in groupby(results, key=lambda result: result["student"]):
        with _replacing(out / "reports" / f"{student}.html") as file:
            parts = [_part(result, titles, texts) for result in group]
            file.write(
                pages.get_template("student").render(
                    student=student,
                    parts=parts,
                    formulas=formulas,
                    **_sums(row for part in parts for row in part["rows"]),
                )
            )
    with _replacing(out / "class.html") as file:
        file.write(
            pages.get_template("class").render(
                exercises=list(_exercises(results, titles)),
                notebooks=sorted({result["notebook"][:2] for result in results}),
                students=list(_students(results)),
                notes=list(_notes(results, refused)),
                seeds=", ".join(sorted({str(result["seed"]) for result in results})) or "no number",
                weakness=weakness or ("" if all(result["isolated"] for result in results) else "see the notes below"),
                formulas="",
            )
        )


def _part(result: dict[str, Any], titles: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, Any]:
    """One notebook on a student's page."""
    rows = []
    for row in result["rows"]:
        text = Markup(markdown2html_mistune(texts[row["exercise"]])) if row["exercise"] in texts else ""
        rows.append({**row, "title": titles.get(row["exercise"], ""), "text": text})
    title = result["notebook"].replace("_", " ")
    return {"title": title, "problem": result["problem"], "rows": rows, **_sums(rows)}


def _exercises(results: list[dict[str, Any]], titles: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A row of the class page for each exercise."""
    rows = sorted((row for result in results for row in result["rows"]), key=lambda row: row["exercise"])
    for number, group in groupby(rows, key=lambda row: row["exercise"]):
        answers = list(group)
        solved = sum(row["status"] == "right" for row in answers)
        failed = [row for row in answers if row["status"] != "right"]
        mistakes = [row for row in failed if row["status"] not in ("blank", "missing")] or failed
        hints = Counter(_short(row["hint"] or row["status"]) for row in mistakes)
        mistake, times = hints.most_common(1)[0] if hints else ("", 0)
        yield {
            "exercise": number,
            "title": titles.get(number, ""),
            "answers": len(answers),
            "solved": solved,
            "percent": round(100 * solved / len(answers)),
            "mistake": mistake,
            "times": times,
            "minutes": EXERCISES[number].minutes if number in EXERCISES else None,
            "seconds": median(row.get("seconds", 0.0) for row in answers),
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
    """Submissions that were stopped, and answers that mention the package or the interpreter's insides."""
    for reason in refused:
        yield {"who": "", "what": f"Not graded: {reason}"}
    for result in results:
        notes = [
            f"{row['exercise']}: {row['status']}"
            for row in result["rows"]
            if row["status"] not in ("right", "wrong", "blank")
        ]
        notes += [f"{exercise} uses {', '.join(names)}" for exercise, names in result["uses"].items()]
        notes += [result["problem"]] if result["problem"] else []
        notes += [] if result["isolated"] else ["graded with weaker isolation"]
        if notes:
            yield {"who": f"{result['student']}", "what": f"{result['notebook']}: {_short('; '.join(notes))}"}


def _sums(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    rows = list(rows)
    return {"earned": sum(row["points"] for row in rows), "most": sum(row["max"] for row in rows)}


def _points(row: dict[str, Any]) -> tuple[str, str]:
    return f"{row['points']:g}", f"{row['max']:g}"


def _short(value: str) -> str:
    """One line of at most 600 characters."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", value)[:600]


def _cell(value: str) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    short = _short(value)
    return f"'{short}" if short.startswith(("=", "+", "-", "@")) else short


@contextmanager
def _replacing(path: Path) -> Iterator[Any]:
    """A file that takes the place of the old one when it is complete."""
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as file:
        yield file
    os.replace(partial, path)
