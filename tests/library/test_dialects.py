"""One molecule written in the formats' many dialects is read back as that molecule; damage is never believed."""

from __future__ import annotations

import csv
import gzip
import os
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from dialects import RULES, compare, differences, encoded, identity, mmcif_text, pdb_text
from fuzz_structures import SMALL, read_mangled
from hypothesis import given, settings
from hypothesis import strategies as st

from eqgat import columns, structures
from eqgat.datasets import embedded_names, embedded_path, embedded_structure
from eqgat.molecule import StructureError
from eqgat.structures import read_structure

with open(SMALL / "expected.csv", newline="", encoding="utf-8") as handle:
    CASES = list(csv.DictReader(handle))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_peculiar_files(case):
    if not case["atoms"]:
        with pytest.raises(StructureError, match=rf"{case['file']}, line \d+: "):
            read_structure(SMALL / case["file"])
        return
    molecule = read_structure(SMALL / case["file"])
    found = [str(len(molecule)), str(len(molecule.residues)), molecule.sequence()]
    assert found == [case["atoms"], case["residues"], case["sequence"]]


def test_hydrogens_that_stand_apart_belong_to_their_residues():
    molecule = read_structure(SMALL / "s12_hydrogens_last.pdb", hydrogens=True)
    assert (len(molecule), len(molecule.residues)) == (12, 2)
    assert molecule.residue_index.tolist() == sorted(molecule.residue_index.tolist())


# --- every row is accounted for -------------------------------------------------------------------------------------


def rows_of_first_model(name):
    """ATOM and HETATM rows of an embedded file's first model, counted by their first letters alone."""
    text = gzip.decompress(embedded_path(name).read_bytes()).decode()
    return sum(line.startswith(("ATOM", "HETATM")) for line in text.split("ENDMDL")[0].splitlines())


@pytest.mark.parametrize("name", embedded_names())
def test_every_row_is_in_the_molecule_or_counted(name):
    for options in ({}, {"hydrogens": True, "waters": True}, {"hetero": False}, {"altloc": "all"}):
        molecule = embedded_structure(name, **options)
        assert len(molecule) + sum(molecule.dropped.values()) == rows_of_first_model(name)
        assert len(set(molecule.row.tolist())) == len(molecule)


@pytest.mark.parametrize("name", embedded_names())
def test_biopython_reads_the_same_atoms(name):
    text = gzip.decompress(embedded_path(name).read_bytes()).decode()
    molecule = embedded_structure(name, hydrogens=True, waters=True, altloc="all")
    ending = ".cif" if ".cif" in embedded_path(name).name else ".pdb"
    assert [found for found in differences(text, ending, molecule) if found not in RULES] == []


# --- dialects -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("write", "ending"), [(pdb_text, ".pdb"), (mmcif_text, ".cif")], ids=["pdb", "mmcif"])
def test_a_random_molecule_in_a_random_dialect_is_read_back(write, ending, tmp_path):
    @settings(max_examples=150, deadline=None, database=None)
    @given(st.randoms(use_true_random=False))
    def check(chance):
        written, text = write(chance)
        path = tmp_path / f"dialect{ending}"
        path.write_bytes(encoded(text, chance))
        molecule = read_structure(path)
        assert identity(molecule) == written.expected()
        keys = {key[:4] for key in written.expected()}
        assert len(molecule.residues) == len(keys)
        elements = {(a.name, a.resname): a.element.capitalize() for a in written.atoms}
        for name, resname, symbol in zip(molecule.atom_name, molecule.residue_name, molecule.symbol, strict=True):
            assert elements[name, resname] == symbol

    check()


def test_biopython_reads_the_same_atoms_of_dialects(tmp_path):
    """A sample of what ``python tests/dialects.py 500`` compares."""
    counted, silent = compare(20, seed=1, folder=tmp_path)
    assert counted["atoms compared"] > 400
    assert silent == []


def test_a_difference_between_the_readers_is_not_silent():
    """The comparison sees an atom that one reader lacks, and each field that differs."""
    text = (SMALL / "s10_insertion.pdb").read_text()
    molecule = read_structure(SMALL / "s10_insertion.pdb", hydrogens=True, waters=True, altloc="all")
    assert [found for found in differences(text, ".pdb", molecule)] == []
    assert len(list(differences(text, ".pdb", molecule.select(np.arange(len(molecule)) != 1)))) > 0
    for field in ("atom_name", "residue_name", "chain_name", "residue_number", "insertion_code", "altloc", "symbol"):
        values = getattr(molecule, field).copy()
        values[0] = {"residue_number": 77, "symbol": "Xe"}.get(field, "Q")
        changed = replace(molecule, **{field: values})
        assert [found for found in differences(text, ".pdb", changed) if found not in RULES], field


@given(st.lists(st.from_regex(r"[-.0-9]{1,6}|-?[0-9]{1,4}\.[0-9]{3}", fullmatch=True), min_size=1), st.booleans())
def test_numbers_that_are_read_at_once_are_those_that_float_reads(texts, filled):
    if filled:
        texts = [f"{k}.{text.strip('-.').replace('.', '').replace('-', '')[:3]:0<3}" for k, text in enumerate(texts)]
    numbers = columns.read_decimals(" ".join([*texts, ""]))
    assert not filled or numbers is not None
    if numbers is not None:
        assert numbers.tolist() == list(map(float, texts))


# --- damage ---------------------------------------------------------------------------------------------------------


def test_mangled_files_become_molecules_or_errors_with_a_place(tmp_path):
    results, _ = read_mangled(300, seed=1, folder=tmp_path)
    assert set(results) == {"molecule", "error"}


LINE = "ATOM      1  CA  ALA A   1      11.400  12.500  13.600  1.00 20.00           C"


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace("11.400", "1_0.40"),
        LINE.replace("  11.400", "1e30    "),
        LINE[:52],  # cut inside a number
        LINE[:30] + " " + LINE[30:],  # moved by one column: 13.60 and 0 are two numbers
        LINE.replace("ATOM  ", "ATMO  "),
        LINE.ljust(80) + LINE,  # two rows without an end of line between them
        " " + LINE,
        LINE.replace("   1      11", "   x      11"),
        LINE.replace("  1.00", "  1,00"),
        LINE.replace("11.400", "11 .40"),  # a number and another, with one point
        LINE.replace("11.400", "11 .40").replace("12.500", "12 .50").replace("13.600", "13 .60"),  # twice three numbers
        LINE.replace("  1.00", "  1 .0"),
        LINE.replace(" ", "\t", 1),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_with_its_line(line, tmp_path):
    path = tmp_path / "row.pdb"
    path.write_text(f"{LINE.replace('CA ', 'CB ')}\n{line}\n")
    with pytest.raises(StructureError, match=r"^row.pdb, line 2: "):
        read_structure(path)


@pytest.mark.parametrize("between", ["END\n", "END   \n", "", "TER\n", "CONECT    1\n"])
def test_a_second_structure_in_the_file_is_refused(between, tmp_path):
    path = tmp_path / "two.pdb"
    path.write_text(f"{LINE}\n{between}{LINE.replace('11.400', '51.400')}\n")
    with pytest.raises(StructureError, match=r"two.pdb, line \d: atom CA .* is at another place in line 1"):
        read_structure(path)


def test_two_data_blocks_are_refused(tmp_path):
    path = tmp_path / "two.cif"
    text = (SMALL / "s04_no_alt.cif").read_text()
    path.write_text(text + text.replace("data_made", "data_other"))
    with pytest.raises(StructureError, match=r"two.cif, line 30: 2 data blocks have atoms \(made, other\)"):
        read_structure(path)


def test_chains_of_two_letters_in_columns_are_told_apart(tmp_path):
    path = tmp_path / "chains.pdb"
    path.write_text("\n".join([LINE[:20] + "AA" + LINE[22:], LINE[:20] + "BA" + LINE[22:].replace("11.4", "19.4"), ""]))
    assert read_structure(path).chain_name.tolist() == ["AA", "BA"]
    path.write_text(LINE.replace("ALA A", "ASPPA") + "\n")
    assert (read_structure(path).chain_name[0], read_structure(path).sequence()) == ("A", "D")


def test_what_is_no_file_or_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.pdb")
    with pytest.raises(StructureError, match="is a pipe, socket or device"):
        read_structure(tmp_path / "pipe.pdb")
    monkeypatch.setattr(structures, "MAX_BYTES", 2**20)
    (tmp_path / "bomb.pdb.gz").write_bytes(gzip.compress(b"REMARK\n" * 10**6))
    with pytest.raises(StructureError, match=r"bomb.pdb.gz, line .* the file has more than 1 MiB"):
        read_structure(tmp_path / "bomb.pdb.gz")
    monkeypatch.setattr(columns, "MAX_ATOMS", 4)
    with pytest.raises(StructureError, match="line 5: the model has more than 4 atoms"):
        read_structure(SMALL / "s15_crlf.pdb")


def test_gemmi_agrees_on_the_small_files_that_both_read():
    read = 0
    for path in sorted(SMALL.glob("*.pdb")):
        if path.name.startswith(("s14", "s15", "s18", "s22", "s27")):  # gemmi stops at END, and reads these otherwise
            continue
        molecule = read_structure(path, hydrogens=True, waters=True, altloc="all")
        try:
            theirs = gemmi.read_structure(str(path))[0]
        except (RuntimeError, ValueError):
            continue
        places = sorted((atom.name, *(round(v, 3) for v in atom.pos)) for c in theirs for r in c for atom in r)
        ours = sorted(
            (name, *p) for name, p in zip(molecule.atom_name, molecule.positions.round(3).tolist(), strict=True)
        )
        assert ours == places, path.name
        read += 1
    assert read >= 10
