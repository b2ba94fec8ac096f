"""Decoys: wrong structures of a real molecule, made by turning torsions of its backbone.

A torsion turns everything on one side of a bond about that bond. Bond lengths and bond angles stay what they are in
the real structure, and so do the torsions that are not turned: side chains and bases ride along rigidly. Bridges
between cysteines and hydrogen bonds are not held.

A *walk* turns one torsion after the other by random angles and is a Monte Carlo search for room: a turn that pushes
more heavy atoms closer than 2.5 Å than are allowed so far is taken back, and the allowance grows slowly from zero with
the number of attempts, up to 150 pairs. So is a turn that swells the molecule beyond a radius of gyration drawn once
for the walk, 1.05 to 1.35 times that of the start: without it, the radius of gyration alone would rank the decoys. A
structure is kept each time the RMSD to the start first exceeds the next level. Two kinds:

* ``"spread"``: torsions all along the chain; in proteins psi of a residue and phi of the next by nearly opposite
  angles, which tilts the peptide plane between them and moves the rest of the chain little;
* ``"hinge"``: the torsions of three residues only, so that large rigid parts move against each other.

Clashes remain in the worst decoys, and real submissions have been relaxed: bad is easier to see here than in CASP.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from eqgat.datasets.atom3d.trivial import radius_of_gyration
from eqgat.molecule import Molecule
from eqgat_course.toy.superposition import rmsd

CLASH = 2.5  # Å
MOST_CLASHES = 150
SWELLING = (1.05, 1.35)
_PHOSPHATE = ("P", "OP1", "OP2", "O1P", "O2P")


@dataclass(frozen=True)
class Torsion:
    """Turning atom rows ``moved`` about the bond from atom ``a`` to atom ``b``; ``residue`` is the bond's."""

    residue: int
    name: str
    a: int
    b: int
    moved: np.ndarray

    def turn(self, positions: np.ndarray, angle: float) -> np.ndarray:
        """A copy of ``positions`` [N, 3] in Å after a turn by ``angle`` (radians, right-handed about a to b)."""
        axis = positions[self.b] - positions[self.a]
        rotation = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
        turned = positions.copy()
        turned[self.moved] = rotation.apply(positions[self.moved] - positions[self.b]) + positions[self.b]
        return turned


def backbone_torsions(structure: Molecule) -> list[Torsion]:
    """The torsions that can be turned, along one chain: phi and psi of amino acids, alpha, beta, gamma, epsilon and
    zeta of nucleotides. Not phi of proline nor delta of the sugar, which are in rings.

    Raises ``ValueError`` if the structure has several chains or no torsion at all.
    """
    if structure.atoms["chain"].nunique() > 1:
        raise ValueError(
            f"decoys are made of one chain; {structure.name or 'the structure'} has "
            f"{', '.join(structure.atoms['chain'].unique())}"
        )
    names = structure.atoms["name"].to_numpy()
    residues = list(structure.residues.itertuples())
    rows = [np.arange(r.first, r.last + 1) for r in residues]
    at = [{names[row]: row for row in own} for own in rows]
    torsions = []

    def add(k: int, name: str, a: int | None, b: int | None, holder: int, stay: tuple[str, ...]) -> None:
        """Moved: what of residue ``holder`` is not named in ``stay``, and all after it."""
        if a is not None and b is not None:
            own = [row for row in rows[holder] if names[row] not in stay]
            moved = np.append(own, np.arange(residues[holder].last + 1, len(structure))).astype(np.int64)
            if len(moved):
                torsions.append(Torsion(k, name, int(a), int(b), moved))

    for k, residue in enumerate(residues):
        own = at[k].get
        side_chain = tuple(n for n in at[k] if n not in ("O", "OXT", "OT1", "OT2"))
        if residue.resname != "PRO" and k > 0:
            add(k, "phi", own("N"), own("CA"), k, ("N", "CA"))
        if k < len(residues) - 1:
            add(k, "psi", own("CA"), own("C"), k, side_chain)
        add(k, "alpha", own("P"), own("O5'"), k, (*_PHOSPHATE, "O5'"))
        add(k, "beta", own("O5'"), own("C5'"), k, (*_PHOSPHATE, "O5'", "C5'"))
        add(k, "gamma", own("C5'"), own("C4'"), k, (*_PHOSPHATE, "O5'", "C5'", "C4'"))
        if k < len(residues) - 1 and "O3'" in at[k]:
            add(k, "epsilon", own("C3'"), own("O3'"), k, tuple(at[k]))
            add(k, "zeta", own("O3'"), at[k + 1].get("P"), k + 1, ("P",))
    if not torsions:
        raise ValueError(f"{structure.name or 'the structure'} has no backbone torsion to turn")
    return torsions


def clashes(positions: np.ndarray) -> int:
    """Number of pairs of atoms [N, 3] closer than 2.5 Å. Most are bonds, and do not change when torsions turn."""
    return len(cKDTree(positions, balanced_tree=False).query_pairs(CLASH, output_type="ndarray"))


def walk(
    structure: Molecule,
    levels: np.ndarray,
    kind: str,
    random: np.random.Generator,
    reference: np.ndarray | None = None,
    attempts: int = 900,
) -> list[np.ndarray]:
    """Structures [N, 3] in Å at which the walk's RMSD over the atoms ``reference`` (rows; all) passes each level (Å).

    At most one for each level, fewer if ``attempts`` do not reach the last. ``ValueError`` for an unknown kind.
    """
    if kind not in ("spread", "hinge"):
        raise ValueError(f'there are walks of the kinds "spread" and "hinge"; got {kind!r}')
    torsions = backbone_torsions(structure)
    phi = {t.residue: t for t in torsions if t.name == "phi"}
    start = positions = structure.positions
    rows = np.arange(len(start)) if reference is None else reference
    if kind == "hinge":
        inner = np.unique([t.residue for t in torsions])
        hinges = random.choice(inner[len(inner) // 8 : len(inner) - len(inner) // 8], 3, replace=False)
        torsions = [t for t in torsions if t.residue in hinges]
    usual = clashes(start)
    kept: list[np.ndarray] = []
    limit = random.uniform(*SWELLING) * radius_of_gyration(start[rows])
    width = np.radians(15 if kind == "hinge" else 25)
    for attempt in range(attempts):
        torsion = torsions[random.integers(len(torsions))]
        angle = random.normal(0, width)
        tried = torsion.turn(positions, angle)
        partner = phi.get(torsion.residue + 1) if torsion.name == "psi" and kind == "spread" else None
        if partner is not None:
            tried = partner.turn(tried, -angle + random.normal(0, width / 4))
        if radius_of_gyration(tried[rows]) > limit:  # first, since it is the cheaper one
            continue
        if clashes(tried) - usual > min(attempt // 2, MOST_CLASHES):
            continue
        positions = tried
        distance = rmsd(positions[rows], start[rows])
        if distance > levels[len(kept)]:
            kept.append(positions)
            if len(kept) == len(levels):
                break
    return kept
