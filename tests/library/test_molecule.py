"""Tables of atoms, what one can ask a molecule, and graphs that are what Section 2 says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from pdb_records import PEPTIDE, ligand, record

from eqgat.datasets import embedded_structure
from eqgat.datasets.own import all_residues
from eqgat.molecule import Molecule
from eqgat.structures import read_structure

# --- tables of ATOM3D -------------------------------------------------------------------------------------------------


def test_from_atoms_takes_what_atom3d_stores(write):
    original = read_structure(write(PEPTIDE), hydrogens=True, waters=True)
    stored = original.atoms.assign(element=original.atoms["element"].str.upper())
    stored.index += 17  # rows of a larger table
    again = Molecule.from_table(stored, name="small", hydrogens=True, waters=True)
    pd.testing.assert_frame_equal(again.atoms, original.atoms)
    assert len(Molecule.from_table(stored)) == 7  # the same defaults as for a file
    ligand = pd.DataFrame({"x": [0.0, 1.7], "y": 0.0, "z": 0.0, "element": ["C", "Cl"]})
    assert Molecule.from_table(ligand, waters=True).elements.tolist() == [1, 6]


@pytest.mark.parametrize("kinds", [["ATOM", "HETATM", "HETATM"], [False, True, True], [" ", "H_LIG", "W"]])
def test_from_atoms_takes_the_kinds_of_records(kinds):
    table = pd.DataFrame({"x": [0.0, 3.0, 9.0], "y": 0.0, "z": 0.0, "element": ["C", "C", "O"], "residue": [1, 2, 3]})
    molecule = Molecule.from_table(table.assign(resname=["ALA", "LIG", "HOH"], hetero=kinds), waters=True)
    assert molecule.hetero.tolist() == [" ", "H_LIG", "W"]


def test_from_atoms_does_not_choose_among_models():
    table = pd.DataFrame({"x": [0.0, 1.0, 0.1], "y": 0.0, "z": 0.0, "element": "C", "model": [1, 1, 2]})
    with pytest.raises(ValueError, match=r"holds 2 models \(1, 2\); choose one"):
        Molecule.from_table(table)
    assert [len(Molecule.from_table(table, model=m)) for m in (1, 2, "all")] == [2, 1, 3]


def test_from_atoms_says_which_column_is_missing():
    with pytest.raises(ValueError, match="no column z"):
        Molecule.from_table(pd.DataFrame({"x": [0.0], "y": 0.0, "element": "C"}))
    with pytest.raises(ValueError, match="no column element or name"):
        Molecule.from_table(pd.DataFrame({"x": [0.0], "y": 0.0, "z": 0.0}))


# --- what one can ask a structure -------------------------------------------------------------------------------------


def test_residues_sequence_and_atoms():
    protease = embedded_structure("1hvr")
    residues = protease.residues
    assert len(residues) == 199
    assert residues["first"].iloc[0] == 0
    assert residues["last"].iloc[-1] == len(protease) - 1
    assert (residues["first"].to_numpy()[1:] == residues["last"].to_numpy()[:-1] + 1).all()
    assert protease.sequence("A") == protease.sequence("B")
    assert protease.sequence("A")[66] == "C"  # S-hydroxycysteine, a hetero group within the chain
    assert embedded_structure("1a8o").sequence()[0] == "M"  # selenomethionine
    row = protease.find_atom("B", 25, "OD1")
    assert protease.atoms.loc[row, ["chain", "residue", "resname", "name"]].tolist() == ["B", 25, "ASP", "OD1"]
    with pytest.raises(ValueError, match="that residue has the atoms N, CA, C, O, CB, CG, OD1, OD2"):
        protease.find_atom("B", 25, "SG")
    with pytest.raises(ValueError, match=r"^residue 1025 of chain 'B' in .* does not exist$"):
        protease.find_atom("B", 1025, "CA")


def test_an_atom_is_found_by_the_insertion_code_of_its_residue():
    molecule = Molecule(
        symbol=["C", "C", "C"],
        positions=3.8 * np.eye(3),
        atom_name=["CA", "CA", "CA"],
        residue_number=[52, 52, 53],
        insertion_code=[" ", "A", " "],
        chain_name=["H", "H", "H"],
    )
    assert [molecule.find_atom("H", 52, "CA"), molecule.find_atom("H", 52, "CA", "A")] == [0, 1]
    with pytest.raises(ValueError, match=r"^residue 53A of chain 'H' in the molecule does not exist$"):
        molecule.find_atom("H", 53, "CA", "A")


def test_a_free_amino_acid_is_not_part_of_the_sequence(write):
    ligand = [
        record(" N  ", "ASN", 900, (20, 0, 0), "N", kind="HETATM"),
        record(" CA ", "ASN", 900, (21.4, 0, 0), "C", kind="HETATM"),
    ]
    assert read_structure(write([*PEPTIDE, *ligand])).sequence() == "AG"


def test_a_ligand_that_has_the_name_of_a_water_but_carbon_is_kept(write):
    ligand = [record(" C1 ", "SOL", 900, (20, 0, 0), "C"), record(" O1 ", "SOL", 900, (21.4, 0, 0), "O")]
    molecule = read_structure(write([*PEPTIDE[:4], *ligand]))
    assert (len(molecule), molecule.dropped) == (6, {})


@pytest.mark.parametrize("name", ["GDP", "ATP", "GTP", "SAM"])  # with the letter g; known; unknown; an amino acid
def test_a_ligand_that_looks_like_a_residue_has_no_letter(name, write):
    ligand = [
        record(f" {atom:3}", name, 900, (20 + 1.5 * k, 0, 0), atom[0], kind="HETATM")
        for k, atom in enumerate(("N", "CA", "C", "C1'", "O3'"))
    ]
    assert read_structure(write([*PEPTIDE, *ligand])).sequence() == "AG"


def test_an_unknown_residue_counts_where_it_is_bound(write):
    bound = [
        record(" N  ", "QQQ", 3, (4.9, 3.9, 0.4), "N", kind="HETATM", chain="B"),
        record(" CA ", "QQQ", 3, (5.7, 5.1, 0.4), "C", kind="HETATM", chain="B"),
    ]
    glycine = record(" C  ", "GLY", 2, (5.2, 2.7, 0.2), "C", chain="B")
    assert read_structure(write([*PEPTIDE, glycine, *bound])).sequence() == "AGX"
    assert read_structure(write([*PEPTIDE, *bound])).sequence() == "AG"


def test_selecting_and_moving_leave_the_original_alone():
    protease = embedded_structure("1hvr")
    one = protease.chain("A")
    assert one.atoms["chain"].eq("A").all()
    assert len(one) + len(protease.chain("B")) == len(protease)
    assert list(one.atoms.index) == list(range(len(one)))
    assert protease.select([5, 3]).atoms["x"].tolist() == protease.atoms["x"].iloc[[5, 3]].tolist()
    moved = protease.with_positions(protease.positions + 1.0)
    np.testing.assert_allclose(moved.positions - protease.positions, 1.0)
    with pytest.raises(ValueError, match=r"shape \[1560, 3\]; got \[3, 1560\]"):
        protease.with_positions(protease.positions.T)
    with pytest.raises(ValueError, match="is selected"):
        protease.select(np.zeros(len(protease), dtype=bool))
    with pytest.raises(ValueError, match="the mask has 2 entries"):
        protease.select([True, False])


@pytest.mark.parametrize("name", ["5pti", "1hvr", "1a8o", "1k5i_md", "1lcd"])
def test_pdb_text_reads_back_as_the_same_atoms(name, tmp_path):
    structure = embedded_structure(name)
    colours = np.linspace(0, 1, len(structure))
    (tmp_path / "out.pdb").write_text(structure.to_pdb(bfactor=colours))
    again = read_structure(tmp_path / "out.pdb", altloc="all")
    same = ["chain", "hetero", "insertion_code", "residue", "resname", "altloc", "x", "y", "z", "element", "name"]
    pd.testing.assert_frame_equal(again.atoms[same], structure.atoms[same])
    np.testing.assert_allclose(again.atoms["bfactor"], colours, atol=0.0051)
    assert {len(line) for line in structure.to_pdb().splitlines() if line[:4] in ("ATOM", "HETA")} == {78}


def test_pdb_text_tells_calcium_from_carbon_alpha_by_column(write):
    lines = read_structure(write(PEPTIDE)).to_pdb().splitlines()
    assert lines[1][12:26] == " CA  ALA A   1"
    assert next(line for line in lines if line[:6] == "HETATM")[12:26] == "CA    CA A 101"


def test_pdb_text_refuses_what_its_columns_cannot_hold():
    structure = embedded_structure("5pti")
    with pytest.raises(ValueError, match="bfactor must be 459 finite numbers"):
        structure.to_pdb(bfactor=np.zeros(3))
    with pytest.raises(ValueError, match="no room for chain 'AA'"):
        replace(structure, chain_name=np.full(459, "AA")).to_pdb()
    with pytest.raises(ValueError, match=r"no room for x 1000\d\d"):
        structure.with_positions(structure.positions + 1e5).to_pdb()


def test_bonds_are_the_chemical_ones():
    inhibitor = embedded_structure("5pti", hetero=False)
    bonds = {tuple(pair) for pair in inhibitor.bonds().tolist()}
    atoms = inhibitor.atoms
    cystine = [(atoms.residue[i], atoms.residue[j]) for i, j in bonds if atoms.element[i] == atoms.element[j] == "S"]
    assert sorted(map(sorted, cystine)) == [[5, 55], [14, 38], [30, 51]]
    peptide = [(i, j) for i, j in bonds if atoms.residue[i] != atoms.residue[j] and atoms.element[i] != "S"]
    assert len(peptide) == 57
    assert {(atoms.name[i], atoms.name[j]) for i, j in peptide} == {("C", "N")}
    # A protein is a tree of bonds with one more for each ring: N - 1 + 3 cystines + 4 Pro + 4 Phe + 4 Tyr.
    assert len(bonds) == len(atoms) - 1 + 3 + 4 + 4 + 4
    sodium = embedded_structure("1lcd")
    ion = int(np.flatnonzero(sodium.atoms["element"] == "Na")[0])
    assert ion not in sodium.bonds()
    water = Molecule(symbol=["O", "H", "D"], positions=[[0, 0, 0], [0.6, 0.6, 0], [0.6, -0.3, 0]])
    assert water.bonds().tolist() == [[0, 1], [0, 2]]  # two hydrogens 0.9 Å apart have none


@pytest.mark.parametrize(
    ("symbols", "distance", "bonded"),
    [
        ("CC", 1.85, True),
        ("CC", 1.87, False),
        ("SS", 2.49, True),
        ("SS", 2.51, False),
        ("CC", 0.41, True),
        ("CC", 0.39, False),
    ],
)
def test_the_shortest_and_the_longest_bond_by_hand(symbols, distance, bonded):
    """From 0.4 Å, closer are two places of one atom, to 0.4 Å more than both radii: carbon's 0.73 Å, sulphur's 1.05 Å."""
    molecule = Molecule(symbol=list(symbols), positions=[[0, 0, 0], [0, distance, 0]])
    assert molecule.bonds().tolist() == ([[0, 1]] if bonded else [])


def test_bonds_ascend():
    """A chain of 40 carbons, 1.5 Å apart, whose rows are mixed: each bond once, i < j, sorted by i, then by j."""
    place = np.random.default_rng(0).permutation(40)
    positions = np.zeros((40, 3))
    positions[:, 0] = 1.5 * place
    along = np.argsort(place).tolist()  # the rows as they follow each other in the chain
    expected = sorted(sorted(pair) for pair in pairwise(along))
    assert Molecule(symbol=["C"] * 40, positions=positions).bonds().tolist() == expected


def test_a_ligand_has_no_alpha_carbon_and_no_residue_to_ask_about(write):
    modified = [
        record(f" {name:3}", "QQQ", 8, (3 + k, 3, 0), name[0], kind="HETATM") for k, name in enumerate(("N", "CA", "C"))
    ]
    molecule = read_structure(write([*PEPTIDE[:4], *ligand(" CA ", " CB ", " O1 "), *modified]))
    assert all_residues(molecule)["resname"].tolist() == ["ALA", "QQQ"]
    assert molecule.atom_name[molecule.graph().alpha_carbon.numpy()].tolist() == ["CA", "CA"]


@pytest.mark.parametrize("centre", ["C1'", "C1*"])
def test_a_nucleotide_can_be_asked_about_by_its_old_names_too(centre, write):
    molecule = read_structure(
        write([record(f" {centre}", " DA", number, (5 * number, 0, 0), "C") for number in (1, 2)])
    )
    assert molecule.sequence() == "AA"
    assert all_residues(molecule)["residue"].tolist() == [1, 2]


# --- graphs -----------------------------------------------------------------------------------------------------------


def test_graph_of_a_structure():
    structure = embedded_structure("1hvr")
    graph = structure.graph(cutoff=4.5)
    assert graph.z.dtype == torch.int64
    assert graph.pos.dtype == torch.float32
    assert structure.graph(dtype=torch.float64).pos.dtype == torch.float64
    distance = np.linalg.norm(structure.positions[:, None] - structure.positions[None], axis=-1)
    near = (distance < 4.5) & ~np.eye(len(structure), dtype=bool)
    source, receiver = graph.edge_index.numpy()
    assert near.sum() == graph.num_edges
    assert near[source, receiver].all()
    assert (np.diff(receiver * len(structure) + source) > 0).all()  # sorted by receiver, then source, none twice
    assert int(graph.alpha_carbon.sum()) == 198
    assert graph.residue.max() == 198
    assert torch.bincount(graph.z, minlength=9).tolist() == [0, 1017, 262, 275, 0, 6, 0, 0, 0]


def test_edges_are_those_of_the_exact_coordinates():
    """Two atoms 4.499 Å apart, so far from the origin that float32, which the model gets, has them farther apart."""
    molecule = Molecule(symbol=["C", "C"], positions=[[8192.001, 0, 0], [8196.5, 0, 0]])
    assert molecule.graph(cutoff=4.49901).num_edges == 2
    rounded = molecule.with_positions(molecule.positions.astype(np.float32))
    assert rounded.graph(cutoff=4.49901).num_edges == 0


def test_a_molecule_made_by_hand_is_checked():
    assert Molecule(symbol=["CL", "c", "D"], positions=np.zeros((3, 3))).symbol.tolist() == ["Cl", "C", "D"]
    with pytest.raises(ValueError, match="symbol 'Qx' of atom 1 is no chemical element"):
        Molecule(symbol=["C", "Qx"], positions=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"atom_name must have an entry for each of the 2 atoms; got shape \[1\]"):
        Molecule(symbol=["C", "C"], positions=np.zeros((2, 3)), atom_name=["CA"])
    with pytest.raises(ValueError, match=r"occupancy must have an entry for each of the 2 atoms; got shape \[\]"):
        Molecule(symbol=["C", "C"], positions=np.zeros((2, 3)), occupancy=1.0)


@pytest.mark.parametrize("dtype", [torch.int32, torch.float16, torch.bfloat16])
def test_coordinates_of_a_graph_are_not_rounded_away(dtype):
    with pytest.raises(ValueError, match=r"need torch.float32 or torch.float64; got torch"):
        Molecule(symbol=["C"], positions=[[0.5, 0, 0]]).graph(dtype=dtype)


def test_graphs_do_not_depend_on_where_the_structure_lies():
    structure = embedded_structure("5pti")
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    moved = structure.with_positions(structure.positions @ turn.T + [10.0, -20.0, 30.0])
    assert torch.equal(structure.graph().edge_index, moved.graph().edge_index)


def test_graphs_can_be_batched():
    from torch_geometric.data import Batch

    graph = embedded_structure("5pti").graph()
    batch = Batch.from_data_list([graph, graph])
    assert torch.equal(batch.residue[:459], batch.residue[459:])  # PyG shifts what is called "index"; this is not
    assert batch.num_edges == 2 * graph.num_edges
