"""Checks of the exercises of notebook 07: a symmetry test that can fail, translations, moving atoms, broken layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from eqgat.graph import edge_geometry
from eqgat.symmetry import random_rotation
from eqgat_course.ch07_proofs.study import coordinate_update
from eqgat_course.exercises import (
    between,
    call,
    call_watched,
    close,
    exercise,
    expect,
    expect_close,
    expect_letters,
    gaussian,
    read,
    seeded,
    some_edges,
)

ROUNDING = 1e-8


def _cloud(seed: int) -> Tensor:
    return 2 * gaussian(seed, (int(between(seed, 5, 10)), 3))[0]


def _axial(pos: Tensor) -> Tensor:
    """Equivariant under rotations, and with the wrong sign under reflections: p_i x p_(i+1), in two channels."""
    vector = torch.linalg.cross(pos, pos.roll(1, dims=0), dim=1)
    return torch.stack([vector, 2 * vector], dim=2)


def _squares(pos: Tensor) -> Tensor:
    """Not equivariant: squared coordinates, in two channels."""
    return torch.stack([pos.square(), -1.3 * pos.square()], dim=2)


def _number(answer: Any, *arguments: Any) -> float:
    result = call(answer, *arguments)
    number = read(result, "one number is expected, the largest error")
    expect(
        number.numel() == 1,
        f"one number is expected, the largest error; your function returned one of shape {list(number.shape)}.",
    )
    return float(number)


def _expect_largest(found: float, difference: Tensor, what: str) -> None:
    """The largest absolute value of ``difference``, and not another summary of it."""
    size = difference.abs()
    others = {
        "the norm, the root of the sum of all squares": difference.norm(),
        "the mean of the absolute values": size.mean(),
        "the sum of the absolute values": size.sum(),
        "the mean of the squares": difference.square().mean(),
        "the root of the mean of the squares": difference.square().mean().sqrt(),
        "the largest square": difference.square().max(),
        "the largest length of a vector": difference.norm(dim=1).max(),
    }
    mistakes = {
        f"this is {other}; asked for is the largest absolute difference.": value for other, value in others.items()
    }
    missing = "the absolute value is missing before the maximum: a large negative difference goes unnoticed."
    expect_close(
        found,
        size.max(),
        f"it notices errors, but its number is not the largest absolute difference between {what}.",
        {**mistakes, missing: difference.max()},
    )


def _matrices_used(answer: Any, seeds: Iterable[int]) -> Tensor:
    """The matrices by which the learner's function turned the atoms, from the positions that it passed on, [n, 3, 3]."""
    pos, moved = _cloud(71), []
    seen: list[Tensor] = []

    def recorded(given: Tensor) -> Tensor:
        seen.append(given.detach().to(torch.float64))
        return torch.zeros(*given.shape, 2, dtype=given.dtype)

    for seed in seeds:
        seen.clear()
        _number(answer, recorded, pos, seed)
        other = [given for given in seen if given.shape == pos.shape and float((given - pos).abs().max()) > 1e-3]
        expect(len(other) > 0, "the function f was never called with turned positions.")
        moved.append(other[0])
    together = torch.stack(moved)
    matrices = (torch.linalg.pinv(pos) @ together).mT
    expect(
        close(pos @ matrices.mT, together, rtol=1e-4),
        "the atoms did not all move by one and the same matrix: p_i -> R p_i.",
    )
    return matrices


@exercise("07.1", "A test of equivariance that can fail", "implement", points=3)
def equivariance_test(answer: Any) -> None:
    first, second, again = _matrices_used(answer, [0, 1, 0])
    error = float((first @ first.T - torch.eye(3)).abs().max())
    expect(
        error < 1e-3,
        "the matrix you turn the atoms with is not orthogonal: R R^T is not the identity, and distances change.",
    )
    expect(
        error < 1e-12,
        f"R R^T differs from the identity by {error:.0e}: that is the rounding of float32. The matrix, or the positions, are "
        "in float32, and then nobody can tell rounding from a small mistake. Draw with dtype=pos.dtype, which is float64 "
        "here; then rounding is about 1e-15.",
    )
    expect(
        close(first, again),
        "the same seed gives two different rotations, so that a failure "
        "cannot be repeated. Draw from a generator of your own: torch.Generator().manual_seed(seed).",
    )
    expect(
        not close(first, second),
        "two seeds give the same rotation: one rotation may be a lucky "
        "one. Draw it from torch.Generator().manual_seed(seed).",
    )

    pos = _cloud(72)
    still: Callable[[Tensor], Tensor] = lambda x: torch.ones(len(x), 3, 2, dtype=x.dtype)  # noqa: E731
    turns = _matrices_used(answer, range(12))
    expect(
        (torch.linalg.det(turns) > 0).all(),
        "some of your matrices have determinant -1: they mirror the molecule, "
        "and EQGAT would fail your test although it is right. Turn one column around where det < 0.",
    )
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
    expect(fails > ROUNDING, "a function whose vectors stay where they are passes your test: it cannot fail.")
    bias = torch.tensor([1.0, -1.0], dtype=torch.float64)
    expect(
        _number(answer, lambda x: _axial(x) + bias, pos, 5) > ROUNDING,
        "errors of opposite sign cancel in your result. Take absolute values before you take the mean or maximum.",
    )
    expect(
        _number(answer, lambda x: _axial(x) + 1e-5 * bias, pos, 5) > ROUNDING,
        "an error of 1e-5 goes unnoticed. Return the error itself; in float64 rounding is about 1e-15.",
    )
    for seed, turn in ((5, turns[5]), (8, turns[8])):
        difference = _squares(pos @ turn.T) - turn @ _squares(pos)
        _expect_largest(_number(answer, _squares, pos, seed), difference, "f(Rx) and R f(x)")

    # Over uniform rotations each entry has the mean 0 and its square the mean 1/3. For 150 of them the sums below exceed
    # their bounds once in 30,000 ways to draw; the usual ways that are not uniform are far beyond them.
    drawn = _matrices_used(answer, range(150))
    mean, square = drawn.mean(dim=0), drawn.square().mean(dim=0) - 1 / 3
    expect((torch.linalg.det(drawn) > 0).all(), "some of your matrices have determinant -1: they mirror the molecule.")
    expect(
        mean.square().sum() < 0.1 and square.square().sum() < 0.035,
        "your rotations are not uniform: over 150 seeds some come up more often than others. Random Euler angles, a "
        "random angle about a random axis, or QR without fixing signs do this. Take the QR decomposition of a "
        "Gaussian matrix and multiply each column of Q by the sign of R's diagonal entry.",
    )


@exercise("07.2", "What a translation must do", "implement", points=2)
def translation_test(answer: Any) -> None:
    pos, (shift,) = _cloud(73), gaussian(74, (3,))
    shift = (shift.abs() + 1) * torch.tensor([3.0, -3.0, 3.0])
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
        "kind 'feature': it reports a violation for features that a shift does not change. What is right for them is "
        "f(pos + shift) = f(pos); nothing is added.",
    )
    expect(
        found["positions", "position"],
        "kind 'position': it reports a violation for positions that shift with the molecule. What is right for them is "
        "f(pos + shift) = f(pos) + shift.",
    )
    expect(
        not found["features", "position"] and not found["positions", "feature"],
        "your test passes everything. Does it use its argument kind, and the absolute value of the difference?",
    )
    for one_sign in (shift.abs(), -shift.abs()):  # the mixed signs of the shift above hide a missing abs()
        expect(
            _number(answer, positions, pos, one_sign, "feature") > ROUNDING
            and _number(answer, features, pos, one_sign, "position") > ROUNDING,
            "errors of one sign go unnoticed: the absolute value is missing before the maximum.",
        )
    wide = _number(answer, lambda x: torch.cat([x - x.mean(dim=0), x[:, :1]], dim=1), pos, shift, "feature")
    expect(wide > ROUNDING, "only part of the result is compared: the last feature of each atom moved, unnoticed.")
    for given, part in ((shift, "shift"), (-shift, "shift in the opposite direction")):
        squares = (pos + given).square() - pos.square()
        between_both = f"what f returns after the {part} and what it should return"
        _expect_largest(_number(answer, torch.square, pos, given, "feature"), squares, between_both)
        _expect_largest(_number(answer, torch.square, pos, given, "position"), squares - given, between_both)
    lengths = _number(answer, lambda x: (x - x.mean(dim=0)).norm(dim=1), pos, shift, "feature")
    expect(lengths < ROUNDING, "right for features [N, F], wrong for features [N]: they may have any shape.")


@exercise("07.3", "The coordinate update", "implement", points=2)
def coordinate_step(answer: Any) -> None:
    pos = _cloud(74)
    edge_index = some_edges(75, len(pos))
    receiver = edge_index[1]
    weight = gaussian(76, (len(receiver),))[0] + 0.2
    distance, direction = edge_geometry(pos, edge_index)
    right = coordinate_update(pos, edge_index, weight)
    count = torch.bincount(receiver, minlength=len(pos)).clamp(min=1).unsqueeze(1)
    last = pos.clone()
    moving = pos.clone()
    for e, (j, i) in enumerate(edge_index.T.tolist()):
        last[i] = pos[i] + direction[e] * weight[e]
        moving[i] = moving[i] + (moving[i] - moving[j]) / (moving[i] - moving[j]).norm() * weight[e]
    actual, changed = call_watched(answer, pos, edge_index, weight)
    expect(not changed, "your function changes the positions that it was given. Work on pos.clone().")
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
    turn, shift = random_rotation(seeded(77)), 10 * gaussian(78, (3,))[0]
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


@exercise("07.4", "Which of these are equivariant under rotations?", "predict", points=2)
def which_are_equivariant(answer: Any) -> None:
    letters = expect_letters(answer, LAYERS)
    for letter, (equivariant, why) in LAYERS.items():
        expect(letter in letters or not equivariant, f"({letter}) is missing: {why}")
        expect(letter not in letters or equivariant, f"({letter}) is not equivariant: {why}")


@exercise("07.5", "A lucky rotation", "break it", points=2)
def lucky_rotation(answer: Any) -> None:
    matrix = read(answer, "a 3x3 matrix is expected").to(torch.float64)
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
        float(moved.abs().max()) < 1e-5,
        "the biased layer still fails for this rotation. The bias adds the same "
        "number to x, y and z: which direction is that? It must not move.",
    )


ORDER = "cfdaeb"  # of the lines of the proof in exercise 07.6
NEEDS = {  # line -> the line that must stand before it, and why
    "f": ("c", "line f speaks of u, which line c makes."),
    "d": ("f", "line d needs that the lengths stay, which line f shows."),
    "a": ("d", "line a needs that the gate stays, which line d shows."),
    "e": ("a", "line e is about R (g ⊙ w), which line a gives."),
    "b": ("e", "line b adds what line e has moved behind R."),
}


@exercise("07.6", "Put a proof in order", "prove", points=2)
def proof_in_order(answer: Any) -> None:
    letters = expect_letters(answer, ORDER)
    expect(sorted(letters) == sorted(ORDER), "each of the six lines stands in the proof exactly once.")
    for line, (earlier, why) in NEEDS.items():
        expect(letters.index(earlier) < letters.index(line), why)


FACTS = "126543"  # that the lines of the proof in exercise 07.7 use
WHY = (
    "a length is an inner product of a vector with itself.",
    "the MLP is a function of numbers that stay.",
    "two vectors are multiplied to a vector: which fact is about that product?",
    "the invariant c multiplies whole channels.",
    "W stands on the right and mixes channels.",
    "R is taken out of a sum over the neighbours.",
)


@exercise("07.7", "Name the facts", "prove", points=2)
def facts_of_a_proof(answer: Any) -> None:
    digits = expect_letters(answer, FACTS)
    expect(len(digits) == len(FACTS), f"the proof has six lines, and each uses one fact; you named {len(digits)}.")
    for number, (given, right, why) in enumerate(zip(digits, FACTS, WHY, strict=True), start=1):
        expect(given == right, f"line {number} does not use fact {given}: {why}")


TRUE_LINES = {
    1: "a difference of positions turns with Q, and its length stays, so the direction turns too.",
    2: "that is the invariance of inner products, which needs QᵀQ = I alone.",
    3: "the filter is a function of numbers that stay.",
    5: "a sum commutes with every matrix.",
    6: "each line before would carry over to all layers, by induction. One of them is false.",
}


@exercise("07.8", "The false line", "break it", points=2)
def false_line(answer: Any) -> None:
    expect(isinstance(answer, tuple | list) and len(answer) == 2, "Hand in two things: (number of the line, matrix).")
    line, matrix = int(answer[0]), torch.as_tensor(answer[1]).detach().to(torch.float64)
    expect(1 <= line <= 6, "the lines have the numbers 1 to 6.")
    expect(line == 4, f"line {line} is true: {TRUE_LINES.get(line)}")
    expect(matrix.shape == (3, 3), f"a 3x3 matrix is expected; yours has the shape {list(matrix.shape)}.")
    expect(
        close(matrix @ matrix.T, torch.eye(3)), "the matrix is not orthogonal, so that the proof does not speak of it."
    )
    expect(
        torch.linalg.det(matrix) < 0,
        "line 4 is the false one, but for your matrix it is true: |det Q| = 1 leaves two possibilities; take the other.",
    )
