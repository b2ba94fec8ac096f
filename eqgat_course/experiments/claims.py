"""What the paper claims, what came out here, and a verdict, all from the paper's numbers and the results store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from eqgat.training.intervals import difference_interval
from eqgat.training.results import read_predictions
from eqgat.training.settings import MODELS
from eqgat_course.experiments.plans import read_plan, recorded
from eqgat_course.experiments.tables import FEWEST, paper_numbers

__all__ = ["Claim", "claims"]

_RIVALS = ("schnet", "painn", "gvp", "segnn", "eqgat-no-cross-product", "eqgat-no-feature-attention")
NOT_TRIED = "could not be tried"


class Claim(NamedTuple):
    """A sentence of the paper, what came out here, and the verdict."""

    says: str
    here: str
    verdict: str


def claims(results: pd.DataFrame, store: Path | None = None) -> list[Claim]:
    """The claims that the paper's abstract and tables make, against the rows of the results store.

    ``store`` holds the predictions of its runs; None: the store of this checkout.

    Two models are told apart by Welch's test on the logarithms of their errors, over seeds, in each profile that has
    both: surely from p < 0.01 on, since six are compared, and perhaps up to 0.05. On other data an interval of the
    difference has to leave out zero, see ``difference_interval``.

    >>> from eqgat.training.results import COLUMNS
    >>> claims(pd.DataFrame(columns=list(COLUMNS)))[-1].verdict
    'could not be tried'
    """
    exact = Claim(
        "Rotations leave the scalars alone and turn the vectors along (Appendix A)",
        "proved in notebook 07, measured in float64 on real proteins",
        "holds",
    )
    return [exact, *(_triangle(rival, results) for rival in _RIVALS), *_other_data(results, store), *_atom3d()]


def _triangle(rival: str, results: pd.DataFrame) -> Claim:
    """EQGAT against another model on the Triangle data."""
    paper = paper_numbers(3).query("metric == 'mse'").set_index("model")["mean"]
    name = MODELS[rival].labels["3"]
    ours, theirs = float(paper["EQGAT-Full"]), float(paper[name])
    relation = "below" if ours < theirs else "above"
    says = f"Triangle: EQGAT's error is {relation} that of {name.removeprefix('EQGAT-')} ({ours:.2f} and {theirs:.2f})"
    rows = results[
        (results["task"] == "triangle")
        & (results["split"] == "test")
        & (results["metric"] == "mse")
        & (results["changed"] == "")
    ]
    here, verdicts = [], []
    for profile in ("full", "cpu", "quick"):
        own, other = (
            rows[(rows["model"] == model) & (rows["profile"] == profile)]["value"].astype(float)
            for model in ("eqgat", rival)
        )
        if not len(own) or not len(other):
            continue
        here.append(f"{profile}: {own.mean():.2f} and {other.mean():.2f}, {_seeds(own, other)}")
        agrees = (own.mean() < other.mean()) == (ours < theirs)
        if min(len(own), len(other)) == 1:
            verdicts.append(f"{profile}: {'agrees' if agrees else 'the other way round'}, but one seed")
            continue
        p = float(ttest_ind(np.log(own), np.log(other), equal_var=False).pvalue)
        order = "reproduced" if agrees else "the other way round"
        verdict = order if p < 0.01 else f"perhaps {order}" if p < 0.05 else "not told apart"
        verdicts.append(f"{profile}: {verdict} (p = {p:.2g})")
    return Claim(says, "; ".join(here), "; ".join(verdicts) or NOT_TRIED)


def _seeds(ours: Sequence[float] | pd.Series, theirs: Sequence[float] | pd.Series) -> str:
    first, second = len(ours), len(theirs)
    return (
        f"{first} and {second} seeds" if first != second else "one seed each" if first == 1 else f"{first} seeds each"
    )


# Task, metric, the plan whose runs count, and what the paper says of EQGAT's numbers, larger or smaller than others.
_OTHER_DATA = (
    ("res", "accuracy", "res-weights", "accuracy", 1),
    ("ppi", "roc_auc", "atom3d", "area under the curve", 1),
    ("lba", "rmse", "atom3d", "RMSE", -1),
    ("psr", "mean_spearman", "atom3d", "mean R_S", 1),
    ("rsr", "mean_spearman", "atom3d", "mean R_S", 1),
)


def _other_data(results: pd.DataFrame, store: Path | None) -> Iterator[Claim]:
    """EQGAT against SchNet and PaiNN on sets in the schema of ATOM3D; for RES, the networks of the shipped weights.

    The verdict needs the predictions: the interval of the difference must not reach zero. Seeds are averaged.
    """
    numbers = paper_numbers(1)
    for task, metric, plan, words, sign in _OTHER_DATA:
        paper = numbers[(numbers["task"] == task.upper()) & (numbers["metric"] == metric)].set_index("model")["mean"]
        found: dict[str, list[tuple[str, float]]] = {}
        for run in read_plan(plan).runs:
            if run.settings.task == task and len(rows := recorded(run, results)):
                for row in rows[(rows["metric"] == metric) & (rows["split"] == "test")].to_dict("records"):
                    own = run.settings.run_name(str(row["data"])), float(row["value"])
                    found.setdefault(run.settings.model, []).append(own)
        for rival in ("schnet", "painn"):
            label, relation = MODELS[rival].labels["1"], "above" if sign > 0 else "below"
            says = (
                f"{task.upper()}: EQGAT's {words} is {relation} {label}'s ({paper['EQGAT']:.2f} and {paper[label]:.2f})"
            )
            if not {"eqgat", rival} <= set(found):
                yield Claim(says, "", NOT_TRIED)
                continue
            ours, theirs = ([value for _, value in found[model]] for model in ("eqgat", rival))
            here = f"other data: {np.mean(ours):.2f} and {np.mean(theirs):.2f}, {_seeds(ours, theirs)}"
            try:
                first, second = ([read_predictions(run, store) for run, _ in found[name]] for name in ("eqgat", rival))
            except FileNotFoundError:
                yield Claim(says, here, "no predictions to judge by")
                continue
            interval = difference_interval(first, second, metric, fewest=FEWEST)
            if interval is None:
                yield Claim(says, here, f"{first[0]['group'].nunique()} targets are too few to judge by")
                continue
            low, high = interval
            order = "agrees" if sign * low > 0 and sign * high > 0 else "the other way round"
            verdict = "not told apart" if low <= 0 <= high else order
            one = ", but one seed" if min(len(ours), len(theirs)) == 1 and verdict != "not told apart" else ""
            yield Claim(says, f"{here}; difference {low:+.3f} to {high:+.3f}", verdict + one)


def _atom3d() -> list[Claim]:
    return [
        Claim(
            "ATOM3D: all numbers of Tables 1 and 4",
            "neither the official data nor a GPU for the paper's settings were at hand; the rows above are of small sets in "
            "their schema",
            NOT_TRIED,
        )
    ]
