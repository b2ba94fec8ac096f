"""How fast graphs of the ATOM3D tasks come: from the LMDB folders, and from prepared data.

    python benchmarks/loading.py DIR            # DIR holds the unpacked archives, or `eqgat toy` folders
    python benchmarks/loading.py DIR --write    # and put the rows into figures/results/loading.csv

Graphs are asked for one by one in one process, in the stored order and in a random order, as training does. Each
number is the better of two, per second of processor time, so that what other programs take does not count. Loader
processes (``--workers`` of training) multiply all of them.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from eqgat.datasets.atom3d import Atom3DData, load_atom3d, write_prepared
from eqgat.datasets.atom3d.spec import ATOM3D
from eqgat.training.results import package_versions, results_folder


def rate(data: Atom3DData, order: np.ndarray, seconds: float, repeats: int = 2) -> float:
    """Graphs a second."""
    best = 0.0
    for _ in range(repeats):
        count, start = 0, time.process_time()
        while (elapsed := time.process_time() - start) < seconds:
            sample = data[int(order[count % len(order)])]
            count += 1 if not isinstance(sample, tuple) else len(sample)
        best = max(best, count / elapsed)
    return best


def measure(task: str, root: Path, seconds: float) -> dict[str, object]:
    """One task, on its test split."""
    data = load_atom3d(task, root, "test", prepared=False, progress=False)
    stored, mixed = np.arange(len(data)), np.random.default_rng(0).permutation(len(data))
    with tempfile.TemporaryDirectory() as folder:
        prepared = write_prepared(data, Path(folder) / "test")
        size = sum(file.stat().st_size for file in (Path(folder) / "test").iterdir())
        row = {
            "task": task,
            "samples": len(data),
            "lmdb_in_order": rate(data, stored, seconds),
            "lmdb_random": rate(data, mixed, seconds),
            "prepared_in_order": rate(prepared, stored, seconds),
            "prepared_random": rate(prepared, mixed, seconds),
        }
    return {
        **row,
        "speed_up_random": row["prepared_random"] / row["lmdb_random"],
        "prepared_mib": size / 2**20,
        "device": f"CPU ({platform.machine()}, 1 process)",
        "versions": package_versions(),
    }


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with the data of the tasks")
    parser.add_argument("--tasks", nargs="+", choices=list(ATOM3D), default=list(ATOM3D))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each number")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = pd.DataFrame([measure(task, options.folder, options.seconds) for task in options.tasks]).round(1)
    print(rows.drop(columns="versions").to_string(index=False))
    if options.write:
        results_folder().mkdir(parents=True, exist_ok=True)
        rows.to_csv(results_folder() / "loading.csv", index=False)


if __name__ == "__main__":
    main()
