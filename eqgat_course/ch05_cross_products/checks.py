"""Exercises of notebook 05: the cross-product term, its factored sum, mirror images, a product that is not one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eqgat.layers import sum_over_neighbours
from eqgat.symmetry import random_rotation, rotation_about
from eqgat_course.exercises import call, close, exercise, expect, expect_close, measured, seeded


def _graph(channels: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random v [5, 3, F_v], b [7, F_v] and edges; the last atom has no neighbour."""
    generator = torch.Generator().manual_seed(seeded(seed))
    v = torch.randn(5, 3, channels, generator=generator, dtype=torch.float64)
    source = torch.tensor([1, 2, 0, 3, 0, 1, 2])
    receiver = torch.tensor([0, 0, 1, 1, 2, 3, 3])
    return v, torch.randn(len(source), channels, generator=generator, dtype=torch.float64), source, receiver


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.cross(a, b, dim=1)


@exercise("05.1", "the cross-product term of every edge", "implement", points=2)
def cross_term(answer: Any) -> None:
    crossed = 0
    for channels in (4, 3):
        v, b, source, receiver = _graph(channels, seed=channels)
        result, cost = measured(answer, v.clone(), b.clone(), source, receiver)
        crossed += cost.largest_cross
        central, partner, weight = v[receiver], v[source], b.unsqueeze(1)
        mistakes = {
            "The sign is opposite: Eq. (5) has v_i, of the receiver, first and v_j, of the source, second. "
            "Swapping the factors turns every cross product around.": weight * _cross(partner, central),
            "Only the y component has the wrong sign: it is a_z b_x - a_x b_z.": weight
            * _cross(central, partner)
            * v.new_tensor([1, -1, 1]).view(1, 3, 1),
            "This is v_i x v_j without its weight: multiply by b, with one more axis so that each channel's "
            "coefficient meets all three components.": _cross(central, partner),
            "The cross product of the wrong pair: both factors belong to one atom, and v x v is zero. Eq. (5) pairs "
            "v_i of the receiver with v_j of the source.": torch.zeros_like(central),
            "These products are taken component by component. Eq. (5) has the cross product: its x component is "
            "a_y b_z - a_z b_y.": weight * central * partner,
        }
        if channels == 3:
            mistakes[
                "With F_v = 3 your cross product runs along the channels, not along x, y, z. Say which axis holds "
                "the components: dim=1 of [E, 3, F_v]."
            ] = weight * torch.linalg.cross(central, partner, dim=2)
        expect_close(
            result,
            weight * _cross(central, partner),
            "Not v_ji,2 of Eq. (5). Gather v of the receivers and of the sources, take the cross product "
            "along the axis of x, y, z, then scale each channel by b.",
            mistakes,
        )
    expect(
        crossed == 0,
        "The values are right, but PyTorch's cross product made them. Write the three "
        "components yourself, for all edges at once.",
    )


@exercise("05.2", "the factored sum, mixed", "implement", points=2)
def factored_mean(answer: Any) -> None:
    v, b, source, receiver = _graph(4, seed=11)
    weight = torch.randn(4, 4, generator=torch.Generator().manual_seed(seeded(12)), dtype=torch.float64)
    result, cost = measured(answer, v.clone(), weight.clone(), b.clone(), source, receiver)
    count = torch.bincount(receiver, minlength=len(v)).clamp(min=1).view(-1, 1, 1)

    def mean(partner: Tensor) -> Tensor:
        return sum_over_neighbours(b.unsqueeze(1) * _cross(v[receiver], partner[source]), receiver, len(v)) / count

    mixed, expected = v @ weight, mean(v @ weight)
    weights, partners = sum_over_neighbours(b, receiver, len(v)), sum_over_neighbours(mixed[source], receiver, len(v))
    expect(torch.as_tensor(result).isfinite().all(), "The atom without neighbours has NaN: 0 / 0. Divide by 1 there.")
    expect_close(
        result,
        expected,
        "Not the mean over neighbours of b ⊙ (v_i x v_j W_v). Mix, sum b ⊙ v_j W_v into each receiver, cross "
        "once, divide.",
        {
            "This is the sum. Divide by the number of neighbours.": expected * count,
            "This is Eq. (5) with v_j as it is. Here v_j is mixed first: v_j W_v.": mean(v),
            "v_i stays as it is: only v_j is mixed.": sum_over_neighbours(
                b.unsqueeze(1) * _cross(mixed[receiver], mixed[source]), receiver, len(v)
            )
            / count,
            "W_v is transposed: v W_v multiplies the channels from the right, v @ W_v.": mean(v @ weight.T),
            "The factor b_ji belongs to its own neighbour j: sum the products b_ji ⊙ v_j W_v. The sum of all b "
            "times the sum of all vectors is not the same.": weights.unsqueeze(1) * _cross(v, partners) / count,
            "The sign is opposite: v_i stands first.": -expected,
        },
    )
    expect(
        cost.largest_cross <= v.numel(),
        f"The values are right, but {cost.largest_cross // 3} cross products were taken where {v.numel() // 3} "
        "suffice: one for each atom and channel. Take v_i out of the sum.",
    )


@exercise("05.3", "mirror images and layers", "predict")
def mirror_layers(answer: Any) -> None:
    choice = str(answer).strip().lower()
    expect(choice in "abcd" and len(choice) == 1, 'Answer with one of the letters "a", "b", "c", "d".')
    expect(
        choice != "a",
        "In the first layer v = 0, so v_i x v_j = 0: all vectors that leave it are sums of "
        "directions. Their lengths and angles are the same in the mirror.",
    )
    expect(
        choice != "c",
        "One layer too many. The second layer makes axial vectors, and adds them to polar ones "
        "before its update takes lengths. What does |p + a|² hold besides |p|² and |a|²?",
    )
    expect(
        choice != "d",
        "Each length alone is the same in the mirror, but think of the length of a sum: "
        "|p + a|² = |p|² + 2 p·a + |a|². What does p·a do in the mirror if p is polar and a axial?",
    )


@exercise("05.4", "a product that fools a test", "break it", points=2)
def fooling_product(answer: Any) -> None:
    generator = torch.Generator().manual_seed(seeded(5))
    a, b, other = torch.randn(3, 6, 3, generator=generator, dtype=torch.float64)
    result = torch.as_tensor(call(answer, a.clone(), b.clone()))
    expect(
        result.shape == a.shape,
        "The function gets two arrays of vectors [n, 3] and returns vectors of the same "
        f"shape; yours are {list(result.shape)}.",
    )
    expect(not close(result, torch.zeros_like(a)), "A product that is always zero commutes with every rotation.")

    def error(turn: Tensor) -> float:
        return float((call(answer, a @ turn.T, b @ turn.T) - call(answer, a, b) @ turn.T).abs().max())

    expect(
        close(call(answer, 2 * a + other, b), 2 * result + call(answer, other, b))
        and close(call(answer, a, 2 * b + other), 2 * result + call(answer, a, other)),
        "Your function is not linear in each of its two arguments. A product must be: double a, and it doubles.",
    )
    about_z = max(error(rotation_about((0.0, 0.0, 1.0), angle)) for angle in (0.4, 1.9, 2.8))
    expect(
        about_z < 1e-9,
        "A rotation about z already unmasks your product. Use only what such a rotation leaves in "
        "peace: z components, dot products of the xy parts, the z axis itself.",
    )
    in_plane = call(answer, a * a.new_tensor([1, 1, 0]), b * a.new_tensor([1, 1, 0]))
    expect(
        float(in_plane[:, 2].abs().max()) > 1e-9,
        "For vectors in the xy plane your product has no z component. The planar example must look as if it worked.",
    )
    expect(
        max(error(random_rotation(seed)) for seed in range(3)) > 1e-3,
        "Nothing is broken: your product commutes with every rotation, as a x b does. "
        "Tie it to the z axis of the laboratory.",
    )
