"""Time and memory of one training step of every model on the Triangle data, at the full profile's settings.

    python benchmarks/training_step.py [--models eqgat painn] [--device cpu] [--clouds 64] [--write]

A step is: edges, forward, backward, clipping, Adam. On a CPU one thread works, and its processor time is taken, which
other programs on the machine change little; on a GPU it is elapsed time. Memory is what the forward pass keeps for
the backward pass, summed over tensors. ``--clouds`` takes a smaller batch than the profile's 64 where a machine is too
small for it.
``--write`` puts the rows into ``figures/results/step_time.csv``, replacing those of the same model and device;
``python -m eqgat tables`` shows them beside the commands of the full runs.
"""

from __future__ import annotations

import argparse
import statistics
import time

import pandas as pd
import torch

from eqgat.training import make_settings
from eqgat.training.results import device_name, package_versions, results_folder
from eqgat.training.settings import models_of
from eqgat.training.tasks import make_task


def measure(model_name: str, options: argparse.Namespace) -> dict[str, object]:
    """One row: seconds (median) of a step, MiB kept for the backward pass."""
    settings = make_settings("triangle", model_name, "full", data_options={"n": 1000})
    task = make_task(settings)
    clouds = task.load(None)["train"]
    model = task.build().to(options.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def step(number: int, counted: bool = False) -> float:
        first = number * options.clouds % (len(clouds) - options.clouds)
        batch = clouds.__getitems__(list(range(first, first + options.clouds))).to(options.device)
        clock = time.perf_counter if options.device != "cpu" else time.process_time
        start = clock()
        batch = task.prepare(batch)
        optimizer.zero_grad()
        if counted:
            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                loss = task.loss(model(batch), batch.y)
        else:
            loss = task.loss(model(batch), batch.y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        optimizer.step()
        if batch.pos.is_cuda:
            torch.cuda.synchronize()
        return clock() - start

    step(0, counted=True)
    seconds = statistics.median(step(number) for number in range(1, options.repeats + 1))
    device = device_name(torch.device(options.device))
    if options.device == "cpu":
        device += ", one thread"
    return {
        "task": "triangle",
        "model": model_name,
        "profile": "full",
        "device": device,
        "clouds": options.clouds,
        "seconds_per_step": round(seconds, 4),
        "kept_mib": round(sum(kept.values()) / 2**20),
        "versions": package_versions(),
    }


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=models_of("triangle"), default=models_of("triangle"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clouds", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    rows = pd.DataFrame([measure(name, options) for name in options.models])
    print(rows.drop(columns="versions").to_string(index=False))
    if options.write:
        file = results_folder() / "step_time.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            old = pd.read_csv(file)
            keys = ["task", "model", "profile", "device"]
            old = old[~old.set_index(keys).index.isin(rows.set_index(keys).index)]
            rows = pd.concat([old, rows], ignore_index=True)
        rows.to_csv(file, index=False)


if __name__ == "__main__":
    main()
