"""The notebooks obey the profile: what their training cells train is in no cell, and ``full`` changes all of it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from eqgat.errors import UserError
from eqgat_course.ch11_atom3d_psr_rsr import study
from eqgat_course.ch15_your_own_structure import study as own
from eqgat_course.training import training_here

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
CELLS = {
    f"{file.stem}-{number}": "".join(cell["source"])
    for file in NOTEBOOKS
    for number, cell in enumerate(json.loads(file.read_text(encoding="utf-8"))["cells"])
    if cell["cell_type"] == "code"
}
# A cell that starts a run; short loops of Adam on toys are no runs.
TRAINING = {name: source for name, source in CELLS.items() if re.search(r"(?<![\w.])train\(", source)}


def test_no_cell_of_the_benchmarks_says_how_much_is_trained() -> None:
    assert {name.split("_")[0] for name in TRAINING} == {"09", "10", "12", "15"}
    for name, source in CELLS.items():
        if "09" <= name[:2] <= "13" or name in TRAINING:
            assert not re.search(r"""["'](quick|cpu|gpu)["']|accelerator""", source), name


def trained(source: str, profile: str) -> list[tuple[Any, dict[str, Any]]]:
    """What a cell would train: all of it runs, but what it does not define itself is a dummy, and so is ``train``."""
    runs = []

    def train(settings: Any, **how: Any) -> MagicMock:
        runs.append((settings, how))
        return MagicMock()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQGAT_PROFILE", profile)
        names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)} - set(dir(__builtins__))
        shared = {"short": {"epochs": 2, "data_options": {"n": 3000}}}  # of an earlier cell of 09
        scope = {name: MagicMock() for name in names} | shared | {"train": train, "training_here": training_here}
        scope |= {"print": lambda *_: None, "round": round, "zip": zip}
        for dummy in ("tempfile", "pd", "figures"):
            scope[dummy] = MagicMock()
        exec(re.sub(r"(?m)^print\(.*$", "", source), scope)
    return runs


@pytest.mark.parametrize("name", [name for name in TRAINING if not name.startswith("15")])
def test_the_full_profile_changes_what_a_cell_trains(name: str) -> None:
    quick, full = trained(TRAINING[name], "quick"), trained(TRAINING[name], "full")
    assert len(quick) == len(full) > 0
    for (small, how), (large, elsewhere) in zip(quick, full, strict=True):
        assert (small.task, small.model, small.profile) == (large.task, large.model, "quick")
        assert large.profile == "full"
        assert large.changed == ""  # nothing of the notebook's short settings is left
        assert small.epochs < large.epochs
        assert (how["accelerator"], elsewhere["accelerator"]) == ("cpu", "auto")


def test_the_run_of_15_takes_longer_and_any_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labels.csv").write_text("structure,chain,residue,area\n1lpbA,A,5,10.0\n", encoding="utf-8")
    monkeypatch.setattr(own, "TARGET", "area")
    found = {}
    for profile in ("quick", "full"):
        monkeypatch.setenv("EQGAT_PROFILE", profile)
        found[profile] = own.example_here(tmp_path / "labels.csv")
    assert found["quick"][0].epochs < found["full"][0].epochs
    assert [found[profile][1]["accelerator"] for profile in found] == ["cpu", "auto"]


def test_the_loop_of_11_takes_more_epochs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {}
    for profile in ("quick", "full"):
        monkeypatch.setenv("EQGAT_PROFILE", profile)
        data, seen = study.decoy_set("train", study.TRAIN[:1], walks=1), []
        monkeypatch.setattr(study, "SIZES", {**study.SIZES, "num_layers": 1, "scalar_channels": 2, "num_radial": 2})
        monkeypatch.setattr(type(data), "__len__", lambda _: 2)
        study.fit_ranking(data, data, lambda p, _: p.sum(), report=lambda epoch, _, seen=seen: seen.append(epoch))
        counts[profile] = len(seen)
    assert counts["quick"] < counts["full"]


def test_data_come_from_the_folder_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lba").mkdir()
    monkeypatch.setenv("EQGAT_DATA", str(tmp_path))
    assert training_here("lba", data="other")[1]["data"] == str(tmp_path / "lba")
    with pytest.raises(UserError, match="EQGAT_DATA must name a folder that has one folder a task"):
        training_here("psr")
    monkeypatch.delenv("EQGAT_DATA")
    assert training_here("lba", data="other")[1]["data"] == "other"
