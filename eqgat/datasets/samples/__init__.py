"""Small real data for the five ATOM3D tasks, made from the embedded structures: everything works without a download.

``sample_items("res", split="train")`` gives items in the schema of the official data (dictionaries of tables and
scores), ``write_samples("res", folder)`` writes them as the official archive unpacks, and then
``load_atom3d("res", folder, split="train")`` reads them like the real thing. On the command line:

    python -m eqgat samples res FOLDER

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

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from eqgat.datasets.samples._schema import SPLITS

_MODULES = {"lba": "lba", "psr": "ranking", "rsr": "ranking", "res": "res", "ppi": "ppi"}
TASKS = tuple(_MODULES)

__all__ = ["SPLITS", "TASKS", "main", "sample_items", "write_samples"]


def sample_items(task: str, split: str = "train", **options: Any) -> list[dict[str, Any]]:
    """The items of one split ("train", "val" or "test") in ATOM3D's schema.

    Options are those of the task's function: ``res_items`` (``environments``, ``frame``, ``seed``), ``psr_items``
    (``walks``, ``frames``, ``seed``, ``targets``), ``rsr_items`` (``walks``, ``frames``, ``seed``); ``ppi_items`` and
    ``lba_items`` have none. Raises ``ValueError`` for an unknown task or split.
    """
    if task not in _MODULES:
        raise ValueError(f"there are no samples for {task!r}; there are for {', '.join(TASKS)}")
    module = import_module(f"eqgat.datasets.samples.{_MODULES[task]}")
    return getattr(module, f"{task}_items")(split, **options)


def write_samples(task: str, folder: str | os.PathLike[str], **options: Any) -> Path:
    """Write the three splits as the official archive unpacks: ``folder/<archive>/data/{train,val,test}/data.mdb``.

    Returns ``folder``, from which ``load_atom3d`` reads. The options are those of ``sample_items``.

    Raises:
        ValueError: an unknown task.
        FileExistsError: the folder holds such a data set already.
    """
    from eqgat.datasets.atom3d.data import ARCHIVES
    from eqgat.datasets.atom3d.lmdb import write_lmdb

    splits = {split: sample_items(task, split, **options) for split in SPLITS}
    for split, items in splits.items():
        write_lmdb(Path(folder) / ARCHIVES[task] / "data" / split, items)
    return Path(folder)


def main(argv: list[str] | None = None) -> int:
    """``python -m eqgat samples TASK FOLDER``; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m eqgat samples",
        description=(
            "Write small data in the form of the official ATOM3D archives, made from the structures that come with the "
            "package. They are not the ATOM3D data: no score on them can be set beside a published one."
        ),
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("folder", type=Path, help="where to write")
    options = parser.parse_args(argv)
    try:
        write_samples(options.task, options.folder)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"Wrote the {options.task.upper()} samples to {options.folder}\n"
        f'Read them: load_atom3d("{options.task}", "{options.folder}", split="train")'
    )
    return 0
