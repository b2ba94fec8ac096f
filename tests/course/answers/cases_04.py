"""Right and wrong answers to the exercises of notebook 04."""

from fractions import Fraction

import numpy as np
import torch
from case import Case, in_float32, in_numpy
from torch.nn.functional import normalize


def direction_term(pos, edge_index, b):
    source, receiver = edge_index
    relative = pos[receiver] - pos[source]
    apart = relative.any(dim=1, keepdim=True)
    safe = torch.where(apart, relative, 1.0)
    direction = safe / safe.norm(dim=1, keepdim=True) * apart
    return direction.unsqueeze(2) * b.unsqueeze(1)


def clamped(pos, edge_index, b):
    relative = pos[edge_index[1]] - pos[edge_index[0]]
    direction = relative / relative.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return direction.unsqueeze(2) * b.unsqueeze(1)


def no_clamp(pos, edge_index, b):
    relative = pos[edge_index[1]] - pos[edge_index[0]]
    return (relative / relative.norm(dim=1, keepdim=True)).unsqueeze(2) * b.unsqueeze(1)


def unnormalised(pos, edge_index, b):
    return (pos[edge_index[1]] - pos[edge_index[0]]).unsqueeze(2) * b.unsqueeze(1)


def mixing_term(v, weight, b, edge_index):
    return b.unsqueeze(1) * (v @ weight)[edge_index[0]]


def vector_message(terms, receiver, num_nodes, divide=True, smallest=1):
    total = torch.zeros(num_nodes, *terms.shape[1:], dtype=terms.dtype).index_add(0, receiver, terms)
    count = torch.bincount(receiver, minlength=num_nodes).clamp(min=smallest).view(-1, 1, 1)
    return total / count if divide else total


def direction_by_normalize(pos, edge_index, b):
    source, receiver = edge_index
    return torch.einsum("ex,ec->exc", normalize(pos[receiver] - pos[source], dim=1), b)


def direction_in_a_loop(pos, edge_index, b):
    rows = []
    for e, (j, i) in enumerate(edge_index.T.tolist()):
        relative = pos[i] - pos[j]
        length = torch.linalg.norm(relative)
        unit = relative / length if length > 0 else torch.zeros_like(relative)
        rows.append(unit[:, None] * b[e])
    return torch.stack(rows)


def direction_in_numpy(pos, edge_index, b):
    relative = pos[edge_index[1]] - pos[edge_index[0]]
    length = np.linalg.norm(relative, axis=1, keepdims=True)
    return (relative / np.where(length > 0, length, 1))[:, :, None] * b[:, None, :]


def chosen_by_where(pos, edge_index, b, otherwise=0.0):
    relative = pos[edge_index[1]] - pos[edge_index[0]]
    length = relative.square().sum(dim=1, keepdim=True).sqrt()
    return torch.where(length > 0, relative / length, otherwise).unsqueeze(2) * b.unsqueeze(1)


def mixing_in_a_loop(v, weight, b, edge_index):
    return torch.stack([(v[j] @ weight) * b[e] for e, j in enumerate(edge_index[0].tolist())])


def mean_in_a_loop(terms, receiver, num_nodes):
    own = [terms[receiver == i] for i in range(num_nodes)]
    return torch.stack([rows.mean(dim=0) if len(rows) else torch.zeros_like(terms[0]) for rows in own])


def mean_by_scatter(terms, receiver, num_nodes):
    rows = receiver.view(-1, 1, 1).expand_as(terms)
    return terms.new_zeros(num_nodes, *terms.shape[1:]).scatter_reduce(0, rows, terms, "mean", include_self=False)


def mean_in_numpy(terms, receiver, num_nodes):
    total = np.zeros((num_nodes, *terms.shape[1:]))
    np.add.at(total, receiver, terms)
    return total / np.maximum(np.bincount(receiver, minlength=num_nodes), 1)[:, None, None]


CASES = {
    "04.1": Case(
        right=[
            direction_term,
            direction_in_a_loop,
            in_numpy(direction_in_numpy),
            in_float32(direction_term),
        ],
        wrong=[
            (lambda pos, e, b: direction_term(pos, e.flip(0), b), "the sign is turned round"),
            (unnormalised, "not divided by their length"),
            (lambda pos, e, b: direction_term(pos, e, b).transpose(1, 2), "the axes are exchanged"),
            (lambda pos, e, b: (pos[e[1]] - pos[e[0]]).sign().unsqueeze(2) * b.unsqueeze(1), "component is normalised"),
            (no_clamp, "two atoms in one place"),
            (lambda pos, e, b: chosen_by_where(pos, e, b, 1.0), "their term should be zero"),
            (lambda pos, e, b: no_clamp(pos, e, b).nan_to_num(7.0), "their term should be zero"),
            (chosen_by_where, "the gradient is NaN"),
            (clamped, "not the gradient. Where two atoms are in one place it should be zero"),
            (direction_by_normalize, "not the gradient. Where two atoms are in one place it should be zero"),
            (lambda pos, e, b: direction_term(pos, e, b).abs(), "entry (e, x, c)"),
        ],
    ),
    "04.2": Case(
        right=[
            mixing_term,
            mixing_in_a_loop,
            lambda v, w, b, e: torch.einsum("exc,cd,ed->exd", v[e[0]], w, b),
            in_numpy(lambda v, w, b, e: b[:, None] * (v @ w)[e[0]]),
            in_float32(mixing_term),
        ],
        wrong=[
            (
                lambda v, w, b, e: b.unsqueeze(1) * ((w if len(w) == 3 else torch.eye(3).double()) @ v)[e[0]],
                "from the left",
            ),
            (lambda v, w, b, e: mixing_term(v, w.T, b, e), "W_v is transposed"),
            (lambda v, w, b, e: mixing_term(v, w, b, e.flip(0)), "vectors of the receiver"),
            (
                lambda v, w, b, e: (b.unsqueeze(2) if len(w) == 3 else b.unsqueeze(1)) * (v @ w)[e[0]],
                "b scales the components",
            ),
            (lambda v, w, b, e: (v @ w)[e[0]], "coefficients b are missing"),
            (lambda v, w, b, e: (b.unsqueeze(1) * v[e[0]]) @ w, "before the mixing"),
            (lambda v, w, b, e: mixing_term(v, w, b, e) * (len(w) == 3), "entry (e, x, c)"),
            (lambda v, w, b, e: mixing_term(v, w, b, e)[:6], "shape should be"),
        ],
    ),
    "04.3": Case(
        right=[vector_message, mean_in_a_loop, mean_by_scatter, in_numpy(mean_in_numpy), in_float32(vector_message)],
        wrong=[
            (lambda t, r, n: vector_message(t, r, n, divide=False), "summed instead of averaged"),
            (lambda t, r, n: vector_message(t, r, n, smallest=0), "atom without neighbours"),
            (lambda t, r, n: vector_message(t, r, n, divide=False) / len(r), "number of all edges"),
            (
                lambda t, r, n: vector_message(t, r, n, False) / (r.bincount(minlength=n) + 1).view(-1, 1, 1),
                "|N(i)| + 1",
            ),
            (lambda t, r, n: vector_message(t, r, n, False) / r.bincount().max(), "largest |N(i)|"),
            (lambda t, r, n: vector_message(t, r, n)[:-1], "shape should be"),
            (lambda t, r, n: vector_message(t, r, n).abs(), "row i of the result"),
        ],
    ),
    "04.4": Case(
        right=[
            [-0.5, -0.5, 0.0],
            (-0.5, -0.5, 0),
            "[-0.5, -0.5, 0]",
            np.array([-0.5, -0.5, 0.0]),
            torch.tensor([-1.0, -1.0, 0.0]) / 2,
            [Fraction(-1, 2), "-1/2", 0],
        ],
        wrong=[
            ([0.5, 0.5, 0.0], "the sign"),
            ([-1.0, -1.0, 0.0], "divides by the number"),
            ("(-1, -1.5, 0)", "unit vectors"),
            ([-0.7071, -0.7071, 0], "turned to length 1"),
            ([0.0, 0.0, 0.0], "draw it"),
            ([-0.5, -0.5], "shape should be [3]"),
            ("left", "a number or tensor is expected"),
        ],
    ),
    "04.5": Case(
        right=[
            lambda v: v**3,
            torch.tanh,
            lambda v: v / v.abs().amax(dim=1, keepdim=True),
            in_numpy(np.sign),
            lambda v: [[x * abs(x) for x in row] for row in v.tolist()],
        ],
        wrong=[
            (torch.relu, "a quarter turn catches"),
            (lambda v: 2 * v, "not broken"),
            (lambda v: v * v.norm(dim=1, keepdim=True), "not broken"),
            (lambda v: 0 * v, "not broken"),
            (lambda v: v.norm(dim=1), "of the same shape"),
            (lambda v: v / v.square().mean(dim=0).sqrt(), "each vector by itself"),
            (lambda v: v + torch.rand_like(v), "called again"),
            (lambda v: v.log(), "NaN or infinite"),
        ],
    ),
}
