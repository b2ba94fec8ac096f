"""Chiral centres of a real protein: what they hold, and that only the model with cross products learns their hand."""

from __future__ import annotations

import math

import pytest
import torch

from eqgat import radius_graph
from eqgat.datasets import embedded_structure
from eqgat_course.handedness import (
    chiral_centres,
    environments,
    flat_ring,
    learn_handedness,
    mirror_image,
    mirror_pairs,
    right_answers,
    split_by_protein,
    without_cross_product,
)
from eqgat_course.running_example import running_example

CENTRES = chiral_centres(embedded_structure("5pti"))


def triple_product(pos):
    """(N - CA) . ((C - CA) x (CB - CA)): positive for every L-amino acid."""
    n, ca, c, _, cb = pos
    return float((n - ca) @ torch.linalg.cross(c - ca, cb - ca))


def test_every_residue_but_glycine_is_a_left_handed_centre():
    sequence = embedded_structure("5pti").sequence()
    assert len(CENTRES) == len(sequence) - sequence.count("G") == 52
    assert all(triple_product(graph.pos) > 1 for graph in CENTRES)  # Å³
    assert {tuple(graph.z.tolist()) for graph in CENTRES} == {(2, 1, 1, 3, 1)}


def test_mirror_image_turns_the_hand_and_keeps_the_edges():
    graph = CENTRES[0]
    mirrored = mirror_image(graph)
    assert math.isclose(triple_product(mirrored.pos), -triple_product(graph.pos))
    assert torch.equal(radius_graph(mirrored.pos, 4.5), graph.edge_index)


@pytest.mark.slow
def test_only_the_cross_product_learns_the_hand():
    learned = learn_handedness(CENTRES[:32], CENTRES[32:], "raw")
    assert learned.history[-1] < 0.1
    assert learned.accuracy[-1] > 0.9
    blind = learn_handedness(CENTRES[:32], CENTRES[32:], None, steps=10)
    assert min(blind.history) >= math.log(2) - 1e-9
    assert blind.accuracy[-1] == 0.5


def test_environments_are_real_and_their_split_is_by_protein():
    structure = embedded_structure("5pti")
    graphs = environments(structure)
    assert len(graphs) == 52  # all residues but the six glycines
    assert all(float(graph.pos.norm(dim=1).max()) < 3 and len(graph.z) >= 5 for graph in graphs)
    train, test, names = split_by_protein(2, 3, 4)
    assert (len(train), len(test), len(set(names))) == (8, 12, 5)
    batch, label = mirror_pairs(train)
    assert batch.num_graphs == len(label) == 16
    assert label.tolist() == [1, 0] * 8
    torch.testing.assert_close(torch.pdist(batch[0].pos), torch.pdist(batch[1].pos))  # mirror images
    assert not torch.allclose(batch[0].pos, train[0].pos, atol=0.1)  # turned


@pytest.mark.parametrize("options", [{"cross_product": None}, {"num_layers": 1}])
def test_a_mirror_blind_model_is_right_exactly_half_of_the_time(options):
    train, test, _ = split_by_protein(1, 2, 3)
    result = learn_handedness(train, test, steps=4, look=2, **options)
    assert result.steps == [0, 2, 4]
    assert result.accuracy == [0.5, 0.5, 0.5]
    torch.testing.assert_close(result.logits[:, 0], result.logits[:, 1], rtol=0, atol=1e-12)


def test_flat_ring_is_flat_but_for_the_lifted_atom_and_keeps_its_bonds():
    ring = flat_ring(embedded_structure("5pti"))
    assert (ring.pos[:, 2] == 0).all()
    neighbours = (ring.pos[1:] - ring.pos[[2, 3, 4, 5, 6, 1]]).norm(dim=1)  # around the ring, from CG to CG
    assert (neighbours > 1.3).all()
    assert (neighbours < 1.5).all()  # Å
    lifted = flat_ring(embedded_structure("5pti"), displacement=0.3)
    assert lifted.pos[:, 2].tolist() == [0, 0, 0.3, 0, 0, 0, 0]


def test_the_copy_without_cross_product_differs_in_that_alone():
    example = running_example()
    ring = flat_ring(example.structure)
    first, second = without_cross_product(example.model).trace(ring)
    assert (second.b_cross == 0).all()
    assert (second.v[:, 2] == 0).all()
    original = example.model.trace(ring)
    assert torch.equal(first.v, original[0].v)
    assert torch.equal(second.b_mix, original[1].b_mix)
    assert original[1].v[:, 2].abs().max() > 0


def test_right_answers_count_both_images():
    assert right_answers(torch.tensor([[1.0, -1.0], [1.0, 1.0]])) == 0.75
