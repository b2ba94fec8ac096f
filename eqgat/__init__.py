"""EQGAT: equivariant graph attention on biomolecular structures, to read, run and trust.

The core is four files that can be read in one evening: ``graph``, ``radial``, ``layers``, ``model``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqgat.graph import radius_graph
    from eqgat.model import EQGAT, EQGATConfig

__version__ = "0.1.0"
__all__ = ["EQGAT", "EQGATConfig", "__version__", "radius_graph"]
_HOME = {"EQGAT": "model", "EQGATConfig": "model", "radius_graph": "graph"}


def __getattr__(name: str) -> Any:
    """The model is imported when it is first asked for: it brings torch, for which no command line should wait."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
