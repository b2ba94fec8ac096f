"""What every test of the course starts from."""

from __future__ import annotations

import pytest

from eqgat_course import exercises


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank answer is an error, whatever a notebook's start cell has said in this process before."""
    monkeypatch.setattr(exercises, "_patient", False)
