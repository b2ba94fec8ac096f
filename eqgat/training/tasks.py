"""What the training engine asks of a task: its data, its loss, its metrics. One class a kind of prediction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch_geometric.data import Batch, Data

from eqgat.datasets.task import SPLITS, TASKS, direction
from eqgat.errors import UserError
from eqgat.options import known_options
from eqgat.saving import seeded
from eqgat.training.metrics import classification_metrics, pair_metrics, ranking_metrics, regression_metrics
from eqgat.training.receptive_field import at_centers
from eqgat.training.settings import Settings, build_model

__all__ = [
    "PairModel",
    "ReadoutNorm",
    "Task",
    "correlation_loss",
    "left_out",
    "make_task",
    "standardisation",
]


def correlation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """0.8 (1 - r) + 0.2 MSE, with Pearson's r within the batch; of [n, 1].

    r counts as 0 where it is undefined, in a batch of one or of equal values: there the loss has no NaN.

    >>> x = torch.tensor([[1.0], [2.0], [3.0]])
    >>> round(float(correlation_loss(x, x)), 3)
    0.0
    """
    x, y = prediction - prediction.mean(), target - target.mean()
    r = (x * y).sum() / (x.square().sum() * y.square().sum() + 1e-12).sqrt()
    return 0.8 * (1 - r) + 0.2 * mse_loss(prediction, target)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse_loss,
    "correlation": correlation_loss,
    "cross-entropy": cross_entropy,
    "binary-cross-entropy": binary_cross_entropy_with_logits,
}


class Task:
    """A task, as the engine sees it: a regression, of one number or of several.

    Attributes:
        settings: of the run.
        spec: what the task says of itself.
        monitor: name of the validation metric that chooses the best epoch and steers the learning rate.
        mode: "min" or "max".
        loss: the loss of a batch, of raw or of standardised values [rows, out_channels].

    Raises:
        UserError: a model that cannot be built with its options.

    >>> task = Task(Settings("lba", "eqgat", "quick", 0, 1, 1, 1e-3))
    >>> task.monitor, task.mode
    ('mse', 'min')
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.spec = settings, TASKS[settings.task]
        self.monitor = settings.monitor or self.spec.metrics[0]
        self.mode = direction(self.monitor)
        self.loss = LOSSES[settings.loss or self.spec.losses[0]]
        # Those that the model does not take, too: edges have a cutoff whether or not the model knows it.
        self.all_options = {**self.spec.profiles[settings.profile]["model_options"], **settings.model_options}

    def data_options(self) -> dict[str, Any]:
        """Options of the data: the user's, and what follows from the model.

        Where the answer is read off one atom, graphs hold no atoms that it does not depend on (``hops``).

        Raises:
            UserError: ``hops`` without a centre, or fewer than the model sees.
        """
        own: dict[str, Any] = {}
        given = self.settings.data_options
        if "hops" in known_options(self.spec.options):
            own["cutoff"] = self.all_options["cutoff"]
            if self.settings.model_options.get("readout") == "node":
                own["hops"] = sees = getattr(build_model(self.settings), "hops", None)
                if given.get("hops") is not None and (sees is None or given["hops"] < sees):
                    far = "the whole graph" if sees is None else f"{sees} edges away"
                    raise UserError(
                        f"hops={given['hops']} leaves out atoms that the answer depends on: the model sees {far}; "
                        "leave this option out"
                    )
            elif given.get("hops") is not None:
                raise UserError(
                    f"hops needs graphs with a centre, and those of {self.spec.name} have none; leave it out"
                )
        return {**own, **given}

    def load(self, folder: str | None) -> dict[str, Any]:
        """Data sets "train", "val" and "test"; ``folder`` is where the user keeps the data.

        Raises:
            UserError: no data, or data that cannot be used; the full profile of ATOM3D without a folder.
            FileNotFoundError: no such folder.
        """
        if folder is None and self.spec.archive is not None and self.settings.profile == "full":
            raise UserError(
                f"the full profile of {self.settings.task} needs the data set: give its folder with "
                f"--data; `eqgat download {self.settings.task} DIR` fetches it"
            )
        return self.spec.load(folder, **self.data_options())

    def digest(self, splits: Mapping[str, Any]) -> str:
        """What the data are, and a hash that is equal for equal data; kept with every result."""
        own = [splits[name].digest() for name in SPLITS]
        what = self.spec.describe(splits)
        return (
            f"{what}, {hashlib.sha256(''.join(own).encode()).hexdigest()[:12]}"
            if what
            else "-".join(d[:6] for d in own)
        )

    def num_outputs(self) -> int:
        """Numbers in a row of predictions."""
        return self.settings.model_options.get("out_channels", 1)

    def build(self) -> nn.Module:
        """The model, with initial weights that depend on the seed alone."""
        return build_model(self.settings)

    def collate(self, items: Batch | Sequence[Data | tuple[Data, ...]]) -> Batch:
        """Items of a data set -> a batch; of pairs of graphs, one graph after the other. Some make whole batches."""
        if isinstance(items, Batch):
            return items
        return Batch.from_data_list(
            [graph for item in items for graph in (item if isinstance(item, tuple) else (item,))]
        )

    def prepare(self, batch: Batch) -> Batch:
        """Last touch on the device, for example the edges."""
        return self.spec.finish(batch, self.all_options)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Predictions [rows, out_channels], raw; a model with ``readout="node"`` answers at the central atoms."""
        return at_centers(model, batch) if self.settings.model_options.get("readout") == "node" else model(batch)

    def targets(self, batch: Batch) -> Tensor:
        """Targets [rows, out_channels], raw."""
        return batch.y

    def metrics(self, prediction: Tensor, target: Tensor, data: Any) -> dict[str, float]:
        """Metrics of a whole split, of raw values in the order of ``data``, on the CPU; has ``self.monitor``.

        One number: see ``regression_metrics``. Several: "mse", the mean over all, and "mse_<target>", "r2_<target>"
        and "prediction_std_<target>" of each.
        """
        if target.shape[1] == 1:
            return regression_metrics(prediction, target)
        each = {name: regression_metrics(prediction[:, k], target[:, k]) for k, name in enumerate(data.target_names)}
        return {
            "mse": sum(found["mse"] for found in each.values()) / len(each),
            **{f"{metric}_{name}": each[name][metric] for metric in ("mse", "r2", "prediction_std") for name in each},
        }


class RankingTask(Task):
    """A number a structure, judged by how it ranks those of one group: see ``ranking_metrics``."""

    def metrics(self, prediction: Tensor, target: Tensor, data: Any) -> dict[str, float]:
        """See ``ranking_metrics``."""
        return ranking_metrics(prediction, target, data.groups)


class ClassTask(Task):
    """A class, from logits [rows, classes]."""

    def metrics(self, prediction: Tensor, target: Tensor, data: Any) -> dict[str, float]:
        """See ``classification_metrics``."""
        return classification_metrics(prediction, target)


class PairTask(Task):
    """Whether two residues touch: the logit of a pair of graphs, or of two atoms of one graph."""

    def num_outputs(self) -> int:
        """One a pair, whatever the network has."""
        return 1

    def build(self) -> nn.Module:
        """The model between two graphs: one that does not answer pairs itself becomes a ``PairModel``."""
        model = build_model(self.settings)
        if getattr(model, "answers_pairs", False):
            return model
        wide = getattr(model, "wide_pair_head", False)
        return seeded(PairModel, self.settings.seed, network=model, wide=wide)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits [pairs, 1]."""
        return model(batch)

    def targets(self, batch: Batch) -> Tensor:
        """One row a pair [pairs, 1]."""
        return batch.y[::2]

    def metrics(self, prediction: Tensor, target: Tensor, data: Any) -> dict[str, float]:
        """See ``pair_metrics``."""
        return pair_metrics(prediction, target)


KINDS = {"regression": Task, "ranking": RankingTask, "classes": ClassTask, "pairs": PairTask}


class PairModel(nn.Module):
    """One network on two graphs, and a head on the states of their central atoms, side by side.

    The order of the two matters, as in the released code. With F numbers an atom the head is 2F -> F -> 1.

    Args:
        network: a model with ``readout="node"``; its own head is taken off.
        wide: GVP's head, 2F -> 4F -> 1 with ReLU and dropout.

    >>> from eqgat.model import EQGAT
    >>> PairModel(EQGAT(num_elements=9, out_channels=1, readout="node")).head[0]
    Linear(in_features=200, out_features=100, bias=True)
    """

    def __init__(self, network: nn.Module, wide: bool = False) -> None:
        super().__init__()
        linear = (module for module in network.get_submodule("head").modules() if isinstance(module, nn.Linear))
        # SEGNN has no head, and says how many numbers an atom has.
        width: int = first.in_features if (first := next(linear, None)) else getattr(network, "num_features")  # noqa: B009
        network.head = nn.Identity()
        self.network = network
        hidden = 4 * width if wide else width
        between = [nn.ReLU(), nn.Dropout(0.1)] if wide else [nn.SiLU()]
        self.head = nn.Sequential(nn.Linear(2 * width, hidden), *between, nn.Linear(hidden, 1))
        for module in self.head:
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    @property
    def has_unused_weights(self) -> bool:
        """Whether some weights of the network have no gradient."""
        return getattr(self.network, "has_unused_weights", False)

    def forward(self, data: Batch) -> Tensor:
        """A batch of 2P graphs, partners after each other, with ``center_index`` [2P] -> logits [P, 1]."""
        x = at_centers(self.network, data)
        return self.head(x.view(-1, 2 * x.shape[1]))


def make_task(settings: Settings) -> Task:
    """The task of a run.

    >>> make_task(Settings("lba", "eqgat", "quick", 0, 1, 1, 1e-3)).monitor
    'mse'
    """
    return KINDS[TASKS[settings.task].kind](settings)


def left_out(data: Any) -> str:
    """How much of a split was left out, and why most of it; "" if nothing was.

    >>> left_out(object())
    ''
    """
    skipped, told = getattr(data, "skipped", None), getattr(data, "told", "")
    if skipped is None or skipped.empty:
        return told
    broken = int((skipped["name"] == "").sum())
    return (f"{told}; " if told else "") + (
        f"left out: {broken} of {data.num_items} items and {len(skipped) - broken} samples, which leaves "
        f"{len(data)}; most often: {skipped['reason'].mode()[0]}. All reasons: .skipped of the data"
    )


def standardisation(task: Task, train: Any) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the training targets [out_channels]; 0 and 1 where the settings say raw.

    The deviation of a single target is taken to be 1.

    >>> from types import SimpleNamespace
    >>> task = Task(Settings("lba", "eqgat", "quick", 0, 1, 1, 1e-3, standardise=True))
    >>> standardisation(task, SimpleNamespace(y=torch.tensor([[4.0], [6.0]])))
    (tensor([5.]), tensor([1.4142]))
    """
    if not task.settings.standardise:
        return torch.zeros(task.num_outputs()), torch.ones(task.num_outputs())
    target = train.y.double()
    if not train.y.is_floating_point():
        raise UserError(f"the targets of {task.settings.task} are classes, which cannot be standardised")
    deviation = target.std(dim=0).clamp(min=1e-12) if len(target) > 1 else torch.ones(target.shape[1:])
    return target.mean(dim=0).float(), deviation.float()


class ReadoutNorm(nn.Module):
    """Standardises what the head sees, [graphs, channels]: in training by the batch, else by kept statistics.

    Kept are the means over the batches of ``measure``. Running statistics would not do: while the learning rate is high,
    what the head sees moves on by more than its spread within a few steps.

    Args:
        head: a linear layer, or layers that start with one; the norm acts before it from now on.

    Raises:
        UserError: the head does not start with a linear layer.

    >>> norm = ReadoutNorm(nn.Linear(1, 1))
    >>> norm(torch.tensor([[1.0], [3.0]])).flatten()
    tensor([-1.0000,  1.0000])
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        first = head[0] if isinstance(head, nn.Sequential) else head
        if not isinstance(first, nn.Linear):
            raise UserError("standardise_readout needs a model whose head starts with a linear layer")
        self.norm = nn.BatchNorm1d(first.in_features, affine=False)
        self.measuring = False
        first.register_forward_pre_hook(lambda _, inputs: (self(inputs[0]),))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape. A batch of one graph has no statistics of its own and takes the running ones."""
        self.norm.train((self.training or self.measuring) and len(x) > 1)
        return self.norm(x)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """What the head sees in here makes the statistics anew."""
        momentum, self.norm.momentum = self.norm.momentum, None  # the mean over all batches
        self.norm.reset_running_stats()
        self.measuring = True
        try:
            yield
        finally:
            self.measuring, self.norm.momentum = False, momentum

    @torch.no_grad()
    def put_into(self, head: nn.Module) -> None:
        """Change the first layer of a copy of the head, so that it gives the same without the norm."""
        first = head[0] if isinstance(head, nn.Sequential) else head
        assert isinstance(first, nn.Linear)
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        first.weight.div_((self.norm.running_var + self.norm.eps).sqrt().cpu())
        first.bias.sub_(first.weight @ self.norm.running_mean.cpu())
