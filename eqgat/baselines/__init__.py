"""The models that EQGAT is compared with in Tables 1 and 3, one file each, all with EQGAT's call ``model(data)``."""

from importlib import import_module
from typing import Any

__all__ = ["CNN3D", "GCN", "GVPGNN", "SEGNN", "PaiNN", "SchNet"]

_HOME = {"SchNet": "schnet", "PaiNN": "painn", "GVPGNN": "gvp", "SEGNN": "segnn", "CNN3D": "cnn3d", "GCN": "gcn"}


def __getattr__(name: str) -> Any:
    """Import a model when it is first asked for: SEGNN brings e3nn, which takes seconds to import."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
