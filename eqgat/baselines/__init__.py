"""The models that EQGAT is compared with in Tables 1 and 3, one file each, all with EQGAT's call ``model(data)``."""

from eqgat.registry import lazily

_HOME = {"SchNet": "schnet", "PaiNN": "painn", "GVPGNN": "gvp", "SEGNN": "segnn", "CNN3D": "cnn3d", "GCN": "gcn"}
__all__ = [*_HOME]
__getattr__ = lazily(__name__, _HOME)  # SEGNN brings e3nn, which takes seconds to import
