"""Figures of notebook 11: decoys beside the real structure, RMSD against GDT, two ways to average, Table 1."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots
from scipy.stats import spearmanr

from eqgat.datasets.atom3d.trivial import radius_of_gyration
from eqgat.molecule import Molecule
from eqgat.viz import still
from eqgat.viz.parts import Camera
from eqgat.viz.scene import Scene
from eqgat.viz.style import COLOURS, describe
from eqgat_course.ch11_atom3d_psr_rsr.study import TEST, alpha_carbons, overlay, ranking_toy
from eqgat_course.figures import figure, no_runs_yet
from eqgat_course.results import SHORT_NAMES, beside_the_paper, runs_in_words, trained_for
from eqgat_course.toy import ranking
from eqgat_course.toy._schema import polymer
from eqgat_course.toy.decoys import CLASH, clashes
from eqgat_course.toy.superposition import structure_scores, superpose

SMALL = 11.5
SHOWN = ("1ahsA", ("hinge_1_4", "spread_2_3"))
TURNS = {"spread": "all along the chain", "hinge": "at three hinges"}
TARGET_COLOURS = (COLOURS["blue"], COLOURS["vermilion"], COLOURS["green"])
MARKERS = ("o", "s", "^")
TASKS = {"psr": "PSR", "rsr": "RSR"}
MODEL_COLOURS = dict(
    zip(
        ("CNN", "GNN", "GVP-GNN", "SchNet", "PaiNN", "SEGNN", "EQGAT"),
        ("blue", "vermilion", "green", "pink", "orange", "sky", "black"),
        strict=True,
    )
)
MODEL_COLOURS = {name: COLOURS[colour] for name, colour in MODEL_COLOURS.items()}
DECOYS = "embedded chains 1ahsA, 2gu3A and 2va0A, with decoys made by turned torsions"


@cache
def decoy_scores(walks: int = 3) -> pd.DataFrame:
    """One row a decoy of the three proteins: target, decoy, kind, rmsd (Å), gdt_ts, clashes, radius of gyration (Å)."""
    rows = []
    for name in TEST:
        real = polymer(name)
        alpha = alpha_carbons(real)
        for decoy, positions in ranking.decoys(name, walks, 8):
            scores = structure_scores(positions[alpha], real.positions[alpha])
            rows.append(
                {
                    "target": name,
                    "decoy": decoy,
                    "kind": decoy.split("_")[0],
                    "rmsd": scores["rmsd"],
                    "gdt_ts": scores["gdt_ts"],
                    "atoms": len(real),
                    "close pairs": clashes(positions),
                    "radius of gyration": radius_of_gyration(positions),
                }
            )
    return pd.DataFrame(rows)


def overlay_scene(name: str, decoy: str, title: str = "") -> Scene:
    """The real structure and a decoy, superposed, as two tubes."""
    both = overlay(name, decoy)
    real = both.positions[: len(both) // 2]
    return Scene.from_structure(both, representation="cartoon", camera=Camera.facing(real), title=title)


@figure(
    name="psr-decoys",
    notebook="11",
    data=f"embedded chain {SHOWN[0]}, with decoys made by turned torsions",
    trained="nothing",
)
def decoys() -> Figure:
    """Two decoys of about the same RMSD, each on the real structure."""
    name, chosen = SHOWN
    scores = decoy_scores().set_index(["target", "decoy"])
    scenes, words = [], []
    for decoy in chosen:
        row = scores.loc[(name, decoy)]
        turned = f"turned {TURNS[row['kind']]}"
        scenes.append(overlay_scene(name, decoy, turned))
        words.append(f"{turned.capitalize()}: RMSD {row['rmsd']:.1f} Å, GDT_TS {row['gdt_ts']:.2f}")
    caption = (
        f"Two decoys of {name} (orange), each superposed on the real structure (blue). {words[0]}. {words[1]}. "
        "The RMSD is about the same. GDT sees that the hinge left a large part as it was."
    )
    return describe(still.panels(scenes, columns=2, width=7.2, height=3.6), caption, caption)


@figure(name="psr-rmsd-and-gdt", notebook="11", data=DECOYS, trained="nothing")
def rmsd_and_gdt() -> Figure:
    frame = decoy_scores()
    fig, ax = subplots(figsize=(6.4, 3.8))
    looks = {
        "spread": (COLOURS["blue"], "o"),
        "hinge": (COLOURS["orange"], "s"),
    }
    for kind, (colour, marker) in looks.items():
        own = frame[frame["kind"] == kind]
        ax.plot(own["rmsd"], own["gdt_ts"], marker, color=colour, ms=6, alpha=0.8, mew=0, label=f"turns {TURNS[kind]}")
    ax.set(xlabel="RMSD of the alpha carbons (Å)", ylabel="GDT_TS", ylim=(0, 1.02), xlim=(0, None))
    fig.legend(loc="outside upper center", ncol=2)
    rank = spearmanr(frame["rmsd"], frame["gdt_ts"])[0]
    caption = (
        f"{len(frame)} decoys of three proteins. RMSD and GDT_TS order them alike on the whole (Spearman "
        f"{rank:.2f}), but at the same RMSD the hinged ones keep more residues in place."
    )
    return describe(fig, caption, caption)


@figure(
    name="psr-mean-and-global", notebook="11", data="made up: three targets with four decoys each", trained="nothing"
)
def mean_and_global(frame: pd.DataFrame | None = None) -> Figure:
    """``frame``: columns target, true, predicted; default: the toy."""
    frame = ranking_toy() if frame is None else frame
    fig, ax = subplots(figsize=(6.4, 3.8))
    own = []
    for colour, marker, (name, rows) in zip(TARGET_COLOURS, MARKERS, frame.groupby("target"), strict=False):
        own.append(spearmanr(rows["true"], rows["predicted"])[0])
        ax.plot(
            rows["true"],
            rows["predicted"],
            marker,
            ls="-",
            lw=1.2,
            color=colour,
            ms=7,
            label=f"{name}: $R_S$ = {own[-1]:.2f}",
        )
    together = spearmanr(frame["true"], frame["predicted"])[0]
    ax.set(xlabel="true GDT_TS", ylabel="predicted", xlim=(0.2, 1.0))
    ax.set_title(f"mean $R_S$ = {np.mean(own):.2f}, global $R_S$ = {together:.2f}")
    fig.legend(loc="outside upper center", ncol=3, title="within each target")
    caption = (
        f"Three made-up targets. Within each, the order is right: mean R_S {np.mean(own):.2f}. Over all twelve "
        f"decoys it is wrong: global R_S {together:.2f}, because easy and hard targets are mixed up."
    )
    return describe(fig, caption, caption)


@figure(
    name="psr-trivial",
    notebook="11",
    data=DECOYS,
    trained="nothing",
)
def trivial() -> Figure:
    frame = decoy_scores()
    fig, ax = subplots(figsize=(6.4, 3.2))
    colours = {"close pairs": COLOURS["blue"], "radius of gyration": COLOURS["orange"]}
    targets, told = list(dict.fromkeys(frame["target"])), []
    names = [*targets, "mean R_S", "global R_S"]
    for place, (column, colour) in enumerate(colours.items()):
        values = [spearmanr(-rows[column], rows["gdt_ts"])[0] for _, rows in frame.groupby("target", sort=False)]
        values += [np.mean(values), spearmanr(-frame[column], frame["gdt_ts"])[0]]
        words = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, values, strict=True))
        told.append(f"minus {column}: {words}")
        at = np.arange(len(values)) + 0.38 * (place - 0.5)
        bars = ax.bar(at, values, 0.35, color=colour, label=f"minus {column}")
        ax.bar_label(bars, fmt="%.2f", fontsize=10, padding=2)
    ax.set_xticks(range(len(targets) + 2), [name.replace("R_S", "$R_S$") for name in names])
    ax.axvline(len(targets) - 0.5, color=COLOURS["grey"], lw=1)
    ax.grid(axis="x", visible=False)
    ax.set(ylabel="Spearman with GDT_TS", ylim=(0, 1.12))
    fig.legend(loc="outside upper center", ncol=2)
    return describe(
        fig,
        "Spearman correlation with GDT_TS, target by target, of two plain numbers that know nothing of proteins: minus the "
        f"pairs of atoms closer than {CLASH:g} Å, and minus the radius of gyration. What such a number reaches is the score "
        "a model has to beat on these decoys.",
        f"Bars of the correlation. {'; '.join(told)}.".replace("minus", "Minus", 1),
    )


@figure(
    name="rsr-decoy", notebook="11", data="embedded RNA 1k5i_md, with decoys made by turned torsions", trained="nothing"
)
def rna() -> Figure:
    """The only RNA that comes with the package, and one of its decoys."""
    both = rna_overlay()
    scene = Scene.from_structure(
        both,
        representation="cartoon",
        camera=Camera.facing(both.positions),
        title="RNA hairpin (blue) and a decoy (orange)",
    )
    fig = scene.still(6.4, 4.0)
    caption = (
        "The RNA hairpin (a frame of a simulation that began at 1K5I; blue) and one of its decoys (orange), "
        "superposed. The tubes run through the phosphorus atoms."
    )
    return describe(fig, caption, scene.alt_text())


def rna_overlay(frame: int = 3) -> Molecule:
    """The RNA and a decoy of its first test walk, superposed on all atoms, as chains R and D."""
    real = polymer("1k5i_md")
    moved = ranking.decoys("1k5i_md", 4, 6, "test/0")[frame][1]
    laid = real.with_positions(superpose(moved, real.positions))
    parts = [real.atoms.assign(chain="R"), laid.atoms.assign(chain="D")]
    return Molecule.from_table(pd.concat(parts), name="1k5i_md and a decoy")


@figure(
    name="psr-rsr-table-1",
    notebook="11",
    data="the paper's Table 1; the results store, figures/results/psr and figures/results/rsr",
    trained="the models of those runs, if the store has any",
)
def table_1() -> Figure:
    """Mean against global Spearman of the paper's models, and below both of our runs."""
    fig, axes = subplots(2, 2, figsize=(7.2, 7.6), height_ratios=(1, 1.35))
    told, trained = [], []
    for column, (task, name) in enumerate(TASKS.items()):
        frame = beside_the_paper(task, ("mean_spearman", "global_spearman"))
        paper, ours = (frame[frame["numbers of"] == source] for source in ("paper", "this code"))
        above, below = axes[:, column]
        above.set_title(f"{name}, the paper's", fontsize=SMALL)
        _points(above, paper)
        below.set_title(f"{name}, ours, other data", fontsize=SMALL)
        _rows(below, ours.dropna(subset=["mean_spearman", "global_spearman"], how="all"))
        trained.append(f"{name}: {trained_for(ours)}")
        told.append(f"{name}: {runs_in_words(ours) or 'there are none yet.'}")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=4)
    caption = (
        "Spearman correlation within each target, averaged (mean R_S), and over all decoys (global R_S); higher is "
        "better. Above: the paper's Table 1 with standard deviations where it gives them; the GNN's numbers "
        "came from the validation set. Below: our runs, and grey what needs no learning, on other data, so that they may be "
        "compared with each other only; filled: mean R_S, open: global R_S; bars: standard deviation over seeds. "
        f"{' '.join(told)}"
    )
    return describe(fig, caption, caption, "; ".join(trained))


def _rows(ax: Axes, frame: pd.DataFrame) -> None:
    """One row a model: mean and global Spearman side by side."""
    if frame.empty:
        no_runs_yet(ax)
        return
    names = frame["model"].replace(SHORT_NAMES)
    plain = frame["model"].str.startswith("trivial: ")
    for rows, colour in ((~plain, COLOURS["blue"]), (plain, COLOURS["grey"])):
        own = frame[rows].fillna({"mean_spearman std": 0.0, "global_spearman std": 0.0})
        for metric, shift, face in (("mean_spearman", -0.14, colour), ("global_spearman", 0.14, "white")):
            ax.errorbar(
                own[metric],
                np.flatnonzero(rows) + shift,
                xerr=own[f"{metric} std"],
                fmt="o",
                color=colour,
                mfc=face,
                ms=6,
                capsize=2,
            )
    ax.axvline(0, color=COLOURS["black"], lw=0.8)
    ax.set_yticks(range(len(frame)), names, fontsize=SMALL - 1.5)
    ax.set(xlim=(-1.05, 1.05), ylim=(len(frame) - 0.4, -0.6), xlabel="$R_S$")


def _points(ax: Axes, frame: pd.DataFrame) -> None:
    for row in frame.fillna({"mean_spearman std": 0.0, "global_spearman std": 0.0}).to_dict("records"):
        ax.errorbar(
            row["mean_spearman"],
            row["global_spearman"],
            row["global_spearman std"],
            row["mean_spearman std"],
            fmt="D",
            capsize=3,
            ms=7,
            color=MODEL_COLOURS[row["model"]],
        )
        ax.plot([], [], "D", ms=7, color=MODEL_COLOURS[row["model"]], label=row["model"])  # for the legend: no bars
    ax.set(xlabel="mean $R_S$", ylabel="global $R_S$")
    ax.margins(0.12)
