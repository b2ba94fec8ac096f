"""What stands around a training step: the loader that feeds it, and the engine that runs it."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Row, Spread, in_turn, row, stepper
from torch.utils.data import DataLoader

from eqgat.datasets.atom3d import load_atom3d, write_prepared
from eqgat.datasets.task import ATOM3D
from eqgat.training import run
from eqgat.training.engine import evaluation_batches, training_batches
from eqgat.training.settings import Settings, make_settings
from eqgat.training.tasks import Task, make_task

EndOfEpoch = Callable[[], None]


def measured(options: argparse.Namespace, tasks: Iterable[str]) -> list[str]:
    """Those of ``tasks`` that are asked for and have their data."""
    return [task for task in tasks if task in options.tasks and (options.data or task == "triangle")]


def loading_rows(options: argparse.Namespace) -> Iterator[Row]:
    """Batches a second of each task from the official folders and from prepared data, and training steps a second."""
    for task in measured(options, ATOM3D):
        settings = make_settings(task, "eqgat", "quick")
        given = load_atom3d(task, options.data, "test", prepared=False, progress=False)
        with tempfile.TemporaryDirectory() as folder:
            prepared = write_prepared(given, Path(folder) / "test")
            maker = make_task(settings)
            for name, data, workers in (
                ("official folder", given, 0),
                ("prepared", prepared, 0),
                ("prepared, 2 workers", prepared, 2),
            ):
                rates = [rate(data, maker, settings.batch_size, workers, options.seconds / 10) for _ in range(3)]
                yield row("loading", task, name, "batches", "1/s", Spread.of(rates))
            rows = np.random.default_rng(0).permutation(len(prepared))[: settings.batch_size].tolist()
            batch = maker.prepare(maker.collate([prepared[i] for i in rows]))
            model = maker.build()
            step = stepper(
                model, lambda data, maker=maker, model=model: maker.predict(model, data), batch, "training step"
            )
            taken = in_turn({"": step}, torch.device("cpu"), 5, options.seconds / 4)[""]
            yield row("loading", task, "training step", "batches", "1/s", Spread.of(1 / seconds for seconds in taken))


def rate(data: Any, task: Any, batch_size: int, workers: int, seconds: float) -> float:
    """Batches a second in random order. Time of day: with workers, most of the work is not in this process."""
    order = np.random.default_rng(0).permutation(len(data))
    full = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    loader = DataLoader(data, batch_sampler=full * 1000, collate_fn=task.collate, num_workers=workers)
    batches, count = iter(loader), 0
    next(batches)  # workers start
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        next(batches)
        count += 1
    return count / elapsed


def engine_rows(options: argparse.Namespace) -> Iterator[Row]:
    """Processor time of an epoch in the engine, and in a loop that does the same work and nothing else.

    Training and validation, without what happens once a run. Two processes, each an epoch in turn, since the speed of a
    machine changes from minute to minute by more than the two differ. An epoch has few batches, which makes what comes
    once an epoch weigh more than it does.
    """
    for name in measured(options, ("triangle", *ATOM3D)):
        settings = make_settings(name, "eqgat", "quick", epochs=4 if options.quick else 1 + options.repeats)
        folder = None if name == "triangle" else str(options.data)
        sides = {"engine": Side(in_engine, settings, folder), "plain loop": Side(in_loop, settings, folder)}
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(settings.epochs - 1):
            for side, one in sides.items():
                taken[side].append(one.epoch())
        for side, values in taken.items():
            yield row("engine", name, side, "epoch", "s", Spread.of(values))
        ratios = [a / b for a, b in zip(taken["engine"], taken["plain loop"], strict=True)]
        yield row("engine", name, "engine", "epoch, against a plain loop", "", Spread.of(ratios))


class Side:
    """A process that trains an epoch when it is told to, and says what processor time it had taken by then."""

    def __init__(self, train: Callable[[Settings, str | None, EndOfEpoch], None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_side, args=(end, train, *arguments), daemon=True)
        self.process.start()
        self.before = self.pipe.recv()  # of the first epoch, which warms up

    def epoch(self) -> float:
        """Seconds of processor time of one more epoch."""
        self.pipe.send("go")
        before, self.before = self.before, self.pipe.recv()
        return self.before - before


def _side(pipe: Connection, train: Callable[..., None], settings: Settings, folder: str | None) -> None:
    torch.set_num_threads(1)

    def end_of_epoch() -> None:
        pipe.send(time.process_time())
        pipe.recv()

    with contextlib.suppress(EOFError):  # the other end is gone
        train(settings, folder, end_of_epoch)


class FirstItems:
    """The first items of a data set."""

    def __init__(self, data: Any, count: int) -> None:
        self.data, self.count = data, count

    def __len__(self) -> int:
        return min(self.count, len(self.data))

    def __getitem__(self, index: int) -> Any:
        return self.data[index]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.data, name)
        return value[: len(self)] if name in ("y", "names", "groups") else value


def short_task(settings: Settings) -> Task:
    """The task, with so few items that an epoch takes seconds."""
    task = make_task(settings)
    load, batches = task.load, 8 if settings.task in ATOM3D else 64
    few = {"train": batches * settings.batch_size, "val": batches * settings.batch_size // 4}
    task.load = lambda folder: {  # type: ignore[method-assign]
        split: FirstItems(data, few.get(split, len(data))) for split, data in load(folder).items()
    }
    return task


def in_engine(settings: Settings, folder: str | None, end_of_epoch: EndOfEpoch) -> None:
    run.make_task = short_task
    with tempfile.TemporaryDirectory() as runs:
        run.train(
            settings,
            runs=runs,
            data=folder,
            accelerator="cpu",
            test=False,
            progress=False,
            on_epoch=lambda record: end_of_epoch(),
        )


def in_loop(settings: Settings, folder: str | None, end_of_epoch: EndOfEpoch) -> None:
    task = short_task(settings)
    splits = task.load(folder)
    model = task.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    for epoch in range(settings.epochs):
        model.train()
        order = training_batches(len(splits["train"]), settings.batch_size, settings.seed, epoch)
        for batch in DataLoader(splits["train"], batch_sampler=order, collate_fn=task.collate):
            batch = task.prepare(batch)
            optimizer.zero_grad()
            task.loss(task.predict(model, batch), task.targets(batch)).backward()
            if settings.gradient_clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimizer.step()
        rows = []
        model.eval()
        held_out = evaluation_batches(len(splits["val"]), settings.batch_size)
        with torch.no_grad():
            for batch in DataLoader(splits["val"], batch_sampler=held_out, collate_fn=task.collate):
                batch = task.prepare(batch)
                rows.append((task.predict(model, batch), task.targets(batch)))
        task.metrics(*(torch.cat(column) for column in zip(*rows, strict=True)), splits["val"])
        end_of_epoch()
