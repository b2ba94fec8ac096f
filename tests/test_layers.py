"""A layer equals its printed equations; its parts have the properties that the text claims."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import make_graph, make_model
from literal import literal_encode, literal_forward
from torch.nn.functional import silu

from eqgat.layers import (
    Edges,
    EquivariantNorm,
    neighbour_softmax,
    sum_over_neighbours,
)

VARIANTS = [
    {},
    {"cross_product": "mixed"},
    {"cross_product": None},
    {"attention": "scalar"},
    {"vector_aggregation": "sum"},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_layer_equals_literal_equations(options):
    """States, predictions and gradients of all parameters and positions agree to 1e-12 with the unfactored sums."""
    graph, model = make_graph(), make_model(**options)
    weight = torch.randn(2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for encode, forward in [
        (model.encode, model),
        (lambda g: literal_encode(model, g), lambda g: literal_forward(model, g)),
    ]:
        model.zero_grad()
        graph.pos = graph.pos.detach().requires_grad_()
        s, v = encode(graph)
        y = forward(graph)
        (y @ weight).sum().backward()
        results.append([x.detach() for x in (s, v, y, graph.pos.grad, *(p.grad for p in model.parameters()))])
    for ours, literal in zip(*results, strict=True):
        assert (ours - literal).abs().max() <= 1e-12 * max(1.0, float(literal.abs().max()))


def test_filter_equals_concatenation():
    """The split first map of the edge MLP equals the map of the concatenation [s_i || s_j || radial] (Eq. 1)."""
    graph, model = make_graph(), make_model()
    with torch.no_grad():
        trace = model.trace(graph)[1]
        source, receiver = graph.edge_index
        concatenated = torch.cat([trace.s_in[receiver], trace.s_in[source], trace.edges.radial], dim=1)
        layer = model.layers[1]
        f = layer.filter.out(silu(layer.filter.hidden(concatenated)))
    ours = torch.cat([trace.attention_logits, trace.b_direction, trace.b_mix, trace.b_cross], dim=1)
    assert (ours - f).abs().max() < 1e-13


def test_softmax_sums_to_one_in_each_channel():
    receiver = torch.tensor([0, 0, 0, 2, 4, 4])
    logits = torch.randn(6, 3, dtype=torch.float64) * 50
    alpha = neighbour_softmax(logits, receiver, 6)
    total = sum_over_neighbours(alpha, receiver, 6)
    assert torch.allclose(total[[0, 2, 4]], torch.ones(3, 3, dtype=torch.float64))
    assert (alpha > 0).all()
    assert (alpha[3] == 1).all(), "a single neighbour has weight exactly 1"


def test_softmax_by_hand_and_without_overflow():
    """logits ln 1, ln 2, ln 5 -> 1/8, 2/8, 5/8; adding 10,000 to all changes nothing."""
    logits = torch.tensor([[1.0], [2.0], [5.0]], dtype=torch.float64).log()
    receiver = torch.zeros(3, dtype=torch.int64)
    expected = torch.tensor([[1 / 8], [2 / 8], [5 / 8]], dtype=torch.float64)
    assert torch.allclose(neighbour_softmax(logits, receiver, 1), expected)
    assert torch.allclose(neighbour_softmax(logits + 1e4, receiver, 1), expected, atol=1e-11)


def test_gradcheck_of_the_whole_model():
    """Analytic against finite-difference gradients with respect to positions, on a small graph."""
    graph, model = make_graph(7, seed=3), make_model(scalar_channels=4, vector_channels=3, num_radial=4, num_layers=2)

    def prediction(pos):
        moved = graph.clone()
        moved.pos = pos
        return model(moved)

    assert torch.autograd.gradcheck(prediction, graph.pos.requires_grad_(), eps=1e-6, atol=1e-7)


def test_gradcheck_of_the_softmax():
    receiver = torch.tensor([0, 0, 1, 1, 1])
    logits = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: neighbour_softmax(a, receiver, 3), logits)


@pytest.mark.parametrize("options", [{}, {"norm": "equivariant"}], ids=str)
def test_trace_terms_add_up_to_the_message(options):
    """The three vector terms of the trace, edge by edge, average to the recorded message (Eq. 6)."""
    graph = make_graph()
    for layer in make_model(**options).trace(graph):
        terms = layer.v_direction + layer.v_mix + layer.v_cross
        count = layer.edges.num_neighbours.clamp(min=1)
        message = sum_over_neighbours(terms, layer.edges.receiver, len(graph.z)) / count[:, None, None]
        assert (message - layer.vector_message).abs().max() < 1e-12


def test_trace_is_the_forward_pass():
    graph, model = make_graph(), make_model(fast=False)
    s, v = model.encode(graph)
    trace = model.trace(graph)
    assert len(trace) == 3
    assert torch.equal(trace[-1].s, s)
    assert torch.equal(trace[-1].v, v)
    assert torch.equal(trace[1].s_in, trace[0].s)
    assert trace[0].v_in.abs().max() == 0


def test_first_layer_has_the_direction_term_alone():
    first = make_model().trace(make_graph())[0]
    assert first.v_direction.abs().max() > 0
    assert first.v_mix.abs().max() == first.v_cross.abs().max() == 0


def test_direction_mix_and_cross_terms_by_hand():
    """One edge from j = 0 to i = 1, one channel: numbers small enough for pencil and paper."""
    model = make_model(num_layers=2, vector_channels=1)
    layer = model.layers[1]
    with torch.no_grad():
        layer.filter.out.weight.zero_()
        layer.filter.out.bias[-3:] = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)  # b_0, b_1, b_2
        layer.vector_weight.weight.fill_(-1)
        edges = Edges(
            torch.tensor([0]),
            torch.tensor([1]),
            torch.tensor([1.0], dtype=torch.float64),
            torch.tensor([[0.0, 0, 1]], dtype=torch.float64),
            torch.zeros(1, 8, dtype=torch.float64),
            torch.tensor([0.0, 1.0], dtype=torch.float64),
        )
        v = torch.tensor([[[0.0], [1], [0]], [[1.0], [0], [0]]], dtype=torch.float64)  # v_j = y, v_i = x
        record = layer(torch.zeros(2, 12, dtype=torch.float64), v, edges)
    assert record.v_direction.flatten().tolist() == [0, 0, 2]  # 2 z
    assert record.v_mix.flatten().tolist() == [0, -3, 0]  # 3 (-y)
    assert record.v_cross.flatten().tolist() == [0, 0, 5]  # 5 x × y = 5 z
    assert record.vector_message[1].flatten().tolist() == [0, -3, 7]
    assert record.vector_message[0].abs().max() == 0  # atom 0 has no neighbour


def test_equivariant_norm_by_hand():
    """Two atoms, scalars 0 and 2 -> -1 and 1; vectors of squared length 9 and 1 are divided by sqrt(5)."""
    norm = EquivariantNorm(1, epsilon=0.0).double()
    s, v = torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[[0.0], [3], [0]], [[0.0], [0], [1]]]).double()
    s, v = norm(s, v, torch.tensor([0, 0]), 1)
    assert torch.allclose(s.flatten(), torch.tensor([-1.0, 1.0]).double())
    assert v.square().sum(dim=1).mean().item() == pytest.approx(1)
    assert v[0, 1, 0].item() == pytest.approx(3 / math.sqrt(5))
