"""Right and wrong answers to the exercises of notebook 14."""

import math

import numpy as np
import torch
from case import Case, choice, in_numpy


def kept(pos, edges, cap, both=True, nearest=True, listed=False, either=False):
    """The mask of a mutual cap, or of a mistaken one."""
    source, receiver = edges
    distance = (pos[source] - pos[receiver]).norm(dim=1) * (1 if nearest else -1)
    if listed:
        distance = torch.arange(len(source), dtype=pos.dtype)

    def wanted(ends):
        mask = torch.zeros(len(ends), dtype=torch.bool)
        for atom in ends.unique():
            rows = (ends == atom).nonzero().flatten()
            mask[rows[distance[rows].argsort()[:cap]]] = True
        return mask

    if either:
        return wanted(receiver) | wanted(source)
    return wanted(receiver) & wanted(source) if both else wanted(receiver)


def cap(pos, edges, most, **mistake):
    return edges[:, kept(pos, edges, most, **mistake)]


def cap_by_sorting(pos, edges, most):
    """A table of distances, and the value that is the last to stay in each row."""
    distance = torch.full((len(pos), len(pos)), torch.inf, dtype=pos.dtype)
    distance[edges[0], edges[1]] = (pos[edges[0]] - pos[edges[1]]).norm(dim=1)
    last = distance.sort(dim=1).values[:, most - 1]
    length = distance[edges[0], edges[1]]
    return edges[:, (length <= last[edges[0]]) & (length <= last[edges[1]])]


def cap_in_sets(pos, edges, most):
    pairs = edges.T.tolist()
    near = {}
    for i in range(len(pos)):
        own = sorted((float(torch.dist(pos[i], pos[j])), j) for j, receiver in pairs if receiver == i)
        near[i] = {j for _, j in own[:most]}
    return torch.tensor([[j, i] for j, i in pairs if j in near[i] and i in near[j]]).T


def cap_in_numpy(pos, edges, most):
    source, receiver = edges
    length = np.linalg.norm(pos[source] - pos[receiver], axis=1)
    rank = [((length < length[e]) & (receiver == receiver[e])).sum() for e in range(len(length))]
    back = [((length < length[e]) & (source == source[e])).sum() for e in range(len(length))]
    return edges[:, np.maximum(rank, back) < most]


PENTAGON = [[math.cos(0.4 * math.pi * k), math.sin(0.4 * math.pi * k), 0] for k in range(5)]
BIPYRAMID = [[math.cos(2 / 3 * math.pi * k), math.sin(2 / 3 * math.pi * k), 0] for k in range(3)] + [
    [0, 0, 1],
    [0, 0, -1],
]
PYRAMID = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1]]
HEXAGON = [[math.cos(math.pi * k / 3), math.sin(math.pi * k / 3), 0] for k in range(6)]
OCTAHEDRON = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
SQUARE, TETRAHEDRON = OCTAHEDRON[:4], [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]

ANTIPRISM = [
    [math.cos(2 * math.pi * k / 3 + t), math.sin(2 * math.pi * k / 3 + t), h]
    for t, h in ((0, 0.7), (1, -0.7))
    for k in range(3)
]

CASES = {
    "14.1": Case(
        right=[cap, cap_by_sorting, cap_in_sets, in_numpy(cap_in_numpy)],
        wrong=[
            (lambda p, e, k: cap(p, e, k, both=False), "Some edges have no way back"),
            (lambda p, e, k: cap(p, e, k, either=True), "but no cap"),
            (lambda p, e, k: cap(p, e, k, both=False, listed=True), "depends on the numbering"),
            (lambda p, e, k: cap(p, e, k, nearest=False), "the farthest"),
            (lambda p, e, k: cap(p, e, k + 1), "one neighbour too many"),
            (lambda p, e, k: cap(p, e, k).flip(1), "no longer sorted by receiver"),
            (lambda p, e, k: kept(p, e, k), "return an edge_index"),
            (lambda p, e, k: e, "among the cap smallest"),
            (lambda p, e, k: cap(p, e, 4), "among the cap smallest"),
            (lambda p, e, k: cap(p, e, k).repeat(1, 2), "occur twice"),
            (lambda p, e, k: torch.tensor([[0, 1], [0, 1]]), "radius graph does not have"),
        ],
    ),
    "14.2": Case(
        right=choice("a"),
        wrong=[
            ("b", "throws a coin"),
            ("(c)", "look just the same"),
            ("D", "wrong about both"),
            ("half", "one of the letters"),
        ],
    ),
    "14.3": Case(
        right=choice("c"),
        wrong=[
            ("a", "SchNet's carbon"),
            ("B", "In trans equal ones cancel"),
            ("d", "l = 1 is enough"),
            ("cis", "one of the letters"),
        ],
    ),
    "14.4": Case(
        right=[
            (PENTAGON, BIPYRAMID),
            [torch.tensor(BIPYRAMID) * 3, np.array(PENTAGON)],
            (OCTAHEDRON, ANTIPRISM),
        ],
        wrong=[
            ((PENTAGON, PYRAMID), "EQGAT tells these apart"),
            ((SQUARE, TETRAHEDRON), "four neighbours are our own"),
            ((HEXAGON, OCTAHEDRON), "see each other"),
            ((PENTAGON, OCTAHEDRON), "the first has 5 neighbours"),
            ((PENTAGON, [[z, x, y] for x, y, z in PENTAGON]), "turned or mirrored"),
            ((PENTAGON, [[0, 0, 0]] * 5), "points nowhere"),
            (3.0, "hand in a pair"),
            ((PENTAGON, [1.0, 2.0]), "a list of directions"),
        ],
    ),
}
