"""Amino acids in their surroundings, as real proteins have them, against their mirror images; split by protein."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, radius_graph
from eqgat.datasets import embedded_names, embedded_structure
from eqgat.molecule import Molecule
from eqgat.symmetry import random_reflection, random_rotation, transform

__all__ = ["HandTest", "environments", "learn_hand", "pairs", "split_by_protein"]


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


def pairs(graphs: Sequence[Data]) -> tuple[Batch, Tensor]:
    """Each graph, turned at random, followed by its mirror image, turned at random too; labels 1 and 0: a batch, [2n].

    Nothing but the hand tells the two apart: not the orientation, and not the order of the atoms.
    """
    both = [
        transform(graph, matrix)
        for seed, graph in enumerate(graphs)
        for matrix in (random_rotation(seed), random_reflection(seed + len(graphs)))
    ]
    return Batch.from_data_list(both), torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(len(graphs))


def learn_hand(
    train: Sequence[Data],
    test: Sequence[Data],
    cross_product: str | None = "raw",
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EQGAT(
            num_elements=9,
            out_channels=1,
            scalar_channels=16,
            vector_channels=8,
            num_layers=num_layers,
            num_radial=8,
            cross_product=cross_product,
            norm="equivariant",
        ).double()
    (known, label), (unknown, _) = pairs(train), pairs(test)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    history, looked, accuracy = [], [], []
    logits = torch.empty(0)
    for step in range(steps + 1):
        if step % look == 0 or step == steps:
            with torch.no_grad():
                logits = model(unknown).view(-1, 2)
            looked.append(step)
            accuracy.append(float(torch.cat([logits[:, 0] > 0, logits[:, 1] < 0]).double().mean()))
        if step < steps:
            optimiser.zero_grad()
            loss = binary_cross_entropy_with_logits(model(known).squeeze(1), label)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            optimiser.step()
            history.append(loss.item())
    return HandTest(history, looked, accuracy, logits)
