"""nbgrader's marks in notebooks: which cells are answers, which are tests, and what a student must not see.

An answer cell has ``solution: true`` in its nbgrader metadata, and ``### BEGIN SOLUTION`` ... ``### END SOLUTION``
around what the student writes. A test cell has ``grade: true``, ``points``, and may have ``### BEGIN HIDDEN TESTS`` ...
``### END HIDDEN TESTS``.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from eqgat.errors import UserError

__all__ = [
    "blank",
    "blank_text",
    "code_of",
    "grade_id",
    "hidden_part",
    "is_answer",
    "is_test",
    "points",
    "visible_part",
    "without_markers",
]

PLACEHOLDER = "# YOUR ANSWER HERE"


def _block(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"^([ \t]*)### BEGIN {name}[ \t]*\n(.*?)^[ \t]*### END {name}[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
    )


_SOLUTION, _HIDDEN = _block("SOLUTION"), _block("HIDDEN TESTS")


def _marks(cell: dict[str, Any]) -> dict[str, Any]:
    marks = cell.get("metadata", {}).get("nbgrader", {})
    return marks if isinstance(marks, dict) else {}


def is_answer(cell: dict[str, Any]) -> bool:
    """Does the student write in this cell?"""
    return cell.get("cell_type") == "code" and bool(_marks(cell).get("solution"))


def is_test(cell: dict[str, Any]) -> bool:
    """Does this cell decide on points?"""
    return cell.get("cell_type") == "code" and bool(_marks(cell).get("grade")) and not is_answer(cell)


def grade_id(cell: dict[str, Any]) -> str:
    """nbgrader's name of the cell; empty if it has none."""
    return str(_marks(cell).get("grade_id", ""))


def points(cell: dict[str, Any]) -> float:
    """The points of a test cell."""
    return float(_marks(cell).get("points", 0))


def blank(source: str) -> str:
    """An answer cell without its solution. It still is valid Python.

    Raises:
        UserError: a marker stands without its partner, or the rest is not Python.
    """
    source = visible_part(source)
    result = _SOLUTION.sub(lambda found: f"{found[1]}{PLACEHOLDER}\n", source).rstrip("\n")
    if _parses(result):
        return result
    result = _SOLUTION.sub(lambda found: f"{found[1]}{PLACEHOLDER}\n{found[1]}...\n", source).rstrip("\n")
    if not _parses(result):
        raise UserError("without its solution the cell is not valid Python:\n" + result)
    return result


def blank_text(source: str) -> str:
    """A cell of text without what stands between the markers. Raises: UserError: a marker without its partner."""
    return _SOLUTION.sub("*Your answer here.*\n", visible_part(source)).rstrip("\n")


def visible_part(source: str) -> str:
    """A cell without its hidden tests.

    Raises:
        UserError: a marker stands without its partner.
    """
    _check_markers(source)
    return _HIDDEN.sub("", source).rstrip("\n")


def hidden_part(source: str) -> str:
    """The hidden tests of a test cell, without the markers; empty if it has none."""
    _check_markers(source)
    return "".join(found[2] for found in _HIDDEN.finditer(source))


def without_markers(source: str) -> str:
    """A cell with its solution, for the solutions set: the markers go, and so do the hidden tests."""
    return _SOLUTION.sub(lambda found: found[2], visible_part(source)).rstrip("\n")


def code_of(source: str) -> str:
    """A cell's source without IPython's line magics and shell commands, so that Python can parse it."""
    return re.sub(r"^[ \t]*[%!].*$", "", source, flags=re.MULTILINE)


def _check_markers(source: str) -> None:
    rest = _HIDDEN.sub("", _SOLUTION.sub("", source))
    for name in ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"):
        if f"### {name}" in rest:
            raise UserError(f"a line ### {name} stands without its partner in this cell:\n{source}")


def _parses(source: str) -> bool:
    try:
        ast.parse(code_of(source))
    except SyntaxError:
        return False
    return True
