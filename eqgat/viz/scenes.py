"""Scenes of what a layer did, made from a structure and the trace of a forward pass.

Attention is shown in *equal shares*: α_ji times the number of neighbours of i, which is 1 where an atom listens to all
of them alike. Without this, an atom with few neighbours would look attentive, and a buried one popular.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eqgat.inspection import TERM_NAMES, attention_received, equal_share, mean_terms, over_channels
from eqgat.layers import LayerTrace
from eqgat.molecule import Molecule
from eqgat.viz.parts import Camera, Edges, Scalars, Vectors
from eqgat.viz.scene import Scene, round_unit
from eqgat.viz.style import DIVERGING, TERM_COLOURS

__all__ = [
    "attention_scene",
    "burial_scene",
    "neighbourhood_scene",
    "pocket_scene",
    "residue_scene",
    "term_vectors",
    "terms_scene",
]

TERMS = {"v_direction": "directions, Eq. 3", "v_mix": "mixing, Eq. 4", "v_cross": "cross products, Eq. 5"}
LABEL_DISTANCE = 8.0  # Å, at least, between two labels of a whole protein
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
                Vectors(mean[None], name, kind=_kind(term, 1), atoms=[0], colour=TERM_COLOURS[term], same_length=True)
            )
    atoms = local.atoms
    # One label a residue, at its outermost atom: more would lie on top of each other.
    camera = Camera.facing(local.positions)
    reach = (((local.positions - local.positions[0]) @ camera.rotation()[:2].T) ** 2).sum(axis=1)
    outermost = pd.Series(reach).groupby(atoms["residue"].to_numpy()).idxmax().drop(atoms["residue"].iloc[0])
    labels = {row: _atom_label(local, row) for row in [0, *outermost]}
    return Scene.from_structure(
        local,
        edges=Edges(torch.stack([number, torch.zeros_like(number)]), Scalars(attention, label, limits=limits)),
        vectors=tuple(vectors),
        labels=labels,
        camera=camera,
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


def attention_scene(
    structure: Molecule,
    record: LayerTrace,
    channels: Channels = None,
    num_edges: int = 300,
    num_labels: int = 3,
    limit: float | None = None,
    title: str = "",
) -> Scene:
    """A whole structure: how much all others listen to each atom, and the edges with the strongest attention.

    Atoms are coloured by log2 of (attention received / what equal shares would give): 0 is no preference, 1 twice as
    much. Edges by α_ji |N(i)|. Labels: the atoms that receive most in this measure, none close to another label.

    Args:
        structure, record: the atoms, and what one layer did with their graph.
        channels: one channel, several (a head), or None for the mean over all.
        num_edges: how many of the strongest edges to draw; 0 for none.
        num_labels: how many atoms to label.
        limit: the colour bar of the atoms goes from -limit to limit; chosen if left out.
        title: heading of the still.
    """
    _check(structure, record)
    received = attention_received(record, channels) / equal_share(record)
    ratio = torch.where(received.isfinite(), received.log2(), torch.nan)
    order = torch.nan_to_num(ratio, nan=-torch.inf).argsort(descending=True, stable=True)
    edges = None
    if num_edges:
        share = over_channels(record.attention, channels) * record.edges.num_neighbours[record.edges.receiver]
        kept = share.argsort(descending=True, stable=True)[:num_edges]
        index = torch.stack([record.edges.source, record.edges.receiver])[:, kept]
        edges = Edges(index, Scalars(share[kept], f"strongest α (equal shares), {_channel_name(channels)}"))
    limits = None if limit is None else (-limit, limit)
    colours = Scalars(ratio, "log₂ of attention received / equal share", cmap=DIVERGING, limits=limits)
    labels = {row: _atom_label(structure, row) for row in _far_apart(structure.positions, order.tolist(), num_labels)}
    radius = 0.35 if num_edges else 0.7  # large balls show their colour, small ones do not hide the edges
    return Scene.from_structure(
        structure, atom_scalars=colours, radii=np.full(len(structure), radius), edges=edges, labels=labels, title=title
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
        vectors = sum(means.values()) if term == "sum" else means[term]
        made.append(
            (
                "sum of the three, Eq. 6" if term == "sum" else TERMS[term],
                vectors[:, :, channel],
                _kind(term, layer - 1),
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


def pocket_scene(
    structure: Molecule,
    record: LayerTrace,
    ligand: str,
    channels: Channels = None,
    num_labels: int = 4,
    title: str = "",
) -> Scene:
    """A ligand, the atoms of the protein that it listens to, and how much: edges in equal shares.

    Args:
        structure, record: the atoms, and what one layer did with their graph.
        ligand: residue name, as "XK2".
        channels: one channel, several (a head), or None for the mean over all.
        num_labels: label the protein atoms at the strongest edges, one a residue.
        title: heading of the still.

    Raises:
        ValueError: no such ligand, or no protein atom within its reach.
    """
    _check(structure, record)
    bound = (structure.atoms["resname"].str.strip() == ligand).to_numpy()
    if not bound.any():
        found = sorted(set(structure.atoms["resname"][structure.atoms["hetero"].str.startswith("H")]))
        raise ValueError(
            f"{structure.name} has no residue {ligand!r}; its hetero groups are {', '.join(found) or 'none'}"
        )
    source, receiver = record.edges.source.numpy(), record.edges.receiver.numpy()
    across = np.flatnonzero(bound[receiver] & ~bound[source])
    if not len(across):
        raise ValueError(f"{ligand} has no protein atom within the cutoff")
    share = (over_channels(record.attention, channels) * record.edges.num_neighbours[record.edges.receiver]).numpy()
    rows = np.concatenate([np.flatnonzero(bound), np.unique(source[across])])
    place = {row: number for number, row in enumerate(rows)}
    local = structure.select(rows)
    index = [[place[row] for row in ends[across]] for ends in (source, receiver)]
    two_chains = structure.atoms["chain"].nunique() > 1  # then two residues may have one name
    labels: dict[int, str] = {}
    for edge in across[np.argsort(-share[across], kind="stable")]:
        if len(labels) < num_labels and structure.residue_index[source[edge]] not in (
            structure.residue_index[rows[row]] for row in labels
        ):
            labels[place[source[edge]]] = _atom_label(structure, source[edge], with_chain=two_chains)
    near = np.arange(len(rows)) < bound.sum()
    return Scene.from_structure(
        local,
        edges=Edges(index, Scalars(share[across], f"α (equal shares), {_channel_name(channels)}")),
        faded=~near,
        labels=labels,
        camera=Camera.facing(local.positions[near]),
        title=title,
    )


def residue_scene(
    structure: Molecule,
    values: Any,
    label: str,
    unit: str = "",
    num_labels: int = 0,
    camera: Camera | None = None,
    limits: tuple[float, float] | None = None,
    title: str = "",
) -> Scene:
    """A protein as a cartoon, each residue coloured by the mean of ``values`` [N] over its atoms.

    ``num_labels`` residues with the largest means are labelled, at their alpha carbons, none close to another label.
    """
    means = pd.Series(np.asarray(values, dtype=float)).groupby(structure.residue_index).mean().to_numpy()
    ranked = structure.residues.iloc[np.argsort(-means, kind="stable")]
    at = [int((structure.atoms["name"].iloc[row.first : row.last + 1] == "CA").idxmax()) for row in ranked.itertuples()]
    labels = {row: _atom_label(structure, row).split()[0] for row in _far_apart(structure.positions, at, num_labels)}
    return Scene.from_structure(
        structure,
        representation="cartoon",
        labels=labels,
        title=title,
        camera=camera or Camera.facing(structure.positions),
        atom_scalars=Scalars(means[structure.residue_index], f"{label}, mean of a residue", unit, limits=limits),
    )


def _far_apart(positions: np.ndarray, ranked: list[int], count: int) -> list[int]:
    """The first ``count`` rows of ``ranked``, leaving out those too close to an earlier one."""
    chosen: list[int] = []
    for row in ranked:
        away = np.linalg.norm(positions[chosen] - positions[row], axis=1)
        if len(chosen) < count and (away > LABEL_DISTANCE).all():
            chosen.append(row)
    return chosen


def _check(structure: Molecule, record: LayerTrace) -> None:
    if len(record.s) != len(structure):
        raise ValueError(
            f"the trace has {len(record.s)} atoms, the structure {len(structure)}; "
            "trace the graph of this very structure"
        )


def _kind(term: str, before: int) -> str:
    """Handedness of a term in a layer with ``before`` layers before it.

    Vectors are polar after the first layer. The second adds axial ones to them and mixes both kinds, and its update
    puts pseudoscalars into s, so that from the third on even the coefficients differ in a mirror.
    """
    if before == 0:
        return "polar"
    if before == 1:
        return {"v_direction": "polar", "v_mix": "polar", "v_cross": "axial"}.get(term, "mixed")
    return "mixed"


def _channel_name(channels: Channels) -> str:
    if channels is None:
        return "mean over channels"
    if isinstance(channels, int):
        return f"channel {channels}"
    channels = list(channels)
    return f"channels {channels[0]} to {channels[-1]}"


def _atom_label(structure: Molecule, row: int, with_chain: bool = False) -> str:
    atom = structure.atoms.iloc[int(row)]
    chain = atom["chain"].strip() if with_chain else ""
    return f"{atom['resname'].strip().capitalize()}{atom['residue']}{chain} {atom['name'].strip()}"
