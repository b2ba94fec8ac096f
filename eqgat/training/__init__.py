"""Training for all tasks: settings as data, one Lightning module, runs that resume exactly, a store of results.

Nothing here imports Lightning until a run starts.
"""

from eqgat.registry import lazily

_HOME = {
    "models": "MODELS",
    "settings": "Settings build_model make_settings seeded",
    "results": "read_history read_predictions read_results",
    "evaluation": "evaluate load_trained predict",
    "own": "own_settings",
    "run": "train",
}
__all__, __getattr__ = lazily(__name__, _HOME)
