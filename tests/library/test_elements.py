"""What an atom is: given, or told by name, residue and column; what is neither is not guessed."""

from __future__ import annotations

import pandas as pd
import pytest
from pdb_records import PEPTIDE, ligand, record

from eqgat.datasets import embedded_names, embedded_structure
from eqgat.molecule import Molecule, StructureError, element_index
from eqgat.structures import read_structure
from eqgat.viz.explorer import REASONS


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


@pytest.mark.parametrize("name", ["OPC", "OP3", "WTR", "SWM4", "TIP3P"])
def test_waters_of_simulations(name):
    table = pd.DataFrame({"x": [0.0, 9.0], "y": 0.0, "z": 0.0, "name": ["C1", "O"], "resname": ["LIG", name]})
    assert Molecule.from_table(table).dropped == {"water": 1}
    lipid = table.assign(resname=name)
    assert Molecule.from_table(lipid).symbol.tolist() == ["C", "O"]


def test_a_calcium_ion_is_no_alpha_carbon(write):
    graph = read_structure(write(PEPTIDE)).graph()
    assert graph.alpha_carbon.tolist() == [False, True, False, False, False, True, False]
    assert graph.z.tolist()[-1] == 8


def test_calcium_written_as_a_polymers_atom_is_no_alpha_carbon():
    """As simulations write their ions."""
    ion = Molecule(symbol=["Ca"], positions=[[0, 0, 0]], atom_name=["CA"], residue_name=["CA"], hetero=[" "])
    assert not ion.alpha_carbon.any()
