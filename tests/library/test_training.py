"""Training that can be trusted: it learns, repeats, resumes bit by bit, shares out over processes, and tests once."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy
from tiny_runs import DATA, assert_same_run, final_state, same, settings

from eqgat import EQGAT
from eqgat.cli import main as command
from eqgat.datasets.triangle import TriangleData
from eqgat.errors import UserError
from eqgat.files import sums_beside, write_checked
from eqgat.training import Settings, make_settings, read_history, read_predictions, read_results
from eqgat.training.checkpoint import read_checkpoint, write_checkpoint
from eqgat.training.engine import TrainingModule, evaluation_batches, training_batches
from eqgat.training.run import Run, train
from eqgat.training.settings import models_of
from eqgat.training.tasks import LOSSES, ReadoutNorm, Task, make_task

# A program that makes the run whose settings are its first argument; to be closed by a parenthesis.
TRAIN = (
    "import json, sys\nfrom eqgat.training import Settings\nfrom eqgat.training.run import train\n"
    "train(Settings(**json.loads(sys.argv[1])), runs=sys.argv[2]"
)


def main(arguments: list[str]) -> int:
    return command(["train", *arguments])


def digest(chosen: Settings) -> str:
    task = make_task(chosen)
    return task.digest(task.load(None))


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQGAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing interrupts, with its rows in a store beside it."""
    folder = tmp_path_factory.mktemp("plain")
    return train(settings(), runs=folder / "runs", results=folder / "results")


def test_a_run_learns(tmp_path: Path) -> None:
    chosen = make_settings("triangle", "eqgat", "quick", epochs=4, batch_size=16, data_options={**DATA, "n": 500})
    test = make_task(chosen).load(None)["test"]
    assert train(chosen, runs=tmp_path).metrics["test"]["mse"] < 0.7 * float(test.y.var(dim=0).mean())


def test_a_run_writes_its_rows(finished: Run) -> None:
    assert finished.finished
    assert len(finished.history) == 3
    store = finished.folder.parents[2] / "results"
    rows = read_results(store)
    test = rows[rows["split"] == "test"].set_index("metric")["value"].to_dict()
    assert test == pytest.approx(finished.metrics["test"])
    assert test["mse"] == pytest.approx(np.mean([test[f"mse_{name}"] for name in ("distance", "perimeter", "area")]))
    row = rows.iloc[0]
    assert (row["model"], row["seed"], row["parameters"], row["num_train"]) == ("eqgat", 0, 27_411, 96)
    assert (row["epochs"], row["batch_size"], row["learning_rate"]) == (3, 16, 1e-2)
    assert str(Path.home()) not in next((store / "triangle").glob("*.csv")).read_text()
    best = min(finished.history, key=lambda record: record["val_mse"])
    assert row["best_epoch"] == best["epoch"]
    assert finished.metrics["val"]["mse"] == best["val_mse"]
    assert len(read_history(finished.folder.name, store)) == 3


def test_the_exported_model_predicts_raw_targets(finished: Run) -> None:
    task = make_task(finished.settings)
    test = task.load(None)["test"]
    batch = task.prepare(test.__getitems__(list(range(len(test)))))
    model = EQGAT.from_pretrained(finished.folder / "model")
    with torch.no_grad():
        error = (model(batch) - batch.y).square().mean()
    assert float(error) == pytest.approx(finished.metrics["test"]["mse"], rel=1e-4)


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


def test_seeds_differ_and_repeat(finished: Run, tmp_path: Path) -> None:
    again = train(settings(), runs=tmp_path)
    other = train(settings(seed=1), runs=tmp_path)
    assert_same_run(again, finished)
    assert other.metrics["test"]["mse"] != finished.metrics["test"]["mse"]
    first, second = make_task(settings()).build(), make_task(settings(seed=1)).build()
    assert not torch.equal(first.embedding.weight, second.embedding.weight)


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    """A real run of two CPU processes (gloo). Float64: Adam turns rounding of a vanishing gradient into a step."""
    chosen = settings(precision="64-true", epochs=2)
    one = train(chosen, runs=tmp_path / "one")
    script = tmp_path / "two.py"
    script.write_text(TRAIN + ", results=sys.argv[2] + '/results', accelerator='cpu', devices=2)")
    done = subprocess.run(
        [sys.executable, str(script), chosen.to_json(), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "triangle" / chosen.run_name(digest(chosen))
    state = torch.load(folder / "last.ckpt", weights_only=True)
    for name, weight in final_state(one)["model"].items():
        torch.testing.assert_close(state["model"][name], weight, rtol=1e-6, atol=1e-8, msg=name)
    record = json.loads((folder / "finished.json").read_text())
    assert record["metrics"]["test"] == pytest.approx(one.metrics["test"], rel=1e-5)
    rows = read_results(tmp_path / "results")
    assert rows["device"].iloc[0].startswith("2 x CPU")
    assert len(rows) == sum(map(len, one.metrics.values()))  # written by one process, once


class Counted(TriangleData):
    """A split that keeps a diary of what is taken from it."""

    diary: list[tuple[str, int]]
    name: str

    def __getitems__(self, indices: list[int]) -> Any:
        self.diary.extend((self.name, index) for index in indices)
        return super().__getitems__(indices)


def test_the_test_set_is_touched_once_and_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diary: list[tuple[str, int]] = []
    load: Callable[..., dict[str, Any]] = Task.load

    def counted(self: Task, folder: str | None) -> dict[str, Any]:
        splits = load(self, folder)
        for name, split in splits.items():
            split.__class__ = Counted
            split.diary, split.name = diary, name
        return splits

    monkeypatch.setattr(Task, "load", counted)
    run = train(settings(epochs=2), runs=tmp_path)
    assert run.finished
    names = [name for name, _ in diary]
    assert names.count("train") == 2 * 96
    assert names.count("val") == 2 * 12
    assert sorted(index for name, index in diary if name == "test") == list(range(12))
    assert set(names[-12:]) == {"test"}
    train(settings(epochs=2), runs=tmp_path)  # finished: no item is read again
    assert len(diary) == len(names)


def test_splits_that_the_task_loads_share_no_structure() -> None:
    splits = make_task(make_settings("triangle", "eqgat", "quick")).load(None)
    clouds = [cloud.numpy().tobytes() for split in splits.values() for cloud in split.pos]
    assert len(clouds) == len(set(clouds)) == 3750


def test_schedules(finished: Run, tmp_path: Path) -> None:
    rates = [record["learning_rate"] for record in train(settings(schedule="cosine"), runs=tmp_path).history]
    assert rates == pytest.approx([1e-2, 0.75e-2, 0.25e-2])
    plateau = [1e-2]
    for before, after in pairwise(record["val_mse"] for record in finished.history[:2]):
        plateau.append(1e-2 if after < before else 0.75e-2)
    assert finished.history[0]["learning_rate"] == 1e-2
    assert [record["learning_rate"] for record in finished.history][1:] == [1e-2, plateau[1]]


def test_every_batch_of_an_epoch_is_drawn_once_whatever_the_number_of_processes() -> None:
    for size, world in ((96, 1), (96, 2), (90, 4), (50, 3)):
        parts = [training_batches(size, 12, seed=3, epoch=1, rank=rank, world=world) for rank in range(world)]
        whole = training_batches(size, 12, seed=3, epoch=1)
        for number, batch in enumerate(whole):
            shared = [index for part in parts for index in part[number]]
            assert set(shared) == set(batch)
            assert len({len(part[number]) for part in parts}) == 1
        assert sorted(chain.from_iterable(whole)) == list(range(size))
        assert training_batches(size, 12, seed=3, epoch=1, skip=2) == whole[2:]
    epochs = {tuple(training_batches(96, 96, seed, epoch)[0]) for seed in (0, 1) for epoch in range(3)}
    assert len(epochs) == 6
    for world in (1, 2, 5):
        parts = [evaluation_batches(23, 4, rank, world) for rank in range(world)]
        flat = [list(chain.from_iterable(part)) for part in parts]
        assert [index for row in zip(*flat, strict=True) for index in row][:23] == list(range(23))


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions(precision: str, tmp_path: Path) -> None:
    run = train(settings(precision=precision, epochs=1), runs=tmp_path)
    assert np.isfinite(run.metrics["test"]["mse"])


@pytest.mark.parametrize("model", ["schnet", "painn", "eqgat-no-cross-product", "eqgat-no-feature-attention"])
def test_every_model_trains_by_the_same_call(model: str, tmp_path: Path) -> None:
    run = train(settings(model, epochs=1), runs=tmp_path)
    assert np.isfinite(run.metrics["test"]["mse"])
    weights = run.folder / ("model" if model.startswith("eqgat") else "model.pt")
    assert weights.exists()
    again = train(settings(model, epochs=1), runs=tmp_path)
    assert same(again.model.state_dict(), run.model.state_dict())
    if weights.is_file():
        weights.write_bytes(b"")
        with pytest.raises(ValueError, match=r"missing or damaged.*model\.pt.*--restart"):
            train(settings(model, epochs=1), runs=tmp_path)


@pytest.mark.parametrize("model", models_of("triangle"))
def test_only_gvp_has_weights_without_gradient(model: str) -> None:
    """Several processes must be told of such weights, or they wait for each other for ever."""
    task = make_task(settings(model))
    batch = task.prepare(task.load(None)["train"].__getitems__([0, 1]))
    network = task.build()
    task.loss(network(batch), batch.y).backward()
    assert (
        any(parameter.grad is None for parameter in network.parameters())
        == getattr(network, "has_unused_weights", False)
        == (model == "gvp")
    )


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


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "mse", lambda prediction, target: prediction.sum() * float("nan"))
    with pytest.raises(ValueError, match="not a number; try a lower learning rate"):
        train(settings(epochs=1), runs=tmp_path)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "triangle",
        "--model",
        "schnet",
        "--size",
        "100",
        "--epochs",
        "1",
        "--seed",
        "3",
        "--runs",
        str(tmp_path / "runs"),
        "--results",
        str(tmp_path / "results"),
    ]
    assert main([*arguments, "--time-limit", "00:00:00"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("triangle: generated data [")
    assert "items: 80 train, 10 val, 10 test; model schnet, profile quick, seed 3, on CPU" in said.splitlines()[0]
    assert "the same command goes on" in said
    assert main(arguments) == 0
    assert "test: mse " in capsys.readouterr().out
    row = read_results(tmp_path / "results").iloc[0]
    assert row["command"] == "eqgat train triangle --model schnet --profile quick --seed 3 --size 100 --epochs 1"


def test_flags_for_several_nodes_reach_lightning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    def instead(**options: Any) -> None:
        seen.update(options)
        raise UserError("far enough")

    monkeypatch.setattr("lightning.Trainer", instead)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "a GPU")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    arguments = [
        "triangle",
        "--size",
        "100",
        "--devices",
        "4",
        "--nodes",
        "2",
        "--precision",
        "bf16-mixed",
        "--accelerator",
        "gpu",
        "--runs",
        str(tmp_path),
    ]
    assert main(arguments) == 2
    assert (seen["devices"], seen["num_nodes"], seen["accelerator"]) == (4, 2, "gpu")
    assert (type(seen["strategy"]), seen["precision"]) == (DDPStrategy, "bf16-mixed")
    assert [type(plugin) for plugin in seen["plugins"]] == [SLURMEnvironment]
    # torchrun's processes, also within a SLURM job, are Lightning's own to find.
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr("torch.distributed.is_torchelastic_launched", lambda: True)
    assert main(arguments) == 2
    assert seen["plugins"] == []
    assert "torchrun" in help_text(capsys)


def help_text(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["square"], "invalid choice: 'square'"),
        (["triangle", "--model", "gnn"], "invalid choice: 'gnn'"),
        (["triangle", "--time-limit", "9 minutes"], "not a time as HH:MM:SS"),
        (["triangle", "--resume", "--restart"], "not allowed with"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--devices", "3"], "cannot be shared by 3 x 1 devices"),
        (["--seed", "-1"], "seed must not be negative"),
        (["--epochs", "0"], "epochs must be positive"),
        (["--size", "0"], "at least 1"),
    ],
)
def test_settings_without_sense(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["triangle", "--runs", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_nothing_is_said_without_need(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    train(settings("schnet", epochs=1), runs=tmp_path)
    assert [str(warning.message) for warning in recwarn] == []
    assert capfd.readouterr() == ("", "")


def test_the_recorded_command_gives_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = make_settings(
        "res",
        seed=1,
        epochs=2,
        schedule="cosine",
        data_options={"radius": 9.0},
        model_options={"num_layers": 3, "norm": "equivariant", "cross_product": None},
    )
    assert "--option radius=9.0" in changed.command
    assert "--model-option norm=equivariant --model-option num_layers=3" in changed.command
    seen = []

    def instead(settings, **options):
        seen.append(settings)
        raise UserError("far enough")

    monkeypatch.setattr("eqgat.training.run.train", instead)
    assert main(changed.command.split()[2:]) == 2
    assert seen == [changed]


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


def test_a_missing_data_folder_is_found_before_anything_is_said(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = finished.folder.parents[1]
    for task in ("triangle", "lba"):
        assert main([task, "--data", str(tmp_path / "nowhere"), "--runs", str(runs)]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert "there is no folder" in said.err


def test_predictions_are_kept(finished: Run) -> None:
    """In the store, in the folder of the run and when it is read again; the metrics follow from them."""
    store = finished.folder.parents[2] / "results"
    kept = read_predictions(finished.folder.name, store)
    again = train(finished.settings, runs=finished.folder.parents[1])
    for table in (kept, again.predictions):
        assert len(table) == 12
        error = [(table[f"prediction_{k}"] - table[f"target_{k}"]).pow(2).mean() for k in range(3)]
        assert np.mean(error) == pytest.approx(finished.metrics["test"]["mse"], rel=1e-4)


def test_a_time_limit_after_an_epoch_gives_what_is_known(finished: Run, tmp_path: Path) -> None:
    chosen, run = finished.settings, None
    while run is None or not run.history:
        run = train(chosen, runs=tmp_path, time_limit=0.0)
    assert not run.finished
    assert run.metrics == {"val": {k.removeprefix("val_"): v for k, v in run.history[0].items() if "val_" in k}}


def test_the_best_epoch_can_be_chosen_by_another_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(settings(monitor="mse_distance"), runs=tmp_path)
    best = min(run.history, key=lambda record: record["val_mse_distance"])
    assert run.metrics["val"]["mse_distance"] == best["val_mse_distance"]
    assert main(["triangle", "--monitor", "spearman"]) == 2
    assert "monitor must be one of mse, mse_distance" in capsys.readouterr().err


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


def test_a_standardised_readout_is_part_of_the_exported_model_and_of_the_checkpoint(tmp_path: Path) -> None:
    chosen = settings(standardise_readout=True)
    whole = train(chosen, runs=tmp_path / "whole", progress=False)
    task = make_task(chosen)
    test = task.load(None)["test"]
    assert set(whole.model.state_dict()) == set(task.build().state_dict())
    with torch.no_grad():
        prediction = whole.model(task.prepare(task.collate([test[k] for k in range(len(test))])))
    kept = whole.predictions[[f"prediction_{k}" for k in range(3)]].to_numpy()
    np.testing.assert_allclose(prediction.numpy(), kept, rtol=1e-3, atol=1e-4)
    assert train(chosen, runs=tmp_path / "parts", progress=False, time_limit=0).finished is False
    parts = train(chosen, runs=tmp_path / "parts", progress=False)
    assert_same_run(whole, parts)


def test_kept_statistics_of_the_readout_are_those_of_the_present_weights(tmp_path: Path) -> None:
    """Running statistics are of weights some steps ago: at a high rate, validation then saw numbers of no use."""
    norm = ReadoutNorm(torch.nn.Linear(2, 1)).eval()
    batches = torch.tensor([[[0.0, 5.0], [2.0, 1.0]], [[4.0, 3.0], [6.0, 3.0]]])
    norm(100 + batches[0])
    with norm.measure():
        for batch in batches:
            norm(batch)
    torch.testing.assert_close(norm(batches[0])[0], torch.tensor([-3 / (2 + 1e-5) ** 0.5, 2 / (4 + 1e-5) ** 0.5]))
    run = train(settings(standardise_readout=True, epochs=2), runs=tmp_path, progress=False)
    state = read_checkpoint(run.folder / "last.ckpt", run.settings.to_json(), run.data)
    measured = -(
        -min(run.settings.data_options["n"] * 8 // 10, 16 * run.settings.batch_size) // run.settings.batch_size
    )
    assert int(state["model"]["readout_norm.norm.num_batches_tracked"]) == measured
