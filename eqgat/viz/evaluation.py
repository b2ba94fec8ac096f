"""Pictures of what a trained model says of labelled data, and the command that makes them: ``eqgat evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eqgat.cli import Parser
from eqgat.datasets.task import SPLITS, TASKS
from eqgat.errors import UserError
from eqgat.files import check_output, home, is_writable, write_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["calibration", "evaluation_figure", "main"]

MOST_GROUPS = 12  # that get a row of their own in the picture


def calibration(said: np.ndarray, found: np.ndarray, bins: int = 8) -> pd.DataFrame:
    """What was found, on average, where about the same was said: columns said, found, error and count, a row a bin.

    Args:
        said: predictions [n], in numbers or as probabilities.
        found: targets [n], or whether the prediction was right.
        bins: of equal counts, as far as ties allow.

    Returns:
        Means in each bin, and "error", the standard error of the mean of ``found`` (0 for one row).

    >>> calibration(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]), bins=2)["found"].tolist()
    [0.0, 1.0]
    """
    rows = pd.DataFrame({"said": said, "found": np.asarray(found, dtype=np.float64)})
    number = pd.qcut(rows["said"].rank(method="average"), min(bins, len(rows)), labels=False, duplicates="drop")
    grouped = rows.groupby(number)
    table = grouped.mean()
    table["error"] = (grouped["found"].std(ddof=0) / grouped["found"].count() ** 0.5).fillna(0.0)
    table["count"] = grouped["found"].count()
    return table.reset_index(drop=True)


def evaluation_figure(predictions: pd.DataFrame, what: str = "label") -> Figure:
    """Three panels: prediction against target, calibration, and the error of each group.

    Args:
        predictions: as ``evaluate`` or a run gives them: target and prediction, or prediction_0, prediction_1, ... as
            logits of classes, or of several targets target_0, ... (of which the first is drawn); and maybe group.
        what: name of the label, with its unit.

    >>> rows = pd.DataFrame({"id": ["a", "b"], "target": [1.0, 2.0], "prediction": [1.5, 2.0]})
    >>> evaluation_figure(rows, "pK").eqgat_details["caption"]
    'Left: prediction against target. ...; mean absolute error 0.25 over 2 predictions.'
    """
    from matplotlib.pyplot import close, subplot_mosaic

    from eqgat.viz.style import describe, plain, style

    what = plain(what)

    columns = [name for name in predictions if name.startswith("prediction")]
    several = "target" not in predictions
    classes = len(columns) > 1 and not several
    target = predictions["target_0" if several else "target"].to_numpy()
    said = predictions[columns].to_numpy()
    groups = predictions["group" if "group" in predictions else "id"].astype(str).map(plain)
    with style():
        if classes:  # a matrix with a name for each row needs the height of two panels
            fig, axes = subplot_mosaic("ab;ac", figsize=(9.5, 5.8), width_ratios=(1.7, 1))
        else:
            fig, axes = subplot_mosaic("abc", figsize=(10.5, 3.9))
        left, middle, right = (axes[name] for name in "abc")
        if classes:
            names = predictions.get("target_class", predictions["target"].astype(str)).map(plain)
            chance = np.exp(said - np.logaddexp.reduce(said, axis=1, keepdims=True))
            right_one = said.argmax(axis=1) == target
            _confusion(left, target.astype(int), said.argmax(axis=1), names)
            _calibrated(middle, chance.max(axis=1), right_one, "probability of the answer", "share of right answers")
            _by_group(right, groups, right_one, "share of right answers")
            places = ("Left: confusion, a row a true class", "Top right", "Below it: share of right answers")
            words = f"{right_one.mean():.3f} of {len(target)} answers are right"
        else:
            _parity(left, target, said[:, 0], what)
            _calibrated(middle, said[:, 0], target, f"predicted {what}", f"mean found,\n{what}")
            _by_group(right, groups, np.abs(said[:, 0] - target), f"mean absolute error,\n{what}")
            places = ("Left: prediction against target", "Middle", "Right: error")
            words = f"mean absolute error {np.abs(said[:, 0] - target).mean():.3g} over {len(target)} predictions"
    close(fig)
    count = groups.nunique()
    several_groups = f"in the {MOST_GROUPS} largest of {count} groups" if count > MOST_GROUPS else "by group"
    text = f"{places[0]}. {places[1]}: calibration (bars: standard error). {places[2]} {several_groups}; {words}."
    return describe(fig, text, text)


def _parity(ax: Axes, target: np.ndarray, said: np.ndarray, what: str) -> None:
    ends = [min(target.min(), said.min()), max(target.max(), said.max())]
    ax.plot(ends, ends, color="0.5", lw=1)
    ax.plot(target, said, "o", ms=4, alpha=0.5)
    ax.set(xlabel=f"{what}", ylabel=f"predicted {what}", title="parity")


def _confusion(ax: Axes, target: np.ndarray, answer: np.ndarray, names: Any) -> None:
    """How often each class was answered for each: a row a true class, shares of the row."""
    label = dict(zip(target.tolist(), names, strict=True))
    kinds = sorted(set(target.tolist()) | set(answer.tolist()))
    counts = pd.crosstab(target, answer).reindex(index=kinds, columns=kinds, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    picture = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ax.figure.colorbar(picture, ax=ax, label="share of the row")
    ticks = [label.get(kind, str(kind)) for kind in kinds]
    ax.set_xticks(range(len(kinds)), ticks, rotation=90, fontsize=8)
    ax.set_yticks(range(len(kinds)), ticks, fontsize=8)
    ax.grid(visible=False)
    ax.set(xlabel="answer", ylabel="truth", title="confusion")


def _calibrated(ax: Axes, said: np.ndarray, found: np.ndarray, x: str, y: str) -> None:
    table = calibration(said, found)
    ends = [min(table["said"].min(), table["found"].min()), max(table["said"].max(), table["found"].max())]
    ax.plot(ends, ends, color="0.5", lw=1)
    ax.errorbar(table["said"], table["found"], yerr=table["error"], fmt="o-", ms=5)
    ax.set(xlabel=x, ylabel=y, title="calibration")


def _by_group(ax: Axes, groups: pd.Series, value: np.ndarray, what: str) -> None:
    """The mean of a value in each group; of many groups, the largest."""
    table = pd.DataFrame({"group": groups.to_numpy(), "value": np.asarray(value, dtype=np.float64)}).groupby("group")
    size = table["value"].count().sort_values(ascending=False, kind="stable")
    mean = table["value"].mean()[size.index[:MOST_GROUPS]].sort_values()
    ax.plot(mean, range(len(mean)), "o")
    ax.axvline(float(np.mean(value)), color="0.5", lw=1)
    ax.set_yticks(range(len(mean)), mean.index, fontsize=9)
    ax.set(xlabel=what, title=f"{len(mean)} largest of {len(size)} groups" if len(size) > len(mean) else "by group")


def main(argv: list[str]) -> None:
    """Test a trained model: metrics with 95 % intervals, predictions with targets, plots."""
    parser = Parser(prog="eqgat evaluate", description=main.__doc__)
    parser.add_argument("trained", metavar="MODEL", help="folder of a finished run or of its model, or res")
    parser.add_argument("--structures", metavar="DIR", help="folder of own structures")
    parser.add_argument("--labels", metavar="FILE", help="their table of labels (a model of res needs none)")
    parser.add_argument("--target", default="", metavar="COLUMN", help="of the table; default: as in training")
    parser.add_argument("--task", default="", metavar="TASK", help="instead of own data: those of the model's task")
    parser.add_argument("--data", metavar="DIR", help="folder of the task's data; default: the toy data")
    parser.add_argument(
        "--split",
        default="",
        metavar="PART",
        help=f"{', '.join(SPLITS)} or all; default: test, of own data that it was not trained on all",
    )
    parser.add_argument(
        "-o", "--out", default="evaluation", metavar="DIR", help="where to write (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    if options.task and options.task not in TASKS:
        raise UserError(f"unknown task {options.task!r}; there are {', '.join(TASKS)}")
    for folder, option in ((options.data, "--data"), (options.structures, "--structures")):
        if folder is not None and not home(folder).is_dir():
            raise UserError(f"there is no folder {folder!r} ({option})")
    is_writable(options.out, "--out")
    out = home(options.out)
    files = [out / name for name in ("predictions.csv", "metrics.csv", "evaluation.png", "evaluation.svg")]
    for file in files:
        check_output(file, [options.labels] if options.labels else [])
    from eqgat.training.evaluation import evaluate, metric_lines

    where = {name: getattr(options, name) for name in ("structures", "labels", "target", "task", "data", "split")}
    found = evaluate(options.trained, **where)
    if found.told:
        print(found.told)
    tables = (found.predictions, found.metrics)
    contents: dict[Path, bytes | str] = {
        file: table.to_csv(index=False, float_format="%.6g") for file, table in zip(files, tables, strict=False)
    }
    made = "predictions.csv, metrics.csv"
    try:
        from eqgat.viz.style import as_files
    except ImportError:
        made += " (no plots: matplotlib is not installed)"
    else:
        what = options.target or found.settings.data_options.get("target", "label")
        contents |= as_files(evaluation_figure(found.predictions, what), out / "evaluation")
        made += ", evaluation.png and .svg"
    write_files(contents)
    groups = found.predictions["group" if "group" in found.predictions else "id"].nunique()
    few = " (of so few groups rather too short)" if groups < 10 else ""
    size = f"{len(found.predictions)} predictions in {groups} groups"
    print(f"{found.data}, {size}; 95 % intervals, groups as wholes{few}:")
    print(metric_lines(found.metrics))
    print(f"{made} are in {out}")
