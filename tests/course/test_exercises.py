"""Every exercise: right answers of every form pass, wrong and lazy ones get a hint that is true of them.

Both over twenty draws of the checks' random numbers, so that no verdict is luck.
"""

from __future__ import annotations

import importlib
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from case import Case

from eqgat_course.exercises import (
    CheckFailed,
    Unanswered,
    check,
    close,
    expect_choice,
    expect_close,
    expect_letters,
    gradient,
    load_exercises,
    measured,
)

CASES: dict[str, Case] = {}
for path in sorted((Path(__file__).parent / "answers").glob("cases_[0-9][0-9].py")):
    CASES.update(importlib.import_module(path.stem).CASES)

FEW = (0, 2**63 + 5, 97)  # draw 0 is that of the notebook
MORE = (*range(1, 12), 1234, 99991, 2**31 - 1, 2**31, 10**12 + 39, 3**60)
draws = pytest.mark.parametrize(
    "draws", [pytest.param(FEW, id="few"), pytest.param(MORE, id="more", marks=pytest.mark.slow)]
)
TRAINS = {"06.7", "15.3"}  # each check trains networks: too long for ``make check``


def _marks(number: str) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.slow,) if number in TRAINS else ()


RIGHT = [
    pytest.param(number, answer, id=f"{number} right {place}", marks=_marks(number))
    for number, case in CASES.items()
    for place, answer in enumerate(case.right)
]
WRONG = [
    pytest.param(number, answer, hint, id=f"{number} wrong {place}", marks=_marks(number))
    for number, case in CASES.items()
    for place, (answer, hint) in enumerate(case.wrong)
]


def test_every_exercise_has_enough_answers():
    assert set(CASES) == set(load_exercises())
    few = [number for number, case in CASES.items() if len(case.right) < 3 or len(case.wrong) < 3]
    assert not few
    assert len({*FEW, *MORE}) == len(FEW) + len(MORE) == 20
    assert len(RIGHT) >= 180
    assert len(WRONG) >= 180


@draws
@pytest.mark.parametrize(("number", "answer"), RIGHT)
def test_right_answers_pass(number, answer, draws, capsys):
    for draw in draws:
        check(number, answer, draw=draw)
    said = capsys.readouterr().out
    assert said.startswith(f"✓ {number}") if 0 in draws else not said, "the draw of the notebook prints"


@draws
@pytest.mark.parametrize(("number", "answer", "hint"), WRONG)
def test_wrong_answers_get_their_hint(number, answer, hint, draws):
    for draw in draws:
        with pytest.raises(CheckFailed, match="(?i)" + re.escape(hint)):
            check(number, answer, draw=draw)


@pytest.mark.parametrize("number", CASES)
def test_different_mistakes_get_different_hints(number):
    hints = [hint for _, hint in CASES[number].wrong]
    assert len(set(hints)) >= 3


@pytest.mark.parametrize("number", CASES)
def test_blank_fails_with_a_message(number):
    def blank(*args, **kwargs): ...

    for answer in (None, ..., *([blank] if callable(CASES[number].right[0]) else [])):
        with pytest.raises(Unanswered, match=r"not answered yet|returned nothing"):
            check(number, answer)


def test_unknown_exercise_is_named():
    with pytest.raises(KeyError, match=r"no exercise .99\.9."):
        check("99.9", 1)


def test_an_error_in_the_answer_is_reported_with_its_line():
    def broken(*args):
        return 1 / 0

    line = broken.__code__.co_firstlineno + 1
    with pytest.raises(CheckFailed, match=f"ZeroDivisionError at line {line}"):
        check("00.2", broken)
    with pytest.raises(CheckFailed, match=r"linalg_inv stopped with \w+: "):  # no cell of ours, so no line
        check("00.2", torch.linalg.inv)


def test_two_dtypes_that_meet_are_explained():
    """The same hint wherever it happens: a product, an indexed sum, a scatter, a write."""
    rows = torch.tensor([0, 1])
    for mixed in (
        lambda pos: pos @ torch.eye(3),
        lambda pos: torch.zeros(2, 3).index_add(0, rows, pos[:2]),
        lambda pos: torch.zeros(2, 3).scatter_add(0, rows.view(2, 1).expand(2, 3), pos[:2]),
        lambda pos: torch.zeros(2, 3).index_put((rows,), pos[:2]),
        lambda pos: torch.einsum("ij,jk->ik", pos, torch.eye(3)),
        lambda pos: torch.dot(pos[0], torch.ones(3)),
    ):
        with pytest.raises(CheckFailed, match=r"Two dtypes meet here\..*dtype=x\.dtype"):
            check("00.2", mixed)
    with pytest.raises(CheckFailed) as failed:
        check("00.2", lambda pos: torch.zeros(3).gather(0, pos[:, 0]))
    assert "Two dtypes" not in str(failed.value)


def test_known_mistakes_shapes_and_nan_are_told_apart():
    with pytest.raises(CheckFailed, match="wrong sign"):
        expect_close(-1.0, 1.0, "look again", {"wrong sign": -1.0})
    with pytest.raises(CheckFailed, match=r"shape should be \[2\]"):
        expect_close([1.0, 2.0, 3.0], [1.0, 2.0], "look again")
    with pytest.raises(CheckFailed, match="NaN"):
        expect_close(float("nan"), 1.0, "look again")
    with pytest.raises(CheckFailed, match="It is transposed"):
        expect_close(torch.ones(3, 2), torch.zeros(2, 3), "look again")
    with pytest.raises(CheckFailed, match=r"torch\.float16 has too few digits"):
        expect_close(torch.tensor([1 / 3, 2 / 3], dtype=torch.float16), [1 / 3, 2 / 3], "look again")
    for nothing in ("one", object(), 1j, [[1.0], [1.0, 2.0]], "1/0"):
        with pytest.raises(CheckFailed, match="a number or tensor is expected"):
            expect_close(nothing, 1.0, "look again")


def test_tolerance_is_that_of_the_largest_number_and_of_the_dtype():
    right = torch.tensor([1000.0, 0.0], dtype=torch.float64)
    assert close([1000.0, 5e-3], right)
    assert not close([1000.0, 5e-2], right)
    assert close(torch.tensor([1000.0, 5e-2]), right)
    assert close([0.0, 5e-6], [0.0, 0.0])
    assert not close([0.0, 5e-5], [0.0, 0.0])
    assert close(torch.zeros(2, 0), torch.zeros(2, 0))
    assert not close(torch.zeros(2, 0), torch.zeros(0, 2))


@pytest.mark.parametrize(
    "form", [6464, "6464", " 6,464 ", 6464.0, Fraction(6464), np.int32(6464), np.array([6464.0]), torch.tensor(6464)]
)
def test_numbers_are_read_in_every_form(form):
    expect_close(form, 6464, "wrong")
    with pytest.raises(CheckFailed, match=r"(?i)wrong"):
        expect_close(form, 6465, "wrong")


@pytest.mark.parametrize(
    "form", ["[-0.5, 1/3, 0]", ("-1/2", Fraction(1, 3), 0), [np.float64(-0.5), torch.tensor(1 / 3), "0"]]
)
def test_lists_are_read_in_every_form(form):
    expect_close(form, [-0.5, 1 / 3, 0.0], "wrong")


def test_letters_and_words_are_read_in_every_form():
    for form in ("b", "B", "(b)", "b)", " b. ", '"b"', ["b"], {"B"}):
        expect_choice(form, "b", {"a": "no"})
    for form in ("neither", "Neither", "NEITHER."):
        expect_choice(form, "neither", {"s": "no"})
    for form in ("ade", "A, D, E", "(a), (d) and (e)", ["a", "d", "E"], ("ad", "e")):
        assert expect_letters(form, "abcde") == ["a", "d", "e"]
    for form in ("ax", 3, ["a", 1]):
        with pytest.raises(CheckFailed, match="letters from a to e"):
            expect_letters(form, "abcde")
    with pytest.raises(CheckFailed, match=r"one of the letters 'a', 'b'$"):
        expect_choice("ab", "b", {"a": "no"})


def test_a_gradient_is_taken_or_missed():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert gradient(lambda x: x.square(), [x], 0) is not None
    assert gradient(lambda x: x.detach(), [x], 0) is None
    assert gradient(lambda x: x.numpy(), [x], 0) is None


def test_costs_are_seen_however_the_code_is_written():
    """Matrix product, einsum, loop over rows, sum of products: one number of multiplications; threads are no way out."""
    import threading

    a = torch.randn(5, 4, dtype=torch.float64)

    def in_a_thread(x):
        made = []
        thread = threading.Thread(target=lambda: made.append(x @ x.T))
        thread.start()
        thread.join()
        return made[0]

    for way in (
        lambda x: x @ x.T,
        lambda x: torch.einsum("ik,jk->ij", x, x),
        lambda x: torch.stack([x @ row for row in x]),
        lambda x: torch.stack([torch.stack([row.dot(other) for other in x]) for row in x]),
        lambda x: (x[:, None] * x[None]).sum(dim=2),
        lambda x: torch.func.vmap(lambda row: x @ row)(x),
        in_a_thread,
    ):
        result, cost = measured(way, a)
        assert close(result, a @ a.T)
        assert cost.products == 100
        assert cost.outside == 0
    for way in (
        lambda x: x.numpy() @ x.numpy().T,
        lambda x: np.dot(x, x.T),
        lambda x: np.outer(x.tolist(), x.tolist()),
    ):
        assert measured(way, a)[1].outside >= 20
    assert measured(lambda x: sum(float(number) for number in x.flatten()), a)[1].outside == 20
    few, many = (measured(lambda x: torch.stack([row.sum() for row in x]), torch.ones(n, 3))[1] for n in (5, 25))
    assert many.operations - few.operations >= 20
    assert measured(lambda x: torch.linalg.cross(x, x), torch.ones(5, 3))[1].crossed == 15
