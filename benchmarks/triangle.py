"""Time to make the Triangle data, and to make the edges of a batch in three ways.

python benchmarks/triangle.py [--clouds 50000] [--device cpu] [--threads 2]
"""

from __future__ import annotations

import argparse
import time

import torch

from eqgat import radius_graph
from eqgat.datasets import make_triangles
from eqgat.datasets.triangle import dense_radius_graph


def seconds(function, repeats: int = 5) -> float:
    """Shortest of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clouds", type=int, default=50_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    start = time.perf_counter()
    data = make_triangles(options.clouds)
    print(f"{options.clouds:,} clouds of 100 points: {time.perf_counter() - start:.1f} s")

    batch = data.__getitems__(list(range(64))).to(options.device)
    edges = dense_radius_graph(batch.pos, 64, 10.0)
    print(f"edges of 64 clouds ({edges.shape[1]:,}), {options.device}:")
    trees = seconds(lambda: radius_graph(batch.pos, 10.0, batch.batch))
    print(f"  neighbour trees on the CPU      {1000 * trees:.1f} ms")
    print(f"  all pairs of the batch          {1000 * seconds(lambda: dense_radius_graph(batch.pos, 64, 10.0)):.1f} ms")
    stored = edges.cpu()
    print(
        f"  copied from memory, if stored   {1000 * seconds(lambda: stored.clone().to(options.device)):.1f} ms, "
        f"at {stored.nbytes / 64 * options.clouds / 1e9:.1f} GB for {options.clouds:,} clouds"
    )


if __name__ == "__main__":
    main()
