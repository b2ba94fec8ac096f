"""What a learner gets: with its solutions taken out each notebook still runs, and each check says what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import torch

from eqgat_course.cells import visible_part
from eqgat_course.exercises import CheckFailed, load_exercises
from eqgat_course.exercises import check as exercises_check

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTION = re.compile(r"^[ \t]*### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*\n?", re.DOTALL | re.MULTILINE)
CHECK = re.compile(r'^check\("([0-9]{2}\.[0-9]+)"', re.MULTILINE)


def cells(path: Path, kind: str) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def exercises(path: Path) -> list[tuple[str, str, str]]:
    """Number, blank (the cell without its solution) and check of each exercise of a notebook, in order."""
    found, blank = [], ""
    for source in cells(path, "code"):
        number = CHECK.search(source)
        if number:
            found.append((number[1], blank, source))
        elif "### BEGIN SOLUTION" in source:
            blank, taken = SOLUTION.subn("", source)
            assert taken == source.count("SOLUTION") / 2, f"a solution without its end in {path.name}: {source}"
    return found


EXERCISES = [
    pytest.param(path, number, blank, check, id=number)
    for path in NOTEBOOKS
    for number, blank, check in exercises(path)
]


@pytest.fixture(autouse=True)
def gradients_as_before():
    """Some notebooks switch gradients off in their first cell; the tests that follow need them."""
    with torch.set_grad_enabled(True):
        yield


@pytest.fixture(scope="module")
def imports() -> dict[Path, str]:
    """The first code cell of each notebook, which has its imports; without the magic for figures."""
    return {path: re.sub(r"^%.*$", "", cells(path, "code")[0], flags=re.MULTILINE) for path in NOTEBOOKS}


@pytest.mark.parametrize(("path", "number", "blank", "check"), EXERCISES)
def test_a_blank_runs_and_its_check_says_what_is_missing(imports, path, number, blank, check):
    names: dict[str, object] = {"check": exercises_check}
    exec(compile(imports[path], f"{path.stem}, imports", "exec"), names)
    exec(compile(blank, f"blank of {number}", "exec"), names)
    with pytest.raises(CheckFailed, match=rf"{re.escape(number)}: .*(not answered yet|returned nothing)"):
        exec(compile(check, f"check of {number}", "exec"), names)


@pytest.mark.parametrize(("path", "number", "blank", "check"), EXERCISES)
def test_in_a_students_notebook_a_blank_stops_nothing(imports, monkeypatch, capsys, path, number, blank, check):
    monkeypatch.setattr("eqgat_course.exercises._patient", True)
    names: dict[str, object] = {"check": exercises_check}
    exec(compile(imports[path], f"{path.stem}, imports", "exec"), names)
    exec(compile(blank, f"blank of {number}", "exec"), names)
    exec(compile(visible_part(check), f"check of {number}", "exec"), names)
    assert f"… {number} waits: " in capsys.readouterr().out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_exercises_are_checked_and_of_all_kinds(path):
    known = {number: item for number, item in load_exercises().items() if number.startswith(path.name[:2])}
    here = [number for number, _, _ in exercises(path)]
    assert sorted(here) == sorted(known), "a check without its exercise, or the reverse"
    text = "\n".join(cells(path, "markdown"))
    headings = re.findall(r"^### Exercise ([0-9.]+) \(([a-z ]+)\): (.+)$", text, re.MULTILINE)
    titles = {number: (kind, title.replace("$", "").casefold()) for number, kind, title in headings}
    assert titles == {number: (item.kind, item.title.casefold()) for number, item in known.items()}
    if path.name < "08":  # the notebooks that derive the model
        assert len(known) >= 3
        assert {item.kind for item in known.values()} >= {"predict", "implement", "break it"}


def unfolded(text: str) -> str:
    return re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)


def longest_stretch(path: Path) -> tuple[int, str]:
    """The most words of prose between two places where a reader sees or is asked something, and how they begin.

    Such a place is a cell of code, or a question. Tables, displayed formulas and what is folded are not prose.
    """
    longest, stretch = [], []
    for cell in nbformat.read(path, as_version=4).cells:
        text = re.sub(r"\$\$.*?\$\$", "", unfolded(cell.source), flags=re.DOTALL)
        prose = " ".join(line for line in text.splitlines() if not line.startswith("|"))
        *asked, rest = ["", ""] if cell.cell_type == "code" else prose.split("?")
        for part in asked:
            longest, stretch = max(longest, stretch + part.split(), key=len), []
        stretch = stretch + rest.split()
        longest = max(longest, stretch, key=len)
    return len(longest), " ".join(longest[:12])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_a_notebook_is_short_enough_to_read(path):
    words = sum(len(unfolded(source).split()) for source in cells(path, "markdown"))
    assert words <= (3500 if path.name < "08" else 5000)
    assert max(len(source.splitlines()) for source in cells(path, "code")) <= 40, "a cell is longer than a screen"
    if path.name < "08":
        assert len(cells(path, "code")) <= 35
        number, beginning = longest_stretch(path)
        assert number <= 250, f"{number} words without a picture, a number or a question: {beginning} ..."
        assert "# NBVAL" not in "".join(cells(path, "code")), "nbval's marks are tags of the cells, out of sight"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_no_committed_output_is_a_warning(path):
    """What is written to stderr is a warning, with a path of the machine that executed the notebook."""
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.name < "08"], ids=lambda path: path.stem[:2])
def test_exercises_stand_in_order(path):
    numbers = [number for number, _, _ in exercises(path)]
    assert numbers == sorted(numbers)


def untested(path: Path) -> list[str]:
    """The cells whose outputs nbval does not compare, marked by a tag."""
    every = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in every if "nbval-ignore-output" in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_every_slider_is_left_out_of_comparisons_and_has_a_still(path):
    code, ignored = cells(path, "code"), untested(path)
    for source in code:
        for shown in re.findall(r"\binteract\((?:lambda [^:]*: ?)?([\w.]+)", source):
            assert "# NBVAL_IGNORE_OUTPUT" in source or source in ignored
            still = re.compile(rf"^{re.escape(shown)}\(", re.MULTILINE)
            assert any(still.search(other) for other in code), f"{shown} has a slider and no still"
