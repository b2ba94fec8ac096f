"""Starter code of project 1: your own variant of EQGAT, tested for symmetry, then trained beside the paper's.

    python new_variant.py                # a first comparison: minutes on a CPU
    python new_variant.py --steps 600 --seeds 5

What is here runs, and is an example: an update that also sees dot products of vectors. Replace ``MyUpdate`` and
``my_variant`` by your own idea; leave the symmetry test and the way of comparing as they are, or make them stricter.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, silu
from torch_geometric.data import Batch

from eqgat import EQGAT, radius_graph
from eqgat.datasets import embedded_structure, make_triangles
from eqgat.datasets.triangle import TriangleData
from eqgat.layers import GatedUpdate, vector_length
from eqgat.symmetry import equivariance_errors

CUTOFF = 6.0


class MyUpdate(GatedUpdate):
    """The gated update whose MLP sees, beside the lengths |u|, the dot products u . w of the two halves."""

    def __init__(self, scalar_channels: int, vector_channels: int) -> None:
        super().__init__(scalar_channels, vector_channels)
        self.hidden = nn.Linear(scalar_channels + 2 * vector_channels, scalar_channels)

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(``s`` [N, F_s], ``v`` [N, 3, F_v]) -> the same shapes."""
        num_vector = v.shape[2]
        u, w = self.vector_in(v).split(num_vector, dim=2)
        invariants = torch.cat([s, vector_length(u), (u * w).sum(dim=1)], dim=1)
        gate, s_change = self.out(silu(self.hidden(invariants))).split([num_vector, s.shape[1]], dim=1)
        return s + s_change, v + self.vector_out(gate.unsqueeze(1) * w)


def paper_model(num_elements: int = 2, out_channels: int = 3) -> EQGAT:
    """The model to compare with."""
    return EQGAT(
        num_elements=num_elements,
        out_channels=out_channels,
        scalar_channels=32,
        vector_channels=8,
        num_layers=3,
        num_radial=8,
        cutoff=CUTOFF,
    )


def my_variant(num_elements: int = 2, out_channels: int = 3) -> EQGAT:
    """The same model with the new update in every layer."""
    model = paper_model(num_elements, out_channels)
    for layer in model.layers:
        layer.update = MyUpdate(model.config.scalar_channels, model.config.vector_channels)
    return model


def is_equivariant(model: EQGAT) -> bool:
    """Rotation, translation and permutation on a real protein, errors below 1e-9; reflections are for you to judge."""
    graph = embedded_structure("5pti").graph(cutoff=CUTOFF, dtype=torch.float64)
    errors = equivariance_errors(model.double().eval(), graph)
    return all(max(error.output, error.s, error.v) < 1e-9 for name, error in errors.items() if name != "reflection")


def batch_of(data: TriangleData, rows: Tensor) -> Batch:
    """Clouds with their edges."""
    batch = data.__getitems__(rows.tolist())
    batch.edge_index = radius_graph(batch.pos, CUTOFF, batch.batch)
    return batch


def validation_error(make: Callable[[], EQGAT], seed: int, steps: int, data: dict[str, TriangleData]) -> float:
    """Train for some steps; the mean squared error on the validation clouds, of targets scaled by training data."""
    torch.manual_seed(seed)
    model = make()
    mean, std = data["train"].y.mean(dim=0), data["train"].y.std(dim=0)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        batch = batch_of(data["train"], torch.randint(len(data["train"]), (16,)))
        optimiser.zero_grad()
        mse_loss(model(batch), (batch.y - mean) / std).backward()
        optimiser.step()
    with torch.no_grad():
        batch = batch_of(data["val"], torch.arange(len(data["val"])))
        return float(mse_loss(model.eval()(batch), (batch.y - mean) / std))


def main(argv: list[str] | None = None) -> None:
    """Symmetry first; a variant that fails is not trained. Then the comparison, over several seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clouds", type=int, default=1000)
    options = parser.parse_args(argv)
    if not is_equivariant(my_variant(9, 1)):
        raise SystemExit("my_variant is not equivariant: mend it before you train it")
    print("my_variant is equivariant under rotation, translation and permutation")
    data = make_triangles(options.clouds, num_points=30, radius=6.0, progress=False).split()
    for name, make in (("paper", paper_model), ("my variant", my_variant)):
        errors = torch.tensor([validation_error(make, seed, options.steps, data) for seed in range(options.seeds)])
        spread = f" ± {float(errors.std()):.3f}" if options.seeds > 1 else ""
        print(
            f"{name:<12} {sum(p.numel() for p in make().parameters()):>7,} parameters   validation error "
            f"{float(errors.mean()):.3f}{spread}   ({options.seeds} seeds, {options.steps} steps)"
        )


if __name__ == "__main__":
    main()
