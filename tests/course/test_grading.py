"""The grader: cheats earn nothing and harm nothing, the report says what happened, and a stopped run goes on."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import pytest
import tiny

from eqgat_course.cli import main
from eqgat_course.grading import grade as grading
from eqgat_course.grading.grade import Submission, find_submissions, grade, grade_one
from eqgat_course.grading.plan import load_cells, make_plan, uses
from eqgat_course.grading.sandbox import Limits, landlock_version

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are those of Unix")

LIMITS = Limits(cell=8.0, total=240.0, memory=1024)


class Started(set):
    """Remembers every process that was started."""

    def __init__(self) -> None:
        self.ever: list[int] = []

    def add(self, process: int) -> None:
        self.ever.append(process)
        super().add(process)


def graded(folder: Path, answers: dict[str, str], numbers: tuple[str, ...], started: Started | None = None) -> dict:
    """Exercise -> row of one submission with these answers."""
    source = tiny.instructor(folder / "course/05_tiny.ipynb", *numbers)
    before = source.read_bytes()
    path = tiny.submission(folder / "eve/05_tiny.ipynb", source, answers)
    result = grade_one(Submission(path, "eve", source), LIMITS, started)
    assert source.read_bytes() == before, "the submission has changed the instructor's notebook"
    return {row["exercise"]: row for row in result["rows"]} | {"problem": result["problem"]}


PRINTS = 'print("✓ 05.3 mirror images and layers: right")'
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
KNOWS_THE_VISIBLE_TEST = """seen = []
def gyration(pos):
    seen.append(float(pos[0, 0]))
    right = (pos - pos.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    return right if abs(pos[0, 0] - FIRST) < 1e-9 else 0 * right"""
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
WRITES = """import os
try:
    open(PATH, "w").write("{}")
except OSError as error:
    pass
reached = []
for version, act in ((1, lambda: open(f"/proc/{os.getppid()}/fd/1", "w")), (6, lambda: os.kill(os.getppid(), 9))):
    try:
        reached += [act()] if LANDLOCK >= version else []
    except OSError:
        pass
answer_08_1 = 5.0 if os.environ.get("DISPLAY") or reached else 1.0"""


def first_number() -> float:
    from eqgat_course.ch00_start_here.checks import _cloud

    return float(_cloud()[0, 0])


def test_cheats_within_a_running_session_earn_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    path = tmp_path / "course/05_tiny.ipynb"
    answers = {
        "03.3": ZEROES_ITS_INPUTS,
        "05.3": PRINTS,
        "09.2": PATCHES_CHECK,
        "05.4": PATCHES_TORCH,
        "04.4": EQUALS_ALL,
        "00.2": KNOWS_THE_VISIBLE_TEST.replace("FIRST", repr(first_number())),
        "05.1": FILLS_MEMORY,
        "07.4": READS.replace("PATH", repr(str(path))),
        "06.4": RAISES_AT_THE_END,
        "03.4": EXITS,
        "08.1": WRITES.replace("PATH", repr(str(path))).replace("LANDLOCK", str(landlock_version())),
    }
    rows = graded(tmp_path, answers, tuple(answers))
    assert rows["problem"] == ""
    assert {number for number in answers if rows[number]["points"]} - {"07.4"} == {"06.4", "08.1"}, "these are right"
    assert "answer_05_3 is not defined" in rows["05.3"]["hint"]
    assert "one of the letters" in rows["09.2"]["hint"]
    assert "not linear" in rows["05.4"]["hint"]
    assert "draw it" in rows["04.4"]["hint"]
    assert rows["00.2"]["hint"].startswith("right for the numbers in the notebook, not for others")
    assert rows["05.1"]["status"] == "memory limit"
    assert rows["03.3"]["hint"].startswith("your function overwrites its inputs")
    assert rows["03.4"]["status"] == "error"
    if landlock_version():  # a session reads neither solutions nor other submissions
        assert "PermissionError" in rows["07.4"]["hint"]


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
SPAWNS = """import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
raise RuntimeError(child.pid)"""


FILLS_MEMORY_TOGETHER = """import os, time
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        kept = bytearray(os.urandom(1 << 20) * 100)
        time.sleep(600)
time.sleep(600)"""
FILLS_THE_DISK = """import os, time
for number in range(8):
    with open(os.path.join(os.environ["HOME"], str(number)), "wb") as file:
        file.write(bytes(50 << 20))
time.sleep(600)"""
FILLS_NAMELESS_FILES = """import os, time
kept = [os.memfd_create(str(number)) for number in range(8)]
for file in kept:
    os.write(file, bytes(50 << 20))
time.sleep(600)"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nameless files, and setsid of what was forked")
def test_many_processes_or_files_share_one_limit(tmp_path):
    """The system's limits are for each process and each file; the judge watches the sum."""
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.3", "09.2", "08.1", "04.4")
    path = tiny.submission(
        tmp_path / "eve/05_tiny.ipynb",
        source,
        {"05.3": FILLS_MEMORY_TOGETHER, "09.2": FILLS_THE_DISK, "08.1": FILLS_NAMELESS_FILES},
    )
    started = Started()
    result = grade_one(Submission(path, "eve", source), Limits(cell=60.0, total=240.0, memory=300), started)
    rows = {row["exercise"]: row for row in result["rows"]}
    assert [number for number in rows if rows[number]["points"]] == ["04.4"]
    assert {rows[number]["status"] for number in rows if number != "04.4"} == {"memory limit"}
    assert "processes that it started took more than 300 MB" in rows["05.3"]["hint"]
    assert "wrote more than 300 MB" in rows["09.2"]["hint"]
    assert "wrote more than 300 MB" in rows["08.1"]["hint"]
    assert not any(alive(pid) for pid in started.ever)


def spawned(rows: dict) -> int:
    return int(rows["06.4"]["hint"].rpartition(" ")[2])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are adopted on Linux only")
def test_what_ends_or_blocks_the_session_costs_its_own_exercise_only(tmp_path):
    started = Started()
    answers = {
        "05.3": ENDS_THE_PROCESS,
        "09.2": LOOPS,
        "08.1": FORGES,
        "06.4": SPAWNS,
        "05.1": "def cross_term(v, b_, source, receiver):\n    ...",
    }
    rows = graded(tmp_path, answers, (*answers, "04.4"), started)
    assert [number for number in (*answers, "04.4") if rows[number]["points"]] == ["04.4"]
    assert rows["05.3"]["status"] == "process ended"
    assert "exit status 0" in rows["05.3"]["hint"]
    assert rows["09.2"]["status"] == "time limit"
    assert "stopped after 8 seconds" in rows["09.2"]["hint"]
    assert rows["08.1"]["status"] == "process ended"
    assert rows["06.4"]["status"] == "error"
    assert "returned nothing" in rows["05.1"]["hint"]
    assert len(started.ever) == 4, "one session, and one more after each of three that had to be ended"
    assert not any(alive(pid) for pid in (*started.ever, spawned(rows)))


def test_a_source_over_which_the_parser_crashes_stops_neither_the_grader_nor_the_run(class_of_three, monkeypatch):
    """Python 3.10 ends with a segmentation fault over a long sum; so the grader itself parses no student's cell."""

    def parse(*_):
        raise AssertionError("the grader has parsed a student's source")

    monkeypatch.setattr(grading, "make_plan", lambda cells, theirs: parse() if theirs else make_plan(cells, None))
    tiny.submission(class_of_three[0].path, class_of_three[0].instructor, {"05.3": "x" + "+x" * 100_000})
    result = grade_one(class_of_three[0], LIMITS)
    assert result["rows"][0]["points"] == 0
    assert result["rows"][0]["status"] in ("error", "not judged", "process ended", "time limit")


def test_deleted_and_edited_cells_do_not_matter(tmp_path):
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.3", "09.2", "06.4", "04.4")
    path = tiny.submission(
        tmp_path / "eve/05_tiny.ipynb",
        source,
        {"09.2": "answer_09_2 = helper()", "04.4": "answer_04_4 = None\n# YOUR ANSWER HERE"},
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
    rows = {row["exercise"]: row for row in grade_one(Submission(path, "eve", source), LIMITS)["rows"]}
    assert (rows["05.3"]["points"], rows["05.3"]["max"]) == (2, 2)
    assert rows["06.4"]["status"] == "missing"
    assert rows["04.4"]["status"] == "blank"
    assert rows["09.2"]["status"] == "error"
    assert "not an answer cell" in rows["09.2"]["hint"]


@pytest.fixture
def class_of_three(tmp_path):
    source = tiny.instructor(tmp_path / "course/05_tiny.ipynb", "05.3", "09.2")
    for student in ("ada", "bob", "cy"):
        tiny.submission(tmp_path / student / "05_tiny.ipynb", source, {})
    return find_submissions([tmp_path / name for name in ("ada", "bob", "cy")], [source])[0]


def pretend(calls: list[str], crash: str = ""):
    """A ``grade_one`` that runs nothing."""

    def one(submission, limits, children=None):
        calls.append(submission.student)
        problem = "the judge stopped before it was done (killed)" if submission.student == crash else ""
        row = {"exercise": "05.3", "points": 0 if problem else 2, "max": 2, "status": "wrong", "hint": "=1+1 <b>|x"}
        return {
            "student": submission.student,
            "notebook": submission.instructor.stem,
            "problem": problem,
            "final": not problem,
            "rows": [row],
            "uses": {},
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
    assert tuple(rows[0].values()) == ("ada", "05_tiny", "05.3", "2", "2", "wrong", "'=1+1 <b>|x")
    page = (tmp_path / "out/reports/ada.md").read_text()
    assert "**2 of 2 points.**" in page
    assert "&lt;b&gt;\\|x" in page


def test_an_interrupted_run_keeps_what_is_done(class_of_three, tmp_path, monkeypatch):
    calls = []
    usual = pretend(calls)

    def interrupted(submission, limits, children=None):
        if submission.student == "bob":
            raise KeyboardInterrupt
        return usual(submission, limits)

    monkeypatch.setattr(grading, "grade_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grade(class_of_three, tmp_path / "out", LIMITS)
    assert "ada" in (tmp_path / "out/grades.csv").read_text()
    monkeypatch.setattr(grading, "grade_one", usual)
    before = len(calls)
    grade(class_of_three, tmp_path / "out", LIMITS)
    assert "ada" not in calls[before:]


def test_a_judge_that_dies_and_a_file_that_is_no_notebook_are_reported(class_of_three, monkeypatch):
    class_of_three[0].path.write_text("not a notebook")
    result = grade_one(class_of_three[0], LIMITS)
    assert result["problem"] == "05_tiny.ipynb is not a Jupyter notebook of format 4 (JSONDecodeError)"
    assert result["final"]
    assert {row["status"] for row in result["rows"]} == {"not judged"}
    monkeypatch.setattr(grading.sys, "executable", "/bin/false")
    result = grade_one(class_of_three[1], LIMITS)
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
    assert main(["grade", *given, "--out", str(tmp_path / "out"), "--source", str(source.parent)]) == 1
    assert calls == ["ada"]
    page = (tmp_path / "out/for-the-teacher.md").read_text()
    for words in ("Untitled.ipynb is named after no notebook", "2 files of 'bob' answer 05\\_tiny", "is a link"):
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
        "05.4": ["from eqgat_course import checks", "inspect"],
        "00.2": ["from eqgat.symmetry import rotation", "gc"],
    }
