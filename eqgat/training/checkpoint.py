"""Checkpoints of a run: one file of plain tensors and text, written whole or not at all, never unpickled."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["read_checkpoint", "write_checkpoint"]

_FORMAT = 1  # raised when a change makes older files unreadable
_FIELDS = {
    "format",
    "settings",
    "data",
    "model",
    "optimizer",
    "scheduler",
    "epoch",
    "batch",
    "loss",
    "history",
    "best",
    "seconds",
}


def write_checkpoint(file: Path, content: dict[str, Any]) -> None:
    """Write ``content``; a process killed at any moment leaves the old file or the new one, never half a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        torch.save({"format": _FORMAT, **content}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def read_checkpoint(file: Path, settings: str, data: str) -> dict[str, Any]:
    """What ``write_checkpoint`` wrote, on the CPU; only tensors, numbers and text are read.

    Args:
        file: the checkpoint.
        settings: of the run that wants to go on, as ``Settings.to_json`` gives them.
        data: digest of its data.

    Raises:
        ValueError: a damaged file, one of another version, or one of other settings or data.
    """
    advice = "start the run anew with --restart"
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{file} is not a readable checkpoint ({type(error).__name__}); {advice}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT or set(content) != _FIELDS:
        raise ValueError(f"{file} was written by another version of this package; {advice}")
    for name, wanted in (("settings", settings), ("data", data)):
        if content[name] != wanted:
            raise ValueError(
                f"{file} belongs to a run with other {name} ({content[name]} instead of {wanted}); {advice}"
            )
    return content
