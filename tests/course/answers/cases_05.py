"""Notebook 05: a solution of each exercise, and typical mistakes with a part of the hint each should get."""

import torch

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


CASES = {
    "05.1": {
        "solution": cross_term,
        "wrong": [
            (lambda v, b, source, receiver: cross_term(v, b, receiver, source), "sign is opposite"),
            (
                lambda v, b, j, i: cross_term(v, b, j, i) * v.new_tensor([1, -1, 1]).view(1, 3, 1),
                "Only the y component",
            ),
            (lambda v, b, source, receiver: cross(v[receiver], v[source]), "without its weight"),
            (lambda v, b, source, receiver: cross_term(v, b, source, source), "wrong pair"),
            (lambda v, b, source, receiver: b.unsqueeze(1) * v[receiver] * v[source], "component by component"),
            (along_channels, "along the channels"),
            (lambda v, b, j, i: sum_over_neighbours(cross_term(v, b, j, i), i, 5), "shape should be"),
            (
                lambda v, b, j, i: b.unsqueeze(1) * torch.linalg.cross(v[i], v[j], dim=1),
                "Write the three components yourself",
            ),
        ],
    },
    "05.2": {
        "solution": factored,
        "wrong": [
            (lambda v, w, b, j, i: factored(v, w, b, j, i) * number(v, i), "This is the sum"),
            (
                lambda v, w, b, j, i: unfactored(v @ w, torch.eye(w.shape[0], dtype=w.dtype), b, j, i),
                "only v_j is mixed",
            ),
            (lambda v, w, b, j, i: factored(v, w, b, j, i) * number(v, i) / number(v, i, 0), "0 / 0"),
            (lambda v, w, b, j, i: factored(v, torch.eye(4, dtype=v.dtype), b, j, i), "v_j as it is"),
            (lambda v, w, b, j, i: factored(v, w.T, b, j, i), "transposed"),
            (sums_apart, "belongs to its own neighbour"),
            (unfactored, "28 cross products were taken where 20 suffice"),
            (lambda *args: -factored(*args), "v_i stands first"),
        ],
    },
    "05.3": {
        "solution": "b",
        "wrong": [("a", "v = 0"), ("c", "One layer too many"), ("d", "length of a sum"), ("two", "one of the letters")],
    },
    "05.4": {
        "solution": along_z,
        "wrong": [
            (lambda a, b: torch.linalg.cross(a, b), "Nothing is broken"),
            (lambda a, b: a * b, "about z already unmasks"),
            (lambda a, b: 0 * a, "always zero"),
            (lambda a, b: torch.linalg.cross(a, a.new_tensor([[0, 0, 1.0]]).expand_as(a)), "not linear"),
            (lambda a, b: a[:, 2:] * b[:, 2:] * a.new_tensor([0, 0, 1]), "no z component"),
            (lambda a, b: a[:, 0] * b[:, 0], "same shape"),
        ],
    },
}
