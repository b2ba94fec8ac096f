"""The one door from atoms to a graph: ``Molecule``, arrays of atoms with one way to make edges of them.

Structure files (``eqgat.structures``) and tables of atoms as ATOM3D stores them (``Molecule.from_table``) both end
here. What counts as an atom of the molecule is a choice, and each choice changes the graph. This is the default:

=================  ==================  ===================================================================
argument           default             what it means for the graph
=================  ==================  ===================================================================
``model``          the first           an NMR entry holds several models of one molecule in one place;
                                       together they would be a heap of overlapping atoms
``chains``         all                 contacts between chains are edges; one chain alone loses them
``hydrogens``      dropped             most X-ray entries have none: kept, they would tell the experiment
                                       from the molecule, at four times the edges (deuterium is hydrogen)
``waters``         dropped             how many are modelled depends on the resolution
``hetero``         kept                ligands, ions and modified residues; dropping them also cuts
                                       selenomethionine and its like out of the protein chain
``altloc``         ``"highest"``       in each residue the alternate location of the highest mean occupancy,
                                       of equal ones the first in alphabetical order; an atom that exists
                                       only under another label is kept, so that no residue has a hole.
                                       ``"B"``: that one where it exists. ``"all"``: every row, also those
                                       that repeat another
=================  ==================  ===================================================================

Who an atom is follows from its record alone. A residue is what shares model, chain, number, insertion code and name,
however its atoms are scattered: they are put together at the place of the first. Two residues of one number are one
place, of which one is kept, if each has labels of alternate locations and no label is in both. A segment name tells two
residues apart only where they would otherwise hold one atom twice. A row that repeats another, coordinates included, is one
atom; a ligand may give one name to several atoms; anything else with one name and two places is an error. Lone pairs,
virtual sites of waters (MW, EPW) and pseudo-atoms (QB) are no atoms. Every row of the chosen model is in the molecule
or counted in ``Molecule.dropped``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np
from scipy.spatial import cKDTree

from eqgat.atom_rows import NUMERIC, AtomRows, Choices, check_chains, ordered
from eqgat.chemistry import (
    ELEMENTS,
    NUMBERS,
    OTHER_ELEMENT,
    SYMBOLS,
    VOCABULARY,
    element_index,
    is_standard,
    residue_letter,
)
from eqgat.columns import Coded
from eqgat.errors import StructureError, UserError

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch_geometric.data import Data

__all__ = ["ATOM_COLUMNS", "ELEMENTS", "OTHER_ELEMENT", "SYMBOLS", "Molecule", "StructureError", "element_index"]

# Elements that get bonds; metals above all do not.
_BONDING = ("H", "D", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Se", "Br", "I")
_BOND_TOLERANCE = 0.4  # Å
_LONGEST_LINK = 2.0  # Å, from one residue of a polymer to the next: 1.3 (C-N) or 1.6 (O3'-P), drawn out by poor models

# ATOM3D's columns, which ``Molecule.atoms`` has too: what stands in for one that a table lacks.
ATOM_COLUMNS: dict[str, object] = {
    "ensemble": "",
    "subunit": "",
    "structure": "",
    "model": 1,
    "chain": " ",
    "hetero": " ",
    "insertion_code": " ",
    "residue": 0,
    "segid": " ",
    "resname": "UNK",
    "altloc": " ",
    "occupancy": 1.0,
    "bfactor": 0.0,
    "x": np.nan,
    "y": np.nan,
    "z": np.nan,
    "element": "",
    "name": "",
    "fullname": "",
    "serial_number": 0,
}


def atom_graph(
    atomic_number: np.ndarray, positions: np.ndarray, cutoff: float, dtype: torch.dtype | None = None
) -> Data:
    """Nodes and edges of atoms: ``z`` [N], ``pos`` [N, 3] (``dtype``, float32 by default), ``edge_index`` [2, E].

    Edges come from the float64 coordinates [N, 3] (Å): who is a neighbour must not depend on the model's precision.
    ``UserError`` for a type of fewer than 32 bits, which would move the atoms, or of whole numbers.
    """
    import torch
    from torch_geometric.data import Data

    from eqgat.graph import radius_graph

    if dtype not in (None, torch.float32, torch.float64):
        raise UserError(f"coordinates need torch.float32 or torch.float64; got {dtype}")
    exact = torch.from_numpy(np.array(positions, dtype=np.float64))
    return Data(
        z=torch.from_numpy(VOCABULARY[atomic_number]),
        pos=exact.to(dtype or torch.float32),
        edge_index=radius_graph(exact, cutoff),
    )


def _per_atom(column: str = "", stand_in: object = None) -> Any:
    """An array that may be left out: every atom has the stand-in then, that of the column where it is one."""
    return field(default=None, metadata={"column": column, "stand_in": ATOM_COLUMNS.get(column, stand_in)})


@dataclass(frozen=True, eq=False, repr=False)
class Molecule:
    """The atoms of one molecule as arrays [N], residue by residue. Only ``symbol`` and ``positions`` are needed.

    Attributes:
        symbol: elements as chemists write them (``Cl``; ``D`` is deuterium, ``X`` an unidentified atom); other case is
            put right, what is no element is a ``UserError``.
        positions: coordinates in Å, [N, 3], float64.
        atom_name, residue_name, residue_number, insertion_code, chain_name, segment, altloc, occupancy, bfactor
            (Å^2), model, serial: as the file gives them; a blank text is ``" "``.
        hetero: ``" "`` for polymers, ``"W"`` for water, ``"H_"`` + residue name for the rest.
        residue_index: number of the atom's residue, its row in ``residues``.
        row: the row of the file (its ATOM and HETATM rows, counted from 0) or of the table that the atom was.
        name: what to call the molecule.
        dropped: how many rows of the chosen model are not in the molecule, by reason (``"hydrogen"``, ``"water"``,
            ``"alternate"``, ``"duplicate"``, ``"chain"``, ``"hetero"``, ``"virtual"``), as it was read.
        chains_there: names of the chains that it was read from, also of those that were not wanted.

    >>> water = Molecule(symbol=["O", "H"], positions=[[0, 0, 0], [0.96, 0, 0]], name="hydroxide")
    >>> water.graph(cutoff=4.5).edge_index.tolist()
    [[1, 0], [0, 1]]
    """

    symbol: np.ndarray = field(metadata={"column": "element"})
    positions: np.ndarray
    atom_name: np.ndarray = _per_atom("name")  # noqa: RUF009
    residue_name: np.ndarray = _per_atom("resname")  # noqa: RUF009
    residue_number: np.ndarray = _per_atom("residue")  # noqa: RUF009
    insertion_code: np.ndarray = _per_atom("insertion_code")  # noqa: RUF009
    chain_name: np.ndarray = _per_atom("chain")  # noqa: RUF009
    segment: np.ndarray = _per_atom("segid")  # noqa: RUF009
    hetero: np.ndarray = _per_atom("hetero")  # noqa: RUF009
    altloc: np.ndarray = _per_atom("altloc")  # noqa: RUF009
    occupancy: np.ndarray = _per_atom("occupancy")  # noqa: RUF009
    bfactor: np.ndarray = _per_atom("bfactor")  # noqa: RUF009
    model: np.ndarray = _per_atom("model")  # noqa: RUF009
    serial: np.ndarray = _per_atom("serial_number")  # noqa: RUF009
    row: np.ndarray = _per_atom(stand_in=-1)  # noqa: RUF009
    residue_index: np.ndarray = _per_atom(stand_in=0)  # noqa: RUF009
    name: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    chains_there: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.symbol)
        for this in fields(self):
            if this.name not in _WHOLE:
                value = getattr(self, this.name)
                array = np.full(size, this.metadata["stand_in"]) if value is None else np.asarray(value)
                object.__setattr__(self, this.name, array.astype(np.float64) if this.name == "positions" else array)
        if self.positions.shape != (size, 3):
            raise UserError(f"positions must have shape [{size}, 3]; got {list(self.positions.shape)}")
        for this in fields(self):
            if this.name not in _WHOLE and (shape := getattr(self, this.name).shape)[:1] != (size,):
                raise UserError(f"{this.name} must have an entry for each of the {size} atoms; got shape {list(shape)}")
        if not set(self.symbol.tolist()) <= NUMBERS.keys():
            symbols = np.array([str(symbol).strip().capitalize() for symbol in self.symbol.tolist()], object)
            for row, symbol in enumerate(symbols.tolist()):
                if symbol not in NUMBERS:
                    raise UserError(f"symbol {str(self.symbol[row])!r} of atom {row} is no chemical element")
            object.__setattr__(self, "symbol", symbols)

    @classmethod
    def from_table(
        cls,
        atoms: pd.DataFrame,
        *,
        name: str = "",
        model: int | str | None = None,
        chains: str | Iterable[str] | None = None,
        hydrogens: bool = False,
        waters: bool = False,
        hetero: bool = True,
        altloc: str = "highest",
    ) -> Molecule:
        """A molecule from a table of atoms, for instance one that ATOM3D stores.

        Needs the columns x, y, z (Å) and ``element`` or ``name``; ``ATOM_COLUMNS`` says what stands in for the others.
        ``hetero`` may also be ATOM and HETATM, or whether it is HETATM.
        The arguments are those of ``read_structure`` with one exception: several models in one table must be chosen
        from, by number or with ``model="all"``.

        Raises:
            StructureError: columns missing; several models and no choice; else as for ``read_structure``.

        >>> import pandas as pd
        >>> table = pd.DataFrame({"x": [0.0, 1.2, 3.9], "y": 0.0, "z": 0.0, "element": ["C", "O", "H"]})
        >>> carbonyl = Molecule.from_table(table, name="formyl")
        >>> carbonyl, carbonyl.dropped
        (Molecule('formyl': 2 atoms, 1 residues, chains -), {'hydrogen': 1})
        """
        missing = sorted({"x", "y", "z"} - set(atoms.columns))
        if missing or not {"element", "name"} & set(atoms.columns):
            raise StructureError(
                f"the table of atoms has no column {(missing or ['element or name'])[0]}; "
                f"it has {', '.join(map(str, atoms.columns))}",
                name,
            )

        if not len(atoms):
            raise StructureError("the table of atoms has no rows", name)

        def column(key: str) -> list[Any]:
            return atoms[key].tolist() if key in atoms else [ATOM_COLUMNS[key]] * len(atoms)

        columns: dict[str, Any] = {
            ours: np.array(column(theirs)) if ours in NUMERIC else Coded(column(theirs))
            for ours, theirs in _TABLE_NAMES.items()
        }
        if set(columns["hetero"].values) & set(_GROUPS):  # True is 1, and False 0
            kinds = zip(
                columns["hetero"].array(object).tolist(), columns["residue_name"].array(object).tolist(), strict=True
            )
            columns["hetero"] = Coded(
                [_GROUPS[kind].format(str(resname).strip()) if kind in _GROUPS else kind for kind, resname in kinds]
            )
        models = columns["model"].values
        if model is None and len(models) > 1:
            raise StructureError(
                f"the table holds {len(models)} models ({', '.join(map(str, models[:10]))}); "
                'choose one with model=NUMBER, or model="all" to put them into one graph',
                name,
            )
        columns["padded_name"] = Coded(column("fullname" if "fullname" in atoms else "name"))
        columns["source"] = Coded(zip(*map(column, ("ensemble", "subunit", "structure")), strict=True))
        columns["positions"] = np.column_stack([np.array(column(axis), np.float64) for axis in "xyz"])
        choices = Choices("all" if model is None else model, chains, hydrogens, waters, hetero, altloc)
        place = name or "the table of atoms"
        return cls(name=name, **AtomRows(columns, choices, name, lambda row: (place, row, "row")).arrays())

    def __len__(self) -> int:
        return len(self.symbol)

    def __repr__(self) -> str:
        chains, count = "".join(dict.fromkeys(self.chain_name.tolist())).strip(), len(np.unique(self.residue_index))
        return f"Molecule({self.name!r}: {len(self)} atoms, {count} residues, chains {chains or '-'})"

    @cached_property
    def atomic_number(self) -> np.ndarray:
        """Atomic numbers, [N], uint8; deuterium has 1, X has 0."""
        return np.array([NUMBERS[symbol] for symbol in self.symbol.tolist()], np.uint8)

    @property
    def alpha_carbon(self) -> np.ndarray:
        """Whether an atom is the alpha carbon of an amino acid, [N], bool; a ligand's carbon CA is none."""
        carbon = np.asarray((self.atom_name == "CA") & (self.symbol == "C"))
        for row in np.flatnonzero(carbon & (self.hetero != " ")).tolist():
            if not residue_letter(str(self.residue_name[row])):  # modified, if it has the backbone, or a ligand
                carbon[row] = {"N", "C"} <= set(self.atom_name[self.residue_index == self.residue_index[row]].tolist())
        return carbon

    @property
    def elements(self) -> np.ndarray:
        """Vocabulary indices 0 to 8 of the atoms' elements, [N], int64; see ``element_index``."""
        return np.asarray(VOCABULARY[self.atomic_number])

    @cached_property
    def atoms(self) -> pd.DataFrame:
        """The atoms as a table with ATOM3D's 20 columns (``ATOM_COLUMNS``) and a 0, 1, 2, ... index."""
        import pandas as pd

        table = {theirs: getattr(self, ours) for ours, theirs in _TABLE_NAMES.items()}
        table |= dict(zip("xyz", self.positions.T, strict=True)) | {
            "ensemble": self.name,
            "structure": self.name,
            "subunit": "",
            "fullname": self._padded_names(),
        }
        return pd.DataFrame({column: table[column] for column in ATOM_COLUMNS}, index=range(len(self)))

    @cached_property
    def residues(self) -> pd.DataFrame:
        """One row per residue: chain, residue, insertion_code, resname, hetero, and its atom rows first ... last."""
        import pandas as pd

        _, first, place = np.unique(self.residue_index, return_index=True, return_inverse=True)
        last = np.zeros(len(first), np.int64)
        np.maximum.at(last, place, np.arange(len(self)))
        wanted = ("chain_name", "residue_number", "insertion_code", "residue_name", "hetero")
        table = {_TABLE_NAMES[ours]: getattr(self, ours)[first] for ours in wanted}
        return pd.DataFrame({**table, "first": first, "last": last})

    def sequence(self, chain: str | None = None) -> str:
        """One-letter sequence of the polymer residues that have coordinates, in file order.

        Modified residues have the letter of their parent (MSE is M), unknown ones X; gaps are not shown, since the
        atoms do not tell of them. Ligands, ions and waters have no letter: a standard residue written as HETATM counts
        only in a chain that is written so throughout, an unknown one only where it is bound to its neighbours.

        Raises:
            UserError: an unknown chain.

        >>> from eqgat.datasets import embedded_structure
        >>> embedded_structure("5pti").sequence()[:10]
        'RPDFCLEPPY'
        """
        molecule = self if chain is None else self.chain(chain)
        backbone = np.isin(molecule.atom_name, ["CA", "C1'", "C1*"]) & (molecule.symbol == "C")
        polymer = set(molecule.residue_index[backbone].tolist())
        ends = np.flatnonzero(np.isin(molecule.atom_name, ["N", "C", "P", "O3'", "O3*"]))
        pairs = cKDTree(molecule.positions[ends]).query_pairs(_LONGEST_LINK, output_type="ndarray")
        linked = molecule.residue_index[ends[pairs]]
        chained = set(linked[linked[:, 0] != linked[:, 1]].ravel().tolist())
        _, first = np.unique(molecule.residue_index, return_index=True)
        arrays = (molecule.chain_name, molecule.residue_name, molecule.hetero)
        rows = list(zip(*(array[first].tolist() for array in arrays), strict=True))
        written = {chain for chain, name, kind in rows if kind == " " and residue_letter(name)}
        bound = Counter(chain for chain, name, kind in rows if kind.startswith("H_") and is_standard(name))
        letters = []
        for row, (where, name, kind) in enumerate(rows):
            alone = is_standard(name) and (where in written or bound[where] < 2)
            if kind == " " or (kind != "W" and row in polymer and not alone):
                letter = residue_letter(name)
                letters.append(letter or ("X" if row in polymer and (kind == " " or row in chained) else ""))
        return "".join(letters)

    def select(self, which: np.ndarray | Sequence[bool] | Sequence[int]) -> Molecule:
        """The atoms of a boolean mask [N] or of a list of rows, as a new molecule. ``UserError`` if none is left."""
        which = np.asarray(which)
        if which.dtype == bool and len(which) != len(self):
            raise UserError(f"the mask has {len(which)} entries for {len(self)} atoms")
        rows = np.flatnonzero(which) if which.dtype == bool else which
        if not len(rows):
            raise UserError(f"no atom of {self.name or 'the molecule'} is selected")
        arrays = {this.name: getattr(self, this.name)[rows] for this in fields(self) if this.name not in _WHOLE}
        arrays["residue_index"] = ordered(arrays["residue_index"])
        return replace(self, **arrays)

    def chain(self, *chains: str) -> Molecule:
        """The atoms of these chains, as a new molecule. ``UserError`` for a chain that is not there."""
        check_chains(self.chain_name.tolist(), chains)
        return self.select(np.isin(self.chain_name, chains))

    def find_atom(self, chain: str, residue: int, name: str, insertion_code: str = " ") -> int:
        """Row of the atom with this chain, residue number and name.

        Raises:
            UserError: no such atom or more than one; the atoms that the residue does have are named.

        >>> from eqgat.datasets import embedded_structure
        >>> inhibitor = embedded_structure("5pti")
        >>> inhibitor.positions[inhibitor.find_atom("A", 22, "CA")].round(2).tolist()
        [26.0, 9.34, -0.8]
        """
        here = (self.chain_name == chain) & (self.residue_number == residue) & (self.insertion_code == insertion_code)
        rows = np.flatnonzero(here & (self.atom_name == name))
        if len(rows) != 1:
            place = f"residue {residue}{insertion_code.strip()} of chain {chain!r} in {self.name or 'the molecule'}"
            if not here.any():
                raise UserError(f"{place} does not exist")
            raise UserError(
                f"{len(rows)} atoms are called {name} in {place}; that residue has the atoms "
                f"{', '.join(self.atom_name[here])}"
            )
        return int(rows[0])

    def with_positions(self, positions: np.ndarray) -> Molecule:
        """A copy with other coordinates, [N, 3] in Å: a rotated or a perturbed molecule."""
        return replace(self, positions=np.array(positions, dtype=np.float64))

    def graph(self, cutoff: float = 4.5, dtype: torch.dtype | None = None) -> Data:
        """The radius graph of the atoms: a node per atom, an edge (j, i) where d_ji < ``cutoff`` (Å), no cap.

        Returns ``Data`` with ``z`` [N] int64 (0 to 8), ``pos`` [N, 3] in Å (``dtype``, float32 by default),
        ``edge_index`` [2, E] (source j, receiver i; sorted by receiver), and for later use ``residue`` [N] int64
        (row in ``residues``; each graph of a batch counts from 0) and ``alpha_carbon`` [N] bool (one per amino
        acid; a calcium ion is not one).

        >>> from eqgat.datasets import embedded_structure
        >>> embedded_structure("5pti").graph(cutoff=4.5)
        Data(edge_index=[2, 7264], pos=[459, 3], z=[459], residue=[459], alpha_carbon=[459])
        """
        import torch

        data = atom_graph(self.atomic_number, self.positions, cutoff, dtype)
        data.residue = torch.from_numpy(self.residue_index.astype(np.int64))
        data.alpha_carbon = torch.from_numpy(self.alpha_carbon)
        return data

    def bonds(self) -> np.ndarray:
        """Pairs of atom rows i < j that are covalently bonded, [B, 2]: for pictures, the model sees none of it.

        Rule: 0.4 Å < d < r_i + r_j + 0.4 Å with the covalent radii r of gemmi, not between two hydrogens, and none for
        metals, whose ions stay single spheres.

        >>> Molecule(symbol=["C", "O", "Na"], positions=[[0, 0, 0], [1.2, 0, 0], [2.4, 0, 0]]).bonds().tolist()
        [[0, 1]]
        """
        radius = {symbol: gemmi.Element(symbol).covalent_r for symbol in _BONDING}
        radii = np.array([radius.get(symbol, np.nan) for symbol in self.symbol.tolist()])
        hydrogen = self.atomic_number == 1
        pairs = cKDTree(self.positions).query_pairs(2 * max(radius.values()) + _BOND_TOLERANCE, output_type="ndarray")
        i, j = pairs.T
        distance = np.linalg.norm(self.positions[i] - self.positions[j], axis=1)
        bonded = (distance > 0.4) & (distance < radii[i] + radii[j] + _BOND_TOLERANCE) & ~(hydrogen[i] & hydrogen[j])
        pairs = np.stack([i[bonded], j[bonded]], axis=1)
        return pairs[np.lexsort(pairs.T[::-1])]

    def _padded_names(self) -> list[str]:
        """Atom names in PDB's four columns: the element's symbol ends in the second, which tells CA from calcium."""
        return [
            f"{name:4}" if len(symbol) == 2 or len(name) > 3 else f" {name:3}"
            for symbol, name in zip(self.symbol.tolist(), self.atom_name.tolist(), strict=True)
        ]

    def to_pdb(self, bfactor: np.ndarray | None = None) -> str:
        """The molecule as PDB text, for viewers; ``bfactor`` [N] replaces the B factors, to colour atoms by a number.

        Raises:
            UserError: the format's fixed columns have no room: 100,000 or more atoms, chain names longer than one
                letter, residue names longer than three (four as force fields write them), B factors of 1,000 and more.

        >>> print(Molecule(symbol=["O"], positions=[[1, 2, 3]], atom_name=["O"], residue_name=["HOH"]).to_pdb()[:54])
        ATOM      1  O   HOH     0       1.000   2.000   3.000
        """
        values = self.bfactor if bfactor is None else np.asarray(bfactor, dtype=np.float64)
        if values.shape != (len(self),) or not np.isfinite(values).all() or np.abs(values).max() >= 999:
            raise UserError(
                f"bfactor must be {len(self)} finite numbers between -999 and 999; got shape {list(values.shape)}"
            )
        too_long = [
            f"{what} {value!r}"
            for what, texts, room in [
                ("chain", self.chain_name, 1),
                ("resname", self.residue_name, 4),
                ("name", self.atom_name, 4),
            ]
            for value in dict.fromkeys(texts.tolist())
            if len(value) > room
        ]
        too_long += [
            f"{what} {worst:.0f}"
            for what, numbers, least, most in [
                ("residue", self.residue_number, -999, 9999),
                *((axis, self.positions[:, k], -999.999, 9999.999) for k, axis in enumerate("xyz")),
            ]
            for worst in (numbers.min(), numbers.max())
            if not least <= worst <= most
        ]
        if len(self) > 99_999 or too_long:
            raise UserError(
                f"PDB text has no room for {too_long[0] if too_long else f'{len(self)} atoms'}; "
                "select fewer atoms or rename"
            )
        lines, before = [], ("", "H_")
        arrays = (self.symbol, self.altloc, self.residue_name, self.chain_name, self.residue_number)
        more = (self.insertion_code, self.hetero, self.occupancy, self.positions, values)
        columns = [self._padded_names(), *(array.tolist() for array in (*arrays, *more))]
        for serial, record in enumerate(zip(*columns, strict=True), start=1):
            name, symbol, altloc, resname, chain, number, insertion, hetero, occupancy, (x, y, z), b = record
            if before[1] == " " and (chain, hetero) != before:
                lines.append("TER")
            before = (chain, hetero)
            lines.append(
                f"{'ATOM' if hetero == ' ' else 'HETATM':6}{serial:5d} {name}{altloc:1}{resname:>3.4}"
                f"{'' if len(resname) > 3 else ' '}{chain:1}{number:4d}{insertion:1}   "
                f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{b:6.2f}          {symbol.upper():>2}"
            )
        return "\n".join([*lines, "TER", "END", ""])


_WHOLE = ("name", "dropped", "chains_there")  # what a molecule has once, not for each atom
# What tables have in place of ATOM3D's " " and "H_" + residue name.
_GROUPS: dict[Any, str] = {"ATOM": " ", "HETATM": "H_{}", False: " ", True: "H_{}"}
_TABLE_NAMES = {this.name: this.metadata["column"] for this in fields(Molecule) if this.metadata.get("column")}
