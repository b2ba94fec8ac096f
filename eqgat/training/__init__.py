"""Training for all tasks: settings as data, one Lightning module, runs that resume exactly, a store of results.

Nothing here imports Lightning until a run starts.
"""

from eqgat.registry import lazily

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
__all__ = [*_HOME]
__getattr__ = lazily(__name__, _HOME)
