"""The backbone of a molecule as a cartoon: which residues are helices and strands, and a ribbon through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from eqgat.molecule import Molecule

COIL, HELIX, STRAND = "c", "h", "s"
HALF_WIDTH = {COIL: 0.0, HELIX: 1.2, STRAND: 0.9}  # Å; a coil is a line
HEAD = 1.7  # Å, half the width of a strand's arrow head where it begins
STEPS = 8  # pieces of the curve for each residue
_PEPTIDE, _PHOSPHATE = 4.3, 8.0  # Å, at most, between neighbours in a chain: alpha carbons, phosphorus atoms
_HYDROGEN_BOND = -0.5  # kcal/mol: a stronger attraction is a hydrogen bond


def secondary_structure(structure: Molecule) -> np.ndarray:
    """For each residue "h" (alpha helix), "s" (strand of a sheet) or "c" (anything else): [number of residues].

    Kabsch and Sander (Biopolymers 22, 2577, 1983), without their rarer classes: hydrogen bonds from the energy of two
    dipoles, helices from two turns i -> i + 4 in a row, strands from bridges. Runs of less than three are left out.

    >>> from eqgat.datasets import embedded_structure
    >>> "".join(secondary_structure(embedded_structure("5pti")))
    'cccccccccccccccccsssssssccccssssssscccccccccccchhhhhhhhcccc'
    """
    bonded, inside = _hydrogen_bonds(structure)
    kind = np.full(len(bonded), COIL)
    number = np.arange(len(bonded))
    for strand in _runs(_bridged(bonded), gap=1):
        if len(strand) > 2:
            kind[strand] = STRAND
    turn = np.zeros(len(bonded), bool)
    turn[:-4] = bonded[number[:-4], number[4:]] & (inside[:-4] == inside[4:])
    for first in np.flatnonzero(turn[1:] & turn[:-1]) + 1:
        kind[first : first + 4] = HELIX
    return kind


def _hydrogen_bonds(structure: Molecule) -> tuple[np.ndarray, np.ndarray]:
    """[R, R] whether the C=O of a residue accepts the N-H of another, and [R] the unbroken piece of chain of each."""

    def inverse(vectors: np.ndarray) -> np.ndarray:
        """NaN for atoms in one place, as a file has them that lacks coordinates: no bond comes of it."""
        length = np.linalg.norm(vectors, axis=1)
        return 1 / np.where(length > 0, length, np.nan)

    n, ca, c, o = rows = backbone_rows(structure, ("N", "CA", "C", "O"))
    whole = np.asarray((rows >= 0).all(axis=0))
    place = structure.positions
    bond = np.full(len(whole), np.inf)  # from the carbon before to the nitrogen
    linked = np.flatnonzero(whole[1:] & whole[:-1]) + 1
    bond[linked] = np.linalg.norm(place[c[linked - 1]] - place[n[linked]], axis=1)
    proline = structure.residues["resname"].eq("PRO").to_numpy()
    donor = (bond < 2.0) & ~proline
    hydrogen = np.full((len(whole), 3), np.nan)  # opposite to the C=O before, 1 Å from the nitrogen
    back = place[c[np.flatnonzero(donor) - 1]] - place[o[np.flatnonzero(donor) - 1]]
    hydrogen[donor] = place[n[donor]] + back * inverse(back)[:, None]
    rows_whole = np.flatnonzero(whole)
    near = cKDTree(place[ca[whole]]).query_pairs(9.0, output_type="ndarray") if len(rows_whole) else np.empty((0, 2))
    near = rows_whole[np.concatenate([near, near[:, ::-1]]).astype(int)]
    i, j = near[donor[near[:, 1]] & (np.abs(near[:, 0] - near[:, 1]) > 1)].T
    energy = 27.9 * (
        inverse(place[o[i]] - place[n[j]])
        + inverse(place[c[i]] - hydrogen[j])
        - inverse(place[o[i]] - hydrogen[j])
        - inverse(place[c[i]] - place[n[j]])
    )
    bonded = np.zeros((len(whole), len(whole)), dtype=np.bool_)
    bonded[i, j] = energy < _HYDROGEN_BOND
    return bonded, np.cumsum(~(bond < 2.0))


def _bridged(bonded: np.ndarray) -> np.ndarray:
    """[R] whether a residue forms a bridge to another strand, parallel or antiparallel."""
    size = len(bonded)
    padded = np.pad(bonded, 1)

    def shifted(of: np.ndarray, di: int, dj: int) -> np.ndarray:
        return of[1 + di : 1 + di + size, 1 + dj : 1 + dj + size]

    back = padded.T
    parallel = shifted(padded, -1, 0) & shifted(back, 1, 0) | shifted(back, 0, -1) & shifted(padded, 0, 1)
    anti = shifted(padded, 0, 0) & shifted(back, 0, 0) | shifted(padded, -1, 1) & shifted(back, 1, -1)
    far = np.abs(np.subtract.outer(np.arange(size), np.arange(size))) > 2
    return ((parallel | anti) & far).any(axis=1)


def _runs(mask: np.ndarray, gap: int = 0) -> list[np.ndarray]:
    """Ranges of True; holes of at most `gap` are closed."""
    where = np.flatnonzero(mask)
    pieces = np.split(where, np.flatnonzero(np.diff(where) > gap + 1) + 1) if len(where) else []
    return [np.arange(piece[0], piece[-1] + 1) for piece in pieces]


def backbone_rows(structure: Molecule, names: tuple[str, ...]) -> np.ndarray:
    """[names, R] row of the atom with each name in each polymer residue, -1 where it has none.

    >>> from eqgat.datasets import embedded_structure
    >>> backbone_rows(embedded_structure("5pti"), ("N", "CA"))[:, :2].tolist()  # of the first two residues
    [[0, 11], [1, 12]]
    """
    atoms = structure.atoms
    polymer = ~atoms["hetero"].astype(str).str.startswith("H").to_numpy()
    found = np.full((len(names), len(structure.residues)), -1)
    for number, name in enumerate(names):
        rows = np.flatnonzero((atoms["name"] == name).to_numpy() & polymer)[::-1]
        found[number, structure.residue_index[rows]] = rows  # of several the first
    return found


@dataclass(frozen=True)
class Ribbon:
    """A piece of chain as a band: `centre` [m, 3] and `half` [m, 3], from the centre to the edge (zero in a coil), in
    Å; `atom` [m] the row of the nearest alpha carbon or phosphorus."""

    centre: np.ndarray
    half: np.ndarray
    atom: np.ndarray


def ribbons(structure: Molecule) -> Iterator[Ribbon]:
    """The pieces of chain between gaps, each as a smooth ribbon: wide in a helix, an arrow in a strand.

    >>> from eqgat.datasets import embedded_structure
    >>> [ribbon.centre.shape for ribbon in ribbons(embedded_structure("5pti"))]
    [(457, 3)]
    """
    place = structure.positions
    alpha, phosphorus, oxygen = backbone_rows(structure, ("CA", "P", "O"))
    trace = np.where(alpha >= 0, alpha, phosphorus)
    residues = np.flatnonzero(trace >= 0)
    if len(residues) < 2:
        return
    kind, chain = secondary_structure(structure), structure.residues["chain"].astype(str).to_numpy()
    step = np.linalg.norm(np.diff(place[trace[residues]], axis=0), axis=1)
    limit = np.where(alpha[residues][1:] >= 0, _PEPTIDE, _PHOSPHATE)
    breaks = np.flatnonzero((chain[residues][1:] != chain[residues][:-1]) | (step > limit)) + 1
    for piece in np.split(residues, breaks):
        if len(piece) > 1:
            towards = np.where((oxygen[piece] >= 0)[:, None], place[oxygen[piece]] - place[trace[piece]], 0.0)
            yield _ribbon(place[trace[piece]], towards, kind[piece], trace[piece])


def _ribbon(points: np.ndarray, towards: np.ndarray, kind: np.ndarray, rows: np.ndarray) -> Ribbon:
    """A ribbon through `points` [n, 3]; `towards` [n, 3] lies in the plane of each peptide (Carson and Bugg, 1986)."""
    smooth, strand = points.copy(), np.flatnonzero(kind[1:-1] == STRAND) + 1
    smooth[strand] = (points[strand - 1] + 2 * points[strand] + points[strand + 1]) / 4  # strands are pleated
    along = np.gradient(smooth, axis=0)
    across = (
        towards
        - (towards * along).sum(axis=1, keepdims=True) / np.maximum((along**2).sum(axis=1, keepdims=True), 1e-9) * along
    )
    for k in range(1, len(across)):
        if across[k] @ across[k - 1] < 0:  # neighbouring carbonyls of a strand point to opposite sides
            across[k] *= -1
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    knots, at = np.arange(len(points)), np.linspace(0, len(points) - 1, STEPS * (len(points) - 1) + 1)
    centre, side = CubicSpline(knots, smooth)(at), CubicSpline(knots, across)(at)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    nearest = np.minimum(np.floor(at + 0.5).astype(int), len(points) - 1)
    width = np.array([HALF_WIDTH[letter] for letter in kind])[nearest]
    for strand in _runs(kind == STRAND):  # the last residue of a strand is the head of an arrow
        head = nearest == strand[-1]
        width[head] = HEAD * np.linspace(1, 0, head.sum())
    return Ribbon(centre, side * width[:, None], rows[nearest])
