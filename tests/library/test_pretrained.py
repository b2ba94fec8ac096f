"""Weights that come with the package: they load, they are those of their row, and "before" is where training began."""

from __future__ import annotations

import json

import pytest
import torch

from eqgat.datasets.task import TASKS
from eqgat.errors import UserError
from eqgat.files import write_checked
from eqgat.model import EQGAT
from eqgat.molecule import ELEMENTS
from eqgat.pretrained import (
    HERE,
    about,
    pretrained,
    pretrained_entries,
    pretrained_history,
    pretrained_names,
    pretrained_rows,
    untrained,
)
from eqgat.training.settings import build_model, make_settings, num_parameters
from eqgat_course.residues import residue_answers
from eqgat_course.toy import sample_items


@pytest.mark.parametrize("name", pretrained_names())
def test_weights_are_small_and_of_the_run_that_the_rows_name(name):
    rows, model = pretrained_rows(name), pretrained(name)
    assert sum(file.stat().st_size for file in (HERE / name).iterdir()) < 1e6
    assert rows["parameters"].unique().tolist() == [num_parameters(model)]
    assert rows["commit"].str.fullmatch(r"[0-9a-f]{12}").all(), "trained with code that nobody can look up"
    history = pretrained_history(name).set_index("epoch")
    best = int(rows["best_epoch"].iloc[0])
    validation = rows[rows["split"] == "val"].set_index("metric")["value"]
    for metric, value in validation.items():
        assert history.loc[best, f"val_{metric}"] == pytest.approx(value)


@pytest.mark.parametrize("name", pretrained_names())
def test_before_training_are_the_weights_that_the_run_began_with(name):
    row = pretrained_rows(name).iloc[0]
    changed = json.loads(row["changed"])
    settings = make_settings(row["task"], row["model"], row["profile"], int(row["seed"]), **changed)
    # Today's command leaves out what has become a default since; nothing else may differ, or the row's would not do.
    assert set(settings.command.split()) <= set(row["command"].split())
    assert settings.schedule == "cosine"
    began, here = build_model(settings).state_dict(), untrained(name).state_dict()
    assert all(torch.equal(value, here[key]) for key, value in began.items())
    assert not torch.equal(here["embedding.weight"], pretrained(name).embedding.weight)


def embedded(name):
    """The rows of a shipped model that anyone can compute again: those of the embedded test proteins."""
    rows = pretrained_rows(name)
    return rows[(rows["split"] == "embedded test") | ((rows["split"] == "test") & (name == "res-embedded"))]


@pytest.mark.parametrize("name", pretrained_names())
def test_accuracy_of_the_shipped_weights_is_that_of_their_row(name):
    stored = embedded(name).set_index("metric")["value"]["accuracy"]
    table = residue_answers(pretrained(name), "test", radius=9.0)
    assert (table["answer"] == table["truth"]).mean() == pytest.approx(stored, abs=0.005)
    assert table["chance"].between(0, 1).all()


@pytest.mark.slow
def test_elements_that_are_called_known_are_those_of_the_training_data():
    name = "res-embedded"
    samples = TASKS["res"].load(None, **json.loads(pretrained_rows(name)["changed"].iloc[0])["data_options"])["train"]
    there = {int(code) for k in range(len(samples)) for code in samples[k].z.unique()}
    assert {ELEMENTS[symbol] for symbol in about(name).elements or ()} == there


@pytest.mark.parametrize("name", ["res", "res-seed1"])
def test_entries_are_those_that_the_rows_count(name):
    """No entry is in two splits, and together they have the environments that the run was trained on."""
    entries, row = pretrained_entries(name), pretrained_rows(name).iloc[0]
    assert not entries["entry"].duplicated().any()
    sizes = entries.groupby("split")["environments"].sum()
    assert sizes["train"] == int(row["num_train"])
    assert {"train", "val", "test"} == set(sizes.index)
    kept = {item["id"][:4].upper() for split in ("val", "test") for item in sample_items("res", split)}
    train = entries.query("split == 'train'")["entry"].str.removeprefix("dips_").str[:4].str.upper()
    assert not kept & set(train)


def test_a_model_says_what_it_was_trained_for_as_far_as_it_is_noted(tmp_path):
    assert about("res").words == "model res: trained to name the amino acid at an alpha carbon"
    model = tmp_path / "mine" / "model"  # as a run leaves it
    EQGAT(num_elements=9, out_channels=1, scalar_channels=8, vector_channels=2).save_pretrained(model)
    assert about(tmp_path / "mine").words == "model mine: what it was trained for is not noted"
    for task, what in (("lba", "to predict how strongly a protein binds a ligand"), ("new", "for the task new")):
        write_checked(model / "settings.json", json.dumps({"task": task}))
        assert about(tmp_path / "mine").words == f"model mine: trained {what}"
        assert about(tmp_path / "mine").elements is None
    for content in ("[1]", '"lba"', "{", "null"):
        write_checked(model / "settings.json", content)
        with pytest.raises(UserError, match=r"settings\.json was written by another version of this package"):
            about(tmp_path / "mine")
    (model / "settings.json").write_text(json.dumps({"task": "psr"}))  # changed behind the checksum's back
    with pytest.raises(UserError, match=r"settings\.json"):
        about(tmp_path / "mine")


def test_unknown_name_lists_those_there_are():
    with pytest.raises(ValueError, match="no pretrained model 'lba'; there are res, res-embedded"):
        pretrained("lba")
    assert isinstance(pretrained("res"), EQGAT)
