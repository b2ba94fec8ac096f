"""Exercises of notebook 05: the cross-product term, its factored sum, mirror images, a product that is not one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eqgat.layers import sum_over_neighbours
from eqgat.symmetry import random_rotation, rotation_about
from eqgat_course.exercises import (
    between,
    call,
    close,
    exercise,
    expect,
    expect_choice,
    expect_close,
    gaussian,
    measured,
    read,
    seeded,
    some_edges,
)


def _graph(nodes: int, channels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random v [N, 3, F_v], b [E, F_v] and edges: sources and receivers."""
    source, receiver = some_edges(channels, nodes)
    v, b = gaussian(channels, (nodes, 3, channels), (len(source), channels))
    return v, b, source, receiver


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.cross(a, b, dim=1)


@exercise("05.1", "The cross-product term", "implement", points=2)
def cross_term(answer: Any) -> None:
    costs, numbers = [], []
    for nodes, channels in ((int(between(51, 5, 7)), 4), (int(between(52, 9, 12)), 3)):
        v, b, source, receiver = _graph(nodes, channels)
        result, cost = measured(answer, v, b, source, receiver)
        costs.append(cost)
        numbers.append(len(source))
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
        not any(cost.crossed for cost in costs),
        "The values are right, but PyTorch's cross product made them. Write the three "
        "components yourself, for all edges at once.",
    )
    expect(
        all(cost.outside == 0 and cost.products > 0 for cost in costs),
        "The values are right, but they are not made by operations of PyTorch on v: numbers leave it (numpy, tolist, "
        "float), or another process computes them. Write the three components with tensors.",
    )
    more = costs[1].operations - costs[0].operations
    expect(
        more < numbers[1] - numbers[0],
        f"The values are right, but they take {more} operations more for {numbers[1]} edges than for {numbers[0]}: that is "
        "a loop over the edges. Write the three components for all edges at once.",
    )


@exercise("05.2", "The factored sum, mixed", "implement", points=2)
def factored_mean(answer: Any) -> None:
    nodes, channels = int(between(53, 10, 13)), int(between(54, 4, 7))
    # Each atom hears all others, but for the last, which hears none: many more edges than atoms.
    receiver, source = torch.cartesian_prod(torch.arange(nodes - 1), torch.arange(nodes)).T
    receiver, source = receiver[source != receiver], source[source != receiver]
    v, b, weight = gaussian(11, (nodes, 3, channels), (len(source), channels), (channels, channels))
    result, cost = measured(answer, v, weight, b, source, receiver)
    count = torch.bincount(receiver, minlength=len(v)).clamp(min=1).view(-1, 1, 1)

    def mean(partner: Tensor) -> Tensor:
        return sum_over_neighbours(b.unsqueeze(1) * _cross(v[receiver], partner[source]), receiver, len(v)) / count

    mixed, expected = v @ weight, mean(v @ weight)
    weights, partners = sum_over_neighbours(b, receiver, len(v)), sum_over_neighbours(mixed[source], receiver, len(v))
    expect(read(result).isfinite().all(), "The atom without neighbours has NaN: 0 / 0. Divide by 1 there.")
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
        cost.outside == 0 and cost.products > 0,
        "The values are right, but part of the work is done where it cannot be counted: numbers leave PyTorch (numpy, "
        "tolist, float) or another process computes them. Compute with tensors.",
    )
    suffice = 2 * v.numel()  # each component of a cross product is a difference of two products
    expect(
        cost.products
        < 3 * suffice,  # other ways to write it, with all nine products of components, need up to 1.5 times
        f"The values are right, but {cost.products} times a component of one vector is multiplied with one of another, "
        f"where {suffice} times suffice, for one cross product an atom and channel: yours are taken for each edge, or pair "
        "of atoms. Take v_i out of the sum.",
    )


@exercise("05.3", "How many layers tell mirror images apart", "predict")
def mirror_layers(answer: Any) -> None:
    expect_choice(
        answer,
        "b",
        {
            "a": "In the first layer v = 0, so v_i x v_j = 0: all vectors that leave it are sums of directions. Their "
            "lengths and angles are the same in the mirror.",
            "c": "One layer too many. The second layer makes axial vectors, and adds them to polar ones before its update "
            "takes lengths. What does |p + a|² hold besides |p|² and |a|²?",
            "d": "Each length alone is the same in the mirror, but think of the length of a sum: "
            "|p + a|² = |p|² + 2 p·a + |a|². What does p·a do in the mirror if p is polar and a axial?",
        },
    )


@exercise("05.4", "A product that fools a test", "break it", points=2)
def fooling_product(answer: Any) -> None:
    size = int(between(55, 6, 12))
    a, b, other = gaussian(5, (size, 3), (size, 3), (size, 3))

    def product(first: Tensor, second: Tensor) -> Tensor:
        return read(call(answer, first, second)).to(torch.float64)

    result = product(a, b)
    expect(
        result.shape == a.shape,
        "The function gets two arrays of vectors [n, 3] and returns vectors of the same "
        f"shape; yours are {list(result.shape)}.",
    )
    expect(result.isfinite().all(), "Some of the results are NaN or infinite.")
    expect(not close(result, torch.zeros_like(a)), "A product that is always zero commutes with every rotation.")

    def passes(turn: Tensor) -> bool:
        return close(product(a @ turn.T, b @ turn.T), result @ turn.T, rtol=1e-4)

    factor = between(56, 1.5, 3.0)
    expect(
        close(product(factor * a + other, b), factor * result + product(other, b), rtol=1e-4)
        and close(product(a, factor * b + other), factor * result + product(a, other), rtol=1e-4),
        "Your function is not linear in each of its two arguments. A product must be: double a, and it doubles.",
    )
    expect(
        all(passes(rotation_about((0.0, 0.0, 1.0), between(seed, 0.3, 6.0))) for seed in (57, 58, 59)),
        "A rotation about z already unmasks your product. Use only what such a rotation leaves in "
        "peace: z components, dot products of the xy parts, the z axis itself.",
    )
    flat = a.new_tensor([1, 1, 0])
    in_plane = product(a * flat, b * flat)
    expect(
        not close(in_plane[:, 2], torch.zeros(size)),
        "For vectors in the xy plane your product has no z component. The planar example must look as if it worked.",
    )
    expect(
        not all(passes(random_rotation(seeded(seed))) for seed in range(3)),
        "Nothing is broken: your product commutes with every rotation, as a x b does. "
        "Tie it to the z axis of the laboratory.",
    )
