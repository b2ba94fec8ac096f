"""What names mean: symbols of elements, names of residues, and what the name of an atom tells of its element."""

from __future__ import annotations

from functools import cache

import gemmi
import numpy as np

from eqgat.errors import UserError

__all__ = ["ELEMENTS", "NUMBERS", "OTHER_ELEMENT", "SYMBOLS", "VOCABULARY", "element_index", "residue_letter"]

# Indices of elements as the models know them; see ``element_index``.
ELEMENTS = {"H": 0, "C": 1, "N": 2, "O": 3, "F": 4, "S": 5, "Cl": 6, "P": 7}
OTHER_ELEMENT = 8  # every other element (metals, Se, Br, I, ...), and X, an atom that nobody could identify
SYMBOLS = tuple(gemmi.Element(number).name for number in range(119))  # the place is the atomic number; X has 0
NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)} | {"D": 1}
VOCABULARY = np.array([ELEMENTS.get(symbol, OTHER_ELEMENT) for symbol in SYMBOLS])

_WATERS = """
    HOH DOD WAT WTR H2O D2O OH2 SOL SPC SPCE TIP TIP2 TIP3 TIP4 TIP5 TP3 TP4 TP5 T3P T4P T5P TIP3P TIP4P TIP5P OPC OP3
    SWM4
""".split()  # noqa: SIM905
# Names that force fields give to standard residues, by one-letter code; gemmi knows those of the Protein Data Bank.
_FORCE_FIELD_NAMES = {
    name: letter
    for letter, *names in map(
        str.split,
        """
        H HSD HSE HSP HIE HID HIP HISD HISE HISH HISA HISB HISP HIS1 HIS2 HIS+
        C CYX CYM CYN CYS1 CYS2 CYSH CYSS
        C CYT RC RC3 RC5 DC3 DC5 C3 C5
        D ASH ASPP ASPH ASP-
        E GLH GLUP GLUH GLU-
        K LYN LSN LYSH LYSN LYP LYS+
        R ARN ARGN ARG+
        Y TYM
        A ADE RA RA3 RA5 DA3 DA5 A3 A5
        G GUA RG RG3 RG5 DG3 DG5 G3 G5
        T THY DT3 DT5
        U URA RU RU3 RU5 U3 U5
        """.strip().splitlines(),
    )
    for name in names
}
_FORCE_FIELD_IONS = {
    "LIT": "Li",
    "SOD": "Na",
    "POT": "K",
    "RUB": "Rb",
    "CES": "Cs",
    "CAL": "Ca",
    "BAR": "Ba",
    "CAD": "Cd",
    "CLA": "Cl",
    "IOD": "I",
}
# Pairs of letters that more ligands of the Protein Data Bank use for the element than for a name of one of the first
# letter's. Where they stand as such a name has to, some program may have put every name there: nothing is certain.
_SYMBOLS_FIRST = {"Be", "Bi", "Br", "Cl", "Co", "Cu", "Fe", "In", "Ir", "Ni", "Pt", "Se", "Si", "Sn"}


def element_index(symbol: str) -> int:
    """Vocabulary index of an element: H 0, C 1, N 2, O 3, F 4, S 5, Cl 6, P 7, every other one 8.

    The case does not matter, deuterium is hydrogen, and X stands for an atom that nobody could identify.

    Raises:
        UserError: a symbol that is no chemical element.

    >>> [element_index(symbol) for symbol in ("C", "CL", "D", "Zn", "X")]
    [1, 6, 0, 8, 8]
    """
    number = NUMBERS.get(str(symbol).strip().capitalize())
    if number is None:
        raise UserError(f"{symbol!r} is not a chemical element")
    return int(VOCABULARY[number])


@cache
def residue_letter(resname: str) -> str:
    """One-letter code of an amino acid or nucleotide, also modified or as force fields name it; "" for all else.

    >>> [residue_letter(name) for name in ("MSE", "HIE", "NALA", "DG", "GDP")]
    ['M', 'H', 'A', 'G', '']
    """
    resname = resname.upper()
    found = gemmi.find_tabulated_residue(resname)
    known = found.one_letter_code.strip().upper() if found.is_amino_acid() or found.is_nucleic_acid() else ""
    letter = _FORCE_FIELD_NAMES.get(resname) or known
    # Amber marks the ends of a chain.
    return residue_letter(resname[1:]) if not letter and len(resname) == 4 and resname[0] in "NC" else letter


@cache
def is_standard(resname: str) -> bool:
    found = gemmi.find_tabulated_residue(resname.upper())
    return found.is_standard() if found.found() else bool(residue_letter(resname))


@cache
def is_water(resname: str) -> bool:
    return resname.upper() in _WATERS or gemmi.find_tabulated_residue(resname.upper()).is_water()


def is_known(resname: str) -> bool:
    """Whether a name is that of an amino acid, a nucleotide or water."""
    return bool(residue_letter(resname.strip())) or is_water(resname.strip())


def _first_letters(text: str) -> str:
    text = text.strip().upper().lstrip("0123456789'\"*")
    return text[: next((k for k, c in enumerate(text) if not c.isalpha()), len(text))]


@cache
def is_pushed_left(name: str, padded: str) -> bool:
    """Whether an atom's name begins where PDB has the first letter of a two-letter symbol, though it has none."""
    letters = _first_letters(name)
    one, two = letters[:1], letters[:2].capitalize()
    if len(name) > 3 or not padded[:1].isalpha() or one not in NUMBERS or one in "HD":  # hydrogens often are
        return False
    return len(letters) < 2 or two not in NUMBERS


def is_virtual(name: str) -> bool:
    """Whether a name is that of a lone pair, a virtual site of a water, or a pseudo-atom of NMR: no atoms.

    >>> [is_virtual(name) for name in ("LP1", "EPW", "MW", "QB", "CB")]
    [True, True, True, True, False]
    """
    letters = _first_letters(name)
    return letters == "M" or letters.startswith(("LP", "EP", "MW", "Q"))


@cache
def infer_element(name: str, padded: str, resname: str, aligned: bool) -> str:
    """Element from an atom's name, ``""`` where that would be a guess. ``aligned``: names keep to PDB's columns.

    ``CA`` is an alpha carbon in an amino acid, calcium in the residue ``CA``, and nothing certain in a ligand whose
    names do not keep to the columns; ``CL1`` of a ligand is nothing certain where the columns make it a carbon.
    """
    letters, residue, polymer = _first_letters(name), _first_letters(resname), residue_letter(resname)
    one, two = letters[:1], letters[:2].capitalize()
    if is_water(resname) and one in ("O", "H", "D"):  # a ligand may have the name
        return one
    if letters == residue and not polymer:  # an ion
        symbol = _FORCE_FIELD_IONS.get(letters, letters.capitalize())
        return symbol if symbol in NUMBERS else ""
    if polymer and one and one in "HDCNOSP":
        return "Se" if two == "Se" else one
    if len(letters) < 2 or two not in NUMBERS:
        return one if one in NUMBERS else ""
    if aligned and padded.startswith(" "):
        # PDB: the symbol ends in column 14, so a name from there on begins with a one-letter symbol.
        return one if one in NUMBERS and two not in _SYMBOLS_FIRST else ""
    if aligned and len(name) < 4:
        return two
    return "H" if aligned and one == "H" else ""
