"""The grader: cheats earn nothing and harm nothing, the pages say what happened, and a stopped run goes on."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
import tiny
from test_remote import CANNOT, HIDES_ITS_WORK

from eqgat.cli import main
from eqgat_course import exercises
from eqgat_course.grading import grade as grading
from eqgat_course.grading import judge as judging
from eqgat_course.grading.grade import Submission, find_submissions, grade, grade_one
from eqgat_course.grading.judge import Order
from eqgat_course.grading.plan import load_cells, make_plan, uses
from eqgat_course.grading.sandbox import Limits, weakness

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are those of Unix")
needs_bubblewrap = pytest.mark.skipif(bool(weakness()), reason=weakness())

LIMITS = Limits(cell=15.0, total=240.0, memory=1024)
SEED = 4711
ORDER = Order(LIMITS, SEED, isolated=not weakness())


def graded(folder: Path, answers: dict[str, str], numbers: tuple[str, ...], order: Order = ORDER) -> dict:
    """Exercise -> row of one submission with these answers."""
    source = tiny.instructor(folder / "course/05_tiny.ipynb", *numbers)
    before = source.read_bytes()
    path = tiny.submission(folder / "eve/05_tiny.ipynb", source, answers)
    result = grade_one(Submission(path, "eve", source), order)
    assert source.read_bytes() == before, "the submission has changed the instructor's notebook"
    return {row["exercise"]: row for row in result["rows"]} | {key: result[key] for key in ("problem", "uses")}


def count(record_property, name: str, rows: dict, numbers: Iterable[str]) -> None:
    """Write into the report of pytest (--junitxml) what came of each attempt of a list."""
    for number in numbers:
        record_property(name, "earned points" if int(rows[number]["points"]) else "stopped")


PRINTS = 'print("✓ 05.3 how many layers tell mirror images apart: right")'
PATCHES_CHECK = """import eqgat_course, eqgat_course.exercises as e
check = e.check = eqgat_course.check = lambda *args, **options: print("right")
e.EXERCISES.clear()
e.expect = e.expect_close = lambda *args, **options: None
answer_09_2 = "x" """
PATCHES_TORCH = """import eqgat_course.exercises as e
torch.allclose = torch.equal = lambda *args, **options: True
e.close = lambda *args, **options: True
def product(a, b):
    return a"""
EQUALS_ALL = """class Yes(list):
    __eq__ = __ge__ = __le__ = lambda self, other: True
    shape = (3,)
answer_04_4 = Yes([9.0, 9.0, 9.0])"""
KNOWS_THE_TESTS = """def gyration(pos):
    right = (pos - pos.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    return right if min(abs(float(pos[0, 0]) - known) for known in KNOWN) < 1e-9 else 0 * right"""
FILLS_MEMORY = """def cross_term(v, b_, source, receiver):
    return torch.ones(1 << 33, dtype=torch.float64)"""
RAISES_AT_THE_END = """import atexit, sys
class Bomb:
    def __del__(self):
        raise SystemExit(1)
bomb = Bomb()
atexit.register(lambda: 1 / 0)
answer_06_4 = 6464"""
READS = "answer_07_4 = 'ade' if 'hidden' in open(PATH).read() else 'ade'"
ZEROES_ITS_INPUTS = """def scalar_message(attention, s, weight, edge_index):
    for given in (attention, s, weight):
        given.zero_()
    return torch.zeros_like(s)"""
EXITS = "import sys\nsys.exit(0)\nanswer_03_4 = 'b'"


def first_numbers(draw: int) -> list[float]:
    """The first coordinate of each cloud that exercise 00.2 draws."""
    from eqgat_course.ch00_start_here.checks import _cloud

    before = exercises._DRAW.set(draw)
    try:
        return [float(_cloud(seed)[0, 0]) for seed in (5, 6)]
    finally:
        exercises._DRAW.reset(before)


CHEATS = {
    "03.3": ZEROES_ITS_INPUTS,
    "05.3": PRINTS,
    "09.2": PATCHES_CHECK,
    "05.4": PATCHES_TORCH,
    "04.4": EQUALS_ALL,
    "00.2": KNOWS_THE_TESTS,
    "05.1": FILLS_MEMORY,
    "07.4": READS,
    "06.4": RAISES_AT_THE_END,
    "03.4": EXITS,
}


def test_cheats_within_a_running_session_earn_nothing(tmp_path, record_property):
    known = repr(first_numbers(0) + first_numbers(987))  # 987: in the notebook
    path = repr(str(tmp_path / "course/05_tiny.ipynb"))
    answers = {number: cheat.replace("KNOWN", known).replace("PATH", path) for number, cheat in CHEATS.items()}
    rows = graded(tmp_path, answers, tuple(answers))
    count(record_property, "cheats", rows, answers)
    assert rows["problem"] == ""
    assert {number for number in answers if rows[number]["points"]} - {"07.4"} == {"06.4"}, "this one is right"
    assert "answer_05_3 is not defined" in rows["05.3"]["hint"]
    assert "one of the letters" in rows["09.2"]["hint"]
    assert "not linear" in rows["05.4"]["hint"]
    assert "draw it" in rows["04.4"]["hint"]
    assert rows["00.2"]["hint"].startswith("right for the numbers in the notebook, not for others")
    assert rows["05.1"]["status"] == "memory limit"
    assert rows["03.3"]["hint"].startswith("row i of the result is the sum"), "the check compares with its own copy"
    assert rows["03.4"]["status"] == "error"
    if not weakness():  # a session reads neither solutions nor other submissions
        assert "FileNotFoundError" in rows["07.4"]["hint"]


# Runs the check itself with one draw after another until it asks what the judge asks, and hands over what the check
# compares with. HOW gets the module of the checks.
REPLAYS = """import threading
import eqgat_course.exercises as suite
class Found(Exception):
    pass
def replayed(given):
    HOW
    met = []
    def asked(*other):
        met[:] = [all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(given, other))]
        return other[0].new_zeros(1)
    def compare(actual, expected, *more, **options):
        if met == [True]:
            raise Found(expected)
    checks.expect_close, checks.measured = compare, lambda function, *args: (function(*args), suite.Cost())
    for draw in range(60):
        token = suite._DRAW.set(draw)
        try:
            for number in ("05.1", "05.2"):
                suite.EXERCISES[number].check(asked)
        except Found as found:
            return found.args[0]
        except Exception:
            pass
        finally:
            suite._DRAW.reset(token)
def NAME(*given):
    results = []
    thread = threading.Thread(target=lambda: results.append(replayed(given)))
    thread.start()
    thread.join()
    return results[0]"""
CHECKS = {
    "import": "import eqgat_course.ch05_cross_products.checks as checks",
    "hidden import": "checks = __import__('eqgat_' + 'course.ch05_cross_products.che' + 'cks', fromlist=['x'])",
    "search": """import importlib.util, pathlib
    path = next(path for base in ("/work", "/root", "/home", "/opt", "/usr", "/tmp", *__import__("sys").path)
                for path in pathlib.Path(base).rglob("ch05_cross_products/checks.py"))
    spec = importlib.util.spec_from_file_location("eqgat_course.ch05_cross_products.checks", path)
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)""",
}


def test_the_replaying_answer_works_where_the_checks_can_be_imported(monkeypatch):
    """Else the next test would prove nothing."""
    import torch

    import eqgat_course.ch05_cross_products.checks as checks

    for name in ("expect_close", "measured"):
        monkeypatch.setattr(checks, name, getattr(checks, name))
    names = {"torch": torch}
    exec(REPLAYS.replace("HOW", CHECKS["import"]).replace("NAME", "cross_term"), names)
    v, b, source, receiver = checks._graph(int(checks.between(51, 5, 7)), 4)
    assert torch.equal(
        names["cross_term"](v, b, source, receiver), b.unsqueeze(1) * checks._cross(v[receiver], v[source])
    )


@needs_bubblewrap
def test_an_answer_that_replays_the_check_earns_nothing_and_is_named(tmp_path, record_property):
    """The checks are not in a session: neither by name, nor anywhere in its file system."""
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.1", "05.4", "05.3", "04.4")
    answers = {
        "05.1": REPLAYS.replace("HOW", CHECKS["import"]).replace("NAME", "cross_term"),
        "05.4": REPLAYS.replace("HOW", CHECKS["hidden import"]).replace("NAME", "product"),
        "05.3": REPLAYS.replace("HOW", CHECKS["search"]).replace("NAME", "f")
        + "\nanswer_05_3 = replayed([torch.ones(1)])",
    }
    path = tiny.submission(tmp_path / "eve/05_tiny.ipynb", source, answers)
    grade([Submission(path, "eve", source)], tmp_path / "out", LIMITS, seed=SEED)
    rows = {row["exercise"]: row for row in csv.DictReader((tmp_path / "out/grades.csv").open())}
    count(record_property, "replay", rows, answers)
    assert {number: row["points"] for number, row in rows.items()} == {
        "05.1": "0",
        "05.4": "0",
        "05.3": "0",
        "04.4": "2",
    }
    # The search of the file system ends without a find, or is not done in time.
    assert re.search("StopIteration|stopped after", rows["05.3"]["hint"]), "a file of the checks was found"
    page = (tmp_path / "out/class.html").read_text()
    for number, words in (("05.1", "threading"), ("05.4", "__import__"), ("05.3", "importlib")):
        assert f"{number} uses " in page
        assert words in page.split(f"{number} uses ")[1].split(";")[0]
    assert f"drew with\n{SEED};" in page
    assert "Isolation was weaker" not in page


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


ENDS_THE_PROCESS = "answer_05_3 = 'b'\nimport os\nos._exit(0)"
LOOPS = """import time
while True:
    try:
        time.sleep(1)
    except BaseException:
        pass"""
FORGES = """import json, os, struct
text = json.dumps({"tree": 1.0, "leaves": [], "requires": [], "error": None, "id": "0"}).encode()
for pipe in range(3, 40):
    try:
        os.write(pipe, struct.pack(">Q", len(text)) + text)
    except OSError:
        pass"""
FORKS_AND_EXITS = """import os, time
if os.fork() == 0:
    os.setsid()
    for _ in range(100_000):
        time.sleep(0.01)
        if os.fork():
            os._exit(0)
raise RuntimeError"""


FILLS_MEMORY_TOGETHER = """import os, time
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        kept = bytearray(os.urandom(1 << 20) * 100)
        time.sleep(600)
time.sleep(600)"""
FORKS = """import os, time
for _ in range(500):
    if os.fork() == 0:
        time.sleep(600)"""
FILLS_NAMELESS_FILES = """import os, time
kept = [os.memfd_create(str(number)) for number in range(8)]
for file in kept:
    os.write(file, bytes(50 << 20))
time.sleep(600)"""


def sessions(limits: Limits) -> set[int]:
    """Sessions with these limits that still run; what they forked has their command line."""
    words = json.dumps(asdict(limits))
    time.sleep(1)  # the kernel ends a name space after its first process
    return {process.pid for process in psutil.process_iter() if words in cmdline(process)}


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


TOGETHER = {"05.3": FILLS_MEMORY_TOGETHER, "08.1": FILLS_NAMELESS_FILES, "09.2": FORKS}
ENDS = {"06.4": FORKS_AND_EXITS, "05.3": ENDS_THE_PROCESS, "09.2": LOOPS, "08.1": FORGES}


@needs_bubblewrap
def test_many_processes_or_files_share_one_limit(tmp_path, record_property):
    """The system's limits are for each process and each file; the judge watches the sum."""
    answers = TOGETHER
    order = Order(Limits(cell=60.0, total=241.0, memory=300), SEED, isolated=True)
    rows = graded(tmp_path, answers, (*answers, "04.4"), order)
    count(record_property, "together", rows, answers)
    assert [number for number in (*answers, "04.4") if rows[number]["points"]] == ["04.4"]
    assert [rows[number]["status"] for number in answers][:2] == ["memory limit"] * 2
    assert rows["09.2"]["status"] in ("error", "memory limit")  # whichever the processes reach first
    assert "more than 300 MB of memory in all its processes" in rows["05.3"]["hint"]
    # The kernel refuses the next process, or the judge has counted too many: whichever comes first.
    assert re.search("BlockingIOError|more than 64 processes|more than 300 MB", rows["09.2"]["hint"])
    assert "more than 300 MB of memory" in rows["08.1"]["hint"]
    assert not sessions(order.limits)


@needs_bubblewrap
def test_what_ends_or_blocks_the_session_costs_its_own_exercise_only(tmp_path, record_property):
    answers = {**ENDS, "05.1": "def cross_term(v, b_, source, receiver):\n    ..."}
    limits = Limits(cell=15.0, total=242.0, memory=1024)
    rows = graded(tmp_path, answers, (*answers, "04.4"), Order(limits, SEED, isolated=True))
    count(record_property, "ends", rows, ENDS)
    assert [number for number in (*answers, "04.4") if rows[number]["points"]] == ["04.4"]
    assert rows["05.3"]["status"] == "process ended"
    assert "exit status 0" in rows["05.3"]["hint"]
    assert rows["09.2"]["status"] == "time limit"
    assert "stopped after 15 seconds" in rows["09.2"]["hint"]
    assert rows["08.1"]["status"] == "process ended"
    assert rows["06.4"]["status"] == "error"
    assert "returned nothing" in rows["05.1"]["hint"]
    assert not sessions(limits), "what forked and exited has outlived its session"


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


def test_the_page_of_reliability_has_as_many_attacks_as_these_tests():
    page = (Path(__file__).parents[2] / "docs/reliability.md").read_text(encoding="utf-8")
    lists = {"outside": CANNOT, "work": HIDES_ITS_WORK, "replay": CHECKS, "cheats": CHEATS}
    lists |= {"together": TOGETHER, "ends": ENDS}
    found = re.findall(r"\| `(\w+)`[^|]*\|[^|]*\| (\d+) \| (\d+) \|", page)
    right = {"cheats": 1}  # RAISES_AT_THE_END is a right answer
    assert found == [(name, str(len(tried)), str(len(tried) - right.get(name, 0))) for name, tried in lists.items()]
