"""Right and wrong answers to the exercises of notebook 03."""

from fractions import Fraction

import numpy as np
import scipy
import torch
from case import Case, choice, in_float32, in_numpy
from torch.nn.functional import silu


def edge_filter(s, radial, edge_index, weight, bias, out_weight, out_bias, vector_channels, activation=silu):
    source, receiver = edge_index
    of_i, of_j, of_radial = weight.split([s.shape[1], s.shape[1], radial.shape[1]], dim=1)
    hidden = (s @ of_i.T)[receiver] + (s @ of_j.T)[source] + radial @ of_radial.T + bias
    return (activation(hidden) @ out_weight.T + out_bias).split([s.shape[1], *[vector_channels] * 3], dim=1)


def concatenated(s, radial, edge_index, weight, bias, out_weight, out_bias, vector_channels):
    source, receiver = edge_index
    hidden = silu(torch.cat([s[receiver], s[source], radial], dim=1) @ weight.T + bias)
    return (hidden @ out_weight.T + out_bias).split([s.shape[1], *[vector_channels] * 3], dim=1)


def softmax(logits, receiver, num_nodes, shift="neighbourhood"):
    shifted = logits.clone()
    for i in range(num_nodes):
        if (receiver == i).any() and shift == "neighbourhood":
            shifted[receiver == i] -= logits[receiver == i].amax(dim=0)
    if shift == "graph":
        shifted = logits - logits.max()
    weight = shifted.exp()
    total = torch.zeros(num_nodes, logits.shape[1], dtype=logits.dtype).index_add(0, receiver, weight)
    return weight / total[receiver]


def scalar_message(attention, s, weight, edge_index):
    source, receiver = edge_index
    return torch.zeros_like(s).index_add(0, receiver, attention * (s @ weight.T)[source])


def filter_by_einsum(s, radial, edge_index, weight, bias, out_weight, out_bias, vector_channels):
    """Both maps of s in one product, the three logits of a piece by einsum."""
    n, (source, receiver) = s.shape[1], edge_index
    both = torch.einsum("nf,kgf->kng", s, torch.stack([weight[:, :n], weight[:, n : 2 * n]]))
    hidden = both[0, receiver] + both[1, source] + torch.einsum("ek,gk->eg", radial, weight[:, 2 * n :]) + bias
    out = torch.einsum("eg,og->eo", hidden * hidden.sigmoid(), out_weight) + out_bias
    first = [n + vector_channels * k for k in range(3)]
    return [out[:, :n], *(out[:, a : a + vector_channels] for a in first)]


def filter_in_a_loop(s, radial, edge_index, weight, bias, out_weight, out_bias, vector_channels):
    n = s.shape[1]
    as_receiver, as_source = s @ weight[:, :n].T, s @ weight[:, n : 2 * n].T
    rows = []
    for e, (j, i) in enumerate(edge_index.T.tolist()):
        rows.append(out_weight @ silu(as_receiver[i] + as_source[j] + weight[:, 2 * n :] @ radial[e] + bias) + out_bias)
    return torch.stack(rows).split([n, *[vector_channels] * 3], dim=1)


def concatenated_in_a_loop(s, radial, edge_index, weight, bias, out_weight, out_bias, vector_channels):
    rows = [
        out_weight @ silu(weight @ torch.cat([s[i], s[j], radial[e]]) + bias) + out_bias
        for e, (j, i) in enumerate(edge_index.T.tolist())
    ]
    return torch.stack(rows).split([s.shape[1], *[vector_channels] * 3], dim=1)


def gathered_first(s, radial, edge_index, weight, bias, out_weight, out_bias, vector_channels):
    """No concatenation, but each product is taken once an edge."""
    n, (source, receiver) = s.shape[1], edge_index
    hidden = s[receiver] @ weight[:, :n].T + s[source] @ weight[:, n : 2 * n].T + radial @ weight[:, 2 * n :].T
    return (silu(hidden + bias) @ out_weight.T + out_bias).split([n, *[vector_channels] * 3], dim=1)


def elementwise(s, radial, edge_index, weight, bias, out_weight, out_bias, vector_channels):
    """The concatenation, times the weight without any matrix product."""
    together = torch.cat([s[edge_index[1]], s[edge_index[0]], radial], dim=1)
    hidden = silu((together[:, None] * weight).sum(dim=2) + bias)
    return (hidden @ out_weight.T + out_bias).split([s.shape[1], *[vector_channels] * 3], dim=1)


def filter_in_numpy(*given):
    """The first map in numpy, concatenated."""
    s, radial, edge_index, weight, bias, *rest = given
    together = np.concatenate([s.numpy()[edge_index[1]], s.numpy()[edge_index[0]], radial.numpy()], axis=1)
    hidden = silu(torch.from_numpy(together @ weight.numpy().T) + bias)
    return (hidden @ rest[0].T + rest[1]).split([s.shape[1], *[rest[2]] * 3], dim=1)


def softmax_by_scatter(logits, receiver, num_nodes, include_self=False):
    rows = receiver.unsqueeze(1).expand_as(logits)
    zeros = logits.new_zeros(num_nodes, logits.shape[1])
    largest = zeros.scatter_reduce(0, rows, logits, "amax", include_self=include_self)
    weights = (logits - largest[receiver]).exp()
    return weights / zeros.index_add(0, receiver, weights)[receiver]


def softmax_by_mask(logits, receiver, num_nodes):
    mask = receiver[:, None] == receiver[None]  # edges with the same receiver, [E, E]
    spread = torch.where(mask.unsqueeze(2), logits[None], -torch.inf)
    return torch.exp(logits - spread.logsumexp(dim=1))


def softmax_in_scipy(logits, receiver, num_nodes):
    weights = np.empty_like(logits)
    for i in set(receiver.tolist()):
        weights[receiver == i] = scipy.special.softmax(logits[receiver == i], axis=0)
    return weights


def message_in_a_loop(attention, s, weight, edge_index):
    rows = [torch.zeros_like(row) for row in s]
    for e, (j, i) in enumerate(edge_index.T.tolist()):
        rows[i] = rows[i] + attention[e] * (weight @ s[j])
    return torch.stack(rows)


def message_by_matrix(attention, s, weight, edge_index):
    to_receiver = torch.nn.functional.one_hot(edge_index[1], len(s)).to(s.dtype)
    return torch.einsum("en,ec,ec->nc", to_receiver, attention.expand(-1, s.shape[1]), (s @ weight.T)[edge_index[0]])


def message_in_numpy(attention, s, weight, edge_index):
    total = np.zeros_like(s)
    np.add.at(total, edge_index[1], attention * (s @ weight.T)[edge_index[0]])
    return total


def without_exponential(logits, receiver, num_nodes):
    return logits / torch.zeros(num_nodes, logits.shape[1], dtype=logits.dtype).index_add(0, receiver, logits)[receiver]


PAIR = [("O", 3.0), ("C", 1.5)]

CASES = {
    "03.1": Case(
        right=[edge_filter, filter_by_einsum, filter_in_a_loop, in_float32(edge_filter)],
        wrong=[
            (lambda s, r, e, *more: edge_filter(s, r, e.flip(0), *more), "source and receiver are exchanged"),
            (lambda s, r, e, w, b, *more: edge_filter(s, r, e, w, 0 * b, *more), "first bias is missing"),
            (lambda s, r, e, w, b, *more: edge_filter(s, r, e, w, 3 * b, *more), "with each of the three maps"),
            (lambda s, r, e, w, b, *more: edge_filter(s, 0 * r, e, w, b, *more), "no distance gets into the filter"),
            (lambda *given: edge_filter(*given, activation=lambda x: x), "no SiLU"),
            (lambda *given: torch.cat(edge_filter(*given), dim=1), "return four tensors"),
            (lambda *given: edge_filter(*given, activation=torch.relu), "compare with torch.cat"),
            (concatenated, "costs as much as the concatenation"),
            (concatenated_in_a_loop, "costs as much as the concatenation"),
            (gathered_first, "costs as much as the concatenation"),
            (elementwise, "costs as much as the concatenation"),
            (filter_in_numpy, "numbers leave PyTorch"),
        ],
    ),
    "03.2": Case(
        right=[softmax_by_scatter, softmax, softmax_by_mask, in_numpy(softmax_in_scipy), in_float32(softmax)],
        wrong=[
            (lambda a, receiver, n: a.softmax(dim=1), "wrong axis"),
            (lambda a, receiver, n: a.softmax(dim=0), "over the whole graph"),
            (lambda a, receiver, n: a.exp(), "these are the numerators"),
            (without_exponential, "exponential is missing"),
            (lambda a, receiver, n: softmax(a, receiver, n, shift="none"), "exp overflows"),
            (lambda a, receiver, n: softmax(a.clamp(-50, 50), receiver, n, shift="none"), "Do not cut the logits off"),
            (lambda a, receiver, n: softmax_by_scatter(a, receiver, n, include_self=True), "include_self=False"),
            (lambda a, receiver, n: softmax(a, receiver, n, shift="graph"), "not of the whole graph"),
            (lambda a, receiver, n: softmax(a - a.amax(1, keepdim=True), receiver, n), "in each channel, the weights"),
            (lambda a, receiver, n: torch.ones_like(a) / 3, "in each channel, the weights"),
        ],
    ),
    "03.3": Case(
        right=[
            scalar_message,
            message_in_a_loop,
            message_by_matrix,
            in_numpy(message_in_numpy),
            in_float32(scalar_message),
        ],
        wrong=[
            (lambda a, s, w, e: scalar_message(a, s, w.T, e), "W_s is transposed"),
            (lambda a, s, w, e: scalar_message(a, s, w, e.flip(0)), "source and receiver are exchanged"),
            (lambda a, s, w, e: torch.zeros_like(s).index_add(0, e[1], a * (s @ w.T)[e[1]]), "the source's"),
            (lambda a, s, w, e: torch.zeros_like(s).index_add(0, e[0], a * (s @ w.T)[e[0]]), "delivers to i"),
            (lambda a, s, w, e: torch.zeros_like(s).index_add(0, e[1], a * s[e[0]]) @ w.T, "W_s acts after"),
            (lambda a, s, w, e: torch.zeros_like(s).index_put((e[1],), a * (s @ w.T)[e[0]]), "one neighbour only"),
            (lambda a, s, w, e: scalar_message(torch.ones_like(a), s, w, e), "attention is missing"),
            (lambda a, s, w, e: scalar_message(a, s, w, e) * (a.shape[1] > 1), "one weight an edge"),
            (lambda a, s, w, e: torch.zeros(s.shape).index_add(0, e[1], a * (s @ w.T)[e[0]]), "Two dtypes meet"),
            (lambda a, s, w, e: scalar_message(a, s, w, e)[:-1], "shape should be"),
        ],
    ),
    "03.4": Case(
        right=choice("b"),
        wrong=[("a", "envelope"), ("C", "there is one"), ("yes", "one of the letters"), ("", "letters")],
    ),
    "03.5": Case(
        right=[
            (PAIR, PAIR + PAIR),
            [PAIR * 3, PAIR],
            ([("N", 2)], (("N", "2"), ("N", 2.0))),
            ([["C", np.float64(1.5)]] * 4, [["C", Fraction(3, 2)]]),
            (PAIR * 2, PAIR[::-1] * 3),
        ],
        wrong=[
            (([("O", 3.0)], [("O", 3.0)]), "are the same"),
            ((["C"], ["C", "C"]), "is a pair"),
            ((PAIR, [("O", 3.0), ("N", 1.5)]), "same number"),
            ((PAIR, [*PAIR, ("C", 1.5)]), "two messages differ"),
            ((PAIR, [("X", 3.0)]), "elements here are"),
            ((PAIR, [("O", 5.0)]), "4.5 Å away"),
            ((PAIR, [("O", "near")]), "each distance is a number"),
            ((PAIR, []), "at least one neighbour"),
            (PAIR[0][0], "two lists of neighbours"),
        ],
    ),
}
