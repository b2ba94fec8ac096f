"""The kernels of tested notebooks talk over sockets in the file system.

Over TCP, two kernels that start at once may be given the same ports, and then one of them never answers.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager

if sys.platform != "win32":
    _folder = tempfile.TemporaryDirectory()
    _number = count()

    def _kernel_manager(**options: Any) -> KernelManager:
        return KernelManager(transport="ipc", ip=str(Path(_folder.name) / f"kernel-{next(_number)}"), **options)

    nbval.kernel.KernelManager = _kernel_manager
