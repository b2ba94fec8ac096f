"""Learning by doing: the registry of the paper's equations, and exercises whose checks give hints."""

from eqgat_course.equations import EQUATIONS, Equation
from eqgat_course.exercises import EXERCISES, CheckFailed, Exercise, check

__all__ = ["EQUATIONS", "EXERCISES", "CheckFailed", "Equation", "Exercise", "check"]
