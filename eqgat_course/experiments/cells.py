"""Tables of measurements in the store that are filled cell by cell: what is there is never measured again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from eqgat.files import is_writable, read_checked, write_checked

__all__ = ["fill_table", "read_table"]


def read_table(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The rows of a table; where there is no file yet, none, with these columns.

    Raises:
        UserError: the file is not what was written (its checksum differs).
    """
    if not file.exists():
        return pd.DataFrame(columns=list(columns))
    read_checked(file)
    return pd.read_csv(file, keep_default_na=False)


def fill_table(
    file: Path,
    keys: Sequence[str],
    cells: Mapping[tuple, Callable[[], pd.DataFrame]],
    what: str,
    tell: Callable[[pd.DataFrame], str],
    say: Callable[[str], None],
) -> None:
    """Measure the cells that a table lacks, and write the rows of each as they come.

    Args:
        file: the table; its folder is made.
        keys: columns whose values name a cell.
        cells: values of ``keys`` -> what measures the cell's rows, which have these values in those columns.
        what: the cells are, and what is to be done with them.
        tell: what was found, in words, from the rows of a cell.
        say: takes lines about the progress.

    Raises:
        UserError: the folder cannot be written, the table is damaged, or the disk is full.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "squares.csv"
    >>> cells = {(n,): lambda n=n: pd.DataFrame({"n": [n], "square": [n * n]}) for n in (2, 3)}
    >>> for _ in range(2):
    ...     fill_table(file, ["n"], cells, "squares to find", lambda rows: f"{rows['square'][0]}", print)
    2 of 2 squares to find
    2: 4
    3: 9
    0 of 2 squares to find
    """
    is_writable(file.parent, "--results")
    rows = read_table(file, keys)
    done = set(rows[list(keys)].itertuples(index=False, name=None))
    left = [cell for cell in cells if cell not in done]
    say(f"{len(left)} of {len(cells)} {what}")
    for cell in left:
        found = cells[cell]()
        rows = pd.concat([rows, found]) if len(rows) else found
        write_checked(file, rows.to_csv(index=False, float_format="%.6g"))
        say(f"{', '.join(map(str, cell))}: {tell(found)}")
