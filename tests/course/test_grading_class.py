"""The grading of a class: whose submission it is, what the pages say, and a stopped run goes on."""

from __future__ import annotations

import csv
import json
import os
import re
import sys

import pytest
import tiny
from tiny import LIMITS, ORDER

from eqgat.cli import main
from eqgat_course import exercises
from eqgat_course.grading import grade as grading
from eqgat_course.grading import judge as judging
from eqgat_course.grading.grade import Submission, find_submissions, grade, grade_one
from eqgat_course.grading.plan import load_cells, make_plan, uses

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are those of Unix")


def test_hidden_tests_draw_from_the_seed_of_the_run(tmp_path, monkeypatch):
    """What stands in the notebook is only the distance from it; by default nobody knows the seed before."""
    drawn = []
    monkeypatch.setattr(exercises, "check", lambda number, answer, draw=0: drawn.append(draw))
    monkeypatch.setattr("eqgat_course.check", exercises.check)
    plan = make_plan(load_cells(tiny.instructor(tmp_path / "05_tiny.ipynb", "05.1")), None)
    assert judging._checked(plan.tests[0], plan, NoSession(), 5000) == ("right", "")
    assert drawn == [0, 5987]


class NoSession:
    """Stands for a session whose answers are right."""

    def limited(self):
        return judging.contextlib.nullcontext()

    def get(self, name):
        return name


def test_each_run_has_a_seed_of_its_own(class_of_three, tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr(
        grading, "grade_one", lambda item, order, running: seeds.append(order.seed) or pretend([])(item, order)
    )
    for out in ("one", "two"):
        grade(class_of_three, tmp_path / out, LIMITS)
    assert seeds[:3] == [seeds[0]] * 3
    assert seeds[3:] == [seeds[3]] * 3
    assert seeds[0] != seeds[3]


def test_what_the_time_of_the_whole_submission_did_not_reach_is_not_judged_and_graded_again(tmp_path, capsys):
    """Nobody gets 0 points for a slow machine in silence; with more time only what was stopped is graded again."""
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.3", "09.2", "04.4", "06.4")
    slow = "import time\ntime.sleep(20)\nanswer_09_2 = 'b'"
    tiny.submission(tmp_path / "in/ada/05_tiny.ipynb", source, {"09.2": slow, "06.4": ""})
    tiny.submission(tmp_path / "in/bob/05_tiny.ipynb", source, {})
    out = tmp_path / "out"
    command = ["coursework", "grade", str(tmp_path / "in"), "--out", str(out), "--source", str(source.parent)]

    def rows() -> dict[str, dict]:
        table = csv.DictReader((out / "grades.csv").open())
        return {row["exercise"]: row for row in table if row["student"] == "ada"}

    assert main([*command, "--seconds", "18"]) == 1
    assert [rows()[number]["status"] for number in ("05.3", "09.2", "04.4", "06.4")] == [
        "right",
        "time limit",
        "not judged",
        "blank",
    ]
    for number in ("09.2", "04.4"):
        assert "the 18 seconds for the whole submission are over" in rows()[number]["hint"]
        assert "raise --seconds and grade again" in rows()[number]["hint"]
        assert "loop" not in rows()[number]["hint"]
    said = capsys.readouterr().err
    assert re.fullmatch(r"not graded to the end: ada: 05_tiny: 04.4 not judged, because .* grade again\n", said)
    page = (out / "class.html").read_text()
    assert "was not graded to the\nend: 04.4 not judged" in page.split("<h2>")[0]
    assert main([*command, "--seconds", "900"]) == 0
    assert [row["points"] for row in rows().values()] == ["2", "2", "2", "0"]
    assert re.search(r"bob: .*graded before", capsys.readouterr().out)
    assert "not judged" not in (out / "class.html").read_text()


def test_without_bubblewrap_grading_goes_on_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grading, "weakness", lambda: "it is not here")
    monkeypatch.setattr("eqgat_course.grading.sandbox.weakness", lambda: "it is not here")
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.3", "05.1")
    tiny.submission(
        tmp_path / "in/ada/05_tiny.ipynb",
        source,
        {"05.3": "answer_05_3 = 'b'\nimport eqgat_course.ch05_cross_products.checks"},
    )
    assert (
        main(
            [
                "coursework",
                "grade",
                str(tmp_path / "in"),
                "--out",
                str(tmp_path / "out"),
                "--source",
                str(source.parent),
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.startswith("Isolation is weaker than it can be: it is not here.\n")
    assert "Isolation was weaker than it can be: it is not here." in (tmp_path / "out/class.html").read_text()
    rows = list(csv.DictReader((tmp_path / "out/grades.csv").open()))
    assert [row["points"] for row in rows] == ["2", "2"]


def test_a_source_over_which_the_parser_crashes_stops_neither_the_grader_nor_the_run(class_of_three, monkeypatch):
    """Python 3.10 ends with a segmentation fault over a long sum; so the grader itself parses no student's cell."""

    def parse(*_):
        raise AssertionError("the grader has parsed a student's source")

    monkeypatch.setattr(grading, "make_plan", lambda cells, theirs: parse() if theirs else make_plan(cells, None))
    tiny.submission(class_of_three[0].path, class_of_three[0].instructor, {"05.3": "x" + "+x" * 100_000})
    result = grade_one(class_of_three[0], ORDER)
    assert result["rows"][0]["points"] == 0
    assert result["rows"][0]["status"] in ("error", "not judged", "process ended", "time limit")


def test_deleted_and_edited_cells_do_not_matter(tmp_path):
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.3", "09.2", "06.4", "04.4", "05.4", "08.1")
    path = tiny.submission(
        tmp_path / "eve/05_tiny.ipynb",
        source,
        {
            "09.2": "answer_09_2 = helper()",
            "04.4": "answer_04_4 = None\n# YOUR ANSWER HERE",
            "05.4": "def product(a, b):\n    return helper() * a",
            "08.1": "answer_08_1 = (1.0",
        },
        delete=("check-05-3", "ex-06-4"),
    )
    notebook = json.loads(path.read_text())
    notebook["cells"].insert(
        2,
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": "def helper():\n    return 'b'",
        },
    )
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade"):
            cell["source"], cell["metadata"]["nbgrader"]["points"] = "print('right')", 100
    path.write_text(json.dumps(notebook))
    rows = {row["exercise"]: row for row in grade_one(Submission(path, "eve", source), ORDER)["rows"]}
    assert (rows["05.3"]["points"], rows["05.3"]["max"]) == (2, 2)
    assert rows["06.4"]["status"] == "missing"
    assert rows["04.4"]["status"] == "blank"
    for number in ("09.2", "05.4"):  # in a cell, and in a function that the check calls
        assert rows[number]["status"] == "error"
        assert "name 'helper' is not defined. Only the answer cell is graded: if `helper`" in rows[number]["hint"]
    assert rows["08.1"]["status"] == "error"
    assert "ipython-input" not in rows["08.1"]["hint"]


@pytest.fixture
def class_of_three(tmp_path):
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.3", "09.2")
    for student in ("ada", "bob", "cy"):
        tiny.submission(tmp_path / student / "05_tiny.ipynb", source, {})
    return find_submissions([tmp_path / name for name in ("ada", "bob", "cy")], [source])[0]


def pretend(calls: list[str], crash: str = ""):
    """A ``grade_one`` that runs nothing."""

    def one(submission, order, running=None):
        calls.append(submission.student)
        problem = "the judge stopped before it was done (killed)" if submission.student == crash else ""
        row = {"exercise": "05.3", "points": 0 if problem else 2, "max": 2, "status": "wrong", "hint": "=1+1 <b>|x `a`"}
        return {
            "student": submission.student,
            "notebook": submission.instructor.stem,
            "problem": problem,
            "final": not problem,
            "rows": [row],
            "uses": {},
            "answers": {"05.3": "1 < 2 <script>"},
            "seconds": 3.0,
            "seed": order.seed,
            "isolated": True,
        }

    return one


def test_a_run_goes_on_where_it_stopped_and_crashes_are_tried_again(class_of_three, tmp_path, monkeypatch, capsys):
    out, calls = tmp_path / "out", []
    monkeypatch.setattr(grading, "grade_one", pretend(calls, crash="bob"))
    results = grade(class_of_three, out, LIMITS)
    assert calls == ["ada", "bob", "cy"], "a crash must not stop the others"
    assert len(results) == 3
    assert "[3/3] cy: 05_tiny  2 of 2 points" in capsys.readouterr().out
    monkeypatch.setattr(grading, "grade_one", pretend(calls))
    grade(class_of_three, out, LIMITS, jobs=2)
    assert calls[3:] == ["bob"], "what was graded is not graded again"
    assert "graded before" in capsys.readouterr().out
    class_of_three[2].path.write_text(class_of_three[2].path.read_text() + "\n")
    grade(class_of_three, out, LIMITS)
    assert calls[4:] == ["cy"], "a changed submission is graded again"


def test_the_table_is_no_spreadsheet_formula_and_the_page_no_markup(class_of_three, tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "grade_one", pretend([]))
    grade(class_of_three, tmp_path / "out", LIMITS)
    rows = list(csv.DictReader((tmp_path / "out/grades.csv").open()))
    assert tuple(rows[0].values()) == ("ada", "05_tiny", "05.3", "2", "2", "wrong", "'=1+1 <b>|x `a`")
    totals = list(csv.DictReader((tmp_path / "out/totals.csv").open()))
    assert [tuple(row.items()) for row in totals] == [
        (("student", student), ("05", "2"), ("points", "2"), ("max", "2")) for student in ("ada", "bob", "cy")
    ]
    page = (tmp_path / "out/reports/ada.html").read_text()
    assert "<b>2 of 2 points</b>" in page
    assert "<code>1 &lt; 2 &lt;script&gt;</code>" in page, "the student's own answer"
    for shown in (page, (tmp_path / "out/class.html").read_text()):
        assert "=1+1 &lt;b&gt;|x <code>a</code>" in shown


def test_an_interrupted_run_keeps_what_is_done(class_of_three, tmp_path, monkeypatch):
    calls = []
    usual = pretend(calls)

    def interrupted(submission, order, running=None):
        if submission.student == "bob":
            raise KeyboardInterrupt
        return usual(submission, order)

    monkeypatch.setattr(grading, "grade_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grade(class_of_three, tmp_path / "out", LIMITS)
    assert "ada" in (tmp_path / "out/grades.csv").read_text()
    monkeypatch.setattr(grading, "grade_one", usual)
    before = len(calls)
    grade(class_of_three, tmp_path / "out", LIMITS)
    assert "ada" not in calls[before:]


def dies(*_) -> None:
    os._exit(9)


def test_a_judge_that_dies_and_a_file_that_is_no_notebook_are_reported(class_of_three, monkeypatch):
    class_of_three[0].path.write_text("not a notebook")
    result = grade_one(class_of_three[0], ORDER)
    assert result["problem"] == "05_tiny.ipynb is not a Jupyter notebook of format 4 (JSONDecodeError)"
    assert result["final"]
    assert {row["status"] for row in result["rows"]} == {"not judged"}
    monkeypatch.setattr(grading, "serve", dies)
    result = grade_one(class_of_three[1], ORDER)
    assert "the judge stopped before it was done" in result["problem"]
    assert not result["final"]
    assert sum(row["points"] for row in result["rows"]) == 0


def test_whose_submission_it_is_follows_from_the_name(tmp_path):
    source = tiny.instructor(tmp_path / "05_tiny.ipynb", "05.3")
    for name in (
        "ada/05_tiny.ipynb",
        "bob/05_tiny/05_tiny.ipynb",
        "all/05_tiny_cy.ipynb",
        "all/05_tiny_d e.ipynb",
        "all/.ipynb_checkpoints/05_tiny-checkpoint.ipynb",
        "eve/05_tiny (1).ipynb",
        "flo/05_tiny-Copy1.ipynb",
        "all/05_tiny_4711.ipynb",
    ):
        tiny.submission(tmp_path / "in" / name, source, {})
    found, refused = find_submissions([tmp_path / "in"], [source])
    assert [item.student for item in found] == ["4711", "ada", "bob", "cy", "d_e", "eve", "flo"]
    assert refused == []
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_submissions([tmp_path / "nowhere"], [source])


def test_a_file_that_is_no_submission_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    """A wrong name, two files for one notebook, and links, by which a student would hand in somebody else's work."""
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.3")
    for name in ("ada/05_tiny.ipynb", "bob/05_tiny.ipynb", "bob/05_tiny (1).ipynb", "cy/Untitled.ipynb"):
        tiny.submission(tmp_path / "in" / name, source, {})
    (tmp_path / "in/eve").mkdir()
    (tmp_path / "in/eve/05_tiny.ipynb").symlink_to(source)
    (tmp_path / "in/flo").symlink_to(tmp_path / "in/ada")
    calls: list[str] = []
    monkeypatch.setattr(grading, "grade_one", pretend(calls))
    given = [str(tmp_path / "in"), str(tmp_path / "in/eve/05_tiny.ipynb")]
    assert main(["coursework", "grade", *given, "--out", str(tmp_path / "out"), "--source", str(source.parent)]) == 1
    assert calls == ["ada"]
    page = (tmp_path / "out/class.html").read_text()
    for words in ("Untitled.ipynb is named after no notebook", "2 files of &#39;bob&#39; answer 05_tiny", "is a link"):
        assert words in page
    assert page.count("Not graded") == capsys.readouterr().err.count("not graded") >= 4


def test_a_test_cell_that_needs_the_students_process_is_refused(tmp_path):
    source = tiny.instructor(tmp_path / "05_tiny.ipynb", "05.3")
    source.write_text(source.read_text().replace('answer_05_3)"', 'shared)"'))
    item = Submission(tiny.submission(tmp_path / "ada/05_tiny.ipynb", source, {}), "ada", source)
    with pytest.raises(ValueError, match="check-05-3 uses shared"):
        grade([item], tmp_path / "out", LIMITS)


def test_the_teacher_reads_which_answers_use_ready_made_functions(tmp_path):
    source = tiny.instructor(tmp_path / "05_tiny.ipynb", "05.3", "05.4", "00.2")
    source.write_text(source.read_text().replace('"import torch\\n"', '"from eqgat.radial import bessel_basis\\n"'))
    path = tiny.submission(
        tmp_path / "ada/05_tiny.ipynb",
        source,
        {
            "05.3": "answer_05_3 = bessel_basis",
            "05.4": "from eqgat_course import checks\nimport inspect",
            "00.2": "def gyration(pos):\n    from eqgat.symmetry import rotation\n    return gc.get_objects()",
        },
    )
    assert uses(load_cells(source), load_cells(path)) == {
        "05.3": ["bessel_basis"],
        "05.4": ["from eqgat_course import checks", "eqgat_course", "inspect"],
        "00.2": ["from eqgat.symmetry import rotation", "gc"],
    }
