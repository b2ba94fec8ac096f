"""Shared by the tests: small random graphs and models in float64."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch_geometric.data import Data

from eqgat import EQGAT, radius_graph

Module = TypeVar("Module", bound=nn.Module)


def make_graph(num_atoms: int = 25, seed: int = 0, cutoff: float = 4.5) -> Data:
    """A cloud of atoms in float64, spread so that an atom has about ten neighbours."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.randn(num_atoms, 3, generator=generator, dtype=torch.float64) * num_atoms ** (1 / 3)
    z = torch.randint(0, 9, (num_atoms,), generator=generator)
    return Data(z=z, pos=pos, edge_index=radius_graph(pos, cutoff))


def randomised(model: Module, seed: int = 0) -> Module:
    """The model with every parameter moved off its start: biases are no longer 0, the gains of a norm no longer 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def make_model(seed: int = 0, **options) -> EQGAT:
    """A small model in float64 with random weights, which runs as it stands in ``eqgat.layers``: it is what is tested.

    (``test_fast`` holds the fast path against it.)
    """
    torch.manual_seed(seed)
    defaults = {
        "num_elements": 9,
        "out_channels": 2,
        "scalar_channels": 12,
        "vector_channels": 5,
        "num_layers": 3,
        "num_radial": 8,
        "fast": False,
    }
    return EQGAT(**{**defaults, **options}).double()
