"""Training on own data that starts from trained weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from own_items import SMALL

from eqgat import EQGAT
from eqgat.errors import UserError
from eqgat.pretrained import pretrained, saved_folder
from eqgat.training import make_settings, own_settings, predict
from eqgat.training.run import train
from eqgat.training.settings import build_model


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
