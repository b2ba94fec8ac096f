"""Own data for training, validation and test: by a column, at random, by clusters of sequences."""

from __future__ import annotations

import functools
import operator
from pathlib import Path

import pytest
from own_items import NAMES, table_of

from eqgat.datasets import embedded_structure
from eqgat.datasets.own import StructureOptions, sequence_clusters, split_structures
from eqgat.errors import UserError


@pytest.mark.parametrize(
    ("split", "said"),
    [("nope", "has no column 'nope' to split by"), ("kind", "line 2: kind is 'long'; it must say train, val or test")],
)
def test_a_column_that_is_no_split(folder: Path, split: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        table_of(folder, split=split)


def test_a_random_split_depends_on_its_seed_alone_and_leaves_no_part_empty(folder: Path) -> None:
    one, same, other = (
        [part.names.tolist() for part in table_of(folder, split="random", split_seed=seed).values()]
        for seed in (0, 0, 1)
    )
    assert one == same != other
    assert sorted(functools.reduce(operator.iadd, one, [])) == sorted(NAMES)
    assert all(one)


def test_clusters_stay_together_and_unrelated_proteins_are_alone() -> None:
    molecules = {name: embedded_structure(name) for name in (*NAMES, "adk_open", "adk_closed")}
    clusters = sequence_clusters(molecules)
    assert clusters["adk_open"] == clusters["adk_closed"]
    assert len(set(clusters.values())) == len(molecules) - 1
    for seed in range(6):
        part, groups = split_structures(molecules, StructureOptions(split="clusters", split_seed=seed))
        assert part["adk_open"] == part["adk_closed"]
        assert groups == clusters
    two = {name: molecules[name] for name in ("adk_open", "adk_closed")}
    with pytest.raises(UserError, match="2 structures in 1 clusters"):
        split_structures(two, StructureOptions(split="clusters"))
