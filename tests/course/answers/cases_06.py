"""Right and wrong answers to the exercises of notebook 06."""

from fractions import Fraction

import numpy as np
import torch
from case import Case, detached, in_float32, in_numpy
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


def residual_in_a_loop(s, v, scalar_message, vector_sum, num_neighbours):
    means = [total / n if n else total for total, n in zip(vector_sum, num_neighbours.tolist(), strict=True)]
    return [s + scalar_message, v + torch.stack(means)]


def residual_in_numpy(s, v, scalar_message, vector_sum, num_neighbours):
    return s + scalar_message, v + np.einsum("nxc,n->nxc", vector_sum, 1 / np.maximum(num_neighbours, 1))


def update_by_chunks(s, v, vector_in, vector_out, hidden, out):
    """The lengths by PyTorch's norm, whose gradient at 0 is 0; the gate by einsum."""
    u, w = vector_in(v).chunk(2, dim=2)
    both = out(silu(hidden(torch.cat([s, torch.linalg.norm(u, dim=1)], dim=1))))
    gate, change = both[:, : v.shape[2]], both[:, v.shape[2] :]
    return s.add(change), torch.einsum("nxc,dc->nxd", w * gate[:, None], vector_out.weight) + v


def update_in_a_loop(s, v, vector_in, vector_out, hidden, out):
    rows = [update(s[i : i + 1], v[i : i + 1], vector_in, vector_out, hidden, out) for i in range(len(s))]
    return torch.cat([row[0] for row in rows]), torch.cat([row[1] for row in rows])


def update_in_float32(s, v, *maps):
    """Everything in fewer digits: the maps are rounded as well."""

    def rounded(linear):
        bias = None if linear.bias is None else linear.bias.float()
        return lambda x: torch.nn.functional.linear(x, linear.weight.float(), bias)

    return update(s.float(), v.float(), *map(rounded, maps))


def bare_root(s, v, vector_in, vector_out, hidden, out):
    u, w = vector_in(v).split(v.shape[2], dim=2)
    length = u.square().sum(dim=1).sqrt()
    gate, change = out(silu(hidden(torch.cat([s, length], dim=1)))).split([v.shape[2], s.shape[1]], dim=1)
    return s + change, v + vector_out(gate.unsqueeze(1) * w)


X, Z = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)

QUARTER = rotation_about(Z, torch.pi / 2)

CASES = {
    "06.1": Case(
        right=[
            residual,
            residual_in_a_loop,
            in_numpy(residual_in_numpy),
            in_float32(residual),
            lambda s, v, m, total, n: (s + m, v + torch.where(n > 0, 1 / n, 0.0)[:, None, None] * total),
        ],
        wrong=[
            (lambda s, v, m, total, n: (m, v + total), "old scalars are missing"),
            (lambda s, v, m, total, n: (s + m, v + total), "Eq. (6) has the mean"),
            (lambda s, v, m, total, n: (s + m, v + total / n.view(-1, 1, 1)), "0 / 0"),
            (lambda s, v, m, total, n: (s + m, v + total / (n + 1).view(-1, 1, 1)), "|N(i)| + 1"),
            (lambda s, v, m, total, n: (s + m, residual(s, 0 * v, m, total, n)[1]), "old vectors"),
            (lambda s, v, m, total, n: (s + m / n.clamp(min=1).unsqueeze(1), v), "add up to 1 already"),
            (lambda s, v, m, total, n: s + m, "both states"),
            (lambda s, v, m, total, n: (s, v), "The scalars are not s + m_s"),
            (lambda s, v, m, total, n: (s + m, v + total / 3), "The vectors are not v +"),
        ],
    ),
    "06.2": Case(
        right=[update, update_by_chunks, update_in_a_loop, update_in_float32],
        wrong=[
            (changed(old=0.0), "second residual"),
            (changed(swap=True), "exchanged"),
            (lengths_first, "the scalars first"),
            (change_first, "first F_v outputs are the gate"),
            (changed(activation=lambda x: x), "no non-linearity"),
            (changed(gate_function=torch.sigmoid), "bare output"),
            (changed(gate_function=torch.ones_like), "gate is missing"),
            (changed(activation=torch.relu), "The scalars are wrong"),
            (bare_root, "where v = 0 the gradient is NaN"),
            (detached(update), "no gradient gets from the new s"),
            (
                lambda s, v, *maps: (update(s, v, *maps)[0], update(s, v, *maps)[1].detach()),
                "from the new v to the old v",
            ),
            (lambda s, v, *maps: update(s, v, *maps)[0], "Return both states"),
        ],
    ),
    "06.3": Case(
        right=[
            (rotation_about(X, 1.0), QUARTER),
            [rotation_about(X, -2.5).numpy(), rotation_about((0.0, 1.0, 0.0), torch.pi / 2).numpy()],
            (torch.diag(torch.tensor([-1.0, -1.0, 1.0])), QUARTER.float()),
            ([[1, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
        ],
        wrong=[
            ((rotation_about(Z, 1.0), rotation_about(Z, 1.5)), "only v_x²"),
            ((rotation_about(X, 1.0), rotation_about(X, 1.5)), "move the long x components"),
            ((torch.eye(3), rotation_about(Z, 1.5)), "identity is no test"),
            ((random_reflection(0), rotation_about(Z, 1.5)), "no rotation"),
            ((rotation_about(X, 1.0), 2 * QUARTER), "second matrix is no rotation"),
            ((torch.eye(2), QUARTER), "must be 3 by 3"),
            (rotation_about(X, 1.0), "two matrices"),
        ],
    ),
    "06.4": Case(
        right=[6464, "6464", "6,464", 4 * (100 * 16 + 16.0), Fraction(6464), torch.tensor(6464)],
        wrong=[
            (8080, "4 of the 5 layers"),
            ("6400", "has a bias too, not only"),
            (1616.0, "one layer"),
            ("8,000", "and the first layer has no cross product"),
            (12345, "Count what vanishes"),
            ("many", "a number or tensor is expected"),
        ],
    ),
}
