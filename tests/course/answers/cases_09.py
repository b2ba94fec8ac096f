"""Right and wrong answers to the exercises of notebook 09."""

import math

import numpy as np
import torch
from case import Case, choice, constant, in_float32, in_numpy


def targets(points, special, order=(0, 1, 2), half=2.0, origin=False, squared=False):
    a, b, c = corners = points[special]
    sides = torch.stack([(a - b).norm(), (b - c).norm(), (c - a).norm()])
    centre = corners.mean(dim=0) - (0 if origin else points.mean(dim=0))
    area = torch.linalg.cross(b - a, c - a).norm() / half
    return torch.stack([centre.norm(), (sides.square() if squared else sides).sum(), area])[list(order)]


def memoriser(train_pos, train_y, test_pos, key=None):
    def fingerprint(pos):
        return (pos - pos.mean(dim=1, keepdim=True)).norm(dim=2)

    key = key or fingerprint
    return train_y[torch.cdist(key(test_pos).flatten(1), key(train_pos).flatten(1)).argmin(dim=1)]


def targets_by_heron(points, special):
    corners = points[special].tolist()
    x, y, z = (math.dist(corners[k], corners[k - 1]) for k in range(3))
    half = (x + y + z) / 2
    centres = points.mean(dim=0), points[special].mean(dim=0)
    return float(torch.dist(*centres)), x + y + z, math.sqrt(half * (half - x) * (half - y) * (half - z))


def targets_in_numpy(points, special):
    a, b, c = points[special]
    sides = [np.linalg.norm(side) for side in (a - b, b - c, c - a)]
    distance = np.linalg.norm(points.mean(axis=0) - (a + b + c) / 3)
    return np.array([distance, sum(sides), np.linalg.norm(np.cross(b - a, c - a)) / 2])


def targets_by_gram(points, special):
    """The area from the dot products of two sides."""
    corners = points[special]
    d = torch.cdist(corners, corners)
    p, q = corners[1] - corners[0], corners[2] - corners[0]
    area = ((p @ p) * (q @ q) - (p @ q) ** 2).sqrt() / 2
    return [torch.dist(points.mean(dim=0), corners.mean(dim=0)), d.triu().sum(), area]


def without_special(points, special):
    plain = torch.ones(len(points), dtype=torch.bool)
    plain[special] = False
    right = targets(points, special)
    return torch.stack([(points[plain].mean(dim=0) - points[special].mean(dim=0)).norm(), right[1], right[2]])


def two_sides(points, special):
    right = targets(points, special)
    return right - torch.tensor([0, 1, 0]) * torch.dist(points[special[2]], points[special[0]])


def all_distances(pos):
    return torch.cdist(pos, pos).flatten(1)


def by_superposition(train_pos, train_y, test_pos):
    """The training cloud that can be laid upon the test cloud best: sums of singular values say how well."""
    train, test = (pos - pos.mean(dim=1, keepdim=True) for pos in (train_pos, test_pos))
    overlap = torch.linalg.svdvals(torch.einsum("apx,bpy->abxy", test, train)).sum(dim=2)
    misfit = train.square().sum(dim=(1, 2)) - 2 * overlap  # the test cloud's own size is the same for all
    return train_y[misfit.argmin(dim=1)]


def averaging(train_pos, train_y, test_pos):
    """Weights that are 1 for the same cloud and next to 0 for all others."""
    key = lambda pos: (pos - pos.mean(dim=1, keepdim=True)).norm(dim=2)  # noqa: E731
    return torch.softmax(-1000 * torch.cdist(key(test_pos), key(train_pos)), dim=1) @ train_y


CASES = {
    "09.1": Case(
        right=[targets, targets_by_heron, in_numpy(targets_in_numpy), targets_by_gram, in_float32(targets)],
        wrong=[
            (lambda p, s: targets(p, s, order=(0, 2, 1)), "order of the released code"),
            (lambda p, s: targets(p, s, half=1.0), "half of it"),
            (lambda p, s: targets(p, s, origin=True), "starts at the origin"),
            (lambda p, s: targets(p, s, squared=True), "not squared lengths"),
            (without_special, "special ones included"),
            (two_sides, "one side is missing"),
            (constant([3.0, 20.0, 15.0]), "one at a time"),
            (lambda p, s: targets(p, s)[1:], "shape should be [3]"),
        ],
    ),
    "09.2": Case(
        right=choice("b"),
        wrong=[
            ("a", "squared in Å⁴"),
            ("(c)", "Which of the two was larger"),
            ("D", "do not shrink by one factor"),
            ("x", "one of the letters"),
        ],
    ),
    "09.3": Case(
        right=[
            memoriser,
            lambda x, y, t: memoriser(x, y, t, key=all_distances),
            by_superposition,
            averaging,
            lambda x, y, t: memoriser(x.double(), y, t.double()).numpy(),
        ],
        wrong=[
            (lambda x, y, t: y.mean(dim=0).expand(len(t), 3), "not even a training cloud itself"),
            (lambda x, y, t: y[: len(t)], "not even a training cloud itself"),
            (lambda x, y, t: memoriser(x, y, t, key=lambda pos: pos), "not a rotated copy"),
            (lambda x, y, t: memoriser(x, y, t, key=lambda pos: pos.norm(dim=2)), "also shifted"),
            (lambda x, y, t: y[:1], "one row of three predictions"),
        ],
    ),
}
