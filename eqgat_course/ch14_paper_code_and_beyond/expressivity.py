"""Clouds of atoms, built by hand, that one model must confuse and another need not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, radius_graph
from eqgat.baselines import PaiNN, SchNet
from eqgat.baselines.segnn import SEGNN
from eqgat.symmetry import random_rotation

__all__ = [
    "CUTOFF",
    "PAIRS",
    "STARS",
    "chain",
    "difference",
    "harmonic_sums",
    "rings",
    "star",
    "tells_apart",
    "torsion_curve",
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


def _prism(twist: float) -> list[list[float]]:
    """The eight corners of a cube, the upper four turned by ``twist`` degrees about the vertical axis."""
    corners = []
    for z in (-1.0, 1.0):
        for quarter in range(4):
            angle = math.radians(45 + 90 * quarter + (twist if z > 0 else 0))
            corners.append([math.sqrt(2) * math.cos(angle), math.sqrt(2) * math.sin(angle), z])
    return corners


SQUARE = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]
STARS: dict[str, list[list[float]]] = {
    "square": SQUARE,
    "tetrahedron": [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]],
    "cube": _prism(0),
    "twisted cube": _prism(45),
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
        kind: "SchNet", "PaiNN", "EQGAT", "EQGAT without cross product" or "SEGNN" (l = 0, 1, 2).
        seed: of its weights.
        num_layers: L.

    EQGAT's cross-product coefficients are multiplied by 30: a trained model may have any, and in an untrained one the
    term is small. Nothing that is proved depends on it.
    """
    common = {"num_elements": 9, "out_channels": 8, "num_layers": num_layers, "cutoff": CUTOFF}
    scalars = {**common, "scalar_channels": 16, "num_radial": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "SchNet":
            return SchNet(**scalars).double()
        if kind == "PaiNN":
            return PaiNN(**scalars, vector_channels=8).double()
        if kind == "SEGNN":
            return SEGNN(**common, width=76).double()
        if kind == "EQGAT without cross product":
            return EQGAT(**scalars, vector_channels=8, cross_product=None).double()
        if kind != "EQGAT":
            raise ValueError(f"there is no kind {kind!r}")
        model = EQGAT(**scalars, vector_channels=8).double()
    with torch.no_grad():
        for layer in model.layers:
            if len(layer.filter.sizes) == 4:
                layer.filter.out.weight[-layer.filter.sizes[-1] :] *= 30
    return model


@torch.no_grad()
def difference(model: Callable[[Data], Tensor], one: Data, other: Data) -> float:
    """Largest difference of the two predictions, relative to the largest of the first."""
    first, second = model(one), model(other)
    return float((first - second).abs().max() / first.abs().max())


def tells_apart(kinds: Iterable[str], seeds: int = 2, threshold: float = 1e-10) -> dict[str, dict[str, bool]]:
    """Which model tells which pair of ``PAIRS`` apart: kind -> pair -> do the outputs differ by more than rounding?

    The second cloud of a pair is turned. The verdict must be the same for all ``seeds`` initial weights.

    Raises:
        AssertionError: two seeds disagree, or a difference is neither rounding nor clearly above it.
    """
    verdicts: dict[str, dict[str, bool]] = {}
    for kind in kinds:
        models, verdicts[kind] = [untrained(kind, seed) for seed in range(seeds)], {}
        for name, build in PAIRS.items():
            one, other = build()
            other.pos = other.pos @ random_rotation(1).T
            found = [difference(model, one, other) for model in models]
            assert len({value > threshold for value in found}) == 1, (kind, name, found)
            assert all(value < 1e-13 or value > 1e-9 for value in found), (kind, name, found)
            verdicts[kind][name] = found[0] > threshold
    return verdicts


def harmonic_sums(directions: Iterable[Iterable[float]], degrees: Iterable[int] = (1, 2, 3, 4)) -> dict[int, float]:
    """Length of the sum over neighbours of the spherical harmonics of degree l, divided by their number: l -> 0 to 1.

    For l = 1 this is the length of the mean direction. 0 means: a layer that sums features of this degree sees nothing.
    """
    from e3nn.o3 import spherical_harmonics

    units = torch.as_tensor(directions, dtype=torch.float64)
    return {
        degree: float(spherical_harmonics(degree, units, normalize=True, normalization="norm").mean(dim=0).norm())
        for degree in degrees
    }


@torch.no_grad()
def torsion_curve(model: Callable[[Data], Tensor], torsions: Tensor) -> tuple[Tensor, Tensor]:
    """One output as a function of the torsion of ``chain``, in two parts: even and odd under the mirror φ → −φ.

    Args:
        model: a model with graph readout.
        torsions: φ in degrees, [n].

    Returns:
        (f(φ) + f(−φ))/2 − f(180°) and (f(φ) − f(−φ))/2, each [n], of the output that varies most.
    """
    plus, minus = (model(Batch.from_data_list([chain(sign * float(phi)) for phi in torsions])) for sign in (1, -1))
    even, odd = (plus + minus) / 2 - model(chain(180.0)), (plus - minus) / 2
    which = int((plus.max(dim=0).values - plus.min(dim=0).values).argmax())
    return even[:, which], odd[:, which]
