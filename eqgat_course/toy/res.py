"""RES: environments of residues of the embedded proteins; which amino acid was here?

The recipe, and where ATOM3D puts the centre of an environment, are in ``eqgat.datasets.atom3d.environments``.

**The split** is by protein: an environment of a training protein is never tested on, nor is one of a relative. That
no two proteins are related was checked once with local alignments of all pairs (BLOSUM62, gaps 11/1), and the tests
repeat it: the best score between two different proteins is 57, where 78 would be one chance in a thousand for a
search of this size (Karlin-Altschul statistics, lambda 0.267, K 0.041). Sequence is all that was compared; ATOM3D
splits by the topology of the fold (CATH), which is stricter: two proteins here may share a fold.
"""

from __future__ import annotations

from functools import cache

from eqgat.datasets.atom3d.environments import residue_item
from eqgat.datasets.embedded import embedded_names
from eqgat.molecule import Molecule
from eqgat_course.toy._schema import polymer, split_of

# Closed adenylate kinase is the same protein as the open one, the RNA has no residues to guess.
_OTHERS = ("5pti", "1a8o", "1hvr", "1lcd", "adk_open")
_VAL = ("1dx5I", "1h4aX", "1mr1D", "2cviA", "2va0A", "3hklA", "3k7pA", "3vjzA", "adk_open")
_TEST = ("5pti", "1a8o", "1ahsA", "1v7mV", "2a2lA", "2gu3A", "2xr6A", "3e8mA", "3gknA", "3l4rA", "3on9A", "4gcnA")
PROTEINS = {
    "train": tuple(name for name in (*_OTHERS, *embedded_names("chain")) if name not in (*_VAL, *_TEST)),
    "val": _VAL,
    "test": _TEST,
}


@cache
def _read(name: str) -> Molecule:
    return polymer(name)


def res_item(name: str, environments: int | None = 40, frame: str = "lab", seed: int = 0) -> dict:
    """The item of an embedded protein, see ``residue_item``; by default with the centres where ATOM3D puts them."""
    return residue_item(_read(name), environments, frame, seed)


def res_items(split: str = "train", environments: int | None = 40, frame: str = "lab", seed: int = 0) -> list[dict]:
    """The items of a split, one a protein; the arguments are those of ``res_item``."""
    return [res_item(name, environments, frame, seed) for name in split_of(PROTEINS, split)]
