"""What the paper claims, what came out here, and a verdict, all from the paper's numbers and the results store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from eqgat.training.intervals import difference_interval
from eqgat.training.results import read_predictions
from eqgat.training.settings import MODELS
from eqgat_course.experiments.plans import read_plan, recorded
from eqgat_course.experiments.tables import paper_numbers

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

    Two models are told apart by Welch's test on the logarithms of their errors, over seeds: surely from p < 0.01 on,
    since six are compared, and perhaps up to 0.05. Of two profiles the one with more seeds is asked.

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
    best: tuple[int, str, pd.Series, pd.Series] | None = None
    for profile in ("full", "cpu", "quick"):
        own, other = (
            rows[(rows["model"] == model) & (rows["profile"] == profile)]["value"].astype(float)
            for model in ("eqgat", rival)
        )
        count = min(len(own), len(other))
        if count and (best is None or count > best[0]):
            best = (count, profile, own, other)
    if best is None:
        return Claim(says, "", NOT_TRIED)
    count, profile, own, other = best
    here = f"{own.mean():.2f} and {other.mean():.2f}, {len(own)} and {len(other)} seeds, {profile} profile"
    agrees = (own.mean() < other.mean()) == (ours < theirs)
    if count == 1:
        return Claim(says, here, "agrees, but one seed" if agrees else "the other way round, but one seed")
    p = float(ttest_ind(np.log(own), np.log(other), equal_var=False).pvalue)
    order = "reproduced" if agrees else "the other way round"
    verdict = order if p < 0.01 else f"perhaps {order}" if p < 0.05 else "not told apart"
    return Claim(says, here, f"{verdict} (p = {p:.2g})")


def _other_data(results: pd.DataFrame, store: Path | None) -> Iterator[Claim]:
    """EQGAT against two others on sets in the schema of ATOM3D: RES with the networks of the shipped weights, and PPI.

    The verdict needs the predictions: the interval of the difference, whole proteins or complexes of the test set drawn
    anew, must not reach zero. Seeds are averaged.
    """
    numbers = paper_numbers(1)
    for task, metric, plan, words in (
        ("res", "accuracy", "res-weights", "accuracy"),
        ("ppi", "roc_auc", "atom3d", "area under the curve"),
    ):
        paper = numbers[(numbers["task"] == task.upper()) & (numbers["metric"] == metric)].set_index("model")["mean"]
        found: dict[str, list[tuple[str, float]]] = {}
        for run in read_plan(plan).runs:
            if run.settings.task == task and len(rows := recorded(run, results)):
                for row in rows[rows["metric"] == metric].to_dict("records"):
                    own = run.settings.run_name(str(row["data"])), float(row["value"])
                    found.setdefault(run.settings.model, []).append(own)
        for rival in ("schnet", "painn"):
            label = MODELS[rival].labels["1"]
            says = f"{task.upper()}: EQGAT's {words} is above {label}'s ({paper['EQGAT']:.2f} and {paper[label]:.2f})"
            if not {"eqgat", rival} <= set(found):
                yield Claim(says, "", NOT_TRIED)
                continue
            ours, theirs = ([value for _, value in found[model]] for model in ("eqgat", rival))
            here = f"{np.mean(ours):.2f} and {np.mean(theirs):.2f}, {len(ours)} and {len(theirs)} seeds, other data"
            try:
                first, second = ([read_predictions(run, store) for run, _ in found[name]] for name in ("eqgat", rival))
                interval = difference_interval(first, second, metric)
            except FileNotFoundError:
                interval = None
            if interval is None:
                yield Claim(says, here, "other data, and no predictions to judge by")
                continue
            low, high = interval
            verdict = "agrees" if low > 0 else "the other way round" if high < 0 else "not told apart"
            yield Claim(says, f"{here}; difference {low:+.3f} to {high:+.3f}", f"{verdict}, other data")


def _atom3d() -> list[Claim]:
    return [
        Claim(
            "ATOM3D: the other numbers of Tables 1, 2 and 4 (LBA, PSR, RSR)",
            "neither the official data nor a GPU for the paper's settings were at hand; what small sets in their schema "
            "gave is no measure of the models",
            NOT_TRIED,
        )
    ]
