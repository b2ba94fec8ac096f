"""Tables of atoms: read from PDB and mmCIF files, choose among their atoms, tell their elements.

``eqgat.structures`` is the front door; this is the reading behind it.
"""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from Bio.Data.IUPACData import atom_weights
from Bio.Data.PDBData import nucleic_letters_3to1_extended, protein_letters_3to1, protein_letters_3to1_extended
from Bio.PDB.MMCIFParser import MMCIFParser
from Bio.PDB.PDBParser import PDBParser

from eqgat._elements import ELEMENTS, OTHER_ELEMENT

# The columns of ATOM3D's atom tables, with what stands in for a column that a table does not have.
ATOM_COLUMNS: dict[str, object] = {
    "ensemble": "",
    "subunit": "",
    "structure": "",
    "model": 1,
    "chain": " ",
    "hetero": " ",
    "insertion_code": " ",
    "residue": 0,
    "segid": " ",
    "resname": "UNK",
    "altloc": " ",
    "occupancy": 1.0,
    "bfactor": 0.0,
    "x": np.nan,
    "y": np.nan,
    "z": np.nan,
    "element": "",
    "name": "",
    "fullname": "",
    "serial_number": 0,
}
RESIDUE_KEY = ["ensemble", "subunit", "structure", "model", "chain", "segid", "hetero", "residue", "insertion_code"]
_SYMBOLS = {*atom_weights, "D"}
_WATERS = {"HOH", "DOD", "WAT", "H2O", "TIP", "TIP3", "SOL", "SPC"}
_FORCE_FIELD_LETTERS = {
    "HSD": "H",
    "HSE": "H",
    "HSP": "H",
    "HIE": "H",
    "HID": "H",
    "HIP": "H",
    "CYX": "C",
    "ADE": "A",
    "CYT": "C",
    "GUA": "G",
    "THY": "T",
    "URA": "U",
}
_FORCE_FIELD_IONS = {"LIT": "Li", "SOD": "Na", "POT": "K", "CES": "Cs", "CAL": "Ca", "CLA": "Cl"}
LETTERS = {**nucleic_letters_3to1_extended, **protein_letters_3to1_extended, **_FORCE_FIELD_LETTERS}
LETTERS = {name.strip(): letter for name, letter in LETTERS.items()}
STANDARD_RESIDUES = {*protein_letters_3to1, *_FORCE_FIELD_LETTERS, "A", "C", "G", "U", "DA", "DC", "DG", "DT"}


def element_index(symbol: str) -> int:
    """Vocabulary index of a chemical element: H 0, C 1, N 2, O 3, F 4, S 5, Cl 6, P 7, every other one 8.

    The case does not matter (``CL`` is chlorine), and deuterium is hydrogen. Raises ``ValueError`` for a symbol
    that is no chemical element.
    """
    symbol = str(symbol).strip().capitalize()
    if symbol not in _SYMBOLS:
        raise ValueError(f"{symbol!r} is not a chemical element")
    return ELEMENTS.get("H" if symbol == "D" else symbol, OTHER_ELEMENT)


class _AtomCollector:
    """Takes the events of Biopython's parsers and keeps each atom record as it is written in the file.

    Biopython's own builder guesses blank elements from the atom name alone, which makes calcium of an alpha carbon
    that is written in the wrong column, and drops alternate locations in its own way; here both are visible choices.
    """

    def __init__(self) -> None:
        self.rows: list[tuple] = []
        self.model, self.segid, self.chain, self.residue = 1, " ", " ", ("UNK", " ", 0, " ")

    def init_model(self, model_id: int, serial_num: int | None = None) -> None:
        self.model = model_id + 1 if serial_num is None else serial_num

    def init_chain(self, chain_id: str) -> None:
        self.chain = chain_id

    def init_seg(self, segid: str) -> None:
        self.segid = segid.strip() or " "

    def init_residue(self, resname: str, field: str, resseq: int, icode: str) -> None:
        self.residue = (resname, f"H_{resname}" if field == "H" else field, resseq, icode)

    def init_atom(
        self, name, coord, b_factor, occupancy, altloc, fullname, serial_number=None, element=None, *_unused
    ) -> None:  # positional in one parser, by keyword in the other
        resname, hetero, number, icode = self.residue
        # Biopython passes float32; its shortest decimal is the number that the file gives.
        x, y, z = (float(str(c)) for c in coord)
        self.rows.append(
            (
                "",
                "",
                "",
                self.model,
                self.chain,
                hetero,
                icode,
                number,
                self.segid,
                resname,
                altloc,
                np.nan if occupancy is None else occupancy,
                b_factor,
                x,
                y,
                z,
                element or "",
                name,
                fullname,
                serial_number,
            )
        )

    def get_structure(self) -> _AtomCollector:
        return self

    def _ignore(self, *_args, **_options) -> None: ...

    init_structure = set_header = set_line_counter = set_anisou = set_siguij = set_sigatm = set_symmetry = _ignore


def parse_file(path: Path, kind: str) -> pd.DataFrame:
    """All atom records of a file as a table, unselected."""
    try:
        with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as handle:
            text = handle.read().decode("utf-8", errors="replace")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path.name} is not a complete gzip file ({error}); fetch or copy it again") from error
    collector = _AtomCollector()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on oddities of the records, which the checks below settle
            if kind == "pdb":
                PDBParser(structure_builder=collector).get_structure("", io.StringIO(text))
            else:
                parser = MMCIFParser()
                parser._structure_builder = collector  # its argument of that name is newer than Biopython 1.83
                parser.get_structure("", io.StringIO(text))
    except Exception as error:  # the parsers raise IndexError, KeyError, ValueError ... on damaged records
        missing = kind == "cif" and isinstance(error, KeyError)
        raise ValueError(
            f"{path.name} "
            + (
                f"has no atoms: the column {error} is missing"
                if missing
                else f"cannot be read as a {'PDB' if kind == 'pdb' else 'mmCIF'} file: {error}"
            )
        ) from error
    return pd.DataFrame(collector.rows, columns=list(ATOM_COLUMNS))


def select_atoms(
    table: pd.DataFrame,
    name: str,
    model: int | str | None,
    chains: str | Iterable[str] | None,
    hydrogens: bool,
    waters: bool,
    hetero: bool,
    altloc: str,
) -> pd.DataFrame:
    """Apply the choices one after the other; the first that leaves nothing is the one to be told."""
    what = name or "the table of atoms"
    table = table.assign(hetero=table["hetero"].mask(table["resname"].isin(_WATERS), "W"))
    if model is not None and model != "all":
        table = _keep(
            table,
            table["model"] == model,
            what,
            f"model={model!r}; there are the models {', '.join(map(str, pd.unique(table['model'])[:20]))}",
        )
    if chains is not None:
        chains = [chains] if isinstance(chains, str) else list(chains)
        check_chains(table, chains)
        table = table[table["chain"].isin(chains)]
    if not waters:
        table = _keep(table, table["hetero"] != "W", what, "waters=False")
    if not hetero:
        table = _keep(table, table["hetero"].isin([" ", "W"]), what, "hetero=False")
    table = table.assign(element=_elements(table, what))
    if not hydrogens:
        table = _keep(table, ~table["element"].isin(["H", "D"]), what, "hydrogens=False")
    table = _choose_locations(table, altloc, what)
    finite = np.isfinite(table[["x", "y", "z"]].to_numpy(np.float64)).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{what} has NaN or infinite coordinates at {np.sum(~finite)} atom(s), first at "
            f"{_describe(table[~finite].iloc[0])}; repair or remove them"
        )
    return table.reset_index(drop=True)


def _keep(table: pd.DataFrame, mask: pd.Series, what: str, choice: str) -> pd.DataFrame:
    if not mask.any():
        raise ValueError(f"no atoms of {what} are left: the last {len(table)} were removed by {choice}")
    return table[mask]


def check_chains(table: pd.DataFrame, chains: Iterable[str]) -> None:
    there = list(pd.unique(table["chain"]))
    if absent := [c for c in chains if c not in there]:
        raise ValueError(f"there is no chain {absent[0]!r}; the chains are {', '.join(map(repr, there))}")


def _describe(atom: pd.Series) -> str:
    return f"atom {str(atom['name']).strip()} of residue {atom['resname']} {atom['residue']} in chain {atom['chain']!r}"


def _choose_locations(table: pd.DataFrame, altloc: str, what: str) -> pd.DataFrame:
    """One alternate location per residue, as ``read_structure`` describes; repeated records once."""
    table = table.drop_duplicates([*RESIDUE_KEY, "resname", "name", "altloc", "x", "y", "z"])
    labelled = table[table["altloc"] != " "]
    if altloc == "all" or labelled.empty:
        return table
    if altloc not in {"highest", *labelled["altloc"]}:
        raise ValueError(
            f"{what} has no alternate location {altloc!r}; there are "
            f'{", ".join(sorted(set(labelled["altloc"])))}, and "highest" and "all" can be asked for'
        )
    site = [c for c in RESIDUE_KEY if c != "hetero"]  # MET and selenomethionine can share one place
    score = labelled.assign(occupancy=labelled["occupancy"].fillna(0)).groupby([*site, "altloc"])["occupancy"]
    score = score.transform("mean").round(4).mask(labelled["altloc"] == altloc, np.inf)
    ranked = labelled.assign(score=-score).sort_values(["score", "altloc"], kind="stable")
    ranked = ranked[ranked["resname"] == ranked.groupby(site)["resname"].transform("first")]
    chosen = ranked.drop_duplicates([*site, "name"]).index
    return table[(table["altloc"] == " ") | table.index.isin(chosen)]


def _elements(table: pd.DataFrame, what: str) -> pd.Series:
    """Chemical symbols of the atoms, ``Cl`` for ``CL``; inferred where the table has none."""
    symbols = table["element"].astype(str).str.strip().str.capitalize()
    blank = symbols == ""
    if blank.any():
        aligned = bool(table["fullname"].str.startswith(" ").any())
        columns = ["name", "fullname", "resname", "hetero"]
        kinds = table.loc[blank, columns].drop_duplicates()
        inferred = {kind: _infer_element(*kind, aligned) for kind in kinds.itertuples(index=False, name=None)}
        symbols = symbols.mask(
            blank,
            pd.Series(
                [inferred.get(kind, "") for kind in table[columns].itertuples(index=False, name=None)], table.index
            ),
        )
    unknown = ~symbols.isin(_SYMBOLS)
    if unknown.any():
        row = unknown.idxmax()
        problem = (
            f"has the element {symbols[row]!r}, which is no chemical element"
            if symbols[row]
            else "has no element, and its name does not tell it for certain"
        )
        raise ValueError(
            f"{_describe(table.loc[row])} in {what} {problem}; correct the file's element column or "
            "leave the atom out (hetero=False, chains=...)"
        )
    return symbols


def _first_letters(text: str) -> str:
    text = text.strip().upper().lstrip("0123456789'\"*")
    return text[: next((k for k, c in enumerate(text) if not c.isalpha()), len(text))]


def _infer_element(name: str, fullname: str, resname: str, hetero: str, aligned: bool) -> str:
    """Element from an atom's name, ``""`` where that would be a guess. ``aligned``: names keep to PDB's columns."""
    letters, residue = (_first_letters(text) for text in (name, resname))
    one, two = letters[:1], letters[:2].capitalize()
    if hetero == "W":
        return one if one in ("O", "H", "D") else ""
    if letters == residue and resname not in LETTERS:  # an ion: the atom CA of the residue CA is calcium
        symbol = _FORCE_FIELD_IONS.get(letters, letters.capitalize())
        return symbol if symbol in _SYMBOLS else ""
    if resname in LETTERS and one and one in "HDCNOSP":
        return "Se" if two == "Se" else one
    if len(letters) < 2 or two not in _SYMBOLS:
        return one
    if aligned and fullname.startswith(" "):
        return one  # PDB: the symbol ends in column 14, so a name from there on begins with a one-letter symbol
    if aligned and len(name.strip()) < 4:
        return two
    return "H" if aligned and one == "H" else ""
