"""Figures of notebook 13: the ablations of Tables 3 and 4, intervals of differences, power, and parts knocked out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots
from scipy import stats

from eqgat.training import read_results
from eqgat.viz.style import COLOURS, describe
from eqgat_course.ch13_ablations.study import (
    ABLATED,
    FULL,
    KNOCK_OUTS,
    METRICS,
    OUR_METRICS,
    lost_and_won,
    our_choices,
    our_runs,
    paper_differences,
    paper_rows,
    power,
    runs_needed,
    simulated_power,
    store_label,
)
from eqgat_course.figures import figure, no_runs_yet
from eqgat_course.results import NOT_TRAINED, shipped_model, trained_for

SHORT = {FULL: "full", ABLATED[0]: "no cross\nproduct", ABLATED[1]: "no feature\nattention"}
LOOKS = {FULL: (COLOURS["blue"], "o"), ABLATED[0]: (COLOURS["orange"], "s"), ABLATED[1]: (COLOURS["black"], "D")}
UNITS = {"mean of the three": "mixed units", "distance": "Å²", "perimeter": "Å²", "area": "Å⁴"}
STORE = "the results store, figures/results/triangle"
PAPER = "the paper's Tables 3 and 4"
SMALL = 11.5


def _grid(rows: list[str], height: float) -> tuple[Figure, list[Axes]]:
    """Four panels, two by two, with the same rows from top to bottom."""
    fig, grid = subplots(2, 2, figsize=(6.4, height), sharey=True)
    grid[0, 0].set_yticks(range(len(rows)), rows)
    grid[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    for ax in grid.flat:
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=4)
    return fig, list(grid.flat)


@figure(
    name="ablation-paper-tables",
    notebook="13",
    data=PAPER,
    trained="nothing; the runs are the paper's",
    caption="The full model and the two ablations in the paper's Tables 3 and 4: means and standard deviations of "
    "runs, as printed. An arrow down means that small is good.",
    alt="Four panels, Triangle MSE, LBA RMSE, PSR mean and global R_S, with three means and bars each. Most bars "
    "overlap; in the last panel the full model stands apart from both.",
)
def paper_tables() -> Figure:
    fig, panels = _grid([SHORT[model] for model in SHORT], 4.6)
    rows = paper_rows()
    for ax, name in zip(panels, METRICS.values(), strict=True):
        own = rows[rows["column"] == name].set_index("model")
        for place, model in enumerate(SHORT):
            colour, mark = LOOKS[model]
            ax.errorbar(own.loc[model, "mean"], place, xerr=own.loc[model, "std"], fmt=mark, color=colour, capsize=4)
        ax.set_title(name.replace("R_S", "$R_S$"), fontsize=SMALL + 1)
    return fig


def _intervals(ax: Axes, rows: pd.DataFrame, n_rows: int = 2) -> None:
    """Intervals of differences, one below the other; filled and dark where they leave out zero."""
    ax.axvline(0, color=COLOURS["grey"], lw=1.2, ls="--")
    for row in rows.itertuples():
        place = ABLATED.index(row.model)
        sure = row.low > 0 or row.high < 0
        colour = COLOURS["blue"] if sure else COLOURS["grey"]
        ax.plot([row.low, row.high], [place, place], color=colour, lw=3 if sure else 2, solid_capstyle="butt")
        ax.plot([row.difference], [place], "o", ms=8, color=colour, mfc=colour if sure else "white", mew=2)
    reach = max([1e-9, *rows["low"].abs(), *rows["high"].abs()]) * 1.08
    ax.set_xlim(-reach, reach)


WITHOUT = ["without cross\nproduct", "without feature\nattention"]


@figure(
    name="ablation-paper-intervals",
    notebook="13",
    data=f"computed from {PAPER}, n = 3, intervals of 95 %",
    trained="nothing; the runs are the paper's",
    caption="How much better the full model is than each ablated one: differences of the paper's means with "
    "Welch's 95 % intervals, with three runs each, as the paper says for the ATOM3D tasks and we take it for "
    "Triangle. To the right of the dashed line the part helps. Hollow: the interval contains zero.",
)
def paper_intervals() -> Figure:
    fig, panels = _grid(WITHOUT, 4.0)
    rows = paper_differences()
    for ax, name in zip(panels, METRICS.values(), strict=True):
        _intervals(ax, rows[rows["column"] == name])
        ax.set_title(name[:-2].replace("R_S", "$R_S$"), fontsize=SMALL + 1)
    fig.supxlabel("gain of the full model over the ablated one (right: the part helps)", fontsize=SMALL + 1)
    sure = rows[(rows["low"] > 0) | (rows["high"] < 0)]
    told = [
        f"{row.column[:-2]}, {row.model}: {row.difference:.2g} ({row.low:.2g} to {row.high:.2g})"
        for row in rows.itertuples()
    ]
    return describe(
        fig,
        "",
        f"Four panels with two intervals each; {len(rows) - len(sure)} of {len(rows)} contain zero. {'; '.join(told)}.",
    )


@figure(
    name="ablation-equal-models",
    notebook="13",
    data="simulated: 40 pairs of equal models, 3 runs each, seed 0",
    trained="nothing",
)
def equal_models(pairs: int = 40, n: int = 3) -> Figure:
    """Intervals of the difference of two equal models, by two rules, from the same runs."""
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, pairs, n))
    away = second.mean(axis=1) - first.mean(axis=1)
    parts = [x.var(axis=1, ddof=1) / n for x in (first, second)]
    error = np.sqrt(parts[0] + parts[1])
    freedom = (parts[0] + parts[1]) ** 2 / ((parts[0] ** 2 + parts[1] ** 2) / (n - 1))
    fig, panels = subplots(1, 2, figsize=(6.4, 4.4), sharey=True, sharex=True)
    said = []
    for ax, name, factor in zip(
        panels,
        ("1.96 standard errors", "Welch: t of few runs"),
        (np.full(pairs, 1.96), stats.t.ppf(0.975, freedom)),
        strict=True,
    ):
        missed = abs(away) > factor * error
        said.append(int(missed.sum()))
        for place in range(pairs):
            colour = COLOURS["vermilion"] if missed[place] else COLOURS["grey"]
            half = factor[place] * error[place]
            ax.plot(
                [away[place] - half, away[place] + half], [place, place], color=colour, lw=3.4 if missed[place] else 1.5
            )
            ax.plot([away[place]], [place], "o", ms=4, color=colour)
        ax.axvline(0, color=COLOURS["black"], lw=1.2, ls="--")
        ax.set_title(f"{name}\n{said[-1]} of {pairs} leave out zero", fontsize=SMALL + 1)
        ax.set(xlim=(-7, 7), yticks=[])
        ax.grid(axis="y", visible=False)
    fig.supxlabel("difference of the means (spreads)", fontsize=13)
    panels[0].set_ylabel(f"{pairs} comparisons of equal models")
    caption = (
        f"{pairs} comparisons of two models that do not differ, {n} runs each; the true difference is zero. "
        f"Left: ± 1.96 standard errors, {said[0]} intervals leave out zero (thick). Right: Welch's intervals of "
        f"the same runs, {said[1]} do."
    )
    return describe(fig, caption, caption)


def _nothing(fig: Figure, ax: Axes) -> Figure:
    no_runs_yet(ax)
    return describe(fig, "The results store has no runs yet.", trained=NOT_TRAINED)


@figure(
    name="ablation-our-runs",
    notebook="13",
    data=STORE,
    trained="the three variants of EQGAT on generated Triangle clouds",
)
def our_runs_as_figure() -> Figure:
    """The test errors of our runs, in total and for each target."""
    runs = our_runs(read_results(task="triangle"))
    fig, panels = _grid([SHORT[model] for model in SHORT], 4.8)
    if runs.empty:
        return _nothing(fig, panels[0])
    for ax, name in zip(panels, OUR_METRICS.values(), strict=True):
        for place, model in enumerate(SHORT):
            values = runs.query("column == @name and model == @model")["value"].to_numpy()
            colour, mark = LOOKS[model]
            ax.plot(values, np.full(len(values), place), mark, mfc="none", mew=1.8, color=colour)
            if len(values):
                ax.plot([values.mean()], [place], "|", ms=24, mew=2.5, color=colour)
        ax.set_title(f"{name.replace('R_S', '$R_S$')} ({UNITS[name]})", fontsize=SMALL + 1)
        ax.set_xlim(0, 1.07 * runs.query("column == @name")["value"].max())
    fig.supxlabel("mean squared error on the test set", fontsize=SMALL + 1)
    caption = (
        f"Our runs on the Triangle data, test set: {store_label(runs)}. Marks are runs, upright lines their "
        "means. Small is good. The clouds are smaller than the paper's; do not compare with its numbers."
    )
    return describe(fig, caption, caption, trained_for(runs))


@figure(
    name="ablation-our-intervals",
    notebook="13",
    data=STORE,
    trained="the three variants of EQGAT on generated Triangle clouds",
)
def our_intervals() -> Figure:
    """By how much each choice changes the error of the full model, with its interval."""
    rows = our_choices(read_results(task="triangle"))
    fig, ax = subplots(figsize=(6.4, 1.2 + 0.36 * max(len(rows), 3)))
    if rows.empty:
        return _nothing(fig, ax)
    for place, row in enumerate(rows.itertuples()):
        colour = COLOURS["vermilion"] if row.stands else COLOURS["blue"]
        ax.plot([row.low, row.high], [place, place], color=colour, lw=3, solid_capstyle="butt")
        ax.plot(row.difference, place, "o", color=colour)
    ax.axvline(0, color=COLOURS["grey"], lw=1.2)
    ax.set(yticks=range(len(rows)), yticklabels=[f"{row.choice} ({row.n})" for row in rows.itertuples()])
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel="extra error (right: worse)")
    ax.set_xscale("symlog", linthresh=1, linscale=1.3)  # one large difference would flatten all others
    ax.set_xticks([-1, -0.5, 0, 0.5, 1, 2, 5], ["−1", "", "0", "", "1", "2", "5"])
    ax.set_xlim(min(-1.0, rows["low"].min()) * 1.05, max(1.0, rows["high"].max()) * 1.15)
    ax.minorticks_off()
    ax.grid(axis="y", visible=False)
    caption = (
        "Mean squared error on the quick Triangle data, each choice against the full model with the same seeds and data: "
        f"difference of the means and Welch's 95 % interval; in brackets the seeds of each. The axis is logarithmic beyond 1. {int(rows['stands'].sum())} of {len(rows)} differences are "
        "significant after Holm's correction for all of them (orange)."
    )
    seeds = f"{rows['n'].min()} to {rows['n'].max()} seeds of each"
    trained = f"EQGAT and its variants on generated Triangle clouds, quick profile, {seeds}"
    return describe(fig, caption, caption, trained)


@figure(
    name="ablation-power",
    notebook="13",
    data="computed: noncentral t at the level of 5 %; circles: 20,000 simulated comparisons each",
    trained="nothing",
    caption="How often a true difference is found, against the number of runs of each model. The numbers at the "
    "lines are the difference in spreads of single runs. Lines: Student's t test at 5 %; circles: Welch's "
    "interval, simulated.",
)
def power_curves() -> Figure:
    fig, ax = subplots(figsize=(6.4, 4.3))
    runs = np.arange(2, 101)
    styles = {
        4.0: (COLOURS["blue"], "-", (2.05, 72)),
        2.0: (COLOURS["green"], "-", (4.9, 60)),
        1.0: (COLOURS["vermilion"], "-", (14.3, 60)),
        0.5: (COLOURS["black"], "-", (48, 58)),
    }
    for effect, (colour, line, place) in styles.items():
        ax.plot(runs, [100 * power(effect, int(n)) for n in runs], line, color=colour)
        some = [3, 5, 10, 20, 50]
        ax.plot(some, [100 * simulated_power(effect, n) for n in some], "o", mfc="white", color=colour)
        ax.text(*place, f"{effect:g}", color=colour, fontsize=14, ha="left", va="top", weight="bold")
    ax.axhline(80, color=COLOURS["grey"], lw=1.2, ls="--")
    ax.text(9.5, 81.5, "80 %", ha="center", va="bottom", fontsize=SMALL, color="#555555")
    ax.axvline(3, color=COLOURS["grey"], lw=1.2, ls=":")
    ax.text(3, 103, "n = 3", ha="center", va="bottom", fontsize=SMALL, color="#555555")
    ax.set(xscale="log", xlim=(2, 102), ylim=(0, 102), xlabel="runs of each model", ylabel="difference is found (%)")
    ticks = [2, 3, 5, 10, 20, 50, 100]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    told = [
        f"of {effect:g} {'spread' if effect == 1 else 'spreads'} in {100 * power(effect, 3):.0f} % of cases (80 % take "
        f"{runs_needed(effect)} runs)"
        for effect in styles
    ]
    return describe(fig, "", f"{len(told)} rising curves. With three runs a difference is found: {'; '.join(told)}.")


@figure(
    name="knocked-out",
    notebook="13",
    trained=shipped_model(),
    data="the shipped RES weights on embedded structures, test split",
)
def knocked_out() -> Figure:
    """Right answers lost and won when a part of the trained network is switched off."""
    table = lost_and_won("test")
    fig, ax = subplots(figsize=(6.4, 3.7))
    names = {"attention per channel": "attention\nper channel"}
    for place, row in enumerate(table.to_dict("records")):
        ax.barh(place, -row["lost"], 0.6, color=COLOURS["vermilion"], label="lost" if place == 0 else None)
        ax.barh(place, row["won"], 0.6, color=COLOURS["blue"], label="won" if place == 0 else None)
        ax.text(-row["lost"] - 1, place, f"{row['lost']:.0f}", ha="right", va="center", fontsize=SMALL)
        ax.text(row["won"] + 1, place, f"{row['won']:.0f}", ha="left", va="center", fontsize=SMALL)
    ax.axvline(0, color=COLOURS["black"], lw=1)
    ax.set_yticks(range(len(table)), [names.get(part, part) for part in KNOCK_OUTS])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    reach = 1.2 * max(table["lost"].max(), table["won"].max())
    ax.set(xlim=(-reach, reach), xlabel=f"right answers lost and won, of {table.attrs['environments']}")
    ticks = np.arange(-100, 101, 25)
    ax.set_xticks(ticks, [str(abs(tick)) for tick in ticks])
    ax.set_xlim(-reach, reach)
    fig.legend(loc="outside upper center", ncol=2)
    words = "; ".join(f"{part}: {row.lost:.0f} lost, {row.won:.0f} won" for part, row in table.iterrows())
    caption = (
        f"Parts of one trained network switched off, one at a time. The intact network answers "
        f"{table.attrs['right']} of {table.attrs['environments']} test environments rightly. {words}."
    )
    return describe(fig, caption, caption)
