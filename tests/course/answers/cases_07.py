"""Right and wrong answers to the exercises of notebook 07."""

import math

import numpy as np
import torch
from case import Case, constant, in_float32, in_numpy
from scipy.spatial.transform import Rotation

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


def by_scipy(seed):
    return torch.from_numpy(Rotation.random(random_state=seed).as_matrix())


def by_quaternion(seed):
    generator = torch.Generator().manual_seed(seed)
    w, x, y, z = torch.nn.functional.normalize(torch.randn(4, generator=generator, dtype=torch.float64), dim=0)
    return torch.stack(
        [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
        ]
    )


def by_gram_schmidt(seed):
    a, b = torch.randn(2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    a = a / a.norm()
    b = b - (a @ b) * a
    b = b / b.norm()
    return torch.stack([a, b, torch.linalg.cross(a, b)])


def angle_and_axis(seed):
    generator = torch.Generator().manual_seed(seed)
    axis, angle = torch.randn(3, generator=generator), 2 * math.pi * torch.rand(1, generator=generator)
    return rotation_about(axis, float(angle))


def drawn_by(draw):
    return lambda f, pos, seed: rotation_error(f, pos, seed, draw)


def error_in_a_loop(f, pos, seed):
    """Row by row, as an array of one number."""
    turn = haar(seed)
    before, after = f(pos), f(torch.stack([turn @ p for p in pos]))
    return np.array([max(float((a - turn @ b).abs().max()) for a, b in zip(after, before, strict=True))])


def summary(measure):
    """Another number than the largest absolute difference."""

    def answer(f, pos, seed):
        turn = haar(seed)
        return measure(f(pos @ turn.T) - turn @ f(pos))

    return answer


def of_shift(measure):
    return lambda f, pos, shift, kind: measure(f(pos + shift) - f(pos) - (shift if kind == "position" else 0))


def shift_error_in_numpy(f, pos, shift, kind):
    return np.abs(f(pos + shift).numpy() - f(pos).numpy() - {"position": shift.numpy(), "feature": 0}[kind]).max()


def moved_by_index_add(pos, edge_index, weight):
    source, receiver = edge_index
    relative = pos[receiver] - pos[source]
    return pos.index_add(0, receiver, relative * (weight / relative.norm(dim=1))[:, None])


def moved_by_matrix(pos, edge_index, weight):
    relative = pos[:, None] - pos[None]
    sizes = torch.zeros(len(pos), len(pos), dtype=pos.dtype).index_put((edge_index[1], edge_index[0]), weight)
    return pos + (torch.nn.functional.normalize(relative, dim=2) * sizes[:, :, None]).sum(dim=1)


def moved_in_numpy(pos, edge_index, weight):
    new, (source, receiver) = pos.copy(), edge_index
    relative = pos[receiver] - pos[source]
    np.add.at(new, receiver, relative * (weight / np.linalg.norm(relative, axis=1))[:, None])
    return new


THIRD = rotation_about((1.0, 1.0, 1.0), math.radians(120))

CASES = {
    "07.1": Case(
        right=[rotation_error, drawn_by(by_scipy), drawn_by(by_quaternion), drawn_by(by_gram_schmidt), error_in_a_loop],
        wrong=[
            (lambda f, pos, seed: 0.0 * f(pos).sum(), "never called with turned positions"),
            (drawn_by(lambda seed: 2 * haar(seed)), "not orthogonal"),
            (lambda f, pos, seed: rotation_error(f, pos, 0), "two seeds give the same rotation"),
            (lambda f, pos, seed: rotation_error(f, pos, int(torch.randint(2**31, (1,)))), "the same seed gives two"),
            (drawn_by(lambda seed: haar(seed, mirror=True)), "determinant -1"),
            (drawn_by(euler), "not uniform"),
            (drawn_by(angle_and_axis), "not uniform"),
            (drawn_by(lambda seed: haar(seed, signs=False)), "not uniform"),
            (compares_with_v, "that is invariance"),
            (opposite, "are opposite ones"),
            (zero, "it cannot fail"),
            (signed, "cancel in your result"),
            (lambda f, pos, seed: round(rotation_error(f, pos, seed), 3), "goes unnoticed"),
            (summary(torch.norm), "this is the norm"),
            (summary(lambda x: x.abs().mean()), "this is the mean of the absolute values"),
            (summary(lambda x: x.square().mean().sqrt()), "this is the root of the mean of the squares"),
            (summary(lambda x: 2 * x.abs().max()), "not the largest absolute difference"),
            (lambda f, pos, seed: rotation_error(f, pos, seed, lambda s: haar(s).float()), "Two dtypes meet"),
            (drawn_by(lambda seed: haar(seed).float().double()), "rounding of float32"),
            (
                in_float32(lambda f, pos, seed: rotation_error(f, pos, seed, lambda s: haar(s).float())),
                "rounding of float32",
            ),
            (lambda f, pos, seed: f(pos @ haar(seed).T) - f(pos), "one number is expected"),
        ],
    ),
    "07.2": Case(
        right=[
            shift_error,
            of_shift(lambda x: x.abs().max()),
            of_shift(lambda x: torch.linalg.norm(x.flatten(), ord=math.inf)),
            shift_error_in_numpy,
            in_float32(lambda f, pos, t, kind: shift_error(lambda x: f(x.double()), pos.double(), t.double(), kind)),
        ],
        wrong=[
            (
                lambda f, pos, t, kind: shift_error(f, pos, t, "position" if kind == "feature" else "feature"),
                "both kinds come out wrong",
            ),
            (lambda f, pos, t, kind: shift_error(f, pos, t, "position"), "nothing is added"),
            (lambda f, pos, t, kind: shift_error(f, pos, t, "feature"), "positions that shift with the molecule"),
            (constant(0.0), "passes everything"),
            (of_shift(torch.max), "absolute value is missing"),
            (of_shift(torch.norm), "this is the norm"),
            (of_shift(lambda x: x.abs().mean()), "mean of the absolute values"),
            (first_columns, "only part of the result"),
            (of_shift(lambda x: x.abs().max() if x.dim() == 2 else 1.0), "they may have any shape"),
            (of_shift(lambda x: x.abs()), "one number is expected"),
        ],
    ),
    "07.3": Case(
        right=[
            coordinate_step,
            moved_by_index_add,
            moved_by_matrix,
            in_numpy(moved_in_numpy),
            in_float32(coordinate_step),
        ],
        wrong=[
            (lambda p, e, w: coordinate_step(p, e, w, only_last=True), "only the last neighbour counts"),
            (lambda p, e, w: coordinate_step(p, e, w, sign=-1), "away when they should come nearer"),
            (mean_step, "this is the mean"),
            (lambda p, e, w: coordinate_step(p, e, w, unit=False), "not divided by their length"),
            (already_moved, "moved already"),
            (in_place, "changes the positions"),
            (lambda p, e, w: coordinate_step(p, e, w) - p, "p_i itself is missing"),
            (lambda p, e, w: coordinate_step(p, e.flip(0), w), "start from p_i"),
            (lambda p, e, w: p, "start from p_i"),
        ],
    ),
    "07.4": Case(
        right=["ade", "ADE", "a, d, e", ["a", "d", "e"], "(a), (d) and (e)"],
        wrong=[
            ("ad", "(e) is missing"),
            ("abde", "(b) is not equivariant"),
            ("acde", "(c) is not equivariant"),
            ("(a) (d) (e) (f)", "(f) is not equivariant"),
            ("", "(a) is missing"),
            ("xyz", "letters from a to f"),
            (3, "letters from a to f"),
        ],
    ),
    "07.5": Case(
        right=[
            THIRD,
            [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
            rotation_about((-1.0, -1.0, -1.0), math.pi / 2).numpy(),
            rotation_about((2.0, 2.0, 2.0), 3.0).float(),
        ],
        wrong=[
            (torch.eye(3), "turns by 0 degrees"),
            (rotation_about((1.0, 1.0, 1.0), math.radians(50)), "turns by 50 degrees"),
            (-torch.eye(3), "that is a reflection"),
            (rotation_about((1.0, 0.0, 0.0), math.radians(90)), "which direction is that"),
            (2 * torch.eye(3), "not orthogonal"),
            (torch.eye(2), "has the shape [2, 2]"),
            ("about the diagonal", "a 3x3 matrix is expected"),
        ],
    ),
    "07.6": Case(
        right=["cfdaeb", "c, f, d, a, e, b", list("CFDAEB")],
        wrong=[
            ("abcdef", "line f shows"),
            ("fcdaeb", "line c makes"),
            ("cfadeb", "the gate stays"),
            ("cfdeab", "line a gives"),
            ("cfdabe", "behind R"),
            ("cfda", "exactly once"),
            ("cfdaez", "letters from a to f"),
            (123, "letters from a to f"),
        ],
    ),
    "07.7": Case(
        right=["126543", "1 2 6 5 4 3", [1, 2, 6, 5, 4, 3], 126543],
        wrong=[
            ("226543", "line 1 does not use fact 2"),
            ("116543", "line 2 does not use fact 1"),
            ("121543", "line 3 does not use fact 1"),
            ("126453", "line 4 does not use fact 4"),
            ("126553", "line 5 does not use fact 5"),
            ("126544", "line 6 does not use fact 4"),
            ("1265", "you named 4"),
            ("126549", "digits from 1 to 6"),
        ],
    ),
    "07.8": Case(
        right=[(4, torch.diag(torch.tensor([1.0, 1.0, -1.0]))), [4, np.diag([-1.0, 1.0, 1.0])], ("4", -torch.eye(3))],
        wrong=[
            ((2, -torch.eye(3)), "line 2 is true"),
            ((6, -torch.eye(3)), "line 6 is true"),
            ((4, torch.eye(3)), "leaves two possibilities"),
            ((4, -2 * torch.eye(3)), "not orthogonal"),
            ((4, -torch.eye(2)), "has the shape [2, 2]"),
            ((7, -torch.eye(3)), "numbers 1 to 6"),
            (4, "two things"),
        ],
    ),
}
