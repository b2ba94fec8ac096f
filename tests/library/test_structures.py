"""Files become the atoms that they hold, by choices that are stated, and graphs that are what Section 2 says."""

import gzip
import io
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from Bio.PDB import MMCIFIO, PDBParser

from eqgat.datasets import embedded_names, embedded_path, embedded_structure
from eqgat.datasets.own import all_residues
from eqgat.datasets.own.structures import stem
from eqgat.molecule import ATOM_COLUMNS, Molecule, StructureError, element_index
from eqgat.structures import read_structure
from eqgat.viz.explorer import REASONS


def record(name, resname, number, xyz, element="", *, kind="ATOM", altloc=" ", chain="A", occupancy=1.0):
    """One PDB coordinate record; ``name`` has its four columns."""
    x, y, z = xyz
    return (
        f"{kind:6}    1 {name:4}{altloc}{resname:>3} {chain}{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{occupancy:6.2f} 10.00          {element:>2}"
    )


PEPTIDE = [
    record(" N  ", "ALA", 1, (0, 0, 0), "N"),
    record(" CA ", "ALA", 1, (1.4, 0, 0), "C"),
    record(" C  ", "ALA", 1, (2, 1.4, 0), "C"),
    record(" O  ", "ALA", 1, (1.3, 2.4, 0), "O"),
    record(" HA ", "ALA", 1, (1.7, -0.6, 0.8), "H"),
    record(" D  ", "ALA", 1, (-0.3, 0.5, -0.8), "D"),
    record(" N  ", "GLY", 2, (3.3, 1.5, 0), "N", chain="B"),
    record(" CA ", "GLY", 2, (4, 2.8, 0), "C", chain="B"),
    record("CA  ", " CA", 101, (9, 9, 9), "CA", kind="HETATM"),
    record(" O  ", "HOH", 201, (5, 5, 5), "O", kind="HETATM"),
    record(" O  ", "DOD", 202, (6, 6, 6), "O", kind="HETATM"),
    record(" OH2", "TIP", 203, (7, 7, 7), "O"),
]


@pytest.fixture
def write(tmp_path):
    def write_lines(lines, name="small.pdb"):
        path = tmp_path / name
        text = "\n".join([*lines, "END", ""]).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    return write_lines


# --- what is read ---------------------------------------------------------------------------------------------------


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


# --- choices --------------------------------------------------------------------------------------------------------


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


# --- elements -------------------------------------------------------------------------------------------------------


def test_vocabulary():
    indices = [element_index(e) for e in ("H", "D", "C", "N", "O", "F", "S", "Cl", "CL", "P")]
    assert indices == [0, 0, 1, 2, 3, 4, 5, 6, 6, 7]
    assert {element_index(e) for e in ("Br", "ZN", "Se", "B", "I", "MG", "X")} == {8}
    with pytest.raises(ValueError, match="'XX' is not a chemical element"):
        element_index("XX")


@pytest.mark.parametrize("name", embedded_names())
def test_inferred_elements_equal_the_given_ones(name):
    # Blank the element column of every file that has one; what is inferred must be what was there.
    # A ligand's atom CA is not told by an mmCIF file without elements: it has no columns. It is refused, see below.
    hetero = name not in ("10gs", "7cfn")
    given = embedded_structure(name, hydrogens=True, waters=True, hetero=hetero).atoms
    blank = Molecule.from_table(given.assign(element=""), hydrogens=True, waters=True).atoms
    deuterium = given["element"].eq("D")  # named D..., which is read from the name as well
    assert blank["element"].where(~deuterium, "D").tolist() == given["element"].tolist()


def test_carbon_alpha_and_calcium_are_told_apart_even_in_wrong_columns(write):
    lines = [
        record("CA  ", "GLY", 1, (0, 0, 0)),
        record("CD  ", "GLN", 2, (3, 0, 0)),
        record("NE  ", "ARG", 3, (6, 0, 0)),
        record("HG  ", "SER", 4, (9, 0, 0)),
        record("CA  ", " CA", 5, (12, 0, 0), kind="HETATM"),
        record(" K  ", "  K", 6, (15, 0, 0), kind="HETATM"),
        record(" POT", "POT", 7, (18, 0, 0)),
        record("SE  ", "MSE", 8, (21, 0, 0), kind="HETATM"),
    ]
    atoms = read_structure(write(lines), hydrogens=True).atoms
    assert atoms["element"].tolist() == ["C", "C", "N", "H", "Ca", "K", "K", "Se"]


def ligand(*names, resname="LIG"):
    return [record(name, resname, 1, (2 * k, 9, 0), kind="HETATM") for k, name in enumerate(names)]


@pytest.mark.parametrize(
    ("names", "elements"),
    [
        ([" C1 ", "CL1 ", " CL "], None),  # chlorine by its columns, then a name where the columns allow none
        ([" C1 ", "CL1 ", " CA ", " NA ", "HO21"], ["C", "Cl", "C", "N", "H"]),
        (["CU1 ", "CU2 "], ["Cu", "Cu"]),
        (["C1  ", "CL1 "], None),  # a ligand that does not keep to the columns, beside a protein that does
        (["C1  ", "CA  "], None),
        (["CHA ", "NA  "], None),
        ([" FE ", " NA "], None),
        ([" MG ", " NA "], None),  # M is no element
        (["FE  ", " NA "], ["Fe", "N"]),
    ],
)
def test_an_element_that_a_name_does_not_tell_is_not_guessed(names, elements, write):
    path = write([record(" CA ", "GLY", 7, (0, 0, 0)), *ligand(*names)])
    if elements:
        assert read_structure(path, hydrogens=True).symbol.tolist() == ["C", *elements]
        return
    with pytest.raises(
        ValueError, match=r"of residue LIG 1 in chain 'A' has no element, .*does not tell it for certain"
    ):
        read_structure(path)


def test_an_ion_of_a_force_field_is_known_by_its_residue(write):
    ions = [line for name in ("RUB", "BAR", "CAD", "IOD") for line in ligand(f" {name}", resname=name)]
    assert read_structure(write([PEPTIDE[0], *ions])).symbol.tolist() == ["N", "Rb", "Ba", "Cd", "I"]


@pytest.mark.parametrize(
    ("columns", "name", "element"),
    [
        (" Cl", " C1 ", "Cl"),  # in columns 78-79, as AutoDock writes it
        (" Na", " C1 ", "Na"),
        (" NA", " N1 ", "N"),  # AutoDock's nitrogen that accepts hydrogens, or sodium: the name tells
        (" NA", "NA  ", "Na"),
        (" OA", " C1 ", "O"),
        (" C1+", " N1 ", "C"),
        ("CL1-", " C1 ", "Cl"),
    ],
)
def test_an_element_one_column_to_the_right(columns, name, element, write):
    path = write([PEPTIDE[0], record(name, "LIG", 9, (9, 0, 0), kind="HETATM")[:76].ljust(76) + columns])
    assert read_structure(path).symbol[1] == element


@pytest.mark.parametrize("fourth", ["HIS1", "LYS+", "CYSS", "TRPX", "ASPH"])
def test_the_fourth_letter_of_one_name_is_no_chain(fourth, write):
    molecule = read_structure(
        write([*PEPTIDE[:4], record(" CA ", fourth, 2, (9, 0, 0), "C").replace(f"{fourth} ", fourth)])
    )
    assert molecule.residue_name[4] == fourth
    assert set(molecule.chain_name) == {"A"}
    assert molecule.sequence() == "A" + {"TRPX": "X", "LYS+": "K", "CYSS": "C", "ASPH": "D", "HIS1": "H"}[fourth]


def test_a_chain_of_two_letters_begins_in_column_21(write):
    lines = [line[:20] + "ZA" + line[22:] for line in PEPTIDE[:8]]
    assert set(read_structure(write(lines)).chain_name) == {"ZA"}


def test_what_is_no_atom_is_left_out_and_counted(write):
    water = [record(name, "SOL", 9, (k, 9, 0)) for k, name in enumerate((" OW ", " MW ", "EPW ", " LP1"))]
    pseudo = [
        record(" LPA", "ALA", 1, (1, 1, 1)),
        record(" QB ", "ALA", 1, (2, 2, 2)),
        record("EP1 ", "ALA", 1, (3, 2, 2), "EP"),
    ]
    path = write([*PEPTIDE[:4], *pseudo, *water])
    molecule = read_structure(path, waters=True)
    assert molecule.atom_name.tolist() == ["N", "CA", "C", "O", "OW"]
    assert molecule.dropped == {"virtual": 6}
    assert set(molecule.dropped) <= set(REASONS)
    with pytest.raises(StructureError, match=r"no atoms of small\.pdb are left: .* lone pairs, virtual sites"):
        read_structure(write(pseudo))


def test_an_unknown_element_is_named_and_can_be_left_out(write):
    path = write([*PEPTIDE[:4], record(" UNK", "UNX", 324, (8, 8, 8), "QX", kind="HETATM")])
    with pytest.raises(
        StructureError, match=r"pdb, line 5: atom UNK of residue UNX 324 in chain 'A' has the element 'Qx'"
    ):
        read_structure(path)
    assert len(read_structure(path, hetero=False)) == 4


def test_an_atom_that_nobody_identified_is_an_other_element_through_both_doors(write):
    from_file = read_structure(write([*PEPTIDE[:4], record(" UNK", "UNX", 324, (8, 8, 8), "X", kind="HETATM")]))
    from_table = Molecule.from_table(from_file.atoms)
    assert from_file.elements.tolist() == from_table.elements.tolist() == [2, 1, 1, 3, 8]


# --- errors ---------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", ["OPC", "OP3", "WTR", "SWM4", "TIP3P"])
def test_waters_of_simulations(name):
    table = pd.DataFrame({"x": [0.0, 9.0], "y": 0.0, "z": 0.0, "name": ["C1", "O"], "resname": ["LIG", name]})
    assert Molecule.from_table(table).dropped == {"water": 1}
    lipid = table.assign(resname=name)
    assert Molecule.from_table(lipid).symbol.tolist() == ["C", "O"]


def test_unknown_chain(write):
    with pytest.raises(ValueError, match="there is no chain 5; the chains are 'A', 'B'"):
        read_structure(write(PEPTIDE), chains=5)
    with pytest.raises(ValueError, match=r"^small\.pdb: there is no chain 'C'; the chains are 'A', 'B'"):  # of no line
        read_structure(write(PEPTIDE), chains="C")
    with pytest.raises(ValueError, match="no chain 'C'"):
        read_structure(write(PEPTIDE)).chain("C")


# --- tables of ATOM3D -----------------------------------------------------------------------------------------------


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


# --- what one can ask a structure -----------------------------------------------------------------------------------


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


# --- graphs ---------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("far", ["100000.001", "-1e30"])
def test_coordinates_too_far_to_be_any_are_refused(far, write):
    text = "data_x\nloop_\n_atom_site.type_symbol\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z\n"
    path = write(["x"], "far.cif")
    path.write_text(f"{text}C 1.0 2.0 3.0\nC 1.0 {far} 3.0\n")
    with pytest.raises(StructureError, match=r"far.cif, line 8: .* infinite coordinates, or beyond 100000 Å"):
        read_structure(path)


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


def test_a_calcium_ion_is_no_alpha_carbon(write):
    graph = read_structure(write(PEPTIDE)).graph()
    assert graph.alpha_carbon.tolist() == [False, True, False, False, False, True, False]
    assert graph.z.tolist()[-1] == 8


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


def test_calcium_written_as_a_polymers_atom_is_no_alpha_carbon():
    """As simulations write their ions."""
    ion = Molecule(symbol=["Ca"], positions=[[0, 0, 0]], atom_name=["CA"], residue_name=["CA"], hetero=[" "])
    assert not ion.alpha_carbon.any()
