"""What a learner may hand in, read in one way for all exercises: letters, words, numbers, tensors.

``"b"``, ``"(B)"`` and ``"b)"`` are one choice; ``"A, C"``, ``["a", "c"]`` and ``{"C", "A"}`` the same letters; ``612``,
``"6, 1, 2"`` and ``[6, 1, 2]`` the same digits; ``6464``, ``"6,464"``, ``Fraction(6464)`` and ``torch.tensor([6464])``
one number.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["letters", "tensor", "word"]


def word(answer: Any) -> str:
    """The one word or letter of an answer, in small letters and without brackets and dots; "" if there is none.

    >>> word("(B)"), word(" Neither."), word(["c"]), word(3.5)
    ('b', 'neither', 'c', '')
    """
    if isinstance(answer, list | tuple | set | frozenset) and len(answer) == 1:
        (answer,) = answer
    return answer.strip(" \t\n()[]{}.:;,'\"").casefold() if isinstance(answer, str) else ""


def letters(answer: Any, allowed: Collection[str]) -> list[str] | None:
    """The letters, or digits, of an answer in their order, each among ``allowed``; None if something else is in it.

    >>> letters("(a), (c) and D", "abcd"), letters({"B"}, "abcd"), letters("ax", "abcd"), letters("", "abcd")
    (['a', 'c', 'd'], ['b'], None, [])
    >>> letters(21, "123"), letters([2, 1], "123"), letters("2 > 1", "123")
    (['2', '1'], ['2', '1'], ['2', '1'])
    """
    parts = [answer] if isinstance(answer, str | int) else answer
    if not isinstance(parts, list | tuple | set | frozenset) or not all(isinstance(part, str | int) for part in parts):
        return None
    words = re.sub(r"\band\b|[\s()\[\]{}.:;,'\"&+>→-]+", " ", " ".join(map(str, parts)).casefold()).split()
    found = list("".join(words))
    return found if set(found) <= set(allowed) else None


def tensor(value: Any) -> Tensor:
    """A number, or a nest of lists, tensors and arrays of numbers, as one tensor on the CPU, without gradient.

    Python's numbers become float64; tensors and arrays keep their dtype. Strings are read: "1/3", "6,464", "22.5 Å",
    "[-0.5, -0.5, 0]".

    Raises:
        TypeError, ValueError: these are not numbers, or lists of unequal lengths.

    >>> tensor("6,464"), tensor(["1/2", torch.tensor(0.25)])
    (tensor(6464., dtype=torch.float64), tensor([0.5000, 0.2500], dtype=torch.float64))
    """
    if isinstance(value, Tensor):
        if value.is_complex():
            raise TypeError("complex numbers")
        return value.detach().cpu().to_dense()
    if isinstance(value, str):
        return tensor(_read(value))
    if isinstance(value, bool):
        return torch.tensor(value)
    if isinstance(value, int | float | Fraction | Decimal):
        return torch.tensor(float(value), dtype=torch.float64)
    if isinstance(value, list | tuple) and value:
        parts = [tensor(part) for part in value]
        if len({part.shape for part in parts}) > 1:
            raise ValueError("lists of unequal lengths")
        dtype = parts[0].dtype
        for part in parts[1:]:
            dtype = torch.promote_types(dtype, part.dtype)
        return torch.stack([part.to(dtype) for part in parts])
    array = np.array(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"no numbers: {type(value).__name__}")
    return torch.from_numpy(array)


def _read(text: str) -> Any:
    """The number, or list of numbers, that a text says."""
    text = text.strip().replace("−", "-").removesuffix("Å").strip()
    if re.fullmatch(r"[+-]?\d{1,3}([,_ ]\d{3})+(\.\d*)?", text):  # thousands, set apart
        return Fraction(re.sub("[,_ ]", "", text))
    if text[:1] in "([" and text[-1:] in ")]":
        return [_read(part) for part in text[1:-1].split(",") if part.strip()]
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise ValueError(text) from None
