"""Operations counted where they cannot be forged: recorded beside the student's code, repeated in a clean session.

What a function did in PyTorch is written down, operation by operation, and done again in a session in which no line of
the student has run. That session counts, and its values are the ones that are judged. So whatever else an answer did
(in a thread, in NumPy, with the counter switched off) is not in the values: they must follow from the arguments by the
operations that were counted.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from eqgat_course.grading.wire import Opaque, pack, tensor_from, tensor_to, unpack

__all__ = ["MOST_FOREIGN", "Trace", "repeat"]

MOST_FOREIGN = 40  # numbers that may come from elsewhere: small tables of signs and indices, and factors


class Trace(TorchDispatchMode):
    """Writes down the operations of a block, at the level of the dispatcher."""

    def __init__(self, inputs: list[Tensor]) -> None:
        super().__init__()
        self.steps: list[Any] = []
        self.constants: list[Any] = []
        self._kept: list[Tensor] = []  # so that no address is used twice
        self._numbers: dict[Any, int] = {}
        for tensor in inputs:
            self._new(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = pack([list(args), kwargs or {}], _no_name, self._number)[0]
        result = func(*args, **(kwargs or {}))
        self.steps.append([func.name(), given, len(self._kept)])
        pack(result, _no_name, self._new)
        return result

    def written(self, value: Any) -> dict[str, Any]:
        """Plain data from which `repeat` makes ``value`` again."""
        result = pack(value, _no_name, self._number)[0]
        return {"steps": self.steps, "constants": self.constants, "result": result}

    def _new(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        self._numbers[_place_in_memory(tensor)] = len(self._kept) - 1
        return len(self._kept) - 1

    def _number(self, tensor: Tensor) -> int:
        known = self._numbers.get(_place_in_memory(tensor))
        if known is not None:
            return known
        number = self._new(tensor)
        self.constants.append([number, tensor_to(tensor)])
        return number


def repeat(trace: dict[str, Any], inputs: list[Tensor]) -> Any:
    """Do the operations of a trace again, with these inputs; the value.

    Raises:
        ValueError: the values came from elsewhere, or what was sent is no trace.
    """
    tensors = dict(enumerate(inputs)) | {int(number): tensor_from(written) for number, written in trace["constants"]}
    foreign = sum(tensor.numel() for number, tensor in tensors.items() if number >= len(inputs))
    factors: set[float] = set()
    for name, given, first in trace["steps"]:
        library, _, operation = str(name).partition("::")
        operation, _, overload = operation.partition(".")
        if library != "aten":
            raise ValueError(f"{name} is not one of PyTorch's operations")
        args, kwargs = unpack(given, tensors, Opaque)
        factors |= {item for item in args if isinstance(item, float)}
        if foreign + len(factors) > MOST_FOREIGN:
            break
        result = getattr(getattr(torch.ops.aten, operation), overload or "default")(*args, **kwargs)
        for place, tensor in enumerate(pack(result, _no_name)[1]):
            tensors[int(first) + place] = tensor
    if foreign + len(factors) > MOST_FOREIGN:
        raise ValueError(
            "the values do not follow from the arguments by PyTorch's operations, which this exercise counts. Compute "
            "with tensors only: no NumPy, no lists of numbers, no thread"
        )
    return unpack(trace["result"], tensors, Opaque)


def _place_in_memory(tensor: Tensor) -> Any:
    """What tells two tensors apart: autograd may hand on another object for the same memory."""
    if tensor.layout != torch.strided:
        return id(tensor)
    place = (
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
        tensor.is_conj(),
        tensor.is_neg(),
    )
    return tensor.untyped_storage()._cdata, *place


def _no_name(function: Any) -> str:
    return "a function"
