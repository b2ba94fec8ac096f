"""The messages of a layer (Eqs. 1-6) once more, for speed: the same function in chunks of edges, nothing kept.

``eqgat.layers`` is the text to read; this file is what runs. The readable layer makes some twenty tensors with one
row an edge, and autograd keeps most of them until the backward pass. Here

* edges are handled in chunks of whole receivers, small enough to stay in the cache, in buffers that are used again;
* nothing of a chunk is kept: the backward pass computes it once more from the states of the atoms, and what is
  stored are sums over neighbours;
* what an edge needs of its source stands in one table and is gathered once, and so is what it needs of its receiver;
* maps of single atoms, and their gradients, are taken once an atom.

The softmax needs no pass of its own: sum_j exp(a_ji) (W_s s)_j and sum_j exp(a_ji) come out of one sum over the edges,
and their quotient is the message m_i. Backwards, α_ji = exp(a_ji - l_i) with l_i the logarithm of that second sum, and
the derivative with respect to a_ji is α_ji dm_i ((W_s s)_j - m_i). The exponentials are powers of two, the logits being
multiplied by log2(e) with the weights that make them: exp2 is three times as fast as exp.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import embedding_bag, linear, pad, silu

from eqgat.layers import AttentionFilter, Edges, EQGATLayer

__all__ = ["Chunks", "fast_layer", "is_plain"]

CHUNK_ON_CPU, CHUNK_ELSEWHERE = 2048, 1 << 19
"""Edges of a chunk: on a CPU its buffers should stay in the cache, elsewhere one launch should have much to do."""

_SAFE = 80.0  # powers of two up to 2^80, summed over neighbours and multiplied by scalars, stay within float32
_LOG2_E = math.log2(math.e)


class Chunk(NamedTuple):
    """All edges into some consecutive atoms."""

    edges: slice
    atoms: slice
    offsets: Tensor  # where the edges of each of these atoms begin, counted within the chunk


class Chunks:
    """The edges of a batch cut into chunks, and the memory that all chunks use in turn.

    Args:
        edges: of the batch.
        size: the most edges of a chunk; an atom with more neighbours gets a chunk of its own.
    """

    def __init__(self, edges: Edges, size: int | None = None) -> None:
        device = edges.receiver.device
        size = size or (CHUNK_ON_CPU if device.type == "cpu" else CHUNK_ELSEWHERE)
        offsets = pad(edges.num_neighbours.long().cumsum(0), (1, 0))
        ends = offsets.cpu()
        self.edges, self.parts, self._buffers = edges, [], {}
        first = 0
        while first < len(ends) - 1:
            end = max(first + 1, int(torch.searchsorted(ends, ends[first] + size, right=True)) - 1)
            a, b = int(ends[first]), int(ends[end])
            if a < b:
                self.parts.append(Chunk(slice(a, b), slice(first, end), offsets[first:end] - a))
            first = end
        self.longest = max((part.edges.stop - part.edges.start for part in self.parts), default=0)
        self.order = torch.arange(self.longest, device=device)

    def buffer(self, name: str, like: Tensor, chunk: Chunk, columns: int) -> Tensor:
        """[edges of the chunk, columns], the same memory for each chunk."""
        key = name, like.dtype, columns
        if key not in self._buffers:
            self._buffers[key] = like.new_empty(self.longest, columns)
        return self._buffers[key][: chunk.edges.stop - chunk.edges.start]

    def sum_over_neighbours(self, values: Tensor, chunk: Chunk) -> Tensor:
        """[edges of the chunk, C] -> [atoms of the chunk, C]."""
        return embedding_bag(self.order[: len(values)], values, chunk.offsets, mode="sum")


def fast_layer(layer: EQGATLayer, s: Tensor, v: Tensor, chunks: Chunks) -> tuple[Tensor, Tensor]:
    """The states after ``layer``, as its own ``forward`` gives them: ``s`` [N, F_s], ``v`` [N, 3, F_v]."""
    edges = chunks.edges
    weights = {name: w for name, w in layer.named_parameters() if not name.startswith("update.")}
    scalar_message, vector_message = _Messages.apply(
        layer, chunks, tuple(weights), edges.radial, edges.direction, s, v, *weights.values()
    )
    return layer.update(s + scalar_message, v + vector_message)


def is_plain(layer: EQGATLayer) -> bool:
    """Whether ``layer`` is what this file computes: not a subclass, no part exchanged, nobody listening by a hook."""
    kinds = {"": EQGATLayer, "filter": AttentionFilter}
    for name, module in layer.named_modules():
        if name.startswith("update"):
            continue
        if type(module) is not kinds.get(name, torch.nn.Linear) or module._forward_hooks or module._forward_pre_hooks:
            return False
    return True


class _Messages(torch.autograd.Function):
    """(radial, direction, s, v, weights) -> (scalar message [N, F_s], vector message [N, 3, F_v])."""

    @staticmethod
    def forward(
        ctx: Any, layer: EQGATLayer, chunks: Chunks, names: tuple[str, ...], *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        radial, direction, s, v, *weights = tensors
        w = _Weights(layer, dict(zip(names, weights, strict=True)), s.shape[1])
        log_total, scalar_message, vector, partner = _forward(chunks, w, radial, direction, s, v)
        ctx.layer, ctx.chunks, ctx.names = layer, chunks, names
        ctx.save_for_backward(*tensors, log_total, scalar_message, partner)
        if partner is not None:
            vector = vector + torch.linalg.cross(v, partner, dim=1)
        return scalar_message, vector / _mean_over(layer, chunks)

    @staticmethod
    def backward(ctx: Any, d_scalar: Tensor, d_vector: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, log_total, scalar_message, partner = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():  # somebody wants derivatives of these derivatives
            gradients = _by_readable_layer(ctx.layer, ctx.chunks, ctx.names, tensors, needed, (d_scalar, d_vector))
        else:
            gradients = _backward(
                ctx.layer,
                ctx.chunks,
                ctx.names,
                tensors,
                needed,
                log_total,
                scalar_message,
                partner,
                d_scalar,
                d_vector,
            )
        return None, None, None, *gradients


def _by_readable_layer(
    layer: EQGATLayer,
    chunks: Chunks,
    names: tuple[str, ...],
    tensors: list[Tensor],
    needed: tuple[bool, ...],
    upstream: tuple[Tensor, Tensor],
) -> list[Tensor | None]:
    """The gradients of the inputs, as functions that can be derived again."""
    radial, direction, s, v, *weights = tensors
    edges = chunks.edges._replace(radial=radial, direction=direction)
    record = functional_call(layer, dict(zip(names, weights, strict=True)), (s, v, edges))
    inputs = [tensor for tensor, wanted in zip(tensors, needed, strict=True) if wanted]
    gradients = iter(
        torch.autograd.grad(
            (record.scalar_message, record.vector_message), inputs, upstream, create_graph=True, allow_unused=True
        )
    )
    return [next(gradients) if wanted else None for wanted in needed]


def _mean_over(layer: EQGATLayer, chunks: Chunks) -> Tensor | float:
    """What sums of vectors are divided by: the number of neighbours (Eq. 6), or 1."""
    return chunks.edges.num_neighbours.clamp(min=1).view(-1, 1, 1) if layer.vector_aggregation == "mean" else 1.0


class _Weights:
    """The weights that meet edges, cut up as the edges need them.

    The logits come multiplied by log2(e), so that exp2 of them is exp of the paper's.
    """

    def __init__(self, layer: EQGATLayer, named: dict[str, Tensor], num_scalar: int) -> None:
        self.num_logits, self.num_vector = layer.filter.sizes[:2]
        self.num_paired = (len(layer.filter.sizes) - 2) * self.num_vector  # channels of b_1 and b_2
        self.cross_product = layer.cross_product
        self.named = named
        self.hidden = named["filter.hidden.weight"]
        self.hidden_bias = named["filter.hidden.bias"]
        self.of_radial = self.hidden[:, 2 * num_scalar :]
        self.out = named["filter.out.weight"]
        weight, bias = self.out, named["filter.out.bias"]
        self.logits = weight[: self.num_logits].t() * _LOG2_E
        self.logits_bias = bias[: self.num_logits] * _LOG2_E
        self.b = weight[self.num_logits :].t()
        self.b_bias = bias[self.num_logits :]

    def tables(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """What edges read of their receiver, [N, F_s], and of their source, [N, 2 F_s + 3 (0, 1 or 2) F_v]."""
        c = s.shape[1]
        columns = [
            linear(s, self.hidden[:, c : 2 * c]),
            linear(s, self.named["scalar_weight.weight"], self.named["scalar_weight.bias"]),
        ]
        if self.num_paired:
            paired = linear(v, self.named["vector_weight.weight"])
            if self.num_paired > self.num_vector:
                paired = torch.cat([paired, v if self.cross_product == "raw" else paired], dim=2)
            columns.append(paired.flatten(1))
        return linear(s, self.hidden[:, :c], self.hidden_bias), torch.cat(columns, dim=1)


def _forward(
    chunks: Chunks, w: _Weights, radial: Tensor, direction: Tensor, s: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """log2 of sum exp a, the scalar message, the sum of the vectors of Eqs. 3 and 4, and that of b_2 ⊙ partner."""
    c, a, f, paired = s.shape[1], w.num_logits, w.num_vector, w.num_paired
    width = max(f, paired)
    of_receiver, of_source = w.tables(s, v)
    sums = s.new_zeros(len(s), a + c + 3 * width)
    shift = s.new_zeros(len(s), a)
    for chunk in chunks.parts:
        source, receiver = chunks.edges.source[chunk.edges], chunks.edges.receiver[chunk.edges]
        row = torch.index_select(of_source, 0, source, out=chunks.buffer("source", s, chunk, of_source.shape[1]))
        hidden = torch.index_select(of_receiver, 0, receiver, out=chunks.buffer("hidden", s, chunk, c))
        hidden.add_(row[:, :c]).addmm_(radial[chunk.edges], w.of_radial.t())
        silu(hidden, inplace=True)
        logits = torch.addmm(w.logits_bias, hidden, w.logits, out=chunks.buffer("logits", s, chunk, a))
        b = torch.addmm(w.b_bias, hidden, w.b, out=chunks.buffer("b", s, chunk, f + paired))
        if logits.is_cuda or float(logits.abs().max()) > _SAFE:
            index = (receiver - chunk.atoms.start).unsqueeze(1).expand_as(logits)
            shift[chunk.atoms].scatter_reduce_(0, index, logits, "amax", include_self=False)
            logits.sub_(shift.index_select(0, receiver))
        terms = chunks.buffer("terms", s, chunk, a + c + 3 * width)
        weight = torch.exp2(logits, out=terms[:, :a])
        torch.mul(weight, row[:, c : 2 * c], out=terms[:, a : a + c])
        vector = terms[:, a + c :].unflatten(1, (3, width))
        pair = row[:, 2 * c :].unflatten(1, (3, paired)) if paired else None
        for axis in range(3):
            along = direction[chunk.edges, axis : axis + 1]
            if pair is None:
                torch.mul(b, along, out=vector[:, axis])
            else:
                torch.mul(b[:, f:], pair[:, axis], out=vector[:, axis])
                vector[:, axis, :f].addcmul_(b[:, :f], along)
        sums[chunk.atoms] = chunks.sum_over_neighbours(terms, chunk)
    total, scalar, vector = sums.split([a, c, 3 * width], dim=1)
    total = torch.where(total > 0, total, 1)  # an atom without neighbours gets no message
    vector = vector.unflatten(1, (3, width))
    partner = vector[:, :, f:].contiguous() if paired > f else None
    return total.log2() + shift, scalar / total, vector[:, :, :f], partner


def _backward(
    layer: EQGATLayer,
    chunks: Chunks,
    names: tuple[str, ...],
    tensors: list[Tensor],
    needed: tuple[bool, ...],
    log_total: Tensor,
    scalar_message: Tensor,
    partner: Tensor | None,
    d_scalar: Tensor,
    d_vector: Tensor,
) -> list[Tensor | None]:
    """Gradients of radial, direction, s, v and the weights; None where not needed."""
    radial, direction, s, v, *weights = tensors
    with torch.enable_grad():  # the maps of single atoms are left to autograd
        leaves = [tensor.detach().requires_grad_() for tensor in (s, v, *weights)]
        w = _Weights(layer, dict(zip(names, leaves[2:], strict=True)), s.shape[1])
        of_receiver, of_source = w.tables(leaves[0], leaves[1])
    c, a, f, paired = s.shape[1], w.num_logits, w.num_vector, w.num_paired
    width = max(f, paired)
    d_vector = d_vector / _mean_over(layer, chunks)
    upstream, d_v = d_vector, None
    if partner is not None:
        upstream = torch.cat([d_vector, torch.linalg.cross(d_vector, v, dim=1)], dim=2)
        d_v = torch.linalg.cross(partner, d_vector, dim=1)
    table = torch.cat([of_receiver.detach(), log_total, scalar_message, d_scalar, upstream.flatten(1)], dim=1)
    source_table, out = of_source.detach(), w.out.detach()
    of_radial, to_logits, to_b = w.of_radial.detach(), w.logits.detach(), w.b.detach()
    logits_bias, b_bias = w.logits_bias.detach(), w.b_bias.detach()
    one = s.new_ones(())
    d_of_receiver, d_of_source = torch.zeros_like(of_receiver), torch.zeros_like(source_table)
    d_out, d_out_bias, d_of_radial = torch.zeros_like(out), out.new_zeros(len(out)), torch.zeros_like(of_radial)
    d_radial = torch.empty_like(radial) if needed[0] else None
    d_direction = torch.empty_like(direction) if needed[1] else None
    for chunk in chunks.parts:
        source, receiver = chunks.edges.source[chunk.edges], chunks.edges.receiver[chunk.edges]
        row = torch.index_select(source_table, 0, source, out=chunks.buffer("source", s, chunk, source_table.shape[1]))
        there = torch.index_select(table, 0, receiver, out=chunks.buffer("receiver", s, chunk, table.shape[1]))
        of_i, log_total_i, message_i, d_message_i, d_vector_i = there.split([c, a, c, c, 3 * width], dim=1)
        d_vector_i = d_vector_i.unflatten(1, (3, width))
        hidden = torch.add(of_i, row[:, :c], out=chunks.buffer("hidden", s, chunk, c))
        hidden.addmm_(radial[chunk.edges], of_radial.t())
        sigmoid = torch.sigmoid(hidden, out=chunks.buffer("sigmoid", s, chunk, c))
        hidden.mul_(sigmoid)
        alpha = torch.addmm(logits_bias, hidden, to_logits, out=chunks.buffer("logits", s, chunk, a))
        alpha.sub_(log_total_i).exp2_()
        b = torch.addmm(b_bias, hidden, to_b, out=chunks.buffer("b", s, chunk, f + paired))

        d_row = chunks.buffer("d_source", s, chunk, source_table.shape[1])
        d_value = torch.mul(alpha, d_message_i, out=d_row[:, c : 2 * c])
        d_filter = chunks.buffer("d_filter", s, chunk, len(out))
        spread = torch.sub(row[:, c : 2 * c], message_i, out=chunks.buffer("spread", s, chunk, c)).mul_(d_value)
        if a == c:
            d_filter[:, :a] = spread
        else:
            torch.sum(spread, 1, keepdim=True, out=d_filter[:, :a])
        d_b0 = d_filter[:, a : a + f]
        for axis in range(3):
            along = direction[chunk.edges, axis : axis + 1]
            if axis == 0:
                torch.mul(d_vector_i[:, 0, :f], along, out=d_b0)
            else:
                d_b0.addcmul_(d_vector_i[:, axis, :f], along)
            if d_direction is not None:
                d_direction[chunk.edges, axis] = (d_vector_i[:, axis, :f] * b[:, :f]).sum(1)
        if paired:
            pair, d_pair = (x[:, 2 * c :].unflatten(1, (3, paired)) for x in (row, d_row))
            for axis in range(3):
                torch.mul(b[:, f:], d_vector_i[:, axis], out=d_pair[:, axis])
            product = pair.mul_(d_vector_i)
            torch.add(product[:, 0], product[:, 1], out=d_filter[:, a + f :]).add_(product[:, 2])

        d_out.addmm_(d_filter.t(), hidden)
        d_out_bias += d_filter.sum(0)
        d_hidden = torch.mm(d_filter, out, out=chunks.buffer("spread", s, chunk, c))
        d_hidden.mul_(torch.lerp(sigmoid, one, hidden, out=sigmoid))  # the derivative of SiLU: σ + h σ (1 - σ)
        d_row[:, :c] = d_hidden
        d_of_receiver[chunk.atoms] = chunks.sum_over_neighbours(d_hidden, chunk)
        d_of_radial.addmm_(d_hidden.t(), radial[chunk.edges])
        if d_radial is not None:
            torch.mm(d_hidden, of_radial, out=d_radial[chunk.edges])
        d_of_source.index_add_(0, source, d_row)

    gradients = list(
        torch.autograd.grad([of_receiver, of_source], leaves, [d_of_receiver, d_of_source], allow_unused=True)
    )
    named = dict(zip(("s", "v", *names), gradients, strict=True))
    named["filter.hidden.weight"][:, 2 * c :] += d_of_radial
    named["filter.out.weight"], named["filter.out.bias"] = d_out, d_out_bias
    if d_v is not None:
        named["v"] = named["v"] + d_v
    return [d_radial, d_direction, *named.values()]
