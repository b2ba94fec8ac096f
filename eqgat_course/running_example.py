"""The running example of the notebooks 01-07: one carbon atom of a small protein, and a small model to follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eqgat import EQGAT
from eqgat.datasets import RUNNING_EXAMPLE, embedded_structure
from eqgat.molecule import Molecule

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["RunningExample", "running_example"]


@dataclass(frozen=True)
class RunningExample:
    """A protein, its graph in float64, the row of the central atom, and an untrained, seeded model in float64."""

    structure: Molecule
    graph: Data
    centre: int
    model: EQGAT

    @cached_property
    def incoming(self) -> Tensor:
        """Numbers of the edges (j, i) into the central atom i, [|N(i)|]."""
        return (self.graph.edge_index[1] == self.centre).nonzero().flatten()

    @cached_property
    def neighbours(self) -> Tensor:
        """Rows of the neighbours j in N(i), in the order of ``incoming``, [|N(i)|]."""
        return self.graph.edge_index[0, self.incoming]

    def label(self, row: int) -> str:
        """What a structural biologist calls an atom: residue name, residue number, atom name, as "Ala30 CA"."""
        atom = self.structure.atoms.iloc[int(row)]
        return f"{atom['resname'].strip().capitalize()}{atom['residue']} {atom['name'].strip()}"


def running_example(cutoff: float = 4.5) -> RunningExample:
    """The running example. Model: F_s = 8, F_v = 4, K = 8, two layers, seed 0.

    Args:
        cutoff: c in Å, for the graph and the model.
    """
    structure = embedded_structure(RUNNING_EXAMPLE.structure)
    graph = structure.graph(cutoff=cutoff, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = (
            EQGAT(
                num_elements=9,
                out_channels=1,
                scalar_channels=8,
                vector_channels=4,
                num_layers=2,
                num_radial=8,
                cutoff=cutoff,
            )
            .double()
            .eval()
        )
    centre = structure.find_atom(RUNNING_EXAMPLE.chain, RUNNING_EXAMPLE.residue, RUNNING_EXAMPLE.name)
    return RunningExample(structure, graph, centre, model)
