"""An instrument for one protein and one model: to whom its atoms listen, and which vectors they build.

``explore`` runs the model once, reads the trace of that forward pass, and makes one HTML page of it that needs no
network: the protein, its sequence, and for every atom that is clicked its neighbourhood with all numbers. The page
computes nothing of the model; all that it shows is one of these, taken from ``model.trace``:

=====================  =========  ================================================================================
array                  shape      what it is
=====================  =========  ================================================================================
``share``              [G, E]     attention α_ji in equal shares: times |N(i)|, so that uniform weights give 1
``received``           [G, N]     sum over the receivers of α_ji; ``equal`` [N] is the same for uniform weights
``effective``          [G, N]     exp of the entropy of α over the neighbours, as a share of |N(i)|
``v_direction`` ...    [C, N, 3]  the three terms of Eqs. 3 to 5, each averaged over the neighbours
=====================  =========  ================================================================================

for every layer, for the trained model and for one with fresh weights. G counts the choices of channels: the mean over
all, groups of neighbouring channels ("heads", which EQGAT itself does not have), and single channels; C the vector
channels. A page of a large protein keeps fewer of both, and says which. Numbers are stored in whole steps, so at most
half a step off: shares in steps of 0.005 (single channels: 0.02), all others in steps of 1/4,095 of the largest of
their array.
"""

from __future__ import annotations

import base64
import gzip
import html
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.colors import to_hex
from scipy.spatial.transform import Rotation

from eqgat.attribution import Target, attributions, fresh
from eqgat.chemistry import residue_letter
from eqgat.errors import UserError
from eqgat.files import write_files
from eqgat.inspection import (
    TERM_NAMES,
    attention_received,
    effective_neighbours,
    equal_share,
    heads,
    mean_terms,
    over_channels,
    residue_preference,
)
from eqgat.layers import LayerTrace
from eqgat.model import EQGAT
from eqgat.molecule import Molecule
from eqgat.pretrained import About
from eqgat.viz import scripts
from eqgat.viz.backbone import backbone_rows, secondary_structure
from eqgat.viz.parts import Camera
from eqgat.viz.scene import Scene
from eqgat.viz.scenes import residue_scene, vector_kind
from eqgat.viz.style import DIVERGING, ELEMENT_COLOURS, OTHER_ELEMENT_COLOUR, TERM_COLOURS, png_bytes
from eqgat.viz.view3d import as_json, source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explorer", "attributed", "explore"]

NUM_HEADS = 4
SHARE_STEP, SINGLE_STEP = 0.005, 0.02  # of attention in equal shares: means and heads, single channels
STEPS, LARGEST = 4_095, 32_767  # the others: steps up to the largest of an array; the largest code
MOST_ATOMS = 30_000
# Reasons of ``Molecule.dropped`` in words.
REASONS = {
    "chain": "atoms of other chains",
    "water": "water atoms",
    "hetero": "atoms of hetero groups",
    "virtual": "lone pairs and virtual sites",
    "hydrogen": "hydrogen atoms",
    "alternate": "atoms of other alternate locations",
    "duplicate": "atoms given twice",
}
ROOM, ROOM_OF_ATOM = 1_550_000, 1_190  # characters of data a page may have: so many, and so many more an atom
# How many characters a number takes in the page, about: compressed and written as text.
SHARE_COST, SINGLE_COST, COST = 0.95, 0.78, 1.8


@dataclass(frozen=True, eq=False)
class Explorer:
    """The page of ``explore``. A notebook shows it, with a still picture below; ``save`` writes it."""

    title: str
    data: dict[str, Any]
    scene: Scene

    def to_html(self) -> str:
        """The page. It needs no network, unless 3Dmol.js is not installed here: then it asks for it."""
        library = scripts.source(scripts.THREEDMOL)
        picture = base64.b64encode(png_bytes(self.still())).decode()
        return Template(source("explorer.html")).substitute(
            title=html.escape(self.title),
            model=html.escape(self.data["model"]),
            alt=html.escape(self.scene.alt_text(), quote=True),
            still=f"data:image/png;base64,{picture}",
            library=_compressed(library.encode()) if library else "",
            address=scripts.THREEDMOL.address,
            data=as_json(self.data),
            script=source("mesh.js") + source("explorer.js"),
        )

    def save(self, path: str | Path) -> Path:
        """Write the page into a file, whole or not at all, and return its path. ``UserError``: the disk is full."""
        path = Path(path)
        write_files({path: self.to_html()})
        return path

    def still(self, width: float = 6.4, height: float = 4.0) -> Figure:
        """What the page shows at first, as a matplotlib figure. Sizes in inches."""
        return self.scene.still(width, height)

    def _repr_html_(self) -> str:
        page = html.escape(self.to_html(), quote=True)
        look = "width:100%;height:860px;border:1px solid #999"
        return f'<iframe title="{html.escape(self.title, quote=True)}" style="{look}" srcdoc="{page}"></iframe>'

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({"text/html": self._repr_html_()}, raw=True)
        display(self.still())


def explore(
    molecule: Molecule,
    model: EQGAT,
    *,
    untrained: EQGAT | None = None,
    other: Molecule | None = None,
    title: str = "",
    about: About | None = None,
    extra: dict[str, Sequence[Any]] | None = None,
) -> Explorer:
    """See what a model attends to and which vectors it builds on a molecule.

    Args:
        molecule: as ``read_structure`` gives it.
        model: an EQGAT; its cutoff makes the graph.
        untrained: the control; the same architecture with fresh weights of seed 0 if left out.
        other: a second molecule to show beside the first, for instance the same protein in another shape. It is laid
            over the first by the alpha carbons that both have.
        title: of the page; the molecule's name if left out.
        about: which model it is, what it was trained for and on which elements, as ``eqgat.pretrained.about`` says it;
            the page marks what the training data did not have.
        extra: more quantities to show, for instance attributions: label -> [N] numbers of the atoms of ``molecule``
            for ``model``, or a pair of such with the control's second.

    Raises:
        UserError: a molecule that is empty, or has elements unknown to the model, no two atoms within its cutoff, or
            more than 30,000 atoms; a control of another architecture; extra numbers of the wrong shape.

    >>> from eqgat.datasets import embedded_structure
    >>> from eqgat.pretrained import about, pretrained, untrained
    >>> models = {"model": pretrained("res"), "untrained": untrained("res"), "about": about("res")}
    >>> explorer = explore(embedded_structure("5pti"), **models)
    >>> path = explorer.save("5pti.html")  # doctest: +SKIP
    """
    untrained = fresh(model) if untrained is None else untrained
    about = (
        About(f"EQGAT with {model.config.num_layers} layers; what it was trained for is not noted")
        if about is None
        else about
    )
    if untrained.config != model.config:
        raise UserError("the untrained control must have the same configuration as the model")
    molecules = [molecule] if other is None else [molecule, _laid_over(other, molecule)]
    sizes = [len(one) for one in molecules]
    if sum(sizes) > MOST_ATOMS:
        raise UserError(
            f"{sum(sizes):,} atoms are too many for a page; select chains, so that at most {MOST_ATOMS:,} stay"
        )
    c, store = model.config, _Store()
    traces = [
        [one.trace(here.graph(c.cutoff, next(one.parameters()).dtype)) for one in (model, untrained)]
        for here in molecules
    ]
    for here, pair in zip(molecules, traces, strict=True):
        if not len(pair[0][0].attention):
            raise UserError(
                f"no two atoms of {here.name or 'the molecule'} are within the cutoff of {c.cutoff:g} Å, so that no atom "
                "attends to another"
            )
    layers, attention = len(traces[0][0]), traces[0][0][0].attention.shape[1]
    num_edges = sum(len(pair[0][0].attention) for pair in traces)
    groups, vectors = _what_fits(attention, _strongest_vectors(traces[0][0]), layers, sum(sizes), num_edges)
    everything = np.concatenate([one.positions for one in molecules])
    camera, centre = Camera.facing(molecule.positions), everything.mean(axis=0)
    quantities, shown = _quantities(extra or {}, len(molecule))
    name = title or molecule.name or "molecule"
    data: dict[str, Any] = {
        "title": name,
        "model": about.words,
        "seen": about.elements,
        "cutoff": c.cutoff,
        "layers": layers,
        "camera": {
            "centre": centre.round(2).tolist(),
            "turn": Rotation.from_matrix(camera.rotation()).as_quat().round(5).tolist(),
            "half": np.abs((everything - centre) @ camera.rotation().T).max(axis=0)[:2].round(2).tolist(),
        },
        "groups": [label for label, _ in groups],
        "kept": f"{len(groups)} of {len(_groups(attention))} choices of channels and {len(vectors)} of "
        f"{c.vector_channels} vector channels are stored in this page",
        "vectors": vectors,
        "kinds": {
            term: [vector_kind(term, layer, c.cross_product is not None) for layer in range(layers)]
            for term in (*TERM_NAMES, "sum")
        },
        "terms": {**{term: to_hex(colour) for term, colour in TERM_COLOURS.items()}, "sum": ""},
        "elements": {**ELEMENT_COLOURS, "": OTHER_ELEMENT_COLOUR},
        "quantities": quantities,
        "maps": {name: _hex(cmap) for name, cmap in (("diverging", "coolwarm"), ("sequential", "viridis_r"))},
        "structures": [
            _molecule(store, one)
            | {"models": [[_layer(store, record, groups, vectors) for record in trace] for trace in pair]}
            | {"edges": _edges(store, pair[0][0])}
            for one, pair in zip(molecules, traces, strict=True)
        ],
        "extra": [[store.add(values) for values in pair] for pair in shown],
    }
    data["bytes"] = store.text()
    scene = residue_scene(
        molecule,
        residue_preference(traces[0][0][-1], torch.as_tensor(molecule.residue_index)),
        "log₂ of attention received / equal share",
        title=name,
        cmap=DIVERGING,
    )
    return Explorer(name, data, scene)


class _Store:
    """Arrays as whole numbers in one compressed piece of text; ``add`` returns how to find one again."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, values: Any, step: float | None = None) -> dict[str, Any]:
        """Numbers in multiples of ``step``, or of the largest divided by ``steps``; NaN has a code of its own."""
        array = np.asarray(values, np.float64)
        if step is None:
            step = float(np.nanmax(np.abs(array), initial=0)) / STEPS or 1.0
        codes = np.rint(array / step)
        if np.nanmax(np.abs(codes), initial=0) > LARGEST:
            raise UserError(f"{np.nanmax(array):g} is more than the page can hold in steps of {step:g}")
        return {"step": step, **self.keep(np.where(np.isnan(array), -LARGEST - 1, codes), "i2")}

    def keep(self, values: Any, kind: str) -> dict[str, Any]:
        """Numbers as they are: "u4" whole ones, "f4" in single precision, "i2"."""
        array = np.asarray(values).astype(f"<{kind}")
        place = {"kind": kind, "at": self.size, "count": array.size}
        # The low bytes of all numbers, then the high ones: so they compress better.
        self.parts.append(array.reshape(-1, 1).view(np.uint8).T.tobytes())
        self.size += array.nbytes
        return place

    def text(self) -> str:
        return _compressed(b"".join(self.parts))


def _groups(channels: int) -> list[tuple[str, list[int] | None]]:
    """Choices of channels, label and channels: the mean, heads where there are enough channels, and single ones."""
    if channels == 1:
        return [("the only channel", None)]
    groups: list[tuple[str, list[int] | None]] = [(f"mean over all {channels} channels", None)]
    if channels >= 2 * NUM_HEADS:
        groups += [(f"head: channels {head[0]} to {head[-1]}", head) for head in heads(channels, NUM_HEADS)]
    return groups + [(f"channel {channel}", [channel]) for channel in range(channels)]


def _what_fits(
    channels: int, vectors: list[int], layers: int, num_atoms: int, num_edges: int
) -> tuple[list[tuple[str, list[int] | None]], list[int]]:
    """The choices of channels and the vector channels that a page has room for: all; no single channels; fewer vectors."""
    every = _groups(channels)
    few = [group for group in every if not group[0].startswith("channel ")]
    room = ROOM + ROOM_OF_ATOM * num_atoms

    def cost(groups: list[tuple[str, list[int] | None]], count: int) -> float:
        of_edge = SHARE_COST * len(few) + SINGLE_COST * (len(groups) - len(few))
        of_atom = COST * (2 * len(groups) + 3 * len(TERM_NAMES) * count)
        return 2 * layers * (num_edges * of_edge + num_atoms * of_atom)

    if cost(every, len(vectors)) <= room:
        return every, vectors
    return few, vectors[: max([1, *(count for count in range(1, len(vectors) + 1) if cost(few, count) <= room)])]


def _strongest_vectors(trace: list[LayerTrace]) -> list[int]:
    """Vector channels, those with the longest cross products (without: directions) in the second layer first."""
    terms = mean_terms(trace[min(1, len(trace) - 1)])
    term = terms["v_cross"] if terms["v_cross"].any() else terms["v_direction"]
    return term.square().sum(dim=(0, 1)).argsort(descending=True).tolist()


def _layer(store: _Store, record: LayerTrace, groups: list[tuple[str, Any]], vectors: list[int]) -> dict[str, Any]:
    """The arrays of one layer, as the module's table says."""
    neighbours = record.edges.num_neighbours[record.edges.receiver]
    effective = effective_neighbours(record)
    means = mean_terms(record)
    return {
        "share": [
            store.add(
                over_channels(record.attention, channels) * neighbours,
                SINGLE_STEP if label.startswith("channel ") else SHARE_STEP,
            )
            for label, channels in groups
        ],
        "received": [store.add(attention_received(record, channels)) for _, channels in groups],
        "effective": [
            store.add(effective.mean(dim=1) if channels is None else effective[:, channels].mean(dim=1))
            for _, channels in groups
        ],
        "terms": {name: [store.add(means[name][:, :, channel]) for channel in vectors] for name in TERM_NAMES},
    }


def _edges(store: _Store, record: LayerTrace) -> dict[str, Any]:
    """The graph: sources of the edges, sorted by receiver, how many each atom receives, and the uniform control."""
    edges = record.edges
    return {
        "source": store.keep(edges.source, "u4"),
        "degree": store.keep(edges.num_neighbours, "u4"),
        "equal": store.add(equal_share(record)),
    }


def what_was_read(molecule: Molecule) -> str:
    """Chains and hetero groups that were kept, and how many atoms of the file were left out, for which reason.

    >>> from eqgat.datasets import embedded_structure
    >>> what_was_read(embedded_structure("5pti"))
    'chain A; hetero groups: PO4; left out: 189 water atoms, 447 hydrogen atoms, 8 atoms of other alternate locations'
    """
    kept, there = dict.fromkeys(molecule.chain_name.tolist()), molecule.chains_there
    chains = f"chain{'s' * (len(kept) > 1)} {', '.join(map(_chain, kept))}"
    if len(there) > len(kept):
        chains += f" of {', '.join(map(_chain, there))}"
    residues = molecule.residues
    groups = Counter(residues["resname"][residues["hetero"].astype(str).str.startswith("H_")].str.strip())
    hetero = ", ".join(name + (f" ({count})" if count > 1 else "") for name, count in groups.items()) or "none"
    left_out = ", ".join(f"{count:,} {REASONS.get(why, why)}" for why, count in molecule.dropped.items())
    return f"{chains}; hetero groups: {hetero}; left out: {left_out or 'nothing'}"


def _chain(name: str) -> str:
    return name.strip() or "without a name"


def _molecule(store: _Store, molecule: Molecule) -> dict[str, Any]:
    """Names, places and bonds: all that the page needs of a molecule itself."""
    atoms, residues = molecule.atoms, molecule.residues
    alpha, phosphorus = backbone_rows(molecule, ("CA", "P"))
    first = np.unique(molecule.residue_index, return_index=True)[1]
    polymer = residues["hetero"].astype(str).str.strip().eq("").to_numpy() | (alpha >= 0)
    trace = np.where(alpha >= 0, alpha, np.where(phosphorus >= 0, phosphorus, first))
    columns = residues[["chain", "residue", "insertion_code", "resname", "hetero"]].astype(str)
    return {
        "name": molecule.name,
        "read": what_was_read(molecule),
        "positions": store.keep(molecule.positions, "f4"),
        "bonds": store.keep(molecule.bonds(), "u4"),
        "element": atoms["element"].tolist(),
        "atom": atoms["name"].str.strip().tolist(),
        "residue": store.keep(molecule.residue_index, "u4"),
        "residues": [
            {
                "chain": row.chain.strip(),
                "number": row.residue + row.insertion_code.strip(),
                "name": row.resname.strip(),
                "letter": (residue_letter(row.resname.strip()) or "X") if is_polymer else "",
                "polymer": bool(is_polymer),
                "hetero": row.hetero.strip() != "",
                "shape": shape,
                "trace": int(at),
            }
            for row, is_polymer, shape, at in zip(
                columns.itertuples(), polymer, secondary_structure(molecule), trace, strict=True
            )
        ],
    }


def _quantities(extra: dict[str, Sequence[Any]], size: int) -> tuple[list[dict[str, Any]], list[list[np.ndarray]]]:
    """What can be chosen to colour by, and the arrays of the extra ones: of the model and, where given, the control."""
    quantities: list[dict[str, Any]] = [
        {"key": "received", "label": "attention received", "map": "diverging",
         "unit": "log₂ of attention received / equal share", "uniform": 0},
        {"key": "effective", "label": "entropy of attention", "map": "sequential",
         "unit": "effective neighbours, % of all", "uniform": 100},
        {"key": "v_direction", "label": "direction term, Eq. 3", "map": "sequential", "unit": "|v|"},
        {"key": "v_mix", "label": "mixing term, Eq. 4", "map": "sequential", "unit": "|v|"},
        {"key": "v_cross", "label": "cross products, Eq. 5", "map": "sequential", "unit": "|v|"},
        {"key": "sum", "label": "sum of the three, Eq. 6", "map": "sequential", "unit": "|v|"},
    ]  # fmt: skip
    shown = []
    for number, (label, values) in enumerate(extra.items()):
        pair = [np.asarray(one, float) for one in (values if np.ndim(values[0]) else [values])]
        if any(one.shape != (size,) for one in pair):
            raise UserError(
                f"extra quantity {label!r} must have {size} numbers; got {[list(one.shape) for one in pair]}"
            )
        signed = any(np.nanmin(one) < 0 for one in pair)
        quantities.append(
            {"key": f"extra{number}", "label": label, "map": "diverging" if signed else "sequential", "unit": label}
        )
        shown.append(pair)
    return quantities, shown


def _laid_over(other: Molecule, first: Molecule) -> Molecule:
    """``other`` turned and moved so that the alpha carbons which both have fit best; as it is if these are too few."""
    places = []
    for molecule in (first, other):
        rows = backbone_rows(molecule, ("CA",))[0]
        keys = molecule.residues[["chain", "residue", "insertion_code"]].itertuples(index=False, name=None)
        places.append({key: molecule.positions[row] for key, row in zip(keys, rows, strict=True) if row >= 0})
    common = [key for key in places[0] if key in places[1]]
    if len(common) < 3:
        return other
    here, there = (np.array([place[key] for key in common]) for place in places)
    rotation, _ = Rotation.align_vectors(here - here.mean(axis=0), there - there.mean(axis=0))
    return other.with_positions(rotation.apply(other.positions - there.mean(axis=0)) + here.mean(axis=0))


def _compressed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def _hex(cmap: str, steps: int = 65) -> list[str]:
    return [to_hex(colour) for colour in mpl.colormaps[cmap](np.linspace(0, 1, steps))]


def attributed(molecule: Molecule, model: EQGAT, control: EQGAT, what: str) -> dict[str, Any]:
    """Attributions of a prediction, for ``explore(extra=...)``. Needs captum.

    Args:
        what: a residue such as "A:22", "A:52B" with an insertion code, or ":22" of a chain without a name, for a model
            that reads out atoms: what is explained is its most probable output at the alpha carbon. "graph" for a model that reads out graphs: its first output.

    Raises:
        UserError: no such residue, or a model of the other kind.

    >>> from eqgat.datasets import embedded_structure
    >>> model = EQGAT(num_elements=9, out_channels=1, num_layers=1, scalar_channels=4, vector_channels=2)
    >>> list(attributed(embedded_structure("5pti"), model, fresh(model), "graph"))
    ['gradient: the first output', 'integrated gradients: the first output', 'attention rollout: the first output']
    """
    data = molecule.graph(model.config.cutoff, next(model.parameters()).dtype)
    if (what == "graph") != (model.config.readout == "graph"):
        raise UserError(f"this model reads out {model.config.readout}s, so that {what!r} has no prediction of its own")
    if what == "graph":
        target, words = Target(0), "the first output"
    else:
        place = re.fullmatch(r"(.*):(-?[0-9]+)([A-Za-z]?)", what)
        if place is None:
            raise UserError(
                f"{what!r} is no residue; write its chain and number, as A:22, A:52B or, without a chain, :22"
            )
        chain, number, code = place.groups()
        named = {str(name).strip(): str(name) for name in molecule.chain_name}
        row = molecule.find_atom(named.get(chain.strip(), chain), int(number), "CA", code or " ")
        with torch.no_grad():
            output = int(model(data)[row].argmax())
        target, words = Target(output, row, log_probability=True), f"output {output} at the alpha carbon of {what}"
    pairs = zip(attributions(model, data, target).items(), attributions(control, data, target).values(), strict=True)
    return {f"{name}: {words}": (ours.numpy(), theirs.numpy()) for (name, ours), theirs in pairs}
