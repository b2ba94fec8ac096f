"""Training for all tasks: settings as data, one Lightning module, runs that resume exactly, a store of results.

Nothing here imports Lightning until a run starts.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "MODELS": "models",
    "Settings": "settings",
    "build_model": "settings",
    "make_settings": "settings",
    "read_history": "results",
    "read_predictions": "results",
    "read_results": "results",
    "evaluate": "evaluation",
    "load_trained": "evaluation",
    "own_settings": "own",
    "predict": "evaluation",
    "train": "run",
    "seeded": "variants",
}
__all__ = [
    "MODELS",
    "Settings",
    "build_model",
    "evaluate",
    "load_trained",
    "make_settings",
    "own_settings",
    "predict",
    "read_history",
    "read_predictions",
    "read_results",
    "seeded",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a part when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
