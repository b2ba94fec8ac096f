"""Learning by doing: the registry of the paper's equations, and exercises whose checks give hints."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqgat_course.equations import EQUATIONS, Equation
    from eqgat_course.exercises import EXERCISES, CheckFailed, Exercise, check

__all__ = ["EQUATIONS", "EXERCISES", "CheckFailed", "Equation", "Exercise", "check"]


def __getattr__(name: str) -> Any:
    """Import a part when it is first asked for: the list of commands is here too, and must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "equations" if name in ("EQUATIONS", "Equation") else "exercises"
    return getattr(import_module(f"{__name__}.{home}"), name)
