"""A neighbour moved through the cutoff: the message of Eqs. 1-6 jumps, the damped one does not."""

from __future__ import annotations

import pytest
import torch

from eqgat.radial import BesselBasis
from eqgat_course.ch02_radial_basis.study import CutoffCrossing


def test_neighbourhood_alone_gives_the_message_of_the_whole_graph():
    crossing = CutoffCrossing()
    example = crossing.example
    distance = float((example.graph.pos[crossing.moved] - example.graph.pos[example.centre]).norm())
    whole = example.model.trace(example.graph)[0]
    s, v = crossing.messages_at(distance)
    assert torch.allclose(s, whole.scalar_message[example.centre], atol=1e-12)
    assert torch.allclose(v, whole.vector_message[example.centre], atol=1e-12)


def test_messages_jump_at_the_cutoff_unless_damped():
    crossing = CutoffCrossing()
    cutoff = crossing.example.model.config.cutoff
    for messages_at, jumps in ((crossing.messages_at, True), (crossing.damped_messages_at, False)):
        for inside, outside in zip(messages_at(cutoff - 1e-7), messages_at(cutoff), strict=True):
            assert (float((inside - outside).norm() / outside.norm()) > 0.01) == jumps


def test_scaled_by_the_envelope_the_functions_overlap_with_the_next_by_half_but_stay_independent():
    d = torch.linspace(0, 4.5, 20001, dtype=torch.float64)
    values = BesselBasis(num_radial=8, cutoff=4.5)(d)
    overlap = torch.trapezoid(d.square().view(-1, 1, 1) * values.unsqueeze(2) * values.unsqueeze(1), d, dim=0)
    size = overlap.diagonal().sqrt()
    overlap = overlap / size / size.unsqueeze(1)
    assert overlap.diagonal(1).round(decimals=2).tolist() == pytest.approx([0.52, 0.49, *5 * [0.48]])
    assert torch.linalg.eigvalsh(overlap).min() > 0.01


def test_sinc_knows_its_slope_at_zero_but_not_its_second_derivative():
    zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = torch.sinc(zero)
    (slope,) = torch.autograd.grad(value, zero, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, zero)
    assert (value.item(), slope.item()) == (1, 0)
    assert curvature.isnan()
