"""Right and wrong answers to the exercises of notebook 05."""

import numpy as np
import torch
from case import Case, choice, in_float32, in_numpy

from eqgat.layers import sum_over_neighbours


def cross(a, b):
    return torch.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        dim=1,
    )


def cross_term(v, b, source, receiver):
    return b.unsqueeze(1) * cross(v[receiver], v[source])


def along_channels(v, b, source, receiver):
    axis = 2 if v.shape[2] == 3 else 1
    return b.unsqueeze(1) * torch.linalg.cross(v[receiver], v[source], dim=axis)


def factored(v, weight, b, source, receiver):
    weighted = sum_over_neighbours(b.unsqueeze(1) * (v @ weight)[source], receiver, len(v))
    return cross(v, weighted) / number(v, receiver)


def number(v, receiver, least=1):
    return torch.bincount(receiver, minlength=len(v)).clamp(min=least).view(-1, 1, 1)


def unfactored(v, weight, b, source, receiver):
    terms = b.unsqueeze(1) * torch.linalg.cross(v[receiver], (v @ weight)[source], dim=1)
    return sum_over_neighbours(terms, receiver, len(v)) / number(v, receiver)


def sums_apart(v, weight, b, source, receiver):
    weights, partners = (sum_over_neighbours(x, receiver, len(v)) for x in (b, (v @ weight)[source]))
    return weights.unsqueeze(1) * cross(v, partners) / number(v, receiver)


def along_z(a, b):
    return (a * b).sum(dim=1, keepdim=True) * a.new_tensor([0, 0, 1])


LEVI_CIVITA = torch.zeros(3, 3, 3, dtype=torch.float64)
for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    LEVI_CIVITA[x, y, z], LEVI_CIVITA[x, z, y] = 1, -1


def term_by_einsum(v, b, source, receiver):
    return torch.einsum("xyz,eyc,ezc,ec->exc", LEVI_CIVITA.to(v.dtype), v[receiver], v[source], b)


def term_by_rolling(v, b, source, receiver):
    """The components that follow, and those that follow them."""
    p, q = v[receiver], v[source]
    return b[:, None] * (p.roll(-1, 1) * q.roll(-2, 1) - p.roll(-2, 1) * q.roll(-1, 1))


def term_in_a_loop(v, b, source, receiver):
    edges = zip(source.tolist(), receiver.tolist(), strict=True)
    return torch.stack([b[e] * cross(v[i][None], v[j][None])[0] for e, (j, i) in enumerate(edges)])


def term_in_numpy(v, b, source, receiver):
    return torch.from_numpy(np.cross(v.numpy()[receiver], v.numpy()[source], axis=1) * b.numpy()[:, None])


def factored_in_a_loop(v, weight, b, source, receiver):
    mixed, rows = v @ weight, []
    for i in range(len(v)):
        own = (receiver == i).nonzero().flatten()
        partner = (b[own].unsqueeze(1) * mixed[source[own]]).sum(dim=0)
        rows.append(cross(v[i : i + 1], partner[None])[0] / max(len(own), 1))
    return torch.stack(rows)


def factored_by_matrices(v, weight, b, source, receiver):
    """Coefficients as [N, N, F_v], and the cross product as a matrix for each atom and channel."""
    dense = b.new_zeros(len(v), len(v), b.shape[1]).index_put((receiver, source), b, accumulate=True)
    partner = torch.einsum("ijc,jxd,dc->ixc", dense, v, weight)
    skew = torch.einsum("xyz,iyc->ixzc", LEVI_CIVITA.to(v.dtype), v)
    return torch.einsum("ixzc,izc->ixc", skew, partner) / number(v, receiver)


def unfactored_written_out(v, weight, b, source, receiver):
    terms = b.unsqueeze(1) * cross(v[receiver], (v @ weight)[source])
    return sum_over_neighbours(terms, receiver, len(v)) / number(v, receiver)


def unfactored_in_a_loop(v, weight, b, source, receiver):
    """Nothing is gathered for v_i, and yet each neighbour has its cross product."""
    mixed, total = v @ weight, torch.zeros_like(v)
    for e, (j, i) in enumerate(zip(source.tolist(), receiver.tolist(), strict=True)):
        total[i] += b[e] * cross(v[i][None], mixed[j][None])[0]
    return total / number(v, receiver)


def unfactored_by_einsum(v, weight, b, source, receiver):
    terms = torch.einsum("xyz,eyc,ezc,ec->exc", LEVI_CIVITA.to(v.dtype), v[receiver], (v @ weight)[source], b)
    return sum_over_neighbours(terms, receiver, len(v)) / number(v, receiver)


def all_pairs(v, weight, b, source, receiver):
    """A cross product for each pair of atoms, whether there is an edge or not."""
    dense = b.new_zeros(len(v), len(v), b.shape[1]).index_put((receiver, source), b)
    pairs = torch.linalg.cross(
        v[:, None].expand(-1, len(v), -1, -1), (v @ weight)[None].expand(len(v), -1, -1, -1), dim=2
    )
    return (dense.unsqueeze(2) * pairs).sum(dim=1) / number(v, receiver)


def unfactored_in_numpy(v, weight, b, source, receiver):
    terms = np.cross(v.numpy()[receiver], (v @ weight).numpy()[source], axis=1) * b.numpy()[:, None]
    return sum_over_neighbours(torch.from_numpy(terms), receiver, len(v)) / number(v, receiver)


def not_mixed(v, weight, b, source, receiver):
    return factored(v, torch.eye(len(weight), dtype=v.dtype), b, source, receiver)


CASES = {
    "05.1": Case(
        right=[
            cross_term,
            term_by_einsum,
            term_by_rolling,
            in_float32(cross_term),
            torch.func.vmap(
                lambda v, b, j, i: cross_term(v.unsqueeze(2), b.unsqueeze(1), j, i).squeeze(2),
                in_dims=(2, 1, None, None),
                out_dims=2,
            ),
        ],
        wrong=[
            (lambda v, b, source, receiver: cross_term(v, b, receiver, source), "sign is opposite"),
            (
                lambda v, b, j, i: cross_term(v, b, j, i) * v.new_tensor([1, -1, 1]).view(1, 3, 1),
                "Only the y component",
            ),
            (lambda v, b, source, receiver: cross(v[receiver], v[source]), "without its weight"),
            (lambda v, b, source, receiver: cross_term(v, b, source, source), "wrong pair"),
            (lambda v, b, source, receiver: b.unsqueeze(1) * v[receiver] * v[source], "component by component"),
            (along_channels, "along the channels"),
            (lambda v, b, j, i: sum_over_neighbours(cross_term(v, b, j, i), i, len(v)), "shape should be"),
            (lambda v, b, j, i: cross_term(v, b, j, i) + 1, "Not v_ji,2"),
            (
                lambda v, b, j, i: b.unsqueeze(1) * torch.linalg.cross(v[i], v[j], dim=1),
                "Write the three components yourself",
            ),
            (lambda v, b, j, i: b.unsqueeze(1) * torch.cross(v[i], v[j], dim=1), "PyTorch's cross product made them"),
            (term_in_a_loop, "a loop over the edges"),
            (term_in_numpy, "numbers leave it"),
        ],
    ),
    "05.2": Case(
        right=[
            factored,
            lambda v, w, b, j, i: (
                torch.linalg.cross(v, sum_over_neighbours(b[:, None] * (v @ w)[j], i, len(v)), dim=1) / number(v, i)
            ),
            factored_in_a_loop,
            factored_by_matrices,
            in_float32(factored),
        ],
        wrong=[
            (lambda v, w, b, j, i: factored(v, w, b, j, i) * number(v, i), "This is the sum"),
            (
                lambda v, w, b, j, i: unfactored(v @ w, torch.eye(w.shape[0], dtype=w.dtype), b, j, i),
                "only v_j is mixed",
            ),
            (lambda v, w, b, j, i: factored(v, w, b, j, i) * number(v, i) / number(v, i, 0), "0 / 0"),
            (not_mixed, "v_j as it is"),
            (lambda v, w, b, j, i: factored(v, w.T, b, j, i), "transposed"),
            (sums_apart, "belongs to its own neighbour"),
            (lambda *args: -factored(*args), "v_i stands first"),
            (lambda *args: 2 * factored(*args), "Not the mean over neighbours"),
            (unfactored, "taken for each edge"),
            (unfactored_written_out, "taken for each edge"),
            (unfactored_in_a_loop, "taken for each edge"),
            (unfactored_by_einsum, "taken for each edge"),
            (all_pairs, "or pair of atoms"),
            (unfactored_in_numpy, "numbers leave PyTorch"),
        ],
    ),
    "05.3": Case(
        right=choice("b"),
        wrong=[("a", "v = 0"), ("(c)", "One layer too many"), ("d", "length of a sum"), ("two", "one of the letters")],
    ),
    "05.4": Case(
        right=[
            along_z,
            lambda a, b: torch.linalg.cross(a, b) * a.new_tensor([1, 1, 2]),
            lambda a, b: torch.stack([a[:, 2] * b[:, 0], a[:, 2] * b[:, 1], (a[:, :2] * b[:, :2]).sum(dim=1)], dim=1),
            in_numpy(lambda a, b: np.cross(a, b) * [0, 0, 1]),
            in_float32(along_z),
        ],
        wrong=[
            (lambda a, b: torch.linalg.cross(a, b), "Nothing is broken"),
            (lambda a, b: a * b, "about z already unmasks"),
            (lambda a, b: 0 * a, "always zero"),
            (lambda a, b: torch.linalg.cross(a, a.new_tensor([[0, 0, 1.0]]).expand_as(a)), "not linear"),
            (lambda a, b: along_z(a, b) + a, "not linear"),
            (lambda a, b: a[:, 2:] * b[:, 2:] * a.new_tensor([0, 0, 1]), "no z component"),
            (lambda a, b: a[:, 0] * b[:, 0], "same shape"),
            (lambda a, b: a / (b * 0), "NaN or infinite"),
        ],
    ),
}
