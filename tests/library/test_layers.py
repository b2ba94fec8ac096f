"""A layer equals its printed equations; its parts have the properties that the text claims."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import make_graph, make_model, randomised
from torch import nn
from torch.nn.functional import silu
from torch_geometric.data import Batch

from eqgat.layers import (
    Edges,
    EquivariantNorm,
    InvariantReadout,
    mean_over_graph,
    neighbour_softmax,
    sum_over_neighbours,
)
from eqgat.symmetry import random_rotation
from eqgat_course.literal import literal_layer, literal_norm

VARIANTS = [
    {},
    {"cross_product": "mixed"},
    {"cross_product": None},
    {"attention": "scalar"},
    {"vector_aggregation": "sum"},
]
EXACT = 1e-13  # relative; float64 rounds to 1e-16


def random_states(graph, seed=2):
    generator = torch.Generator().manual_seed(seed)
    s = torch.randn(len(graph.z), 12, generator=generator, dtype=torch.float64)
    return s, torch.randn(len(graph.z), 3, 5, generator=generator, dtype=torch.float64)


def to_float32(x):
    """What float32 keeps of the numbers: a comparison that asks for more must fail with it."""
    return x.float().double()


def relative(ours, literal):
    return float((ours - literal).abs().max() / literal.abs().max())


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_layer_equals_literal_equations(options, number):
    """One layer on random states, with no parameter at its start, against the unfactored sums.

    States rounded to float32 fail the same comparison.
    """
    graph, model = make_graph(), randomised(make_model(**options))
    s, v = random_states(graph)
    v = v * number  # the first layer gets v = 0
    layer, edges = model.layers[number], model.trace(graph)[number].edges
    with torch.no_grad():
        literal = literal_layer(layer, s, v, edges.source, edges.receiver, edges.radial, edges.direction)
        record = layer(s, v, edges)
        rounded = layer(to_float32(s), to_float32(v), edges)
    assert relative(record.s, literal[0]) < EXACT < relative(rounded.s, literal[0])
    assert relative(record.v, literal[1]) < EXACT < relative(rounded.v, literal[1])


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_layer_turns_with_its_vectors(options):
    """Vectors and directions turned, no parameter at its start: v turns, s stays. With a bias on vectors it fails."""
    graph, model = make_graph(), randomised(make_model(**options))
    layer, edges = model.layers[1], model.trace(graph)[1].edges
    (s, v), turn = random_states(graph), random_rotation(1)
    turned = edges._replace(direction=edges.direction @ turn.T)

    def errors():
        with torch.no_grad():
            before, after = layer(s, v, edges), layer(s, turn @ v, turned)
        return relative(after.s, before.s), relative(after.v, turn @ before.v)

    assert max(errors()) < EXACT
    layer.update.vector_in.bias = nn.Parameter(torch.full((10,), 1e-3, dtype=torch.float64))
    assert min(errors()) > 1e6 * EXACT


def test_scalar_message_by_hand():
    """W_s = 2 with bias 3, equal weights: from 1 and 5 comes (5 + 13) / 2 = 9, from 4 alone 11, from nobody 0."""
    layer = make_model(num_layers=1, scalar_channels=1).layers[0]
    none = torch.zeros(3, 8, dtype=torch.float64)
    source, receiver = torch.tensor([1, 2, 0]), torch.tensor([0, 0, 1])
    edges = Edges(source, receiver, none[:, 0], none[:, :3], none, torch.tensor([2.0, 1, 0]).double())
    with torch.no_grad():
        layer.filter.out.weight.zero_()
        layer.scalar_weight.weight.fill_(2)
        layer.scalar_weight.bias.fill_(3)
        record = layer(torch.tensor([[4.0], [1], [5]]).double(), torch.zeros(3, 3, 5).double(), edges)
    assert record.scalar_message.flatten().tolist() == [9, 11, 0]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_layer_under_autocast(options):
    """Products in bfloat16, states and mixed vectors in float32; the trace can be read; the answer is coarse, but right."""
    graph, model = make_graph(), randomised(make_model(**options)).float()
    graph.pos = graph.pos.float()
    expected = model.trace(graph)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.trace(graph)
        for ours, exact in zip(found, expected, strict=True):
            for name in ("s", "v", "v_mixed", "v_cross"):
                value, wanted = getattr(ours, name), getattr(exact, name)
                assert value.dtype == torch.float32, name
                assert (value - wanted).abs().max() <= 0.05 * wanted.abs().max(), name
    assert relative(found[-1].s, expected[-1].s) > 1e-5, "nothing was computed in bfloat16"


def test_norm_equals_its_literal_form_in_each_graph_of_a_batch():
    graph = Batch.from_data_list([make_graph(), make_graph(14, seed=5), make_graph(1)])
    norm = randomised(EquivariantNorm(12).double())
    s, v = random_states(graph)
    with torch.no_grad():
        for ours, literal in zip(norm(s, v, graph.batch, 3), literal_norm(norm, s, v, graph.batch), strict=True):
            assert relative(ours, literal) < EXACT
        one_graph = norm(s, v, torch.zeros_like(graph.batch), 1)
    assert relative(one_graph[0], s) > 1e-3


def test_readout_by_hand():
    """One channel: W = (2, 3), bias 1, V = 2; s = 5 and v = (3, 0, 4) -> 2 * 5 + 3 * |2 v| + 1 = 41."""
    readout = InvariantReadout(1, 1).double()
    with torch.no_grad():
        readout.vector.weight.fill_(2)
        readout.out.weight.copy_(torch.tensor([[2.0, 3.0]]))
        readout.out.bias.fill_(1)
        x = readout(torch.tensor([[5.0]]).double(), torch.tensor([[[3.0], [0], [4]]]).double())
    assert x.item() == pytest.approx(41, abs=1e-6)


def test_mean_over_graph_of_empty_and_full_graphs():
    mean = mean_over_graph(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([1, 1, 3]), 5)
    assert mean.flatten().tolist() == [0, 2, 0, 5, 0]


def test_filter_equals_concatenation():
    """The split first map of the edge MLP equals the map of the concatenation [s_i || s_j || radial] (Eq. 1).

    A concatenation rounded to float32 fails the same comparison.
    """
    graph, model = make_graph(), randomised(make_model())
    with torch.no_grad():
        trace = model.trace(graph)[1]
        source, receiver = graph.edge_index
        concatenated = torch.cat([trace.s_in[receiver], trace.s_in[source], trace.edges.radial], dim=1)
        layer = model.layers[1]
        f, rounded = (layer.filter.out(silu(layer.filter.hidden(x))) for x in (concatenated, to_float32(concatenated)))
    ours = torch.cat([trace.attention_logits, trace.b_direction, trace.b_mix, trace.b_cross], dim=1)
    assert (ours - f).abs().max() < 1e-13 < (ours - rounded).abs().max()


@pytest.mark.parametrize(("kind", "channels"), [("feature", 12), ("scalar", 1)])
def test_attention_has_a_coefficient_a_channel_or_one_an_edge(kind, channels):
    """Appendix C: the ablation learns one number an edge, and not the same number in each channel."""
    graph, model = make_graph(), make_model(attention=kind)
    assert model.layers[1].filter.sizes == [channels, 5, 5, 5]
    for layer in model.trace(graph):
        assert layer.attention.shape == (graph.num_edges, channels)


def test_softmax_sums_to_one_in_each_channel():
    receiver = torch.tensor([0, 0, 0, 2, 4, 4])
    logits = torch.randn(6, 3, dtype=torch.float64) * 50
    alpha = neighbour_softmax(logits, receiver, 6)
    total = sum_over_neighbours(alpha, receiver, 6)
    assert torch.allclose(total[[0, 2, 4]], torch.ones(3, 3, dtype=torch.float64))
    assert (alpha > 0).all()
    assert (alpha[3] == 1).all(), "a single neighbour has weight exactly 1"


def test_softmax_by_hand_and_without_overflow():
    """logits ln 1, ln 2, ln 5 -> 1/8, 2/8, 5/8; adding 10,000 to all changes nothing, but where float32 holds them."""
    logits = torch.tensor([[1.0], [2.0], [5.0]], dtype=torch.float64).log()
    receiver = torch.zeros(3, dtype=torch.int64)
    expected = torch.tensor([[1 / 8], [2 / 8], [5 / 8]], dtype=torch.float64)
    assert relative(neighbour_softmax(logits, receiver, 1), expected) < 1e-15
    large = logits + 1e4  # float64 holds it to 1e-12, float32 to 5e-4
    assert relative(neighbour_softmax(large, receiver, 1), expected) < 1e-11
    for rounded in (to_float32(logits), to_float32(large)):
        assert relative(neighbour_softmax(rounded, receiver, 1), expected) > 1e-9


def small_prediction(options):
    """A small graph, and the prediction of a small model as a function of its positions."""
    graph = make_graph(6, seed=3)
    model = randomised(make_model(scalar_channels=4, vector_channels=2, num_radial=3, num_layers=2, **options))

    def prediction(pos):
        moved = graph.clone()
        moved.pos = pos
        return model(moved)

    return graph.pos.requires_grad_(), prediction


@pytest.mark.parametrize("options", [{}, {"cross_product": "mixed", "norm": "equivariant"}], ids=str)
def test_first_and_second_derivatives_equal_finite_differences(options):
    """With respect to positions, as forces and their training need them."""
    pos, prediction = small_prediction(options)
    assert torch.autograd.gradcheck(prediction, pos, eps=1e-6, atol=1e-7)
    assert torch.autograd.gradgradcheck(prediction, pos, eps=1e-6, atol=1e-6)


def test_gradcheck_of_the_softmax():
    receiver = torch.tensor([0, 0, 1, 1, 1])
    logits = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: neighbour_softmax(a, receiver, 3), logits)


@pytest.mark.parametrize("options", [{}, {"norm": "equivariant"}], ids=str)
def test_trace_terms_add_up_to_the_message(options):
    """The three vector terms of the trace, edge by edge, average to the recorded message (Eq. 6).

    Terms rounded to float32 do not, to the same 1e-12.
    """
    graph = make_graph()
    for layer in make_model(**options).trace(graph):
        terms = layer.v_direction + layer.v_mix + layer.v_cross
        count = layer.edges.num_neighbours.clamp(min=1)
        message, rounded = (
            sum_over_neighbours(x, layer.edges.receiver, len(graph.z)) / count[:, None, None]
            for x in (terms, to_float32(terms))
        )
        error, coarse = ((x - layer.vector_message).abs().max() for x in (message, rounded))
        assert error < 1e-12 < coarse


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


def test_the_norm_adds_a_millionth_to_a_mean_square():
    """Scalars of ±1/1000 and vectors as long: a mean square of 1e-6, so that 1/1000 over sqrt(2e-6) is left, 1/sqrt(2)."""
    s, v = torch.tensor([[1e-3], [-1e-3]]).double(), torch.tensor([[[1e-3], [0], [0]], [[0], [0], [-1e-3]]]).double()
    with torch.no_grad():
        s, v = EquivariantNorm(1).double()(s, v, torch.tensor([0, 0]), 1)
    root = 1 / math.sqrt(2)
    assert s.flatten().tolist() == pytest.approx([root, -root], rel=1e-6)
    assert v.flatten().tolist() == pytest.approx([root, 0, 0, 0, 0, -root], rel=1e-6)


def test_equivariant_norm_by_hand():
    """Two atoms, scalars 0 and 2 -> -1 and 1, times 2 plus 10; vectors of squared length 9 and 1: over sqrt(5)."""
    norm = EquivariantNorm(1, epsilon=0.0).double()
    assert [norm.weight.item(), norm.bias.item()] == [1, 0]
    with torch.no_grad():
        norm.weight.fill_(2)
        norm.bias.fill_(10)
    s, v = torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[[0.0], [3], [0]], [[0.0], [0], [1]]]).double()
    s, v = norm(s, v, torch.tensor([0, 0]), 1)
    assert torch.allclose(s.flatten(), torch.tensor([8.0, 12.0]).double())
    assert v.square().sum(dim=1).mean().item() == pytest.approx(1)
    assert v[0, 1, 0].item() == pytest.approx(3 / math.sqrt(5))
