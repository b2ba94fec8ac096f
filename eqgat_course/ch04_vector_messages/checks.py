"""Checks of the exercises of notebook 04: directions, mixing of channels, the mean over neighbours."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from eqgat.graph import edge_geometry
from eqgat.layers import sum_over_neighbours
from eqgat.symmetry import random_rotation, rotation_about
from eqgat_course.exercises import (
    between,
    call,
    close,
    exercise,
    expect,
    expect_close,
    gaussian,
    gradient,
    read,
    seeded,
    some_edges,
)


def _direction_term(pos: Tensor, edges: Tensor, b: Tensor) -> Tensor:
    return edge_geometry(pos, edges)[1].unsqueeze(2) * b.unsqueeze(1)


@exercise("04.1", "The direction term", "implement", points=2)
def direction_term(answer: Any) -> None:
    atoms = int(between(41, 5, 9))
    edges = some_edges(41, atoms)
    pos, b = gaussian(41, (atoms, 3), (edges.shape[1], int(between(46, 4, 7))))
    relative, right = pos[edges[1]] - pos[edges[0]], _direction_term(pos, edges, b)
    actual = call(answer, pos, edges, b)
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
    rotation = random_rotation(seeded(41))
    expect_close(
        call(answer, pos @ rotation.T, edges, b),
        rotation @ right,
        "right as the atoms lie, but the result does not rotate with them.",
    )
    pos[edges[0, 0]] = pos[edges[1, 0]]
    actual = read(call(answer, pos, edges, b))
    expect(
        actual.isfinite().all(),
        "two atoms in one place give NaN: 0 divided by 0. Such a pair has no direction; put a stand-in for its vector "
        "before you divide, and let its term be zero.",
    )
    expect_close(
        actual,
        _direction_term(pos, edges, b),
        "two atoms in one place have no direction: their term should be zero. Yours is not, or it changes other edges' terms.",
    )
    slope = gradient(answer, [pos, edges, b], 0)
    if slope is None:
        return
    expect(
        slope.isfinite().all(),
        "the values are right, but where two atoms are in one place the gradient is NaN or infinite: the root has an "
        "infinite slope at 0, and torch.where after it does not keep it out. Put a stand-in for the vector before the root.",
    )
    expect_close(
        slope,
        gradient(_direction_term, [pos, edges, b], 0),
        "the values are right, but not the gradient. Where two atoms are in one place it should be zero, too: 0 divided by a "
        "tiny number is 0, but its slope is 1 over that number. Put a stand-in for the vector before you divide, and "
        "multiply the result by zero there.",
        rtol=1e-3,  # an answer may compute in float32
    )


@exercise("04.2", "The mixing term", "implement", points=2)
def mixing_term(answer: Any) -> None:
    for channels in (3, int(between(47, 4, 8))):  # 3: a product on the wrong axis has the right shape
        _expect_mixed(answer, channels)


def _expect_mixed(answer: Any, channels: int) -> None:
    atoms = int(between(48, 5, 9))
    source, receiver = some_edges(42, atoms)
    v, weight, b = gaussian(42, (atoms, 3, channels), (channels, channels), (len(source), channels))
    right = b.unsqueeze(1) * (v @ weight)[source]
    mistakes = {
        "W_v is transposed: the paper writes v W_v, so v @ weight (torch.nn.Linear stores the transpose).": b.unsqueeze(
            1
        )
        * (v @ weight.T)[source],
        "the vectors of the receiver are mixed: the message carries v_j, the source's.": b.unsqueeze(1)
        * (v @ weight)[receiver],
        "b is applied before the mixing; Eq. 4 scales the channels of v_j W_v.": (b.unsqueeze(1) * v[source]) @ weight,
        "the coefficients b are missing.": (v @ weight)[source],
    }
    if channels == 3:
        mistakes |= {
            "W_v multiplies from the left: that mixes x, y and z, and no rotation survives it. Channels are mixed by "
            "v @ W_v.": b.unsqueeze(1) * (weight @ v)[source],
            "b scales the components x, y, z; it must scale the channels: b.unsqueeze(1), of shape [E, 1, F_v].": b.unsqueeze(
                2
            )
            * (v @ weight)[source],
        }
    expect_close(
        call(answer, v, weight, b, torch.stack([source, receiver])),
        right,
        "entry (e, x, c) is b of edge e, channel c, times component x of channel c of v_j W_v.",
        mistakes,
    )


@exercise("04.3", "The mean over the neighbours", "implement", points=2)
def vector_message(answer: Any) -> None:
    num_nodes = int(between(43, 5, 9))
    receiver = some_edges(43, num_nodes)[1]
    (terms,) = gaussian(43, (len(receiver), 3, int(between(49, 4, 7))))
    total = sum_over_neighbours(terms, receiver, num_nodes)
    count = torch.bincount(receiver, minlength=num_nodes).double().view(-1, 1, 1)
    right = total / count.clamp(min=1)
    actual = read(call(answer, terms, receiver, num_nodes))
    expect(
        actual.shape != right.shape or not bool(actual[-1].isnan().any()),
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
    size = int(between(45, 16, 30))
    (v,) = gaussian(45, (size, 3))

    def image(vectors: Tensor) -> Tensor:
        return read(call(answer, vectors)).to(torch.float64)

    result = image(v)
    expect(
        result.shape == v.shape,
        f"your function gets vectors [n, 3], one a row, and must return as many of the same shape; for {list(v.shape)} it "
        f"returns {list(result.shape)}.",
    )
    expect(result.isfinite().all(), "some of the results are NaN or infinite.")
    expect(close(image(v), result), "your function gives another result when it is called again.")
    expect(
        close(image(v[:5]), result[:5]),
        "your function must treat each vector by itself: the result for one row depends on the other rows.",
    )

    def passes(turn: Tensor) -> bool:
        return close(image(v @ turn.T), result @ turn.T, rtol=1e-4)

    for axis in torch.eye(3):
        expect(
            passes(rotation_about(axis, math.pi / 2)),
            "a quarter turn catches this one already. A quarter turn about an axis exchanges two components and "
            "turns the sign of one: what may be done to each component, so that neither matters?",
        )
    expect(
        not all(passes(random_rotation(seeded(seed))) for seed in range(5)),
        "this one is equivariant under every rotation, so it is not broken. Do something to each component by itself.",
    )
