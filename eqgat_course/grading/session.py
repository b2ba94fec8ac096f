"""The session: the process in which a student's answers run. It does what the judge says, and is trusted with nothing.

Started by the judge. Requests, on standard input: run a cell; give the value of a name; call a function of the student;
or, in a session that runs nothing of a student, repeat the operations of such a call and count them.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import IO, Any

import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import Tensor
from traitlets.config import Config

from eqgat_course.cost import counting
from eqgat_course.grading.sandbox import Limits, set_limits
from eqgat_course.grading.trace import Trace, repeat
from eqgat_course.grading.wire import pack, receive, send, tensor_from, tensor_to, unpack

__all__ = ["Session", "main"]


class Session:
    """A shell and the functions that it has handed out by name."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self.requests, self.answers = requests, answers
        self.shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
        self.functions: dict[str, Any] = {}

    def serve(self) -> None:
        """Answer requests until the judge is gone."""
        while True:
            try:
                request = receive(self.requests)
            except EOFError:
                return
            try:
                answer = getattr(self, "do_" + request["do"])(request)
            except BaseException as error:
                answer = {"error": _describe(error)}
            try:
                send(self.answers, {**answer, "id": request["id"]})
            except ValueError as error:
                send(self.answers, {"error": _describe(error), "id": request["id"]})

    def do_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one cell; its error or None."""
        result = self.shell.run_cell(request["cell"], silent=True)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
        error = result.error_before_exec or result.error_in_exec
        return {"error": _describe(error) if error else None}

    def do_get(self, request: dict[str, Any]) -> dict[str, Any]:
        """The value of a name."""
        if request["name"] not in self.shell.user_ns:
            return {"missing": True}
        return self._packed(self.shell.user_ns[request["name"]])

    def do_call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call a function; or, with order k > 0, its k-th derivative as autograd needs it."""
        function = self.functions[request["function"]]
        args, kwargs = self._unpickled(request["arguments"])
        inputs = [tensor_from(written) for written in request["inputs"]]
        for tensor in inputs:
            if tensor.is_floating_point():
                tensor.requires_grad_()
        places = request["places"]
        before = {
            place: arg.detach().clone()
            for place, arg in enumerate(args)
            if isinstance(arg, Tensor) and place not in places
        }
        value: Any = None

        def first(tensors: list[Tensor]) -> list[Tensor]:
            nonlocal value
            for place, tensor in zip(places, tensors, strict=True):
                args[place] = tensor
            value = function(*args, **kwargs)
            return pack(value, self._name)[1]

        outputs = _derivative(first, inputs, request["sizes"])
        answer = self._packed(outputs if request["sizes"] else value)
        changed = [
            place
            for place, old in before.items()
            if old.shape == args[place].shape and not torch.equal(old, args[place])
        ]
        answer["changed"] = [[place, tensor_to(args[place])] for place in changed]
        return answer

    def do_trace(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call a function; what it did, to be repeated elsewhere."""
        args, _ = self._unpickled(request["arguments"])
        with Trace(pack(args, self._name)[1]) as trace:
            value = self.functions[request["function"]](*args)
        return {"trace": trace.written(value)}

    def do_repeat(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what was done in another session; the value and the cost."""
        args, _ = self._unpickled(request["arguments"])
        with counting(*args) as costs:
            value = repeat(request["trace"], pack(args, self._name)[1])
        return {**self._packed(value), "cost": list(costs[0])}

    def _packed(self, value: Any) -> dict[str, Any]:
        tree, leaves = pack(value, self._name)
        return {
            "tree": tree,
            "leaves": [tensor_to(leaf) for leaf in leaves],
            "requires": [bool(leaf.requires_grad) for leaf in leaves],
        }

    def _name(self, function: Any) -> str:
        name = str(len(self.functions))
        self.functions[name] = function
        return name

    def _unpickled(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        """The judge's arguments; its own functions become calls back to it."""
        session = self

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, pid: Any) -> Any:
                kind, name = pid
                return session.functions[name] if kind == "own" else session._callback(name)

        args, kwargs = Unpickler(io.BytesIO(base64.b64decode(text))).load()
        return list(args), kwargs

    def _callback(self, name: str) -> Callable[..., Any]:
        def function(*args: Any) -> Any:
            send(self.answers, {"callback": name, **self._packed(list(args))})
            reply = receive(self.requests)
            if reply["error"]:
                raise RuntimeError(reply["error"])
            leaves = [tensor_from(written) for written in reply["leaves"]]
            return unpack(reply["tree"], leaves, lambda other: self._callback(other))

        return function


def _derivative(
    function: Callable[[list[Tensor]], list[Tensor]], inputs: list[Tensor], sizes: list[int]
) -> list[Tensor]:
    """``function`` of the inputs; or for each of ``sizes`` once more the vector-Jacobian product.

    The inputs of a derivative are the ``sizes[-1]`` inputs of what is derived, and one cotangent for each of its
    outputs.
    """
    if not sizes:
        return function(inputs)
    inner, cotangents = inputs[: sizes[-1]], inputs[sizes[-1] :]
    pairs = [
        (out, cotangent)
        for out, cotangent in zip(_derivative(function, inner, sizes[:-1]), cotangents, strict=True)
        if out.requires_grad
    ]
    outs, weights = [out for out, _ in pairs], [weight for _, weight in pairs]
    return list(torch.autograd.grad(outs, inner, weights, create_graph=True, allow_unused=True, materialize_grads=True))


def _describe(error: BaseException) -> dict[str, Any]:
    """Kind, message and the line of the cell of an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if "ipython-input" in frame.filename]
    line = getattr(error, "lineno", None) or (own or [frame.lineno for frame in frames] or [0])[-1]
    text = str(error.msg if isinstance(error, SyntaxError) else error)  # without the shell's name for the cell
    return {"kind": type(error).__name__, "message": text[:1000], "line": int(line or 0)}


def main() -> None:
    """Serve the judge that has started this process; arguments: limits in JSON, ``isolated`` or ``free``."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what an answer prints is no message
        os.dup2(nothing, stream)
    session = Session(requests, answers)
    set_limits(
        Limits(**json.loads(sys.argv[1])), sys.argv[2] == "isolated"
    )  # now, so that the memory limit counts what the submission adds
    send(answers, {"ready": True})
    session.serve()
    os._exit(0)
