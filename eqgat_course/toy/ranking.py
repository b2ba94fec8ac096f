"""PSR and RSR: decoys of real structures, to be ranked by how close they are to the real one.

**PSR**: 20 embedded protein chains of 79 to 152 residues without gaps, missing atoms or bridges between cysteines, so
that every bond and angle of a decoy is that of the crystal structure. Label: GDT_TS of the alpha carbons against it.
The split is by protein, and no two are related (see ``eqgat_course.toy.res``).

**RSR**: one RNA, a hairpin of 23 nucleotides (a frame of a simulation that started from 1K5I). Label: RMSD of all
heavy atoms to that frame, Å. **There is one target**, so all splits are decoys of the same molecule, made by different
walks: a score on them says nothing about RNAs that a model has not seen.

**The decoys are made here** (``eqgat_course.toy.decoys``), they are not submissions to CASP or RNA-Puzzles. Those
of one walk are frames of the same path, and each is laid in space at random. The native structures are not among them.

**What a model has to beat** is not zero. On the test proteins of PSR, with the default options, two numbers that know
nothing of proteins order the decoys of a target by GDT_TS with these mean Spearman correlations: pairs of atoms closer
than 2.5 Å, -0.78; radius of gyration, -0.71 (over all decoys at once: -0.34 and -0.53).
"""

from __future__ import annotations

import hashlib
import inspect
import os
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from eqgat.datasets.atom3d.environments import generator, official_atoms
from eqgat.datasets.cache import cache_folder
from eqgat_course.toy import decoys as decoy_code
from eqgat_course.toy._schema import polymer, split_of
from eqgat_course.toy.decoys import walk
from eqgat_course.toy.superposition import rmsd, structure_scores

PROTEINS = {
    "train": (
        "1bvyF",
        "1mr1D",
        "1pdoA",
        "2a2lA",
        "2cayA",
        "2fvvA",
        "2j49A",
        "2xcjA",
        "3a4rA",
        "3ieyB",
        "3k7pA",
        "3ny7A",
    ),
    "val": ("2cviA", "2i39A", "3aqgA", "3ii2A"),
    "test": ("1ahsA", "2gu3A", "2va0A", "4gcnA"),
}
RNAS = {"train": ("1k5i_md",), "val": ("1k5i_md",), "test": ("1k5i_md",)}
_KINDS = ("spread", "hinge", "spread")  # of the walks
_LEVELS = (0.6, 14.0)  # Å: RMSD of the first and the last decoy of a walk


@lru_cache(maxsize=64)
def decoys(name: str, walks: int, frames: int, seed: int | str = 0) -> tuple[tuple[str, np.ndarray], ...]:
    """Names and positions ([N, 3] in Å) of the decoys of one structure: ``walks`` walks of up to ``frames`` frames.

    The RMSD (proteins: of alpha carbons; RNA: of all atoms) grows from about 0.6 to 14 Å in steps of equal ratio, moved
    a little at random so that the levels of different walks are not the same. Making those of one protein takes a few
    seconds: they are kept in ``cache_folder()`` and found there until the code that makes them changes.
    """
    code = inspect.getsource(decoy_code) + inspect.getsource(_make_decoys)
    key = hashlib.sha256(repr((name, walks, frames, seed, _KINDS, _LEVELS, code)).encode())
    path = cache_folder() / "decoys" / f"{name}-{key.hexdigest()[:16]}.npz"
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path) as kept:
        return tuple((str(decoy), kept[decoy]) for decoy in kept["names"])
    found = _make_decoys(name, walks, frames, seed)
    with suppress(OSError):  # a folder that cannot be written is no reason to stop
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez_compressed(file, names=[decoy for decoy, _ in found], **dict(found))  # type: ignore[arg-type]
        os.replace(file.name, path)
    return found


def _make_decoys(name: str, walks: int, frames: int, seed: int | str) -> tuple[tuple[str, np.ndarray], ...]:
    structure = polymer(name)
    alpha = np.flatnonzero(structure.atoms["name"] == "CA")
    found = []
    for number in range(walks):
        random = generator("decoys", name, number, seed)
        kind = _KINDS[number % len(_KINDS)]
        levels = np.geomspace(*_LEVELS, frames) * random.uniform(0.85, 1.15, frames)
        reference = alpha if len(alpha) else None
        for frame, positions in enumerate(walk(structure, np.sort(levels), kind, random, reference)):
            moved = Rotation.random(random_state=random).apply(positions - positions.mean(axis=0))
            found.append((f"{kind}_{number}_{frame}", moved.round(3) + 0.0))  # no -0.0, which files lose
    return tuple(found)


def psr_items(
    split: str = "train", walks: int = 3, frames: int = 8, seed: int = 0, targets: Sequence[str] | None = None
) -> list[dict]:
    """Decoys of the proteins of a split (of those named in ``targets``), up to ``walks`` times ``frames`` of each.

    Keys: ``id``, the text of a tuple (target, decoy); ``atoms`` (20 columns, heavy atoms); ``scores`` with ``rmsd``
    (Å), ``gdt_ts``, ``gdt_ha`` and ``tm``, computed from the coordinates as stored. ``ValueError`` for an unknown
    split, or a target that is not in it.
    """
    items, names = [], split_of(PROTEINS, split)
    if unknown := set(targets or ()) - set(names):
        raise ValueError(f"{split} has no target {', '.join(sorted(unknown))}; it has {', '.join(names)}")
    for name in names if targets is None else targets:
        native = polymer(name)
        alpha = (native.atoms["name"] == "CA").to_numpy()
        for decoy, positions in decoys(name, walks, frames, seed):
            scores = structure_scores(positions[alpha], native.positions[alpha])
            items.append(
                {
                    "id": str((name, decoy)),
                    "scores": scores,
                    "atoms": official_atoms(native.with_positions(positions), f"{name}_{decoy}.pdb"),
                }
            )
    return items


def rsr_items(split: str = "train", walks: int | None = None, frames: int = 6, seed: int = 0) -> list[dict]:
    """Decoys of the RNA, by default 10 walks in "train" and 4 each in "val" and "test"; other walks in each split.

    Keys: ``id``, the text of a tuple (target, decoy); ``atoms`` (20 columns, heavy atoms); ``scores`` with ``rms``, the
    RMSD of all atoms in Å, computed from the coordinates as stored. ``ValueError`` for an unknown split.
    """
    items = []
    for name in split_of(RNAS, split):
        native = polymer(name)
        number = (10 if split == "train" else 4) if walks is None else walks
        for decoy, positions in decoys(name, number, frames, f"{split}/{seed}"):
            items.append(
                {
                    "id": str((name, f"{split}_{decoy}")),
                    "scores": {"rms": rmsd(positions, native.positions)},
                    "atoms": official_atoms(native.with_positions(positions), f"{name}_{split}_{decoy}.pdb"),
                }
            )
    return items
