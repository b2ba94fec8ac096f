"""ATOM3D's own baselines: sizes, what they see, and that they say so when a field is missing."""

from __future__ import annotations

import pytest
import torch
from atom3d_items import lba_item, ppi_item, ranking_item, res_item
from torch_geometric.data import Batch, Data

from eqgat.baselines import CNN3D, GCN
from eqgat.baselines.cnn3d import _backbone_frame, grid_rotations, voxels
from eqgat.datasets import embedded_structure
from eqgat.datasets.atom3d import ItemData
from eqgat.symmetry import equivariance_errors, random_reflection, random_rotation, relative_error, transform


def num_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def batch(task: str, count: int = 2) -> Batch:
    item = {
        "lba": lambda k: lba_item(str(k), k),
        "res": lambda k: res_item(str(k), seed=k),
        "psr": lambda k: ranking_item("T", str(k), k),
        "ppi": lambda k: ppi_item(str(k), k),
    }[task]
    data = ItemData(task, [item(k) for k in range(count)])
    samples = [data[k] for k in range(count)]
    return Batch.from_data_list([g for sample in samples for g in (sample if isinstance(sample, tuple) else [sample])])


def test_parameter_counts_of_the_graph_baseline() -> None:
    assert num_parameters(GCN(last_width=8, head_width=4, readout="sum", ligand=True)) == 376_705
    assert num_parameters(GCN()) == 209_089
    assert num_parameters(GCN(out_channels=20, last_width=2, readout="center")) == 162_004
    assert num_parameters(GCN(last_width=2, head_width=4, readout="pair")) == 208_961
    assert [len(v) for v in GCN(ligand=True).vocabularies] == [18, 43]


def test_parameter_counts_of_the_voxel_baseline() -> None:
    with torch.device("meta"):  # 46 million numbers are counted, not drawn
        towers = {
            "lba": CNN3D(1, ("H", "C", "O", "N", "F"), 20.0, 1.0, "ligand"),
            "psr": CNN3D(),
            "ppi": CNN3D(1, radius=17.0, resolution=1.0, layout="pair"),
            "res": CNN3D(20, ("C", "O", "N", "S", "P"), 9.5, 1.0, "backbone", "residue"),
        }
    assert {name: model.size for name, model in towers.items()} == {"lba": 41, "psr": 62, "ppi": 35, "res": 20}
    assert {name: num_parameters(model) for name, model in towers.items()} == {
        "lba": 46_124_737,
        "psr": 227_658_593,
        "ppi": 18_337_633,
        "res": 22_597_504,
    }


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("psr", {}),
        ("lba", {"readout": "sum", "ligand": True, "last_width": 8}),
        ("res", {"readout": "center"}),
        ("ppi", {"readout": "pair"}),
    ],
)
def test_gcn_is_invariant_and_treats_graphs_apart(task: str, options: dict) -> None:
    torch.manual_seed(0)
    model = GCN(hidden=8, out_channels=3, **options).double().eval()
    data = batch(task)
    data.pos = data.pos.double()
    y = model(data)
    assert y.shape == (2, 3)
    kinds = ("rotation", "reflection", "translation")  # in another order, bonds and centres would name other atoms
    for kind, error in equivariance_errors(model, data, seed=3, kinds=kinds, gives={"output": None}).items():
        assert error.output < 1e-10, kind
    assert relative_error(model(transform(data, torch.diag(torch.tensor([1.0, 1.2, 1.0])))), y) > 1e-6
    if task != "ppi":
        first = Batch.from_data_list(data.to_data_list()[:1])
        torch.testing.assert_close(model(first), y[:1])
    y.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_gcn_on_a_ligand_takes_bonds_for_edges() -> None:
    data = batch("lba", 1)
    model = GCN(hidden=8, readout="sum", ligand=True)
    x, edges, weight = model._graph(data)
    ligand = data.ligand
    assert x.shape[1] == 61
    assert x[ligand, :18].sum() == 0
    assert x[~ligand, 18:].sum() == 0
    assert x[ligand].argmax(dim=1).tolist() == [18 + place for place in (0, 29, 7, 8)]  # C H Cl Br
    within = ligand[edges].all(dim=0)
    assert int(within.sum()) == 2 * data.bond_index.shape[1]
    assert sorted(weight[within].tolist()) == [1.0] * 4 + [1.5] * 2


def test_rotations_are_rotations_and_all_different() -> None:
    rotations = grid_rotations()
    assert rotations.shape == (400, 3, 3)
    torch.testing.assert_close(rotations @ rotations.transpose(1, 2), torch.eye(3).double().expand(400, 3, 3))
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(400).double())
    difference = torch.cdist(rotations.flatten(1), rotations.flatten(1)) + 10 * torch.eye(400)
    assert float(difference.min()) > 0.1
    axes = rotations.view(20, 20, 3, 3)[..., 2]
    torch.testing.assert_close(axes, axes[:, :1].expand_as(axes))  # a roll leaves the direction
    assert float(axes[:, 0].mean(dim=0).norm()) < 0.02  # directions all over the sphere


def test_voxels_by_hand() -> None:
    # Three voxels of 1 Å: [-1.5, -0.5], [-0.5, 0.5], [0.5, 1.5].
    offset = torch.tensor([[0.0, 0.0, 0.0], [-1.4, 0.0, 1.4], [1.6, 0.0, 0.0], [1.0, 1.0, 1.0], [0.1, 0.0, 0.0]])
    grid = voxels(offset, torch.tensor([0, 1, 0, -1, 0]), torch.tensor([0, 0, 0, 0, 1]), 2, 2, 3, 1.0)
    assert grid.nonzero().tolist() == [[0, 0, 1, 1, 1], [0, 1, 0, 1, 2], [1, 0, 1, 1, 1]]


def test_the_voxel_baseline_is_not_invariant_but_repeats_its_answer() -> None:
    torch.manual_seed(0)
    model = CNN3D(2, radius=12.0, resolution=1.2).eval()
    data = batch("psr")
    y = model(data)
    assert y.shape == (2, 2)
    assert torch.equal(model(data), y)
    assert equivariance_errors(model, data, kinds=["rotation"], gives={"output": None})["rotation"].output > 1e-4
    torch.testing.assert_close(model(transform(data, shift=torch.tensor([5.0, 0.0, 0.0]))), y, rtol=1e-3, atol=1e-4)
    model.train()
    assert not torch.equal(model.grid(data), model.grid(data))


def test_voxels_of_lba_and_ppi() -> None:
    torch.manual_seed(0)
    model = CNN3D(1, ("H", "C", "O", "N", "F"), 11.0, 1.0, "ligand").eval()
    data = batch("lba")
    assert model(data).shape == (2, 1)
    centre = data.pos[data.ligand & (data.batch == 0)].mean(dim=0)
    moved = Data(pos=centre.unsqueeze(0), atomic_number=torch.tensor([6]), ligand=torch.tensor([True]))
    assert model.grid(moved)[0, 1].nonzero().tolist() == [[11, 11, 11]]
    pair = CNN3D(1, radius=11.0, resolution=1.0, center="alpha_carbon", layout="pair").eval()
    assert pair(batch("ppi")).shape == (2, 1)


def test_the_residues_cube_turns_with_its_backbone() -> None:
    torch.manual_seed(0)
    model = CNN3D(20, ("C", "O", "N", "S", "P"), 9.5, 1.0, "backbone", "residue").eval()
    data = batch("res")
    y = model(data)
    assert y.shape == (2, 20)
    model.rotations = model.rotations.double()  # so that no atom changes its voxel by rounding
    data.pos = data.pos.double()
    turned = model.grid(transform(data, random_rotation(3)))
    assert float((turned != model.grid(data)).float().sum()) <= 4
    assert float((model.grid(transform(data, random_reflection(3))) != model.grid(data)).float().sum()) > 20


def test_the_ideal_beta_carbon_is_near_the_real_one() -> None:
    atoms = embedded_structure("5pti").atoms
    atoms = atoms[atoms["hetero"] == " "]
    place = {
        name: atoms[atoms["name"] == name].set_index("residue")[["x", "y", "z"]] for name in ("N", "CA", "C", "CB")
    }
    n, alpha, c, beta = (torch.tensor(table.loc[place["CB"].index].to_numpy()) for table in place.values())
    assert float((_backbone_frame(n, alpha, c)[0] - beta).norm(dim=1).mean()) < 0.25


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (GCN(hidden=4), "atomic_number"),
        (GCN(hidden=4, ligand=True), "ligand, bond_index, bond_order"),
        (CNN3D(1, radius=11.0, resolution=1.0), "atomic_number"),
        (CNN3D(1, radius=11.0, resolution=1.0, center="ligand"), "ligand"),
    ],
)
def test_missing_fields_are_named(model: torch.nn.Module, field: str) -> None:
    data = batch("psr", 1)
    if field == "atomic_number":
        data.atomic_number = None
    with pytest.raises(ValueError, match=field):
        model(data)


def test_bad_options_are_named() -> None:
    for wrong, message in (
        ({"center": "middle"}, "center must be"),
        ({"elements": ("Xx",)}, "unknown elements"),
        ({"radius": 5.0}, "too small"),
        ({"layout": "residue"}, "20 voxels"),
    ):
        with pytest.raises(ValueError, match=message):
            CNN3D(**wrong)
    with pytest.raises(ValueError, match="readout must be"):
        GCN(readout="max")
    with pytest.raises(ValueError, match="hidden must be a whole number"):
        GCN(hidden=0)
