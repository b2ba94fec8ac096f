"""PPI: pairs of residues of real complexes; do these two touch?

Each item is a pair of chains of an embedded complex. Residues touch if any of their heavy atoms are less than 6 Å
apart, as in the DIPS set of ATOM3D; modified amino acids count, ligands and haems do not. Waters are left out, other
hetero groups stay in the table of atoms. Pairs that do not touch are all the others and are not listed, as in the
official data.

The split is by complex: interfaces of one complex, which share chains, are never in two splits. That no chain of one
split is related to one of another was checked with the alignments that ``eqgat_course.toy.res`` describes (best
score between splits 48, where 78 would be one chance in a thousand); the nanobody of 7CFN and the T-cell receptor of
1BD2, both immunoglobulins, are related and both in "train". 6WG6 (3.5 Å) and 7DDO (3.4 Å) are of low resolution: their
side chains are less certain than their folds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from eqgat.datasets.atom3d.environments import official_atoms
from eqgat.datasets.embedded import embedded_structure, embedded_table
from eqgat_course.toy._schema import split_of

CONTACT = 6.0  # Å
# Complex and its two chains.
PAIRS = {
    "train": (
        ("2xhe", "AB"),
        ("7cfn", "AB"),
        ("7cfn", "BG"),
        ("7cfn", "AR"),
        ("7cfn", "AN"),
        ("1bd2", "AB"),
        ("1bd2", "AC"),
        ("1bd2", "AD"),
        ("1bd2", "DE"),
        ("19hc", "AB"),
    ),
    "val": (("6wg6", "AB"), ("10gs", "AB")),
    "test": (("1hvr", "AB"), ("1a28", "AB"), ("7ddo", "AC")),
}


def ppi_item(name: str, chains: str) -> dict:
    """One item in ATOM3D's form: two chains of an embedded complex and the pairs of residues that touch.

    Keys: ``id``; ``atoms_pairs`` (20 columns; ``ensemble`` is the id, ``subunit`` the id and the chain);
    ``atoms_neighbors`` with ensemble, subunit, structure, model, chain and residue of both (suffixes 0 and 1) and
    ``label`` 1. Raises ``ValueError`` for an unknown name or chain, or two chains that do not touch.
    """
    structure = embedded_structure(name, chains=list(chains))
    atoms = official_atoms(structure, f"{name}.pdb")
    ensemble = f"{name}_{chains[0]}_{chains[1]}"
    atoms = atoms.assign(ensemble=ensemble, subunit=ensemble + "_" + atoms["chain"])
    atoms = pd.concat([atoms[atoms["chain"] == chain] for chain in chains], ignore_index=True)

    keys = ["ensemble", "subunit", "structure", "model", "chain", "residue"]
    residue = atoms.groupby([*keys, "insertion_code", "resname"], sort=False).ngroup().to_numpy()
    backbone = atoms["name"].isin(["N", "CA", "C"]) & atoms["element"].isin(["N", "C"])
    ligands = embedded_table().set_index("name")["ligand"][name].split()  # one of them is a small peptide
    usable = (np.bincount(residue, backbone) == 3)[residue] & ~atoms["resname"].isin(ligands).to_numpy()
    first, second = (np.flatnonzero(usable & (atoms["chain"] == chain).to_numpy()) for chain in chains)
    positions = atoms[["x", "y", "z"]].to_numpy(np.float64)
    near = cKDTree(positions[first]).sparse_distance_matrix(
        cKDTree(positions[second]), CONTACT, output_type="coo_matrix"
    )
    closer = near.data < CONTACT
    pairs = np.unique(np.stack([residue[first[near.row[closer]]], residue[second[near.col[closer]]]], axis=1), axis=0)
    if len(pairs) == 0:
        raise ValueError(f"chains {chains[0]} and {chains[1]} of {name} do not touch")
    rows = atoms.groupby(residue)[keys].first()
    sides = [rows.iloc[pairs[:, side]].add_suffix(str(side)).reset_index(drop=True) for side in (0, 1)]
    return {"id": ensemble, "atoms_pairs": atoms, "atoms_neighbors": pd.concat(sides, axis=1).assign(label=1)}


def ppi_items(split: str = "train") -> list[dict]:
    """The items of a split, one a pair of chains. ``ValueError`` for an unknown split."""
    return [ppi_item(name, chains) for name, chains in split_of(PAIRS, split)]
