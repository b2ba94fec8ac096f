"""The messages of a layer (Eqs. 1-6) once more, for speed: the same function in chunks of edges, nothing kept.

``eqgat.layers`` is the text to read; this file is what runs. The readable layer makes some twenty tensors with one
row an edge, and autograd keeps most of them until the backward pass. Here

* edges are handled in chunks of whole receivers, small enough to stay in the cache, in buffers that are used again;
* nothing of a chunk is kept: the backward pass computes it once more, and what is stored are sums over neighbours;
* what an edge needs of its source stands in one table and is gathered once, and so is what it needs of its receiver;
* maps of single atoms and their gradients are taken once an atom, by autograd.

The softmax needs no pass of its own: sum_j exp(a_ji) (W_s s)_j and sum_j exp(a_ji) come out of one sum over the edges,
and their quotient is the message m_i. Backwards, the derivatives with respect to (W_s s)_j and a_ji are
w_ji = α_ji dm_i and w_ji ((W_s s)_j - m_i), and α_ji dm_i = exp(a_ji) D_i, where D_i = dm_i / sum_j exp(a_ji) is taken
once an atom. The exponentials are powers of two, the logits being multiplied by log2(e) together with the weights that
make them: exp2 is three times as fast as exp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import embedding_bag, linear, silu

from eqgat.layers import AttentionFilter, Edges, EQGATLayer

__all__ = ["Chunks", "in_chunks", "in_pieces"]

CHUNK_ON_CPU = 1 << 17  # edges x channels of a chunk: its buffers should stay in the cache
CHUNK_ELSEWHERE = 1 << 25  # one launch should have much to do
WORTH_IT = 1 << 16  # edges x channels of a batch
_LOG2_E = math.log2(math.e)
_SAFE = 40.0  # powers of two up to 2^40, times scalars and summed over neighbours, are far from the ends of float32


def in_pieces(function: Callable[[Tensor], tuple[Tensor, ...]], edge_index: Tensor) -> tuple[Tensor, ...]:
    """``function(edge_index)``, taken for some edges after the others, so that its many steps stay in the cache.

    >>> in_pieces(lambda edge_index: (edge_index[1] - edge_index[0],), torch.tensor([[0, 1, 2], [2, 0, 1]]))
    (tensor([ 2, -1, -1]),)
    """
    pieces = [function(part) for part in edge_index.split(_chunk_size(edge_index.device, channels=32), dim=1)]
    return tuple(torch.cat(column) for column in zip(*pieces, strict=True))


def _chunk_size(device: torch.device, channels: int) -> int:
    return max(1, (CHUNK_ON_CPU if device.type == "cpu" else CHUNK_ELSEWHERE) // channels)


def in_chunks(layers: Sequence[EQGATLayer], edges: Edges) -> Chunks | None:
    """The edges of a batch, ready for ``Chunks.run``; None if one of the layers is not what this file computes.

    (A subclass, a part exchanged, a hook, half precision.) None, too, where a graph is so small that the readable layer,
    of fewer steps, is done sooner.

    >>> from eqgat import EQGAT
    >>> from eqgat.datasets import embedded_structure
    >>> model = EQGAT(num_elements=9, out_channels=1, num_layers=1)
    >>> edges = model.trace(embedded_structure("5pti").graph(cutoff=4.5))[0].edges
    >>> len(in_chunks(model.layers, edges).parts)
    6
    """
    plain = [layer for layer in layers if _is_plain(layer)]
    if len(plain) < len(layers) or edges.radial.dtype not in (torch.float32, torch.float64):
        return None
    return Chunks(plain, edges) if len(edges.source) * len(plain[0].filter.hidden.weight) >= WORTH_IT else None


def _is_plain(layer: nn.Module) -> TypeGuard[EQGATLayer]:
    kinds = {"": EQGATLayer, "filter": AttentionFilter}
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return all(
        type(part) is kinds.get(name, nn.Linear) and not any(getattr(part, hook) for hook in hooks)
        for name, part in layer.named_modules()
        if not name.startswith("update")
    )


class Chunk(NamedTuple):
    """All edges into some consecutive atoms."""

    source: Tensor  # and other parts of ``Edges``
    receiver: Tensor
    radial: Tensor
    along: tuple[Tensor, ...]  # the direction, axis by axis, each [e, 1]
    edges: slice
    atoms: slice
    offsets: Tensor  # where the edges of each of these atoms begin, counted within the chunk


class Chunks:
    """The layers of a model, the edges of a batch cut into chunks, and the memory that all chunks use in turn.

    An atom with more neighbours than a chunk has edges gets a chunk of its own.
    """

    def __init__(self, layers: list[EQGATLayer], edges: Edges) -> None:
        device, num_atoms = edges.receiver.device, len(edges.num_neighbours)
        size = _chunk_size(device, channels=len(layers[0].filter.hidden.weight))
        self.layers, self.edges, self.parts = layers, edges, list[Chunk]()
        offsets = torch.searchsorted(edges.receiver.contiguous(), torch.arange(num_atoms + 1, device=device))
        ends = offsets.cpu()
        radial, axes = edges.radial.detach(), edges.direction.detach().split(1, dim=1)
        first = 0
        while first < num_atoms:
            end = max(first + 1, int(torch.searchsorted(ends, ends[first] + size, right=True)) - 1)
            a, b = int(ends[first]), int(ends[end])
            if a < b:
                along = tuple(axis[a:b] for axis in axes)
                part = edges.source[a:b], edges.receiver[a:b], radial[a:b], along, slice(a, b), slice(first, end)
                self.parts.append(Chunk(*part, offsets[first:end] - a))
            first = end
        self.longest = max((len(part.source) for part in self.parts), default=0)
        self.order = torch.arange(self.longest, device=device)
        self._memory: dict[tuple[str, int], Tensor] = {}
        self._buffers: dict[tuple[int, _Sizes], _Buffers] = {}

    def run(self, number: int, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The states after layer ``number``, as its own ``forward`` gives them: ``s`` [N, F_s], ``v`` [N, 3, F_v]."""
        layer = self.layers[number]
        weights = {name: weight for name, weight in layer.named_parameters() if not name.startswith("update.")}
        with torch.autocast(s.device.type, enabled=False):
            scalar_message, vector_message = _Messages.apply(
                layer, self, tuple(weights), self.edges.radial, self.edges.direction, s, v, *weights.values()
            )
        return layer.update(s + scalar_message, v + vector_message)

    def buffers(self, chunk: Chunk, sizes: _Sizes) -> _Buffers:
        """Memory for the edges of ``chunk``; the views into it are made once for all chunks of the same length."""
        rows = len(chunk.source)

        def new(name: str, columns: int) -> Tensor:
            if (name, columns) not in self._memory:
                self._memory[name, columns] = self.edges.radial.new_empty(self.longest, columns)
            return self._memory[name, columns][:rows]

        if (rows, sizes) not in self._buffers:
            self._buffers[rows, sizes] = _Buffers(sizes, new)
        return self._buffers[rows, sizes]

    def sum_over_neighbours(self, values: Tensor, chunk: Chunk) -> Tensor:
        """[edges of the chunk, C] -> [atoms of the chunk, C]."""
        return embedding_bag(self.order[: len(values)], values, chunk.offsets, mode="sum")


class _Sizes(NamedTuple):
    """Numbers of channels of a layer."""

    scalar: int  # F_s
    logits: int  # F_s or 1
    vector: int  # F_v
    paired: int  # of b_1 and b_2 together: 0, F_v or 2 F_v
    axis: int  # of each axis of the sums of vectors: b_0 and b_1 go into one F_v, b_2 into another


class _Buffers:
    """Memory for one chunk, and the parts of it by name. ``d_`` is the derivative of the loss with respect to."""

    def __init__(self, z: _Sizes, new: Callable[[str, int], Tensor]) -> None:
        def axes(x: Tensor) -> tuple[Tensor, ...]:
            return x.split(x.shape[1] // 3, dim=1)

        self.hidden, self.sigmoid, self.spread = (new(name, z.scalar) for name in ("hidden", "sigmoid", "spread"))
        # of the source: its share of the hidden layer, W_s s, v W_v and the partner of the cross product
        of_source = [z.scalar, z.scalar, 3 * z.paired]
        self.source, self.d_source = new("source", sum(of_source)), new("d_source", sum(of_source))
        self.of_source, self.value, self.pairs = self.source.split(of_source, dim=1)
        self.d_of_source, self.d_value, d_pairs = self.d_source.split(of_source, dim=1)
        self.pair, self.d_pair = axes(self.pairs), axes(d_pairs)
        # what the filter gives: logits and coefficients
        filtered = [z.logits, z.vector, z.paired]
        self.filter, self.d_filter = new("filter", sum(filtered)), new("d_filter", sum(filtered))
        self.logits, self.b0, self.b_paired = self.filter.split(filtered, dim=1)
        self.d_logits, self.d_b0, self.d_b_paired = self.d_filter.split(filtered, dim=1)
        # what is summed over the neighbours in the forward pass
        self.terms = new("terms", z.logits + z.scalar + 3 * z.axis)
        self.weight, self.weighted, vectors = self.terms.split([z.logits, z.scalar, 3 * z.axis], dim=1)
        self.vector = axes(vectors)
        self.vector_b0 = tuple(x[:, : z.vector] for x in self.vector)
        # what the backward pass reads of the receiver
        of_receiver = [z.scalar, z.scalar, z.scalar, 3 * z.axis]
        self.receiver = new("receiver", sum(of_receiver))
        self.of_receiver, self.message, self.d_mean, self.d_vectors = self.receiver.split(of_receiver, dim=1)
        self.d_vector = axes(self.d_vectors)
        self.d_vector_b0 = tuple(x[:, : z.vector] for x in self.d_vector)


class _Weights:
    """The weights of a layer that have to do with messages, cut up as edges need them."""

    def __init__(self, layer: EQGATLayer, names: tuple[str, ...], tensors: list[Tensor]) -> None:
        self.named = dict(zip(names, tensors, strict=True))
        self.hidden, self.out = self.named["filter.hidden.weight"], self.named["filter.out.weight"]
        num_logits, num_vector, *more = layer.filter.sizes
        paired = num_vector * len(more)
        self.sizes = _Sizes(len(self.hidden), num_logits, num_vector, paired, axis=max(num_vector, paired))
        self.cross_product = layer.cross_product
        self.of_radial = self.hidden[:, 2 * len(self.hidden) :]

    def tables(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """What edges read of their receiver, [N, F_s], and of their source, [N, 2 F_s + 3 (0, 1 or 2) F_v]."""
        z, named = self.sizes, self.named
        first, second = self.hidden[:, : 2 * z.scalar].split(z.scalar, dim=1)
        columns = [linear(s, second), linear(s, named["scalar_weight.weight"], named["scalar_weight.bias"])]
        if z.paired:
            pairs = linear(v, named["vector_weight.weight"])
            if z.paired > z.vector:
                pairs = torch.cat([pairs, v if self.cross_product == "raw" else pairs], dim=2)
            columns.append(pairs.flatten(1))
        return linear(s, first, named["filter.hidden.bias"]), torch.cat(columns, dim=1)

    def for_exp2(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the filter's second map, which give log2(e) a instead of the logits a."""
        factor = self.out.new_ones(len(self.out))
        factor[: self.sizes.logits] = _LOG2_E
        return (self.out * factor.unsqueeze(1)).t(), self.named["filter.out.bias"] * factor


class _Messages(torch.autograd.Function):
    """(radial, direction, s, v, weights) -> (scalar message [N, F_s], vector message [N, 3, F_v])."""

    @staticmethod
    def forward(
        ctx: Any, layer: EQGATLayer, chunks: Chunks, names: tuple[str, ...], *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        _, _, s, v, *weights = tensors
        total, shift, scalar_message, vector, partner = _forward(chunks, _Weights(layer, names, weights), s, v)
        if partner is not None:
            vector = vector + torch.linalg.cross(v, partner, dim=1)
        ctx.layer, ctx.chunks, ctx.names = layer, chunks, names
        ctx.save_for_backward(*tensors, total, shift, scalar_message, partner)
        return scalar_message, vector / _divisor(layer, chunks)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(upstream[0].device.type, enabled=False):
            gradients = (_readable_backward if torch.is_grad_enabled() else _backward)(ctx, *upstream)
        return None, None, None, *gradients


def _readable_backward(ctx: Any, *upstream: Tensor) -> list[Tensor | None]:
    """The gradients of the readable layer, for somebody who wants derivatives of these derivatives."""
    # Views of their own, for these tensors may depend on each other, and partial derivatives are what is asked for.
    tensors = [tensor.view_as(tensor) for tensor in ctx.saved_tensors[:-4]]
    radial, direction, s, v, *weights = tensors
    edges = ctx.chunks.edges._replace(radial=radial, direction=direction)
    record = functional_call(ctx.layer, dict(zip(ctx.names, weights, strict=True)), (s, v, edges))
    messages, needed = (record.scalar_message, record.vector_message), ctx.needs_input_grad[3:]
    inputs = [tensor for tensor, wanted in zip(tensors, needed, strict=True) if wanted]
    gradients = iter(torch.autograd.grad(messages, inputs, upstream, create_graph=True, allow_unused=True))
    return [next(gradients) if wanted else None for wanted in needed]


def _divisor(layer: EQGATLayer, chunks: Chunks) -> Tensor | float:
    """What sums of vectors are divided by: the number of neighbours (Eq. 6), or 1."""
    return chunks.edges.num_neighbours.clamp(min=1).view(-1, 1, 1) if layer.vector_aggregation == "mean" else 1.0


_Sums = tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor | None]


def _forward(chunks: Chunks, w: _Weights, s: Tensor, v: Tensor) -> _Sums:
    """Softmax total, what logits were lowered by, scalar message, sum of vectors (Eqs. 3, 4), sum of b_2 ⊙ partner."""
    z, shift = w.sizes, None
    of_receiver, of_source = w.tables(s, v)
    to_filter, bias = w.for_exp2()
    sums = s.new_zeros(len(s), z.logits + z.scalar + 3 * z.axis)
    for chunk in chunks.parts:
        x = chunks.buffers(chunk, z)
        torch.index_select(of_source, 0, chunk.source, out=x.source)
        torch.index_select(of_receiver, 0, chunk.receiver, out=x.hidden)
        silu(x.hidden.add_(x.of_source).addmm_(chunk.radial, w.of_radial.t()), inplace=True)
        torch.addmm(bias, x.hidden, to_filter, out=x.filter)
        if x.filter.device.type != "cpu" or max(abs(float(end)) for end in torch.aminmax(x.filter)) > _SAFE:
            shift = s.new_zeros(len(s), z.logits) if shift is None else shift
            index = (chunk.receiver - chunk.atoms.start).unsqueeze(1).expand_as(x.logits)
            shift[chunk.atoms].scatter_reduce_(0, index, x.logits, "amax", include_self=False)
            x.logits.sub_(shift.index_select(0, chunk.receiver))
        torch.exp2(x.logits, out=x.weight)
        torch.mul(x.weight, x.value, out=x.weighted)
        for axis, along in enumerate(chunk.along):
            if z.paired:
                torch.mul(x.b_paired, x.pair[axis], out=x.vector[axis])
                x.vector_b0[axis].addcmul_(x.b0, along)
            else:
                torch.mul(x.b0, along, out=x.vector[axis])
        sums[chunk.atoms] = chunks.sum_over_neighbours(x.terms, chunk)
    total, scalar, vectors = sums.split([z.logits, z.scalar, 3 * z.axis], dim=1)
    total = torch.where(total > 0, total, 1)  # an atom without neighbours gets no message
    vector, partner = vectors.unflatten(1, (3, z.axis)).split([z.vector, z.axis - z.vector], dim=2)
    return total, shift, scalar / total, vector, partner.contiguous() if z.axis > z.vector else None


def _backward(ctx: Any, d_scalar: Tensor, d_vector: Tensor) -> list[Tensor | None]:
    """The gradients of radial, direction, s, v and the weights."""
    radial, direction, s, v, *weights, total, shift, scalar_message, partner = ctx.saved_tensors
    chunks, w = ctx.chunks, _Weights(ctx.layer, ctx.names, weights)
    z = w.sizes
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in (s, v, *weights)]
        tables = _Weights(ctx.layer, ctx.names, leaves[2:]).tables(*leaves[:2])
    to_filter, bias = w.for_exp2()
    d_vector = pairs = d_vector / _divisor(ctx.layer, chunks)
    if partner is not None:  # the message holds v x partner
        pairs = torch.cat([d_vector, torch.linalg.cross(d_vector, v, dim=1)], dim=2)
    of_receiver = torch.cat([tables[0].detach(), scalar_message, d_scalar / total, pairs.flatten(1)], dim=1)
    d_tables = [torch.zeros_like(table) for table in tables]
    d_out, d_out_bias, d_of_radial = torch.zeros_like(w.out), s.new_zeros(len(w.out)), torch.zeros_like(w.of_radial)
    d_radial = torch.empty_like(radial) if ctx.needs_input_grad[3] else None
    d_direction, one = torch.empty_like(direction) if ctx.needs_input_grad[4] else None, s.new_ones(())
    for chunk in chunks.parts:
        x = chunks.buffers(chunk, z)
        torch.index_select(tables[1].detach(), 0, chunk.source, out=x.source)
        torch.index_select(of_receiver, 0, chunk.receiver, out=x.receiver)
        torch.add(x.of_receiver, x.of_source, out=x.hidden).addmm_(chunk.radial, w.of_radial.t())
        torch.sigmoid(x.hidden, out=x.sigmoid)
        x.hidden.mul_(x.sigmoid)
        torch.addmm(bias, x.hidden, to_filter, out=x.filter)
        if shift is not None:
            x.logits.sub_(shift.index_select(0, chunk.receiver))
        torch.mul(x.logits.exp2_(), x.d_mean, out=x.d_value)
        torch.sub(x.value, x.message, out=x.spread).mul_(x.d_value)
        x.d_logits.copy_(x.spread if z.logits == z.scalar else x.spread.sum(1, keepdim=True))
        torch.mul(x.d_vector_b0[0], chunk.along[0], out=x.d_b0)
        x.d_b0.addcmul_(x.d_vector_b0[1], chunk.along[1]).addcmul_(x.d_vector_b0[2], chunk.along[2])
        if d_direction is not None:
            d_direction[chunk.edges] = torch.stack([(d * x.b0).sum(1) for d in x.d_vector_b0], dim=1)
        if z.paired:
            for d_vector_i, d_pair in zip(x.d_vector, x.d_pair, strict=True):
                torch.mul(x.b_paired, d_vector_i, out=d_pair)
            x.pairs.mul_(x.d_vectors)
            torch.add(x.pair[0], x.pair[1], out=x.d_b_paired).add_(x.pair[2])

        d_out.addmm_(x.d_filter.t(), x.hidden)
        d_out_bias += x.d_filter.sum(0)
        d_hidden = torch.mm(x.d_filter, w.out, out=x.spread)
        d_hidden.mul_(torch.lerp(x.sigmoid, one, x.hidden, out=x.sigmoid))  # the derivative of SiLU: σ + h σ (1 - σ)
        d_of_radial.addmm_(d_hidden.t(), chunk.radial)
        if d_radial is not None:
            torch.mm(d_hidden, w.of_radial, out=d_radial[chunk.edges])
        d_tables[0][chunk.atoms] = chunks.sum_over_neighbours(d_hidden, chunk)
        x.d_of_source.copy_(d_hidden)
        d_tables[1].index_add_(0, chunk.source, x.d_source)

    del of_receiver  # before the gradients of single atoms need memory
    gradients = torch.autograd.grad(tables, leaves, d_tables, allow_unused=True)
    named = dict(zip(("s", "v", *ctx.names), gradients, strict=True))
    named["filter.hidden.weight"][:, 2 * z.scalar :] += d_of_radial
    named["filter.out.weight"], named["filter.out.bias"] = d_out, d_out_bias
    if partner is not None:
        named["v"] = named["v"] + torch.linalg.cross(partner, d_vector, dim=1)
    return [d_radial, d_direction, *named.values()]
