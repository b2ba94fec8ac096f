"""Notebook 06: a solution of each exercise, and typical mistakes with a part of the hint each should get."""

import torch
from torch.nn.functional import silu

from eqgat.symmetry import random_reflection, rotation_about


def residual(s, v, scalar_message, vector_sum, num_neighbours):
    return s + scalar_message, v + vector_sum / num_neighbours.clamp(min=1).view(-1, 1, 1)


def update(s, v, vector_in, vector_out, hidden, out, swap=False, activation=silu, gate_function=lambda g: g, old=1.0):
    u, w = vector_in(v).split(v.shape[2], dim=2)
    if swap:
        u, w = w, u
    length = (u.square().sum(dim=1) + 1e-6).sqrt()
    gate, change = out(activation(hidden(torch.cat([s, length], dim=1)))).split([v.shape[2], s.shape[1]], dim=1)
    return old * s + change, old * v + vector_out(gate_function(gate).unsqueeze(1) * w)


def lengths_first(s, v, vector_in, vector_out, hidden, out):
    return update(s, v, vector_in, vector_out, lambda x: hidden(x.roll(v.shape[2], dims=1)), out)


def change_first(s, v, vector_in, vector_out, hidden, out):
    return update(s, v, vector_in, vector_out, hidden, lambda x: out(x).roll(v.shape[2], dims=1))


def changed(**options):
    return lambda *args: update(*args, **options)


X, Z = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)

CASES = {
    "06.1": {
        "solution": residual,
        "wrong": [
            (lambda s, v, m, total, n: (m, v + total), "old scalars are missing"),
            (lambda s, v, m, total, n: (s + m, v + total), "Eq. (6) has the mean"),
            (lambda s, v, m, total, n: (s + m, v + total / n.view(-1, 1, 1)), "0 / 0"),
            (lambda s, v, m, total, n: (s + m, v + total / (n + 1).view(-1, 1, 1)), "|N(i)| + 1"),
            (lambda s, v, m, total, n: (s + m, residual(s, 0 * v, m, total, n)[1]), "old vectors"),
            (lambda s, v, m, total, n: (s + m / n.clamp(min=1).unsqueeze(1), v), "add up to 1 already"),
            (lambda s, v, m, total, n: s + m, "both states"),
        ],
    },
    "06.2": {
        "solution": update,
        "wrong": [
            (changed(old=0.0), "second residual"),
            (changed(swap=True), "exchanged"),
            (lengths_first, "the scalars first"),
            (change_first, "first F_v outputs are the gate"),
            (changed(activation=lambda x: x), "no non-linearity"),
            (changed(gate_function=torch.sigmoid), "bare output"),
            (changed(gate_function=torch.ones_like), "gate is missing"),
        ],
    },
    "06.4": {
        "solution": 6464,
        "wrong": [
            (8080, "4 of the 5 layers"),
            (6400, "has a bias too, not only"),
            (1616, "one layer"),
            (12345, "Count what vanishes"),
        ],
    },
    "06.3": {
        "solution": (rotation_about(X, 1.0), rotation_about(Z, torch.pi / 2)),
        "wrong": [
            ((rotation_about(Z, 1.0), rotation_about(Z, 1.5)), "only v_x²"),
            ((rotation_about(X, 1.0), rotation_about(X, 1.5)), "move the long x components"),
            ((torch.eye(3), rotation_about(Z, 1.5)), "identity is no test"),
            ((random_reflection(0), rotation_about(Z, 1.5)), "no rotation"),
            (rotation_about(X, 1.0), "two matrices"),
        ],
    },
}
