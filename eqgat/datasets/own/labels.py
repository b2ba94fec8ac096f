"""A table of labels, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from eqgat.errors import UserError

__all__ = ["LabelTable", "read_labels"]

_EMPTY = ("", "na", "nan", "n/a", "null", "none")


class LabelTable(NamedTuple):
    """A table of labels that was read.

    Attributes:
        rows: a row a label: line (in the file), structure, target (number, or class number); of residues chain, residue
            and insertion_code too; and the other columns of the file as text.
        residues: whether the labels are of residues.
        classes: names of the classes; empty: the labels are numbers.
        empty: how many rows have no label.
    """

    rows: pd.DataFrame
    residues: bool
    classes: tuple[str, ...]
    empty: int


def read_labels(
    file: str | Path, target: str, classes: bool = False, known: Sequence[str] = (), residues: bool | None = None
) -> LabelTable:
    """Read a table of labels; see the head of ``eqgat.datasets.own``.

    Args:
        file: the table.
        target: its column with the labels.
        classes: the labels are names of classes, and no numbers.
        known: the classes, where they are known; else those that the table has, sorted.
        residues: what the labels must be of; None: what the table says.

    Raises:
        UserError: no such file or column; a label that is no number; an unknown class; one thing with two labels; a
            residue that has no number; no label at all.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = file.write_text("structure,pK\\n1abc,4.5\\n2xyz,\\n")
    >>> table = read_labels(file, "pK")
    >>> table.rows["target"].tolist(), table.empty
    ([4.5], 1)
    """
    rows = _read_csv(Path(file))
    for column in ("structure", target):
        if column not in rows:
            raise UserError(f"{file} has no column {column!r}; it has {', '.join(rows.columns)}")
    if target in ("structure", "chain", "residue", "insertion_code"):
        raise UserError(f"{target!r} says what a row is of, and cannot be the target too")
    rows.insert(0, "line", range(2, len(rows) + 2))
    by_residue = "residue" in rows
    if residues is not None and residues != by_residue:
        raise UserError(
            f"{file} has {'a' if by_residue else 'no'} column 'residue', and this model answers for whole "
            f"{'structures' if by_residue else 'structures no more, but for residues'}"
        )
    there = ~rows[target].str.lower().isin(_EMPTY)
    empty, rows = int((~there).sum()), rows[there].reset_index(drop=True)
    if rows.empty:
        raise UserError(f"{file} has no label in the column {target!r}")
    if by_residue:
        _split_residues(rows, file)
    keys = ["structure", *(("chain", "residue", "insertion_code") if by_residue else ())]
    twice = rows[rows.duplicated(keys, keep=False)]
    if len(twice):
        first = twice[(twice[keys] == twice[keys].iloc[0]).all(axis=1)]
        raise UserError(
            f"{file} has {len(twice)} rows that name the same thing as another row, first the lines "
            f"{', '.join(map(str, first['line']))} ({row_names(first).iloc[0]}); leave one of them"
        )
    if classes:
        names = tuple(known) or tuple(sorted(set(rows[target])))
        unknown = rows[~rows[target].isin(names)]
        if len(unknown):
            where = f"{file}, line {unknown['line'].iloc[0]}"
            raise UserError(f"{where}: unknown class {unknown[target].iloc[0]!r}; there are {', '.join(names)}")
        if len(names) < 2:
            raise UserError(f"the column {target!r} of {file} has one class alone, {names[0]!r}; nothing can be learnt")
        numbers = rows[target].map(names.index).astype(np.int64)
    else:
        names, numbers = (), pd.to_numeric(rows[target], errors="coerce").astype(np.float64)
        wrong = rows[~np.isfinite(numbers)]
        if len(wrong):
            raise UserError(
                f"{file}, line {wrong['line'].iloc[0]}: {target} is {wrong[target].iloc[0]!r}, which is no number "
                f"({len(wrong)} of {len(rows)} rows); correct it, leave it empty, or ask for classes (--classes)"
            )
    return LabelTable(rows.assign(target=numbers), by_residue, names, empty)


def _read_csv(file: Path) -> pd.DataFrame:
    """All columns as text: an identifier such as 1e10 must not become a number."""
    if not file.is_file():
        raise UserError(f"there is no table of labels {str(file)!r}")
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
        separator = max(",;\t", key=head.count)
        rows = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except ValueError as error:  # pandas' own errors, and those of decoding, are such
        raise UserError(f"{file} cannot be read as a table ({error}); write it as CSV in UTF-8") from error
    rows.columns = rows.columns.str.strip()
    return rows.apply(lambda column: column.str.strip())


def _split_residues(rows: pd.DataFrame, file: str | Path) -> None:
    """Columns residue (a number) and insertion_code out of texts such as 52 and 52A, in place."""
    parts = rows["residue"].str.extract(r"^([-+]?\d+)(?:\.0)?([A-Za-z]?)$")
    wrong = rows[parts[0].isna()]
    if len(wrong):
        raise UserError(
            f"{file}, line {wrong['line'].iloc[0]}: residue is {wrong['residue'].iloc[0]!r}; give its number as in the "
            "structure file, 52 or 52A"
        )
    rows["residue"] = parts[0].astype(int)
    if "insertion_code" not in rows:
        rows["insertion_code"] = parts[1]
    if "chain" not in rows:
        rows["chain"] = ""


def row_names(rows: pd.DataFrame) -> pd.Series:
    """What each row of a table is of, in words: a structure, or structure/chain/residue."""
    if "residue" not in rows:
        return rows["structure"]
    chain = ("/" + rows["chain"]).where(rows["chain"] != "", "")
    return rows["structure"] + chain + "/" + rows["residue"].astype(str) + rows["insertion_code"]
