"""The rows of ``_atom_site`` in an mmCIF file as columns.

gemmi reads the syntax. Rows that are even, with each column at the same places, as in the files of the wwPDB, need no
parser and are read as one array of letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import gemmi
import numpy as np

from eqgat.chemistry import residue_letter
from eqgat.columns import Coded, check_size, hetero_flags, parse_column, read_decimals, serials, to_float
from eqgat.errors import StructureError

__all__ = ["read_mmcif"]

_CHARGE = re.compile(r"(\d+[-+]|[-+]\d*)$")  # mmCIF's symbols may have one: Fe3+
_SEQUENCE_NUMBER = re.compile(r"([-+]?\d{1,9})([A-Za-z]?)")
_TOKEN = re.compile(r"""^;.*?^;|'(?:[^'\n]|'(?=\S))*'(?=\s|$)|"(?:[^"\n]|"(?=\S))*"(?=\s|$)|#[^\n]*|\S+""", re.M | re.S)
_TAGS = re.compile(r"\nloop_[ \t]*\n((?:[ \t]*_atom_site\.\S+[ \t]*\n)+)")
_SPECIAL = "#;$[]_"  # a row with one of these needs a parser
_PLAIN = bytes({*range(32, 127)} - {*_SPECIAL.encode()}) + b"\n"
_QUOTES = [ord("'"), ord('"')]
_CUT = "rows-read-without-gemmi"


def read_mmcif(file: str, text: str, model: int | str | None) -> tuple[dict[str, Any], Callable[[int], int]]:
    """The rows of ``_atom_site`` as columns, and the line of each; of the first model alone where none is asked for.

    Raises:
        StructureError: no atoms, text that is no mmCIF, a row that cannot be read, too many rows.

    >>> text = "data_x loop_ _atom_site.Cartn_x _atom_site.Cartn_y _atom_site.Cartn_z 1.0 2.0 3.0"
    >>> columns, line_of = read_mmcif("one.cif", text, None)
    >>> columns["positions"].tolist(), line_of(0)
    ([[1.0, 2.0, 3.0]], 1)
    """
    shorter, even = _cut_even_rows(text)
    tables = _tables_of_atoms(file, shorter)
    if even and not (tables and len(tables[0][1]) == 1 and set(tables[0][1][0]) == {_CUT}):
        tables, even = _tables_of_atoms(file, text), None  # the table goes on, or what was cut was no table
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

    columns = even or _ParsedColumns(table)
    rows: Sequence[int] = range(len(columns))

    def error(row: int, problem: str) -> StructureError:
        return StructureError(problem, file, line_of(rows[row]))

    def texts(*items: str, stand_in: str = "") -> Coded:
        """The values of an item, or where it says ? or . those of the next one."""
        said = Coded([None], np.zeros(len(rows), np.int64))
        for item in items:
            if item in tags and None in said.values:
                other = columns.coded(tags.index(item)).map(
                    lambda text: None if text in ("?", ".") else gemmi.cif.as_string(text)
                )
                if said.values != [None]:
                    pairs = zip(said.array(object).tolist(), other.array(object).tolist(), strict=True)
                    other = Coded([second if first is None else first for first, second in pairs])
                said = other
        return said.map(lambda text: stand_in if text is None else text) if None in said.values else said

    def numbers(tag: str, stand_in: str = "") -> np.ndarray:
        if tag in tags and (plain := read_decimals(columns.joined(tags.index(tag)))) is not None:
            return plain
        return parse_column(texts(tag, stand_in=stand_in), to_float, tag, "no number", error).array(np.float64)

    def whole(*tags: str, stand_in: str) -> tuple[Coded, Coded]:
        """Whole numbers, and for each the letter that may follow it."""

        said = texts(*tags, stand_in=stand_in)
        digits = "".join(said.values)
        if digits.isascii() and digits.isdigit() and all(0 < len(text) < 10 for text in said.values):  # nearly always
            return said.map(int), Coded([""], np.zeros(len(rows), np.int64))

        def parse(text: str) -> tuple[int, str] | None:
            match = _SEQUENCE_NUMBER.fullmatch(text)
            return (int(match[1]), match[2]) if match else None

        parts = parse_column(said, parse, tags[0], "no whole number", error)
        return parts.map(lambda part: part[0]), parts.map(lambda part: part[1])

    models = whole("pdbx_pdb_model_num", stand_in="1")[0]
    if model is None and len(models.values) > 1:
        first = np.flatnonzero(models.codes == 0)
        rows, models, columns = first.tolist(), models.take(first), columns.take(first)
    check_size(len(rows), file, lambda row: line_of(rows[row]))
    resnames = texts("label_comp_id", "auth_comp_id", stand_in="UNK")
    atom_names = texts("label_atom_id", "auth_atom_id")
    groups = parse_column(
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
    found: dict[str, Any] = {
        "model": models,
        "hetero": hetero_flags(polymer, resnames),
        "serial": serials(columns.texts(tags.index("id"))) if "id" in tags else np.zeros(len(rows), np.int64),
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
    return found, lambda row: line_of(rows[row])


class _ParsedColumns:
    """Columns of a table that gemmi has parsed."""

    def __init__(self, table: gemmi.cif.Table, rows: Sequence[int] | None = None) -> None:
        self.table, self.rows = table, rows

    def __len__(self) -> int:
        return len(self.table) if self.rows is None else len(self.rows)

    def take(self, rows: np.ndarray) -> _ParsedColumns:
        return _ParsedColumns(self.table, rows.tolist())

    def texts(self, column: int) -> list[str]:
        values = list(self.table.column(column))
        return values if self.rows is None else [values[row] for row in self.rows]

    def coded(self, column: int) -> Coded:
        return Coded(self.texts(column))

    def joined(self, column: int) -> str:
        """Each value with a blank behind it."""
        return " ".join([*self.texts(column), ""])


class _EvenColumns:
    """Columns that have the same places in each row of letters [n, length], as programs write them.

    ``ends`` are the places of the blanks behind the columns.
    """

    def __init__(self, letters: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        self.letters, self.starts, self.ends = letters, starts, ends

    def __len__(self) -> int:
        return len(self.letters)

    def take(self, rows: np.ndarray) -> _EvenColumns:
        return _EvenColumns(self.letters[rows], self.starts, self.ends)

    def texts(self, column: int) -> list[str]:
        return self.joined(column).split()

    def coded(self, column: int) -> Coded:
        return Coded.of_letters(self.letters[:, self.starts[column] : self.ends[column]]).map(str.strip)

    def joined(self, column: int) -> str:
        return self.letters[:, self.starts[column] : self.ends[column] + 1].tobytes().decode()


def _cut_even_rows(text: str) -> tuple[str, _EvenColumns | None]:
    """The text with one row in place of the first even rows of a table of atoms, and those rows.

    gemmi still reads all the rest; lines keep their numbers. Rows that need a parser, or are not even, stay.
    """
    head = _TAGS.search(text)
    if head is None:
        return text, None
    start, width = head.end(), head[1].count("\n")
    end = min((place for sign in _SPECIAL if (place := text.find(sign, start)) >= 0), default=len(text))
    end = text.rfind("\n", start - 1, end) + 1
    data, length = text[start:end].encode(), text.find("\n", start) + 1 - start
    count = data.count(b"\n")
    if not count or len(data) != count * length or data.translate(None, _PLAIN):
        return text, None
    letters = np.frombuffer(data.replace(b"\n", b" "), np.uint8).reshape(count, length)
    filled = letters != ord(" ")
    edges = np.flatnonzero(np.diff(filled.any(axis=0), prepend=False))
    starts, ends = edges[::2], edges[1::2]
    begins = np.flatnonzero(np.diff(filled.ravel(), prepend=False) & filled.ravel())
    if not filled[:, -1].any() and len(starts) == width and len(begins) == count * width:
        places = begins.reshape(count, width) - length * np.arange(count)[:, None]
        closed = _are_closed(letters.ravel(), filled.ravel(), begins)
        if closed and (places >= starts).all() and (places < ends).all():
            shorter = "".join((text[:start], f"{_CUT} " * width, "\n" * count, text[end:]))
            return shorter, _EvenColumns(letters, starts, ends)
    return text, None


def _are_closed(letters: np.ndarray, filled: np.ndarray, begins: np.ndarray) -> bool:
    """Whether each word that begins with a quote ends with it, so that it holds no blank."""
    quoted = begins[np.isin(letters[begins], _QUOTES)]
    behind = np.flatnonzero(~filled)
    ends = behind[np.searchsorted(behind, quoted)] - 1
    return bool(((ends > quoted) & (letters[ends] == letters[quoted])).all())


def _tables_of_atoms(file: str, text: str) -> list[tuple[gemmi.cif.Block, gemmi.cif.Table]]:
    try:
        return [
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


def _line_of_atoms(block: gemmi.cif.Block) -> int:
    """The line where the category _atom_site begins."""
    for item in block:
        tag = item.loop.tags[0] if item.loop else item.pair[0] if item.pair else ""  # type: ignore[index]
        if tag.lower().startswith("_atom_site."):
            return item.line_number
    return 1
