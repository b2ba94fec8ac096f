"""How close are two structures of one molecule? RMSD, GDT and TM scores by superposition.

**RMSD** is the root mean square distance of corresponding atoms after the rigid motion that makes it smallest. The
best rotation comes from the singular value decomposition of the 3x3 covariance of the two sets (Kabsch 1976), with the
sign of the last singular vector chosen so that it is a rotation and no mirror image.

**GDT** (global distance test, Zemla 2003) asks instead: how many residues *can* be laid within c Å of their place at
once? For each cutoff c the motion that takes most alpha carbons counts; GDT_TS is the mean of these fractions for
c = 1, 2, 4, 8 Å, GDT_HA for 0.5, 1, 2, 4 Å. One bad hinge ruins the RMSD and leaves half of the GDT.

No formula gives the best motion of a cutoff, so it is searched for. A part of the chain is superposed (the whole
chain, and windows of a half, a quarter, 8 and 4 residues along it), then again and again all residues that came within
the cutoff are, until they stay the same. Of all motions met on the way, for any cutoff, the best counts for each
cutoff. The result is a lower bound of the true score that more starts can only raise; the tests measure by how much.

**TM score** (Zhang and Skolnick 2004): the largest mean of 1 / (1 + (d / d_0)^2) over the same motions, with
d_0 = 1.24 (L - 15)^(1/3) - 1.8 Å; not the TM-score program, whose search differs.
"""

from __future__ import annotations

import numpy as np

GDT_CUTOFFS = (0.5, 1.0, 2.0, 4.0, 8.0)  # Å
_ROUNDS = 12


def superpose(mobile: np.ndarray, fixed: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """``mobile`` [N, 3] moved rigidly onto ``fixed`` [N, 3] with the least (weighted) mean square distance.

    ``weights`` [N], or [S, N] for S motions at once, which gives [S, N, 3]. Raises ``ValueError`` for other shapes.
    """
    mobile, fixed = np.asarray(mobile, dtype=np.float64), np.asarray(fixed, dtype=np.float64)
    if mobile.ndim != 2 or mobile.shape[1:] != (3,) or mobile.shape != fixed.shape or len(mobile) == 0:
        raise ValueError(f"two equal shapes [N, 3] are needed; got {list(mobile.shape)} and {list(fixed.shape)}")
    weights = np.ones(len(mobile)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape[-1] != len(mobile) or weights.ndim > 2:
        raise ValueError(f"weights must have shape [{len(mobile)}] or [S, {len(mobile)}]; got {list(weights.shape)}")
    many = np.atleast_2d(weights)
    share = many / many.sum(axis=1, keepdims=True)
    centre, goal = share @ mobile, share @ fixed
    products = (mobile[:, :, None] * fixed[:, None, :]).reshape(-1, 9)
    covariance = (share @ products).reshape(-1, 3, 3) - centre[:, :, None] * goal[:, None, :]
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]  # a rotation, not a reflection
    moved = (mobile - centre[:, None]) @ (u @ vt) + goal[:, None]
    return moved if weights.ndim == 2 else moved[0]


def rmsd(mobile: np.ndarray, fixed: np.ndarray) -> float:
    """Root mean square distance, Å, of two structures [N, 3] after the best superposition."""
    difference = superpose(mobile, fixed) - fixed
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


def _starts(length: int) -> np.ndarray:
    """Masks [S, L] of the parts of the chain that are superposed first."""
    masks: list[np.ndarray] = [np.ones(length, dtype=bool)]
    for width, step in ((length // 2, length // 16), (length // 4, length // 16), (8, 2), (4, 2)):
        for first in range(0, length - width + 1, max(1, step)) if 3 <= width < length else ():
            masks.append((np.arange(length) >= first) & (np.arange(length) < first + width))
    return np.array(masks)


def structure_scores(mobile: np.ndarray, fixed: np.ndarray) -> dict[str, float]:
    """``rmsd`` (Å), ``gdt_ts``, ``gdt_ha`` and ``tm`` (0 to 1) of alpha carbons [L, 3] against the native ones.

    Raises ``ValueError`` for unequal shapes or fewer than 3 residues.
    """
    mobile, fixed = np.asarray(mobile, dtype=np.float64), np.asarray(fixed, dtype=np.float64)
    if len(mobile) < 3:
        raise ValueError(f"at least 3 residues are needed; got {len(mobile)}")
    deviation = rmsd(mobile, fixed)
    d0 = max(0.5, 1.24 * np.cbrt(len(mobile) - 15) - 1.8)
    best: np.ndarray = np.zeros(len(GDT_CUTOFFS))
    tm = 0.0

    def distances(parts: np.ndarray) -> np.ndarray:
        """[S, L] after superposing each of the parts [S, L]; what they score is noted."""
        nonlocal best, tm
        found = np.linalg.norm(superpose(mobile, fixed, parts) - fixed, axis=2)
        best = np.maximum(best, [(found < cutoff).mean(axis=1).max() for cutoff in GDT_CUTOFFS])
        tm = max(tm, float((1 / (1 + (found / d0) ** 2)).mean(axis=1).max()))
        return found

    first = distances(_starts(len(mobile)))
    for cutoff in (*GDT_CUTOFFS, d0):
        seen: set[bytes] = set()
        now = first
        for _ in range(_ROUNDS):
            parts = now < cutoff
            parts = parts[parts.sum(axis=1) >= 3]
            new = {key.tobytes(): row for row, key in enumerate(np.packbits(parts, axis=1))}
            parts = parts[[row for key, row in new.items() if key not in seen]]
            if len(parts) == 0:
                break
            seen |= new.keys()
            now = distances(parts)
    return {"rmsd": deviation, "gdt_ts": float(best[1:].mean()), "gdt_ha": float(best[:4].mean()), "tm": tm}
