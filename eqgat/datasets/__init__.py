"""Data sets: real structures that come with the package, and whatever else there is to train on."""

from eqgat.registry import lazily

_HOME = {
    "embedded_names": "embedded",
    "embedded_path": "embedded",
    "embedded_structure": "embedded",
    "embedded_table": "embedded",
    "TriangleData": "triangle",
    "make_triangles": "triangle",
    "load_atom3d": "atom3d",
}
__all__ = [*_HOME]
__getattr__ = lazily(__name__, _HOME)
