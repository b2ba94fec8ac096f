"""From the atoms of an item to graphs: what all five tasks share.

A task's ``parse`` turns one item of the official data into ``Parsed``: molecules as plain arrays, and samples that
point at their atoms. Graphs are made from these, whether they were parsed a moment ago or prepared before: the two
ways give equal graphs, bit by bit.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data

from eqgat.datasets.atom3d.lmdb import BrokenItem
from eqgat.errors import UserError
from eqgat.molecule import Molecule, StructureError, atom_graph

__all__ = [
    "AtomOptions",
    "Atoms",
    "Parsed",
    "Reader",
    "Sample",
    "Skipped",
    "View",
    "count_hops",
    "make_graph",
    "read_molecule",
    "table",
]


@dataclass(frozen=True)
class AtomOptions:
    """Which atoms of an item become nodes. The paper says "full-atom graphs" and no more; defaults: released code.

    Alternate positions of an atom (``altloc``) all become nodes, as in the released code.

    Attributes:
        hydrogens: keep hydrogen and deuterium. Released code: kept in LBA, dropped elsewhere.
        waters: keep water molecules where the data have them. Released code: kept.
        hetero: keep ligands, ions and modified residues. Released code: kept.
        models: "all" models of an item in one graph (released code), or the "first". Where an item holds several
            models, they lie on top of each other.
    """

    hydrogens: bool = False
    waters: bool = True
    hetero: bool = True
    models: str = "all"

    def __post_init__(self) -> None:
        if self.models not in ("all", "first"):
            raise UserError(f"models must be 'all' or 'first'; got {self.models!r}")


class Atoms(NamedTuple):
    """What a graph needs of a molecule: atomic_number [n] uint8 (0: unknown), pos [n, 3] float64 in Å; row from which
    the atoms are the ligand's (n: none); bonds [b, 2] int32 (rows) with order [b] float32 (1.5: aromatic)."""

    atomic_number: np.ndarray
    pos: np.ndarray
    ligand_start: int
    bonds: np.ndarray = np.empty((0, 2), np.int32)
    order: np.ndarray = np.empty(0, np.float32)


class View(NamedTuple):
    """The atoms of one graph: ``rows`` of a molecule, all by default. ``marks``: rows of the molecule that the task
    asks about, the alpha carbon first."""

    molecule: int
    rows: np.ndarray | None = None
    marks: tuple[int, ...] = ()


class Sample(NamedTuple):
    """One prediction: its graph, or two; its target; its name; and the group (target protein, complex) it is in."""

    views: tuple[View, ...]
    y: float | int
    name: str
    group: str


class Skipped(NamedTuple):
    """A sample that could not be made, and why."""

    name: str
    reason: str


@dataclass
class Parsed:
    """What one item gives.

    >>> Parsed([Atoms(np.array([6, 8], np.uint8), np.array([[0.0, 0, 0], [1.2, 0, 0]]), 2)]).size
    8
    """

    molecules: list[Atoms] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Numbers that it holds, about."""
        rows = sum(len(view.rows) for sample in self.samples for view in sample.views if view.rows is not None)
        return rows + sum(4 * len(molecule.pos) for molecule in self.molecules) + 20 * len(self.samples)


class Reader(NamedTuple):
    """How a task reads its items."""

    options: type
    parse: Callable[[Mapping[str, Any], Any], Parsed]
    num_views: int  # graphs in a sample
    num_marks: int  # marks in a view
    classes: bool  # whether targets are classes


def table(item: Mapping[str, Any], key: str, *columns: str) -> pd.DataFrame:
    """A table of an item, with the columns that are needed. Raises ``BrokenItem`` where one is missing or empty.

    >>> table({"id": "1abc"}, "atoms", "x")
    Traceback (most recent call last):
    eqgat.datasets.atom3d.lmdb.BrokenItem: it has no table 'atoms'; it has 'id'
    """
    found = item.get(key)
    if isinstance(found, Mapping):
        raise BrokenItem(
            f"its {key!r} is a dictionary, not a table (as atom3d's own reader gives it under pandas 3; "
            "read_lmdb gives tables)"
        )
    if not isinstance(found, pd.DataFrame):
        raise BrokenItem(f"it has no table {key!r}; it has {', '.join(map(repr, item))}")
    if missing := set(columns) - set(found.columns):
        raise BrokenItem(f"its table {key!r} has no column {', '.join(sorted(missing))}")
    if found.empty:
        raise BrokenItem(f"its table {key!r} is empty")
    return found


def finite_score(item: Mapping[str, Any], key: str) -> float:
    """``item["scores"][key]`` as a number. Raises ``BrokenItem`` where it is missing or no finite number."""
    scores = item.get("scores")
    try:
        value = float(scores[key])  # type: ignore[index]
    except (TypeError, KeyError, ValueError) as error:
        there = ", ".join(map(str, scores)) if isinstance(scores, Mapping) else "none"
        raise BrokenItem(f"it has no score {key!r}; its scores are: {there}") from error
    if not np.isfinite(value):
        raise BrokenItem(f"its score {key!r} is {value}")
    return value


def target_and_decoy(text: str) -> tuple[str, str]:
    """("T0759", "decoy_name") from the id of a ranked structure, which is the text of a Python tuple."""
    try:
        parts = ast.literal_eval(str(text))
        target, decoy = parts[0], parts[1]
    except (ValueError, SyntaxError, TypeError, IndexError, KeyError) as error:
        raise BrokenItem(f"its id {text!r} does not name a target and a decoy") from error
    return str(target), str(decoy)


def read_molecule(atoms: pd.DataFrame, options: AtomOptions) -> tuple[Atoms, np.ndarray]:
    """The chosen atoms of a table in its order, and their rows in it [n].

    Raises:
        BrokenItem: no atom is left, an unknown element, or NaN and infinite coordinates.

    >>> from eqgat.datasets import embedded_structure
    >>> molecule, rows = read_molecule(embedded_structure("5pti").atoms, AtomOptions())
    >>> molecule.pos.shape == (len(rows), 3)
    True
    """
    try:
        molecule = Molecule.from_table(
            atoms,
            model=atoms["model"].iloc[0] if options.models == "first" and "model" in atoms else "all",
            hydrogens=options.hydrogens,
            waters=options.waters,
            hetero=options.hetero,
            altloc="all",
        )
    except StructureError as error:
        raise BrokenItem(str(error)) from error
    order = np.argsort(molecule.row)  # a molecule goes residue by residue
    return Atoms(molecule.atomic_number[order], molecule.positions[order], len(molecule)), molecule.row[order]


def count_hops(edge_index: Tensor, centers: Tensor, num_nodes: int, limit: int) -> Tensor:
    """Edges on the shortest way from each atom to the nearest of ``centers``, [N]; ``limit + 1`` where there are more.

    A model of L layers that reads its answer off the centres depends on nothing that is more than L hops away.

    >>> edges = torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])
    >>> count_hops(edges, torch.tensor([0]), num_nodes=4, limit=2)
    tensor([0, 1, 2, 3])
    """
    source, receiver = edge_index
    hops = torch.full((num_nodes,), limit + 1, dtype=torch.int64, device=edge_index.device)
    hops[centers] = 0
    for step in range(1, limit + 1):
        reached = source[hops[receiver] == step - 1]
        hops[reached[hops[reached] > step]] = step
    return hops


def make_graph(
    molecule: Atoms,
    rows: np.ndarray | None,
    marks: np.ndarray,
    radius: float | None,
    cutoff: float,
    hops: int | None = None,
) -> Data:
    """The radius graph of a view: ``z`` [N], ``pos`` [N, 3] in Å float32, ``edge_index`` [2, E], ``atomic_number`` [N].

    In a batch, fields whose names end in ``_index`` count on: ``center_index`` [1] (the alpha carbon),
    ``backbone_index`` [3] (N, CA, C), ``bond_index`` [2, B] with ``bond_order`` [B]; ``ligand`` [N] tells the atoms of
    a ligand.

    Args:
        molecule, rows: the atoms; None: all.
        marks: rows of the molecule, the centre first; may be empty.
        radius: of ``rows``, keep only atoms within this many Å of the centre (and the marked); None: all.
        cutoff: of the edges, Å.
        hops: of these, keep only atoms at most this many edges away from the centre (and the marked); None: all.

    >>> molecule = Atoms(np.array([6, 7], np.uint8), np.array([[0.0, 0, 0], [1.5, 0, 0]]), 2)
    >>> make_graph(molecule, None, np.array([0]), radius=None, cutoff=4.5).edge_index.tolist()
    [[1, 0], [0, 1]]
    """
    number, pos = molecule.atomic_number, molecule.pos
    if hops is not None:  # nothing is reached in so many steps that is farther away than their lengths together
        radius = hops * cutoff if radius is None else min(radius, hops * cutoff)
    if radius is not None:
        offset = pos - pos[marks[0]]
        near = np.einsum("ij,ij->i", offset, offset) <= radius**2
        near[marks] = True
        rows = np.flatnonzero(near) if rows is None else rows[near[rows]]
    if rows is not None:
        number, pos = number[rows], pos[rows]
        marks = np.searchsorted(rows, marks)
    marked = torch.as_tensor(marks, dtype=torch.int64)
    graph = atom_graph(number, pos, cutoff)
    graph.atomic_number = torch.from_numpy(np.array(number))
    if hops is not None:
        near = count_hops(graph.edge_index, marked[:1], len(graph.pos), hops) <= hops
        near[marked] = True
        graph, marked = graph.subgraph(near), near.cumsum(0)[marked] - 1
    if len(marks):
        graph.center_index = marked[:1]
    if len(marks) == 3:
        graph.backbone_index = marked[[1, 0, 2]]
    if molecule.ligand_start < len(molecule.atomic_number):
        graph.ligand = torch.arange(len(graph.pos)) >= molecule.ligand_start
        graph.bond_index = torch.from_numpy(molecule.bonds.astype(np.int64).T.copy())
        graph.bond_order = torch.from_numpy(np.array(molecule.order))
    return graph
