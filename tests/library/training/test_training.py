"""Training that can be trusted: it learns, repeats, shares out over processes, and tests once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import DATA, TRAIN, assert_same_run, digest, final_state, same, settings

from eqgat import EQGAT
from eqgat.cli import main
from eqgat.datasets.triangle import TriangleData
from eqgat.errors import UserError
from eqgat.training import make_settings, read_history, read_predictions, read_results
from eqgat.training.checkpoint import read_checkpoint
from eqgat.training.engine import evaluation_batches, training_batches
from eqgat.training.run import Run, train
from eqgat.training.settings import models_of
from eqgat.training.tasks import LOSSES, ReadoutNorm, Task, make_task


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


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "mse", lambda prediction, target: prediction.sum() * float("nan"))
    with pytest.raises(ValueError, match="not a number; try a lower learning rate"):
        train(settings(epochs=1), runs=tmp_path)


def test_a_run_without_any_validation_metric_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqgat.training.tasks.Task.metrics", lambda *arguments: {"mse": float("nan")})
    with pytest.raises(UserError, match=r"no epoch had a validation mse that is a number.*try a lower learning rate"):
        train(settings(epochs=1), runs=tmp_path)


def test_predictions_are_kept(finished: Run) -> None:
    """In the store, in the folder of the run and when it is read again; the metrics follow from them."""
    store = finished.folder.parents[2] / "results"
    kept = read_predictions(finished.folder.name, store)
    again = train(finished.settings, runs=finished.folder.parents[1])
    for table in (kept, again.predictions):
        assert len(table) == 12
        error = [(table[f"prediction_{k}"] - table[f"target_{k}"]).pow(2).mean() for k in range(3)]
        assert np.mean(error) == pytest.approx(finished.metrics["test"]["mse"], rel=1e-4)


def test_the_best_epoch_can_be_chosen_by_another_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(settings(monitor="mse_distance"), runs=tmp_path)
    best = min(run.history, key=lambda record: record["val_mse_distance"])
    assert run.metrics["val"]["mse_distance"] == best["val_mse_distance"]
    assert main(["train", "triangle", "--monitor", "spearman"]) == 2
    assert "monitor must be one of mse, mse_distance" in capsys.readouterr().err


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
