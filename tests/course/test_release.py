"""What is handed out: no solution and no hidden test in any form, notebooks that run, and nothing overwritten."""

from __future__ import annotations

import ast
import base64
import json
from pathlib import Path

import nbformat
import pytest
import tiny

from eqgat.cli import main
from eqgat_course.cells import blank, code_of, grade_id, hidden_part, is_answer, is_test, points
from eqgat_course.exercises import load_exercises
from eqgat_course.grading.plan import load_cells, make_plan
from eqgat_course.release.build import build, hidden_lines, leaks, solution_notebook, student_notebook

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
SECRET = 'check("05.1", cross_term, draw=987)'


@pytest.fixture
def dirty(tmp_path) -> Path:
    """An instructor's notebook that has its hidden test and its solution wherever a notebook can have something."""
    path = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.1", "05.3")
    notebook = nbformat.read(path, as_version=4)
    answer, test = notebook.cells[3:5]
    coded = base64.b64encode(f"x{SECRET}".encode()).decode()
    for cell in (answer, test):
        cell.outputs = [
            nbformat.v4.new_output("stream", text=SECRET),
            nbformat.v4.new_output("display_data", {"image/png": coded}),
        ]
        cell.metadata["jupytext"] = {"kept": SECRET}
        cell.metadata["nbgrader"]["checksum"] = SECRET
        cell.execution_count = 5
    notebook.cells[2].attachments = {"a.png": {"image/png": coded}}
    notebook.metadata["teacher"] = SECRET
    nbformat.write(notebook, path)
    return path


def test_no_form_of_a_hidden_test_is_left(dirty):
    source = nbformat.read(dirty, as_version=4)
    assert hidden_lines(source) == [SECRET]
    assert leaks(dirty.read_text(), [SECRET])
    assert not leaks(nbformat.writes(student_notebook(source)), [SECRET])
    for cell in student_notebook(source).cells:
        assert not cell.get("outputs")
        assert "attachments" not in cell


@pytest.mark.parametrize(
    "write",
    [
        str,
        json.dumps,
        lambda text: text.encode().hex(),
        *(lambda text, n=n: base64.b64encode(b"abc"[:n] + text.encode() + b"xyz").decode() for n in range(3)),
    ],
)
def test_the_search_for_leaks_finds_every_form(write):
    assert leaks("before " + write(SECRET) + " after", [SECRET]) == [SECRET]
    assert leaks("before " + write("something else altogether") + " after", [SECRET]) == []


def test_a_hidden_test_in_an_output_stops_the_solutions_set(dirty, tmp_path):
    with pytest.raises(ValueError, match="would stay in the solutions set"):
        build([dirty], tmp_path / "out")


@every_notebook
def test_the_release_has_neither_solutions_nor_hidden_tests(path):
    source = nbformat.read(path, as_version=4)
    release, solutions = student_notebook(source), solution_notebook(source)
    text = nbformat.writes(release)
    assert not leaks(text, hidden_lines(source))
    assert not leaks(nbformat.writes(solutions), hidden_lines(source))
    assert "BEGIN" not in text
    assert "draw=" not in text
    assert "nbval" not in text.lower()
    start = next(cell for cell in release.cells if cell.cell_type == "code")
    assert "check_environment" in start.source
    cells = [cell for cell in release.cells if cell is not start]
    for before, cell, solved in zip(source.cells, cells, solutions.cells, strict=True):
        assert set(cell.metadata) <= {"nbgrader", "tags"}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            ast.parse(code_of(cell.source))
            ast.parse(code_of(solved.source))
            assert (cell.source != before.source) == ("### BEGIN" in before.source or "# NBVAL" in before.source)
            assert solved.outputs == before.outputs
    nbformat.validate(release)


@every_notebook
def test_the_grader_understands_the_notebook(path):
    """Points are those of the registry, every test finds its answer, and every function has a hidden test."""
    plan = make_plan(load_cells(path), None)
    known = {number: item for number, item in load_exercises().items() if number.startswith(path.name[:2])}
    assert {test.exercise: test.points for test in plan.tests} == {n: item.points for n, item in known.items()}
    for test in plan.tests:
        assert len(test.answers) == 1
        answer = plan.steps[test.answers[0]]
        assert answer.grade_id.removeprefix("ex-") == test.grade_id.removeprefix("check-")
        if answer.source.startswith("def "):
            assert "draw=" in test.hidden, f"{test.exercise} has no hidden test"


@every_notebook
def test_nbgraders_marks_are_as_it_wants_them(path):
    cells = [cell for cell in load_cells(path) if grade_id(cell)]
    names = [grade_id(cell) for cell in cells]
    assert len(set(names)) == len(names)
    for cell in cells:
        marks = cell["metadata"]["nbgrader"]
        assert marks["schema_version"] == 3
        assert is_answer(cell) != is_test(cell)
        assert marks["locked"] == is_test(cell)
        assert ("points" in marks) == is_test(cell)
        if is_test(cell):
            assert points(cell) > 0


def test_both_sets_are_built_again_but_nothing_foreign_is_touched(tmp_path, capsys):
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.1", "05.3").parent
    out = tmp_path / "out"
    for _ in range(2):
        assert main(["coursework", "build", str(out), "--source", str(source)]) == 0
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        "release.json",
        "solutions/05_tiny.ipynb",
        "student/05_tiny.ipynb",
        "student/projects/new_structure.py",
        "student/projects/new_variant.py",
    ]
    (out / "student/05_tiny.ipynb").write_text("a student's work")
    assert main(["coursework", "build", str(out), "--source", str(source)]) == 2
    assert "has been changed since it was built" in capsys.readouterr().err
    assert (out / "student/05_tiny.ipynb").read_text() == "a student's work"
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    assert main(["coursework", "build", str(foreign), "--source", str(source)]) == 2
    assert "thesis.txt was not written by this command" in capsys.readouterr().err
    assert main(["coursework", "build", str(tmp_path / "new"), "--source", str(source), "--notebooks", "77"]) == 2
    assert "no notebook starts with '77'" in capsys.readouterr().err
    assert main(["coursework", "build", str(tmp_path / "new"), "--source", str(foreign)]) == 2
    assert "name one with --source" in capsys.readouterr().err
    for command in ("build", "lab"):
        assert main(["coursework", command, str(foreign / "thesis.txt"), "--source", str(source)]) == 2
        assert "thesis.txt is a file; give a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "content", "message"),
    [
        ("build {new} --source {source}", "# 05 Tiny", "05_tiny.ipynb is not a Jupyter notebook of format 4"),
        ("lab {new} --source {source}", "[1, 2]", "05_tiny.ipynb is not a Jupyter notebook of format 4"),
        ("grade {file} --source {source} --out {new}", "{{", "05_tiny.ipynb is not a Jupyter notebook of format 4"),
        ("map --write {file}", "no markers", "the file needs one line"),
        ("map --write {file}", b"\xff\xfe\x00", "05_tiny.ipynb is not a text in UTF-8"),
    ],
)
def test_files_that_cannot_be_used_are_named(line, content, message, tmp_path, capsys):
    file = tmp_path / "course/05_tiny.ipynb"
    file.parent.mkdir()
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = line.format(file=file, source=file.parent, new=tmp_path / "new").split()
    assert main(["coursework", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_lab_folder_gets_what_it_lacks_and_keeps_what_it_has(tmp_path, capsys):
    source = tiny.instructor(tmp_path / "notebooks/05_tiny.ipynb", "05.1", "05.3").parent
    tiny.instructor(source / "06_tiny.ipynb", "06.4")
    own = tmp_path / "mine"
    own.mkdir()
    (own / "05_tiny.ipynb").write_text("a student's work")
    for new, kept in ((1, 1), (0, 2)):
        assert main(["coursework", "lab", str(own), "--source", str(source)]) == 0
        assert f"{new} notebooks without solutions, new; {kept} were there" in capsys.readouterr().out
    assert (own / "05_tiny.ipynb").read_text() == "a student's work"
    assert "BEGIN SOLUTION" not in (own / "06_tiny.ipynb").read_text()


def test_the_release_carries_the_results_that_notebooks_read(tmp_path, monkeypatch):
    """Whoever has the package from a wheel has no figures/results but this one, in the folder of the notebooks."""
    from eqgat.training import results

    source = tiny.instructor(tmp_path / "notebooks/05_tiny.ipynb", "05.3").parent
    store = tmp_path / "figures/results/rsr"
    store.mkdir(parents=True)
    (store / "run.csv").write_text(",".join(results.COLUMNS) + "\n")
    (store / "weights.pt").write_text("large")
    for _ in range(2):
        assert main(["coursework", "build", str(tmp_path / "out"), "--source", str(source)]) == 0
    for kind in ("student", "solutions"):
        assert [path.name for path in (tmp_path / "out" / kind / "figures").rglob("*.*")] == ["run.csv"]
    monkeypatch.chdir(tmp_path / "out/student")
    monkeypatch.setattr(results, "__file__", str(tmp_path / "site-packages/eqgat/training/results.py"))
    assert (results.results_folder() / "rsr/run.csv").exists()


def test_markers_without_partner_are_errors():
    for source in ("### BEGIN SOLUTION\nx = 1", "x = 1\n### END SOLUTION", "### BEGIN HIDDEN TESTS\nx = 1"):
        with pytest.raises(ValueError, match="stands without its partner"):
            blank(source)
    assert hidden_part("a = 1") == ""


def test_a_blank_is_python_even_if_nothing_but_the_solution_was_there():
    source = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
    assert blank(source) == "def f(x):\n    # YOUR ANSWER HERE\n    ..."
