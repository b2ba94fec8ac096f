"""Training on own data that starts from trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from own_items import SMALL

from eqgat import EQGAT
from eqgat.errors import UserError
from eqgat.files import write_checked
from eqgat.pretrained import pretrained, saved_folder
from eqgat.saving import SETTINGS
from eqgat.training import make_settings, own_settings, predict
from eqgat.training.run import train
from eqgat.training.settings import build_model
from eqgat.training.tasks import make_task


def test_saved_weights_are_kept_and_the_head_starts_fresh() -> None:
    settings = make_settings("own", start="res", model_options={"out_channels": 1, "readout": "graph"})
    model, saved = build_model(settings), pretrained("res")
    assert isinstance(model, EQGAT)
    assert set(model.fresh_parameters) == {"head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"}
    kept = {name: value for name, value in model.state_dict().items() if name not in model.fresh_parameters}
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in kept.items())
    assert not torch.equal(model.head[0].weight, saved.head[0].weight)
    again, other = build_model(settings), build_model(make_settings("own", start="res", seed=1))
    assert torch.equal(model.head[0].weight, again.head[0].weight)
    assert not torch.equal(model.head[0].weight, other.head[0].weight)


def test_residue_identity_goes_on_with_the_whole_model() -> None:
    model = build_model(make_settings("own-res", start="res"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), pretrained("res").state_dict().values(), strict=True)
    )
    assert model.fresh_parameters == ()


def test_other_options_than_those_of_the_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the weights of res are of a model with"):
        make_settings("own", start="res", model_options={"num_layers": 5})
    with pytest.raises(UserError, match="there is no model in"):
        make_settings("own", start=str(tmp_path))
    with pytest.raises(UserError, match="only eqgat can start"):
        make_settings("own", "schnet", start="res")


def test_settings_know_which_weights_they_started_from(tmp_path: Path) -> None:
    EQGAT(num_elements=9, out_channels=1, **SMALL).save_pretrained(tmp_path)
    before = make_settings("own", start=str(tmp_path))
    EQGAT(num_elements=9, out_channels=1, **SMALL).save_pretrained(tmp_path)
    after = make_settings("own", start=str(tmp_path))
    assert before.run_id == after.run_id
    assert before.to_json() != after.to_json()


def start_of(task: str, folder: Path, **data_options: Any) -> str:
    """A model with the settings of a run that made it."""
    settings = make_settings(task, model_options=SMALL, data_options=data_options)
    model = EQGAT(**{**settings.model_options, "num_elements": 9, "out_channels": 1})
    model.save_pretrained(folder)
    write_checked(folder / SETTINGS, settings.to_json())
    return str(folder)


@pytest.mark.parametrize(
    ("task", "there", "readout", "taken"),
    [
        ("own", {"radius": 7.0, "waters": True, "split_seed": 3}, "node", {"radius": 7.0, "waters": True}),
        ("own", {"radius": 7.0, "waters": True}, "graph", {"waters": True}),  # a whole structure has no centre
        ("res", {"radius": 7.0, "alpha_carbon": "released"}, "node", {"radius": 7.0}),
        ("own-res", {}, "node", {}),
        ("ppi", {"radius": 7.0, "waters": False}, "node", {}),  # a radius of another meaning
        ("triangle", {"n": 99}, "graph", {}),  # so here
    ],
)
def test_graphs_hold_the_atoms_that_those_of_the_start_held(
    task: str, there: dict[str, Any], readout: str, taken: dict[str, Any], tmp_path: Path
) -> None:
    how = {"start": start_of(task, tmp_path, **there), "model_options": {"readout": readout}}
    settings = make_settings("own", **how)
    assert settings.taken_over == settings.data_options == taken
    assert settings.run_id == make_settings("own", **how).run_id
    other = make_settings("own", **how, data_options={"radius": None, "waters": False})
    assert (other.taken_over, other.data_options) == ({}, {"radius": None, "waters": False})


def test_a_fine_tuning_sees_what_the_shipped_model_saw_and_says_so(folder: Path, tmp_path: Path) -> None:
    """The graphs, the line about them, and the command, which names no radius and gives the same run."""
    data, table = str(folder / "structures"), folder / "residues.csv"
    for option, radius in (({}, 9.0), ({"radius": 5.0}, 5.0)):
        said: list[str] = []
        settings = own_settings(table, "value", start="res", data_options=option)
        train(settings, data=data, runs=tmp_path, time_limit=0, say=said.append)
        line = "graphs hold the atoms that those of res held: radius=9.0 (--option changes it)"
        assert (line in said) == (not option)
        assert ("radius" in settings.command) == bool(option)
        graph = make_task(settings).load(data)["train"][3]
        far = (graph.pos - graph.pos[graph.center_index]).norm(dim=1).max()
        assert radius - 2 < far < radius


def test_a_pretraining_on_own_structures_gives_weights_to_start_from(folder: Path, tmp_path: Path) -> None:
    where, small = str(folder / "structures"), {**SMALL}
    first = make_settings("own-res", model_options=small, data_options={"environments": 2}, epochs=1)
    run = train(first, data=where, runs=tmp_path)
    assert saved_folder(run.folder) == run.folder / "model"
    second = own_settings(
        folder / "whole.csv", "atoms", start=str(run.folder), epochs=1, data_options={"split": "part"}
    )
    assert second.model_options["scalar_channels"] == 8
    assert train(second, data=where, runs=tmp_path).finished
    table, _ = predict(run.folder, [folder / "structures" / "2xcjA.pdb"])
    assert len(table) == 10
