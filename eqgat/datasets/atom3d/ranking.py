"""PSR and RSR, ranking of protein and RNA structures: a decoy -> how close it is to the experiment's structure.

PSR's target is GDT_TS in [0, 1], higher is better; RSR's is the RMSD in Å, lower is better. Both are taken raw. The
id of an item names the target and the decoy: rank correlations are taken among the decoys of each target.
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

__all__ = ["PSR", "RSR", "PSROptions", "RSROptions"]


@dataclass(frozen=True)
class PSROptions(AtomOptions):
    """Heavy atoms by default.

    Attributes:
        label: the score to predict: "gdt_ts" (paper), "rmsd" (Å), "gdt_ha" or "tm".
    """

    label: str = "gdt_ts"


@dataclass(frozen=True)
class RSROptions(AtomOptions):
    """Heavy atoms by default.

    Attributes:
        label: the score to predict: "rms", the RMSD in Å (paper), or another one of the item's Rosetta scores.
    """

    label: str = "rms"


def parse(item: Mapping[str, Any], options: PSROptions | RSROptions) -> Parsed:
    """One graph, of all chosen atoms."""
    target, decoy = target_and_decoy(item["id"])
    molecule, _ = read_molecule(table(item, "atoms", "x", "y", "z", "element"), options)
    return Parsed([molecule], [Sample((View(0),), finite_score(item, options.label), f"{target}/{decoy}", target)])


PSR = Reader(PSROptions, parse, num_views=1, num_marks=0, classes=False)
RSR = Reader(RSROptions, parse, num_views=1, num_marks=0, classes=False)
