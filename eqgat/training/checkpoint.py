"""Checkpoints of a run: one file of plain tensors and text, written whole or not at all, never unpickled."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from eqgat.errors import UserError
from eqgat.files import read_checked, write_checked

__all__ = ["read_checkpoint", "write_checkpoint"]

_FORMAT = 1  # raised when a change makes older files unreadable
_FIELDS = {
    *("format", "settings", "data", "model", "optimizer", "scheduler"),
    *("epoch", "batch", "loss", "history", "best", "seconds"),
}


def write_checkpoint(file: Path, content: dict[str, Any]) -> None:
    """Write ``content``; a process killed at any moment leaves the old file or the new one, never half a file.

    Raises:
        UserError: the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checkpoint(Path(folder) / "last.ckpt", {"epoch": 3})
    ...     sorted(file.name for file in Path(folder).iterdir())
    ['last.ckpt', 'last.ckpt.sha256']
    """
    stream = io.BytesIO()
    torch.save({"format": _FORMAT, **content}, stream)
    write_checked(file, stream.getvalue())


def read_checkpoint(file: Path, settings: str, data: str) -> dict[str, Any]:
    """What ``write_checkpoint`` wrote, on the CPU; only tensors, numbers and text are read.

    Args:
        file: the checkpoint.
        settings: of the run that wants to go on, as ``Settings.to_json`` gives them.
        data: digest of its data.

    Raises:
        UserError: a damaged file, one of another version, or one of other settings or data.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "last.ckpt"
    ...     write_checkpoint(file, dict.fromkeys(_FIELDS - {"format"}, "as before"))
    ...     read_checkpoint(file, settings="as before", data="as before")["epoch"]
    'as before'
    """
    advice = "start the run anew with --restart"
    try:
        content = torch.load(io.BytesIO(read_checked(file)), map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch has many ways to say that a file is not its own
        why = error if isinstance(error, UserError) else type(error).__name__  # its own advice is to trust the file
        raise UserError(f"{file} is not a readable checkpoint ({why}); {advice}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT or set(content) != _FIELDS:
        raise UserError(f"{file} was written by another version of this package; {advice}")
    for name, wanted in (("settings", settings), ("data", data)):
        if content[name] != wanted:
            raise UserError(
                f"{file} belongs to a run with other {name} ({content[name]} instead of {wanted}); {advice}"
            )
    return content
