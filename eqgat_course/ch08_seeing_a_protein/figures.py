"""Figures of notebook 08: attention and vectors on real proteins, before and after training."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor
from torch_geometric.data import Data

from eqgat import EQGAT
from eqgat.attribution import Target, attributions, deletion_curve, rollout
from eqgat.datasets import embedded_structure
from eqgat.datasets.atom3d import RESIDUES
from eqgat.inspection import effective_neighbours, heads, mean_terms, residue_preference, with_controls
from eqgat.layers import LayerTrace
from eqgat.molecule import Molecule
from eqgat.pretrained import pretrained, pretrained_history, pretrained_rows, untrained
from eqgat.symmetry import rotation_about
from eqgat.viz import still
from eqgat.viz.parts import Camera
from eqgat.viz.scene import Scene
from eqgat.viz.scenes import residue_scene
from eqgat.viz.style import COLOURS, DIVERGING, TERM_COLOURS, describe
from eqgat_course.ch08_seeing_a_protein.study import (
    ADK_DOMAINS,
    adk_domain,
    displacement,
    removals,
    upright_shares,
)
from eqgat_course.figures import SMALL, figure
from eqgat_course.handedness import without_cross_product
from eqgat_course.residues import aromatic_rings, bonds_between, peptide_planes, residue_answers, without_side_chain
from eqgat_course.results import shipped_model
from eqgat_course.scenes import neighbourhood_scene, terms_scene
from eqgat_course.shapes import handed_vectors, neighbourhood_change

MODEL = "res"
RADIUS = 9.0  # Å, of the environments that the model was trained on
HIDDEN = (21, 22, 33, 35, 45)  # residues of BPTI whose side chains are hidden
NOISE = 0.2  # Å along each axis, of the order of the errors of coordinates at 2 Å resolution
DATA = "embedded structure 5pti; the trained model"
ENZYME = "embedded structures adk_open and adk_closed; the trained model"
TRAINED = shipped_model(MODEL)
TERM_NAMES = {"v_direction": "directions", "v_mix": "mixing", "v_cross": "cross products", "sum": "sum of the three"}


def answers(logits: Tensor, count: int = 4) -> str:
    """The most probable amino acids of one row of logits [20], with their chances, as text."""
    chance = logits.softmax(dim=0)
    best = chance.argsort(descending=True)[:count].tolist()
    return ", ".join(f"{RESIDUES[kind]} {100 * chance[kind]:.0f} %" for kind in best)


class Seen(NamedTuple):
    """A protein, its graph, and what the model did with it before and after training."""

    structure: Molecule
    before: list[LayerTrace]
    after: list[LayerTrace]


@cache
def models(name: str = MODEL) -> tuple[EQGAT, EQGAT]:
    """A shipped model before and after training, in float64."""
    return untrained(name).double(), pretrained(name).double()


@cache
def seen(name: str, weights: str = MODEL) -> Seen:
    """An embedded structure through both models; kept, since a whole protein takes a second."""
    structure = embedded_structure(name)
    before, after = (model.trace(structure.graph(model.config.cutoff, torch.float64)) for model in models(weights))
    return Seen(structure, before, after)


@cache
def question(residue: int = 22, weights: str = MODEL) -> tuple[Molecule, int, list[LayerTrace], list[LayerTrace]]:
    """What the model is asked about BPTI, prepared as its training data are: the surroundings of one residue.

    Molecule without that side chain, row of the CA, traces before and after training.
    """
    structure, centre = without_side_chain(embedded_structure("5pti", hetero=False), "A", residue, RADIUS)
    graph = structure.graph(4.5, torch.float64)
    before, after = (model.trace(graph) for model in models(weights))
    return structure, centre, before, after


@figure(name="training-residue-identity", notebook="08", data="learning curve of the shipped weights", trained=TRAINED)
def training_curve() -> Figure:
    """Loss on training and accuracy on validation proteins, epoch by epoch; the test accuracy beside the baselines."""
    history, rows = pretrained_history(MODEL), pretrained_rows(MODEL)
    test = float(rows[(rows["split"] == "test") & (rows["metric"] == "accuracy")]["value"].iloc[0])
    best = int(rows["best_epoch"].iloc[0])
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.6))
    curves = (
        ("train_loss", 1, "training cross entropy (nats)", np.log(20), "guessing, ln 20"),
        ("val_accuracy", 100, "validation accuracy (%)", 5, "guessing, 5 %"),
    )
    for ax, (column, unit, label, guess, words) in zip(axes, curves, strict=True):
        ax.plot(history["epoch"] + 1, unit * history[column], color=COLOURS["blue"])
        ax.axhline(guess, color=COLOURS["black"], linestyle=":", linewidth=1.4)
        above = {"xytext": (0, 4), "textcoords": "offset points", "ha": "right", "fontsize": SMALL}
        ax.annotate(words, (history["epoch"].max() + 1, guess), **above)
        ax.set(xlabel="epoch", ylabel=label)
    axes[0].set(ylim=(None, 3.15))
    axes[1].plot(best + 1, 100 * history.set_index("epoch")["val_accuracy"][best], "o", color=COLOURS["vermilion"])
    axes[1].set(ylim=(0, None))
    caption = (
        f"Training on {rows['num_train'].iloc[0]:,} environments. Left: cross entropy on the training proteins. Right: "
        f"accuracy on the validation proteins; the point marks epoch {best + 1}, whose weights were kept. Their accuracy on "
        f"70 test proteins: {100 * test:.1f} %."
    )
    return describe(fig, caption, caption)


@figure(name="attention-sharpness-by-layer", notebook="08", data=DATA, trained=TRAINED)
def sharpness_by_layer() -> Figure:
    """Effective number of neighbours in each channel and layer, before and after training."""
    shown = seen("5pti")
    fig, ax = plt.subplots(figsize=(6.4, 3.8))
    lowest: dict[str, float] = {}
    for number, (name, trace) in enumerate({"before": shown.before, "after": shown.after}.items()):
        colour = COLOURS["grey" if number == 0 else "blue"]
        for layer, record in enumerate(trace, start=1):
            share = np.sort(100 * effective_neighbours(record).nanmean(dim=0).numpy())
            x = layer + 0.32 * (number - 0.5) + np.linspace(-0.1, 0.1, len(share))
            ax.plot(x, share, "o", markersize=4, color=colour, label=f"{name} training" if layer == 1 else None)
            lowest[name] = min(share.min(), lowest.get(name, 100))
    ax.axhline(100, color=COLOURS["black"], linestyle=":", linewidth=1.4, label="uniform weights")
    ax.set(
        xticks=range(1, len(shown.after) + 1),
        xlabel="layer",
        ylim=(0, 108),
        ylabel="effective neighbours\n(% of the neighbours)",
    )
    ax.legend(loc="lower left")
    caption = (
        f"How many of its neighbours an atom of BPTI effectively listens to, mean over the atoms; one point a "
        f"scalar channel; dotted: uniform weights. Before training all channels are above {lowest['before']:.0f} %; "
        f"after it the most selective one is at {lowest['after']:.0f} %."
    )
    return describe(fig, caption, caption)


def most_selective(record: LayerTrace) -> list[int]:
    """The scalar channels in the order of their effective number of neighbours, averaged over the atoms."""
    return effective_neighbours(record).nanmean(dim=0).argsort().tolist()


def two_channels(record: LayerTrace, centre: int, elements: np.ndarray) -> tuple[int, int]:
    """The most selective channel, and the next one that listens most to an atom of another element."""
    first, *rest = most_selective(record)
    incoming = (record.edges.receiver == centre).nonzero().flatten()
    favourite = record.edges.source[incoming[record.attention[incoming].argmax(dim=0)]]
    element = elements[favourite.numpy()]
    return first, next((channel for channel in rest if element[channel] != element[first]), rest[0])


@figure(name="attention-channel-head-mean", notebook="08", data=DATA, trained=TRAINED)
def channel_head_mean(channel: int | None = None) -> Figure:
    """The neighbourhood of residue 22 in two channels (the first can be chosen), in a head, and in all channels."""
    residue = 22
    structure, centre, _, after = question(residue)
    record = after[-1]
    first, second = two_channels(record, centre, structure.elements)
    channels = (first if channel is None else channel, second)
    groups = heads(record.attention.shape[1], 4)
    head = next(group for group in groups if channels[0] in group)
    # The eye looks down on the plane in which the strongest edges lie, so that none of them points at the reader.
    incoming = (record.edges.receiver == centre).nonzero().flatten()
    strong = record.attention[incoming][:, list(channels)].sum(dim=1).argsort(descending=True)[:4]
    rows = [centre, *record.edges.source[incoming[strong]].tolist()]
    camera = Camera.facing(structure.positions[rows])
    scenes = [
        neighbourhood_scene(structure, record, centre, chosen, title=title, shares=True, limits=(0, 4), camera=camera)
        for chosen, title in (
            (channels[0], f"channel {channels[0]}"),
            (channels[1], f"channel {channels[1]}"),
            (head, f"a head: channels {head[0]} to {head[-1]}"),
            (None, "all channels"),
        )
    ]
    # The same atoms seen from the same side: labels once, of the CA and of the atoms that the two channels listen to.
    scenes[1:] = [replace(scene, labels={}) for scene in scenes[1:]]
    atoms = structure.atoms
    names = [f"{atoms['resname'][row].title()}{atoms['residue'][row]} {atoms['name'][row]}" for row in rows[:3]]
    labels = dict(zip([0, *(1 + strong[:2]).tolist()], names, strict=True))
    scenes[0] = replace(scenes[0], labels=labels)
    caption = (
        f"Who {names[0]} listens to in the last layer, trained. Lines: edges, coloured by attention in equal shares."
    )
    return still.panels(scenes, height=3.1, bar_title="α (equal shares)", caption=caption)


@figure(name="attention-whole-protein", notebook="08", data=DATA, trained=TRAINED)
def before_and_after(layer: int = 3, limit: float = 0.4) -> Figure:
    """Attention received by each residue of BPTI before and after training, with the same colour bar."""
    shown = seen("5pti")
    scenes = [
        residue_scene(
            shown.structure,
            residue_preference(trace[layer - 1], torch.from_numpy(shown.structure.residue_index)),
            "log₂ of attention received / equal share",
            limits=(-limit, limit),
            cmap=DIVERGING,
            num_labels=labels,
            title=title,
        )
        for trace, title, labels in ((shown.before, "before training", 0), (shown.after, "after training", 4))
    ]
    caption = (
        f"Attention that each residue of BPTI receives in layer {layer}, mean over channels, before and after training."
    )
    return still.panels(scenes, height=3.0, bar_title="log₂ (received / equal share)", caption=caption)


def flat_camera(structure: Molecule, rows: list[int], across: float = 0.0, up: float = 1.2) -> Camera:
    """Looking down on a flat group, tilted across and up the page (as tangents) so that upright arrows are seen."""
    facing = Camera.facing(structure.positions[rows]).rotation()
    return Camera(direction=tuple(facing[2] + across * facing[0] + up * facing[1]), up=tuple(facing[1]))


def term_panels(structure: Molecule, trace: list[LayerTrace], rows: list[int], channel: int, camera: Camera) -> Figure:
    """The three terms of the second layer at a flat group, and their sum; each panel has a scale of its own."""
    scenes = [
        terms_scene(
            structure,
            trace,
            rows,
            channel=channel,
            terms=(term,),
            camera=camera,
            title=f"{name}, channel {channel}",
            stretch=2 if term == "v_cross" else 1,
        )
        for term, name in TERM_NAMES.items()
    ]
    caption = "Vector terms of layer 2 at a flat group: means over the neighbours of each atom, and their sum."
    return still.panels(scenes, height=3.0, caption=f"{caption} Each panel has a scale of its own.")


@figure(name="vector-terms-at-a-ring", notebook="08", data=DATA, trained=TRAINED)
def ring_terms(channel: int | None = None, alone: bool = True) -> Figure:
    """The three vector terms at the ring of phenylalanine 22, cut out or within BPTI."""
    structure = embedded_structure("5pti")
    return _group_terms(structure, aromatic_rings(structure)["PHE 22"], channel, alone)


@figure(name="vector-terms-at-a-peptide", notebook="08", data=DATA, trained=TRAINED)
def peptide_terms(channel: int | None = None, alone: bool = True) -> Figure:
    """The three vector terms at the peptide plane between residues 22 and 23, cut out or within BPTI."""
    structure = embedded_structure("5pti")
    return _group_terms(structure, peptide_planes(structure)["22-23"], channel, alone, across=1.2, up=0.0)


def _group_terms(structure: Molecule, rows: list[int], channel: int | None, alone: bool, **tilt: float) -> Figure:
    model = models()[1]
    if alone:
        structure = structure.select(rows)
        rows = list(range(len(rows)))
    trace = model.trace(structure.graph(model.config.cutoff, torch.float64))
    chosen = strongest_cross(trace, rows) if channel is None else channel
    return term_panels(structure, trace, rows, chosen, flat_camera(structure, rows, **tilt))


def strongest_cross(trace: list[LayerTrace], rows: list[int]) -> int:
    """The vector channel in which the cross products of layer 2 are longest at these atoms."""
    return int(mean_terms(trace[1])["v_cross"][rows].square().sum(dim=(0, 1)).argmax())


def kinds(record: LayerTrace, structure: Molecule) -> dict[str, np.ndarray]:
    """The edges by how many covalent bonds away the neighbour is, and by its element: name -> mask [E]."""
    source = record.edges.source.numpy()
    bonds, element = bonds_between(structure, source, record.edges.receiver.numpy()), structure.symbol[source]
    near = {name: bonds == count for count, name in enumerate(("1 bond", "2 bonds", "3 bonds", "farther"), start=1)}
    return near | {symbol: element == symbol for symbol in ("C", "N", "O", "S")}


def kind_controls(layer: int = 3, weights: str = MODEL) -> pd.DataFrame:
    """Mean attention by kind of neighbour, in equal shares, over all edges of BPTI and all channels."""
    shown = seen("5pti", weights)
    masks = kinds(shown.after[layer - 1], shown.structure)

    def by_kind(record: LayerTrace) -> dict[str, float]:
        share = record.attention.mean(dim=1) * record.edges.num_neighbours[record.edges.receiver]
        return {name: float(share[torch.from_numpy(mask)].mean()) for name, mask in masks.items()}

    return pd.DataFrame(with_controls(by_kind, [shown.after[layer - 1]], [shown.before[layer - 1]])).T.round(2)


def channel_preferences(record: LayerTrace, structure: Molecule) -> pd.DataFrame:
    """One row a scalar channel: effective neighbours (%), and the mean attention, in equal shares, by kind."""
    share = record.attention * record.edges.num_neighbours[record.edges.receiver].unsqueeze(1)
    columns = {name: share[torch.from_numpy(mask)].mean(dim=0) for name, mask in kinds(record, structure).items()}
    effective = 100 * effective_neighbours(record).nanmean(dim=0).numpy()
    table = pd.DataFrame({"effective (%)": effective.round(), **columns}).rename_axis("channel")
    return table.sort_values("effective (%)", kind="stable").round(1)


@cache
def upright_table() -> pd.DataFrame:
    """``upright_shares`` of the trained model for all rings and peptide planes of BPTI, alone and in the protein."""
    structure, frames = embedded_structure("5pti"), []
    for kind, groups in (("rings", aromatic_rings(structure)), ("peptide planes", peptide_planes(structure))):
        for alone in (True, False):
            table = upright_shares(models()[1], structure, groups, alone)
            frames.append(table.assign(kind=kind, alone=alone))
    return pd.concat(frames, ignore_index=True)


@figure(name="out-of-plane-shares", notebook="08", data=DATA, trained=TRAINED)
def out_of_plane_shares() -> Figure:
    """How upright each term stands on the rings and peptide planes of BPTI, cut out and within the protein."""
    table = upright_table()
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 4.0), sharey=True)
    rng = np.random.default_rng(0)
    names = {"v_direction": "directions", "v_mix": "mixing", "v_cross": "cross\nproducts"}
    for ax, (alone, title) in zip(axes, ((True, "cut out"), (False, "within the protein")), strict=True):
        for number, (kind, marker) in enumerate((("rings", "o"), ("peptide planes", "^"))):
            rows = table[(table["alone"] == alone) & (table["kind"] == kind)]
            for x, term in enumerate(names):
                spread = x + 0.36 * (number - 0.5) + rng.uniform(-0.1, 0.1, len(rows))
                looks = {"color": TERM_COLOURS[term], "alpha": 0.8, "markeredgecolor": "none"}
                ax.plot(spread, rows[term], marker, markersize=5, **looks)
            ax.plot([], [], marker, color=COLOURS["grey"], label=f"{len(rows)} {kind}", markersize=6)
        ax.axhline(0.5, color=COLOURS["black"], linestyle=":", linewidth=1.2)
        ax.set(title=title, ylim=(-0.03, 1.03), xticks=range(3))
        ax.set_xticklabels(names.values())
        ax.grid(axis="x", visible=False)
    axes[0].set_ylabel("upright share |v·n| / |v|")
    axes[0].legend(*axes[1].get_legend_handles_labels(), loc="center left", fontsize=SMALL)
    alone, inside = (table[table["alone"] == value][list(names)].mean() for value in (True, False))
    words = [
        ", ".join(f"{name.replace(chr(10), ' ')} {mean[term]:.2f}" for term, name in names.items())
        for mean in (alone, inside)
    ]
    caption = (
        f"How upright the vector terms of layer 2 stand on the flat groups of BPTI. One mark a group, mean over "
        f"its atoms and channels; dotted: an arrow of random direction. Means, cut out: {words[0]}; within the "
        f"protein: {words[1]}."
    )
    return describe(fig, caption, caption)


@cache
def axial_shares(weights: str = MODEL) -> pd.DataFrame:
    """Share of the squared length of v in BPTI that is axial, after each layer, before and after training.

    Squares, because polar and axial part add up in squares: the two shares then make up the whole.
    """
    graph = embedded_structure("5pti").graph(4.5, torch.float64)
    rows = []
    for name, model in zip(("before", "after"), models(weights), strict=True):
        for layer, (polar, axial) in enumerate(handed_vectors(model, graph), start=1):
            share = axial.square().sum() / (polar.square().sum() + axial.square().sum())
            rows.append({"training": name, "layer": layer, "axial": float(share)})
    return pd.DataFrame(rows)


@figure(name="axial-share-by-layer", notebook="08", data=DATA, trained=TRAINED)
def axial_share_by_layer() -> Figure:
    """How much of the vector features is axial, layer by layer."""
    table = axial_shares()
    fig, ax = plt.subplots(figsize=(6.4, 3.6))
    for (name, rows), colour in zip(table.groupby("training", sort=False), ("grey", "pink"), strict=True):
        ax.plot(rows["layer"], 100 * rows["axial"], "o-", color=COLOURS[colour], label=f"{name} training")
    ax.set(xlabel="after layer", ylabel="axial part of |p|² + |x|² (%)", xticks=sorted(table["layer"].unique()))
    ax.legend()
    words = "; ".join(
        f"{name} training " + ", ".join(f"{100 * share:.2g}" for share in rows["axial"])
        for name, rows in table.groupby("training", sort=False)
    )
    caption = f"Share of the squared length of the vectors of BPTI that is axial, in %, after layers 1, 2, 3: {words}."
    return describe(fig, caption, caption)


def _core(structure: Molecule) -> np.ndarray:
    """[N] whether an atom is an alpha carbon of the part of adenylate kinase that does not move."""
    atoms = structure.atoms
    return (adk_domain(atoms["residue"].to_numpy()) == "core") & (atoms["name"] == "CA").to_numpy()


@cache
def enzyme(weights: str = MODEL) -> pd.DataFrame:
    """Adenylate kinase, open against closed: one row an atom with its displacement (Å) and the changes in layer 2.

    "trained", "untrained" and "uniform" are the share of attention that goes to other atoms than before; "contact" says whether the atom gains or loses a neighbour in another domain.
    """
    opened, closed = seen("adk_open", weights), seen("adk_closed", weights)
    atoms = opened.structure.atoms
    domain = adk_domain(atoms["residue"].to_numpy())
    _, moved = displacement(opened.structure, closed.structure, _core(opened.structure))
    pair = ((opened.after[1], closed.after[1]), (opened.before[1], closed.before[1]))
    change = with_controls(lambda first, second: neighbourhood_change(first, second)[1], *pair)
    neighbours = neighbourhood_change(*pair[0])[0]
    pairs = [
        {
            (j, i)
            for j, i in zip(record.edges.source.tolist(), record.edges.receiver.tolist(), strict=True)
            if domain[i] != domain[j]
        }
        for record in (opened.after[1], closed.after[1])
    ]
    contact = np.zeros(len(atoms), dtype=bool)
    contact[[i for _, i in pairs[0] ^ pairs[1]]] = True
    return pd.DataFrame(
        {
            "residue": atoms["residue"],
            "resname": atoms["resname"],
            "domain": domain,
            "moved": moved,
            "neighbours": neighbours,
            **{name: values.numpy() for name, values in change.items()},
            "contact": contact,
        }
    )


@cache
def noise_floor() -> float:
    """Mean change of attention in layer 2 of open adenylate kinase when normal noise is added to its coordinates."""
    opened, model = seen("adk_open"), models()[1]
    noise = NOISE * np.random.default_rng(0).normal(size=opened.structure.positions.shape)
    shaken = opened.structure.with_positions(opened.structure.positions + noise)
    record = model.trace(shaken.graph(model.config.cutoff, torch.float64))[1]
    return float(neighbourhood_change(opened.after[1], record)[1].mean())


@figure(name="enzyme-moved-and-changed", notebook="08", data=ENZYME, trained=TRAINED)
def enzyme_panels() -> Figure:
    """Adenylate kinase open, with how far each residue moves, and closed, with how much of its attention moves on."""
    table, opened = enzyme(), seen("adk_open").structure
    closed, _ = displacement(opened, seen("adk_closed").structure, _core(opened))
    camera = Camera.facing(opened.positions)
    scenes = [
        residue_scene(
            opened, table["moved"], "displacement", "Å", camera=camera, title="open: how far each residue moves"
        ),
        residue_scene(
            closed,
            table["trained"],
            "attention that moves on",
            camera=camera,
            num_labels=4,
            title="closed: how much attention moves on",
        ),
    ]
    caption = "Adenylate kinase. What moves on: the share of a residue's attention in layer 2 that goes to other atoms."
    return still.panels(scenes, columns=1, height=3.6, caption=caption)


@figure(name="enzyme-by-residue", notebook="08", data=ENZYME, trained=TRAINED)
def enzyme_residues() -> Figure:
    """Displacement and change of attention along the chain of adenylate kinase."""
    table = enzyme().drop(columns=["resname", "domain", "contact"]).groupby("residue").mean()
    fig, axes = plt.subplots(2, 1, figsize=(7.2, 4.8), sharex=True)
    axes[0].plot(table.index, table["moved"], color=COLOURS["vermilion"], linewidth=1.6)
    looks = {"trained": ("blue", "-"), "untrained": ("grey", "-"), "uniform": ("black", "--")}
    for name, (colour, line) in looks.items():
        axes[1].plot(table.index, table[name], line, color=COLOURS[colour], linewidth=1.4, label=name)
    for ax, label in zip(axes, ("displacement (Å)", "attention that\nmoves on"), strict=True):
        ax.set(ylabel=label, ylim=(0, None))
        for name, (first, last) in ADK_DOMAINS.items():
            ax.axvspan(first - 0.5, last + 0.5, color="#DDDDDD", zorder=0)
            if ax is axes[0]:
                ax.text((first + last) / 2, ax.get_ylim()[1], name, ha="center", va="bottom", fontsize=SMALL)
    axes[1].axhline(noise_floor(), color="black", linestyle=":", linewidth=1.4, label=f"trained, noise of {NOISE} Å")
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", fontsize=SMALL, ncols=4)
    axes[1].set(xlabel="residue", xlim=(table.index.min(), table.index.max()))
    correlation = {
        name: spearmanr(table[name], table["trained"]).statistic for name in ("moved", "uniform", "untrained")
    }
    caption = (
        f"Adenylate kinase from open to closed, mean over the atoms of each residue, cores laid over "
        f"each other. Above: displacement, {table['moved'].max():.0f} Å at most. Below: share of the attention "
        f"(layer 2, mean over channels) that goes to other atoms than before, for the trained model, the untrained one and "
        f"uniform weights; dotted: mean change of the trained one when all coordinates get noise of {NOISE} Å. "
        f"Grey areas: the two domains that move. Rank correlation of the trained curve with displacement: "
        f"{correlation['moved']:.2f}, with uniform weights {correlation['uniform']:.3f}, with the untrained model "
        f"{correlation['untrained']:.3f}."
    )
    return describe(fig, caption, caption)


def turned_scene(angle: float = 0.0, term: str = "v_direction") -> Scene:
    """BPTI turned by ``angle`` degrees: a term of layer 2 at the ring of phenylalanine 22, for a reader who stays.

    The model is run anew on the turned coordinates; nothing is turned in the picture.
    """
    structure = embedded_structure("5pti")
    rows = aromatic_rings(structure)["PHE 22"]
    camera = Camera.facing(structure.positions[rows])
    matrix = rotation_about(camera.direction, np.deg2rad(angle)).numpy()
    turned = structure.with_positions(structure.positions @ matrix.T)
    model = models()[1]
    trace = model.trace(turned.graph(model.config.cutoff, torch.float64))
    channel, title = strongest_cross(trace, rows), f"{TERM_NAMES[term]}, turned by {angle:g}°"
    return terms_scene(turned, trace, rows, channel=channel, terms=(term,), camera=camera, stretch=2, title=title)


@figure(name="turning-along", notebook="08", data=DATA, trained=TRAINED)
def turning_along(angle: float = 70) -> Figure:
    """Two terms at a ring, as the protein lies in its file and turned by ``angle`` degrees."""
    scenes = [turned_scene(turn, term) for term in ("v_direction", "v_cross") for turn in (0, angle)]
    caption = "Two terms of layer 2 at the ring of phenylalanine 22. The model runs anew on the turned protein."
    return still.panels(scenes, height=3.0, caption=caption)


@cache
def removal_table(weights: str = MODEL) -> pd.DataFrame:
    """For hidden residues of BPTI: attention of each neighbour of CA, and what its removal does to the prediction."""
    model, frames = models(weights)[1], []
    for residue in HIDDEN:
        structure, centre, _, after = question(residue, weights)
        record = after[-1]
        incoming = (record.edges.receiver == centre).nonzero().flatten()
        rows = record.edges.source[incoming]
        effect = removals(model, structure.graph(model.config.cutoff, torch.float64), centre, rows)
        frames.append(
            pd.DataFrame(
                {
                    "residue": residue,
                    "attention": _share(record, incoming),
                    "effect": effect,
                    "distance": record.edges.distance[incoming],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _share(record: LayerTrace, incoming: Tensor) -> Tensor:
    return record.attention[incoming].mean(dim=1) * len(incoming)


def agreement(table: pd.DataFrame, score: str = "attention") -> pd.Series:
    """Of ``removal_table``: rank correlation of attention or nearness with the effect, for each hidden residue."""
    columns = table.assign(nearness=-table["distance"]).groupby("residue")[[score, "effect"]]
    return columns.corr("spearman").xs(score, level=1)["effect"]


@figure(name="attention-against-removal", notebook="08", data=DATA, trained=TRAINED)
def attention_against_removal() -> Figure:
    """Attention of neighbours against the effect of taking them away."""
    table = removal_table()
    fig, ax = plt.subplots(figsize=(6.4, 4.2))
    palette = ("blue", "vermilion", "green", "pink", "orange")
    for (residue, rows), colour in zip(table.groupby("residue"), palette, strict=False):
        name = embedded_structure("5pti").residues.query("residue == @residue")["resname"].iloc[0]
        ax.plot(rows["attention"], rows["effect"], "o", color=COLOURS[colour], markersize=6, label=f"{name} {residue}")
    ax.set(
        xlabel="attention in the last layer (equal shares)",
        ylabel="change of the prediction\nwithout that atom",
        ylim=(0, None),
    )
    ax.legend(title="hidden residue", fontsize=SMALL, title_fontsize=SMALL)
    rank, near = agreement(table), agreement(table, "nearness")
    caption = (
        f"Neighbours of the CA atom of {len(rank)} hidden residues of BPTI: attention (last layer, mean over "
        f"channels) against the change of the predicted distribution (total variation) when the atom is taken "
        f"away. Rank correlation within a residue: {rank.min():.2f} to {rank.max():.2f}; of nearness, which knows "
        f"nothing of attention: {near.min():.2f} to {near.max():.2f}."
    )
    return describe(fig, caption, caption)


COUNTS = (1, 2, 4, 8, 16)  # atoms taken away
SCORES = ("attention", "attention rollout", "gradient", "integrated gradients", "rollout, uniform weights", "nearness")


def scores(model: EQGAT, trace: list[LayerTrace], data: Data, target: Target) -> dict[str, Tensor]:
    """For one prediction about an atom: what each way of looking says of all atoms, by name, [N] each.

    The last two know nothing of attention: rollout with uniform weights, and how near an atom is (minus its distance).
    """
    last, centre = trace[-1], target.row
    incoming = torch.nonzero(last.edges.receiver == torch.tensor(centre)).flatten()
    attention = torch.zeros(len(data.z), dtype=last.attention.dtype)
    attention[last.edges.source[incoming]] = last.attention[incoming].mean(dim=1)
    found = {"attention": attention, **attributions(model, data, target, steps=16)}
    found["integrated gradients"] = found["integrated gradients"].abs()
    found["rollout, uniform weights"] = rollout(trace, centre, uniform=True)
    found["nearness"] = -(data.pos - data.pos[centre]).norm(dim=1)
    return {name: found[name] for name in SCORES}


@cache
def explained() -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each score says of five hidden residues, held against what happens when atoms are taken away.

    Two tables. One row a score and residue: rank correlation over the atoms that the model can see with the effect of
    taking each away ("effect"), and with the same score under fresh weights ("fresh weights"); both again over the
    neighbours of the CA alone. One row an order, residue and number of atoms: how far the log probability of the answer
    moves ("change", nats).
    """
    (control, model), ranks, curves = models(), [], []
    for residue in HIDDEN:
        structure, centre, before, after = question(residue)
        data = structure.graph(model.config.cutoff, torch.float64)
        with torch.no_grad():
            target = Target(int(model(data)[centre].argmax()), centre, log_probability=True)
        ours, fresh = scores(model, after, data, target), scores(control, before, data, target)
        others = ours["rollout, uniform weights"].nonzero().flatten()
        others = others[others != centre]
        effect = removals(model, data, centre, others)
        everywhere = torch.ones(len(others), dtype=torch.bool)
        for name in SCORES:
            mine, theirs, row = ours[name][others], fresh[name][others], {"score": name, "residue": residue}
            for where, mask in (("", everywhere), (", neighbours", ours["attention"][others] > 0)):
                row["effect" + where] = spearmanr(mine[mask], effect[mask]).statistic
                row["fresh weights" + where] = spearmanr(mine[mask], theirs[mask]).statistic
            ranks.append(row)
        generator = torch.Generator().manual_seed(residue)
        orders = {name: [ours[name]] for name in SCORES}
        orders["at random"] = [torch.rand(len(data.z), generator=generator, dtype=torch.float64) for _ in range(4)]
        for name, some in orders.items():
            change = torch.stack([deletion_curve(model, data, target, one, COUNTS) for one in some]).mean(dim=0)
            curves += [
                {"score": name, "residue": residue, "atoms": count, "change": float(value)}
                for count, value in zip(COUNTS, change, strict=True)
            ]
    return pd.DataFrame(ranks), pd.DataFrame(curves)


@figure(name="attributions-compared", notebook="08", data=DATA, trained=TRAINED)
def attributions_compared() -> Figure:
    """Which score finds the atoms that matter: one by one, and taken away together."""
    ranks, curves = explained()
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 4.9), width_ratios=(1, 1.1))
    palette = dict(zip(SCORES, ("blue", "sky", "vermilion", "orange", "black", "grey"), strict=True))
    for number, name in enumerate(reversed(SCORES)):
        rows = ranks[ranks["score"] == name]
        left.plot(rows["effect"], [number] * len(rows), "o", color=COLOURS[palette[name]], markersize=5, alpha=0.6)
        left.plot(rows["effect"].mean(), number, "|", color=COLOURS[palette[name]], markersize=18, markeredgewidth=2.5)
    left.axvline(0, color=COLOURS["black"], linestyle=":", linewidth=1.2)
    left.set(yticks=range(len(SCORES)), xlabel="rank correlation with the\neffect of taking an atom away", xlim=(0, 1))
    left.set_yticklabels([name.replace(", ", ",\n") for name in reversed(SCORES)], fontsize=SMALL)
    left.grid(axis="y", visible=False)
    means = curves.groupby(["score", "atoms"])["change"].mean().unstack("atoms")
    for name in (*SCORES, "at random"):
        line = {"nearness": "--", "rollout, uniform weights": "--", "at random": ":"}.get(name, "-")
        right.plot(COUNTS, means.loc[name], line, color=COLOURS[palette.get(name, "pink")], label=name, linewidth=1.8)
    right.set(xscale="log", yscale="log", xlabel="best atoms taken away", ylabel="change of log probability (nats)")
    right.set_xticks(COUNTS, [str(count) for count in COUNTS], minor=False)
    right.minorticks_off()
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL - 1.5)
    one = ranks.groupby("score", sort=False)["effect"].mean()
    words = ", ".join(f"{name} {value:.2f}" for name, value in one.items())
    caption = (
        f"Five hidden residues of BPTI. Left: rank correlation, over the atoms that the model can see, between a score and "
        f"the effect of taking the atom away; one point a residue, bar: mean ({words}). Right: change of the log "
        f"probability of the answer when the best atoms of each score are taken away together, mean over the residues."
    )
    return describe(fig, caption, caption)


def conclusions(weights: str) -> pd.Series:
    """What this notebook says of its model, as numbers, for any of the shipped ones."""
    after, model = seen("5pti", weights).after, pretrained(weights)
    whole, without = (residue_answers(each, "test", RADIUS) for each in (model, without_cross_product(model)))
    cost = np.log(whole["chance"] / without["chance"]).groupby(whole["protein"]).mean().mean()
    axial = axial_shares(weights).query("training == 'after'")["axial"].tolist()
    curves = enzyme(weights).groupby("residue")[["trained", "uniform"]].mean()
    lowest = [100 * float(effective_neighbours(record).nanmean(dim=0).min()) for record in after]
    paid = kind_controls(weights=weights).loc["trained"]
    found = {
        "test environments answered rightly (%)": 100 * (whole["answer"] == whole["truth"]).mean(),
        **{f"attention to neighbours of kind {kind} (equal shares)": paid[kind] for kind in ("2 bonds", "S", "O", "N")},
        **{f"most selective channel, layer {k} (% of neighbours)": low for k, low in enumerate(lowest, start=1)},
        "axial part of |p|²+|x|², layer 2 (%)": 100 * axial[1],
        "axial part of |p|²+|x|², last layer (%)": 100 * axial[-1],
        "cost of no cross products (nats)": cost,
        "enzyme: rank correlation with uniform weights": curves.corr("spearman").loc["trained", "uniform"],
        "neighbours of CA: rank correlation of attention with effect": agreement(removal_table(weights)).mean(),
    }
    return pd.Series(found, name=weights)
