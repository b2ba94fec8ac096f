"""The running example of the notebooks 01-07: one carbon atom of a small protein, and a small model to follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from eqgat import EQGAT
from eqgat.datasets import embedded_structure
from eqgat.layers import LayerTrace
from eqgat.molecule import Molecule
from eqgat.saving import seeded

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["RUNNING_EXAMPLE", "AtomAddress", "RunningExample", "running_example"]


class AtomAddress(NamedTuple):
    """One atom of an embedded structure; ``structure.find_atom(*address[1:])`` is its row."""

    structure: str
    chain: str
    residue: int
    name: str


# The atom that the notebooks follow: the alpha carbon of phenylalanine 22, in the core of the inhibitor's beta sheet.
# Within 4.5 Å it has 20 neighbours of all four elements C, N, O and S: its own side chain, the backbone of residues 21
# and 23, and parts of residues 31, 43, 45 and 51, which are close in space and far along the chain.
RUNNING_EXAMPLE = AtomAddress("5pti", "A", 22, "CA")


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

    @cached_property
    def second_layer(self) -> LayerTrace:
        """What the model's second layer, ``layers[1]``, does: the first with all three vector terms."""
        return self.model.trace(self.graph)[1]

    def state_card(self, notebook: int) -> str:
        """The central atom's numbers so far, as a table of text: what the notebooks 1 to ``notebook`` have computed.

        Three of its neighbours, channel 0 of the second layer; vectors as x, y, z, and in thousandths (the cross term
        in millionths). Rounded, and each number can be worked out by hand from those above it.
        """
        layer, columns = self.second_layer, [4, 6, 13]  # a nitrogen, an oxygen, and the farthest carbon
        edges = self.incoming[columns]
        sum_of_exp = float(layer.attention_logits[self.incoming, 0].exp().sum())
        mixed = layer.v_mixed[self.neighbours[columns], :, 0]
        partner = layer.v_partner[self.neighbours[columns], :, 0]
        rows = [  # the notebook that computes it, what it is, and for each neighbour one number or three
            (1, "distance d, Å", layer.edges.distance[edges]),
            (1, "direction p, from neighbour", layer.edges.direction[edges]),
            (2, "radial values k = 1, 2, 3", layer.edges.radial[edges, :3]),
            (3, "logit a", layer.attention_logits[edges, 0]),
            (3, f"attention exp(a) / {sum_of_exp:.2f}", layer.attention[edges, 0]),
            (4, "coefficient b_0", layer.b_direction[edges, 0]),
            (4, "direction term b_0 p, 1/1000", 1000 * layer.v_direction[edges, :, 0]),
            (4, "coefficient b_1", layer.b_mix[edges, 0]),
            (4, "mixed vector v_j W_v, 1/1000", 1000 * mixed),
            (4, "mixing b_1 (v_j W_v), 1/1000", 1000 * layer.v_mix[edges, :, 0]),
            (5, "coefficient b_2", layer.b_cross[edges, 0]),
            (5, "vector v_j, 1/1000", 1000 * partner),
            (5, "cross term, 1/1000000", 1e6 * layer.v_cross[edges, :, 0]),
        ]
        i = self.centre
        sums = [
            (5, "vector v_i before, 1/1000", 1000 * layer.v_in[i, :, 0]),
            (6, "scalar s before", layer.s_in[i, 0]),
            (6, "+ message of 20 neighbours", layer.scalar_message[i, 0]),
            (6, "-> after the update", layer.s[i, 0]),
            (6, "+ vector message, 1/1000", 1000 * layer.vector_message[i, :, 0]),
            (6, "-> after the update, 1/1000", 1000 * layer.v[i, :, 0]),
        ]
        names = [self.label(row) for row in self.neighbours[columns].tolist()]
        lines = [f"{self.label(i):33}" + "".join(f"{name:>21}" for name in names)]
        lines += [
            f"{number:02}  {what:29}" + "".join(f"{_numbers(value):>21}" for value in values)
            for number, what, values in rows
            if number <= notebook
        ]
        own = [f"{number:02}  {what:29}{_numbers(value):>21}" for number, what, value in sums if number <= notebook]
        return "\n".join(lines + (["", "the atom itself", *own] if own else []))


def running_example(cutoff: float = 4.5) -> RunningExample:
    """The running example. Model: F_s = 8, F_v = 4, K = 8, two layers, seed 0.

    Args:
        cutoff: c in Å, for the graph and the model.
    """
    structure = embedded_structure(RUNNING_EXAMPLE.structure)
    graph = structure.graph(cutoff=cutoff, dtype=torch.float64)
    size = {"scalar_channels": 8, "vector_channels": 4, "num_layers": 2, "num_radial": 8, "cutoff": cutoff}
    model = seeded(EQGAT, 0, num_elements=9, out_channels=1, **size).double().eval()
    centre = structure.find_atom(RUNNING_EXAMPLE.chain, RUNNING_EXAMPLE.residue, RUNNING_EXAMPLE.name)
    return RunningExample(structure, graph, centre, model)


def _numbers(value: Tensor) -> str:
    digits = 3 if value.ndim == 0 else 2
    return " ".join(f"{round(number, digits) + 0.0:.{digits}f}" for number in value.reshape(-1).tolist())
