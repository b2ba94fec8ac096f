"""The judge: one process for one submission. It decides on the points, and never runs a line of the student."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from eqgat_course import exercises
from eqgat_course.exercises import AnswerError, CheckFailed
from eqgat_course.grading.plan import Answer, Context, Plan, Test, load_cells, make_plan, uses
from eqgat_course.grading.remote import RemoteSession
from eqgat_course.grading.sandbox import Limits
from eqgat_course.grading.wire import Ended

__all__ = ["Order", "Result", "judge", "serve"]

_OTHERS = "right for the numbers in the notebook, not for others: "
_OUT_OF_MEMORY = re.compile(r"MemoryError|can't allocate memory|not enough memory|Cannot allocate memory")


@dataclass(frozen=True)
class Order:
    """How to grade: with which limits, isolated or not, and ``seed``, which decides what hidden tests draw."""

    limits: Limits
    seed: int
    isolated: bool


@dataclass(frozen=True)
class Result:
    """One row: ``status`` is right, wrong, blank, missing, error, not judged, or what ended the session."""

    exercise: str
    points: float
    max: float
    status: str
    hint: str


def judge(plan: Plan, order: Order, report: Callable[[dict[str, Any]], None]) -> None:
    """Run and judge; ``report`` gets a dict for each exercise.

    A cell or an answer that ends the session is left out, and a new session goes on after it, so that one answer costs
    no points of the others. When the time of the whole submission is over, what was not reached is not judged, and a
    last dict says so: ``stopped``.
    """
    until = time.monotonic() + order.limits.total
    done = _empty(plan, report)
    ended: dict[int, Ended] = {}
    while len(done) < len(plan.tests):
        session = RemoteSession(order.limits, until, order.isolated)
        place, errors = 0, {}
        try:
            for place, step in enumerate(plan.steps):
                if isinstance(step, Context) and place not in ended:
                    session.run(step.source)
                elif isinstance(step, Answer):
                    errors[place] = session.run(_source(step, place in ended))
                elif isinstance(step, Test) and place not in done:
                    report(asdict(_verdict(step, plan, session, errors, ended, order.seed)))
                    done.add(place)
        except Ended as reason:
            step = plan.steps[place]
            blamed = step.answers[-1] if isinstance(step, Test) and step.answers else place
            if blamed in ended or time.monotonic() >= until:
                _give_up(plan, done, blamed, reason, report)
                return
            ended[blamed] = reason
        finally:
            session.close()


def _empty(plan: Plan, report: Callable[[dict[str, Any]], None]) -> set[int]:
    """If every answer is blank or gone, say so without running anything; the places of the tests thus judged."""
    if not all(step.is_blank for step in plan.steps if isinstance(step, Answer)):
        return set()
    for step in plan.tests:
        report(asdict(Result(step.exercise, 0, step.points, *_unanswered(step, plan))))
    return {place for place, step in enumerate(plan.steps) if isinstance(step, Test)}


def _unanswered(test: Test, plan: Plan) -> tuple[str, str]:
    """Status and hint if the answer cells of a test are gone or blank; two empty words if not."""
    answers = [step for step in (plan.steps[place] for place in test.answers) if isinstance(step, Answer)]
    if answers and all(answer.source is None for answer in answers):
        return "missing", "the answer cell is not in the notebook: was it deleted, or copied into a new cell?"
    return ("blank", "not answered") if answers and all(answer.is_blank for answer in answers) else ("", "")


def _source(step: Answer, left_out: bool) -> str:
    return step.blank if left_out or step.source is None else step.source


def _give_up(plan: Plan, done: set[int], blamed: int, reason: Ended, report: Callable[[dict[str, Any]], None]) -> None:
    """What ended the session is said at the exercise in which it happened; the others were not reached."""
    left = []
    for place, step in enumerate(plan.steps):
        if isinstance(step, Test) and place not in done:
            status, hint = _unanswered(step, plan)
            if not status and blamed in (place, *step.answers):
                status, hint = reason.status, str(reason)
            elif not status:
                status, hint = "not judged", f"the submission was stopped before this exercise: {reason}"
                left.append(step.exercise)
            report(asdict(Result(step.exercise, 0, step.points, status, hint)))
    if left:
        report({"stopped": f"{', '.join(left)} not judged, because the submission was stopped: {reason}"})


def _verdict(
    test: Test,
    plan: Plan,
    session: RemoteSession,
    errors: dict[int, AnswerError | None],
    ended: dict[int, Ended],
    seed: int,
) -> Result:
    """Judge one test."""
    stopped = next((ended[place] for place in test.answers if place in ended), None)
    error = next((errors[place] for place in test.answers if errors.get(place)), None)
    status, hint = _unanswered(test, plan)
    if stopped is not None:
        status, hint = stopped.status, str(stopped)
    elif not status:
        status, hint = _checked(test, plan, session, seed)
        if status != "right" and error is not None:
            status, hint = _of_error(error)
    return Result(test.exercise, test.points if status == "right" else 0, test.points, status, hint)


def _checked(test: Test, plan: Plan, session: RemoteSession, seed: int) -> tuple[str, str]:
    """Status and hint of the visible tests, then of the hidden ones, whose draws nobody knows before."""
    prefix = ""

    def check(number: str, answer: Any, draw: int = 0) -> None:
        exercises.check(number, answer, draw + seed if draw else 0)

    try:
        with session.limited():
            names: dict[str, Any] = {"__name__": "judge"}
            for line in plan.imports:
                exec(line, names)
            if names.get("check") is exercises.check:
                names["check"] = check
            names.update({name: session.get(name) for name in test.names})
            for source, about in ((test.visible, ""), (test.hidden, _OTHERS)):
                prefix = about
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(source, test.grade_id, "exec"), names)
    except NameError as error:
        return "error", f"the name {error} is not defined after your cells have run"
    except CheckFailed as failed:
        hint = prefix + str(failed).removeprefix(f"{test.exercise}: ")
        if isinstance(failed.__cause__, AnswerError):
            return _of_error(failed.__cause__, hint)
        return "memory limit" if _OUT_OF_MEMORY.search(hint) else "wrong", hint
    except AssertionError as failed:
        return "wrong", prefix + (str(failed) or "the test in the notebook fails")
    except AnswerError as error:
        return _of_error(error)
    except Exception as error:  # the check could not digest what it got: no points, and the next exercise goes on
        return "wrong", f"the check could not use this answer: {type(error).__name__}: {error}"
    return "right", ""


def _of_error(error: AnswerError, hint: str = "") -> tuple[str, str]:
    """Status and hint; by default the hint is that a cell has stopped, not a function that the check called."""
    hint = hint or f"the cell stopped with {error.kind} at line {error.line}: {error}"
    if _OUT_OF_MEMORY.search(f"{error.kind} {error}"):
        return "memory limit", hint
    name = re.search(r"name '(\w+)' is not defined", str(error))
    if name:
        hint += (
            f". Only the answer cell is graded: if `{name[1]}` is defined or imported in another cell, put it into it"
        )
    return "error", hint


def serve(connection: Connection, submission: Path, instructor: Path, order: Order) -> None:
    """Judge one submission, in a process of its own; sends a dict for each exercise, and at the end that it is done."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that its session is ended too
    torch.set_num_threads(1)
    try:
        theirs = load_cells(submission)
    except (OSError, ValueError) as error:
        connection.send({"unreadable": str(error)})
        return
    # Here and not in the grader: a source can be such that Python's own parser crashes over it.
    ours = load_cells(instructor)
    plan = make_plan(ours, theirs)
    connection.send({"uses": uses(ours, theirs), "answers": {test.exercise: plan.answer(test) for test in plan.tests}})
    judge(plan, order, connection.send)
    connection.send({"done": True})
