"""LBA: three real complexes with the affinities that were measured, to show what an item is.

**Three numbers teach a model nothing.** They are here so that notebook and tests run without a download.

=======  ==========================================  ==========================================================
complex  protein and ligand                          affinity, and where it is from
=======  ==========================================  ==========================================================
1HVR     HIV-1 protease, cyclic urea XK263           Ki = 0.31 nM: Lam et al., Science 263 (1994) 380; in PDBbind
10GS     glutathione S-transferase P1-1, TER117      Ki = 0.4 µM: the value that PDBbind v.2019 lists for 10GS
1A28     progesterone receptor, progesterone         **approximate**: 8.5 stands for "a few nM", as assays of
                                                     this receptor give; no single value could be checked
=======  ==========================================  ==========================================================

Label: ``neglog_aff`` = -log10 of the constant in mol/l. As in ATOM3D, the pocket is every residue with an atom within
6 Å of a heavy atom of the ligand, without waters. Unlike ATOM3D's, the tables have no hydrogens: the official proteins
carry hydrogens that were modelled, these entries do not (1HVR has the polar ones, with occupancy 0; they are left
out). ``atoms_protein`` has the amino acids of all chains and the waters. Bond orders and SMILES were written down by
hand from the ligands' formulas; the SMILES carry no stereochemistry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from eqgat.datasets.embedded import embedded_structure
from eqgat.datasets.samples._schema import official_atoms, split_of
from eqgat.structures import Structure

POCKET = 6.0  # Å


@dataclass(frozen=True)
class Ligand:
    """A ligand: residue name and chain of the copy that is used, -log10 affinity, SMILES, and which bonds are not
    single: between atoms of ``aromatic`` (sets of names), and the pairs ``double``."""

    name: str
    chain: str
    affinity: float
    approximate: bool
    source: str
    smiles: str
    aromatic: tuple[str, ...]
    double: tuple[str, ...]


LIGANDS = {
    "1hvr": Ligand("XK2", "A", 9.51, False, "Ki = 0.31 nM; Lam et al., Science 263 (1994) 380-384",
                   "OC1C(O)C(Cc2ccccc2)N(Cc2ccc3ccccc3c2)C(=O)N(Cc2ccc3ccccc3c2)C1Cc1ccccc1",
                   ("C21 C22 C23 C24 C25 C26 C27 C28 C29", "C32 C33 C34 C35 C36 C37", "C62 C63 C64 C65 C66 C67",
                    "C71 C72 C73 C74 C75 C76 C77 C78 C79"), ("C1 O1",)),
    "10gs": Ligand("VWW", "A", 6.40, False, "Ki = 0.4 µM; PDBbind v.2019",
                   "NC(CCC(=O)NC(CSCc1ccccc1)C(=O)NC(c1ccccc1)C(=O)O)C(=O)O",
                   ("CB2 CG1 CG2 CD11 CD2 CE1", "CE CZ1 CZ2 CT1 CT2 CH"), ("C O", "CD OE1", "C1 O1", "C2 O2")),
    "1a28": Ligand("STR", "A", 8.5, True, "approximate: a few nM in assays of this receptor",
                   "CC(=O)C1CCC2C3CCC4=CC(=O)CCC4(C)C3CCC12C", (), ("C3 O3", "C4 C5", "C20 O20")),
}
COMPLEXES = {"train": ("1hvr",), "val": ("10gs",), "test": ("1a28",)}


def lba_item(name: str) -> dict:
    """One item in ATOM3D's form.

    Keys: ``id``; ``atoms_protein``, ``atoms_pocket``, ``atoms_ligand`` (20 columns each); ``bonds`` of the ligand
    (``atom1``, ``atom2``: its rows; ``type`` 1, 2 or 1.5, aromatic); ``smiles``; ``seq`` (one a chain); ``scores`` with
    ``neglog_aff``. Raises ``ValueError`` for another structure than the three.
    """
    if name not in LIGANDS:
        raise ValueError(f"the affinity of {name!r} is not known here; there are {', '.join(LIGANDS)}")
    ligand, structure = LIGANDS[name], embedded_structure(name, waters=True)
    atoms = structure.atoms
    is_ligand = (atoms["resname"] == ligand.name).to_numpy()
    drug = structure.select(is_ligand & (atoms["chain"] == ligand.chain).to_numpy())
    backbone = atoms["name"].isin(["N", "CA", "C"]).groupby(structure.residue_index).sum().to_numpy() == 3
    protein = structure.select((backbone[structure.residue_index] | (atoms["hetero"] == "W").to_numpy()) & ~is_ligand)
    dry = protein.select((protein.atoms["hetero"] != "W").to_numpy())
    close = cKDTree(drug.positions).query(dry.positions)[0] < POCKET
    near = np.unique(dry.residue_index[close])
    pocket = dry.select(np.isin(dry.residue_index, near))
    chains = [dry.sequence(chain) for chain in pd.unique(dry.atoms["chain"])]
    return {
        "id": name, "atoms_protein": official_atoms(protein, f"{name}_protein"),
        "atoms_pocket": official_atoms(pocket, f"{name}_pocket"), "atoms_ligand": _ligand_atoms(drug, f"{name}_ligand"),
        "bonds": _bonds(drug, ligand), "smiles": ligand.smiles, "seq": chains,
        "scores": {"neglog_aff": ligand.affinity},
    }


def _ligand_atoms(drug: Structure, file: str) -> pd.DataFrame:
    """As ATOM3D writes an SDF file: elements as chemists write them, no chain or residue number."""
    count = np.arange(len(drug))
    return official_atoms(drug, file).assign(
        model=file, chain="LIG", hetero="", insertion_code="", residue=0, segid="", resname="LIG", altloc="",
        occupancy=1.0, bfactor=0.0, element=drug.atoms["element"], fullname=drug.atoms["name"], serial_number=count)


def _bonds(drug: Structure, ligand: Ligand) -> pd.DataFrame:
    names = drug.atoms["name"].to_numpy()
    rings = [set(ring.split()) for ring in ligand.aromatic]
    double = [set(pair.split()) for pair in ligand.double]
    pairs = drug.bonds()
    ends = [{names[i], names[j]} for i, j in pairs]
    order = [1.5 if any(pair <= ring for ring in rings) else 2.0 if pair in double else 1.0 for pair in ends]
    return pd.DataFrame({"atom1": pairs[:, 0], "atom2": pairs[:, 1], "type": order})


def lba_items(split: str = "train") -> list[dict]:
    """The items of a split: one. ``ValueError`` for an unknown split."""
    return [lba_item(name) for name in split_of(COMPLEXES, split)]
