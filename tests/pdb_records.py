"""Lines of PDB files for the tests of reading."""

from __future__ import annotations


def record(name, resname, number, xyz, element="", *, kind="ATOM", altloc=" ", chain="A", occupancy=1.0):
    """One PDB coordinate record; ``name`` has its four columns."""
    x, y, z = xyz
    return (
        f"{kind:6}    1 {name:4}{altloc}{resname:>3} {chain}{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{occupancy:6.2f} 10.00          {element:>2}"
    )


def ligand(*names, resname="LIG"):
    return [record(name, resname, 1, (2 * k, 9, 0), kind="HETATM") for k, name in enumerate(names)]


PEPTIDE = [
    record(" N  ", "ALA", 1, (0, 0, 0), "N"),
    record(" CA ", "ALA", 1, (1.4, 0, 0), "C"),
    record(" C  ", "ALA", 1, (2, 1.4, 0), "C"),
    record(" O  ", "ALA", 1, (1.3, 2.4, 0), "O"),
    record(" HA ", "ALA", 1, (1.7, -0.6, 0.8), "H"),
    record(" D  ", "ALA", 1, (-0.3, 0.5, -0.8), "D"),
    record(" N  ", "GLY", 2, (3.3, 1.5, 0), "N", chain="B"),
    record(" CA ", "GLY", 2, (4, 2.8, 0), "C", chain="B"),
    record("CA  ", " CA", 101, (9, 9, 9), "CA", kind="HETATM"),
    record(" O  ", "HOH", 201, (5, 5, 5), "O", kind="HETATM"),
    record(" O  ", "DOD", 202, (6, 6, 6), "O", kind="HETATM"),
    record(" OH2", "TIP", 203, (7, 7, 7), "O"),
]
