"""One molecule written in the formats' many dialects is read back as that molecule; damage is never believed."""

from __future__ import annotations

import csv
import gzip
import io
import os
import warnings
from dataclasses import dataclass, field

import gemmi
import numpy as np
import pytest
from Bio.PDB import MMCIFParser, PDBParser
from fuzz_structures import SMALL, read_mangled
from hypothesis import given, settings
from hypothesis import strategies as st

from eqgat import structures
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
    parser = MMCIFParser(QUIET=True) if ".cif" in embedded_path(name).name else PDBParser(QUIET=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = next(iter(parser.get_structure(name, io.StringIO(text))))
    theirs = {}
    for atom in model.get_atoms():
        for place in atom.disordered_get_list() if atom.is_disordered() == 2 else [atom]:
            _, _, chain, (_, number, insertion), _ = place.get_full_id()
            key = (chain, number, insertion, place.get_parent().resname.strip(), place.get_name(), place.get_altloc())
            theirs[key] = place.coord
    molecule = embedded_structure(name, hydrogens=True, waters=True, altloc="all")
    columns = (molecule.chain_name, molecule.residue_number, molecule.insertion_code, molecule.residue_name)
    ours = dict(
        zip(
            zip(*(column.tolist() for column in (*columns, molecule.atom_name, molecule.altloc)), strict=True),
            molecule.positions,
            strict=True,
        )
    )
    # Of two residues at one place Biopython lists the atoms of one; of those both list, all places agree.
    assert set(theirs) <= set(ours)
    assert len(ours) - len(theirs) <= 0.05 * len(ours)
    for key, position in theirs.items():
        np.testing.assert_allclose(position, ours[key], atol=1e-3)


# --- dialects -------------------------------------------------------------------------------------------------------


@dataclass
class Atom:
    name: str
    element: str
    resname: str
    chain: str
    number: int
    insertion: str
    position: tuple[float, float, float]
    hetero: bool
    altloc: str = " "
    occupancy: float = 1.0
    segment: str = ""
    kept: bool = True  # in what the default reading gives


@dataclass
class Model:
    """A random molecule: what is written, and what must come back."""

    atoms: list[Atom] = field(default_factory=list)

    def expected(self):
        return sorted((a.chain, a.number, a.insertion, a.resname, a.name, *a.position) for a in self.atoms if a.kept)


BACKBONE = [("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O")]


@st.composite
def molecules(draw):
    """Chains of amino acids with alternates and hydrogens, a ligand, an ion and waters."""
    chance, model = draw(st.randoms(use_true_random=False)), Model()

    def place():
        return tuple(round(chance.uniform(-99, 999), 3) for _ in range(3))

    for chain in chance.sample("ABCx19", chance.randint(1, 3)):
        number, insertions = chance.choice([-5, 1, 90, 9990]), iter("AB")
        for _ in range(chance.randint(1, 6)):
            resname, insertion = chance.choice(["ALA", "GLY", "LYS", "MSE", "HIE", "ASH"]), " "
            if chance.random() < 0.2 and (letter := next(insertions, "")):
                insertion = letter
            else:
                number, insertions = number + chance.randint(1, 3), iter("AB")
            base = (resname, chain, number, insertion)
            hetero = resname == "MSE"
            for name, element in BACKBONE:
                model.atoms.append(Atom(name, element, *base, place(), hetero))
            if resname != "GLY":
                share = chance.choice([0.3, 0.7])
                two = chance.random() < 0.3
                labels = [("A", share), ("B", 1 - share)] if two else [(" ", 1.0)]
                for label, part in labels:
                    best = part == max(other for _, other in labels)
                    model.atoms.append(Atom("CB", "C", *base, place(), hetero, label, round(part, 2), kept=best))
            if chance.random() < 0.5:
                model.atoms.append(Atom("HA", "H", *base, place(), hetero, kept=False))
        number += 5
        for name, element in [("C1", "C"), ("CL1", "CL"), ("BR2", "BR")]:
            model.atoms.append(Atom(name, element, "LIG", chain, number, " ", place(), True))
        model.atoms.append(Atom("CA", "CA", "CA", chain, number + 1, " ", place(), True))
        for wet in range(chance.randint(0, 3)):
            water = chance.choice(["HOH", "WAT", "TIP", "SOL"])
            model.atoms.append(Atom("O", "O", water, chain, number + 2 + wet, " ", place(), True, kept=False))
    return model


def hybrid(number, width):
    """A number in PDB's columns, with letters where it is too large for them."""
    if number < 10**width:
        return f"{number:{width}d}"
    number, text = number - 10**width + 10 * 36 ** (width - 1), ""
    while number:
        number, digit = divmod(number, 36)
        text = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + text
    return text


def pdb_line(atom, serial, dialect):
    name = atom.name if len(atom.name) == 4 or len(atom.element) == 2 or dialect["left"] else f" {atom.name}"
    x, y, z = atom.position
    element = "" if dialect["elements"] == "none" else atom.element
    element = f"{element:<2}" if dialect["elements"] == "left" else f"{element:>2}"
    segment = atom.segment or dialect["segment"]
    line = (
        f"{'HETATM' if atom.hetero else 'ATOM':6}{hybrid(serial, 5)} {name:4}{atom.altloc}{atom.resname:>3} "
        f"{atom.chain}{hybrid(atom.number, 4)}{atom.insertion}   {x:8.3f}{y:8.3f}{z:8.3f}{atom.occupancy:6.2f}"
        f"{dialect['bfactor']:6}      {segment:4}{element}"
    )
    return {"full": line.ljust(80), "stripped": line.rstrip(), "short": line[:54]}[dialect["length"]]


@st.composite
def pdb_texts(draw):
    model, chance = draw(molecules()), draw(st.randoms(use_true_random=False))
    alternates = any(atom.altloc != " " for atom in model.atoms)
    dialect = {
        "left": False,
        "elements": chance.choice(["right", "left", "none"]),
        "segment": chance.choice(["", "PROA"]),
        "bfactor": chance.choice([" 20.00", "100.00", "      ", "******"]),
        "length": chance.choice(["full", "stripped"] + ["short"] * (not alternates)),
    }
    atoms = list(model.atoms)
    scatter = chance.choice(["no", "hydrogens last", "interleaved"])
    if scatter == "hydrogens last":
        atoms.sort(key=lambda atom: atom.element == "H")
    elif scatter == "interleaved":
        chance.shuffle(atoms)
    lines = [pdb_line(atom, serial + chance.choice([1, 99_990]), dialect) for serial, atom in enumerate(atoms)]
    if chance.random() < 0.3:  # a row that repeats another
        lines.append(chance.choice(lines))
    for record in chance.sample(["TER", "END", "CONECT    1    2", "REMARK 999 NOTE", "END".ljust(80), ""], 3):
        lines.insert(chance.randrange(len(lines) + 1), record)
    if chance.random() < 0.5:  # another model, which is not the one to read
        moved = [pdb_line(Atom(**{**vars(a), "position": (1.0, 2.0, 3.0)}), 1, dialect) for a in atoms[:5]]
        numbered = chance.choice(["MODEL        {}", "MODEL {}", "MODEL", "MODEL     1", "MODEL    1000{}"])
        heads = [numbered.format(1), numbered.format(2)] if chance.random() < 0.8 else ["", ""]
        lines = [heads[0], *lines, "ENDMDL", heads[1], *moved, "ENDMDL"]
    text = "\n".join(["HEADER    TEST", *lines, chance.choice(["END", "", "END   "]), ""])
    return model, text


@st.composite
def mmcif_texts(draw):
    model, chance = draw(molecules()), draw(st.randoms(use_true_random=False))
    atoms = list(model.atoms)
    if chance.random() < 0.5:
        chance.shuffle(atoms)
    missing = chance.choice(["?", "."])

    def number(value, digits):
        text = f"{value:.{digits}f}"
        return chance.choice([text, f"{text}(3)", f"{text}0", f"{text}e0"])

    columns = {
        "group_PDB": ["HETATM" if a.hetero else "ATOM" for a in atoms],
        "id": [str(k + 1) for k in range(len(atoms))],
        "type_symbol": [a.element for a in atoms],
        "label_atom_id": [chance.choice([a.name, f'"{a.name}"', f"'{a.name}'"]) for a in atoms],
        "label_alt_id": [missing if a.altloc == " " else a.altloc for a in atoms],
        "label_comp_id": [a.resname for a in atoms],
        "label_asym_id": [a.chain for a in atoms],
        "label_seq_id": [str(a.number) for a in atoms],
        "pdbx_PDB_ins_code": [missing if a.insertion == " " else a.insertion for a in atoms],
        **{f"Cartn_{axis}": [number(a.position[k], 3) for a in atoms] for k, axis in enumerate("xyz")},
        "occupancy": [number(a.occupancy, 2) for a in atoms],
        "B_iso_or_equiv": [chance.choice(["20.0", missing]) for _ in atoms],
        "auth_seq_id": [str(a.number) for a in atoms],
        "auth_comp_id": [a.resname for a in atoms],
        "auth_asym_id": [a.chain for a in atoms],
        "auth_atom_id": [a.name for a in atoms],
        "pdbx_PDB_model_num": ["1"] * len(atoms),
    }
    optional = ["group_PDB", "id", "B_iso_or_equiv", "auth_seq_id", "auth_comp_id", "auth_asym_id", "auth_atom_id"]
    optional += ["label_seq_id", "label_asym_id", "pdbx_PDB_model_num"]
    left_out = set(chance.sample(optional, chance.randint(0, 4)))
    for kind in ("seq_id", "asym_id"):  # one of the two must say it
        if {f"auth_{kind}", f"label_{kind}"} <= left_out:
            left_out.discard(f"auth_{kind}")
    tags = [tag for tag in columns if tag not in left_out]
    if chance.random() < 0.5:
        chance.shuffle(tags)
    rows = [chance.choice([" ", "  ", "\n"]).join(columns[tag][k] for tag in tags) for k in range(len(atoms))]
    case = chance.choice([str, str.lower, str.upper])
    head = [case(f"_atom_site.{tag}") for tag in tags]
    return model, "\n".join(["data_test", "#", case("loop_"), *head, *rows, "#", ""])


def encoded(text, chance):
    text = text.replace("\n", chance.choice(["\n", "\r\n", "\r"]))
    return chance.choice([b"", b"\xef\xbb\xbf"]) + text.encode()


def identity(molecule):
    columns = (molecule.chain_name, molecule.residue_number, molecule.insertion_code, molecule.residue_name)
    texts = [column.tolist() for column in (*columns, molecule.atom_name, *molecule.positions.T)]
    return sorted(zip(*texts, strict=True))


@pytest.mark.parametrize(("texts", "ending"), [(pdb_texts(), ".pdb"), (mmcif_texts(), ".cif")], ids=["pdb", "mmcif"])
def test_a_random_molecule_in_a_random_dialect_is_read_back(texts, ending, tmp_path):
    @settings(max_examples=150, deadline=None, database=None)
    @given(texts, st.randoms(use_true_random=False))
    def check(case, chance):
        model, text = case
        path = tmp_path / f"dialect{ending}"
        path.write_bytes(encoded(text, chance))
        molecule = read_structure(path)
        assert identity(molecule) == model.expected()
        keys = {key[:4] for key in model.expected()}
        assert len(molecule.residues) == len(keys)
        elements = {(a.name, a.resname): a.element.capitalize() for a in model.atoms}
        for name, resname, symbol in zip(molecule.atom_name, molecule.residue_name, molecule.symbol, strict=True):
            assert elements[name, resname] == symbol

    check()


@given(st.lists(st.from_regex(r"[-.0-9]{1,6}|-?[0-9]{1,4}\.[0-9]{3}", fullmatch=True), min_size=1), st.booleans())
def test_numbers_that_are_read_at_once_are_those_that_float_reads(texts, filled):
    if filled:
        texts = [f"{k}.{text.strip('-.').replace('.', '').replace('-', '')[:3]:0<3}" for k, text in enumerate(texts)]
    numbers = structures._decimals(" ".join([*texts, ""]))
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
        " " + LINE,
        LINE.replace("   1      11", "   x      11"),
        LINE.replace("  1.00", "  1,00"),
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
    monkeypatch.setattr(structures, "MAX_ATOMS", 4)
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
