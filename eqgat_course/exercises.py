"""Exercises and their checks. A check tests behaviour, names the typical mistakes, and says what to look at.

In a notebook: ``check("02.1", answer)``, where the answer is a function, a number, or whatever the exercise asks for.
A passed check prints one line; a failed one raises ``CheckFailed``, which JupyterLab shows as its message alone.
``check("02.1", answer, draw=3)`` is the same check on other random numbers, for hidden tests.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from eqgat_course.answers import letters, tensor, word
from eqgat_course.chapters import chapters, modules
from eqgat_course.cost import Cost, counting

__all__ = [
    "EXERCISES",
    "AnswerError",
    "CheckFailed",
    "Cost",
    "Exercise",
    "Unanswered",
    "be_patient",
    "between",
    "call",
    "call_watched",
    "check",
    "close",
    "counting",
    "exercise",
    "expect",
    "expect_choice",
    "expect_close",
    "expect_letters",
    "gaussian",
    "generator",
    "gradient",
    "load_exercises",
    "measured",
    "read",
    "seeded",
    "some_edges",
]

Kind = Literal["predict", "implement", "break it", "prove"]

# PyTorch's ways to say that the dtypes of two tensors differ; not those about whole numbers wanted as an index.
_TWO_DTYPES = re.compile(r"same dtype|same scalar type|equal to src\.dtype|dtypes match|scalar type \w+ but found")
_DRAW: ContextVar[int] = ContextVar("draw", default=0)
_patient = False  # not a ContextVar: each cell of a notebook runs in a context of its own


class CheckFailed(AssertionError):
    """An answer that is missing or wrong; the message is the hint."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook: a learner needs the hint, not our call stack
        return [f"✗ {self}"]


class Unanswered(CheckFailed):
    """The answer is still blank."""


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
    for module in modules("checks"):
        import_module(module)
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
    return (seed + 1000 * _DRAW.get()) % 2**63


def generator(seed: int) -> torch.Generator:
    """A generator of random numbers for ``seed`` and the draw; see ``seeded``."""
    return torch.Generator().manual_seed(seeded(seed))


def gaussian(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    """For each shape a tensor of normally distributed numbers, float64; see ``seeded``."""
    source = generator(seed)
    return [torch.randn(*shape, generator=source, dtype=torch.float64) for shape in shapes]


def between(seed: int, low: float, high: float) -> float:
    """A number between ``low`` and ``high``; see ``seeded``. A whole one is had with ``int``: ``high`` never comes."""
    return low + (high - low) * float(torch.rand(1, generator=generator(seed), dtype=torch.float64))


def some_edges(seed: int, nodes: int) -> Tensor:
    """Random edges, [2, E], sorted by receiver; every atom hears at least two others, but the last hears none.

    See ``seeded``. Some edges have no way back, so that sources and receivers are not exchanged unnoticed.
    """
    joined = torch.rand(nodes, nodes, generator=generator(seed)) < 0.4
    atoms = torch.arange(nodes - 1)
    joined[atoms, atoms + 1] = joined[atoms, (atoms + 2) % nodes] = True
    joined[-1] = False
    return joined.fill_diagonal_(False).nonzero().T.flip(0)  # rows of the matrix are receivers


def be_patient() -> None:
    """From now on a blank answer is no error in this process: its check says that it waits, and the notebook goes on.

    The first cell of a student's notebook calls it. Graders do not: there a blank answer stays a failed check.
    """
    global _patient
    _patient = True


def check(number: str, answer: Any, draw: int = 0) -> None:
    """Check the answer to an exercise; print that it is right, or raise ``CheckFailed`` with a hint.

    Args:
        number: "NN.k".
        answer: what the exercise asks for.
        draw: 0 for the numbers of the notebook; any other whole number draws others, and prints nothing, for hidden
            tests.

    Raises:
        KeyError: there is no exercise of this number.
        CheckFailed: the answer is wrong, or it is missing (then ``Unanswered``; see ``be_patient``).
    """
    asked = _find(number)
    before = _DRAW.set(draw)
    try:
        if answer is None or answer is ...:
            raise Unanswered("not answered yet. Replace the placeholder in the cell above and run it first.")
        asked.check(answer)
    except CheckFailed as failed:
        if isinstance(failed, Unanswered) and _patient and not draw:
            print(f"… {number} waits: {failed}")
            return
        raise type(failed)(f"{number}: {failed}") from failed.__cause__
    finally:
        _DRAW.reset(before)
    if not draw:
        print(f"✓ {number} {asked.title}: right")


def expect(condition: bool | Tensor, hint: str) -> None:
    """Raise ``CheckFailed(hint)`` unless the condition holds."""
    if not bool(condition):
        raise CheckFailed(hint)


def expect_choice(answer: Any, right: str, hints: Mapping[str, str]) -> None:
    """Raise ``CheckFailed`` unless ``answer`` is the letter or word ``right``; ``hints``: for each of the wrong ones."""
    choice, options = word(answer), sorted({right, *hints})
    kind = "letters" if len(right) == 1 else "words"
    expect(choice in options, f"the answer is one of the {kind} {', '.join(map(repr, options))}")
    expect(choice == right, hints.get(choice, ""))


def expect_letters(answer: Any, allowed: Collection[str]) -> list[str]:
    """The letters, or digits, of ``answer`` in their order; ``CheckFailed`` if they are not all among ``allowed``."""
    found = letters(answer, allowed)
    all_of_them = sorted(allowed)
    if found is None:
        kind = "digits" if all_of_them[0].isdigit() else "letters"
        example = "".join(all_of_them[:2])
        raise CheckFailed(
            f'give {kind} from {all_of_them[0]} to {all_of_them[-1]}, such as "{example}"; not {answer!r}'
        )
    return found


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What the learner's function returns for copies of the arguments ``args``.

    Raises:
        CheckFailed: it is no function, or it raises an error.
        Unanswered: it returns nothing.
    """
    return call_watched(function, *args, **kwargs)[0]


def call_watched(function: Any, *args: Any, **kwargs: Any) -> tuple[Any, bool]:
    """``call``, and whether the function changed one of the copies that it was given."""
    copies = [_copy(arg) for arg in args]
    result = _run(function, lambda: function(*copies, **kwargs))
    return result, any(_changed(arg, copy) for arg, copy in zip(args, copies, strict=True))


def measured(function: Any, *args: Any) -> tuple[Any, Cost]:
    """``call(function, *args)``, and what it cost."""
    copies = [_copy(arg) for arg in args]
    if hasattr(function, "with_cost"):  # it runs in another process, and is measured there
        return _run(function, lambda: function.with_cost(*copies)), function.cost
    with counting(*copies) as costs:
        result = _run(function, lambda: function(*copies))
    return result, costs[0]


def gradient(function: Any, args: Sequence[Any], place: int, result: int | None = None) -> Tensor | None:
    """Gradient of a random sum of what the learner's function returns, by its argument at ``place``.

    Args:
        function: the learner's.
        args: its arguments; it has returned something for them without gradients.
        place: of the argument, a tensor.
        result: which of several results; None where there is one.

    Returns:
        A tensor of the argument's shape; None where the result does not depend on it as far as PyTorch knows.
    """
    given = list(args)
    leaf = given[place] = given[place].detach().clone().requires_grad_()
    with torch.enable_grad():
        try:
            made = call(function, *given)
        except CheckFailed:  # numpy, for instance, refuses tensors that want a gradient
            return None
        value = made if result is None else made[result]
        if not isinstance(value, Tensor) or not value.requires_grad:
            return None
        (weight,) = gaussian(99, tuple(value.shape))
        return torch.autograd.grad((value * weight).sum(), leaf, allow_unused=True)[0]


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value


def _changed(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return before.shape != after.shape or not torch.equal(before, after)
    return isinstance(before, np.ndarray) and not np.array_equal(before, after)


def _run(function: Any, run: Callable[[], Any]) -> Any:
    """The result of ``run``, which calls a learner's function."""
    if not callable(function):
        raise CheckFailed(f"a function is expected here, not {type(function).__name__}")
    name = getattr(function, "__name__", "your function")
    try:
        result = run()
    except CheckFailed:  # of the grader, which calls a function from afar
        raise
    except NotImplementedError:
        raise Unanswered(f"{name} is not written yet. Fill in its body and run its cell.") from None
    except AnswerError as error:
        raise CheckFailed(_stopped(name, error.kind, error.line, error)) from error  # which the judge looks for
    except Exception as error:
        code = getattr(function, "__code__", None)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno or 0 for frame in frames if code is not None and frame.filename == code.co_filename]
        raise CheckFailed(_stopped(name, type(error).__name__, lines[-1] if lines else 0, error)) from None
    if result is None or result is ...:
        raise Unanswered(f"{name} returned nothing. Is its body still empty, or is the return missing?")
    return result


def _stopped(name: str, kind: str, line: int, error: Exception) -> str:
    where = f" at line {line} of its cell" if line else ""
    advice = ""
    if kind == "RuntimeError" and _TWO_DTYPES.search(str(error)):
        advice = (
            ". Two dtypes meet here. Most checks compute in float64, while torch.zeros, torch.tensor and torch.randn make "
            "float32 unless they are told otherwise: give them dtype=x.dtype, x being an argument of your function, or use "
            "x.new_zeros and torch.zeros_like."
        )
    return f"{name} stopped with {kind}{where}: {error}{advice}"


def read(value: Any, hint: str = "a number or tensor is expected") -> Tensor:
    """What a learner handed in as a tensor, see ``eqgat_course.answers.tensor``; ``CheckFailed`` if it is none."""
    try:
        return tensor(value)
    except (TypeError, ValueError, RuntimeError):
        kind = "the text " + repr(value) if isinstance(value, str) else f"a value of type {type(value).__name__}"
        raise CheckFailed(f"{hint}; {kind} cannot be read as one") from None


def close(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 0.0) -> bool:
    """Are two numbers or arrays of one shape equal to within rounding?

    The largest difference is compared with the *largest* expected number, not each with its own: what is zero by
    cancellation is known no better than what cancels. Results in float32 may differ by 1e-4 at least.
    A number may come as an array of one number.

    >>> close([1.0, 1e-6], [1.0, 0.0]), close([1.0, 1e-4], [1.0, 0.0]), close(torch.ones(1), 1)
    (True, False, True)
    """
    found, right = tensor(actual), tensor(expected).to(torch.float64)
    if right.dim() == 0 and found.numel() == 1:
        found = found.reshape(())
    return found.shape == right.shape and _error(found, right) <= max(rtol, _rounding(found)) + atol / _scale(right)


def _sentence(text: str) -> str:
    """The text with a capital at its beginning, unless it begins with a name of code."""
    word = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if word.isalpha() else text


def _rounding(found: Tensor) -> float:
    return 1e-4 if found.dtype == torch.float32 else 0.0


def _scale(right: Tensor) -> float:
    """The size of what is expected: its largest number, or 1 where all are zero."""
    return float(right.abs().max()) if right.numel() and bool((right != 0).any()) else 1.0


def _error(found: Tensor, right: Tensor) -> float:
    """Largest difference, as a share of the largest expected number; infinity where there is NaN."""
    if not right.numel():
        return 0.0
    error = float((found.to(torch.float64) - right).abs().max()) / _scale(right)
    return error if error == error else float("inf")


def expect_close(
    actual: Any,
    expected: Any,
    hint: str,
    mistakes: Mapping[str, Any] | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
) -> None:
    """Raise ``CheckFailed`` unless ``actual`` equals ``expected``; a known wrong value gets the hint made for it.

    Args:
        actual: what the learner computed: a number, an array, or a tensor.
        expected: the right value.
        hint: what to look at when the value is wrong in a way not foreseen.
        mistakes: hint -> the value that this typical mistake gives.
        rtol: tolerance, as a share of the largest expected number; see ``close``.
        atol: tolerance to be added, in the unit of the numbers.
    """
    found, right = read(actual), tensor(expected).to(torch.float64)
    if close(found, right, rtol, atol):
        return
    for mistake, value in (mistakes or {}).items():
        if close(found, value, rtol, atol):
            raise CheckFailed(mistake)
    if found.shape != right.shape:
        transposed = "It is transposed. " if found.dim() == 2 and found.T.shape == right.shape else ""
        raise CheckFailed(
            f"the shape should be {list(right.shape)}, yours is {list(found.shape)}. {transposed or _sentence(hint)}"
        )
    if not bool(torch.isfinite(found).all()):
        raise CheckFailed(f"the result has NaN or infinite values. {_sentence(hint)}")
    if found.dtype in (torch.float16, torch.bfloat16) and _error(found, right) < 0.05:
        raise CheckFailed(
            f"the result is near, but {found.dtype} has too few digits. Compute in the dtype that you get."
        )
    raise CheckFailed(hint)
