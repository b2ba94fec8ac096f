"""Checks of the exercises of notebook 04: directions, mixing of channels, the mean over neighbours."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from eqgat.graph import edge_geometry
from eqgat.layers import sum_over_neighbours
from eqgat.symmetry import random_rotation, rotation_about
from eqgat_course.exercises import call, close, exercise, expect, expect_close, seeded

# A small graph: atom 0 has three neighbours, atom 1 two, atom 2 one, atom 3 none.
EDGES = torch.tensor([[1, 2, 3, 0, 2, 0], [0, 0, 0, 1, 1, 2]])


def _random(seed: int, *sizes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seeded(seed))
    return [torch.randn(*size, generator=generator, dtype=torch.float64) for size in sizes]


@exercise("04.1", "The direction term", "implement", points=2)
def direction_term(answer: Any) -> None:
    pos, b = _random(41, (4, 3), (6, 2))
    _, direction = edge_geometry(pos, EDGES)
    relative = pos[EDGES[1]] - pos[EDGES[0]]
    right = direction.unsqueeze(2) * b.unsqueeze(1)
    actual = call(answer, pos, EDGES, b)
    expect_close(
        actual,
        right,
        "entry (e, x, c) is component x of p_ji,n of edge e times channel c of b_ji,0.",
        {
            "the sign is turned round: in Section 3, p_ji,n = (p_i - p_j) / d points from the neighbour to the centre.": -right,
            "the relative positions are not divided by their length: p_ji,n has length 1.": relative.unsqueeze(2)
            * b.unsqueeze(1),
            "the axes are exchanged: vector features are [E, 3, F_v] here, the components before the channels.": right.transpose(
                1, 2
            ),
            "each Cartesian component is normalised by itself; divide all three by the one length of the vector.": relative.sign().unsqueeze(
                2
            )
            * b.unsqueeze(1),
        },
    )
    rotation = random_rotation(41)
    expect_close(
        call(answer, pos @ rotation.T, EDGES, b),
        rotation @ right,
        "right as the atoms lie, but the result does not rotate with them.",
    )
    pos[2] = pos[0]
    expect(
        bool(torch.isfinite(torch.as_tensor(call(answer, pos, EDGES, b))).all()),
        "two atoms in one place give NaN: 0 divided by 0. Such a pair has no direction; let its term be zero, "
        "for instance by dividing by a length clamped away from zero.",
    )


@exercise("04.2", "The mixing term", "implement", points=2)
def mixing_term(answer: Any) -> None:
    v, weight, b = _random(42, (4, 3, 3), (3, 3), (6, 3))  # F_v = 3: a product on the wrong axis has the right shape
    source, receiver = EDGES
    right = b.unsqueeze(1) * (v @ weight)[source]
    expect_close(
        call(answer, v, weight, b, EDGES),
        right,
        "entry (e, x, c) is b of edge e, channel c, times component x of channel c of v_j W_v.",
        {
            "W_v multiplies from the left: that mixes x, y and z, and no rotation survives it. Channels are mixed by "
            "v @ W_v.": b.unsqueeze(1) * (weight @ v)[source],
            "W_v is transposed: the paper writes v W_v, so v @ weight (torch.nn.Linear stores the transpose).": b.unsqueeze(
                1
            )
            * (v @ weight.T)[source],
            "the vectors of the receiver are mixed: the message carries v_j, the source's.": b.unsqueeze(1)
            * (v @ weight)[receiver],
            "b scales the components x, y, z; it must scale the channels: b.unsqueeze(1), of shape [E, 1, F_v].": b.unsqueeze(
                2
            )
            * (v @ weight)[source],
            "b is applied before the mixing; Eq. 4 scales the channels of v_j W_v.": (b.unsqueeze(1) * v[source])
            @ weight,
            "the coefficients b are missing.": (v @ weight)[source],
        },
    )


@exercise("04.3", "The mean over the neighbours", "implement", points=2)
def vector_message(answer: Any) -> None:
    (terms,) = _random(43, (6, 3, 2))
    receiver, num_nodes = EDGES[1], 4
    total = sum_over_neighbours(terms, receiver, num_nodes)
    count = torch.bincount(receiver, minlength=num_nodes).double().view(-1, 1, 1)
    right = total / count.clamp(min=1)
    actual = torch.as_tensor(call(answer, terms, receiver, num_nodes))
    expect(
        actual.shape != right.shape or not bool(actual[3].isnan().any()),
        "the atom without neighbours is NaN, 0 divided by 0. Let its message be zero: clamp |N(i)| to at least 1.",
    )
    expect_close(
        actual,
        right,
        "row i of the result is the mean of the terms of the edges into atom i.",
        {
            "summed instead of averaged: divide by |N(i)|.": total,
            "divided by the number of all edges: each atom has its own |N(i)|.": total / len(receiver),
            "divided by |N(i)| + 1: an atom is not its own neighbour.": total / (count + 1),
            "divided by the largest |N(i)| of the graph: each atom has its own.": total / count.max(),
        },
    )


@exercise("04.4", "Two neighbours at a right angle", "predict")
def two_neighbours(answer: Any) -> None:
    expect_close(
        answer,
        [-0.5, -0.5, 0.0],
        "draw it: one unit vector for each neighbour, from the neighbour to the centre; then their mean.",
        {
            "the sign: p_ji,n = (p_i - p_j) / d points from the neighbour to the centre, here away from both.": [
                0.5,
                0.5,
                0.0,
            ],
            "that is the sum; Eq. 6 divides by the number of neighbours.": [-1.0, -1.0, 0.0],
            "the vectors are unit vectors: the distances 2 Å and 3 Å enter through b alone.": [-1.0, -1.5, 0.0],
            "that is the mean turned to length 1; Eq. 6 leaves its length as it is, 1/√2.": [
                -math.sqrt(0.5),
                -math.sqrt(0.5),
                0.0,
            ],
        },
        atol=1e-3,
    )


@exercise("04.5", "A broken function that quarter turns do not catch", "break it", points=2)
def escapes_quarter_turns(answer: Any) -> None:
    (v,) = _random(45, (20, 3))
    result = call(answer, v.clone())
    expect(
        tuple(getattr(result, "shape", ())) == (20, 3),
        "your function gets vectors [n, 3], one a row, and must return as many of the same shape.",
    )
    expect(close(call(answer, v.clone()), result), "your function gives another result when it is called again.")
    expect(
        close(call(answer, v[:5].clone()), result[:5]),
        "your function must treat each vector by itself: the result for one row depends on the other rows.",
    )
    for axis in torch.eye(3):
        quarter = rotation_about(axis, math.pi / 2)
        expect(
            close(call(answer, v @ quarter.T), result @ quarter.T, atol=1e-6),
            "a quarter turn catches this one already. A quarter turn about an axis exchanges two components and "
            "turns the sign of one: what may be done to each component, so that neither matters?",
        )
    expect(
        not all(
            close(call(answer, v @ random_rotation(seed).T), result @ random_rotation(seed).T, atol=1e-6)
            for seed in range(5)
        ),
        "this one is equivariant under every rotation, so it is not broken. Do something to each component by itself.",
    )
