"""The baselines: sizes of Tables 1 and 3, their own symmetry in float64, odd graphs, bad input."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from e3nn.o3 import FullyConnectedTensorProduct, Irreps, spherical_harmonics
from helpers import make_graph, randomised
from torch import nn
from torch_geometric.data import Batch, Data

from eqgat import radius_graph
from eqgat.baselines import GVPGNN, SEGNN, PaiNN, SchNet
from eqgat.baselines.segnn import ATTRIBUTES, EdgeFrames, Layer, SteerableLinear, balanced_irreps, steering
from eqgat.errors import UserError
from eqgat.symmetry import equivariance_errors, random_rotation, relative_error, transform
from eqgat_course.controls import with_released_norm

SMALL = {
    "schnet": (SchNet, {"scalar_channels": 12, "num_radial": 6, "num_layers": 2}),
    "schnet-norm": (SchNet, {"scalar_channels": 12, "num_radial": 6, "num_layers": 2, "norm": "equivariant"}),
    "painn": (PaiNN, {"scalar_channels": 12, "vector_channels": 4, "num_radial": 6, "num_layers": 3}),
    "painn-norm": (
        PaiNN,
        {"scalar_channels": 12, "vector_channels": 4, "num_radial": 6, "num_layers": 3, "norm": "equivariant"},
    ),
    "gvp-triangle": (
        GVPGNN,
        {
            "scalar_channels": 12,
            "vector_channels": 4,
            "edge_scalars": 6,
            "num_layers": 2,
            "num_message": 2,
            "layout": "triangle",
        },
    ),
    "gvp-atom3d": (GVPGNN, {"scalar_channels": 12, "vector_channels": 4, "edge_scalars": 6, "num_layers": 2}),
    "segnn": (SEGNN, {"width": 40, "num_layers": 2}),
}


@cache
def build(name: str, readout: str = "graph") -> nn.Module:
    """A small model in float64, with no parameter at its start: a bias on vectors that is 0 would break no symmetry.

    Built once, because e3nn writes its code anew for every model.
    """
    kind, options = SMALL[name]
    torch.manual_seed(1)
    model = kind(num_elements=9, out_channels=2, readout=readout, **options).double()
    return randomised(model).eval().requires_grad_(False)


def num_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("make", [SchNet, PaiNN, GVPGNN, SEGNN])
def test_edges_of_a_larger_cutoff_are_refused(make: Callable[..., torch.nn.Module]) -> None:
    with pytest.raises(UserError, match=r"the cutoff of the model is 4\.5 Å"):
        make(num_elements=9, out_channels=1, num_layers=1, cutoff=4.5).eval()(make_graph(cutoff=6.0))


def test_parameter_counts_of_table_3() -> None:
    common = {"num_elements": 2, "out_channels": 3, "num_layers": 3, "cutoff": 10.0}
    sizes = {"scalar_channels": 32, "num_radial": 16}
    assert num_parameters(SchNet(norm="equivariant", **sizes, **common)) == 16_803
    assert num_parameters(PaiNN(vector_channels=8, norm="equivariant", **sizes, **common)) == 27_147
    assert (
        num_parameters(GVPGNN(vector_channels=8, edge_scalars=16, num_message=2, layout="triangle", **sizes, **common))
        == 61_577
    )
    assert num_parameters(SEGNN(width=76, **common)) == 60_965


@pytest.mark.parametrize(
    ("layers", "out", "norm", "schnet", "painn"),
    [
        (3, 1, None, 152_201, 235_593),
        (3, 1, "equivariant", 153_001, 236_393),
        (5, 1, None, 239_601, 378_713),
        (5, 1, "equivariant", 240_801, 379_913),
        (5, 20, None, 241_520, 380_632),
        (5, 20, "equivariant", 242_720, 381_832),
    ],
)
def test_parameter_counts_of_table_1(layers: int, out: int, norm: str | None, schnet: int, painn: int) -> None:
    assert num_parameters(SchNet(9, out, num_layers=layers, norm=norm)) == schnet
    assert num_parameters(PaiNN(9, out, num_layers=layers, norm=norm)) == painn


@pytest.mark.slow
def test_parameter_counts_of_table_1_gvp_and_segnn() -> None:
    assert num_parameters(GVPGNN(9, 1)) == 893_844
    assert num_parameters(GVPGNN(9, 20, readout="node")) == 897_663
    assert num_parameters(SEGNN(9, 1)) == 274_486
    assert num_parameters(SEGNN(9, 1, num_layers=5)) == 434_014
    assert num_parameters(SEGNN(9, 20, readout="node")) == 256_205
    assert num_parameters(SEGNN(9, 20, readout="node", num_layers=5)) == 415_733


def test_segnn_computes_the_fully_connected_tensor_product_of_e3nn() -> None:
    """Features in any order, several blocks of one degree; values and gradients, in float64."""
    generator = torch.Generator().manual_seed(3)
    into, out = Irreps("4x0e+3x1o+2x2e+2x0e+3x1o+1x2e+1x0e"), Irreps("5x0e+4x1o+3x2e")
    own = SteerableLinear(into, out).double()
    theirs = FullyConnectedTensorProduct(into, ATTRIBUTES, out, path_normalization="none").double()
    with torch.no_grad():
        blocks = {
            path: weight.split([into[i].mul for i in range(len(into)) if into[i].ir.l == path[0]])
            for path, weight in zip(own.paths, own.weights, strict=True)
        }
        for path, weight in zip(theirs.instructions, theirs.weight_views(), strict=True):
            l = into[path.i_in1].ir.l
            number = sum(part.ir.l == l for part in into[: path.i_in1])
            weight.copy_(blocks[l, path.i_in2, path.i_out][number].unsqueeze(1))
    x = torch.randn(7, into.dim, generator=generator, dtype=torch.float64, requires_grad=True)
    attributes = torch.randn(7, 9, generator=generator, dtype=torch.float64)
    results = own(x, steering(attributes)), theirs(x, attributes)
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(result.square().sum(), x)[0] for result in results]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-5)


def test_segnn_multiplies_in_the_frames_of_the_edges_as_with_the_harmonics_of_their_directions() -> None:
    """A layer's message against both products written with ``steering``; also along and against each axis."""
    generator = torch.Generator().manual_seed(3)
    hidden = balanced_irreps(40)
    layer = Layer(hidden).double()
    direction = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    direction = nn.functional.normalize(torch.cat([direction, torch.eye(3), -torch.eye(3)]), dim=1).requires_grad_()
    x = torch.randn(2, 12, hidden.dim, generator=generator, dtype=torch.float64).requires_grad_()
    distance = torch.rand(12, 1, generator=generator, dtype=torch.float64)
    frames = EdgeFrames.of(direction)
    ends = zip(*(side.split([part.dim for part in hidden], dim=1) for side in x), strict=True)
    scalars, *rest = (torch.cat(pair, dim=1).view(12, -1, 2 * l + 1) for l, pair in enumerate(ends))
    message = frames.enter(torch.cat([scalars.squeeze(2), distance], dim=1), *rest)
    for linear in layer.message:
        message = linear.along_the_axis(message)
    own = frames.leave(message, hidden)
    matrices = steering(spherical_harmonics(ATTRIBUTES, direction, normalize=True, normalization="component"))
    expected = torch.cat([*x, distance], dim=1)
    for linear in layer.message:
        expected = linear(expected, matrices)
    torch.testing.assert_close(own, expected, rtol=1e-12, atol=1e-12)
    weights = list(layer.message.parameters())
    pull = torch.randn(own.shape, generator=generator, dtype=torch.float64)
    # A change of a direction's length is no rotation: only what lies across it can be compared.
    across = torch.eye(3, dtype=torch.float64) - direction.unsqueeze(2) * direction.unsqueeze(1)
    gradients = []
    for result in (own, expected):
        of_x, of_direction, *of_weights = torch.autograd.grad((result * pull).sum(), [x, direction, *weights])
        gradients.append([of_x, torch.einsum("eij,ej->ei", across, of_direction), *of_weights])
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", SMALL)
def test_invariant_under_rotation_reflection_translation_permutation(name: str) -> None:
    model, data = build(name), make_graph()
    y = model(data)
    assert y.shape == (1, 2)
    for kind, error in equivariance_errors(model, data, seed=3, gives={"output": None}, cutoff=4.5).items():
        assert error.output < 1e-10, kind
    # It does depend on the shape: the tests above would not notice a model that ignores the positions.
    assert relative_error(model(transform(data, torch.diag(torch.tensor([1.0, 0.95, 1.0])))), y) > 1e-6


def test_the_released_norm_would_fail_this_test() -> None:
    kind, options = SMALL["painn-norm"]
    torch.manual_seed(1)
    model = with_released_norm(randomised(kind(num_elements=9, out_channels=2, **options).double())).requires_grad_(
        False
    )
    error = equivariance_errors(model, make_graph(), seed=3, kinds=["rotation"], gives={"output": None})["rotation"]
    assert error.output > 1e-4


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_gives_what_its_graphs_give_alone(name: str) -> None:
    model = build(name)
    graphs = [make_graph(9, 1), make_graph(0), make_graph(1, 2), make_graph(14, 3)]
    together = model(Batch.from_data_list(graphs))
    alone = torch.cat([model(data) for data in graphs])
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_finite_gradients_for_isolated_and_coinciding_atoms(name: str) -> None:
    model, data = build(name, "node"), make_graph(8)
    data.pos[0] += 100
    data.pos[2] = data.pos[1]
    data.edge_index = radius_graph(data.pos, 4.5)
    model.requires_grad_(True)
    y = model(data)
    assert y.shape == (8, 2)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_gvp_dropout_acts_in_training_only_and_drops_whole_vectors() -> None:
    model, data = build("gvp-atom3d"), make_graph()
    assert torch.equal(model(data), model(data))
    model.train()
    try:
        assert not torch.equal(model(data), model(data))
        torch.manual_seed(7)
        y = model(data)
        torch.manual_seed(7)
        assert relative_error(model(transform(data, random_rotation(3))), y) < 1e-10
    finally:
        model.eval()


@pytest.mark.parametrize("name", SMALL)
def test_bad_input_is_named(name: str) -> None:
    model, data = build(name), make_graph()
    with pytest.raises(ValueError, match="edge_index is missing"):
        model(Data(z=data.z, pos=data.pos))
    with pytest.raises(ValueError, match="NaN or infinite"):
        model(transform(data, torch.full((3, 3), torch.nan)))
    with pytest.raises(ValueError, match="sorted by receiver"):
        model(Data(z=data.z, pos=data.pos, edge_index=data.edge_index.flip(1)))
    kind, options = SMALL[name]
    with pytest.raises(ValueError, match="readout must be"):
        kind(9, 1, **{**options, "readout": "edge"})
    with pytest.raises(ValueError, match="num_layers must be a whole number"):
        kind(9, 1, **{**options, "num_layers": 0})


def test_dropout_outside_its_range_is_named() -> None:
    with pytest.raises(ValueError, match="dropout"):
        GVPGNN(9, 1, dropout=1.0)
