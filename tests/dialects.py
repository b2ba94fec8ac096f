"""Random molecules in random dialects of PDB and mmCIF, and whether another reader finds the same atoms in them.

    python tests/dialects.py 500

writes files until Biopython has read 500 of them, and compares atom by atom: place, element, names, residue, chain,
insertion code, alternate location. A difference is either one that a rule in ``RULES`` explains, and is counted, or
silent, and an error. What is read is also held against what was written.
"""

from __future__ import annotations

import io
import random
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from Bio.PDB import MMCIFParser, PDBParser
from Bio.PDB.Structure import Structure
from scipy.spatial import cKDTree

from eqgat.molecule import Molecule
from eqgat.structures import read_structure

Place = tuple[float, float, float]


@dataclass
class Atom:
    name: str
    element: str
    resname: str
    chain: str
    number: int
    insertion: str
    position: Place
    hetero: bool
    altloc: str = " "
    occupancy: float = 1.0
    kept: bool = True  # in what the default reading gives


@dataclass
class Written:
    """A random molecule: what is written, and what must come back."""

    atoms: list[Atom] = field(default_factory=list)

    def expected(self) -> list[tuple[Any, ...]]:
        return sorted((a.chain, a.number, a.insertion, a.resname, a.name, *a.position) for a in self.atoms if a.kept)


def identity(molecule: Molecule) -> list[tuple[Any, ...]]:
    """What ``Written.expected`` lists, of a molecule that was read."""
    columns = (molecule.chain_name, molecule.residue_number, molecule.insertion_code, molecule.residue_name)
    texts = [column.tolist() for column in (*columns, molecule.atom_name, *molecule.positions.T)]
    return sorted(zip(*texts, strict=True))


BACKBONE = [("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O")]
NUCLEOTIDE = [("P", "P"), ("O5'", "O"), ("C5'", "C"), ("C1'", "C"), ("N9", "N")]
LIGANDS = {
    "LIG": [("C1", "C"), ("CL1", "CL"), ("BR2", "BR")],
    "HEM": [("FE", "FE"), ("NA", "N"), ("CHA", "C"), ("HHA", "H")],
    "SO4": [("S", "S"), ("O1", "O"), ("O2", "O")],
    "DVT": [("V1", "V"), ("O1", "O"), ("D1", "D")],
}
IONS = [("CA", "CA"), ("ZN", "ZN"), ("NA", "NA"), ("K", "K"), ("CL", "CL"), ("CD", "CD")]


def random_molecule(chance: random.Random, letters: str = "ABCx19") -> Written:
    """Chains of residues with alternates, two residues at one place and hydrogens; a ligand, an ion and waters."""
    written = Written()

    def place() -> Place:
        x, y, z = (round(chance.uniform(-99, 999), 3) for _ in range(3))
        return x, y, z

    def add(names: list[tuple[str, str]], residue: tuple[str, str, int, str], hetero: bool, **more: Any) -> None:
        for name, element in names:
            kept = more.get("kept", True) and element not in ("H", "D")
            written.atoms.append(Atom(name, element, *residue, place(), hetero, **{**more, "kept": kept}))

    for chain in chance.sample(letters, chance.randint(1, min(3, len(letters)))):
        number, insertions = chance.choices([-5, 0, 1, 90, 990, 9990], [4, 4, 4, 4, 4, 1])[0], iter("AB")
        for _ in range(chance.randint(1, 6)):
            resname, insertion = chance.choice(["ALA", "GLY", "LYS", "MSE", "HIE", "ASH", "DG", "U"]), " "
            if chance.random() < 0.2 and (letter := next(insertions, "")):
                insertion = letter
            else:
                number, insertions = number + chance.randint(1, 3), iter("AB")
            residue = (resname, chain, number, insertion)
            hetero = resname == "MSE"
            if resname in ("DG", "U"):
                add(NUCLEOTIDE, residue, hetero)
                continue
            if resname == "LYS" and chance.random() < 0.3:  # another residue may be at the same place
                share, labels = chance.choice([0.2, 0.7]), chance.choice(["AB", "BA", "12"])
                for name, label, part in zip(["LYS", "ARG"], labels, [share, round(1 - share, 2)], strict=True):
                    add(BACKBONE, (name, *residue[1:]), hetero, altloc=label, occupancy=part, kept=part > 0.5)
                continue
            add(BACKBONE, residue, hetero)
            if resname != "GLY":
                share = chance.choice([0.3, 0.7])
                shares = {"A": share, "B": round(1 - share, 2)} if chance.random() < 0.3 else {" ": 1.0}
                for label, part in shares.items():
                    add([("CB", "C")], residue, hetero, altloc=label, occupancy=part, kept=part > 0.5)
            if chance.random() < 0.5:
                add([("HA", "H"), ("HG11", "H")], residue, hetero)
        number += 5
        ligand = chance.choice(list(LIGANDS))
        add(LIGANDS[ligand], (ligand, chain, number, " "), True)
        ion = chance.choice(IONS)
        add([ion], (ion[0], chain, number + 1, " "), True)
        for wet in range(chance.randint(0, 3)):
            water = chance.choice(["HOH", "WAT", "TIP", "SOL"])
            add(
                [("O", "O"), ("H1", "H")][: chance.randint(1, 2)],
                (water, chain, number + 2 + wet, " "),
                True,
                kept=False,
            )
    return written


def hybrid(number: int, width: int) -> str:
    """A number in PDB's columns, with letters where it is too large for them."""
    if number < 10**width:
        return f"{number:{width}d}"
    number, text = number - 10**width + 10 * 36 ** (width - 1), ""
    while number:
        number, digit = divmod(number, 36)
        text = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + text
    return text


def pdb_line(atom: Atom, serial: int, dialect: dict[str, str]) -> str:
    name = atom.name if len(atom.name) == 4 or len(atom.element) == 2 else f" {atom.name}"
    x, y, z = atom.position
    element = {"none": "", "left": f"{atom.element:<2}"}.get(dialect["elements"], f"{atom.element:>2}")
    line = (
        f"{'HETATM' if atom.hetero else 'ATOM':6}{hybrid(serial, 5)} {name:4}{atom.altloc}{atom.resname:>3} "
        f"{atom.chain}{hybrid(atom.number, 4)}{atom.insertion}   {x:8.3f}{y:8.3f}{z:8.3f}{atom.occupancy:6.2f}"
        f"{dialect['bfactor']:6}      {dialect['segment']:4}{element}{dialect['charge'] if element else ''}"
    )
    return {"full": line.ljust(80), "stripped": line.rstrip(), "short": line[:54]}[dialect["length"]]


def pdb_text(chance: random.Random) -> tuple[Written, str]:
    """A random molecule in a random dialect of PDB."""
    written = random_molecule(chance, chance.choice(["ABCx19", "ABCx19", " "]))
    alternates = any(atom.altloc != " " for atom in written.atoms)
    dialect = {
        "elements": chance.choice(["right", "left", "none"]),
        "segment": chance.choice(["", "PROA", "A"]),
        "bfactor": chance.choices([" 20.00", "100.00", "  -1.5", "      ", "******"], [6, 6, 6, 1, 1])[0],
        "length": chance.choice(["full", "stripped"] + ["short"] * (not alternates)),
        "charge": chance.choice(["", "", "  ", "1+", "2-"]),
    }
    atoms = list(written.atoms)
    scatter = chance.choice(["no", "no", "hydrogens last", "interleaved"])
    if scatter == "hydrogens last":
        atoms.sort(key=lambda atom: atom.element in ("H", "D"))
    elif scatter == "interleaved":
        chance.shuffle(atoms)
    lines: list[str] = []
    for serial, atom in enumerate(atoms):
        lines.append(pdb_line(atom, serial + chance.choice([1, 99_990]), dialect))
        if dialect["length"] == "full" and chance.random() < 0.1:
            lines.append(f"ANISOU{lines[-1][6:27]}   1234   2345   3456   -123    456    -78{lines[-1][70:]}")
    if chance.random() < 0.3:  # a row that repeats another
        lines.append(chance.choice([line for line in lines if line[:4] in ("ATOM", "HETA")]))
    notes = ["TER", "TER   99999      ALA A   9", "REMARK 999 NOTE", "REMARK ATOM", "HEADER    TEST"]
    for record in chance.sample(notes, 3):
        lines.insert(chance.randrange(len(lines) + 1), record)
    for record in ("END", "CONECT    1    2", "END".ljust(80)):
        if chance.random() < 0.1:
            lines.insert(chance.randrange(len(lines) + 1), record)
    if chance.random() < 0.5:  # another model, which is not the one to read
        moved = [pdb_line(replace(atom, position=(1.0, 2.0, 3.0)), 1, dialect) for atom in atoms[:5]]
        numbered = chance.choice(["MODEL        {}", "MODEL {}", "MODEL", "MODEL     1", "MODEL    1000{}"])
        heads = [numbered.format(1), numbered.format(2)] if chance.random() < 0.8 else ["", ""]
        lines = [heads[0], *lines, "ENDMDL", heads[1], *moved, "ENDMDL"]
    return written, "\n".join(["HEADER    TEST", *lines, chance.choice(["END", "", "END   "]), ""])


def mmcif_text(chance: random.Random) -> tuple[Written, str]:
    """A random molecule in a random dialect of mmCIF."""
    written = random_molecule(chance)
    atoms = list(written.atoms)
    if chance.random() < 0.3:
        chance.shuffle(atoms)
    missing, plain = chance.choice(["?", "."]), chance.random() < 0.6
    name_of_chain = {chain: chance.choice([chain, chain * 2, f"{chain}-2"]) for chain in "ABCx19"}
    for atom in atoms:
        atom.chain = name_of_chain[atom.chain]

    def number(value: float, digits: int) -> str:
        text = f"{value:.{digits}f}"
        return (
            text
            if plain
            else chance.choice([text, f"{text}(3)", f"{text}0", f"{text}e0", f"+{text}".replace("+-", "-")])
        )

    def quoted(text: str) -> str:
        choices = [f'"{text}"'] if "'" in text else [text, f'"{text}"', f"'{text}'", f"\n;{text}\n;\n"]
        return choices[0] if plain else chance.choice(choices)

    with_models = chance.random() < 0.4
    columns = {
        "group_PDB": ["HETATM" if a.hetero else "ATOM" for a in atoms],
        "id": [str(k + 1) for k in range(len(atoms))],
        "type_symbol": [a.element if plain else a.element + chance.choice(["", "", "1+", "-"]) for a in atoms],
        "label_atom_id": [quoted(a.name) for a in atoms],
        "label_alt_id": [missing if a.altloc == " " else a.altloc for a in atoms],
        "label_comp_id": [a.resname for a in atoms],
        "label_asym_id": [a.chain for a in atoms],
        "label_entity_id": ["1"] * len(atoms),
        "label_seq_id": [str(a.number) for a in atoms],
        "pdbx_PDB_ins_code": [missing if a.insertion == " " else a.insertion for a in atoms],
        **{f"Cartn_{axis}": [number(a.position[k], 3) for a in atoms] for k, axis in enumerate("xyz")},
        "occupancy": [number(a.occupancy, 2) for a in atoms],
        "B_iso_or_equiv": ["20.0" if plain else chance.choice(["20.0", missing]) for _ in atoms],
        "pdbx_formal_charge": [chance.choice(["?", "1"]) for _ in atoms],
        "auth_seq_id": [str(a.number) for a in atoms],
        "auth_comp_id": [a.resname for a in atoms],
        "auth_asym_id": [a.chain for a in atoms],
        "auth_atom_id": [quoted(a.name) for a in atoms],
        "pdbx_PDB_model_num": ["1" if plain else chance.choice(["1", missing]) for _ in atoms],
    }
    if chance.random() < 0.4:  # the authors' names are the ones
        columns["label_asym_id"] = [f"L{a.chain}" for a in atoms]
        columns["label_seq_id"] = ["." if a.hetero else str(a.number + 7) for a in atoms]
        optional = ["group_PDB", "id", "label_asym_id", "label_seq_id"]
    else:
        optional = ["group_PDB", "id", "B_iso_or_equiv", "auth_seq_id", "auth_comp_id", "auth_asym_id", "auth_atom_id"]
        optional += ["label_seq_id", "label_asym_id", "pdbx_PDB_model_num", "label_entity_id", "pdbx_formal_charge"]
    left_out = set(chance.sample(optional, chance.randint(0, 4))) if chance.random() < 0.4 else set()
    for kind in ("seq_id", "asym_id"):  # one of the two must say it
        if {f"auth_{kind}", f"label_{kind}"} <= left_out:
            left_out.discard(f"auth_{kind}")
    if "pdbx_PDB_model_num" not in left_out and with_models:  # another model, which is not the one to read
        for tag, values in columns.items():
            values += values[:5]
            if tag.startswith("Cartn"):
                values[-5:] = ["1.0"] * 5
            if tag == "pdbx_PDB_model_num":
                values[-5:] = ["2"] * 5
    tags = [tag for tag in columns if tag not in left_out]
    if chance.random() < 0.5:
        chance.shuffle(tags)
    gap = [" ", "  "] if plain else [" ", "  ", "\n", "\t", " # a note\n"]
    if plain and chance.random() < 0.5:  # as programs write it: columns of one width
        columns = {tag: [text.ljust(max(map(len, texts))) for text in texts] for tag, texts in columns.items()}
        gap = [chance.choice(gap)]
    rows = [chance.choice(gap).join(columns[tag][k] for tag in tags) for k in range(len(columns["id"]))]
    case = chance.choice([str] * 9 + [str.lower, str.upper])
    head = [case(f"_atom_site.{tag}") for tag in tags]
    other = "loop_\n_atom_site_anisotrop.id\n_atom_site_anisotrop.U[1][1]\n1 0.1\n2 0.2\n#"
    before, after = chance.choice([("", ""), (other, ""), ("", other), ("_entry.id X\n_cell.length_a 1.0\n#", "")])
    return written, "\n".join(
        ["data_test", "#", before, "loop_" if plain else case("loop_"), *head, *rows, "#", after, ""]
    )


def encoded(text: str, chance: random.Random) -> bytes:
    text = text.replace("\n", chance.choice(["\n", "\r\n", "\r"]))
    return chance.choice([b"", b"\xef\xbb\xbf"]) + text.encode()


# --- against Biopython ----------------------------------------------------------------------------------------------

RULES = {
    "stops": "Biopython stops at END and CONECT; here they end nothing",
    "element": "no element is given, and Biopython takes the first letters of the name for it, or gives X",
    "lost": "Biopython says that it leaves out atoms of this residue, because its rows lie apart",
}


def theirs(text: str, ending: str) -> tuple[np.ndarray, list[tuple[Any, ...]], str]:
    """Places and fields of the first model's atoms as Biopython reads them, all alternates; and what it warns of."""
    parser = (PDBParser if ending == ".pdb" else MMCIFParser)(QUIET=False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        structure: Structure = parser.get_structure("x", io.StringIO(text))
    places, atoms = [], []
    for chain in next(iter(structure)):
        for residue in chain.get_unpacked_list():
            _, number, insertion = residue.id
            for atom in residue.get_unpacked_list():
                what = (atom.element, atom.fullname.strip(), residue.resname.strip(), chain.id, number, insertion)
                share = 1.0 if atom.occupancy is None else round(atom.occupancy, 2)
                places.append(atom.coord)
                atoms.append((*what, atom.altloc, share))
    return np.array(places, np.float64), atoms, "\n".join(str(warning.message) for warning in told)


def differences(text: str, ending: str, molecule: Molecule) -> Iterator[str]:
    """Each atom that one reader has and the other not, or not so: the name of a rule, or what differs."""
    molecule = molecule.select(np.sort(np.unique(molecule.positions, axis=0, return_index=True)[1]))  # no row twice
    places, others, told = theirs(text, ending)
    arrays = (molecule.symbol, molecule.atom_name, molecule.residue_name, molecule.chain_name, molecule.residue_number)
    more = (molecule.insertion_code, molecule.altloc, molecule.occupancy.round(2))
    mine = list(zip(*(array.tolist() for array in (*arrays, *more)), strict=True))
    apart, which = cKDTree(molecule.positions).query(places)
    pairs: dict[int, tuple[Any, ...]] = {}
    for place, other, distance, index in zip(places.tolist(), others, apart.tolist(), which.tolist(), strict=True):
        if distance > 2e-3 or index in pairs:  # Biopython rounds to float32
            yield f"only Biopython has {other} at {place}"
        pairs[index] = other
    lines = text.split("\n")
    rows = [k for k, line in enumerate(lines) if ending == ".pdb" and line[:6] in ("ATOM  ", "HETATM")]
    stop = next((k for k, line in enumerate(lines) if line[:6].strip() in ("END", "CONECT")), len(lines))
    warned = [
        lines[int(line) - 1][21:27] for line in re.findall(r"(?:defined twice|Blank altlocs).* at line (\d+)", told)
    ]
    for index, (this, row) in enumerate(zip(mine, molecule.row.tolist(), strict=True)):
        this, other = (this[0].upper(), *this[1:]), pairs.get(index)
        if other is None and rows and rows[row] > stop:
            yield "stops"
        elif other is None and rows and lines[rows[row]][21:27] in warned:
            yield "lost"
        elif other is None:
            yield f"Biopython lacks {this}"
        elif rows and this[1:] == other[1:] and this[0] != other[0] and not lines[rows[row]][76:78].strip():
            yield "element"
        elif this != other:
            yield f"{this} here, {other} in Biopython"


def compare(count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Write and read until both readers have read ``count`` files: what was counted, and the silent differences."""
    chance, counted, silent = random.Random(seed), Counter[str](), list[str]()
    while counted["files compared"] < count:
        ending, write = chance.choice([(".pdb", pdb_text), (".cif", mmcif_text)])
        written, text = write(chance)
        path = folder / f"dialect{ending}"
        path.write_bytes(encoded(text, chance))
        if identity(read_structure(path)) != written.expected():
            silent.append(f"read otherwise than written:\n{text}")
        molecule = read_structure(path, hydrogens=True, waters=True, altloc="all")
        try:
            found = list(differences(text, ending, molecule))
        except Exception as error:  # each reader refuses in its own way
            counted[f"refused by Biopython ({type(error).__name__})"] += 1
            continue
        counted["files compared"] += 1
        counted["atoms compared"] += len(molecule)
        counted.update(RULES[name] for name in found if name in RULES)
        silent += [f"{difference}\n{text}" for difference in found if difference not in RULES]
    return counted, silent


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        counted, silent = compare(int(sys.argv[1]), seed=0, folder=Path(folder))
    print(*(f"{number:7,}  {what}" for what, number in sorted(counted.items())), sep="\n")
    print(*silent[:3], f"{len(silent)} silent differences", sep="\n\n")
    raise SystemExit(bool(silent))
