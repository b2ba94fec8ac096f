"""RES, residue identity: the surroundings of a residue whose side chain was removed -> which of 20 amino acids it is.

An item is a structure with its environments: the atoms within 17.32 Å of a point near the residue's C-beta, without
the residue's own side chain. That point is CA plus a vector that is fixed in the laboratory's frame, a defect of the
official data: which atoms belong to an environment depends a little on how the structure is oriented.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from eqgat.datasets.atom3d.lmdb import BrokenItem
from eqgat.datasets.atom3d.samples import AtomOptions, Parsed, Reader, Sample, Skipped, View, read_molecule, table
from eqgat.datasets.atom3d.spec import Archive, atom3d_task, profiles
from eqgat.errors import UserError

__all__ = ["RESIDUES", "SPEC", "RESOptions"]

# ATOM3D's order of the labels. (The released code has another one, and reads the label from the residue's name.)
RESIDUES = (
    *("HIS", "LYS", "ARG", "ASP", "GLU", "SER", "THR", "ASN", "GLN", "ALA"),
    *("VAL", "LEU", "ILE", "MET", "PHE", "TYR", "TRP", "PRO", "GLY", "CYS"),
)


@dataclass(frozen=True)
class RESOptions:
    """How the alpha carbon of an environment's residue is found among its atoms.

    Attributes:
        alpha_carbon: "chain": by chain, residue number and residue name. "released": by residue number alone, as in
            the released code; where another chain has the same number nearby, which happens at the interfaces of
            homo-oligomers, the environment is then skipped, in the test set too.
        radius: keep only atoms within this many Å of the alpha carbon; None: the whole environment. A smaller graph
            trains faster and changes what the model can see; ``hops`` of ``load_atom3d`` saves time and does not.

    There is no choice of atoms: the official items hold C, N, O, S, P and Se of polymers alone.
    """

    alpha_carbon: str = "chain"
    radius: float | None = None

    def __post_init__(self) -> None:
        if self.alpha_carbon not in ("chain", "released"):
            raise UserError(f"alpha_carbon must be 'chain' or 'released'; got {self.alpha_carbon!r}")
        if self.radius is not None and not self.radius > 0:
            raise UserError(f"radius must be positive, in Å, or None; got {self.radius}")


def parse(item: Mapping[str, Any], options: RESOptions) -> Parsed:
    """One graph an environment; marked are CA, N and C of its residue."""
    atoms = table(item, "atoms", "x", "y", "z", "element", "chain", "residue", "resname", "name")
    molecule, _ = read_molecule(atoms, AtomOptions(hydrogens=True))  # rows must stay as they are numbered
    labels, environments = table(item, "labels", "subunit", "label"), item.get("subunit_indices")
    if environments is None or len(environments) != len(labels):
        raise BrokenItem(f"it has {len(labels)} labels, and subunit_indices of another length or none")
    # ATOM3D's names of residues leave insertion codes out, so that two residues may have one name; our items have them.
    coded = "insertion_code" in labels
    codes = atoms["insertion_code"].str.strip() if coded else pd.Series("", index=atoms.index)
    places: dict[tuple, list[int]] = defaultdict(list)
    chains, residues = atoms["chain"].astype(str).str.strip(), atoms["residue"].astype(int)
    backbone = np.flatnonzero(atoms["name"].isin(["CA", "N", "C"]))
    for row, *key in zip(
        backbone,
        *(column.iloc[backbone] for column in (chains, residues, codes, atoms["resname"], atoms["name"])),
        strict=True,
    ):
        places[tuple(key)].append(row)
        if key[4] == "CA":
            places[key[1],].append(row)
    parsed, group = Parsed([molecule]), str(item["id"])
    own = labels["insertion_code"] if coded else [""] * len(labels)
    for text, label, code, stored in zip(labels["subunit"], labels["label"], own, environments, strict=True):
        name = f"{group}/{text}"
        rows = np.unique(np.asarray(stored, dtype=np.int64))
        chain, number, resname = _split(text, code)
        if len(rows) == 0 or rows[0] < 0 or rows[-1] >= len(atoms):
            raise BrokenItem(f"the environment {text} names atoms that are not in its table of {len(atoms)}")
        if label not in range(20) or RESIDUES[int(label)] != resname:  # a table may hold them as 3.0
            parsed.skipped.append(Skipped(name, f"its label {label} does not belong to {resname}"))
            continue
        found = [_inside(rows, places.get((chain, number, code, resname, atom), [])) for atom in ("CA", "N", "C")]
        if options.alpha_carbon == "released":
            found[0] = _inside(rows, places.get((number,), []))
        if any(len(rows_of_atom) != 1 for rows_of_atom in found):
            counts = ", ".join(f"{len(r)} {atom}" for r, atom in zip(found, ("CA", "N", "C"), strict=True))
            parsed.skipped.append(Skipped(name, f"its residue has {counts} instead of one of each"))
            continue
        marks = tuple(int(rows_of_atom[0]) for rows_of_atom in found)
        parsed.samples.append(Sample((View(0, rows, marks),), int(label), name, group))
    return parsed


def _split(text: str, code: str) -> tuple[str, int, str]:
    """Chain, residue number and name from "A_22_ASP", or "A_22B_ASP" where the insertion code is B."""
    try:
        chain, number, resname = str(text).rsplit("_", 2)
        return chain.strip(), int(number.removesuffix(code)), resname
    except ValueError as error:
        raise BrokenItem(f"its environment {text!r} is not named CHAIN_NUMBER_RESIDUE") from error


def _inside(rows: np.ndarray, some: list[int]) -> list[int]:
    """Those of ``some`` that are in the sorted ``rows``."""
    return [row for row in some if (place := np.searchsorted(rows, row)) < len(rows) and rows[place] == row]


SPEC = atom3d_task(
    "res",
    RESOptions,
    goal="to name the amino acid at an alpha carbon",
    kind="classes",
    answers="residues",
    metrics=("cross_entropy", "accuracy"),
    losses=("cross-entropy",),
    atom_options=("radius",),
    reader=Reader(RESOptions, parse, num_views=1, num_marks=3, classes=True),
    archive=Archive(
        5026743,
        "RES-split-by-cath-topology.tar.gz",
        "split-by-cath-topology",
        None,
        "c93125eb93d89e3b5898d5781c538662",
        "the Protein Data Bank, split by CATH 4.2",
    ),
    sizes=(3_820_837, 192_371, 648_372),
    profiles=profiles(5, 40, 32, {"epochs": 8, "batch_size": 8}, out_channels=20, readout="node"),
)
