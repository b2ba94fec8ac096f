"""Right and wrong answers to the exercises of notebook 01."""

import math

import numpy as np
import torch
from case import Case, in_float32, in_numpy
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

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


def graph_in_a_loop(pos, cutoff):
    atoms = range(len(pos))
    edges = [(j, i) for i in atoms for j in atoms if i != j and torch.dist(pos[i], pos[j]) < cutoff]
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T


def graph_by_tree(pos, cutoff):
    pairs = KDTree(pos.numpy()).query_pairs(cutoff, output_type="ndarray")
    source, receiver = np.concatenate([pairs, pairs[:, ::-1]]).T
    order = np.lexsort((source, receiver))
    source, receiver = source[order], receiver[order]
    inside = np.linalg.norm(pos.numpy()[source] - pos.numpy()[receiver], axis=1) < cutoff
    return source[inside], receiver[inside]


def step_in_a_loop(s, pos, edge_index):
    new = s.clone()
    for j, i in edge_index.T.tolist():
        new[i] += math.exp(-torch.dist(pos[i], pos[j])) * s[j]
    return new


def step_by_matrix(s, pos, edge_index):
    source, receiver = edge_index
    weight = torch.zeros(len(s), len(s), dtype=s.dtype)
    weight[receiver, source] = torch.exp(-torch.cdist(pos, pos))[receiver, source]
    return s + torch.einsum("ij,jc->ic", weight, s)


def step_in_numpy(s, pos, edge_index):
    source, receiver = edge_index
    new = s.copy()
    np.add.at(new, receiver, np.exp(-np.linalg.norm(pos[source] - pos[receiver], axis=1))[:, None] * s[source])
    return new


def turn_by_components(pos, degrees):
    a, (x, y, z) = math.radians(degrees), pos.unbind(dim=1)
    return torch.stack([x * math.cos(a) - y * math.sin(a), x * math.sin(a) + y * math.cos(a), z], dim=1)


def turn_by_complex_numbers(pos, degrees):
    turned = (pos[:, 0] + 1j * pos[:, 1]) * np.exp(1j * np.deg2rad(degrees))
    return np.stack([turned.real, turned.imag, pos[:, 2]], axis=1)


RIGHT_STAR = [[0.0, 0, 0], [0, 0, 1.5], [0, 0, -1.5], [0, 1.5, 0], [0, -1.5, 0]]
TWO_CENTRES = [[-1.5, 1.0, 0], [-1.5, -1, 0], [3.3, 1, 0], [3.3, -1, 0], [0, 0, 0], [1.8, 0, 0]]
ABOUT_X = rotation_about((1, 0, 0), math.pi / 2)

CASES = {
    "01.1": Case(
        right=[
            _graph(lambda d, c, i, j: (d < c) & (i != j)),
            graph_in_a_loop,
            graph_by_tree,
            in_numpy(
                lambda p, c: np.argwhere((np.linalg.norm(p[:, None] - p, axis=2) < c) & ~np.eye(len(p), dtype=bool)).T[
                    ::-1
                ]
            ),
            lambda pos, c: _graph(lambda d, c, i, j: d.fill_diagonal_(c) < c)(pos, c).to(torch.int32),
        ],
        wrong=[
            (_graph(lambda d, c, i, j: d < c), "its own neighbour"),
            (_graph(lambda d, c, i, j: d <= c), "its own neighbour"),
            (_graph(lambda d, c, i, j: (d < c) & (i >= j)), "its own neighbour"),
            (lambda pos, c: _graph(lambda d, c, i, j: d <= c)(pos, c).T, "Is it transposed?"),
            (_graph(lambda d, c, i, j: (d <= c) & (i != j)), "exactly at the cutoff"),
            (_graph(lambda d, c, i, j: (d < c) & (i > j)), "once only, j < i"),
            (_graph(lambda d, c, i, j: (d < c) & (i < j)), "once only, j > i"),
            (_graph(lambda d, c, i, j: (d < c) & (d > 0)), "by its row"),
            (_graph(lambda d, c, i, j: (d**2 < c) & (i != j)), "squared distance"),
            (_graph(lambda d, c, i, j: (d < c**2) & (i != j)), "c squared"),
            (lambda pos, c: radius_graph(pos, c).flip(0), "rows are exchanged"),
            (lambda pos, c: radius_graph(pos, c).flip(1), "not in the order"),
            (lambda pos, c: radius_graph(pos, c).double(), "whole numbers"),
            (_capped, "Is there a cap?"),
            (lambda pos, c: radius_graph(pos, max(c, 1.9)), "Does your function use its argument"),
            (lambda pos, c: radius_graph(pos, 1.9), "which edge is missing, or too many"),
        ],
    ),
    "01.2": Case(
        right=[_step(), step_in_a_loop, step_by_matrix, in_numpy(step_in_numpy), in_float32(_step())],
        wrong=[
            (_step(residual=False), "m_i alone"),
            (_step("overwrite"), "index_add"),
            (_step("mean"), "sums"),
            (_step(end=1), "state of the receiver"),
            (_step(collect=0), "collected at the source"),
            (_step(sign=1), "grows with the distance"),
            (_step(sign=0), "exp(-d) is missing"),
            (_in_place, "in place"),
            (lambda s, pos, e: s, "compare with the loop"),
            (lambda s, pos, e: torch.zeros(s.shape).index_add(0, e[1], s[e[0]]), "Two dtypes meet"),
        ],
    ),
    "01.3": Case(
        right=["DEF", "def", "D, E, F", ["D", "E", "F"], "(d), (e) and (f)"],
        wrong=[
            ("ADEF", "A reads x"),
            ("BDEF", "which of the three components"),
            ("CDEF", "which 32"),
            ("EF", "row in the file"),
            ("DF", "volume"),
            ("de", "F does pass"),
            ("XY", "letters"),
            (3, "letters"),
        ],
    ),
    "01.4": Case(
        right=[
            _star,
            RIGHT_STAR,
            np.array(_star),
            torch.tensor(_star, dtype=torch.float32),
            torch.tensor(_star).int() * 1.2,
        ],
        wrong=[
            (_star[:3], "more than two neighbours"),
            ([[0.0, 0, 0], [9.0, 0, 0]], "no edge at all"),
            ([[0.0, 0, 0], [0.1, 0, 0]], "0.5 Å"),
            ([1.0, 2.0], "positions [N, 3]"),
            ("a star", "positions [N, 3]"),
            (TWO_CENTRES, "each together with its way back"),
        ],
    ),
    "01.5": Case(
        right=[ABOUT_X, ABOUT_X.float(), rotation_about((1, 0, 0), -2.0).numpy(), [[1, 0, 0], [0, -1, 0], [0, 0, -1]]],
        wrong=[
            (rotation_about((0, 0, 1), math.pi / 2), "notices"),
            (torch.eye(3), "in radians"),
            (rotation_about((1, 0, 0), math.radians(20)), "by 20.0° only"),
            (torch.diag(torch.tensor([1.0, 1, -1])), "mirror image"),
            (2 * torch.eye(3), "not a rotation"),
            (torch.eye(2), "a matrix [3, 3]"),
        ],
    ),
    "01.6": Case(
        right=[
            _turn(),
            turn_by_components,
            in_numpy(turn_by_complex_numbers),
            in_numpy(lambda pos, degrees: Rotation.from_euler("z", degrees, degrees=True).apply(pos)),
            in_float32(_turn()),
        ],
        wrong=[
            (_turn(scale=1.0), "you gave them degrees: 180° are π"),
            (_turn(scale=180 / math.pi), "upside down"),
            (_turn(scale=math.pi / 360), "not 360°"),
            (_turn(transpose=False), "clockwise"),
            (_turn(axis=0), "about the x axis"),
            (_turn(centred=True), "their own centre"),
            (_turn(sign=1), "also mirrors"),
            (_turn_in_place, "in place"),
            (lambda pos, degrees: pos @ torch.eye(3), "Two dtypes meet"),
            (lambda pos, degrees: _turn()(pos, abs(degrees)), "clockwise"),
            (lambda pos, degrees: _turn()(pos, 45.0), "cos a - y sin a"),
        ],
    ),
}
