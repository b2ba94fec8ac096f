"""The models that EQGAT is compared with in Tables 1 and 3, one file each, all with EQGAT's call ``model(data)``."""

from eqgat.registry import lazily

# SEGNN brings e3nn, which takes seconds to import.
_HOME = {"schnet": "SchNet", "painn": "PaiNN", "gvp": "GVPGNN", "segnn": "SEGNN", "cnn3d": "CNN3D", "gcn": "GCN"}
__all__, __getattr__ = lazily(__name__, _HOME)
