"""Learning by doing: the registry of the paper's equations, and exercises whose checks give hints."""

from eqgat.coursework.equations import EQUATIONS, Equation
from eqgat.coursework.exercises import EXERCISES, CheckFailed, Exercise, check

__all__ = ["EQUATIONS", "EXERCISES", "CheckFailed", "Equation", "Exercise", "check"]
