"""Neighbour lists and edge geometry: equal to brute force, strict at the cutoff, defined where atoms coincide."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eqgat import radius_graph
from eqgat.datasets import embedded_names, embedded_structure
from eqgat.graph import edge_geometry


def brute_force(pos, cutoff, batch=None):
    """Every pair compared, in float64; sources and receivers sorted by (receiver, source)."""
    pos = pos.double()
    distance = (pos[:, None] - pos[None]).square().sum(-1).sqrt()
    near = (distance < cutoff) & ~torch.eye(len(pos), dtype=torch.bool)
    if batch is not None:
        near &= batch[:, None] == batch[None]
    receiver, source = near.nonzero().T
    return torch.stack([source, receiver])


@settings(deadline=None, max_examples=40)
@given(n=st.integers(0, 60), spread=st.floats(0.1, 20), cutoff=st.floats(0.5, 12), seed=st.integers(0, 10**6))
def test_radius_graph_equals_brute_force(n, spread, cutoff, seed):
    pos = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread
    assert torch.equal(radius_graph(pos, cutoff), brute_force(pos, cutoff))


@pytest.mark.parametrize("name", embedded_names())
def test_radius_graph_equals_brute_force_on_real_structures(name):
    pos = embedded_structure(name).graph(cutoff=4.5).pos
    if len(pos) > 2500:
        pos = pos[:2500]  # the brute-force table of all pairs would not fit a small machine
    assert torch.equal(radius_graph(pos, 4.5), brute_force(pos, 4.5))


def test_batched_graph_is_the_graphs_side_by_side():
    generator = torch.Generator().manual_seed(0)
    batch = torch.tensor([0] * 7 + [2] * 1 + [3] * 9)  # graph 1 is empty
    pos = torch.randn(17, 3, generator=generator)
    assert torch.equal(radius_graph(pos, 2.0, batch), brute_force(pos, 2.0, batch))


def test_no_neighbour_is_dropped_in_a_dense_cloud():
    pos = torch.rand(80, 3, generator=torch.Generator().manual_seed(0))  # all within 1.8 Å of each other
    assert radius_graph(pos, 4.5).shape[1] == 80 * 79


def test_distance_exactly_at_the_cutoff_is_outside():
    pos = torch.tensor([[0.0, 0, 0], [4.5, 0, 0], [0, 4.4999, 0]])
    assert radius_graph(pos, 4.5).tolist() == [[2, 0], [0, 2]]


@pytest.mark.parametrize("apart", [0.0, 1e-42, 1e-30, 1e-20])
def test_coincident_atoms_are_neighbours_without_direction_and_with_finite_gradients(apart):
    """Also those whose distance float32 can hold, but not its square."""
    pos = torch.tensor([[0.0, 0, 0], [apart, 0, 0], [1, 0, 0]], requires_grad=True)
    edges = radius_graph(pos, 4.5)
    assert edges.shape[1] == 6
    distance, direction = edge_geometry(pos, edges)
    same = edges[0] + edges[1] == 1
    assert distance[same].tolist() == [0, 0]
    assert direction[same].abs().max() == 0
    (distance.sum() + direction.square().sum()).backward()
    assert torch.isfinite(pos.grad).all()


def test_atoms_coincide_up_to_1e_10_angstrom_and_no_farther():
    """Along (3, 4, 0) / 5: at 1e-9 Å there is a direction, at 1e-11 Å there is none and the distance is 0."""
    unit = torch.tensor([0.6, 0.8, 0], dtype=torch.float64)
    for length, factor in ((1e-9, 1.0), (1e-11, 0.0)):
        pos = torch.stack([torch.zeros_like(unit), length * unit])
        distance, direction = edge_geometry(pos, torch.tensor([[0], [1]]))
        assert distance.item() == pytest.approx(factor * length, rel=1e-12, abs=0)
        torch.testing.assert_close(direction[0], factor * unit, rtol=0, atol=1e-12)


def test_first_and_second_derivatives_equal_finite_differences_away_from_zero():
    pos = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    edges = radius_graph(pos, 4.5)
    assert torch.autograd.gradcheck(edge_geometry, (pos, edges))
    assert torch.autograd.gradgradcheck(edge_geometry, (pos, edges))


def test_second_derivatives_are_finite_where_atoms_coincide():
    pos = torch.tensor([[1.0, 2, 3], [1, 2, 3], [2, 2, 3]], dtype=torch.float64, requires_grad=True)
    distance, direction = edge_geometry(pos, radius_graph(pos, 4.5))
    (first,) = torch.autograd.grad(
        (distance**3).sum() + (direction * distance[:, None] ** 2).sum(), pos, create_graph=True
    )
    first.square().sum().backward()
    assert torch.isfinite(first).all()
    assert torch.isfinite(pos.grad).all()


def test_an_edge_between_coincident_atoms_has_zero_derivatives():
    pos = torch.tensor([[1.0, 2, 3], [1, 2, 3]], requires_grad=True)
    for result in edge_geometry(pos, torch.tensor([[0, 1], [1, 0]])):
        (gradient,) = torch.autograd.grad(result.sum(), pos, create_graph=True)
        assert gradient.abs().max() == 0


def test_direction_points_from_the_neighbour_to_the_central_atom():
    """p_ji,n = (p_i - p_j) / d_ji (Section 3): j at the origin, i at (0, 3, 4)."""
    distance, direction = edge_geometry(torch.tensor([[0.0, 0, 0], [0, 3, 4]]), torch.tensor([[0], [1]]))
    assert distance.tolist() == [5.0]
    assert torch.allclose(direction, torch.tensor([[0.0, 0.6, 0.8]]))


@pytest.mark.parametrize(
    ("pos", "message"),
    [
        (torch.zeros(3), r"shape \[N, 3\]"),
        (torch.full((2, 3), 1e30), "from the origin"),
        (torch.zeros(3, 2), r"shape \[N, 3\]"),
        (torch.zeros(3, 3, dtype=torch.int64), "floating"),
        (torch.tensor([[0.0, 0, 0], [float("nan"), 0, 0]]), "NaN or infinite coordinates at 1 atom.*row 1"),
        (torch.tensor([[0.0, 0, float("inf")]]), "NaN or infinite"),
    ],
)
def test_bad_positions_are_refused(pos, message):
    with pytest.raises(ValueError, match=message):
        radius_graph(pos, 4.5)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan"), float("inf"), None, "4.5", torch.tensor(4.5)])
def test_bad_cutoff_is_refused(cutoff):
    with pytest.raises(ValueError, match="cutoff must be a positive length"):
        radius_graph(torch.zeros(2, 3), cutoff)


def test_more_edges_than_fit_in_memory_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr("eqgat.neighbours.MOST_EDGES", 10_000)
    pos = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)) * 40
    assert radius_graph(pos, 4.5).shape[1] < 30_000
    pos[500:800] = 0  # one crowd among many atoms
    with pytest.raises(ValueError, match="many atoms coincide"):
        radius_graph(pos, 4.5)


def test_graphs_far_apart_or_in_the_same_place_are_never_joined():
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, 0], [1e12, 0, 0], [1e12, 1, 0]], dtype=torch.float64)
    edges = radius_graph(pos, 4.5, torch.tensor([0, 0, 1, 2, 2]))
    assert edges.tolist() == [[1, 0, 4, 3], [0, 1, 3, 4]]


def test_bad_batch_is_refused():
    with pytest.raises(ValueError, match="ascending"):
        radius_graph(torch.zeros(2, 3), 4.5, torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="shape"):
        radius_graph(torch.zeros(2, 3), 4.5, torch.tensor([0]))
