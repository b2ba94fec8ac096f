"""The course as a whole: kinds of exercises, typical mistakes found by name, the guide, the projects, nbgrader."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import tiny

from eqgat_course.exercise_map import KINDS, exercise_map, insert_map
from eqgat_course.exercises import CheckFailed, check, load_exercises
from eqgat_course.release import start

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/teachers-guide.md"

# A mistake that everybody makes -> exercises whose check finds it, and the words by which the hint names it.
TYPICAL = {
    "wrong sign": [("04.1", "the sign is turned round"), ("05.1", "sign is opposite"), ("02.2", "signs alternate")],
    "softmax over the wrong axis": [("03.2", "wrong axis")],
    "summed instead of averaged": [("04.3", "summed instead of averaged"), ("00.2", "summed over the atoms")],
    "cross product of the wrong pair": [("05.1", "cross product of the wrong pair")],
    "norm per component": [("04.1", "each Cartesian component is normalised by itself")],
    "degrees for radians": [("01.6", "you gave them degrees")],
    "one neighbour list for both directions": [
        ("01.1", "each pair appears once only, j < i"),
        ("01.1", "each pair appears once only, j > i"),
    ],
}


def wrong_answers(number: str) -> list:
    return importlib.import_module(f"cases_{number[:2]}").CASES[number].wrong


@pytest.mark.parametrize("mistake", TYPICAL)
def test_typical_mistakes_are_found_by_name(mistake):
    for number, words in TYPICAL[mistake]:
        hints = []
        for answer, _ in wrong_answers(number):
            with pytest.raises(CheckFailed) as failed:
                check(number, answer)
            hints.append(str(failed.value))
        assert any(words in hint for hint in hints), f"no wrong answer to {number} gets the hint {words!r}"


def test_there_are_enough_exercises_of_each_kind():
    kinds = Counter(item.kind for item in load_exercises().values())
    assert set(kinds) == set(KINDS)
    assert sum(kinds.values()) >= 25
    assert min(kinds[kind] for kind in ("predict", "implement", "break it")) >= 10


def test_a_hidden_test_prints_nothing(capsys):
    check("05.3", "b", draw=1)
    assert capsys.readouterr().out == ""


def test_planned_minutes_agree_with_what_the_notebooks_say():
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        first = nbformat.read(path, as_version=4).cells[0].source
        said = re.search(r"([0-9]+) for the exercises", first)
        planned = sum(item.minutes for number, item in load_exercises().items() if number[:2] == path.name[:2])
        assert said is None or abs(int(said[1]) - planned) <= 10, f"{path.name}: {said[1]} minutes, planned {planned}"


def test_the_guide_shows_the_exercises_as_they_are():
    text = GUIDE.read_text(encoding="utf-8")
    assert insert_map(text) == text, "run: python -m eqgat coursework map --write docs/teachers-guide.md"
    assert exercise_map().count("\n| ") == len(load_exercises())
    with pytest.raises(ValueError, match="needs one line"):
        insert_map("no markers")


def test_every_link_and_command_of_the_guide_leads_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/teachers-guide.md)" in readme
    assert "\ncoursework:" in (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in (GUIDE, ROOT / "docs/projects.md"):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert link.startswith("https://") or (page.parent / link).exists(), link
        for script in re.findall(r"`(projects/\w+\.py)`", text):
            assert (ROOT / "eqgat_course" / script).exists(), script
        for number in re.findall(r"\b(0[0-9]\.[0-9])\b", text):
            assert number in load_exercises(), number


def project(name: str):
    return importlib.reload(importlib.import_module(f"eqgat_course.projects.{name}"))


def test_starter_code_of_the_variant_runs_and_its_symmetry_test_can_fail(capsys):
    module = project("new_variant")
    module.main(["--steps", "1", "--seeds", "1", "--clouds", "30"])
    out = capsys.readouterr().out
    assert "is equivariant" in out
    assert re.search(r"my variant +27,155 parameters   validation error [0-9.]+ ", out)

    class Broken(module.MyUpdate):
        def forward(self, s, v):
            s, v = super().forward(s, v)
            return s, v + 0.1

    module.MyUpdate = Broken
    assert not module.is_equivariant(module.my_variant(9, 1))
    with pytest.raises(SystemExit, match="not equivariant"):
        module.main([])


def test_starter_code_of_the_structure_runs(tmp_path, capsys):
    project("new_structure").main(["--out", str(tmp_path / "attention.pdb")])
    out = capsys.readouterr().out
    assert re.search(r"rotation +kept", out)
    assert "depends on the orientation: True" in out
    assert (tmp_path / "attention.pdb").read_text().startswith(("ATOM", "MODEL", "HEADER", "REMARK"))


def test_the_start_cell_finds_what_is_wrong(monkeypatch, capsys):
    import eqgat

    start.check_environment(eqgat.__version__)
    assert capsys.readouterr().out.startswith("✓ Python")
    assert "these notebooks are for eqgat 9.9" in start.problems("9.9")[0]
    monkeypatch.setattr(start, "version", lambda name: "0.0.1" if name == "torch" else "999")
    found = start.problems(eqgat.__version__)
    assert any(problem.startswith("torch 0.0.1 is installed") and "pip install 'torch" in problem for problem in found)
    start.check_environment(eqgat.__version__)
    assert capsys.readouterr().out.startswith("✗")


def test_the_start_cell_asks_for_all_that_notebooks_import(monkeypatch):
    """Notebook 12 needs torchmetrics, which is of the extra ``train``."""

    def missing(name):
        if name in ("torchmetrics", "ipywidgets"):
            raise start.PackageNotFoundError
        return "999"

    monkeypatch.setattr(start, "version", missing)
    found = "; ".join(start.problems("0.1.0"))
    assert "torchmetrics is missing" in found
    assert "ipywidgets is missing" in found


def test_the_start_cell_helps_where_the_package_is_not_installed(tmp_path):
    from eqgat_course.release.build import student_notebook

    source = nbformat.read(tiny.instructor(tmp_path / "05_tiny.ipynb", "05.3"), as_version=4)
    cell = next(cell for cell in student_notebook(source).cells if cell.cell_type == "code")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", cell.source],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONIOENCODING": "utf-8"},
    )
    assert "choose the kernel that has eqgat" in done.stdout


@pytest.mark.skipif(shutil.which("nbgrader") is None, reason="nbgrader is not installed; the guide says how to try it")
def test_nbgrader_makes_the_same_release(tmp_path):
    source = tiny.instructor(tmp_path / "source/tiny/05_tiny.ipynb", "05.1", "05.3")
    before = len(nbformat.read(source, as_version=4).cells)
    subprocess.run(
        ["nbgrader", "generate_assignment", "tiny", "--create"], cwd=tmp_path, check=True, capture_output=True
    )
    made = (tmp_path / "release/tiny/05_tiny.ipynb").read_text(encoding="utf-8")
    assert "draw=987" not in made
    assert "torch.stack" not in made
    assert made.count("YOUR CODE HERE") == 2
    assert len(nbformat.reads(made, as_version=4).cells) == before
