"""``python -m eqgat train TASK ...``: train one model on one task, with one seed."""

from __future__ import annotations

import argparse
import os
import re
import sys

from eqgat.datasets.atom3d.prepare import named_value
from eqgat.profiles import profile
from eqgat.training.results import results_folder
from eqgat.training.settings import MODELS, PROFILES, make_settings

__all__ = ["main"]

_SEVERAL_DEVICES = """\
several devices and nodes; the batch of the settings is shared out among all of them:
  one node, 4 GPUs          python -m eqgat train triangle --profile full --devices 4
  2 nodes by torchrun       torchrun --nnodes 2 --nproc-per-node 4 --node-rank RANK --master-addr HOST \\
  (the same on each)            -m eqgat train triangle --profile full --nodes 2 --devices 4
  2 nodes in a SLURM job    srun --nodes 2 --ntasks-per-node 4 --gpus-per-node 4 \\
                                python -m eqgat train triangle --profile full --nodes 2 --devices 4
All nodes need one folder for --runs. SIGTERM (SLURM: sbatch --signal=TERM@120) and Ctrl-C write a checkpoint first.
"""


def main(argv: list[str]) -> int:
    """Train as the arguments say.

    Returns:
        0 when finished, 3 when the time limit came first, 2 for bad arguments, 128 + the number of a signal.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        settings = make_settings(
            arguments.task,
            arguments.model,
            arguments.profile or profile(),
            arguments.seed,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            precision=arguments.precision,
            loss=arguments.loss,
            schedule=arguments.schedule,
            model_options=dict(arguments.model_option),
            data_options={**({} if arguments.size is None else {"n": arguments.size}), **dict(arguments.option)},
        )
        from eqgat.training.run import train

        run = train(
            settings,
            runs=arguments.runs,
            results=arguments.results or results_folder(),
            data=arguments.data,
            accelerator=arguments.accelerator,
            devices=arguments.devices,
            nodes=arguments.nodes,
            strategy=arguments.strategy,
            workers=arguments.workers,
            deterministic=arguments.deterministic,
            time_limit=arguments.time_limit,
            restart=arguments.restart,
            test=not arguments.no_test,
            on_epoch=_say_epoch,
        )
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        print(f"python -m eqgat train: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, SystemExit) as stop:
        print("\ninterrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130 if isinstance(stop, KeyboardInterrupt) else int(stop.code or 0)
    if not run.first_process:
        return 0
    if not run.metrics:
        print(
            f"time limit reached after {len(run.history)} of {settings.epochs} epochs; the same command goes on",
            file=sys.stderr,
        )
        # torchrun takes every status but 0 for a crash.
        return 0 if "TORCHELASTIC_RUN_ID" in os.environ else 3
    for split, metrics in run.metrics.items():
        print(f"{settings.run_id} {split}: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
    return 0


def _say_epoch(record: dict[str, float]) -> None:
    """One line an epoch, where no progress bar says it."""
    if not sys.stderr.isatty():
        print(" ".join(f"{name} {value:.4g}" for name, value in record.items()), file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eqgat train",
        description="Train one model on one task with one seed, test it once, and write\n"
        "the rows of the run to the results store. Interrupted runs go on when the same\ncommand is given again.",
        epilog=_SEVERAL_DEVICES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=list(PROFILES), metavar="TASK", help=", ".join(PROFILES))
    parser.add_argument("--model", choices=list(MODELS), default="eqgat", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--profile", choices=["quick", "full"], help="default: EQGAT_PROFILE, else quick")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order of batches and dropout")
    change = parser.add_argument_group("changes to the profile")
    change.add_argument("--epochs", type=int)
    change.add_argument("--batch-size", type=int, help="graphs, over all devices together")
    change.add_argument("--learning-rate", type=float)
    change.add_argument("--precision", choices=["32-true", "bf16-mixed", "64-true"])
    change.add_argument("--loss", help="a loss of the task: for rsr, correlation (default) or mse")
    change.add_argument("--schedule", choices=["plateau", "cosine"], help="of the learning rate")
    change.add_argument(
        "--model-option",
        type=named_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the model, for example num_layers=3; may be given several times",
    )
    change.add_argument(
        "--option",
        type=named_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the data, for example hydrogens=true; may be given several times",
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
    how.add_argument("--time-limit", type=_seconds, metavar="HH:MM:SS", help="stop with a checkpoint; go on later")
    how.add_argument("--accelerator", default="auto", help="cpu, gpu, ... (Lightning; default: auto)")
    how.add_argument("--devices", type=int, default=1, help="devices on each node")
    how.add_argument("--nodes", type=int, default=1)
    how.add_argument("--strategy", default="auto", help="Lightning's, for example ddp")
    how.add_argument("--workers", type=int, default=0, help="processes that load data")
    how.add_argument("--deterministic", action="store_true", help="also on a GPU, somewhat slower")
    return parser


def _seconds(text: str) -> float:
    """ "HH:MM:SS" -> seconds."""
    match = re.fullmatch(r"(\d+):([0-5]?\d):([0-5]?\d)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time as HH:MM:SS, for example 00:09:00")
    hours, minutes, seconds = map(int, match.groups())
    return 3600 * hours + 60 * minutes + seconds
