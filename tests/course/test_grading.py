"""Attacks on the grader: they earn nothing and harm nothing."""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
import tiny
from test_remote import CANNOT, HIDES_ITS_WORK, needs_bubblewrap
from tiny import LIMITS, ORDER, SEED

from eqgat_course import exercises
from eqgat_course.grading.grade import Submission, grade, grade_one
from eqgat_course.grading.judge import Order
from eqgat_course.grading.sandbox import Limits, weakness

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are those of Unix")


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


PRINTS = 'print("✓ 05.3 How many layers tell mirror images apart: right")'
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


def test_the_page_of_reliability_has_as_many_attacks_as_these_tests():
    page = (Path(__file__).parents[2] / "docs/reliability.md").read_text(encoding="utf-8")
    lists = {"outside": CANNOT, "work": HIDES_ITS_WORK, "replay": CHECKS, "cheats": CHEATS}
    lists |= {"together": TOGETHER, "ends": ENDS}
    found = re.findall(r"\| `(\w+)`[^|]*\|[^|]*\| (\d+) \| (\d+) \|", page)
    right = {"cheats": 1}  # RAISES_AT_THE_END is a right answer
    assert found == [(name, str(len(tried)), str(len(tried) - right.get(name, 0))) for name, tried in lists.items()]
