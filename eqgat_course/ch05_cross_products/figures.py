"""Figures of notebook 05: the planar example, polar and axial vectors, and what learns left from right."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from eqgat.symmetry import transform
from eqgat.viz.style import COLOURS, DIVERGING, TERM_COLOURS, describe
from eqgat_course.figures import figure
from eqgat_course.handedness import (
    RING,
    HandTest,
    chiral_centres,
    flat_ring,
    learn_handedness,
    without_cross_product,
)
from eqgat_course.running_example import running_example

_CHANNEL = 0
_GAP = 0.5  # between the mirror and the feet of the arrows
_UNIT = 1e-5  # of the z components, which are small in an untrained model


def _vectors(model, graph) -> np.ndarray:
    """One channel of the vectors after the last layer, [N, 3]."""
    return model.trace(graph)[-1].v[:, :, _CHANNEL].numpy()


@figure(
    name="planar-cross-product",
    notebook="05",
    data="embedded structure 5pti, ring of Phe 22, flattened",
    trained="nothing",
    caption="Vectors after two layers (channel 0, untrained model) on a flattened phenylalanine ring. Arrows: "
    "in-plane part. Colour: component out of the page. Without cross products it is zero; with them it is "
    "not, and in the mirror image it has the opposite sign, as an axial vector must.",
    alt="Three panels of a ring of seven atoms with arrows in the plane: without cross product all atoms are white "
    "(zero z component); with it, atoms left and right have opposite colours; in the mirror image each atom "
    "has the opposite colour.",
)
def planar_vectors(displacement: float = 0.0) -> Figure:
    """``displacement``: how far CD1 is lifted out of the plane, in Å."""
    example = running_example()
    ring = flat_ring(example.structure, displacement=displacement)
    mirrored = transform(ring, torch.diag(torch.tensor([1.0, -1.0, 1.0])))
    panels = [
        ("without\ncross product", without_cross_product(example.model), ring),
        ("with\ncross product", example.model, ring),
        ("with it, mirror\nimage y → −y", example.model, mirrored),
    ]
    vectors = [_vectors(model, graph) for _, model, graph in panels]
    limit = max(float(abs(v[:, 2]).max()) for v in vectors) / _UNIT
    fig, axes = subplots(1, 3, figsize=(6.4, 4.8), sharey=True)
    for ax, (title, _, graph), v in zip(axes, panels, vectors, strict=True):
        dots = _draw_ring(ax, graph.pos.numpy(), v, limit)
        ax.set(xlabel="x (Å)", xlim=(-2.4, 2.4), ylim=(-3.7, 3.7), aspect="equal", xticks=[-2, 0, 2])
        ax.set_title(title, fontsize=12.5)
    axes[0].set_ylabel("y (Å)")
    bar = fig.colorbar(dots, ax=axes, location="bottom", shrink=0.6, aspect=30)
    bar.set_label(f"$v_z$  ($10^{{{int(math.log10(_UNIT))}}}$, no unit)")
    return fig


def _draw_ring(ax: Axes, pos: np.ndarray, v: np.ndarray, limit: float):
    order = [RING.index(name) for name in ("CB", "CG", "CD1", "CE1", "CZ", "CE2", "CD2", "CG")]
    ax.plot(*pos[order, :2].T, color="0.75", lw=3, zorder=1)
    ax.quiver(
        *pos[:, :2].T,
        *v[:, :2].T,
        color=COLOURS["green"],
        angles="xy",
        scale_units="xy",
        zorder=2,
        scale=abs(v[:, :2]).max() / 1.2,
        width=0.02,
    )
    dots = ax.scatter(
        *pos[:, :2].T, c=v[:, 2] / _UNIT, cmap=DIVERGING, vmin=-limit, vmax=limit, s=110, edgecolor="black", zorder=3
    )
    for name, (x, y, _) in zip(RING, pos, strict=True):
        ax.annotate(
            name, (x + (-0.66 if x > 0.5 else 0.66 if x < -0.5 else 0.7), y), ha="center", va="center", fontsize=11
        )
    return dots


@figure(
    name="out-of-plane",
    notebook="05",
    data="embedded structure 5pti, ring of Phe 22, flattened, CD1 lifted",
    trained="nothing",
    caption="Largest z component of the vectors (after two layers, untrained model) when one atom of the flat "
    "ring is lifted by h. Without cross products it vanishes in proportion to h; with them an axial part "
    "remains.",
)
def out_of_plane() -> Figure:
    example = running_example()
    lifts = np.logspace(-6, 0, 37)
    fig, ax = subplots(figsize=(6.4, 4.2))
    told = []
    for label, model, colour, line in (
        ("with cross product", example.model, TERM_COLOURS["v_cross"], "-"),
        ("without", without_cross_product(example.model), COLOURS["black"], "--"),
    ):
        z = [abs(model.trace(flat_ring(example.structure, displacement=h))[-1].v[:, 2]).max() for h in lifts]
        ax.loglog(lifts, z, line, color=colour)
        told.append(f"from {z[-1]:.0e} at {lifts[-1]:g} Å to {z[0]:.0e} at {lifts[0]:.0e} Å")
        ax.annotate(
            label,
            (lifts[0 if line == "-" else 8], z[0 if line == "-" else 8]),
            xytext=(2, 7) if line == "-" else (8, -14),
            textcoords="offset points",
            color=colour,
        )
    ax.set(xlabel="displacement h of one atom (Å)", ylabel="largest $|v_z|$ (no unit)")
    return describe(
        fig,
        "",
        "Log-log plot of the z component against the displacement: without the cross product it falls as a straight line, "
        f"{told[1]}; with it the curve levels off, {told[0]}.",
    )


@figure(
    name="polar-and-axial",
    notebook="05",
    data="two vectors, computed",
    trained="nothing",
    caption="A cross product turns with a rotation (left: both arrows coincide). In a mirror (right) the cross "
    "product of the images a', b' points opposite to the image of a × b: it is an axial vector, "
    "drawn hollow and with a ring.",
    alt="Left: two vectors and their cross product before and after a rotation; the rotated cross product and the "
    "cross product of the rotated vectors are the same arrow. Right: a mirror; the two are opposite.",
)
def polar_and_axial() -> Figure:
    a, b = np.array([-0.25, 0.95, 0.0]), np.array([-0.9, 0.35, 0.0])
    tilt = _rotation(-0.5, "y")
    a, b = tilt @ a, tilt @ b
    fig, axes = subplots(1, 2, figsize=(6.4, 3.9), subplot_kw={"projection": "3d", "computed_zorder": False})
    maps = [
        ("rotation, det Q = +1", _rotation(np.pi, "z") @ _rotation(-0.5, "x")),
        ("mirror x → −x, det Q = −1", np.diag([-1.0, 1.0, 1.0])),
    ]
    for ax, (title, q) in zip(axes, maps, strict=True):
        for start, first, second, prime in (((-_GAP, 0, 0), a, b, ""), ((_GAP, 0, 0), q @ a, q @ b, "'")):
            cross = np.cross(first, second)
            for vector, colour, name in (
                (first, COLOURS["blue"], f"a{prime}"),
                (second, COLOURS["blue"], f"b{prime}"),
                (cross, TERM_COLOURS["v_cross"], f"a{prime} × b{prime}"),
            ):
                ax.quiver(*start, *vector, color=colour, lw=2.5, arrow_length_ratio=0.16)
                tip = np.add(start, 1.2 * vector)
                if name == "a" or (name == "a'" and np.linalg.det(q) < 0):
                    tip[2] += 0.2  # it points away from the reader: above its arrow's head
                if "×" in name:  # axial: hollow and with a ring, as in every other picture
                    ax.quiver(*start, *(0.84 * vector), color="white", lw=1.0, arrow_length_ratio=0, zorder=3)
                    turn = np.linspace(0, 2 * np.pi, 40)[:, None]
                    across = 0.1 * first / np.linalg.norm(first)
                    ring = np.cos(turn) * across + np.sin(turn) * np.cross(vector / np.linalg.norm(vector), across)
                    ax.plot(*(np.add(start, 0.45 * vector) + ring).T, color=colour, lw=1.5, zorder=3)
                ax.text(*tip, name, color=colour, ha="center", va="center", fontsize=12)
        image = q @ np.cross(a, b)
        ax.quiver(_GAP, 0, 0, *image, color=COLOURS["black"], lw=1.4, ls=":", arrow_length_ratio=0.2, zorder=4)
        offset = np.array([0.12, 0, 0.28]) if np.linalg.det(q) > 0 else np.zeros(3)
        ax.text(*(np.array([_GAP, 0, 0]) + 1.25 * image + offset), "Q(a × b)", fontsize=12, ha="center", va="center")
        if np.linalg.det(q) < 0:
            y, z = np.meshgrid([-0.6, 1.1], [-1.0, 1.0])
            ax.plot_surface(0 * y, y, z, color=COLOURS["sky"], alpha=0.18, zorder=0)
        ax.set(xlim=(-1.45, 1.45), ylim=(-1.0, 1.1), zlim=(-1, 1), title=title)
        ax.set_box_aspect((1.2, 1.0, 1.0), zoom=1.35)
        ax.view_init(elev=16, azim=-72)
        ax.set_axis_off()
    return fig


def _rotation(angle: float, axis: str) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array(
        {
            "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


@figure(
    name="learning-handedness",
    notebook="05",
    data="embedded structure 5pti, its chiral centres and their mirror images",
    trained="two EQGATs of two layers, with and without cross products, seed 0, on 32 residues of 5pti and their mirror "
    "images",
)
def learning_handedness(results: dict[str, HandTest] | None = None) -> Figure:
    """``results``: what ``learn_handedness`` returned, by label; trained here if not given (about 10 s)."""
    if results is None:
        graphs = chiral_centres(running_example().structure)
        results = {
            "with cross product": learn_handedness(graphs[:32], graphs[32:], "raw"),
            "without": learn_handedness(graphs[:32], graphs[32:], None),
        }
    fig, (left, right) = subplots(1, 2, figsize=(6.4, 4.0))
    styles = {"with cross product": (TERM_COLOURS["v_cross"], "-", "o"), "without": (COLOURS["black"], "--", "s")}
    for name, result in results.items():
        colour, line, marker = styles[name]
        left.plot(result.history, line, color=colour, label=name)
        as_found, mirrored = result.logits.T.numpy()
        right.plot(as_found, mirrored, marker, color=colour, mfc="none", label=name)
    left.axhline(math.log(2), color=COLOURS["grey"], lw=1, ls=":")
    end = left.get_xlim()[1]
    left.annotate("ln 2: a guess", (end, math.log(2)), (0, -18), textcoords="offset points", ha="right")
    left.set(xlabel="training step", ylabel="loss (nats)")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncol=2)
    reach = 1.1 * max(float(result.logits.abs().max()) for result in results.values())
    right.plot([-reach, reach], [-reach, reach], color=COLOURS["grey"], lw=1)
    right.annotate(
        "same answer\nfor both", (0.5 * reach, 0.5 * reach), rotation=45, ha="center", va="center", fontsize=11
    )
    right.set(
        xlabel="output for residue (logit)",
        ylabel="output for mirror image",
        xlim=(-reach, reach),
        ylim=(-reach, reach),
        aspect="equal",
    )
    ends = "; ".join(f"{name} {result.history[-1]:.2f}" for name, result in results.items())
    return describe(
        fig,
        "Two-layer models (seed 0) trained to tell the chiral centres of 5PTI (32 residues) from their mirror images. "
        f"Left: training loss; without cross products it stays at ln 2, the loss of a guess. At the end: {ends}. Right: "
        "outputs for the other residues; without cross products residue and mirror image get the same number.",
        f"Left: loss against training step; it ends at: {ends}. Right: output for the mirror image against output for "
        "the residue; without cross product on the diagonal, with it in the corner of right answers.",
    )
