"""Exercises of notebook 14: a cap that keeps the symmetries, mirror images, and clouds that a model must confuse."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eqgat import radius_graph
from eqgat_course.clouds import CUTOFF, difference, star, untrained
from eqgat_course.exercises import between, call, exercise, expect, expect_choice, generator, read, seeded


def _ranks(distance: Tensor, ends: Tensor) -> Tensor:
    """For each edge its place, 0 for the nearest, among the edges that have the same entry in ``ends``."""
    place = torch.empty_like(ends)
    for atom in ends.unique():
        rows = (ends == atom).nonzero().flatten()
        place[rows] = distance[rows].argsort().argsort()
    return place


def _set(edges: Tensor) -> set[tuple[int, int]]:
    return {(int(j), int(i)) for j, i in edges.T.tolist()}


@exercise("14.1", "A cap that keeps the symmetries", "implement", points=2)
def mutual_cap(answer: Any) -> None:
    for seed, cap in ((141, 4), (142, int(between(143, 5, 8)))):
        size = int(between(seed, 25, 35))
        _expect_capped(answer, 5 * torch.rand(size, 3, generator=generator(seed), dtype=torch.float64), cap)


def _expect_capped(answer: Any, pos: Tensor, cap: int) -> None:
    """The capped graph of these positions."""
    edges = radius_graph(pos, 3.0)
    result = read(call(answer, pos, edges, cap))
    expect(
        result.dim() == 2 and len(result) == 2 and not result.is_floating_point(),
        "return an edge_index: whole numbers of shape [2, E'], sources first.",
    )
    source, receiver = edges
    distance = (pos[source] - pos[receiver]).norm(dim=1)
    of_receiver, of_source = _ranks(distance, receiver), _ranks(distance, source)
    found = _set(result)
    expect(len(found) == result.shape[1], "some edges occur twice.")
    first = _ranks(torch.arange(len(receiver), dtype=torch.float64), receiver)
    mistakes = {
        "you keep the nearest of each receiver, which only says who is heard. Some edges have no way back: j may be "
        "near to i while i is not among the nearest of j. Ask both ends.": of_receiver < cap,
        "you keep an edge if either end wants it. It is symmetric, but no cap: an atom that many others want keeps "
        "more than cap neighbours. Both ends must want it.": (of_receiver < cap) | (of_source < cap),
        "you keep the first that are listed, as the released code does. Which these are depends on the numbering of "
        "the atoms. Sort by distance.": first < cap,
        "you keep the farthest. Sort in ascending order.": (_ranks(-distance, receiver) < cap)
        & (_ranks(-distance, source) < cap),
        "one neighbour too many: the nearest has place 0, so the places that stay are those below cap.": (
            of_receiver <= cap
        )
        & (of_source <= cap),
    }
    for hint, kept in mistakes.items():
        expect(found != _set(edges[:, kept]), hint)
    expect(found <= _set(edges), "there are edges that the radius graph does not have. A cap only removes some.")
    right = (of_receiver < cap) & (of_source < cap)
    expect(
        found == _set(edges[:, right]),
        "an edge stays if its distance is among the cap smallest of the receiver's edges, and also among the cap "
        "smallest of the source's edges.",
    )
    expect(
        bool((result[1, 1:] >= result[1, :-1]).all()),
        "the edges are right, but no longer sorted by receiver. Keep their order: edge_index[:, keep].",
    )


@exercise("14.2", "The score of a mirror-blind model", "predict")
def mirror_blind(answer: Any) -> None:
    expect_choice(
        answer,
        "a",
        {
            "b": "who throws a coin for each image is right about half of the time. But this model does not throw two "
            "coins for a pair: it gives both images the same answer.",
            "c": "it can learn what residues look like, but their mirror images look just the same to it.",
            "d": "to be wrong about both images of a pair, it would have to give them two different answers.",
        },
    )


@exercise("14.3", "Cis and trans", "predict")
def cis_trans(answer: Any) -> None:
    expect_choice(
        answer,
        "c",
        {
            "a": "SchNet's carbon hears of two nitrogens and two chlorines, all 4 Å away, in cis as in trans. And the four "
            "do not see each other.",
            "b": "add up the four directions, but chlorines with another weight than nitrogens. In trans equal ones cancel "
            "in pairs. And in cis?",
            "d": "l = 1 is enough if the weighted directions do not cancel. Add them up for cis, with one weight for "
            "nitrogen and another for chlorine.",
        },
    )


@exercise("14.4", "Two shapes that EQGAT takes for one", "break it", points=2)
def two_shapes(answer: Any) -> None:
    what = "hand in a pair of lists of directions, each [k, 3]."
    expect(isinstance(answer, (tuple, list)) and len(answer) == 2, what)
    first, second = (read(one, what).to(torch.float64) for one in answer)
    for units in (first, second):
        expect(units.dim() == 2 and units.shape[1] == 3, "each of the two is a list of directions, [k, 3].")
        expect((units.norm(dim=1) > 1e-6).all(), "a direction of length zero points nowhere.")
    expect(
        len(first) == len(second),
        f"the first has {len(first)} neighbours, the second {len(second)}. Both need the "
        "same number: else a count of the atoms tells them apart.",
    )
    expect(len(first) != 4, "four neighbours are our own example. Find a pair with another number.")
    clouds = star(first), star(second)
    for name, cloud in zip(("first", "second"), clouds, strict=True):
        expect(
            cloud.edge_index.shape[1] == 2 * (len(cloud.z) - 1),
            f"in the {name}, two neighbours are closer than {CUTOFF} Å: they see each other, and their distance "
            "gives the shape away. Any two directions need more than 68.5 degrees between them.",
        )
    one, other = [
        (units @ units.T / units.norm(dim=1).outer(units.norm(dim=1))).flatten().sort().values
        for units in (first, second)
    ]
    expect(
        not torch.allclose(one, other, atol=1e-6),
        "the two have the same angles between their neighbours: one is the other, turned or mirrored. Find two "
        "different shapes.",
    )
    sums = [float((units / units.norm(dim=1, keepdim=True)).sum(dim=0).norm()) for units in (first, second)]
    apart = difference(untrained("EQGAT", seeded(144)), *clouds) > 1e-10
    expect(
        not apart,
        f"EQGAT tells these apart. The sums of the unit directions have length {sums[0]:.2f} and "
        f"{sums[1]:.2f}; where a sum is not zero, the carbon gets a vector in the first layer.",
    )
