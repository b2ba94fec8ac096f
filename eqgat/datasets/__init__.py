"""Data sets: real structures that come with the package, and whatever else there is to train on."""

from eqgat.registry import lazily

_HOME = {
    "embedded": "embedded_names embedded_path embedded_structure embedded_table",
    "triangle": "TriangleData make_triangles",
    "atom3d": "load_atom3d",
}
__all__, __getattr__ = lazily(__name__, _HOME)
