"""The Triangle data: constraints, targets by hand, statistics, splits, seeds, cache, and edges made in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torch_geometric.data import Batch

from eqgat import radius_graph
from eqgat.datasets import TriangleData, make_triangles
from eqgat.datasets.triangle import TriangleOptions, triangle_targets


@pytest.fixture(scope="module")
def clouds() -> TriangleData:
    return make_triangles(4000)


def test_points_lie_in_the_ball_and_apart(clouds: TriangleData) -> None:
    assert clouds.pos.shape == (4000, 100, 3)
    assert float(clouds.pos.norm(dim=2).max()) <= 10 + 1e-5
    closest = torch.stack([torch.pdist(cloud).min() for cloud in clouds.pos[:500]])
    assert float(closest.min()) > 2 - 1e-5
    assert float(closest.mean()) < 2.05  # not much farther apart than they must be


def test_special_points_are_three_and_different(clouds: TriangleData) -> None:
    ordered = clouds.special.sort(dim=1).values
    assert bool((ordered[:, 1:] > ordered[:, :-1]).all())
    counts = torch.bincount(clouds.special.flatten(), minlength=100)
    assert int(counts.min()) > 60  # 120 expected of each row; 5.5 standard deviations
    assert int(counts.max()) < 180
    assert all(int(clouds[i].z.sum()) == 3 for i in range(20))


def test_statistics(clouds: TriangleData) -> None:
    """Means within 4 standard errors of those of 50,000 clouds from this generator; variances within 10 %."""
    mean, variance = clouds.y.double().mean(0), clouds.y.double().var(0)
    for column, (expected, spread) in enumerate([(4.167, 2.580), (31.375, 50.50), (38.15, 466.8)]):
        assert abs(float(mean[column]) - expected) < 4 * (spread / 4000) ** 0.5
        assert abs(float(variance[column]) / spread - 1) < 0.1
    assert abs(float(variance.mean()) / 169.3 - 1) < 0.1  # predict-the-mean of an independent implementation
    radius = clouds.pos.norm(dim=2)
    # Uniform in the ball: the cube of the radius is uniform but for a slight push outwards by the exclusion.
    assert abs(float((radius / 10).pow(3).mean()) - 0.5) < 0.03
    assert float(clouds.pos.mean(dim=(0, 1)).abs().max()) < 0.05
    edges = [len(radius_graph(cloud, 10.0)[0]) for cloud in clouds.pos[:100]]
    assert abs(np.mean(edges) - 4501) < 60


def test_with_replacement_three_percent_of_the_triangles_are_flat() -> None:
    released = make_triangles(4000, replacement=True, target_order="released")
    distinct = torch.tensor([len(set(row)) for row in released.special.tolist()])
    assert abs(float((distinct < 3).double().mean()) - 0.0298) < 4 * (0.0298 * 0.97 / 4000) ** 0.5
    assert bool((released.y[distinct < 3, 1] < 1e-4).all())
    assert released.target_names == ("distance", "area", "perimeter")
    # An independent implementation of the released generator, 4,000 clouds: distance, area, perimeter.
    mean, variance = released.y.double().mean(0), released.y.double().var(0)
    for column, (expected, spread) in enumerate([(4.20, 2.64), (37.12, 485.6), (31.08, 52.1)]):
        assert abs(float(mean[column]) - expected) < 4 * (2 * spread / 4000) ** 0.5
        assert abs(float(variance[column]) / spread - 1) < 0.1
    assert abs(float(variance.mean()) / 180.1 - 1) < 0.1  # predict-the-mean


def test_targets_of_a_right_triangle() -> None:
    pos = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [0, 4, 0], [1, 0, 4]]])
    special = torch.tensor([[0, 1, 2]])
    # Centre of all (1, 1, 1), of the triangle (1, 4/3, 0); sides 3, 4, 5; area 6.
    expected = torch.tensor([[(1 / 9 + 1) ** 0.5, 12.0, 6.0]])
    torch.testing.assert_close(triangle_targets(pos, special), expected)
    torch.testing.assert_close(triangle_targets(pos, special, "released"), expected[:, [0, 2, 1]])


def test_a_seed_gives_the_same_clouds_whatever_their_number() -> None:
    few, many = make_triangles(20, num_points=30, radius=6.694), make_triangles(700, num_points=30, radius=6.694)
    assert torch.equal(few.pos, many.pos[:20])
    assert torch.equal(few.special, many.special[:20])
    other = make_triangles(20, num_points=30, radius=6.694, seed=1)
    assert not torch.isin(other.pos.flatten(), few.pos.flatten()).any()
    assert few.digest() != other.digest()


def test_splits_are_in_order_and_share_no_structure(clouds: TriangleData) -> None:
    parts = clouds.split()
    assert [len(parts[name]) for name in ("train", "val", "test")] == [3200, 400, 400]
    assert torch.equal(torch.cat([parts[name].pos for name in ("train", "val", "test")]), clouds.pos)
    seen = {name: {cloud.numpy().tobytes() for cloud in part.pos} for name, part in parts.items()}
    assert len(seen["train"] | seen["val"] | seen["test"]) == 4000


def test_a_batch_at_once_equals_graphs_collated_one_by_one(clouds: TriangleData) -> None:
    rows = [5, 0, 17]
    at_once, one_by_one = clouds.__getitems__(rows), Batch.from_data_list([clouds[i] for i in rows])
    for name in ("z", "pos", "y", "batch", "ptr"):
        assert torch.equal(at_once[name], one_by_one[name]), name
    loader = DataLoader(clouds, batch_size=64, collate_fn=lambda batch: batch)
    assert torch.equal(next(iter(loader)).y, clouds.y[:64])


def test_cache_is_used_and_mended(tmp_path: Path) -> None:
    options = {"n": 30, "num_points": 10, "radius": 5.0}
    made = make_triangles(**options, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    stamp = file.stat().st_mtime_ns
    again = make_triangles(**options, cache=tmp_path, target_order="released")
    assert torch.equal(again.pos, made.pos)
    assert torch.equal(again.y, made.y[:, [0, 2, 1]])
    assert file.stat().st_mtime_ns == stamp
    make_triangles(**options, seed=1, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2

    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (bytes(content), bytes(content[:100]), b""):
        file.write_bytes(damaged)
        with pytest.warns(UserWarning, match="made anew"):
            assert torch.equal(make_triangles(**options, cache=tmp_path).pos, made.pos)
    assert torch.equal(make_triangles(**options, cache=tmp_path).pos, made.pos)


def test_a_cache_file_with_pickled_objects_is_not_opened(tmp_path: Path) -> None:
    options = {"n": 30, "num_points": 10, "radius": 5.0}
    make_triangles(**options, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    with file.open("wb") as stream:
        np.savez(stream, key=np.array("x"), pos=np.array([{"a": 1}], dtype=object), special=np.zeros(1))
    with pytest.warns(UserWarning, match="made anew"):
        make_triangles(**options, cache=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_points": 2}, "num_points >= 3"),
        ({"radius": 0.0}, "radius > 0"),
        ({"min_distance": -1.0}, "min_distance"),
        ({"target_order": "size"}, "target_order must be one of"),
    ],
)
def test_options_without_sense(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TriangleOptions(**options)


def test_impossible_requests() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make_triangles(0)
    with pytest.raises(ValueError, match="do not fit into a ball"):
        make_triangles(1, num_points=20, radius=2.0, min_distance=2.0)
