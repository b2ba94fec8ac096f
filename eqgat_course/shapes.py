"""What a trace says of shapes: planes and vectors upright on them, handedness, and what differs between two shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eqgat import EQGAT
from eqgat.errors import UserError
from eqgat.layers import LayerTrace, sum_over_neighbours

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["best_plane", "handed_vectors", "neighbourhood_change", "out_of_plane"]


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
