"""Plain data between the judge and a session: JSON and raw numbers, never a pickle from the student's side.

A message is eight bytes of length and JSON. Values are trees: numbers, words, None and lists are themselves as far as
JSON goes, everything else is a one-key object; tensors stand in a list of leaves beside the tree.
"""

from __future__ import annotations

import base64
import json
import os
import select
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["MOST_BYTES", "Ended", "Opaque", "pack", "receive", "send", "tensor_from", "tensor_to", "unpack"]

MOST_BYTES = 16 * 1024 * 1024
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.complex128,
    )
}


class Ended(BaseException):
    """The session is over, or must be: ``status`` is one word for the table, the message says what happened.

    Not an ``Exception``: a check that catches errors of an answer must not swallow it.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class Opaque:
    """Stands for an object of the student that is not plain data."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def pack(value: Any, name_function: Callable[[Any], str]) -> tuple[Any, list[Tensor]]:
    """A tree and its tensors. ``name_function`` gives the name under which a function can be called from afar."""
    leaves: list[Tensor] = []

    def tree(item: Any) -> Any:
        if item is None or isinstance(item, (bool, int, float, str)):
            return item
        if item is ...:
            return {"ellipsis": 0}
        if isinstance(item, (Tensor, np.ndarray, np.generic)):
            if isinstance(item, np.generic):
                return tree(item.item())
            leaves.append(item if isinstance(item, Tensor) else torch.from_numpy(np.ascontiguousarray(item)))
            return {"tensor" if isinstance(item, Tensor) else "array": len(leaves) - 1}
        if isinstance(item, (list, tuple, set, frozenset)):
            name = "list" if isinstance(item, list) else "tuple" if isinstance(item, tuple) else "set"
            return {name: [tree(part) for part in item]}
        if _is_graph(item):  # before functions: Data can be called
            return {"graph": tree(item.to_dict())}
        if isinstance(item, dict):
            return {"dict": [[tree(key), tree(part)] for key, part in item.items()]}
        if callable(item):
            return {"function": name_function(item)}
        return {"opaque": type(item).__name__}

    return tree(value), leaves


def _is_graph(item: Any) -> bool:
    loaded = sys.modules.get("torch_geometric.data")  # it takes a second to load, and may not be needed
    return loaded is not None and isinstance(item, loaded.Data)


def unpack(tree: Any, leaves: list[Tensor], function: Callable[[str], Any]) -> Any:
    """The value of a tree; ``function`` makes something to call from a name.

    Raises:
        ValueError: not a tree of ``pack``.
    """
    if not isinstance(tree, dict):
        if isinstance(tree, list):
            raise ValueError("a bare list is not a value")
        return tree
    ((kind, content),) = tree.items()
    if kind in ("list", "tuple", "set"):
        parts = [unpack(part, leaves, function) for part in content]
        return {"list": list, "tuple": tuple, "set": set}[kind](parts)
    if kind == "dict":
        return {unpack(key, leaves, function): unpack(part, leaves, function) for key, part in content}
    if kind == "graph":
        from torch_geometric.data import Data

        return Data.from_dict(unpack(content, leaves, function))
    if kind in ("tensor", "array"):
        return leaves[int(content)] if kind == "tensor" else leaves[int(content)].numpy()
    if kind == "function":
        return function(str(content))
    if kind == "ellipsis":
        return ...
    if kind == "opaque":
        return Opaque(str(content)[:80])
    raise ValueError(f"unknown kind {kind!r}")


def tensor_to(tensor: Tensor) -> list[Any]:
    """[dtype, shape, bytes as base64]."""
    tensor = tensor.detach().cpu().contiguous()
    raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return [str(tensor.dtype).removeprefix("torch."), list(tensor.shape), base64.b64encode(raw).decode()]


def tensor_from(written: Any) -> Tensor:
    """The tensor of ``tensor_to``. Raises: ValueError: the number of bytes does not fit, or the type is not known."""
    name, shape, text = written
    raw = base64.b64decode(text)
    dtype, shape = _DTYPES.get(name), [int(size) for size in shape]
    if dtype is None or min(shape, default=0) < 0 or len(raw) != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise ValueError("not a tensor")
    if not raw:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape).clone()


def send(pipe: int, message: dict[str, Any], until: float = float("inf")) -> None:
    """Write one message. Raises: ValueError: it is too long. TimeoutError: nobody reads it (non-blocking pipe)."""
    body = json.dumps(message).encode()
    if len(body) > MOST_BYTES:
        raise ValueError(f"the answer is larger than {MOST_BYTES // 2**20} MB")
    rest = memoryview(struct.pack(">Q", len(body)) + body)
    while rest:
        try:
            rest = rest[os.write(pipe, rest) :]
        except BlockingIOError:
            if not select.select([], [pipe], [], max(0.0, min(until - time.monotonic(), 3600.0)))[1]:
                raise TimeoutError from None


def receive(pipe: int, until: float = float("inf")) -> dict[str, Any]:
    """Read one message.

    Args:
        pipe: file descriptor.
        until: of ``time.monotonic``.

    Raises:
        EOFError: the other side is gone.
        TimeoutError: no complete message until then.
        ValueError: what came is not a message.
    """
    (length,) = struct.unpack(">Q", _read(pipe, 8, until))
    if length > MOST_BYTES:
        raise ValueError("a message is too long")
    try:
        message = json.loads(_read(pipe, length, until))
    except RecursionError:
        raise ValueError("a message is nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("a message is not an object")
    return message


def _read(pipe: int, number: int, until: float) -> bytes:
    parts: list[bytes] = []
    while number:
        rest = None if until == float("inf") else until - time.monotonic()
        if rest is not None and (rest <= 0 or not select.select([pipe], [], [], rest)[0]):
            raise TimeoutError
        part = os.read(pipe, min(number, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        number -= len(part)
    return b"".join(parts)
