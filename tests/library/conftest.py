"""A small structure file."""

from __future__ import annotations

import gzip

import pytest


@pytest.fixture
def write(tmp_path):
    def write_lines(lines, name="small.pdb"):
        path = tmp_path / name
        text = "\n".join([*lines, "END", ""]).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    return write_lines
