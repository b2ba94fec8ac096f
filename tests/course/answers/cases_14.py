"""Notebook 14: a solution of each exercise, and typical mistakes with a part of the hint each should get."""

import math

import torch


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


PENTAGON = [[math.cos(0.4 * math.pi * k), math.sin(0.4 * math.pi * k), 0] for k in range(5)]
BIPYRAMID = [[math.cos(2 / 3 * math.pi * k), math.sin(2 / 3 * math.pi * k), 0] for k in range(3)] + [
    [0, 0, 1],
    [0, 0, -1],
]
PYRAMID = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1]]
HEXAGON = [[math.cos(math.pi * k / 3), math.sin(math.pi * k / 3), 0] for k in range(6)]
OCTAHEDRON = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
SQUARE, TETRAHEDRON = OCTAHEDRON[:4], [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]

CASES = {
    "14.1": {
        "solution": cap,
        "wrong": [
            (lambda p, e, k: cap(p, e, k, both=False), "Some edges have no way back"),
            (lambda p, e, k: cap(p, e, k, either=True), "but no cap"),
            (lambda p, e, k: cap(p, e, k, both=False, listed=True), "depends on the numbering"),
            (lambda p, e, k: cap(p, e, k, nearest=False), "the farthest"),
            (lambda p, e, k: cap(p, e, k + 1), "one neighbour too many"),
            (lambda p, e, k: cap(p, e, k).flip(1), "no longer sorted by receiver"),
            (lambda p, e, k: kept(p, e, k), "return an edge_index"),
            (lambda p, e, k: e, "among the cap smallest"),
        ],
    },
    "14.2": {
        "solution": "a",
        "wrong": [
            ("b", "throws a coin"),
            ("c", "look just the same"),
            ("d", "wrong about both"),
            ("half", "one of the letters"),
        ],
    },
    "14.3": {
        "solution": "c",
        "wrong": [
            ("a", "SchNet's carbon"),
            ("b", "In trans equal ones cancel"),
            ("d", "l = 1 is enough"),
            ("cis", "one of the letters"),
        ],
    },
    "14.4": {
        "solution": (PENTAGON, BIPYRAMID),
        "wrong": [
            ((PENTAGON, PYRAMID), "EQGAT tells these apart"),
            ((SQUARE, TETRAHEDRON), "four neighbours are our own"),
            ((HEXAGON, OCTAHEDRON), "see each other"),
            ((PENTAGON, OCTAHEDRON), "the first has 5 neighbours"),
            ((PENTAGON, [[z, x, y] for x, y, z in PENTAGON]), "turned or mirrored"),
            ((PENTAGON, [[0, 0, 0]] * 5), "points nowhere"),
            (3.0, "hand in a pair"),
            ((PENTAGON, [1.0, 2.0]), "a list of directions"),
        ],
    },
}
