"""Figures of notebook 02: standing waves, envelope, resolution, and what happens at the cutoff."""

from __future__ import annotations

import math
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from eqgat.radial import bessel_basis, polynomial_envelope
from eqgat.viz.style import COLOURS, DIVERGING, describe
from eqgat_course.ch02_radial_basis.study import CutoffCrossing
from eqgat_course.figures import figure

CUTOFF = 4.5
LINES = [COLOURS[name] for name in ("blue", "vermilion", "green", "pink")]
BOND = 1.53  # Å, a C-C single bond


def _distances(start: float, stop: float, number: int = 500) -> Tensor:
    return torch.linspace(start, stop, number, dtype=torch.float64)


@figure(name="standing-waves", notebook="02", data="computed, cutoff 4.5 Å", trained="nothing")
def standing_waves() -> Figure:
    """The first four modes: u_k = d G_k, a string clamped at both ends, and G_k itself."""
    d = _distances(0, CUTOFF)
    basis = bessel_basis(d, CUTOFF, 4)
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.3))
    for k, colour in enumerate(LINES):
        axes[0].plot(d, d * basis[:, k], color=colour, label=f"k = {k + 1}")
        axes[1].plot(d, basis[:, k], color=colour, label=f"k = {k + 1}")
    axes[0].set(title="u$_k$(d) = d G$_k$(d)", ylabel="u$_k$ (Å$^{-1/2}$)")
    axes[1].set(title="G$_k$(d)", ylabel="G$_k$ (Å$^{-3/2}$)")
    axes[1].legend()
    for ax in axes:
        ax.axhline(0, color=COLOURS["black"], linewidth=0.8)
        ax.set(xlabel="distance d (Å)", xticks=[0, 1.5, 3, 4.5], xlim=(0, CUTOFF))
    return describe(
        fig,
        "The radial functions are the modes of a string clamped at d = 0 and d = c (left), divided "
        "by d (right). At d = 0 the value is finite, √(2/c) kπ/c, and grows with k.",
    )


@figure(name="envelope", notebook="02", data="computed, cutoff 4.5 Å", trained="nothing")
def envelope_and_derivatives() -> Figure:
    """The envelope and its first two derivatives, by automatic differentiation, beside the cosine cutoff."""
    d = _distances(0, 5.2, 1041).requires_grad_()
    cosine = torch.where(d < CUTOFF, 0.5 * (1 + torch.cos(math.pi * d / CUTOFF)), 0.0)
    fig, axes = plt.subplots(1, 3, figsize=(6.4, 3.1))
    for value, colour, line in (
        (cosine, COLOURS["orange"], "--"),
        (polynomial_envelope(d, CUTOFF), COLOURS["blue"], "-"),
    ):
        label = "κ, p = 6" if line == "-" else "cosine"
        for ax in axes:
            ax.plot(d.detach(), value.detach(), color=colour, linestyle=line, label=label)
            (value,) = torch.autograd.grad(value.sum(), d, create_graph=True)
    for ax, title in zip(axes, ("value", "slope (Å$^{-1}$)", "curvature (Å$^{-2}$)"), strict=True):
        ax.axvline(CUTOFF, color=COLOURS["grey"], linewidth=1.2, linestyle=":")
        ax.set(title=title, xlabel="d (Å)", xticks=[0, 1.5, 3, 4.5], xlim=(0, 5.2))
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2)
    return describe(
        fig,
        "The envelope (blue) reaches the cutoff, 4.5 Å (dotted), with value, slope and curvature "
        "zero. The cosine cutoff of other models (orange) keeps value and slope; its curvature jumps.",
    )


@figure(name="basis-at-the-cutoff", notebook="02", data="computed, cutoff 4.5 Å", trained="nothing")
def basis_at_the_cutoff() -> Figure:
    """The first three functions near the cutoff, without and with the envelope."""
    d = _distances(3.6, 4.9)
    inside = (d < CUTOFF).unsqueeze(1)
    basis = torch.where(inside, bessel_basis(d, CUTOFF, 3), 0.0)
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), sharey=True)
    for ax, values, title in (
        (axes[0], basis, "G$_k$, no envelope"),
        (axes[1], polynomial_envelope(d, CUTOFF).unsqueeze(1) * basis, "κ G$_k$"),
    ):
        for k, colour in enumerate(LINES[:3]):
            ax.plot(d, values[:, k], color=colour, label=f"k = {k + 1}")
        ax.axvline(CUTOFF, color=COLOURS["grey"], linewidth=1.2, linestyle=":")
        ax.text(CUTOFF + 0.04, 0.115, "cutoff", color=COLOURS["grey"], fontsize=12)
        ax.set(title=title, xlabel="distance d (Å)", xticks=[3.6, 4.0, 4.5])
    axes[0].set_ylabel("Å$^{-3/2}$")
    axes[1].legend(loc="lower left")
    return describe(
        fig,
        "Without the envelope each function arrives at the cutoff with a slope and stops in a kink; "
        "with it, each lies flat on the axis before the edge disappears.",
    )


@figure(name="radial-resolution", notebook="02", data="computed, cutoff 4.5 Å", trained="nothing")
def radial_resolution(num_radial: int = 8) -> Figure:
    """K radial functions, and the best that a sum of them can do for a peak at one bond length."""
    d = _distances(0.01, CUTOFF)
    peak = torch.exp(-0.5 * ((d - BOND) / 0.1) ** 2)
    basis = polynomial_envelope(d, CUTOFF).unsqueeze(1) * bessel_basis(d, CUTOFF, num_radial)
    best = basis @ torch.linalg.lstsq(basis, peak.unsqueeze(1), driver="gelsd").solution
    missed = float((best[:, 0] - peak).norm() / peak.norm())
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.3))
    # Times d, or the values near the centre would hide all others.
    map_ = axes[0].pcolormesh(
        d,
        np.arange(1, num_radial + 1),
        (d.unsqueeze(1) * basis).T,
        cmap=DIVERGING,
        vmin=-0.7,
        vmax=0.7,
        shading="nearest",
        rasterized=True,
    )
    bar = fig.colorbar(map_, ax=axes[0], ticks=[-0.6, 0, 0.6])
    bar.ax.set_title("Å$^{-1/2}$", fontsize=12)
    axes[0].yaxis.get_major_locator().set_params(integer=True)
    axes[0].set(title=f"d κ G$_k$, K = {num_radial}", ylabel="number k")
    axes[0].grid(False)
    axes[1].plot(d, peak, color=COLOURS["black"], linestyle="--", linewidth=1.6, label="wanted")
    axes[1].plot(d, best, color=COLOURS["vermilion"], label="best sum")
    axes[1].set(title=f"missed: {100 * missed:.0f} %", ylim=(-0.45, 1.75))  # room for the legend above the peak
    axes[1].legend(loc="upper right", handlelength=1.2)
    for ax in axes:
        ax.set(xlabel="distance d (Å)", xticks=[0, 1.5, 3, 4.5], xlim=(0, CUTOFF))
    return describe(
        fig,
        f"With K = {num_radial} functions (left, one row each) the finest wave has a half-wave of "
        f"c/K = {CUTOFF / num_radial:.2f} Å. A peak 0.1 Å wide at a C-C bond's length (right) is "
        f"missed by {100 * missed:.0f} % (relative error of the best weighted sum).",
    )


@cache
def _crossing() -> tuple[CutoffCrossing, np.ndarray, np.ndarray]:
    """Distances [n], and [2 (paper, damped), 2 (scalar, vector), n] changes of m_i due to j (%)."""
    crossing = CutoffCrossing()
    distances = np.concatenate([np.linspace(3.0, CUTOFF - 1e-6, 61), np.linspace(CUTOFF, 5.2, 8)])
    away = crossing.messages_at(6.0), crossing.damped_messages_at(6.0)
    change = [
        [
            [float((new - old).norm() / old.norm()) for new, old in zip(messages(x), without, strict=True)]
            for x in distances
        ]
        for messages, without in zip((crossing.messages_at, crossing.damped_messages_at), away, strict=True)
    ]
    return crossing, distances, 100 * np.array(change).transpose(0, 2, 1)


@figure(name="message-at-the-cutoff", notebook="02", data="embedded structure 5pti, untrained model", trained="nothing")
def message_at_the_cutoff(distance: float | None = None) -> Figure:
    """How much of m_i is due to one neighbour, while it moves through the cutoff; a dot at ``distance`` (Å)."""
    crossing, distances, change = _crossing()
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.6))
    styles = (("Eqs. 1-6", COLOURS["vermilion"], "-"), ("damped by κ", COLOURS["blue"], "--"))
    inside = distances < CUTOFF
    for (label, colour, line), rows in zip(styles, change, strict=True):
        for ax, row in zip(axes, rows, strict=True):
            for part in (inside, ~inside):  # two pieces: no line is drawn where the value jumps
                ax.plot(distances[part], row[part], color=colour, linestyle=line, label=label if part[0] else None)
            if line == "-":  # where the jump starts and where it lands
                ax.plot(CUTOFF, row[inside][-1], "o", color=colour, markersize=6, markerfacecolor="white", zorder=5)
                ax.plot(CUTOFF, 0, "o", color=colour, markersize=6, zorder=5, clip_on=False)  # at c there is no edge
            if distance is not None:
                at = int(np.abs(distances - distance).argmin())
                ax.plot(distances[at], row[at], "o", color=colour, markersize=9)
    for ax, title in zip(axes, ("scalar message m$_{i,s}$", "vector message m$_{i,v}$"), strict=True):
        ax.axvline(CUTOFF, color=COLOURS["grey"], linewidth=1.2, linestyle=":")
        ax.set(title=title, xlabel="distance of neighbour j (Å)", xticks=[3, 3.5, 4, 4.5, 5], ylim=(0, None))
    axes[0].set_ylabel("change due to j (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2)
    jumps = change[0][:, np.flatnonzero(inside)[-1]]
    example = crossing.example
    return describe(
        fig,
        f"{example.label(crossing.moved)} moves away from {example.label(example.centre)}. With the "
        f"paper's equations its share of the message is still {jumps[0]:.1f} % (scalars) and "
        f"{jumps[1]:.1f} % (vectors) just inside the cutoff and zero just outside. Weights that are "
        "multiplied by κ go to zero smoothly.",
    )
