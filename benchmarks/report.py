"""The report: Markdown, one table of all numbers, two figures."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import NullFormatter
from measure import Spread

from eqgat.viz import use_style
from eqgat_course.ch14_paper_code_and_beyond.figures import draw_time_against_atoms

TITLES = {
    "models": "Models side by side",
    "scale": "Time and memory against atoms",
    "roofline": "What must be done, and how long we take",
    "precision": "Precision",
    "allocator": "Memory given back at once, or kept",
    "neighbours": "Neighbour search",
    "engine": "The training engine against a plain loop",
    "loading": "Loading against training",
}


def write_report(folder: Path, facts: dict[str, str], rows: pd.DataFrame) -> None:
    """Write report.md, numbers.csv and the figures; parts that were not measured this time stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    use_style()
    rows = rows.assign(**facts)  # each line stands by itself
    numbers = folder / "numbers.csv"
    if numbers.exists():
        words = dict.fromkeys(("case", "side", "unit", *facts), str)
        before = pd.read_csv(numbers, dtype=words, keep_default_na=False, na_values=dict.fromkeys(Spread._fields, ""))
        rows = pd.concat([before[~before["part"].isin(rows["part"])], rows])
    rows = rows.sort_values("part", key=lambda names: names.map(list(TITLES).index), kind="stable")
    rows.to_csv(numbers, index=False, float_format="%.6g")
    lines = ["# Speed and memory", "", "Written by `make bench`; do not edit.", ""]
    lines += ["Each number is the median of its repeats, with quartiles in brackets; a ratio is that of pairs.", ""]
    for part, title in TITLES.items():
        found = rows[rows["part"] == part]
        if len(found):
            about = "; ".join(f"{name}: {found[name].iloc[0]}" for name in facts)
            lines += [f"## {title}", "", *_figure(part, found, folder), *_tables(found), "", about + ".", ""]
    (folder / "report.md").write_text("\n".join(lines), encoding="utf-8")


def _tables(rows: pd.DataFrame) -> list[str]:
    """One table: a line for each case and side, a column for each quantity."""
    quantities = list(dict.fromkeys(zip(rows["quantity"], rows["unit"], strict=True)))
    head = ["", "", *(f"{name} ({unit})" if unit else name for name, unit in quantities)]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for (case, side), group in rows.groupby(["case", "side"], sort=False):
        cells = {row["quantity"]: _cell(row) for _, row in group.iterrows()}
        lines.append(f"| {case} | {side} | {' | '.join(cells.get(name, '') for name, _ in quantities)} |")
    return lines


def _cell(row: pd.Series) -> str:
    number = f"{row['value']:,.0f}" if abs(row["value"]) >= 1000 else f"{row['value']:.3g}"
    return number if row["repeats"] == 1 else f"{number} ({row['low']:.3g} - {row['high']:.3g})"


def _figure(part: str, rows: pd.DataFrame, folder: Path) -> list[str]:
    """Draw the figure of a part that has one; the line that shows it."""
    draw = {"models": _draw_models, "scale": _draw_scale}.get(part)
    if draw is None:
        return []
    figure, alt = draw(rows)
    for kind in ("png", "svg"):
        figure.savefig(folder / f"{part}.{kind}")
    plt.close(figure)
    return [f"![{alt}]({part}.png)", ""]


def _draw_models(rows: pd.DataFrame) -> tuple[plt.Figure, str]:
    cases, sides = list(dict.fromkeys(rows["case"])), [side for side in dict.fromkeys(rows["side"]) if side]
    quantities = [("training step", "time of a step (s)"), ("memory of a step", "memory of a step (MiB)")]
    figure, axes = plt.subplots(len(quantities), len(cases), figsize=(3.6 * len(cases), 6.4), squeeze=False)
    for column, case in enumerate(cases):
        for line, (quantity, label) in enumerate(quantities):
            found = rows[(rows["case"] == case) & (rows["quantity"] == quantity)]
            ax = axes[line][column]
            values = found.set_index("side")["value"].reindex(sides)  # a side that did not fit leaves a gap
            colours = ["C1" if side.startswith("EQGAT") else "C0" for side in sides]
            ax.barh(range(len(sides)), values, color=colours)
            for place, value in enumerate(values):
                if pd.isna(value):
                    ax.text(0.02, place, "not run", va="center", fontsize=8, transform=ax.get_yaxis_transform())
            ax.set(yticks=range(len(sides)), yticklabels=sides, ylim=(len(sides) - 0.5, -0.5))
            ax.set(xscale="log", xlabel=label, title=case if line == 0 else "")
            ax.xaxis.set_minor_formatter(NullFormatter())
            if len(found):
                ax.set_xlim(found["value"].min() / 2, found["value"].max() * 2)
            ax.tick_params(axis="y", labelleft=column == 0)
    return figure, "Bars: time and memory of a training step of the models, on each batch; logarithmic axes"


def _draw_scale(rows: pd.DataFrame) -> tuple[plt.Figure, str]:
    figure = draw_time_against_atoms(rows)
    return figure, "Lines: time an atom and memory against the number of atoms"
