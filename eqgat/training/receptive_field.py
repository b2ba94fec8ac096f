"""What a prediction at a few central atoms depends on: ``at_centers`` computes that and nothing else.

Where the answer is read off one atom, the last layer is needed at that atom alone, the layer before it at its
neighbours, and so on outwards: L layers of work on a few atoms instead of L layers on all. The result is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from eqgat.checks import check_graph
from eqgat.datasets.atom3d.samples import count_hops
from eqgat.graph import edge_geometry
from eqgat.layers import Edges
from eqgat.model import EQGAT

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["at_centers"]


def at_centers(model: nn.Module, data: Data) -> Tensor:
    """``model(data)[data.center_index]`` of a model with ``readout="node"``, [centres, out_channels].

    For EQGAT without norm each layer computes only the states that the centres depend on; several centres share
    theirs. Other models compute everything, subclasses of EQGAT too, as they may do more than its layers.

    Raises:
        UserError: as the model does.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> graph.center_index = torch.tensor([22])
    >>> at_centers(EQGAT(num_elements=9, out_channels=20, num_layers=2, readout="node"), graph).shape
    torch.Size([1, 20])
    """
    if type(model) is not EQGAT or model.hops is None:
        return model(data)[data.center_index]
    check_graph(data, model.config.num_elements)
    num_layers, num_atoms = len(model.layers), len(data.pos)
    hops = count_hops(data.edge_index, data.center_index, num_atoms, num_layers)
    order = hops.argsort(stable=True)  # the centres first, then their neighbours, ...
    place = torch.empty_like(order).scatter_(0, order, torch.arange(num_atoms, device=order.device))
    within = torch.bincount(hops, minlength=num_layers + 2).cumsum(0).tolist()  # atoms at most so many hops away

    source, receiver = place[data.edge_index]
    kept = receiver < within[num_layers - 1]
    source, receiver = source[kept], receiver[kept]
    sorting = receiver.argsort(stable=True)
    source, receiver = source[sorting], receiver[sorting]
    pos, s = data.pos[order], model.embedding(data.z[order])
    distance, direction = edge_geometry(pos, torch.stack([source, receiver]))
    radial, direction = model.basis(distance).to(s.dtype), direction.to(s.dtype)
    number = torch.bincount(receiver, minlength=num_atoms)
    last = number.cumsum(0).tolist()  # edges into the first atoms stand first
    v = s.new_zeros(num_atoms, 3, model.config.vector_channels)
    for depth, layer in zip(range(num_layers, 0, -1), model.layers, strict=True):
        atoms, receiving = within[depth], within[depth - 1]
        edges = slice(0, last[receiving - 1])
        record = layer(
            s[:atoms],
            v[:atoms],
            Edges(
                source[edges],
                receiver[edges],
                distance[edges],
                direction[edges],
                radial[edges],
                number[:atoms].to(s.dtype),
            ),
        )
        s, v = record.s[:receiving], record.v[:receiving]
    return model.head(model.readout(s, v))[place[data.center_index]]
