import torch
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


CASES = {
    "03.1": {
        "solution": edge_filter,
        "wrong": [
            (lambda s, r, e, *more: edge_filter(s, r, e.flip(0), *more), "source and receiver are exchanged"),
            (lambda s, r, e, w, b, *more: edge_filter(s, r, e, w, 0 * b, *more), "first bias is missing"),
            (lambda s, r, e, w, b, *more: edge_filter(s, r, e, w, 3 * b, *more), "with each of the three maps"),
            (lambda s, r, e, w, b, *more: edge_filter(s, 0 * r, e, w, b, *more), "no distance gets into the filter"),
            (lambda *given: edge_filter(*given, activation=lambda x: x), "no SiLU"),
            (lambda *given: torch.cat(edge_filter(*given), dim=1), "return four tensors"),
            (concatenated, "costs as much as the concatenation"),
        ],
    },
    "03.2": {
        "solution": softmax,
        "wrong": [
            (lambda a, receiver, n: a.softmax(dim=1), "wrong axis"),
            (lambda a, receiver, n: a.softmax(dim=0), "over the whole graph"),
            (lambda a, receiver, n: a.exp(), "these are the numerators"),
            (lambda a, receiver, n: softmax(a, receiver, n, shift="none"), "exp overflows"),
            (lambda a, receiver, n: softmax(a, receiver, n, shift="graph"), "not of the whole graph"),
        ],
    },
    "03.3": {
        "solution": scalar_message,
        "wrong": [
            (lambda a, s, w, e: scalar_message(a, s, w.T, e), "W_s is transposed"),
            (lambda a, s, w, e: scalar_message(a, s, w, e.flip(0)), "source and receiver are exchanged"),
            (lambda a, s, w, e: torch.zeros_like(s).index_add(0, e[1], a * (s @ w.T)[e[1]]), "the source's"),
            (lambda a, s, w, e: torch.zeros_like(s).index_add(0, e[0], a * (s @ w.T)[e[0]]), "delivers to i"),
            (lambda a, s, w, e: torch.zeros_like(s).index_add(0, e[1], a * s[e[0]]) @ w.T, "W_s acts after"),
            (lambda a, s, w, e: torch.zeros_like(s).index_put((e[1],), a * (s @ w.T)[e[0]]), "one neighbour only"),
            (lambda a, s, w, e: scalar_message(torch.ones_like(a), s, w, e), "attention is missing"),
            (lambda a, s, w, e: scalar_message(a, s, w, e) * (a.shape[1] == 3), "one weight an edge"),
        ],
    },
    "03.4": {"solution": "b", "wrong": [("a", "envelope"), ("c", "there is one"), ("yes", "one letter")]},
    "03.5": {
        "solution": ([("O", 3.0), ("C", 1.5)], [("O", 3.0), ("C", 1.5), ("O", 3.0), ("C", 1.5)]),
        "wrong": [
            (([("O", 3.0)], [("O", 3.0)]), "are the same"),
            ((["C"], ["C", "C"]), "is a pair"),
            (([("O", 3.0), ("C", 1.5)], [("O", 3.0), ("N", 1.5)]), "same number"),
            (([("O", 3.0), ("C", 1.5)], [("O", 3.0), ("C", 1.5), ("C", 1.5)]), "two messages differ"),
            (([("O", 3.0), ("C", 1.5)], [("X", 3.0)]), "elements here are"),
            (([("O", 3.0), ("C", 1.5)], [("O", 5.0)]), "4.5 Å away"),
        ],
    },
}
