"""The ATOM3D tasks in the training engine: every model of Table 1 on every task, losses, readouts, whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from atom3d_items import write_task

from eqgat.cli import main
from eqgat.datasets.atom3d import load_atom3d, write_prepared
from eqgat.datasets.atom3d.complexes import Complexes
from eqgat.datasets.atom3d.trivial import close_pairs, num_atoms, radius_of_gyration
from eqgat.training import make_settings, read_results
from eqgat.training.run import train
from eqgat.training.settings import build_model, models_of, num_parameters
from eqgat.training.tasks import PairModel, correlation_loss, make_task

TASKS = ("lba", "psr", "rsr", "res", "ppi")
SMALL = {"scalar_channels": 8, "vector_channels": 4, "num_layers": 2, "num_radial": 6}
OPTIONS: dict[str, dict[str, Any]] = {
    "eqgat": SMALL,
    "eqgat-no-cross-product": SMALL,
    "eqgat-no-feature-attention": SMALL,
    "painn": SMALL,
    "schnet": {k: v for k, v in SMALL.items() if k != "vector_channels"},
    "segnn": {"width": 20, "num_layers": 1},
    "gvp": {"scalar_channels": 8, "vector_channels": 4, "edge_scalars": 4, "num_layers": 1},
    "gcn": {"hidden": 4},
    "cnn3d": {},
}
GRIDS: dict[str, dict[str, Any]] = {
    "psr": {"radius": 11.0, "resolution": 1.0},
    "rsr": {"radius": 11.0, "resolution": 1.0},
    "lba": {"radius": 11.0},
    "ppi": {"radius": 11.0},
    "res": {},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All five tasks, six items a split, under one folder."""
    folder = tmp_path_factory.mktemp("atom3d")
    for task in TASKS:
        write_task(task, folder / task)
    return folder


def small(task: str, model: str = "eqgat", **changes: Any) -> Any:
    """Quick settings with a small model; PPI with its stored pairs, as in the full profile."""
    options = {**OPTIONS[model], **(GRIDS[task] if model == "cnn3d" else {})}
    if task == "ppi":
        changes = {"data_options": {"drawn_pairs": None}, **changes}
    return make_settings(task, model, "quick", epochs=1, batch_size=4, model_options=options, **changes)


@pytest.mark.parametrize("task", TASKS)
def test_every_model_of_table_1_learns_on_every_task(task: str, root: Path) -> None:
    for model in models_of(task):
        chosen = make_task(small(task, model))
        splits = chosen.load(str(root))
        data = splits["train"]
        batch = chosen.prepare(chosen.collate([data[k] for k in range(4)]))
        torch.manual_seed(0)
        network = chosen.build().train()
        prediction, target = chosen.predict(network, batch), chosen.targets(batch)
        assert len(prediction) == len(target) == 4, model
        assert prediction.shape[1] == chosen.num_outputs()
        loss = chosen.loss(prediction, target)
        loss.backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in gradients), model
        assert sum(float(g.abs().sum()) for g in gradients) > 0, model
        assert torch.isfinite(loss), model


@pytest.mark.parametrize("task", TASKS)
def test_a_whole_run_from_the_command_line(
    task: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = [
        "train",
        task,
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--data",
        str(root),
        "--runs",
        str(tmp_path / "runs"),
        "--results",
        str(tmp_path / "results"),
        "--accelerator",
        "cpu",
        *(f"--model-option={name}={value}" for name, value in SMALL.items()),
        *(["--option=drawn_pairs=null"] if task == "ppi" else []),
    ]
    assert main(arguments) == 0
    rows = read_results(tmp_path / "results")
    test = rows[rows["split"] == "test"].set_index("metric")
    headline = {"lba": "rmse", "psr": "mean_spearman", "rsr": "mean_spearman", "res": "accuracy", "ppi": "roc_auc"}
    assert headline[task] in test.index
    assert test["data"].iloc[0].startswith("small real LMDB set in the ATOM3D schema, not ATOM3D's, ")
    assert str(root) not in (next((tmp_path / "results" / task).glob("*.csv"))).read_text()
    assert "test:" in capsys.readouterr().out


def test_prepared_data_give_the_same_run(root: Path, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        write_prepared(load_atom3d("res", root, split), tmp_path / "res" / split)
    runs = [
        train(small("res"), runs=tmp_path / name, data=str(folder), progress=False)
        for name, folder in (("a", root), ("b", tmp_path / "res"))
    ]
    assert runs[0].metrics == runs[1].metrics
    assert all(torch.equal(a, b) for a, b in zip(*(run.model.state_dict().values() for run in runs), strict=True))


def test_ppi_learns_on_whole_complexes_and_is_judged_on_stored_pairs(root: Path) -> None:
    for model in models_of("ppi"):
        if model in ("gcn", "cnn3d"):  # a batch norm and a grid have no whole partner in common
            assert "drawn_pairs" not in make_settings("ppi", model, "quick").data_options
            continue
        task = make_task(small("ppi", model, data_options={"drawn_pairs": 2}))
        splits = task.load(str(root))
        assert isinstance(splits["train"], Complexes)
        batch = task.collate([splits["train"][0], splits["train"][1]])
        prediction, target = task.predict(task.build(), batch), task.targets(batch)
        assert prediction.shape == target.shape == (8, 1)
        assert target.squeeze(1).tolist() == [1, 1, 0, 0] * 2
        assert torch.isfinite(task.loss(prediction, target))
        assert list(splits["val"].names) == list(load_atom3d("ppi", root, "val").names)
        assert task.digest(splits) == make_task(small("ppi")).digest(splits)


def test_drawn_pairs_of_an_interrupted_run_are_those_of_a_whole_one(root: Path, tmp_path: Path) -> None:
    settings = make_settings("ppi", epochs=3, batch_size=2, model_options=SMALL, data_options={"drawn_pairs": 2})
    whole = train(settings, runs=tmp_path / "whole", data=str(root), progress=False)
    parts = [
        train(settings, runs=tmp_path / "parts", data=str(root), progress=False, time_limit=1e-6)
        for _ in range(20)
        if not (tmp_path / "parts" / "ppi" / settings.run_id / "finished.json").exists()
    ]
    assert len(parts) > 3
    assert parts[-1].finished
    assert [row["train_loss"] for row in parts[-1].history] == [row["train_loss"] for row in whole.history]


def test_res_reads_the_alpha_carbon_and_ppi_the_two(root: Path) -> None:
    res = make_task(small("res"))
    data = res.load(str(root))["train"]
    batch, model = res.collate([data[0], data[1]]), res.build()
    torch.testing.assert_close(res.predict(model, batch)[1], model(data[1])[data[1].center_index[0]])
    ppi = make_task(small("ppi"))
    pairs = ppi.load(str(root))["train"]
    model = ppi.build()
    y = ppi.predict(model, ppi.collate([pairs[0], pairs[3]]))
    torch.testing.assert_close(y[1:], ppi.predict(model, ppi.collate([pairs[3]])))
    a, b = (model.network(graph)[graph.center_index] for graph in pairs[3])
    torch.testing.assert_close(y[1:], model.head(torch.cat([a, b], dim=1)))
    assert not torch.equal(y[1:], ppi.predict(model, ppi.collate([pairs[3][::-1]])))
    assert ppi.targets(ppi.collate([pairs[0], pairs[3]])).tolist() == [[1.0], [0.0]]


def test_parameter_counts() -> None:
    def count(task: str, model: str = "eqgat", norm: str | None = None) -> int:
        options = {} if norm is None else {"norm": norm}
        return num_parameters(make_task(make_settings(task, model, "full", model_options=options)).build())

    assert [count(task) for task in TASKS] == [237_933, 383_509, 383_509, 385_428, 393_509]
    assert [count(task, norm="equivariant") for task in TASKS] == [238_733, 384_709, 384_709, 386_628, 394_709]
    assert count("ppi", "gvp") == 954_244
    assert [count(task, "gcn") for task in TASKS] == [376_705, 209_089, 209_089, 162_004, 208_961]
    with torch.device("meta"):
        assert count("ppi", "cnn3d") == 18_337_633
        assert num_parameters(build_model(make_settings("res", "cnn3d", "full"))) == 22_597_504


def test_settings_of_table_2() -> None:
    rows = {task: make_settings(task, profile="full") for task in TASKS}
    assert [rows[task].epochs for task in TASKS] == [20, 30, 30, 40, 10]
    assert [rows[task].batch_size for task in TASKS] == [16, 16, 16, 32, 10]
    assert [rows[task].model_options["num_layers"] for task in TASKS] == [3, 5, 5, 5, 5]
    assert {settings.learning_rate for settings in rows.values()} == {1e-4}
    assert make_task(rows["rsr"]).loss is correlation_loss
    assert make_settings("psr", "gcn", "full").data_options == {"hydrogens": True}
    assert make_settings("ppi", "cnn3d", "full").learning_rate == 1e-5


def test_correlation_loss_by_hand_and_where_it_is_undefined() -> None:
    target = torch.tensor([[1.0], [2.0], [3.0]])
    prediction = torch.tensor([[2.0], [1.0], [3.0]], requires_grad=True)
    # Deviations (0, -1, 1) and (-1, 0, 1): r = 1/2. Errors 1, -1, 0: MSE = 2/3.
    assert correlation_loss(prediction, target).item() == pytest.approx(0.8 * 0.5 + 0.2 * 2 / 3)
    for odd in (target[:1], torch.ones(3, 1)):
        x = torch.full_like(odd, 2.0, requires_grad=True)
        loss = correlation_loss(x, odd)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(x.grad).all()
    assert make_task(small("rsr", loss="mse")).loss(prediction, target).item() == pytest.approx(2 / 3)


def test_wrong_choices_are_named(root: Path) -> None:
    with pytest.raises(ValueError, match="loss must be one of mse for psr; got 'correlation'"):
        make_task(small("psr", loss="correlation"))
    with pytest.raises(ValueError, match="gcn has no settings for triangle"):
        make_settings("triangle", "gcn")
    with pytest.raises(ValueError, match="--data"):
        make_task(make_settings("res", profile="full")).load(None)
    with pytest.raises(ValueError, match="res has no option hydrogens"):
        make_task(small("res", data_options={"hydrogens": True})).load(str(root))
    assert main(["train", "res", "--data", str(root / "nowhere"), "--epochs", "1"]) == 2


def test_a_pair_of_networks_without_a_head() -> None:
    segnn = make_task(small("ppi", "segnn")).build()
    assert isinstance(segnn, PairModel)
    assert segnn.head[0].in_features == 200


def test_what_the_trivial_answers_count() -> None:
    square = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0]]).numpy()
    assert num_atoms(square) == 4
    assert radius_of_gyration(square) == pytest.approx(2**0.5)
    assert close_pairs(square) == 4 / 4  # the sides; the diagonals are 2.8 Å long
