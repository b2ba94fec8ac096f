"""From a structure file to a graph: PDB or mmCIF -> a table of atoms -> elements, positions, neighbours.

``read_structure`` reads a file, ``Structure.from_atoms`` takes a table of atoms as ATOM3D stores it, and
``Structure.graph`` makes the input of every model in this package: element indices, positions in Å and the
edges between atoms that are closer than a cutoff (Section 2 of the paper).

The paper calls its graphs "full-atom". What counts as an atom of the structure is nevertheless a choice, and
each choice changes the graph, so all of them are arguments with these defaults:

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
``altloc``         ``"highest"``       of alternate locations only one is kept, see ``read_structure``
=================  ==================  ===================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from eqgat._atom_tables import (
    ATOM_COLUMNS,
    ELEMENTS,
    LETTERS,
    OTHER_ELEMENT,
    RESIDUE_KEY,
    STANDARD_RESIDUES,
    check_chains,
    element_index,
    parse_file,
    select_atoms,
)

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Data

__all__ = ["ATOM_COLUMNS", "ELEMENTS", "OTHER_ELEMENT", "Structure", "element_index", "read_structure"]

# Covalent radii in Å (Cordero et al. 2008). Elements that are not listed, metals above all, get no bonds.
_RADII = {
    "H": 0.31,
    "D": 0.31,
    "B": 0.84,
    "C": 0.76,
    "N": 0.71,
    "O": 0.66,
    "F": 0.57,
    "Si": 1.11,
    "P": 1.07,
    "S": 1.05,
    "Cl": 1.02,
    "Se": 1.20,
    "Br": 1.20,
    "I": 1.39,
}
_BOND_TOLERANCE = 0.4


@dataclass(frozen=True, eq=False)
class Structure:
    """The atoms of one structure, in file order, and what one wants to ask about them.

    Attributes:
        atoms: one row per atom with ATOM3D's 20 columns (``ATOM_COLUMNS``) and a 0, 1, 2, ... index. x, y, z in Å;
            ``element`` as chemists write it (``Cl``); ``hetero`` is ``" "`` for polymers, ``"W"`` for water,
            ``"H_"`` + residue name for the rest; ``model`` is the number that the file gives.
        name: what to call the structure; the file's name unless given.
    """

    atoms: pd.DataFrame
    name: str = ""

    @classmethod
    def from_atoms(
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
    ) -> Structure:
        """A structure from a table of atoms, for instance one that ATOM3D stores.

        Needs the columns x, y, z (Å) and ``element`` or ``name``; other missing columns of ATOM3D's 20 are filled
        with ``ATOM_COLUMNS``' stand-ins. The arguments are those of ``read_structure`` with one exception: several
        models in one table must be chosen from, by number or with ``model="all"``.

        Raises:
            ValueError: columns missing; several models and no choice; NaN or infinite coordinates; an element that
                is unknown or cannot be told from the atom name; nothing left after the selection.
        """
        needed = {"x", "y", "z"} - set(atoms.columns)
        if needed or not {"element", "name"} & set(atoms.columns):
            missing = ", ".join(sorted(needed)) or "element or name"
            raise ValueError(f"the table of atoms has no column {missing}; it has {', '.join(map(str, atoms.columns))}")
        stand_ins = {column: value for column, value in ATOM_COLUMNS.items() if column not in atoms.columns}
        table = atoms.reindex(columns=list(ATOM_COLUMNS)).reset_index(drop=True).assign(**stand_ins)
        table = table.fillna({column: value for column, value in ATOM_COLUMNS.items() if isinstance(value, str)})
        models = pd.unique(table["model"])
        if model is None and len(models) > 1:
            raise ValueError(
                f"the table holds {len(models)} models ({', '.join(map(str, models[:10]))}); "
                'choose one with model=NUMBER, or model="all" to put them into one graph'
            )
        return cls(select_atoms(table, name, model, chains, hydrogens, waters, hetero, altloc), name)

    def __len__(self) -> int:
        return len(self.atoms)

    def __repr__(self) -> str:
        chains = "".join(map(str, pd.unique(self.atoms["chain"]))).strip()
        return f"Structure({self.name!r}: {len(self)} atoms, {len(self.residues)} residues, chains {chains or '-'})"

    @property
    def positions(self) -> np.ndarray:
        """Coordinates in Å, [N, 3], float64 (a copy)."""
        return self.atoms[["x", "y", "z"]].to_numpy(np.float64)

    @cached_property
    def elements(self) -> np.ndarray:
        """Vocabulary indices 0 to 8 of the atoms' elements, [N], int64."""
        return (
            self.atoms["element"]
            .map({s: element_index(s) for s in pd.unique(self.atoms["element"])})
            .to_numpy(np.int64)
        )

    @cached_property
    def residue_index(self) -> np.ndarray:
        """For each atom the row of its residue in ``residues``, [N], int64."""
        key = self.atoms[[*RESIDUE_KEY, "resname"]]
        return (key != key.shift()).any(axis=1).to_numpy().cumsum() - 1

    @cached_property
    def residues(self) -> pd.DataFrame:
        """One row per residue: chain, residue, insertion_code, resname, hetero, and its atom rows first ... last."""
        starts = np.flatnonzero(np.diff(self.residue_index, prepend=-1))
        table = self.atoms.loc[starts, ["chain", "residue", "insertion_code", "resname", "hetero"]]
        return table.assign(first=starts, last=np.append(starts[1:], len(self)) - 1).reset_index(drop=True)

    def sequence(self, chain: str | None = None) -> str:
        """One-letter sequence of the polymer residues that have coordinates, in file order.

        Modified residues have the letter of their parent (MSE is M), unknown ones X; gaps are not shown, since the
        atoms do not tell of them. Ligands, ions and waters have no letter. Raises ``ValueError`` for an unknown chain.
        """
        structure = self if chain is None else self.chain(chain)
        backbone = structure.atoms["name"].isin(["CA", "C1'", "C1*"]) & structure.atoms["element"].eq("C")
        polymer = set(structure.residue_index[backbone])
        letters = []
        for row, residue in enumerate(structure.residues.itertuples()):
            # A standard residue written as a hetero group is a ligand: the asparagine bound to its synthetase.
            if residue.hetero == " " or (residue.resname not in STANDARD_RESIDUES and row in polymer):
                letters.append(LETTERS.get(residue.resname, "X" if row in polymer else ""))
        return "".join(letters)

    def select(self, which: np.ndarray | Sequence[bool] | Sequence[int]) -> Structure:
        """The atoms of a boolean mask [N] or of a list of rows, as a new structure. ``ValueError`` if none is left."""
        which = np.asarray(which)
        if which.dtype == bool and len(which) != len(self):
            raise ValueError(f"the mask has {len(which)} entries for {len(self)} atoms")
        atoms = self.atoms.iloc[np.flatnonzero(which) if which.dtype == bool else which]
        if atoms.empty:
            raise ValueError(f"no atom of {self.name or 'the structure'} is selected")
        return replace(self, atoms=atoms.reset_index(drop=True))

    def chain(self, *chains: str) -> Structure:
        """The atoms of these chains, as a new structure. ``ValueError`` for a chain that is not there."""
        check_chains(self.atoms, chains)
        return self.select(self.atoms["chain"].isin(chains).to_numpy())

    def find_atom(self, chain: str, residue: int, name: str, insertion_code: str = " ") -> int:
        """Row of the atom with this chain, residue number and name: ``find_atom("A", 22, "CA")``.

        Raises ``ValueError``, naming the atoms that the residue does have, if there is no such atom or more than one.
        """
        a = self.atoms
        here = a[(a["chain"] == chain) & (a["residue"] == residue) & (a["insertion_code"] == insertion_code)]
        rows = here.index[here["name"] == name]
        if len(rows) != 1:
            there = f"has the atoms {', '.join(here['name'])}" if len(here) else "does not exist"
            raise ValueError(
                f"{len(rows)} atoms are called {name} in residue {residue}{insertion_code.strip()} of "
                f"chain {chain!r} in {self.name or 'the structure'}; that residue {there}"
            )
        return int(rows[0])

    def with_positions(self, positions: np.ndarray) -> Structure:
        """A copy with other coordinates, [N, 3] in Å: a rotated or a perturbed structure."""
        positions = np.asarray(positions, dtype=np.float64)
        if positions.shape != (len(self), 3):
            raise ValueError(f"positions must have shape [{len(self)}, 3]; got {list(positions.shape)}")
        return replace(self, atoms=self.atoms.assign(**dict(zip("xyz", positions.T, strict=True))))

    def graph(self, cutoff: float = 4.5, dtype: torch.dtype | None = None) -> Data:
        """The radius graph of the atoms: a node per atom, an edge (j, i) where d_ji < ``cutoff`` (Å), no cap.

        Returns ``Data`` with ``z`` [N] int64 (0 to 8), ``pos`` [N, 3] in Å (``dtype``, float32 by default),
        ``edge_index`` [2, E] (source j, receiver i; sorted by receiver), and for later use ``residue`` [N] int64
        (row in ``residues``; each graph of a batch counts from 0) and ``alpha_carbon`` [N] bool (one per amino
        acid; a calcium ion is not one).
        """
        import torch
        from torch_geometric.data import Data

        from eqgat.graph import radius_graph

        # Edges from float64 coordinates: which atoms are neighbours must not depend on the precision of the model.
        positions = torch.from_numpy(self.positions)
        alpha = (self.atoms["name"].eq("CA") & self.atoms["element"].eq("C")).to_numpy()
        return Data(
            z=torch.from_numpy(self.elements.copy()),
            pos=positions.to(dtype or torch.float32),
            edge_index=radius_graph(positions, cutoff),
            residue=torch.from_numpy(self.residue_index.copy()),
            alpha_carbon=torch.from_numpy(alpha),
        )

    def bonds(self) -> np.ndarray:
        """Pairs of atom rows i < j that are covalently bonded, [B, 2]: for pictures, the model sees none of it.

        Rule: 0.4 Å < d < r_i + r_j + 0.4 Å with the covalent radii r of Cordero et al. (2008), not between two
        hydrogens, and none for elements without a radius here, so that metal ions stay single spheres.
        """
        radii = self.atoms["element"].map(_RADII).to_numpy(np.float64)
        positions, hydrogen = self.positions, self.elements == 0
        i, j = cKDTree(positions).query_pairs(2 * max(_RADII.values()) + _BOND_TOLERANCE, output_type="ndarray").T
        distance = np.linalg.norm(positions[i] - positions[j], axis=1)
        bonded = (distance > 0.4) & (distance < radii[i] + radii[j] + _BOND_TOLERANCE) & ~(hydrogen[i] & hydrogen[j])
        pairs = np.stack([i[bonded], j[bonded]], axis=1)
        return pairs[np.lexsort(pairs.T[::-1])]

    def to_pdb(self, bfactor: np.ndarray | None = None) -> str:
        """The structure as PDB text, for viewers; ``bfactor`` [N] replaces the B factors, to colour atoms by a number.

        Raises ``ValueError`` where the format's fixed columns have no room: 100,000 or more atoms, chain names longer
        than one letter, residue names longer than three (four as force fields write them), B factors of 1,000 and more.
        """
        atoms = self.atoms
        values = atoms["bfactor"].to_numpy(np.float64) if bfactor is None else np.asarray(bfactor, dtype=np.float64)
        if values.shape != (len(self),) or not np.isfinite(values).all() or np.abs(values).max() >= 999:
            raise ValueError(
                f"bfactor must be {len(self)} finite numbers between -999 and 999; got shape {list(values.shape)}"
            )
        too_long = [
            f"{what} {value!r}"
            for what, room in (("chain", 1), ("resname", 4), ("name", 4))
            for value in pd.unique(atoms[what])
            if len(value) > room
        ]
        too_long += [
            f"{what} {worst:.0f}"
            for what, least, most in [("residue", -999, 9999), *((axis, -999.999, 9999.999) for axis in "xyz")]
            for worst in (atoms[what].min(), atoms[what].max())
            if not least <= worst <= most
        ]
        if len(self) > 99_999 or too_long:
            raise ValueError(
                f"PDB text has no room for {too_long[0] if too_long else f'{len(self)} atoms'}; "
                "select fewer atoms or rename"
            )
        lines, previous = [], None
        for serial, (a, b) in enumerate(zip(atoms.itertuples(), values, strict=True), start=1):
            if previous is not None and previous.hetero == " " and (a.chain, a.hetero) != (previous.chain, " "):
                lines.append("TER")
            # The element's symbol is right-aligned in columns 13-14, which is what tells CA from calcium.
            name = f"{a.name}" if len(a.element) == 2 or len(a.name) == 4 else f" {a.name}"
            lines.append(
                f"{'ATOM' if a.hetero == ' ' else 'HETATM':6}{serial:5d} {name:4}{a.altloc:1}{a.resname:>3.4}"
                f"{'' if len(a.resname) > 3 else ' '}{a.chain:1}{a.residue:4d}{a.insertion_code:1}   "
                f"{a.x:8.3f}{a.y:8.3f}{a.z:8.3f}{a.occupancy:6.2f}{b:6.2f}          {a.element.upper():>2}"
            )
            previous = a
        return "\n".join([*lines, "TER", "END", ""])


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
) -> Structure:
    """Read a PDB (``.pdb``, ``.ent``) or mmCIF (``.cif``, ``.mmcif``) file, gzipped (``.gz``) or not.

    Args:
        path: the file.
        model: number of the model as the file gives it; by default the first one; ``"all"`` keeps every one.
        chains: the chains to keep, ``"A"`` or ``["A", "B"]`` (author's names in mmCIF); by default all.
        hydrogens: keep hydrogen and deuterium atoms.
        waters: keep water molecules (HOH, DOD, and TIP3, SOL ... of simulations, also where written as ATOM).
        hetero: keep the other HETATM groups: ligands, ions, modified residues.
        altloc: ``"highest"``: in each residue the alternate location of the highest mean occupancy, of equal ones the
            first in alphabetical order; a label, ``"B"``: that one where it exists; ``"all"``: every one. An atom that
            exists only under another label of the same residue is kept, so that no residue is left with a hole.
        name: what to call the structure; by default the file's name without its endings.

    An atom that a file repeats word for word is read once. Where the element column is empty, the element is inferred
    from atom name, residue and column (``CA`` is an alpha carbon in an amino acid, calcium in the residue ``CA``).

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a folder instead of a file; an unknown file type; a damaged or cut-off file; NaN or infinite
            coordinates; a model, chain or location that is not there; an element that is no chemical element or that
            cannot be told; no atoms left, saying which choice removed them.
    """
    path = Path(path)
    stem, suffixes = path.name, [s.lower() for s in path.suffixes]
    kind = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif"}.get(
        (suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:] or [""])[0] if suffixes[:1] else ""
    )
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the structure file in it")
    if not path.exists():
        where = "" if path.parent.exists() else f": the folder {path.parent} does not exist"
        raise FileNotFoundError(f"no structure file {path}{where}")
    if kind is None:
        raise ValueError(
            f"{path.name} is of an unknown file type; known are .pdb, .ent, .cif and .mmcif, each also with .gz"
        )
    table = parse_file(path, kind)
    if table.empty:
        raise ValueError(f"{path.name} has no atoms")
    stem = path.name.removesuffix(path.suffix) if suffixes[-1] == ".gz" else path.name
    table["ensemble"] = table["structure"] = path.name
    model = table["model"].iloc[0] if model is None else model
    name = name or Path(stem).stem
    return Structure(select_atoms(table, name, model, chains, hydrogens, waters, hetero, altloc), name)
