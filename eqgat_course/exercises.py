"""Exercises and their checks. A check tests behaviour, names the typical mistakes, and says what to look at.

In a notebook: ``check("02.1", answer)``, where the answer is a function, a number, or whatever the exercise asks for.
A passed check prints one line; a failed one raises ``CheckFailed``, which JupyterLab shows as its message alone.
``check("02.1", answer, draw=3)`` is the same check on other random numbers, for hidden tests.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from eqgat_course.chapters import chapters

__all__ = [
    "EXERCISES",
    "AnswerError",
    "CheckFailed",
    "Cost",
    "Exercise",
    "call",
    "check",
    "close",
    "counting",
    "exercise",
    "expect",
    "expect_choice",
    "expect_close",
    "load_exercises",
    "measured",
    "seeded",
]

Kind = Literal["predict", "implement", "break it"]

_DRAW: ContextVar[int] = ContextVar("draw", default=0)


class CheckFailed(AssertionError):
    """An answer that is missing or wrong; the message is the hint."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook: a learner needs the hint, not our call stack
        return [f"✗ {self}"]


@dataclass(frozen=True)
class Exercise:
    """One exercise: ``number`` "NN.k" (notebook and place), what kind of work it is, and its check."""

    number: str
    title: str
    kind: Kind
    points: int
    check: Callable[[Any], None]

    @property
    def minutes(self) -> int:
        """What a student needs, as planned: 3 for a prediction, 3 a point for the rest."""
        return 3 if self.kind == "predict" else 3 * self.points


class AnswerError(Exception):
    """An error that a learner's code raised in another process: its type's name, its message, the line of the cell."""

    def __init__(self, kind: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.kind, self.line = kind, line


@dataclass(frozen=True)
class Cost:
    """What a call took: floating-point operations, and the numbers in the largest of PyTorch's cross products."""

    flops: int
    largest_cross: int


EXERCISES: dict[str, Exercise] = {}


def exercise(number: str, title: str, kind: Kind, points: int = 1) -> Callable[[Callable[[Any], None]], Any]:
    """Register the decorated function as the check of an exercise. It gets the answer and raises ``CheckFailed``."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        known = EXERCISES.get(number)
        if known is not None and known.check.__qualname__ != function.__qualname__:
            raise ValueError(f"two exercises have the number {number}")
        EXERCISES[number] = Exercise(number, title, kind, points, function)
        return function

    return register


def load_exercises() -> dict[str, Exercise]:
    """All exercises by number; imports the checks of every chapter."""
    for chapter in chapters():
        import_module(f"{chapter}.checks")
    return dict(sorted(EXERCISES.items()))


def _find(number: str) -> Exercise:
    """One exercise; imports the checks of its chapter alone, which is faster than all of them."""
    if number not in EXERCISES and re.fullmatch(r"\d\d\.\d+", number):
        for chapter in chapters(number[:2]):
            import_module(f"{chapter}.checks")
    if number not in EXERCISES:
        raise KeyError(f"there is no exercise {number!r}; there are {', '.join(load_exercises())}")
    return EXERCISES[number]


def seeded(seed: int) -> int:
    """The seed that a check should use for ``seed``: itself in a notebook, another in a hidden test (see ``check``)."""
    return seed + 1000 * _DRAW.get()


def check(number: str, answer: Any, draw: int = 0) -> None:
    """Check the answer to an exercise; print that it is right, or raise ``CheckFailed`` with a hint.

    Args:
        number: "NN.k".
        answer: what the exercise asks for.
        draw: 0 for the numbers of the notebook; another draws others and prints nothing, for hidden tests.

    Raises:
        KeyError: there is no exercise of this number.
        CheckFailed: the answer is missing or wrong.
    """
    asked = _find(number)
    if answer is None or answer is ...:
        raise CheckFailed(f"{number}: not answered yet. Replace the placeholder in the cell above and run it first.")
    before = _DRAW.set(draw)
    try:
        asked.check(answer)
    except CheckFailed as failed:
        raise CheckFailed(f"{number}: {failed}") from None
    finally:
        _DRAW.reset(before)
    if not draw:
        print(f"✓ {number} {asked.title}: right")


def expect(condition: bool | Tensor, hint: str) -> None:
    """Raise ``CheckFailed(hint)`` unless the condition holds."""
    if not bool(condition):
        raise CheckFailed(hint)


def expect_choice(answer: Any, right: str, hints: Mapping[str, str]) -> None:
    """Raise ``CheckFailed`` unless ``answer`` is the letter ``right``; ``hints``: for each wrong one of a to d."""
    letter = answer.lower() if isinstance(answer, str) else ""
    expect(len(letter) == 1 and letter in "abcd", 'the answer is one of the letters "a", "b", "c", "d"')
    expect(letter == right, hints.get(letter, ""))


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What the learner's function returns; ``CheckFailed`` if it is not one, raises an error, or returns nothing."""
    if not callable(function):
        raise CheckFailed(f"a function is expected here, not {type(function).__name__}")
    name = getattr(function, "__name__", "your function")
    try:
        result = function(*args, **kwargs)
    except NotImplementedError:
        raise CheckFailed(f"{name} is not written yet. Fill in its body and run its cell.") from None
    except AnswerError as error:
        raise CheckFailed(f"{name} stopped with {error.kind} at line {error.line} of its cell: {error}") from None
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        raise CheckFailed(f"{name} stopped with {type(error).__name__} at line {line} of its cell: {error}") from None
    if result is None or result is ...:
        raise CheckFailed(f"{name} returned nothing. Is its body still empty, or is the return missing?")
    return result


class _CrossProducts(TorchFunctionMode):
    """Notes how many numbers go through PyTorch's own cross product at once."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_function__(self, func: Any, types: Any, args: Iterable[Any] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in ("cross", "linalg_cross"):
            self.largest = max(self.largest, result.numel())
        return result


@contextmanager
def counting() -> Iterator[list[Cost]]:
    """A list that holds, when the block is left, the cost of what ran in it."""
    costs: list[Cost] = []
    with FlopCounterMode(display=False) as flops, _CrossProducts() as crosses:
        yield costs
    costs.append(Cost(flops.get_total_flops(), crosses.largest))


def measured(function: Any, *args: Any) -> tuple[Any, Cost]:
    """``call(function, *args)``, and what it cost."""
    if hasattr(function, "with_cost"):  # it runs in another process, and is measured there
        return call(function.with_cost, *args), function.cost
    with counting() as costs:
        result = call(function, *args)
    return result, costs[0]


def close(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Are two numbers or arrays of one shape equal to within rounding?"""
    actual, expected = _tensor(actual), _tensor(expected)
    return actual.shape == expected.shape and torch.allclose(actual, expected, rtol=rtol, atol=atol)


def expect_close(
    actual: Any,
    expected: Any,
    hint: str,
    mistakes: Mapping[str, Any] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> None:
    """Raise ``CheckFailed`` unless ``actual`` equals ``expected``; a known wrong value gets the hint made for it.

    Args:
        actual: what the learner computed: a number, an array, or a tensor.
        expected: the right value.
        hint: what to look at when the value is wrong in a way not foreseen.
        mistakes: hint -> the value that this typical mistake gives.
        rtol, atol: relative and absolute tolerance.
    """
    try:
        actual_tensor = _tensor(actual)
    except (TypeError, ValueError, RuntimeError):
        raise CheckFailed(f"a number or tensor is expected, not {type(actual).__name__}") from None
    if close(actual_tensor, expected, rtol, atol):
        return
    for mistake, value in (mistakes or {}).items():
        if close(actual_tensor, value, rtol, atol):
            raise CheckFailed(mistake)
    shape = _tensor(expected).shape
    if actual_tensor.shape != shape:
        raise CheckFailed(f"the shape should be {list(shape)}, yours is {list(actual_tensor.shape)}. {hint}")
    if not bool(torch.isfinite(actual_tensor).all()):
        raise CheckFailed(f"the result has NaN or infinite values. {hint}")
    raise CheckFailed(hint)


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().to("cpu", torch.float64)
