"""A table of labels, read and checked."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from eqgat.errors import UserError
from eqgat.files import stem

__all__ = ["LabelTable", "read_labels"]

_EMPTY = ("", "na", "nan", "n/a", "null", "none")
_PLACE = ("structure", "chain", "residue", "insertion_code")
_ALIKE = 0.8  # what a name and the same with one letter more, less, or another have in common, at least


class LabelTable(NamedTuple):
    """A table of labels that was read.

    Attributes:
        rows: a row a label, by line of the file: structure (without endings), target (number, or class number); of
            residues chain, residue and insertion_code too; and the other columns of the file as text.
        residues: whether the labels are of residues.
        classes: names of the classes; empty: the labels are numbers.
        empty: lines of the rows that have no label.
        others: the other columns, and of each the one that it may be a slip of, which the table lacks, or "".
    """

    rows: pd.DataFrame
    residues: bool
    classes: tuple[str, ...]
    empty: list[int]
    others: dict[str, str]


def read_labels(
    file: str | Path, target: str, classes: bool = False, known: Sequence[str] = (), residues: bool | None = None
) -> LabelTable:
    """Read a table of labels; see the head of ``eqgat.datasets.own``.

    Args:
        file: the table, in UTF-8, or in UTF-16 with a byte order mark (Excel's "Unicode Text").
        target: its column with the labels.
        classes: the labels are names of classes, and no numbers.
        known: the classes, where they are known; else those that the table has, sorted.
        residues: what the labels must be of; None: what the table says.

    Raises:
        UserError: no such file or column; another encoding; two columns of one name, or a field in none; a label that is no number; an
            unknown class, or one written in two ways; one thing with two labels; no structure; a residue that has no
            number; no label at all.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = file.write_text("structure,pK\\n1abc,4.5\\n2xyz,\\n")
    >>> table = read_labels(file, "pK")
    >>> table.rows["target"].tolist(), table.empty
    ([4.5], [3])
    """
    rows = _read_csv(Path(file))
    for column in ("structure", target):
        if column not in rows:
            raise UserError(f"{file} has no column {column!r}; it has {', '.join(rows.columns)}")
    if target in _PLACE:
        raise UserError(f"{target!r} says what a row is of, and cannot be the target too")
    by_residue = "residue" in rows
    keys = list(_PLACE if by_residue else _PLACE[:1])
    lacking = [name for name in (*_PLACE, "split") if name not in map(str.lower, rows)]
    others = {
        name: next(iter(get_close_matches(name.lower(), lacking, 1, _ALIKE)), "")
        for name in rows
        if name not in (*keys, target)
    }
    if residues is not None and residues != by_residue:
        raise UserError(
            f"{file} has {'a' if by_residue else 'no'} column 'residue', and this model answers for whole "
            f"{'structures' if by_residue else 'structures no more, but for residues'}"
        )
    there = ~rows[target].str.lower().isin(_EMPTY) | rows[target].isin(list(known))
    empty, rows = rows.index[~there].tolist(), rows[there].copy()
    if rows.empty:
        raise UserError(f"{file} has no label in the column {target!r}")
    refuse(file, rows["structure"], rows["structure"] == "", "; name it in each row that has a label")
    rows["structure"] = rows["structure"].map(stem)
    if by_residue:
        _split_residues(rows, file)
    refuse_doubles(rows, keys, file, others)
    labels = rows[target]
    names = (tuple(known) or tuple(sorted(set(labels)))) if classes else ()
    if classes:
        refuse(file, labels, ~labels.isin(names), f", an unknown class; there are {', '.join(names)}")
        if len(names) < 2:
            raise UserError(f"the column {target!r} of {file} has one class alone, {names[0]!r}; nothing can be learnt")
        alike = labels.str.casefold().map({name.casefold(): name for name in names})
        refuse(file, labels, labels != alike, ", and elsewhere in other letters, large or small; write it in one way")
        numbers = labels.map({name: k for k, name in enumerate(names)}).astype(np.int64)
    else:
        numbers = pd.to_numeric(labels, errors="coerce").astype(np.float64)
        wrong = ~(numbers.abs() <= np.finfo(np.float32).max)  # labels become float32
        how = "correct it (decimal point; no unit, <, >; below 3e38), leave it empty, or ask for classes (--classes)"
        refuse(file, labels, wrong, f", which is no number ({wrong.sum()} of {len(rows)} rows); {how}")
    return LabelTable(rows.assign(target=numbers), by_residue, names, empty, others)


def refuse(file: str | Path, values: pd.Series, wrong: pd.Series, why: str) -> None:
    """Raises ``UserError`` with line, column and text of the first of ``values``, a column of a table, that is wrong."""
    if wrong.any():
        raise UserError(f"{file}, line {values.index[wrong][0]}: {values.name} is {values[wrong].iloc[0]!r}{why}")


def refuse_doubles(
    rows: pd.DataFrame, keys: list[str], file: str | Path, others: Mapping[str, str] | None = None
) -> None:
    """Raises ``UserError`` where two rows agree in all columns ``keys``; one of ``others`` may be a slip of a key."""
    twice = rows[rows.duplicated(keys, keep=False)]
    if len(twice):
        first = twice[(twice[keys] == twice[keys].iloc[0]).all(axis=1)]
        slips = "".join(f" (or call {name!r} {meant!r}?)" for name, meant in (others or {}).items() if meant)
        raise UserError(
            f"{file} has {len(twice)} rows that name the same thing as another row, first the lines "
            f"{', '.join(map(str, first.index))} ({', '.join(dict.fromkeys(row_names(first)))}); leave one of them{slips}"
        )


def say_unused(others: Mapping[str, str], file: str | Path) -> str:
    """That columns of a table are not used, with their count and names; see ``LabelTable.others``.

    >>> say_unused({"note": "", "resdue": "residue"}, "labels.csv")
    '2 columns of labels.csv that are not used: note, resdue (is residue meant?)'
    """
    names = ", ".join(f"{name} (is {meant} meant?)" if meant else name for name, meant in others.items())
    return f"{len(others)} columns of {Path(file).name} that are not used: {names}" if others else ""


def _read_csv(file: Path) -> pd.DataFrame:
    """All columns as text: an identifier such as 1e10 must not become a number. The index is the line in the file."""
    if not file.is_file():
        raise UserError(f"there is no table of labels {str(file)!r}")
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        stream = io.StringIO(_decoded(file), newline="")
        head = next(filter(str.strip, stream), "")
        separator = max(",;\t", key=lambda sign: ("structure" in _names(head.split(sign)), head.count(sign)))
        stream.seek(0)
        reader = csv.reader(stream, delimiter=separator, strict=True)
        for fields in reader:
            if any(map(str.strip, fields)):
                records.append((line, [field.strip() for field in fields]))
            line = reader.line_num + 1
        if not records:
            raise ValueError("it is empty")
    except (ValueError, csv.Error, OSError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{file} cannot be read as a table (line {line}: {error}); write it as CSV in UTF-8, all quotes closed"
        ) from error
    names = _names(records.pop(0)[1])
    if twice := [name for place, name in enumerate(names) if name and name in names[:place]]:
        raise UserError(f"{file} has two columns {twice[0]!r}; rename or remove one of them")
    for line, fields in records:
        for place, field in enumerate(fields):
            # The first column may be without a name: other programs write the numbers of rows there.
            if field and (place >= len(names) or (place and not names[place])):
                raise UserError(
                    f"{file}, line {line}: {field!r} is in column {place + 1}, which has no name; the first line must "
                    f"name all columns, and has {', '.join(filter(None, names))}; a field with {separator!r} in it must be "
                    "in quotes"
                )
    whole = [[*fields, *[""] * len(names)][: len(names)] for _, fields in records]
    rows = pd.DataFrame(whole, columns=names, index=[line for line, _ in records], dtype=str)
    return rows.loc[:, [name != "" for name in names]]


def _decoded(file: Path) -> str:
    """The text of a table in UTF-8, or in UTF-16 as its byte order mark says."""
    content = file.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
        wrong = text.find("\0")  # of UTF-16 without a mark, or of no text at all
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong < 0:
        return text
    line = 1 + content[:wrong].count(b"\n")
    raise UserError(
        f"{file}, line {line}: text of another encoding than UTF-8; save the table anew as CSV in UTF-8 (in Excel: "
        '"CSV UTF-8")'
    )


def _names(fields: Sequence[str]) -> list[str]:
    """Names of columns; those that say what a row is of in small letters, with _ for a blank."""
    names = [field.strip().strip('"').strip() for field in fields]
    return [ours if (ours := name.lower().replace(" ", "_")) in _PLACE else name for name in names]


def _split_residues(rows: pd.DataFrame, file: str | Path) -> None:
    """Columns residue (a number) and insertion_code out of texts such as 52 and 52A, in place."""
    parts = rows["residue"].str.extract(r"^([-+]?\d{1,9})(?:\.0)?([A-Za-z]?)$")
    refuse(file, rows["residue"], parts[0].isna(), "; give its number as in the structure file, 52 or 52A")
    codes = parts[1]
    if "insertion_code" in rows:
        said = rows["insertion_code"].where(~rows["insertion_code"].str.lower().isin(_EMPTY), "")
        wrong = ~said.str.fullmatch("[A-Za-z0-9]?") | ((said != "") & (codes != "") & (said != codes))
        refuse(file, rows["insertion_code"], wrong, "; give one letter or none, as behind the residue's number")
        codes = said.where(said != "", codes)
    rows["insertion_code"], rows["residue"] = codes, parts[0].astype(int)
    if "chain" not in rows:
        rows["chain"] = ""


def row_names(rows: pd.DataFrame) -> pd.Series:
    """What each row of a table is of, in words: a structure, or structure/chain/residue."""
    if "residue" not in rows:
        return rows["structure"]
    chain = ("/" + rows["chain"]).where(rows["chain"] != "", "")
    return rows["structure"] + chain + "/" + rows["residue"].astype(str) + rows["insertion_code"]
