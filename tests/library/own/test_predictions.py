"""Predictions of a trained model for own structures, their evaluation, and its picture."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from own_items import NAMES, SMALL

from eqgat import EQGAT
from eqgat.datasets import embedded_path, embedded_structure
from eqgat.datasets.own import load_residues, load_table
from eqgat.errors import UserError
from eqgat.files import write_checked
from eqgat.structures import read_structure
from eqgat.training import evaluate, own_settings, predict
from eqgat.training.evaluation import load_trained
from eqgat.training.tasks import make_task
from eqgat.viz.evaluation import calibration, evaluation_figure
from eqgat.viz.style import as_files


def with_insertion_code(folder: Path) -> Path:
    """5pti, whose prolines 8 and 9 are called 8 and 8A."""
    lines = embedded_structure("5pti", hetero=False).to_pdb().splitlines()
    file = folder / "5pti.pdb"
    file.write_text("\n".join(line[:22] + "   8A" + line[27:] if line[22:27] == "   9 " else line for line in lines))
    return file


def test_residue_identity_tells_a_residue_from_the_one_inserted_behind_it(tmp_path: Path) -> None:
    usual, _ = predict("res", [embedded_path("5pti")])
    table, told = predict("res", [with_insertion_code(tmp_path)])
    assert told == {}
    names = list(zip(table["residue"], table["insertion_code"], table["resname"], strict=True))
    assert names[7:9] == [(8, "", "PRO"), (8, "A", "PRO")]
    assert table["prediction"].equals(usual["prediction"])
    (tmp_path / "a.pdb").symlink_to("5pti.pdb")
    (tmp_path / "b.pdb").symlink_to("5pti.pdb")
    part = load_residues(str(tmp_path), whole=True)["all"]
    assert len(part) == len(set(part.names)) == 3 * len(table)
    assert "5pti/A_8A_PRO" in part.names


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text")
def test_a_name_of_other_bytes_than_text_is_read_as_far_as_it_is_text(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in (b"caf\xe9.pdb", b"\xe9.txt"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_text(embedded_structure("5pti").to_pdb())
    table, told = predict("res", [tmp_path])
    assert set(table["structure"]) == {"caf\ufffd"}
    assert list(told) == [str(tmp_path)]
    assert len(load_residues(str(tmp_path), whole=True, environments=3)["all"]) == 3
    file = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.pdb")
    assert read_structure(file).name == "caf\ufffd"
    done = subprocess.run([sys.executable, "-m", "eqgat", "predict", "res", file, "-o", f"{file}.csv"], check=False)
    assert (done.returncode, capfd.readouterr().out) == (
        0, f"58 predictions for 1 structures are in {tmp_path}/caf?.pdb.csv\n"
    )  # fmt: skip


def test_predictions_of_the_saved_model_are_those_of_the_test(trained: Any, folder: Path) -> None:
    run, _, _ = trained
    table, told = predict(run.folder, [folder / "structures"])
    assert list(told.values()) == ["1 files or folders in it that are no structure files (first: notes.txt)"]
    assert len(table) == 80
    names = table["structure"] + "/" + table["chain"] + "/" + table["residue"].astype(str) + table["insertion_code"]
    ours = table.set_index(names)["prediction"][run.predictions["id"]]
    assert np.allclose(ours, run.predictions["prediction"], atol=1e-5)


def test_residues_without_a_row_are_counted_and_a_chain_may_have_no_name(
    trained: Any, folder: Path, tmp_path: Path
) -> None:
    run, _, _ = trained
    lines = (folder / "structures" / "2xcjA.pdb").read_text().splitlines()
    kept = [
        line for line in lines if line.startswith("ATOM") and line[12:16] + line[22:26] not in (" CA    5", " CA    6")
    ]
    (tmp_path / "a.pdb").write_text("\n".join(f"{line[:21]} {line[22:]}" for line in kept))
    for source, why in ((run.folder, "a residue with a CA"), ("res", "one of the 20 amino acids with N, CA, C and O")):
        table, told = predict(source, [tmp_path / "a.pdb"])
        assert (len(table), set(table["chain"])) == (8, {""})
        assert told["a"].startswith(f"2 residues have no row: none is {why}")


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("settings.json", lambda text: text.replace(b"{", b'{"future": 3, ', 1), "'future'"),
        ("settings.json", lambda text: text.replace(b'"epochs"', b'"seed"'), "'epochs'"),
        ("settings.json", lambda text: text.replace(b'"num_layers": 1', b'"num_layers": 2'), "Missing key"),
        ("settings.json", lambda text: text.replace(b'"own"', b'"new"'), "'new'"),
        ("settings.json", lambda text: b"[1]", "not list"),
        ("settings.json", lambda text: b"\xff", "decode"),
        ("weights.pt", lambda text: b"", "EOFError"),
        ("weights.pt", lambda text: pickle.dumps(Path(), 2), "UnpicklingError"),
    ],
)
def test_a_model_of_another_version_is_told_by_its_files(
    trained: Any, tmp_path: Path, name: str, change: Callable[[bytes], bytes], why: str
) -> None:
    shutil.copytree(trained[0].folder / "model", tmp_path / "mine")
    write_checked(tmp_path / "mine" / name, change((tmp_path / "mine" / name).read_bytes()))
    with pytest.raises(UserError, match=rf"(?s)mine was written by another version of this package \(.*{why}.*train"):
        load_trained(tmp_path / "mine")


def test_answers_that_are_no_numbers_are_refused(trained: Any, folder: Path) -> None:
    broken = load_trained(trained[0].folder)
    broken.model.get_parameter("head.0.weight").data[0, 0] = float("nan")
    file = folder / "structures" / f"{NAMES[0]}.pdb"
    with pytest.raises(
        UserError, match=r"10 of 10 answers of the model are no finite numbers.*train again with a lower"
    ):
        predict(broken, [file])


@pytest.mark.parametrize("places", [(0.0, 0.0, 0.0), (0.0, 1.4, 2.8)], ids=["one place", "a line"])
@pytest.mark.filterwarnings("error")
def test_a_residue_without_a_frame_is_left_out_alone(tmp_path: Path, places: tuple[float, ...]) -> None:
    molecule = embedded_structure("5pti", hetero=False)
    positions = molecule.positions.copy()
    for name, x in zip(("N", "CA", "C"), places, strict=True):
        positions[molecule.find_atom("A", 30, name)] = (x, 0, 0)
    (tmp_path / "a.pdb").write_text(molecule.with_positions(positions).to_pdb())
    table, told = predict("res", [tmp_path / "a.pdb", embedded_path("5pti")])
    assert sorted(set(range(1, 59)) - set(table["residue"][table["structure"] == "a"])) == [30]
    assert len(table) == 57 + 58
    assert told["a"].startswith("1 residues have no row: none is one of the 20 amino acids with N, CA, C and O, and N,")
    assert len(load_residues(str(tmp_path), whole=True)["all"]) == 57


def test_an_evaluation_of_one_part_says_what_the_table_lacks(trained: Any, folder: Path, tmp_path: Path) -> None:
    run, _, _ = trained
    table = tmp_path / "table.csv"
    table.write_text((folder / "residues.csv").read_text() + "lost,A,1,1,train\n")
    found = evaluate(run.folder, structures=folder / "structures", labels=table, split="test")
    assert (len(found.predictions), found.told) == (
        20, "left out: 1 structures of the table without a file (first: lost)"
    )  # fmt: skip


@pytest.mark.slow
def test_evaluation_finds_the_metrics_of_the_run(trained: Any, folder: Path) -> None:
    run, _, _ = trained
    how = {"structures": folder / "structures", "labels": folder / "residues.csv"}
    found = evaluate(run.folder, **how, split="test")
    values = found.metrics.set_index("metric")["value"]
    for name, value in run.metrics["test"].items():
        assert values[name] == pytest.approx(value, nan_ok=True, abs=1e-5)
    by_default = evaluate(run.folder / "model", **how)
    assert by_default.predictions["id"].tolist() == found.predictions["id"].tolist()
    assert "of them the part that it has not seen is tested" in by_default.told
    whole = evaluate(run.folder / "model", **how, split="all")
    assert len(whole.predictions) == 80
    assert "it has seen some of them" in whole.told
    with pytest.raises(UserError, match="this model answers for"):
        evaluate(run.folder, structures=folder / "structures", labels=folder / "whole.csv", target="atoms")


@pytest.mark.slow
def test_the_shipped_model_is_evaluated_to_the_numbers_of_its_row() -> None:
    from eqgat.pretrained import pretrained_rows

    rows = pretrained_rows("res").set_index(["split", "metric"])["value"].astype(float)["embedded test"]
    found = evaluate("res", task="res", split="test")
    values = found.metrics.set_index("metric")
    assert values["value"]["accuracy"] == pytest.approx(rows["accuracy"], abs=2e-3)
    assert values["low"]["accuracy"] < values["value"]["accuracy"] < values["high"]["accuracy"]
    assert found.data.startswith("toy data")


def test_calibration_of_a_prediction_that_is_right_lies_on_the_diagonal() -> None:
    x = np.arange(40.0)
    table = calibration(x, x, bins=4)
    assert np.allclose(table["said"], table["found"])
    assert table["count"].tolist() == [10, 10, 10, 10]
    flat = calibration(x, np.full(40, 3.0))
    assert (flat["found"] == 3).all()
    assert (flat["error"] == 0).all()


def test_the_picture_shows_each_row_and_says_its_numbers() -> None:
    rows = pd.DataFrame({"id": range(30), "group": ["a", "b", "c"] * 10, "target": np.arange(30.0)})
    rows["prediction"] = rows["target"] + 2
    fig = evaluation_figure(rows, "pK")
    parity = fig.axes[0].lines[1]
    assert parity.get_xdata().tolist() == rows["target"].tolist()
    assert parity.get_ydata().tolist() == rows["prediction"].tolist()
    assert fig.axes[2].lines[0].get_xdata().tolist() == [2, 2, 2]
    assert "mean absolute error 2 over 30" in fig.eqgat_details["alt"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ["p$\\frac$", "$", "a$b$c", "蛋白"])
def test_texts_of_users_are_no_formulas_in_the_picture(text: str) -> None:
    rows = pd.DataFrame({"id": range(6), "group": [text, "b", "c"] * 2, "target": [0, 1] * 3})
    rows["target_class"] = rows["target"].map({0: text, 1: "other"})
    for columns in (["prediction"], ["prediction_0", "prediction_1"]):
        fig = evaluation_figure(rows.assign(**dict.fromkeys(columns, rows["target"] + 0.5)), text)
        shown = b"".join(as_files(fig, "a").values()).decode("utf-8", "replace")
        assert f"<!-- {text} -->" in shown  # matplotlib's, beside the outlines of a text


def test_a_graph_of_a_residue_holds_all_that_its_answer_depends_on(folder: Path) -> None:
    torch.manual_seed(0)
    model = EQGAT(num_elements=9, out_channels=1, readout="node", **{**SMALL, "num_layers": 2})
    where = {"labels": str(folder / "residues.csv"), "target": "value"}
    few = load_table(str(folder / "structures"), hops=2, **where)["test"]
    all_of_it = load_table(str(folder / "structures"), **where)["test"]
    task = make_task(own_settings(folder / "residues.csv", "value"))
    with torch.no_grad():
        for k in (0, 5, 13):
            one, other = (task.predict(model, task.collate([data[k]])) for data in (few, all_of_it))
            assert torch.allclose(one, other, atol=1e-5)
