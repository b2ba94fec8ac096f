"""The subcommand ``train``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from eqgat.cli import Parser
from eqgat.datasets.task import TASKS
from eqgat.errors import UserError
from eqgat.files import check_new_file, home, is_structure, is_writable, write_files
from eqgat.options import named_values
from eqgat.profiles import profile
from eqgat.training.models import MODELS

__all__ = ["predict", "seconds", "train"]

_HOW = (
    *("runs", "data", "accelerator", "devices", "nodes", "strategy"),
    *("workers", "deterministic", "time_limit", "restart"),
)
_SEVERAL_DEVICES = """\
several devices and nodes; the batch of the settings is shared out among all of them:
  one node, 4 GPUs          eqgat train triangle --profile full --devices 4
  2 nodes by torchrun       torchrun --nnodes 2 --nproc-per-node 4 --node-rank RANK --master-addr HOST \\
  (the same on each)            -m eqgat train triangle --profile full --nodes 2 --devices 4
  2 nodes in a SLURM job    srun --nodes 2 --ntasks-per-node 4 --gpus-per-node 4 \\
                                eqgat train triangle --profile full --nodes 2 --devices 4
All nodes need one folder for --runs. SIGTERM (SLURM: sbatch --signal=TERM@120) and Ctrl-C write a checkpoint first.
"""


def train(argv: list[str]) -> int:
    """Train as the arguments say.

    Returns:
        0 when finished, 3 when the time limit came first, 128 + the number of a signal.
    """
    options = _with_task(_parser().parse_args(argv))
    for folder, option in ((options.runs, "--runs"), (options.results, "--results")):
        if folder is not None:
            is_writable(folder, option)
    if options.data is not None and not home(options.data).is_dir():
        raise UserError(f"there is no folder {options.data!r} ({'--structures' if options.structures else '--data'})")
    from eqgat.training.results import results_folder
    from eqgat.training.settings import CHANGES, make_settings

    chosen = {
        "model": options.model,
        "profile": options.profile or profile(),
        "seed": options.seed,
        "model_options": named_values(options.model_option),
        "data_options": named_values(
            options.option, **{k: v for k, v in (("n", options.size), ("split", options.split)) if v is not None}
        ),
        **{name: getattr(options, name) for name in CHANGES},
    }
    if options.task == "own":
        from eqgat.training.own import own_settings

        settings = own_settings(options.labels, options.target, classes=options.classes, **chosen)
    else:
        settings = make_settings(options.task, **chosen)
    from eqgat.training import run as module
    from eqgat.training.evaluation import metric_lines, metric_table

    try:
        run = module.train(
            settings,
            results=options.results or (Path(options.runs) / "results" if options.structures else results_folder()),
            test=not options.no_test,
            on_epoch=_say_epoch,
            say=lambda line: print(line, file=sys.stderr, flush=True),
            **{name: getattr(options, name) for name in _HOW},
        )
    except SystemExit as stop:
        print("\ninterrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return int(stop.code or 0)
    if not run.first_process:
        return 0
    done = len(run.history)
    stopped = not run.finished and not (options.no_test and run.trained)
    for split, metrics in run.metrics.items():
        so_far = f" (unfinished: best of {done} of {settings.epochs} epochs)" if stopped else ""
        found = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"{run.folder.name} {split}{so_far}: {found}")
    if options.structures and run.predictions is not None:
        groups = run.predictions["group" if "group" in run.predictions else "id"].nunique()
        few = " (few: believe little of it; a column `split` says which ones are tested)" if groups < 5 else ""
        print(f"{run.folder}: the model, and predictions for the test set of {groups} structures{few}:")
        print(metric_lines(metric_table(run.metrics["test"], run.predictions)))
    if stopped:
        print(f"time limit reached after {done} of {settings.epochs} epochs; the same command goes on", file=sys.stderr)
        # torchrun takes every status but 0 for a crash.
        return 0 if "TORCHELASTIC_RUN_ID" in os.environ else 3
    return 0


def _with_task(options: argparse.Namespace) -> argparse.Namespace:
    """The options with the task that --structures and --labels mean, and its folder.

    Raises:
        UserError: options that do not go together.
    """
    own = options.structures is not None
    if not own and (options.task is None or options.task.startswith("own")):
        raise UserError("name a task, or give your own data with --structures, --labels and --target")
    if not own and (options.labels or options.target or options.split or options.classes):
        raise UserError(
            "--labels, --target, --split and --classes go with own data: give their folder with --structures"
        )
    if own:
        if options.data is not None or options.size is not None:
            raise UserError("--structures takes the place of --data and --size")
        if options.task not in (None, "own", "own-classes", "res", "own-res"):
            raise UserError(f"own structures can be trained on with a table of labels, or for res; got {options.task}")
        guesses = options.task in ("res", "own-res")
        if guesses and (options.labels or options.target or options.classes):
            raise UserError("res needs no labels: leave --labels, --target and --classes out, or leave res out")
        if not guesses and not (options.labels and options.target):
            raise UserError("own structures need a table and its column: --labels FILE --target COLUMN (or train res)")
        options.classes = options.classes or options.task == "own-classes"
        options.task, options.data = "own-res" if guesses else "own", options.structures
    return options


def predict(argv: list[str]) -> None:
    """Predict for structure files with a trained model; a row a structure, or a residue."""
    parser = Parser(prog="eqgat predict", description=predict.__doc__)
    parser.add_argument("trained", metavar="MODEL", help="folder of a finished run or of its model, or res")
    parser.add_argument("files", metavar="FILE", nargs="+", help="structure files, or folders of them")
    parser.add_argument("-o", "--out", metavar="FILE", help="CSV to write (default: to the terminal)")
    options = parser.parse_args(argv)
    if options.out is not None:
        given = [home(file) for file in options.files]
        inside = [file for folder in given if folder.is_dir() for file in folder.iterdir()]
        structures = [file for file in inside if is_structure(file.name)]
        check_new_file(home(options.out), "--out", [*given, *structures])
    from eqgat.training.evaluation import predict as run

    table, told = run(options.trained, options.files)
    for name, what in told.items():
        print(f"{name}: {what}", file=sys.stderr)
    text = table.to_csv(index=False, float_format="%.6g")
    if options.out is None:
        print(text, end="")
        return
    write_files({home(options.out): text})
    print(f"{len(table)} predictions for {table['structure'].nunique()} structures are in {options.out}")


def _say_epoch(record: dict[str, float]) -> None:
    """One line an epoch, where no progress bar says it."""
    if not sys.stderr.isatty():
        counted = {**record, "epoch": record["epoch"] + 1}
        print(" ".join(f"{name} {value:.4g}" for name, value in counted.items()), file=sys.stderr, flush=True)


def _parser() -> Parser:
    parser = Parser(
        prog="eqgat train",
        description="Train one model on one task with one seed, test it once, and write\n"
        "the rows of the run to the results store. Interrupted runs go on when the same\ncommand is given again.",
        epilog=_SEVERAL_DEVICES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(task for task in TASKS if not task.startswith("own"))
    parser.add_argument("task", nargs="?", choices=list(TASKS), metavar="TASK", help=f"{names}; none for a table")
    parser.add_argument("--model", choices=list(MODELS), default="eqgat", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--profile", choices=["quick", "cpu", "full"], help="default: EQGAT_PROFILE, else quick")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order of batches and dropout")
    own = parser.add_argument_group("own data (with res and no labels: which amino acid was here?)")
    own.add_argument("--structures", metavar="DIR", help="folder of structure files")
    own.add_argument(
        "--labels", metavar="FILE", help="CSV with a column structure; a column residue: labels of residues"
    )
    own.add_argument("--target", metavar="COLUMN", help="column of the labels")
    own.add_argument("--classes", action="store_true", help="the labels are names of classes, not numbers")
    own.add_argument(
        "--split",
        metavar="COLUMN|random|clusters",
        help="a column that says train, val or test (default: split, where there is one), structures drawn at random, "
        "or whole clusters of similar sequences",
    )
    change = parser.add_argument_group("changes to the profile")
    change.add_argument(
        "--from",
        dest="start",
        metavar="NAME|DIR",
        help="start with the weights of a shipped model (res) or of a run; graphs hold the atoms that they held there",
    )
    change.add_argument(
        "--stop-after", type=int, metavar="N", help="stop after N epochs without a better one; 0: never"
    )
    change.add_argument("--epochs", type=int)
    change.add_argument("--batch-size", type=int, help="graphs, over all devices together")
    change.add_argument("--learning-rate", type=float)
    change.add_argument("--precision", choices=["32-true", "bf16-mixed", "64-true"])
    change.add_argument("--loss", help="a loss of the task: for rsr, correlation (default) or mse")
    change.add_argument("--monitor", help="validation metric that chooses the best epoch, for example mean_spearman")
    change.add_argument("--schedule", choices=["plateau", "cosine"], help="of the learning rate")
    parser.add_named_values(change, "--model-option", "an option of the model, for example num_layers=3")
    parser.add_named_values(change, "--option", "an option of the data, for example hydrogens=true")
    change.add_argument(
        "--standardise-readout",
        action=argparse.BooleanOptionalAction,
        help="for training that ends at a constant: standardise what the head sees of each graph",
    )
    change.add_argument("--size", type=int, help="number of structures, for generated data")
    place = parser.add_argument_group("files")
    place.add_argument("--data", metavar="DIR", help="folder of the data; generated data are kept there")
    place.add_argument("--runs", metavar="DIR", default="runs", help="checkpoints and trained models (default: runs)")
    place.add_argument("--results", metavar="DIR", help="results store (default: figures/results)")
    how = parser.add_argument_group("how to run")
    again = how.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with an unfinished run (the default)")
    again.add_argument("--restart", action="store_true", help="forget an earlier run with the same settings")
    how.add_argument(
        "--no-test",
        action="store_true",
        help="leave the test set alone and write rows of the validation "
        "set only, to choose settings by; the same command without this goes on with the test",
    )
    how.add_argument("--time-limit", type=seconds, metavar="HH:MM:SS", help="stop with a checkpoint; go on later")
    how.add_argument("--accelerator", default="auto", help="cpu, gpu, ... (Lightning; default: auto)")
    how.add_argument("--devices", type=int, default=1, help="devices on each node")
    how.add_argument("--nodes", type=int, default=1)
    how.add_argument("--strategy", default="auto", help="Lightning's, for example ddp")
    how.add_argument("--workers", type=int, default=0, help="processes that load data")
    how.add_argument("--deterministic", action="store_true", help="also on a GPU, somewhat slower")
    return parser


def seconds(text: str) -> float:
    """``"HH:MM:SS"`` -> seconds, for arguments of commands.

    >>> seconds("01:00:30")
    3630
    """
    match = re.fullmatch(r"(\d+):([0-5]?\d):([0-5]?\d)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time as HH:MM:SS, for example 00:09:00")
    hours, minutes, seconds = map(int, match.groups())
    return 3600 * hours + 60 * minutes + seconds
