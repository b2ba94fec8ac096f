"""Make ``embedded_data`` from the two source distributions that hold the structure files.

    python tools/build_embedded.py biopython-1.88.tar.gz mdanalysistests-2.11.0.tar.gz [FOLDER]

Both are on the Python package index (``pip download --no-binary :all: --no-deps NAME==VERSION``). No atom's
coordinates are changed. What is left out of a file, and why, is in the column ``preparation`` of ``table.csv``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eqgat.datasets.embedded import DATA
from eqgat.molecule import Molecule
from eqgat.structures import read_structure

BIOPYTHON, MDANALYSIS = ("biopython", "1.88"), ("mdanalysistests", "2.11.0")
PDB_LICENCE = "Protein Data Bank coordinates: CC0 1.0"
MODEL_LICENCE = (
    "based on Protein Data Bank coordinates (CC0 1.0); model distributed with MDAnalysisTests (LGPL-3.0-or-later)"
)
COORDINATES = ("ATOM  ", "HETATM", "TER   ")
KEPT_RECORDS = {
    "HEADER",
    "TITLE ",
    "COMPND",
    "EXPDTA",
    "NUMMDL",
    "SEQRES",
    "MODRES",
    "HET   ",
    "HETNAM",
    "FORMUL",
    "HELIX ",
    "SHEET ",
    "SSBOND",
    "LINK  ",
    "CRYST1",
    "CONECT",
    "END   ",
}
KEPT_CATEGORIES = {
    "_entry",
    "_cell",
    "_symmetry",
    "_entity",
    "_entity_poly",
    "_entity_poly_seq",
    "_exptl",
    "_refine",
    "_struct",
    "_struct_asym",
    "_struct_conf",
    "_struct_conn",
    "_struct_sheet_range",
    "_atom_site",
}
HEAVY_ATOMS = {
    "ALA": 5,
    "ARG": 11,
    "ASN": 8,
    "ASP": 8,
    "CYS": 6,
    "GLN": 9,
    "GLU": 9,
    "GLY": 4,
    "HIS": 10,
    "ILE": 8,
    "LEU": 8,
    "LYS": 9,
    "MET": 8,
    "MSE": 8,
    "PHE": 11,
    "PRO": 7,
    "SER": 6,
    "THR": 7,
    "TRP": 14,
    "TYR": 12,
    "VAL": 7,
}
TRIMMED = "records other than title, method, sequence, secondary structure, bonds and coordinates left out"


def trim_pdb(text: str) -> str:
    """Keep the records that say what the structure is, and the first model."""
    lines, models = [], 0
    for line in text.splitlines():
        record = f"{line[:6]:6}"
        models += record == "MODEL "
        coordinates = record in (*COORDINATES, "MODEL ", "ENDMDL") and models <= 1
        if coordinates or record in KEPT_RECORDS or line.startswith("REMARK   2"):
            lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def trim_mmcif(text: str) -> str:
    """Keep the categories that say what the structure is; leave out atoms of no known element (``UNX``)."""
    blocks = re.split(r"^# ?\n", text, flags=re.MULTILINE)
    kept = [
        block
        for block in blocks
        if (found := re.search(r"^(_\w+)\.", block, re.MULTILINE)) and found[1] in KEPT_CATEGORIES
    ]
    lines = [
        line.rstrip()
        for line in "#\n".join([blocks[0], *kept]).splitlines()
        if not (line.startswith("HETATM") and " UNX " in line)
    ]
    return "\n".join(lines) + "\n#\n"


def atom_sites(text: str, column: str, *kept: str) -> str:
    """Keep the atoms of an mmCIF file whose ``_atom_site.column`` has one of these values."""
    columns = re.findall(r"^_atom_site\.(\w+)", text, re.MULTILINE)
    at = columns.index(column)
    lines = [
        line.rstrip()
        for line in text.splitlines()
        if not line.startswith(("ATOM", "HETATM")) or line.split()[at] in kept
    ]
    return "\n".join(lines) + "\n"


def drop_repeats(text: str) -> str:
    """Leave out atom records that repeat an earlier one at the same coordinates."""
    lines, seen = [], set()
    for line in text.splitlines():
        if line.startswith("ATOM") and line[12:54] in seen:
            continue
        seen.add(line[12:54])
        lines.append(line.rstrip())
    return "\n".join([*lines, "TER", "END", ""])


def polymer_of_simulation(text: str) -> str:
    """Leave out solvent, ions and header; the one chain, which has no name in the file, becomes A."""
    lines = [
        f"{line[:21]}A{line[22:66]}".rstrip()
        for line in text.splitlines()
        if line.startswith("ATOM") and line[17:20] not in ("TIP", "POT")
    ]
    return "\n".join([*lines, "TER", "END", ""])


@dataclass(frozen=True)
class Entry:
    """One file: where it is, what it is, and what is done to it."""

    name: str
    source: tuple[str, str]
    member: str
    pdb: str
    kind: str
    description: str
    method: str
    resolution: str  # Å
    prepare: Callable[[str], str]
    preparation: str
    ligand: str = ""
    licence: str = PDB_LICENCE


_MD = "MDAnalysisTests/data/"
ENTRIES = [
    Entry(
        "5pti",
        MDANALYSIS,
        _MD + "mmcif/5PTI.cif.gz",
        "5PTI",
        "protein",
        "bovine pancreatic trypsin inhibitor, crystal form II",
        "X-ray and neutron diffraction, refined together",
        "1.0",
        trim_mmcif,
        f"{TRIMMED}; one atom of unknown element (UNX 324) left out",
        "PO4",
    ),
    Entry(
        "1a8o",
        BIOPYTHON,
        "Tests/PDB/1A8O.pdb",
        "1A8O",
        "protein",
        "HIV-1 capsid protein, C-terminal domain, with four selenomethionines",
        "X-ray diffraction",
        "1.70",
        trim_pdb,
        TRIMMED,
    ),
    Entry(
        "1hvr",
        MDANALYSIS,
        _MD + "1hvr.pdb",
        "1HVR",
        "complex",
        "HIV-1 protease, a homodimer, with the cyclic urea inhibitor XK2 (XK263)",
        "X-ray diffraction",
        "1.80",
        trim_pdb,
        f"{TRIMMED}; the polar hydrogens are in the entry, with occupancy 0",
        "XK2",
    ),
    Entry(
        "1k5i_md",
        MDANALYSIS,
        _MD + "analysis/1k5i_c36.pdb.gz",
        "1K5I",
        "rna",
        "RNA of 23 nucleotides: a frame of a molecular dynamics simulation that started from model 1 of 1K5I",
        "simulation: CHARMM36, after 1 ns of equilibration",
        "",
        polymer_of_simulation,
        "not the deposited coordinates; water and potassium ions left out; the chain named A",
        "",
        MODEL_LICENCE,
    ),
    Entry(
        "adk_open",
        MDANALYSIS,
        _MD + "adk_open.pdb",
        "4AKE",
        "conformation",
        "adenylate kinase of Escherichia coli, open: all-atom model based on 4AKE",
        "model of an X-ray structure",
        "",
        polymer_of_simulation,
        "not the deposited file: hydrogens were built with CHARMM, and heavy atoms may "
        "have been moved; remarks left out; the chain named A",
        "",
        MODEL_LICENCE,
    ),
    Entry(
        "adk_closed",
        MDANALYSIS,
        _MD + "adk_closed.pdb",
        "1AKE",
        "conformation",
        "adenylate kinase of Escherichia coli, closed, its inhibitor removed: all-atom model based on 1AKE chain B",
        "model of an X-ray structure",
        "",
        polymer_of_simulation,
        "not the deposited file: hydrogens were built with CHARMM, and heavy atoms were moved by up to some tenths "
        "of an Å (its B factors are those of 1AKE chain B); remarks (which speak of other proteins) left out; the "
        "chain named A",
        "",
        MODEL_LICENCE,
    ),
    Entry(
        "1lcd",
        BIOPYTHON,
        "Tests/PDB/1LCD.pdb",
        "1LCD",
        "protein-dna",
        "lac repressor headpiece on a half operator of 11 base pairs",
        "solution NMR",
        "",
        trim_pdb,
        f"{TRIMMED}; the first of three models",
        "NA",
    ),
    Entry(
        "1a28",
        MDANALYSIS,
        _MD + "1a28.pdb.gz",
        "1A28",
        "complex",
        "human progesterone receptor, ligand-binding domain, a homodimer, with progesterone",
        "X-ray diffraction",
        "1.80",
        trim_pdb,
        TRIMMED,
        "STR",
    ),
    Entry(
        "10gs",
        MDANALYSIS,
        _MD + "mmcif/multimodel_warning.cif.gz",
        "10GS",
        "complex",
        "human glutathione S-transferase P1-1, a homodimer, with the inhibitor VWW (TER117)",
        "not stated in the file",
        "",
        lambda text: atom_sites(text, "pdbx_PDB_model_num", "1"),
        "the first of two models; the file was written by PyMOL and does not name the entry: sequence and ligand are "
        "those of 10GS; the coordinates may have been superposed",
        "VWW",
    ),
    Entry(
        "1bd2",
        MDANALYSIS,
        _MD + "mmcif/1BD2.pdb.gz",
        "1BD2",
        "protein-protein",
        "T-cell receptor B7 (chains D, E) on HLA-A2 (A, B) that presents a viral peptide (C)",
        "X-ray diffraction",
        "2.50",
        trim_pdb,
        TRIMMED,
    ),
    Entry(
        "19hc",
        MDANALYSIS,
        _MD + "19hc.pdb.gz",
        "19HC",
        "protein-protein",
        "nine-haem cytochrome c of Desulfovibrio desulfuricans, a homodimer",
        "X-ray diffraction",
        "1.80",
        trim_pdb,
        TRIMMED,
        "HEM",
    ),
    Entry(
        "2xhe",
        BIOPYTHON,
        "Tests/PDB/2XHE.pdb",
        "2XHE",
        "protein-protein",
        "Unc18 (chain A) with syntaxin 1 (B) of Monosiga brevicollis",
        "X-ray diffraction",
        "2.80",
        trim_pdb,
        TRIMMED,
    ),
    Entry(
        "6wg6",
        BIOPYTHON,
        "Tests/PDB/6WG6.cif",
        "6WG6",
        "protein-protein",
        "hinge domains of human SMC1 (chain A) and SMC3 (B)",
        "X-ray diffraction",
        "3.54",
        lambda text: atom_sites(trim_mmcif(text), "auth_asym_id", "A", "B"),
        f"{TRIMMED}; the first heterodimer of six",
    ),
    Entry(
        "7cfn",
        BIOPYTHON,
        "Tests/PDB/7CFN.cif",
        "7CFN",
        "protein-protein",
        "bile acid receptor GPBAR (chain R) with the G protein Gs (A, B, G) and a nanobody (N)",
        "not stated in the file",
        "",
        lambda text: text,
        "the file holds coordinates only",
        "FX0 CLR PLM",
    ),
    Entry(
        "7ddo",
        BIOPYTHON,
        "Tests/PDB/7DDO.pdb",
        "7DDO",
        "protein-protein",
        "human ACE2 (chain A) with the receptor-binding domain of a coronavirus spike (C)",
        "electron microscopy",
        "3.40",
        trim_pdb,
        TRIMMED,
    ),
]
CHAINS = """1ahsA 1bvyF 1dx5I 1eteA 1h4aX 1i8nA 1lpbA 1mr1D 1or4A 1pdoA 1v7mV 1y1lA 2a2lA 2cayA 2cviA 2fvvA 2gu3A
    2i39A 2j49A 2qdlA 2va0A 2xcjA 2xdgA 2xr6A 3a4rA 3aqgA 3e8mA 3ejfA 3fhkA 3gfsA 3gknA 3gwiA 3hklA 3ieyB 3ii2A 3k7pA
    3l4rA 3lqcA 3nbkA 3nngA 3ny7A 3nzmA 3on9A 3pivA 3q4oA 3so6A 3t5gB 3vjzA 4dkcA 4gcnA"""


def _chain_entry(name: str) -> Entry:
    return Entry(
        name,
        MDANALYSIS,
        f"{_MD}dssp/{name}.pdb.gz",
        name[:4].upper(),
        "chain",
        f"chain {name[4]} of {name[:4].upper()}",
        "not stated in the file",
        "",
        drop_repeats,
        "",
    )


def build(archives: dict[tuple[str, str], Path], folder: Path) -> list[dict[str, object]]:
    """Write the files and ``table.csv`` into ``folder``; returns the table's rows."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [*ENTRIES, *map(_chain_entry, CHAINS.split())]
    rows = {}
    for source, archive in archives.items():
        wanted = {f"{'-'.join(source)}/{entry.member}": entry for entry in entries if entry.source == source}
        with tarfile.open(archive) as tar:
            for member in tar:
                if entry := wanted.pop(member.name, None):
                    rows[entry.name] = _write(entry, tar.extractfile(member).read(), folder)
        if wanted:
            raise ValueError(f"{archive} does not hold {', '.join(wanted)}; expected is {' '.join(source)}")
    table = [rows[entry.name] for entry in entries]
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return table


def _incomplete(structure: Molecule) -> int:
    """How many amino acids lack a backbone or side-chain atom (a terminal OXT is not missed)."""
    names = structure.atoms["name"].where(structure.atoms["name"] != "OXT").groupby(structure.residue_index).nunique()
    expected = structure.residues["resname"].map(HEAVY_ATOMS)
    return int((names.to_numpy() < expected.to_numpy()).sum())


def _write(entry: Entry, original: bytes, folder: Path) -> dict[str, object]:
    text = (gzip.decompress(original) if entry.member.endswith(".gz") else original).decode()
    prepared = entry.prepare(text)
    ending = ".cif" if ".cif" in entry.member else ".pdb"
    path = folder / f"{entry.name}{ending}.gz"
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as handle:
        handle.write(prepared.encode())
    path.write_bytes(buffer.getvalue())

    everything = read_structure(path, hydrogens=True, waters=True, altloc="all")
    structure = read_structure(path)
    atoms = structure.atoms
    preparation = entry.preparation
    if entry.kind == "chain":
        repeats = text.count("\nATOM") + text.startswith("ATOM") - prepared.count("ATOM  ")
        blank = sum(not line[76:78].strip() for line in prepared.splitlines() if line.startswith("ATOM"))
        preparation = (f"{repeats} atom records repeated at the same coordinates left out; " if repeats else "") + (
            f"no header; no element for {blank} of {len(everything)} atoms; all B factors 100"
        )
    counts = Counter(atoms["element"])
    # A ligand may look like a peptide.
    chains = structure.select(~atoms["resname"].isin(entry.ligand.split()).to_numpy())
    return {
        "name": entry.name,
        "file": path.name,
        "kind": entry.kind,
        "pdb": entry.pdb,
        "description": entry.description,
        "method": entry.method,
        "resolution": entry.resolution,
        "chains": " ".join(dict.fromkeys(atoms["chain"])),
        "residues": len(chains.sequence()),
        "residues_with_missing_atoms": _incomplete(structure),
        "atoms": len(everything),
        "heavy_atoms": len(atoms),
        "heavy_atoms_without_hetero": int((atoms["hetero"] == " ").sum()),
        "elements": " ".join(f"{symbol}{counts[symbol]}" for symbol in sorted(counts)),
        "ligand": entry.ligand,
        "preparation": preparation,
        "source": entry.source[0],
        "source_version": entry.source[1],
        "source_path": str(PurePosixPath(entry.member)),
        "source_sha256": hashlib.sha256(original).hexdigest(),
        "sha256": hashlib.sha256(prepared.encode()).hexdigest(),
        "licence": entry.licence,
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's description."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("biopython", type=Path, help="source distribution biopython-1.88.tar.gz")
    parser.add_argument("mdanalysistests", type=Path, help="source distribution mdanalysistests-2.11.0.tar.gz")
    parser.add_argument("folder", type=Path, nargs="?", default=DATA, help="where to write (default: the package)")
    options = parser.parse_args(arguments)
    table = build({BIOPYTHON: options.biopython, MDANALYSIS: options.mdanalysistests}, options.folder)
    size = sum(path.stat().st_size for path in options.folder.iterdir())
    print(f"{len(table)} structures, {size / 1e6:.2f} MB in {options.folder}")


if __name__ == "__main__":
    main()
