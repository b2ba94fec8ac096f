"""Starter code of project 2: a structure of your own, looked at through EQGAT.

    python new_structure.py my_protein.cif.gz          # or without a file: an embedded one

It prints what the graph is, tests the symmetries on this very structure, measures to whom the atoms listen, runs a
negative control, and writes a PDB file whose B-factors are the attention that each atom receives, for any viewer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from eqgat import EQGAT, radius_graph
from eqgat.datasets import embedded_path
from eqgat.inspection import attention_received, effective_neighbours, equal_share
from eqgat.molecule import Molecule
from eqgat.structures import read_structure
from eqgat.symmetry import equivariance_errors, random_rotation
from eqgat_course.controls import capped_radius_graph

CUTOFF = 4.5


def describe(structure: Molecule) -> dict[str, float]:
    """Atoms, residues, edges, and the mean, smallest and largest number of neighbours within the cutoff."""
    graph = structure.graph(cutoff=CUTOFF)
    neighbours = torch.bincount(graph.edge_index[1], minlength=len(graph.pos)).double()
    return {
        "atoms": len(structure),
        "residues": len(structure.residues),
        "edges": graph.num_edges,
        "neighbours, mean": round(float(neighbours.mean()), 1),
        "neighbours, fewest": int(neighbours.min()),
        "neighbours, most": int(neighbours.max()),
    }


def untrained_model(seed: int = 0) -> EQGAT:
    """A small model with random weights; use ``eqgat.pretrained.pretrained`` for trained ones."""
    torch.manual_seed(seed)
    return (
        EQGAT(
            num_elements=9,
            out_channels=1,
            scalar_channels=16,
            vector_channels=4,
            num_layers=2,
            num_radial=8,
            cutoff=CUTOFF,
        )
        .double()
        .eval()
    )


def symmetries(model: EQGAT, structure: Molecule) -> dict[str, bool]:
    """Transformation -> does the model keep it on this structure, to 1e-9?"""
    errors = equivariance_errors(model, structure.graph(cutoff=CUTOFF, dtype=torch.float64))
    return {name: max(error.output, error.s, error.v) < 1e-9 for name, error in errors.items()}


def cap_depends_on_orientation(structure: Molecule, cap: int) -> bool:
    """The negative control: does a neighbour list with a cap change when the structure is turned?"""
    pos = structure.graph(cutoff=CUTOFF, dtype=torch.float64).pos

    def edges(positions: torch.Tensor) -> set[tuple[int, int]]:
        return set(map(tuple, capped_radius_graph(positions, CUTOFF, cap=cap).T.tolist()))

    turned = pos @ random_rotation(0).T
    assert torch.equal(radius_graph(pos, CUTOFF), radius_graph(turned, CUTOFF)), "the exact list must not change"
    return edges(pos) != edges(turned)


def main(argv: list[str] | None = None) -> None:
    """Everything, for one structure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", help="PDB or mmCIF, gzipped or not")
    parser.add_argument("--out", type=Path, default=Path("attention.pdb"))
    options = parser.parse_args(argv)
    structure = read_structure(options.file or embedded_path("5pti"))
    for name, value in describe(structure).items():
        print(f"{name:<20} {value:,}")
    model = untrained_model()
    for name, kept in symmetries(model, structure).items():
        print(f"{name:<20} {'kept' if kept else 'not kept'}")
    print("a cap of 12 neighbours depends on the orientation:", cap_depends_on_orientation(structure, 12))

    layer = model.trace(structure.graph(cutoff=CUTOFF, dtype=torch.float64))[-1]
    surplus = attention_received(layer) / equal_share(layer).clamp(min=1e-9)
    share = float(effective_neighbours(layer).nanmean())
    print(f"effective share of the neighbours (1: all weights equal): {share:.2f}")
    for row in surplus.argsort(descending=True)[:5].tolist():
        atom = structure.atoms.iloc[row]
        label = f"{atom['resname']}{atom['residue']} {atom['name'].strip()}"
        print(f"  {label} receives {float(surplus[row]):.2f} times its equal share")
    options.out.write_text(structure.to_pdb(bfactor=surplus.numpy()), encoding="utf-8")
    print(f"written: {options.out}; colour by B-factor in any viewer")


if __name__ == "__main__":
    main()
