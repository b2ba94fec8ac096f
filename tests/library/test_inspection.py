"""Reading a trace: attention received, effective neighbours, planes, polar and axial parts."""

from __future__ import annotations

import math

import pytest
import torch

from eqgat import EQGAT
from eqgat.datasets import embedded_structure
from eqgat.inspection import (
    attention_received,
    best_plane,
    effective_neighbours,
    equal_share,
    handed_vectors,
    out_of_plane,
)
from eqgat.symmetry import random_rotation, transform


@pytest.fixture(scope="module")
def graph():
    return embedded_structure("5pti").graph(4.5, torch.float64)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return EQGAT(
        num_elements=9, out_channels=1, scalar_channels=8, vector_channels=4, num_layers=3, num_radial=8
    ).double()


def test_attention_received_sums_to_the_number_of_atoms_and_is_the_share_where_all_weights_are_equal(graph, model):
    record = model.trace(graph)[1]
    assert float(attention_received(record).sum()) == pytest.approx(len(graph.z))
    record.attention = (1 / record.edges.num_neighbours)[record.edges.receiver].unsqueeze(1).expand(-1, 8)
    torch.testing.assert_close(attention_received(record, [2, 3]), equal_share(record))
    torch.testing.assert_close(effective_neighbours(record), torch.ones(len(graph.z), 8, dtype=torch.float64))


def test_an_atom_alone_has_no_number_of_effective_neighbours(model):
    far = embedded_structure("5pti").graph(4.5, torch.float64)
    far.pos = torch.cat([far.pos, far.pos[:1] + 500])
    far.z = torch.cat([far.z, far.z[:1]])
    record = model.trace(far)[0]
    assert effective_neighbours(record)[-1].isnan().all()
    assert float(attention_received(record)[-1]) == 0


def test_plane_and_upright_share_turn_along():
    flat = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat[:, 2] = 0
    turn = random_rotation(4)
    normal, distance = best_plane(flat @ turn.T + 7)
    assert distance < 1e-12
    vectors = torch.tensor([[0.0, 0, 2], [1, 1, 0], [0, 1, 1], [0, 0, 0]], dtype=torch.float64) @ turn.T
    share = out_of_plane(vectors, normal)
    assert share[:3].tolist() == pytest.approx([1, 0, math.sqrt(0.5)], abs=1e-12)
    assert share[3].isnan()
    with pytest.raises(ValueError, match="three points"):
        best_plane(flat[:2])


def test_polar_and_axial_parts_add_up_and_turn_along(graph, model):
    trace, turn = model.trace(graph), random_rotation(5)
    turned = handed_vectors(model, transform(graph, turn))
    for layer, ((polar, axial), record) in enumerate(zip(handed_vectors(model, graph), trace, strict=True)):
        torch.testing.assert_close(polar + axial, record.v, rtol=0, atol=1e-14)
        torch.testing.assert_close(turned[layer][0], turn @ polar, rtol=0, atol=1e-12)
        torch.testing.assert_close(turned[layer][1], turn @ axial, rtol=0, atol=1e-12)
        assert (float(axial.abs().max()) > 1e-9) == (layer > 0)
