"""A session: a student's function behaves as if it were here, its work is counted elsewhere, and it cannot get out."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import silu

from eqgat_course.exercises import AnswerError, CheckFailed, call, measured
from eqgat_course.grading.remote import RemoteSession
from eqgat_course.grading.sandbox import Limits, weakness
from eqgat_course.grading.wire import Ended, Opaque, pack, tensor_from, tensor_to, unpack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="a session is a Unix process"),
]

FUNCTIONS = """import torch
def cube(x, power=3):
    return x ** power
def shift(x):
    x += 1
    return x.sum(), [x, "done"]
def turn(f, x):
    return f(2 * x) + 1
def fail(x):
    return x.nothing
def cross(a, b):
    return torch.linalg.cross(a, b), a @ b.T
def huge():
    return torch.zeros(4_000_000)
class Thing: pass
thing, empty, words = Thing(), None, {"a": (1, 2.5), 3: {True}, "n": float("inf")}"""


def started(memory: int = 1024) -> RemoteSession:
    return RemoteSession(Limits(cell=60, total=300, memory=memory), time.monotonic() + 300, isolated=not weakness())


@pytest.fixture(scope="module")
def session():
    session = started()
    assert session.run(FUNCTIONS) is None
    yield session
    session.close()


def test_plain_data_comes_back_as_it_is(session):
    assert session.get("words") == {"a": (1, 2.5), 3: {True}, "n": float("inf")}
    assert session.get("empty") is None
    assert isinstance(session.get("thing"), Opaque)
    with pytest.raises(NameError):
        session.get("nowhere")


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(6).reshape(2, 3),
        torch.zeros(0, 3),
        torch.tensor(2.5),
        torch.tensor([True, False]),
        torch.randn(2, 2).T,
        torch.tensor([1j]),
    ],
)
def test_tensors_survive(value):
    assert torch.equal(tensor_from(tensor_to(value)), value)
    assert tensor_from(tensor_to(value)).dtype == value.dtype


def test_forged_tensors_and_trees_are_refused():
    for dtype, shape in (("float64", [5]), ("float64", [-1]), ("object", [0]), ("float64", [10**12, 10**12])):
        with pytest.raises(ValueError, match="not a tensor"):
            tensor_from([dtype, shape, ""])
    for tree in ([1], {"pickle": "x"}):
        with pytest.raises(ValueError, match=r"unknown kind|bare list"):
            unpack(tree, [], str)
    tree, leaves = pack((np.float64(1.5), np.arange(2), ...), str)
    assert unpack(tree, leaves, str)[0] == 1.5
    assert unpack(tree, leaves, str)[2] is ...


def test_values_and_changes_of_arguments_come_back(session):
    x = torch.ones(3)
    total, (changed, word) = session.get("shift")(x)
    assert (float(total), word) == (6.0, "done")
    assert torch.equal(changed, x)
    assert torch.equal(x, torch.full((3,), 2.0)), "a check must be able to see that its input was changed"


def test_gradients_of_first_and_second_order(session):
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(session.get("cube")(x, power=3).sum(), x, create_graph=True)
    assert torch.allclose(slope, 3 * x**2)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert torch.allclose(curvature, 6 * x.detach())


def test_the_judges_functions_are_called_back_here(session):
    seen = []

    def recorded(x):
        seen.append(x)
        return 10 * x

    assert float(session.get("turn")(recorded, torch.tensor(3.0))) == 61.0
    assert float(seen[0]) == 6.0
    assert torch.allclose(session.get("turn")(silu, torch.tensor(3.0)), silu(torch.tensor(6.0)) + 1)


def test_errors_name_kind_and_line(session):
    with pytest.raises(AnswerError) as raised:
        session.get("fail")(torch.ones(1))
    assert (raised.value.kind, raised.value.line) == ("AttributeError", 10)
    with pytest.raises(CheckFailed, match="stopped with AttributeError at line 10 of its cell"):
        call(session.get("fail"), torch.ones(1))
    assert session.run("1 / 0").kind == "ZeroDivisionError"
    assert session.run("x = = 1").kind == "SyntaxError"


def test_costs_are_counted(session):
    a = torch.randn(16, 3)
    (crossed, _), cost = measured(session.get("cross"), a, a + 1)
    assert cost.crossed == 48
    assert cost.flops >= 2 * 16 * 16 * 3
    assert torch.equal(crossed, torch.linalg.cross(a, a + 1))


HIDES_ITS_WORK = {
    "thread": """import threading
def hidden(a, b):
    results = []
    thread = threading.Thread(target=lambda: results.append(torch.linalg.cross(a, b)))
    thread.start()
    thread.join()
    return results[0] + 0""",
    "numpy": """import numpy
def hidden(a, b):
    return torch.from_numpy(numpy.cross(a.numpy(), b.numpy()))""",
    "numbers": """def hidden(a, b):
    result = torch.zeros(16, 3)
    for row, values in enumerate(torch.linalg.cross(a, b).tolist()):
        for column, value in enumerate(values):
            result[row, column] = value
    return result""",
    "mode switched off": """from torch.utils._python_dispatch import _disable_current_modes
def hidden(a, b):
    with _disable_current_modes():
        return torch.linalg.cross(a, b)""",
    "forged trace": """import eqgat_course.grading.trace as trace
def hidden(a, b):
    def forged(self, value):
        return {"steps": [], "constants": [[9, trace.tensor_to(value)]], "result": {"tensor": 9}}
    trace.Trace.written = forged
    return torch.linalg.cross(a, b)""",
    "forged operation": """import eqgat_course.grading.trace as trace
def hidden(a, b):
    trace.Trace.written = lambda self, value: {"steps": [["os::system", {"list": []}, 0]], "constants": [], "result": None}
    return a""",
}


@pytest.mark.parametrize("how", HIDES_ITS_WORK)
def test_work_that_is_hidden_from_the_count_makes_no_value(session, how, record_property):
    """The values that are judged are those of the counted operations, repeated where no student's code runs."""
    assert session.run(HIDES_ITS_WORK[how]) is None
    a = torch.randn(16, 3)
    with pytest.raises(CheckFailed, match=r"do not follow from the arguments|not one of PyTorch's operations"):
        measured(session.get("hidden"), a, a + 1)
    record_property("work", "stopped")


TRIES = """import ctypes, os, socket
def attempt(action):
    try:
        return str(action())
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
def sent(family, kind, address):
    with socket.socket(family, kind) as client:
        client.settimeout(2)
        client.connect(address)
        return client.send(b"x")
def trace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.ptrace(16, pid, 0, 0)"""
CANNOT = {
    "sends to the network": "sent(socket.AF_INET, socket.SOCK_DGRAM, ('192.0.2.1', 9))",
    "connects over TCP": "sent(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', TCP))",
    "connects to a socket in the file system": "sent(socket.AF_UNIX, socket.SOCK_STREAM, SOCKET)",
    "connects to an abstract socket": "sent(socket.AF_UNIX, socket.SOCK_STREAM, chr(0) + NAME)",
    "reads the judge's files": "os.listdir(FOLDER)",
    "reads the teacher's home": "os.listdir(os.path.join(TEACHER, '.cache'))",
    "reads accounts": "open('/etc/passwd').read()",
    "reads another process": "open('/proc/JUDGE/environ').read()",
    "traces another process": "1 // (1 + trace(JUDGE))",
    "signals the judge": "os.kill(JUDGE, 0)",
    "writes outside": "open(os.path.join(FOLDER, 'x'), 'w')",
    "writes into the packages": "open(os.path.join(os.path.dirname(torch.__file__), 'x'), 'w')",
    "writes into the root": "open('/x', 'w')",
    "writes into the system": "open('/proc/sys/kernel/core_pattern', 'w')",
    "mounts": "1 // (1 + ctypes.CDLL(None).mount(b'none', b'/student', b'tmpfs', 0, None))",
    "becomes another user": "os.setuid(1)",
    "imports the checks": "__import__('eqgat_course.ch05_cross_products.checks')",
    "imports the judge": "__import__('eqgat_course.grading.judge')",
    "checks an answer": "__import__('eqgat_course').check('05.1', 1)",
    "fills the disk": "[open('/student/%d' % n, 'wb').write(bytes(100 << 20)) for n in range(20)]",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sockets and files of the machine that a session must not reach; names -> values for the attempts."""
    folder = tmp_path_factory.mktemp("judge")
    (folder / "secret").write_text("x")
    name = f"eqgat-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        for one, address in ((tcp, ("127.0.0.1", 0)), (unix, str(folder / "s")), (abstract, f"\0{name}")):
            one.bind(address)
            one.listen()
        yield {
            "TCP": tcp.getsockname()[1],
            "SOCKET": repr(str(folder / "s")),
            "NAME": repr(name),
            "FOLDER": repr(str(folder)),
            "TEACHER": repr(str(Path.home())),
            "JUDGE": os.getpid(),
        }


needs_bubblewrap = pytest.mark.skipif(bool(weakness()), reason=weakness())


@needs_bubblewrap
@pytest.mark.parametrize("what", CANNOT)
def test_an_answer_reaches_nothing_outside(session, world, what, record_property):
    action = CANNOT[what]
    for name, value in world.items():
        action = action.replace(name, str(value))
    assert session.run(TRIES) is None
    assert session.run(f"result = attempt(lambda: {action})") is None
    errors = r"\w*Error: .*(Errno|No module|division|not permitted|No space)"
    assert re.match(errors, session.get("result")), session.get("result")
    record_property("outside", "stopped")
    assert session.run("for name in os.listdir('.'):\n    os.remove(name) if name.isdigit() else None") is None


@needs_bubblewrap
def test_nothing_that_is_sent_arrives(session):
    """A session has an empty network of its own, in which it may talk to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        assert session.run(f"{TRIES}\nsent(socket.AF_INET, socket.SOCK_DGRAM, {here.getsockname()})") is None
        here.settimeout(0.5)
        with pytest.raises(TimeoutError):
            here.recv(1)


@needs_bubblewrap
def test_an_answer_sees_none_of_the_teachers_environment(session, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    assert session.run(TRIES + "\nseen = [dict(os.environ), attempt(lambda: open('/proc/1/environ').read())]") is None
    assert "SECRET" not in str(session.get("seen"))
    assert not {"SSH_AUTH_SOCK", "DISPLAY", "PATH"} & set(session.get("seen")[0])


def test_a_result_that_is_too_large_is_an_error_and_not_a_burden(session):
    with pytest.raises(AnswerError, match="larger than 16 MB"):
        session.get("huge")()


def test_a_session_that_ends_says_so():
    session = started()
    try:
        with pytest.raises(Ended, match="exit status 7"):
            session.run("import os\nos._exit(7)")
    finally:
        session.close()
