"""What is to be run and judged: the instructor's notebook with the student's answers in it."""

from __future__ import annotations

import ast
import builtins
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eqgat.errors import UserError
from eqgat_course.cells import blank, code_of, grade_id, hidden_part, is_answer, is_test, points, visible_part

__all__ = ["Answer", "Context", "Plan", "Test", "exercise_texts", "load_cells", "make_plan", "uses"]

_INSIDES = re.compile(
    r"\b(?:inspect|_getframe|subprocess|ctypes|_exit|fork|gc|importlib|__import__|__main__|__builtins__|builtins|"
    r"__globals__|__loader__|sys|exec|eval|open|threading|multiprocessing|concurrent|socket|_python_dispatch|"
    r"counting|FlopCounterMode|eqgat_course)\b"
)
MOST_BYTES = 30 * 2**20


@dataclass(frozen=True)
class Context:
    """A cell of the notebook itself."""

    source: str


@dataclass(frozen=True)
class Answer:
    """An answer cell: the student's source (None: the cell is gone) and the blank."""

    grade_id: str
    source: str | None
    blank: str

    @property
    def is_blank(self) -> bool:
        """Is it untouched, or empty?"""
        return not (self.source or "").strip() or _normal(self.source or "") == _normal(self.blank)


@dataclass(frozen=True)
class Test:
    """A test cell: its exercise ("05.1", or the grade_id), what it needs, and the answer cells (places) before it."""

    exercise: str
    grade_id: str
    points: float
    visible: str
    hidden: str
    names: tuple[str, ...]
    answers: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Steps in order, and the imports for the tests."""

    steps: list[Context | Answer | Test]
    imports: list[str]

    @property
    def tests(self) -> list[Test]:
        return [step for step in self.steps if isinstance(step, Test)]

    def answer(self, test: Test) -> str:
        """What the answer cells of a test hold."""
        return "\n".join(getattr(self.steps[place], "source", "") or "" for place in test.answers)


def load_cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook, each with its source as one string.

    Raises:
        UserError: the file is too large, or not a notebook of format 4.
    """
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path.name} is larger than {MOST_BYTES // 2**20} MB")
    try:
        cells = json.loads(path.read_bytes())["cells"]
        for cell in cells:
            cell["source"] = "".join(cell["source"])
            cell["metadata"].get("nbgrader")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path.name} is not a Jupyter notebook of format 4 ({type(error).__name__})") from None
    return cells


def exercise_texts(cells: list[dict[str, Any]]) -> dict[str, str]:
    """Exercise -> what stands below its heading, in Markdown."""
    found = {}
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for part in re.split(r"^(?=#+ )", cell["source"], flags=re.MULTILINE):
                if heading := re.match(r"#+ Exercise (\d\d\.\d+)[^\n]*", part):
                    found[heading[1]] = part[heading.end() :].strip()
    return found


def make_plan(instructor: list[dict[str, Any]], submitted: list[dict[str, Any]] | None) -> Plan:
    """Put the student's answers into the instructor's notebook. Without ``submitted`` the solutions stay.

    Raises:
        UserError: a test cell uses a name that is neither imported nor an answer.
    """
    theirs: dict[str, str] = {}
    for cell in submitted or []:
        if cell.get("cell_type") == "code" and grade_id(cell):
            theirs.setdefault(grade_id(cell), cell["source"])
    steps: list[Context | Answer | Test] = []
    imports: dict[str, str] = {}
    defined: set[str] = set()
    since: list[int] = []
    for cell in instructor:
        if cell["cell_type"] != "code":
            continue
        source = cell["source"]
        if is_answer(cell):
            since.append(len(steps))
            defined |= _bound(source)
            steps.append(
                Answer(grade_id(cell), source if submitted is None else theirs.get(grade_id(cell)), blank(source))
            )
        elif is_test(cell):
            imports.update(_imports(visible_part(source)))
            steps.append(_test(cell, imports, defined, tuple(since)))
            since = []
        else:
            imports.update(_imports(source))
            if not _only_shows(source, imports):
                steps.append(Context(re.sub(r"^%matplotlib.*$", "", source, flags=re.MULTILINE)))
    while steps and not isinstance(steps[-1], Test):
        steps.pop()
    needed = sorted(
        {
            imports[name]
            for step in steps
            if isinstance(step, Test)
            for name in _used(step.visible + "\n" + step.hidden) & set(imports)
        }
    )
    return Plan(steps, needed)


def uses(instructor: list[dict[str, Any]], submitted: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Exercise -> what a teacher may want to look at: names of the package, and of the interpreter's insides."""
    theirs, ours = make_plan(instructor, submitted), make_plan(instructor, None)
    found = {}
    for test in theirs.tests:
        answer, solution = theirs.answer(test), ours.answer(test)
        names = _library_names(instructor, answer, solution)
        names += sorted(set(_INSIDES.findall(answer)))
        if names:
            found[test.exercise] = names
    return found


def _library_names(instructor: list[dict[str, Any]], answer: str, solution: str) -> list[str]:
    """Names of this package that an answer uses and the solution does not: a ready function may stand in for work."""
    offered = {
        name
        for cell in instructor
        if cell["cell_type"] == "code" and not is_answer(cell)
        for name, line in _imports(cell["source"]).items()
        if re.match(r"(from|import) eqgat", line)
    }
    own = {line for line in _imports(answer, within=True).values() if "eqgat" in line}
    return sorted((_used(answer) & offered - _used(solution)) | own)


def _test(cell: dict[str, Any], imports: dict[str, str], answers: set[str], since: tuple[int, ...]) -> Test:
    visible, hidden = (_without_prints(part(cell["source"])) for part in (visible_part, hidden_part))
    used = _used(visible + "\n" + hidden)
    own = set(_imports(visible + "\n" + hidden)) | _bound(visible + "\n" + hidden)
    strange = used - answers - set(imports) - own - set(dir(builtins))
    if strange:
        raise UserError(
            f"the test cell {grade_id(cell)} uses {', '.join(sorted(strange))}; tests are judged outside "
            "of the student's process, and may use answers, imports and their own names only"
        )
    found = re.search(r"""^check\(["'](\d\d\.\d+)["']""", visible, re.MULTILINE)
    return Test(
        found[1] if found else grade_id(cell),
        grade_id(cell),
        points(cell),
        visible,
        hidden,
        tuple(sorted(used & answers)),
        since,
    )


def _without_prints(source: str) -> str:
    """Without top-level ``print(...)``: what a test cell shows decides on nothing."""
    lines = code_of(source).splitlines()
    for node in ast.parse("\n".join(lines)).body:
        shown = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name(node.value.func) == "print"
        if shown:
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(lines)


def _only_shows(source: str, imports: dict[str, str]) -> bool:
    """Does a cell of the notebook do nothing but print and draw? Then no answer can depend on it."""

    def shows(node: ast.stmt) -> bool:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            return False
        root = _name(node.value.func)
        return root in ("print", "display", "interact") or imports.get(root, "").startswith("from eqgat.viz")

    body = _parse(source).body  # empty where Python cannot read it, as IPython's own syntax: then it must run
    return bool(body) and all(map(shows, body))


def _name(node: ast.expr) -> str:
    """The name with which ``a``, ``a.b`` and ``a.b.c`` begin."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _used(source: str) -> set[str]:
    return {node.id for node in ast.walk(_parse(source)) if isinstance(node, ast.Name)}


def _bound(source: str) -> set[str]:
    """Names that the top level of a cell assigns or defines."""
    names: set[str] = set()
    for node in _parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        else:
            names |= {
                part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            }
    return names


def _imports(source: str, within: bool = False) -> dict[str, str]:
    """Name -> the import that binds it, at the top level or (``within``) in functions too."""
    found: dict[str, str] = {}
    for node in ast.walk(_parse(source)) if within else _parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                one = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], 0)
                found[alias.asname or alias.name.partition(".")[0]] = ast.unparse(one)
    return found


def _parse(source: str) -> ast.Module:
    """The syntax tree; an empty one if the source (a student's) is not Python."""
    try:
        return ast.parse(code_of(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _normal(source: str) -> str:
    """Without comments at the end, blank lines and outer white space."""
    return "\n".join(line.rstrip() for line in source.splitlines() if line.strip())
