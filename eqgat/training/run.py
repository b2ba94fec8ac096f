"""``train``: one run from its settings to its rows in the results store."""

from __future__ import annotations

import gzip
import io
import json
import logging
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from torch import nn

from eqgat.errors import UserError
from eqgat.files import home, is_writable, read_checked, write_checked
from eqgat.saving import SETTINGS
from eqgat.training.checkpoint import read_checkpoint
from eqgat.training.memory import freed_memory_kept
from eqgat.training.results import device_name, git_commit, now, package_versions, write_results
from eqgat.training.settings import MODELS, Settings, num_parameters
from eqgat.training.tasks import left_out, make_task

__all__ = ["Run", "check_device", "train"]

PREDICTIONS = "predictions.csv.gz"  # in the folder of a run
FINISHED = "finished.json"  # in the folder of a run, when it is


@dataclass(frozen=True)
class Run:
    """What came out of a run.

    Attributes:
        settings: of the run.
        folder: with the checkpoint, the learning curve, the predictions for the test set and the trained model.
        metrics: split -> metric -> value; while the training is unfinished, "val" alone, of the best epoch so far (none
            where no epoch is finished).
        history: one record an epoch.
        finished: False if the time limit stopped it, or it was not to be tested yet; the same call goes on.
        model: the trained model, which gives raw predictions; None while the run is unfinished.
        predictions: for the test set, see ``prediction_table``; None while the run is unfinished.
        first_process: False in all processes but the first of a run that has several.
        data: what the data are, and their digest.
        trained: whether no epoch is left to do.
    """

    settings: Settings
    folder: Path
    metrics: dict[str, dict[str, float]]
    history: list[dict[str, float]]
    finished: bool
    model: nn.Module | None = None
    predictions: pd.DataFrame | None = None
    first_process: bool = True
    data: str = ""
    trained: bool = False


def train(
    settings: Settings,
    *,
    runs: str | Path = "runs",
    results: str | Path | None = None,
    data: str | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    strategy: str = "auto",
    workers: int = 0,
    deterministic: bool = False,
    time_limit: float | None = None,
    restart: bool = False,
    test: bool = True,
    progress: bool | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Train, choose the best epoch by validation, test once, and write the rows of the run.

    A run is known by its settings and its data. One that was interrupted goes on where its last checkpoint is; one
    that had finished is only read. Ctrl-C and SIGTERM finish the step under way and write a checkpoint first.

    Args:
        settings: which run, see ``make_settings``.
        runs: folder for checkpoints and trained models; each run has its own folder in it.
        results: the results store; None: write no rows.
        data: folder of the task's data; None: the task's default.
        accelerator, devices, nodes, strategy: Lightning's; the batch is shared out among all devices.
        workers: processes that load data.
        deterministic: also on a GPU, at some cost of speed. On a CPU every run is.
        time_limit: seconds after which the run stops with a checkpoint.
        restart: forget what an earlier run with these settings and data left.
        test: False leaves the test set alone and writes rows of the validation set only, to choose settings by.
        progress: progress bars; None: where stderr is a terminal.
        on_epoch: called with the record of each epoch.
        say: called with a line about the data and the device before work starts, and with what was left out.

    Raises:
        UserError: settings that do not fit together, folders or devices that cannot be used, data or a checkpoint that
            are damaged; a full disk.
        FileNotFoundError: no such data.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM came.

    >>> import tempfile
    >>> from eqgat.training import make_settings
    >>> settings = make_settings("triangle", epochs=1, data_options={"n": 10, "num_points": 5})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(train(settings, runs=folder).metrics)
    ['test', 'val']
    """
    stop_at = None if time_limit is None else time.monotonic() + time_limit
    if data is not None and not home(data).is_dir():
        raise FileNotFoundError(f"there is no folder {data!r} (--data)")
    for folder, option in ((runs, "--runs"), (results, "--results")):
        if folder is not None:
            is_writable(folder, option)
    for option, value, least in (("--devices", devices, 1), ("--nodes", nodes, 1), ("--workers", workers, 0)):
        if value < least:
            raise UserError(f"{option} must be at least {least}; got {value}")
    if settings.batch_size % (devices * nodes):
        raise UserError(
            f"a batch of {settings.batch_size} graphs cannot be shared by {devices} x {nodes} devices; choose "
            "--batch-size as a multiple of the number of devices"
        )
    task = make_task(settings)
    network = task.build()
    with _quiet(), freed_memory_kept():
        import lightning
        from lightning.pytorch.callbacks import TQDMProgressBar
        from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
        from lightning.pytorch.strategies import DDPStrategy
        from lightning.pytorch.utilities import rank_zero_only

        from eqgat.training.engine import TimeIsUp, TrainingModule

        on = check_device(accelerator, devices, strategy)
        splits = task.load(data)
        if empty := [split for split, part in splits.items() if not len(part)]:
            raise UserError(f"there are no items in {' and '.join(empty)}; more data are needed (--data, --size)")
        digest = task.digest(splits)
        folder = Path(runs) / settings.task / settings.run_name(digest)
        if say is not None and getattr(rank_zero_only, "rank", 0) == 0:
            say(_first_line(settings, splits, digest, on))
            if settings.start:
                fresh = getattr(network, "fresh_parameters", [n for n in network.state_dict() if n.startswith("head.")])
                kept = len(network.state_dict()) - len(fresh)
                say(
                    f"starts from {settings.start}: {kept} tensors of weights kept, fresh: {', '.join(fresh) or 'none'}"
                )
            if settings.taken_over:
                taken = ", ".join(f"{name}={json.dumps(value)}" for name, value in settings.taken_over.items())
                say(f"graphs hold the atoms that those of {settings.start} held: {taken} (--option changes it)")
            for split, part in splits.items():
                if told := left_out(part):
                    say(f"{settings.task} {split}: {told}")
        finished, checkpoint = folder / FINISHED, folder / "last.ckpt"
        if finished.is_file() and not restart:
            return _read_finished(finished, settings, digest, network, results)
        if getattr(rank_zero_only, "rank", 0) == 0:  # what an earlier process left: half-written files, or all of it
            for file in (*folder.glob("*.partial"), *((finished, checkpoint) if restart else ())):
                file.unlink(missing_ok=True)
        resume = (
            read_checkpoint(checkpoint, settings.to_json(), digest) if checkpoint.is_file() and not restart else None
        )
        module = TrainingModule(task, settings, splits, digest, checkpoint, resume, stop_at, workers, on_epoch)
        bars = sys.stderr.isatty() if progress is None else progress
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=DDPStrategy(find_unused_parameters=getattr(network, "has_unused_weights", False))
            if strategy in ("auto", "ddp") and devices * nodes > 1
            else strategy,
            precision=cast(Any, settings.precision),
            max_epochs=max(settings.epochs - module.start_epoch, 0),
            gradient_clip_val=settings.gradient_clip,
            deterministic="warn" if deterministic else None,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=bars,
            callbacks=[TQDMProgressBar(refresh_rate=10)] if bars else [],
            logger=_tensorboard(folder),
            log_every_n_steps=1,
            default_root_dir=folder,
            # Under torchrun inside a SLURM job the processes are torchrun's.
            plugins=[SLURMEnvironment(auto_requeue=False)]
            if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
            else [],
        )
        run = Run(
            settings, folder, {}, module.history, finished=False, first_process=trainer.is_global_zero, data=digest
        )
        stopped = False
        try:
            if not module.complete:
                trainer.fit(module)
        except TimeIsUp:
            stopped = True
        _pass_on(module.stopped_by)
        run = replace(run, trained=module.complete)
        if module.best is not None:
            run = replace(run, metrics={"val": _best_validation(module.history, module.best["epoch"])})
        if stopped:
            return run
        best = module.load_best()
        if test:
            trainer.test(module, verbose=False)
            run = replace(run, metrics={**run.metrics, "test": module.evaluated["test"]})
        model = module.export_model()
    if trainer.is_global_zero:
        device = device_name(trainer.strategy.root_device)
        named = ("task", "model", "profile", "changed", "seed", "epochs", "batch_size", "learning_rate", "precision")
        common = {name: getattr(settings, name) for name in named} | {
            "variant": MODELS[settings.model].variant,
            "versions": package_versions(),
            "commit": git_commit(),
            "date": now(),
            "command": settings.command + ("" if test else " --no-test"),
            "best_epoch": best["epoch"],
            "parameters": num_parameters(model),
            "num_train": len(splits["train"]),
            "seconds": round(module.seconds, 1),
            "data": digest,
            "device": f"{devices * nodes} x {device}" if devices * nodes > 1 else device,
        }
        if results is not None:
            write_results(results, folder.name, common, run.metrics, module.history, module.predictions)
        if test:
            _write_finished(finished, run, model, module.predictions, common)
    if not test:
        return run
    return replace(run, finished=True, model=model, predictions=module.predictions)


def check_device(accelerator: str, devices: int, strategy: str) -> str:
    """What a run would compute on, in words, if Lightning knows it and this machine has it.

    Raises:
        UserError: an unknown accelerator or strategy, one that is not there, or too few devices.

    >>> check_device("cpu", devices=1, strategy="auto").split()[0]
    'CPU'
    """
    from lightning.pytorch.accelerators import AcceleratorRegistry
    from lightning.pytorch.strategies import StrategyRegistry

    known = sorted({"auto", "gpu", *AcceleratorRegistry.available_accelerators()})
    if accelerator not in known:
        raise UserError(f"unknown accelerator {accelerator!r}; there are {', '.join(known)}")
    if strategy not in (names := {"auto", *StrategyRegistry.available_strategies()}):
        raise UserError(f"unknown strategy {strategy!r}; there are {', '.join(sorted(names))}")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if accelerator == "gpu" and gpus == 0 and torch.backends.mps.is_available():
        return "MPS"
    if accelerator in ("gpu", "cuda") or (accelerator == "auto" and gpus):
        if gpus < devices:
            raise UserError(f"{devices} GPUs were asked for (--devices), and there are {gpus}; try --accelerator cpu")
        return device_name(torch.device("cuda", 0))
    if accelerator not in ("auto", "cpu") and not _is_there(accelerator):
        raise UserError(f"there is no {accelerator} on this machine; try --accelerator cpu")
    return device_name(torch.device("cpu"))


def _is_there(accelerator: str) -> bool:
    """Whether the machine has it, and this Python its library, which Lightning looks for when it is made."""
    from lightning.pytorch.accelerators import AcceleratorRegistry

    try:
        return bool(AcceleratorRegistry.get(accelerator).is_available())
    except ImportError:
        return False


def _first_line(settings: Settings, splits: Mapping[str, Any], digest: str, device: str) -> str:
    """Which data, how many, which profile, on what."""
    what, _, number = digest.rpartition(", ")
    sizes = ", ".join(f"{len(part)} {split}" for split, part in splits.items())
    return (
        f"{settings.task}: {what or 'generated data'} [{number}], items: {sizes}; model {settings.model}, profile "
        f"{settings.profile}, seed {settings.seed}, on {device}"
    )


def _pass_on(number: int) -> None:
    """End as a program does that a signal stopped, now that the checkpoint is written."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number:
        raise SystemExit(128 + number)


def _best_validation(history: list[dict[str, float]], epoch: int) -> dict[str, float]:
    return {name.removeprefix("val_"): value for name, value in history[epoch].items() if name.startswith("val_")}


def _write_finished(
    file: Path, run: Run, model: nn.Module, predictions: pd.DataFrame | None, common: dict[str, Any]
) -> None:
    """The trained model, the predictions and, last, the record that says that the run is finished."""
    if hasattr(model, "save_pretrained"):
        cast(Any, model).save_pretrained(file.parent / "model")
        write_checked(file.parent / "model" / SETTINGS, run.settings.to_json())
    else:
        stream = io.BytesIO()
        torch.save(model.state_dict(), stream)
        write_checked(file.parent / "model.pt", stream.getvalue())
    if predictions is not None:
        text = predictions.to_csv(index=False, float_format="%.7g").encode()
        write_checked(file.parent / PREDICTIONS, gzip.compress(text, mtime=0))
    record = {
        "settings": run.settings.to_json(),
        "data": run.data,
        "metrics": run.metrics,
        "history": run.history,
        "row": common,
    }
    write_checked(file, json.dumps(record, indent=1))


def _read_finished(file: Path, settings: Settings, digest: str, model: nn.Module, results: str | Path | None) -> Run:
    """A run as ``_write_finished`` left it; ``model``: as it was built, to take the trained weights.

    Where the store ``results`` lacks its rows, they are written.
    """
    weights = file.parent / ("model/weights.pt" if hasattr(model, "save_pretrained") else "model.pt")
    try:
        record = json.loads(read_checked(file))
        said, data, metrics, history, row = (record[key] for key in ("settings", "data", "metrics", "history", "row"))
        if hasattr(model, "save_pretrained"):
            model.load_state_dict(cast(Any, type(model)).from_pretrained(weights.parent).state_dict())
        else:
            content = io.BytesIO(read_checked(weights))
            model.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
        predictions = pd.read_csv(io.BytesIO(read_checked(file.parent / PREDICTIONS)), compression="gzip")
    except Exception as error:  # damaged in whatever way
        raise UserError(
            f"what the finished run left in {file.parent} is missing or damaged ({error}); start the run anew with "
            "--restart"
        ) from error
    if (said, data) != (settings.to_json(), digest):
        raise UserError(
            f"{file} is of a run with other settings or data ({said}, {data}); start the run anew with --restart"
        )
    if results is not None and not (Path(results) / settings.task / f"{file.parent.name}.csv").is_file():
        write_results(results, file.parent.name, row, metrics, history, predictions)
    return Run(
        settings,
        file.parent,
        metrics,
        history,
        finished=True,
        trained=True,
        model=model.eval(),
        predictions=predictions,
        data=digest,
    )


def _tensorboard(folder: Path) -> Any:
    """A TensorBoard log where TensorBoard is installed; the learning curve is kept in any case."""
    if find_spec("tensorboard") is None:
        return False
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="tensorboard")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what Lightning says on every start; every other warning passes."""
    said = [
        r".*does not have many workers.*",
        r".*GPU available but not used.*",
        r".*isinstance\(treespec, LeafSpec\).*",
        r".*nn\.functional\.all_gather is deprecated.*",
    ]
    loggers = [
        logging.getLogger(f"lightning.{name}")
        for name in ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.distributed")
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in said:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
