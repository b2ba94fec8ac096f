"""The registry of equations: every link in it must lead somewhere."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

import eqgat_course.equations as equations
from eqgat.__main__ import main
from eqgat_course.equations import EQUATIONS, equation_table, insert_between, resolve
from eqgat_course.exercises import load_exercises

ROOT = Path(__file__).parents[2]
every_equation = pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: equation.name)


def cells(notebook: str, kind: str) -> list[str]:
    """The sources of the cells of one kind ("markdown" or "code") of a notebook."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    assert path.is_file(), f"there is no {path.relative_to(ROOT)}"
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_names_are_unique():
    assert len({equation.name for equation in EQUATIONS}) == len(EQUATIONS)


@every_equation
def test_code_exists(equation):
    resolve(equation.code)


@every_equation
def test_notebook_has_the_section(equation):
    lines = "\n".join(cells(equation.notebook, "markdown")).splitlines()
    headings = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    assert headings.count(equation.section) == 1, f"{equation.section!r} is not one of {headings}"


@every_equation
def test_test_exists(equation):
    path, _, name = equation.test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name in names, f"{path} has no {name}"


@every_equation
def test_exercises_exist_and_stand_in_the_notebook(equation):
    code = "\n".join(cells(equation.notebook, "code"))
    known = load_exercises()
    for number in equation.exercises:
        assert number in known, f"no check is registered for exercise {number}"
        assert f'check("{number}"' in code, f"{equation.notebook} never calls check for exercise {number}"


def test_every_row_of_the_table_has_the_same_number_of_cells():
    rows = equation_table().splitlines()
    assert len(rows) == len(EQUATIONS) + 2
    assert {row.count("|") for row in rows} == {8}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eqgat.graph.nothing", "no attribute"),
        ("eqgat.layers.LayerTrace.nothing", "no attribute"),
        ("nowhere.at_all", "no module"),
    ],
)
def test_a_dead_name_is_reported(name, message):
    with pytest.raises(ValueError, match=message):
        resolve(name)


def test_a_dead_link_fails_the_walk():
    sound = next(equation for equation in EQUATIONS if (ROOT / "notebooks" / f"{equation.notebook}.ipynb").is_file())
    for check, change in (
        (test_notebook_has_the_section, {"section": "No such section"}),
        (test_notebook_has_the_section, {"notebook": "99_nothing"}),
        (test_exercises_exist_and_stand_in_the_notebook, {"exercises": ("99.9",)}),
    ):
        with pytest.raises(AssertionError):
            check(replace(sound, **change))


START, END = "<!-- here -->", "<!-- /here -->"


def test_a_table_is_inserted_between_its_markers_and_nowhere_else():
    text = f"before\n{START}\nold\n{END}\nafter\n"
    assert insert_between((START, END), text, "new") == f"before\n{START}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["no markers", f"{END}\n{START}\n", f"{START}\n" * 2 + END])
def test_a_text_without_markers_is_refused(text):
    with pytest.raises(ValueError, match=START):
        insert_between((START, END), text, "new")


def test_the_command_prints_the_table(capsys):
    assert main(["equations"]) == 0
    assert capsys.readouterr().out.strip() == equations.equation_table()
