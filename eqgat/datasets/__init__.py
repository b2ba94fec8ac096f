"""Data sets: real structures that come with the package, and whatever else there is to train on."""

from importlib import import_module
from typing import Any

from eqgat.datasets.embedded import (
    RUNNING_EXAMPLE,
    AtomAddress,
    embedded_names,
    embedded_path,
    embedded_structure,
    embedded_table,
)
from eqgat.datasets.triangle import TriangleData, make_triangles

_LATER = {"load_atom3d": "atom3d", "sample_items": "samples", "write_samples": "samples"}
__all__ = [
    "RUNNING_EXAMPLE",
    "AtomAddress",
    "TriangleData",
    "embedded_names",
    "embedded_path",
    "embedded_structure",
    "embedded_table",
    "load_atom3d",
    "make_triangles",
    "sample_items",
    "write_samples",
]


def __getattr__(name: str) -> Any:
    """What needs more than the embedded structures is imported when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
