"""One thread for each process of a test run, and kernels of tested notebooks that talk over sockets in the file system.

Small tensors gain nothing from more threads, and where several processes share the cores, threads that wait for each
other make a run several times slower. Over TCP, two kernels that start at once may be given the same ports, and then
one of them never answers.
"""

from __future__ import annotations

import os
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

if sys.platform != "win32":
    _folder = tempfile.TemporaryDirectory()
    _number = count()

    def _kernel_manager(**options: Any) -> KernelManager:
        return KernelManager(transport="ipc", ip=str(Path(_folder.name) / f"kernel-{next(_number)}"), **options)

    nbval.kernel.KernelManager = _kernel_manager
