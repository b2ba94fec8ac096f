"""Checks of the exercises of notebook 07: a symmetry test that can fail, translations, moving atoms, broken layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from eqgat.graph import edge_geometry, radius_graph
from eqgat.symmetry import coordinate_update, rotation_about
from eqgat_course.exercises import call, close, exercise, expect, expect_close, seeded

ROUNDING = 1e-8


def _cloud(seed: int, num_atoms: int = 7) -> Tensor:
    return 2 * torch.randn(num_atoms, 3, generator=torch.Generator().manual_seed(seeded(seed)), dtype=torch.float64)


def _axial(pos: Tensor) -> Tensor:
    """Equivariant under rotations, and with the wrong sign under reflections: p_i x p_(i+1), in two channels."""
    vector = torch.linalg.cross(pos, pos.roll(1, dims=0), dim=1)
    return torch.stack([vector, 2 * vector], dim=2)


def _number(answer: Any, *arguments: Any) -> float:
    result = call(answer, *arguments)
    try:
        return float(result)
    except (TypeError, ValueError, RuntimeError):
        expect(False, f"one number is expected, the largest error; your function returned a {type(result).__name__}.")
        raise AssertionError from None


def _matrix_used(answer: Any, seed: int) -> Tensor:
    """The matrix Q by which the learner's function turned the atoms, from the positions that it passed on."""
    pos, seen = _cloud(71), []

    def recorded(moved: Tensor) -> Tensor:
        seen.append(moved.detach().clone())
        return _axial(moved)

    _number(answer, recorded, pos, seed)
    moved = [other for other in seen if not close(other, pos)]
    expect(len(moved) > 0, "the function f was never called with turned positions.")
    matrix = torch.linalg.lstsq(pos, moved[0]).solution.T
    expect(close(pos @ matrix.T, moved[0]), "the atoms did not all move by one and the same matrix: p_i -> R p_i.")
    return matrix


@exercise("07.1", "A test of equivariance that can fail", "implement", points=3)
def equivariance_test(answer: Any) -> None:
    matrix = _matrix_used(answer, 0)
    expect(
        close(matrix @ matrix.T, torch.eye(3)),
        "the matrix you turn the atoms with is not orthogonal: R R^T is not the identity, and distances change.",
    )
    expect(
        not close(matrix, _matrix_used(answer, 1)),
        "two seeds give the same rotation: one rotation may be a lucky "
        "one. Draw it from torch.Generator().manual_seed(seed).",
    )
    expect(
        close(matrix, _matrix_used(answer, 0)),
        "the same seed gives two different rotations, so that a failure "
        "cannot be repeated. Draw from a generator of your own: torch.Generator().manual_seed(seed).",
    )
    drawn = torch.stack([_matrix_used(answer, seed) for seed in range(400)])
    expect(
        (torch.linalg.det(drawn) > 0).all(),
        "some of your matrices have determinant -1: they mirror the molecule, "
        "and EQGAT would fail your test although it is right. Turn one column around where det < 0.",
    )
    trace = float(drawn.diagonal(dim1=1, dim2=2).sum(dim=1).mean())
    expect(
        abs(trace) < 0.25
        and (drawn.mean(dim=0).abs() < 0.15).all()
        and ((drawn.square().mean(dim=0) - 1 / 3).abs() < 0.08).all(),
        "your rotations are not uniform: over 400 seeds some come up more often than others. Random Euler angles, a "
        "random angle about a random axis, or QR without fixing signs do this. Take the QR decomposition of a "
        "Gaussian matrix and multiply each column of Q by the sign of R's diagonal entry.",
    )

    pos = _cloud(72)
    still: Callable[[Tensor], Tensor] = lambda x: torch.ones(len(x), 3, 2, dtype=x.dtype)  # noqa: E731
    passes, fails = _number(answer, _axial, pos, 5), _number(answer, still, pos, 5)
    expect(
        passes < ROUNDING or fails > ROUNDING,
        "you compare f(Rx) with f(x): that is invariance. A vector has to "
        "turn with the molecule: compare f(Rx) with R f(x).",
    )
    expect(
        passes < ROUNDING,
        "an equivariant function fails your test. Positions are rows and vectors are columns: "
        "pos @ R.T and R @ v are the same rotation, pos @ R and R @ v are opposite ones.",
    )
    expect(fails > 1e-3, "a function whose vectors stay where they are passes your test: it cannot fail.")
    bias = torch.tensor([1.0, -1.0], dtype=torch.float64)
    expect(
        _number(answer, lambda x: _axial(x) + bias, pos, 5) > ROUNDING,
        "errors of opposite sign cancel in your result. Take absolute values before you take the mean or maximum.",
    )
    expect(
        _number(answer, lambda x: _axial(x) + 1e-5 * bias, pos, 5) > ROUNDING,
        "an error of 1e-5 goes unnoticed. Return the error itself; in float64 rounding is about 1e-15.",
    )


@exercise("07.2", "What a translation must do", "implement", points=2)
def translation_test(answer: Any) -> None:
    pos, shift = _cloud(73), torch.tensor([3.0, -2.0, 5.0], dtype=torch.float64)
    features: Callable[[Tensor], Tensor] = lambda x: x - x.mean(dim=0)  # noqa: E731
    positions: Callable[[Tensor], Tensor] = lambda x: x + 0.1 * (x - x.mean(dim=0))  # noqa: E731
    found = {
        (name, kind): _number(answer, function, pos, shift, kind) < ROUNDING
        for name, function in (("features", features), ("positions", positions))
        for kind in ("feature", "position")
    }
    expect(
        found["features", "feature"] or found["positions", "position"],
        "both kinds come out wrong. Compare f(pos + shift) with f(pos) for a feature, and with f(pos) + shift for "
        "positions.",
    )
    expect(
        found["features", "feature"],
        "a function of differences of positions fails as a feature. Features are "
        "translation invariant: f(pos + shift) = f(pos), nothing is added.",
    )
    expect(
        found["positions", "position"],
        "new positions fail as positions. They are translation equivariant: they "
        "shift with the molecule, f(pos + shift) = f(pos) + shift.",
    )
    expect(
        not found["features", "position"] and not found["positions", "feature"],
        "your test passes everything. Does it use its argument kind, and the absolute value of the difference?",
    )
    for one_sign in (shift.abs(), -shift.abs()):  # the mixed signs of the shift above hide a missing abs()
        expect(
            _number(answer, positions, pos, one_sign, "feature") > ROUNDING
            and _number(answer, features, pos, one_sign, "position") > ROUNDING,
            "errors of one sign go unnoticed. Take absolute values before the maximum.",
        )
    wide = _number(answer, lambda x: torch.cat([x - x.mean(dim=0), x[:, :1]], dim=1), pos, shift, "feature")
    expect(wide > ROUNDING, "only part of the result is compared: the last feature of each atom moved, unnoticed.")


@exercise("07.3", "The coordinate update", "implement", points=2)
def coordinate_step(answer: Any) -> None:
    pos = _cloud(74)
    edge_index = radius_graph(pos, 4.5)
    receiver = edge_index[1]
    generator = torch.Generator().manual_seed(seeded(74))
    weight = torch.rand(edge_index.shape[1], generator=generator, dtype=torch.float64) - 0.3
    distance, direction = edge_geometry(pos, edge_index)
    right = coordinate_update(pos, edge_index, weight)
    count = torch.bincount(receiver, minlength=len(pos)).clamp(min=1).unsqueeze(1)
    last = pos.clone()
    moving = pos.clone()
    for e, (j, i) in enumerate(edge_index.T.tolist()):
        last[i] = pos[i] + direction[e] * weight[e]
        moving[i] = moving[i] + (moving[i] - moving[j]) / (moving[i] - moving[j]).norm() * weight[e]
    before = pos.clone()
    actual = call(answer, pos, edge_index, weight)
    expect(close(before, pos), "your function changes the positions that it was given. Work on pos.clone().")
    expect_close(
        actual,
        right,
        "start from p_i, and add direction times weight for every edge whose receiver is i.",
        {
            "only the last neighbour counts, as the formula is printed: sum over all neighbours j.": last,
            "the atoms move away when they should come nearer: p_ji,n = (p_i - p_j) / d points from j to i.": 2 * pos
            - right,
            "this is the mean over the neighbours; the formula has a sum.": pos + (right - pos) / count,
            "the relative positions are not divided by their length; p_ji,n has length 1.": coordinate_update(
                pos, edge_index, weight * distance
            ),
            "atoms that have moved already move the others: the directions must come from the old positions alone, or the "
            "result depends on the order of the edges.": moving,
            "the sum is there, but p_i itself is missing.": right - pos,
        },
    )
    turn = rotation_about((1.0, 2.0, -1.0), 2.0)
    shift = torch.tensor([10.0, 0.0, -5.0], dtype=torch.float64)
    expect_close(
        call(answer, pos @ turn.T + shift, edge_index, weight),
        right @ turn.T + shift,
        "right as the atoms lie, but the new positions do not turn and shift with the old.",
    )


LAYERS = {  # letter -> (is it equivariant, why)
    "a": (True, "a linear map of the channels stands on the right of v, the rotation on the left: (Rv)W = R(vW)."),
    "b": (False, "relu looks at x, y and z one by one, and a rotation mixes them."),
    "c": (False, "the bias is a fixed vector: it stays where it is while v turns."),
    "d": (True, "|v| is invariant, so is silu(|v|), and scaling a vector by an invariant commutes with R."),
    "e": (True, "(R v_i) x (R v_j) = R (v_i x v_j) for every rotation, det R = +1."),
    "f": (False, "weights made from the components of v change with the orientation."),
}


@exercise("07.4", "Which of these are equivariant?", "predict", points=2)
def which_are_equivariant(answer: Any) -> None:
    expect(isinstance(answer, str), 'a string of letters is expected, such as "bf".')
    letters = set(answer.lower()) - set(" ,;")
    expect(letters <= set(LAYERS), f"the letters are a to f; you wrote {answer!r}.")
    for letter, (equivariant, why) in LAYERS.items():
        expect(letter in letters or not equivariant, f"({letter}) is missing: {why}")
        expect(letter not in letters or equivariant, f"({letter}) is not equivariant: {why}")


@exercise("07.5", "A lucky rotation", "break it", points=2)
def lucky_rotation(answer: Any) -> None:
    try:
        matrix = torch.as_tensor(answer).detach().to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        expect(False, f"a 3x3 matrix is expected, not {type(answer).__name__}.")
        return
    expect(matrix.shape == (3, 3), f"a 3x3 matrix is expected; yours has the shape {list(matrix.shape)}.")
    expect(close(matrix @ matrix.T, torch.eye(3)), "the matrix is not orthogonal: R R^T must be the identity.")
    expect(torch.linalg.det(matrix) > 0, "det = -1: that is a reflection. A rotation is asked for.")
    angle = math.degrees(math.acos(max(-1.0, min(1.0, float(matrix.trace() - 1) / 2))))
    expect(
        angle > 59.9,
        f"that turns by {angle:.0f} degrees only; ask for at least 60. Mind that rotation_about takes "
        "radians: math.radians(60) is about 1.05.",
    )
    moved = matrix.sum(dim=1) - 1  # R (1, 1, 1) - (1, 1, 1)
    expect(
        float(moved.abs().max()) < 1e-6,
        "the biased layer still fails for this rotation. The bias adds the same "
        "number to x, y and z: which direction is that? It must not move.",
    )
