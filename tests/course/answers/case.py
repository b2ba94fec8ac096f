"""The answers that tests try on one exercise, and ways to write one answer in several forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """``right``: answers of different form, the first as in the notebook. ``wrong``: answer, part of its hint."""

    right: list[Any]
    wrong: list[tuple[Any, str]]


def choice(letter: str) -> list[Any]:
    """A letter in the forms in which people write it."""
    return [letter, f"({letter})", f"{letter.upper()}", f"{letter})", [letter]]


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same computation with fewer digits."""

    def answer(*args: Any) -> Any:
        return function(*[a.float() if isinstance(a, Tensor) and a.is_floating_point() else a for a in args])

    return answer


def in_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays as one that takes tensors; it returns arrays."""

    def answer(*args: Any) -> Any:
        return function(*[a.numpy() if isinstance(a, Tensor) else a for a in args])

    return answer


def constant(value: Any) -> Callable[..., Any]:
    """Always the same, whatever is asked: what somebody hands in who has seen one expected value."""

    def answer(*args: Any) -> Any:
        return value

    return answer


def detached(function: Callable[..., Any]) -> Callable[..., Any]:
    """The right values, through which no gradient flows."""

    def answer(*args: Any) -> Any:
        result = function(*args)
        return tuple(part.detach() for part in result) if isinstance(result, tuple) else result.detach()

    return answer


def only_for(size: int, function: Callable[..., Any], argument: int = 0) -> Callable[..., Any]:
    """Right where an argument has ``size`` rows, zero elsewhere: a special case that knows the check."""

    def answer(*args: Any) -> Any:
        result = function(*args)
        return result if len(args[argument]) == size else 0 * result

    return answer


def array(values: Any) -> np.ndarray:
    """Nested lists as an array of float64."""
    return np.array(values, dtype=np.float64)


def tensor(values: Any) -> Tensor:
    """Nested lists as a tensor of float64."""
    return torch.tensor(values, dtype=torch.float64)
