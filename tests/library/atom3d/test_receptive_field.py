"""Atoms that an answer does not depend on are left out, and the answer stays the same to rounding in float64."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from atom3d_items import ppi_item
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, radius_graph
from eqgat.datasets.atom3d import ItemData
from eqgat.datasets.atom3d.complexes import Complexes
from eqgat.datasets.atom3d.load import toy_items
from eqgat.datasets.atom3d.samples import Atoms, count_hops, make_graph
from eqgat.training import make_settings
from eqgat.training.receptive_field import at_centers
from eqgat.training.settings import build_model, models_of
from eqgat.training.tasks import make_task

EXACT = [name for name in models_of("res") if name not in ("gcn", "cnn3d")]
SMALL: dict[str, dict[str, Any]] = {
    "schnet": {"scalar_channels": 8, "num_radial": 4},
    "segnn": {"width": 20},
    "gvp": {"scalar_channels": 8, "vector_channels": 4, "edge_scalars": 4},
}
USUAL = {"scalar_channels": 8, "vector_channels": 4, "num_radial": 4}


def settings(task: str, name: str, layers: int, **changes: Any) -> Any:
    return make_settings(task, name, model_options={**SMALL.get(name, USUAL), "num_layers": layers}, **changes)


def double(graphs: list[Data]) -> Batch:
    batch = Batch.from_data_list(graphs)
    batch.pos = batch.pos.double()
    return batch


@pytest.fixture(scope="module")
def items() -> list[dict]:
    return toy_items("res", "test", environments=2)[:2]


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", EXACT)
def test_as_many_hops_as_layers_change_no_answer(name: str, layers: int, items: list[dict]) -> None:
    chosen = settings("res", name, layers)
    model = build_model(chosen).double().eval()
    hops = model.hops
    whole, near = ItemData("res", items), ItemData("res", items, hops=hops)
    one, other = double(list(whole)), double(list(near))
    assert other.num_nodes < one.num_nodes
    with torch.no_grad():
        expected = model(one)[one.center_index]
        assert (model(other)[other.center_index] - expected).abs().max() < 1e-12
        assert (at_centers(model, other) - expected).abs().max() < 1e-12
        if layers == 2:  # one hop less is one too few: the comparison can fail
            fewer = double(list(ItemData("res", items, hops=hops - 1)))
            assert (model(fewer)[fewer.center_index] - expected).abs().max() > 1e-11


def test_hops_keep_the_graph_and_its_marks(items: list[dict]) -> None:
    for whole, near in zip(ItemData("res", items), ItemData("res", items, hops=2), strict=True):
        assert torch.equal(near.edge_index, radius_graph(near.pos, 4.5))
        for marks in ("center_index", "backbone_index"):
            assert torch.equal(near.pos[near[marks]], whole.pos[whole[marks]])
        hops = count_hops(whole.edge_index, whole.center_index, whole.num_nodes, 2)
        assert near.num_nodes == int((hops <= 2).sum())
    with pytest.raises(ValueError, match="graphs with a centre; got 2 for psr"):
        ItemData("psr", [], hops=2)


def test_hops_by_hand() -> None:
    # A path 0 - 1 - 2 - 3 - 4, edges both ways; centres 1 and 4.
    path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    edges = torch.cat([path, path.flip(0)], dim=1)
    assert count_hops(edges, torch.tensor([1, 4]), 5, 3).tolist() == [1, 0, 1, 1, 0]
    assert count_hops(edges, torch.tensor([0]), 5, 2).tolist() == [0, 1, 2, 3, 3]


def test_the_short_way_has_the_same_gradients(items: list[dict]) -> None:
    torch.manual_seed(0)
    model = EQGAT(num_elements=9, out_channels=20, num_layers=3, readout="node", **USUAL).double()
    other = copy.deepcopy(model)
    batch = double(list(ItemData("res", items)))
    model(batch)[batch.center_index].square().sum().backward()
    at_centers(other, batch).square().sum().backward()
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12, msg=name)


class WithMean(EQGAT):
    """Sees the whole graph, behind the layers of EQGAT."""

    hops = None

    def encode(self, data: Data) -> tuple[torch.Tensor, torch.Tensor]:
        s, v = super().encode(data)
        return s + s.mean(0), v


class Twice(EQGAT):
    """Sees no farther than EQGAT, and does something else."""

    def node_embedding(self, data: Data) -> torch.Tensor:
        return 2 * super().node_embedding(data)


@pytest.mark.parametrize("kind", [WithMean, Twice])
def test_a_model_made_of_eqgat_takes_the_long_way(kind: type[EQGAT], items: list[dict]) -> None:
    torch.manual_seed(0)
    model = kind(num_elements=9, out_channels=20, num_layers=2, readout="node", **USUAL).double().eval()
    batch = double(list(ItemData("res", items)))
    with torch.no_grad():
        assert torch.equal(at_centers(model, batch), model(batch)[batch.center_index])


def test_models_that_see_the_whole_graph_get_the_whole_graph() -> None:
    assert build_model(settings("res", "eqgat", 5, data_options={})).hops == 5
    assert make_task(settings("res", "eqgat", 2)).data_options()["hops"] == 2
    normed = make_settings("res", model_options={"norm": "equivariant"})
    assert make_task(normed).data_options()["hops"] is None
    for task, model in (("res", "gcn"), ("psr", "eqgat")):
        assert make_task(make_settings(task, model)).data_options().get("hops") is None
    drawn = make_settings("ppi", model_options={"norm": "equivariant"}, data_options={"drawn_pairs": 3})
    with pytest.raises(ValueError, match="leave it out"):
        make_task(drawn).load(None)


@pytest.mark.parametrize("name", EXACT)
def test_whole_partners_answer_as_the_spheres_of_each_pair(name: str) -> None:
    """With as many pairs as there are, the drawn pairs are the stored ones, and so must be every logit."""
    item = ppi_item("1ABC", touching=((1, 101), (2, 102), (2, 103)), size=60)
    task = make_task(settings("ppi", name, 2))
    model = task.build().double().eval()
    pairs = ItemData("ppi", [item], positives=3)
    by_pair = double([graph for pair in pairs for graph in pair])
    complexes = Complexes(pairs, 3)
    complexes.pairs, same = 3, complexes.data.options.seed
    together = double([_drawn_with_seed(complexes, same)])
    with torch.no_grad():
        a, b = task.predict(model, by_pair), task.predict(model, together)
    assert torch.equal(task.targets(by_pair), task.targets(together))
    assert (a - b).abs().max() < 1e-12
    assert a.std() > 0


def _drawn_with_seed(complexes: Complexes, seed: int) -> Data:
    """The complex with the pairs that ``seed`` gives, without the epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eqgat.datasets.atom3d.complexes._seed", lambda *_: seed)
        return complexes[0]


def test_pairs_are_drawn_anew_in_every_epoch() -> None:
    touching = tuple((k, 100 + k) for k in range(1, 21))
    complexes = Complexes(ItemData("ppi", [ppi_item("1ABC", touching=touching, size=30)]), 5)
    drawn = []
    for epoch in (0, 1, 0):
        complexes.set_epoch(epoch)
        graph = complexes[0]
        assert graph.y[::2].squeeze(1).tolist() == [1.0] * 5 + [0.0] * 5
        assert torch.equal(graph.y[::2], graph.y[1::2])
        assert graph.num_nodes == 300
        first = graph.center_index[::2] < 150  # partners side by side
        assert first.all()
        assert (graph.center_index[1::2] >= 150).all()
        drawn.append(graph.center_index)
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    with pytest.raises(ValueError, match="at least one pair"):
        Complexes(complexes.data, 0)


@pytest.mark.parametrize("how", [{"radius": 2.0}, {"hops": 1}])
def test_marked_atoms_stay_however_far_they_are(how: dict[str, Any]) -> None:
    """In a broken residue N or C may be farther from CA than the radius, or than the edges of all layers reach."""
    atoms = Atoms(np.full(4, 6, np.uint8), np.array([[9.0, 0, 0], [0, 0, 0], [8, 0, 0], [20, 0, 0]]), 4)
    graph = make_graph(atoms, np.array([0, 1, 2, 3]), np.array([1, 0, 3]), **{"radius": None, "cutoff": 4.5, **how})
    assert graph.pos[:, 0].tolist() == [9, 0, 20]
    assert graph.pos[graph.backbone_index, 0].tolist() == [9, 0, 20]
    assert graph.pos[graph.center_index, 0].tolist() == [0]
