"""The rows of ``_atom_site`` in an mmCIF file as columns. gemmi reads the syntax."""

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


def read_mmcif(file: str, text: str, model: int | str | None) -> tuple[dict[str, Any], Callable[[int], int]]:
    """The rows of ``_atom_site`` as columns, and the line of each; of the first model alone where none is asked for.

    Raises:
        StructureError: no atoms, text that is no mmCIF, a row that cannot be read, too many rows.

    >>> text = "data_x loop_ _atom_site.Cartn_x _atom_site.Cartn_y _atom_site.Cartn_z 1.0 2.0 3.0"
    >>> columns, line_of = read_mmcif("one.cif", text, None)
    >>> columns["positions"].tolist(), line_of(0)
    ([[1.0, 2.0, 3.0]], 1)
    """
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
        if (found := read_decimals(" ".join([*values, ""]))) is not None:
            return found
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
        rows, models = first.tolist(), models.take(first)
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
    columns: dict[str, Any] = {
        "model": models,
        "hetero": hetero_flags(polymer, resnames),
        "serial": serials(raw("id")) if "id" in tags else np.zeros(len(rows), np.int64),
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


def _line_of_atoms(block: gemmi.cif.Block) -> int:
    """The line where the category _atom_site begins."""
    for item in block:
        tag = item.loop.tags[0] if item.loop else item.pair[0] if item.pair else ""  # type: ignore[index]
        if tag.lower().startswith("_atom_site."):
            return item.line_number
    return 1
