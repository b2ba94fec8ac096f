"""One run of training: fit, choose the best epoch by validation, test once; interrupted, it goes on as if it never was.

What is random in a step (dropout, and which graphs are in the batch) depends on (seed, epoch, step, device) alone, and
all state is in one checkpoint. So a run that is stopped at any moment, even by kill -9, and goes on later, computes
the same numbers as one that never stopped: bit by bit on a CPU.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from eqgat.errors import UserError
from eqgat.training.checkpoint import write_checkpoint
from eqgat.training.results import prediction_table
from eqgat.training.settings import Settings
from eqgat.training.tasks import ReadoutNorm, Task, standardisation

__all__ = ["TimeIsUp", "TrainingModule", "evaluation_batches", "training_batches"]


_READOUT = "readout_norm"  # name of that part of the model while it is trained


class TimeIsUp(Exception):
    """The time limit was reached, or a signal came; the checkpoint is written."""


def training_batches(
    size: int, batch_size: int, seed: int, epoch: int, skip: int = 0, rank: int = 0, world: int = 1
) -> list[list[int]]:
    """Batches of one epoch in an order that (seed, epoch) fix; each of ``world`` processes gets its part of each batch.

    Args:
        size: number of items.
        batch_size: items in a batch, over all processes.
        seed, epoch: of the order.
        skip: batches already done, left out.
        rank, world: number of this process, and how many there are.

    >>> [len(batch) for batch in training_batches(5, batch_size=2, seed=0, epoch=0)]
    [2, 2, 1]
    """
    order = torch.randperm(size, generator=torch.Generator().manual_seed(_mix(seed, epoch))).tolist()
    batches = [order[start : start + batch_size] for start in range(0, size, batch_size)][skip:]
    # A short last batch may not divide: processes that would miss out repeat its first items.
    return [[batch[(rank + k * world) % len(batch)] for k in range(-(-len(batch) // world))] for batch in batches]


def evaluation_batches(size: int, batch_size: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Batches in order; process ``rank`` gets items rank, rank + world, ...; the last are repeated to equal length.

    >>> evaluation_batches(5, batch_size=2, rank=1, world=2)
    [[1, 3], [4]]
    """
    per_process = -(-size // world)
    own = [min(rank + k * world, size - 1) for k in range(per_process)]
    return [own[start : start + batch_size] for start in range(0, per_process, batch_size)]


def _mix(*numbers: int) -> int:
    """One 63-bit seed from several small numbers; different numbers give unrelated seeds."""
    high, low = np.random.SeedSequence(numbers).generate_state(2)
    return (int(high) << 31) ^ int(low)


class TrainingModule(lightning.LightningModule):
    """The Lightning module that all tasks share: Adam, plateau schedule, best epoch by validation, exact resumption.

    Args:
        task, settings, splits: what to train on.
        digest: of the data.
        checkpoint: file to write after every epoch, and every ten minutes in between.
        resume: content of that file, to go on from.
        stop_at: moment (``time.monotonic``) at which to write a checkpoint and raise ``TimeIsUp``.
        workers: loader processes.
        on_epoch: called with the record of each finished epoch, in the first process.

    Attributes:
        stopped_by: the signal that asked for a stop, SIGINT (Ctrl-C) or SIGTERM; 0: none did. It stops as a time limit
            does, after the step under way.
    """

    def __init__(
        self,
        task: Task,
        settings: Settings,
        splits: dict[str, Any],
        digest: str,
        checkpoint: Path,
        resume: dict[str, Any] | None = None,
        stop_at: float | None = None,
        workers: int = 0,
        on_epoch: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        super().__init__()
        self.task, self.settings, self.splits, self.digest = task, settings, splits, digest
        self.checkpoint, self.resume, self.stop_at, self.workers = checkpoint, resume, stop_at, workers
        self.on_epoch, self.stopped_by = on_epoch, 0
        self.model = task.build()
        self.shift: Tensor
        self.scale: Tensor
        mean, std = standardisation(task, splits["train"])
        self.register_buffer("shift", mean, persistent=False)
        self.register_buffer("scale", std, persistent=False)
        if settings.standardise_readout:  # a part of the model, so that its state goes into every checkpoint
            self.model.add_module(_READOUT, ReadoutNorm(self.model.get_submodule("head")))
        state = resume or {}
        if resume:
            _load_weights(self.model, state["model"])
        self.start_epoch, self.skip = state.get("epoch", 0), state.get("batch", 0)
        self.history: list[dict[str, float]] = json.loads(state.get("history", "[]"))
        self.best: dict[str, Any] | None = state.get("best")
        self.seconds_before, self.started = state.get("seconds", 0.0), time.monotonic()
        self.loss_sum = state.get("loss", torch.zeros(()))
        self.saved_at = self.started
        self.evaluated: dict[str, dict[str, float]] = {}
        self.predictions: pd.DataFrame | None = None  # of the test set
        self._rows: list[tuple[Tensor, Tensor]] = []

    @property
    def epoch(self) -> int:
        """The epoch that is under way, counted over interruptions."""
        return self.start_epoch + self.current_epoch

    @property
    def seconds(self) -> float:
        """Time spent on this run, over interruptions."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def complete(self) -> bool:
        """Whether all epochs are done, or the last ``stop_after`` of them brought nothing better."""
        if len(self.history) >= self.settings.epochs:
            return True
        best = self.best["epoch"] if self.best else -1
        return 0 < self.settings.stop_after < len(self.history) - best

    def _done_before(self) -> int:
        """Batches of this epoch that were done before an interruption."""
        return self.skip if self.current_epoch == 0 else 0

    # data

    def _loader(self, split: str, batches: list[list[int]]) -> DataLoader:
        return DataLoader(
            self.splits[split],
            batch_sampler=batches,
            collate_fn=self.task.collate,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
        )

    def train_dataloader(self) -> DataLoader:
        """Made anew for every epoch."""
        if hasattr(self.splits["train"], "set_epoch"):  # data that differ from epoch to epoch
            self.splits["train"].set_epoch(self.epoch)
        return self._loader(
            "train",
            training_batches(
                len(self.splits["train"]),
                self.settings.batch_size,
                self.settings.seed,
                self.epoch,
                self._done_before(),
                self.global_rank,
                self.trainer.world_size,
            ),
        )

    def _evaluation_loader(self, split: str) -> DataLoader:
        batch_size = max(1, self.settings.batch_size // self.trainer.world_size)
        return self._loader(
            split, evaluation_batches(len(self.splits[split]), batch_size, self.global_rank, self.trainer.world_size)
        )

    def val_dataloader(self) -> DataLoader:
        """The validation split, in order."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader:
        """The test split, in order."""
        return self._evaluation_loader("test")

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Edges and the like, on the device."""
        return self.task.prepare(batch)

    # training

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; the schedule is stepped by this class and not by Lightning, which would save checkpoints before it."""
        s = self.settings
        self.optimizer = optimizer = torch.optim.Adam(self.model.parameters(), lr=s.learning_rate)
        self.scheduler = (
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, s.epochs)
            if s.schedule == "cosine"
            else torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode=self.task.mode, factor=s.lr_factor, patience=s.lr_patience, min_lr=s.min_lr
            )
        )
        if self.resume:
            optimizer.load_state_dict(self.resume["optimizer"])
            self.scheduler.load_state_dict(self.resume["scheduler"])
        return optimizer

    def on_train_start(self) -> None:
        """The running loss lives on the device; signals are ours until Lightning puts the former handlers back."""
        self.loss_sum = self.loss_sum.to(self.device)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        """Stop after this step, with a checkpoint; a second Ctrl-C stops at once, at the last checkpoint."""
        alone = self.trainer.world_size == 1  # launchers send the same signal again to each of several processes
        if alone and number == self.stopped_by == signal.SIGINT:
            raise KeyboardInterrupt
        self.stopped_by = number
        launcher = self.trainer.strategy.launcher
        if launcher is not None and number == signal.SIGTERM:  # a terminal sends Ctrl-C to all processes itself
            launcher.kill(number)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout of a step depends on nothing that came before it."""
        seed = _mix(self.settings.seed, self.epoch, self._done_before() + batch_idx, self.global_rank)
        # On a CPU, torch.manual_seed also notes the seed, with the whole call stack, for each kind of GPU: 1 ms a step.
        (torch.default_generator if self.device.type == "cpu" else torch).manual_seed(seed)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        output, target = self.task.predict(self.model, batch), self.task.targets(batch)
        # A loss in less than single precision would lose what mixed precision wins.
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        if target.is_floating_point():
            target = target.to(output.dtype)
        if self.settings.standardise:
            target = (target - self.shift) / self.scale
        loss = self.task.loss(output, target)
        self.loss_sum += loss.detach()
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Write a checkpoint within long epochs, and where the time is up."""
        done = self._done_before() + batch_idx + 1
        if self.trainer.is_last_batch:  # the end of the epoch is at hand, with validation and a checkpoint
            return
        if self._must_stop(done):
            self._save(self.epoch, done)
            raise TimeIsUp
        if time.monotonic() - self.saved_at > 600:
            self._save(self.epoch, done)

    def _must_stop(self, done: int) -> bool:
        """Whether to stop now; all processes give the same answer, for which they meet only now and then."""
        late = bool(self.stopped_by) or (self.stop_at is not None and time.monotonic() > self.stop_at)
        if self.trainer.world_size == 1:
            return late
        return done % 10 == 0 and self.trainer.strategy.reduce_boolean_decision(late, all=False)

    def on_train_epoch_end(self) -> None:
        """Step the schedule, keep the best weights, write the record of the epoch and a checkpoint."""
        batches = -(-len(self.splits["train"]) // self.settings.batch_size)
        rate = self.optimizer.param_groups[0]["lr"]
        metrics = self.evaluated["val"]
        value = metrics[self.task.monitor]
        loss = float(self.trainer.strategy.reduce(self.loss_sum, reduce_op="mean")) / batches
        self.loss_sum = torch.zeros_like(self.loss_sum)
        record = {
            "epoch": self.epoch,
            "train_loss": loss,
            **{f"val_{k}": v for k, v in metrics.items()},
            "learning_rate": rate,
            "seconds": round(self.seconds, 2),
        }
        self.history.append(record)
        if loss != loss:
            raise UserError(f"the training loss of epoch {self.epoch + 1} is not a number; try a lower learning rate")
        if isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(value)
        else:
            self.scheduler.step()
        sign = 1 if self.task.mode == "min" else -1
        if value == value and (self.best is None or sign * value < sign * self.best["value"]):
            self.best = {"value": value, "epoch": self.epoch, "model": _copy_weights(self.model)}
        self._save(self.epoch + 1, 0)
        if self.logger is not None:
            self.logger.log_metrics(record, step=self.epoch)
        if self.on_epoch is not None and self.trainer.is_global_zero:
            self.on_epoch(record)
        if self.complete:
            self.trainer.should_stop = True
        elif self._must_stop(0):
            raise TimeIsUp

    def _save(self, epoch: int, batch: int) -> None:
        self.saved_at = time.monotonic()
        if not self.trainer.is_global_zero:
            return
        write_checkpoint(
            self.checkpoint,
            {
                "settings": self.settings.to_json(),
                "data": self.digest,
                "model": _copy_weights(self.model),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "epoch": epoch,
                "batch": batch,
                "loss": self.loss_sum.cpu(),
                "history": json.dumps(self.history),
                "best": self.best,
                "seconds": self.seconds,
            },
        )

    # validation and test

    def on_validation_start(self) -> None:
        """Statistics of what the head sees, of the present weights, from the first training batches."""
        if not self.settings.standardise_readout:
            return
        readout = self.model.get_submodule(_READOUT)
        assert isinstance(readout, ReadoutNorm)
        size, batch_size = min(len(self.splits["train"]), 16 * self.settings.batch_size), self.settings.batch_size
        with readout.measure():
            for batch in self._loader("train", evaluation_batches(size, batch_size)):
                self.task.predict(self.model, self.trainer.strategy.batch_to_device(batch))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Keep raw predictions and targets; in the test, too."""
        output = self.task.predict(self.model, batch).float() * self.scale + self.shift
        self._rows.append((output, self.task.targets(batch)))

    test_step = validation_step

    def _finish(self, split: str) -> None:
        size = len(self.splits[split])
        columns = [torch.cat(rows) for rows in zip(*self._rows, strict=True)]
        self._rows = []
        if self.trainer.world_size > 1:  # [world, rows, ...] -> rows in the order of the data, without repeated ones
            gathered: list[Any] = [self.all_gather(column) for column in columns]
            columns = [column.transpose(0, 1).flatten(0, 1) for column in gathered]
        prediction, target = (column[:size].cpu() for column in columns)
        self.evaluated[split] = self.task.metrics(prediction, target, self.splits[split])
        if split == "test":
            self.predictions = prediction_table(prediction, target, self.splits[split])

    def on_validation_epoch_end(self) -> None:
        """Metrics of the whole split at once, not averaged over batches."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Metrics of the whole split at once, not averaged over batches."""
        self._finish("test")

    def load_best(self) -> dict[str, Any]:
        """Put the weights of the best epoch into the model; what is known of it.

        Raises:
            UserError: there is none, because no validation metric was a number.
        """
        if self.best is None:
            raise UserError(
                f"no epoch had a validation {self.task.monitor} that is a number, so that nothing can be tested; try a lower "
                "learning rate, or more validation data where the metric is a correlation"
            )
        _load_weights(self.model, self.best["model"])
        return self.best

    def export_model(self) -> nn.Module:
        """A copy of the model that gives raw predictions: what standardising did is put into the head's first and last
        layers.

        Raises:
            UserError: targets were standardised, and the model does not end in a linear layer.
        """
        model = self.task.build().eval()
        weights = _copy_weights(self.model)
        _load_weights(model, {name: value for name, value in weights.items() if not name.startswith(f"{_READOUT}.")})
        if self.settings.standardise_readout:
            readout = self.model.get_submodule(_READOUT)
            assert isinstance(readout, ReadoutNorm)
            readout.put_into(model.get_submodule("head"))
        if self.settings.standardise:
            head = model.get_submodule("head")
            last = head[-1] if isinstance(head, nn.Sequential) else head
            if not isinstance(last, nn.Linear):
                raise UserError("only a model that ends in a linear layer can be exported with standardised targets")
            with torch.no_grad():
                last.weight.mul_(self.scale.cpu().unsqueeze(1))
                last.bias.mul_(self.scale.cpu()).add_(self.shift.cpu())
        return model


def _copy_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"the weights of the checkpoint do not fit the model: {error}; start the run anew with --restart"
        ) from error
