"""Real structures that come with the package, so that everything works without a network.

``embedded_data/table.csv`` says of each file what it is, where it comes from, what was left out of it and its
SHA-256 checksum; the repository's ``tools/build_embedded.py`` makes the folder from two source distributions.

    from eqgat.datasets import embedded_names, embedded_structure
    embedded_names("complex")                           # ['1hvr', '1a28', '10gs']
    graph = embedded_structure("5pti").graph(cutoff=4.5)
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqgat.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from eqgat.molecule import Molecule

DATA = Path(__file__).parent / "embedded_data"


@cache
def _rows() -> dict[str, dict[str, str]]:
    with open(DATA / "table.csv", newline="", encoding="utf-8") as handle:
        return {row["name"]: row for row in csv.DictReader(handle)}


def embedded_names(kind: str | None = None) -> list[str]:
    """Names of the embedded structures, of one kind or of all.

    Kinds: ``"protein"`` (small, whole entries), ``"complex"`` (protein with ligand), ``"protein-protein"``, ``"rna"``,
    ``"conformation"`` (the two states of one enzyme), ``"protein-dna"`` and ``"chain"`` (50 single protein chains).
    Raises ``UserError`` for a kind that does not exist.

    >>> embedded_names("complex")
    ['1hvr', '1a28', '10gs']
    """
    kinds = {row["kind"] for row in _rows().values()}
    if kind is not None and kind not in kinds:
        raise UserError(f"there is no kind {kind!r} of embedded structures; the kinds are {', '.join(sorted(kinds))}")
    return [name for name, row in _rows().items() if kind in (None, row["kind"])]


def embedded_table() -> pd.DataFrame:
    """One row per embedded structure: what it is, how it was determined, its size, source, checksums and licence.

    >>> embedded_table().set_index("name").loc["5pti", "licence"]
    'Protein Data Bank coordinates: CC0 1.0'
    """
    import pandas as pd

    return pd.read_csv(DATA / "table.csv", keep_default_na=False)


def embedded_path(name: str) -> Path:
    """Path of an embedded structure's gzipped file. Raises ``UserError`` for an unknown name.

    >>> embedded_path("5pti").name
    '5pti.cif.gz'
    """
    if name not in _rows():
        raise UserError(
            f"there is no embedded structure {name!r}; embedded_names() lists them: {', '.join(list(_rows())[:8])}, ..."
        )
    return DATA / _rows()[name]["file"]


def embedded_structure(name: str, **options: Any) -> Molecule:
    """Read an embedded structure; the options are those of ``eqgat.structures.read_structure``.

    Raises:
        UserError: an unknown name; a file that is not what it was when it was made (its checksum differs).
        FileNotFoundError: the file is not installed.

    >>> structure = embedded_structure("5pti")
    >>> structure.atoms["resname"][structure.find_atom("A", 22, "CA")]
    'PHE'
    """
    from eqgat.structures import read_structure

    path = embedded_path(name)
    advice = "install the package again, or restore the file from its repository"
    if not path.exists():
        raise FileNotFoundError(f"the embedded file {path} is missing: {advice}")
    try:
        checksum = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"the embedded file {path.name} is damaged ({error}): {advice}") from error
    if checksum != _rows()[name]["sha256"]:
        raise UserError(
            f"the embedded file {path.name} was changed, its SHA-256 checksum differs from the one in "
            f"table.csv: {advice}"
        )
    return read_structure(path, name=name, **options)
