"""From a structure file to a molecule: PDB and mmCIF, gzipped or not.

``read_structure(file).graph(cutoff=4.5)`` is the input of every model in this package (Section 2 of the paper). What
counts as an atom of the molecule, and what happens to the rest, stands at the head of ``eqgat.molecule``.

gemmi reads the syntax of mmCIF. PDB's records have fixed columns, and are read here, because each row has to be
accounted for with its line: gemmi, as other readers do, stops at END, and takes a part of a number for a number.
"""

from __future__ import annotations

import gzip
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from eqgat.atom_rows import AtomRows, Choices, Coded
from eqgat.chemistry import NUMBERS, is_known, residue_letter
from eqgat.molecule import ATOM_COLUMNS, ELEMENTS, OTHER_ELEMENT, Molecule, StructureError, element_index

__all__ = [
    "ATOM_COLUMNS",
    "ELEMENTS",
    "OTHER_ELEMENT",
    "Molecule",
    "StructureError",
    "element_index",
    "read_structure",
]

MAX_BYTES = 100 * 2**20  # of a file's text, unpacked; more is refused while it is read
MAX_ATOMS = 500_000  # rows of the model that is read

_KINDS = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif"}
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# A line that has three coordinates in PDB's columns is an atom, whatever its record name has become.
_ATOM_LIKE = re.compile(r" *(?:ATOM|HETATM)\b|.{27,33}(?: *-?\d+\.\d{3}){3}(?!\d)", re.IGNORECASE)
_NOT_ATOMS = ("REMARK", "SIGATM", "USER")
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\(\d+\))?\s*")
_CHARGE = re.compile(r"(\d+[-+]|[-+]\d*)$")  # mmCIF's symbols may have one: Fe3+
_POWERS = np.array([float(10**power) for power in range(16)])
_PLAIN = b"-. 0123456789"  # what plain numbers with blanks between them are made of
_SEQUENCE_NUMBER = re.compile(r"([-+]?\d{1,9})([A-Za-z]?)")


def read_structure(
    path: str | Path,
    *,
    model: int | str | None = None,
    chains: str | Iterable[str] | None = None,
    hydrogens: bool = False,
    waters: bool = False,
    hetero: bool = True,
    altloc: str = "highest",
    name: str | None = None,
) -> Molecule:
    """Read a PDB (``.pdb``, ``.pdb1``, ``.ent``) or mmCIF (``.cif``, ``.mmcif``) file, gzipped (``.gz``) or not.

    Args:
        path: the file.
        model: number of the model as the file gives it (1, 2, ... where a PDB file gives one twice; atoms outside of
            MODEL have the number after the highest); by default the first one in the file; ``"all"`` keeps every
            one, for instance the copies that make up an assembly (``.pdb1``). END ends nothing; ENDMDL and MODEL end a
            model.
        chains: the chains to keep, ``"A"`` or ``["A", "B"]`` (author's names in mmCIF); by default all.
        hydrogens: keep hydrogen and deuterium atoms.
        waters: keep water molecules (HOH, DOD, and TIP3, SOL ... of simulations, also where written as ATOM).
        hetero: keep the other HETATM groups: ligands, ions, modified residues.
        altloc: ``"highest"``, a label or ``"all"``; see the head of ``eqgat.molecule``.
        name: what to call the molecule; by default the file's name without its endings.

    What a file leaves out has a stand-in: occupancy 1, B factor 0, no insertion code, the ``label_`` item of mmCIF for
    an ``auth_`` item; an element is inferred from atom name, residue and column, and a name that does not tell it for
    certain is refused.

    Raises:
        FileNotFoundError: no such file or folder.
        StructureError: a folder, pipe or device instead of a file; an unknown file type; a damaged, cut-off or too
            large file (``MAX_BYTES``, ``MAX_ATOMS``); a row that cannot be read or placed; a model, chain or location
            that is not there; no atoms left, saying which choice removed them. It names file and line.

    >>> from eqgat.datasets import embedded_path
    >>> protease = read_structure(embedded_path("1hvr"))
    >>> protease, protease.dropped
    (Molecule('1hvr': 1560 atoms, 199 residues, chains AB), {'hydrogen': 330})
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    kind = _KINDS.get(re.sub(r"(?<=\.pdb)\d+$", "", "".join(suffixes[:-1][-1:] if zipped else suffixes[-1:])))
    if not path.exists():
        where = "" if path.parent.exists() else f": the folder {path.parent} does not exist"
        raise FileNotFoundError(f"no structure file {path}{where}")
    if path.is_dir():
        raise StructureError(f"{path} is a folder; give the structure file in it")
    if not stat.S_ISREG(path.stat().st_mode):
        raise StructureError(f"{path} is a pipe, socket or device; give a file")
    if kind is None:
        raise StructureError(
            f"{path.name} is of an unknown file type; known are .pdb, .ent, .cif and .mmcif, each also with .gz"
        )
    columns, line_of = (_read_pdb if kind == "pdb" else _read_mmcif)(path.name, _read_text(path, zipped), model)
    stem = path.name.removesuffix(path.suffix) if zipped else path.name
    choices = Choices(columns["model"][0] if model is None else model, chains, hydrogens, waters, hetero, altloc)
    rows = AtomRows(columns, choices, path.name, lambda row: (path.name, line_of(row), "line"))
    own = Path(stem).stem.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # text, whatever bytes it has
    return Molecule(name=own if name is None else name, **rows.arrays())


def _read_text(path: Path, zipped: bool) -> str:
    """The text of a file, its lines ended by newlines alone."""
    parts: list[bytes] = []
    try:
        with (gzip.open if zipped else open)(path, "rb") as handle:
            while part := handle.read(2**20):
                parts.append(part)
                if len(parts) << 20 > MAX_BYTES and sum(map(len, parts)) > MAX_BYTES:
                    raise StructureError(f"the file has more than {MAX_BYTES >> 20} MiB", path.name, _lines(parts))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        problem = f"not a complete gzip file ({error}); fetch or copy it again"
        raise StructureError(problem, path.name, _lines(parts) + 1) from error
    data = b"".join(parts)  # no copy of a single part
    encoding = _ENCODINGS.get(data[:2], "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _lines(parts: list[bytes]) -> int:
    return sum(part.count(b"\n") for part in parts)


def _parsed(
    column: Coded, parse: Callable[[str], Any], what: str, kind: str, error: Callable[[int, str], StructureError]
) -> Coded:
    """A column with each value parsed; ``error`` makes what is raised for the first row whose value becomes None."""
    parsed = column.map(parse)
    for row in np.flatnonzero(parsed.where(lambda value: value is None))[:1].tolist():
        raise error(row, f"{what} is {kind}: {column[row]!r}" if column[row] else f"{what} is missing")
    return parsed


def _serials(texts: list[Any]) -> np.ndarray:
    """Numbers of atoms, 0 where there is none."""
    try:
        return np.fromiter(map(int, texts), np.int64, len(texts))
    except (ValueError, OverflowError):
        return np.array([_hybrid36(text if isinstance(text, str) else text.decode()) or 0 for text in texts])


# The columns of an ATOM or HETATM record, counted from 0.
_RECORD = {
    "kind": (0, 1),
    "serial": (6, 11),
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
_RECORD_TYPE = np.dtype(
    {
        "names": list(_RECORD),
        "formats": [f"S{end - start}" for start, end in _RECORD.values()],
        "offsets": [start for start, _ in _RECORD.values()],
        "itemsize": 80,
    }
)
# End of each number in a PDB record, and where its point is if it fills its columns: then the next may follow at once.
_ENDS = ((38, 34), (46, 42), (54, 50), (60, 57))


def _read_pdb(file: str, text: str, model: int | str | None) -> tuple[dict[str, Any], Callable[[int], int]]:
    """The atom records as columns, and the line of each; of the first model alone where none is asked for."""
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
    if len(found) > MAX_ATOMS:
        raise StructureError(f"the model has more than {MAX_ATOMS} atoms", file, int(found[MAX_ATOMS]) + 1)
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
    record, letters = encoded.view(_RECORD_TYPE), encoded.reshape(-1, 80)

    def column(name: str) -> Coded:
        if (record[name] == record[name][0]).all():
            return Coded([record[name][0].decode()], np.zeros(len(record), np.int64))
        return Coded(record[name].tolist()).map(bytes.decode)

    def shares(name: str, what: str, stand_in: float) -> np.ndarray:
        start, end = _RECORD[name]
        if (values := _pdb_numbers(letters[:, start:end])) is not None:
            return values

        def parse(field: str) -> float | None:
            if not field.strip(" *"):
                return stand_in
            return None if field.strip(" +-.0123456789") else _number(field)

        return _parsed(column(name), parse, what, "no number", error).array(np.float64)

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
        "hetero": _hetero(record["kind"] == b"A", resnames),
        "serial": _serials(record["serial"].tolist()),
        "atom_name": padded_names,
        "padded_name": padded_names,
        "altloc": column("altloc"),
        "residue_name": resnames,
        "chain_name": chains,
        "residue_number": _parsed(
            numbers_of_residues, _hybrid36, "the residue number (columns 23-26)", "no number", error
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
    numbers = _decimals(np.pad(letters, ((0, 0), (0, 1)), constant_values=ord(" ")).tobytes().decode())
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
        rows.append([_number(text[start : start + 8]) for start in (0, 8, 16)])
        if wrong or None in rows[-1] or text.count(".") != 3 or text.strip(" +-.0123456789"):
            raise error(row, f"columns 31-54 are not three coordinates of eight columns each: {text!r}")
    return np.array(rows, np.float64)


def _hybrid36(text: str) -> int | None:
    """A number in PDB's columns; beyond 9999 they count on with letters (A000 is 10000). None for anything else."""
    digits = text.strip()
    if re.fullmatch(r"[-+]?[0-9]+", digits):
        return int(digits)
    if re.fullmatch(r"[A-Z][A-Z0-9]*|[a-z][a-z0-9]*", digits) and digits == text:
        width = len(digits)
        return int(digits, 36) + int(10**width + (-10 if digits[0].isupper() else 16) * 36 ** (width - 1))
    return None


def _number(text: str) -> float | None:
    """A number, also 1.0(3), which has its uncertainty behind it."""
    match = _NUMBER.fullmatch(text)
    return float(match[1]) if match else None


def _decimals(text: str) -> np.ndarray | None:
    """Numbers with blanks between them and a blank at the end, if they are digits, points and signs alone; else None.

    They are read as whole numbers and then divided: several times faster than ``float``, and the same, as 15 digits and
    powers of ten are exact in float64.
    """
    data = text.encode()
    if not data or data.translate(None, _PLAIN):
        return None
    letters = np.frombuffer(data, np.uint8)
    blank = letters == ord(" ")
    edges = np.flatnonzero(np.diff(blank, prepend=True))
    starts, ends = edges[::2], edges[1::2]
    points, signs = np.flatnonzero(letters == ord(".")), np.flatnonzero(letters == ord("-"))
    owners, decimals, digits = np.searchsorted(ends, points), np.zeros(len(ends), np.int64), ends - starts
    decimals[owners] = ends[owners] - points - 1
    digits[owners] -= 1
    digits[np.searchsorted(ends, signs)] -= 1
    if not blank[signs - 1].all() or (np.diff(owners) == 0).any() or (digits < 1).any() or (digits > 15).any():
        return None
    return np.fromstring(text.replace(".", ""), np.int64, sep=" ") / _POWERS[decimals]


def _hetero(polymer: np.ndarray, resnames: Coded) -> Coded:
    kinds = [" ", *(f"H_{name.strip()}" for name in resnames.values)]
    return Coded(kinds, np.where(polymer, 0, 1 + resnames.codes))


def _read_mmcif(file: str, text: str, model: int | str | None) -> tuple[dict[str, Any], Callable[[int], int]]:
    """The rows of ``_atom_site`` as columns, and the line of each; of the first model alone where none is asked for."""
    try:
        tables = [
            (block, table)
            for block in gemmi.cif.read_string(text)
            if len(table := block.find_mmcif_category("_atom_site."))
        ]
    except (ValueError, RuntimeError) as damage:  # "string:17:0(612): ..." or "string:17 in data_x: ..."
        told = re.match(r"string:(\d+)\S*\s*(.*)", str(damage), re.DOTALL)
        line, problem = (int(told[1]), told[2]) if told else (1 + text.count("\n"), str(damage))
        if re.match(r"\s*(?:HEADER|TITLE|COMPND|REMARK|CRYST1|MODEL|ATOM|HETATM)\b", text):
            raise StructureError("the file looks like PDB, not mmCIF; rename it to end in .pdb", file, 1) from damage
        raise StructureError(f"cannot be read as mmCIF: {problem}", file, line) from damage
    if not tables:
        raise StructureError("the file has no atoms (category _atom_site of mmCIF)", file, 1 + text.count("\n"))
    if len(tables) > 1:
        names = ", ".join(block.name for block, _ in tables[:5])
        problem = f"{len(tables)} data blocks have atoms ({names}); keep one in the file"
        raise StructureError(problem, file, _line_of_atoms(tables[1][0]))
    block, table = tables[0]
    tags = [tag.lower().removeprefix("_atom_site.") for tag in table.tags]
    width, start = len(tags), _line_of_atoms(block)

    def line_of(row: int) -> int:
        tokens = (token for token in _TOKEN.finditer(text.split("\n", start - 1)[-1]) if token[0][0] != "#")
        token = next(islice(tokens, 1 + width + row * width, None), None)
        return start + (token.string.count("\n", 0, token.start()) if token else 0)

    rows: Sequence[int] = range(len(table))

    def raw(tag: str) -> list[str]:
        values = list(table.column(tags.index(tag))) if tag in tags else []
        return values if len(values) <= len(rows) else [values[row] for row in rows]

    def error(row: int, problem: str) -> StructureError:
        return StructureError(problem, file, line_of(rows[row]))

    def texts(*items: str, stand_in: str = "") -> Coded:
        """The values of an item, or where it says ? or . those of the next one."""
        said = Coded([None], np.zeros(len(rows), np.int64))
        for item in items:
            if item in tags and None in said.values:
                other = Coded(raw(item)).map(lambda text: None if text in ("?", ".") else gemmi.cif.as_string(text))
                if said.values != [None]:
                    pairs = zip(said.array(object).tolist(), other.array(object).tolist(), strict=True)
                    other = Coded([second if first is None else first for first, second in pairs])
                said = other
        return said.map(lambda text: stand_in if text is None else text) if None in said.values else said

    def numbers(tag: str, stand_in: str = "") -> np.ndarray:
        values = raw(tag)
        if (found := _decimals(" ".join([*values, ""]))) is not None:
            return found
        return _parsed(texts(tag, stand_in=stand_in), _number, tag, "no number", error).array(np.float64)

    def whole(*tags: str, stand_in: str) -> tuple[Coded, Coded]:
        """Whole numbers, and for each the letter that may follow it."""

        said = texts(*tags, stand_in=stand_in)
        digits = "".join(said.values)
        if digits.isascii() and digits.isdigit() and all(0 < len(text) < 10 for text in said.values):  # nearly always
            return said.map(int), Coded([""], np.zeros(len(rows), np.int64))

        def parse(text: str) -> tuple[int, str] | None:
            match = _SEQUENCE_NUMBER.fullmatch(text)
            return (int(match[1]), match[2]) if match else None

        parts = _parsed(said, parse, tags[0], "no whole number", error)
        return parts.map(lambda part: part[0]), parts.map(lambda part: part[1])

    models = whole("pdbx_pdb_model_num", stand_in="1")[0]
    if model is None and len(models.values) > 1:
        first = np.flatnonzero(models.codes == 0)
        rows, models = first.tolist(), models.take(first)
    if len(rows) > MAX_ATOMS:
        raise StructureError(f"the model has more than {MAX_ATOMS} atoms", file, line_of(rows[MAX_ATOMS]))
    resnames = texts("label_comp_id", "auth_comp_id", stand_in="UNK")
    atom_names = texts("label_atom_id", "auth_atom_id")
    groups = _parsed(
        texts("group_pdb").map(str.upper),
        lambda group: group if group in ("ATOM", "HETATM", "") else None,
        "group_PDB",
        "neither ATOM nor HETATM",
        error,
    )
    polymer = groups.where(lambda group: group == "ATOM")
    if "" in groups.values:
        in_sequence = texts("label_seq_id").where(bool) if "label_seq_id" in tags else resnames.where(residue_letter)
        polymer |= groups.where(lambda group: not group) & in_sequence
    sequence_numbers, letters = whole("auth_seq_id", "label_seq_id", stand_in="0")
    source = texts()
    if 0 in sequence_numbers.values and "auth_asym_id" in tags:
        # Who has no number at all is told by the molecule's own name from others in the chain that the authors give.
        unnumbered = texts("auth_seq_id", "label_seq_id").where(lambda text: not text)
        source = Coded(np.where(unnumbered, texts("label_asym_id").array(object), "").tolist())
    inserted = texts("pdbx_pdb_ins_code")
    if letters.values != [""]:
        pairs = zip(inserted.array().tolist(), letters.array().tolist(), strict=True)
        inserted = Coded([code or letter for code, letter in pairs])
    columns: dict[str, Any] = {
        "model": models,
        "hetero": _hetero(polymer, resnames),
        "serial": _serials(raw("id")) if "id" in tags else np.zeros(len(rows), np.int64),
        "atom_name": atom_names,
        "padded_name": atom_names,
        "altloc": texts("label_alt_id"),
        "residue_name": resnames,
        "chain_name": texts("auth_asym_id", "label_asym_id"),
        "residue_number": sequence_numbers,
        "insertion_code": inserted,
        "positions": np.column_stack([numbers(f"cartn_{axis}") for axis in "xyz"]),
        "occupancy": numbers("occupancy", stand_in="1"),
        "bfactor": numbers("b_iso_or_equiv", stand_in="0"),
        "segment": texts(stand_in=" "),
        "symbol": texts("type_symbol").map(lambda text: _CHARGE.sub("", text)),
        "source": source,
    }
    return columns, lambda row: line_of(rows[row])


_TOKEN = re.compile(r"""^;.*?^;|'(?:[^'\n]|'(?=\S))*'(?=\s|$)|"(?:[^"\n]|"(?=\S))*"(?=\s|$)|#[^\n]*|\S+""", re.M | re.S)


def _line_of_atoms(block: gemmi.cif.Block) -> int:
    """The line where the category _atom_site begins."""
    for item in block:
        tag = item.loop.tags[0] if item.loop else item.pair[0] if item.pair else ""  # type: ignore[index]
        if tag.lower().startswith("_atom_site."):
            return item.line_number
    return 1
