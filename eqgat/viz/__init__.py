"""What EQGAT attends to and which vectors it builds, made visible: one style, figures, and 3D scenes."""

from eqgat.viz.parts import Camera, Edges, Scalars, Vectors
from eqgat.viz.scene import Scene
from eqgat.viz.style import (
    COLOURS,
    DIVERGING,
    ELEMENT_COLOURS,
    SEQUENTIAL,
    TERM_COLOURS,
    describe,
    element_colour,
    save,
    style,
    use_style,
)
from eqgat.viz.view3d import py3dmol_view, setup, show

__all__ = [
    "COLOURS",
    "DIVERGING",
    "ELEMENT_COLOURS",
    "SEQUENTIAL",
    "TERM_COLOURS",
    "Camera",
    "Edges",
    "Scalars",
    "Scene",
    "Vectors",
    "describe",
    "element_colour",
    "py3dmol_view",
    "save",
    "setup",
    "show",
    "style",
    "use_style",
]
