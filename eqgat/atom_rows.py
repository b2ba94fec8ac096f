"""From the rows of a file or a table to the arrays of ``Molecule``, by the rules at the head of ``eqgat.molecule``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eqgat.chemistry import NUMBERS, infer_element, is_pushed_left, is_virtual, is_water, residue_letter
from eqgat.columns import Coded
from eqgat.errors import StructureError, UserError

MAX_COORDINATE = 1e5  # Å; what is farther away is no coordinate
NUMERIC = ("occupancy", "bfactor", "serial")
# Texts of a row, and what stands in for a blank one.
_BLANK = ("insertion_code", "chain_name", "segment", "hetero", "altloc")
_TEXTS = {"symbol": "", "atom_name": "", "residue_name": "UNK", **dict.fromkeys(_BLANK, " ")}


@dataclass(frozen=True)
class Choices:
    """Which rows become atoms: the arguments of ``read_structure``."""

    model: int | str | None = None
    chains: str | Iterable[str] | None = None
    hydrogens: bool = False
    waters: bool = False
    hetero: bool = True
    altloc: str = "highest"


class AtomRows:
    """Rows of atoms on their way to a molecule; ``arrays`` are its fields.

    Args:
        columns: one of each array of ``Molecule``: ``positions`` [n, 3], ``serial``, ``occupancy`` and ``bfactor`` [n]
            as numbers, the others coded; also ``padded_name`` (the atom name in its four columns), and ``source``
            (rows of two sources are never one residue).
        choices: which rows to take.
        name: of the molecule.
        where: row -> file, line and what to call that, for errors.
    """

    def __init__(
        self, columns: dict[str, Any], choices: Choices, name: str, where: Callable[[int], tuple[str, int, str]]
    ) -> None:
        self.choices, self.name, self.where = choices, name or "the table of atoms", where
        models = columns["model"]
        self.rows: np.ndarray = np.arange(len(models.codes))
        if choices.model != "all":
            self.rows = np.flatnonzero(models.where(lambda model: model == choices.model))
            if not len(self.rows):
                self.rows = np.array([len(models.codes) - 1])
                there = ", ".join(map(str, models.values[:20]))
                raise self.error(f"{self.name} has no model {choices.model!r}; there are the models {there}", 0)
            if len(self.rows) < len(models.codes):
                columns = {
                    key: column.take(self.rows) if isinstance(column, Coded) else column[self.rows]
                    for key, column in columns.items()
                }
        self.coded = {key: columns[key] for key in ("source", "model", "residue_number", "padded_name")}
        for key, stand_in in _TEXTS.items():
            self.coded[key] = columns[key].map(lambda text, blank=stand_in: _clean(text) or blank)
        self.coded["symbol"] = self.coded["symbol"].map(str.capitalize)
        self.positions = columns["positions"]
        self.columns: dict[str, np.ndarray] = {key: columns[key] for key in NUMERIC}
        for key in ("model", "residue_number"):
            self.columns[key] = self.coded[key].array()
        for key in _TEXTS:
            self.columns[key] = self.coded[key].array(object)
        self.left = np.ones(len(self.rows), dtype=bool)
        self.dropped: dict[str, int] = {}

    def error(self, problem: str, index: int) -> StructureError:
        return StructureError(problem, *self.where(int(self.rows[index])))

    def describe(self, index: int) -> str:
        atom, residue, number, chain = (
            self.columns[key][index] for key in ("atom_name", "residue_name", "residue_number", "chain_name")
        )
        return f"atom {atom} of residue {residue} {number} in chain {chain!r}"

    def drop(self, mask: np.ndarray, reason: str, choice: str = "") -> None:
        """Leave out the rows of ``mask``, and count them."""
        if count := int((self.left & mask).sum()):
            if count == self.left.sum():
                raise self.error(
                    f"no atoms of {self.name} are left: the last {count} were removed by {choice}",
                    int(np.flatnonzero(self.left)[-1]),
                )
            self.dropped[reason], self.left = count, self.left & ~mask

    def arrays(self) -> dict[str, Any]:
        """Take the choices one after the other; the first that leaves nothing is the one to be told."""
        choices, columns = self.choices, self.columns
        self._find_residues()
        if choices.chains is not None:
            one = isinstance(choices.chains, str) or not isinstance(choices.chains, Iterable)
            wanted: list[Any] = [choices.chains] if one else list(choices.chains)
            try:
                check_chains(self.coded["chain_name"].values, wanted)
            except UserError as error:
                raise StructureError(str(error), self.where(0)[0]) from None  # no row is to blame
            other = self.coded["chain_name"].where(lambda chain: chain not in wanted)
            self.drop(other, "chain", f"chains={wanted!r}")
        water, polymer = columns["hetero"] == "W", columns["hetero"] == " "
        if not choices.waters:
            self.drop(water, "water", "waters=False")
        if not choices.hetero:
            self.drop(~water & ~polymer, "hetero", "hetero=False")
        self._find_elements()
        if not choices.hydrogens:
            hydrogen = (columns["symbol"] == "H") | (columns["symbol"] == "D")
            self.drop(hydrogen, "hydrogen", "hydrogens=False")
        if choices.altloc != "all":
            anywhere, atom = self._atoms()
            self._merge_repeats(atom)
            self._choose_locations(anywhere)
        near = np.abs(self.positions) <= MAX_COORDINATE  # False for NaN
        for index in [] if near.all() else np.flatnonzero(self.left & ~near.all(axis=1))[:1].tolist():
            raise self.error(
                f"{self.describe(index)} has NaN or infinite coordinates, or beyond {MAX_COORDINATE:.0f} Å; "
                "repair or remove it",
                index,
            )
        kept = np.flatnonzero(self.left)
        kept = kept[np.argsort(self.residue[kept], kind="stable")]
        arrays: dict[str, Any] = {key: column[kept] for key, column in columns.items()}
        arrays["occupancy"] = np.nan_to_num(arrays["occupancy"].astype(np.float64), nan=1.0)
        return arrays | {
            "positions": self.positions[kept],
            "row": self.rows[kept],
            "residue_index": ordered(self.residue[kept]),
            "dropped": self.dropped,
            "chains_there": tuple(self.coded["chain_name"].values),
        }

    def _find_residues(self) -> None:
        """Number the residues in the order in which they begin, and tell which of them are water."""
        c, coded = self.columns, self.coded
        parts = ("source", "model", "chain_name", "residue_number", "insertion_code")
        self.site = _combined(*(coded[part].codes for part in parts))
        self.residue = _combined(self.site, coded["residue_name"].codes)
        if len(coded["segment"].values) > 1:
            self._tell_by_segment()
        organic = np.zeros(self.residue.max() + 1, dtype=bool)
        organic[self.residue[coded["atom_name"].where(lambda name: name[:1] == "C")]] = True
        water = coded["residue_name"].where(is_water) & ~organic[self.residue]
        water |= coded["hetero"].where(lambda kind: kind == "W")
        if self.choices.waters and self.choices.altloc != "all":
            # Simulations have more waters than numbers: the second oxygen of one number begins another molecule.
            copies: dict[tuple[Any, ...], list[tuple[float, ...]]] = defaultdict(list)
            copy = np.zeros(len(self.rows), dtype=np.int64)
            for index in np.flatnonzero(water).tolist():
                seen = copies[self.residue[index], c["atom_name"][index], c["altloc"][index]]
                if (place := tuple(self.positions[index])) not in seen:
                    seen.append(place)
                copy[index] = seen.index(place)
            self._split(copy)
        first = np.flatnonzero(np.diff(np.maximum.accumulate(self.residue), prepend=-1))  # numbered as they begin
        c["hetero"] = np.where(water, "W", c["hetero"][first][self.residue])  # ATOM or HETATM, as it begins

    def _atoms(self) -> tuple[np.ndarray, np.ndarray]:
        """One number for all rows that name the same atom, at any of its locations, and at the same one."""
        anywhere = _combined(self.residue, self.coded["atom_name"].codes)
        return anywhere, _combined(anywhere, self.coded["altloc"].codes)

    def _split(self, part: np.ndarray) -> None:
        """Tell residues, and the sites that they are at, apart by one thing more."""
        self.site, self.residue = _combined(self.site, part), _combined(self.residue, part)

    def _tell_by_segment(self) -> None:
        """Residues that would hold one atom twice are told apart by segment; no name: that of the row before."""
        segment, twice = self.coded["segment"].codes, set()
        first: dict[int, int] = {}
        for index, atom in enumerate(self._atoms()[1].tolist()):
            other = first.setdefault(atom, index)
            if segment[index] != segment[other] and (self.positions[index] != self.positions[other]).any():
                twice.add(int(self.residue[index]))
        part, before = np.zeros(len(self.rows), dtype=np.int64), dict.fromkeys(twice, 0)
        for index in np.flatnonzero(np.isin(self.residue, list(twice))).tolist():
            residue = int(self.residue[index])
            if self.columns["segment"][index] != " ":
                before[residue] = 1 + int(segment[index])
            part[index] = before[residue]
        self._split(part)

    def _find_elements(self) -> None:
        """Chemical symbols of the rows that are left, ``Cl`` for ``CL``; inferred where there is none, unless no atom."""
        c, symbols, padded = self.columns, self.columns["symbol"], self.coded["padded_name"]
        unknown = self.coded["symbol"].where(lambda symbol: symbol not in NUMBERS)
        if not unknown.any():
            return
        virtual = unknown & self.coded["atom_name"].where(is_virtual)
        self.drop(virtual, "virtual", "the rule that lone pairs, virtual sites and pseudo-atoms are no atoms")
        aligned = np.full(len(c["model"]), any(str(name).startswith(" ") for name in padded.values))
        left = padded.where(lambda name: is_pushed_left(_clean(name), str(name)))
        aligned &= ~np.isin(self.residue, self.residue[left])
        for index in np.flatnonzero(self.left & unknown).tolist():
            symbol = symbols[index] or infer_element(
                c["atom_name"][index], padded[index], c["residue_name"][index], bool(aligned[index])
            )
            if symbol not in NUMBERS:
                problem = (
                    f"has the element {symbol!r}, which is no chemical element"
                    if symbol
                    else "has no element, and its name does not tell it for certain"
                )
                raise self.error(
                    f"{self.describe(index)} {problem}; correct the element column or leave the atom out "
                    "(hetero=False, chains=...)",
                    index,
                )
            symbols[index] = symbol

    def _merge_repeats(self, atom: np.ndarray) -> None:
        """Rows that repeat another are one atom; one atom at two places is an error, but for a ligand's like names."""
        c = self.columns
        # Who has no name is nobody twice.
        alone = ~self.left | (c["atom_name"] == "") | (np.bincount(atom[self.left], minlength=len(atom))[atom] < 2)
        repeated = np.zeros(len(self.rows), dtype=bool)
        alike: dict[int, list[int]] = defaultdict(list)
        for index in np.flatnonzero(~alone).tolist():
            before = alike[int(atom[index])]
            if any((self.positions[other] == self.positions[index]).all() for other in before):
                repeated[index] = True
                continue
            if (
                before
                and (
                    residue_letter(c["residue_name"][index])
                    or c["serial"][index] == c["serial"][before[0]] != 0  # which stands for none
                    or (self.residue[before[0] : index] != self.residue[index]).any()
                )
            ):
                _, line, unit = self.where(int(self.rows[before[0]]))
                raise self.error(
                    f"{self.describe(index)} is at another place in {unit} {line}; give each chain a letter of "
                    "its own, number the models, label the alternate locations, name the segments, or take one of the "
                    "two out",
                    index,
                )
            before.append(index)
        self.drop(repeated, "duplicate")

    def _choose_locations(self, atom: np.ndarray) -> None:
        """One alternate location per residue; at a place that two residues share by different labels, one of them."""
        c, wanted = self.columns, self.choices.altloc
        labelled = self.left & self.coded["altloc"].where(lambda label: label != " ")
        if not labelled.any():
            return
        labels = set(c["altloc"][labelled])
        if wanted not in {"highest", *labels}:
            raise self.error(
                f"{self.name} has no alternate location {wanted!r}; there are {', '.join(sorted(labels))}, "
                'and "highest" and "all" can be asked for',
                -1,
            )
        sites: dict[int, list[int]] = defaultdict(list)
        for index in np.flatnonzero(self.left & (np.bincount(atom[labelled], minlength=len(atom)) > 0)[atom]).tolist():
            sites[int(self.site[index])].append(index)
        other = np.zeros(len(self.rows), dtype=bool)
        for rows in [rows for shared in sites.values() for rows in self._competing(shared)]:
            shares: dict[str, list[float]] = defaultdict(list)
            for index in rows:
                shares[c["altloc"][index]].append(c["occupancy"][index])
            rank = {label: (label != wanted, -round(sum(s) / len(s), 4), label) for label, s in shares.items()}
            rows.sort(key=lambda index: rank[str(c["altloc"][index])])
            taken: dict[str, str] = {}
            for index in rows:
                label, name = c["altloc"][index], str(c["atom_name"][index])
                name = "H" + name[1:] if c["symbol"][index] == "D" else name  # neutrons see both at one place
                other[index] = self.residue[index] != self.residue[rows[0]] or taken.setdefault(name, label) != label
        self.drop(other, "alternate")

    def _competing(self, rows: list[int]) -> list[list[int]]:
        """The rows of one site in groups, of which only one residue each can be there: no label is in two of them."""
        residues: dict[int, list[int]] = defaultdict(list)
        for index in rows:
            residues[int(self.residue[index])].append(index)
        groups: list[tuple[set[str], list[int]]] = []
        for members in residues.values():
            labels = {str(self.columns["altloc"][index]) for index in members}
            group = next((group for group in groups if not group[0] & labels), None)
            if group is None:
                groups.append((labels, members))
            else:
                group[0].update(labels)
                group[1].extend(members)
        return [members for _, members in groups]


def _clean(text: Any) -> str:
    return str(text).strip() if text is not None and text == text else ""


def ordered(codes: np.ndarray) -> np.ndarray:
    """Whole numbers, numbered anew: 0 for the first and all that equal it, 1 for the next other one, ...

    >>> ordered(np.array([7, 7, 2, 7])).tolist()
    [0, 0, 1, 0]
    """
    if codes.min() < 0 or codes.max() > 8 * len(codes):  # a table of all numbers would be large
        codes = np.unique(codes, return_inverse=True)[1]
    rows = np.arange(len(codes))
    first = np.empty(codes.max() + 1, np.int64)
    first[codes[::-1]] = rows[::-1]
    begun = first[codes]  # the first row that equals this one
    return np.asarray((np.cumsum(begun == rows) - 1)[begun])


def _combined(*codes: np.ndarray) -> np.ndarray:
    """One number for each combination of codes, in the order in which they first come."""
    combined = np.zeros(len(codes[0]), np.int64)
    for code in codes:
        if (code != code[0]).any():
            combined = ordered(combined * (int(code.max()) + 1) + code)
    return combined


def check_chains(there: list[str], wanted: Iterable[str]) -> None:
    """Raises ``UserError`` where one of the chains ``wanted`` is not ``there``.

    >>> check_chains(["A", "B"], ["A", "C"])
    Traceback (most recent call last):
    eqgat.errors.UserError: there is no chain 'C'; the chains are 'A', 'B'
    """
    names = list(dict.fromkeys(there))
    if absent := [chain for chain in wanted if chain not in names]:
        raise UserError(f"there is no chain {absent[0]!r}; the chains are {', '.join(map(repr, names))}")
