"""From a structure file to a molecule: PDB and mmCIF, gzipped or not.

``read_structure(file).graph(cutoff=4.5)`` is the input of every model in this package (Section 2 of the paper). What
counts as an atom of the molecule, and what happens to the rest, stands at the head of ``eqgat.molecule``.

The two formats become the same columns (``eqgat.pdb``, ``eqgat.mmcif``), and these a molecule by one set of rules
(``eqgat.atom_rows``).
"""

from __future__ import annotations

import gzip
import re
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

from eqgat.atom_rows import AtomRows, Choices
from eqgat.errors import StructureError
from eqgat.mmcif import read_mmcif
from eqgat.molecule import ATOM_COLUMNS, ELEMENTS, OTHER_ELEMENT, Molecule, element_index
from eqgat.pdb import read_pdb

__all__ = [
    "ATOM_COLUMNS",
    "ELEMENTS",
    "OTHER_ELEMENT",
    "Molecule",
    "StructureError",
    "element_index",
    "read_structure",
]

MAX_BYTES = 100 * 2**20  # of a file's text, unpacked; more is refused while it is read

_KINDS = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif"}
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_structure(
    path: str | Path,
    *,
    model: int | str | None = None,
    chains: str | Iterable[str] | None = None,
    hydrogens: bool = False,
    waters: bool = False,
    hetero: bool = True,
    altloc: str = "highest",
    name: str | None = None,
) -> Molecule:
    """Read a PDB (``.pdb``, ``.pdb1``, ``.ent``) or mmCIF (``.cif``, ``.mmcif``) file, gzipped (``.gz``) or not.

    Args:
        path: the file.
        model: number of the model as the file gives it (1, 2, ... where a PDB file gives one twice; atoms outside of
            MODEL have the number after the highest); by default the first one in the file; ``"all"`` keeps every
            one, for instance the copies that make up an assembly (``.pdb1``). END ends nothing; ENDMDL and MODEL end a
            model.
        chains: the chains to keep, ``"A"`` or ``["A", "B"]`` (author's names in mmCIF); by default all.
        hydrogens: keep hydrogen and deuterium atoms.
        waters: keep water molecules (HOH, DOD, and TIP3, SOL ... of simulations, also where written as ATOM).
        hetero: keep the other HETATM groups: ligands, ions, modified residues.
        altloc: ``"highest"``, a label or ``"all"``; see the head of ``eqgat.molecule``.
        name: what to call the molecule; by default the file's name without its endings.

    What a file leaves out has a stand-in: occupancy 1, B factor 0, no insertion code, the ``label_`` item of mmCIF for
    an ``auth_`` item; an element is inferred from atom name, residue and column, and a name that does not tell it for
    certain is refused.

    Raises:
        FileNotFoundError: no such file or folder.
        StructureError: a folder, pipe or device instead of a file; an unknown file type; a damaged, cut-off or too
            large file (``MAX_BYTES``, ``MAX_ATOMS``); a row that cannot be read or placed; a model, chain or location
            that is not there; no atoms left, saying which choice removed them. It names file and line.

    >>> from eqgat.datasets import embedded_path
    >>> protease = read_structure(embedded_path("1hvr"))
    >>> protease, protease.dropped
    (Molecule('1hvr': 1560 atoms, 199 residues, chains AB), {'hydrogen': 330})
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    kind = _KINDS.get(re.sub(r"(?<=\.pdb)\d+$", "", "".join(suffixes[:-1][-1:] if zipped else suffixes[-1:])))
    if not path.exists():
        where = "" if path.parent.exists() else f": the folder {path.parent} does not exist"
        raise FileNotFoundError(f"no structure file {path}{where}")
    if path.is_dir():
        raise StructureError(f"{path} is a folder; give the structure file in it")
    if not stat.S_ISREG(path.stat().st_mode):
        raise StructureError(f"{path} is a pipe, socket or device; give a file")
    if kind is None:
        raise StructureError(
            f"{path.name} is of an unknown file type; known are .pdb, .ent, .cif and .mmcif, each also with .gz"
        )
    columns, line_of = (read_pdb if kind == "pdb" else read_mmcif)(path.name, _read_text(path, zipped), model)
    stem = path.name.removesuffix(path.suffix) if zipped else path.name
    choices = Choices(columns["model"][0] if model is None else model, chains, hydrogens, waters, hetero, altloc)
    rows = AtomRows(columns, choices, path.name, lambda row: (path.name, line_of(row), "line"))
    own = Path(stem).stem.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # text, whatever bytes it has
    return Molecule(name=own if name is None else name, **rows.arrays())


def _read_text(path: Path, zipped: bool) -> str:
    """The text of a file, its lines ended by newlines alone."""
    parts: list[bytes] = []
    try:
        with (gzip.open if zipped else open)(path, "rb") as handle:
            while part := handle.read(2**20):
                parts.append(part)
                if len(parts) << 20 > MAX_BYTES and sum(map(len, parts)) > MAX_BYTES:
                    raise StructureError(f"the file has more than {MAX_BYTES >> 20} MiB", path.name, _lines(parts))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        problem = f"not a complete gzip file ({error}); fetch or copy it again"
        raise StructureError(problem, path.name, _lines(parts) + 1) from error
    data = b"".join(parts)  # no copy of a single part
    encoding = _ENCODINGS.get(data[:2], "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _lines(parts: list[bytes]) -> int:
    return sum(part.count(b"\n") for part in parts)
