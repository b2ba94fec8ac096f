"""EQGAT: equivariant graph attention on biomolecular structures, to read, run and trust.

The core is four files that can be read in one evening: ``graph``, ``radial``, ``layers``, ``model``.
"""

from typing import TYPE_CHECKING

from eqgat.registry import lazily

if TYPE_CHECKING:
    from eqgat.graph import radius_graph
    from eqgat.model import EQGAT, EQGATConfig

__version__ = "0.1.0"
__all__ = ["EQGAT", "EQGATConfig", "__version__", "radius_graph"]
# The model brings torch, for which no command line should wait.
_, __getattr__ = lazily(__name__, {"model": "EQGAT EQGATConfig", "graph": "radius_graph"})
