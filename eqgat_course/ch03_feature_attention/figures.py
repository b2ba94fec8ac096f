"""Figures of notebook 03: which weights sum to one, one weight per edge or per channel, what one atom listens to."""

from __future__ import annotations

from itertools import accumulate, pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from eqgat.viz.style import CHANNEL_COLOURS, COLOURS, DIVERGING, describe
from eqgat_course.figures import SMALL, figure
from eqgat_course.running_example import RunningExample, running_example

DATA = "embedded structure 5pti, neighbourhood of Phe22 CA; untrained model, F_s 8, F_v 4, seed 0"


def effective_number(weights: Tensor) -> Tensor:
    """exp of the entropy of weights [n, C] that sum to 1 over n: how many equal neighbours would be as spread, [C]."""
    return torch.special.entr(weights).sum(dim=0).exp()


def neighbours_by_distance(example: RunningExample) -> tuple[Tensor, Tensor, list[str]]:
    """Edge numbers into the central atom from near to far [n], their lengths in Å [n], and labels with both."""
    pos = example.graph.pos
    distance = (pos[example.neighbours] - pos[example.centre]).norm(dim=1)
    order = distance.argsort()
    labels = [
        f"{example.label(row)}  {d:.2f} Å"
        for row, d in zip(example.neighbours[order].tolist(), distance[order].tolist(), strict=True)
    ]
    return example.incoming[order], distance[order], labels


@figure(
    name="softmax-which-entries",
    notebook="03",
    data="a drawing, no data",
    trained="nothing",
    caption="Attention weights of six edges (rows) into three atoms, in four channels (columns). The weights of "
    "each outlined group sum to 1. EQGAT: one group for each atom and channel. The other two ways "
    "give numbers between 0 and 1 as well, and mean something else.",
    alt="Three grids of six rows and four columns. In the first, groups are columns within one receiver's rows; in "
    "the second, whole rows; in the third, whole columns.",
)
def softmax_which_entries() -> Figure:
    blocks, channels = [("1", 3), ("2", 2), ("3", 1)], 4
    rows = sum(size for _, size in blocks)
    starts = [0, *accumulate(size for _, size in blocks)]
    column_groups = [(a, c, b - a, 1) for a, b in pairwise(starts) for c in range(channels)]
    panels = {
        "EQGAT": column_groups,
        "wrong axis": [(r, 0, 1, channels) for r in range(rows)],
        "whole graph": [(0, c, rows, 1) for c in range(channels)],
    }
    fig, axes = plt.subplots(1, 3, figsize=(6.4, 3.6), sharey=True)
    shades = ("#9CCBEA", "#F5C6A5", "#9FD9C5", "#EBCFDF")
    for ax, (title, groups) in zip(axes, panels.items(), strict=True):
        for row, column, height, width in groups:
            shade = shades[(column + (row if width > 1 else 0)) % len(shades)]
            inset = 0.07
            ax.add_patch(
                Rectangle(
                    (column + inset, row + inset),
                    width - 2 * inset,
                    height - 2 * inset,
                    facecolor=shade,
                    edgecolor=COLOURS["black"],
                    linewidth=1.6,
                )
            )
            ax.text(column + width / 2, row + min(height, 3) / 2, "Σ=1", ha="center", va="center", fontsize=SMALL)
        for start in starts[1:-1]:
            ax.axhline(start, color=COLOURS["grey"], linewidth=1, linestyle=":")
        ax.set(xlim=(0, channels), ylim=(rows, 0), title=title, xticks=[], xlabel="channels")
        ax.set_yticks([(a + b) / 2 for a, b in pairwise(starts)], [f"edges\ninto {name}" for name, _ in blocks])
        ax.tick_params(length=0)
        ax.grid(False)
        for side in ax.spines.values():
            side.set_visible(False)
    return fig


def two_wishes(example: RunningExample) -> tuple[Tensor, Tensor, Tensor]:
    """Hand-made logits [n, 2] of the central atom's edges, near to far, and which of them are O and nearer than 2 Å.

    Channel 1 wants oxygen: 4 for O, else 0. Channel 2 wants the nearest: -6 per Å.
    """
    edges, distance, _ = neighbours_by_distance(example)
    oxygen = example.graph.z[example.graph.edge_index[0, edges]] == 3
    logits = torch.stack([4.0 * oxygen, -6.0 * distance], dim=1)
    return logits, oxygen, distance < 2.0


@figure(
    name="attention-one-or-many",
    notebook="03",
    data=f"{DATA.split(';')[0]}; hand-made logits",
    trained="nothing",
    caption="Two wishes at one atom: channel 0 wants the oxygens, channel 1 the bonded atoms. With a weight "
    "for each channel both come true; one weight per edge has to share.",
)
def attention_one_or_many() -> Figure:
    example = running_example()
    _, _, labels = neighbours_by_distance(example)
    logits, oxygen, bonded = two_wishes(example)
    many = logits.softmax(dim=0)
    one = logits.sum(dim=1).softmax(dim=0)
    half = ((oxygen / oxygen.sum() + bonded / bonded.sum()) / 2).to(one)  # the fairest single weight
    y = np.arange(len(labels))
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 6.6), sharey=True)
    left.barh(y - 0.2, many[:, 0], 0.4, color=CHANNEL_COLOURS[0], label="channel 0")
    left.barh(y + 0.2, many[:, 1], 0.4, color=CHANNEL_COLOURS[1], label="channel 1")
    left.set(title="one weight\nper channel", xlabel="attention α", xlim=(0, 0.55))
    right.barh(y, half, 0.6, color=COLOURS["grey"], label="both channels")
    right.set(title="one weight\nper edge", xlabel="attention α", xlim=(0, 0.55))
    for ax, oxygens, nearest in (
        (left, many[oxygen, 0].sum(), many[bonded, 1].sum()),
        (right, half[oxygen].sum(), half[bonded].sum()),
    ):
        ax.text(
            0.98,
            0.15,
            f"0 on oxygen: {100 * oxygens:.1f} %\n1 on bonded: {100 * nearest:.1f} %",
            ha="right",
            transform=ax.transAxes,
            fontsize=SMALL,
        )
        ax.legend(loc="lower right", fontsize=SMALL)
        ax.grid(axis="y", visible=False)
    left.set_yticks(y, labels, fontsize=SMALL)
    left.invert_yaxis()
    return describe(
        fig,
        "",
        f"Bars for the {len(labels)} neighbours of Phe22 CA. Left: channel 0 puts {100 * many[oxygen, 0].sum():.1f} % of its "
        f"weight on the {int(oxygen.sum())} oxygens, channel 1 {100 * many[bonded, 1].sum():.1f} % on the "
        f"{int(bonded.sum())} nearest atoms. Right: a single weight per edge splits between both groups, "
        f"{100 * half[oxygen].sum():.1f} % and {100 * half[bonded].sum():.1f} %.",
    )


@figure(
    name="three-attentions",
    notebook="03",
    data=f"{DATA.split(';')[0]}; untrained weights, seed 0",
    trained="nothing",
    caption="The weights of Phe22 CA for its neighbours under three kinds of attention, all untrained; dotted: equal "
    "shares. Dot product and GAT give one weight per neighbour; feature attention gives one per neighbour and channel "
    "(three are shown).",
)
def three_attentions() -> Figure:
    example = running_example()
    edges, _, labels = neighbours_by_distance(example)
    y = np.arange(len(labels))
    fig, axes = plt.subplots(1, 3, figsize=(6.8, 6.2), sharey=True, sharex=True)
    ranges = []
    for ax, (title, weights) in zip(axes, three_kinds(example, edges).items(), strict=True):
        ranges.append(f"{title} from {weights.min():.3f} to {weights.max():.3f}")
        channels = weights.shape[1]
        for channel in range(channels):
            colour = COLOURS["grey"] if channels == 1 else CHANNEL_COLOURS[channel]
            ax.barh(
                y + (channel - (channels - 1) / 2) * 0.8 / channels,
                weights[:, channel],
                0.8 / channels,
                color=colour,
                label=f"channel {channel}",
            )
        ax.axvline(1 / len(labels), color=COLOURS["black"], lw=1, ls=":")
        ax.set(title=title, xlabel="weight")
        ax.grid(axis="y", visible=False)
    fig.legend(*axes[2].get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize=SMALL)
    axes[0].set_yticks(y, labels, fontsize=SMALL)
    axes[0].invert_yaxis()
    return describe(
        fig,
        "",
        f"Three panels of bars for {len(labels)} neighbours, from near to far: dot-product attention and GAT with one bar for "
        f"each neighbour, feature attention with three. The weights: {'; '.join(ranges)}. A dotted line marks the equal "
        f"share, {1 / len(labels):.3f}.",
    )


def three_kinds(example: RunningExample, edges: Tensor) -> dict[str, Tensor]:
    """The weights of edges into the central atom, [n, channels], under three kinds of attention with random weights."""
    record = example.model.trace(example.graph)[1]
    s_i, s_j = record.s_in[example.centre], record.s_in[example.graph.edge_index[0, edges]]
    generator = torch.Generator().manual_seed(0)
    query, key, shared = torch.randn(3, len(s_i), len(s_i), generator=generator, dtype=s_i.dtype) / len(s_i) ** 0.5
    u = torch.randn(2 * len(s_i), generator=generator, dtype=s_i.dtype) / (2 * len(s_i)) ** 0.5
    both = torch.cat([(s_i @ shared).expand_as(s_j), s_j @ shared], dim=1)
    logits = {
        "dot product": (s_j @ key) @ (s_i @ query) / len(s_i) ** 0.5,
        "GAT": torch.nn.functional.leaky_relu(both @ u, 0.2),
        "feature attention": record.attention_logits[edges, :3],
    }
    return {name: a.view(len(edges), -1).softmax(dim=0) for name, a in logits.items()}


@figure(
    name="attention-of-one-atom",
    notebook="03",
    data=DATA,
    trained="nothing",
)
def attention_of_one_atom(sharpness: float = 1.0) -> Figure:
    """``sharpness`` multiplies the logits before the softmax; 1 is the model itself."""
    example = running_example()
    edges, _, labels = neighbours_by_distance(example)
    logits = example.model.trace(example.graph)[1].attention_logits[edges]
    attention = (sharpness * logits).softmax(dim=0)
    ratio = (attention * len(edges)).clamp(min=1e-9).log2()
    limit = float(np.clip(ratio.abs().max(), np.log2(1.5), 4))
    fig, (top, ax) = plt.subplots(2, 1, figsize=(6.4, 7.4), sharex=True, height_ratios=(1, 6))
    channels = np.arange(attention.shape[1])
    effective = effective_number(attention)
    bars = top.bar(channels, effective, 0.7, color=COLOURS["blue"])
    top.bar_label(bars, fmt="%.1f", fontsize=SMALL)
    top.set(ylim=(0, len(edges) * 1.35), yticks=[1, len(edges) // 2, len(edges)])
    top.set_ylabel("effective\nneighbours", fontsize=SMALL)
    top.grid(axis="x", visible=False)
    image = ax.imshow(ratio, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    ax.set_yticks(range(len(labels)), labels, fontsize=SMALL)
    ax.set_xticks(channels)
    ax.set_xlabel("scalar channel")
    ax.grid(False)
    shares = np.array([0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.4]) if limit < 1 else 2.0 ** np.arange(-4, 5)
    shares = shares[np.abs(np.log2(shares)) <= limit + 1e-9]
    bar = fig.colorbar(
        image,
        ax=ax,
        label=f"attention α, in equal shares (1/{len(edges)})",
        ticks=np.log2(shares),
        extend="both" if float(ratio.abs().max()) > limit else "neither",
    )
    bar.ax.set_yticklabels([f"×{share:.3g}" for share in shares])
    factor = "" if sharpness == 1 else f", its logits times {sharpness:g}"
    return describe(
        fig,
        f"Attention of Phe22 CA in layer 2{factor}, as a multiple of the equal share 1/{len(edges)}. Above: the effective "
        "number of neighbours in each channel."
        + (
            ""
            if factor
            else " Without training all weights stay close to equal; what differs, differs mostly by element."
        ),
        f"Heat map with {len(edges)} rows, the neighbours from near to far, and {len(channels)} columns, the scalar channels. "
        f"The weights lie between {attention.min() * len(edges):.2f} and {attention.max() * len(edges):.2f} equal shares"
        f"{'' if factor else '; rows of the same element look alike'}. Bars above show effective numbers between "
        f"{effective.min():.1f} and {effective.max():.1f}.",
    )


@figure(
    name="attention-sharpness",
    notebook="03",
    data=DATA,
    trained="nothing",
    caption="How many neighbours a channel of Phe22 CA effectively listens to when its logits are multiplied by a "
    "factor, one line per channel. Factor 1 is the untrained model; training can make logits larger.",
)
def attention_sharpness() -> Figure:
    example = running_example()
    edges, _, _ = neighbours_by_distance(example)
    logits = example.model.trace(example.graph)[1].attention_logits[edges]
    factors = torch.logspace(-1, 3, 200, dtype=torch.float64)
    numbers = torch.stack([effective_number((factor * logits).softmax(dim=0)) for factor in factors])
    fig, ax = plt.subplots(figsize=(6.4, 3.8))
    ax.plot(factors, numbers, color=COLOURS["blue"], alpha=0.65, linewidth=1.8)
    ax.axvline(1, color=COLOURS["black"], linestyle="--", linewidth=1.4)
    ax.text(0.92, 9, "the model\nas it is", fontsize=SMALL, ha="right")
    ax.set(
        xscale="log",
        xlabel="factor on the logits",
        ylabel="effective neighbours",
        ylim=(0, 21),
        yticks=[1, 5, 10, 15, 20],
    )
    ends = [
        f"{row.min():.1f} to {row.max():.1f} at {factor:g}"
        for row, factor in ((numbers[0], factors[0]), (numbers[-1], factors[-1]))
    ]
    return describe(
        fig,
        "",
        f"{numbers.shape[1]} falling curves of effective neighbours against the factor: {ends[0]}, {ends[1]}.",
    )
