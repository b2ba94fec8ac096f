"""Left or right: the chiral centres of a protein, their mirror images, and a small test of what a model can learn."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, radius_graph
from eqgat.molecule import Molecule

__all__ = ["chiral_centres", "flat_ring", "learn_handedness", "mirror_image", "mirror_pairs", "without_cross_product"]

CENTRE = ("N", "CA", "C", "O", "CB")
RING = ("CB", "CG", "CD1", "CE1", "CZ", "CE2", "CD2")


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


def mirror_pairs(graphs: list[Data]) -> tuple[Batch, Tensor]:
    """Each graph followed by its mirror image, and the labels 1 (as found) and 0 (mirrored): a batch and [2n]."""
    both = [one for graph in graphs for one in (graph, mirror_image(graph))]
    return Batch.from_data_list(both), torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(len(graphs))


def learn_handedness(
    train: list[Data], test: list[Data], cross_product: str | None, steps: int = 120, seed: int = 0
) -> tuple[list[float], Tensor]:
    """Train a model of two layers to tell residues from their mirror images.

    Args:
        train, test: graphs from ``chiral_centres``.
        cross_product: as in ``EQGATConfig``; None for the model without.
        steps: of Adam, each on all training pairs.
        seed: of the initial weights.

    Returns:
        The cross-entropy of each step (nats), and the logits of the test pairs [n, 2]: as found, and mirrored.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EQGAT(
            num_elements=9,
            out_channels=1,
            scalar_channels=16,
            vector_channels=8,
            num_layers=2,
            num_radial=8,
            cross_product=cross_product,
        ).double()
    batch, label = mirror_pairs(train)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    history = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = binary_cross_entropy_with_logits(model(batch).squeeze(1), label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        optimiser.step()
        history.append(loss.item())
    with torch.no_grad():
        return history, model(mirror_pairs(test)[0]).view(-1, 2)
