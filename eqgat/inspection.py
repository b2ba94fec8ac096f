"""Reading a trace: attention received, mean vector terms, planes, handedness, and what changes between two shapes.

All of it works on the ``LayerTrace`` of a forward pass; nothing here computes a layer a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from eqgat.errors import UserError
from eqgat.layers import LayerTrace, sum_over_neighbours
from eqgat.model import EQGAT

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = [
    "TERM_NAMES",
    "attention_received",
    "best_plane",
    "effective_neighbours",
    "equal_share",
    "handed_vectors",
    "heads",
    "mean_terms",
    "neighbourhood_change",
    "out_of_plane",
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


def best_plane(positions: Tensor) -> tuple[Tensor, float]:
    """Unit normal [3] of the plane nearest to points [n, 3], and their root mean square distance from it, in Å.

    The sign of a normal is a convention: its largest component is positive.

    Raises:
        UserError: fewer than three points, which do not define a plane.

    >>> best_plane(torch.tensor([[0.0, 0, 5], [1, 0, 5], [0, 1, 5]]))
    (tensor([0., 0., 1.]), 0.0)
    """
    if len(positions) < 3:
        raise UserError(f"a plane needs at least three points; got {len(positions)}")
    centred = positions - positions.mean(dim=0)
    normal = torch.linalg.svd(centred, full_matrices=True)[2][2]
    normal = normal * normal[normal.abs().argmax()].sign()
    return normal, float((centred @ normal).square().mean().sqrt())


def out_of_plane(vectors: Tensor, normal: Tensor) -> Tensor:
    """|v · n| / |v| of vectors [..., 3] and a unit normal [3]: 0 in the plane, 1 upright on it; NaN where v is zero.

    >>> out_of_plane(torch.tensor([[3.0, 0, 4]]), torch.tensor([0.0, 0, 1]))
    tensor([0.8000])
    """
    length = torch.linalg.vector_norm(vectors, dim=-1)
    share: Tensor = (vectors @ normal).abs() / length.where(length > 0, torch.nan)
    return share


def handed_vectors(model: EQGAT, data: Data) -> list[tuple[Tensor, Tensor]]:
    """The polar and the axial part of v after each layer, each [N, 3, F_v].

    The model is run on the molecule and on its mirror image. With the mirror Q, a polar part p appears there as Q p,
    an axial part x as -Q x; so p = (v + Q v') / 2 and x = (v - Q v') / 2, exactly.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(cutoff=4.5)
    >>> polar, axial = handed_vectors(EQGAT(num_elements=9, out_channels=1, cross_product=None), graph)[-1]
    >>> bool(axial.abs().max() < 1e-4 * polar.abs().max())
    True
    """
    mirror = torch.tensor([1.0, 1.0, -1.0], dtype=data.pos.dtype)
    mirrored = data.clone()
    mirrored.pos = data.pos * mirror
    pairs = []
    for here, there in zip(model.trace(data), model.trace(mirrored), strict=True):
        back = there.v * mirror.to(there.v.dtype).view(3, 1)
        pairs.append(((here.v + back) / 2, (here.v - back) / 2))
    return pairs


def neighbourhood_change(first: LayerTrace, second: LayerTrace) -> tuple[Tensor, Tensor]:
    """How much the neighbourhood of each atom differs between two shapes of one molecule, both [N], 0 to 1.

    The first number compares the sets of neighbours: 1 - |both| / |either|. The second compares to whom the atom
    listens: half the sum over j of |α_ji - α'_ji|, averaged over channels; it is the share of attention that has
    moved to other atoms. An atom that has no neighbours in either shape gets 0.

    Args:
        first, second: traces of one layer, of two graphs with the same atoms in the same order.

    Raises:
        UserError: different numbers of atoms or channels.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(cutoff=4.5)
    >>> record = EQGAT(num_elements=9, out_channels=1, num_layers=2).trace(graph)[1]
    >>> [float(change.max()) for change in neighbourhood_change(record, record)]
    [0.0, 0.0]
    """
    if len(first.s) != len(second.s) or first.attention.shape[1] != second.attention.shape[1]:
        raise UserError(
            f"the two traces must have the same atoms and channels; got {len(first.s)} and "
            f"{len(second.s)} atoms, {first.attention.shape[1]} and {second.attention.shape[1]} channels"
        )
    num_nodes = len(first.s)
    key = [record.edges.receiver * num_nodes + record.edges.source for record in (first, second)]
    either, place = torch.unique(torch.cat(key), return_inverse=True)
    here, there = place.split([len(key[0]), len(key[1])])
    receiver = either // num_nodes
    difference = first.attention.new_zeros(len(either), first.attention.shape[1])
    difference[here] += first.attention
    difference[there] -= second.attention
    common = difference.new_zeros(len(either))
    common[here] += 0.5
    common[there] += 0.5
    total = torch.bincount(receiver, minlength=num_nodes).to(difference.dtype)
    shared = sum_over_neighbours((common == 1).to(difference.dtype), receiver, num_nodes)
    sets = torch.where(total > 0, 1 - shared / total.clamp(min=1), 0.0)
    return sets, sum_over_neighbours(difference.abs().mean(dim=1), receiver, num_nodes) / 2


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
    {'trained': 0.81, 'untrained': 0.99, 'uniform': 1.0}
    """
    return {
        "trained": measure(*trained),
        "untrained": measure(*untrained),
        "uniform": measure(*map(uniform_attention, trained)),
    }
