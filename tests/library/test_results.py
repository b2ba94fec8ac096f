"""The results store, and the settings of runs."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from stored_rows import add, common

from eqgat.datasets.task import TASKS
from eqgat.errors import UserError
from eqgat.training import build_model, make_settings, read_history, read_results
from eqgat.training.results import COLUMNS, git_commit, package_versions, write_results
from eqgat.training.settings import MODELS, models_of, num_parameters


def test_rows_come_back(tmp_path: Path) -> None:
    assert read_results(tmp_path).empty
    add(tmp_path, 6.5, variant="", changed='{"epochs": 2}')
    rows = read_results(tmp_path)
    assert list(rows.columns) == list(COLUMNS)
    assert rows[(rows["split"] == "test") & (rows["metric"] == "mse")]["value"].tolist() == [6.5]
    assert rows["variant"].tolist() == [""] * 3
    assert rows["changed"].tolist() == ['{"epochs": 2}'] * 3
    assert read_results(tmp_path, task="lba").empty
    assert read_history('triangle-eqgat-full-0-a GPU-{"epochs": 2}', tmp_path)["train_loss"].tolist() == [1.0]
    with pytest.raises(FileNotFoundError, match="no run 'x'"):
        read_history("x", tmp_path)


def test_a_damaged_file_is_noticed(tmp_path: Path) -> None:
    """A number that is cut off is a number still; a changed digit too."""
    file = add(tmp_path, 77.74)
    good = file.read_text()
    for bad in (good[: good.index("77.74") + 3], good.replace("77.74", "77.75"), ""):
        file.write_text(bad)
        with pytest.raises(UserError, match=r"cannot be read .*damaged.* run the training again"):
            read_results(tmp_path)
    file.write_text(good)
    curve = next((tmp_path / "triangle").glob("*.history.csv"))
    curve.write_text(curve.read_text().replace("1.0", "1"))
    with pytest.raises(UserError, match="damaged"):
        read_history(curve.name.removesuffix(".history.csv"), tmp_path)


def test_a_full_disk_leaves_the_old_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, 6.5)
    before = {file: file.read_bytes() for file in (tmp_path / "triangle").iterdir()}
    for allowed in range(3):  # rows, learning curve, checksums
        calls = iter(range(10))

        def fsync(_: int, calls: Iterator[int] = calls, allowed: int = allowed) -> None:
            if next(calls) == allowed:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", fsync)
            with pytest.raises(UserError, match=r"the disk is full: .* Make room for .* more"):
                add(tmp_path, 7.5)
        assert {file: file.read_bytes() for file in (tmp_path / "triangle").iterdir()} == before


def test_a_repeated_run_replaces_its_rows(tmp_path: Path) -> None:
    add(tmp_path, 6.5)
    add(tmp_path, 7.5)
    assert read_results(tmp_path)["value"].tolist() == [7.5, 22.5, -1.0]


def _add_seed(folder: Path, seed: int) -> None:
    add(folder, float(seed), seed=seed)


def test_parallel_runs_keep_all_rows(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_add_seed, [tmp_path] * 12, range(12)))
    rows = read_results(tmp_path)
    assert sorted(rows[(rows["metric"] == "mse") & (rows["split"] == "test")]["seed"]) == list(range(12))
    assert not list(tmp_path.rglob("*.partial"))


def test_wrong_columns_and_foreign_files_are_named(tmp_path: Path) -> None:
    values = common()
    del values["device"]
    with pytest.raises(ValueError, match="device"):
        write_results(tmp_path, "x", values, {"test": {"mse": 1.0}}, [])
    (tmp_path / "triangle").mkdir(exist_ok=True)
    (tmp_path / "triangle" / "foreign.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"foreign\.csv is not a results file"):
        read_results(tmp_path)


def test_provenance_is_recorded() -> None:
    assert "torch " in package_versions()
    assert git_commit() == "" or len(git_commit().rstrip("+")) == 12


@pytest.mark.parametrize(
    ("model", "count"),
    [
        ("schnet", 16_803),
        ("painn", 27_147),
        ("gvp", 61_577),
        ("segnn", 60_965),
        ("eqgat", 27_411),
        ("eqgat-no-cross-product", 26_883),
        ("eqgat-no-feature-attention", 24_342),
    ],
)
def test_settings_build_the_models_of_table_3(model: str, count: int) -> None:
    for profile in ("quick", "full"):
        assert num_parameters(build_model(make_settings("triangle", model, profile))) == count


def test_full_triangle_settings_are_the_papers() -> None:
    settings = make_settings("triangle", "eqgat", "full")
    assert (settings.epochs, settings.data_options["n"], settings.data_options["num_points"]) == (50, 50_000, 100)
    assert settings.model_options["cutoff"] == 10.0
    assert not settings.standardise
    quick = TASKS["triangle"].profiles["quick"]["data_options"]
    assert quick["num_points"] / quick["radius"] ** 3 == pytest.approx(100 / 10**3, rel=1e-3)  # the same density


def test_all_models_of_a_task_train_alike() -> None:
    """But for the learning rates of the quick Triangle profile; variants have EQGAT's."""
    for task in TASKS:
        for profile in TASKS[task].profiles:
            free = ("model", "model_options", *(["learning_rate"] if (task, profile) == ("triangle", "quick") else []))
            alike = {
                json.dumps(
                    {
                        k: v
                        for k, v in json.loads(make_settings(task, model, profile).to_json()).items()
                        if k not in free
                    }
                )
                for model in models_of(task)
                if model not in ("cnn3d", "gcn")
            }  # ATOM3D's baselines trained in their own way
            assert len(alike) == 1
    assert len({make_settings("triangle", model, "quick").learning_rate for model in MODELS if "eqgat" in model}) == 1


def test_changed_settings_are_another_run() -> None:
    plain, changed = make_settings("triangle"), make_settings("triangle", epochs=2)
    assert plain.changed == ""
    assert json.loads(changed.changed) == {"epochs": 2}
    assert plain.run_id != changed.run_id
    assert make_settings("triangle", epochs=plain.epochs).run_id == plain.run_id
    assert changed.command.endswith("--seed 0 --epochs 2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "square"}, "unknown task 'square'"),
        ({"task": "triangle", "model": "gnn"}, "unknown model 'gnn'"),
        ({"task": "triangle", "profile": "slow"}, "unknown profile"),
        ({"task": "triangle", "epochs": 0}, "epochs must be"),
        ({"task": "triangle", "rate": 1.0}, "unknown settings"),
        ({"task": "triangle", "seed": -1}, "seed must not"),
        ({"task": "triangle", "precision": "8"}, "precision must be"),
    ],
)
def test_settings_without_sense(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_settings(**arguments)
