"""Small real data for the five ATOM3D tasks, made from the embedded structures: everything works without a download.

``sample_items("res", split="train")`` gives items in the schema of the official data (dictionaries of tables and
scores), ``write_samples("res", folder)`` writes them as the official archive unpacks, and then
``load_atom3d("res", folder, split="train")`` reads them like the real thing. On the command line it is ``eqgat toy res
FOLDER``; and the library finds ``sample_items`` through the entry-point group "eqgat.toy_data" where a run names no data.

The same call gives the same items. **These are not the ATOM3D data**: sizes, splits and, in PSR and RSR, the decoys
are other ones, so no score reached here can be set beside a published one.

====  ===================================  ===========================================================================
task  what is real                         what is ours
====  ===================================  ===========================================================================
res   the proteins, their residues         the choice of residues and the split
ppi   the complexes and their contacts     the choice of complexes and the split
psr   the native structures                the decoys, by turned backbone torsions; their scores are computed
rsr   the start, one RNA                   the decoys; one target for all splits, so nothing is learnt about new RNA
lba   two complexes, their affinities      the split, with one complex twice; two numbers teach nothing
====  ===================================  ===========================================================================

Where each structure comes from, and its licence, is in ``embedded_table()``; the modules of the tasks say how their
items are made.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from eqgat.cli import Parser
from eqgat.datasets.task import SPLITS, TASKS
from eqgat.errors import UserError
from eqgat.files import is_writable

__all__ = ["main", "sample_items", "write_samples"]

# Task -> the module here that makes items of it, in a function of its name.
MAKERS = {"lba": "lba", "psr": "ranking", "rsr": "ranking", "res": "res", "ppi": "ppi"}


def sample_items(task: str, split: str = "train", **options: Any) -> list[dict[str, Any]]:
    """The items of one split ("train", "val" or "test") in ATOM3D's schema.

    Options are those of the task's function: ``res_items`` (``environments``, ``frame``, ``seed``), ``psr_items``
    (``walks``, ``frames``, ``seed``, ``targets``), ``rsr_items`` (``walks``, ``frames``, ``seed``); ``ppi_items`` and
    ``lba_items`` have none. Raises ``UserError`` for an unknown task or split.

    >>> [item["id"] for item in sample_items("lba", "test")]
    ['10gs_B']
    """
    if task not in MAKERS:
        raise UserError(f"there are no samples for {task!r}; there are for {', '.join(MAKERS)}")
    module = import_module(f"eqgat_course.toy.{MAKERS[task]}")
    return getattr(module, f"{task}_items")(split, **options)


def write_samples(task: str, folder: str | os.PathLike[str], **options: Any) -> Path:
    """Write the three splits as the official archive unpacks: ``folder/<archive>/data/{train,val,test}/data.mdb``.

    Returns ``folder``, from which ``load_atom3d`` reads. The options are those of ``sample_items``.

    Raises:
        UserError: an unknown task.
        FileExistsError: the folder holds such a data set already.
    """
    from eqgat.datasets.atom3d.lmdb import write_lmdb

    splits = {split: sample_items(task, split, **options) for split in SPLITS}
    for split, items in splits.items():
        write_lmdb(Path(folder) / TASKS[task].archive.folder / "data" / split, items)
    return Path(folder)


def main(argv: list[str]) -> None:
    """Write toy data in the form of the official ATOM3D archives, made from the structures that come with the package.

    They are not the ATOM3D data: no score on them can be set beside a published one.
    """
    parser = Parser(prog="eqgat toy", description=main.__doc__)
    parser.add_argument("task", choices=MAKERS, metavar="TASK", help=", ".join(MAKERS))
    parser.add_argument("folder", metavar="DIR", help="where to write")
    options = parser.parse_args(argv)
    is_writable(options.folder, "the folder")
    write_samples(options.task, options.folder)
    print(
        f"Wrote the toy data of {options.task.upper()} to {options.folder}\n"
        f'Read them: load_atom3d("{options.task}", "{options.folder}", split="train")'
    )
