"""Time and peak memory of a forward pass and a training step: this package against the equations as printed.

    python benchmarks/forward.py [--structure adk_open] [--device cpu] [--threads 2] [--repeats 10]

Both sides have the same weights and the same graph, and give the same numbers (checked first). Times are taken in
turn, ours and the printed equations', so that a machine whose speed drifts does not favour one of them; the ratio is
the median of the pairwise ratios. Memory is the growth of the peak over the state before the run, each in a process
of its own on the CPU, and the allocator's peak on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from eqgat import EQGAT
from eqgat.datasets import embedded_structure
from eqgat_course.literal import literal_forward


def set_up(options: argparse.Namespace):
    """The model of the paper's larger tasks, and a real structure as its graph."""
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    model = EQGAT(num_elements=9, out_channels=1).to(options.device)
    graph = embedded_structure(options.structure).graph(cutoff=4.5, dtype=torch.float32).to(options.device)
    return model, graph


def step(model, graph, side: str, mode: str):
    """One forward pass without gradients, or one forward and backward pass."""
    run = model if side == "ours" else lambda g: literal_forward(model, g)
    if mode == "forward":
        with torch.no_grad():
            result = run(graph)
    else:
        model.zero_grad(set_to_none=True)
        result = run(graph)
        result.sum().backward()
    if graph.pos.is_cuda:
        torch.cuda.synchronize()
    return result.detach()


def resident_peak() -> float:
    """Largest resident size of this process since the last reset, in MiB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peak_memory(options: argparse.Namespace, side: str, mode: str) -> float:
    """Peak memory of one step, in MiB; NaN where the system does not tell."""
    if options.device == "cpu":
        if not Path("/proc/self/clear_refs").exists():
            return float("nan")
        command = [
            sys.executable,
            __file__,
            "--structure",
            options.structure,
            "--threads",
            str(options.threads),
            "--memory",
            side,
            mode,
        ]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    model, graph = set_up(options)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(model, graph, side, mode)
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structure", default="adk_open", help="name of an embedded structure")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    model, graph = set_up(options)
    if options.memory:
        # getrusage would count the peak of importing torch; Linux can set the peak back to the present size.
        Path("/proc/self/clear_refs").write_text("5")
        before = resident_peak()
        step(model, graph, *options.memory)
        print(resident_peak() - before)
        return

    ours, literal = (step(model, graph, side, "forward") for side in ("ours", "literal"))
    difference = float((ours - literal).abs().max())
    print(
        f"{options.structure}: {graph.num_nodes} atoms, {graph.num_edges} edges; "
        f"EQGAT with 5 layers, F_s 100, F_v 16;\n"
        f"float32, {options.device}, {options.threads} threads, torch {torch.__version__}; "
        f"the two predictions differ by {difference:.0e}"
    )
    print(f"{'':<14}{'ours':>10}{'as printed':>12}{'ratio (min - max)':>24}{'memory':>16}{'as printed':>12}")
    for mode in ("forward", "training step"):
        times: dict[str, list[float]] = {"ours": [], "literal": []}
        for repeat in range(options.repeats + 2):
            for side, taken in times.items():
                start = time.perf_counter()
                step(model, graph, side, mode)
                if repeat >= 2:  # the first two warm up
                    taken.append((time.perf_counter() - start) * 1e3)
        ratios = [ours / literal for ours, literal in zip(times["ours"], times["literal"], strict=True)]
        memory = [peak_memory(options, side, mode) for side in times]
        print(
            f"{mode:<14}{statistics.median(times['ours']):>7.0f} ms{statistics.median(times['literal']):>9.0f} ms"
            f"{statistics.median(ratios):>12.2f} ({min(ratios):.2f} - {max(ratios):.2f})"
            f"{memory[0]:>12.0f} MiB{memory[1]:>8.0f} MiB"
        )


if __name__ == "__main__":
    main()
