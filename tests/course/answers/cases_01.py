"""Right and wrong answers to the exercises of notebook 01."""

import math

import torch

from eqgat.graph import radius_graph
from eqgat.symmetry import rotation_about


def _graph(keep):
    def answer(pos, cutoff):
        d = torch.linalg.vector_norm(pos[:, None] - pos[None], dim=2)
        i, j = torch.arange(len(pos))[:, None], torch.arange(len(pos))[None]
        return keep(d, cutoff, i, j).nonzero().T.flip(0)

    return answer


def _capped(pos, cutoff):
    edges = radius_graph(pos, cutoff)
    first = torch.searchsorted(edges[1], edges[1])
    return edges[:, torch.arange(edges.shape[1]) - first < 32]


def _step(reduce="sum", end=0, collect=1, sign=-1, residual=True):
    def answer(s, pos, edge_index):
        d = (pos[edge_index[0]] - pos[edge_index[1]]).norm(dim=1, keepdim=True)
        messages, target = torch.exp(sign * d) * s[edge_index[end]], edge_index[collect]
        m = torch.zeros_like(s)
        if reduce == "overwrite":
            m[target] += messages
        else:
            m.index_add_(0, target, messages)
        if reduce == "mean":
            m = m / target.bincount(minlength=len(s)).clamp(min=1).unsqueeze(1)
        return s + m if residual else m

    return answer


def _in_place(s, pos, edge_index):
    s += _step()(s, pos, edge_index) - s
    return s


_star = [[0.0, 0, 0], [1.5, 0, 0], [-1.5, 0, 0], [0, 1.5, 0]]


def _turn(scale=math.pi / 180, axis=2, transpose=True, centred=False, sign=-1):
    def answer(pos, degrees):
        c, s = math.cos(scale * degrees), math.sin(scale * degrees)
        a, b = [x for x in range(3) if x != axis]
        matrix = torch.eye(3, dtype=pos.dtype)
        matrix[a, a] = matrix[b, b] = c
        matrix[a, b], matrix[b, a] = sign * s, s
        middle = pos.mean(dim=0) if centred else 0.0
        return (pos - middle) @ (matrix.T if transpose else matrix) + middle

    return answer


def _turn_in_place(pos, degrees):
    pos.copy_(_turn()(pos, degrees))
    return pos


CASES = {
    "01.1": {
        "solution": _graph(lambda d, c, i, j: (d < c) & (i != j)),
        "wrong": [
            (_graph(lambda d, c, i, j: d < c), "its own neighbour"),
            (_graph(lambda d, c, i, j: (d <= c) & (i != j)), "exactly at the cutoff"),
            (_graph(lambda d, c, i, j: (d < c) & (i > j)), "once only, j < i"),
            (_graph(lambda d, c, i, j: (d < c) & (i < j)), "once only, j > i"),
            (_graph(lambda d, c, i, j: (d < c) & (d > 0)), "by its row"),
            (_graph(lambda d, c, i, j: (d**2 < c) & (i != j)), "squared distance"),
            (lambda pos, c: radius_graph(pos, c).flip(0), "rows are exchanged"),
            (_capped, "Is there a cap?"),
        ],
    },
    "01.2": {
        "solution": _step(),
        "wrong": [
            (_step(residual=False), "m_i alone"),
            (_step("overwrite"), "index_add"),
            (_step("mean"), "sums"),
            (_step(end=1), "state of the receiver"),
            (_step(collect=0), "collected at the source"),
            (_step(sign=1), "grows with the distance"),
            (_step(sign=0), "exp(-d) is missing"),
            (_in_place, "in place"),
        ],
    },
    "01.3": {
        "solution": "DEF",
        "wrong": [
            ("ADEF", "A reads x"),
            ("CDEF", "which 32"),
            ("EF", "row in the file"),
            ("DF", "volume"),
            ("XY", "letters"),
        ],
    },
    "01.4": {
        "solution": _star,
        "wrong": [
            (_star[:3], "more than two neighbours"),
            ([[0.0, 0, 0], [9.0, 0, 0]], "no edge at all"),
            ([[0.0, 0, 0], [0.1, 0, 0]], "0.5 Å"),
            ([1.0, 2.0], "positions [N, 3]"),
        ],
    },
    "01.5": {
        "solution": rotation_about((1, 0, 0), math.pi / 2),
        "wrong": [
            (rotation_about((0, 0, 1), math.pi / 2), "notices"),
            (torch.eye(3), "in radians"),
            (torch.diag(torch.tensor([1.0, 1, -1])), "mirror image"),
            (2 * torch.eye(3), "not a rotation"),
        ],
    },
    "01.6": {
        "solution": _turn(),
        "wrong": [
            (_turn(scale=1.0), "you gave them degrees: 180° are π"),
            (_turn(scale=180 / math.pi), "upside down"),
            (_turn(scale=math.pi / 360), "not 360°"),
            (_turn(transpose=False), "clockwise"),
            (_turn(axis=0), "about the x axis"),
            (_turn(centred=True), "their own centre"),
            (_turn(sign=1), "also mirrors"),
            (_turn_in_place, "in place"),
        ],
    },
}
