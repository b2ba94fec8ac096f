"""Figures of notebook 12: what an answer at one atom costs, scores and their curves, how pairs are drawn, results."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from eqgat.datasets import embedded_structure
from eqgat.datasets.atom3d import RESIDUES
from eqgat.datasets.atom3d.samples import count_hops
from eqgat.molecule import Molecule
from eqgat.training import read_history, read_predictions, read_results
from eqgat.training.settings import MODELS
from eqgat.viz.evaluation import evaluation_figure
from eqgat.viz.parts import Scalars
from eqgat.viz.scene import Scene
from eqgat.viz.style import COLOURS, describe
from eqgat_course.ch12_atom3d_res_ppi.study import (
    all_pairs,
    area_by_group,
    at_scale,
    auc_by_counting,
    curves,
    drawn_scores,
    hop_table,
    paper_column,
    stored_runs,
    without_learning,
)
from eqgat_course.figures import figure, no_runs_yet
from eqgat_course.residues import without_side_chain
from eqgat_course.results import NOT_TRAINED, shipped_model, trained_for
from eqgat_course.toy.ppi import ppi_item

LAYERS = 5
SHIPPED = "res-eqgat-quick-seed0-87bd43e4"  # the run of the plan res-weights that the shipped weights come from
STORE = "the results store, figures/results"
SCORES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)  # seven pairs, worked out by hand in the notebook
TRUTH = (1, 0, 1, 1, 0, 0, 0)
SMALL = 11.5
OTHER_DATA = "other, smaller data, not to be compared with the paper's"
COUNT = "trivial: residues that lie open"
HEADLINE = {"res": ("accuracy", "accuracy"), "ppi": ("roc_auc", "ROC AUC")}
SHORT = {"best constant, seen afterwards": "best constant", "residues that lie open": "count of atoms"}


@cache
def environment() -> tuple[Molecule, int, torch.Tensor]:
    """BPTI without the side chain of residue 22, the row of its CA, and how many hops away each atom is (6: more)."""
    structure, centre = without_side_chain(embedded_structure("5pti", hetero=False), "A", 22)
    graph = structure.graph(4.5)
    return structure, centre, count_hops(graph.edge_index, torch.tensor([centre]), len(structure), LAYERS)


def environment_scene(layers: int = LAYERS) -> Scene:
    """The question of RES: what was here? Atoms that ``layers`` layers can see, coloured by their hops from CA."""
    structure, centre, hops = environment()
    away = Scalars(hops.clamp(max=layers), "edges away from the alpha carbon", limits=(0, LAYERS))
    return Scene.from_structure(
        structure,
        atom_scalars=away,
        radii=np.where(hops <= 1, 0.6, 0.4),
        faded=(hops > layers).numpy(),
        labels={centre: "what was here?"},
        title=f"what {layers} layers see at residue 22 of BPTI (5PTI)",
    )


def interface_scene() -> Scene:
    """The two chains of HIV protease (1HVR); residues coloured by how many of the other chain they touch."""
    item = ppi_item("1hvr", "AB")
    structure = embedded_structure("1hvr", chains=["A", "B"], hetero=False)
    neighbours = item["atoms_neighbors"]
    keys = pd.concat(
        [
            neighbours[["chain0", "residue0"]].set_axis(["chain", "residue"], axis=1),
            neighbours[["chain1", "residue1"]].set_axis(["chain", "residue"], axis=1),
        ]
    )
    count = keys.value_counts()
    atoms = structure.atoms
    values = [int(count.get(key, 0)) for key in zip(atoms["chain"], atoms["residue"], strict=True)]
    return Scene.from_structure(
        structure,
        representation="cartoon",
        title="HIV protease (1HVR), chains A and B",
        atom_scalars=Scalars(np.array(values), "residues of the other chain within 6 Å"),
    )


@figure(
    name="res-work-by-layer",
    notebook="12",
    data="embedded structure 5pti, residue 22 without its side chain",
    trained="nothing",
    caption="What five layers have to compute for one answer at one alpha carbon: edges into the atoms whose "
    "states the next layer asks for (dark), against all edges (light). The answer is the same.",
)
def work_by_layer() -> Figure:
    structure, centre, _ = environment()
    graph = structure.graph(4.5)
    graph.center_index = torch.tensor([centre])
    edges = hop_table(graph, LAYERS)["edges"].to_numpy()
    needed = edges[LAYERS - 1 :: -1]
    fig, ax = subplots(figsize=(6.4, 3.2))
    layers = np.arange(1, LAYERS + 1)
    ax.bar(layers, graph.num_edges, 0.75, color=COLOURS["sky"], alpha=0.55, label="all edges")
    bars = ax.bar(layers, needed, 0.75, color=COLOURS["blue"], label="needed for the answer")
    ax.bar_label(bars, fmt="{:,.0f}", fontsize=SMALL)
    ax.grid(axis="x", visible=False)
    ax.set(xlabel="layer", ylabel="edges", xticks=layers, ylim=(0, 1.1 * graph.num_edges))
    fig.legend(loc="outside upper center", ncol=2)
    counts = ", ".join(f"{count:,} in layer {layer}" for layer, count in zip(layers, needed, strict=True))
    return describe(
        fig,
        "",
        f"Pairs of bars, one a layer. All edges: {graph.num_edges:,}, the same height in each. Needed edges: {counts}.",
    )


@figure(
    name="roc-and-precision-by-hand",
    notebook="12",
    data="seven scores, chosen for the notebook",
    trained="nothing",
)
def curves_by_hand() -> Figure:
    table = curves(SCORES, TRUTH)
    fig, (left, right) = subplots(1, 2, figsize=(6.4, 3.5))
    x, y = table["false positive rate"], table["recall"]
    left.fill_between(x, y, step="post", color=COLOURS["sky"], alpha=0.45, lw=0)
    left.plot(x, y, "-o", color=COLOURS["blue"], drawstyle="default", ms=5)
    left.plot([0, 1], [0, 1], ":", color=COLOURS["black"], lw=1.2)
    positives, negatives = sum(TRUTH), len(TRUTH) - sum(TRUTH)
    left.set_xticks(np.arange(negatives + 1) / negatives, [f"{k}/{negatives}" for k in range(negatives + 1)])
    left.set_yticks(np.arange(positives + 1) / positives, [f"{k}/{positives}" for k in range(positives + 1)])
    left.set(xlabel="false positive rate", ylabel="true positive rate")
    hits = table[np.r_[False, np.array(TRUTH, bool)]]
    right.plot(table["recall"][1:], table["precision"][1:], "-", color=COLOURS["grey"])
    right.plot(hits["recall"], hits["precision"], "o", color=COLOURS["vermilion"], ms=8)
    right.axhline(positives / len(TRUTH), color=COLOURS["black"], ls=":", lw=1.2)
    right.text(0.02, positives / len(TRUTH) + 0.02, f"no order at all: {positives}/{len(TRUTH)}", fontsize=SMALL)
    right.set(xlabel="recall", ylabel="precision", xlim=(0, 1.05), ylim=(0, 1.08))
    right.set_xticks([1 / 3, 2 / 3, 1], ["1/3", "2/3", "1"])
    right_order = auc_by_counting(torch.tensor(SCORES), torch.tensor(TRUTH))
    cells = f"{round(right_order * positives * negatives)} of {positives * negatives}"
    points = ", ".join(
        f"{precision:.2f} at recall {k}/{positives}" for k, precision in enumerate(hits["precision"], start=1)
    )
    return describe(
        fig,
        f"{len(TRUTH)} pairs, {positives} of which touch. Left: ROC curve; each filled cell is one ordered pair (touching above "
        f"not touching), {cells}. Right: precision at each pair that touches; their mean is the average precision.",
        f"Left: a staircase from (0, 0) to (1, 1) over a grid of {positives} by {negatives} cells, {cells} filled. Right: points "
        f"of precision: {points}.",
    )


@cache
def pairs_of_test() -> pd.DataFrame:
    """All pairs of residues of the three embedded test complexes."""
    return all_pairs("test")


@figure(
    name="ppi-drawn-pairs",
    notebook="12",
    data="embedded complexes 1hvr AB, 1a28 AB, 7ddo AC; 200 draws of 10 touching pairs and 10 others a complex",
    trained="nothing",
    caption="One fixed scorer (both residues lie open), nothing trained. Left: its ROC AUC on 200 draws of 10 "
    "touching pairs and 10 others a complex; the line is its AUC on all pairs. Right: more negatives.",
)
def drawn_pairs() -> Figure:
    pairs = pairs_of_test()
    whole = _score(pairs)
    draws = drawn_scores(pairs)["roc_auc"]
    fig, (left, right) = subplots(1, 2, figsize=(6.4, 3.6))
    left.hist(draws, bins=np.arange(0.3, 1.0, 0.025), color=COLOURS["sky"], edgecolor="white")
    left.axvline(whole["roc_auc"], color=COLOURS["black"], ls="--", lw=1.6)
    spread = draws.max() - draws.min()
    left.set(
        xlabel="ROC AUC of one draw", ylabel="draws", xlim=(draws.min() - 0.2 * spread, draws.max() + 0.2 * spread)
    )
    ratios = (1, 3, 10, 30, 100)
    by_ratio = [drawn_scores(pairs, draws=20, ratio=ratio).mean() for ratio in ratios]
    for name, label, colour, marker in (
        ("roc_auc", "ROC AUC", COLOURS["blue"], "o"),
        ("average_precision", "average\nprecision", COLOURS["vermilion"], "s"),
    ):
        values = [row[name] for row in by_ratio]
        right.plot(ratios, values, f"-{marker}", color=colour)
        right.text(10, values[2] + 0.06, label, color=colour, fontsize=SMALL, va="bottom")
    right.set(xscale="log", xlabel="negatives for each positive", ylim=(0, 1))
    right.set_xticks(ratios, [str(ratio) for ratio in ratios])
    right.minorticks_off()
    first, last = by_ratio[0], by_ratio[-1]
    return describe(
        fig,
        "",
        f"Left: a histogram from {draws.min():.2f} to {draws.max():.2f}, with a line at {whole['roc_auc']:.2f}. Right: from "
        f"{ratios[0]} to {ratios[-1]} negatives for each positive the ROC AUC goes from {first['roc_auc']:.2f} to "
        f"{last['roc_auc']:.2f} and the average precision from {first['average_precision']:.2f} to "
        f"{last['average_precision']:.2f}.",
    )


def _score(pairs: pd.DataFrame) -> dict[str, float]:
    from eqgat.training.metrics import pair_metrics

    return pair_metrics(
        torch.from_numpy((pairs["first"] + pairs["second"]).to_numpy()), torch.from_numpy(pairs["touching"].to_numpy())
    )


def _runs(task: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the store of a task's headline metric: models, and trivial answers."""
    rows = stored_runs(read_results(task=task), task, HEADLINE[task][0])
    trivial = rows["model"].str.startswith("trivial: ")
    return rows[~trivial], rows[trivial]


def _origin(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "no runs in the store yet"
    parts = []
    for (profile, device, data), group in rows.groupby(["profile", "device", "data"]):
        seeds = ", ".join(str(seed) for seed in sorted(set(group["seed"])))
        parts.append(f"{profile} profile, seed {seeds}, {group['epochs'].iloc[0]} epochs, {device}, {data}")
    return "; ".join(parts)


def _trained(rows: pd.DataFrame) -> str:
    return trained_for(rows.assign(model=rows["model"].map(_label)))


def _short_origin(rows: pd.DataFrame) -> str:
    return "no runs" if rows.empty else f"{rows['profile'].iloc[0]} profile, n = {rows['seed'].nunique()}"


@figure(
    name="atom3d-res-ppi-curves", notebook="12", data=STORE, trained="the models of those runs, if the store has any"
)
def learning_curves() -> Figure:
    """Validation metric against the epoch, RES and PPI, from the store."""
    fig, axes = subplots(1, 2, figsize=(6.4, 3.6))
    told, trained = [], []
    for ax, (task, (metric, label)) in zip(axes, HEADLINE.items(), strict=True):
        rows, _ = _runs(task)
        told.append(f"{task.upper()}: {_origin(rows)}")
        trained.append(f"{task.upper()}: {_trained(rows)}")
        ax.set_title(f"{task.upper()}, {_short_origin(rows)}", fontsize=SMALL)
        if rows.empty:
            no_runs_yet(ax)
            continue
        for row in rows.itertuples():
            history = read_history(f"{task}-{row.model}-{row.profile}-seed{row.seed}")
            values = history[f"val_{metric}"]
            ax.plot(history["epoch"] + 1, values, "-o", ms=4, color=COLOURS["blue"], alpha=0.9)
        ax.set(xlabel="epoch", ylabel=f"validation {label}")
        ax.xaxis.get_major_locator().set_params(integer=True)
    caption = (
        "Validation metrics of full-size EQGAT, epoch by epoch; the weights of the best one (RES: by its cross "
        f"entropy) are tested. {'. '.join(told)}."
    )
    return describe(fig, caption, caption, "; ".join(trained))


@figure(
    name="atom3d-res-ppi-results",
    notebook="12",
    data=f"the paper's Table 1; {STORE}",
    trained="the models of those runs, if the store has any",
)
def results() -> Figure:
    """The paper's numbers on ATOM3D above, ours on other data below."""
    fig, axes = subplots(1, 2, figsize=(6.4, 4.8))
    told, trained = [], []
    for ax, (task, (_, label)) in zip(axes, HEADLINE.items(), strict=True):
        paper, (rows, trivial) = paper_column(task.upper()), _runs(task)
        told.append(f"{task.upper()}: {_origin(rows)}")
        trained.append(f"{task.upper()}: {_trained(rows)}")
        names = [
            *paper.index,
            "",
            *[f"{_label(row.model)} *" for row in rows.itertuples()],
            *[f"{SHORT.get(name, name)} *" for name in trivial["model"].str.removeprefix("trivial: ")],
        ]
        start = len(paper) + 1
        ax.errorbar(paper["mean"], range(len(paper)), xerr=paper["std"], fmt="s", color=COLOURS["grey"], ms=6)
        ax.plot(rows["value"], start + np.arange(len(rows)), "o", color=COLOURS["blue"], ms=8)
        ax.plot(
            trivial["value"],
            start + len(rows) + np.arange(len(trivial)),
            "D",
            mfc="none",
            ms=7,
            color=COLOURS["vermilion"],
        )
        ax.axhline(len(paper), color=COLOURS["black"], lw=1)
        ax.set_yticks(range(len(names)), names, fontsize=SMALL - 1)
        ax.invert_yaxis()
        ax.text(
            0.97,
            len(paper) - 0.15,
            "paper, ATOM3D",
            ha="right",
            va="bottom",
            fontsize=SMALL,
            transform=ax.get_yaxis_transform(),
        )
        ax.text(
            0.97,
            len(paper) + 0.15,
            "other data *",
            ha="right",
            va="top",
            fontsize=SMALL,
            transform=ax.get_yaxis_transform(),
        )
        ax.set_title(task.upper())
        ax.set(xlabel=label, xlim=(0, 0.65) if task == "res" else (0.4, 1))
    caption = (
        "Above the line: the paper's Table 1, on ATOM3D. Below, with a star: ours (circles) and answers "
        f"without learning (diamonds), on {OTHER_DATA}. {'. '.join(told)}."
    )
    return describe(fig, caption, caption, "; ".join(trained))


@figure(
    name="res-more-proteins",
    notebook="12",
    data=f"the runs of the plans res-weights and res-proteins in {STORE}",
    trained="the models of those runs, if the store has any",
)
def more_proteins() -> Figure:
    """Accuracy of RES against the number of training proteins, and other models at all of them."""
    rows = at_scale(read_results(), "res-weights", "res-proteins").query("metric == 'accuracy'")
    fig, ax = subplots(figsize=(6.4, 4.0))
    if rows.empty:
        no_runs_yet(ax)
        return describe(fig, "No runs of the plan res-weights yet.", trained=NOT_TRAINED)
    looks = {
        "eqgat": ("blue", "o"),
        "eqgat-no-cross-product": ("pink", "s"),
        "painn": ("green", "^"),
        "schnet": ("vermilion", "D"),
    }
    told = []
    for number, (model, own) in enumerate(rows.groupby("model", sort=False)):
        colour, marker = looks[str(model)]
        own = own.sort_values("trained on")
        x = own["trained on"].to_numpy() * 1.05**number
        value, low, high = (100 * own[name].to_numpy() for name in ("value", "low", "high"))
        label = _label(str(model))
        ax.errorbar(
            x, value, yerr=(value - low, high - value), fmt=marker, color=COLOURS[colour], capsize=3, ms=7, label=label
        )
        told.append(
            f"{label} "
            + ", ".join(
                f"{100 * value:.1f} ({size:,})" for value, size in zip(own["value"], own["trained on"], strict=True)
            )
        )
    line = 100 * rows["constant"].iloc[0]
    ax.axhline(line, color=COLOURS["black"], linestyle=":", linewidth=1.4, label="best constant answer")
    ticks = sorted(set(rows["trained on"]))
    ax.set(xscale="log", xlabel="environments trained on", ylabel="test accuracy (%)", ylim=(0, None))
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=SMALL, loc="upper left")
    tested = read_predictions(rows["run"].iloc[0])["group"].nunique()
    caption = (
        f"Accuracy on the environments of {tested} test proteins, in % (environments trained on): {'; '.join(told)}; the best "
        f"constant answer {line:.1f}. Bars: 95 %, whole test proteins drawn anew. Small networks, one run a point, "
        f"{rows['epochs'].max()} epochs, of which validation chooses one."
    )
    of = f"{ticks[0]:,} to {ticks[-1]:,} RES environments, not ATOM3D's"
    return describe(fig, caption, caption, _trained(rows.assign(data=of)))


@figure(
    name="ppi-more-complexes",
    notebook="12",
    data=f"the runs of PPI of the plan atom3d in {STORE}",
    trained="the models of those runs, if the store has any",
)
def more_complexes() -> Figure:
    """PPI on the larger set: the area of each run with its interval, and two models complex by complex."""
    store = read_results()
    rows = at_scale(store, "atom3d", task="ppi").query("metric == 'roc_auc'")
    fig, (left, right) = subplots(1, 2, figsize=(6.8, 3.6), width_ratios=(1.25, 1))
    if rows.empty:
        no_runs_yet(left)
        no_runs_yet(right)
        return describe(fig, "No runs of PPI on the larger set yet.", trained=NOT_TRAINED)
    rows = rows.sort_values(["model", "seed"]).reset_index(drop=True)
    value, low, high = (rows[name].to_numpy() for name in ("value", "low", "high"))
    left.errorbar(value, rows.index, xerr=(value - low, high - value), fmt="o", color=COLOURS["blue"], capsize=3, ms=7)
    names = [f"{_label(model)}, seed {seed}" for model, seed in zip(rows["model"], rows["seed"], strict=True)]
    left.set_yticks(range(len(rows)), names)
    left.set(ylim=(len(rows) - 0.4, -0.6), xlabel="test ROC AUC", xlim=(0.48, 0.9))
    count = float(without_learning(store, "ppi", rows["data"].iloc[0], "roc_auc").get(COUNT, 0.5))
    for place, colour, style in ((count, "vermilion", "--"), (0.5, "black", ":")):
        left.axvline(place, color=COLOURS[colour], linestyle=style, linewidth=1.4)
    left.set_title(f"chance 0.5 (dotted),\ncount of atoms {count:.2f} (dashed)", fontsize=SMALL)
    told = [f"{name} {each:.3f} ({a:.3f} to {b:.3f})" for name, each, a, b in zip(names, value, low, high, strict=True)]
    tested = read_predictions(rows["run"].iloc[0])["group"].nunique()
    caption = f"ROC AUC on the pairs of {tested} test complexes: {'; '.join(told)}; counting atoms {count:.3f}."
    first = {model: own["run"].iloc[0] for model, own in rows.groupby("model")}
    if {"eqgat", "painn"} <= set(first):
        areas = pd.DataFrame({model: area_by_group(read_predictions(first[model])) for model in ("painn", "eqgat")})
        right.plot([0, 1], [0, 1], color=COLOURS["grey"], lw=1)
        right.plot(areas["painn"], areas["eqgat"], "o", color=COLOURS["blue"], ms=6, alpha=0.6)
        right.set(
            xlabel="ROC AUC of PaiNN", ylabel="ROC AUC of EQGAT", xlim=(0.4, 1.02), ylim=(0.4, 1.02), aspect="equal"
        )
        above = int((areas["eqgat"] > areas["painn"]).sum())
        right.set_title(f"each test complex;\nEQGAT ahead in {above} of {len(areas)}", fontsize=SMALL)
        caption += f" Right: complex by complex, seed 0; EQGAT's area is the larger one in {above} of {len(areas)}."
    else:
        no_runs_yet(right)
    of = f"PPI pairs of {rows['trained on'].max()} complexes, not ATOM3D's"
    caption += " Bars: 95 %, whole test complexes drawn anew. One run a point."
    return describe(fig, caption, caption, _trained(rows.assign(data=of)))


@figure(
    name="res-answers",
    notebook="12",
    data=f"the run of the shipped weights in {STORE}",
    trained=shipped_model(),
)
def res_answers() -> Figure:
    """Which residues are taken for which, whether the chances hold, and the share of right answers by protein."""
    predictions = read_predictions(SHIPPED)
    kinds = np.array(RESIDUES)[predictions["target"].to_numpy().astype(int)]
    return evaluation_figure(predictions.assign(target_class=kinds))


def _label(model: str) -> str:
    names = {"eqgat-no-cross-product": "EQGAT without cross products"}
    return names.get(model) or (MODELS[model].labels.get("1", model) if model in MODELS else model)
