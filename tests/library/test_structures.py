"""Files become the atoms that they hold, by choices that are stated."""

from __future__ import annotations

import gzip
import io
import warnings

import pandas as pd
import pytest
import torch
from Bio.PDB import MMCIFIO, PDBParser
from pdb_records import PEPTIDE, record

from eqgat.datasets import embedded_path, embedded_structure
from eqgat.datasets.own.structures import stem
from eqgat.molecule import ATOM_COLUMNS, StructureError
from eqgat.structures import read_structure

# --- what is read -----------------------------------------------------------------------------------------------------


def test_columns_are_those_of_atom3d_and_numbers_are_those_of_the_file(write):
    atoms = read_structure(write(PEPTIDE)).atoms
    assert list(atoms.columns) == list(ATOM_COLUMNS)
    assert len(ATOM_COLUMNS) == 20
    assert atoms.loc[3, ["x", "y", "z"]].tolist() == [1.3, 2.4, 0.0]  # exactly, not as float32 rounds them
    assert list(atoms.index) == list(range(len(atoms)))


@pytest.mark.parametrize("name", ["1hvr", "1a8o", "1lcd"])
def test_pdb_and_mmcif_of_one_entry_give_the_same_atoms(name, tmp_path):
    # Biopython writes the mmCIF file from the PDB file, by a route that shares nothing with our table.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = gzip.decompress(embedded_path(name).read_bytes()).decode()
        parsed = PDBParser().get_structure(name, io.StringIO(text))
    writer = MMCIFIO()
    writer.set_structure(parsed)
    writer.save(str(tmp_path / f"{name}.cif"))
    options = {"hydrogens": True, "waters": True}
    pdb, cif = embedded_structure(name, **options), read_structure(tmp_path / f"{name}.cif", **options)
    same = [
        "model",
        "chain",
        "hetero",
        "insertion_code",
        "residue",
        "resname",
        "altloc",
        "occupancy",
        "bfactor",
        "x",
        "y",
        "z",
        "element",
        "name",
    ]
    # Biopython's file puts ligands and waters behind their own chain; otherwise the order is the same.
    place = ["chain", "residue", "insertion_code", "hetero", "name"]
    pdb, cif = (s.select(s.atoms.sort_values(place).index.to_numpy()) for s in (pdb, cif))
    pd.testing.assert_frame_equal(pdb.atoms[same], cif.atoms[same])
    assert torch.equal(pdb.graph().edge_index, cif.graph().edge_index)


def test_gzipped_or_not_makes_no_difference(write):
    plain, zipped = read_structure(write(PEPTIDE)), read_structure(write(PEPTIDE, "small.ent.gz"))
    assert zipped.name == plain.name == "small"
    columns = [c for c in ATOM_COLUMNS if c not in ("ensemble", "structure")]
    pd.testing.assert_frame_equal(plain.atoms[columns], zipped.atoms[columns])


def test_parser_warnings_do_not_leak(write):
    odd = [*PEPTIDE[:3], PEPTIDE[3][:54], PEPTIDE[2]]  # no occupancy, no B factor; a chain that comes back
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_structure(write(odd))) == 4


# --- choices ----------------------------------------------------------------------------------------------------------


def test_defaults_keep_heavy_atoms_and_hetero_groups_and_drop_hydrogens_and_waters(write):
    structure = read_structure(write(PEPTIDE))
    assert list(structure.atoms["name"]) == ["N", "CA", "C", "O", "N", "CA", "CA"]
    assert list(structure.atoms["element"]) == ["N", "C", "C", "O", "N", "C", "Ca"]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"hydrogens": True}, 9),
        ({"waters": True}, 10),
        ({"hetero": False}, 6),
        ({"chains": "B"}, 2),
        ({"chains": ["A"]}, 5),
        ({"hydrogens": True, "waters": True}, 12),
        ({"hetero": False, "waters": True}, 9),
    ],
)
def test_each_choice_keeps_what_it_says(write, options, count):
    assert len(read_structure(write(PEPTIDE), **options)) == count


def test_models_the_first_by_default_another_by_number_all_on_demand(write):
    two = ["MODEL        4", *PEPTIDE[:2], "ENDMDL", "MODEL        7", *PEPTIDE[1:4], "ENDMDL"]
    path = write(two)
    assert len(read_structure(path)) == 2
    assert len(read_structure(path, model=7)) == 3
    assert len(read_structure(path, model="all")) == 5
    with pytest.raises(ValueError, match=r"has no model 1; there are the models 4, 7"):
        read_structure(path, model=1)


def test_alternate_locations_stay_together_within_a_residue(write):
    def serine(label, occupancy, shift):
        return [
            record(name, "SER", 1, (k, shift, 0), e, altloc=label, occupancy=occupancy)
            for k, (name, e) in enumerate([(" CB ", "C"), (" OG ", "O")])
        ]

    common = [record(" N  ", "SER", 1, (0, -2, 0), "N"), record(" CA ", "SER", 1, (1, -2, 0), "C")]
    path = write([*common, *serine("A", 0.4, 0), *serine("B", 0.6, 1)])
    assert list(read_structure(path).atoms["altloc"]) == [" ", " ", "B", "B"]
    assert list(read_structure(path, altloc="A").atoms["altloc"]) == [" ", " ", "A", "A"]
    assert len(read_structure(path, altloc="all")) == 6
    with pytest.raises(ValueError, match="no alternate location 'C'; there are A, B"):
        read_structure(path, altloc="C")
    tie = read_structure(write([*common, *serine("B", 0.5, 1), *serine("A", 0.5, 0)]))
    assert list(tie.atoms["altloc"]) == [" ", " ", "A", "A"]  # equal occupancies: the first label, not the first line
    hole = read_structure(write([*common, *serine("A", 0.4, 0), *serine("B", 0.6, 1)[:1]]))
    assert list(hole.atoms["name"]) == ["N", "CA", "OG", "CB"]  # OG exists only as A: kept, no hole


def test_hydrogen_and_deuterium_of_one_place_are_alternates(write):
    exchanged = [
        record(" H  ", "ALA", 1, (1, 0, 0), "H", altloc="A", occupancy=0.4),
        record(" D  ", "ALA", 1, (1, 0, 0), "D", altloc="B", occupancy=0.6),
    ]
    molecule = read_structure(write([*PEPTIDE[:2], *exchanged]), hydrogens=True)
    assert (molecule.symbol.tolist(), molecule.dropped) == (["N", "C", "D"], {"alternate": 1})


def test_of_two_residues_at_one_place_only_one_is_kept(write):
    # Crambin has serine and proline at position 22, told apart by their labels alone.
    both = [
        record(" CA ", "PRO", 22, (0, 0, 0), "C", altloc="A", occupancy=0.6),
        record(" CD ", "PRO", 22, (1, 0, 0), "C", altloc="A", occupancy=0.6),
        record(" CA ", "SER", 22, (0, 0.2, 0), "C", altloc="B", occupancy=0.4),
        record(" OG ", "SER", 22, (1, 0.2, 0), "O", altloc="B", occupancy=0.4),
    ]
    assert set(read_structure(write(both)).atoms["resname"]) == {"PRO"}


@pytest.mark.parametrize("chain", ["A", " "])
def test_residues_that_share_a_number_and_labels_are_two(chain, write):
    def alternates(name, resname, y):
        share = {"A": 0.6, "B": 0.4}
        return [record(name, resname, 1, (0, y, 0), "C", altloc=a, chain=chain, occupancy=share[a]) for a in share]

    molecule = read_structure(write([*alternates(" CB ", "MET", 0), *alternates(" C1 ", "LIG", 30)]))
    assert molecule.residue_name.tolist() == ["MET", "LIG"]
    assert molecule.dropped == {"alternate": 2}


def test_ligands_of_mmcif_without_a_number_are_told_apart_by_their_own_chain(tmp_path):
    tags = "type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_seq_id Cartn_x Cartn_y Cartn_z"
    head = "\n".join(f"_atom_site.{tag}" for tag in [*tags.split(), "auth_asym_id"])
    atoms = ["ZN ZN . ZN D . 45 0 0 A", "ZN ZN . ZN E . 55 0 0 A", "C C1 . GOL F . 65 0 0 A", "C C1 . GOL G . 75 0 0 A"]
    atoms += [
        f"C C1 {label} EDO {own} . {x} {y} 0 A" for own, x in (("H", 5), ("I", 25)) for y, label in enumerate("AB")
    ]
    path = tmp_path / "ligands.cif"
    path.write_text(f"data_x\nloop_\n{head}\nC CA . MET A 1 0 0 0 A\n" + "\n".join(atoms) + "\n")
    molecule = read_structure(path)
    assert molecule.residue_name.tolist() == ["MET", "ZN", "ZN", "GOL", "GOL", "EDO", "EDO"]
    assert (len(molecule.residues), molecule.dropped) == (7, {"alternate": 2})


def test_a_record_that_is_repeated_word_for_word_is_one_atom(write):
    assert len(read_structure(write([*PEPTIDE[:4], PEPTIDE[1], PEPTIDE[2]]))) == 4


def test_models_that_share_a_number_are_numbered_anew(tmp_path):
    line = "ATOM      1  CA  ALA A   1    {:8.3f}   0.000   0.000  1.00  0.00           C  \n"
    models = [f"MODEL        1\n{line.format(x)}ENDMDL\n" for x in (1.0, 2.0)]
    file = tmp_path / "twice.pdb"
    file.write_text("".join(models) + "END\n")
    assert read_structure(file).positions.tolist() == [[1.0, 0.0, 0.0]]
    assert read_structure(file, model=2).positions.tolist() == [[2.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("numbers", "models"),
    [
        ([1, 3, 5, None], {1: 0, 3: 1, 5: 2, 6: 3}),  # an ion after the last ENDMDL
        ([None, 1, 2], {1: 1, 2: 2, 3: 0}),  # a receptor, and poses of a ligand
        ([None, None], {1: 0, 2: 1}),
    ],
)
def test_a_model_keeps_the_number_that_the_file_gives(numbers, models, write):
    lines = []
    for place, number in enumerate(numbers):
        begun = [] if number is None else [f"MODEL     {number:4d}"]
        lines += [*begun, record(" CA ", "ALA", 1, (place, 0, 0), "C"), "ENDMDL"]
    path = write(lines)
    assert {model: int(read_structure(path, model=model).positions[0, 0]) for model in models} == models
    assert read_structure(path).positions[0, 0] == 0


# --- errors -----------------------------------------------------------------------------------------------------------


def test_paths_that_are_no_structure_file(write, tmp_path):
    with pytest.raises(ValueError, match=r"known are \.pdb, \.ent, \.cif and \.mmcif"):
        read_structure(write(PEPTIDE, "small.xyz"))
    with pytest.raises(ValueError, match="is a folder"):
        read_structure(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no structure file .*none\.pdb$"):
        read_structure(tmp_path / "none.pdb")
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"):
        read_structure(tmp_path / "nowhere" / "1ubq.pdb")


def test_damaged_files(write, tmp_path):
    path = write(PEPTIDE, "cut.pdb.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="not a complete gzip file"):
        read_structure(path)
    path.write_bytes(b"ATOM, but not gzipped")
    with pytest.raises(ValueError, match="not a complete gzip file"):
        read_structure(path)
    with pytest.raises(ValueError, match=r"small.pdb, line 1: columns 31-54 are not three coordinates"):
        read_structure(write([PEPTIDE[0][:40]]))
    with pytest.raises(ValueError, match="has no atoms"):
        read_structure(write(["HEADER    NOTHING"]))
    (tmp_path / "empty.cif").write_text("data_empty\n#\n_entry.id empty\n")
    with pytest.raises(ValueError, match="has no atoms"):
        read_structure(tmp_path / "empty.cif")
    text = gzip.decompress(embedded_path("5pti").read_bytes()).decode()
    (tmp_path / "cut.cif").write_text(text[: text.index("\nATOM") + 5000].rstrip()[:-30])
    with pytest.raises(ValueError, match=r"cut.cif, line \d+: cannot be read as mmCIF"):
        read_structure(tmp_path / "cut.cif")


@pytest.mark.parametrize("value", ["     nan", "     inf"])
def test_coordinates_that_are_no_numbers(write, value):
    broken = PEPTIDE[1][:30] + value + PEPTIDE[1][38:]
    with pytest.raises(StructureError, match=r"small.pdb, line 2: columns 31-54 are not three coordinates"):
        read_structure(write([PEPTIDE[0], broken]))


@pytest.mark.parametrize(
    ("lines", "options", "culprit"),
    [
        (PEPTIDE[9:], {}, "waters=False"),
        (PEPTIDE[8:9], {"hetero": False}, "hetero=False"),
        (PEPTIDE[4:6], {}, "hydrogens=False"),
    ],
)
def test_no_atoms_left_says_which_choice_removed_them(write, lines, options, culprit):
    with pytest.raises(ValueError, match=f"no atoms of small.pdb are left: the last {len(lines)} .* {culprit}"):
        read_structure(write(lines), **options)


def test_a_file_of_the_other_format_is_told_by_its_text(write):
    path = write(PEPTIDE, "small.cif")
    with pytest.raises(
        StructureError, match=r"small.cif, line 1: the file looks like PDB, .*rename it to end in \.pdb"
    ):
        read_structure(path)
    path = write(["# a note", "data_x", "loop_", "_atom_site.Cartn_x", "1.0"])
    with pytest.raises(
        StructureError, match=r"small.pdb, line 1: the file looks like mmCIF, .*rename it to end in \.cif"
    ):
        read_structure(path)


def test_an_assembly_has_its_copies_as_models(write):
    copies = [line for number in (1, 2) for line in (f"MODEL     {number:4d}", *PEPTIDE[:4], "ENDMDL")]
    path = write(copies, "1abc.pdb1.gz")
    assert read_structure(path).name == stem(path.name) == "1abc"
    assert (len(read_structure(path)), len(read_structure(path, model="all", altloc="all"))) == (4, 8)


def test_two_chains_without_a_letter_are_told_to_get_one(write):
    moved = [record(" CA ", "ALA", 1, (20, 0, 0), "C", chain=" ")]
    with pytest.raises(StructureError, match="give each chain a letter of its own"):
        read_structure(write([record(" CA ", "ALA", 1, (0, 0, 0), "C", chain=" "), *moved]))


def test_atoms_without_a_number_may_share_a_name_in_a_ligand(write):
    atoms = [
        record(" C  ", "LIG", 9, (2 * k, 9, 0), "C", kind="HETATM").replace("    1 ", "***** ", 1) for k in range(3)
    ]
    assert len(read_structure(write(atoms))) == 3


def test_residue_numbers_of_five_digits_begin_in_the_column_of_the_chain(write):
    def water(number):
        return record(" O  ", "HOH", 0, (number / 100, 0, 0), "O").replace("A   0 ", f"{number:>5} ")

    path = write([*PEPTIDE[:4], *map(water, (9999, 10000, 10001, 12345))])
    molecule = read_structure(path, waters=True)
    assert molecule.residue_number.tolist()[4:] == [9999, 10000, 10001, 12345]
    assert molecule.chain_name.tolist() == ["A"] * 4 + [" "] * 4
    digits = write([record(" CA ", "ALA", n, (n, 0, 0), "C", chain=c) for c in "12" for n in (1, 2345)])
    assert read_structure(digits).residues["chain"].tolist() == ["1", "1", "2", "2"]
    padded = write(
        [record(" CA ", "ALA", 7, (k, 0, 0), "C", chain=c).replace("   7", "0007") for k, c in enumerate("12")]
    )
    assert read_structure(padded).residues["chain"].tolist() == ["1", "2"]


def test_unknown_chain(write):
    with pytest.raises(ValueError, match="there is no chain 5; the chains are 'A', 'B'"):
        read_structure(write(PEPTIDE), chains=5)
    with pytest.raises(ValueError, match=r"^small\.pdb: there is no chain 'C'; the chains are 'A', 'B'"):  # of no line
        read_structure(write(PEPTIDE), chains="C")
    with pytest.raises(ValueError, match="no chain 'C'"):
        read_structure(write(PEPTIDE)).chain("C")


@pytest.mark.parametrize("far", ["100000.001", "-1e30"])
def test_coordinates_too_far_to_be_any_are_refused(far, write):
    text = "data_x\nloop_\n_atom_site.type_symbol\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z\n"
    path = write(["x"], "far.cif")
    path.write_text(f"{text}C 1.0 2.0 3.0\nC 1.0 {far} 3.0\n")
    with pytest.raises(StructureError, match=r"far.cif, line 8: .* infinite coordinates, or beyond 100000 Å"):
        read_structure(path)
