"""Scenes of what a layer did, made from a structure and the trace of a forward pass.

Attention is shown in *equal shares*: α_ji times the number of neighbours of i, which is 1 where an atom listens to all
of them alike. Without this, an atom with few neighbours would look attentive, and a buried one popular.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eqgat.inspection import TERM_NAMES, mean_terms, over_channels
from eqgat.layers import LayerTrace
from eqgat.molecule import Molecule
from eqgat.viz.parts import Camera, Edges, Scalars, Vectors
from eqgat.viz.scene import Scene, round_unit
from eqgat.viz.scenes import residue_label, vector_kind
from eqgat.viz.style import TERM_COLOURS

__all__ = ["burial_scene", "neighbourhood_scene", "term_vectors", "terms_scene"]

TERMS = {"v_direction": "directions, Eq. 3", "v_mix": "mixing, Eq. 4", "v_cross": "cross products, Eq. 5"}
EDGE_MAP = "Purples"  # a colour that no element has; what gets nothing fades into the page
BOND = 1.6  # Å, at most, of an arrow at an atom of a small group
Channels = int | Iterable[int] | None


def neighbourhood_scene(
    structure: Molecule,
    record: LayerTrace,
    centre: int,
    channel: Channels = None,
    vector_channel: int | None = None,
    title: str = "",
    shares: bool = False,
    limits: tuple[float, float] | None = None,
    camera: Camera | None = None,
) -> Scene:
    """One atom, its neighbours and the bonds between them; attention as the colour of the edges, vectors as arrows.

    Args:
        structure: the atoms, in the order of the graph.
        record: what one layer did with that graph. Arrows need the second layer, where each term has one handedness.
        centre: row of the central atom i.
        channel: scalar channel of the attention; several for their mean (a head); None for the mean over all.
        vector_channel: vector channel whose three terms, averaged over the neighbours, are drawn at the central
            atom, all of one length, since they may differ by orders of magnitude; the key says the true lengths.
            None for no arrows.
        title: heading of the still.
        shares: attention in equal shares instead of α itself.
        limits: ends of the colour bar; the range of the data if left out.
        camera: where the reader stands; where the neighbourhood is widest if left out.

    Raises:
        ValueError: the atom has no neighbours, or record and structure do not have the same atoms.
    """
    _check(structure, record)
    incoming = (record.edges.receiver == centre).nonzero().flatten()
    if not len(incoming):
        raise ValueError(f"atom {centre} has no neighbours within the cutoff, so there is nothing to attend to")
    rows = torch.cat([torch.tensor([centre]), record.edges.source[incoming].cpu()])
    attention = over_channels(record.attention[incoming], channel)
    label = f"attention α, {_channel_name(channel)}"
    if shares:
        attention, label = attention * len(incoming), f"α (equal shares), {_channel_name(channel)}"
    local = structure.select(rows.numpy().astype(int))
    number = torch.arange(1, len(rows))
    vectors = []
    if vector_channel is not None:
        for term, name in TERMS.items():
            mean = getattr(record, term)[incoming, :, vector_channel].mean(dim=0)
            vectors.append(
                Vectors(
                    mean[None], name, kind=vector_kind(term, 1), atoms=[0], colour=TERM_COLOURS[term], same_length=True
                )
            )
    atoms = local.atoms
    # One label a residue, at the atom that gets most: more would lie on top of each other.
    others = pd.Series(attention.tolist(), index=number.tolist()).groupby(atoms["residue"].to_numpy()[1:]).idxmax()
    labels = {row: _atom_label(local, row) for row in [0, *others.drop(atoms["residue"].iloc[0], errors="ignore")]}
    return Scene.from_structure(
        local,
        edges=Edges(
            torch.stack([number, torch.zeros_like(number)]), Scalars(attention, label, cmap=EDGE_MAP, limits=limits)
        ),
        vectors=tuple(vectors),
        labels=labels,
        camera=camera or Camera.facing(local.positions),
        title=title,
    )


def burial_scene(structure: Molecule, num_neighbours: Tensor, centre: int, title: str = "") -> Scene:
    """A whole structure as balls and sticks, coloured by the number of neighbours of each atom, one atom labelled.

    Args:
        structure: the atoms, in the order of the graph.
        num_neighbours: |N(i)| [N].
        centre: row of the atom to label.
        title: heading of the still.
    """
    return Scene.from_structure(
        structure,
        atom_scalars=Scalars(num_neighbours, "neighbours within the cutoff"),
        labels={centre: _atom_label(structure, centre)},
        title=title,
    )


def term_vectors(
    trace: Sequence[LayerTrace], layer: int, channel: int, terms: Iterable[str] = TERM_NAMES
) -> list[tuple[str, Tensor, str]]:
    """The mean vector terms of a layer, counted from 1: name, vectors [N, 3], kind.

    "sum" among the terms gives the vector message, the sum of all three.

    Raises:
        ValueError: no such layer, channel or term.
    """
    if not 1 <= layer <= len(trace):
        raise ValueError(f"layer must be 1 to {len(trace)}; got {layer}")
    record = trace[layer - 1]
    if not 0 <= channel < record.v.shape[2]:
        raise ValueError(f"vector channel must be 0 to {record.v.shape[2] - 1}; got {channel}")
    means, made = mean_terms(record), []
    for term in terms:
        if term != "sum" and term not in means:
            raise ValueError(f"unknown vector term {term!r}; there are {', '.join(TERM_NAMES)} and sum")
        vectors = torch.stack([*means.values()]).sum(dim=0) if term == "sum" else means[term]
        made.append(
            (
                "sum of the three, Eq. 6" if term == "sum" else TERMS[term],
                vectors[:, :, channel],
                vector_kind(term, layer - 1),
            )
        )
    return made


def terms_scene(
    structure: Molecule,
    trace: Sequence[LayerTrace],
    rows: Sequence[int],
    layer: int = 2,
    channel: int = 0,
    terms: Sequence[str] = TERM_NAMES,
    labels: Iterable[int] = (),
    camera: Camera | None = None,
    stretch: float = 1.0,
    title: str = "",
) -> Scene:
    """Some atoms, with the vector terms that a layer built at each of them, averaged over all of its neighbours.

    Args:
        structure, trace: the atoms, and what all layers did with their graph.
        rows: the atoms to show.
        layer: counted from 1. In the first only directions are not zero, in the second each term has one handedness,
            from the third on all are of mixed kind.
        channel: vector channel.
        terms: of "v_direction", "v_mix", "v_cross" and "sum".
        labels: rows of the atoms to label with their names.
        camera: where the reader stands; so that the plane of the atoms lies in the page if left out.
        stretch: arrows are at most 1.6 Å long, about a bond, which keeps neighbours apart, times this.
        title: heading of the still.
    """
    _check(structure, trace[0])
    rows = [int(row) for row in rows]
    local = structure.select(rows)
    arrows = [
        Vectors(vectors[rows], name, kind=kind, colour=TERM_COLOURS.get(term, ""))
        for term, (name, vectors, kind) in zip(terms, term_vectors(trace, layer, channel, terms), strict=True)
    ]
    names = {rows.index(int(row)): _atom_label(structure, int(row)) for row in labels}
    scene = Scene.from_structure(
        local,
        vectors=tuple(arrows),
        labels=names,
        title=title,
        radii=np.full(len(rows), 0.2),
        camera=camera or Camera.facing(local.positions),
    )
    longest = max((vectors.longest() for vectors in arrows), default=0)
    return replace(scene, arrow_scale=round_unit(longest, BOND * stretch * scene.arrow_size()) if longest else None)


def _check(structure: Molecule, record: LayerTrace) -> None:
    if len(record.s) != len(structure):
        raise ValueError(
            f"the trace has {len(record.s)} atoms, the structure {len(structure)}; "
            "trace the graph of this very structure"
        )


def _channel_name(channels: Channels) -> str:
    if channels is None:
        return "mean over channels"
    if isinstance(channels, int):
        return f"channel {channels}"
    channels = list(channels)
    return f"channels {channels[0]} to {channels[-1]}"


def _atom_label(structure: Molecule, row: int) -> str:
    return f"{residue_label(structure, row)} {structure.atoms['name'].iloc[int(row)].strip()}"
