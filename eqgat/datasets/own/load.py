"""From a folder of structure files, and a table of labels or none, to the data sets of a task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eqgat.datasets.atom3d.data import ItemData
from eqgat.datasets.atom3d.environments import residue_item
from eqgat.datasets.own.data import OwnData
from eqgat.datasets.own.labels import read_labels, refuse_doubles, row_names, say_unused
from eqgat.datasets.own.options import StructureOptions, TableOptions
from eqgat.datasets.own.splits import split_column, split_rows, split_structures
from eqgat.datasets.own.structures import all_residues, read_structures, structure_files
from eqgat.datasets.task import SPLITS
from eqgat.errors import UserError
from eqgat.molecule import Molecule

__all__ = ["load_residues", "load_table"]


def load_table(
    folder: str | None,
    *,
    cutoff: float = 4.5,
    hops: int | None = None,
    whole: bool = False,
    residues: bool | None = None,
    **options: Any,
) -> dict[str, OwnData]:
    """Structures with a table of labels, split.

    Args:
        folder: of the structure files.
        cutoff, hops: see ``load_atom3d``.
        whole: one part, "all", instead of a split: to test a trained model on.
        residues: what the labels must be of; None: what the table says.
        **options: see ``TableOptions``.

    Raises:
        UserError: no folder or table, one that cannot be used, or nothing in common; a split that has an empty part.

    >>> load_table("structures")
    Traceback (most recent call last):
    eqgat.errors.UserError: own data need a folder of structures (--structures) and a table (--labels, --target)
    """
    chosen = TableOptions(**options)
    if folder is None or not chosen.labels:
        raise UserError("own data need a folder of structures (--structures) and a table (--labels, --target)")
    table = read_labels(chosen.labels, chosen.target, bool(chosen.classes), chosen.classes, residues)
    files, rows = structure_files(folder), table.rows
    named = dict.fromkeys(rows["structure"])
    wanted = {name: path for name, path in files.items() if name in named}
    if not wanted:
        raise UserError(
            f"no structure of {chosen.labels} has a file in {folder}: the table names "
            f"{', '.join(dict.fromkeys(rows['structure'][:3]))}, the files are {', '.join(list(files)[:3])}"
        )
    molecules, broken = read_structures(wanted, hydrogens=chosen.hydrogens, waters=chosen.waters, hetero=chosen.hetero)
    lost = {
        f"rows of {Path(chosen.labels).name} without a label": [f"line {line}" for line in table.empty],
        "structures of the table without a file": [name for name in named if name not in files],
        "structure files without a label": [path.name for name, path in files.items() if name not in named],
        **_unread(broken),
    }
    rows = rows[rows["structure"].isin(list(molecules))]
    rows = rows.assign(centre=None, name=row_names(rows))
    if table.residues and len(rows):
        rows = _with_centres(rows, molecules, chosen.labels, lost)
    if rows.empty:
        raise UserError(f"nothing can be used of {chosen.labels} and {folder}: {_told(lost)}")
    molecules = {name: molecules[name] for name in dict.fromkeys(rows["structure"])}
    things = f"{len(rows)} residues of {len(molecules)} structures" if table.residues else f"{len(rows)} structures"
    about = f"own labels: {chosen.target} of {things} ({Path(chosen.labels).name})"
    by = split_column(table.others, chosen)
    unused = say_unused({name: meant for name, meant in table.others.items() if name != by}, chosen.labels)
    parts: dict[str, pd.DataFrame] = {"all": rows}
    groups: dict[str, str] = {}
    noted: dict[str, list[str]] = {}
    if not whole:
        try:
            part, groups = split_rows(rows, molecules, chosen)
        except UserError as error:
            raise UserError("; ".join(filter(None, (str(error), _told(lost))))) from error
        parts = {split: rows[part == split] for split in SPLITS}
        learnt = parts["train"]["target"]
        if len(learnt) > 1 and learnt.nunique() == 1:
            raise UserError(f"all {len(learnt)} labels in train are equal; nothing can be learnt from {chosen.labels}")
        several = part.groupby(rows["structure"]).nunique() > 1
        noted = {
            "classes without a row in train": [c for k, c in enumerate(table.classes) if k not in set(learnt)],
            "structures with rows in several parts of the split": several.index[several].tolist(),
        }
    return {
        split: OwnData(
            molecules,
            list(zip(own["structure"], own["centre"], own["name"], strict=True)),
            own["target"].tolist(),
            bool(table.classes),
            groups,
            chosen.radius,
            cutoff,
            hops,
            told=_told(lost, noted, unused) if split in ("all", "train") else "",
            about=about,
        )
        for split, own in parts.items()
    }


def _with_centres(
    rows: pd.DataFrame, molecules: Mapping[str, Molecule], labels: str, lost: dict[str, list[str]]
) -> pd.DataFrame:
    """The rows whose residues are there, with the atom row of each residue's centre; the others go into ``lost``."""
    there = pd.concat([all_residues(molecule) for molecule in molecules.values()])
    there = pd.concat([there, there.assign(chain="")])  # a table may leave the chain out
    keys = ["structure", "chain", "residue", "insertion_code"]
    at = rows[keys].join(there.groupby(keys)["row"].agg(["first", "size"]), on=keys)
    found = at["size"] == 1
    reason = np.where(
        at["size"] > 1,
        "residues of the table that are in several chains (give a column chain)",
        "residues of the table that are not in the structure, or have no CA or C1' atom",
    )
    lost.update(rows["name"][~found].groupby(reason[~found], sort=False).agg(list))
    if not found.any():
        name = rows["structure"].iloc[0]
        there = all_residues(molecules[name])
        chains = ", ".join(chain.strip() or "without a name" for chain in dict.fromkeys(there["chain"]))
        raise UserError(
            f"none of the {len(rows)} residues of {labels} is in the structures: the table asks for "
            f"{rows['name'].iloc[0]}, and {name} has the chains {chains} with residues "
            f"{there['residue'].min()} to {there['residue'].max()}"
        )
    rows = rows.assign(centre=at["first"])[found].astype({"centre": int})
    refuse_doubles(rows, ["structure", "centre"], labels)  # one row may name the chain, another leave it out
    return rows


def load_residues(
    folder: str | None, *, cutoff: float = 4.5, hops: int | None = None, whole: bool = False, **options: Any
) -> dict[str, Any]:
    """Environments of the residues of unlabelled structures: which amino acid was here? (RES, on own structures)

    Raises:
        UserError: no folder, or nothing in it that can be used.

    >>> load_residues(None)
    Traceback (most recent call last):
    eqgat.errors.UserError: residue identity on own data needs a folder of structures (--structures)
    """
    chosen = StructureOptions(**options)
    if folder is None:
        raise UserError("residue identity on own data needs a folder of structures (--structures)")
    if chosen.split not in ("", "random", "clusters"):
        raise UserError(f'structures without a table are split "random" or by "clusters"; got {chosen.split!r}')
    molecules, broken = read_structures(structure_files(folder), hetero=False)
    if not molecules:
        raise UserError(f"no structure in {folder} can be read; the first: {next(iter(broken.values()))}")
    part = dict.fromkeys(molecules, "all") if whole else split_structures(molecules, chosen)[0]
    found = {}
    for split in ("all",) if whole else SPLITS:
        items = [
            residue_item(molecule, chosen.environments, seed=chosen.split_seed)
            for name, molecule in molecules.items()
            if part[name] == split
        ]
        found[split] = ItemData("res", items, split, cutoff, hops=hops, radius=chosen.radius)
    found["all" if whole else "train"].told = _told(_unread(broken))
    return found


def _unread(broken: Mapping[str, str]) -> dict[str, list[str]]:
    return {"structure files that cannot be read": [f"{name}, {why}" for name, why in broken.items()]}


def _told(lost: Mapping[str, list[str]], noted: Mapping[str, list[str]] | None = None, also: str = "") -> str:
    """What was left out, and what ``also`` should be known, in words: by reason, with the first name of each."""
    parts = {"left out": _counted(lost), "note": [*_counted(noted or {}), *filter(None, [also])]}
    return "; ".join(f"{head}: {'; '.join(texts)}" for head, texts in parts.items() if texts)


def _counted(kinds: Mapping[str, list[str]]) -> list[str]:
    return [f"{len(names)} {reason} (first: {names[0]})" for reason, names in kinds.items() if names]
