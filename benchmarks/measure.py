"""How it is measured: sides in turn, processor time, peak memory in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from cases import Case, make_batch, make_side, protein
from torch_geometric.data import Data

from eqgat.training.memory import freed_memory_kept
from eqgat.training.results import device_name, git_commit, package_versions

MODES = ("forward", "training step")


class Spread(NamedTuple):
    """Median and quartiles of repeated measurements."""

    value: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        values = list(values)
        low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(statistics.median(values), low, high, len(values))


def clock(device: torch.device) -> float:
    """Seconds: of processor time on a CPU, which other programs change less than they change the time of day."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def in_turn(
    tasks: dict[str, Callable[[], object]], device: torch.device, repeats: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds of each task, one after the other and again; one that has had ``seconds`` sits out after 3 rounds."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()  # warms up
    for repeat in range(repeats):
        for name, task in tasks.items():
            if repeat >= 3 and sum(taken[name]) > seconds:
                continue
            start = clock(device)
            task()
            taken[name].append(clock(device) - start)
    return taken


def ratio(taken: dict[str, list[float]], side: str, reference: str) -> Spread:
    """Time of ``side`` over that of ``reference``, from the rounds that both took part in."""
    return Spread.of(a / b for a, b in zip(taken[side], taken[reference], strict=False))


def stepper(model: torch.nn.Module, run: Callable[[Data], torch.Tensor], data: Data, mode: str) -> Callable[[], None]:
    """One forward pass without gradients, or one forward and backward pass."""

    def forward() -> None:
        with torch.no_grad():
            run(data)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        run(data).float().square().sum().backward()

    return forward if mode == "forward" else step


def peak_memory(side: str, case: Case, mode: str, device: torch.device) -> float:
    """Growth of the peak of memory in one step, in MiB; NaN where the system does not tell."""
    if device.type == "cpu" and not Path("/proc/self/clear_refs").exists():
        return float("nan")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (side, case, mode, str(device)))


@freed_memory_kept()
def _peak(side: str, case: Case, mode: str, device: str) -> float:
    torch.set_num_threads(1)
    small = protein(50) if case.task != "triangle" else make_batch(Case("", "triangle", 1, 50))
    model, run = make_side(side, case)
    model.to(device)
    stepper(model, run, small.to(device), mode)()  # what is loaded or made at the first call does not count
    model.zero_grad(set_to_none=True)
    data = (protein(case.size) if case.name == "" else make_batch(case)).to(device)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        stepper(model, run, data, mode)()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to the present size
    before = _status("VmRSS")
    stepper(model, run, data, mode)()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 1024


def about(device: torch.device) -> dict[str, str]:
    """What the numbers depend on: machine, threads, allocator, versions, commit."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text()
        processor = next((line.split(":")[1].strip() for line in text.splitlines() if "model name" in line), processor)
    preload = Path(os.environ.get("LD_PRELOAD", "")).name
    return {
        "machine": f"{processor}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "device": device_name(device),
        "threads": str(torch.get_num_threads()),
        "allocator": "torch's caching allocator"
        if device.type == "cuda"
        else preload or " ".join(part for part in (*platform.libc_ver(), "malloc") if part),
        "load of the machine at the start": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "versions": package_versions(),
        "commit": git_commit(),
    }


Row = dict[str, Any]


def row(part: str, case: str, side: str, quantity: str, unit: str, spread: Spread | float) -> Row:
    """One line of the report's table of numbers."""
    found = spread if isinstance(spread, Spread) else Spread(spread, spread, spread, 1)
    return {"part": part, "case": case, "side": side, "quantity": quantity, "unit": unit, **found._asdict()}
