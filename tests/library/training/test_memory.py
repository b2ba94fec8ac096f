"""What the process does with memory that it frees: it is kept within the block, and given back behind it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is meant"),
]

# Resident memory in MiB after a block of 256 MiB was filled and freed: before, within and behind the block.
PROGRAM = """
import json, psutil, torch
from eqgat.training.memory import freed_memory_kept

def left():
    torch.ones(64 << 20)
    return psutil.Process().memory_info().rss >> 20

start = psutil.Process().memory_info().rss >> 20
before = left()
with freed_memory_kept():
    with freed_memory_kept():
        pass  # whose end is not that of the outer one
    within = left()
behind = psutil.Process().memory_info().rss >> 20
again = left()
print(json.dumps([value - start for value in (before, within, behind, again)]))
"""


def growth(**environment: str) -> list[int]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_PRE"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=usual | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_freed_memory_is_kept_within_the_block_and_given_back_behind_it() -> None:
    before, within, behind, again = growth()
    assert within > 250
    assert max(before, behind, again) < 60


def test_who_set_malloc_by_the_environment_is_left_alone() -> None:
    assert max(growth(MALLOC_ARENA_MAX="4")) < 60
