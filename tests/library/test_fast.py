"""The fast path equals the readable layer, for every option and every gradient, and steps aside where it must."""

from __future__ import annotations

import copy
import pickle
from itertools import product

import pytest
import torch
from helpers import make_graph, make_model
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, fast, radius_graph
from eqgat.layers import EQGATLayer

OPTIONS = [
    {"attention": attention, "cross_product": cross, "vector_aggregation": aggregation, "norm": norm}
    for attention, cross, aggregation, norm in product(
        ("feature", "scalar"), ("raw", "mixed", None), ("mean", "sum"), (None, "equivariant")
    )
]


def results(model: EQGAT, graph: Data, positions: bool = True) -> dict[str, torch.Tensor]:
    """States, prediction and the gradients of one loss that depends on all of them."""
    model.zero_grad()
    pos = graph.pos.detach().clone().requires_grad_(positions)
    graph = copy.copy(graph)
    graph.pos = pos
    s, v = model.encode(graph)
    y = model(graph)
    axis = torch.tensor([1.0, 2.0, 3.0], dtype=v.dtype, device=v.device).view(3, 1)
    (y.sin().sum() + s.square().sum() + (v * axis).sin().sum()).backward()
    found = {"s": s.detach(), "v": v.detach(), "y": y.detach()}
    if positions:
        found["d pos"] = pos.grad
    for name, parameter in model.named_parameters():
        found[f"d {name}"] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
    return found


def assert_equal_to_readable(model: EQGAT, graph: Data, tolerance: float = 1e-12, positions: bool = True) -> None:
    model.fast = True
    ours = results(model, graph, positions)
    model.fast = False
    readable = results(model, graph, positions)
    for name, expected in readable.items():
        error = (ours[name] - expected).abs().max() if expected.numel() else 0
        assert error <= tolerance * max(1.0, float(expected.abs().max()) if expected.numel() else 0), name


@pytest.fixture(autouse=True)
def fast_on_small_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of these tests would otherwise run as they stand in the layers."""
    monkeypatch.setattr(fast, "WORTH_IT", 0)


def test_small_graphs_run_as_they_stand_in_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, model = make_graph(), make_model()
    readable = model(graph)
    model.fast = True
    assert not torch.equal(model(graph), readable)
    monkeypatch.setattr(fast, "WORTH_IT", 12 * graph.num_edges + 1)
    assert torch.equal(model(graph), readable)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 7 edges, fewer than many an atom has neighbours; so each such atom is a chunk by itself."""
    monkeypatch.setattr(fast, "CHUNK_ON_CPU", 7 * 12)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_equal_for_every_option(options: dict, small_chunks: None) -> None:
    assert_equal_to_readable(make_model(**options), make_graph())


@pytest.mark.parametrize("size", [1, 10, 100, 2048])
def test_equal_for_every_size_of_chunk(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "CHUNK_ON_CPU", size * 12)
    assert_equal_to_readable(make_model(), make_graph(40))


@pytest.mark.parametrize("norm", [None, "equivariant"])
@pytest.mark.parametrize("name", ["one atom", "no atom", "no edge", "lonely", "coincident", "one way", "at the cutoff"])
def test_equal_on_hard_graphs(name: str, norm: str | None, small_chunks: None) -> None:
    pos = make_graph(20).pos
    if name == "one atom":
        pos = pos[:1]
    elif name == "no atom":
        pos = pos[:0]
    elif name == "no edge":
        pos = pos * 1000
    elif name == "lonely":
        pos[3] += 1000
    elif name == "coincident":
        pos[3] = pos[7]
    edges = radius_graph(pos, 4.5)
    if name == "one way":
        edges = edges[:, edges[0] < edges[1]]
    elif name == "at the cutoff":
        pos, edges = torch.eye(3, dtype=torch.float64) * 4.5, torch.tensor([[1, 2, 0, 0], [0, 0, 1, 2]])
        pos[0] = 0
    empty = Data(z=torch.empty(0, dtype=torch.int64), pos=pos[:0], edge_index=edges[:, :0])
    graph = Data(z=torch.arange(len(pos)) % 9, pos=pos, edge_index=edges)
    assert_equal_to_readable(make_model(norm=norm), Batch.from_data_list([graph, empty]))


def test_equal_with_a_single_layer_and_single_channels() -> None:
    assert_equal_to_readable(make_model(num_layers=1), make_graph())
    assert_equal_to_readable(make_model(scalar_channels=1, vector_channels=1, num_radial=1), make_graph())


@pytest.mark.parametrize("scale", [100.0, 1000.0])
@pytest.mark.parametrize("attention", ["feature", "scalar"])
def test_equal_where_exponentials_would_overflow(scale: float, attention: str, small_chunks: None) -> None:
    """Logits of hundreds, at some atoms only: those are lowered by the largest of the neighbourhood, the others not."""
    model = make_model(attention=attention)
    with torch.no_grad():
        for layer in model.layers:
            layer.filter.out.weight[: layer.filter.sizes[0]] *= scale
    logits = [record.attention_logits.abs().max() for record in model.trace(make_graph())]
    assert max(logits) > 60
    assert_equal_to_readable(model, make_graph(), tolerance=1e-10)  # rounding of a logit grows with it
    assert all(torch.isfinite(x).all() for x in results(model.float(), make_graph()).values())


def test_float32_is_as_exact_as_the_readable_layer() -> None:
    graph, model = make_graph(200), make_model(fast=True)
    exact = results(model, graph)
    model.float()
    errors = []
    for model.fast in (True, False):
        found = results(model, graph)
        errors.append(max(float((found[name].double() - x).norm() / (1 + x.norm())) for name, x in exact.items()))
    assert errors[0] < 2 * errors[1] + 1e-6


def test_autocast_is_near_to_float32() -> None:
    graph, model = make_graph(60), make_model(fast=True).float()
    expected = model(graph)
    for model.fast in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(graph)
            found.float().sum().backward()
        assert (found.float() - expected).abs().max() < 0.05 * expected.abs().max()


def test_half_precision_runs_as_it_stands_in_the_layers() -> None:
    graph, model = make_graph(), make_model(fast=True).bfloat16()
    found = model(graph)
    model.fast = False
    assert torch.equal(found, model(graph))


def test_without_gradients_the_same_numbers() -> None:
    graph, model = make_graph(), make_model(fast=True)
    with torch.no_grad():
        silent = model(graph)
    assert torch.equal(silent, model(graph))
    assert not silent.requires_grad


def test_only_what_is_trained_gets_a_gradient() -> None:
    graph, model = make_graph(), make_model(fast=True)
    expected = results(model, graph)
    model.layers[1].filter.requires_grad_(False)
    model.zero_grad()
    model(graph).sum().backward()
    assert model.layers[1].filter.out.weight.grad is None
    assert model.layers[0].filter.out.weight.grad is not None
    model.layers.requires_grad_(True)
    assert all(torch.equal(x, expected[name]) for name, x in results(model, graph).items())


def test_derivatives_of_derivatives() -> None:
    """Forces in a loss: the second derivatives are those of the readable layer, and those of finite differences."""
    graph, model = make_graph(12), make_model(fast=True, num_layers=2)
    found = []
    for model.fast in (True, False):
        model.zero_grad()
        pos = graph.pos.clone().requires_grad_()
        moved = Data(z=graph.z, pos=pos, edge_index=graph.edge_index)
        (force,) = torch.autograd.grad(model(moved).sum(), pos, create_graph=True)
        force.square().sum().backward()
        found.append([pos.grad, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)])
    for ours, readable in zip(*found, strict=True):
        assert (ours - readable).abs().max() <= 1e-11 * max(1.0, float(readable.abs().max()))


def test_gradcheck() -> None:
    graph, model = (
        make_graph(7, seed=3),
        make_model(fast=True, scalar_channels=4, vector_channels=3, num_radial=4, num_layers=2),
    )

    def prediction(pos: torch.Tensor) -> torch.Tensor:
        return model(Data(z=graph.z, pos=pos, edge_index=graph.edge_index))

    assert torch.autograd.gradcheck(prediction, graph.pos.requires_grad_(), eps=1e-6, atol=1e-7)


class Kept:
    """Sizes of the tensors that autograd keeps for the backward pass."""

    def __init__(self) -> None:
        self.shapes: list[torch.Size] = []

    def __enter__(self) -> Kept:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _note(self, tensor: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tensor.shape)
        return tensor


def test_nothing_of_an_edge_is_kept_but_geometry() -> None:
    """The radial part [E, K] and the directions [E, 3] are there anyway, once for all layers."""
    graph, model = make_graph(60), make_model(fast=True)
    kept = {}
    for model.fast in (True, False):
        with Kept() as record:
            model(graph).sum()
        kept[model.fast] = {tuple(shape) for shape in record.shapes if shape[:1] == graph.edge_index.shape[1:]}
    assert kept[True] == {(graph.num_edges, 8), (graph.num_edges, 3)}
    assert (graph.num_edges, 12) in kept[False]


class Louder(EQGATLayer):
    def forward(self, s, v, edges):
        record = super().forward(2 * s, v, edges)
        return record


def test_steps_aside_for_other_layers_and_for_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass, an exchanged part and a hook are all respected: such a model runs as the readable one."""
    graph, model = make_graph(), make_model(fast=True)
    changed = copy.deepcopy(model)
    changed.layers[1].__class__ = Louder
    assert not torch.allclose(changed(graph), model(graph))

    changed = copy.deepcopy(model)
    changed.layers[1].scalar_weight = torch.nn.Sequential(torch.nn.Linear(12, 12), torch.nn.ReLU()).double()
    changed(graph).sum().backward()
    assert changed.layers[1].scalar_weight[0].weight.grad is not None

    heard = []
    model.layers[1].filter.register_forward_hook(lambda *arguments: heard.append(1))
    model(graph)
    assert heard == [1]


def test_the_switch_is_no_part_of_what_a_model_is(tmp_path) -> None:
    model = EQGAT(num_elements=9, out_channels=1, fast=False)
    assert not model.fast
    assert model.config == EQGAT(num_elements=9, out_channels=1).config
    model.save_pretrained(tmp_path)
    assert EQGAT.from_pretrained(tmp_path).fast
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not twin.fast


def test_a_copy_runs_fast_too() -> None:
    graph, model = make_graph(), make_model(fast=True)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(graph), model(graph))
