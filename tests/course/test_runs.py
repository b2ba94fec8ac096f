"""A plan of runs: what is in it, what the store lacks of it, and that it goes on after whatever stopped it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eqgat.cli import main
from eqgat.errors import UserError
from eqgat.training import make_settings, read_results
from eqgat.training.cli import _parser
from eqgat.training.results import COLUMNS
from eqgat.training.run import train
from eqgat_course.experiments.plans import PlannedRun, plan_names, read_plan
from eqgat_course.experiments.running import _time_left, missing_runs, run_plan
from eqgat_course.experiments.tables import plans_page

TINY = {"n": 40, "num_points": 6, "radius": 4.6}
PART = """
[[runs]]
task = "triangle"
models = ["schnet"]
epochs = 1
data_options = { n = 40, num_points = 6, radius = 4.6 }
"""


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQGAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def write_plan(folder: Path, text: str) -> str:
    file = folder / "tiny.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def run(folder: Path, plan: str, *more: str) -> int:
    return main(["runs", "--plan", plan, "--runs", f"{folder}/runs", "--results", f"{folder}/results", *more])


def test_every_plan_of_the_suite_is_one_of_commands_that_train_takes() -> None:
    for name in plan_names():
        plan = read_plan(name)
        assert plan.about
        for planned in plan.runs:
            options = _parser().parse_args(planned.arguments(Path("/data"))[1:])
            assert options.no_test is not planned.test
            assert (options.data is None) is (planned.data == "")


def test_the_plans_ask_for_what_they_say() -> None:
    ablations = read_plan("ablations").runs
    plain = [planned for planned in ablations if not planned.settings.changed]
    assert {planned.settings.seed for planned in plain} == set(range(20))
    assert len(plain) == 60
    assert any(planned.settings.model_options["norm"] is None for planned in ablations)
    rates = read_plan("triangle-cpu-rates").runs
    assert {planned.settings.seed for planned in rates} == {10}
    assert not any(planned.test for planned in rates)
    standard = [planned.settings for planned in rates if planned.settings.standardise_readout]
    assert len(rates) == len(standard) + 1  # what the profile would do without
    tried = pd.DataFrame(
        [(settings.model, settings.learning_rate, settings.epochs) for settings in standard],
        columns=["model", "rate", "epochs"],
    ).groupby("model")
    assert len(set(tried["rate"].apply(lambda r: tuple(sorted(r))))) == 1  # the same effort for each
    assert set(tried.groups) == {planned.settings.model for planned in read_plan("triangle-cpu").runs}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about =", "not a plan in TOML"),
        ('about = "empty"', "has no runs"),
        ("[[runs]]\nmodels = []\nseeds = 1", "part 1: task is missing"),
        (PART + "seeds = 1\nspeed = 3", "part 1: unknown speed; there are task, models"),
        (PART + "seeds = 1\ngradient_clip = 3", "part 1: unknown gradient_clip"),
        (PART + 'seeds = "all"', "part 1: seeds cannot be 'all'"),
        (PART + "seeds = [-1]", "part 1: seed must not be negative"),
        (PART.replace("schnet", "shcnet") + "seeds = 1", "part 1: unknown model 'shcnet'"),
        (PART + "seeds = 1\nmodel_options = [3]", "model_options must be a table, or a list of tables; got 3"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_reason(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_plan(write_plan(tmp_path, text))


def test_unknown_plans_and_missing_data_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "ablation") == 2
    assert "unknown plan 'ablation'; there are ablations, atom3d" in capsys.readouterr().err
    assert run(tmp_path, "other.toml") == 2
    assert "there is no plan other.toml" in capsys.readouterr().err
    assert run(tmp_path, "atom3d", "--dry-run") == 2
    assert "needs --data-root DIR, a folder with lba, ppi_large, psr, rsr in it" in capsys.readouterr().err
    assert run(tmp_path, "ablations", "--workers", "0") == 2


def test_a_dry_run_starts_nothing_and_commands_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = write_plan(tmp_path, PART + "seeds = 2\nlearning_rate = [1e-3, 3e-3]\ntest = false")
    assert run(tmp_path, plan, "--dry-run") == 0
    said = capsys.readouterr()
    assert len(said.out.split()) == 4
    assert "4 of 4 runs are not in the store" in said.err
    assert not (tmp_path / "runs").exists()
    assert run(tmp_path, plan, "--print-commands") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    options = _parser().parse_args(shlex.split(lines[1])[2:])  # the default rate of the profile is 3e-3
    assert (options.model, options.size, options.no_test) == ("schnet", 40, True)
    assert {word for line in lines for word in shlex.split(line) if word.startswith("0.00")} == {"0.001"}


def test_a_plan_runs_what_the_store_lacks_and_a_failing_run_harms_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowded = PART.replace("num_points = 6", "num_points = 900") + "seeds = 1"  # do not fit into the ball
    plan = write_plan(tmp_path, crowded + PART + "seeds = 2")
    first = PlannedRun(make_settings("triangle", "schnet", epochs=1, data_options=TINY))
    train(first.settings, runs=tmp_path / "runs", results=tmp_path / "results", progress=False)
    assert run(tmp_path, plan, "--workers", "2") == 1
    said = capsys.readouterr()
    assert "1 runs were in the store, 1 finished, 1 failed" in said.out
    assert "do not fit into a ball" in said.out
    rows = read_results(tmp_path / "results")
    assert set(rows.loc[rows["split"] == "test", "seed"]) == {0, 1}
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "results").rglob("*.csv")}
    assert run(tmp_path, plan) == 1  # the finished ones are not repeated, the failing one is tried again
    assert "2 runs were in the store, 0 finished, 1 failed" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "results").rglob("*.csv")} == before

    for file in (tmp_path / "results").rglob("*"):  # of a finished run whose rows were lost, they are written again
        if file.is_file():
            file.unlink()
    tiny = read_plan(write_plan(tmp_path, PART + "seeds = 1"))
    assert run_plan(tiny, store=tmp_path / "results", runs=tmp_path / "runs").finished == [first.name]
    again = read_results(tmp_path / "results")
    assert again.equals(rows[rows["seed"] == 0].reset_index(drop=True))


def test_runs_with_other_values_of_the_profile_do_not_count(tmp_path: Path) -> None:
    settings = make_settings("triangle", "schnet", epochs=1, data_options=TINY)
    train(settings, runs=tmp_path / "runs", results=tmp_path / "results", progress=False)
    plan = write_plan(tmp_path, PART + "seeds = 1")
    for column, value, lacks in (("value", 0.5, 0), ("learning_rate", 0.5, 1), ("parameters", 5, 1)):
        file = next((tmp_path / "results").rglob("*-data??????????.csv"))
        rows = pd.read_csv(file)
        rows[column] = value
        rows.to_csv(file, index=False)
        next((tmp_path / "results").rglob("*.sha256"), tmp_path / "none").unlink(missing_ok=True)
        assert len(missing_runs(read_plan(plan), tmp_path / "results", None)) == lacks, column


def test_a_killed_plan_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, PART.replace("epochs = 1", "epochs = 400") + "seeds = 1")
    command = [sys.executable, "-m", "eqgat", "runs", "--plan", plan, "--accelerator", "cpu"]
    command += ["--runs", f"{tmp_path}/runs", "--results", f"{tmp_path}/results"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 300
        while not (found := list((tmp_path / "runs").rglob("last.ckpt"))) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert found
        busy = run_plan(read_plan(plan), store=tmp_path / "results", runs=tmp_path / "runs")
        assert len(busy.elsewhere) == 1  # a second call leaves the run to the first
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not list((tmp_path / "results").rglob("*.csv"))
    outcome = run_plan(read_plan(plan), store=tmp_path / "results", runs=tmp_path / "runs", time_limit=2)
    assert len(outcome.unfinished) == 1
    log = next((tmp_path / "runs" / "logs").iterdir()).read_text()
    epochs = [int(line.split()[1]) for line in log.splitlines() if line.startswith("epoch ")]
    assert epochs == list(range(1, len(epochs) + 1))  # none was done twice


def test_the_time_left_comes_from_like_runs() -> None:
    row = dict.fromkeys(COLUMNS, "") | {"task": "triangle", "model": "eqgat", "profile": "quick", "seconds": 70.0}
    results = pd.DataFrame([row | {"epochs": 7, "seed": seed} for seed in range(3)])
    waiting = [PlannedRun(make_settings("triangle", "eqgat", seed=seed)) for seed in range(3, 7)]
    assert _time_left(waiting, [], results, 2) == "; 4 left, about 2 min"
    assert _time_left(waiting, [], results.iloc[:0], 2) == "; 4 left"
    assert _time_left([], [], results, 2) == ""


def test_the_page_of_plans_counts_what_is_in_the_store(tmp_path: Path) -> None:
    page = plans_page(read_results(tmp_path))
    assert page.count("`eqgat runs --plan") == len(plan_names())
    assert "| 3 | `eqgat runs --plan table3` | 21 | 0 |" in page
