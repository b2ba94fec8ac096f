"""Which structures, or rows of a table, are for training, validation and test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations, product

import gemmi
import numpy as np
import pandas as pd

from eqgat.datasets.own.labels import refuse
from eqgat.datasets.own.options import StructureOptions, TableOptions
from eqgat.datasets.task import SPLITS
from eqgat.errors import UserError
from eqgat.molecule import Molecule

__all__ = ["sequence_clusters", "split_structures"]

_SPLIT_NAMES = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}


def split_rows(
    rows: pd.DataFrame, molecules: Mapping[str, Molecule], chosen: TableOptions
) -> tuple[pd.Series, dict[str, str]]:
    """For each row of a table train, val or test; and structure -> the group that it is in."""
    column = split_column(rows, chosen)
    if column in ("random", "clusters"):
        part, groups = split_structures(molecules, chosen)
        return rows["structure"].map(part), groups
    if column not in rows:
        raise UserError(f'{chosen.labels} has no column {column!r} to split by; there are also "random" and "clusters"')
    said = rows[column].astype(str).str.lower().replace(_SPLIT_NAMES)
    refuse(chosen.labels, rows[column], ~said.isin(SPLITS), "; it must say train, val or test")
    if missing := [split for split in SPLITS if split not in set(said)]:
        raise UserError(f"the column {column!r} of {chosen.labels} leaves no usable row for {', '.join(missing)}")
    return said, {}


def split_column(columns: Iterable[str], chosen: TableOptions) -> str:
    """The column of a table that says train, val or test, or the name of a way to draw the parts."""
    return chosen.split or next((name for name in columns if name.lower() == "split"), "random")


def split_structures(
    molecules: Mapping[str, Molecule], chosen: StructureOptions
) -> tuple[dict[str, str], dict[str, str]]:
    """Structure -> train, val or test, and structure -> its group: what a group holds stays together.

    Raises:
        UserError: fewer than three groups.

    >>> molecules = {f"m{k}": Molecule(symbol=["O"], positions=[[0, 0, 0]]) for k in range(10)}
    >>> part, _ = split_structures(molecules, StructureOptions())
    >>> sorted(part.values()).count("train")
    8
    """
    groups = sequence_clusters(molecules, chosen.identity) if chosen.split == "clusters" else {}
    members: dict[str, list[str]] = {}
    for name in molecules:
        members.setdefault(groups.get(name, name), []).append(name)
    if len(members) < 3:
        raise UserError(
            f"{len(molecules)} structures in {len(members)} {'clusters' if groups else 'groups'} cannot be split into "
            "train, val and test; that takes three at least"
        )
    names, order = sorted(members), np.random.default_rng(chosen.split_seed).permutation(len(members))
    wanted = np.array(chosen.shares) / sum(chosen.shares) * len(molecules)
    counts, part = np.zeros(3), {}
    for place, group in enumerate(members[names[k]] for k in order):
        # The first three groups go to one part each, so that none stays empty; then to who lacks most.
        k = place if place < 3 else int(np.argmax(wanted - counts))
        counts[k] += len(group)
        part.update(dict.fromkeys(group, SPLITS[k]))
    return part, groups


def sequence_clusters(molecules: Mapping[str, Molecule], identity: float = 0.3) -> dict[str, str]:
    """Structure -> name of its cluster: two that have similar chains are in one, and so are those in between.

    Chains are similar where a global alignment (gemmi's) has at least ``identity`` times the length of the shorter one
    in equal residues. All pairs are aligned: some hundred structures take seconds, some thousand take an hour. A
    structure without a sequence is alone.

    >>> from eqgat.datasets import embedded_structure
    >>> sequence_clusters({name: embedded_structure(name) for name in ("adk_open", "adk_closed", "5pti")})
    {'adk_open': 'adk_open', 'adk_closed': 'adk_open', '5pti': '5pti'}
    """
    sequences = {
        name: {text for chain in dict.fromkeys(m.chain_name.tolist()) if (text := m.sequence(chain))}
        for name, m in molecules.items()
    }
    cluster = {name: name for name in molecules}
    scoring = gemmi.AlignmentScoring()
    # With these, the embedded chains, of which no two are related, share 0.15 of their residues as a rule and 0.29 at
    # most; one with two thirds of its residues changed at random still shares 0.34.
    scoring.match, scoring.mismatch, scoring.gapo, scoring.gape = 2, -1, -8, -1

    def alike(one: str, other: str) -> bool:
        if one == other:
            return True
        aligned = gemmi.align_string_sequences(list(one), list(other), [], scoring)
        return aligned.match_count >= identity * min(len(one), len(other))

    for first, second in combinations(molecules, 2):
        old, new = cluster[second], cluster[first]
        if old != new and any(alike(*pair) for pair in product(sequences[first], sequences[second])):
            cluster = {name: new if its == old else its for name, its in cluster.items()}
    return cluster
