"""Every exercise: the solution passes, the blank fails with a message, typical mistakes get the hint meant for them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from eqgat_course.exercises import CheckFailed, check, expect_close, load_exercises

CASES: dict[str, dict] = {}
for path in sorted((Path(__file__).parent / "answers").glob("cases_[0-9][0-9].py")):
    # One file for each notebook: CASES = {"01.1": {"solution": ..., "wrong": [(answer, part of the hint), ...]}}
    CASES.update(importlib.import_module(path.stem).CASES)


def test_every_exercise_has_cases_and_the_reverse():
    assert set(CASES) == set(load_exercises())


@pytest.mark.parametrize("number", CASES)
def test_solution_passes(number, capsys):
    check(number, CASES[number]["solution"])
    assert capsys.readouterr().out.startswith(f"✓ {number}")


@pytest.mark.parametrize("number", CASES)
def test_blank_fails_with_a_message(number):
    def blank(*args, **kwargs): ...

    for answer in (None, ..., *([blank] if callable(CASES[number]["solution"]) else [])):
        with pytest.raises(CheckFailed, match=r"not answered yet|returned nothing"):
            check(number, answer)


@pytest.mark.parametrize("number", CASES)
def test_typical_mistakes_get_their_hint(number):
    wrong = CASES[number]["wrong"]
    assert len(wrong) >= 2
    hints = set()
    for answer, hint in wrong:
        with pytest.raises(CheckFailed) as failed:
            check(number, answer)
        assert hint in str(failed.value)
        hints.add(str(failed.value))
    assert len(hints) == len(wrong), "two different mistakes get the same hint"


def test_unknown_exercise_is_named():
    with pytest.raises(KeyError, match=r"no exercise .99\.9."):
        check("99.9", 1)


def test_an_error_in_the_answer_is_reported_with_its_line():
    def broken(*args, **kwargs):
        return 1 / 0

    number = next(number for number, case in CASES.items() if callable(case["solution"]))
    with pytest.raises(CheckFailed, match="ZeroDivisionError at line"):
        check(number, broken)


def test_known_mistakes_shapes_and_nan_are_told_apart():
    with pytest.raises(CheckFailed, match="wrong sign"):
        expect_close(-1.0, 1.0, "look again", {"wrong sign": -1.0})
    with pytest.raises(CheckFailed, match=r"shape should be \[2\]"):
        expect_close([1.0, 2.0, 3.0], [1.0, 2.0], "look again")
    with pytest.raises(CheckFailed, match="NaN"):
        expect_close(float("nan"), 1.0, "look again")
