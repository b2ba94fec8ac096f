"""Planes, polar and axial parts, and how a neighbourhood changes between two shapes."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import make_model

from eqgat.datasets import embedded_structure
from eqgat.layers import Edges, LayerTrace
from eqgat.symmetry import random_rotation, transform
from eqgat_course.shapes import best_plane, handed_vectors, neighbourhood_change, out_of_plane


@pytest.fixture(scope="module")
def graph():
    return embedded_structure("5pti").graph(4.5, torch.float64)


@pytest.fixture(scope="module")
def model():
    return make_model(out_channels=1, scalar_channels=8, vector_channels=4)


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
    last = handed_vectors(model, graph)[-1]
    assert float(last[0].abs().max()) > 10 * float(last[1].abs().max()), "the direction term, polar, is the largest"


def test_first_layer_is_all_polar(graph, model):
    polar, axial = handed_vectors(model, graph)[0]
    assert float(polar.abs().max()) > 1e6 * float(axial.abs().max())


def by_hand(attention):
    """Atom 0 hears 1 and 2, atom 1 hears 0; atom 2 hears nobody."""
    source, receiver = torch.tensor([1, 2, 0]), torch.tensor([0, 0, 1])
    none = torch.zeros(3, 1)
    edges = Edges(source, receiver, none[:, 0], torch.zeros(3, 3), none, torch.tensor([2.0, 1.0, 0.0]))
    v, b = torch.zeros(3, 3, 1), torch.zeros(3, 1)
    return LayerTrace(edges, none, v, none, torch.tensor(attention)[:, None], b, b, b, v, v, none, v, none, v)


def test_change_of_a_neighbourhood_by_hand():
    """Atom 0 keeps both neighbours and moves half of its attention; atom 1 trades its one neighbour for another."""
    first, second = by_hand([0.25, 0.75, 1.0]), by_hand([0.75, 0.25, 1.0])
    second.edges = second.edges._replace(source=torch.tensor([1, 2, 2]))
    sets, attention = neighbourhood_change(first, second)
    assert sets.tolist() == [0, 1, 0]
    assert attention.tolist() == [0.5, 1, 0]
    with pytest.raises(ValueError, match="same atoms and channels"):
        neighbourhood_change(first, LayerTrace(**{**vars(first), "s": torch.zeros(4, 1)}))


def test_the_largest_component_of_a_normal_is_positive():
    flat = torch.tensor([[0.0, 0, 3], [1, 0, 3], [0, 1, 3], [4, 5, 3]], dtype=torch.float64)
    for points in (flat, -flat, flat.flip(0)):
        assert best_plane(points)[0].tolist() == pytest.approx([0, 0, 1], abs=1e-12)
