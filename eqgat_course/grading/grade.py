"""Grade submissions: one judge for each, results kept file by file, a table and a report for each student.

``python -m eqgat coursework grade FILE...``: notebooks, or folders of them. A submission is known by its file name,
``05_cross_products.ipynb`` in a folder named after the student, or ``05_cross_products_NAME.ipynb``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eqgat.errors import UserError
from eqgat.files import write_files
from eqgat_course.chapters import modules
from eqgat_course.grading.judge import Order, serve
from eqgat_course.grading.plan import exercise_texts, load_cells, make_plan
from eqgat_course.grading.report import write_reports
from eqgat_course.grading.sandbox import Limits, weakness

__all__ = ["Submission", "find_submissions", "grade", "grade_one"]

_GRACE_SECONDS = 90.0
# Judges are forked from one process that has loaded the libraries and the checks; on Windows each loads its own.
_PROCESSES: Any = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
_PROCESSES.set_forkserver_preload([__name__, *modules("checks")])


@dataclass(frozen=True)
class Submission:
    """A file, whose it is, and the instructor's notebook that it answers."""

    path: Path
    student: str
    instructor: Path

    def result_file(self, out: Path) -> Path:
        """Where its results are kept."""
        return out / "results" / self.student / f"{self.instructor.stem}.json"


def find_submissions(paths: Iterable[Path], instructors: list[Path]) -> tuple[list[Submission], list[str]]:
    """The submissions among files and folders, by student and notebook; and why a file is none, one sentence each.

    Raises:
        FileNotFoundError: a path does not exist, or there is no notebook.
    """
    files: list[Path] = []
    refused: list[str] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        inside = sorted(file for file in path.rglob("*.ipynb") if not _hidden(file)) if path.is_dir() else [path]
        for file in inside:
            # Whoever hands in a link may hand in the solutions, or another student's work.
            if file.is_symlink() or (path.is_dir() and not file.resolve().is_relative_to(path.resolve())):
                refused.append(f"{file} is a link, not a notebook")
            elif file.is_file():
                files.append(file)
    if not files and not refused:
        raise FileNotFoundError("no notebooks (*.ipynb) among the given files and folders")
    found: dict[tuple[str, str], list[Submission]] = {}
    for file in files:
        try:
            submission = _submission(file, instructors)
        except UserError as error:
            refused.append(str(error))
        else:
            found.setdefault((submission.student, submission.instructor.name), []).append(submission)
    for (student, _), several in found.items():
        if len(several) > 1:
            refused.append(
                f"{len(several)} files of {student!r} answer {several[0].instructor.stem}, and none was "
                f"graded: {', '.join(str(item.path) for item in several)}. Keep one; put each student's "
                "files into a folder of the student's name, or append the name to the file's"
            )
    return [several[0] for _, several in sorted(found.items()) if len(several) == 1], refused


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts if part not in (".", ".."))


def _submission(file: Path, instructors: list[Path]) -> Submission:
    stem = re.sub(r"( ?\(\d+\)|-Copy\d+)+$", "", file.stem)  # what browsers and Jupyter append to a second copy
    fitting = [path for path in instructors if path.stem in stem]
    if not fitting:
        fitting = [path for path in instructors if stem[:3] == path.stem[:3]]
    if len(fitting) != 1:
        raise UserError(
            f"{file} is named after no notebook of the course; rename it, as in {instructors[0].stem}_NAME.ipynb"
        )
    notebook = fitting[0]
    rest = re.sub(r"^[\W_]+|[\W_]+$", "", stem.replace(notebook.stem, "", 1)) if notebook.stem in stem else ""
    folder = file.resolve().parent
    name = rest or (folder.parent.name if folder.name == notebook.stem else folder.name)
    return Submission(file, re.sub(r"[^\w.@+-]+", "_", name).strip(".") or "unknown", notebook)


def grade(
    submissions: list[Submission],
    out: Path,
    limits: Limits | None = None,
    jobs: int = 1,
    refused: Iterable[str] = (),
    seed: int | None = None,
) -> list[dict[str, Any]]:
    """Grade what has not been graded, write ``grades.csv`` and the pages; all results, one dict a submission.

    An interrupted run goes on where it stopped: a submission is graded again only if its file, the instructor's
    notebook, the limits for a cell or a given seed have changed, or if its judge failed or was out of time.

    Args:
        submissions: of ``find_submissions``.
        out: folder for results and pages.
        limits: of each session.
        jobs: submissions at once.
        refused: of ``find_submissions``, for the teacher's page.
        seed: of an earlier run, to repeat what its hidden tests drew; by default a new one that nobody knows.
    """
    order = Order(limits or Limits(), secrets.randbelow(10**9) if seed is None else seed, not weakness())
    for instructor in {submission.instructor for submission in submissions}:
        make_plan(load_cells(instructor), None)  # a mistake in the course itself is said before the first submission
    lock, count, stopped = threading.Lock(), 0, threading.Event()
    running: set[Any] = set()

    def one(submission: Submission) -> None:
        nonlocal count
        file, key = submission.result_file(out), _key(submission, order.limits)
        kept = _kept(file, key, seed)
        result = kept or {**grade_one(submission, order, running), "key": key}
        if stopped.is_set():
            return
        if kept is None:
            write_files({file: json.dumps(result, indent=1)})
        with lock:
            count += 1
            points = sum(row["points"] for row in result["rows"])
            most = sum(row["max"] for row in result["rows"])
            note = "graded before" if kept else f"{result['seconds']:.0f} s"
            problem = f"  {result['problem']}" if result["problem"] else ""
            print(
                f"[{count}/{len(submissions)}] {submission.student}: {submission.instructor.stem}  "
                f"{points:g} of {most:g} points  ({note}){problem}",
                flush=True,
            )

    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    try:
        for future in [pool.submit(one, submission) for submission in submissions]:
            future.result()
    finally:
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(running):
            _end(process)
        results = [_result(path) for path in sorted(out.glob("results/*/*.json"))]
        texts: dict[str, str] = {}
        for instructor in {submission.instructor for submission in submissions}:
            texts.update(exercise_texts(load_cells(instructor)))
        write_reports(results, out, texts, refused, weakness())
    return results


def grade_one(submission: Submission, order: Order, running: set[Any] | None = None) -> dict[str, Any]:
    """Grade one submission in a process of its own; its rows, and what went wrong as a whole (empty: nothing).

    ``running`` holds the judge's process meanwhile.
    """
    running = set() if running is None else running
    rows: dict[str, dict[str, Any]] = {}
    uses: dict[str, list[str]] = {}
    answers: dict[str, str] = {}
    problem, done = "", False
    start = time.monotonic()
    receiver, sender = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=serve, args=(sender, submission.path, submission.instructor, order))
    process.start()
    sender.close()
    running.add(process)
    until = start + order.limits.total + order.limits.cell + _GRACE_SECONDS
    with contextlib.suppress(EOFError):
        while receiver.poll(max(0.0, until - time.monotonic())):
            message = receiver.recv()
            if "exercise" in message:
                rows[message["exercise"]] = message
            uses, answers = message.get("uses", uses), message.get("answers", answers)
            problem = message.get("unreadable") or message.get("stopped") or problem
            done = done or "done" in message
    receiver.close()
    _end(process)
    running.discard(process)
    if not done and not problem:
        problem = f"the judge stopped before it was done (exit status {process.exitcode})"
    rows = {
        test.exercise: rows.get(test.exercise) or _unjudged(test, problem)
        for test in make_plan(load_cells(submission.instructor), None).tests
    }
    return {
        "student": submission.student,
        "notebook": submission.instructor.stem,
        "problem": problem,
        "final": (done and not problem) or problem.startswith(submission.path.name),
        "rows": list(rows.values()),
        "uses": uses,
        "answers": answers,
        "seconds": time.monotonic() - start,
        "seed": order.seed,
        "isolated": order.isolated,
    }


def _end(process: Any) -> None:
    """Let a judge end itself and its session, or make it."""
    process.join(timeout=1)
    process.terminate()
    process.join(timeout=5)
    process.kill()
    process.join()


def _unjudged(test: Any, problem: str) -> dict[str, Any]:
    return {"exercise": test.exercise, "points": 0, "max": test.points, "status": "not judged", "hint": problem}


def _key(submission: Submission, limits: Limits) -> str:
    """Of all that a finished result depends on. With more time for the whole it would be the same."""
    kept = {**asdict(limits), "total": 0}
    parts = [submission.path.read_bytes(), submission.instructor.read_bytes(), json.dumps(kept).encode()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _result(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); remove it, and grade again") from error


def _kept(file: Path, key: str, seed: int | None) -> dict[str, Any] | None:
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        return result if result["key"] == key and result["final"] and seed in (None, result["seed"]) else None
    except (OSError, ValueError, KeyError):
        return None
