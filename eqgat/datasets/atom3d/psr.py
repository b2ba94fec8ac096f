"""PSR, ranking of protein structures: a decoy -> how close it is to the experiment's structure.

The target is GDT_TS in [0, 1], higher is better, taken raw. The id of an item names the target and the decoy: rank
correlations are taken among the decoys of each target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eqgat.datasets.atom3d.samples import (
    AtomOptions,
    Parsed,
    Reader,
    Sample,
    View,
    finite_score,
    read_molecule,
    table,
    target_and_decoy,
)
from eqgat.datasets.atom3d.spec import Archive, atom3d_task, profiles
from eqgat.datasets.atom3d.trivial import RANKING, plain_scores

__all__ = ["SPEC", "PSROptions", "parse"]


@dataclass(frozen=True)
class PSROptions(AtomOptions):
    """Heavy atoms by default.

    Attributes:
        label: the score to predict: "gdt_ts" (paper), "rmsd" (Å), "gdt_ha" or "tm".
    """

    label: str = "gdt_ts"


def parse(item: Mapping[str, Any], options: Any) -> Parsed:
    """One graph, of all chosen atoms; for RSR too.

    >>> from eqgat.datasets import embedded_structure
    >>> item = {"id": "('T0759', 'a_decoy')", "scores": {"gdt_ts": 0.7}, "atoms": embedded_structure("5pti").atoms}
    >>> parse(item, PSROptions()).samples[0].name
    'T0759/a_decoy'
    """
    target, decoy = target_and_decoy(item["id"])
    molecule, _ = read_molecule(table(item, "atoms", "x", "y", "z", "element"), options)
    return Parsed([molecule], [Sample((View(0),), finite_score(item, options.label), f"{target}/{decoy}", target)])


SPEC = atom3d_task(
    "psr",
    PSROptions,
    goal="to predict how close a model of a protein is to its measured structure",
    kind="ranking",
    answers="structures",
    metrics=RANKING,
    reader=Reader(PSROptions, parse, num_views=1, num_marks=0, classes=False),
    archive=Archive(
        4915648,
        "PSR-split-by-year.tar.gz",
        "split-by-year",
        2.0,
        "8647b9d10d0a79dff81d1d83c825e74c",
        "structure predictions of CASP 5 to 13",
    ),
    sizes=(25_400, 2800, 16_014),
    profiles=profiles(
        5, 30, 16, {"epochs": 3, "batch_size": 8, "standardise": True, "standardise_readout": True}, out_channels=1
    ),
    trivial=plain_scores(radius=-1.0, clashes=-1.0),
)
