"""The options of own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eqgat.errors import UserError

__all__ = ["StructureOptions", "TableOptions"]


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
        if len(self.shares) != 3 or not all(0 < share < float("inf") for share in self.shares):
            raise UserError(f"shares must be three positive numbers, of train, val and test; got {list(self.shares)}")
        if self.split_seed < 0:
            raise UserError(f"split_seed must not be negative; got {self.split_seed}")
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
