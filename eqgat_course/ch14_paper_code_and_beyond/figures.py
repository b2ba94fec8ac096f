"""Figures of notebook 14: paper against code, mirror images, clouds that models confuse, counted and measured costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.pyplot import figure as new_figure
from matplotlib.pyplot import subplots
from mpl_toolkits.mplot3d import Axes3D
from scipy.spatial.transform import Rotation

from eqgat.viz.style import COLOURS, PART_COLOURS, TERM_COLOURS, describe, element_colour
from eqgat_course.ch14_paper_code_and_beyond.study import (
    PARTS,
    multiplications,
    symmetry_of_variants,
    torsion_curve,
)
from eqgat_course.clouds import PAIRS, untrained
from eqgat_course.figures import figure
from eqgat_course.handedness import HandTest, learn_handedness, split_by_protein
from eqgat_course.results import benchmark
from eqgat_course.running_example import running_example

if TYPE_CHECKING:
    import pandas as pd
    from torch_geometric.data import Data

_ATOMS = {1: element_colour("C"), 2: element_colour("N"), 6: element_colour("Cl")}
AZIMUTH = -70  # degrees, of those who look at the clouds


@figure(
    name="audit-symmetry",
    notebook="14",
    data="embedded structure 5pti; untrained model, F_s 16, F_v 8, seed 0",
    trained="nothing",
)
def symmetry_errors(errors: dict[str, dict[str, float]] | None = None) -> Figure:
    errors = symmetry_of_variants() if errors is None else errors
    fig, ax = subplots(figsize=(6.4, 4.6))
    for row, error in enumerate(errors.values()):
        broken = max(error.values()) > 1e-10
        colour = COLOURS["vermilion"] if broken else COLOURS["blue"]
        ax.plot(
            max(error["rotation"], 1e-17), row - 0.13, "o", color=colour, ms=10, label="turned" if row == 0 else None
        )
        ax.plot(
            max(error["permutation"], 1e-17),
            row + 0.13,
            "D",
            color=colour,
            mfc="white",
            mew=2,
            ms=9,
            label="listed anew" if row == 0 else None,
        )
    ax.set(
        xscale="log",
        xlim=(1e-18, 1),
        ylim=(len(errors) - 0.5, -0.5),
        yticks=range(len(errors)),
        yticklabels=list(errors),
        xlabel="change of the prediction (relative)",
    )
    ax.axvspan(1e-18, 1e-14, color="0.93", zorder=0)
    ax.annotate("rounding", (1e-16, len(errors) - 0.75), fontsize=12, ha="center", color="0.35")
    fig.legend(loc="outside upper right", ncol=2)
    out = [f'"{name}"' for name, error in errors.items() if max(error.values()) > 1e-10]
    told = [f"{name} {error['rotation']:.0e} and {error['permutation']:.0e}" for name, error in errors.items()]
    return describe(
        fig,
        "Change of an untrained model's prediction when BPTI is turned (filled) or its atoms are listed in another order "
        "(open), relative to its size; the graph is built anew. Grey: rounding. H: hydrogens; released: as in the code of the "
        f"paper, which caps the number of neighbours. Far out: {' and '.join(out) or 'none'}.",
        f"Dot plot with {len(errors)} rows on a logarithmic axis, change when turned and when listed anew: {'; '.join(told)}.",
    )


@figure(
    name="hand-by-protein",
    notebook="14",
    data="embedded chains: 10 proteins to train on, 15 others to test on",
    trained="three small EQGATs (two layers; no cross product; one layer), seed 0, on residues of 10 of the proteins and "
    "their mirror images",
)
def hand_by_protein(results: dict[str, HandTest] | None = None) -> Figure:
    """``results``: what ``learn_handedness`` returned, by label; trained here if not given (some seconds)."""
    results = train_hands() if results is None else results
    fig, ax = subplots(figsize=(6.4, 3.9))
    looks = {
        "two layers": (TERM_COLOURS["v_cross"], "-", "o"),
        "without cross product": (COLOURS["black"], "--", "s"),
        "one layer": (COLOURS["blue"], ":", "D"),
    }
    for name, result in results.items():
        colour, line, marker = looks[name]
        ax.plot(result.steps, result.accuracy, line, color=colour, marker=marker, mfc="none", mew=2)
        x, y = result.steps[-1], result.accuracy[-1]
        offset = {"two layers": (-4, -20), "without cross product": (10, -4), "one layer": (10, 10)}[name]
        ax.annotate(
            name,
            (x, y),
            xytext=offset,
            textcoords="offset points",
            color=colour,
            ha="right" if name == "two layers" else "left",
        )
    ax.set(xlabel="training step", ylabel="right answers (share)", ylim=(0.35, 1.04))
    ends = "; ".join(f"{name} {result.accuracy[-1]:.2f}" for name, result in results.items())
    return describe(
        fig,
        "Share of right answers about residues and mirror images of proteins that were not trained on. Without cross "
        "products, and with one layer, both images get the same answer: exactly one half, at every step.",
        f"Share of right answers against training step. At the end: {ends}.",
    )


def train_hands() -> dict[str, HandTest]:
    """The three trainings of the notebook."""
    train, test, _ = split_by_protein(10, 15, 4)
    return {
        "two layers": learn_handedness(train, test, "raw", 2, steps=60),
        "without cross product": learn_handedness(train, test, None, 2, steps=20),
        "one layer": learn_handedness(train, test, "raw", 1, steps=20),
    }


@figure(
    name="clouds-by-hand",
    notebook="14",
    data="built by hand; edges 4 Å, cutoff 4.5 Å, one half of a cube turned by 45 degrees",
    trained="nothing",
    caption="Pairs of clouds, all edges 4 Å long. Grey: carbon, blue: nitrogen, olive: chlorine. Which model "
    "tells which pair apart is in the notebook's table.",
    alt="Six panels, each with two clouds of atoms and their edges: one hexagon and two triangles; a flat chain of "
    "four and a twisted one; two chains twisted in opposite senses; squares with equal corners side by side "
    "and opposite; a square and a tetrahedron around a centre; a cube and a cube with its upper half turned "
    "by 45 degrees around a centre.",
)
def clouds() -> Figure:
    names = [name for name in PAIRS if "1.5" not in name]
    fig = new_figure(figsize=(6.4, 6.2))
    fig.set_layout_engine("none")
    for place, name in enumerate(names):
        left, bottom = 0.5 * (place % 2), (2 - place // 2) / 3
        fig.text(left + 0.25, bottom + 0.30, name, ha="center", fontsize=13)
        first, second = PAIRS[name]()
        if "−60" in name:
            second = _as_reflection(first, second)
        for column, data in enumerate((first, second)):
            box = (left + 0.25 * column - 0.01, bottom - 0.005, 0.27, 0.3)
            _draw(fig.add_axes(box, projection="3d"), data, elevation=90 if "ring" in name else 36)
    return fig


def _as_reflection(first: Data, second: Data) -> Data:
    """The second cloud turned to where a mirror beside the first, upright on the page, would show it."""
    across = np.array([-np.sin(np.radians(AZIMUTH)), np.cos(np.radians(AZIMUTH)), 0.0])
    seen, own = ((data.pos - data.pos.mean(dim=0)).double().numpy() for data in (first, second))
    turn, _ = Rotation.align_vectors(seen - 2 * np.outer(seen @ across, across), own)
    turned = second.clone()
    turned.pos = torch.from_numpy(turn.apply(own)).to(second.pos.dtype)
    return turned


def _draw(ax: Axes3D, data: Data, elevation: float) -> None:
    pos = (data.pos - data.pos.mean(dim=0)).numpy().copy()
    if np.abs(pos).max() > 10:  # two rings, moved together: they are 20 Å apart and see nothing of each other
        pos[:, 0] -= np.sign(pos[:, 0]) * 6.4
    for j, i in data.edge_index.T.tolist():
        if j < i:
            ax.plot(*pos[[j, i]].T, color="0.7", lw=2.5, zorder=1, clip_on=False)
    x, y, z = pos.T
    ax.scatter(
        x,
        y,
        z,
        c=[_ATOMS[z] for z in data.z.tolist()],
        s=75,
        edgecolor="black",
        lw=0.8,
        depthshade=False,
        zorder=2,
        clip_on=False,
    )
    reach = 0.88 * np.linalg.norm(pos, axis=1).max()
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    ax.set_box_aspect((1, 1, 1), zoom=1.06)
    ax.set_proj_type("ortho")
    ax.view_init(elev=elevation, azim=-90 if elevation == 90 else AZIMUTH)
    ax.set_axis_off()


@figure(
    name="torsion-seen",
    notebook="14",
    data="chain of four carbons, built by hand, torsions from -180 to 180 degrees; untrained models, seed 1",
    trained="nothing",
    caption="One output of untrained models against the torsion of a chain of four atoms, zero where it is cis. Left: SchNet, "
    "and EQGAT with one layer, see nothing of it. Right: EQGAT with three layers. Without cross products "
    "the curve is the same for φ and −φ, with them it is not.",
    alt="Output against torsion from -180 to 180 degrees. Left: two flat lines, SchNet and EQGAT with one layer. "
    "Right: a symmetric dip for EQGAT without cross product, a lopsided curve for the full EQGAT.",
)
def torsion_seen() -> Figure:
    half = torch.linspace(0, 180, 25)
    angle = np.concatenate([-half.numpy()[::-1], half.numpy()])
    fig, axes = subplots(1, 2, figsize=(6.4, 4.0), sharey=True, sharex=True)
    panels = (
        (("SchNet", 3, COLOURS["green"], "-"), ("EQGAT", 1, COLOURS["blue"], "--")),
        (("EQGAT without cross product", 3, COLOURS["black"], "--"), ("EQGAT", 3, TERM_COLOURS["v_cross"], "-")),
    )
    labels = {
        ("SchNet", 3): "SchNet",
        ("EQGAT", 1): "EQGAT, 1 layer",
        ("EQGAT", 3): "full EQGAT",
        ("EQGAT without cross product", 3): "no cross product",
    }
    for ax, kinds in zip(axes, panels, strict=True):
        for kind, layers, colour, line in kinds:
            even, odd = torsion_curve(untrained(kind, 1, layers), half)
            curve = np.concatenate([(even - odd).numpy()[::-1], (even + odd).numpy()]) * 1e3
            ax.plot(angle, curve, line, color=colour, label=labels[kind, layers], lw=3 if line == "-" else 2.2)
        ax.set(xlabel="torsion φ (°)", xticks=[-180, 0, 180])
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes[0].set_ylabel("output − output at 180° (10⁻³)")
    return fig


@figure(
    name="operations-counted",
    notebook="14",
    data="counted for the graph of embedded structure 5pti; 100 scalar and 16 vector channels, 32 radial functions",
    trained="nothing",
    caption="Multiplications of one layer (100 scalar and 16 vector channels, 32 radial functions) per atom, by part: as printed, and with "
    "the two exact identities. Both give the same numbers.",
)
def operations() -> Figure:
    graph = running_example().graph
    counts = {
        name: multiplications(len(graph.z), graph.edge_index.shape[1], literal=name == "as printed")
        for name in ("as printed", "factored")
    }
    fig, ax = subplots(figsize=(6.4, 3.4))
    told = []
    for row, (name, parts) in enumerate(counts.items()):
        left = 0.0
        shares = ", ".join(f"{part} {100 * parts[part] / sum(parts.values()):.0f} %" for part in PARTS)
        told.append(f"{name}: {sum(parts.values()) / len(graph.z) / 1000:.0f} thousand an atom ({shares})")
        for part, colour in zip(PARTS, PART_COLOURS, strict=False):
            width = parts[part] / len(graph.z) / 1000
            ax.barh(row, width, left=left, color=colour, height=0.55, label=part if row == 0 else None)
            left += width
        ax.annotate(f"{left:.0f}", (left, row), xytext=(5, 0), textcoords="offset points", va="center")
    ax.set(
        yticks=[0, 1],
        yticklabels=list(counts),
        xlabel="multiplications per atom (thousands)",
        xlim=(0, 720),
        ylim=(1.5, -0.5),
    )
    ax.grid(axis="y", visible=False)
    fig.legend(loc="outside lower center", ncol=2)
    of = f"{len(graph.z):,} atoms and {graph.edge_index.shape[1]:,} edges"
    return describe(fig, "", f"Two stacked horizontal bars, for {of}. {'; '.join(told)}.".replace("as", "As", 1))


@figure(
    name="step-time-stored",
    notebook="14",
    data="figures/bench/numbers.csv",
    trained="nothing",
)
def step_time() -> Figure:
    rows = benchmark("models")
    rows = rows[rows["case"] == "Triangle"]
    steps = rows[rows["quantity"] == "training step"].sort_values("value")
    fig, axes = subplots(1, 2, figsize=(6.4, 4.2), sharey=True)
    for ax, quantity, label in (
        (axes[0], "training step", "time of a step (s)"),
        (axes[1], "memory of a step", "memory of a step (MiB)"),
    ):
        values = rows[rows["quantity"] == quantity].set_index("side").loc[steps["side"], "value"]
        colours = [COLOURS["vermilion"] if side.startswith("EQGAT") else COLOURS["sky"] for side in values.index]
        ax.barh(values.index, values, color=colours, height=0.6)
        for y, value in enumerate(values):
            ax.annotate(
                f"{value:.2f}" if value < 10 else f"{value:,.0f}",
                (value, y),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=11,
            )
        ax.set(xscale="log", ylim=(len(values) - 0.5, -0.5), xlabel=label)
        ax.set_xlim(0.5 * min(values), 6 * max(values))
        ax.grid(axis="y", visible=False)
    first, told = steps.iloc[0], []
    for row in steps.itertuples():
        memory = rows[(rows["quantity"] == "memory of a step") & (rows["side"] == row.side)]["value"].iloc[0]
        told.append(f"{row.side} {row.value:.2f} s, {memory:,.0f} MiB")
    return describe(
        fig,
        "A training step on 64 Triangle clouds of 100 points (radius 10, cutoff 10), sizes of the full profile; logarithmic "
        f"axes. Measured on one thread of a CPU ({first['machine']}) at commit {first['commit']}; stored, not measured "
        "now. No network was trained here.",
        alt=f"Bars for the models, sorted by the time of a training step, with its memory: {'; '.join(told)}.",
    )


def draw_time_against_atoms(rows: pd.DataFrame) -> Figure:
    """Lines of the benchmark's part "scale"."""
    fig, axes = subplots(1, 2, figsize=(7.4, 3.6))
    for side, dashes in (("EQGAT", "-"), ("EQGAT readable", "--")):
        for mode, colour in (("forward", COLOURS["blue"]), ("training step", COLOURS["vermilion"])):
            for ax, quantity in zip(axes, (mode, f"memory, {mode}"), strict=True):
                found = rows[(rows["side"] == side) & (rows["quantity"] == quantity)]
                label = f"{mode}, {'in chunks' if side == 'EQGAT' else 'readable layer'}"
                if len(found):
                    ax.plot(found["case"].astype(int), found["value"], dashes, color=colour, marker="o", label=label)
    axes[0].set(xscale="log", xlabel="atoms", ylabel="time per atom (µs)", ylim=(0, None))
    axes[1].set(xlabel="atoms", ylabel="memory (MiB)")
    if axes[1].lines:  # not every system tells the memory
        axes[1].set(xscale="log", yscale="log")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=2)
    return fig


@figure(
    name="time-against-atoms",
    notebook="14",
    data="figures/bench/numbers.csv",
    trained="nothing",
)
def time_against_atoms() -> Figure:
    rows = benchmark("scale")
    fig = draw_time_against_atoms(rows)
    first, told = rows.iloc[0], []
    for side, words in (("EQGAT", "in chunks"), ("EQGAT readable", "readable layer")):
        steps = rows[(rows["side"] == side) & (rows["quantity"] == "training step")].astype({"case": int})
        ends = steps.sort_values("case").iloc[[0, -1]]
        told.append(
            f"{words} " + " and ".join(f"{row.value:.0f} µs with {row.case:,} atoms" for row in ends.itertuples())
        )
    return describe(
        fig,
        "Five layers at full size on one structure, copies of an embedded protein in a row; memory beyond the input. Measured on one thread of a "
        f"CPU ({first['machine']}) at commit {first['commit']}; stored, not measured now. No network was trained here.",
        alt="Lines against the number of atoms. Left: time per atom, of a training step "
        f"{'; '.join(told)}. Right: memory, which grows with the atoms.",
    )
