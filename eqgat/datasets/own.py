"""Own data: a folder of structure files, and a table of labels or none.

A table is a CSV (comma, semicolon or tab) with a column ``structure``, the file's name with or without its endings, and
a column with the labels. With a column ``residue`` (number, as in the file; an insertion code may follow it) the labels
are of residues; a column ``chain`` tells them apart where a structure has several chains. All labels of a structure
are in one part of the split, unless the table itself says otherwise in a column.

Nothing is lost in silence: what a table and a folder do not share is counted in ``OwnData.told``.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data

from eqgat.datasets.atom3d.environments import residue_item
from eqgat.datasets.atom3d.samples import Atoms, make_graph
from eqgat.datasets.atom3d.spec import GraphOptions
from eqgat.datasets.task import SPLITS, TaskSpec
from eqgat.errors import UserError
from eqgat.molecule import Molecule, StructureError
from eqgat.structures import read_structure

__all__ = [
    "CLASSES",
    "NUMBERS",
    "RESIDUES",
    "LabelTable",
    "OwnData",
    "StructureOptions",
    "TableOptions",
    "all_residues",
    "load_residues",
    "load_table",
    "read_labels",
    "read_structures",
    "sequence_clusters",
    "split_structures",
    "stem",
    "structure_files",
]

_CENTRES = ("CA", "C1'")  # the atom that stands for a residue, of amino acids and of nucleotides
_SPLIT_NAMES = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}
_EMPTY = ("", "na", "nan", "n/a", "null", "none")


@dataclass(frozen=True)
class StructureOptions:
    """How structures are read, and how they are split.

    Attributes:
        split: "random", "clusters" (whole clusters of similar sequences stay together), or, of a table, the name of a
            column that says train, val or test; "": the column "split" where there is one, else "random".
        split_seed: of the two that are drawn.
        shares: of the structures that go to train, val and test.
        identity: sequences with at least this share of equal residues are similar.
        radius: graphs of residues hold only the atoms within this many Å of the residue's centre; None: all that its
            answer depends on.
        environments: of "res", residues taken from each structure, drawn at random; None: all.
    """

    split: str = ""
    split_seed: int = 0
    shares: Sequence[float] = (0.8, 0.1, 0.1)
    identity: float = 0.3
    radius: float | None = None
    environments: int | None = None

    def __post_init__(self) -> None:
        if len(self.shares) != 3 or min(self.shares) <= 0:
            raise UserError(f"shares must be three positive numbers, of train, val and test; got {list(self.shares)}")
        if not 0 < self.identity <= 1:
            raise UserError(f"identity must be above 0 and at most 1; got {self.identity}")
        if self.radius is not None and not self.radius > 0:
            raise UserError(f"radius must be positive, in Å; got {self.radius}")
        if self.environments is not None and self.environments < 1:
            raise UserError(f"environments must be at least 1; got {self.environments}")


@dataclass(frozen=True)
class TableOptions(StructureOptions):
    """The same, of structures with a table of labels.

    Attributes:
        labels: the file.
        target: its column with the labels.
        classes: names of the classes in order; empty: the labels are numbers.
        hydrogens, waters, hetero: which atoms are kept, see ``read_structure``.
    """

    labels: str = ""
    target: str = ""
    classes: Sequence[str] = ()
    hydrogens: bool = False
    waters: bool = False
    hetero: bool = True


class LabelTable(NamedTuple):
    """A table of labels that was read.

    Attributes:
        rows: a row a label: line (in the file), structure, target (number, or class number); of residues chain, residue
            and insertion_code too; and the other columns of the file as text.
        residues: whether the labels are of residues.
        classes: names of the classes; empty: the labels are numbers.
        empty: how many rows have no label.
    """

    rows: pd.DataFrame
    residues: bool
    classes: tuple[str, ...]
    empty: int


def read_labels(
    file: str | Path, target: str, classes: bool = False, known: Sequence[str] = (), residues: bool | None = None
) -> LabelTable:
    """Read a table of labels; see the head of this module.

    Args:
        file: the table.
        target: its column with the labels.
        classes: the labels are names of classes, and no numbers.
        known: the classes, where they are known; else those that the table has, sorted.
        residues: what the labels must be of; None: what the table says.

    Raises:
        UserError: no such file or column; a label that is no number; an unknown class; one thing with two labels; a
            residue that has no number; no label at all.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = file.write_text("structure,pK\\n1abc,4.5\\n2xyz,\\n")
    >>> table = read_labels(file, "pK")
    >>> table.rows["target"].tolist(), table.empty
    ([4.5], 1)
    """
    rows = _read_csv(Path(file))
    for column in ("structure", target):
        if column not in rows:
            raise UserError(f"{file} has no column {column!r}; it has {', '.join(rows.columns)}")
    if target in ("structure", "chain", "residue", "insertion_code"):
        raise UserError(f"{target!r} says what a row is of, and cannot be the target too")
    rows.insert(0, "line", range(2, len(rows) + 2))
    by_residue = "residue" in rows
    if residues is not None and residues != by_residue:
        raise UserError(
            f"{file} has {'a' if by_residue else 'no'} column 'residue', and this model answers for whole "
            f"{'structures' if by_residue else 'structures no more, but for residues'}"
        )
    there = ~rows[target].str.lower().isin(_EMPTY)
    empty, rows = int((~there).sum()), rows[there].reset_index(drop=True)
    if rows.empty:
        raise UserError(f"{file} has no label in the column {target!r}")
    if by_residue:
        _split_residues(rows, file)
    keys = ["structure", *(("chain", "residue", "insertion_code") if by_residue else ())]
    twice = rows[rows.duplicated(keys, keep=False)]
    if len(twice):
        first = twice[(twice[keys] == twice[keys].iloc[0]).all(axis=1)]
        raise UserError(
            f"{file} has {len(twice)} rows that name the same thing as another row, first the lines "
            f"{', '.join(map(str, first['line']))} ({_named(first.iloc[0])}); leave one of them"
        )
    if classes:
        names = tuple(known) or tuple(sorted(set(rows[target])))
        unknown = rows[~rows[target].isin(names)]
        if len(unknown):
            where = f"{file}, line {unknown['line'].iloc[0]}"
            raise UserError(f"{where}: unknown class {unknown[target].iloc[0]!r}; there are {', '.join(names)}")
        if len(names) < 2:
            raise UserError(f"the column {target!r} of {file} has one class alone, {names[0]!r}; nothing can be learnt")
        numbers = rows[target].map(names.index).astype(np.int64)
    else:
        names, numbers = (), pd.to_numeric(rows[target], errors="coerce").astype(np.float64)
        wrong = rows[~np.isfinite(numbers)]
        if len(wrong):
            raise UserError(
                f"{file}, line {wrong['line'].iloc[0]}: {target} is {wrong[target].iloc[0]!r}, which is no number "
                f"({len(wrong)} of {len(rows)} rows); correct it, leave it empty, or ask for classes (--classes)"
            )
    return LabelTable(rows.assign(target=numbers), by_residue, names, empty)


def _read_csv(file: Path) -> pd.DataFrame:
    """All columns as text: an identifier such as 1e10 must not become a number."""
    if not file.is_file():
        raise UserError(f"there is no table of labels {str(file)!r}")
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
        separator = max(",;\t", key=head.count)
        rows = pd.read_csv(
            file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False,
            quoting=csv.QUOTE_MINIMAL,
        )  # fmt: skip
    except (ValueError, UnicodeError) as error:
        raise UserError(f"{file} cannot be read as a table ({error}); write it as CSV in UTF-8") from error
    rows.columns = [str(column).strip() for column in rows.columns]
    return rows.apply(lambda column: column.str.strip())


def _split_residues(rows: pd.DataFrame, file: str | Path) -> None:
    """Columns residue (a number) and insertion_code out of texts such as 52 and 52A, in place."""
    parts = rows["residue"].str.extract(r"^([-+]?\d+)(?:\.0)?([A-Za-z]?)$")
    wrong = rows[parts[0].isna()]
    if len(wrong):
        raise UserError(
            f"{file}, line {wrong['line'].iloc[0]}: residue is {wrong['residue'].iloc[0]!r}; give its number as in the "
            "structure file, 52 or 52A"
        )
    rows["residue"] = parts[0].astype(int)
    if "insertion_code" not in rows:
        rows["insertion_code"] = parts[1]
    if "chain" not in rows:
        rows["chain"] = ""


def _named(row: Any) -> str:
    """What a row of a table is of, in words."""
    if "residue" not in row:
        return str(row["structure"])
    chain = f"/{row['chain']}" if row["chain"] else ""
    return f"{row['structure']}{chain}/{row['residue']}{row['insertion_code']}"


def structure_files(folder: str | Path) -> dict[str, Path]:
    """The structure files of a folder by name without endings, in order; other files are passed over.

    Raises:
        UserError: no such folder, no structure file in it, or two of one name.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "1abc.pdb").touch(), (folder / "notes.txt").touch()
    (None, None)
    >>> list(structure_files(folder))
    ['1abc']
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise UserError(f"there is no folder {str(folder)!r} of structures")
    found: dict[str, Path] = {}
    for path in sorted(place.iterdir()):
        name = stem(path.name)
        if name != path.name and path.is_file():
            if name in found:
                raise UserError(f"{found[name].name} and {path.name} in {folder} have one name; keep one of them")
            found[name] = path
    if not found:
        raise UserError(f"there is no structure file in {folder} (.pdb, .ent, .cif or .mmcif, each also with .gz)")
    return found


def stem(name: str) -> str:
    """A file's name without the endings of structure files.

    >>> stem("1abc.pdb.gz"), stem("1abc"), stem("notes.txt")
    ('1abc', '1abc', 'notes.txt')
    """
    return re.sub(r"(?i)\.(pdb|ent|cif|mmcif)(\.gz)?$", "", name)


def read_structures(files: Mapping[str, Path], **how: Any) -> tuple[dict[str, Molecule], dict[str, str]]:
    """Molecules by name, and for each file that cannot be read why; ``how``: of ``read_structure``.

    >>> from eqgat.datasets import embedded_path
    >>> molecules, broken = read_structures({"5pti": embedded_path("5pti")})
    >>> len(molecules["5pti"]), broken
    (459, {})
    """
    molecules, broken = {}, {}
    for name, path in files.items():
        try:
            molecules[name] = read_structure(path, name=name, **how)
        except StructureError as error:
            broken[name] = str(error)
    return molecules, broken


class OwnData(torch.utils.data.Dataset):
    """Labelled structures, or residues of them: ``data[i]`` is a graph with ``y`` and ``name``.

    Attributes:
        y: labels, [n, 1] float32, or [n] int64 for classes.
        names, groups: of the samples [n]; a group is a structure or a cluster of them.
        told: what was left out of table and folder, with counts; "" for nothing.
        about: what the labels are, in words.

    >>> data = OwnData({"water": Molecule(symbol=["O"], positions=[[0, 0, 0]])}, [("water", None, "water")], [1.0])
    >>> data[0].y.tolist(), data.names.tolist()
    ([[1.0]], ['water'])
    """

    def __init__(
        self,
        molecules: Mapping[str, Molecule],
        samples: Sequence[tuple[str, int | None, str]],
        labels: Sequence[float],
        classes: bool = False,
        groups: Mapping[str, str] | None = None,
        radius: float | None = None,
        cutoff: float = 4.5,
        hops: int | None = None,
        told: str = "",
        about: str = "own labels",
    ) -> None:
        """``samples``: structure, row of the centre of a residue (None: the whole structure), name."""
        self.samples, self.radius, self.cutoff, self.hops, self.told = list(samples), radius, cutoff, hops, told
        self.about = about
        self.atoms = {
            name: Atoms(molecules[name].atomic_number, molecules[name].positions, len(molecules[name]))
            for name in dict.fromkeys(sample[0] for sample in samples)
        }
        self.y: Tensor = (
            torch.tensor(labels, dtype=torch.int64)
            if classes
            else torch.tensor(labels, dtype=torch.float32).reshape(-1, 1)
        )
        self.names = np.array([sample[2] for sample in samples], dtype=str)
        self.groups = np.array([(groups or {}).get(sample[0], sample[0]) for sample in samples], dtype=str)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Data:
        structure, centre, name = self.samples[index]
        marks = np.array([] if centre is None else [centre], dtype=np.int64)
        whole = centre is None
        graph = make_graph(
            self.atoms[structure],
            None,
            marks,
            radius=None if whole else self.radius,
            cutoff=self.cutoff,
            hops=None if whole else self.hops,
        )
        graph.y, graph.name = self.y[range(len(self))[index]].unsqueeze(0), name
        return graph

    def digest(self) -> str:
        """Equal for equal graphs and labels."""
        found = hashlib.sha256(repr((self.samples, self.radius, self.y.tolist())).encode())
        for atoms in self.atoms.values():
            found.update(atoms.atomic_number.tobytes() + atoms.pos.tobytes())
        return found.hexdigest()


def all_residues(molecule: Molecule) -> pd.DataFrame:
    """The residues that can be asked about: structure, chain, residue, insertion_code, resname, and row of the centre.

    >>> from eqgat.datasets import embedded_structure
    >>> all_residues(embedded_structure("5pti"))["resname"].head(3).tolist()
    ['ARG', 'PRO', 'ASP']
    """
    centre = np.isin(molecule.atom_name, _CENTRES) & (molecule.symbol == "C")
    rows = np.flatnonzero(centre)
    _, first = np.unique(molecule.residue_index[rows], return_index=True)
    rows = rows[first]
    return pd.DataFrame(
        {
            "structure": molecule.name,
            "chain": molecule.chain_name[rows],
            "residue": molecule.residue_number[rows].astype(int),
            "insertion_code": [str(code).strip() for code in molecule.insertion_code[rows]],
            "resname": molecule.residue_name[rows],
            "row": rows,
        }
    )


@dataclass
class _Losses:
    """What was left out, by reason, with the first name of each."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        self.found.setdefault(reason, []).append(name)

    def __str__(self) -> str:
        parts = [f"{len(names)} {reason} (first: {names[0]})" for reason, names in self.found.items()]
        return f"left out: {'; '.join(parts)}" if parts else ""


def load_table(
    folder: str | None,
    *,
    cutoff: float = 4.5,
    hops: int | None = None,
    whole: bool = False,
    residues: bool | None = None,
    **options: Any,
) -> dict[str, OwnData]:
    """Structures with a table of labels, split.

    Args:
        folder: of the structure files.
        cutoff, hops: see ``load_atom3d``.
        whole: one part, "all", instead of a split: to test a trained model on.
        residues: what the labels must be of; None: what the table says.
        **options: see ``TableOptions``.

    Raises:
        UserError: no folder or table, one that cannot be used, or nothing in common; a split that has an empty part.

    >>> load_table("structures")
    Traceback (most recent call last):
    eqgat.errors.UserError: own data need a folder of structures (--structures) and a table (--labels, --target)
    """
    chosen = TableOptions(**options)
    if folder is None or not chosen.labels:
        raise UserError("own data need a folder of structures (--structures) and a table (--labels, --target)")
    table = read_labels(chosen.labels, chosen.target, bool(chosen.classes), chosen.classes, residues)
    files = structure_files(folder)
    lost, rows = _Losses(), table.rows
    if table.empty:
        lost.found[f"rows of {Path(chosen.labels).name} without a label"] = ["-"] * table.empty
    rows["structure"] = rows["structure"].where(rows["structure"].isin(list(files)), rows["structure"].map(stem))
    for name in dict.fromkeys(rows["structure"]):
        if name not in files:
            lost.add("structures of the table without a file", name)
    for name in files:
        if name not in set(rows["structure"]):
            lost.add("structure files without a label", files[name].name)
    wanted = {name: path for name, path in files.items() if name in set(rows["structure"])}
    if not wanted:
        raise UserError(
            f"no structure of {chosen.labels} has a file in {folder}: the table names "
            f"{', '.join(dict.fromkeys(rows['structure'][:3]))}, the files are {', '.join(list(files)[:3])}"
        )
    how = {name: getattr(chosen, name) for name in ("hydrogens", "waters", "hetero")}
    molecules, broken = read_structures(wanted, **how)
    for name, why in broken.items():
        lost.add("structure files that cannot be read", f"{name}, {why}")
    rows = rows[rows["structure"].isin(list(molecules))].reset_index(drop=True)
    rows = rows.assign(centre=None, name=rows["structure"])
    if table.residues:
        rows = _with_centres(rows, molecules, chosen, lost)
    if rows.empty:
        raise UserError(f"nothing can be used of {chosen.labels} and {folder}: {lost}")
    molecules = {name: molecules[name] for name in dict.fromkeys(rows["structure"])}
    things = f"{len(rows)} residues of {len(molecules)} structures" if table.residues else f"{len(rows)} structures"
    about = f"own labels: {chosen.target} of {things} ({Path(chosen.labels).name})"
    part = pd.Series("all", index=rows.index)
    groups: dict[str, str] = {}
    if not whole:
        part, groups = _parts(rows, molecules, chosen)
    found = {}
    for split in ("all",) if whole else SPLITS:
        own = rows[part == split]
        samples = [
            (structure, None if centre is None else int(centre), name)
            for structure, centre, name in own[["structure", "centre", "name"]].itertuples(index=False)
        ]
        told = str(lost) if split in ("all", "train") else ""
        found[split] = OwnData(
            molecules,
            samples,
            own["target"].tolist(),
            bool(table.classes),
            groups,
            chosen.radius,
            cutoff,
            hops,
            told,
            about,
        )
    return found


def _with_centres(
    rows: pd.DataFrame, molecules: Mapping[str, Molecule], chosen: TableOptions, lost: _Losses
) -> pd.DataFrame:
    """The rows whose residues are there, with the atom row of each residue's centre and a name."""
    places: dict[str, dict[tuple[str, int, str], list[int]]] = {}
    for name, molecule in molecules.items():
        here = places[name] = {}
        for residue in all_residues(molecule).itertuples():
            for chain in (str(residue.chain), ""):
                here.setdefault((chain, residue.residue, residue.insertion_code), []).append(residue.row)
    centres: list[int | None] = []
    for row in rows[["structure", "chain", "residue", "insertion_code"]].itertuples(index=False):
        at = places[row.structure].get((row.chain, row.residue, row.insertion_code), [])
        centres.append(at[0] if len(at) == 1 else None)
        if len(at) != 1:
            reason = (
                "residues of the table that are in several chains (give a column chain)"
                if len(at) > 1
                else "residues of the table that are not in the structure, or have no CA or C1' atom"
            )
            lost.add(reason, _named(row._asdict()))
    rows = rows.assign(centre=centres, name=[_named(row) for _, row in rows.iterrows()])
    left = rows[rows["centre"].notna()].reset_index(drop=True)
    if left.empty and len(rows):
        name = rows["structure"].iloc[0]
        there = all_residues(molecules[name])
        raise UserError(
            f"none of the {len(rows)} residues of {chosen.labels} is in the structures: the table asks for "
            f"{rows['name'].iloc[0]}, and {name} has the chains {', '.join(dict.fromkeys(there['chain']))} with residues "
            f"{there['residue'].min()} to {there['residue'].max()}"
        )
    return left


def _parts(
    rows: pd.DataFrame, molecules: Mapping[str, Molecule], chosen: TableOptions
) -> tuple[pd.Series, dict[str, str]]:
    """For each row train, val or test; and structure -> the group that it is in."""
    column = chosen.split or ("split" if "split" in rows else "random")
    if column in ("random", "clusters"):
        part, groups = split_structures(molecules, chosen)
        return rows["structure"].map(part), groups
    if column not in rows:
        raise UserError(f'{chosen.labels} has no column {column!r} to split by; there are also "random" and "clusters"')
    said = rows[column].str.lower().replace(_SPLIT_NAMES)
    if wrong := sorted(set(said) - set(SPLITS)):
        raise UserError(f"the column {column!r} of {chosen.labels} has {wrong[0]!r}; it must say train, val or test")
    if missing := [split for split in SPLITS if split not in set(said)]:
        raise UserError(f"the column {column!r} of {chosen.labels} leaves no usable row for {', '.join(missing)}")
    return said, {}


def split_structures(
    molecules: Mapping[str, Molecule], chosen: StructureOptions
) -> tuple[dict[str, str], dict[str, str]]:
    """Structure -> train, val or test, and structure -> its group: what a group holds stays together.

    Raises:
        UserError: fewer than three groups.

    >>> molecules = {f"m{k}": Molecule(symbol=["O"], positions=[[0, 0, 0]]) for k in range(10)}
    >>> part, _ = split_structures(molecules, StructureOptions())
    >>> sorted(part.values()).count("train")
    8
    """
    groups = sequence_clusters(molecules, chosen.identity) if chosen.split == "clusters" else {}
    members: dict[str, list[str]] = {}
    for name in molecules:
        members.setdefault(groups.get(name, name), []).append(name)
    if len(members) < 3:
        raise UserError(
            f"{len(molecules)} structures in {len(members)} {'clusters' if groups else 'groups'} cannot be split into "
            "train, val and test; that takes three at least"
        )
    order = np.random.default_rng(chosen.split_seed).permutation(len(members))
    shuffled = [members[sorted(members)[k]] for k in order]
    wanted = np.array(chosen.shares) / sum(chosen.shares) * len(molecules)
    counts, part = np.zeros(3), {}
    for place, group in enumerate(shuffled):
        # The first three groups go to one part each, so that none stays empty; then to who lacks most.
        k = place if place < 3 else int(np.argmax(wanted - counts))
        counts[k] += len(group)
        part.update(dict.fromkeys(group, SPLITS[k]))
    return part, groups


def sequence_clusters(molecules: Mapping[str, Molecule], identity: float = 0.3) -> dict[str, str]:
    """Structure -> name of its cluster: two that have similar chains are in one, and so are those in between.

    Chains are similar where a global alignment (gemmi's) has at least ``identity`` times the length of the shorter one
    in equal residues. All pairs are aligned: some hundred structures take seconds, some thousand take an hour. A
    structure without a sequence is alone.

    >>> from eqgat.datasets import embedded_structure
    >>> sequence_clusters({name: embedded_structure(name) for name in ("adk_open", "adk_closed", "5pti")})
    {'adk_open': 'adk_open', 'adk_closed': 'adk_open', '5pti': '5pti'}
    """
    import gemmi

    sequences = {
        name: {text for chain in dict.fromkeys(m.chain_name.tolist()) if (text := m.sequence(chain))}
        for name, m in molecules.items()
    }
    cluster = {name: name for name in molecules}
    names, scoring = list(molecules), gemmi.AlignmentScoring()
    # With these, the embedded chains, of which no two are related, share 0.15 of their residues as a rule and 0.29 at
    # most; one with two thirds of its residues changed at random still shares 0.34.
    scoring.match, scoring.mismatch, scoring.gapo, scoring.gape = 2, -1, -8, -1

    def alike(one: str, other: str) -> bool:
        if one == other:
            return True
        short = min(len(one), len(other))
        aligned = gemmi.align_string_sequences(list(one), list(other), [], scoring)
        return aligned.match_count >= identity * short

    for k, first in enumerate(names):
        for second in names[k + 1 :]:
            if cluster[first] != cluster[second] and any(
                alike(a, b) for a in sequences[first] for b in sequences[second]
            ):
                old, new = cluster[second], cluster[first]
                cluster = {name: new if its == old else its for name, its in cluster.items()}
    return cluster


def load_residues(
    folder: str | None, *, cutoff: float = 4.5, hops: int | None = None, whole: bool = False, **options: Any
) -> dict[str, Any]:
    """Environments of the residues of unlabelled structures: which amino acid was here? (RES, on own structures)

    Raises:
        UserError: no folder, or nothing in it that can be used.

    >>> load_residues(None)
    Traceback (most recent call last):
    eqgat.errors.UserError: residue identity on own data needs a folder of structures (--structures)
    """
    from eqgat.datasets.atom3d.data import ItemData

    chosen = StructureOptions(**options)
    if folder is None:
        raise UserError("residue identity on own data needs a folder of structures (--structures)")
    if chosen.split not in ("", "random", "clusters"):
        raise UserError(f'structures without a table are split "random" or by "clusters"; got {chosen.split!r}')
    molecules, broken = read_structures(structure_files(folder), hetero=False)
    if not molecules:
        raise UserError(f"no structure in {folder} can be read; the first: {next(iter(broken.values()))}")
    lost = _Losses()
    for name, why in broken.items():
        lost.add("structure files that cannot be read", f"{name}, {why}")
    part = dict.fromkeys(molecules, "all") if whole else split_structures(molecules, chosen)[0]
    found = {}
    for split in ("all",) if whole else SPLITS:
        items = [
            residue_item(molecule, chosen.environments, seed=chosen.split_seed)
            for name, molecule in molecules.items()
            if part[name] == split
        ]
        found[split] = ItemData("res", items, split, cutoff, hops=hops, radius=chosen.radius)
    found["all" if whole else "train"].told = str(lost)
    return found


def _spec(
    name: str,
    kind: Literal["regression", "classes"],
    load: Callable[..., dict[str, Any]],
    options: type,
    describe: Callable[[Mapping[str, Any]], str],
    **rest: Any,
) -> TaskSpec:
    """A task on own data. No row of it is one of the paper's tables.

    Quick: some minutes on one core for some hundred graphs; full: for a GPU.
    """
    numbers = kind == "regression"
    model = {"num_elements": 9, "num_layers": 3, "cutoff": 4.5, "out_channels": 1, **rest.pop("model", {})}
    common = {"model_options": model, "standardise": numbers, "standardise_readout": numbers}
    data = rest.pop("data", {})
    return TaskSpec(
        name=name,
        title=rest.pop("title"),
        goal=rest.pop("goal"),
        kind=kind,
        load=load,
        options=(options, GraphOptions),
        describe=describe,
        metrics=("mse", "rmse", "mae", "r2", "pearson", "spearman") if numbers else ("cross_entropy", "accuracy"),
        losses=("mse",) if numbers else ("cross-entropy",),
        derived=("classes", "out_channels", "readout"),
        profiles={
            "quick": {
                **common, "epochs": 40, "batch_size": 8, "learning_rate": 1e-3, "lr_patience": 3, "lr_factor": 0.5,
                "stop_after": 10, "data_options": data,
            },
            "full": {
                **common, "epochs": 200, "batch_size": 32, "learning_rate": 3e-4, "lr_patience": 8, "lr_factor": 0.5,
                "stop_after": 25,
            },
        },
    )  # fmt: skip


def _about(splits: Mapping[str, Any]) -> str:
    return splits["train"].about


NUMBERS = _spec(
    "own",
    "regression",
    load_table,
    TableOptions,
    _about,
    title="Own numbers",
    goal="to predict numbers of own structures",
)
CLASSES = _spec(
    "own-classes",
    "classes",
    load_table,
    TableOptions,
    _about,
    title="Own classes",
    goal="to tell classes of own structures apart",
)
RESIDUES = _spec(
    "own-res",
    "classes",
    load_residues,
    StructureOptions,
    lambda splits: f"residues of {sum(part.num_items for part in splits.values())} own structures, not ATOM3D's",
    title="Own RES",
    goal="to name the amino acid at an alpha carbon",
    model={"out_channels": 20, "readout": "node"},
    data={"environments": 40},
)
