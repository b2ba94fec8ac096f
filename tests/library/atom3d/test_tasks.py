"""The five tasks: which atoms, which label, which residue, which pairs; prepared data are the same data."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
import warnings
from pathlib import Path

import lmdb
import numpy as np
import pandas as pd
import pytest
import torch
from atom3d_items import items, lba_item, ppi_item, protein, ranking_item, res_item, write_task
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, radius_graph
from eqgat.datasets import task as tasks
from eqgat.datasets.atom3d import RESIDUES, BrokenItem, ItemData, PreparedData, load_atom3d, write_lmdb, write_prepared
from eqgat.datasets.atom3d.load import load_splits, toy_items
from eqgat.datasets.atom3d.prepare import prepare
from eqgat.datasets.atom3d.res import SPEC
from eqgat.errors import UserError
from eqgat.files import sums_beside, write_checked

TASKS = ("lba", "psr", "rsr", "res", "ppi")


def graphs(data: object) -> list[Data]:
    return [graph for sample in data for graph in (sample if isinstance(sample, tuple) else (sample,))]  # type: ignore


def same(a: Data, b: Data) -> bool:
    one, two = a.to_dict(), b.to_dict()
    return one.keys() == two.keys() and all(
        torch.equal(one[key], two[key]) if isinstance(one[key], torch.Tensor) else one[key] == two[key] for key in one
    )


@pytest.mark.parametrize("task", TASKS)
def test_graphs_of_a_written_data_set(task: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_atom3d(task, write_task(task, tmp_path), "val")
        assert len(data) == {"res": 6 * 8, "ppi": 6 * 4}.get(task, 6)
        for graph in graphs(data):
            assert torch.equal(graph.edge_index, radius_graph(graph.pos, 4.5))
            assert (graph.pos.dtype, graph.z.dtype) == (torch.float32, torch.int64)
    assert len(data.skipped) == 0
    assert len(data.digest()) == 12
    assert data.digest() != load_atom3d(task, tmp_path, "test").digest()
    assert (
        len(
            load_atom3d(task, tmp_path, "val", cutoff=6.0)[0][0].edge_index[0]
            if task == "ppi"
            else load_atom3d(task, tmp_path, "val", cutoff=6.0)[0].edge_index[0]
        )
        > graphs(data)[0].num_edges
    )


@pytest.mark.parametrize("task", TASKS)
def test_prepared_data_are_the_same_data(task: str, tmp_path: Path) -> None:
    source = load_atom3d(task, write_task(task, tmp_path / "source"), "train")
    write_prepared(source, tmp_path / "prepared" / "train")
    prepared = load_atom3d(task, tmp_path / "prepared", "train")
    assert isinstance(prepared, PreparedData)
    assert prepared.digest() == source.digest()
    assert torch.equal(prepared.y, source.y)
    assert prepared.y.dtype == source.y.dtype
    assert list(prepared.names) == list(source.names)
    assert list(prepared.groups) == list(source.groups)
    assert all(same(a, b) for a, b in zip(graphs(prepared), graphs(source), strict=True))
    again = pickle.loads(pickle.dumps(prepared))
    assert same(graphs(again)[-1], graphs(source)[-1])
    for split in ("val", "test"):
        with pytest.raises(FileNotFoundError, match="expected"):
            load_atom3d(task, tmp_path / "prepared", split)


def test_lba_is_pocket_then_ligand() -> None:
    data = ItemData("lba", [lba_item("1abc", seed=3)])
    graph = data[0]
    assert graph.num_nodes == 25 + 2 + 4
    assert graph.ligand.tolist() == [False] * 27 + [True] * 4
    assert graph.z[-6:].tolist() == [0, 8, 1, 0, 6, 8]  # H ZN | C H Cl Br
    assert graph.atomic_number[-6:].tolist() == [1, 30, 6, 1, 17, 35]
    assert graph.bond_index.tolist() == [[27, 27, 29], [28, 29, 30]]
    assert graph.y.tolist() == [[7.0]]
    heavy = ItemData("lba", [lba_item("1abc", seed=3)], hydrogens=False)[0]
    assert heavy.num_nodes == 29
    assert heavy.bond_index.tolist() == [[26, 27], [27, 28]]
    assert heavy.bond_order.tolist() == [1.0, 1.5]
    polymer = ItemData(
        "lba", [{**lba_item("1abc"), "atoms_pocket": protein(5).assign(hetero="H_X")}, lba_item("2abc")], hetero=False
    )
    with pytest.warns(UserWarning, match="1 of 2 items are broken"):
        assert len(polymer) == 1


def test_bonds_count_on_in_a_batch() -> None:
    data = ItemData("lba", [lba_item("a"), lba_item("b", 1)])
    batch = Batch.from_data_list([data[0], data[1]])
    assert batch.bond_index[:, 3:].tolist() == (data[1].bond_index + data[0].num_nodes).tolist()


def test_ranking_drops_hydrogen_and_deuterium_and_reads_the_id() -> None:
    item = ranking_item("T0759", "it's a decoy", value=0.25)
    data = ItemData("psr", [item])
    assert data[0].num_nodes == 31
    assert (data.names[0], data.groups[0], data.y.tolist()) == ("T0759/it's a decoy", "T0759", [[0.25]])
    assert ItemData("psr", [item], waters=False)[0].num_nodes == 30
    assert ItemData("psr", [item], hydrogens=True)[0].z[-2:].tolist() == [0, 0]
    assert ItemData("psr", [item], label="tm").y.item() == pytest.approx(0.1)
    two = pd.concat([item["atoms"], item["atoms"].assign(model=2)], ignore_index=True)
    assert ItemData("psr", [{**item, "atoms": two}])[0].num_nodes == 62
    assert ItemData("psr", [{**item, "atoms": two}], models="first")[0].num_nodes == 31


def test_an_id_is_never_executed(tmp_path: Path) -> None:
    file = tmp_path / "executed"
    item = {**ranking_item("T", "d"), "id": f"(open({str(file)!r}, 'w'), 'd')"}
    with pytest.raises(ValueError, match="does not name a target"):
        len(ItemData("psr", [item]))
    assert not file.exists()


def test_res_marks_the_residue_and_not_its_double_in_another_chain() -> None:
    other = protein(8, "B", 0, shift=3.0)
    other.loc[other["residue"] > 4, "x"] += 50.0  # out of reach
    pair = pd.concat([protein(8, "A", 0), other], ignore_index=True)
    item = res_item("1abc", pair)
    data = ItemData("res", [item])
    assert len(data) == 16
    assert data.y.tolist() == [*range(8), *range(8)]
    for number, graph in enumerate(data):
        row = 5 * number + 1
        assert torch.equal(
            graph.pos[graph.center_index[0]], torch.tensor(pair[["x", "y", "z"]].to_numpy(np.float32)[row])
        )
        assert graph.backbone_index[1] == graph.center_index[0]
        assert graph.atomic_number[graph.backbone_index].tolist() == [7, 6, 6]
        assert graph.num_nodes == len(item["subunit_indices"][number])
    released = ItemData("res", [item], alpha_carbon="released")
    assert len(released) == 8
    assert len(released) + len(released.skipped) == 16
    assert "2 CA" in released.skipped["reason"][0]
    assert [name for name in data.names if name not in set(released.names)] == list(released.skipped["name"])


def test_res_labels_must_belong_to_their_residue() -> None:
    item = res_item("1abc")
    item["labels"].loc[2, "label"] = 19
    data = ItemData("res", [item])
    assert len(data) == 7
    assert data.skipped["name"].tolist() == ["1abc/A_3_ARG"]
    assert RESIDUES[data.y[0]] == "HIS"


def test_ppi_pairs_are_chosen_once_and_labelled_right() -> None:
    touching = tuple((k, 100 + k) for k in range(1, 9))
    item = ppi_item("1ABC", touching=touching)
    data = ItemData("ppi", [item], positives=5, negatives=3)
    assert data.y.squeeze(1).tolist() == [1.0] * 5 + [0.0] * 15
    names = {f"1ABC/A{a}-B{b}" for a, b in touching}
    assert all((name in names) == (y == 1) for name, y in zip(data.names, data.y, strict=True))
    assert len(set(data.names)) == 20
    assert list(ItemData("ppi", [item, ppi_item("2ABC")], positives=5, negatives=3).names[:20]) == list(data.names)
    assert list(ItemData("ppi", [item], positives=5, negatives=3, seed=1).names) != list(data.names)
    a, b = data[0]
    atoms = item["atoms_pairs"].reset_index(drop=True)
    for graph, chain, end in ((a, "A", 0), (b, "B", 1)):
        number = int(data.names[0].split("/")[1].split("-")[end][1:])
        row = atoms[(atoms["chain"] == chain) & (atoms["residue"] == number) & (atoms["name"] == "CA")]
        assert graph.num_nodes == 40  # the partner is not in it
        assert graph.pos[graph.center_index[0]].tolist() == pytest.approx(row[["x", "y", "z"]].to_numpy()[0].tolist())


def test_ppi_radius_and_orientation() -> None:
    item = ppi_item("1ABC")
    near = ItemData("ppi", [item], radius=6.0)
    assert near.digest() != ItemData("ppi", [item]).digest()
    a, _ = near[0]
    assert a.num_nodes < 40
    assert float((a.pos - a.pos[a.center_index]).norm(dim=1).max()) <= 6.0
    turned = item["atoms_neighbors"].rename(columns=lambda name: name[:-1] + {"0": "1", "1": "0"}.get(name[-1], ""))
    turned = turned.rename(columns={"labe": "label"})
    other = ItemData("ppi", [{**item, "atoms_neighbors": turned}])
    assert other.names[0].split("/")[1].startswith("B10")


def test_ppi_leaves_out_residues_without_one_alpha_carbon() -> None:
    item = ppi_item("1ABC", touching=((1, 101), (2, 102)))
    atoms = item["atoms_pairs"]
    code = atoms[(atoms["chain"] == "A") & (atoms["residue"] == 2)].assign(insertion_code="A")
    ion = atoms.iloc[[0]].assign(residue=50, name="CA", element="CA", hetero="H_CA")
    item["atoms_pairs"] = pd.concat([atoms, code, ion])
    data = ItemData("ppi", [item], negatives=100)
    assert data.skipped["name"].tolist() == ["1ABC/A2-B102"]
    assert not any("A2-" in name or "A50-" in name for name in data.names)
    assert len(data) == 7 * 8  # all pairs of the other residues
    none = ItemData(
        "ppi", [ppi_item("2ABC"), {**ppi_item("3ABC"), "atoms_neighbors": ppi_item("3ABC")["atoms_neighbors"].iloc[:0]}]
    )
    assert len(none) == 4
    assert none.skipped["reason"].tolist() == ["no pair of its residues touches"]


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("lba", {"atoms_ligand": None}, "no table 'atoms_ligand'"),
        ("lba", {"scores": {}}, "no score 'neglog_aff'"),
        ("psr", {"scores": {"gdt_ts": float("nan")}}, "score 'gdt_ts' is nan"),
        ("psr", {"id": "T0759"}, "does not name a target"),
        ("psr", {"atoms": protein(2).drop(columns="element")}, "no column element"),
        ("rsr", {"atoms": protein(2).assign(x=np.nan)}, "NaN or infinite"),
        ("res", {"subunit_indices": [[0]]}, "another length"),
        ("res", {"subunit_indices": [[10_000]] * 8}, "not in its table"),
        ("psr", {"atoms": {"columns": [], "index": [], "data": []}}, "'atoms' is a dictionary, not a table"),
        ("ppi", {"atoms_neighbors": None}, "no table 'atoms_neighbors'"),
        (
            "ppi",
            {"atoms_neighbors": ppi_item("1ABC")["atoms_neighbors"].drop(columns=["residue1", "chain0"])},
            "no column chain0, residue1",
        ),
        ("ppi", {"atoms_pairs": protein(2, ensemble="1ABC", subunit="a")}, "instead of two"),
    ],
)
def test_broken_items_are_reported_and_counted(task: str, change: dict, message: str) -> None:
    good, bad = items(task, "train", 2)
    bad = {**bad, **change}
    if task == "ppi":
        bad["atoms_neighbors"] = change.get("atoms_neighbors", ppi_item("1ABC")["atoms_neighbors"])
    data = ItemData(task, [bad, good])
    with pytest.warns(UserWarning, match="1 of 2 items are broken"):
        assert len(data) == len(ItemData(task, [good]))
    assert (data.skipped["item"][0], data.skipped["name"][0]) == (0, "")
    assert message in data.skipped["reason"][0]
    assert all(data[k] is not None for k in range(len(data)))
    with pytest.raises(BrokenItem, match=message):
        data.parse(0)
    with pytest.raises(ValueError, match=r"no graph can be made of 1 items.*another task, or in another form"):
        len(ItemData(task, [bad]))


def test_an_item_that_is_none_is_reported() -> None:
    # What atom3d's own reader gives for an item that it cannot decode.
    data = ItemData("lba", [None, *items("lba", "train", 1)])  # type: ignore[list-item]
    with pytest.warns(UserWarning, match=r"1 of 2 items are broken.*is a NoneType"):
        assert len(data) == 1


def test_res_labels_may_be_stored_as_floats() -> None:
    item = res_item("1abc")
    item["labels"]["label"] = item["labels"]["label"].astype(float)
    assert torch.equal(ItemData("res", [item]).y, ItemData("res", [res_item("1abc")]).y)


def test_an_undecodable_item_is_reported_also_by_prepared_data(tmp_path: Path) -> None:
    folder = write_lmdb(tmp_path / "train", items("lba", "train", 3))
    sums_beside(folder / "data.mdb").unlink()  # as in data of others
    with lmdb.open(str(folder), map_size=2**22) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"1", gzip.compress(json.dumps({"id": "x"}).encode())[:-5])
    with pytest.warns(UserWarning, match="1 of 3 items are broken"):
        prepared = write_prepared(load_atom3d("lba", folder), tmp_path / "prepared" / "train")
    assert len(prepared) == 2
    assert prepared.num_items == 3
    assert "cannot be decoded" in prepared.skipped["reason"][0]
    with pytest.warns(UserWarning, match="1 of 3 items are broken"):  # and again whenever they are read
        load_atom3d("lba", tmp_path / "prepared", "train")


def test_any_level_of_the_folders_will_do(tmp_path: Path) -> None:
    for task in ("lba", "psr"):
        write_task(task, tmp_path / task)
    digest = load_atom3d("lba", tmp_path / "lba", "val").digest()
    for folder in (
        tmp_path,
        tmp_path / "lba" / "split-by-sequence-identity-30",
        tmp_path / "lba" / "split-by-sequence-identity-30" / "data",
        tmp_path / "lba" / "split-by-sequence-identity-30" / "data" / "train",
    ):
        assert load_atom3d("lba", folder, "val").digest() == digest
    shutil.copytree(
        tmp_path / "lba" / "split-by-sequence-identity-30", tmp_path / "lba" / "split-by-sequence-identity-60"
    )
    assert load_atom3d("lba", tmp_path, "val").digest() == digest
    shutil.copytree(tmp_path / "lba", tmp_path / "lba" / "copy")
    with pytest.raises(ValueError, match="several data sets"):
        load_atom3d("lba", tmp_path, "val")


def test_wrong_folders_and_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_atom3d("lba", tmp_path / "nowhere")
    write_lmdb(tmp_path / "file", [])
    with pytest.raises(FileNotFoundError, match=r"data\.mdb is a file; .* give its folder, .*file"):
        load_atom3d("lba", tmp_path / "file" / "data.mdb")
    shutil.rmtree(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match=r"DIPS-split/data/val/data\.mdb"):
        load_atom3d("ppi", tmp_path, "val")
    with pytest.raises(FileNotFoundError, match="-indices holds no structures"):
        load_atom3d("res", tmp_path)
    with pytest.raises(ValueError, match="unknown task 'msp'"):
        load_atom3d("msp", tmp_path)
    with pytest.raises(ValueError, match="unknown split"):
        load_atom3d("lba", tmp_path, "validation")
    with pytest.raises(ValueError, match="res has no option hydrogens; it has alpha_carbon"):
        load_atom3d("res", tmp_path, hydrogens=True)
    for task, option in (
        ("lba", {"models": "last"}),
        ("res", {"alpha_carbon": "any"}),
        ("res", {"radius": 0.0}),
        ("ppi", {"radius": -1.0}),
    ):
        with pytest.raises(ValueError, match="got"):
            load_atom3d(task, tmp_path, **option)


def test_the_raw_archive_of_res_with_its_lists(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "raw" / "RES" / "data", items("res", "train", 4))
    with pytest.raises(FileNotFoundError, match=r"val_indices\.txt"):
        load_atom3d("res", tmp_path, "val")
    (tmp_path / "split" / "indices").mkdir(parents=True)
    (tmp_path / "split" / "indices" / "val_indices.txt").write_text("3\n1\n")
    assert sorted(set(load_atom3d("res", tmp_path, "val").groups)) == ["train1", "train3"]
    (tmp_path / "split" / "indices" / "val_indices.txt").write_text("4\n")
    with pytest.raises(ValueError, match="does not have"):
        load_atom3d("res", tmp_path, "val")


def test_damaged_or_other_prepared_data_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "prepared" / "train"
    write_prepared(ItemData("psr", items("psr", "train")), folder)
    with pytest.raises(ValueError, match="was prepared for psr with"):
        load_atom3d("psr", tmp_path / "prepared", waters=False)
    with pytest.raises(ValueError, match="was prepared for psr"):
        load_atom3d("rsr", tmp_path / "prepared")
    positions = (folder / "pos.bin").read_bytes()
    (folder / "pos.bin").write_bytes(positions[:-1] + bytes([positions[-1] ^ 1]))  # one bit
    with pytest.raises(ValueError, match=r"pos\.bin is damaged"):
        load_atom3d("psr", tmp_path / "prepared")
    (folder / "pos.bin").write_bytes(positions[:10])
    with pytest.raises(ValueError, match=r"pos\.bin is missing or cut off"):
        load_atom3d("psr", tmp_path / "prepared")
    (folder / "split.json").write_text((folder / "split.json").read_text().replace("psr", "rsr"))
    with pytest.raises(ValueError, match=r"split\.json is damaged"):
        load_atom3d("psr", tmp_path / "prepared")
    write_checked(folder / "split.json", '{"format": 0}')
    with pytest.raises(ValueError, match="another version"):
        load_atom3d("psr", tmp_path / "prepared")
    (tmp_path / "precious").mkdir()
    with pytest.raises(FileExistsError, match="not a prepared data set"):
        write_prepared(ItemData("psr", items("psr", "train")), tmp_path / "precious")


def test_a_failed_preparation_leaves_nothing(tmp_path: Path) -> None:
    bad = {**items("psr", "train", 1)[0], "scores": {}}
    with pytest.raises(ValueError, match="no graph"):
        write_prepared(ItemData("psr", [bad]), tmp_path / "train")
    assert list(tmp_path.iterdir()) == []


def test_ppi_pairs_are_written_down(tmp_path: Path) -> None:
    data = ItemData("ppi", items("ppi", "test", 2))
    write_prepared(data, tmp_path / "test")
    pairs = pd.read_csv(tmp_path / "test" / "pairs.csv")
    assert list(pairs["name"]) == list(data.names)
    assert pairs["touching"].tolist() == [1, 1, 0, 0] * 2


def test_loader_processes_read_for_themselves(tmp_path: Path) -> None:
    data = load_atom3d("res", write_task("res", tmp_path), "train")
    plain = [graph.y.item() for graph in data]
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2)
    assert [graph.y.item() for graph in loader] == plain


def test_a_radius_of_three_cutoffs_changes_no_prediction_of_three_layers_in_res() -> None:
    torch.manual_seed(0)
    model = EQGAT(
        num_elements=9,
        out_channels=20,
        scalar_channels=8,
        vector_channels=4,
        num_layers=3,
        num_radial=4,
        readout="node",
    )
    item = toy_items("res", "test", environments=3)[0]
    whole, near = ItemData("res", [item]), ItemData("res", [item], radius=13.5)
    for one, other in zip(whole, near, strict=True):
        assert other.num_nodes < one.num_nodes
        with torch.no_grad():
            assert torch.allclose(model(one)[one.center_index], model(other)[other.center_index], atol=1e-6)


def test_training_says_what_was_left_out() -> None:
    from eqgat.training.tasks import left_out

    assert left_out(ItemData("ppi", [ppi_item("1ABC")])) == ""
    data = ItemData("ppi", [ppi_item("1ABC"), ppi_item("2ABC", touching=((1, 101), (99, 102)))])
    assert left_out(data).startswith("left out: 0 of 2 items and 1 samples, which leaves 6; most often: one of its")


@pytest.mark.slow
def test_fewer_training_items_are_drawn_within_more_and_leave_the_test_alone() -> None:
    """A curve over the size of the training data compares sizes: each set lies in the next, and nothing else changes."""
    few, more, every = (load_splits("res", None, train_items=count) for count in (3, 5, None))
    proteins = [list(dict.fromkeys(splits["train"].groups.tolist())) for splits in (few, more, every)]
    assert [len(found) for found in proteins[:2]] == [3, 5]
    assert set(proteins[0]) < set(proteins[1]) < set(proteins[2])
    assert few["test"].digest() == every["test"].digest()
    assert len({splits["train"].digest() for splits in (few, more, every)}) == 3
    assert all(splits["train"].toy for splits in (few, more, every))
    for count in (0, 1000):
        with pytest.raises(UserError, match=f"between 1 and the {len(proteins[2])} items that there are; got {count}"):
            load_splits("res", None, train_items=count)


def test_fewer_training_items_of_a_folder_are_read_past_what_was_prepared(tmp_path: Path) -> None:
    source = write_task("lba", tmp_path / "official")
    prepare("lba", source, progress=False)
    whole, few = (load_splits("lba", str(source), train_items=count)["train"] for count in (None, 1))
    assert isinstance(whole, PreparedData)
    assert len(whole) > len(few) == 1


def test_an_item_is_read_once_for_all_of_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """RES has tens of samples an item: drawn in any order, each item is still read once, until the room is full."""
    data = ItemData("res", toy_items("res", "test"))
    reads: list[str] = []

    def parse(item: dict, options: object) -> object:
        reads.append(item["id"])
        return SPEC.reader.parse(item, options)

    data.reader = data.reader._replace(parse=parse)
    order = np.random.default_rng(0).permutation(len(data))[:60].tolist()
    drawn = [data[row] for row in order]
    assert len(reads) == len(data.items) < len(order)
    data._kept.clear()
    data._room = 0  # full: each item drives the one before it out, and the samples stay the same
    assert all(same(data[row], graph) for row, graph in zip(order, drawn, strict=True))
    assert len(reads) > 2 * len(data.items)
    assert data.__getstate__()["_kept"] == {}, "each loader process reads for itself"


def test_what_models_can_be_asked_about_is_said_by_their_task() -> None:
    """And a task that does not say it is asked about its own samples alone."""
    assert {name: spec.answers for name, spec in tasks.TASKS.items()} == {
        **dict.fromkeys(("lba", "psr", "rsr", "own", "own-classes"), "structures"),
        **dict.fromkeys(("res", "own-res"), "residues"),
        **dict.fromkeys(("ppi", "triangle"), "samples"),
    }
    assert tasks.TaskSpec.answers == "samples"
