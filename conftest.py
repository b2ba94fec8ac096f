"""What makes a whole test run fast and dependable.

* One thread for each process: small tensors gain nothing from more, and where several processes share the cores,
  threads that wait for each other make a run several times slower.
* The longest files first, so that no worker waits for the other at the end.
* Kernels of tested notebooks talk over sockets in the file system. Over TCP, two kernels that start at once may be
  given the same ports, and then one of them never answers.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import nbval.kernel
import pytest
from jupyter_client.manager import KernelManager

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded
gc.set_threshold(50_000, 20, 100)  # the libraries' objects are many and stay: looking for garbage took a seventh

# The files that take 20 seconds and more, the longest first; `make check` leaves them out.
LONGEST = (
    "12_atom3d_res_ppi",
    "test_grading",
    "test_grading_class",
    "test_runs",
    "09_triangle_benchmark",
    "test_training",
    "test_resuming",
    "test_toy",
    "test_browser",
    "test_explorer_page",
    "test_site",
    "11_atom3d_psr_rsr",
    "08_seeing_a_protein",
    "test_symmetry",
    "test_atom3d_training",
    "test_stills",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files, within one the order stays, and mark the tests of the long ones as slow."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
    for item in items:
        if item.path.stem in LONGEST:
            item.add_marker("slow")


if sys.platform != "win32":
    _folder = tempfile.TemporaryDirectory()
    _number = count()

    def _kernel_manager(**options: Any) -> KernelManager:
        return KernelManager(transport="ipc", ip=str(Path(_folder.name) / f"kernel-{next(_number)}"), **options)

    nbval.kernel.KernelManager = _kernel_manager
