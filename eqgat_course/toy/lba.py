"""LBA: two real complexes with the affinities that were measured, to show what an item is.

**Two numbers teach a model nothing.** They are here so that notebook and tests run without a download.

=======  ========================================  ===========  ======  =============================================
entry    protein and ligand                        measured     label   primary citation of the entry
=======  ========================================  ===========  ======  =============================================
1HVR     HIV-1 protease, cyclic urea XK263         Ki 0.31 nM   9.51    Lam et al., Science 263 (1994) 380-384
10GS     glutathione S-transferase P1-1, TER117    Ki 0.4 µM    6.40    Oakley et al., J. Mol. Biol. 274 (1997) 84-100
=======  ========================================  ===========  ======  =============================================

Both constants are those that PDBbind v.2020 lists for the entry (``INDEX_general_PL_data.2020``), with the ligand's
residue name (XK2, VWW) and the entry's own paper as reference. 10GS holds the same complex twice, in chains A and B of
the crystal: "10gs" and "10gs_B" have one label, and coordinates that are nearly the same once they are laid on each
other. That makes three items for three splits and no third measurement. A third embedded complex, 1A28 (progesterone
receptor), is left out: no affinity measured for it could be found.

Label: ``neglog_aff`` = -log10 of the constant in mol/l. As in ATOM3D, the pocket is every residue with an atom within
6 Å of a heavy atom of the ligand, without waters. Unlike ATOM3D's, the tables have no hydrogens: the official proteins
carry hydrogens that were modelled, these entries do not (1HVR has the polar ones, with occupancy 0; they are left
out). ``atoms_protein`` has the amino acids of all chains and the waters. Bond orders and SMILES were written down by
hand from the ligands' formulas; the SMILES carry no stereochemistry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from eqgat.datasets.atom3d.environments import official_atoms
from eqgat.datasets.embedded import embedded_structure
from eqgat.molecule import Molecule
from eqgat_course.toy._schema import split_of

POCKET = 6.0  # Å


@dataclass(frozen=True)
class Ligand:
    """A complex and its ligand: embedded structure; residue name and chain of the copy that is used; the constant as it
    was measured and its -log10; SMILES; and which bonds are not single: between atoms of ``aromatic`` (sets of names),
    and the pairs ``double``."""

    entry: str
    protein: str
    name: str
    chain: str
    measured: str
    affinity: float
    source: str
    smiles: str
    aromatic: tuple[str, ...]
    double: tuple[str, ...]


_PDBBIND = "as listed by PDBbind v.2020"
LIGANDS = {
    "1hvr": Ligand(
        "1hvr",
        "HIV-1 protease",
        "XK2",
        "A",
        "Ki = 0.31 nM",
        9.51,
        f"Lam et al., Science 263 (1994) 380-384; {_PDBBIND}",
        "OC1C(O)C(Cc2ccccc2)N(Cc2ccc3ccccc3c2)C(=O)N(Cc2ccc3ccccc3c2)C1Cc1ccccc1",
        (
            "C21 C22 C23 C24 C25 C26 C27 C28 C29",
            "C32 C33 C34 C35 C36 C37",
            "C62 C63 C64 C65 C66 C67",
            "C71 C72 C73 C74 C75 C76 C77 C78 C79",
        ),
        ("C1 O1",),
    ),
    "10gs": Ligand(
        "10gs",
        "glutathione S-transferase P1-1",
        "VWW",
        "A",
        "Ki = 0.4 µM",
        6.40,
        f"Oakley et al., J. Mol. Biol. 274 (1997) 84-100; {_PDBBIND}",
        "NC(CCC(=O)NC(CSCc1ccccc1)C(=O)NC(c1ccccc1)C(=O)O)C(=O)O",
        ("CB2 CG1 CG2 CD11 CD2 CE1", "CE CZ1 CZ2 CT1 CT2 CH"),
        ("C O", "CD OE1", "C1 O1", "C2 O2"),
    ),
}
LIGANDS["10gs_B"] = replace(LIGANDS["10gs"], chain="B")
COMPLEXES = {"train": ("1hvr",), "val": ("10gs",), "test": ("10gs_B",)}


def lba_sources() -> pd.DataFrame:
    """One row an item: split, PDB entry, protein, ligand (residue name, chain), measured constant, label, source."""
    return pd.DataFrame(
        [
            {
                "item": name,
                "split": split,
                "PDB entry": (ligand := LIGANDS[name]).entry.upper(),
                "protein": ligand.protein,
                "ligand": f"{ligand.name}, chain {ligand.chain}",
                "measured": ligand.measured,
                "-log10 K": ligand.affinity,
                "source": ligand.source,
            }
            for split, names in COMPLEXES.items()
            for name in names
        ]
    ).set_index("item")


def lba_item(name: str) -> dict:
    """One item in ATOM3D's form.

    Keys: ``id``; ``atoms_protein``, ``atoms_pocket``, ``atoms_ligand`` (20 columns each); ``bonds`` of the ligand
    (``atom1``, ``atom2``: its rows; ``type`` 1, 2 or 1.5, aromatic); ``smiles``; ``seq`` (one a chain); ``scores`` with
    ``neglog_aff``. Raises ``ValueError`` for another name than those of ``LIGANDS``.
    """
    if name not in LIGANDS:
        raise ValueError(f"the affinity of {name!r} is not known here; there are {', '.join(LIGANDS)}")
    ligand = LIGANDS[name]
    structure = embedded_structure(ligand.entry, waters=True)
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
        "id": name,
        "atoms_protein": official_atoms(protein, f"{name}_protein"),
        "atoms_pocket": official_atoms(pocket, f"{name}_pocket"),
        "atoms_ligand": _ligand_atoms(drug, f"{name}_ligand"),
        "bonds": _bonds(drug, ligand),
        "smiles": ligand.smiles,
        "seq": chains,
        "scores": {"neglog_aff": ligand.affinity},
    }


def _ligand_atoms(drug: Molecule, file: str) -> pd.DataFrame:
    """As ATOM3D writes an SDF file: elements as chemists write them, no chain or residue number."""
    count = np.arange(len(drug))
    return official_atoms(drug, file).assign(
        model=file,
        chain="LIG",
        hetero="",
        insertion_code="",
        residue=0,
        segid="",
        resname="LIG",
        altloc="",
        occupancy=1.0,
        bfactor=0.0,
        element=drug.atoms["element"],
        fullname=drug.atoms["name"],
        serial_number=count,
    )


def _bonds(drug: Molecule, ligand: Ligand) -> pd.DataFrame:
    names = drug.atoms["name"].to_numpy()
    rings = [set(ring.split()) for ring in ligand.aromatic]
    double = [set(pair.split()) for pair in ligand.double]
    pairs = drug.bonds()
    ends = [{names[i], names[j]} for i, j in pairs]
    order = [1.5 if any(pair <= ring for ring in rings) else 2.0 if pair in double else 1.0 for pair in ends]
    return pd.DataFrame({"atom1": pairs[:, 0], "atom2": pairs[:, 1], "type": order})


def lba_items(split: str = "train") -> list[dict]:
    """The items of a split: one. Raises ``ValueError`` for an unknown split."""
    return [lba_item(name) for name in split_of(COMPLEXES, split)]
