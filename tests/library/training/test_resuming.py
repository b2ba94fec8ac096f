"""A run that was stopped, killed or damaged: it ends bit by bit the same, or says what is wrong."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import TRAIN, assert_same_run, digest, final_state, same, settings

from eqgat.datasets.triangle import TriangleData
from eqgat.errors import UserError
from eqgat.files import sums_beside, write_checked
from eqgat.training import read_history, read_results
from eqgat.training.checkpoint import read_checkpoint, write_checkpoint
from eqgat.training.engine import TrainingModule
from eqgat.training.run import Run, train
from eqgat.training.tasks import Task


def test_a_finished_run_is_read_not_repeated(finished: Run) -> None:
    again = train(finished.settings, runs=finished.folder.parents[1])
    assert again.metrics == finished.metrics
    assert again.model is not None
    assert finished.model is not None
    assert same(again.model.state_dict(), finished.model.state_dict())


@pytest.mark.parametrize("model", ["gvp", "eqgat"])
def test_stopped_after_every_single_step_it_ends_bit_by_bit_the_same(model: str, finished: Run, tmp_path: Path) -> None:
    """GVP has dropout: its random numbers are part of what must repeat."""
    chosen = settings(model) if model == "eqgat" else settings(model, epochs=2, schedule="cosine")
    plain = finished if model == "eqgat" else train(chosen, runs=tmp_path / "plain")
    calls = 0
    while not (run := train(chosen, runs=tmp_path / "pieces", time_limit=0.0)).finished:
        calls += 1
    # Of six batches, the last one and the end of the epoch go together; the last epoch's end is followed by the test.
    assert calls == 6 * chosen.epochs - 1
    assert_same_run(run, plain)


def test_killed_at_any_moment_it_ends_bit_by_bit_the_same(finished: Run, tmp_path: Path) -> None:
    say = ", on_epoch=lambda record: print(record['epoch'], flush=True))"
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN + say, finished.settings.to_json(), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    time.sleep(0.05)  # somewhere in the second epoch
    process.send_signal(signal.SIGKILL)
    process.wait()
    folder = tmp_path / "triangle" / finished.folder.name
    assert (folder / "last.ckpt").is_file()
    assert not (folder / "finished.json").exists()
    assert_same_run(train(finished.settings, runs=tmp_path), finished)


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_stops_after_the_step_with_a_checkpoint(
    number: signal.Signals, ends: type[BaseException], finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In mid-epoch, with nothing lost but what was under way; the resumed run ends bit by bit the same."""
    step, steps = TrainingModule.training_step, []

    def stopped(self: TrainingModule, batch: Any, batch_idx: int) -> torch.Tensor:
        steps.append(batch_idx)
        if len(steps) == 9:
            os.kill(os.getpid(), number)
        return step(self, batch, batch_idx)

    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    try:
        with monkeypatch.context() as patch:
            patch.setattr(TrainingModule, "training_step", stopped)
            with pytest.raises(ends) as ended:
                train(finished.settings, runs=tmp_path)
    finally:
        signal.signal(signal.SIGINT, former)
    assert ends is KeyboardInterrupt or ended.value.code == 143
    assert len(steps) == 9
    left = torch.load(tmp_path / "triangle" / finished.folder.name / "last.ckpt", weights_only=True)
    assert (left["epoch"], left["batch"]) == (1, 3)
    assert_same_run(train(finished.settings, runs=tmp_path), finished)


def test_a_signal_in_the_last_step_leaves_the_test_to_the_next_call(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(
        TrainingModule, "on_validation_epoch_start", lambda self: self.epoch < 2 or os.kill(os.getpid(), signal.SIGTERM)
    )
    with pytest.raises(SystemExit, match="143"):
        train(finished.settings, runs=tmp_path)
    assert signal.getsignal(signal.SIGTERM) is former
    assert_same_run(train(finished.settings, runs=tmp_path), finished)


def test_settings_can_be_chosen_without_the_test_set(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "test_dataloader", None)
        chosen = train(finished.settings, runs=tmp_path, results=tmp_path / "results", test=False)
    assert not chosen.finished
    assert chosen.metrics == {"val": finished.metrics["val"]}
    rows = read_results(tmp_path / "results")
    assert set(rows["split"]) == {"val"}
    assert rows["command"].iloc[0].endswith(" --no-test")
    assert_same_run(train(finished.settings, runs=tmp_path), finished)


class Evil:
    """Unpickling this would create a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return Path.touch, (self.file,)


def test_checkpoints_that_cannot_be_used_are_named(finished: Run, tmp_path: Path) -> None:
    chosen, good = finished.settings, final_state(finished)
    file = tmp_path / "triangle" / chosen.run_name(digest(chosen)) / "last.ckpt"
    content = {key: value for key, value in good.items() if key != "format"}
    for change, message in (
        ({"settings": "{}"}, "other settings"),
        ({"data": "x"}, "other data"),
        ({"extra": 1}, "another version"),
        ({"format": 0}, "another version"),
    ):
        write_checkpoint(file, {**content, **change})
        with pytest.raises(ValueError, match=f"{message}.*--restart"):
            train(chosen, runs=tmp_path)
    weights = {**good["model"]}
    weights.pop("embedding.weight")
    write_checkpoint(file, {**content, "epoch": 1, "model": weights})
    with pytest.raises(ValueError, match="do not fit the model"):
        train(chosen, runs=tmp_path)
    trace = tmp_path / "executed"
    for damaged in (b"", b"PK\x03\x04 no", pickle.dumps(Evil(trace), protocol=2)):
        for write in (Path.write_bytes, write_checked):  # damaged afterwards; and written so
            write(file, damaged)
            with pytest.raises(ValueError, match=r"not a readable checkpoint.*--restart"):
                train(chosen, runs=tmp_path)
    torch.save({"model": Evil(trace)}, file)
    write_checked(file, file.read_bytes())
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        read_checkpoint(file, "", "")
    assert not trace.exists()


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "last.ckpt"
    write_checkpoint(file, {"epoch": 1})
    before = file.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("killed here")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="killed here"):
        write_checkpoint(file, {"epoch": 2})
    assert file.read_bytes() == before


def test_a_run_on_other_data_is_another_run(finished: Run, tmp_path: Path) -> None:
    """Where nothing but the data differ, as with ``--data``: other folder, other rows, nothing mixed up."""
    load = Task.load

    def other(self: Task, folder: str | None) -> dict[str, Any]:
        return {name: TriangleData(s.pos + 1e-3, s.special, s.options) for name, s in load(self, folder).items()}

    runs, results = tmp_path / "runs", tmp_path / "results"
    one = train(settings(epochs=1), runs=runs, results=results)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "load", other)
        two = train(settings(epochs=1), runs=runs, results=results)
    assert one.data != two.data
    assert one.folder != two.folder
    rows = read_results(results)
    assert set(rows["data"]) == {one.data, two.data}
    assert len(rows) == 2 * sum(map(len, one.metrics.values()))
    with pytest.raises(UserError, match="several data sets"):
        read_history(one.settings.run_id, results)
    assert len(read_history(one.folder.name, results)) == 1
    assert train(settings(epochs=1), runs=runs).metrics == one.metrics


def test_a_time_limit_after_an_epoch_gives_what_is_known(finished: Run, tmp_path: Path) -> None:
    chosen, run = finished.settings, None
    while run is None or not run.history:
        run = train(chosen, runs=tmp_path, time_limit=0.0)
    assert not run.finished
    assert run.metrics == {"val": {k.removeprefix("val_"): v for k, v in run.history[0].items() if "val_" in k}}


def test_a_full_disk_leaves_the_old_checkpoint(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="stop here"):
        train(finished.settings, runs=tmp_path, on_epoch=_stop)
    file = tmp_path / "triangle" / finished.folder.name / "last.ckpt"
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _full)
        with pytest.raises(UserError, match=r"the disk is full: .*last\.ckpt needs .*iB"):
            train(finished.settings, runs=tmp_path)
    assert file.read_bytes() == before
    assert {path.name for path in file.parent.iterdir()} <= {"last.ckpt", "last.ckpt.sha256", "tensorboard"}
    assert_same_run(train(finished.settings, runs=tmp_path), finished)


def _stop(_: dict[str, float]) -> None:
    raise RuntimeError("stop here")


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_flipped_bits_in_checkpoints_and_records_are_never_believed(finished: Run, tmp_path: Path) -> None:
    folder = tmp_path / "triangle" / finished.folder.name
    shutil.copytree(finished.folder, folder)
    random = np.random.default_rng(0)
    for name in ("finished.json", "predictions.csv.gz", "last.ckpt"):
        good = (folder / name).read_bytes()
        for _ in range(8):
            bad = bytearray(good)
            bad[random.integers(len(bad))] ^= 1 << random.integers(8)
            (folder / name).write_bytes(bad)
            with pytest.raises(UserError, match="--restart"):
                train(finished.settings, runs=tmp_path)
        (folder / name).write_bytes(good)
        if name == "predictions.csv.gz":
            (folder / "finished.json").unlink()  # from here on the checkpoint is read
    sums_beside(folder / "last.ckpt").unlink()
    with pytest.raises(UserError, match="no checksum"):
        train(finished.settings, runs=tmp_path)
