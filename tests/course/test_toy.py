"""The toy data: labels recomputed by brute force, geometry kept, nothing shared between splits, the official schema."""

import ast
import re
from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from Bio.Align import PairwiseAligner, substitution_matrices
from Bio.SVDSuperimposer import SVDSuperimposer
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from eqgat.cli import main
from eqgat.datasets import embedded_structure, load_atom3d
from eqgat.datasets.atom3d.environments import virtual_beta
from eqgat.datasets.atom3d.res import RESIDUES
from eqgat.datasets.atom3d.trivial import radius_of_gyration
from eqgat.datasets.task import ATOM3D, SPLITS
from eqgat.molecule import ATOM_COLUMNS
from eqgat_course.toy import lba, ppi, ranking, res, sample_items, superposition, write_samples
from eqgat_course.toy._schema import polymer
from eqgat_course.toy.decoys import MOST_CLASHES, backbone_torsions, clashes
from eqgat_course.toy.superposition import rmsd, structure_scores, superpose

XYZ = ["x", "y", "z"]
QUICK = {
    "lba": {},
    "psr": {"walks": 1, "frames": 2},
    "rsr": {"walks": 1, "frames": 2},
    "res": {"environments": 5},
    "ppi": {},
}
KEYS = {
    "lba": {"id", "atoms_protein", "atoms_pocket", "atoms_ligand", "bonds", "smiles", "seq", "scores"},
    "psr": {"id", "atoms", "scores"},
    "rsr": {"id", "atoms", "scores"},
    "res": {"id", "atoms", "labels", "subunit_indices"},
    "ppi": {"id", "atoms_pairs", "atoms_neighbors"},
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQGAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def few(monkeypatch):
    """One small structure a split, where a test asks for the form alone; the same protein's decoys in all."""
    monkeypatch.setattr(ranking, "PROTEINS", dict.fromkeys(SPLITS, ("2cviA",)))
    for module, name in ((res, "PROTEINS"), (ppi, "PAIRS")):
        monkeypatch.setattr(module, name, {split: entries[:1] for split, entries in getattr(module, name).items()})


# --- the schema -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ATOM3D)
def test_items_have_the_official_schema(task, few):
    for item in sample_items(task, "test", **QUICK[task]):
        assert set(item) == KEYS[task]
        for key in (k for k in item if k.startswith("atoms") and k != "atoms_neighbors"):
            atoms = item[key]
            assert list(atoms.columns) == list(ATOM_COLUMNS)
            assert atoms.index.tolist() == list(range(len(atoms)))
            assert atoms[["residue", "serial_number"]].dtypes.eq("int64").all()
            assert atoms[[*XYZ, "occupancy", "bfactor"]].dtypes.eq("float64").all()
            assert not atoms.isna().to_numpy().any()
            if key != "atoms_ligand":
                assert atoms["model"].eq(0).all()
                assert atoms["element"].eq(atoms["element"].str.upper()).all()
                assert atoms["fullname"].str.len().eq(4).all()
                assert (atoms["fullname"].str.strip() == atoms["name"]).all()


def test_unknown_tasks_and_splits_are_refused():
    with pytest.raises(ValueError, match="no samples for 'smp'; there are for lba, psr, rsr, res, ppi"):
        sample_items("smp")
    for task in ATOM3D:
        with pytest.raises(ValueError, match="no split 'dev'; the splits are train, val, test"):
            sample_items(task, "dev")


@pytest.mark.parametrize("task", ATOM3D)
def test_the_same_call_gives_the_same_items(task, few, tmp_path, monkeypatch):
    first = sample_items(task, "val", **QUICK[task])
    ranking.decoys.cache_clear()
    monkeypatch.setenv("EQGAT_CACHE", str(tmp_path))  # an empty one
    second = sample_items(task, "val", **QUICK[task])
    for a, b in zip(first, second, strict=True):
        for key in a:
            assert a[key].equals(b[key]) if isinstance(a[key], pd.DataFrame) else a[key] == b[key]


@pytest.mark.parametrize("task", ATOM3D)
def test_written_and_read_back_they_give_the_same_graphs(task, few, tmp_path):
    from eqgat.datasets.atom3d.data import ItemData

    write_samples(task, tmp_path, **QUICK[task])
    for split in SPLITS:
        read = load_atom3d(task, tmp_path, split=split)
        assert len(read) > 0
        assert read.skipped.empty
        assert read.digest() == ItemData(task, sample_items(task, split, **QUICK[task]), split).digest()


def test_the_command(tmp_path, capsys):
    assert main(["toy", "lba", str(tmp_path)]) == 0
    assert (tmp_path / "split-by-sequence-identity-30/data/test/data.mdb").is_file()
    assert 'load_atom3d("lba"' in capsys.readouterr().out
    assert main(["toy", "lba", str(tmp_path)]) == 2
    assert "holds a data set already" in capsys.readouterr().err


# --- splits ---------------------------------------------------------------------------------------------------------


# The test complex of LBA is the second copy of the one in val, and said to be.
@pytest.mark.parametrize("splits", [res.PROTEINS, ranking.PROTEINS, ppi.PAIRS, {**lba.COMPLEXES, "test": ()}])
def test_no_protein_and_no_relative_is_in_two_splits(splits):
    # A local alignment score of 78 would be one chance in a thousand in a search of all pairs (see res.py).
    aligner = PairwiseAligner(
        mode="local",
        substitution_matrix=substitution_matrices.load("BLOSUM62"),
        open_gap_score=-11,
        extend_gap_score=-1,
    )
    sequences: dict[str, dict[str, str]] = {split: {} for split in SPLITS}
    for split, entries in splits.items():
        for entry in entries:
            name, chains = (entry, None) if isinstance(entry, str) else entry
            structure = embedded_structure(name)
            for chain in chains or pd.unique(structure.atoms["chain"]):
                letters = structure.sequence(chain).replace("X", "A")
                if not set(letters) <= set("ACGTU"):  # the operator DNA of 1LCD
                    sequences[split][f"{name}:{chain}"] = letters
    for one, other in combinations(SPLITS, 2):
        assert {n[:4] for n in sequences[one]}.isdisjoint(n[:4] for n in sequences[other])
        for name, a in sequences[one].items():
            for relative, b in sequences[other].items():
                assert aligner.score(a, b) < 78, (name, relative)


def test_open_and_closed_adenylate_kinase_are_not_both_used():
    assert "adk_closed" not in sum(res.PROTEINS.values(), ())


# --- RES ------------------------------------------------------------------------------------------------------------


def test_environments_by_brute_force():
    item = res.res_item("1hvr", environments=20)
    atoms, labels = item["atoms"], item["labels"]
    assert atoms["hetero"].eq(" ").all()
    assert set(atoms["element"]) <= {"C", "O", "N", "S", "P", "SE"}
    assert labels["label"].dtype == "int64"
    positions = atoms[XYZ].to_numpy()
    for (subunit, label, *centre), rows in zip(
        labels[["subunit", "label", *XYZ]].itertuples(index=False), item["subunit_indices"], strict=True
    ):
        chain, number, resname = subunit.split("_")
        own = (atoms["chain"] == chain) & (atoms["residue"] == int(number))
        assert set(atoms[own]["resname"]) == {resname}
        assert RESIDUES[label] == resname
        alpha = atoms[own & (atoms["name"] == "CA")][XYZ].to_numpy()[0]
        assert np.allclose(np.array(centre) - alpha, [-0.5311, -0.7584, 1.2198])
        near = np.linalg.norm(positions - centre, axis=1) <= 10 * np.sqrt(3)
        side_chain = own & ~atoms["name"].isin(["N", "CA", "C", "O"])
        assert rows == np.flatnonzero(near & ~side_chain).tolist()
        assert atoms.loc[rows, "name"][own].tolist().count("CA") == 1


def test_all_residues_of_all_proteins_are_there_if_asked_for():
    sizes = {split: sum(len(res.res_item(name, None)["labels"]) for name in res.PROTEINS[split]) for split in SPLITS}
    assert sizes == {"train": 4645, "val": 1237, "test": 1559}
    assert len(res.res_item("5pti", environments=None)["labels"]) == 58
    labels = pd.concat([item["labels"] for split in SPLITS for item in res.res_items(split)])
    assert len(labels) == 2200
    assert set(labels["label"]) == set(range(20))


def test_the_local_frame_finds_the_beta_carbon_and_the_lab_frame_does_not():
    structure = polymer("2fvvA")
    residues, distance = [], {"lab": [], "local": []}
    for _, rows in structure.atoms.groupby(structure.residue_index):
        at = rows.set_index("name")[XYZ]
        if {"N", "CA", "C", "CB"} <= set(at.index):
            residues.append(at.loc[["N", "CA", "C", "CB"]].to_numpy())
    corners = np.array(residues)
    for frame, found in distance.items():
        found.extend(np.linalg.norm(virtual_beta(corners[:, :3], frame) - corners[:, 3], axis=1))
    assert np.mean(distance["local"]) < 0.1
    assert 1.8 < np.mean(distance["lab"]) < 2.3
    # Turned in space, a residue keeps its local virtual beta carbon; the lab one stays behind.
    rotation = Rotation.from_euler("xyz", [40, -100, 70], degrees=True).as_matrix()
    turned = corners[:, :3] @ rotation.T
    assert np.allclose(virtual_beta(turned, "local"), virtual_beta(corners[:, :3], "local") @ rotation.T)
    assert not np.allclose(virtual_beta(turned, "lab"), virtual_beta(corners[:, :3], "lab") @ rotation.T)
    with pytest.raises(ValueError, match='frame must be "lab"'):
        virtual_beta(corners[:, :3], "global")


def test_the_seed_chooses_other_residues():
    first, second = (res.res_item("5pti", 10, seed=seed)["labels"]["subunit"].tolist() for seed in (0, 1))
    assert first != second
    assert len(set(first)) == 10
    with pytest.raises(ValueError, match="environments must be at least 1"):
        res.res_item("5pti", 0)


# --- superposition --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain():
    structure = polymer("2xcjA")
    return structure.positions[structure.atoms["name"].eq("CA").to_numpy()]


def test_scores_worked_out_by_hand(chain):
    same = structure_scores(chain, chain)
    assert same == pytest.approx({"rmsd": 0, "gdt_ts": 1, "gdt_ha": 1, "tm": 1}, abs=1e-6)
    rotation = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert structure_scores(chain @ rotation.T + [10, -4, 3], chain)["gdt_ts"] == 1
    half = chain.copy()
    half[42:] += [1000, 0, 0]  # 42 of 84 residues: one half fits exactly, the other is far away
    assert structure_scores(half, chain)["gdt_ts"] == 0.5
    assert structure_scores(half, chain)["gdt_ha"] == 0.5
    one = chain.copy()
    one[50] += [3, 0, 0]  # 83 of 84 within 0.5, 1 and 2 Å, all within 4 and 8 Å
    scores = structure_scores(one, chain)
    assert scores["gdt_ts"] == pytest.approx((2 * 83 / 84 + 2) / 4)
    assert scores["gdt_ha"] == pytest.approx((3 * 83 / 84 + 1) / 4)


def test_rmsd_by_hand_and_against_biopython(chain):
    # Two pairs, 2 and 4 Å apart: centred and aligned, each end is 1 Å off.
    assert rmsd(np.array([[0.0, 0, 0], [2, 0, 0]]), np.array([[0.0, 0, 0], [0, 4, 0]])) == pytest.approx(1.0)
    noisy = chain + np.random.default_rng(0).normal(size=chain.shape)
    fit = SVDSuperimposer()
    fit.set(chain, noisy)
    fit.run()
    assert rmsd(noisy, chain) == pytest.approx(fit.get_rms())
    assert rmsd(chain * [1, 1, -1], chain) > 3  # a mirror image is not laid upon the molecule
    assert np.allclose(superpose(noisy, chain, np.ones((2, 84)))[1], superpose(noisy, chain))
    with pytest.raises(ValueError, match=r"two equal shapes \[N, 3\]"):
        rmsd(chain, chain[:-1])
    with pytest.raises(ValueError, match="at least 3 residues"):
        structure_scores(chain[:2], chain[:2])


def test_gdt_of_more_starts_is_hardly_more(monkeypatch):
    native = polymer("2xcjA")
    alpha = native.atoms["name"].eq("CA").to_numpy()
    pairs = [(x[alpha], native.positions[alpha]) for _, x in ranking.decoys("2xcjA", 2, 4)]
    usual = [structure_scores(*pair)["gdt_ts"] for pair in pairs]
    windows = [
        np.isin(np.arange(84), range(first, first + width))
        for width in (3, 4, 6, 8, 12, 20, 30, 42, 60)
        for first in range(84 - width + 1)
    ]
    monkeypatch.setattr(superposition, "_starts", lambda length: np.array(windows))
    dense = [structure_scores(*pair)["gdt_ts"] for pair in pairs]
    assert np.max(np.array(dense) - usual) < 0.015
    fixed = [
        np.mean([(np.linalg.norm(superpose(a, b) - b, axis=1) < c).mean() for c in (1, 2, 4, 8)]) for a, b in pairs
    ]
    assert (np.array(usual) >= np.array(fixed)).all()  # one superposition of all is among the starts


# --- PSR and RSR ----------------------------------------------------------------------------------------------------


def angles(positions, bonds):
    """Angles at each atom between its bonds, degrees."""
    of = {}
    for i, j in bonds:
        of.setdefault(i, []).append(j)
        of.setdefault(j, []).append(i)
    triples = np.array([(a, centre, b) for centre, ends in of.items() for a, b in combinations(ends, 2)])
    u, v = (positions[triples[:, k]] - positions[triples[:, 1]] for k in (0, 2))
    cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("name", ["2xcjA", "3a4rA", "1k5i_md"])
def test_decoys_keep_bonds_angles_and_handedness(name):
    native = polymer(name)
    bonds, start = native.bonds(), native.positions
    lengths, before = np.linalg.norm(start[bonds[:, 0]] - start[bonds[:, 1]], axis=1), angles(start, bonds)
    found = ranking.decoys(name, 2, 4)
    assert len(found) >= 6
    for _, moved in found:
        assert np.abs(np.linalg.norm(moved[bonds[:, 0]] - moved[bonds[:, 1]], axis=1) - lengths).max() < 0.003
        assert np.abs(angles(moved, bonds) - before).max() < 0.3  # degrees; coordinates have three decimals
        assert clashes(moved) - clashes(start) <= MOST_CLASHES + 5
        assert np.abs(moved - start).max() > 1  # laid elsewhere in space
    atoms = native.atoms.assign(row=native.residue_index)
    if name != "1k5i_md":  # the planes of the peptides (omega) are not turned
        corner = {n: atoms[atoms["name"] == n].index.to_numpy() for n in ("CA", "C", "N")}
        quadruple = corner["CA"][:-1], corner["C"][:-1], corner["N"][1:], corner["CA"][1:]
        reach = np.linalg.norm(start[quadruple[0]] - start[quadruple[3]], axis=1)
        for _, moved in found:
            assert np.abs(np.linalg.norm(moved[quadruple[0]] - moved[quadruple[3]], axis=1) - reach).max() < 0.003


def test_a_torsion_turns_by_its_angle_and_nothing_else():
    native = polymer("2xcjA")
    torsion = next(t for t in backbone_torsions(native) if t.name == "phi" and t.residue == 40)
    turned = torsion.turn(native.positions, np.radians(30))
    residues = native.residues

    def phi(positions, k):
        rows = [
            native.find_atom("A", int(residues["residue"][r]), n)
            for r, n in ((k - 1, "C"), (k, "N"), (k, "CA"), (k, "C"))
        ]
        b0, b1, b2 = np.diff(positions[rows], axis=0)
        n0, n1 = np.cross(b0, b1), np.cross(b1, b2)
        return np.degrees(np.arctan2(np.cross(n0, n1) @ b1 / np.linalg.norm(b1), n0 @ n1))

    change = [(phi(turned, k) - phi(native.positions, k) + 180) % 360 - 180 for k in (39, 40, 41)]
    assert change == pytest.approx([0, 30, 0], abs=1e-6)
    names = [(t.name, native.residues["resname"][t.residue]) for t in backbone_torsions(native)]
    assert ("phi", "PRO") not in names
    assert Counter(t.name for t in backbone_torsions(polymer("1k5i_md"))) == {
        "alpha": 22,
        "beta": 23,
        "gamma": 23,
        "epsilon": 22,
        "zeta": 22,
    }
    with pytest.raises(ValueError, match="decoys are made of one chain"):
        backbone_torsions(polymer("1hvr"))


def test_scores_of_decoys_by_brute_force(monkeypatch):
    monkeypatch.setitem(ranking.PROTEINS, "val", ("2cviA",))
    items = ranking.psr_items("val", walks=1, frames=3)
    assert len(items) == 3
    native = polymer("2cviA")
    alpha = native.atoms["name"].eq("CA").to_numpy()
    for item in items:
        target, decoy = ast.literal_eval(item["id"])
        assert (target, decoy.split("_")[0]) == ("2cviA", "spread")
        fit = SVDSuperimposer()
        fit.set(native.positions[alpha], item["atoms"][XYZ].to_numpy()[alpha])
        fit.run()
        scores = item["scores"]
        assert set(scores) == {"rmsd", "gdt_ts", "gdt_ha", "tm"}
        assert scores["rmsd"] == pytest.approx(fit.get_rms())
        assert 0 < scores["gdt_ha"] <= scores["gdt_ts"] <= 1
    for item in ranking.rsr_items("test", walks=1, frames=3):
        fit = SVDSuperimposer()
        fit.set(polymer("1k5i_md").positions, item["atoms"][XYZ].to_numpy())
        fit.run()
        assert item["scores"] == pytest.approx({"rms": fit.get_rms()})
        assert set(item["atoms"]["element"]) == {"C", "N", "O", "P"}


def test_decoys_are_graded_and_other_ones_in_each_split(monkeypatch):
    monkeypatch.setitem(ranking.PROTEINS, "test", ("1ahsA",))
    gdt = [item["scores"]["gdt_ts"] for item in ranking.psr_items("test", walks=2)]
    assert min(gdt) < 0.5
    assert max(gdt) > 0.95
    rms = {split: [item["scores"]["rms"] for item in ranking.rsr_items(split, walks=4)] for split in SPLITS}
    assert len({value for values in rms.values() for value in values}) == sum(map(len, rms.values()))
    for values in rms.values():
        assert min(values) < 1.5
        assert max(values) > 14


def test_how_many_walks_there_are_by_default(monkeypatch):
    asked = []
    monkeypatch.setattr(ranking, "decoys", lambda *what: asked.append(what) or ())
    for split in SPLITS:
        assert ranking.rsr_items(split) == ranking.psr_items(split) == []
    assert [what for what in asked if what[0] == "1k5i_md"] == [
        ("1k5i_md", 10, 6, "train/0"),
        ("1k5i_md", 4, 6, "val/0"),
        ("1k5i_md", 4, 6, "test/0"),
    ]
    assert {what[1:] for what in asked if what[0] != "1k5i_md"} == {(3, 8, 0)}
    assert len({what[0] for what in asked}) == 21  # 20 proteins and one RNA
    asked.clear()
    ranking.psr_items("val", targets=["3ii2A"])
    assert asked == [("3ii2A", 3, 8, 0)]
    with pytest.raises(ValueError, match="val has no target 1ahsA; it has 2cviA, 2i39A, 3aqgA, 3ii2A"):
        ranking.psr_items("val", targets=["1ahsA"])


def test_decoys_are_kept_and_a_damaged_file_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EQGAT_CACHE", str(tmp_path))
    kept = []
    for damage in (False, True, False):
        ranking.decoys.cache_clear()
        kept.append(ranking.decoys("1k5i_md", 1, 2, "kept"))
        (file,) = (tmp_path / "decoys").iterdir()
        if damage:
            file.write_bytes(file.read_bytes()[:50])
    for other in kept[1:]:
        assert [name for name, _ in other] == [name for name, _ in kept[0]]
        assert all((a == b).all() for (_, a), (_, b) in zip(kept[0], other, strict=True))


def test_decoys_do_not_swell():
    native = polymer("2xcjA")
    alpha = native.atoms["name"].eq("CA").to_numpy()
    size = radius_of_gyration(native.positions[alpha])
    assert size == pytest.approx(np.sqrt((cdist(*[native.positions[alpha]] * 2) ** 2).sum() / 2) / alpha.sum())
    for _, positions in ranking.decoys("2xcjA", 2, 4):
        assert radius_of_gyration(positions[alpha]) < 1.36 * size


def test_proteins_of_psr_are_whole():
    for name in sum(ranking.PROTEINS.values(), ()):
        atoms = polymer(name).atoms
        sulphur = atoms[atoms["name"] == "SG"][XYZ].to_numpy()
        assert not len(sulphur) or np.sort(cdist(sulphur, sulphur), axis=1)[:, 1:].min(initial=9) > 2.5
        ends, starts = (atoms[atoms["name"] == n].drop_duplicates("residue")[XYZ].to_numpy() for n in ("C", "N"))
        assert np.linalg.norm(ends[:-1] - starts[1:], axis=1).max() < 2


# --- PPI ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "chains"), [("1hvr", "AB"), ("1bd2", "AC"), ("7ddo", "AC")])
def test_pairs_that_touch_by_brute_force(name, chains):
    item = ppi.ppi_item(name, chains)
    atoms, pairs = item["atoms_pairs"], item["atoms_neighbors"]
    columns = ["ensemble", "subunit", "structure", "model", "chain", "residue"]
    assert list(pairs.columns) == [f"{c}0" for c in columns] + [f"{c}1" for c in columns] + ["label"]
    assert pairs["label"].eq(1).all()
    assert atoms["subunit"].unique().tolist() == [f"{name}_{chains[0]}_{chains[1]}_{c}" for c in chains]
    sides = []
    for chain in chains:
        own = atoms[(atoms["chain"] == chain) & ~atoms["resname"].isin(["XK2", "NAG", "ZN"])]
        sides.append([(number, rows[XYZ].to_numpy()) for number, rows in own.groupby("residue")])
    expected = {(i, j) for i, a in sides[0] for j, b in sides[1] if cdist(a, b).min() < 6}
    assert set(zip(pairs["residue0"], pairs["residue1"], strict=True)) == expected
    assert len(pairs) == len(expected)


def test_number_of_pairs():
    counts = {split: [len(item["atoms_neighbors"]) for item in ppi.ppi_items(split)] for split in SPLITS}
    assert counts == {"train": [209, 125, 199, 109, 63, 118, 81, 52, 215, 118], "val": [92, 131], "test": [178, 52, 98]}
    with pytest.raises(ValueError, match="there is no chain 'D'"):
        ppi.ppi_item("6wg6", "AD")


# --- LBA ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("1hvr", {"C": 41, "N": 2, "O": 3}),
        ("10gs", {"C": 23, "N": 3, "O": 6, "S": 1}),
        ("10gs_B", {"C": 23, "N": 3, "O": 6, "S": 1}),
    ],
)
def test_complexes(name, formula):
    item = lba.lba_item(name)
    drug, bonds = item["atoms_ligand"], item["bonds"]
    assert Counter(drug["element"]) == formula
    assert Counter(letter.upper() for letter in re.findall("[CNOScnos]", item["smiles"])) == formula
    order = bonds.assign(order=bonds["type"])
    valence = Counter()
    for row in order.itertuples():
        for end in (row.atom1, row.atom2):
            valence[end] += row.type
    most = {"C": 4.5, "N": 3, "O": 2, "S": 2}  # 4.5: three aromatic bonds in the middle of naphthalene
    assert all(0 < valence[k] <= most[element] for k, element in enumerate(drug["element"]))
    assert bonds["type"].isin([1.0, 1.5, 2.0]).all()
    protein, pocket = item["atoms_protein"], item["atoms_pocket"]
    dry = protein[protein["hetero"] != "W"]
    near = cdist(dry[XYZ], drug[XYZ]).min(axis=1) < 6
    keys = set(map(tuple, dry[near][["chain", "residue"]].to_numpy()))
    assert set(map(tuple, pocket[["chain", "residue"]].to_numpy())) == keys
    assert len(pocket) == sum((chain, residue) in keys for chain, residue in dry[["chain", "residue"]].to_numpy())
    assert cdist(pocket[XYZ], drug[XYZ]).min() > 2.3
    assert set(protein["resname"]).isdisjoint({"XK2", "VWW"})


def test_affinities_are_negative_logarithms_with_a_source():
    unit = {"nM": 1e-9, "µM": 1e-6}
    table = lba.lba_sources()
    assert table.index.tolist() == ["1hvr", "10gs", "10gs_B"]
    for row in table.itertuples():
        constant, equals, number, prefix = row.measured.split()
        assert (constant, equals) == ("Ki", "=")
        assert -np.log10(float(number) * unit[prefix]) == pytest.approx(lba.LIGANDS[row.Index].affinity, abs=0.005)
        assert re.search(r"et al\., .* \((19|20)\d\d\) \d+-\d+; as listed by PDBbind", row.source)
    assert (table["-log10 K"] == [lba.lba_item(name)["scores"]["neglog_aff"] for name in table.index]).all()
    for unknown in ("5pti", "1a28"):
        with pytest.raises(ValueError, match=f"the affinity of '{unknown}' is not known here"):
            lba.lba_item(unknown)


def test_the_two_copies_of_a_complex_are_one_molecule_twice():
    first, second = (lba.lba_item(name) for name in ("10gs", "10gs_B"))
    assert first["scores"] == second["scores"]
    a, b = (item["atoms_ligand"].set_index("name").sort_index() for item in (first, second))
    assert a.index.tolist() == b.index.tolist()
    assert rmsd(b[XYZ].to_numpy(), a[XYZ].to_numpy()) < 0.01  # Å: the copies were refined to be alike
    assert np.abs(b[XYZ].to_numpy() - a[XYZ].to_numpy()).max() > 5  # but lie in different places
    assert first["bonds"]["type"].tolist() == second["bonds"]["type"].tolist()
    residues = [
        Counter(item["atoms_pocket"].drop_duplicates(["chain", "residue"])["residue"]) for item in (first, second)
    ]
    assert sum((residues[0] & residues[1]).values()) > 0.8 * sum(residues[0].values())
