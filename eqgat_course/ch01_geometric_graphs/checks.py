"""Checks of notebook 01: geometric graphs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from eqgat.graph import edge_geometry, radius_graph
from eqgat.layers import sum_over_neighbours
from eqgat.symmetry import relative_error, rotation_about
from eqgat_course.ch01_geometric_graphs.study import along_x
from eqgat_course.controls import capped_radius_graph
from eqgat_course.exercises import (
    between,
    call,
    call_watched,
    exercise,
    expect,
    expect_close,
    expect_letters,
    gaussian,
    generator,
    read,
)


def _cloud(number: int, size: float, seed: int) -> Tensor:
    """``number`` random atoms in a cube of edge ``size`` Å, float64, [number, 3]."""
    return size * torch.rand(number, 3, generator=generator(seed), dtype=torch.float64)


def _edges(keep: Tensor) -> Tensor:
    """Edges (source, receiver) where ``keep`` [N, N] (receiver, source) holds, sorted by receiver."""
    return keep.nonzero().T.flip(0)


@exercise("01.1", "The radius graph without loops", "implement", points=2)
def radius_graph_exercise(function: Any) -> None:
    cutoff = 2 + int(between(1, 16, 64)) / 64  # a binary fraction: two atoms can be exactly so far apart
    far = torch.tensor([[20.0, 0, 0], [20.0 + cutoff, 0, 0]], dtype=torch.float64)
    pos = torch.cat([_cloud(int(between(2, 30, 50)), 6.0, 1), far])
    d = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    other = ~torch.eye(len(pos), dtype=torch.bool)
    right = radius_graph(pos, cutoff)
    result = read(call(function, pos, cutoff), "an edge_index [2, E] is expected")
    expect(not result.is_floating_point(), "an edge_index holds numbers of rows: whole numbers, int64")
    expect(
        result.dim() == 2 and len(result) == 2,
        f"an edge_index has two rows, sources and receivers: [2, E]; yours is {list(result.shape)}. Is it transposed?",
    )
    expect(bool((result[0] != result[1]).all()), "every atom is its own neighbour in your graph: leave out j = i")
    expect_close(
        result,
        right,
        "compare, atom by atom, with the loop of the notebook: which edge is missing, or too many? "
        "(torch.cdist in its fast mode loses digits: give it compute_mode='donot_use_mm_for_euclid_dist'.)",
        {
            "two atoms exactly at the cutoff are joined; the definition says d < c, not d <= c": _edges(
                (d <= cutoff) & other
            ),
            "each pair appears once only, j < i. A message travels from j to i and another from i to j: keep both": _edges(
                (d < cutoff).tril(-1)
            ),
            "each pair appears once only, j > i. A message travels from j to i and another from i to j: keep both": _edges(
                (d < cutoff).triu(1)
            ),
            "the rows are exchanged, or the edges sorted by source: row 0 is the source j, row 1 the receiver i, and the "
            "receivers ascend": right.flip(0),
            "you compared the squared distance with c": _edges((d.square() < cutoff) & other),
            "you compared the distance with c squared": _edges((d < cutoff**2) & other),
            **(
                {"the edges are right, but not in the order that is asked for: by receiver, then by source": result}
                if result.shape == right.shape and sorted(result.T.tolist()) == sorted(right.T.tolist())
                else {}
            ),
        },
    )
    expect_close(
        call(function, pos, cutoff / 2),
        radius_graph(pos, cutoff / 2),
        "right for one cutoff, wrong for another. Does your function use its argument?",
    )
    crowd = _cloud(int(between(3, 36, 45)), 0.5, 2)
    found = read(call(function, crowd, cutoff))
    expect(
        found.numel() >= 2 * len(crowd) * (len(crowd) - 1),
        f"in a crowd of {len(crowd)} atoms each has {len(crowd) - 1} neighbours; yours has fewer. Is there a cap?",
    )
    expect_close(found, radius_graph(crowd, cutoff), "right for a few atoms, wrong in a crowd: some edges are too many")
    twins = torch.full((2, 3), between(4, -5, 5), dtype=torch.float64)
    expect_close(
        call(function, twins, 1.0),
        torch.tensor([[1, 0], [0, 1]]),
        "two different atoms at the same place are neighbours. Exclude the atom itself by its row, j = i, not "
        "by distance zero",
    )


@exercise("01.2", "One step of message passing", "implement", points=2)
def message_passing(function: Any) -> None:
    atoms, channels = int(between(3, 10, 16)), int(between(4, 4, 8))
    pos = _cloud(atoms, 4.0, 3)
    (s,) = gaussian(4, (atoms, channels))
    # A list in which some edges have no way back, so that sources and receivers cannot be confused unnoticed.
    edge_index = radius_graph(pos, 2.5)[:, ::3]
    source, receiver = edge_index
    distance, _ = edge_geometry(pos, edge_index)
    weight = (-distance).exp().unsqueeze(1)
    messages = weight * s[source]
    total = sum_over_neighbours(messages, receiver, atoms)
    count = receiver.bincount(minlength=atoms).clamp(min=1).unsqueeze(1)
    last = torch.zeros_like(s)
    for edge, i in enumerate(receiver.tolist()):
        last[i] = messages[edge]
    result, changed = call_watched(function, s, pos, edge_index)
    expect(
        not changed,
        "your function changed its input in place. Work on a copy: a layer must leave the old state as it was",
    )
    expect_close(
        result,
        s + total,
        "compare with the loop of the notebook for one atom: first m_i, then s_i + m_i",
        {
            "this is m_i alone. The update is s_i + m_i": total,
            "only one message arrives at each atom. `m[receiver] += ...` writes, it does not add up repeated rows: "
            "use index_add": s + last,
            "this is the mean over the neighbours; the message passing of Section 2 sums": s + total / count,
            "the message carries the state of the receiver; take that of the source, s_j": s
            + sum_over_neighbours(weight * s[receiver], receiver, atoms),
            "the messages are collected at the source. They are summed where they arrive, at the receiver i": s
            + sum_over_neighbours(messages, source, atoms),
            "the weight grows with the distance: mind the sign in exp(-d)": s
            + sum_over_neighbours(s[source] / weight, receiver, atoms),
            "the weight exp(-d) is missing": s + sum_over_neighbours(s[source], receiver, atoms),
        },
    )


@exercise("01.3", "Who passes the rotation test?", "predict")
def who_passes(answer: Any) -> None:
    chosen = expect_letters(answer, "abcdef")
    hints = {
        "A": "A reads x, y and z as they stand. What happens to x when the molecule is turned?",
        "B": "B reads differences, so a shift does not matter. But which of the three components does it read?",
        "C": "C uses distances alone, but of which pairs? Ask who decides which 32 neighbours stay.",
        "D": "D weights by the row in the file. Does a rotation change a row, or the distance from the centre?",
        "E": "E is a volume spanned by three vectors that all rotate together. Does a volume change when it is turned?",
        "F": "F uses distances of all pairs within the cutoff. Does a rotation change any of them?",
    }
    for letter in "ABC":
        expect(letter.lower() not in chosen, f"{letter} does not pass. {hints[letter]}")
    for letter in "DEF":
        expect(letter.lower() in chosen, f"{letter} does pass. {hints[letter]}")


@exercise("01.4", "A cap that is not even symmetric", "break it", points=2)
def break_the_cap(answer: Any) -> None:
    pos = read(answer, "give positions [N, 3], two to eight atoms").to(torch.float64)
    expect(pos.dim() == 2 and pos.shape[1] == 3 and 2 <= len(pos) <= 8, "give positions [N, 3], two to eight atoms")
    expect(pos.isfinite().all() and float(torch.pdist(pos).min()) >= 0.5, "two of your atoms are closer than 0.5 Å")
    full = radius_graph(pos, 2.0)
    expect(full.shape[1] > 0, "no two of your atoms are closer than 2 Å, so there is no edge at all")
    expect(
        int(full[1].bincount().max()) > 2,
        "no atom has more than two neighbours, so a cap of two cuts nothing. Put three atoms around one",
    )
    kept = {(j, i) for j, i in capped_radius_graph(pos, 2.0, cap=2).T.tolist()}
    expect(
        any((i, j) not in kept for j, i in kept),
        "edges are cut, but each together with its way back. Let a "
        "crowded atom lose a neighbour that is not crowded itself",
    )


@exercise("01.5", "A rotation that the test cannot see", "break it")
def blind_rotation(answer: Any) -> None:
    matrix = read(answer, "give a matrix [3, 3]").to(torch.float64)
    expect(matrix.shape == (3, 3), "give a matrix [3, 3]")
    expect_close(matrix @ matrix.T, torch.eye(3), "R times its transpose is not the identity: this is not a rotation")
    expect(torch.linalg.det(matrix) > 0, "the determinant is -1: this is a mirror image, not a rotation")
    angle = torch.rad2deg(torch.arccos(((matrix.trace() - 1) / 2).clamp(-1, 1)))
    expect(
        angle > 30,
        f"this turns by {float(angle):.1f}° only; a turn by more than 30° is asked for. The "
        "angle of rotation_about is in radians",
    )
    clouds = [_cloud(size, 12.0, size) for size in (50, 60, 70)]
    worst = max(relative_error(along_x(pos @ matrix.T), along_x(pos)) for pos in clouds)
    expect(
        worst < 1e-5,
        f"model B notices this rotation (relative change {worst:.0e}). Which axis can one turn about "
        "without changing any x?",
    )


@exercise("01.6", "Turn a molecule", "implement", points=2)
def turn_by_degrees(function: Any) -> None:
    for size, degrees in ((9, between(7, 20, 85)), (int(between(6, 3, 20)), between(8, -170, -100))):
        _expect_turned(function, _cloud(size, 4.0, size), degrees)


def _expect_turned(function: Any, pos: Tensor, degrees: float) -> None:
    radians = math.radians(degrees)

    def turned(angle: float, axis: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Tensor:
        return pos @ rotation_about(axis, angle).T

    middle = pos.mean(dim=0)
    result, changed = call_watched(function, pos, degrees)
    expect(not changed, "your function changed its input pos in place. Return new positions instead")
    expect_close(
        result,
        turned(radians),
        f"wrong for {degrees:.0f}°. x' = x cos a - y sin a, y' = x sin a + y cos a, and z stays",
        {
            "cos and sin take radians, you gave them degrees: 180° are π": turned(degrees),
            "cos and sin take radians, you gave them degrees: 180° are π. It also turns the other way": turned(
                -degrees
            ),
            "degrees times π/180 are radians; you have the factor upside down": turned(degrees * 180 / math.pi),
            "π are 180°, not 360°": turned(radians / 2),
            "it turns clockwise: one sign is wrong, or the matrix is transposed. For rows, R acts as pos @ R.T": turned(
                -radians
            ),
            "this is a turn about the x axis, which is the axis whose coordinate stays": turned(
                radians, (1.0, 0.0, 0.0)
            ),
            "this is a turn about the y axis, which is the axis whose coordinate stays": turned(
                radians, (0.0, 1.0, 0.0)
            ),
            "the atoms turn about their own centre; they should turn about the z axis of the coordinate system": turned(
                radians
            )
            - turned(radians).mean(dim=0)
            + middle,
            "both signs of sin are the same: this matrix also mirrors": torch.stack(
                [
                    pos[:, 0] * math.cos(radians) + pos[:, 1] * math.sin(radians),
                    pos[:, 0] * math.sin(radians) + pos[:, 1] * math.cos(radians),
                    pos[:, 2],
                ],
                dim=1,
            ),
        },
    )
