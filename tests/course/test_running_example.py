"""The state card: it grows from notebook to notebook, and its rounded numbers follow from one another."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest

from eqgat_course.running_example import running_example

CARD = running_example().state_card(6)


def numbers(what: str) -> list[float]:
    (line,) = (line for line in CARD.splitlines() if what in line)
    return [float(number) for number in re.findall(r"-?\d+\.\d+", line.split(what)[1])]


def test_each_notebook_adds_lines():
    cards = [running_example().state_card(notebook) for notebook in range(1, 7)]
    for before, after in pairwise(cards):
        assert set(before.splitlines()) < set(after.splitlines())


def test_its_numbers_can_be_worked_out_from_the_rounded_ones_above():
    total, *attention = numbers("attention exp(a) /")
    assert attention == pytest.approx([math.exp(a) / total for a in numbers("logit a")], abs=1e-3)
    direction, b_0 = numbers("direction p, from neighbour"), numbers("coefficient b_0")
    by_hand = [1000 * b_0[k // 3] * p for k, p in enumerate(direction)]
    assert numbers("direction term b_0 p, 1/1000") == pytest.approx(by_hand, abs=0.6)
    (x, y, z), v_j, b_2 = (
        numbers("vector v_i before, 1/1000"),
        numbers("vector v_j, 1/1000"),
        numbers("coefficient b_2"),
    )
    for k, b in enumerate(b_2):
        u, v, w = v_j[3 * k : 3 * k + 3]
        cross = [b * (y * w - z * v), b * (z * u - x * w), b * (x * v - y * u)]
        assert numbers("cross term, 1/1000000")[3 * k : 3 * k + 3] == pytest.approx(cross, abs=0.1)
