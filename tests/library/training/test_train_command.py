"""``eqgat train``: what it says, what it refuses, and the command that it writes down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy
from tiny_runs import settings

from eqgat.cli import main as command
from eqgat.errors import UserError
from eqgat.training import make_settings, read_results
from eqgat.training.run import Run, train


def main(arguments: list[str]) -> int:
    return command(["train", *arguments])


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
        (["--learning-rat", "0.1", "triangle"], "there is no option --learning-rat; is --learning-rate meant?"),
        (["triangle", "--Epochs", "3"], "there is no option --Epochs; is --epochs meant?"),
        (["triangle", "--epoch=3"], "there is no option --epoch; is --epochs meant?"),
        (["triangle", "--modeloption", "a=1"], "there is no option --modeloption; is --model-option meant?"),
        (["triangle", "--zzz"], "there is no option --zzz; eqgat train --help"),
        (["triangle", "--time-limit", "9 minutes"], "not a time as HH:MM:SS"),
        (["triangle", "--resume", "--restart"], "not allowed with"),
        (["triangle", "--accelerator", "tpu"], "there is no tpu on this machine; try --accelerator cpu"),
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


def test_a_missing_data_folder_is_found_before_anything_is_said(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = finished.folder.parents[1]
    for task in ("triangle", "lba"):
        assert main([task, "--data", str(tmp_path / "nowhere"), "--runs", str(runs)]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert "there is no folder" in said.err
