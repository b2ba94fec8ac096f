"""Plain data between the judge and a session: JSON and raw numbers, never a pickle from the student's side.

A message is eight bytes of length and JSON. Values are trees: numbers, words, None and lists are themselves as far as
JSON goes, everything else is a one-key object; tensors stand in a list of leaves beside the tree.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

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
_WORDS = (torch.dtype, torch.layout, torch.memory_format)


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


def pack(
    value: Any, name_function: Callable[[Any], str], place: Callable[[Tensor], int] | None = None
) -> tuple[Any, list[Tensor]]:
    """A tree and its tensors.

    Args:
        value: anything; what is not plain data becomes ``Opaque``.
        name_function: gives the name under which a function can be called from afar.
        place: gives the number of a tensor in a list kept elsewhere; the second result is then empty.
    """
    leaves: list[Tensor] = []

    def number(tensor: Tensor) -> int:
        if place is not None:
            return place(tensor)
        leaves.append(tensor)
        return len(leaves) - 1

    def tree(item: Any) -> Any:
        if item is None or isinstance(item, (bool, int, float, str)):
            return item
        if item is ...:
            return {"ellipsis": 0}
        if isinstance(item, (Tensor, np.ndarray, np.generic)):
            if isinstance(item, np.generic):
                return tree(item.item())
            if isinstance(item, Tensor):
                return {"tensor": number(item)}
            return {"array": number(torch.from_numpy(np.ascontiguousarray(item)))}
        if isinstance(item, _WORDS):
            return {"torch": str(item).removeprefix("torch.")}
        if isinstance(item, torch.device):
            return {"device": str(item)}
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


def unpack(tree: Any, leaves: Any, function: Callable[[str], Any]) -> Any:
    """The value of a tree; ``leaves`` gives a tensor for its number, ``function`` something to call for a name.

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
    if kind == "torch" and isinstance(word := getattr(torch, str(content), None), _WORDS):
        return word
    if kind == "device":
        return torch.device(str(content))
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


def send(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message. Raises: ValueError: it is too long."""
    body = json.dumps(message).encode()
    if len(body) > MOST_BYTES:
        raise ValueError(f"the answer is larger than {MOST_BYTES // 2**20} MB")
    stream.write(struct.pack(">Q", len(body)) + body)
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, Any]:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
        ValueError: what came is not a message.
    """
    (length,) = struct.unpack(">Q", _read(stream, 8))
    if length > MOST_BYTES:
        raise ValueError("a message is too long")
    try:
        message = json.loads(_read(stream, length))
    except RecursionError:
        raise ValueError("a message is nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("a message is not an object")
    return message


def _read(stream: IO[bytes], number: int) -> bytes:
    body = stream.read(number)
    if len(body) < number:
        raise EOFError
    return body
