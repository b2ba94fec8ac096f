"""What training on a CPU does with freed memory: keep it for the next step.

glibc gives blocks of 32 MiB and more back to the system as soon as they are freed. The next layer asks for them anew,
and the system clears each page first. On a large batch this took a third of a training step of SchNet, a tenth of
PaiNN's and nothing of EQGAT's, which needs little memory (``benchmarks/bench.py --parts allocator``).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["freed_memory_kept"]

# Numbers of malloc.h. What holds afterwards are the limits that glibc itself comes to in a process of large arrays.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 64 << 20}
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 128 << 10}
_within = False  # a block


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within the block, the process keeps the memory that it frees; at its end, it gives back what is free.

    A block within another one changes nothing. Nothing happens without glibc, and where the environment says how its
    malloc shall work (``MALLOC_..._``, ``GLIBC_TUNABLES``, ``LD_PRELOAD``).

    >>> with freed_memory_kept():
    ...     values = [0.0] * 10
    """
    global _within
    said = any(name.startswith("MALLOC_") or name in ("GLIBC_TUNABLES", "LD_PRELOAD") for name in os.environ)
    libc = ctypes.CDLL(None) if sys.platform == "linux" and not said and not _within else None
    if libc is None or not hasattr(libc, "gnu_get_libc_version"):
        yield
        return
    for option, value in _KEEP.items():
        libc.mallopt(option, value)
    _within = True
    try:
        yield
    finally:
        _within = False
        for option, value in _USUAL.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
