"""The five ATOM3D tasks of the paper, read from the official LMDB folders or from prepared ones.

``load_atom3d("lba", folder, split="train")`` gives a data set of graphs. What the paper leaves open about the graphs
(hydrogens, waters, pairs ...) is an option of the task, with what the authors' released code does as the default; the
options' docstrings say where this package does otherwise. In all tasks: edges are all pairs closer than the cutoff
(the released code keeps the first 32 neighbours it finds), made from single-precision positions; deuterium counts as
hydrogen; a symbol that is no element shares index 8 with the rarer elements; alternate locations all stay, as in the
released code. Broken items are reported and counted, never silently dropped.
"""

from eqgat.registry import lazily

_HOME = {
    "BrokenItem": "lmdb",
    "read_lmdb": "lmdb",
    "write_lmdb": "lmdb",
    "Atom3DData": "data",
    "ItemData": "data",
    "load_atom3d": "load",
    "PreparedData": "prepared",
    "write_prepared": "prepared",
    "LBAOptions": "lba",
    "PSROptions": "psr",
    "RSROptions": "rsr",
    "RESOptions": "res",
    "RESIDUES": "res",
    "PPIOptions": "ppi",
}
__all__ = [*_HOME]
__getattr__ = lazily(__name__, _HOME)
