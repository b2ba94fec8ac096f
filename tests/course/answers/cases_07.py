import math

import torch

from eqgat.symmetry import rotation_about


def haar(seed, mirror=False, signs=True):
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    if signs:
        q = q * r.diagonal().sign()
    if not mirror:
        q[:, 0] *= torch.linalg.det(q).sign()
    return q


def euler(seed):
    angles = 2 * math.pi * torch.rand(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    z, y, x = (rotation_about(axis, float(angle)) for axis, angle in zip(torch.eye(3), angles, strict=True))
    return x @ y @ z


def rotation_error(f, pos, seed, draw=haar):
    turn = draw(seed)
    return float((f(pos @ turn.T) - turn @ f(pos)).abs().max())


def compares_with_v(f, pos, seed):
    return float((f(pos @ haar(seed).T) - f(pos)).abs().max())


def opposite(f, pos, seed):
    turn = haar(seed)
    return float((f(pos @ turn) - turn @ f(pos)).abs().max())


def signed(f, pos, seed):
    turn = haar(seed)
    return abs(float((f(pos @ turn.T) - turn @ f(pos)).sum(dim=2).mean()))


def zero(f, pos, seed):
    f(pos @ haar(seed).T)
    return 0.0


def shift_error(f, pos, shift, kind):
    expected = f(pos) + shift if kind == "position" else f(pos)
    return float((f(pos + shift) - expected).abs().max())


def first_columns(f, pos, shift, kind):
    expected = f(pos)[:, :3] + (shift if kind == "position" else 0)
    return float((f(pos + shift)[:, :3] - expected).abs().max())


def coordinate_step(pos, edge_index, weight, sign=1, unit=True, only_last=False, source=None):
    new = pos.clone()
    source = pos if source is None else source
    for e, (j, i) in enumerate(edge_index.T.tolist()):
        relative = sign * (source[i] - source[j])
        step = weight[e] * (relative / relative.norm() if unit else relative)
        new[i] = pos[i] + step if only_last else new[i] + step
    return new


def in_place(pos, edge_index, weight):
    for e, (j, i) in enumerate(edge_index.T.tolist()):
        pos[i] += weight[e] * (pos[i] - pos[j]) / (pos[i] - pos[j]).norm()
    return pos


def already_moved(pos, edge_index, weight):
    return in_place(pos.clone(), edge_index, weight)


def mean_step(pos, edge_index, weight):
    count = torch.bincount(edge_index[1], minlength=len(pos)).clamp(min=1).unsqueeze(1)
    return pos + (coordinate_step(pos, edge_index, weight) - pos) / count


CASES = {
    "07.1": {
        "solution": rotation_error,
        "wrong": [
            (lambda f, pos, seed: 0.0 * f(pos).sum(), "never called with turned positions"),
            (lambda f, pos, seed: rotation_error(f, pos, seed, lambda s: 2 * haar(s)), "not orthogonal"),
            (lambda f, pos, seed: rotation_error(f, pos, 0), "two seeds give the same rotation"),
            (lambda f, pos, seed: rotation_error(f, pos, int(torch.randint(2**31, (1,)))), "the same seed gives two"),
            (lambda f, pos, seed: rotation_error(f, pos, seed, lambda s: haar(s, mirror=True)), "determinant -1"),
            (lambda f, pos, seed: rotation_error(f, pos, seed, euler), "not uniform"),
            (compares_with_v, "that is invariance"),
            (opposite, "are opposite ones"),
            (zero, "it cannot fail"),
            (signed, "cancel in your result"),
            (lambda f, pos, seed: round(rotation_error(f, pos, seed), 3), "goes unnoticed"),
            (lambda f, pos, seed: f(pos), "one number is expected"),
        ],
    },
    "07.2": {
        "solution": shift_error,
        "wrong": [
            (
                lambda f, pos, t, kind: shift_error(f, pos, t, "position" if kind == "feature" else "feature"),
                "both kinds come out wrong",
            ),
            (lambda f, pos, t, kind: shift_error(f, pos, t, "position"), "nothing is added"),
            (lambda f, pos, t, kind: shift_error(f, pos, t, "feature"), "they shift with the molecule"),
            (lambda f, pos, t, kind: 0.0, "passes everything"),
            (lambda f, pos, t, kind: float((f(pos + t) - f(pos) - (t if kind == "position" else 0)).max()), "one sign"),
            (first_columns, "only part of the result"),
        ],
    },
    "07.3": {
        "solution": coordinate_step,
        "wrong": [
            (lambda p, e, w: coordinate_step(p, e, w, only_last=True), "only the last neighbour counts"),
            (lambda p, e, w: coordinate_step(p, e, w, sign=-1), "away when they should come nearer"),
            (mean_step, "this is the mean"),
            (lambda p, e, w: coordinate_step(p, e, w, unit=False), "not divided by their length"),
            (already_moved, "moved already"),
            (in_place, "changes the positions"),
            (lambda p, e, w: coordinate_step(p, e, w) - p, "p_i itself is missing"),
        ],
    },
    "07.4": {
        "solution": "ade",
        "wrong": [
            ("ad", "(e) is missing"),
            ("abde", "(b) is not equivariant"),
            ("acde", "(c) is not equivariant"),
            ("adef", "(f) is not equivariant"),
            ("xyz", "the letters are a to f"),
            (3, "a string of letters"),
        ],
    },
    "07.5": {
        "solution": rotation_about((1.0, 1.0, 1.0), math.radians(120)),
        "wrong": [
            (torch.eye(3), "turns by 0 degrees"),
            (-torch.eye(3), "that is a reflection"),
            (rotation_about((1.0, 0.0, 0.0), math.radians(90)), "which direction is that"),
            (2 * torch.eye(3), "not orthogonal"),
            (torch.eye(2), "has the shape [2, 2]"),
        ],
    },
}
