"""The records of a PDB file as columns.

They have fixed places, and are read here, because each row has to be accounted for with its line: gemmi, as other
readers do, stops at END, and takes a part of a number for a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from eqgat.chemistry import NUMBERS, is_known
from eqgat.columns import (
    Coded,
    check_size,
    fields,
    hetero_flags,
    hybrid36,
    parse_column,
    read_decimals,
    serials,
    to_float,
)
from eqgat.errors import StructureError

__all__ = ["read_pdb"]

# A line that has three coordinates in PDB's columns is an atom, whatever its record name has become.
_ATOM_LIKE = re.compile(r" *(?:ATOM|HETATM)\b|.{27,33}(?: *-?\d+\.\d{3}){3}(?!\d)", re.IGNORECASE)
_NOT_ATOMS = ("REMARK", "SIGATM", "USER")
# The columns of an ATOM or HETATM record, counted from 0.
_RECORD = {
    "padded_name": (12, 16),
    "altloc": (16, 17),
    "residue_name": (17, 20),
    "extra": (20, 21),
    "chain_name": (21, 22),
    "residue_number": (22, 26),
    "insertion_code": (26, 27),
    "occupancy": (54, 60),
    "bfactor": (60, 66),
    "segment": (72, 76),
    "symbol": (76, 78),
    "after": (78, 79),
}
# End of each number in a PDB record, and where its point is if it fills its columns: then the next may follow at once.
_ENDS = ((38, 34), (46, 42), (54, 50), (60, 57))


def read_pdb(file: str, text: str, model: int | str | None) -> tuple[dict[str, Any], Callable[[int], int]]:
    """The atom records as columns, and the line of each; of the first model alone where none is asked for.

    Raises:
        StructureError: no atoms, a row that cannot be read, too many rows.

    >>> text = "ATOM      1  CA  GLY A   1       1.000   2.000   3.000  1.00  0.00           C"
    >>> columns, line_of = read_pdb("glycine.pdb", text, None)
    >>> columns["positions"].tolist(), line_of(0)
    ([[1.0, 2.0, 3.0]], 1)
    """
    if re.match(r"(?:#.*\n|\s)*data_", text, re.IGNORECASE):
        raise StructureError("the file looks like mmCIF, not PDB; rename it to end in .cif", file, 1)
    lines = text.split("\n")
    heads = Coded([line[:6] for line in lines])
    kinds = heads.map(_record_kind)
    for place in np.flatnonzero(kinds.where(lambda kind: kind == "other")).tolist():
        if _ATOM_LIKE.match(lines[place]):
            problem = f"looks like an atom, but does not begin with ATOM or HETATM: {lines[place][:30]!r}"
            raise StructureError(problem, file, place + 1)
    found = np.flatnonzero(kinds.where(lambda kind: kind == "atom"))
    if not len(found):
        raise StructureError("the file has no atoms (records ATOM and HETATM)", file, len(lines))

    # MODEL and ENDMDL each begin another part of the file; a part that has atoms is a model.
    breaks = np.flatnonzero(kinds.where(lambda kind: kind == "model"))
    parts, which = np.unique(np.searchsorted(breaks, found), return_inverse=True)
    said = [lines[breaks[part - 1]][5:].split()[:1] if part else [] for part in parts.tolist()]
    numbers = [int(number[0]) if number and number[0].isdecimal() else None for number in said]
    given = [number for number in numbers if number is not None]
    if len(set(given)) < len(given):
        numbers = list(range(1, len(numbers) + 1))
    else:  # a part without a number comes after those that have one, wherever it stands: it takes no one's number
        beyond = count(max(given, default=0) + 1)
        numbers = [next(beyond) if number is None else number for number in numbers]
    if model is None:
        found, which = found[which == 0], which[which == 0]
    check_size(len(found), file, lambda row: int(found[row]) + 1)
    if lines[-1] and found[-1] == len(lines) - 1 and len(lines[-1]) < 66 and len(lines[-1]) not in (54, 60):
        raise StructureError("the file ends within an atom; fetch or copy it again", file, len(lines))

    def error(row: int, problem: str) -> StructureError:
        return StructureError(f"{problem}; correct the record, or fetch the file again", file, int(found[row]) + 1)

    rows = [lines[place] for place in found.tolist()]
    for number, row in enumerate(rows):
        if len(row) > 80 and ("ATOM  " in row[80:] or "HETATM" in row[80:]):
            raise error(number, f"another record follows on the same line: {row[80:110]!r}")
    rows = [row if len(row) == 80 and row[:4] in ("ATOM", "HETA") else _filled(row) for row in rows]
    joined = "".join(rows)
    encoded = np.frombuffer(joined.encode(), np.uint8)
    if not joined.isascii() or encoded.min() < ord(" "):
        odd = next(row for row, line in enumerate(rows) if not (line.isascii() and line.isprintable()))
        raise error(odd, f"has a character that no PDB record may have: {lines[found[odd]]!r}")
    letters = encoded.reshape(-1, 80)

    def column(name: str) -> Coded:
        start, end = _RECORD[name]
        return Coded.of_letters(letters[:, start:end])

    def shares(name: str, what: str, stand_in: float) -> np.ndarray:
        start, end = _RECORD[name]
        if (values := _pdb_numbers(letters[:, start:end])) is not None:
            return values

        def parse(field: str) -> float | None:
            if not field.strip(" *"):
                return stand_in
            return None if field.strip(" +-.0123456789") else to_float(field)

        return parse_column(column(name), parse, what, "no number", error).array(np.float64)

    resnames, extra, chains = map(column, ("residue_name", "extra", "chain_name"))
    # Column 21 holds the first letter of a chain, or the fourth of a residue's name, as force fields write them: names
    # that are known without it and unknown with it, of which one chain has two, or two chains one.
    if extra.values != [" "]:
        names = list(zip(*(part.array().tolist() for part in (resnames, extra, chains)), strict=True))
        known = {
            (more + chain, resname)
            for resname, more, chain in set(names)
            if more.isalnum() and chain != " " and is_known(resname) and not is_known(resname + more)
        }
        if len(known) > min(len({pair for pair, _ in known}), len({resname for _, resname in known})):
            chains = Coded([more + chain for _, more, chain in names])
        else:
            resnames = Coded([resname + more for resname, more, _ in names])
    numbers_of_residues = column("residue_number")
    if any(text[0] == "0" and text.isdigit() for text in numbers_of_residues.values):
        chains, numbers_of_residues = _long_numbers(chains, numbers_of_residues)
    # Old files have numbers in the element's columns.
    symbols, after = column("symbol").map(lambda text: text if text.strip().isalpha() else ""), column("after")
    if any(map(str.isalpha, after.values)):
        symbols = Coded(map(_symbol, symbols.array().tolist(), after.array().tolist()))
    padded_names = column("padded_name")
    columns: dict[str, Any] = {
        "model": Coded(numbers, which),
        "hetero": hetero_flags(letters[:, 0] == ord("A"), resnames),
        "serial": serials(fields(letters[:, 6:11]).tolist()),
        "atom_name": padded_names,
        "padded_name": padded_names,
        "altloc": column("altloc"),
        "residue_name": resnames,
        "chain_name": chains,
        "residue_number": parse_column(
            numbers_of_residues, hybrid36, "the residue number (columns 23-26)", "no number", error
        ),
        "insertion_code": column("insertion_code"),
        "positions": _pdb_positions(letters, error),
        "occupancy": shares("occupancy", "the occupancy", 1.0),
        "bfactor": shares("bfactor", "the B factor", 0.0),
        "segment": column("segment"),
        "symbol": symbols,
        "source": Coded([""] * len(rows)),
    }
    return columns, lambda row: int(found[row]) + 1


def _record_kind(head: str) -> str:
    """What the first six letters of a line make it."""
    record = head.upper()
    if record == "HETATM" or (record[:4] == "ATOM" and not record[4:].strip(" 0123456789")):
        return "atom"
    if record == "ENDMDL" or (record.startswith("MODEL") and not record[5:].strip(" 0123456789")):
        return "model"
    return "note" if record.startswith(_NOT_ATOMS) else "other"


def _filled(row: str) -> str:
    """A record in 80 columns and in capitals; the chain stays as it is."""
    if not row[:6].isupper():
        row = row[:21].upper() + row[21:22] + row[22:].upper()
    return row[: 76 if len(row) == 77 else 80].ljust(80)  # 77: the element may be cut


def _long_numbers(chains: Coded, numbers: Coded) -> tuple[Coded, Coded]:
    """Chains and residue numbers where 10000 and more begin in the chain's column, as their zeros show beside blanks.

    Then every digit there is a number's, and those residues have no chain.
    """
    pairs = list(zip(chains.array().tolist(), numbers.array().tolist(), strict=True))
    long = [chain.isdigit() and number.isdigit() for chain, number in pairs]
    if not any(number[0] == " " for number in numbers.values) or any(
        chain.isdigit() and not more for (chain, _), more in zip(pairs, long, strict=True)
    ):
        return chains, numbers
    return (
        Coded([" " if more else chain for (chain, _), more in zip(pairs, long, strict=True)]),
        Coded([chain + number if more else number for (chain, number), more in zip(pairs, long, strict=True)]),
    )


def _symbol(text: str, after: str) -> str:
    """The element in columns 77-78 or, as AutoDock writes it, in 78-79; two capitals there may be one of its types."""
    if text[:1] == " " and after.isalpha() and (text[1] + after).capitalize() in NUMBERS:
        return text[1] + after if after.islower() else ""  # NA is sodium, or a nitrogen that accepts hydrogens
    return text


def _pdb_numbers(letters: np.ndarray) -> np.ndarray | None:
    """The numbers in columns [n, width], if each is one plain number with a point; else None."""
    if ((letters == ord(".")).sum(axis=1) != 1).any():
        return None
    numbers = read_decimals(np.pad(letters, ((0, 0), (0, 1)), constant_values=ord(" ")).tobytes().decode())
    return numbers if numbers is not None and len(numbers) == len(letters) else None  # more: a blank within a number


def _pdb_positions(letters: np.ndarray, error: Callable[[int, str], StructureError]) -> np.ndarray:
    """Coordinates [n, 3] of records [n, 80]."""
    digit, blank = (letters >= ord("0")) & (letters <= ord("9")), letters == ord(" ")
    odd = blank[:, 53:].all(axis=1)
    for end, point in _ENDS:  # a number that goes on in the columns of the next one
        odd |= digit[:, end] & ~blank[:, end - 1] & (letters[:, point] != ord("."))
    fields = np.ascontiguousarray(letters[:, 30:54])
    if not odd.any() and (positions := _pdb_numbers(fields.reshape(-1, 8))) is not None:
        return positions.reshape(-1, 3)
    rows: list[list[float | None]] = []
    for row, wrong in enumerate(odd.tolist()):
        text = fields[row].tobytes().decode()
        rows.append([to_float(text[start : start + 8]) for start in (0, 8, 16)])
        if wrong or None in rows[-1] or text.count(".") != 3 or text.strip(" +-.0123456789"):
            raise error(row, f"columns 31-54 are not three coordinates of eight columns each: {text!r}")
    return np.array(rows, np.float64)
