"""A student's function in another process behaves as if it were here: values, errors, gradients, calls back."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
import torch
from torch.nn.functional import silu

from eqgat_course.exercises import AnswerError, CheckFailed, call, measured
from eqgat_course.grading.remote import RemoteSession
from eqgat_course.grading.sandbox import Limits
from eqgat_course.grading.wire import Ended, Opaque, pack, tensor_from, tensor_to, unpack

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a session is a Unix process")

FUNCTIONS = """import torch
def cube(x, power=3):
    return x ** power
def shift(x):
    x += 1
    return x.sum(), [x, "done"]
def turn(f, x):
    return f(2 * x) + 1
def fail(x):
    return x.nothing
def cross(a, b):
    return torch.linalg.cross(a, b), a @ b.T
def huge():
    return torch.zeros(4_000_000)
class Thing: pass
thing, empty, words = Thing(), None, {"a": (1, 2.5), 3: {True}, "n": float("inf")}"""


@pytest.fixture(scope="module")
def session():
    session = RemoteSession(Limits(cell=60, total=300, memory=1024), time.monotonic() + 300)
    assert session.run(FUNCTIONS) is None
    yield session
    session.close()


def test_plain_data_comes_back_as_it_is(session):
    assert session.get("words") == {"a": (1, 2.5), 3: {True}, "n": float("inf")}
    assert session.get("empty") is None
    assert isinstance(session.get("thing"), Opaque)
    with pytest.raises(NameError):
        session.get("nowhere")


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(6).reshape(2, 3),
        torch.zeros(0, 3),
        torch.tensor(2.5),
        torch.tensor([True, False]),
        torch.randn(2, 2).T,
        torch.tensor([1j]),
    ],
)
def test_tensors_survive(value):
    assert torch.equal(tensor_from(tensor_to(value)), value)
    assert tensor_from(tensor_to(value)).dtype == value.dtype


def test_forged_tensors_and_trees_are_refused():
    for dtype, shape in (("float64", [5]), ("float64", [-1]), ("object", [0]), ("float64", [10**12, 10**12])):
        with pytest.raises(ValueError, match="not a tensor"):
            tensor_from([dtype, shape, ""])
    for tree in ([1], {"pickle": "x"}):
        with pytest.raises(ValueError, match=r"unknown kind|bare list"):
            unpack(tree, [], str)
    tree, leaves = pack((np.float64(1.5), np.arange(2), ...), str)
    assert unpack(tree, leaves, str)[0] == 1.5
    assert unpack(tree, leaves, str)[2] is ...


def test_values_and_changes_of_arguments_come_back(session):
    x = torch.ones(3)
    total, (changed, word) = session.get("shift")(x)
    assert (float(total), word) == (6.0, "done")
    assert torch.equal(changed, x)
    assert torch.equal(x, torch.full((3,), 2.0)), "a check must be able to see that its input was changed"


def test_gradients_of_first_and_second_order(session):
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(session.get("cube")(x, power=3).sum(), x, create_graph=True)
    assert torch.allclose(slope, 3 * x**2)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert torch.allclose(curvature, 6 * x.detach())


def test_the_judges_functions_are_called_back_here(session):
    seen = []

    def recorded(x):
        seen.append(x)
        return 10 * x

    assert float(session.get("turn")(recorded, torch.tensor(3.0))) == 61.0
    assert float(seen[0]) == 6.0
    assert torch.allclose(session.get("turn")(silu, torch.tensor(3.0)), silu(torch.tensor(6.0)) + 1)


def test_errors_name_kind_and_line(session):
    with pytest.raises(AnswerError) as raised:
        session.get("fail")(torch.ones(1))
    assert (raised.value.kind, raised.value.line) == ("AttributeError", 10)
    with pytest.raises(CheckFailed, match="stopped with AttributeError at line 10 of its cell"):
        call(session.get("fail"), torch.ones(1))
    assert session.run("1 / 0").kind == "ZeroDivisionError"
    assert session.run("x = = 1").kind == "SyntaxError"


def test_costs_are_measured_there(session):
    a = torch.randn(4, 3)
    _, cost = measured(session.get("cross"), a, a)
    assert (cost.largest_cross, cost.flops) == (12, 2 * 4 * 4 * 3)


def test_a_result_that_is_too_large_is_an_error_and_not_a_burden(session):
    with pytest.raises(AnswerError, match="larger than 16 MB"):
        session.get("huge")()


def test_a_session_that_ends_says_so():
    session = RemoteSession(Limits(cell=60, total=300, memory=1024), time.monotonic() + 300)
    try:
        with pytest.raises(Ended, match="exit status 7"):
            session.run("import os\nos._exit(7)")
    finally:
        session.close()
