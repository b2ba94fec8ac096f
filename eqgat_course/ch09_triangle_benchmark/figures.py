"""Figures of notebook 09: what the error of the Triangle data is made of, and how the models do, from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.pyplot import subplots
from matplotlib.ticker import MaxNLocator

from eqgat.datasets import make_triangles
from eqgat.training import make_settings, read_history, read_results
from eqgat.viz.parts import Camera, Edges
from eqgat.viz.scene import Scene
from eqgat.viz.style import COLOURS, describe
from eqgat_course.ch09_triangle_benchmark.study import target_variances
from eqgat_course.experiments.robustness import read_noise
from eqgat_course.experiments.tables import paper_numbers
from eqgat_course.figures import figure, no_runs_yet
from eqgat_course.results import (
    NOT_TRAINED,
    TARGETS,
    TRIANGLE_MODELS,
    trained_for,
    triangle_profiles,
    triangle_runs,
)

TARGET_COLOURS = {"distance": COLOURS["blue"], "perimeter": COLOURS["orange"], "area": COLOURS["vermilion"]}
LINES = {
    "schnet": (COLOURS["vermilion"], "-"),
    "painn": (COLOURS["green"], "-"),
    "segnn": (COLOURS["pink"], "-"),
    "gvp": (COLOURS["orange"], "-"),
    "eqgat": (COLOURS["blue"], "-"),
    "eqgat-no-cross-product": (COLOURS["sky"], "--"),
    "eqgat-no-feature-attention": (COLOURS["black"], ":"),
}
SHORT = {
    "EQGAT-Full": "EQGAT",
    "EQGAT-No-Cross-Product": "no cross product",
    "EQGAT-No-Feature-Attention": "no feature\nattention",
}
STORE = "the results store, figures/results/triangle"
CLOUDS = "generated Triangle clouds"
TRAINED = f"the models of Table 3 on {CLOUDS}"
SMALL = 11.5


def _name(model: str) -> str:
    label = TRIANGLE_MODELS[model]
    return SHORT.get(label, label)


def _seeds(rows: pd.DataFrame) -> str:
    seeds = rows.groupby("model")["seed"].nunique()
    return str(seeds.min()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"


def _trained(rows: pd.DataFrame) -> str:
    return trained_for(rows.assign(data=CLOUDS, model=[_name(model).replace("\n", " ") for model in rows["model"]]))


def _title(rows: pd.DataFrame, profile: str) -> str:
    """What a number needs beside it: profile, n, device."""
    return f"{profile} profile, n = {_seeds(rows)}, {', '.join(sorted(set(rows['device'])))}" if len(rows) else ""


def _origin(rows: pd.DataFrame, profile: str) -> str:
    """The words for captions that say which runs are shown."""
    missing = [_name(model).replace("\n", " ") for model in TRIANGLE_MODELS if model not in set(rows["model"])]
    return f"Profile {profile}, n = {_seeds(rows)} seeds a model, {', '.join(sorted(set(rows['device'])))}." + (
        f" Not run: {', '.join(missing)}." if missing else ""
    )


@figure(
    name="triangle-error-shares",
    notebook="09",
    data="generated: first 4,000 clouds of the Triangle data, seed 0",
    trained="nothing",
    caption="What the error of predict-the-mean is made of. In Å most of it is the area. In nm, with the same clouds, "
    "it is the perimeter. Divided by each target's variance, all three weigh the same.",
)
def error_shares() -> Figure:
    variance = target_variances("full").numpy()
    units = {
        "lengths in Å": variance,
        "lengths in nm": variance * [1e-2, 1e-2, 1e-4],
        "each in its own\nstandard deviation": np.ones(3),
    }
    fig, ax = subplots(figsize=(6.4, 3.2))
    told = []
    for row, (unit, values) in enumerate(units.items()):
        left, shares = 0.0, 100 * values / values.sum()
        words = ", ".join(f"{name} {share:.0f} %" for name, share in zip(TARGETS, shares, strict=True))
        told.append(f"{unit}: {words}".replace("\n", " "))
        for name, share in zip(TARGETS, shares, strict=True):
            ax.barh(row, share, left=left, color=TARGET_COLOURS[name], height=0.62, label=name if row == 0 else None)
            if share > 6:
                ax.text(
                    left + share / 2,
                    row,
                    f"{share:.0f} %",
                    ha="center",
                    va="center",
                    fontsize=SMALL,
                    color="black" if name == "perimeter" else "white",
                )
            left += share
    ax.set_yticks(range(3), units)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlim=(0, 100), xlabel="share of the mean squared error (%)")
    fig.legend(loc="outside upper center", ncol=3)
    return describe(fig, "", f"Three stacked bars. {'; '.join(told)}.".replace("lengths", "Lengths", 1))


def side_lengths(n: int = 2000) -> torch.Tensor:
    """The three sides of the triangles of the first ``n`` clouds, [n, 3], in Å."""
    clouds = make_triangles(n, progress=False)
    corners = clouds.pos.gather(1, clouds.special.unsqueeze(2).expand(-1, -1, 3))
    return (corners - corners.roll(1, dims=1)).norm(dim=2)


@figure(
    name="triangle-sides-and-cutoff",
    notebook="09",
    data="generated: first 2,000 clouds of the Triangle data, seed 0",
    trained="nothing",
)
def sides_and_cutoff(cutoff: float = 10.0) -> Figure:
    sides = side_lengths()
    fig, (left, right) = subplots(1, 2, figsize=(6.4, 3.8))
    width = 1.0
    edges = np.arange(2.0, 20.0 + width, width)
    counts, _ = np.histogram(sides.flatten(), bins=edges)
    colours = [COLOURS["blue"] if edge < cutoff else COLOURS["orange"] for edge in edges[:-1]]
    left.bar(edges[:-1], 100 * counts / counts.sum(), width, align="edge", color=colours, edgecolor="white")
    left.axvline(cutoff, color=COLOURS["black"], ls="--", lw=1.4)
    left.text(cutoff + 0.4, left.get_ylim()[1] * 1.1, "cutoff", ha="left", va="top", fontsize=SMALL)
    left.set(
        xlabel="length of a side (Å)",
        ylabel="sides (%)",
        ylim=(0, left.get_ylim()[1] * 1.12),
        xticks=[2, 6, 10, 14, 18],
    )
    beyond = (sides >= cutoff).sum(dim=1).bincount(minlength=4).double() / len(sides) * 100
    bars = right.bar(range(4), beyond, 0.7, color=[COLOURS["blue"], *[COLOURS["orange"]] * 3])
    right.bar_label(bars, fmt="%.0f", fontsize=SMALL)
    right.set(xlabel="sides beyond the cutoff", ylabel="triangles (%)", xticks=range(4), ylim=(0, beyond.max() * 1.12))
    for ax in (left, right):
        ax.grid(axis="x", visible=False)
    far, peak = 100 * float((sides >= cutoff).double().mean()), int(counts.argmax())
    numbers = ("none", "one", "two", "three")
    told = ", ".join(f"{number} {share:.0f} %" for number, share in zip(numbers, beyond.tolist(), strict=True))
    return describe(
        fig,
        f"Left: lengths of the triangles' sides. Sides longer than the cutoff of {cutoff:g} Å (orange) are no edges of the "
        f"graph; no network is told their length. Right: {beyond[0]:.0f} % of the triangles have all sides as edges.",
        f"Left: a histogram from {edges[0]:g} to {edges[-1]:g} Å with a peak between {edges[peak]:g} and "
        f"{edges[peak + 1]:g} Å, {far:.0f} % of it beyond the cutoff. Right: share of the triangles by the number of sides "
        f"beyond the cutoff: {told}.",
    )


@figure(name="triangle-learning-curves", notebook="09", data=STORE, trained=TRAINED)
def learning_curves(histories: Mapping[str, Sequence[pd.DataFrame]] | None = None, title: str = "") -> Figure:
    """``histories``: model -> the learning curves of its runs; default: those of the store."""
    trained, caption = f"{TRAINED}, in the notebook", f"{title}."
    if histories is None:
        rows, profile = triangle_runs(read_results(task="triangle"))
        trained = _trained(rows)
        found: dict[str, list[pd.DataFrame]] = {}
        for model, seed in rows[["model", "seed"]].drop_duplicates().itertuples(index=False):
            run = make_settings("triangle", model, profile, int(seed)).run_id
            try:
                history = read_history(run)
            except FileNotFoundError:
                continue
            found.setdefault(model, []).append(history)
        histories = found
        title = _title(rows, profile)
        caption = (
            f"{_origin(rows, profile)} A line is the median over seeds, its band from the best to the worst."
            if len(rows)
            else "The results store has no runs yet."
        )
    fig, ax = subplots(figsize=(6.4, 4.4))
    if not histories:
        no_runs_yet(ax)
    for model in (name for name in TRIANGLE_MODELS if name in histories):
        shortest = min(len(history) for history in histories[model])
        values = np.array([history["val_mse"].to_numpy()[:shortest] for history in histories[model]])
        epochs, (colour, line) = np.arange(1, shortest + 1), LINES[model]
        ax.plot(
            epochs,
            np.median(values, axis=0),
            line,
            color=colour,
            marker="o" if shortest < 15 else None,
            ms=5,
            label=_name(model).replace("\n", " "),
        )
        if len(values) > 1:
            ax.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, lw=0)
    if histories:
        ax.set_title(title, fontsize=SMALL)
        ax.set(xlabel="epoch", ylabel="validation MSE, raw targets", yscale="log")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        # Decimal numbers and not powers of ten: the range is about one decade.
        low, high = ax.get_ylim()
        ticks = [tick for tick in (0.5, 1, 2, 3, 5, 7, 10, 20, 30, 50, 100, 200) if low <= tick <= high]
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        fig.legend(loc="outside upper center", ncol=2 if len(histories) < 5 else 3, fontsize=SMALL)
    caption = f"Validation error against the epoch. {caption}".strip()
    return describe(fig, caption, caption, trained)


@figure(name="triangle-error-by-target", notebook="09", data=STORE, trained=TRAINED)
def error_by_target(shares: Mapping[str, Mapping[str, float]] | None = None, title: str = "") -> Figure:
    """``shares``: model -> target -> unexplained share of the variance (1 = predict-the-mean); default: the store's."""
    trained, caption = f"{TRAINED}, in the notebook", f"{title}."
    if shares is None:
        rows, profile = triangle_runs(read_results(task="triangle"))
        trained = _trained(rows)
        shares = {}
        if len(rows):
            variance = dict(zip(TARGETS, target_variances(profile).tolist(), strict=True))
            middle = rows.groupby(["model", "metric"])["value"].median()  # one run that failed would rule a mean
            shares = {
                model: {name: middle[model, f"mse_{name}"] / variance[name] for name in TARGETS}
                for model in dict.fromkeys(rows["model"])
            }
        title = _title(rows, profile)
        caption = (
            f"{_origin(rows, profile)} Medians over seeds; variances of the first 4,000 clouds."
            if len(rows)
            else "The results store has no runs yet."
        )
    models = [name for name in TRIANGLE_MODELS if name in shares]
    fig, ax = subplots(figsize=(6.4, 1.6 + 0.85 * max(len(models), 2)))
    if not models:
        no_runs_yet(ax)
    for place, target in enumerate(TARGETS):
        rows_ = np.arange(len(models)) + 0.26 * (place - 1)
        values = [100 * shares[model][target] for model in models]
        bars = ax.barh(rows_, values, 0.24, color=TARGET_COLOURS[target], label=target)
        ax.bar_label(bars, [f" {value:.{0 if value > 9.95 else 1}f}" for value in values], fontsize=SMALL)
    if models:
        ax.set_title(title, fontsize=SMALL)
        ax.set_yticks(range(len(models)), [_name(model) for model in models])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set(xlabel="unexplained share of the variance (%)", xlim=(0, 1.12 * ax.get_xlim()[1]))
        fig.legend(loc="outside upper center", ncol=3)
    caption = f"Test error of each target, divided by its variance (100 % = predict-the-mean). {caption}".strip()
    return describe(fig, caption, caption, trained)


@figure(name="triangle-table-3", notebook="09", data=f"the paper's Table 3; {STORE}", trained=TRAINED)
def table_3_as_figure() -> Figure:
    """Table 3: the paper's numbers on the left, and beside them ours, a panel for each profile that has runs."""
    of = {
        name: rows[rows["metric"] == "mse"] for name, rows in triangle_profiles(read_results(task="triangle")).items()
    }
    of = {name: rows for name, rows in of.items() if len(rows)}
    paper = paper_numbers(3).query("metric == 'mse'").set_index("model")
    fig, (left, *others) = subplots(1, 1 + max(len(of), 1), figsize=(7.2, 4.6), sharey=True)
    places = {model: place for place, model in enumerate(TRIANGLE_MODELS)}
    for model, place in places.items():
        number = paper.loc[TRIANGLE_MODELS[model]]
        left.errorbar(number["mean"], place, xerr=number["std"], fmt="s", color=COLOURS["grey"], capsize=4)
        for ax, rows in zip(others, of.values(), strict=False):
            values = rows.loc[rows["model"] == model, "value"].to_numpy(dtype=float)
            if len(values):
                ax.plot(values, np.full(len(values), place), "o", mfc="none", color=LINES[model][0])
                ax.plot([values.mean()], [place], "|", ms=18, mew=2.5, color=LINES[model][0])
    left.set_yticks(list(places.values()), [_name(model) for model in places])
    left.invert_yaxis()
    left.set_title("the paper's,\n100 points", fontsize=SMALL)
    _errors(left, 2.0, 60.0)
    for ax, (name, rows) in zip(others, of.items(), strict=False):
        points = make_settings("triangle", "eqgat", name).data_options["num_points"]
        ax.set_title(f"ours, {name} profile,\n{points} points, n = {_seeds(rows)}", fontsize=SMALL)
        _errors(ax, rows["value"].min() / 1.4, rows["value"].max() * 1.4)
    if not of:
        no_runs_yet(others[0])
        others[0].set_title("ours")
    ours = " ".join(_origin(rows, name) for name, rows in of.items())
    ours = f"{ours} Circles are runs, bars their means." if of else "None of ours yet."
    if "quick" in of:
        ours += " The quick profile's clouds are smaller: its errors cannot be compared with the others."
    caption = f"Table 3. Left: the paper's means and standard deviations. Beside it: our runs. {ours}"
    return describe(fig, caption, caption, _trained(pd.concat(of.values())) if of else NOT_TRAINED)


def _errors(ax: Axes, low: float, high: float) -> None:
    """An axis of errors, logarithmic, with ticks that are decimal numbers."""
    ticks = [tick for tick in (0.5, 1, 2, 3, 5, 10, 20, 40) if low <= tick <= high]
    ax.set(xscale="log", xlabel="test MSE", xlim=(low, high))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


@figure(
    name="fig-2-triangle", notebook="09", data="generated: first cloud of the Triangle data, seed 0", trained="nothing"
)
def triangle_structure() -> Figure:
    """Fig. 2: one structure of the Triangle data, a hundred points in a ball, and the triangle of the special three."""
    cloud = make_triangles(1, seed=0, progress=False)
    points, corners = cloud.pos[0].double().numpy(), cloud.special[0].numpy()
    special = np.isin(np.arange(len(points)), corners)
    a, b, c = points[corners]
    # Seen neither edge on, which would hide the triangle, nor from straight above, which would hide the depth.
    normal, along = np.cross(b - a, c - a), b - a
    camera = Camera(tuple(normal / np.linalg.norm(normal) + 0.6 * along / np.linalg.norm(along)), tuple(c - a))
    elements = np.where(special, "O", "C").tolist()  # for their colours
    sides = Edges(corners[[[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]]], colour=COLOURS["vermilion"])
    radii = np.where(special, 0.55, 0.34)
    scene = Scene(points, elements, radii=radii, edges=sides, faded=~special, camera=camera)
    fig = scene.still(6.4, 5.6)
    ax = fig.axes[0]
    page, corner = scene.page(points), scene.page(points[corners])
    low, high = page[:, 2].min(), page[:, 2].max()
    steps = 20  # the triangle in small pieces, each at its own depth: points in front of it cover it, others do not
    for i, j in np.ndindex(steps, steps):
        for shares in ([(i, j), (i + 1, j), (i, j + 1)], [(i + 1, j), (i + 1, j + 1), (i, j + 1)]):
            if max(sum(share) for share in shares) > steps:
                continue
            piece = np.array([(s, t, steps - s - t) for s, t in shares]) / steps @ corner
            depth = 10 + 120 * (piece[:, 2].mean() - 0.6 - low) / (high - low)
            ax.add_patch(Polygon(piece[:, :2], facecolor="#EFB48A", edgecolor="#EFB48A", linewidth=0.8, zorder=depth))
    for name, place in zip("ABC", corner, strict=True):
        side = 1 if place[0] > corner[:, 0].mean() else -1
        label = ax.annotate(name, place[:2], (18 * side, 0), textcoords="offset points", ha="center", va="center")
        label.set(zorder=1000, path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")])
    targets = dict(zip(cloud.target_names, cloud.y[0].tolist(), strict=True))
    caption = (
        f"Our drawing after the paper's Fig. 2: one structure of the Triangle data, {len(points)} points in a ball of "
        f"radius {cloud.options.radius:g} Å, no two closer than {cloud.options.min_distance:g} Å. Three of them, A, B "
        f"and C, span the coloured triangle. To be predicted: the distance of its centre from the centre of all "
        f"points ({targets['distance']:.2f} Å), its perimeter ({targets['perimeter']:.2f} Å) and its area "
        f"({targets['area']:.1f} Å²)."
    )
    return describe(fig, caption, caption)


@figure(
    name="triangle-noise",
    notebook="09",
    data="generated Triangle clouds with displaced points; figures/results/noise.csv",
    trained=f"{TRAINED} without noise",
)
def error_against_noise() -> Figure:
    rows = read_noise()
    fig, ax = subplots(figsize=(6.4, 4.4))
    if rows.empty:
        no_runs_yet(ax)
        return describe(fig, "No model was tested on noisy clouds yet.", trained=NOT_TRAINED)
    levels, told = sorted(set(rows["noise"])), []
    for model in (name for name in TRIANGLE_MODELS if name in set(rows["model"])):
        errors = rows[rows["model"] == model].groupby("noise")["mse"].agg(["mean", "min", "max"])
        colour, line = LINES[model]
        label = _name(model).replace("\n", " ")
        told.append(f"{label} from {errors['mean'].iloc[0]:.3g} to {errors['mean'].iloc[-1]:.3g}")
        ax.plot(range(len(levels)), errors["mean"], line, color=colour, marker="o", ms=5, label=label)
        ax.fill_between(range(len(levels)), errors["min"], errors["max"], color=colour, alpha=0.15, lw=0)
    blind = float(rows["mse_of_the_mean"].iloc[0])
    ax.axhline(blind, color=COLOURS["grey"], ls="--")
    ax.annotate("predict-the-mean", (0, blind), xytext=(0, 5), textcoords="offset points", fontsize=SMALL)
    ax.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    ax.set(xlabel="noise: standard deviation of each coordinate (Å)", ylabel="test MSE, raw targets", yscale="log")
    ax.set_ylim(0.8 * rows["mse"].min(), 1.5 * blind)
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 40, 100, 200) if rows["mse"].min() < tick < 1.5 * blind]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    fig.legend(loc="outside upper center", ncol=3, fontsize=SMALL)
    return describe(
        fig,
        "Error on test clouds whose points were displaced, against the size of the displacements; the answers asked for are "
        f"those of the clean clouds. {' and '.join(sorted(set(rows['profile']))).capitalize()} profile, {_seeds(rows)} seeds "
        f"a model, lines are means, bands the best and the worst seed; {', '.join(sorted(set(rows['device'])))}, commit "
        f"{', '.join(sorted(set(rows['commit'])))}.",
        f"Lines, one a model: mean error without noise and with {levels[-1]:g} Å of it: {'; '.join(told)}; "
        f"predict-the-mean {blind:.3g}.",
        _trained(rows).replace(CLOUDS, f"{CLOUDS} without noise"),
    )
