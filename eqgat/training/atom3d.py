"""The five ATOM3D tasks as the training engine sees them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch_geometric.data import Batch, Data

from eqgat.datasets.atom3d.complexes import Complexes
from eqgat.datasets.atom3d.data import SPLITS, Atom3DData, ItemData, load_atom3d, looks_official
from eqgat.training.metrics import classification_metrics, pair_metrics, ranking_metrics, regression_metrics
from eqgat.training.receptive_field import at_centers, hops_needed
from eqgat.training.settings import Settings, build_model
from eqgat.training.tasks import Task

__all__ = ["LBATask", "PPITask", "PSRTask", "PairModel", "RESTask", "RSRTask", "correlation_loss"]


class Atom3DTask(Task):
    """What the five have in common.

    Attributes:
        losses: names that ``Settings.loss`` may have; the first is the default.
    """

    losses: tuple[str, ...] = ("mse",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.loss_name = settings.loss or self.losses[0]
        if self.loss_name not in self.losses:
            raise ValueError(f"{settings.task} has the losses {', '.join(self.losses)}; got {self.loss_name!r}")
        self.embedded = False
        options = settings.model_options
        hops = hops_needed(settings.model, options) if options.get("readout") == "node" else None
        self.data_options: dict[str, Any] = {
            "cutoff": options.get("cutoff", 4.5),
            "hops": hops,
            **settings.data_options,
        }

    def load(self, folder: str | None) -> dict[str, Any]:
        """The splits, from the unpacked archive or from prepared data; without a folder, the embedded samples.

        Where the answer is read off one atom, graphs hold no atoms that it does not depend on (``hops``).
        """
        if folder is not None:
            splits = {split: self._read(folder, split) for split in SPLITS}
            for split, data in splits.items():
                if told := left_out(data):
                    print(f"{self.settings.task} {split}: {told}", file=sys.stderr)
            return splits
        if self.settings.profile == "full":
            raise ValueError(
                f"the full profile of {self.settings.task} needs the data set: give its folder with "
                f"--data; `python -m eqgat download {self.settings.task} DIR` fetches it"
            )
        self.embedded = True
        return {
            split: ItemData(self.settings.task, _embedded(self.settings.task, split), split, **self.data_options)
            for split in SPLITS
        }

    def _read(self, folder: str, split: str) -> Atom3DData:
        return load_atom3d(self.settings.task, folder, split, **self.data_options)

    def digest(self, splits: dict[str, Any]) -> str:
        """What the data are, and a hash: results of other data must not pass for ATOM3D's."""
        together = hashlib.sha256("".join(splits[name].digest() for name in SPLITS).encode()).hexdigest()[:12]
        if self.embedded:
            kind = "embedded samples, not ATOM3D's"
        elif looks_official(self.settings.task, splits):
            kind = "ATOM3D"
        else:
            size = "small real LMDB set" if splits["train"].num_items < 2000 else "LMDB set"
            kind = f"{size} in the ATOM3D schema, not ATOM3D's"
        return f"{kind}, {together}"

    def collate(self, items: Sequence[Data | tuple[Data, ...]]) -> Batch:
        """Graphs, or the graphs of pairs one after the other, as one batch."""
        return Batch.from_data_list(
            [graph for item in items for graph in (item if isinstance(item, tuple) else (item,))]
        )

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean squared error."""
        return mse_loss(prediction, target)


class LBATask(Atom3DTask):
    """Binding affinity: RMSE of -log10 K over all complexes."""

    def metrics(self, prediction: Tensor, target: Tensor, data: Atom3DData) -> dict[str, float]:
        """See ``regression_metrics``."""
        return regression_metrics(prediction, target)


class PSRTask(Atom3DTask):
    """Ranking of protein structures by GDT_TS: Spearman correlations."""

    def metrics(self, prediction: Tensor, target: Tensor, data: Atom3DData) -> dict[str, float]:
        """See ``ranking_metrics``."""
        return ranking_metrics(prediction, target, data.groups)


class RSRTask(PSRTask):
    """Ranking of RNA structures by RMSD: Spearman correlations.

    The loss is the released code's, 0.8 (1 - r) + 0.2 MSE with the correlation r within the batch; the paper does not
    say. ``loss="mse"`` is plain MSE. The best epoch is that of the lowest validation MSE in both.
    """

    losses = ("correlation", "mse")

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See above."""
        return (correlation_loss if self.loss_name == "correlation" else mse_loss)(prediction, target)


class RESTask(Atom3DTask):
    """Residue identity: accuracy over all environments; the prediction is read at the alpha carbon."""

    monitor = "cross_entropy"
    losses = ("cross-entropy",)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits [environments, 20]."""
        return at_centers(model, batch) if self.settings.model_options.get("readout") == "node" else model(batch)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross entropy, classes unweighted."""
        return cross_entropy(prediction, target)

    def metrics(self, prediction: Tensor, target: Tensor, data: Atom3DData) -> dict[str, float]:
        """See ``classification_metrics``."""
        return classification_metrics(prediction, target)


class PPITask(Atom3DTask):
    """Interfaces: AUC over all stored pairs. Predictions are logits.

    The data option ``drawn_pairs`` makes an item of a training batch a whole complex with so many pairs that touch,
    drawn anew in every epoch, and as many that do not (see ``Complexes``). Without it, an item is one stored pair.
    """

    monitor, mode = "roc_auc", "max"
    losses = ("binary-cross-entropy",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.drawn_pairs = self.data_options.pop("drawn_pairs", None)
        if self.drawn_pairs and self.data_options["hops"] is None:
            raise ValueError(
                f"drawn_pairs puts both partners into one graph, which {settings.model} with its options "
                "would see as a whole; leave it out"
            )

    def load(self, folder: str | None) -> dict[str, Any]:
        """The stored pairs; for training, whole complexes where the settings say so."""
        splits = super().load(folder)
        if self.drawn_pairs:
            splits["train"] = Complexes(splits["train"], self.drawn_pairs)
        return splits

    def _read(self, folder: str, split: str) -> Atom3DData:
        prepared = not (self.drawn_pairs and split == "train")
        return load_atom3d("ppi", folder, split, prepared=prepared, **self.data_options)

    def num_outputs(self) -> int:
        """One a pair, whatever the network has."""
        return 1

    def build(self) -> nn.Module:
        """The model between two graphs: ATOM3D's baselines have their own way, all others a ``PairModel``."""
        model = build_model(self.settings)
        if self.settings.model in ("gcn", "cnn3d"):
            return model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            return PairModel(model, wide=self.settings.model == "gvp")

    def targets(self, batch: Batch) -> Tensor:
        """One row a pair [pairs, 1]."""
        return batch.y[::2]

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Binary cross entropy of the logits."""
        return binary_cross_entropy_with_logits(prediction, target)

    def metrics(self, prediction: Tensor, target: Tensor, data: Atom3DData) -> dict[str, float]:
        """See ``pair_metrics``."""
        return pair_metrics(prediction, target)


class PairModel(nn.Module):
    """One network on two graphs, and a head on the states of their central atoms, side by side.

    The order of the two matters, as in the released code. With F numbers an atom the head is 2F -> F -> 1.

    Args:
        network: a model with ``readout="node"``; its own head is taken off.
        wide: GVP's head, 2F -> 4F -> 1 with ReLU and dropout.
    """

    def __init__(self, network: nn.Module, wide: bool = False) -> None:
        super().__init__()
        first = next((module for module in network.head.modules() if isinstance(module, nn.Linear)), None)
        width = network.node_out.out.dim if first is None else first.in_features  # SEGNN has no head
        network.head = nn.Identity()
        self.network = network
        hidden = 4 * width if wide else width
        between = [nn.ReLU(), nn.Dropout(0.1)] if wide else [nn.SiLU()]
        self.head = nn.Sequential(nn.Linear(2 * width, hidden), *between, nn.Linear(hidden, 1))
        for module in self.head:
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, data: Batch) -> Tensor:
        """A batch of 2P graphs, partners after each other, with ``center_index`` [2P] -> logits [P, 1]."""
        x = at_centers(self.network, data)
        return self.head(x.view(-1, 2 * x.shape[1]))


def left_out(data: Atom3DData) -> str:
    """How much of a split was left out, and why most of it; "" if nothing was."""
    if data.skipped.empty:
        return ""
    broken = int((data.skipped["name"] == "").sum())
    return (
        f"left out: {broken} of {data.num_items} items and {len(data.skipped) - broken} samples, which leaves "
        f"{len(data)}; most often: {data.skipped['reason'].mode()[0]}. All reasons: load_atom3d(...).skipped"
    )


def correlation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """0.8 (1 - r) + 0.2 MSE, with Pearson's r within the batch; of [n, 1].

    r counts as 0 where it is undefined, in a batch of one or of equal values: there the loss has no NaN.
    """
    x, y = prediction - prediction.mean(), target - target.mean()
    r = (x * y).sum() / (x.square().sum() * y.square().sum() + 1e-12).sqrt()
    return 0.8 * (1 - r) + 0.2 * mse_loss(prediction, target)


def _embedded(task: str, split: str) -> Any:
    """The small real data that come with the package, in the official schema."""
    from eqgat.datasets.samples import sample_items

    return sample_items(task, split)
