"""Labelled structures, or residues of them, as a data set of graphs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch_geometric.data import Data

from eqgat.datasets.atom3d.samples import Atoms, make_graph
from eqgat.molecule import Molecule

__all__ = ["OwnData"]


class OwnData(torch.utils.data.Dataset):
    """Labelled structures, or residues of them: ``data[i]`` is a graph with ``y`` and ``name``.

    Attributes:
        y: labels, [n, 1] float32, or [n] int64 for classes.
        names, groups: of the samples [n]; a group is a structure or a cluster of them.
        told: what was left out of table and folder, with counts; "" for nothing.
        about: what the labels are, in words.

    >>> data = OwnData({"water": Molecule(symbol=["O"], positions=[[0, 0, 0]])}, [("water", None, "water")], [1.0])
    >>> data[0].y.tolist(), data.names.tolist()
    ([[1.0]], ['water'])
    """

    def __init__(
        self,
        molecules: Mapping[str, Molecule],
        samples: Sequence[tuple[str, int | None, str]],
        labels: Sequence[float],
        classes: bool = False,
        groups: Mapping[str, str] | None = None,
        radius: float | None = None,
        cutoff: float = 4.5,
        hops: int | None = None,
        told: str = "",
        about: str = "own labels",
    ) -> None:
        """``samples``: structure, row of the centre of a residue (None: the whole structure), name."""
        self.samples, self.radius, self.cutoff, self.hops, self.told = list(samples), radius, cutoff, hops, told
        self.about = about
        self.atoms = {
            name: Atoms(molecules[name].atomic_number, molecules[name].positions, len(molecules[name]))
            for name in dict.fromkeys(sample[0] for sample in samples)
        }
        self.y = torch.tensor(labels, dtype=torch.int64 if classes else torch.float32)
        if not classes:
            self.y = self.y.unsqueeze(1)
        self.names = np.array([sample[2] for sample in samples], dtype=str)
        self.groups = np.array([(groups or {}).get(sample[0], sample[0]) for sample in samples], dtype=str)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Data:
        index = range(len(self))[index]
        structure, centre, name = self.samples[index]
        marks, radius, hops = ([], None, None) if centre is None else ([centre], self.radius, self.hops)
        graph = make_graph(self.atoms[structure], None, np.array(marks, dtype=np.int64), radius, self.cutoff, hops)
        graph.y, graph.name = self.y[index : index + 1], name
        return graph

    def digest(self) -> str:
        """Equal for equal graphs and labels."""
        found = hashlib.sha256(repr((self.samples, self.radius, self.y.tolist())).encode())
        for atoms in self.atoms.values():
            found.update(atoms.atomic_number.tobytes() + atoms.pos.tobytes())
        return found.hexdigest()
