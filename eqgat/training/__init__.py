"""Training for all tasks: settings as data, one Lightning module, runs that resume exactly, a store of results.

Nothing here imports Lightning until a run starts.
"""

from eqgat.training.results import read_history, read_results
from eqgat.training.settings import MODELS, Settings, build_model, make_settings

__all__ = ["MODELS", "Settings", "build_model", "make_settings", "read_history", "read_results"]
