"""Figures of notebook 01: the radius graph, batches, random rotations, and who fails which symmetry test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from eqgat.datasets import embedded_structure
from eqgat.graph import radius_graph
from eqgat.molecule import ELEMENTS
from eqgat.symmetry import random_rotation
from eqgat.viz.style import COLOURS, describe, element_colour
from eqgat_course.ch01_geometric_graphs.study import TOY_MODELS, euler_rotation, symmetry_errors
from eqgat_course.figures import figure
from eqgat_course.running_example import RunningExample, running_example

CAP = 32
PASSED = 1e-9  # relative error of a symmetry that holds, far above rounding and far below any real failure


@cache
def _example() -> RunningExample:
    return running_example()


@figure(name="radius-graph", notebook="01", data="embedded structure 5pti", trained="nothing")
def neighbourhoods(cutoffs: Sequence[float] = (3.0, 4.5, 6.0)) -> Figure:
    """The central atom of the running example and its neighbours within each cutoff (Å)."""
    example = _example()
    graph, i = example.graph, example.centre
    relative = (graph.pos - graph.pos[i]).numpy()
    distance = np.linalg.norm(relative, axis=1)
    shown = np.flatnonzero((distance > 0) & (distance < 6.5))
    plane = np.linalg.svd(relative[shown] - relative[shown].mean(0))[2][:2]
    flat = relative[shown] @ plane.T
    # The angle is that of the picture's plane, the radius the true distance: the circle is the sphere of radius c.
    flat *= (distance[shown] / np.linalg.norm(flat, axis=1))[:, None]
    symbols = {index: symbol for symbol, index in ELEMENTS.items()}
    elements = [symbols.get(int(index), "other") for index in graph.z[torch.from_numpy(shown)]]

    fig, axes = plt.subplots(1, len(cutoffs), figsize=(6.4, 3.5) if len(cutoffs) > 1 else (4.6, 4.6), squeeze=False)
    counts = []
    for ax, cutoff in zip(axes[0], cutoffs, strict=True):
        near = distance[shown] < cutoff
        counts.append(int(near.sum()))
        ax.add_patch(plt.Circle((0, 0), cutoff, facecolor="#EAF3FA", edgecolor=COLOURS["blue"], linewidth=1.5))
        for point in flat[near]:
            ax.plot(*zip(point, (0, 0), strict=True), color=COLOURS["grey"], linewidth=1.0, zorder=1.5)
        for symbol in sorted(set(elements)):
            rows = np.array([element == symbol for element in elements])
            for mask, alpha, edge in ((rows & near, 1.0, "black"), (rows & ~near, 0.25, "none")):
                ax.scatter(
                    *flat[mask].T,
                    s=46,
                    color=element_colour(symbol),
                    alpha=alpha,
                    edgecolor=edge,
                    linewidth=0.6,
                    zorder=2,
                    label=symbol if alpha == 1 else None,
                )
        ax.scatter(0, 0, s=190, color="white", edgecolor="black", linewidth=1.5, zorder=3)
        ax.text(0, -0.1, "i", ha="center", va="center", zorder=4, style="italic")
        ax.set(
            xlim=(-6.7, 6.7),
            ylim=(-6.7, 6.7),
            aspect="equal",
            xticks=[-5, 0, 5],
            yticks=[-5, 0, 5],
            title=f"c = {cutoff:.1f} Å\n{counts[-1]} neighbours",
            xlabel="Å",
        )
        ax.grid(False)
    for ax in axes[0][1:]:
        ax.set_yticklabels([])
    axes[0][0].set_ylabel("Å")
    handles, labels = axes[0][-1].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels), handletextpad=0.1)
    numbers = ", ".join(f"{n} at {c:g} Å" for n, c in zip(counts, cutoffs, strict=True))
    return describe(
        fig,
        f"Neighbours of {example.label(i)} in 5pti: {numbers}. A dot's distance from the centre is its "
        "true distance in space, its angle is the angle seen from the front. Inside the circle is "
        "inside the sphere of radius c.",
    )


@figure(
    name="neighbours-and-cutoff", notebook="01", data="embedded structure 5pti, without hydrogens", trained="nothing"
)
def neighbours_and_cutoff() -> Figure:
    """Neighbours per atom, and the share of atoms that a cap of 32 would cut, against the cutoff."""
    pos = _example().graph.pos
    cutoffs = np.arange(2.0, 8.01, 0.25)
    degrees = np.stack([radius_graph(pos, float(c))[1].bincount(minlength=len(pos)).numpy() for c in cutoffs])
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2))
    left.plot(cutoffs, degrees.max(axis=1), color=COLOURS["vermilion"])
    left.plot(cutoffs, degrees.mean(axis=1), color=COLOURS["blue"])
    left.axhline(CAP, color=COLOURS["black"], linestyle="--", linewidth=1.2)
    left.text(2.0, CAP + 3, "cap of 32", fontsize=12)
    left.text(6.9, degrees.max(axis=1)[20] + 3, "largest", color=COLOURS["vermilion"], ha="right")
    left.text(7.8, 14, "mean", color=COLOURS["blue"], ha="right")
    left.set(xlabel="cutoff c (Å)", ylabel="neighbours per atom", ylim=(0, None))
    right.plot(cutoffs, 100 * (degrees > CAP).mean(axis=1), color=COLOURS["black"])
    right.set(xlabel="cutoff c (Å)", ylabel="atoms above the cap (%)", ylim=(-3, 103))
    for ax in (left, right):
        ax.axvline(4.5, color=COLOURS["grey"], linewidth=1.2, linestyle=":")
        ax.set_xticks([2, 4.5, 6, 8])
    fig.get_layout_engine().set(wspace=0.12)
    return describe(
        fig,
        "Neighbours per atom in 5pti grow nearly as fast as the volume of the sphere. At the "
        "paper's 4.5 Å (dotted) no heavy atom has more than 32; at 6 Å most have.",
    )


@figure(name="batch-edges", notebook="01", data="embedded structures 5pti and 1k5i_md", trained="nothing")
def batch_edges() -> Figure:
    """The edges of a batch of two molecules, as a matrix: two blocks, nothing between them."""
    graphs = [embedded_structure(name).graph(cutoff=4.5) for name in ("5pti", "1k5i_md")]
    sizes = [graph.num_nodes for graph in graphs]
    fig, ax = plt.subplots(figsize=(4.6, 4.3))
    starts, names = [0, sizes[0]], ["protein", "RNA"]
    for start, graph, name, colour in zip(starts, graphs, names, (COLOURS["blue"], COLOURS["vermilion"]), strict=True):
        source, receiver = graph.edge_index.numpy() + start
        ax.scatter(source, receiver, s=0.6, color=colour, linewidths=0, rasterized=True)
        ax.text(
            start + graph.num_nodes * 0.5,
            start + graph.num_nodes * 0.12,
            name,
            color=colour,
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    for line in (ax.axhline, ax.axvline):
        line(sizes[0], color=COLOURS["grey"], linewidth=1.0)
    for x, y in ((0.74, 0.76), (0.25, 0.24)):
        ax.text(x, y, "no edges", transform=ax.transAxes, color=COLOURS["grey"], ha="center")
    total = sum(sizes)
    ax.set(
        xlim=(0, total),
        ylim=(total, 0),
        aspect="equal",
        xlabel="source j (row in the batch)",
        ylabel="receiver i (row in the batch)",
    )
    ax.grid(False)
    return describe(
        fig,
        f"One dot per edge: a protein ({sizes[0]} atoms) and an RNA ({sizes[1]} atoms) in one batch. "
        "No edge joins the two, so both are computed at once without seeing each other.",
    )


@figure(name="random-rotations", notebook="01", data="computed, 4,000 rotations each", trained="nothing")
def random_rotations(number: int = 4000) -> Figure:
    """Where three recipes for a random rotation send the z axis; uniform rotations give a flat line."""
    draws = torch.rand(2, number, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = torch.tensor([2 * math.pi, math.pi, 2 * math.pi], dtype=torch.float64)
    heights = {
        "rot(*rand(3))": (euler_rotation(*draws[0].T)[:, 2, 2], COLOURS["vermilion"]),
        "uniform Euler angles": (euler_rotation(*(draws[1] * scale).T)[:, 2, 2], COLOURS["orange"]),
        "uniform (Haar)": (torch.stack([random_rotation(seed) for seed in range(number)])[:, 2, 2], COLOURS["blue"]),
    }
    fig, ax = plt.subplots(figsize=(6.4, 3.4))
    for name, (height, colour) in heights.items():
        density, edges = np.histogram(height.numpy(), bins=20, range=(-1, 1), density=True)
        ax.stairs(density, edges, baseline=None, color=colour, linewidth=2.4, label=name)
    ax.axhline(0.5, color=COLOURS["black"], linestyle="--", linewidth=1.0)
    ax.set(xlabel="z component of the rotated z axis, R e$_z$", ylabel="density", xlim=(-1, 1))
    ax.legend(loc="upper left")
    return describe(
        fig,
        "Uniform rotations send the z axis to every height equally often (dashed: 0.5). Three angles "
        "between 0 and 1 rad never tip it by more than 57°; uniform Euler angles favour the poles.",
    )


@figure(name="symmetry-tests", notebook="01", data="embedded structure 5pti", trained="nothing")
def symmetry_tests() -> Figure:
    """Which of six small models pass which symmetry test, with the relative errors measured."""
    pos = _example().graph.pos
    errors = {name: symmetry_errors(model, pos) for name, model in TOY_MODELS.items()}
    columns = list(next(iter(errors.values())))
    passed = np.array([[row[column] < PASSED for column in columns] for row in errors.values()])
    fig, ax = plt.subplots(figsize=(6.4, 3.9))
    ax.imshow(np.where(passed[..., None], (0.80, 0.90, 0.96), (0.97, 0.80, 0.70)), aspect="auto")
    for y, row in enumerate(errors.values()):
        for x, column in enumerate(columns):
            text = "✓" if passed[y, x] else f"✗ {row[column]:.0e}".replace("e-0", "e-").replace("e+00", "")
            ax.text(x, y, text, ha="center", va="center")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(errors)), list(errors))
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.spines[:].set_visible(False)
    ax.grid(False)
    ax.set_xticks(np.arange(0.5, len(columns) - 1), minor=True)
    ax.set_yticks(np.arange(0.5, len(errors) - 1), minor=True)
    ax.tick_params(which="minor", length=0)
    ax.grid(which="minor", color="white", linewidth=2)
    return describe(
        fig,
        "Six small models on 5pti and the relative change of their output under four transformations. "
        "A tick: below 1e-9, which is rounding. Only F passes every test; E tells mirror images apart.",
    )
