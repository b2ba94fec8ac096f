"""Time of the neighbour list within 4.5 Å, at the density of heavy atoms in a protein.

python benchmarks/neighbours.py [--repeats 20]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from eqgat import radius_graph

ATOMS_PER_CUBIC_ANGSTROM = 0.05  # gives the 17 neighbours that a heavy atom of a protein has


def main() -> None:
    """Measure and print one row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    print(f"{'atoms':>8}{'edges':>10}{'median':>12}{'min':>12}{'max':>12}")
    for atoms in (100, 2_000, 20_000, 100_000):
        pos = torch.rand(atoms, 3, generator=torch.Generator().manual_seed(0)) * (atoms / ATOMS_PER_CUBIC_ANGSTROM) ** (
            1 / 3
        )
        edges = radius_graph(pos, 4.5).shape[1]
        times = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            radius_graph(pos, 4.5)
            times.append((time.perf_counter() - start) * 1e3)
        print(f"{atoms:>8}{edges:>10}" + "".join(f"{f(times):>9.1f} ms" for f in (statistics.median, min, max)))


if __name__ == "__main__":
    main()
