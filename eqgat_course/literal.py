"""EQGAT exactly as its equations are printed: nothing factored, every edge by itself. The yardstick.

The parameters are those of an ``EQGAT`` from the package, so that both must give the same numbers. What differs
from the package is only what its two identities save: here the edge MLP multiplies the whole concatenation
[s_i || s_j || κ G] of every edge (Eq. 1), and the cross product is taken on every edge (Eq. 5).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import silu
from torch_geometric.data import Data

from eqgat import EQGAT
from eqgat.layers import EQGATLayer, EquivariantNorm


def literal_layer(
    layer: EQGATLayer, s: Tensor, v: Tensor, source: Tensor, receiver: Tensor, radial: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor]:
    """One layer, Eqs. 1-6, residual step and gated update: ``s`` [N, F_s], ``v`` [N, 3, F_v] -> the same shapes."""
    n, num_vector = len(s), v.shape[2]
    # Eq. 1: f_ji = MLP([s_i || s_j || κ G]), split into a and b_0, b_1, b_2
    e = torch.cat([s[receiver], s[source], radial], dim=1)
    f = layer.filter.out(silu(layer.filter.hidden(e)))
    a, *b = f.split(layer.filter.sizes, dim=1)
    # softmax over the neighbours of each atom, the denominator gathered for each edge
    exponential = (a - a.max()).exp() if len(a) else a
    denominator = s.new_zeros(n, a.shape[1]).index_add(0, receiver, exponential)
    alpha = exponential / denominator[receiver]
    # Eq. 2, W_s applied to the neighbour of every edge
    message_s = s.new_zeros(s.shape).index_add(0, receiver, alpha * layer.scalar_weight(s[source]))
    # Eqs. 3, 4, 5 for every edge
    v_0 = direction[:, :, None] * b[0][:, None, :]
    message = v_0
    if layer.vector_weight is not None:
        v_n = layer.vector_weight(v[source])
        message = message + b[1][:, None, :] * v_n
    if len(b) > 2:
        v_j = v[source] if layer.cross_product == "raw" else v_n
        message = message + b[2][:, None, :] * torch.linalg.cross(v[receiver], v_j, dim=1)
    message_v = v.new_zeros(v.shape).index_add(0, receiver, message)
    if layer.vector_aggregation == "mean":  # Eq. 6
        count = s.new_zeros(n).index_add(0, receiver, s.new_ones(len(receiver))).clamp(min=1)
        message_v = message_v / count[:, None, None]
    # residual step, then the gated update of Fig. 1b
    s, v = s + message_s, v + message_v
    u_w = layer.update.vector_in(v)
    u, w = u_w[:, :, :num_vector], u_w[:, :, num_vector:]
    length = (u[:, 0] ** 2 + u[:, 1] ** 2 + u[:, 2] ** 2 + 1e-6).sqrt()
    gate_and_change = layer.update.out(silu(layer.update.hidden(torch.cat([s, length], dim=1))))
    gate, change = gate_and_change[:, :num_vector], gate_and_change[:, num_vector:]
    return s + change, v + layer.update.vector_out(gate[:, None, :] * w)


def literal_norm(norm: EquivariantNorm, s: Tensor, v: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
    """The equivariant norm, one graph after the other: ``s`` [N, F_s], ``v`` [N, 3, F_v] -> the same shapes."""
    s_out, v_out = s.clone(), v.clone()
    for number in batch.unique():
        atoms = batch == number
        of_graph = s[atoms]
        variance = of_graph.var(unbiased=False)
        s_out[atoms] = (of_graph - of_graph.mean()) / (variance + norm.epsilon).sqrt() * norm.weight + norm.bias
        x, y, z = v[atoms].unbind(dim=1)
        v_out[atoms] = v[atoms] / ((x**2 + y**2 + z**2).mean() + norm.epsilon).sqrt()
    return s_out, v_out


def literal_encode(model: EQGAT, data: Data) -> tuple[Tensor, Tensor]:
    """The states after the last layer, from the printed equations."""
    source, receiver = data.edge_index
    batch = torch.zeros_like(data.z) if data.get("batch") is None else data.batch
    relative = data.pos[receiver] - data.pos[source]
    distance = relative.pow(2).sum(dim=1).sqrt()
    s = model.embedding(data.z)
    v = s.new_zeros(len(s), 3, model.config.vector_channels)
    # The basis is evaluated again in every layer, as one who follows the text would.
    for number in range(model.config.num_layers):
        if model.config.norm == "equivariant":
            s, v = literal_norm(cast("EquivariantNorm", model.norms[number]), s, v, batch)
        radial, direction = model.basis(distance).to(s.dtype), (relative / distance[:, None]).to(s.dtype)
        s, v = literal_layer(model.layers[number], s, v, source, receiver, radial, direction)
    return (
        literal_norm(cast("EquivariantNorm", model.norms[model.config.num_layers]), s, v, batch)
        if model.config.norm
        else (s, v)
    )


def literal_forward(model: EQGAT, data: Data) -> Tensor:
    """The prediction: [N, out_channels] with node readout, else [number of graphs, out_channels]."""
    s, v = literal_encode(model, data)
    u = model.readout.vector(v)
    length = (u[:, 0] ** 2 + u[:, 1] ** 2 + u[:, 2] ** 2 + 1e-6).sqrt()
    x = model.readout.out(torch.cat([s, length], dim=1))
    if model.config.readout == "graph":
        batch = torch.zeros_like(data.z) if data.get("batch") is None else data.batch
        x = torch.stack([x[batch == number].mean(dim=0) for number in batch.unique()])
    first, _, last = model.head
    return last(silu(first(x)))
