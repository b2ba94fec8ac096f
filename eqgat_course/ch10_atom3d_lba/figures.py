"""Figures of notebook 10: a pocket with its ligand, what three metrics see, and the LBA column of Table 1."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots
from scipy.stats import spearmanr
from torch_geometric.data import Data

from eqgat.molecule import Molecule
from eqgat.viz.parts import Camera
from eqgat.viz.scene import Scene
from eqgat.viz.style import COLOURS, describe
from eqgat_course.ch10_atom3d_lba.study import complex_graph, edge_kinds, family_labels, largest_spread, memorise
from eqgat_course.figures import figure, no_runs_yet
from eqgat_course.results import SHORT_NAMES, beside_the_paper, runs_in_words, trained_for
from eqgat_course.toy.lba import LIGANDS, lba_item

SMALL = 11.5
KIND_COLOURS = {"pocket": COLOURS["grey"], "between": COLOURS["vermilion"], "ligand": COLOURS["blue"]}
KIND_NAMES = {"pocket": "within the pocket", "between": "between pocket and ligand", "ligand": "within the ligand"}
STORE = "the results store, figures/results/lba"


def pocket_structure(name: str = "1hvr") -> tuple[Molecule, np.ndarray]:
    """Pocket and ligand of an embedded complex in the order of the graph, and which atoms are the ligand's [N]."""
    item = lba_item(name)
    atoms = pd.concat([item["atoms_pocket"], item["atoms_ligand"].assign(hetero="H_LIG")], ignore_index=True)
    return Molecule.from_table(atoms, name=name, model="all", altloc="all"), np.arange(len(atoms)) >= len(
        item["atoms_pocket"]
    )


def pocket_scene(
    name: str = "1hvr",
    labels: tuple[tuple[str, int, str], ...] = (("A", 25, "OD1"), ("B", 25, "OD1"), ("A", 50, "N"), ("B", 50, "N")),
) -> Scene:
    """A ligand in its pocket: the pocket's atoms pale, the ligand's in their elements' colours."""
    structure, ligand = pocket_structure(name)
    rows = {
        structure.find_atom(*label): f"{structure.atoms['resname'][structure.find_atom(*label)].capitalize()}"
        f"{label[1]}{label[0]}"
        for label in labels
    }
    title = f"{LIGANDS[name].entry.upper()}: {LIGANDS[name].protein}, {LIGANDS[name].measured}"
    return Scene.from_structure(
        structure, faded=~ligand, labels=rows, title=title, camera=Camera.facing(structure.positions[ligand])
    )


@figure(name="lba-pocket", notebook="10", data="embedded structure 1hvr", trained="nothing")
def pocket() -> Figure:
    scene = pocket_scene()
    fig = scene.still(6.4, 4.8)
    caption = f"An item of LBA as the model gets it: the ligand and every residue within 6 Å of it. {scene.caption()}"
    return describe(fig, caption, scene.alt_text())


@figure(
    name="lba-edges",
    notebook="10",
    data="embedded structures 1hvr and 10gs, cutoff 4.5 Å",
    trained="nothing",
    caption="What the edges of two LBA graphs join. Few of them cross from the pocket to the ligand, and those "
    "that do carry all that a network can learn about binding.",
)
def edges() -> Figure:
    fig, ax = subplots(figsize=(6.4, 2.7))
    names, told = ("1hvr", "10gs"), []
    for row, name in enumerate(names):
        counts, left = edge_kinds(complex_graph(name)), 0
        told.append(f"{name.upper()}: {', '.join(f'{counts[kind]:,} {words}' for kind, words in KIND_NAMES.items())}")
        for kind in ("pocket", "between", "ligand"):
            ax.barh(
                row,
                counts[kind],
                left=left,
                height=0.6,
                color=KIND_COLOURS[kind],
                label=KIND_NAMES[kind] if row == 0 else None,
            )
            ax.text(
                left + counts[kind] / 2,
                row,
                f"{counts[kind]:,}",
                ha="center",
                va="center",
                fontsize=SMALL,
                color="white",
            )
            left += counts[kind]
    ax.set_yticks(range(2), [name.upper() for name in names])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="directed edges")
    fig.legend(loc="outside upper center", ncol=2)
    return describe(fig, "", f"Two stacked bars of directed edges. {'; '.join(told)}.")


def three_predictors(n: int = 60, seed: int = 3) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Made-up labels [n] and the answers of three predictors: shifted, cautious, and noisy."""
    random = np.random.default_rng(seed)
    truth = random.normal(6.5, 1.7, n)
    return truth, {
        "right order, wrong scale": truth + 2.5,
        "hardly dares to leave the mean": 6.5 + 0.12 * (truth - 6.5) + random.normal(0, 0.12, n),
        "right scale, noisy": truth + random.normal(0, 1.6, n),
    }


@figure(name="lba-three-predictors", notebook="10", data="generated: 60 made-up labels, seed 3", trained="nothing")
def predictors() -> Figure:
    truth, answers = three_predictors()
    fig, axes = subplots(1, 3, figsize=(7.2, 3.5), sharey=True)
    words = []
    for ax, (name, answer) in zip(axes, answers.items(), strict=True):
        rmse = np.sqrt(np.mean((answer - truth) ** 2))
        pearson, spearman = np.corrcoef(answer, truth)[0, 1], spearmanr(answer, truth)[0]
        ax.plot([2, 11], [2, 11], "--", color=COLOURS["grey"], lw=1.2)
        ax.axhline(truth.mean(), color=COLOURS["orange"], lw=1.6, ls=":")
        ax.plot(truth, answer, "o", ms=4.5, color=COLOURS["blue"], alpha=0.75, mew=0)
        ax.set_title(f"RMSE {rmse:.2f}\n$r$ = {pearson:.2f}, $R_S$ = {spearman:.2f}", fontsize=SMALL)
        ax.set(xlabel="measured pK", xlim=(2, 11), ylim=(2, 13.5), xticks=[3, 6, 9])
        words.append(f"{name}: RMSE {rmse:.2f}, r {pearson:.2f}")
    axes[0].set_ylabel("predicted pK")
    caption = (
        f"Three predictors of the same made-up labels (standard deviation {truth.std():.2f}). Left: a perfect "
        "order, every value 2.5 too high. Middle: a good order, all values close to the mean. Right: the right "
        "scale with noise. Dashed: perfect; dotted: predict-the-mean. RMSE and correlation have different "
        "winners."
    )
    return describe(fig, caption, f"{caption} {'; '.join(words)}.")


def split_errors(seeds: int = 20) -> dict[str, dict[str, list[float]]]:
    """Test RMSE of two answers that never look at a ligand, for labels that run in families, by kind of split."""
    found: dict[str, dict[str, list[float]]] = {"random split": {}, "split by family": {}}
    for seed in range(seeds):
        family, label = family_labels(seed=seed)
        random = np.random.default_rng(1000 + seed)
        masks = {
            "random split": random.random(len(label)) < 0.2,
            "split by family": np.isin(family, random.choice(family.max() + 1, 12, replace=False)),
        }
        for name, test in masks.items():
            mean = label[~test].mean()
            own = {k: label[~test & (family == k)].mean() for k in np.unique(family[~test])}
            guesses = {
                "mean of all": np.full(test.sum(), mean),
                "mean of the family": np.array([own.get(k, mean) for k in family[test]]),
            }
            for guess, values in guesses.items():
                found[name].setdefault(guess, []).append(float(np.sqrt(np.mean((values - label[test]) ** 2))))
    return found


@figure(
    name="lba-families",
    notebook="10",
    data="generated: 60 families of 8 made-up labels, 20 seeds",
    trained="nothing",
)
def families() -> Figure:
    fig, ax = subplots(figsize=(6.4, 3.4))
    colours = {"mean of all": COLOURS["grey"], "mean of the family": COLOURS["blue"]}
    words = []
    for group, (split, answers) in enumerate(split_errors().items()):
        words.append(f"{split}: {', '.join(f'{name} {np.mean(values):.2f}' for name, values in answers.items())}")
        for place, (name, values) in enumerate(answers.items()):
            at = group + 0.36 * (place - 0.5)
            ax.bar(
                at,
                np.mean(values),
                0.33,
                yerr=np.std(values, ddof=1),
                capsize=4,
                color=colours[name],
                label=name if group == 0 else None,
            )
            ax.text(at, 0.08, f"{np.mean(values):.2f}", ha="center", color="white", fontsize=SMALL)
    ax.set_xticks(range(2), ["random split", "split by family"])
    ax.grid(axis="x", visible=False)
    ax.set(ylabel="test RMSE (pK)")
    fig.legend(loc="outside upper center", ncol=2)
    caption = (
        "Two answers that never look at the ligand, on made-up labels that run in families. In a random split "
        "the mean of the family is a fair answer. In a split by family it is none: no test family was seen. Whiskers: standard "
        "deviation over the seeds."
    )
    return describe(fig, caption, f"Two groups of bars, test RMSE. {'; '.join(words)}.")


@cache
def _two_complexes() -> list[Data]:
    return [complex_graph("1hvr"), complex_graph("10gs")]


@cache
def _memorised() -> pd.DataFrame:
    return memorise(_two_complexes(), steps=100)[1]


@figure(
    name="lba-memorising",
    notebook="10",
    data="embedded complexes 1hvr and 10gs",
    trained="a small EQGAT (F_s 32, F_v 8, three layers) on these two complexes",
)
def memorising(history: pd.DataFrame | None = None) -> Figure:
    """``history``: of ``memorise``; default: made here."""
    history = _memorised() if history is None else history
    fig, ax = subplots(figsize=(6.4, 3.2))
    spread = float(torch.cat([graph.y for graph in _two_complexes()]).std(correction=0))
    ax.plot(history["step"], history["rmse"], color=COLOURS["blue"], label="training RMSE")
    ax.axhline(spread, color=COLOURS["orange"], ls=":", label="predict-the-mean of the two")
    ax.set(xlabel="step", ylabel="RMSE (pK)", ylim=(0, None))
    fig.legend(loc="outside upper center", ncol=2)
    caption = (
        f"A small EQGAT memorises two labels: training RMSE from {history['rmse'].iloc[0]:.2f} to "
        f"{history['rmse'].iloc[-1]:.2f} in {len(history) - 1} steps. That is no prediction: both complexes are "
        "in the training set."
    )
    return describe(fig, caption, caption)


@figure(
    name="lba-table-1",
    notebook="10",
    data=f"the paper's Table 1; {STORE}",
    trained="the models of those runs, if the store has any",
)
def table_1(bound: float = largest_spread(rmse=1.58, pearson=0.53)) -> Figure:
    """The LBA column of Table 1 on the left, our runs on the right. ``bound``: on the labels' standard deviation."""
    frame = beside_the_paper("lba", ("rmse",))
    paper, ours = frame[frame["numbers of"] == "paper"], frame[frame["numbers of"] == "this code"]
    fig, (left, right) = subplots(1, 2, figsize=(7.2, 3.9), gridspec_kw={"width_ratios": [1, 1]})
    _dots(left, paper, COLOURS["grey"])
    left.axvline(bound, color=COLOURS["orange"], ls=":")
    left.set_title("the paper's, ATOM3D test set", fontsize=SMALL)
    _dots(right, ours, COLOURS["blue"])
    right.set_title("ours, other data" if len(ours) else "ours", fontsize=SMALL)
    if ours.empty:
        no_runs_yet(right)
    caption = (
        "LBA, test RMSE in units of pK; lower is better. Left: the paper's Table 1, mean and standard "
        f"deviation; dotted: the spread of that test set's labels is {bound:.2f} at most (see text). Right: our "
        f"runs, on other data, so that only their order may be compared; a number with an arrow lies beyond the axis. "
        f"{runs_in_words(ours) or 'There are none yet.'}"
    )
    return describe(fig, caption, caption, trained_for(ours))


def _dots(ax: Axes, frame: pd.DataFrame, colour: str) -> None:
    """One row a model: mean, and a bar of one standard deviation where it is known; far ones as a number at the edge."""
    if frame.empty:
        return
    far = (frame["rmse"] > 1.5 * frame["rmse"].median()).to_numpy()
    rows, near = np.arange(len(frame)), frame[~far]
    ax.errorbar(near["rmse"], rows[~far], xerr=near["rmse std"].fillna(0), fmt="s", color=colour, capsize=4)
    for row, value in zip(rows[far], frame["rmse"][far], strict=True):
        where = ax.get_yaxis_transform()
        ax.text(0.98, row, f"{value:.1f} →", transform=where, ha="right", va="center", color=colour, fontsize=SMALL)
    ax.set_yticks(range(len(frame)), frame["model"].replace(SHORT_NAMES))
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set(xlabel="test RMSE (pK)")
