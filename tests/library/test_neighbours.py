"""The neighbour search in its three forms: equal edge for edge, bounded in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eqgat import neighbours, radius_graph
from eqgat.datasets import embedded_names, embedded_structure, make_triangles
from eqgat.neighbours import by_candidates, by_trees


def assert_equal_edges(points: torch.Tensor, graph: torch.Tensor, cutoff: float) -> None:
    trees = torch.from_numpy(by_trees(points.numpy(), graph.numpy(), cutoff))
    for cells in (False, True):
        assert torch.equal(by_candidates(points, graph, cutoff, cells), trees)


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    spread=st.sampled_from([0.0, 0.1, 3.0, 20.0, 1e9]),
    cutoff=st.floats(0.5, 12),
    seed=st.integers(0, 10**6),
)
def test_the_three_searches_agree(sizes: list[int], spread: float, cutoff: float, seed: int) -> None:
    """Several graphs, some empty, coincident atoms, and atoms so far apart that cells cannot be numbered singly."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(sum(sizes), 3, generator=generator, dtype=torch.float64) * spread
    points[::3] /= 1e6
    assert_equal_edges(points, torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)), cutoff)


@settings(deadline=None, max_examples=20)
@given(cutoff=st.sampled_from([0.1, 0.3, 1.0, 4.5, 1 / 3]), shift=st.floats(-1e3, 1e3))
def test_the_three_searches_agree_at_the_cutoff(cutoff: float, shift: float) -> None:
    """A grid with the spacing of the cutoff: rounding decides, and must decide alike."""
    axis = torch.arange(5, dtype=torch.float64) * cutoff
    points = torch.cartesian_prod(axis, axis, axis) + shift
    assert_equal_edges(points, torch.zeros(len(points), dtype=torch.int64), cutoff)


@pytest.mark.parametrize("width", [2.0**32, 2.0**22])
def test_atoms_far_apart_are_no_neighbours_and_near_ones_are_found_once(width: float) -> None:
    """As many cells along an axis as would make the numbers of cells, or their steps, overflow: 2^32 times 2^32."""
    far = (width - 2.5) * (1 + 1e-6)  # cells are that much wider than the cutoff
    points = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [far, far, far], [far, far, far - 0.5]], dtype=torch.float64)
    assert_equal_edges(points, torch.tensor([0, 0, 0, 0]), 1.0)
    assert_equal_edges(points, torch.tensor([0, 0, 1, 1]), 1.0)


@pytest.mark.parametrize("name", embedded_names("chain")[:3])
def test_the_three_searches_agree_on_proteins(name: str) -> None:
    points = embedded_structure(name).graph(cutoff=4.5).pos.double()[:1500]
    assert_equal_edges(points, torch.zeros(len(points), dtype=torch.int64), 4.5)


def test_the_three_searches_agree_on_a_batch_of_clouds() -> None:
    batch = make_triangles(8).__getitems__(list(range(8)))
    assert_equal_edges(batch.pos.double(), batch.batch, 10.0)


def test_work_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of fewer pairs than one atom has change nothing."""
    monkeypatch.setattr(neighbours, "_BLOCK", 10)
    batch = make_triangles(2, num_points=30, radius=6.0).__getitems__([0, 1])
    assert_equal_edges(batch.pos.double(), batch.batch, 5.0)


@pytest.mark.parametrize("search", [by_trees, by_candidates], ids=lambda search: search.__name__)
def test_too_many_edges_are_refused_before_they_take_memory(search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_EDGES", 5000)
    convert = np.asarray if search is by_trees else torch.as_tensor
    graph = convert(np.repeat([0, 1], 100))
    near = np.random.default_rng(0).random((200, 3))
    with pytest.raises(ValueError, match=r"edges or more within 4\.5 Å, and at most 5,000 are made"):
        search(convert(near), graph, 4.5)
    assert search(convert(near * 10), graph, 4.5).shape[1] < 5000


def test_many_coincident_atoms_are_refused() -> None:
    with pytest.raises(ValueError, match=r"899,970,000 edges or more.*many atoms coincide"):
        radius_graph(torch.zeros(30_000, 3), 4.5)
