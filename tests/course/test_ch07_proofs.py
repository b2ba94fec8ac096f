"""The appendix of notebook 07: the cross product under any matrix."""

from __future__ import annotations

import pytest
import torch

from eqgat.symmetry import random_reflection

GENERAL = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("m", [GENERAL, torch.diag(torch.tensor([1.0, 2.0, 0.0]).double()), random_reflection(1)])
def test_the_cofactor_rule_holds_for_every_matrix(m):
    a, b = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cofactor = torch.stack([torch.linalg.cross(m[k], m[n]) for k, n in ((1, 2), (2, 0), (0, 1))])
    torch.testing.assert_close(torch.linalg.cross(m @ a, m @ b), cofactor @ torch.linalg.cross(a, b))
