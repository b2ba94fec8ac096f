"""Symmetry in float64 on real structures, and negative controls: models for which the same test must fail."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import make_graph, make_model, randomised
from torch_geometric.data import Batch

from eqgat.datasets import embedded_names, embedded_structure
from eqgat.errors import UserError
from eqgat.graph import radius_graph
from eqgat.symmetry import (
    equivariance_errors,
    random_reflection,
    random_rotation,
    relative_error,
    rotation_about,
    transform,
)
from eqgat_course.controls import with_released_norm, with_vector_bias

EXACT = 1e-10  # relative; rounding in float64 gives 1e-15 to 1e-12
BROKEN = 1e-9  # relative; what counts as clearly above rounding

SMALL = {"scalar_channels": 8, "vector_channels": 4, "num_layers": 3, "num_radial": 8, "out_channels": 1}


def small_model(**options):
    """A small model with no parameter at its start: a bias on vectors that is still 0 would break no symmetry."""
    return randomised(make_model(**{**SMALL, **options}))


def real_graph(name):
    return embedded_structure(name).graph(cutoff=4.5, dtype=torch.float64)


@pytest.mark.parametrize(
    "options",
    [
        {"cross_product": "mixed"},
        {"attention": "scalar"},
        {"norm": "equivariant"},
        {"vector_aggregation": "sum"},
        {"readout": "node"},
    ],
    ids=str,
)
def test_every_option_is_equivariant(options):
    for kind, error in equivariance_errors(small_model(**options), make_graph(60), seed=2).items():
        if kind != "reflection":
            assert max(error.output, error.s, error.v) < EXACT, kind


def test_one_layer_cannot_see_the_mirror_image_and_two_can():
    graph = make_graph(60)
    assert equivariance_errors(small_model(num_layers=1), graph)["reflection"].output < EXACT
    assert equivariance_errors(small_model(num_layers=2), graph)["reflection"].output > BROKEN


@pytest.mark.parametrize("options", [{}, {"cross_product": None}], ids=str)
def test_the_released_norm_fails_the_same_test(options):
    """Negative control: dividing by the x component breaks the rotation symmetry, and the test above sees it."""
    graph = real_graph(embedded_names()[0])
    good = small_model(norm="equivariant", **options)
    assert equivariance_errors(good, graph)["rotation"].v < EXACT
    bad = with_released_norm(small_model(norm="equivariant", **options))
    error = equivariance_errors(bad, graph)["rotation"]
    assert error.output > 1e-6
    assert error.v > 1e-3


def test_the_released_norm_is_blind_to_rotations_about_x_alone():
    graph, model = make_graph(60), with_released_norm(small_model(norm="equivariant"))
    _, v = model.encode(graph)
    for axis, broken in [((1, 0, 0), False), ((0, 0, 1), True)]:
        matrix = rotation_about(axis, 1.0)
        _, v_moved = model.encode(transform(graph, matrix))
        assert (relative_error(v_moved, matrix @ v) > 1e-3) == broken


def test_a_bias_on_vectors_fails_but_for_turns_about_its_own_direction():
    graph, model = make_graph(), with_vector_bias(small_model())
    _, v = model.encode(graph)
    for axis, passes in (((0, 0, 1), False), ((1, 1, 1), True)):
        matrix = rotation_about(axis, 1.0)
        _, v_turned = model.encode(transform(graph, matrix))
        error = relative_error(v_turned.detach(), (matrix @ v).detach())
        assert (error < EXACT) if passes else (error > BROKEN)


def arrows(pos, v):
    """For each atom: length of v, arrow to the centre, cross product of both, point beyond the centre; and a 1."""
    centre = pos.mean(dim=0)
    arrow = centre - pos
    return v.norm(dim=1), arrow, torch.linalg.cross(arrow, v), 2 * centre - pos, centre.norm() ** 0


FITTING = {"length": "scalar", "arrow": "vector", "cross": "pseudovector", "mirror": "position", "one": None}
# Each wrong kind, and the transformations that give it away.
WRONG = [
    ("length", None, {"permutation"}),
    ("arrow", "scalar", {"rotation", "reflection"}),
    ("arrow", "position", {"translation"}),
    ("arrow", "pseudovector", {"reflection"}),
    ("cross", "vector", {"reflection"}),
    ("mirror", "vector", {"translation"}),
    ("mirror", None, {"rotation", "reflection", "translation", "permutation"}),
]


def failing(gives, **changed):
    generator = torch.Generator().manual_seed(0)
    pos, v = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    options = {"takes": ("position", "vector"), "gives": gives, "seed": 5, **changed}
    errors = equivariance_errors(arrows, (pos, v), **options)
    return {(name, kind) for kind, error in errors.items() for name, value in vars(error).items() if value > 1e-12}


def test_a_function_of_tensors_has_the_symmetry_of_its_kinds_and_of_no_others():
    assert failing(FITTING) == set()
    for name, wrong, kinds in WRONG:
        assert failing({**FITTING, name: wrong}) == {(name, kind) for kind in kinds}, (name, wrong)
    assert ("cross", "reflection") in failing(FITTING, takes=("position", "pseudovector"))


def test_vectors_with_channels_are_turned_channel_by_channel():
    v = torch.randn(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for mix, passes in ((lambda v: v @ weight, True), (lambda v: weight[:3, :3] @ v, False)):
        errors = equivariance_errors(mix, (v,), takes=["vector"], gives={"v": "vector"})
        assert (errors["rotation"].v < EXACT) == passes
        assert errors["permutation"].v < EXACT


def test_fields_of_a_graph_follow_their_atoms_and_graphs_stay_apart():
    """A function of edges and of a field of its own, on a batch; without a cutoff the edges are carried along."""
    graph = Batch.from_data_list([make_graph(9), make_graph(6, seed=1)])
    graph.charge = torch.arange(15).double()

    def received(data):
        source, receiver = data.edge_index
        assert (receiver.diff() >= 0).all(), "a model takes edges only if they are sorted by receiver"
        values = data.charge[source] * (data.pos[source] - data.pos[receiver]).norm(dim=1)
        return torch.zeros(15).double().index_add(0, receiver, values), data.charge.clone(), data.batch.double()

    for cutoff in (None, 4.5):
        gives = {"received": "scalar", "charge": "scalar", "batch": None}
        for kind, error in equivariance_errors(received, graph, gives=gives, cutoff=cutoff).items():
            assert max(vars(error).values()) < EXACT, kind


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"takes": ("position",), "gives": FITTING}, "2 inputs, but 1 kinds"),
        ({"takes": ("position", "vector"), "gives": {"length": "scalar"}}, "5 outputs, but 1 kinds"),
        ({"takes": ("position", "arrow"), "gives": FITTING}, "kind must be one of 'scalar'.*got 'arrow'"),
        ({"takes": ("position", "vector"), "gives": {**FITTING, "length": "vector"}}, r"vector .* shape \[7, 3\]"),
        ({"takes": ("position", "vector"), "gives": {**FITTING, "one": "scalar"}}, r"scalar .* shape \[7\]"),
        ({"takes": ("position", "vector")}, "say what the function returns"),
    ],
    ids=str,
)
def test_kinds_that_do_not_fit_are_named(options, message):
    with pytest.raises(UserError, match=message):
        equivariance_errors(arrows, tuple(torch.randn(2, 7, 3)), **options)


def test_released_norm_needs_a_norm_to_replace():
    with pytest.raises(ValueError, match="has no norm"):
        with_released_norm(make_model())


def test_random_rotations_are_rotations_and_uniform():
    """Haar measure: the mean matrix vanishes and the angle θ has density (1 - cos θ)/π, mean π/2 + 2/π."""
    matrices = torch.stack([random_rotation(seed) for seed in range(4000)])
    assert (matrices @ matrices.mT - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-12
    assert (torch.linalg.det(matrices) - 1).abs().max() < 1e-12
    assert matrices.mean(dim=0).abs().max() < 5 * math.sqrt(1 / 3 / 4000)
    cosine = (matrices.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    angle = torch.acos(cosine.clamp(-1, 1))
    assert angle.mean().item() == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.04)


def test_random_reflections_turn_the_handedness():
    for seed in range(20):
        assert torch.linalg.det(random_reflection(seed)).item() == pytest.approx(-1)


def test_rotation_about_an_axis_by_hand():
    """A quarter turn about z takes x to y; the axis need not have unit length."""
    matrix = rotation_about((0, 0, 2), math.pi / 2)
    assert torch.allclose(matrix @ torch.tensor([1.0, 0, 0]).double(), torch.tensor([0.0, 1, 0]).double(), atol=1e-15)
    with pytest.raises(ValueError, match="axis"):
        rotation_about((0, 0, 0), 1.0)


def test_rotations_by_other_angles_by_hand():
    """A third of a turn about (1, 1, 1) takes x to y, y to z, z to x; half a turn about (1, 1, 0) swaps x and y.

    A sixth of a turn about z, whose sine is not that of its cosine, takes x to (1/2, √3/2, 0).
    """
    for axis, angle, images in [
        ((1, 1, 1), 2 * math.pi / 3, [[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
        ((1, 1, 0), math.pi, [[0, 1, 0], [1, 0, 0], [0, 0, -1]]),
        ((0, 0, 1), math.pi / 3, [[1 / 2, math.sqrt(3) / 2, 0], [-math.sqrt(3) / 2, 1 / 2, 0], [0, 0, 1]]),
    ]:
        expected = torch.tensor(images, dtype=torch.float64).T  # the images of x, y and z are the columns
        assert (rotation_about(axis, angle) - expected).abs().max() < 1e-15


def test_relative_error_by_hand():
    """Relative to the largest number that is expected; with nothing to compare, or nothing but zeros, still a number."""
    assert relative_error(torch.tensor([1.0, -3.5]), torch.tensor([1.0, -4.0])) == 1 / 8
    assert relative_error(torch.tensor([0.0, -0.25]), torch.zeros(2)) == 1 / 4
    assert relative_error(torch.empty(0, 3), torch.empty(0, 3)) == 0


def test_transform_keeps_the_original_and_the_edges():
    graph = make_graph()
    before = graph.pos.clone()
    moved = transform(graph, random_rotation(0), torch.ones(3))
    assert torch.equal(graph.pos, before)
    assert torch.allclose(moved.pos, before @ random_rotation(0).T + 1)
    assert torch.equal(radius_graph(moved.pos, 4.5), graph.edge_index)


# --- every embedded structure: slow, and therefore last ---------------------------------------------------------


@pytest.mark.parametrize("name", embedded_names())
def test_model_is_equivariant_on_every_embedded_structure(name):
    """Output, s and v under rotation, translation and permutation; the mirror image gives another output."""
    errors = equivariance_errors(small_model(), real_graph(name), seed=1)
    for kind in ("rotation", "translation", "permutation"):
        assert errors[kind].output < EXACT, kind
        assert errors[kind].s < EXACT, kind
        assert errors[kind].v < EXACT, kind
    assert errors["reflection"].output > max(BROKEN, 1000 * errors["rotation"].output)
    assert errors["reflection"].s > BROKEN
    assert errors["reflection"].v > BROKEN


@pytest.mark.parametrize("name", embedded_names())
def test_without_cross_product_reflections_are_a_symmetry_too(name):
    model = small_model(num_layers=2, cross_product=None)
    error = equivariance_errors(model, real_graph(name), seed=1, kinds=["reflection"])["reflection"]
    assert max(error.output, error.s, error.v) < EXACT
