"""Attributions of a prediction: against finite differences and sums that must hold, and against broken weights."""

from __future__ import annotations

import pytest
import torch

from eqgat import EQGAT
from eqgat.attribution import Target, attributions, deletion_curve, fresh, gradient, integrated_gradients, rollout
from eqgat.datasets import embedded_structure

pytest.importorskip("captum")


@pytest.fixture(scope="module")
def graph():
    structure = embedded_structure("5pti")
    return structure.select(structure.atoms["residue"].between(18, 30).to_numpy()).graph(4.5, torch.float64)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    sizes = {"num_elements": 9, "out_channels": 4, "scalar_channels": 8, "vector_channels": 4, "num_layers": 2}
    return EQGAT(**sizes, num_radial=8, readout="node").double()


TARGET = Target(output=2, row=40, log_probability=True)


def test_gradient_is_the_slope_of_the_prediction(model, graph):
    length = gradient(model, graph, TARGET)
    assert length.shape == (len(graph.z),)
    step, slopes = 1e-5, []
    atom = int(length.argmax())
    for axis in range(3):
        moved = [graph.clone() for _ in range(2)]
        for one, sign in zip(moved, (1, -1), strict=True):
            one.pos = graph.pos.clone()
            one.pos[atom, axis] += sign * step
        with torch.no_grad():
            slopes.append((TARGET(model(moved[0])) - TARGET(model(moved[1]))) / (2 * step))
    assert float(torch.stack(slopes).norm()) == pytest.approx(float(length[atom]), rel=1e-5)


def test_integrated_gradients_add_up_to_the_change_of_the_prediction(model, graph):
    parts = integrated_gradients(model, graph, TARGET, steps=32)
    average = model.embedding.weight.detach().mean(dim=0)
    handle = model.embedding.register_forward_hook(lambda *_: average.expand(len(graph.z), -1))
    with torch.no_grad():
        before = float(TARGET(model(graph)))
        handle.remove()
        assert float(parts.sum()) == pytest.approx(float(TARGET(model(graph))) - before, rel=1e-6)
    assert not model.embedding._forward_hooks, "the model is as it was"


def test_nothing_reaches_an_atom_from_beyond_its_layers(model, graph):
    field, edges = torch.zeros(len(graph.z), dtype=torch.bool), graph.edge_index
    field[TARGET.row] = True
    for _ in range(2):
        field[edges[0, field[edges[1]]]] = True
    assert 0 < int(field.sum()) < len(field)
    for name, values in attributions(model, graph, TARGET, steps=2).items():
        assert float(values[~field].abs().max()) == 0, name
        assert float(values[field].abs().max()) > 0, name


def test_rollout_is_a_product_of_matrices_and_sums_to_one(model, graph):
    trace = model.trace(graph)
    size = len(graph.z)
    for uniform in (False, True):
        product = torch.eye(size, dtype=torch.float64)
        for record in trace:
            matrix = torch.zeros(size, size, dtype=torch.float64)
            weight = 1 / record.edges.num_neighbours[record.edges.receiver] if uniform else record.attention.mean(dim=1)
            matrix[record.edges.receiver, record.edges.source] = weight
            product = (torch.eye(size, dtype=torch.float64) + matrix) / 2 @ product
        torch.testing.assert_close(rollout(trace, TARGET.row, uniform), product[TARGET.row])
        torch.testing.assert_close(rollout(trace, None, uniform), product.mean(dim=0))
        assert float(rollout(trace, TARGET.row, uniform).sum()) == pytest.approx(1)


def test_other_weights_give_other_attributions(model, graph):
    control = fresh(model, seed=5)
    assert control.config == model.config
    assert next(control.parameters()).dtype == torch.float64
    ours, others = (attributions(one, graph, TARGET, steps=4) for one in (model, control))
    for name in ("gradient", "integrated gradients"):
        assert float((ours[name] - others[name]).abs().max()) > 0.01 * float(ours[name].abs().max()), name


def test_deletion_takes_the_best_atoms_first_and_keeps_the_target(model, graph):
    scores = torch.zeros(len(graph.z), dtype=torch.float64)
    near = graph.edge_index[0, graph.edge_index[1] == TARGET.row]
    scores[near] = 1.0
    scores[TARGET.row] = 9.0
    changes = deletion_curve(model, graph, TARGET, scores, [0, len(near)])
    assert float(changes[0]) == 0
    kept = torch.ones(len(graph.z), dtype=torch.bool)
    kept[near] = False
    with torch.no_grad():
        alone = Target(TARGET.output, int(kept[: TARGET.row].sum()), True)(model(graph.subgraph(kept)))
        assert float(changes[1]) == pytest.approx(abs(float(alone - TARGET(model(graph)))))
    with pytest.raises(ValueError, match="counts must be"):
        deletion_curve(model, graph, TARGET, scores, [len(graph.z)])
    with pytest.raises(ValueError, match="one an atom"):
        deletion_curve(model, graph, TARGET, scores[:3], [1])
