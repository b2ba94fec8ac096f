"""PPI, protein interfaces: two residues, one of each partner -> whether they touch in the complex.

Each residue is a graph of its own: the atoms of its own partner within 30 Å of its alpha carbon. The other partner is
not in it, so the model has to judge two surfaces apart from each other.

The official data name the pairs that touch. All other pairs do not, about 700 for each that does, and which of them
are used is a choice that the score depends on. Here it is made once: the same pairs in every epoch, run and call.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from eqgat.datasets.atom3d.lmdb import BrokenItem
from eqgat.datasets.atom3d.samples import AtomOptions, Parsed, Reader, Sample, Skipped, View, read_molecule, table
from eqgat.datasets.atom3d.spec import Archive, atom3d_task, profiles
from eqgat.datasets.atom3d.trivial import openness
from eqgat.errors import UserError

__all__ = ["SPEC", "PPIOptions"]

_RESIDUE = ["structure", "model", "chain", "residue"]


@dataclass(frozen=True)
class PPIOptions(AtomOptions):
    """Heavy atoms by default, and the pairs. The paper does not say how pairs are chosen; the numbers are the released
    code's.

    Attributes:
        positives: pairs that touch, taken at random from each complex; all, where it has fewer.
        negatives: pairs that do not, for each one that does.
        seed: of the choice, which depends on it and on the id of the complex alone. (Released code: drawn anew in
            every epoch, and in every test.)
        radius: of the graph around the alpha carbon, Å.

    Residues without exactly one alpha carbon cannot be centres: they are left out before pairs are drawn (released
    code: after), and a pair that touches and is lost so is counted as skipped. An ion of calcium is no alpha carbon.
    """

    positives: int = 10
    negatives: int = 1
    seed: int = 0
    radius: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positives < 1 or self.negatives < 0 or self.seed < 0 or not self.radius > 0:
            raise UserError(f"positives >= 1, negatives >= 0, seed >= 0 and radius > 0 Å are needed; got {self}")


def parse(item: Mapping[str, Any], options: PPIOptions) -> Parsed:
    """Pairs of graphs, first those that touch; marked is CA."""
    atoms = table(item, "atoms_pairs", "x", "y", "z", "element", "name", "ensemble", "subunit", *_RESIDUE)
    neighbours = item.get("atoms_neighbors")
    if not isinstance(neighbours, pd.DataFrame):
        raise BrokenItem("it has no table 'atoms_neighbors'")
    if len(neighbours):
        table(item, "atoms_neighbors", *(f"{key}{end}" for key in ("ensemble", "subunit", *_RESIDUE) for end in (0, 1)))
    parsed = Parsed()
    for ensemble, rows in atoms.groupby("ensemble", sort=False):
        touching = neighbours[neighbours["ensemble0"] == ensemble] if len(neighbours) else neighbours
        if len(touching) and "label" in touching:
            touching = touching[touching["label"] == 1]
        _parse_complex(parsed, str(ensemble), rows, touching, options)
    return parsed


def _parse_complex(
    parsed: Parsed, ensemble: str, atoms: pd.DataFrame, touching: pd.DataFrame, options: PPIOptions
) -> None:
    if touching.empty:
        parsed.skipped.append(Skipped(ensemble, "no pair of its residues touches"))
        return
    first, second = _partners(ensemble, atoms)
    if touching["subunit0"].iloc[0] == second:
        first, second = second, first
    start = len(parsed.molecules)
    centres: list[dict[tuple, int]] = []
    for partner in (first, second):
        own = atoms[atoms["subunit"] == partner]
        molecule, rows = read_molecule(own, options)
        parsed.molecules.append(molecule)
        centres.append(_alpha_carbons(own.iloc[rows]))
    places = [{key: number for number, key in enumerate(side)} for side in centres]
    positive: dict[tuple[int, int], None] = {}  # a dictionary keeps the order
    for row in touching.itertuples(index=False):
        ends = {
            getattr(row, f"subunit{end}"): tuple(str(getattr(row, f"{column}{end}")) for column in _RESIDUE)
            for end in (0, 1)
        }
        if set(ends) != {first, second}:
            raise BrokenItem(f"a pair names the partners {', '.join(map(str, ends))} instead of {first} and {second}")
        pair = (places[0].get(ends[first], -1), places[1].get(ends[second], -1))
        if min(pair) < 0:
            lost = "-".join(f"{key[2]}{key[3]}" for key in (ends[first], ends[second]))
            parsed.skipped.append(Skipped(f"{ensemble}/{lost}", "one of its residues has not exactly one CA"))
        else:
            positive[pair] = None
    random = np.random.default_rng([options.seed, zlib.crc32(ensemble.encode())])
    known = np.array(list(positive), dtype=np.int64).reshape(-1, 2)
    chosen = known[np.sort(random.permutation(len(known))[: options.positives])]
    shape = (len(centres[0]), len(centres[1]))
    apart = np.ones(shape, dtype=bool)
    apart[known[:, 0], known[:, 1]] = False
    others = np.flatnonzero(apart)
    drawn = random.choice(others, size=min(len(others), options.negatives * len(chosen)), replace=False)
    keys, rows_of = [list(side) for side in centres], [list(side.values()) for side in centres]
    for label, pairs in ((1, chosen), (0, np.stack(np.unravel_index(drawn, shape), axis=1))):
        for pair in pairs:
            views = tuple(View(start + side, None, (rows_of[side][pair[side]],)) for side in (0, 1))
            name = "-".join(f"{keys[side][pair[side]][2]}{keys[side][pair[side]][3]}" for side in (0, 1))
            parsed.samples.append(Sample(views, label, f"{ensemble}/{name}", ensemble))


def _partners(ensemble: str, atoms: pd.DataFrame) -> tuple[Any, Any]:
    """The two partners as bound in the complex; items of the docking benchmark also have both unbound."""
    names = list(pd.unique(atoms["subunit"]))
    if len(names) == 4:
        names = [name for name in names if str(name).endswith("_bound")]
    if len(names) != 2:
        raise BrokenItem(f"the complex {ensemble} has the subunits {', '.join(map(str, names))} instead of two")
    return names[0], names[1]


def _alpha_carbons(atoms: pd.DataFrame) -> dict[tuple, int]:
    """(structure, model, chain, residue) -> row among ``atoms``, of residues with exactly one alpha carbon."""
    rows = np.flatnonzero(atoms["name"].eq("CA") & atoms["element"].eq("C"))
    keys = list(zip(*(atoms[column].iloc[rows].astype(str) for column in _RESIDUE), strict=True))
    found: dict[tuple, int] = {}
    for key, row in zip(keys, rows, strict=True):
        found[key] = -1 if key in found else int(row)
    return {key: row for key, row in found.items() if row >= 0}


@dataclass(frozen=True)
class TrainingPairs:
    """What an item of the training split is.

    Attributes:
        drawn_pairs: a whole complex with so many pairs that touch, drawn anew in every epoch, and as many that do not
            (see ``Complexes``); None: one stored pair.
    """

    drawn_pairs: int | None = None

    def __post_init__(self) -> None:
        if self.drawn_pairs is not None and self.drawn_pairs < 1:
            raise UserError(f"drawn_pairs must be at least 1, or None for the stored pairs; got {self.drawn_pairs}")


def load(folder: str | None, drawn_pairs: int | None = None, **options: Any) -> dict[str, Any]:
    """The stored pairs; for training, whole complexes where ``drawn_pairs`` is given.

    Raises:
        UserError: ``drawn_pairs`` for a model that would see both partners of a complex, in one graph, as a whole.
    """
    from eqgat.datasets.atom3d.complexes import Complexes
    from eqgat.datasets.atom3d.load import load_splits

    TrainingPairs(drawn_pairs)
    if drawn_pairs is None:
        return load_splits("ppi", folder, **options)
    if options.get("hops") is None:
        raise UserError(
            "drawn_pairs puts both partners into one graph, which this model with its options would see as a whole; "
            "leave it out (--option drawn_pairs=null)"
        )
    splits = load_splits("ppi", folder, unprepared=("train",), **options)
    return {**splits, "train": Complexes(splits["train"], drawn_pairs)}


# The paper's Table 2 does not have PPI: settings are the released code's.
SPEC = atom3d_task(
    "ppi",
    PPIOptions,
    TrainingPairs,
    goal="to tell whether two residues of two proteins touch",
    kind="pairs",
    load=load,
    metrics=("roc_auc", "average_precision", "cross_entropy"),
    losses=("binary-cross-entropy",),
    reader=Reader(PPIOptions, parse, num_views=2, num_marks=1, classes=False),
    archive=Archive(4911102, "PPI-DIPS-split.tar.gz", "DIPS-split", 13.6, None, "DIPS, from the Protein Data Bank"),
    sizes=(87_303, 31_050, 15_268),
    profiles=profiles(
        5,
        10,
        10,
        {"epochs": 12, "batch_size": 1, "data_options": {"drawn_pairs": 25}},
        out_channels=1,
        readout="node",
    ),
    trivial={"constant": lambda data: torch.zeros(len(data), 1), "residues that lie open": openness},
)
