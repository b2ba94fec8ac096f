"""Clouds of atoms built by hand, pairs that one kind of model must confuse and another need not, and small models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from eqgat import EQGAT, radius_graph
from eqgat.baselines import GVPGNN, PaiNN, SchNet
from eqgat.baselines.segnn import SEGNN
from eqgat.layers import EQGATLayer
from eqgat.saving import seeded

__all__ = [
    "BOND",
    "CUTOFF",
    "PAIRS",
    "SQUARE",
    "STARS",
    "arms",
    "chain",
    "difference",
    "prism",
    "rings",
    "star",
    "untrained",
]

CUTOFF = 4.5  # Å, as in the paper
BOND = 4.0  # Å: of all clouds here, so that an edge joins a centre and its neighbours and no two of the neighbours


def rings(number: int, size: int) -> Data:
    """``number`` rings of ``size`` carbons, 20 Å apart; neighbours in a ring are 4 Å apart. Float64."""
    angle = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    radius = BOND / (2 * math.sin(math.pi / size))
    ring = torch.stack([radius * angle.cos(), radius * angle.sin(), 0 * angle], dim=1)
    pos = torch.cat([ring + torch.tensor([20.0 * k, 0, 0]) for k in range(number)])
    return Data(z=torch.ones(len(pos), dtype=torch.int64), pos=pos, edge_index=radius_graph(pos, CUTOFF))


def chain(torsion: float, angle: float = 112.0) -> Data:
    """Four carbons in a chain with steps of 4 Å. ``angle``, at the inner two, and ``torsion`` are in degrees.

    Only neighbours in the chain are closer than 4.5 Å. A torsion of 0 is cis, 180 is trans; ``-torsion`` is the mirror
    image.
    """
    bend, turn = math.radians(angle), math.radians(torsion)
    out, up = BOND * math.sin(bend), BOND * math.cos(bend)
    pos = torch.tensor(
        [[out, 0, up], [0, 0, 0], [0, 0, BOND], [out * math.cos(turn), out * math.sin(turn), BOND - up]],
        dtype=torch.float64,
    )
    return Data(z=torch.ones(4, dtype=torch.int64), pos=pos, edge_index=radius_graph(pos, CUTOFF))


def star(
    directions: Iterable[Iterable[float]] | Tensor, elements: Iterable[int] | None = None, bond: float = BOND
) -> Data:
    """A carbon (row 0) with neighbours around it; the edges are all pairs closer than 4.5 Å. Float64.

    Args:
        directions: [k, 3], of any length.
        elements: element numbers of the neighbours, [k]; nitrogen if left out.
        bond: distance of the neighbours from the carbon, Å. With 4 Å, neighbours more than 68.5 degrees apart do not
            see each other.
    """
    units = torch.as_tensor(directions, dtype=torch.float64)
    pos = torch.cat([torch.zeros(1, 3, dtype=torch.float64), bond * units / units.norm(dim=1, keepdim=True)])
    z = torch.tensor([1, *([2] * len(units) if elements is None else elements)])
    return Data(z=z, pos=pos, edge_index=radius_graph(pos, CUTOFF))


def prism(twist: float, fold: int = 4) -> list[list[float]]:
    """Corners of a prism with ``fold`` corners above and below, the upper ones turned by ``twist`` degrees.

    Four and no twist: a cube.
    """
    corners = []
    for z in (-1.0, 1.0):
        for corner in range(fold):
            angle = math.radians(45 + 360 / fold * corner + (twist if z > 0 else 0))
            corners.append([math.sqrt(2) * math.cos(angle), math.sqrt(2) * math.sin(angle), z])
    return corners


def arms(directions: Iterable[Iterable[float]]) -> Data:
    """A carbon and nitrogens 4 Å from it in these directions, joined to the carbon alone, however close they are."""
    cloud = star(directions)
    source, receiver = ends = torch.arange(1, len(cloud.z)), torch.zeros(len(cloud.z) - 1, dtype=torch.int64)
    cloud.edge_index = torch.stack([torch.cat(ends), torch.cat([receiver, source])])
    return cloud


SQUARE: list[list[float]] = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]
STARS: dict[str, list[list[float]]] = {
    "square": SQUARE,
    "tetrahedron": [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]],
    "cube": prism(0),
    "twisted cube": prism(45),
}
# What is compared: name -> the two clouds. In cis, equal elements are next to each other; in trans, opposite.
PAIRS: dict[str, Callable[[], tuple[Data, Data]]] = {
    "one ring of 6 / two of 3": lambda: (rings(1, 6), rings(2, 3)),
    "torsion 180° / 60°": lambda: (chain(180), chain(60)),
    "torsion 60° / −60°": lambda: (chain(60), chain(-60)),
    "cis / trans square": lambda: (star(SQUARE, (6, 6, 2, 2)), star(SQUARE, (6, 2, 6, 2))),
    "square / tetrahedron": lambda: (star(SQUARE), star(STARS["tetrahedron"])),
    "cube / twisted cube": lambda: (star(STARS["cube"]), star(STARS["twisted cube"])),
    "square / tetrahedron, 1.5 Å": lambda: (star(SQUARE, bond=1.5), star(STARS["tetrahedron"], bond=1.5)),
}


def untrained(kind: str, seed: int = 0, num_layers: int = 3) -> nn.Module:
    """A small untrained model in float64, graph readout, 8 outputs.

    Args:
        kind: "SchNet", "PaiNN", "GVP", "EQGAT", "EQGAT without cross product" or "SEGNN" (l = 0, 1, 2).
        seed: of its weights.
        num_layers: L.

    EQGAT's cross-product coefficients are multiplied by 30: a trained model may have any, and in an untrained one the
    term is small. Nothing that is proved depends on it.
    """
    common: dict[str, Any] = {"num_elements": 9, "out_channels": 8, "num_layers": num_layers, "cutoff": CUTOFF}
    scalars = {**common, "scalar_channels": 16, "num_radial": 8}
    vectors = {**scalars, "vector_channels": 8}
    kinds: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
        "SchNet": (SchNet, scalars),
        "PaiNN": (PaiNN, vectors),
        "GVP": (GVPGNN, {**vectors, "edge_scalars": 16, "dropout": 0.0}),
        "SEGNN": (SEGNN, {**common, "width": 76}),
        "EQGAT": (EQGAT, vectors),
        "EQGAT without cross product": (EQGAT, {**vectors, "cross_product": None}),
    }
    if kind not in kinds:
        raise ValueError(f"there is no kind {kind!r}")
    model = seeded(kinds[kind][0], seed, **kinds[kind][1]).double()
    if kind != "EQGAT":
        return model
    with torch.no_grad():
        for layer in cast(Iterable[EQGATLayer], model.layers):
            if len(layer.filter.sizes) == 4:
                layer.filter.out.weight[-layer.filter.sizes[-1] :] *= 30
    return model


@torch.no_grad()
def difference(model: Callable[[Data], Tensor], one: Data, other: Data) -> float:
    """Largest difference of the two predictions, relative to the largest of the first."""
    first, second = model(one), model(other)
    return float((first - second).abs().max() / first.abs().max())
