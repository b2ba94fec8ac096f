"""From a structure file to a molecule: PDB and mmCIF, gzipped or not.

``read_structure(file).graph(cutoff=4.5)`` is the input of every model in this package (Section 2 of the paper). What
counts as an atom of the molecule, and what happens to the rest, stands at the head of ``eqgat.molecule``.

gemmi reads the syntax of mmCIF. PDB's records have fixed columns, and are read here, because each row has to be
accounted for with its line: gemmi, as other readers do, stops at END, and takes a part of a number for a number.
"""

from __future__ import annotations

import gzip
import json
import re
import stat
import zlib
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from eqgat.molecule import (
    ATOM_COLUMNS,
    ELEMENTS,
    OTHER_ELEMENT,
    AtomRows,
    Choices,
    Molecule,
    StructureError,
    element_index,
    is_known,
    residue_letter,
)

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
    """Read a PDB (``.pdb``, ``.ent``) or mmCIF (``.cif``, ``.mmcif``) file, gzipped (``.gz``) or not.

    Args:
        path: the file.
        model: number of the model as the file gives it (1, 2, ... where a PDB file numbers none or one twice); by
            default the first one; ``"all"`` keeps every one. END ends nothing; ENDMDL and MODEL end a model.
        chains: the chains to keep, ``"A"`` or ``["A", "B"]`` (author's names in mmCIF); by default all.
        hydrogens: keep hydrogen and deuterium atoms.
        waters: keep water molecules (HOH, DOD, and TIP3, SOL ... of simulations, also where written as ATOM).
        hetero: keep the other HETATM groups: ligands, ions, modified residues.
        altloc: ``"highest"``, a label or ``"all"``; see the head of ``eqgat.molecule``.
        name: what to call the molecule; by default the file's name without its endings.

    What a file leaves out has a stand-in: occupancy 1, B factor 0, no insertion code, the ``label_`` item of mmCIF for
    an ``auth_`` item; an element is inferred from atom name, residue and column.

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
    kind = _KINDS.get("".join(suffixes[:-1][-1:] if zipped else suffixes[-1:]))
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
    lines = _read_lines(path, zipped)
    columns, line_of = (_read_pdb if kind == "pdb" else _read_mmcif)(path.name, lines, model)
    stem = path.name.removesuffix(path.suffix) if zipped else path.name
    choices = Choices(columns["model"][0] if model is None else model, chains, hydrogens, waters, hetero, altloc)
    rows = AtomRows(columns, choices, path.name, lambda row: (path.name, line_of(row), "line"))
    return rows.molecule(Path(stem).stem if name is None else name)


def _read_lines(path: Path, zipped: bool) -> list[str]:
    """The lines of a file, whatever ends them; the last one is empty where the file ends as it should."""
    data = bytearray()
    try:
        with (gzip.open if zipped else open)(path, "rb") as handle:
            while part := handle.read(2**20):
                data += part
                if len(data) > MAX_BYTES:
                    line = data.count(b"\n")
                    raise StructureError(f"the file has more than {MAX_BYTES >> 20} MiB", path.name, line)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        problem = f"not a complete gzip file ({error}); fetch or copy it again"
        raise StructureError(problem, path.name, data.count(b"\n") + 1) from error
    encoding = _ENCODINGS.get(bytes(data[:2]), "utf-8-sig")
    try:
        text = bytes(data).decode(encoding)
    except UnicodeDecodeError:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _read_pdb(file: str, lines: list[str], model: int | str | None) -> tuple[dict[str, Any], Callable[[int], int]]:
    """The atom records as columns, and the line of each; of the first model alone where none is asked for."""
    numbers: list[int | None] = []  # one a model: what its MODEL record says
    found: list[tuple[int, int]] = []  # model and line of each atom
    inside = False
    for line_number, line in enumerate(lines, start=1):
        record = line[:6].upper()
        if record == "HETATM" or (record[:4] == "ATOM" and not record[4:].strip(" 0123456789")):
            if not inside:
                numbers.append(None)
                inside = True
            found.append((len(numbers) - 1, line_number))
        elif record.startswith("MODEL") and not record[5:].strip(" 0123456789"):
            number = line[5:].split()[:1]
            numbers.append(int(number[0]) if number and number[0].isdecimal() else None)
            inside = True
        elif record == "ENDMDL":
            inside = False
        elif not record.startswith(_NOT_ATOMS) and _ATOM_LIKE.match(line):
            problem = f"looks like an atom, but does not begin with ATOM or HETATM: {line[:30]!r}"
            raise StructureError(problem, file, line_number)
    if not found:
        raise StructureError("the file has no atoms (records ATOM and HETATM)", file, len(lines))
    order = list(dict.fromkeys(which for which, _ in found))
    labels = [numbers[which] for which in order]
    counted = None in labels or len(set(labels)) < len(labels)
    label_of = {which: place if counted else numbers[which] for place, which in enumerate(order, start=1)}
    if model is None:
        found = [atom for atom in found if atom[0] == order[0]]
    if len(found) > MAX_ATOMS:
        raise StructureError(f"the model has more than {MAX_ATOMS} atoms", file, found[MAX_ATOMS][1])
    if lines[-1] and found[-1][1] == len(lines) and len(lines[-1]) < 66 and len(lines[-1]) not in (54, 60):
        raise StructureError("the file ends within an atom; fetch or copy it again", file, len(lines))

    rows = [(label_of[which], *_pdb_row(file, number, lines[number - 1])) for which, number in found]
    names = """model hetero serial padded_name altloc resname extra chain residue_number insertion_code positions
        occupancy bfactor segment symbol""".split()  # noqa: SIM905
    columns: dict[str, Any] = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    resnames, extra, chains = (columns.pop(name) for name in ("resname", "extra", "chain"))
    # Column 21 holds the first letter of a chain, or the fourth of a residue's name, as force fields write them.
    if any(
        more != " " and chain != " " and is_known(resname) and not is_known(resname + more)
        for resname, more, chain in set(zip(resnames, extra, chains, strict=True))
    ):
        columns["chain_name"], columns["residue_name"] = [a + b for a, b in zip(extra, chains, strict=True)], resnames
    else:
        columns["chain_name"], columns["residue_name"] = chains, [a + b for a, b in zip(resnames, extra, strict=True)]
    columns["hetero"] = [
        f"H_{resname.strip()}" if hetero else " "
        for hetero, resname in zip(columns["hetero"], columns["residue_name"], strict=True)
    ]
    columns["atom_name"] = columns["padded_name"]
    columns["source"] = [""] * len(rows)
    return columns, lambda row: found[row][1]


def _pdb_row(file: str, number: int, line: str) -> tuple[Any, ...]:
    """The fields of one ATOM or HETATM record."""

    def error(problem: str) -> StructureError:
        return StructureError(problem + "; correct the record, or fetch the file again", file, number)

    text = line.ljust(80)
    if not text[:6].isupper():  # a file in lower case; the chain stays as it is
        text = text[:21].upper() + text[21] + text[22:].upper()
    where = text[30:54]
    cut = [end for end, point in _ENDS if text[end].isdecimal() and text[end - 1] != " " and text[point] != "."]
    try:
        if len(line.rstrip()) < 54 or where.count(".") != 3 or where.strip(" +-.0123456789") or cut:
            raise ValueError
        position = float(text[30:38]), float(text[38:46]), float(text[46:54])
    except ValueError:
        raise error(f"columns 31-54 are not three coordinates of eight columns each: {line[30:54]!r}") from None
    residue_number = _hybrid36(text[22:26])
    if residue_number is None:
        raise error(f"the residue number (columns 23-26) is no number: {text[22:26]!r}")
    shares = []
    for what, field, stand_in in (("occupancy", text[54:60], 1.0), ("B factor", text[60:66], 0.0)):
        if field.strip(" +-.0123456789*"):
            raise error(f"the {what} is no number: {field!r}")
        try:
            shares.append(float(field) if field.strip(" *") else stand_in)
        except ValueError:
            raise error(f"the {what} is no number: {field!r}") from None
    symbol = text[76:78].strip()
    return (
        text[0] == "H",
        _hybrid36(text[6:11]) or 0,
        text[12:16],
        text[16],
        text[17:20],
        text[20],
        text[21],
        residue_number,
        text[26],
        position,
        *shares,
        text[72:76],
        symbol if symbol.isalpha() and len(line) != 77 else "",  # old files have numbers there; 77: perhaps cut
    )


# End of each number in a PDB record, and where its point is if it fills its columns: then the next may follow at once.
_ENDS = ((38, 34), (46, 42), (54, 50), (60, 57))


def _hybrid36(text: str) -> int | None:
    """A number in PDB's columns; beyond 9999 they count on with letters (A000 is 10000). None for anything else."""
    digits = text.strip()
    if re.fullmatch(r"[-+]?[0-9]+", digits):
        return int(digits)
    if re.fullmatch(r"[A-Z][A-Z0-9]*|[a-z][a-z0-9]*", digits) and digits == text:
        width = len(digits)
        return int(digits, 36) + int(10**width + (-10 if digits[0].isupper() else 16) * 36 ** (width - 1))
    return None


def _read_mmcif(file: str, lines: list[str], model: int | str | None) -> tuple[dict[str, Any], Callable[[int], int]]:
    """The rows of ``_atom_site`` as columns, and the line of each; of the first model alone where none is asked for."""
    try:
        tables = [
            (block, table)
            for block in gemmi.cif.read_string("\n".join(lines))
            if len(table := block.find_mmcif_category("_atom_site."))
        ]
    except (ValueError, RuntimeError) as error:  # "string:17:0(612): ..." or "string:17 in data_x: ..."
        told = re.match(r"string:(\d+)\S*\s*(.*)", str(error), re.DOTALL)
        line, problem = (int(told[1]), told[2]) if told else (len(lines), str(error))
        raise StructureError(f"cannot be read as mmCIF: {problem}", file, line) from error
    if not tables:
        raise StructureError("the file has no atoms (category _atom_site of mmCIF)", file, len(lines))
    if len(tables) > 1:
        names = ", ".join(block.name for block, _ in tables[:5])
        problem = f"{len(tables)} data blocks have atoms ({names}); keep one in the file"
        raise StructureError(problem, file, _line_of_atoms(tables[1][0]))
    block, table = tables[0]
    tags = [tag.lower().removeprefix("_atom_site.") for tag in table.tags]
    width, start = len(tags), _line_of_atoms(block)

    def line_of(row: int) -> int:
        tokens = (token for token in _TOKEN.finditer("\n".join(lines[start - 1 :])) if token[0][0] != "#")
        token = next(islice(tokens, 1 + width + row * width, None), None)
        return start + (token.string.count("\n", 0, token.start()) if token else 0)

    cells = table.loop.values if table.loop else [table[0][place] for place in range(width)]
    raw = {tag: cells[place::width] for place, tag in enumerate(tags)}
    rows = list(range(len(table)))
    models = raw.get("pdbx_pdb_model_num", [])
    if model is None and len(set(models)) > 1:
        rows = [row for row in rows if models[row] == models[0]]
        raw = {tag: [values[row] for row in rows] for tag, values in raw.items()}
    if len(rows) > MAX_ATOMS:
        raise StructureError(f"the model has more than {MAX_ATOMS} atoms", file, line_of(rows[MAX_ATOMS]))

    def texts(*tags: str, stand_in: str = "") -> list[str]:
        """The values of an item, or where it says ? or . those of the next one."""
        values = [stand_in] * len(rows)
        for tag in reversed(tags):
            if tag in raw:
                said = {value: None if value in ("?", ".") else gemmi.cif.as_string(value) for value in set(raw[tag])}
                known = {value: text for value, text in said.items() if text is not None}
                if len(known) == len(said):
                    values = list(map(known.__getitem__, raw[tag]))
                else:
                    values = [known.get(value, other) for value, other in zip(raw[tag], values, strict=True)]
        return values

    def numbers(tag: str, stand_in: str = "") -> np.ndarray:
        values = raw.get(tag, [])
        try:
            if values and set("".join(values)) <= set("-.0123456789"):
                return np.array(
                    json.loads(f"[{','.join(values)}]"), np.float64
                )  # the fastest way to many numbers, and a strict one
        except ValueError:
            pass
        values = texts(tag, stand_in=stand_in)
        for place, value in enumerate(values):  # also 1.0(3), a number with its uncertainty
            if not (number := _NUMBER.fullmatch(value)):
                problem = f"{tag} is no number: {value!r}" if value else f"{tag} is missing"
                raise StructureError(problem, file, line_of(rows[place]))
            values[place] = number[1]
        return np.array(values, np.float64)

    def whole(*tags: str, stand_in: str) -> tuple[list[int], list[str]]:
        """Whole numbers, and for each the letter that may follow it."""
        values = texts(*tags, stand_in=stand_in)
        found = {value: _SEQUENCE_NUMBER.fullmatch(value) for value in set(values)}
        if None in found.values():
            place = next(place for place, value in enumerate(values) if not found[value])
            raise StructureError(f"{tags[0]} is no whole number: {values[place]!r}", file, line_of(rows[place]))
        parts = {value: (int(match[1]), match[2]) for value, match in found.items() if match}
        return tuple(map(list, zip(*map(parts.__getitem__, values), strict=True)))  # type: ignore[return-value]

    resnames = texts("label_comp_id", "auth_comp_id", stand_in="UNK")
    atom_names = texts("label_atom_id", "auth_atom_id")
    in_sequence = texts("label_seq_id") if "label_seq_id" in raw else [residue_letter(name) for name in resnames]
    groups = texts("group_pdb")
    if odd := set(map(str.upper, set(groups))) - {"ATOM", "HETATM", ""}:
        place = next(place for place, group in enumerate(groups) if group.upper() in odd)
        raise StructureError(f"group_PDB is neither ATOM nor HETATM: {groups[place]!r}", file, line_of(rows[place]))
    sequence_numbers, letters = whole("auth_seq_id", "label_seq_id", stand_in="0")
    inserted = texts("pdbx_pdb_ins_code")
    columns: dict[str, Any] = {
        "model": whole("pdbx_pdb_model_num", stand_in="1")[0],
        "hetero": [
            " " if (group.upper() == "ATOM" if group else polymer) else f"H_{resname}"
            for group, polymer, resname in zip(groups, in_sequence, resnames, strict=True)
        ],
        "serial": [int(value) if value.isdecimal() else 0 for value in raw.get("id", ["0"] * len(rows))],
        "atom_name": atom_names,
        "padded_name": atom_names,
        "altloc": texts("label_alt_id"),
        "residue_name": resnames,
        "chain_name": texts("auth_asym_id", "label_asym_id"),
        "residue_number": sequence_numbers,
        "insertion_code": [code or letter for code, letter in zip(inserted, letters, strict=True)],
        "positions": np.column_stack([numbers(f"cartn_{axis}") for axis in "xyz"]),
        "occupancy": numbers("occupancy", stand_in="1"),
        "bfactor": numbers("b_iso_or_equiv", stand_in="0"),
        "segment": [" "] * len(rows),
        "symbol": texts("type_symbol"),
        "source": [""] * len(rows),
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
