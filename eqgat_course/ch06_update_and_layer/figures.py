"""Figures of notebook 06: gates against component-wise functions, a norm that depends on orientation, parameters."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.pyplot import subplots
from torch import Tensor

from eqgat import EQGAT
from eqgat.layers import EquivariantNorm
from eqgat.saving import seeded
from eqgat.symmetry import rotation_about, transform
from eqgat.viz.style import COLOURS, KIND_FILLS, PART_COLOURS, TERM_COLOURS, describe
from eqgat_course.ch06_update_and_layer.study import PUBLISHED, parameter_terms
from eqgat_course.controls import ReleasedNorm, with_released_norm
from eqgat_course.figures import figure
from eqgat_course.running_example import running_example

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


@figure(
    name="whole-layer",
    notebook="06",
    data="drawn",
    trained="nothing",
    caption="One EQGAT layer, after Fig. 1b of the paper. Scalars on the left, vectors on the right; the only "
    "ways from one side to the other are products with an invariant coefficient, and lengths.",
    alt="Flow diagram: states s and v enter; the edge filter makes attention and coefficients; messages are added "
    "to the states; the gated update takes lengths of vectors to the scalars and a gate to the vectors.",
)
def whole_layer() -> Figure:
    fig, ax = subplots(figsize=(6.4, 6.8))
    scalar, vector, both = KIND_FILLS["scalar"], KIND_FILLS["vector"], "#EEEEEE"
    boxes = {
        "s": (2, 9.3, "$s_i, s_j$   invariant", scalar),
        "v": (7.6, 9.3, "$v_i, v_j$   equivariant", vector),
        "f": (2, 7.8, "edge filter (Eq. 1)\n$f_{ji} = [a_{ji}, b_{ji}]$", scalar),
        "ms": (2, 6.0, "softmax, scalar message\n$m_{i,s}$ (Eq. 2)", scalar),
        "mv": (7.6, 6.0, "directions, mixing, cross\nproduct: $m_{i,v}$ (Eqs. 3–6)", vector),
        "ts": (2, 4.4, "residual  $\\tilde s = s + m_s$", scalar),
        "tv": (7.6, 4.4, "residual  $\\tilde v = v + m_v$", vector),
        "mlp": (2, 2.6, "MLP of $[\\tilde s \\,\\Vert\\, |u|]$\n→ $\\Delta s$, gate $g$", scalar),
        "uw": (7.6, 2.6, "$[u \\Vert w] = \\tilde v W_0$\n$\\Delta v = (g\\odot w)W_1$", vector),
        "so": (2, 0.9, "next $s_i = \\tilde s + \\Delta s$", scalar),
        "vo": (7.6, 0.9, "next $v_i = \\tilde v + \\Delta v$", vector),
        "g": (4.58, 9.3, "$d_{ji}$\n$p_{ji,n}$", both),
    }
    for x, y, text, colour in boxes.values():
        width = 0.9 if colour == both else 3.5 if x < 5 else 4.3
        ax.add_patch(
            FancyBboxPatch((x - width / 2, y - 0.5), width, 1.0, boxstyle="round,pad=0.04", fc=colour, ec="0.5")
        )
        ax.text(x, y, text, ha="center", va="center", fontsize=12)
    ways = [
        ("s", "f"),
        ("f", "ms"),
        ("v", "mv"),
        ("ms", "ts"),
        ("mv", "tv"),
        ("ts", "mlp"),
        ("tv", "uw"),
        ("mlp", "so"),
        ("uw", "vo"),
    ]
    for upper, lower in ways:
        (x, y, *_), (_, bottom, *_) = boxes[upper], boxes[lower]
        _arrow(ax, (x, y - 0.55), (x, bottom + 0.55))
    _arrow(ax, (4.4, 8.75), (3.8, 8.1))
    _arrow(ax, (4.8, 8.75), (6.2, 6.55))
    for begin, finish, text, where in (
        ((3.8, 7.6), (5.4, 6.4), "coefficients\n$b_{ji}$", (4.55, 6.2)),
        ((5.4, 2.9), (3.8, 2.9), "lengths $|u|$", (4.6, 3.15)),
        ((3.8, 2.3), (5.4, 2.3), "gate $g$", (4.6, 2.0)),
    ):
        _arrow(ax, begin, finish, COLOURS["blue"])
        ax.text(*where, text, ha="center", va="center", fontsize=11, color=COLOURS["blue"])
    ax.set(xlim=(0, 10), ylim=(0.2, 10))
    ax.set_axis_off()
    return fig


def _arrow(ax, start, end, colour: str = "0.3") -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=16, lw=1.8, color=colour))


@figure(
    name="gate-and-components",
    notebook="06",
    data="computed: a vector of length 1.5 turned about the z axis",
    trained="nothing",
    caption="Three functions of a vector that is turned through a full circle (dotted). Equivariant is only the "
    "one whose results lie on a circle about the origin, each at the same angle from its vector: the gate.",
    alt="Three panels: SiLU on each component bends the circle into an egg; a bias shifts the circle; the gate "
    "gives a smaller circle about the origin.",
)
def gate_and_components() -> Figure:
    angle = np.linspace(0, 2 * np.pi, 121)
    v = 1.5 * np.stack([np.cos(angle), np.sin(angle)])
    length = np.sqrt((v**2).sum(axis=0))
    panels = [
        ("SiLU of each\ncomponent", v / (1 + np.exp(-v)), COLOURS["vermilion"]),
        ("plus a bias", v + np.array([[0.5], [0.3]]), COLOURS["vermilion"]),
        ("gate: v · g(|v|)", v / (1 + np.exp(1.0 - length)), COLOURS["blue"]),
    ]
    fig, axes = subplots(1, 3, figsize=(6.4, 3.2), sharey=True)
    for ax, (title, image, colour) in zip(axes, panels, strict=True):
        ax.plot(*v, ":", color=COLOURS["grey"])
        ax.plot(*image, color=colour)
        for k in (10, 50, 90):
            ax.annotate("", image[:, k], (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.8})
            ax.plot(*v[:, k], "o", color=COLOURS["grey"], ms=5)
        ax.plot(0, 0, "+", color="black", ms=10)
        ax.set(
            title=title,
            xlabel="x component",
            xlim=(-2.1, 2.1),
            ylim=(-2.1, 2.1),
            aspect="equal",
            xticks=[-2, 0, 2],
            yticks=[-2, 0, 2],
        )
    axes[0].set_ylabel("y component")
    return fig


def _norm_errors(v: torch.Tensor, axis: str, angles: np.ndarray) -> dict[str, np.ndarray]:
    """Relative error of norm(Q v) against Q norm(v) for both norms, over angles in radians."""
    batch, s = torch.zeros(len(v), dtype=torch.int64), v.new_zeros(len(v), 2)
    errors = {}
    for name, norm in (("divides by |v|", EquivariantNorm(2)), ("divides by $v_x^2$ (released)", ReleasedNorm(2))):
        with torch.no_grad():
            norm, turns = norm.double(), [rotation_about(AXES[axis], angle) for angle in angles]
            plain = norm(s, v, batch, 1)[1]
            errors[name] = np.array(
                [float((norm(s, q @ v, batch, 1)[1] - q @ plain).norm() / plain.norm()) for q in turns]
            )
    return errors


@figure(
    name="norm-against-angle",
    notebook="06",
    data="embedded structure 5pti, ring of Phe 22 and its neighbours",
    trained="nothing",
    caption="Relative error of norm(Qv) against Q norm(v) for the vectors around the running example's atom, "
    "turned about z, y and x. The released norm is right about x; about other axes only at single angles.",
    alt="Error in per cent against rotation angle: the released norm reaches large errors about z and y and is "
    "zero about x; the equivariant norm is zero everywhere.",
)
def norm_against_angle(angle: float | None = None) -> Figure:
    """``angle``: in degrees, marked in the figure."""
    v = surrounding_vectors()
    degrees = np.arange(0, 361, 2)
    fig, ax = subplots(figsize=(6.4, 4.2))
    for axis, colour in zip("zyx", ("vermilion", "orange", "sky"), strict=True):
        error = _norm_errors(v, axis, np.radians(degrees))["divides by $v_x^2$ (released)"]
        ax.plot(degrees, 100 * error, color=COLOURS[colour], label=f"released norm, about {axis}")
    ax.plot(
        degrees,
        100 * _norm_errors(v, "z", np.radians(degrees))["divides by |v|"],
        "--",
        color=COLOURS["black"],
        label="equivariant norm, any axis",
    )
    if angle is not None:
        ax.axvline(angle, color=COLOURS["grey"], lw=1)
        for axis, colour in zip("zyx", ("vermilion", "orange", "sky"), strict=True):
            error = 100 * _norm_errors(v, axis, np.radians([angle]))["divides by $v_x^2$ (released)"][0]
            ax.plot(angle, error, "o", color=COLOURS[colour])
            ax.annotate(f"{error:.0f} %", (angle, error), xytext=(6, 4), textcoords="offset points", fontsize=11)
    ax.set(xlabel="angle of rotation (degrees)", ylabel="error of the normalised vectors (%)", xticks=range(0, 361, 60))
    ax.set_ylim(top=1.45 * ax.get_ylim()[1])
    ax.legend(loc="upper center", ncol=1, fontsize=11)
    return fig


def surrounding_vectors() -> torch.Tensor:
    """Vectors after the last layer of the running example, for the central atom and its neighbours: [n, 3, F_v]."""
    example = running_example()
    rows = torch.cat([torch.tensor([example.centre]), example.neighbours])
    return example.model.trace(example.graph)[-1].v[rows]


@figure(
    name="prediction-against-angle",
    notebook="06",
    data="embedded structure 5pti, untrained models",
    trained="nothing",
    caption="The prediction of one molecule, turned about z: constant with the equivariant norm, dependent on the "
    "orientation with the released one. Shown is the change against the unturned molecule.",
    alt="Change of the prediction against angle: flat at zero for the equivariant norm, a wave for the released.",
)
def prediction_against_angle() -> Figure:
    example = running_example()
    degrees = np.arange(0, 361, 5)
    fig, ax = subplots(figsize=(6.4, 3.8))
    for label, released, colour, line in (
        ("released norm", True, "vermilion", "-"),
        ("equivariant norm", False, "black", "--"),
    ):
        size = {"scalar_channels": 8, "vector_channels": 4, "num_layers": 2, "num_radial": 8}
        model = seeded(EQGAT, 0, num_elements=9, out_channels=1, norm="equivariant", **size).double()
        model = with_released_norm(model) if released else model
        with torch.no_grad():
            y = [float(model(transform(example.graph, rotation_about(AXES["z"], math.radians(d))))) for d in degrees]
        change = 100 * (np.array(y) - y[0]) / abs(y[0])
        ax.plot(degrees, change, line, color=COLOURS[colour], label=label)
    ax.set(xlabel="rotation about z (degrees)", ylabel="change of prediction (%)", xticks=range(0, 361, 60))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return fig


@figure(
    name="parameter-counts",
    notebook="06",
    data="counted; printed values: Tables 2 and 3",
    trained="nothing",
)
def parameter_counts() -> Figure:
    fig, axes = subplots(2, 1, figsize=(6.4, 5.6), height_ratios=(4, 3))
    told, wrong, largest = [], [], set()
    for ax, table in zip(axes, (2, 3), strict=True):
        rows = [row for row in PUBLISHED if row.table == table]
        for y, row in enumerate(rows):
            left, parts = 0.0, _parts(row.options)
            count = sum(parts.values()) / 1000
            told.append(f"{row.name} {count:.1f} ({row.printed:g} printed)")
            largest.add(max(parts, key=parts.__getitem__))
            if abs(count - row.printed) >= (1 if table == 2 else 0.05):  # Table 2 cuts off, Table 3 rounds to one digit
                wrong.append(f"{row.name} of Table {table}")
            for (part, number), colour in zip(parts.items(), PART_COLOURS, strict=True):
                ax.barh(y, number / 1000, left=left, color=colour, height=0.6, label=part if y == 0 else None)
                left += number / 1000
            ax.plot([row.printed] * 2, [y - 0.42, y + 0.42], color="black", lw=2.5)
        ax.set(yticks=range(len(rows)), yticklabels=[row.name for row in rows], title=f"Table {table}")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    axes[1].set_xlabel("parameters (thousands)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=3, fontsize=11)
    misfit = f"{len(wrong)} of {len(told)} do not fit their models: {', '.join(wrong)}." if wrong else "All fit."
    return describe(
        fig,
        "Trainable parameters by part, for the models of Tables 2 and 3 as released at start-up. Black marks: the printed "
        f"numbers. {misfit}",
        f"Stacked horizontal bars, thousands of parameters: {'; '.join(told)}. Largest part: {' or '.join(sorted(largest))}. {misfit}",
    )


def _parts(options: dict) -> dict[str, int]:
    """The terms of the count, gathered into six parts."""
    terms = parameter_terms(**options)
    return {
        "edge filters": terms["filter, hidden"] + terms["filter, out"],
        "$W_s$": terms["W_s"],
        "$W_v$": terms["W_v"],
        "gated updates": terms["update"],
        "readout and head": terms["readout"] + terms["head"],
        "embedding, norms": terms["embedding"] + terms["norms"],
    }


__all__ = [
    "TERM_COLOURS",
    "gate_and_components",
    "norm_against_angle",
    "parameter_counts",
    "prediction_against_angle",
    "surrounding_vectors",
    "whole_layer",
]


def own_training(losses: list[float], logits: Tensor) -> Figure:
    """The loss of each step, and the answers to the test pairs: ``logits`` [2 n, 1], as found and mirrored in turn."""
    fig, (left, right) = subplots(1, 2, figsize=(6.4, 3.6))
    left.plot(losses, color=COLOURS["black"])
    left.axhline(math.log(2), color=COLOURS["grey"], lw=1, ls=":")
    left.annotate("ln 2: a guess", (0, math.log(2)), (0, 6), textcoords="offset points")
    left.set(xlabel="training step", ylabel="loss (nats)", ylim=(0, None))
    as_found, mirrored = logits.view(-1, 2).T.numpy()
    right.axhline(0, color=COLOURS["grey"], lw=1)
    right.axvline(0, color=COLOURS["grey"], lw=1)
    right.plot(as_found, mirrored, "o", color=TERM_COLOURS["v_cross"], mfc="none")
    right.set(xlabel="output for residue (logit)", ylabel="output for mirror image")
    wrong = int((as_found <= 0).sum() + (mirrored >= 0).sum())
    return describe(
        fig,
        f"Training of an EQGAT made of own functions, and its answers to residues of proteins that it has not seen: "
        f"{wrong} of {logits.numel()} are wrong.",
        f"Left: the loss begins at {losses[0]:.2f} and ends at {losses[-1]:.2f}. Right: the lower right quarter is where both "
        f"answers are right; {wrong} of {logits.numel()} answers are wrong.",
    )
