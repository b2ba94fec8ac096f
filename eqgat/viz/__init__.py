"""What EQGAT attends to and which vectors it builds, made visible: one style, figures, and 3D scenes."""

from typing import TYPE_CHECKING, Any

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
    "save",
    "setup",
    "show",
    "style",
    "use_style",
]

if TYPE_CHECKING:
    from eqgat.viz.view3d import setup, show


def __getattr__(name: str) -> Any:
    if name in ("setup", "show"):  # they need py3Dmol, which figures do not
        from eqgat.viz import view3d

        return getattr(view3d, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
