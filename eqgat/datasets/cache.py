"""Where data that were made, and not downloaded, are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Where generated data are kept: ``EQGAT_CACHE``, else ``eqgat`` in the user's cache folder.

    >>> os.environ["EQGAT_CACHE"] = "here"
    >>> cache_folder()
    PosixPath('here')
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("EQGAT_CACHE") or Path(base) / "eqgat")
