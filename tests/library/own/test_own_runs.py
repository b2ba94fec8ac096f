"""From own data to a trained model, from Python and from the command line."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_items import NAMES, SMALL, write

from eqgat.cli import main
from eqgat.errors import UserError
from eqgat.files import write_checked
from eqgat.training import load_trained, own_settings, read_predictions
from eqgat.training.intervals import cluster_interval
from eqgat.training.run import train


def test_a_run_says_what_it_trains_on_and_keeps_its_test_predictions(trained: Any, folder: Path) -> None:
    run, place, said = trained
    assert said[0].startswith("own: own labels: value of 80 residues of 8 structures (residues.csv)")
    assert "items: 40 train, 20 val, 20 test; model eqgat, profile quick, seed 0, on CPU" in said[0]
    stored = read_predictions(run.folder.name, place / "results")
    assert stored["id"].tolist() == run.predictions["id"].tolist()
    assert set(stored["group"]) == {"2va0A", "1mr1D"}
    low, high = cluster_interval([run.predictions], "rmse") or (0, 0)
    assert low <= run.metrics["test"]["rmse"] <= high


def test_the_same_run_goes_on_and_is_found_again(trained: Any, folder: Path, tmp_path: Path) -> None:
    run, _, _ = trained
    data = str(folder / "structures")
    first = train(run.settings, data=data, runs=tmp_path, time_limit=0)
    assert not first.finished
    second = train(run.settings, data=data, runs=tmp_path)
    assert second.metrics == run.metrics
    third = train(run.settings, data=data, runs=tmp_path)
    assert third.finished
    assert third.predictions is not None


def test_predictions_of_structures_with_names_like_numbers_are_read_back(folder: Path, tmp_path: Path) -> None:
    parts = {"a": "train", "b": "train", "c": "val", "0012": "test", "NA": "test", "1e10": "test"}
    for name, source in zip(parts, NAMES, strict=False):
        shutil.copyfile(folder / "structures" / f"{source}.pdb", tmp_path / f"{name}.pdb")
    rows = [f"{name},{number},{split}\n" for number, (name, split) in enumerate(parts.items())]
    settings = own_settings(write(tmp_path, "structure,y,split\n" + "".join(rows)), "y", epochs=1, model_options=SMALL)
    run = train(settings, data=str(tmp_path), runs=tmp_path / "runs", results=tmp_path / "results")
    stored = read_predictions(run.folder.name, tmp_path / "results")
    assert stored["id"].tolist() == stored["group"].tolist() == ["0012", "NA", "1e10"]


def test_training_stops_when_nothing_gets_better(folder: Path, tmp_path: Path) -> None:
    # A rate of 1e-12 changes nothing, so that no epoch is better than the first.
    settings = own_settings(
        folder / "whole.csv", "atoms", epochs=9, stop_after=2, learning_rate=1e-12, model_options=SMALL,
        data_options={"split": "part"}, schedule="plateau", standardise_readout=False,
    )  # fmt: skip
    run = train(settings, data=str(folder / "structures"), runs=tmp_path, test=False)
    assert run.trained
    assert len(run.history) == 3
    assert train(settings, data=str(folder / "structures"), runs=tmp_path).finished
    with pytest.raises(UserError, match="stop_after must not be negative"):
        own_settings(folder / "whole.csv", "atoms", stop_after=-1)


def test_classes_of_structures_from_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = ["--structures", str(folder / "structures"), "--labels", str(folder / "whole.csv")]
    small = [word for name, value in SMALL.items() for word in ("--model-option", f"{name}={value}")]
    train_it = ["train", *own, "--target", "kind", "--classes", "--split", "part", "--epochs", "1", *small]
    assert main(train_it) == 0
    said = capsys.readouterr()
    assert "own-classes: own labels: kind of 8 structures (whole.csv)" in said.err
    assert "accuracy" in said.out
    (run,) = Path("runs/own-classes").iterdir()
    assert main(["predict", str(run), str(folder / "structures"), "-o", "out.csv"]) == 0
    table = pd.read_csv("out.csv")
    assert set(table["prediction"]) <= {"long", "short"}
    assert np.allclose(table["p_long"] + table["p_short"], 1, atol=1e-5)
    assert main(["evaluate", str(run), *own, "--split", "test", "-o", "tested"]) == 0
    assert {file.name for file in Path("tested").iterdir()} == {
        "predictions.csv", "metrics.csv", "evaluation.png", "evaluation.svg"
    }  # fmt: skip
    rows = pd.read_csv("tested/predictions.csv")
    assert {"target_class", "predicted_class", "prediction_0", "prediction_1"} <= set(rows)
    command = shlex.split(load_trained(run).settings.command)
    assert "--classes" in command
    assert "readout" not in " ".join(command)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate res --task lba", "this is a model of res"),
        ("evaluate res --structures {s} --labels {w}", "cannot be tested on a table"),
        ("evaluate res --structures {s} --task res", "not both"),
        ("evaluate nowhere", "there is no model in 'nowhere'"),
        ("evaluate res --structures nowhere", "there is no folder 'nowhere'"),
        ("predict res nowhere.pdb", "there is no structure file or folder"),
        ("predict res {s} -o {s}", "is a folder; give the name of a file"),
        ("predict res {s} -o {s}/1lpbA.pdb", "1lpbA.pdb would be written over what is read"),
        ("predict res {s}/1lpbA.pdb -o {s}/../structures/1lpbA.pdb", "would be written over what is read"),
        ("predict res {s} -o model/weights.pt", "weights.pt is kept with a checksum"),
        ("predict res {s} -o a\0.csv", "has a null character in its name"),
        ("evaluate res --labels predictions.csv --out .", "predictions.csv would be written over what is read"),
        ("train", "name a task, or give your own data"),
        ("train own", "name a task, or give your own data"),
        ("train lba --labels {w}", "go with own data"),
        ("train lba --structures {s}", "with a table of labels, or for res"),
        ("train res --structures {s} --labels {w} --target atoms", "res needs no labels"),
        ("train --structures {s}", "--labels FILE --target COLUMN"),
        ("train --structures {s} --labels {w} --target kind", "is no number"),
        ("train --structures {s} --labels {w} --target atoms --data {s}", "takes the place of --data"),
        ("train --structures nowhere --labels {w} --target atoms", r"no folder 'nowhere' \(--structures\)"),
        ("train --structures {s} --labels {w} --target atoms --from nowhere", "there is no model in"),
        ("train --structures {s} --labels {w} --target atoms --option shares=[1]", "shares must be three"),
        ("train --structures {s} --labels {w} --target atoms --option shares=[NaN,1,1]", "shares must be three"),
        ("train --structures {s} --labels {w} --target atoms --model-option out_channels=2", "out_channels must be 1"),
        ("train --structures {s} --labels {w} --target kind --classes --model-option readout=node", "must be 'graph'"),
        ("train res --structures {s} --model-option out_channels=5", "out_channels must be 20 for own-res"),
        ("train --structures {s} --labels {w} --target atoms --option target=kind", "target follows from the table"),
        (
            "train --structures {s} --labels {w} --target atoms --split part --option split=random",
            "split is given twice",
        ),
        (
            "train --structures {s} --labels {w} --target atoms --option split_seed=-1",
            "split_seed must not be negative",
        ),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_line(
    folder: Path,
    words: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("predictions.csv").touch()
    write_checked("model/weights.pt", "a model")
    line = words.format(s=folder / "structures", w=folder / "whole.csv").split()
    assert main(line) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert re.search(said, error)
