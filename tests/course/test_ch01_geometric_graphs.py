"""The toy models of notebook 01 pass and fail the tests that the notebook says they pass and fail."""

from __future__ import annotations

import math

import pytest
import torch

from eqgat.graph import radius_graph
from eqgat.symmetry import rotation_about
from eqgat.viz.backbone import COIL, HELIX, STRAND, secondary_structure
from eqgat_course.ch01_geometric_graphs.study import TOY_MODELS, euler_rotation, symmetry_errors
from eqgat_course.controls import capped_radius_graph
from eqgat_course.running_example import running_example

FAILS = {
    "A": {"rotation", "reflection", "translation"},
    "B": {"rotation", "reflection"},
    "C": {"rotation", "reflection", "permutation"},
    "D": {"permutation"},
    "E": {"reflection"},
    "F": set(),
}


@pytest.mark.parametrize("name", TOY_MODELS)
def test_each_model_fails_what_it_should_and_nothing_else(name):
    errors = symmetry_errors(TOY_MODELS[name], running_example().graph.pos)
    assert {test for test, error in errors.items() if error > 1e-9} == FAILS[name[0]]


def test_euler_rotation_is_a_rotation_and_multiplies_in_the_order_stated():
    a, b, c = torch.tensor([0.3, 1.1, -2.0], dtype=torch.float64)
    expected = (
        rotation_about((0, 0, 1), float(a)) @ rotation_about((0, 1, 0), float(b)) @ rotation_about((0, 0, 1), float(c))
    )
    assert torch.allclose(euler_rotation(a, b, c), expected, atol=1e-12)
    many = euler_rotation(*(2 * math.pi * torch.rand(3, 5, dtype=torch.float64)))
    assert torch.allclose(many @ many.mT, torch.eye(3, dtype=torch.float64).expand(5, 3, 3), atol=1e-12)
    assert torch.allclose(torch.linalg.det(many), torch.ones(5, dtype=torch.float64))


def test_capped_graph_is_a_part_of_the_radius_graph_with_at_most_cap_neighbours():
    pos = running_example().graph.pos
    kept, full = (set(map(tuple, build(pos, 6.0).T.tolist())) for build in (capped_radius_graph, radius_graph))
    assert kept < full
    assert int(capped_radius_graph(pos, 6.0)[1].bincount().max()) == 32
    assert torch.equal(capped_radius_graph(pos, 3.0)[1].bincount(), radius_graph(pos, 3.0)[1].bincount())


def test_far_along_the_chain_our_atom_sees_a_strand_a_loop_and_a_sulphur_of_the_helix():
    example = running_example()
    kind, rows = secondary_structure(example.structure), example.neighbours.numpy()
    residue = example.structure.residue_number[rows]
    seen = {
        (int(number), str(kind[example.structure.residue_index[row]]))
        for number, row in zip(residue, rows, strict=True)
    }
    assert {pair for pair in seen if abs(pair[0] - 22) > 1} == {
        (31, STRAND),
        (43, COIL),
        (45, COIL),
        (51, HELIX),
    }
    assert set(example.structure.symbol[rows[residue == 51]]) == {"S"}
