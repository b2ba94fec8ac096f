"""Columns of texts, as files of atoms have them: coded, and read as numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from eqgat.errors import StructureError

__all__ = [
    "Coded",
    "check_size",
    "fields",
    "hetero_flags",
    "hybrid36",
    "parse_column",
    "read_decimals",
    "serials",
    "to_float",
]

MAX_ATOMS = 500_000  # rows of the model that is read

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\(\d+\))?\s*")
_POWERS = np.array([float(10**power) for power in range(16)])
_PLAIN = b"-. 0123456789"  # what plain numbers with blanks between them are made of


class Coded:
    """A column that repeats few values: the different ones, and for each row the number [n] of its value in them.

    What is to be done with the texts of a file is done once for each different text, and not for each row.

    >>> chain = Coded(["A", "A", "B", "A"])
    >>> chain.values, chain.codes.tolist(), chain.map(str.lower).array().tolist()
    (['A', 'B'], [0, 0, 1, 0], ['a', 'a', 'b', 'a'])
    """

    def __init__(self, values: Iterable[Any], codes: np.ndarray | None = None) -> None:
        if codes is None:
            values = list(values)
            if len(values) > 1 and values[0] == values[-1] and values.count(values[0]) == len(values):
                values, codes = values[:1], np.zeros(len(values), np.int64)  # many columns say one thing only
        if codes is None:
            numbers: defaultdict[Any, int] = defaultdict()
            numbers.default_factory = numbers.__len__  # a new value has the next number
            codes = np.fromiter(map(numbers.__getitem__, values), np.int64)
            values = numbers
        self.values, self.codes = list(values), codes

    @classmethod
    def of_letters(cls, letters: np.ndarray) -> Coded:
        """From letters [n, width], as numbers, of a column that has the same places in each row.

        >>> Coded.of_letters(np.frombuffer(b"ALAALAGLY", np.uint8).reshape(3, 3)).array().tolist()
        ['ALA', 'ALA', 'GLY']
        """
        texts = fields(letters)
        begins = np.flatnonzero(np.append(True, texts[1:] != texts[:-1]))  # values often go on from row to row
        column = cls(texts[begins].tolist())
        return cls(map(bytes.decode, column.values), np.repeat(column.codes, np.diff(begins, append=len(texts))))

    def __getitem__(self, row: int) -> Any:
        return self.values[self.codes[row]]

    def map(self, change: Callable[[Any], Any]) -> Coded:
        """The column with each value changed; values that become equal become one."""
        changed = Coded(map(change, self.values))
        return (
            Coded(changed.values, self.codes) if len(changed.values) == len(self.values) else changed.take(self.codes)
        )

    def take(self, rows: np.ndarray) -> Coded:
        return Coded(self.values, self.codes[rows])

    def where(self, test: Callable[[Any], object]) -> np.ndarray:
        """The rows [n], as a mask, whose value passes the test."""
        return np.array([bool(test(value)) for value in self.values])[self.codes]

    def array(self, dtype: Any = None) -> np.ndarray:
        """The value of each row, [n]."""
        return np.array(self.values, dtype)[self.codes]


def fields(letters: np.ndarray) -> np.ndarray:
    """The letters [n, width], as numbers, of each row as one value [n] of bytes.

    >>> fields(np.frombuffer(b"ALAGLY", np.uint8).reshape(2, 3)).tolist()
    [b'ALA', b'GLY']
    """
    return np.ascontiguousarray(letters).view(f"S{letters.shape[1]}")[:, 0]


def parse_column(
    column: Coded, parse: Callable[[str], Any], what: str, kind: str, error: Callable[[int, str], StructureError]
) -> Coded:
    """A column with each value parsed; ``error`` makes what is raised for the first row whose value becomes None.

    >>> parse_column(Coded(["1", "1", "2"]), int, "the number", "none", StructureError).values
    [1, 2]
    """
    parsed = column.map(parse)
    for row in np.flatnonzero(parsed.where(lambda value: value is None))[:1].tolist():
        raise error(row, f"{what} is {kind}: {column[row]!r}" if column[row] else f"{what} is missing")
    return parsed


def serials(texts: list[Any]) -> np.ndarray:
    """Numbers of atoms, 0 where there is none.

    >>> serials(["99999", "A0000", "*****"]).tolist()
    [99999, 100000, 0]
    """
    try:
        return np.fromiter(map(int, texts), np.int64, len(texts))
    except (ValueError, OverflowError):
        return np.array([hybrid36(text if isinstance(text, str) else text.decode()) or 0 for text in texts])


def hybrid36(text: str) -> int | None:
    """A number in PDB's columns; beyond 9999 they count on with letters (A000 is 10000). None for anything else.

    >>> hybrid36("  12"), hybrid36("A000"), hybrid36("1x")
    (12, 10000, None)
    """
    digits = text.strip()
    if re.fullmatch(r"[-+]?[0-9]+", digits):
        return int(digits)
    if re.fullmatch(r"[A-Z][A-Z0-9]*|[a-z][a-z0-9]*", digits) and digits == text:
        width = len(digits)
        return int(digits, 36) + int(10**width + (-10 if digits[0].isupper() else 16) * 36 ** (width - 1))
    return None


def to_float(text: str) -> float | None:
    """A number, also 1.0(3), which has its uncertainty behind it; None for anything else.

    >>> to_float("1.0(3)"), to_float("nan")
    (1.0, None)
    """
    match = _NUMBER.fullmatch(text)
    return float(match[1]) if match else None


def read_decimals(text: str) -> np.ndarray | None:
    """Numbers with blanks between them and a blank at the end, if they are digits, points and signs alone; else None.

    They are read as whole numbers and then divided: several times faster than ``float``, and the same, as 15 digits and
    powers of ten are exact in float64.

    >>> read_decimals("1.25 -3 ").tolist(), read_decimals("1e3 ")
    ([1.25, -3.0], None)
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


def hetero_flags(polymer: np.ndarray, resnames: Coded) -> Coded:
    """ATOM3D's column: a blank for each row [n] of a polymer, ``H_`` and the residue's name for the others.

    >>> hetero_flags(np.array([True, False]), Coded(["ALA", "ZN"])).array().tolist()
    [' ', 'H_ZN']
    """
    kinds = [" ", *(f"H_{name.strip()}" for name in resnames.values)]
    return Coded(kinds, np.where(polymer, 0, 1 + resnames.codes))


def check_size(rows: int, file: str, line_of: Callable[[int], int]) -> None:
    """A model of a file with that many rows, if it is one that can be read.

    Raises:
        StructureError: more than ``MAX_ATOMS``.

    >>> check_size(892, "5pti.pdb", line_of=lambda row: row + 1)
    """
    if rows > MAX_ATOMS:
        raise StructureError(f"the model has more than {MAX_ATOMS} atoms", file, line_of(MAX_ATOMS))
