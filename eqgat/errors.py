"""The one exception type for what a user can mend."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(ValueError):
    """Bad input: the message says what is wrong and what to do. The command line shows it without a traceback.

    >>> raise UserError("cutoff must be a positive length in Å; got -1.0")
    Traceback (most recent call last):
    eqgat.errors.UserError: cutoff must be a positive length in Å; got -1.0
    """
