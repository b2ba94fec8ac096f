"""What moves a prediction: gradients, integrated gradients and attention rollout of one number, and checks of them.

Attention says what a layer takes up, not what the prediction depends on. The functions here give each atom a number
for one ``Target``; ``deletion_curve`` asks whether the atoms with large numbers matter when they are taken away, and
``fresh`` gives the control with random weights: an attribution that looks the same there says nothing of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eqgat.errors import UserError
from eqgat.layers import LayerTrace, sum_over_neighbours
from eqgat.model import EQGAT
from eqgat.saving import seeded

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["Target", "attributions", "deletion_curve", "fresh", "gradient", "integrated_gradients", "rollout"]


@dataclass(frozen=True)
class Target:
    """The number of a prediction that is to be explained.

    Attributes:
        output: which of the model's outputs.
        row: of which atom, for a model that reads out atoms; None for a prediction about the graph.
        log_probability: take the log of the softmax over the outputs, for a classifier.

    >>> Target(1)(torch.tensor([[0.5, 2.0]])).item()
    2.0
    """

    output: int = 0
    row: int | None = None
    log_probability: bool = False

    def __call__(self, prediction: Tensor) -> Tensor:
        """The number, from the predictions of one graph: [] from [N, out_channels] or [1, out_channels]."""
        chosen = prediction[0 if self.row is None else self.row]
        return (chosen.log_softmax(dim=0) if self.log_probability else chosen)[self.output]


def fresh(model: EQGAT, seed: int = 0) -> EQGAT:
    """The same architecture with new random weights, in the same precision: the control of every picture.

    >>> from eqgat.pretrained import pretrained
    >>> fresh(pretrained("res")).config == pretrained("res").config
    True
    """
    return seeded(EQGAT, seed, config=model.config).to(next(model.parameters()).dtype).eval()


def gradient(model: EQGAT, data: Data, target: Target) -> Tensor:
    """Length of the gradient by each atom's position, |∂y/∂p_j| in units of y per Å, [N].

    How fast the prediction changes when an atom moves; that atoms come and go at the cutoff is not part of it.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> from eqgat.pretrained import pretrained
    >>> gradient(pretrained("res"), graph, Target(output=4, row=22)).shape
    torch.Size([459])
    """
    with torch.enable_grad():
        moved = data.clone()
        moved.pos = data.pos.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(target(model(moved)), moved.pos)
    return slope.norm(dim=1)


def integrated_gradients(model: EQGAT, data: Data, target: Target, steps: int = 32) -> Tensor:
    """What each atom's element adds to the prediction, [N], by integrated gradients (Sundararajan et al., 2017).

    The path leads from atoms of an average element (the mean of the embedding's rows) to the real ones, all positions
    fixed, so that the numbers add up to the difference of the two predictions, up to the error of ``steps`` points.
    Needs captum.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> from eqgat.pretrained import pretrained
    >>> integrated_gradients(pretrained("res"), graph, Target(output=4, row=22), steps=2).shape
    torch.Size([459])
    """
    from captum.attr import IntegratedGradients

    table = model.embedding.weight.detach()
    elements = table[data.z]

    def predict(embedded: Tensor) -> Tensor:
        with _embedded_as(model, embedded):
            return target(model(data)).reshape(1)

    with torch.enable_grad():
        parts = IntegratedGradients(predict).attribute(
            elements,
            baselines=table.mean(dim=0).expand_as(elements),
            n_steps=steps,
            internal_batch_size=len(elements),  # one point of the path at a time
        )
    return parts.sum(dim=1).detach()


@contextmanager
def _embedded_as(model: EQGAT, embedded: Tensor) -> Iterator[None]:
    """While it lasts, the model's embedding gives these rows, whatever the elements are."""
    handle = model.embedding.register_forward_hook(lambda module, inputs, output: embedded)
    try:
        yield
    finally:
        handle.remove()


def rollout(trace: Sequence[LayerTrace], row: int | None = None, uniform: bool = False) -> Tensor:
    """Attention followed back through all layers (Abnar and Zuidema, 2020): the share of each atom, [N], in sum 1.

    Each layer keeps half of what an atom is, for the residual, and takes half from its neighbours, by their attention
    (mean over channels). Knows neither values nor vectors.

    Args:
        trace: of ``model.trace``.
        row: the atom at which to begin; None to begin at all atoms alike.
        uniform: with weights 1/|N(i)| instead of attention: what geometry alone gives.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> from eqgat.pretrained import pretrained
    >>> round(rollout(pretrained("res").trace(graph), row=22).sum().item(), 3)
    1.0
    """
    size = len(trace[0].s)
    share = trace[0].attention.new_zeros(size)
    share[slice(None) if row is None else row] = 1 / size if row is None else 1.0
    for record in reversed(trace):
        edges = record.edges
        lonely = edges.num_neighbours == 0
        weight = 1 / edges.num_neighbours[edges.receiver] if uniform else record.attention.mean(dim=1)
        taken = sum_over_neighbours(weight * share[edges.receiver], edges.source, size)
        share = torch.where(lonely, share, share / 2) + taken / 2
    return share


def attributions(model: EQGAT, data: Data, target: Target, steps: int = 32) -> dict[str, Tensor]:
    """The three attributions of one prediction by name, each [N]. Needs captum.

    >>> from eqgat.datasets import embedded_structure
    >>> from eqgat.pretrained import pretrained
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> found = attributions(pretrained("res"), graph, Target(output=4, row=22, log_probability=True), steps=4)
    >>> {name: tuple(values.shape) for name, values in found.items()}
    {'gradient': (459,), 'integrated gradients': (459,), 'attention rollout': (459,)}
    """
    return {
        "gradient": gradient(model, data, target),
        "integrated gradients": integrated_gradients(model, data, target, steps),
        "attention rollout": rollout(model.trace(data), target.row),
    }


@torch.no_grad()
def deletion_curve(model: EQGAT, data: Data, target: Target, scores: Tensor, counts: Sequence[int]) -> Tensor:
    """How far the prediction moves when the atoms with the largest scores are taken away, |Δy| for each count.

    Args:
        scores: [N]; the atom of the target itself stays, whatever its score.
        counts: how many atoms to take away; ascending or not.

    Raises:
        UserError: scores of another size, or a count that leaves no atom.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> from eqgat.pretrained import pretrained
    >>> model, target = pretrained("res"), Target(output=4, row=22)
    >>> deletion_curve(model, graph, target, gradient(model, graph, target), counts=[0, 10])[0].item()
    0.0
    """
    size = len(data.z)
    if scores.shape != (size,):
        raise UserError(f"scores must have shape [{size}], one an atom; got {list(scores.shape)}")
    if not all(0 <= count < size for count in counts):
        raise UserError(f"counts must be 0 to {size - 1}; got {list(counts)}")
    order = scores.argsort(descending=True, stable=True)
    order = order if target.row is None else order[order != target.row]
    whole, changes = target(model(data)), []
    for count in counts:
        kept = torch.ones(size, dtype=torch.bool)
        kept[order[:count]] = False
        row = None if target.row is None else int(kept[: target.row].sum())
        fewer = Target(target.output, row, target.log_probability)
        changes.append((fewer(model(data.subgraph(kept))) - whole).abs())
    return torch.stack(changes)
