"""What a flipped bit and a killed process do to the files of this project: nothing may be believed, nothing lost.

    python tests/damage.py flips 1000
    python tests/damage.py kills 50

``flips`` turns over one bit at a time, at a random place of weights, checkpoints, records of a run, rows of results,
prepared data and LMDB files, and reads them: an error of this package, or the same content as before (the bit was in
no part that is read), is right; other content is believed damage, and a death of the process ends the command.
``kills`` trains tiny runs and kills the process with SIGKILL at random moments, again and again until the run has
finished; its weights, optimiser, learning curve and metrics must be bit by bit those of a run that nothing stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atom3d_items import write_task
from tiny_runs import assert_same_run, same, settings

import eqgat
from eqgat import EQGAT
from eqgat.datasets.atom3d import load_atom3d, read_lmdb, write_lmdb
from eqgat.datasets.atom3d.lmdb import BrokenItem
from eqgat.datasets.atom3d.prepared import write_prepared
from eqgat.errors import UserError
from eqgat.files import sums_beside
from eqgat.training import read_history, read_predictions, read_results
from eqgat.training.checkpoint import read_checkpoint
from eqgat.training.run import Run, train

Read = Callable[[], Any]


def kinds(folder: Path) -> dict[str, tuple[list[Path], Read]]:
    """For each kind of file: the files, and how their content is read."""
    run = train(settings(epochs=1), runs=folder / "runs", results=folder / "store", progress=False)
    weights = shutil.copytree(Path(eqgat.__file__).parent / "pretrained" / "res", folder / "res")
    items = load_atom3d("psr", write_task("psr", folder / "psr"))
    write_prepared(items, folder / "prepared" / "train")
    entries = [{"id": str(k), "numbers": list(range(k, k + 300))} for k in range(30)]
    checked, bare = (write_lmdb(folder / name, entries) for name in ("checked", "bare"))
    sums_beside(bare / "data.mdb").unlink()  # as in the official data

    def checkpoint() -> Any:
        return read_checkpoint(run.folder / "last.ckpt", run.settings.to_json(), run.data)

    def finished() -> Any:
        again = train(run.settings, runs=folder / "runs", progress=False)
        return again.metrics, again.history, again.predictions.to_csv(), dict(again.model.state_dict())

    def rows() -> Any:
        name, store = run.folder.name, folder / "store"
        tables = (read_results(store), read_history(name, store), read_predictions(name, store))
        return [table.to_csv() for table in tables]

    def prepared() -> Any:
        data = load_atom3d("psr", folder / "prepared", "train")
        return [graph.to_dict() for graph in data], list(data.names), data.skipped.to_csv()

    def lmdb(folder: Path) -> Read:
        def read() -> Any:
            found, broken = read_lmdb(folder), 0
            contents: list[Any] = []
            for number in range(len(found)):
                try:
                    contents.append(found[number])
                except BrokenItem:
                    broken += 1
                    contents.append(entries_read[number])
            if broken:
                if contents != entries_read:
                    return contents
                raise UserError(f"{broken} items are broken, the others are as they were")
            return contents

        entries_read = list(read_lmdb(folder))
        return read

    def model() -> Any:
        loaded = EQGAT.from_pretrained(weights)
        return vars(loaded.config), dict(loaded.state_dict())

    def files(place: Path, *names: str) -> list[Path]:
        return [place / name for name in names] or [file for file in sorted(place.rglob("*")) if file.is_file()]

    record = ("finished.json", "finished.json.sha256", "predictions.csv.gz", "model/weights.pt", "model/config.json")
    return {
        "shipped weights": (
            files(weights, "weights.pt", "weights.pt", "config.json", "config.json.sha256", "weights.pt.sha256"),
            model,
        ),
        "checkpoints": (files(run.folder, "last.ckpt", "last.ckpt", "last.ckpt.sha256"), checkpoint),
        "finished runs": (files(run.folder, *record), finished),
        "rows of results": (files(folder / "store"), rows),
        "prepared data": (files(folder / "prepared"), prepared),
        "LMDB with a checksum": (files(checked), lmdb(checked)),
        "LMDB without": (files(bare), lmdb(bare)),
    }


def flip(count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Turn over ``count`` bits, one at a time: how many were refused or did no harm, and which were believed."""
    chance, outcomes, believed = random.Random(seed), Counter[str](), list[str]()
    places = kinds(folder)
    truth = {kind: read() for kind, (_, read) in places.items()}
    for number in range(count):
        kind = list(places)[number % len(places)]
        files, read = places[kind]
        file = chance.choice([file for file in files if file.stat().st_size])
        good = file.read_bytes()
        place, bit = chance.randrange(len(good)), chance.randrange(8)
        file.write_bytes(good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :])
        try:
            content = read()
        except UserError:
            outcomes[f"{kind}: refused"] += 1
        else:
            outcomes[f"{kind}: the same content"] += 1
            if not same(content, truth[kind]):
                believed.append(f"{kind}: bit {bit} of byte {place} of {file.name}")
        file.write_bytes(good)
    return outcomes, believed


def run_and_kill(runs: Path, after: float) -> bool:
    """Train in a process of its own, which is killed after so many seconds: whether it was killed."""
    process = multiprocessing.get_context("fork").Process(
        target=train, args=(settings(),), kwargs={"runs": runs, "progress": False}
    )
    process.start()
    process.join(after)
    killed = process.is_alive()
    if killed and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    if not killed and process.exitcode:
        raise RuntimeError(f"training ended with {process.exitcode}")
    return killed and process.exitcode == -signal.SIGKILL


def kill(count: int, seed: int, folder: Path) -> Counter[str]:
    """Kill runs until ``count`` kills are done, and compare each that finished with one that nothing stopped."""
    chance, outcomes = random.Random(seed), Counter[str]()
    train(settings(epochs=1), runs=folder / "first", progress=False)  # what the first run of a process loads
    begin = time.monotonic()
    whole = train(settings(), runs=folder / "whole", progress=False)
    takes = time.monotonic() - begin
    while outcomes["kills"] < count:
        runs = folder / str(outcomes["runs compared"])
        while outcomes["kills"] < count and run_and_kill(runs, chance.uniform(0, takes)):
            outcomes["kills"] += 1
            (state,) = runs.rglob("last.ckpt") if list(runs.rglob("last.ckpt")) else [None]
            outcomes["kills with a checkpoint to go on from" if state else "kills before the first checkpoint"] += 1
        run: Run = train(settings(), runs=runs, progress=False)
        assert_same_run(run, whole)
        left = [file.name for file in runs.rglob("*.partial")]
        if left:
            raise AssertionError(f"half-written files stay: {left}")
        outcomes["runs compared"] += 1
        shutil.rmtree(runs)
    return outcomes


if __name__ == "__main__":
    believed: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        os.environ["EQGAT_CACHE"] = f"{name}/cache"
        if sys.argv[1] == "flips":
            outcomes, believed = flip(int(sys.argv[2]), seed=0, folder=Path(name))
        else:
            outcomes = kill(int(sys.argv[2]), seed=0, folder=Path(name))
    print(*(f"{number:6,}  {what}" for what, number in sorted(outcomes.items())), sep="\n")
    print(*believed, f"{len(believed)} believed" if sys.argv[1] == "flips" else "all bit by bit equal", sep="\n")
    raise SystemExit(bool(believed))
