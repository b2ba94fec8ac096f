"""Reading a trace: attention received, effective neighbours, mean terms."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import make_model

from eqgat.datasets import embedded_structure
from eqgat.inspection import (
    attention_received,
    effective_neighbours,
    equal_share,
    heads,
    mean_terms,
    over_channels,
    residue_preference,
    uniform_attention,
    with_controls,
)
from eqgat.layers import Edges, LayerTrace


@pytest.fixture(scope="module")
def graph():
    return embedded_structure("5pti").graph(4.5, torch.float64)


@pytest.fixture(scope="module")
def model():
    return make_model(out_channels=1, scalar_channels=8, vector_channels=4)


def test_attention_received_sums_to_the_number_of_atoms_and_is_the_share_where_all_weights_are_equal(graph, model):
    record = model.trace(graph)[1]
    assert float(attention_received(record).sum()) == pytest.approx(len(graph.z))
    record.attention = (1 / record.edges.num_neighbours)[record.edges.receiver].unsqueeze(1).expand(-1, 8)
    torch.testing.assert_close(attention_received(record, [2, 3]), equal_share(record))
    torch.testing.assert_close(effective_neighbours(record), torch.ones(len(graph.z), 8, dtype=torch.float64))


def test_an_atom_alone_has_no_number_of_effective_neighbours(model):
    far = embedded_structure("5pti").graph(4.5, torch.float64)
    far.pos = torch.cat([far.pos, far.pos[:1] + 500])
    far.z = torch.cat([far.z, far.z[:1]])
    record = model.trace(far)[0]
    assert effective_neighbours(record)[-1].isnan().all()
    assert float(attention_received(record)[-1]) == 0


def test_heads_are_groups_of_neighbouring_channels():
    assert heads(7, 3) == [[0, 1, 2], [3, 4], [5, 6]]
    assert heads(4, 4) == [[0], [1], [2], [3]]
    for wrong in (0, 5):
        with pytest.raises(ValueError, match="can be cut into 1 to 4 heads"):
            heads(4, wrong)


def test_channels_are_averaged_and_those_that_do_not_exist_refused():
    attention = torch.tensor([[0.2, 0.4, 0.9]])
    assert over_channels(attention).item() == pytest.approx(0.5)
    assert over_channels(attention, 1).item() == pytest.approx(0.4)
    assert over_channels(attention, [0, 2]).item() == pytest.approx(0.55)
    for wrong in (3, -1, [], [0, -1]):
        with pytest.raises(ValueError, match="channels must be among 0 to 2"):
            over_channels(attention, wrong)


def by_hand(attention):
    """Atom 0 hears 1 and 2, atom 1 hears 0; atom 2 hears nobody."""
    source, receiver = torch.tensor([1, 2, 0]), torch.tensor([0, 0, 1])
    none = torch.zeros(3, 1)
    edges = Edges(source, receiver, none[:, 0], torch.zeros(3, 3), none, torch.tensor([2.0, 1.0, 0.0]))
    v, b = torch.zeros(3, 3, 1), torch.zeros(3, 1)
    return LayerTrace(edges, none, v, none, torch.tensor(attention)[:, None], b, b, b, v, v, none, v, none, v)


def test_attention_and_shares_by_hand():
    record = by_hand([0.25, 0.75, 1.0])
    assert attention_received(record).tolist() == [1, 0.25, 0.75]
    assert equal_share(record).tolist() == [1, 0.5, 0.5]
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    share = effective_neighbours(record).flatten()
    assert share[:2].tolist() == pytest.approx([math.exp(entropy) / 2, 1])
    assert share[2].isnan()


def test_preference_of_residues_by_hand():
    """Received 1, 1/4 and 3/4, equal shares 1, 1/2 and 1/2: log2 of 1, of 1/2 and of 3/2, and of 5/4 over 3/2."""
    record = by_hand([0.25, 0.75, 1.0])
    assert residue_preference(record, torch.tensor([0, 1, 2])).tolist() == [0, -1, math.log2(3 / 2)]
    assert residue_preference(record, torch.tensor([1, 1, 0])).tolist() == pytest.approx(
        [math.log2(3 / 2), math.log2(5 / 6)]
    )


def test_uniform_attention_by_hand():
    """Atom 0 has two neighbours and gives each a half; atom 1 has one; the record that was given stays."""
    record = by_hand([0.25, 0.75, 1.0])
    assert uniform_attention(record).attention.flatten().tolist() == [0.5, 0.5, 1]
    assert record.attention.flatten().tolist() == [0.25, 0.75, 1]


def test_each_control_is_the_measure_of_its_own_records():
    """What atom 2 receives in two layers: 3/4 and 1/4 trained, 5/8 and 7/8 untrained, 1/2 if all weights are equal."""
    trained, untrained = ([by_hand([1 - x, x, 1.0]) for x in pair] for pair in ((0.75, 0.25), (0.625, 0.875)))

    def measure(first, second):
        return [float(attention_received(record)[2]) for record in (first, second)]

    found = with_controls(measure, trained, untrained)
    assert found == {"trained": [0.75, 0.25], "untrained": [0.625, 0.875], "uniform": [0.5, 0.5]}


def test_mean_terms_add_up_to_the_message(graph, model):
    """To 1e-12; terms rounded to float32 do not."""
    for record in model.trace(graph):
        terms = mean_terms(record)
        assert list(terms) == ["v_direction", "v_mix", "v_cross"]
        rounded = sum(term.float().double() for term in terms.values())
        assert (sum(terms.values()) - record.vector_message).abs().max() < 1e-12
        assert (rounded - record.vector_message).abs().max() > 1e-12
