"""Speed and memory of EQGAT and the models beside it: one run, one report.

    make bench                                    # everything, about an hour on one core
    python benchmarks/bench.py --quick            # small batches, minutes
    python benchmarks/bench.py --parts models scale --device cuda

Writes report.md, numbers.csv and two figures into figures/bench/. Sides take turns within a run, so that a machine whose
speed drifts favours none; medians and quartiles are given, and ratios are those of pairs. On a CPU one thread works and
its processor time counts. Nothing is downloaded; loading is measured where --data names a folder of prepared tasks.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import psutil
import torch
from cases import CASES, SIDES, Case, make_batch, make_side, protein
from loading import engine_rows, loading_rows
from measure import MODES, Row, Spread, about, in_turn, peak_memory, ratio, row, stepper
from report import write_report
from torch.utils.flop_counter import FlopCounterMode

from eqgat.datasets.task import ATOM3D
from eqgat.neighbours import by_candidates, by_trees
from eqgat.training.memory import freed_memory_kept
from eqgat.training.results import results_folder

Options = argparse.Namespace


def cases(options: Options) -> list[Case]:
    """The batches, at their size or, for a quick run, a sixteenth or an eighth of it."""
    if not options.quick:
        return list(CASES.values())
    return [Case(case.name, case.task, max(2, case.count // 16), case.size // 2) for case in CASES.values()]


def models(options: Options) -> Iterator[Row]:
    """Forward pass, training step and peak memory of all models on all batches."""
    for case in cases(options):
        data = make_batch(case).to(options.device)
        sides = {name: make_side(name, case) for name in options.sides}
        for model, _ in sides.values():
            model.to(options.device)
        yield row("models", case.name, "", "edges", "", float(data.num_edges))
        yield row("models", case.name, "", "atoms", "", float(data.num_nodes))
        needed = {name: 4 * peak_memory(name, case.quarter, "training step", options.device) for name in sides}
        fit = [name for name in sides if not too_large(needed[name], options.device)]
        for mode in MODES:
            tasks = {name: stepper(*sides[name], data, mode) for name in (sides if mode == "forward" else fit)}
            taken = in_turn(tasks, options.device, options.repeats, options.seconds)
            for name in tasks:
                yield row("models", case.name, name, mode, "s", Spread.of(taken[name]))
                yield row("models", case.name, name, f"{mode}, against EQGAT", "", ratio(taken, name, "EQGAT"))
        for name, (model, _) in sides.items():
            yield row("models", case.name, name, "parameters", "", float(sum(p.numel() for p in model.parameters())))
            if name in fit:
                memory = [
                    peak_memory(name, case, "training step", options.device)
                    for _ in range(max(1, options.repeats // 3))
                ]
                yield row("models", case.name, name, "memory of a step", "MiB", Spread.of(memory))
            else:
                yield row(
                    "models", case.name, name, "not run; memory, from a quarter of the batch", "MiB", needed[name]
                )


def too_large(mebibytes: float, device: torch.device) -> bool:
    """Whether it would take more than half of the free memory: then the side is left out, and the report says so."""
    free = psutil.virtual_memory().available if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
    return mebibytes > free / 2**20 / 2


def scale(options: Options) -> Iterator[Row]:
    """A forward pass of five layers on one structure of 500 to 100,000 atoms, and a training step."""
    sizes = (500, 2000) if options.quick else (500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
    for size in sizes:
        case, data = Case("", "psr", 1, size), protein(size).to(options.device)
        for side in ("EQGAT", "EQGAT readable"):
            if side == "EQGAT readable" and size > 20_000:
                continue
            model, run = make_side(side, case)
            model.to(options.device)
            for mode in MODES:
                taken = in_turn({side: stepper(model, run, data, mode)}, options.device, options.repeats, 10.0)
                each = Spread.of(seconds / size * 1e6 for seconds in taken[side])
                yield row("scale", str(size), side, mode, "µs an atom", each)
                yield row(
                    "scale", str(size), side, f"memory, {mode}", "MiB", peak_memory(side, case, mode, options.device)
                )


def roofline(options: Options) -> Iterator[Row]:
    """What a training step must do, what this machine does in a second, and the share of the floor in our time.

    Counted: the products of matrices, by torch; four exponentials an edge and scalar channel of each layer (SiLU and
    softmax, forward and again backward); and the bytes of what each pass over the edges must read, were all atoms in the
    cache: radial part, direction and the two indices. Additions and products of single numbers are left out of the floor.
    """
    device = options.device
    square, line = torch.randn(1024, 1024, device=device), torch.randn(1 << 16, device=device)
    source, target = torch.randn(1 << 24, device=device), torch.empty(1 << 24, device=device)
    speed = in_turn(
        {
            "product": lambda: square @ square,
            "exp": lambda: torch.exp2(line),
            "copy": lambda: target.copy_(source),
        },
        device,
        20,
        5.0,
    )
    product, exp, copied = (min(speed[name]) for name in ("product", "exp", "copy"))
    rates = {"products": 2 * 1024**3 / product, "exponentials": len(line) / exp, "bytes": 2 * source.nbytes / copied}
    for name, rate in rates.items():
        yield row("roofline", "machine", "", name, "1/s", rate)
    for case in cases(options):
        data = make_batch(case).to(device)
        model, run = make_side("EQGAT", case)
        model.to(device)
        step = stepper(model, run, data, "training step")
        with FlopCounterMode(display=False) as counter:
            step()
        config = model.config
        passes = 2 * config.num_layers * data.num_edges
        work = {
            "products": float(counter.get_total_flops()),
            "exponentials": float(passes * 2 * config.scalar_channels),
            "bytes": float(passes * (4 * (config.num_radial + 3) + 16)),
        }
        for name, amount in work.items():
            yield row("roofline", case.name, "EQGAT", name, "", amount)
        computing = work["products"] / rates["products"] + work["exponentials"] / rates["exponentials"]
        floor = max(computing, work["bytes"] / rates["bytes"])
        taken = Spread.of(in_turn({"": step}, device, options.repeats, options.seconds)[""])
        yield row("roofline", case.name, "EQGAT", "floor", "s", floor)
        yield row("roofline", case.name, "EQGAT", "training step", "s", taken)
        yield row("roofline", case.name, "EQGAT", "floor / time", "", floor / taken.value)


def precision(options: Options) -> Iterator[Row]:
    """Error of the prediction and of the gradient against float64, and time, in lower precisions; quarters of batches."""

    def results(model: torch.nn.Module, data) -> list[torch.Tensor]:
        model.zero_grad()
        y = model(data)
        y.float().square().sum().backward()
        return [y.detach().double(), *(p.grad.double() for p in model.parameters() if p.grad is not None)]

    kinds: dict[str, Callable[[], object]] = {
        "float32": lambda: torch.autocast(options.device.type, enabled=False),
        "bfloat16 (autocast)": lambda: torch.autocast(options.device.type, dtype=torch.bfloat16),
    }
    if options.device.type == "cuda":
        kinds["TF32"] = kinds["float32"]
    for case in cases(options):
        data = make_batch(case.quarter).to(options.device)  # float64 of the readable layer takes much memory
        for side in ("EQGAT", "EQGAT readable"):
            model, _ = make_side(side, case)
            model.to(options.device)
            exact = results(copy.deepcopy(model).double(), data)
            for name, context in kinds.items():
                torch.backends.cuda.matmul.allow_tf32 = name == "TF32"

                def step(model=model, context=context, data=data) -> list[torch.Tensor]:
                    with context():
                        return results(model, data)

                errors = [float((a - b).norm() / b.norm()) for a, b in zip(step(), exact, strict=True) if b.norm() > 0]
                taken = Spread.of(in_turn({"": step}, options.device, options.repeats, options.seconds)[""])
                yield row("precision", case.name, f"{side}, {name}", "training step", "s", taken)
                yield row("precision", case.name, f"{side}, {name}", "error of the prediction", "", errors[0])
                yield row("precision", case.name, f"{side}, {name}", "largest error of a gradient", "", max(errors[1:]))
            torch.backends.cuda.matmul.allow_tf32 = False


def allocator(options: Options) -> Iterator[Row]:
    """A training step where freed memory goes back to the system, as is usual, and where the process keeps it."""
    for case in cases(options):
        data = make_batch(case).to(options.device)
        for side in (side for side in options.sides if side in ("EQGAT", "SchNet", "PaiNN", "SchNet (PyG)")):
            model, run = make_side(side, case)
            model.to(options.device)
            step = {"": stepper(model, run, data, "training step")}
            taken: dict[str, list[float]] = {"usual": [], "kept": []}
            for _ in range(options.repeats // 2):
                taken["usual"] += in_turn(step, options.device, 1, 0.0)[""]
                with freed_memory_kept():
                    taken["kept"] += in_turn(step, options.device, 1, 0.0)[""]
            for name in taken:
                yield row("allocator", case.name, f"{side}, {name}", "training step", "s", Spread.of(taken[name]))
            times = ratio(taken, "usual", "kept")
            yield row("allocator", case.name, f"{side}, usual", "training step, against kept", "", times)


def neighbours(options: Options) -> Iterator[Row]:
    """Time of the neighbour search: trees, cells, and all pairs of small graphs."""
    batches = {case.name: make_batch(case) for case in cases(options)}
    batches |= {f"{size:,} atoms": protein(size) for size in ((2000,) if options.quick else (2000, 20_000, 100_000))}
    for name, data in batches.items():
        cutoff = 10.0 if name == "Triangle" else 4.5
        points = data.pos.double()
        graph = data.get("batch", torch.zeros(len(points), dtype=torch.int64))
        there = points.to(options.device), graph.to(options.device)
        ways: dict[str, Callable[[], object]] = {
            "trees (CPU)": lambda p=points, g=graph, c=cutoff: by_trees(p.numpy(), g.numpy(), c),
            "cells": lambda t=there, c=cutoff: by_candidates(*t, c, cells=True),
        }
        if int(graph.bincount().max()) <= 500:
            ways["all pairs"] = lambda t=there, c=cutoff: by_candidates(*t, c, cells=False)
        for way, taken in in_turn(ways, options.device, options.repeats, 5.0).items():
            yield row("neighbours", name, way, "search", "ms", Spread.of(1e3 * seconds for seconds in taken))


PARTS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "models": models,
    "scale": scale,
    "roofline": roofline,
    "precision": precision,
    "allocator": allocator,
    "neighbours": neighbours,
    "engine": engine_rows,
    "loading": loading_rows,
}


def main() -> None:
    """Measure the parts asked for, show each row as it comes, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="of the part 'models'")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--quick", action="store_true", help="small batches: to see that all runs, not to compare")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20.0, help="a side that took longer sits out after 3 rounds")
    parser.add_argument("--data", type=Path, help="folder of the ATOM3D tasks, for the part 'loading'")
    tasks = ("triangle", *ATOM3D)
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks, help="of the parts 'engine' and 'loading'")
    parser.add_argument("--out", type=Path, default=results_folder().parent / "bench")
    options = parser.parse_args()
    if "EQGAT" not in options.sides:
        options.sides.insert(0, "EQGAT")
    torch.set_num_threads(1)
    facts = about(options.device)
    facts["command"] = "benchmarks/bench.py" + (" --quick" if options.quick else "")
    for part in options.parts:
        rows = []
        usual = part == "allocator" or options.device.type != "cpu"
        kept = {} if usual else {"allocator": f"{facts['allocator']}, freed memory kept"}
        with nullcontext() if usual else freed_memory_kept():
            for found in PARTS[part](options):
                rows.append(found)
                print(
                    *(f"{found[key]:<26}" for key in ("case", "side", "quantity")),
                    f"{found['value']:.4g} {found['unit']}",
                    flush=True,
                )
        write_report(options.out, facts | kept, pd.DataFrame(rows))
        print(f"written: {options.out}", flush=True)


if __name__ == "__main__":
    main()
