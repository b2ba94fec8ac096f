"""The one exception type for what a user can mend, and its form for atoms."""

from __future__ import annotations

__all__ = ["StructureError", "UserError"]


class UserError(ValueError):
    """Bad input: the message says what is wrong and what to do. The command line shows it without a traceback.

    >>> raise UserError("cutoff must be a positive length in Å; got -1.0")
    Traceback (most recent call last):
    eqgat.errors.UserError: cutoff must be a positive length in Å; got -1.0
    """


class StructureError(UserError):
    """Atoms that cannot be read, or placed. ``file`` and ``line`` say where (in a table of atoms: its name and row).

    >>> raise StructureError("atom CA has no coordinates", "1abc.pdb", 12)
    Traceback (most recent call last):
    eqgat.errors.StructureError: 1abc.pdb, line 12: atom CA has no coordinates
    """

    def __init__(self, problem: str, file: str = "", line: int | None = None, unit: str = "line") -> None:
        place = f"{file}, {unit} {line}" if line is not None else file
        super().__init__(f"{place}: {problem}" if place else problem)
        self.file, self.line = file, line
