"""What notebook 13 says about ablations: intervals of differences, how many runs they take, and parts knocked out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from eqgat import EQGAT
from eqgat.layers import EQGATLayer
from eqgat.pretrained import pretrained
from eqgat.training.results import read_predictions
from eqgat_course.experiments.plans import read_plan
from eqgat_course.experiments.tables import paper_numbers
from eqgat_course.residues import residue_answers
from eqgat_course.results import TARGETS, TRIANGLE_MODELS, quick_triangle_errors, triangle_runs

__all__ = [
    "ABLATED",
    "CHOICES",
    "FULL",
    "KNOCK_OUTS",
    "METRICS",
    "Interval",
    "ablated_twin",
    "cost_of_knocking_out",
    "cost_of_training_without",
    "holm",
    "knock_out",
    "linear_errors",
    "lost_and_won",
    "miss_rates",
    "our_choices",
    "our_runs",
    "paper_differences",
    "paper_rows",
    "power",
    "runs_needed",
    "sign_test",
    "simulated_power",
    "store_label",
    "welch",
    "width_for",
]

FULL = "EQGAT-Full"
ABLATED = ("EQGAT-No-Cross-Product", "EQGAT-No-Feature-Attention")
# Table, task and metric of each column of Tables 3 and 4 that has the three variants, and how a reader calls it.
METRICS = {
    (3, "Triangle", "mse"): "Triangle, MSE ↓",
    (4, "LBA", "rmse"): "LBA, RMSE ↓",
    (4, "PSR", "mean_spearman"): "PSR, mean R_S ↑",
    (4, "PSR", "global_spearman"): "PSR, global R_S ↑",
}
OUR_METRICS = {"mse": "mean of the three", **{f"mse_{name}": name for name in TARGETS}}
KNOCK_OUTS = ("cross product", "attention per channel", "all attention", "mixing", "direction")
RES_RADIUS = 9.0  # Å; the shipped weights were trained on environments of this size


class Interval(NamedTuple):
    """The difference of two means with its interval of confidence."""

    difference: float  # second minus first
    low: float
    high: float
    error: float  # standard error of the difference
    freedom: float  # degrees of freedom of the t distribution
    p: float  # two-sided p value of "no difference"


def welch(
    mean_1: float, std_1: float, mean_2: float, std_2: float, n_1: int = 3, n_2: int = 3, level: float = 0.95
) -> Interval:
    """Welch's interval of mean_2 - mean_1 for independent runs whose spreads may differ.

    Args:
        mean_1, std_1, n_1: mean, standard deviation (ddof 1) and number of the runs of the first model.
        mean_2, std_2, n_2: of the second.
        level: how often such intervals cover the true difference.

    Raises:
        ValueError: fewer than two runs of a model, or no spread at all.
    """
    if min(n_1, n_2) < 2 or not std_1**2 + std_2**2 > 0:
        raise ValueError("an interval needs two runs or more of each model, and a spread")
    part_1, part_2 = std_1**2 / n_1, std_2**2 / n_2
    error = (part_1 + part_2) ** 0.5
    freedom = (part_1 + part_2) ** 2 / (part_1**2 / (n_1 - 1) + part_2**2 / (n_2 - 1))
    difference = mean_2 - mean_1
    half = float(stats.t.ppf(0.5 + level / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return Interval(difference, difference - half, difference + half, error, freedom, p)


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of several differences remain if the chance of even one false alarm is to stay below ``level`` (Holm)."""
    order = np.argsort(p_values)
    kept = [False] * len(p_values)
    for rank, place in enumerate(order):
        if p_values[place] > level / (len(p_values) - rank):
            break
        kept[place] = True
    return kept


def paper_rows() -> pd.DataFrame:
    """The three variants in Tables 3 and 4, as printed: column, model, mean, std, sign (+1: large is good)."""
    rows = []
    for (table, task, metric), name in METRICS.items():
        numbers = paper_numbers(table)
        numbers = numbers[(numbers["task"] == task) & (numbers["metric"] == metric)].set_index("model")
        for model in (FULL, *ABLATED):
            row = numbers.loc[model]
            rows.append(
                {
                    "column": name,
                    "model": model,
                    "mean": row["mean"],
                    "std": row["std"],
                    "sign": 1 if row["direction"] == "max" else -1,
                }
            )
    return pd.DataFrame(rows)


def paper_differences() -> pd.DataFrame:
    """By how much the full model is better than each ablated one in Tables 3 and 4, a row a comparison.

    Columns: column, model, those of ``Interval``, and "effect": the size of the difference in spreads of single runs
    (root mean square of the two). Positive: the part that was left out helps. n = 3 runs each.
    """
    return _differences(paper_rows().assign(n=3))


def our_runs(results: pd.DataFrame) -> pd.DataFrame:
    """Test errors of the three variants on the Triangle data, from the store, a row a run and metric.

    Columns: column (total or target), model (the paper's name), seed, value; and profile, device, data, commit, parameters.
    """
    rows, _ = triangle_runs(results)
    rows = rows.assign(
        model=rows["model"].map(TRIANGLE_MODELS),
        column=rows["metric"].map(OUR_METRICS),
        value=rows["value"].astype(float),
        data="generated Triangle clouds",
    )
    rows = rows[rows["model"].isin((FULL, *ABLATED)) & rows["column"].notna()]
    columns = ["column", "model", "seed", "value", "profile", "device", "data", "commit", "parameters"]
    return rows[columns].reset_index(drop=True)


# One change at a time to the full model: what a reader calls it -> the model of the store and its changed options.
CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "no cross product": ("eqgat-no-cross-product", {}),
    "no cross product, as many parameters": ("eqgat-no-cross-product", {"vector_channels": 9}),
    "one attention for all channels": ("eqgat-no-feature-attention", {}),
    "one attention, as many parameters": ("eqgat-no-feature-attention", {"scalar_channels": 34, "vector_channels": 9}),
    "cross product of mixed vectors": ("eqgat", {"cross_product": "mixed"}),
    "sum over neighbours, not mean": ("eqgat", {"vector_aggregation": "sum"}),
    "no norm": ("eqgat", {"norm": None}),
    "cutoff 4.5": ("eqgat", {"cutoff": 4.5}),
    "2 layers, not 3": ("eqgat", {"num_layers": 2}),
    "4 layers, not 3": ("eqgat", {"num_layers": 4}),
    "8 radial functions, not 16": ("eqgat", {"num_radial": 8}),
    "32 radial functions, not 16": ("eqgat", {"num_radial": 32}),
}


def our_choices(results: pd.DataFrame) -> pd.DataFrame:
    """Every choice of ``CHOICES`` against the full model: test errors of the quick Triangle data, same seeds, same data.

    Columns: choice, n (seeds that both have), full and other (mean error), ratio, difference (other - full) with low and
    high (Welch, 95 %) and p, effect with effect_low and effect_high (the same in spreads of single runs), worse (seeds in
    which the other is worse) and sign_p, stands (p by Holm's rule among all rows), sentence. Choices with fewer than two
    runs are left out.
    """

    def errors(model: str, options: dict[str, Any]) -> pd.Series:
        rows = quick_triangle_errors(results, options)
        return rows[rows["model"] == model].set_index(["data", "seed"])["value"]

    full, made = errors("eqgat", {}), []
    for choice, (model, options) in CHOICES.items():
        pair = pd.concat({"full": full, "other": errors(model, options)}, axis=1).dropna()
        if len(pair) < 2:
            continue
        mean, std, worse = pair.mean(), pair.std(), int((pair["other"] > pair["full"]).sum())
        found = welch(mean["full"], std["full"], mean["other"], std["other"], len(pair), len(pair))
        spread = float(((std**2).mean()) ** 0.5)
        made.append(
            {
                "choice": choice,
                "n": len(pair),
                "full": mean["full"],
                "other": mean["other"],
                "ratio": mean["other"] / mean["full"],
                **{name: getattr(found, name) for name in ("difference", "low", "high", "p")},
                "effect": found.difference / spread,
                "effect_low": found.low / spread,
                "effect_high": found.high / spread,
                "worse": worse,
                "sign_p": sign_test(worse, len(pair) - worse),
            }
        )
    table = pd.DataFrame(made)
    if len(table):
        table["stands"] = holm(table["p"])
        table["sentence"] = [_sentence(row) for row in table.to_dict("records")]
    return table


def _sentence(row: Mapping[str, Any]) -> str:
    """What a row of ``our_choices`` says, in words."""
    start = f"{row['choice']}: the error is {row['ratio']:.2f} times that of the full model ({row['n']} seeds each, worse in "
    start += f"{row['worse']})"
    if row["stands"]:
        return f"{start}; significant, also after Holm's correction for all rows."
    if row["p"] < 0.05:
        return f"{start}; significant alone (p < 0.05), not after Holm's correction for all rows."
    return f"{start}; not significant."


def store_label(runs: pd.DataFrame) -> str:
    """What a number from ``our_runs`` needs beside it: profile, device, seeds a model, commit."""
    if runs.empty:
        return "no runs in the results store yet"
    number = sorted(set(runs.groupby("model")["seed"].nunique()))
    return (
        f"{', '.join(sorted(set(runs['profile'])))} profile, {', '.join(sorted(set(runs['device'])))}, "
        f"n = {' to '.join(map(str, number))} seeds, commit {', '.join(sorted(set(runs['commit'])))}"
    )


def _differences(rows: pd.DataFrame) -> pd.DataFrame:
    made = []
    for name, group in rows.groupby("column", sort=False):
        group = group.set_index("model")
        for model in (model for model in ABLATED if {FULL, model} <= set(group.index)):
            other, full = group.loc[model], group.loc[FULL]
            interval = welch(
                other["sign"] * other["mean"],
                other["std"],
                full["sign"] * full["mean"],
                full["std"],
                int(other["n"]),
                int(full["n"]),
            )
            spread = ((other["std"] ** 2 + full["std"] ** 2) / 2) ** 0.5
            made.append(
                {"column": name, "model": model, **interval._asdict(), "effect": abs(interval.difference) / spread}
            )
    return pd.DataFrame(made, columns=["column", "model", *Interval._fields, "effect"])


def width_for(target: int, base: EQGAT) -> tuple[int, int]:
    """The number of scalar channels that brings an (ablated) model closest to ``target`` parameters, and that count."""
    options, found = dict(vars(base.config)), []
    for channels in range(base.config.scalar_channels, 2 * base.config.scalar_channels):
        count = sum(p.numel() for p in EQGAT(**{**options, "scalar_channels": channels}).parameters())
        found.append((abs(count - target), channels, count))
        if count > target:
            break
    return min(found)[1:]


# How often rules err, and how many runs it takes


def _draws(n: int, draws: int, seed: int, effect: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Runs of two models, [draws, n] each: Gaussian, spread 1, means 0 and ``effect``."""
    random = np.random.default_rng(seed)
    return random.standard_normal((draws, n)), effect + random.standard_normal((draws, n))


def _summary(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|Difference of means|, its standard error, Welch's degrees of freedom; a number a row."""
    part_1, part_2 = (x.var(axis=1, ddof=1) / x.shape[1] for x in (first, second))
    freedom = (part_1 + part_2) ** 2 / (part_1**2 / (first.shape[1] - 1) + part_2**2 / (second.shape[1] - 1))
    return abs(second.mean(axis=1) - first.mean(axis=1)), np.sqrt(part_1 + part_2), freedom


def miss_rates(n: int = 3, draws: int = 50_000, seed: int = 0) -> dict[str, float]:
    """How often each rule says "different" of two models that are equal, by simulation, with ``n`` runs of each.

    The last one is Welch's interval where the first two seeds are the same, and give the same run.
    """
    first, second = _draws(n, draws, seed)
    away, error, freedom = _summary(first, second)
    spreads = first.std(axis=1, ddof=1) + second.std(axis=1, ddof=1)
    same_1, same_2 = first.copy(), second.copy()
    same_1[:, 1], same_2[:, 1] = first[:, 0], second[:, 0]
    away_2, error_2, freedom_2 = _summary(same_1, same_2)
    return {
        "the bars of ± one standard deviation do not overlap": float((away > spreads).mean()),
        "more than 1.96 standard errors apart": float((away > 1.96 * error).mean()),
        "Welch's interval leaves out zero": float((away > stats.t.ppf(0.975, freedom) * error).mean()),
        "the same, with seeds 0, 0, 1": float((away_2 > stats.t.ppf(0.975, freedom_2) * error_2).mean()),
    }


def power(effect: float, n: int) -> float:
    """How often ``n`` runs of each model show a difference of ``effect`` spreads, at the level of 5 %.

    Student's two-sided t test, both spreads equal; its statistic has a noncentral t distribution.
    """
    freedom, shift = 2 * n - 2, effect * (n / 2) ** 0.5
    limit = stats.t.ppf(0.975, freedom)
    if shift > limit + 5:  # next to certain; SciPy's series may end in nan there
        return 1.0
    return float(stats.nct.sf(limit, freedom, shift) + stats.nct.cdf(-limit, freedom, shift))


def simulated_power(effect: float, n: int, draws: int = 20_000, seed: int = 0) -> float:
    """The same for Welch's interval, by simulation."""
    away, error, freedom = _summary(*_draws(n, draws, seed, effect))
    return float((away > stats.t.ppf(0.975, freedom) * error).mean())


def runs_needed(effect: float, wanted: float = 0.8, most: int = 10_000) -> int:
    """The least number of runs of each model with which a difference of ``effect`` spreads is shown so often.

    Raises:
        ValueError: more than ``most`` runs.
    """
    low, high = 1, 2
    while power(effect, high) < wanted:
        low, high = high, 2 * high
        if low > most:
            raise ValueError(f"a difference of {effect:g} spreads takes more than {most} runs of each model")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle) >= wanted else (middle, high)
    return high


# Knocking out


def knock_out(model: EQGAT, part: str) -> EQGAT:
    """A copy of a trained model in which a part no longer works; the other weights stay as they are.

    Args:
        model: with feature attention and cross products.
        part: one of ``KNOCK_OUTS``. "attention per channel": the logits of an edge are averaged over the channels;
            "all attention": they are zero, so that all neighbours count the same. The others: coefficients b are zero.

    Raises:
        ValueError: unknown part.
    """
    if part not in KNOCK_OUTS:
        raise ValueError(f"part must be one of {KNOCK_OUTS}; got {part!r}")
    copy = EQGAT(**vars(model.config)).to(model.embedding.weight.dtype)
    copy.load_state_dict(model.state_dict())
    term = {"direction": 1, "mixing": 2, "cross product": 3}
    with torch.no_grad():
        for layer in cast(Iterable[EQGATLayer], copy.layers):
            for values in (layer.filter.out.weight, layer.filter.out.bias):
                pieces = values.split(layer.filter.sizes)
                if part == "attention per channel":
                    pieces[0].copy_(pieces[0].mean(dim=0, keepdim=True).expand_as(pieces[0]))
                elif part == "all attention":
                    pieces[0].zero_()
                elif term[part] < len(pieces):
                    pieces[term[part]].zero_()
    return copy.eval()


def ablated_twin(model: EQGAT, part: str) -> EQGAT:
    """A model of the ablated class, as small as the paper's, with the weights of ``knock_out(model, part)``.

    Args:
        model: with feature attention and cross products.
        part: "cross product" or "attention per channel".
    """
    changes: dict[str, dict[str, Any]] = {
        "cross product": {"cross_product": None},
        "attention per channel": {"attention": "scalar"},
    }
    twin = EQGAT(**{**vars(model.config), **changes[part]}).to(model.embedding.weight.dtype)
    state = knock_out(model, part).state_dict()
    for number, layer in enumerate(cast(Iterable[EQGATLayer], model.layers)):
        for kind in ("weight", "bias"):
            name = f"layers.{number}.filter.out.{kind}"
            pieces = list(state[name].split(layer.filter.sizes))
            pieces = pieces[:3] if part == "cross product" else [pieces[0][:1], *pieces[1:]]
            state[name] = torch.cat(pieces)
    twin.load_state_dict(state)
    return twin.eval()


@cache
def _answers(part: str, split: str, weights: str) -> pd.DataFrame:
    """``residue_answers`` of shipped weights with a part knocked out; "": with all parts."""
    model = pretrained(weights)
    return residue_answers(knock_out(model, part) if part else model, split, RES_RADIUS)


def lost_and_won(split: str = "test", parts: Sequence[str] = KNOCK_OUTS, weights: str = "res") -> pd.DataFrame:
    """What knocking out does to shipped RES weights, a row a part, compared environment by environment.

    Columns: "right" (right answers without the part), "lost" (right before, wrong now), "won" (the reverse), "p" (exact
    two-sided sign test on the two). ``attrs``: "right" of the intact network, "environments".
    """
    intact, *others = (_answers(part, split, weights).eval("answer == truth") for part in ("", *parts))
    rows = {}
    for part, now in zip(parts, others, strict=True):
        lost, won = int((intact & ~now).sum()), int((now & ~intact).sum())
        rows[part] = {"right": int(now.sum()), "lost": lost, "won": won, "p": sign_test(lost, won)}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.attrs = {"right": int(intact.sum()), "environments": len(intact)}
    return table


def cost_of_knocking_out(part: str, split: str = "test", weights: str = "res") -> pd.Series:
    """By how much the cross entropy of shipped RES weights rises without a part, in nats, protein by protein.

    Answers about one protein are not independent, so that the proteins are what is counted.
    """
    whole, without = (-np.log(_answers(each, split, weights).set_index("protein")["chance"]) for each in ("", part))
    return (without - whole).groupby(level="protein").mean()


def cost_of_training_without(seed: int = 0) -> pd.Series:
    """By how much the cross entropy of a network *trained* without cross products is above that of one trained with them.

    In nats, for each of 70 test proteins: the two runs of the plan "res-weights", on the same data and with the same seed.
    """
    surprise = []
    for name in ("eqgat", "eqgat-no-cross-product"):
        (run,) = {
            each.settings.run_id
            for each in read_plan("res-weights").runs
            if each.settings.model == name
            and each.settings.seed == seed
            and "train_items" not in each.settings.data_options
        }
        rows = read_predictions(run).set_index("group")
        logits, row = rows.filter(like="prediction_").to_numpy(), np.arange(len(rows))
        chance = logits[row, rows["target"].astype(int)] - np.logaddexp.reduce(logits, axis=1)
        surprise.append(pd.Series(-chance, rows.index))
    return (surprise[1] - surprise[0]).groupby(level="group").mean()


def sign_test(lost: int, won: int) -> float:
    """Two-sided p value of "each change was as likely for the worse as for the better"; 1 without any change."""
    return float(stats.binomtest(lost, lost + won).pvalue) if lost + won else 1.0


def linear_errors(x: Tensor, y: Tensor) -> Mapping[str, float]:
    """Mean squared errors of y ≈ w₁x₁ + w₂x₂, least squares: "full", "knocked out" (w₂ = 0), "retrained" (x₁ alone).

    Args:
        x: [n, 2].
        y: [n].
    """

    def error(columns: Tensor, weights: Tensor) -> float:
        return float((columns @ weights - y).square().mean())

    weights = torch.linalg.pinv(x) @ y  # the shortest of the best weights, where there are several
    alone = torch.linalg.pinv(x[:, :1]) @ y
    return {"full": error(x, weights), "knocked out": error(x[:, :1], weights[:1]), "retrained": error(x[:, :1], alone)}
