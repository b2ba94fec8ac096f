"""A cache of their own for the tests of training, and a run that they compare with."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_runs import settings

from eqgat.training.run import Run, train


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQGAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing interrupts, with its rows in a store beside it."""
    folder = tmp_path_factory.mktemp("plain")
    return train(settings(), runs=folder / "runs", results=folder / "results")
