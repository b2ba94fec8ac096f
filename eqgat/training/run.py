"""``train``: one run from its settings to its rows in the results store."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eqgat.training.checkpoint import read_checkpoint
from eqgat.training.results import device_name, git_commit, now, package_versions, write_results
from eqgat.training.settings import MODELS, Settings, num_parameters
from eqgat.training.tasks import make_task

__all__ = ["HAS_UNUSED_WEIGHTS", "Run", "train"]

# The last perceptrons of GVP make vectors that nothing reads: their weights have no gradient, which several
# processes must be told.
HAS_UNUSED_WEIGHTS = {"gvp"}


@dataclass(frozen=True)
class Run:
    """What came out of a run.

    Attributes:
        settings: of the run.
        folder: with the checkpoint, the learning curve and, for EQGAT, the trained model.
        metrics: split -> metric -> value; empty while the training is unfinished, "val" alone before the test.
        history: one record an epoch.
        finished: False if the time limit stopped it, or it was not to be tested yet; the same call goes on.
        model: the trained model, which gives raw predictions; None while the run is unfinished.
        first_process: False in all processes but the first of a run that has several.
    """

    settings: Settings
    folder: Path
    metrics: dict[str, dict[str, float]]
    history: list[dict[str, float]]
    finished: bool
    model: nn.Module | None = None
    first_process: bool = True


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
) -> Run:
    """Train, choose the best epoch by validation, test once, and write the rows of the run.

    A run that was interrupted goes on where its last checkpoint is; one that had finished is only read. Ctrl-C and
    SIGTERM finish the step under way and write a checkpoint first.

    Args:
        settings: which run, see ``make_settings``.
        runs: folder for checkpoints and trained models; each run has its own folder in it.
        results: the results store; None: write no rows.
        data: folder of the task's data; None: the task's default.
        accelerator, devices, nodes, strategy: Lightning's; the batch is shared out among all devices.
        workers: processes that load data.
        deterministic: also on a GPU, at some cost of speed. On a CPU every run is.
        time_limit: seconds after which the run stops with a checkpoint.
        restart: forget what an earlier run with these settings left.
        test: False leaves the test set alone and writes rows of the validation set only, to choose settings by.
        progress: progress bars; None: where stderr is a terminal.
        on_epoch: called with the record of each epoch.

    Raises:
        ValueError: settings that do not fit together, or a checkpoint that cannot be used.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM came.
    """
    stop_at = None if time_limit is None else time.monotonic() + time_limit
    folder = Path(runs) / settings.task / settings.run_id
    finished, checkpoint = folder / "finished.json", folder / "last.ckpt"
    if finished.is_file() and not restart:
        return _read_finished(finished, settings)
    if devices < 1 or nodes < 1 or settings.batch_size % (devices * nodes):
        raise ValueError(
            f"a batch of {settings.batch_size} graphs cannot be shared by {devices} x {nodes} devices; "
            "choose --batch-size as a multiple of their number"
        )
    with _quiet():
        import lightning
        from lightning.pytorch.callbacks import TQDMProgressBar
        from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
        from lightning.pytorch.strategies import DDPStrategy
        from lightning.pytorch.utilities import rank_zero_only

        from eqgat.training.engine import TimeIsUp, TrainingModule

        if rank_zero_only.rank == 0:  # what an earlier process left: half-written files, or all of it
            for file in (*folder.glob("*.partial"), *((finished, checkpoint) if restart else ())):
                file.unlink(missing_ok=True)
        task = make_task(settings)
        splits = task.load(data)
        digest = task.digest(splits)
        resume = (
            read_checkpoint(checkpoint, settings.to_json(), digest) if checkpoint.is_file() and not restart else None
        )
        module = TrainingModule(task, settings, splits, digest, checkpoint, resume, stop_at, workers, on_epoch)
        bars = sys.stderr.isatty() if progress is None else progress
        unused = settings.model in HAS_UNUSED_WEIGHTS
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=DDPStrategy(find_unused_parameters=unused)
            if strategy in ("auto", "ddp") and devices * nodes > 1
            else strategy,
            precision=settings.precision,
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
        unfinished = Run(settings, folder, {}, module.history, finished=False, first_process=trainer.is_global_zero)
        stopped = False
        try:
            if module.start_epoch < settings.epochs:
                trainer.fit(module)
        except TimeIsUp:
            stopped = True
        _pass_on(module.stopped_by)
        if stopped:
            return unfinished
        module.load_best()
        metrics = {"val": _best_validation(module.history, module.best["epoch"])}
        if test:
            trainer.test(module, verbose=False)
            metrics["test"] = module.evaluated["test"]
        model = module.export_model()
    if trainer.is_global_zero and results is not None:
        device = device_name(trainer.strategy.root_device)
        common = _common(settings) | {
            "command": settings.command + ("" if test else " --no-test"),
            "best_epoch": module.best["epoch"],
            "parameters": num_parameters(model),
            "num_train": len(splits["train"]),
            "seconds": round(module.seconds, 1),
            "data": digest,
            "device": f"{devices * nodes} x {device}" if devices * nodes > 1 else device,
        }
        write_results(results, settings.run_id, common, metrics, module.history)
    if not test:
        return replace(unfinished, metrics=metrics)
    if trainer.is_global_zero:
        if hasattr(model, "save_pretrained"):
            model.save_pretrained(folder / "model")
        else:
            _replace(folder / "model.pt", lambda partial: torch.save(model.state_dict(), partial))
        record = {"settings": settings.to_json(), "metrics": metrics, "history": module.history}
        _replace(finished, lambda partial: partial.write_text(json.dumps(record, indent=1), encoding="utf-8"))
    return Run(
        settings, folder, metrics, module.history, finished=True, model=model, first_process=trainer.is_global_zero
    )


def _pass_on(number: int) -> None:
    """End as a program does that a signal stopped, now that the checkpoint is written."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number:
        raise SystemExit(128 + number)


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "task": settings.task,
        "model": settings.model,
        "variant": MODELS[settings.model].variant,
        "profile": settings.profile,
        "changed": settings.changed,
        "seed": settings.seed,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "precision": settings.precision,
        "versions": package_versions(),
        "commit": git_commit(),
        "date": now(),
    }


def _best_validation(history: list[dict[str, float]], epoch: int) -> dict[str, float]:
    return {name.removeprefix("val_"): value for name, value in history[epoch].items() if name.startswith("val_")}


def _read_finished(file: Path, settings: Settings) -> Run:
    record = json.loads(file.read_text(encoding="utf-8"))
    if record.get("settings") != settings.to_json():
        raise ValueError(
            f"{file} is of a run with other settings ({record.get('settings')}); start the run anew with --restart"
        )
    model, weights = make_task(settings).build(), file.parent / "model.pt"
    if not weights.is_file():
        weights = file.parent / "model" / "weights.pt"
    try:
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:
        raise ValueError(f"{weights} is missing or damaged ({error}); start the run anew with --restart") from error
    return Run(settings, file.parent, record["metrics"], record["history"], finished=True, model=model.eval())


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    partial = file.with_name(f"{file.name}.partial")
    write(partial)
    partial.replace(file)


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
