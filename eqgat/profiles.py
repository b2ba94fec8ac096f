"""How much is computed: the profile, read from the environment in this one place."""

from __future__ import annotations

import os
from typing import Literal, cast

from eqgat.errors import UserError

__all__ = ["Profile", "profile"]

Profile = Literal["quick", "full"]


def profile() -> Profile:
    """``EQGAT_PROFILE``: "quick" (default; minutes on a CPU) or "full" (the paper's settings; meant for a GPU).

    Raises:
        UserError: any other value.

    >>> os.environ["EQGAT_PROFILE"] = "full"
    >>> profile()
    'full'
    """
    value = os.environ.get("EQGAT_PROFILE", "quick")
    if value not in ("quick", "full"):
        raise UserError(f"the environment variable EQGAT_PROFILE must be 'quick' or 'full', or not set; got {value!r}")
    return cast(Profile, value)
