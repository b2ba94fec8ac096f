"""The judge's side of a session: start it, run cells in it, and call the student's functions as if they were here."""

from __future__ import annotations

import base64
import io
import json
import pickle
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from eqgat_course.exercises import AnswerError, CheckFailed, Cost
from eqgat_course.grading.sandbox import Limits, Watch, course_without_checks, kill, launch
from eqgat_course.grading.wire import Ended, pack, receive, send, tensor_from, tensor_to, unpack

__all__ = ["RemoteFunction", "RemoteSession"]

_START_SECONDS = 120.0
_GRACE_SECONDS = 3.0
_OUT_OF_PROCESSOR_TIME = (128 + 24, 128 + 9)  # SIGXCPU, and SIGKILL once it was ignored


class RemoteSession:
    """A running session. Every method raises ``Ended`` when the session dies, or has to."""

    def __init__(self, limits: Limits, until: float, isolated: bool) -> None:
        """Start one, inside bubblewrap or not; ``until``, of ``time.monotonic``, the submission must be done."""
        self.limits, self.until, self.isolated = limits, until, isolated
        self.callbacks: dict[str, Callable[..., Any]] = {}
        self.clean: RemoteSession | None = None  # runs nothing of the student
        self.folder = tempfile.TemporaryDirectory(prefix="eqgat-grade-", ignore_cleanup_errors=True)
        course, home = Path(self.folder.name, "course"), Path(self.folder.name, "home")
        course_without_checks(course)
        home.mkdir()
        arguments = [json.dumps(asdict(limits)), "isolated" if isolated else "free"]
        code = "from eqgat_course.grading.session import main; main()"
        self.process = launch(course, home, limits, code, arguments, isolated)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        self.watch = Watch(self.process.pid, limits.memory * 2**20, time.monotonic() + _START_SECONDS)
        try:
            self._receive()  # that it is ready
        except (Ended, ValueError, OSError):
            self.close()
            raise RuntimeError("the session for a submission did not start") from None
        self.watch.close()  # start anew: only what an answer adds to the libraries counts
        self.watch = Watch(self.process.pid, limits.memory * 2**20, until)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """A block of requests that share the seconds of one cell."""
        before = self.watch.until
        self.watch.until = min(before, time.monotonic() + self.limits.cell)
        try:
            yield
        finally:
            self.watch.until = before

    def run(self, cell: str) -> AnswerError | None:
        """Run a cell; the error that it raised."""
        with self.limited():
            error = self._ask({"do": "run", "cell": cell}).get("error")
        return _error(error) if error else None

    def get(self, name: str) -> Any:
        """The value of a name. Raises: NameError: there is none."""
        reply = self._ask({"do": "get", "name": name})
        if "missing" in reply:
            raise NameError(name)
        if reply.get("error"):
            raise _error(reply["error"])
        return self._value(reply, name)[0]

    def call(
        self,
        function: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        places: list[int],
        inputs: list[Tensor],
        sizes: list[int],
    ) -> dict[str, Any]:
        """Call a function of the session; its reply. ``places``: which of ``args`` are to be taken from ``inputs``."""
        held = [None if place in places else arg for place, arg in enumerate(args)]
        reply = self._ask(
            {
                "do": "call",
                "function": function,
                "arguments": self._pickled((held, kwargs)),
                "inputs": [tensor_to(tensor) for tensor in inputs],
                "places": places,
                "sizes": sizes,
            }
        )
        if reply.get("error"):
            raise _error(reply["error"])
        for place, written in reply.get("changed") or []:
            arg, new = args[int(place)], tensor_from(written)
            if isinstance(arg, Tensor) and arg.shape == new.shape and not arg.requires_grad:
                arg.copy_(new)  # checks hand out copies, and look at them afterwards
        return reply

    def counted(self, function: str, args: tuple[Any, ...]) -> tuple[Any, Cost]:
        """What a function returns, and its cost: its operations are repeated in a session without the student."""
        if self.clean is None:
            start, before = time.monotonic(), self.watch.until
            self.watch.until = float("inf")  # its start is not the student's time
            self.clean = RemoteSession(self.limits, self.until, self.isolated)
            self.watch.until = before + time.monotonic() - start
        arguments = self._pickled((args, {}))
        done = self._ask({"do": "trace", "function": function, "arguments": arguments})
        if done.get("error"):
            raise _error(done["error"])
        with self.clean.limited():
            reply = self.clean._ask({"do": "repeat", "trace": done.get("trace"), "arguments": arguments})
        if reply.get("error"):
            raise CheckFailed(f"what your function did in PyTorch could not be repeated: {_error(reply['error'])}")
        return self.clean.value(reply)[0], Cost(*map(int, reply["cost"]))

    def value(self, reply: dict[str, Any]) -> tuple[Any, list[Tensor]]:
        """What a call returned, and the tensors in it."""
        return self._value(reply, "the result of your function")

    def close(self) -> None:
        """End the session and all that it started."""
        if self.clean is not None:
            self.clean.close()
        self.watch.close()
        kill(self.process.pid)
        self.process.wait()
        for pipe in (self.requests, self.answers):
            with suppress(OSError):
                pipe.close()
        self.folder.cleanup()

    def _value(self, reply: dict[str, Any], what: str) -> tuple[Any, list[Tensor]]:
        try:
            leaves = [tensor_from(written) for written in reply["leaves"]]
            return unpack(reply["tree"], leaves, lambda token: RemoteFunction(self, token, what)), leaves
        except (KeyError, TypeError, ValueError, IndexError, RecursionError, RuntimeError) as error:
            raise Ended("process ended", f"the answer's process sent something that is no value ({error})") from None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer; answer calls back in between."""
        request["id"] = token_hex(8)  # so that what was written before the question is no answer to it
        try:
            self._send(request)
            while True:
                reply = self._receive()
                if "callback" not in reply:
                    if reply.get("id") != request["id"]:
                        raise ValueError("an answer that was not asked for")
                    return reply
                self._send(self._called_back(reply))
        except ValueError as error:
            raise Ended("process ended", f"the answer's process broke the protocol: {error}") from None

    def _send(self, message: dict[str, Any]) -> None:
        try:
            send(self.requests, message)
        except OSError:
            raise self._death() from None

    def _receive(self) -> dict[str, Any]:
        try:
            return receive(self.answers)
        except (EOFError, OSError):
            raise self._death() from None

    def _death(self) -> Ended:
        """Why the session does not answer any more."""
        try:
            code = self.process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return Ended("process ended", "the answer closed the connection to the grader")
        self.watch.close()
        if self.watch.reason:
            return Ended("memory limit", self.watch.reason)
        if self.watch.late:
            if time.monotonic() < self.until:
                return Ended("time limit", f"stopped after {self.limits.cell:g} seconds. Does a loop never end?")
            return Ended(
                "time limit",
                f"the {self.limits.total:g} seconds for the whole submission are over. "
                "The teacher should raise --seconds and grade again",
            )
        code = 128 - code if code < 0 else code  # as bubblewrap says it
        if code in _OUT_OF_PROCESSOR_TIME:
            return Ended("time limit", "the processor time of the submission is used up")
        how = f"with exit status {code}" if code <= 128 else f"by signal {code - 128}"
        return Ended("process ended", f"the answer ended its process {how}. os._exit, or a crash?")

    def _called_back(self, reply: dict[str, Any]) -> dict[str, Any]:
        try:
            args, _ = self._value(reply, "an argument")
            result = self.callbacks[str(reply["callback"])](*args)
            tree, leaves = pack(result, self._register)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        return {"error": None, "tree": tree, "leaves": [tensor_to(leaf) for leaf in leaves]}

    def _register(self, function: Callable[..., Any]) -> str:
        name = str(len(self.callbacks))
        self.callbacks[name] = function
        return name

    def _pickled(self, value: Any) -> str:
        session = self

        class Pickler(pickle.Pickler):
            def persistent_id(self, item: Any) -> Any:
                if isinstance(item, RemoteFunction):
                    return "own", item.token
                here = isinstance(item, (MethodType, partial))
                if here or (isinstance(item, FunctionType) and not _importable(item)):
                    return "judge", session._register(item)
                return None

        buffer = io.BytesIO()
        Pickler(buffer).dump(value)
        return base64.b64encode(buffer.getvalue()).decode()


class RemoteFunction:
    """A student's function. Calling it runs it in its session; gradients of any order go through it."""

    def __init__(self, session: RemoteSession, token: str, name: str) -> None:
        self.session, self.token, self.__name__ = session, token, name
        self.cost = Cost()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = tuple(arg.detach() if isinstance(arg, Tensor) and not _differentiable(arg) else arg for arg in args)
        places = [place for place, arg in enumerate(args) if isinstance(arg, Tensor) and _differentiable(arg)]
        ask = partial(self.session.call, self.token, args, kwargs, places)
        if not places:
            return self.session.value(ask(inputs=[], sizes=[]))[0]
        first: dict[str, Any] = {}
        leaves = _Remote.apply(self.session, ask, (), first, *(args[place] for place in places))
        return unpack(first["tree"], list(leaves), lambda token: RemoteFunction(self.session, token, self.__name__))

    def with_cost(self, *args: Any) -> Any:
        """The same without gradients, and its cost is then in ``self.cost``."""
        value, self.cost = self.session.counted(self.token, args)
        return value


class _Remote(torch.autograd.Function):
    """The call, or a derivative of it: backward is again a call, of the next order."""

    @staticmethod
    def forward(
        ctx: Any, session: RemoteSession, ask: Any, sizes: tuple[int, ...], first: dict[str, Any], *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        reply = ask(inputs=list(inputs), sizes=list(sizes))
        _, leaves = session.value(reply)
        first.update(reply)
        ctx.session, ctx.ask, ctx.sizes = session, ask, sizes
        ctx.save_for_backward(*inputs)
        constant = [
            leaf
            for leaf, requires in zip(leaves, reply["requires"], strict=True)
            if not (requires and leaf.is_floating_point())
        ]
        ctx.mark_non_differentiable(*constant)
        return tuple(leaves)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        inputs = ctx.saved_tensors
        results = _Remote.apply(ctx.session, ctx.ask, (*ctx.sizes, len(inputs)), {}, *inputs, *cotangents)
        return None, None, None, None, *results


def _differentiable(tensor: Tensor) -> bool:
    return tensor.requires_grad and torch.is_grad_enabled()


def _importable(function: FunctionType) -> bool:
    """May the session import this function itself? Checks are not run there."""
    if function.__module__.endswith(".checks") or function.__module__ == "__main__":
        return False
    return getattr(import_module(function.__module__), function.__qualname__, None) is function


def _error(described: Any) -> AnswerError:
    if not isinstance(described, dict):
        return AnswerError("an error", "without a description")
    line = described.get("line", 0)
    return AnswerError(
        str(described.get("kind", ""))[:80],
        str(described.get("message", ""))[:1000],
        line if isinstance(line, int) else 0,
    )
