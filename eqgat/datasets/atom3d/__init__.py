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
    "lmdb": "BrokenItem read_lmdb write_lmdb",
    "data": "Atom3DData ItemData",
    "load": "load_atom3d",
    "prepared": "PreparedData write_prepared",
    "lba": "LBAOptions",
    "psr": "PSROptions",
    "rsr": "RSROptions",
    "res": "RESOptions RESIDUES",
    "ppi": "PPIOptions",
}
__all__, __getattr__ = lazily(__name__, _HOME)
