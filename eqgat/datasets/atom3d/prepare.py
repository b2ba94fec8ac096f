"""``eqgat prepare TASK DIR``: read the official data once, write the form that loads fast."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from eqgat.datasets.atom3d.data import ItemData, make_options
from eqgat.datasets.atom3d.lmdb import BrokenItem
from eqgat.datasets.atom3d.load import load_atom3d
from eqgat.datasets.atom3d.prepared import PreparedData, write_prepared
from eqgat.datasets.task import SPLITS
from eqgat.errors import UserError
from eqgat.files import check_space, home, is_writable

__all__ = ["Estimate", "estimate", "prepare"]


class Estimate(NamedTuple):
    """What preparing a split would take: its number of items, seconds, and bytes on the disk."""

    items: int
    seconds: float
    size: int


def estimate(data: ItemData, sample: int = 20) -> Estimate:
    """From a sample of the items, spread evenly.

    Raises:
        UserError: none of them can be read.

    >>> from eqgat.datasets.atom3d.load import toy_items
    >>> estimate(ItemData("lba", toy_items("lba", "train"))).items
    1
    """
    count = len(data.items)
    chosen = sorted({k * count // sample for k in range(sample)}) if count else []
    size, read, problem, start = 0, 0, "it has no items", time.monotonic()
    for index in chosen:
        try:
            parsed = data.parse(index)
        except BrokenItem as error:
            problem = str(error)
            continue
        read += 1
        size += sum(m.atomic_number.nbytes + m.pos.nbytes + m.bonds.nbytes + m.order.nbytes for m in parsed.molecules)
        size += sum(
            80 + sum(0 if view.rows is None else 4 * len(view.rows) for view in sample.views)
            for sample in parsed.samples
        )
    if not read:
        raise UserError(f"{data.split} of {data.task} cannot be read: {problem}")
    return Estimate(count, (time.monotonic() - start) * count / len(chosen), size * count // read)


def prepare(
    task: str,
    root: str | Path,
    out: str | Path | None = None,
    *,
    only_tell: bool = False,
    progress: bool = True,
    **options: Any,
) -> dict[str, PreparedData | Estimate]:
    """Prepare all splits of a task that are in ``root``; prints what is done and what was left out.

    Args:
        task: "lba", "psr", "rsr", "res" or "ppi".
        root: the unpacked archive.
        out: where to write a folder for each split; default: ``root/prepared/TASK``, where ``load_atom3d(task, root)``
            finds it.
        only_tell: print what it would take and write nothing.
        progress: bars on stderr.
        **options: of the task; they are fixed from then on.

    Returns:
        For each split the prepared data, or what they would take.

    Raises:
        FileNotFoundError: no data in ``root``.
        UserError: unknown task or option, unreadable data, or too little space.

    >>> import tempfile
    >>> from eqgat.datasets.atom3d.lmdb import write_lmdb
    >>> from eqgat.datasets.atom3d.load import toy_items
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_lmdb(f"{folder}/train", toy_items("lba", "train"))
    ...     _ = prepare("lba", folder)
    lba: 1 items in train; about 0 MiB in ... and 0 min
    train: 1 samples of 1 items; left out: 0 broken items and 0 samples (listed in ...)
    """
    root = home(root)
    out = root / "prepared" / task if out is None else home(out)
    make_options(task, **options)
    if not only_tell:
        is_writable(out, "--out")
    sources: dict[str, ItemData] = {}
    missing = None
    for split in SPLITS:
        try:
            data = load_atom3d(task, root, split, progress=progress, prepared=False, **options)
        except FileNotFoundError as error:
            missing = error
            continue
        sources[split] = data  # type: ignore[assignment]
    if not sources:
        raise missing or FileNotFoundError(f"no data of {task} in {root}")
    told = {split: estimate(data) for split, data in sources.items()}
    size, seconds = sum(e.size for e in told.values()), sum(e.seconds for e in told.values())
    print(
        f"{task}: {', '.join(f'{e.items} items in {split}' for split, e in told.items())}; about "
        f"{size / 2**20:.0f} MiB in {out} and {seconds / 60:.0f} min"
    )
    if only_tell:
        return dict(told)
    check_space(out / "train", 1.2 * size)
    done: dict[str, PreparedData | Estimate] = {}
    for split, data in sources.items():
        done[split] = prepared = write_prepared(data, out / split, 1.2 * told[split].size)
        broken = int((prepared.skipped["name"] == "").sum())
        print(
            f"{split}: {len(prepared)} samples of {prepared.num_items} items; left out: {broken} broken items and "
            f"{len(prepared.skipped) - broken} samples (listed in {out / split / 'split.json'})"
        )
    return done
