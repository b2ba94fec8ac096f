"""Run a plan: what the store lacks, one process a run, some at a time, with what is left and how long it will take.

Each run is a process of ``eqgat train``, whose output goes into a log file. So a run that fails, or is killed, does no
harm to the others, and is repeated or goes on from its checkpoint when the plan is run again. The log file is locked
while its run is under way: several calls, of the same plan or of others, can work side by side in one folder.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pandas as pd

from eqgat.errors import UserError
from eqgat.training.results import read_results
from eqgat_course.experiments.plans import Finder, Plan, PlannedRun

__all__ = ["Outcome", "commands", "missing_runs", "run_plan"]


@dataclass
class Outcome:
    """What became of the runs of a plan, by their names.

    Attributes:
        known: were in the store before.
        finished: now.
        failed: name -> the last line of the log.
        unfinished: stopped by the time limit, or not started because of it.
        elsewhere: under way in another process.
    """

    known: int
    finished: list[str]
    failed: dict[str, str]
    unfinished: list[str]
    elsewhere: list[str]


@dataclass
class _Process:
    run: PlannedRun
    process: subprocess.Popen[bytes]
    log: Path
    started: float


def missing_runs(plan: Plan, store: Path, root: Path | None) -> list[PlannedRun]:
    """The runs of a plan that the store lacks, in order.

    Raises:
        UserError: a plan of given data folders without a data root; data or results that cannot be used.
        FileNotFoundError: no such data.
    """
    if root is None and (named := sorted({run.data for run in plan.runs if run.data})):
        raise UserError(f"plan {plan.name} needs --data-root DIR, a folder with {', '.join(named)} in it")
    results, finder = read_results(store), Finder(root)
    return [run for run in plan.runs if not finder.has(run, results)]


def commands(runs: list[PlannedRun], root: Path | None, extra: list[str]) -> list[str]:
    """One line of shell a run: for the array of a batch system, or to be read."""
    return [shlex.join(["eqgat", *run.arguments(root), *extra]) for run in runs]


def run_plan(
    plan: Plan,
    *,
    store: Path,
    runs: Path,
    root: Path | None = None,
    workers: int = 1,
    time_limit: float | None = None,
    accelerator: str = "auto",
    say: Callable[[str], None] = print,
) -> Outcome:
    """Run what the store lacks.

    Args:
        plan: what is wanted.
        store: the results store; rows are written as runs finish.
        runs: folder for checkpoints, trained models and logs.
        root: folder of the data folders that the plan names.
        workers: runs at the same time. Of several GPUs each gets its own in turn.
        time_limit: seconds after which runs stop with a checkpoint and no other is started.
        accelerator: Lightning's.
        say: called with a line when a run starts and when it ends.

    Raises:
        UserError, FileNotFoundError: as ``missing_runs`` does.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM came; the runs under way have written their checkpoints.
    """
    waiting = missing_runs(plan, store, root)
    outcome = Outcome(len(plan.runs) - len(waiting), [], {}, [], [])
    say(f"plan {plan.name}: {len(plan.runs)} runs, {outcome.known} in the store, {len(waiting)} to do")
    stop_at = None if time_limit is None else time.monotonic() + time_limit
    under_way: dict[int, _Process] = {}  # place -> what runs there
    gpus, total = _gpus(), len(waiting)
    with _sigterm_as_exit():
        try:
            while waiting or under_way:
                late = stop_at is not None and time.monotonic() > stop_at
                for place in set(range(workers)) - set(under_way):
                    if late or not waiting:
                        break
                    run = waiting.pop(0)
                    extra = ["--runs", str(runs), "--results", str(store), "--accelerator", accelerator]
                    if stop_at is not None:
                        extra += ["--time-limit", _clock(stop_at - time.monotonic())]
                    started = _start(run, [*run.arguments(root), *extra], runs, place, gpus)
                    if started is None:
                        outcome.elsewhere.append(run.name)
                        say(f"{run.name}: under way in another process, left to it")
                        continue
                    under_way[place] = started
                    say(f"{run.name}: started, log in {started.log}")
                if late:
                    outcome.unfinished += [run.name for run in waiting]
                    waiting = []
                time.sleep(0.2)
                for place, work in list(under_way.items()):
                    if work.process.poll() is not None:
                        del under_way[place]
                        text = _ended(work, outcome)
                        ended = len(outcome.finished) + len(outcome.failed)
                        left = _time_left(waiting, list(under_way.values()), read_results(store), workers)
                        say(f"[{ended}/{total}] {text}{left}")
        finally:
            for work in under_way.values():
                work.process.terminate()  # it writes a checkpoint first
            for work in under_way.values():
                work.process.wait()
    return outcome


def _start(run: PlannedRun, arguments: list[str], runs: Path, place: int, gpus: int) -> _Process | None:
    """Start a run; None where another process has it under way.

    The lock is on the open log, which the new process shares: it lasts as long as that process, whatever becomes of
    this one.
    """
    log = runs / "logs" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {"OMP_NUM_THREADS": "1", **os.environ}  # small tensors gain nothing from more threads
    if gpus > 1:
        environment.setdefault("CUDA_VISIBLE_DEVICES", str(place % gpus))
    with log.open("ab") as output:
        if not _lock(output):
            return None
        output.write(f"$ {shlex.join(['eqgat', *arguments])}\n".encode())
        output.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "eqgat", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,  # Ctrl-C comes to this process alone, which stops the others in an orderly way
        )
    return _Process(run, process, log, time.monotonic())


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ended(work: _Process, outcome: Outcome) -> str:
    """Put a run that ended where it belongs; what to say of it."""
    name, status = work.run.name, work.process.returncode
    lines = work.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    took = f"after {_words(time.monotonic() - work.started)}"
    if status == 0:
        outcome.finished.append(name)
        return f"{name}: finished {took}"
    if status == 3:
        outcome.unfinished.append(name)
        return f"{name}: stopped by the time limit {took}, goes on next time"
    outcome.failed[name] = lines[-1]
    return f"{name}: FAILED with status {status} {took}: {lines[-1]}"


def _time_left(waiting: list[PlannedRun], under_way: list[_Process], results: pd.DataFrame, workers: int) -> str:
    """An estimate from the seconds an epoch of like runs in the store: the same model on the task, else any model."""
    if not waiting and not under_way:
        return ""
    rows = results[results["epochs"] > 0].drop_duplicates(["task", "model", "profile", "changed", "seed", "data"])
    rows = rows.assign(pace=rows["seconds"] / rows["epochs"])

    def seconds(run: PlannedRun) -> float:
        like = rows[(rows["task"] == run.settings.task) & (rows["profile"] == run.settings.profile)]
        own = like[like["model"] == run.settings.model]
        return float((own if len(own) else like)["pace"].median()) * run.settings.epochs

    now = time.monotonic()
    expected = [seconds(run) for run in waiting]
    expected += [max(seconds(work.run) - (now - work.started), 0.0) for work in under_way]
    times = pd.Series(expected)  # runs of which nothing is known count as the mean
    left = f"; {len(times)} left"
    return f"{left}, about {_words(max(times.mean() * len(times) / workers, times.max()))}" if times.any() else left


def _words(seconds: float) -> str:
    """A time as one says it.

    >>> _words(42.3), _words(4000), _words(300)
    ('42 s', '1 h 7 min', '5 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _clock(seconds: float) -> str:
    """As ``--time-limit`` takes it."""
    whole = max(int(seconds), 1)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """SIGTERM raises ``SystemExit``, so that the runs under way are stopped in an orderly way."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
