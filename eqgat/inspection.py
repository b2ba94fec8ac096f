"""Reading a trace: attention received, its controls, and the mean vector terms.

All of it works on the ``LayerTrace`` of a forward pass; nothing here computes a layer a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from eqgat.errors import UserError
from eqgat.layers import LayerTrace, sum_over_neighbours

__all__ = [
    "TERM_NAMES",
    "attention_received",
    "effective_neighbours",
    "equal_share",
    "heads",
    "mean_terms",
    "residue_preference",
    "uniform_attention",
    "with_controls",
]

T = TypeVar("T")
TERM_NAMES = ("v_direction", "v_mix", "v_cross")


def heads(num_channels: int, num_heads: int) -> list[list[int]]:
    """The channels cut into ``num_heads`` groups of neighbours, as equal as possible.

    EQGAT itself has no heads: each channel has weights of its own. A head here is only a group to be averaged over.

    Raises:
        UserError: no head, or more heads than channels.

    >>> heads(num_channels=5, num_heads=2)
    [[0, 1, 2], [3, 4]]
    """
    if not 1 <= num_heads <= num_channels:
        raise UserError(f"{num_channels} channels can be cut into 1 to {num_channels} heads, not {num_heads}")
    return [part.tolist() for part in torch.arange(num_channels).tensor_split(num_heads)]


def over_channels(attention: Tensor, channels: int | Iterable[int] | None = None) -> Tensor:
    """Attention [E, C] of one channel, or the mean over several (a head) or over all (None): [E].

    Raises:
        UserError: a channel that does not exist.

    >>> over_channels(torch.tensor([[0.25, 0.75]]), channels=[0, 1])
    tensor([0.5000])
    """
    chosen = range(attention.shape[1]) if channels is None else [channels] if isinstance(channels, int) else channels
    chosen = list(chosen)
    if not chosen or not all(0 <= channel < attention.shape[1] for channel in chosen):
        raise UserError(f"channels must be among 0 to {attention.shape[1] - 1}; got {channels!r}")
    return attention[:, chosen].mean(dim=1)


def attention_received(record: LayerTrace, channels: int | Iterable[int] | None = None) -> Tensor:
    """sum over the receivers i of α_ji: how much all atoms together listen to atom j, [N].

    Each atom with neighbours gives away exactly 1, so that the mean over such a graph is 1.

    >>> from eqgat import EQGAT
    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(cutoff=4.5)
    >>> record = EQGAT(num_elements=9, out_channels=1, num_layers=2).trace(graph)[1]
    >>> round(float(attention_received(record).mean()), 4)
    1.0
    """
    edges = record.edges
    return sum_over_neighbours(over_channels(record.attention, channels), edges.source, len(record.s))


def equal_share(record: LayerTrace) -> Tensor:
    """What each atom would receive if all atoms listened equally to all of their neighbours, [N].

    Atom j receives sum over i of 1 / |N(i)|: more where it has many neighbours, and where these have few others.

    >>> from eqgat import EQGAT
    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(cutoff=4.5)
    >>> record = EQGAT(num_elements=9, out_channels=1, num_layers=2).trace(graph)[1]
    >>> round(float(equal_share(record).mean()), 4)
    1.0
    """
    edges = record.edges
    return sum_over_neighbours(1 / edges.num_neighbours[edges.receiver], edges.source, len(record.s))


def effective_neighbours(record: LayerTrace) -> Tensor:
    """exp of the entropy of α over the neighbours, as a share of |N(i)|, [N, F_s]: 1 where all weights are equal.

    Atoms without neighbours get NaN.

    >>> from eqgat import EQGAT
    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(cutoff=4.5)
    >>> record = EQGAT(num_elements=9, out_channels=1, num_layers=2).trace(graph)[1]
    >>> bool((effective_neighbours(record) < 1.0001).all())
    True
    """
    edges = record.edges
    entropy = sum_over_neighbours(torch.special.entr(record.attention), edges.receiver, len(record.s))
    number = edges.num_neighbours.unsqueeze(1)
    return entropy.exp() / number.where(number > 0, torch.nan)


def mean_terms(record: LayerTrace) -> dict[str, Tensor]:
    """The three terms of Eqs. 3 to 5, each averaged over the neighbours as in Eq. 6: name -> [N, 3, F_v].

    For a model that averages, their sum is the vector message m_i,v.

    >>> from eqgat import EQGAT
    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(cutoff=4.5)
    >>> record = EQGAT(num_elements=9, out_channels=1, num_layers=2).trace(graph)[1]
    >>> torch.allclose(sum(mean_terms(record).values()), record.vector_message, atol=1e-5)
    True
    """
    edges = record.edges
    count = edges.num_neighbours.clamp(min=1).view(-1, 1, 1)
    return {
        name: sum_over_neighbours(getattr(record, name), edges.receiver, len(record.s)) / count for name in TERM_NAMES
    }


def residue_preference(record: LayerTrace, residue_index: Tensor) -> Tensor:
    """log2 of (attention that the atoms of a residue receive together / what uniform weights would give them), [R].

    0 is what geometry gives, 1 twice as much. ``residue_index``: [N], the residue of each atom, from 0.


    >>> from eqgat.datasets import embedded_structure
    >>> from eqgat.pretrained import pretrained
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> record = uniform_attention(pretrained("res").trace(graph)[-1])
    >>> bool(residue_preference(record, graph.residue).abs().max() < 1e-3)
    True
    """
    received, equal = (
        torch.bincount(residue_index, part.double()) for part in (attention_received(record), equal_share(record))
    )
    return (received / equal).log2()


def uniform_attention(record: LayerTrace) -> LayerTrace:
    """The same record with α_ji = 1/|N(i)| in every channel: what is left of a picture if nobody prefers anybody.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> from eqgat.pretrained import pretrained
    >>> record = pretrained("res").trace(graph)[-1]
    >>> weight, edges = uniform_attention(record).attention[0, 0], record.edges
    >>> bool(weight == 1 / edges.num_neighbours[edges.receiver[0]])
    True
    """
    edges = record.edges
    weight = 1 / edges.num_neighbours[edges.receiver].to(record.attention.dtype)
    return replace(record, attention=weight.unsqueeze(1).expand_as(record.attention))


def with_controls(
    measure: Callable[..., T], trained: Sequence[LayerTrace], untrained: Sequence[LayerTrace]
) -> dict[str, T]:
    """A quantity of attention, and what it is without training and without attention.

    Args:
        measure: a function of the records of some layers, one argument each.
        trained, untrained: those records, of the trained model and of one with fresh weights on the same graphs.

    Returns:
        "trained", "untrained" and "uniform": the measure of each. What all three share is geometry, not attention.

    >>> from eqgat.datasets import embedded_structure
    >>> from eqgat.pretrained import pretrained, untrained
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> last = [model.trace(graph)[-1] for model in (pretrained("res"), untrained("res"))]
    >>> most = with_controls(lambda record: float(effective_neighbours(record).nanmean()), last[:1], last[1:])
    >>> {name: round(value, 2) for name, value in most.items()}
    {'trained': 0.6, 'untrained': 0.99, 'uniform': 1.0}
    """
    return {
        "trained": measure(*trained),
        "untrained": measure(*untrained),
        "uniform": measure(*map(uniform_attention, trained)),
    }
