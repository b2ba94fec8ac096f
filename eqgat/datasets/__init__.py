"""Data sets: real structures that come with the package, and whatever else there is to train on."""

from importlib import import_module
from typing import Any

_HOME = {
    **dict.fromkeys(
        (
            *("RUNNING_EXAMPLE", "AtomAddress", "embedded_names"),
            *("embedded_path", "embedded_structure", "embedded_table"),
        ),
        "embedded",
    ),
    **dict.fromkeys(("TriangleData", "make_triangles"), "triangle"),
    "load_atom3d": "atom3d",
}
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
]


def __getattr__(name: str) -> Any:
    """Import a part when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
