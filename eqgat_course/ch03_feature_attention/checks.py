"""Checks of the exercises of notebook 03: the edge filter, the softmax over neighbours, the scalar message."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from eqgat.layers import neighbour_softmax, sum_over_neighbours
from eqgat_course.exercises import (
    between,
    call,
    exercise,
    expect,
    expect_choice,
    expect_close,
    gaussian,
    measured,
    read,
    some_edges,
)


def _last_alone(values: Tensor, receiver: Tensor, nodes: int) -> Tensor:
    """What indexed addition makes of equal indices: the last of them is kept, [N, C]."""
    kept = values.new_zeros(nodes, values.shape[1])
    for row, value in zip(receiver.tolist(), values, strict=True):
        kept[row] = value
    return kept


@exercise("03.1", "The edge filter without the concatenation", "implement", points=2)
def edge_filter(answer: Any) -> None:
    nodes, scalars, vectors, radials = int(between(30, 5, 8)), int(between(34, 11, 14)), int(between(36, 2, 4)), 5
    receiver, source = torch.cartesian_prod(torch.arange(nodes), torch.arange(nodes)).T
    edge_index = torch.stack([source, receiver])[:, source != receiver]
    source, receiver = edge_index
    s, radial, weight, bias, out_weight, out_bias = gaussian(
        31,
        (nodes, scalars),
        (len(source), radials),
        (scalars, 2 * scalars + radials),
        (scalars,),
        (scalars + 3 * vectors, scalars),
        (scalars + 3 * vectors,),
    )
    parts, cost = measured(answer, s, radial, edge_index, weight, bias, out_weight, out_bias, vectors)
    sizes = [scalars, vectors, vectors, vectors]
    expect(
        isinstance(parts, (tuple, list)) and [tuple(p.shape) for p in parts] == [(len(source), n) for n in sizes],
        "return four tensors: a [E, F_s], b_0, b_1 and b_2 [E, F_v] each; torch.Tensor.split cuts the F_s + 3 F_v "
        "outputs in this order.",
    )

    def rest(hidden: Tensor, activation: Any = silu) -> Tensor:
        return activation(hidden) @ out_weight.T + out_bias

    def first(*three: Tensor) -> Tensor:
        return torch.cat(three, dim=1) @ weight.T

    right = first(s[receiver], s[source], radial)
    expect_close(
        torch.cat(list(parts), dim=1),
        rest(right + bias),
        "compare with torch.cat([s_i, s_j, radial], dim=1) @ weight.T + bias, then SiLU, then the second map: the "
        "first F_s columns of the weight belong to the receiver i, the next F_s to the source j, the last K to the "
        "radial basis; of the outputs the first F_s are a.",
        {
            "source and receiver are exchanged: the first F_s columns belong to s_i, the receiver, edge_index[1].": rest(
                first(s[source], s[receiver], radial) + bias
            ),
            "the first bias is missing: it is added once to the sum of the three maps.": rest(right),
            "the first bias is added with each of the three maps; it belongs into their sum once.": rest(
                right + 3 * bias
            ),
            "the map of the radial basis is missing: no distance gets into the filter.": rest(
                first(s[receiver], s[source], 0 * radial) + bias
            ),
            "there is no SiLU between the two linear maps: without it they are one linear map.": rest(
                right + bias, lambda hidden: hidden
            ),
            "SiLU acts on each of the three pieces; it must act on their sum, as it is not linear.": (
                silu(first(s[receiver], 0 * s[source], 0 * radial))
                + silu(first(0 * s[receiver], s[source], 0 * radial))
                + silu(first(0 * s[receiver], 0 * s[source], radial) + bias)
            )
            @ out_weight.T
            + out_bias,
        },
    )
    second_map = 2 * len(source) * scalars * sum(sizes)
    expect(
        cost.outside == 0 and cost.flops >= second_map,
        "the values are right, but part of the work is done where its cost cannot be counted: numbers leave PyTorch "
        "(numpy, tolist, float) or another process computes them. Compute with tensors.",
    )
    in_pieces = 2 * scalars * (2 * nodes * scalars + len(source) * radials) + second_map
    in_one = 2 * scalars * len(source) * (2 * scalars + radials) + second_map
    expect(
        cost.flops < (in_pieces + in_one) / 2,
        "the values are right, but your way costs as much as the concatenation. Multiply s [N, F_s] by its two "
        "blocks of the weight first, once a node, and let the edges pick rows of the result.",
    )


@exercise("03.2", "Softmax over the neighbours", "implement", points=2)
def softmax(answer: Any) -> None:
    num_nodes = int(between(37, 5, 9))
    receiver = some_edges(32, num_nodes)[1]
    (logits,) = gaussian(32, (len(receiver), int(between(38, 3, 6))))
    weight = logits.exp()
    bases = {
        "the weights of one edge sum to 1 over the channels: the softmax runs over the wrong axis. It runs over "
        "the edges of one receiver, each channel by itself.": logits.softmax(dim=1),
        "the weights of all edges of the graph sum to 1: the softmax runs over the whole graph. Each atom's "
        "neighbourhood needs a sum of its own.": logits.softmax(dim=0),
        "the weights of a neighbourhood sum to 1 only over all channels together: sum over the edges and keep the "
        "channels apart.": weight / sum_over_neighbours(weight, receiver, num_nodes)[receiver].sum(dim=1, keepdim=True),
        "the exponential is missing: logits may be negative, weights may not.": logits
        / sum_over_neighbours(logits, receiver, num_nodes)[receiver],
        "these are the numerators: divide by their sum over the neighbourhood.": weight,
    }
    expect_close(
        call(answer, logits, receiver, num_nodes),
        neighbour_softmax(logits, receiver, num_nodes),
        "in each channel, the weights of all edges with the same receiver must sum to 1.",
        bases,
    )
    size = between(39, 900, 1100)
    large = logits + size
    weights = read(call(answer, large, receiver, num_nodes))
    expect(
        weights.isfinite().all(),
        f"right for small logits, but exp overflows for logits near {size:.0f}. Subtract the largest logit of a "
        "neighbourhood first: it cancels in the fraction.",
    )
    expect_close(
        weights,
        neighbour_softmax(large, receiver, num_nodes),
        f"right for small logits; for logits near {size:.0f} the weights are finite, but no longer those of the softmax. "
        "Do not cut the logits off: subtract the largest of each neighbourhood.",
    )
    expect_close(
        call(answer, logits - size, receiver, num_nodes),
        neighbour_softmax(logits, receiver, num_nodes),
        f"right for logits near 0 and near {size:.0f}, wrong where all are near -{size:.0f}: what you subtract is not the "
        "largest logit there. scatter_reduce with amax counts the zeros that it starts from as well, unless it is told "
        "include_self=False.",
    )
    steps = size * (torch.arange(num_nodes) % 2)
    apart = logits + steps[receiver].unsqueeze(1)
    expect_close(
        call(answer, apart, receiver, num_nodes),
        neighbour_softmax(apart, receiver, num_nodes),
        f"right while all atoms have logits of one size, wrong when one atom's are larger by {size:.0f}: subtract "
        "the largest logit of each neighbourhood, not of the whole graph.",
    )
    apart = logits + size * (torch.arange(logits.shape[1]) % 2)
    expect_close(
        call(answer, apart, receiver, num_nodes),
        neighbour_softmax(apart, receiver, num_nodes),
        f"right while all channels have logits of one size, wrong when one channel's are larger by {size:.0f}: subtract "
        "the largest logit of each channel by itself.",
    )


@exercise("03.3", "The scalar message", "implement", points=2)
def scalar_message(answer: Any) -> None:
    nodes, channels = int(between(43, 5, 9)), int(between(44, 3, 6))
    edges = some_edges(33, nodes)
    source, receiver = edges
    logits, s, weight = gaussian(33, (len(source), channels), (nodes, channels), (channels, channels))
    attention = neighbour_softmax(logits, receiver, nodes)

    def message(alpha: Tensor, values: Tensor, group: Tensor) -> Tensor:
        return sum_over_neighbours(alpha * values, group, nodes)

    expect_close(
        call(answer, attention, s, weight, edges),
        message(attention, (s @ weight.T)[source], receiver),
        "row i of the result is the sum, over the edges (j, i), of the attention of the edge times W_s s_j.",
        {
            "the features of the receiver are summed: the message carries s_j, the source's.": message(
                attention, (s @ weight.T)[receiver], receiver
            ),
            "the messages are added up at the source: an edge (j, i) delivers to i, edge_index[1].": message(
                attention, (s @ weight.T)[source], source
            ),
            "source and receiver are exchanged: edge_index[0] holds the sources j, edge_index[1] the receivers i.": message(
                attention, (s @ weight.T)[receiver], source
            ),
            "W_s is transposed: for row vectors W_s s_j reads s_j @ W_s.T.": message(
                attention, (s @ weight)[source], receiver
            ),
            "W_s acts after the attention: Eq. 2 weights the channels of W_s s_j, and diag(α) W_s is not W_s diag(α).": message(
                attention, s[source], receiver
            )
            @ weight.T,
            "each atom has the message of one neighbour only: m[receiver] += ... keeps one of several equal indices. Use "
            "index_add_, or sum_over_neighbours.": _last_alone(attention * (s @ weight.T)[source], receiver, nodes),
            "the attention is missing.": message(torch.ones_like(attention), (s @ weight.T)[source], receiver),
        },
    )
    one = attention[:, :1]
    expect_close(
        call(answer, one, s, weight, edges),
        message(one, (s @ weight.T)[source], receiver),
        "right with a weight for each channel; one weight an edge, [E, 1], must multiply all channels.",
    )


@exercise("03.4", "One neighbour that moves away", "predict")
def one_neighbour(answer: Any) -> None:
    expect_choice(
        answer,
        "b",
        {
            "a": "the envelope damps the radial part of what goes into the filter. What does the softmax make of the one "
            "logit that comes out, however small it is?",
            "c": "the logit does change with the distance. But the softmax divides exp(a) by the sum over all neighbours, "
            "and here there is one.",
        },
    )


@exercise("03.5", "Two neighbourhoods that Eq. 2 cannot tell apart", "break it", points=2)
def same_message(answer: Any) -> None:
    expect(
        isinstance(answer, (tuple, list)) and len(answer) == 2,
        "give two lists of neighbours: (first, second), each a list of (element, distance in Å).",
    )
    embedding, logit_weight, weight = gaussian(35, (3, 4), (4, 5), (4, 4))
    parts = [_neighbours(part) for part in answer]
    messages = []
    for part in parts:
        s = embedding[["CNO".index(element) for element, _ in part]]
        distance = torch.tensor([[d] for _, d in part], dtype=torch.float64)
        attention = (torch.cat([s, distance], dim=1) @ logit_weight.T).softmax(dim=0)
        messages.append((attention * (s @ weight.T)).sum(dim=0))
    first, second = (sorted(part) for part in parts)
    expect(first != second, "the two neighbourhoods are the same: the order of the neighbours does not count.")
    expect(len(first) != len(second), "these have the same number of neighbours; find two of different size.")
    expect_close(
        messages[0],
        messages[1],
        "the two messages differ. A weighted mean stays as it is when every neighbour gets the same number "
        "of copies of itself (same element, same distance): the softmax gives each copy a smaller weight.",
    )


def _neighbours(part: Any) -> list[tuple[str, float]]:
    """One neighbourhood as (element, distance), or what is wrong with it."""
    expect(
        isinstance(part, (tuple, list)) and len(part) > 0,
        "each of the two neighbourhoods is a list with at least one neighbour.",
    )
    expect(
        all(isinstance(one, (tuple, list)) and len(one) == 2 for one in part),
        'each neighbour is a pair (element, distance in Å), for example ("C", 1.5).',
    )
    found = []
    for element, distance in part:
        expect(element in ("C", "N", "O"), f'elements here are "C", "N" and "O"; you gave {element!r}.')
        length = read(distance, "each distance is a number in Å")
        expect(length.numel() == 1, "each neighbour has one distance.")
        expect(0 < length < 4.5, f"a neighbour lies between 0 and 4.5 Å away; you gave {distance} Å.")
        found.append((element, float(length)))
    return found
