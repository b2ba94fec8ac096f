"""A neighbour moved through the cutoff: the message of Eqs. 1-6 jumps, the damped one does not."""

from __future__ import annotations

import torch

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
