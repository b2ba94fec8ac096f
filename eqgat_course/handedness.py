"""Left or right: amino acids of real proteins, their mirror images, and a small test of what a model can learn."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, radius_graph
from eqgat.datasets import embedded_names, embedded_structure
from eqgat.molecule import Molecule
from eqgat.symmetry import random_reflection, random_rotation, transform
from eqgat.training import seeded
from eqgat_course.fitting import fit

__all__ = [
    "HandTest",
    "chiral_centres",
    "environments",
    "flat_ring",
    "learn_handedness",
    "mirror_image",
    "mirror_pairs",
    "right_answers",
    "split_by_protein",
    "without_cross_product",
]

CENTRE = ("N", "CA", "C", "O", "CB")
RING = ("CB", "CG", "CD1", "CE1", "CZ", "CE2", "CD2")


@dataclass(frozen=True)
class HandTest:
    """What one training has shown.

    Attributes:
        history: cross-entropy of each step, in nats; ln 2 is that of a guess.
        steps: after how many steps the test proteins were looked at.
        accuracy: share of right answers there, among residues and mirror images together, one entry each of ``steps``.
        logits: at the end, [pairs, 2]: as found, and mirrored.
    """

    history: list[float]
    steps: list[int]
    accuracy: list[float]
    logits: Tensor


def flat_ring(
    structure: Molecule, chain: str = "A", residue: int = 22, displacement: float = 0.0, cutoff: float = 4.5
) -> Data:
    """A phenylalanine's ring and its CB, put into the xy plane: seven atoms, float64, in the order of ``RING``.

    The atoms are projected onto their best plane (the first two axes of a singular value decomposition), the axis
    from CB to CZ along y.

    Args:
        structure, chain, residue: where the ring is.
        displacement: how far CD1 is then lifted along z, in Å.
        cutoff: c in Å of the edges.
    """
    rows = [structure.find_atom(chain, residue, name) for name in RING]
    pos = torch.from_numpy(structure.positions[rows])
    pos = pos - pos.mean(dim=0)
    flat = pos @ torch.linalg.svd(pos)[2][:2].T
    y = (flat[RING.index("CZ")] - flat[RING.index("CB")]) / (flat[RING.index("CZ")] - flat[RING.index("CB")]).norm()
    x = torch.stack([y[1], -y[0]])
    if float((flat @ x)[RING.index("CD1")]) > 0:  # which way round the ring comes out is the decomposition's whim
        x = -x
    pos = torch.stack([flat @ x, flat @ y, torch.zeros(len(rows), dtype=torch.float64)], dim=1)
    pos[RING.index("CD1"), 2] = displacement
    return Data(z=torch.from_numpy(structure.elements[rows]), pos=pos, edge_index=radius_graph(pos, cutoff))


def without_cross_product(model: EQGAT) -> EQGAT:
    """A copy of the model with all coefficients b_ji,2 set to zero and every other weight as it was."""
    model = deepcopy(model)
    for layer in model.layers:
        if len(layer.filter.sizes) == 4:  # attention, direction, mixing, cross product
            with torch.no_grad():
                layer.filter.out.weight[-layer.filter.sizes[-1] :] = 0
                layer.filter.out.bias[-layer.filter.sizes[-1] :] = 0
    return model


def mirror_image(data: Data) -> Data:
    """A copy of the graph reflected in the xy plane: z -> -z. All distances, and so all edges, stay."""
    mirrored = data.clone()
    mirrored.pos = data.pos * data.pos.new_tensor([1.0, 1.0, -1.0])
    return mirrored


def chiral_centres(structure: Molecule, cutoff: float = 4.5) -> list[Data]:
    """One graph of five atoms (N, CA, C, O, CB; float64) for each residue that has them: every amino acid but glycine.

    Args:
        structure: a protein.
        cutoff: c in Å of the edges.
    """
    graphs = []
    for residue in structure.residues.itertuples():
        atoms = structure.atoms.iloc[residue.first : residue.last + 1]
        row = dict(zip(atoms["name"], atoms.index, strict=True))
        if all(name in row for name in CENTRE):
            rows = [row[name] for name in CENTRE]
            pos = torch.from_numpy(structure.positions[rows])
            graphs.append(
                Data(z=torch.from_numpy(structure.elements[rows]), pos=pos, edge_index=radius_graph(pos, cutoff))
            )
    return graphs


def environments(
    structure: Molecule, number: int | None = None, radius: float = 3.0, cutoff: float = 4.5
) -> list[Data]:
    """One graph for each residue with a CB (all amino acids but glycine): the heavy atoms around its CA, in float64.

    Args:
        structure: a protein.
        number: how many, evenly spread along the protein; None for all.
        radius: of the sphere around CA, Å; 3 Å hold the backbone up to the neighbouring residues, CB and often CG.
        cutoff: c in Å of the edges.
    """
    atoms = structure.atoms
    addresses = zip(atoms["chain"], atoms["residue"], atoms["name"], strict=True)
    places = {address: row for row, address in enumerate(addresses)}
    centres = [
        row for (chain, residue, name), row in places.items() if name == "CA" and (chain, residue, "CB") in places
    ]
    if number is not None:
        centres = [centres[int(k)] for k in torch.linspace(0, len(centres) - 1, number)]
    every, z = torch.from_numpy(structure.positions), torch.from_numpy(structure.elements)
    graphs = []
    for row in centres:
        near = ((every - every[row]).norm(dim=1) < radius).nonzero().flatten()
        graphs.append(Data(z=z[near], pos=every[near] - every[row], edge_index=radius_graph(every[near], cutoff)))
    return graphs


def split_by_protein(train: int = 10, test: int = 20, each: int = 5) -> tuple[list[Data], list[Data], list[str]]:
    """Residues of the first ``train`` embedded chains, of the next ``test`` chains, and the names of all these chains.

    ``each``: residues of a chain. No chain is in both parts.
    """
    names = embedded_names("chain")[: train + test]
    graphs = [environments(embedded_structure(name), each) for name in names]
    known, unknown = ([one for chain in part for one in chain] for part in (graphs[:train], graphs[train:]))
    return known, unknown, names


def mirror_pairs(graphs: Sequence[Data]) -> tuple[Batch, Tensor]:
    """Each graph, turned at random, followed by its mirror image, turned at random too; labels 1 and 0: a batch, [2n].

    Nothing but the hand tells the two apart: not the orientation, and not the order of the atoms.
    """
    both = [
        transform(graph, matrix)
        for seed, graph in enumerate(graphs)
        for matrix in (random_rotation(seed), random_reflection(seed + len(graphs)))
    ]
    return Batch.from_data_list(both), torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(len(graphs))


def right_answers(logits: Tensor) -> float:
    """Share of right answers of the logits of pairs, [pairs, 2] or flat: positive as found, negative in the mirror."""
    as_found, mirrored = logits.view(-1, 2).unbind(dim=1)
    return float(torch.cat([as_found > 0, mirrored < 0]).double().mean())


def learn_handedness(
    train: Sequence[Data],
    test: Sequence[Data],
    cross_product: Literal["raw", "mixed"] | None = "raw",
    num_layers: int = 2,
    steps: int = 100,
    look: int = 10,
    seed: int = 0,
) -> HandTest:
    """Train a small EQGAT on the pairs of ``train``, and look at those of ``test`` every ``look`` steps.

    Args:
        train, test: graphs of residues.
        cross_product, num_layers: as in ``EQGATConfig``.
        steps: of Adam, each on all training pairs.
        look: how often the test pairs are looked at; nothing is chosen by what is seen there.
        seed: of the initial weights.
    """
    model = seeded(
        EQGAT,
        seed,
        num_elements=9,
        out_channels=1,
        scalar_channels=16,
        vector_channels=8,
        num_layers=num_layers,
        num_radial=8,
        cross_product=cross_product,
        norm="equivariant",
    ).double()
    (known, label), (unknown, _) = mirror_pairs(train), mirror_pairs(test)
    looked: list[int] = []
    seen: list[Tensor] = []

    def look_at_tests(step: int) -> None:
        if step % look == 0 or step == steps:
            with torch.no_grad():
                looked.append(step)
                seen.append(model(unknown).view(-1, 2))

    def loss(_: int) -> Tensor:
        return binary_cross_entropy_with_logits(model(known).squeeze(1), label)

    history = fit(model, loss, steps, 5e-3, clip=0.3, before=look_at_tests)
    return HandTest(history, looked, [right_answers(logits) for logits in seen], seen[-1])
