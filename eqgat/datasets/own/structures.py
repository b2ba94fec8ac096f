"""Structure files: which there are in a folder, their molecules, and the residues of these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eqgat.errors import UserError
from eqgat.files import home, is_structure, stem
from eqgat.molecule import Molecule, StructureError
from eqgat.structures import read_structure

__all__ = ["all_residues", "read_structures", "stem", "structure_files"]

_OF_SUGARS = ("C1'", "C1*")  # the atom that stands for a nucleotide; the alpha carbon stands for an amino acid


def structure_files(folder: str | Path) -> dict[str, Path]:
    """The structure files of a folder by name without endings, in order; other files are passed over.

    Raises:
        UserError: no such folder, no structure file in it, or two of one name.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "1abc.pdb").touch(), (folder / "notes.txt").touch()
    (None, None)
    >>> list(structure_files(folder))
    ['1abc']
    """
    place = home(folder)
    if not place.is_dir():
        raise UserError(f"there is no folder {str(folder)!r} of structures")
    found: dict[str, Path] = {}
    for path in sorted(place.iterdir()):
        name = stem(path.name)
        if is_structure(path.name) and not path.is_dir():
            if name in found:
                raise UserError(f"{found[name].name} and {path.name} in {folder} have one name; keep one of them")
            found[name] = path
    if not found:
        raise UserError(f"there is no structure file in {folder} itself (.pdb, .ent, .cif or .mmcif, also with .gz)")
    return found


def read_structures(files: Mapping[str, Path], **how: Any) -> tuple[dict[str, Molecule], dict[str, str]]:
    """Molecules by name, and for each file that cannot be read why; ``how``: of ``read_structure``.

    >>> from eqgat.datasets import embedded_path
    >>> molecules, broken = read_structures({"5pti": embedded_path("5pti")})
    >>> len(molecules["5pti"]), broken
    (459, {})
    """
    molecules, broken = {}, {}
    for name, path in files.items():
        try:
            molecules[name] = read_structure(path, name=name, **how)
        except (StructureError, OSError) as error:
            broken[name] = str(error)
    return molecules, broken


def all_residues(molecule: Molecule) -> pd.DataFrame:
    """The residues that can be asked about: structure, chain, residue, insertion_code, resname, and row of the centre.

    >>> from eqgat.datasets import embedded_structure
    >>> all_residues(embedded_structure("5pti"))["resname"].head(3).tolist()
    ['ARG', 'PRO', 'ASP']
    """
    sugars = np.isin(molecule.atom_name, _OF_SUGARS) & (molecule.symbol == "C")
    rows = np.flatnonzero(molecule.alpha_carbon | sugars)
    rows = rows[np.unique(molecule.residue_index[rows], return_index=True)[1]]
    return pd.DataFrame(
        {
            "structure": molecule.name,
            "chain": molecule.chain_name[rows],
            "residue": molecule.residue_number[rows].astype(int),
            "insertion_code": [str(code).strip() for code in molecule.insertion_code[rows]],
            "resname": molecule.residue_name[rows],
            "row": rows,
        }
    )
