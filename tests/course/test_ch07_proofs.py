"""The appendix of notebook 07: the cross product under any matrix."""

from __future__ import annotations

import pytest
import torch

from eqgat.datasets import embedded_names, embedded_structure
from eqgat.symmetry import random_reflection, random_rotation, relative_error
from eqgat_course.ch07_proofs.study import coordinate_update

GENERAL = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("m", [GENERAL, torch.diag(torch.tensor([1.0, 2.0, 0.0]).double()), random_reflection(1)])
def test_the_cofactor_rule_holds_for_every_matrix(m):
    a, b = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cofactor = torch.stack([torch.linalg.cross(m[k], m[n]) for k, n in ((1, 2), (2, 0), (0, 1))])
    torch.testing.assert_close(torch.linalg.cross(m @ a, m @ b), cofactor @ torch.linalg.cross(a, b))


def parts(a, b):
    """Trace part, antisymmetric part, traceless symmetric part of a b^T."""
    table = torch.outer(a, b)
    trace = table.trace() / 3 * torch.eye(3, dtype=table.dtype)
    return trace, (table - table.T) / 2, (table + table.T) / 2 - trace


def test_the_three_parts_of_the_products_of_two_vectors_turn_each_within_itself():
    a, b = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    turn = random_rotation(1)
    for part, turned in zip(parts(a, b), parts(turn @ a, turn @ b), strict=True):
        torch.testing.assert_close(turned, turn @ part @ turn.T)
    antisymmetric = 2 * parts(a, b)[1]
    entries = torch.stack([antisymmetric[1, 2], antisymmetric[2, 0], antisymmetric[0, 1]])
    torch.testing.assert_close(entries, torch.linalg.cross(a, b))


def test_coordinate_update_is_equivariant_under_rotation_and_translation():
    """p_i + sum_j p_ji,n s_ji turns and shifts with the input, and moves the atoms at all."""
    graph = embedded_structure(embedded_names()[0]).graph(cutoff=4.5, dtype=torch.float64)
    weight = torch.randn(graph.edge_index.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix, shift = random_rotation(3), torch.tensor([10.0, -20.0, 30.0], dtype=torch.float64)
    moved = coordinate_update(graph.pos, graph.edge_index, weight)
    moved_later = coordinate_update(graph.pos @ matrix.T + shift, graph.edge_index, weight)
    assert (moved - graph.pos).abs().max() > 0.1
    assert relative_error(moved_later, moved @ matrix.T + shift) < 1e-10  # rounding in float64 gives 1e-15 to 1e-12
