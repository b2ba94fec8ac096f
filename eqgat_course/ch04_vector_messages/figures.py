"""Figures of notebook 04: direction terms at one atom, what the mean of directions says, what breaks under rotation."""

from __future__ import annotations

import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import spearmanr
from torch import Tensor

from eqgat.graph import edge_geometry
from eqgat.layers import sum_over_neighbours
from eqgat.symmetry import rotation_about
from eqgat.viz.parts import Camera
from eqgat.viz.style import COLOURS, SIGN_COLOURS, describe
from eqgat_course.figures import SMALL, figure
from eqgat_course.running_example import running_example

STRUCTURE = "embedded structure 5pti"
Z_AXIS = (0.0, 0.0, 1.0)
ATOM_MARKERS = {"C": "o", "N": "^", "O": "s", "S": "D"}


@figure(
    name="direction-term-of-one-atom",
    notebook="04",
    data=f"{STRUCTURE}, neighbourhood of Phe22 CA; untrained model, layer 1, F_v 4, seed 0",
    trained="nothing",
    caption="The direction term of Phe22 CA in layer 1, its four vector channels. Every neighbour adds an arrow "
    "along the line to the centre: red towards it (b > 0), blue away from it (b < 0), longer for larger "
    "|b|. The directions are the same in all four pictures; the coefficients are not. Black: the mean, ten "
    "times enlarged.",
)
def direction_term_of_one_atom() -> Figure:
    example = running_example()
    trace = example.model.trace(example.graph)[0]
    pos = example.graph.pos.numpy()
    rows = example.neighbours.numpy()
    camera = Camera.facing(pos[rows]).rotation()
    place = (pos - pos[example.centre]) @ camera.T  # Å; x and y lie in the page, z points to the reader
    terms = np.einsum("xy,eyc->exc", camera, trace.v_direction[example.incoming].numpy())
    b = trace.b_direction[example.incoming].numpy()
    near = [(i, j) for i, j in example.structure.bonds() if {i, j} <= {*rows.tolist(), example.centre}]
    fig, axes = plt.subplots(2, 2, figsize=(6.4, 7.2), sharex=True, sharey=True)
    scale, enlarge = 12.0, 10.0  # Å an arrow of |b| = 1 would be long
    for channel, ax in enumerate(axes.flat):
        for i, j in near:
            ax.plot(*place[[i, j], :2].T, color="#C8C8C8", linewidth=2, zorder=1)
        for row in [*rows, example.centre]:  # not in their colours: red and blue are the signs of b here
            marker = ATOM_MARKERS[example.structure.atoms["element"].iloc[row]]
            ax.scatter(*place[row, :2], s=30, marker=marker, color="#777777", linewidth=0, zorder=2)
        colours = np.where(b[:, channel] > 0, SIGN_COLOURS["plus"], SIGN_COLOURS["minus"])
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "zorder": 3}
        ax.quiver(*place[rows, :2].T, *(scale * terms[:, :2, channel]).T, color=colours, width=0.011, **arrows)
        mean = scale * enlarge * terms[:, :2, channel].mean(axis=0)
        ax.quiver(0, 0, *mean, color=COLOURS["black"], width=0.02, **arrows)
        ax.set(title=f"channel {channel}", aspect="equal", xlim=(-6, 5.5), ylim=(-5, 6))
        ax.grid(False)
    for ax in axes[1]:
        ax.set_xlabel("x in the page (Å)")
    for ax in axes[:, 0]:
        ax.set_ylabel("y in the page (Å)")
    fig.get_layout_engine().set(h_pad=0.09)
    key = [
        Line2D([], [], color=colour, marker=">", markersize=9, markevery=[1], label=label)
        for colour, label in (
            (SIGN_COLOURS["plus"], "towards i, b > 0"),
            (SIGN_COLOURS["minus"], "away from i, b < 0"),
            (COLOURS["black"], "mean × 10"),
        )
    ]
    key += [
        Line2D([], [], color="#777777", linestyle="", marker=marker, markersize=6, label=element)
        for element, marker in ATOM_MARKERS.items()
    ]
    fig.legend(handles=key, loc="outside upper center", ncols=3, fontsize=SMALL, handlelength=1.6, columnspacing=1.2)
    return describe(
        fig,
        "",
        f"Four pictures of {len(rows)} atoms around one carbon. Each neighbour has an arrow along its line to the centre, "
        "whose sign and length differ from channel to channel; so do the four mean arrows at the centre.",
    )


@figure(
    name="mean-direction-and-burial",
    notebook="04",
    data=f"{STRUCTURE}, all atoms, cutoff 4.5 Å; no model",
    trained="nothing",
    caption="Length of the sum (left) and of the mean (right) of the unit vectors p_ji,n of each atom of BPTI, "
    "against its number of neighbours. Buried atoms have neighbours all around, and their directions "
    "cancel. The mean of unit vectors is at most as long as each of them. Black: Phe22 CA.",
)
def mean_direction_and_burial() -> Figure:
    example = running_example()
    edges = example.graph.edge_index
    _, direction = edge_geometry(example.graph.pos, edges)
    total = sum_over_neighbours(direction, edges[1], example.graph.num_nodes).norm(dim=1)
    count = torch.bincount(edges[1], minlength=example.graph.num_nodes)
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.6), sharex=True)
    for ax, length, title in ((axes[0], total, "sum"), (axes[1], total / count, "mean (Eq. 6)")):
        ax.scatter(count, length, s=14, color=COLOURS["blue"], alpha=0.45, linewidth=0)
        ax.scatter(
            count[example.centre],
            length[example.centre],
            s=80,
            color=COLOURS["black"],
            zorder=3,
        )
        ax.set(title=title, xlabel="number of neighbours", ylim=(0, None))
    axes[0].set_ylabel("length of the vector")
    mean = total / count
    few, many = int(count.min()), int(count.max())
    by_sum, by_mean = (spearmanr(count, length)[0] for length in (total, mean))
    return describe(
        fig,
        "",
        f"Two scatter plots of {len(count)} atoms. The mean is about {mean[count == few].mean():.1f} long with {few} "
        f"neighbours, the fewest, and {mean[count == many].mean():.1f} with {many}, the most; the sum reaches "
        f"{total.max():.1f}. Rank correlation with the number of neighbours: {by_sum:.2f} for the sum, {by_mean:.2f} for "
        "the mean.",
    )


def relu_both_ways(vector: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """R relu(v) and relu(R v) for a turn about z by ``angle`` in radians."""
    turn = rotation_about(Z_AXIS, angle)
    return turn @ vector.clamp(min=0), (turn @ vector).clamp(min=0)


@figure(
    name="relu-on-a-vector",
    notebook="04",
    data="computed; one vector in the xy-plane",
    trained="nothing",
    caption="A component-wise ReLU on a vector. Left: first ReLU, then turn (blue), and first turn, then ReLU "
    "(orange), give different arrows. Right: the difference, as a share of the length of the vector, for "
    "all angles.",
)
def relu_on_a_vector(angle: float = 150.0) -> Figure:
    """``angle`` in degrees."""
    v = torch.tensor([0.8, -0.6, 0.0], dtype=torch.float64)
    first, last = relu_both_ways(v, math.radians(angle))
    degrees = np.arange(0, 361, 2)
    errors = [float((a - b).norm()) for a, b in (relu_both_ways(v, math.radians(d)) for d in degrees.tolist())]
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.6))
    arrows = {"angles": "xy", "scale_units": "xy", "scale": 1}
    turned = rotation_about(Z_AXIS, math.radians(angle)) @ v
    left.quiver(0, 0, *v[:2], color="#BBBBBB", width=0.015, label="v", **arrows)
    left.quiver(0, 0, *turned[:2], color=COLOURS["grey"], width=0.015, label="R v", **arrows)
    left.quiver(0, 0, *first[:2], color=COLOURS["blue"], width=0.022, label="R relu(v)", **arrows)
    left.quiver(0, 0, *last[:2], color=COLOURS["vermilion"], width=0.022, label="relu(R v)", **arrows)
    left.set(
        xlim=(-1.15, 1.15),
        ylim=(-1.15, 1.15),
        aspect="equal",
        xlabel="x",
        ylabel="y",
        xticks=[-1, 0, 1],
        yticks=[-1, 0, 1],
    )
    fig.legend(loc="outside lower center", ncols=4, fontsize=SMALL, handlelength=1.2)
    right.plot(degrees, errors, color=COLOURS["black"])
    right.plot(angle, float((first - last).norm()), "o", color=COLOURS["vermilion"], markersize=10)
    right.annotate(
        f"{angle:.0f}°",
        (angle, float((first - last).norm())),
        (-12, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=SMALL,
    )
    right.set(xlabel="angle (degrees)", ylabel="difference / |v|", ylim=(-0.03, None), xticks=[0, 90, 180, 270, 360])
    return describe(
        fig,
        "",
        f"Left: two different arrows from the origin, for a turn by {angle:g} degrees. Right: the difference is "
        f"{errors[0]:.2f} without a turn and largest at {degrees[np.argmax(errors)]} degrees, {max(errors):.2f} times "
        "the length of the vector.",
    )


def vector_operations(v: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """Name -> function of vector features [N, 3, F_v]: one that commutes with rotations, and four that do not."""
    generator = torch.Generator().manual_seed(0)
    channels = torch.randn(v.shape[2], v.shape[2], generator=generator, dtype=v.dtype)
    components = torch.randn(3, 3, generator=generator, dtype=v.dtype)
    return {
        "mixing channels, v W": lambda x: x @ channels,
        "mixing components, W v": lambda x: components @ x,
        "bias, v + c": lambda x: x + 0.5,
        "component-wise ReLU": lambda x: x.clamp(min=0),
        "scaling each component": lambda x: x / x.square().mean(dim=(0, 2), keepdim=True).sqrt(),
    }


@figure(
    name="broken-vector-operations",
    notebook="04",
    data=f"{STRUCTURE}, vectors after layer 1 of the untrained model, scaled so that x, y and z differ in size",
    trained="nothing",
    caption="Relative error of f(R v) = R f(v) for five operations on vector features, against the angle of a "
    "turn about z. Mixing channels is exact at every angle. The others fail; one of them passes at "
    "every quarter turn.",
)
def broken_vector_operations() -> Figure:
    example = running_example()
    v = example.model.trace(example.graph)[0].v
    v = v / v.square().mean().sqrt() * torch.tensor([[1.5], [1.0], [0.5]], dtype=v.dtype)
    degrees = np.arange(0, 361, 3)
    turns = [rotation_about(Z_AXIS, math.radians(d)) for d in degrees.tolist()]
    fig, ax = plt.subplots(figsize=(6.4, 4.6))
    colours, told = ("black", "grey", "sky", "vermilion", "blue"), []
    for (name, f), colour in zip(vector_operations(v).items(), colours, strict=True):
        errors = [float((f(turn @ v) - turn @ f(v)).norm() / f(v).norm()) for turn in turns]
        ax.plot(degrees, errors, color=COLOURS[colour], label=name)
        exact = [int(d) for d, error in zip(degrees, errors, strict=True) if error < 1e-9]
        where = "all angles" if len(exact) == len(degrees) else f"{', '.join(map(str, exact))} degrees"
        worst = "" if len(exact) == len(degrees) else f", largest at {degrees[np.argmax(errors)]}: {max(errors):.2f}"
        told.append(f"{name}: zero at {where}{worst}")
    ax.set(xlabel="angle of the turn about z (degrees)", ylabel="relative error", xticks=[0, 90, 180, 270, 360])
    fig.legend(loc="outside upper center", ncols=2, fontsize=SMALL)
    return describe(fig, "", f"Five curves of the error against the angle. {'; '.join(told)}.")
