"""What a computation costs, from the operations that PyTorch's dispatcher sees, however the code is written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Cost", "counting"]

# Operations that multiply -> the places of their two factors. Names without the "_" of the in-place form.
_FACTORS = {
    **dict.fromkeys(["mul", "div", "mm", "bmm", "mv", "dot", "vdot", "linalg_cross", "cross"], (0, 1)),
    **dict.fromkeys(["addmm", "baddbmm", "addbmm", "addmv", "addr", "addcmul", "addcdiv"], (1, 2)),
}
# Operations that add up, unknown to PyTorch's counter -> the place of what is added, and how much work a number is.
_SUMS = {"mv": (0, 2), "dot": (0, 2), "vdot": (0, 2), "addmv": (1, 2), "addbmm": (1, 2), "sum": (0, 1), "mean": (0, 1)}
_EXITS = {"numpy", "__array__", "tolist", "__dlpack__"}


class Cost(NamedTuple):
    """What a call took. Numbers only, so that it can be sent from process to process.

    Attributes:
        flops: floating-point operations: 2 for each product in a matrix product, 1 for each number that goes into a sum,
            1 for each that any other operation writes.
        products: multiplications of two factors that both depend on the same argument of floating-point numbers: 0 for a
            linear function, and 6 for a cross product of two vectors of one argument.
        operations: how many operations ran; it grows with a Python loop, not with the sizes of tensors.
        crossed: numbers that came out of PyTorch's own cross product.
        outside: floating-point numbers that left PyTorch (``tolist``, ``numpy``, ``item``), where nothing is counted.
    """

    flops: int = 0
    products: int = 0
    operations: int = 0
    crossed: int = 0
    outside: int = 0


class _Exits(TorchFunctionMode):
    """Counts numbers that leave PyTorch all at once."""

    def __init__(self, count: Counter[str]) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _EXITS and args[0].is_floating_point():
            self.count["outside"] += args[0].numel()
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Counts operations, and follows through them on which arguments a number depends."""

    def __init__(self, count: Counter[str], origins: dict[int, frozenset[int]], alive: list[Tensor]) -> None:
        super().__init__()
        self.count, self.origins = count, origins  # origins: of all numbers of a storage
        self.alive = alive  # so that no storage is freed, and its address given to another

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, packet = kwargs or {}, func.overloadpacket
        if (
            torch.is_inference_mode_enabled() and packet not in flop_registry
        ):  # PyTorch leaves composed operations whole there
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        name = packet.__name__.rstrip("_")
        given, made = _tensors((*args, *kwargs.values())), _tensors((result,))
        before = {_storage(tensor) for tensor in given}
        written = sum(out.numel() for out in made if func._schema.is_mutable or _storage(out) not in before)
        if packet in flop_registry:
            flops = flop_registry[packet](*args, **kwargs, out_val=result)
        else:
            place, work = _SUMS.get(name, (0, 0))
            flops = work * args[place].numel() if work else written
        self.count["operations"] += 1
        self.count["flops"] += flops
        if name == "_local_scalar_dense":
            self.count["outside"] += args[0].is_floating_point()
        if name in ("linalg_cross", "cross"):
            self.count["crossed"] += written
        if name in _FACTORS:
            first, second = (self._origins(_tensors([args[place]])) for place in _FACTORS[name])
            if first & second:
                by_number = 1 if name in ("mul", "div", "addr", "addcmul", "addcdiv") else 2
                sums = packet in flop_registry or name in _SUMS
                self.count["products"] += flops // 2 if sums else by_number * written
        origins = self._origins(given)
        for out in made:
            key = _storage(out)
            self.origins[key] = self.origins.get(key, frozenset()) | origins
            self.alive.append(out)
        return result

    def _origins(self, tensors: list[Tensor]) -> frozenset[int]:
        return frozenset().union(*(self.origins.get(_storage(tensor), frozenset()) for tensor in tensors))


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among values and in lists of them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextmanager
def counting(*arguments: Any) -> Iterator[list[Cost]]:
    """A list that holds, when the block is left, the cost of what ran in it, in threads that it started as well.

    Args:
        arguments: what the computation starts from; see ``Cost.products``.

    >>> a = torch.ones(4, 3)
    >>> with counting(a) as costs:
    ...     product = a @ a.T
    >>> costs[0]
    Cost(flops=96, products=48, operations=2, crossed=0, outside=0)
    """
    count: Counter[str] = Counter()
    alive = [argument for argument in arguments if isinstance(argument, Tensor)]
    origins = {
        _storage(argument): frozenset([place])
        for place, argument in enumerate(arguments)
        if isinstance(argument, Tensor) and argument.is_floating_point()
    }
    plain_run = threading.Thread.run

    @contextmanager
    def modes() -> Iterator[None]:  # PyTorch keeps them for each thread
        with _Operations(count, origins, alive), _Exits(count):
            yield

    def run(thread: threading.Thread) -> None:
        with modes():
            plain_run(thread)

    costs: list[Cost] = []
    with patch.object(threading.Thread, "run", run), modes():
        yield costs
    costs.append(Cost(**count))
