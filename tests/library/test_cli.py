"""The command ``eqgat``: what it lists, how fast it starts, and that nothing a user types ends in a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from eqgat.cli import COMMANDS, all_commands, main
from eqgat.datasets.task import TASKS
from eqgat.training.models import MODELS

TRAIN = ["train", "triangle", "--epochs", "1", "--size", "20"]


def bad_lines(folder: Path) -> list[list[str]]:
    """Some 260 command lines, each wrong in one way."""
    file = folder / "file"
    file.touch()
    (folder / "empty").mkdir()
    lines: list[list[str]] = [
        [word] for word in ("traim", "Train", "--version", "-x", "", "\x1b[31m", "ü\udc80", "a\nb")
    ]
    for command in COMMANDS:
        lines += [[command, "--nope"], [command, "nope", "a", "b", "c"], [command, "--out"]]
    for command in ("train", "trivial", "download", "prepare"):
        lines += [[command], [command, ""], [command, "LBA"], [command, "square", str(folder)]]
    numbers = ("--epochs", "--batch-size", "--learning-rate", "--size", "--devices", "--nodes")
    lines += [
        [*TRAIN, option, value] for option, value in product(numbers, ("0", "-1", "x", "", "1e400", "nan", "--epochs"))
    ]
    for option, values in {
        "--seed": ("-1", "x", "1.5", str(2**70)),
        "--workers": ("-1", "x"),
        "--precision": ("16", "64"),
        "--loss": ("nope", "cross-entropy", "MSE"),
        "--monitor": ("nope", "spearman"),
        "--schedule": ("linear",),
        "--profile": ("slow", ""),
        "--model": ("gnn", "gcn", "cnn3d", "EQGAT"),
        "--time-limit": ("9", "1:2", "00:99:00", "x"),
        "--accelerator": ("gpu", "cuda", "tpu", "warp", ""),
        "--strategy": ("nope", ""),
        "--data": (str(folder / "nowhere"), str(file), "a\0b"),
        "--runs": (str(file), str(file / "x"), "/proc/nothing", "a\0b"),
        "--results": (str(file), str(file / "x"), "/proc/nothing"),
        "--option": ("x", "=1", "nope=1", "num_points=x", "num_points=2", "radius=-1", "n=0", "target_order=up"),
    }.items():
        lines += [[*TRAIN, option, value] for value in values]
    for model, options in {
        "eqgat": ("nope=1", "num_layers=x", "num_layers=0", "num_layers=1.5", "cutoff=-1", "norm=batch", "attention=3"),
        "schnet": ("vector_channels=3", "num_radial=1", "norm=true", "readout=both"),
        "gvp": ("dropout=2", "layout=x"),
        "segnn": ("width=0", "norm=equivariant"),
    }.items():
        lines += [[*TRAIN, "--model", model, "--model-option", option] for option in options]
    for task in ("lba", "psr", "rsr", "res", "ppi"):
        train = ["train", task, "--epochs", "1"]
        lines += [
            [*train, *more]
            for more in (
                ["--data", str(folder / "nowhere")],
                ["--data", str(folder / "empty")],
                ["--data", str(file)],
                ["--size", "3"],
                ["--loss", "hinge"],
                ["--option", "nope=1"],
                ["--option", "cutoff=big"],
                ["--profile", "full"],
                ["--model-option", "nope=1"],
            )
        ]
        lines += [
            ["trivial", task, "--data", str(folder / "empty")],
            ["trivial", task, "--split", "all"],
            ["trivial", task, "--results", str(file)],
            ["prepare", task, str(folder / "nowhere")],
            ["prepare", task, str(folder / "empty")],
            ["prepare", task, str(file)],
            ["prepare", task, str(folder / "empty"), "--option", "nope=1"],
            ["prepare", task, str(folder / "empty"), "--option", "radius"],
            ["prepare", task, str(folder / "empty"), "--out", str(file)],
            ["download", task, str(file)],
            ["download", task, str(folder / "d"), "--source", "zenodo"],
        ]
    lines += [
        ["train", "ppi", "--option", "drawn_pairs=5", "--model-option", "norm=equivariant"],
        ["train", "ppi", "--option", "drawn_pairs=-1"],
        ["train", "res", "--option", "radius=0"],
        ["train", "psr", "--option", "label=3"],
        ["train", "lba", "--option", "hydrogens=maybe"],
        ["tables", "--results", str(folder / "nowhere")],
        ["tables", "--results", str(file)],
        ["tables", "--out", str(file)],
        [*TRAIN, "--resume", "--restart"],
        [*TRAIN[:2], "--size", "2"],
    ]
    return lines


@pytest.mark.slow
def test_no_bad_line_ends_in_a_traceback(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """Exit status 2 and one line that names the command; nothing on stdout, nothing written."""
    monkeypatch.setenv("EQGAT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    lines, wrong = bad_lines(tmp_path), []
    assert len(lines) > 200
    for line in lines:
        try:
            status: object = main(line)
        except BaseException as error:
            status = repr(error)
        said = capsys.readouterr()
        one_line = said.err.count("\n") == 1 and said.err.startswith("eqgat ") and not said.out
        if status != 2 or not one_line:
            wrong.append((line, status, said.err[-300:], said.out[-100:]))
    record_property("command lines", f"{len(lines) - len(wrong)} of {len(lines)} refused")
    assert not wrong, json.dumps(wrong[:10], indent=1) + f"\n{len(wrong)} of {len(lines)}"
    assert list((tmp_path / "work").iterdir()) == []


def test_the_list_of_commands_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        assert main(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        for name, (_, text) in all_commands().items():
            assert sum(line.split()[:1] == [name] and line.endswith(text) for line in lines) == 1


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: eqgat {command}")


def test_a_missing_library_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a Python whose environment is not active."""
    monkeypatch.setitem(COMMANDS, "predict", ("a_library_that_is_not_there:main", ""))
    assert main(["predict"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("eqgat predict: this Python lacks a_library_that_is_not_there: activate the environment")
    assert said.count("\n") == 1


def test_help_and_wrong_lines_load_no_library() -> None:
    program = (
        "import sys, contextlib\nfrom eqgat.cli import main\n"
        "lines = 'train x', 'trivial x', 'download x', 'prepare x', 'tables x', 'runs'\n"
        "for line in ([], *(line.split() for line in lines)):\n"
        "    main(line)\n"
        "for command in ('train', 'expressivity'):\n"
        "    with contextlib.suppress(SystemExit):\n        main([command, '--help'])\n"
        "assert not {'torch', 'pandas', 'scipy', 'lightning', 'e3nn'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_other_packages_add_commands_through_an_entry_point(tmp_path: Path) -> None:
    info = tmp_path / "more-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: more\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[eqgat.commands]\nmore = more:COMMANDS\n")
    (tmp_path / "more.py").write_text(
        "COMMANDS = {'greet': ('more:greet', 'say hello')}\ndef greet(argv):\n    print('hello', *argv)\n"
    )
    for arguments, said in ((["greet", "you"], "hello you\n"), ([], "say hello")):
        program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from eqgat.cli import main; main({arguments})"
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        assert said in done.stdout


NEW_TASK = '''
"""How far two points are apart."""
import torch
from torch_geometric.data import Data
from eqgat.datasets.task import TaskSpec
class Points(torch.utils.data.Dataset):
    def __init__(self, start, size, unit):
        random = torch.Generator().manual_seed(start)
        self.pos = unit * torch.randn(size, 2, 3, generator=random)
        self.y = (self.pos[:, 0] - self.pos[:, 1]).norm(dim=1, keepdim=True)
    def __len__(self):
        return len(self.y)
    def __getitem__(self, k):
        edges = torch.tensor([[1, 0], [0, 1]])
        return Data(z=torch.tensor([0, 1]), pos=self.pos[k], edge_index=edges, y=self.y[k:k + 1])
    def digest(self):
        return f"{self.pos.sum():.6f}"
def load(folder, unit: float = 1.0):
    return {name: Points(k, size, unit) for k, (name, size) in enumerate({"train": 40, "val": 10, "test": 10}.items())}
SPEC = TaskSpec(
    name="distance", title="Distance", kind="regression", load=load, options=(load,), describe=lambda splits: "points",
    metrics=("mse", "spearman"),
    profiles={"quick": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2,
                        "model_options": {"num_elements": 2, "out_channels": 1, "num_layers": 1, "cutoff": 9.0}}},
)
'''
NEW_MODEL = '''
"""Predicts from the mean of all positions: it sees the whole graph, and does not say otherwise."""
import torch
from eqgat.baselines.spec import ModelSpec
class Flat(torch.nn.Module):
    def __init__(self, out_channels: int, width: int = 4, readout: str = "graph"):
        super().__init__()
        self.readout = readout
        self.head = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Linear(width, out_channels))
    def forward(self, data):
        batch = data.batch if data.get("batch") is not None else torch.zeros(len(data.pos), dtype=torch.long)
        mean = torch.zeros(int(batch.max()) + 1, 3).index_reduce(0, batch, data.pos, "mean", include_self=False)
        return self.head(mean if self.readout == "graph" else mean[batch])
SPEC = ModelSpec(Flat)
'''


@pytest.fixture
def _added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One new file and one new line each."""
    (tmp_path / "new_task.py").write_text(NEW_TASK)
    (tmp_path / "new_model.py").write_text(NEW_MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(TASKS.homes, "distance", "new_task:SPEC")
    monkeypatch.setitem(MODELS.homes, "flat", "new_model:SPEC")


@pytest.mark.slow
@pytest.mark.usefixtures("_added")
@pytest.mark.parametrize(
    ("task", "model"), [("distance", "eqgat"), ("distance", "flat"), ("triangle", "flat"), ("lba", "flat")]
)
def test_a_new_task_and_a_new_model_are_a_file_and_a_line(
    task: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQGAT_CACHE", str(tmp_path / "cache"))
    folders = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    arguments = ["train", task, "--model", model, "--epochs", "1", "--accelerator", "cpu", *folders]
    assert main([*arguments, *(["--size", "50"] if task == "triangle" else [])]) == 0
    said = capsys.readouterr()
    assert "test: mse " in said.out
    assert len(list((tmp_path / "results" / task).glob(f"{task}-{model}-quick-seed0*-data*.csv"))) == 2
    if task == "lba":
        assert said.err.startswith("lba: toy data made of the embedded structures, not ATOM3D's [")
    assert main(["trivial", "distance", "--results", str(tmp_path / "results")]) == 0
    assert main(["tables", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "tables")]) == 0
    assert main([*arguments, "--model-option", "widht=3"]) == 2


@pytest.mark.usefixtures("_added")
def test_the_folder_is_no_option_of_a_function_that_loads(capsys: pytest.CaptureFixture[str]) -> None:
    for option, value in (("folder", "/x"), ("size", "3")):
        assert main(["train", "distance", "--option", f"{option}={value}"]) == 2
        assert f"the data of distance has no option {option}; it has unit\n" in capsys.readouterr().err


@pytest.fixture
def _nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that are asked for fail the test."""
    for loader in ("atom3d.load.load_splits", "triangle.make_triangles"):
        monkeypatch.setattr(f"eqgat.datasets.{loader}", lambda *_, **__: pytest.fail("data were loaded"))


@pytest.mark.usefixtures("_nothing_is_loaded")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("res --model-option out_channels=5", "out_channels must be 20 for res"),
        ("triangle --model-option out_channels=2", "out_channels must be 3 for triangle"),
        ("lba --model-option out_channels=3", "out_channels must be 1 for lba"),
        ("lba --model-option num_elements=3", "num_elements must be 9 for lba"),
        ("lba --model schnet --model-option num_elements=3", "num_elements must be 9 for lba"),
        ("lba --model-option readout=node", "readout must be 'graph' for lba"),
        ("ppi --model-option readout=graph", "readout must be 'node' for ppi"),
        ("triangle --from res", "num_elements must be 2 for triangle, which follows from its data; got 9: the weights"),
        ("lba --option cutoff=-1", "cutoff must be a positive length"),
        ("lba --option cutoff=5", "give --model-option cutoff=5 alone"),
        (
            "lba --model-option cutoff=6 --option cutoff=5",
            "the edges would have the cutoff 5 Å (--option), and the model 6 Å",
        ),
        ("lba --model-option cutoff=NaN", "cutoff must be a positive length in Å; got nan"),
        ("lba --option hops=3", "hops needs graphs with a centre"),
        ("res --option hops=0", "hops must be at least 1"),
        ("res --option hops=2", "hops=2 leaves out atoms that the answer depends on: the model sees 5 edges away"),
        ("res --option hops=9 --model-option norm=equivariant", "the model sees the whole graph"),
        ("res --option alpha_carbon=near", "alpha_carbon must be 'chain' or 'released'"),
        ("psr --option models=last", "models must be 'all' or 'first'"),
        ("ppi --option positives=0", "positives >= 1"),
        ("ppi --option drawn_pairs=0", "drawn_pairs must be at least 1"),
        ("lba --option train_items=0", "train_items must be at least 1"),
        ("triangle --option seed=-1", "seed must not be negative"),
        ("triangle --size 0", "must be at least 1; got 0"),
        ("triangle --size 20 --option n=30", "n is given twice, as 20 and as 30"),
        ("lba --option waters=true --option waters=false", "waters is given twice, as True and as False"),
        ("lba --workers -1", "--workers must be at least 0; got -1"),
        ("lba --devices 0", "--devices must be at least 1; got 0"),
        ("lba --model-option cross_product=bogus", "cross_product of eqgat must be 'raw', 'mixed' or null (None); got"),
        ("lba --model-option num_layers=x", "num_layers of eqgat must be a whole number; got 'x'"),
        ("res --option radius=far", "radius of the data of res must be a number or null (None); got 'far'"),
    ],
)
def test_options_are_checked_before_anything_is_loaded(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *line.split(), "--runs", str(tmp_path), "--results", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_options_that_say_what_is_so_anyway_are_taken() -> None:
    from eqgat.training import make_settings

    same = {"num_elements": 9, "out_channels": 1, "readout": "graph", "cutoff": 6.0}
    settings = make_settings("lba", model_options=same, data_options={"cutoff": 6})
    assert settings.model_options["cutoff"] == settings.data_options["cutoff"]
    assert make_settings("lba", "cnn3d", data_options={"cutoff": 3.0}).data_options["cutoff"] == 3.0


def test_another_profile_in_the_environment_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQGAT_PROFILE", "fast")
    assert main(["train", "lba"]) == 2
    assert "EQGAT_PROFILE must be 'quick' or 'full', or not set; got 'fast'" in capsys.readouterr().err


def test_trivial_offers_the_tasks_that_it_can_answer(capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("own", "own-classes", "own-res"):
        assert main(["trivial", task]) == 2
        assert f"invalid choice: {task!r} (choose from" in (said := capsys.readouterr().err)
        assert "own" not in said.partition("(")[2]


@pytest.mark.parametrize("line", ["--sede 3", "--sede=3", "--sede grade x", "--seed 3 grade x"])
def test_an_unknown_option_before_a_subcommand_is_named(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coursework", *line.split()]) == 2
    said = capsys.readouterr().err
    assert f"there is no option {line[:6]} before the command (build, lab, grade, map)" in said


@pytest.mark.parametrize(
    "line",
    [
        *("train lba --data ~nobody-x/a", "train lba --runs ~nobody-x/a", "train --structures ~nobody-x/a"),
        *("predict res ~nobody-x/a.pdb", "predict res a.pdb -o ~nobody-x/a.csv", "explore 5pti -o ~nobody-x/a.html"),
        *("explore 5pti --model ~nobody-x/a", "evaluate ~nobody-x/a", "tables --out ~nobody-x/a"),
        *("prepare lba ~nobody-x/a", "download lba ~nobody-x/a", "runs --data-root ~nobody-x/a"),
    ],
)
def test_the_home_of_nobody_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    if line.startswith("train --structures"):
        line += " --labels labels.csv --target a"
    assert main(line.split()) == 2
    assert "begins with the name of no user here; give the whole path" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict res nothing.pdb", "explore 5pti"])
def test_a_file_needs_a_folder_that_is_there(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out, message in (("no/such/x", f"there is no folder {tmp_path}/no/such to write x into"), ("", "is a folder;")):
        assert main([*command.split(), "-o", str(tmp_path / out)]) == 2
        assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("explore 5pti", "eqgat.structures.read_structure"),
        ("coursework map", "eqgat_course.exercise_map.exercise_map"),
    ],
)
def test_a_mistake_of_the_package_is_no_mistake_of_the_user(
    line: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its traceback is shown: it says where the mistake is."""

    def wrong(*_: object, **__: object) -> None:
        raise ValueError("a mistake of the package")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(where, wrong)
    with pytest.raises(ValueError, match="a mistake of the package"):
        main(line.split())


@pytest.mark.usefixtures("_added")
def test_an_unknown_model_is_not_taken_to_be_local() -> None:
    from eqgat.training import make_settings
    from eqgat.training.tasks import make_task

    assert make_task(make_settings("res", "flat")).data_options()["hops"] is None
    assert make_task(make_settings("res", "eqgat")).data_options()["hops"] == 5
