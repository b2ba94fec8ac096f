"""ATOM3D's voxel baseline (Townshend et al. 2021; row CNN of Table 1): 3D convolutions on a grid of occupancies.

Each voxel of a cube says, for each element in a list, whether an atom of it is there. Convolutions on a grid know
nothing of rotations: the network is shown each structure in random orientations instead, and learns them as best it
can. In RES the cube is fixed to the backbone of the residue, and turns with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from eqgat.baselines.common import atom3d_settings
from eqgat.baselines.spec import ModelSpec
from eqgat.checks import check_options, check_positions
from eqgat.chemistry import SYMBOLS
from eqgat.errors import UserError
from eqgat.layers import mean_over_graph
from eqgat.model import graph_numbers

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["CNN3D", "SPEC", "grid_rotations", "voxels"]


def grid_rotations(directions: int = 20, rolls: int = 20) -> Tensor:
    """Rotations [directions * rolls, 3, 3]: the z axis onto points of a Fibonacci sphere, each with equal rolls.

    >>> grid_rotations().shape
    torch.Size([400, 3, 3])
    """
    number = torch.arange(directions, dtype=torch.float64) + 0.5
    polar, azimuth = torch.arccos(1 - 2 * number / directions), math.pi * (1 + math.sqrt(5)) * number
    roll = torch.arange(rolls, dtype=torch.float64) * 2 * math.pi / rolls
    polar, azimuth, roll = (
        x.flatten() for x in (polar.repeat_interleave(rolls), azimuth.repeat_interleave(rolls), roll.repeat(directions))
    )
    return _about(azimuth, 2) @ _about(polar, 1) @ _about(roll, 2)


def _about(angle: Tensor, axis: int) -> Tensor:
    """Rotations [M, 3, 3] by angles [M] about one axis."""
    a, b = [k for k in range(3) if k != axis]
    matrix = torch.eye(3, dtype=angle.dtype).repeat(len(angle), 1, 1)
    sign = -1 if axis == 1 else 1
    matrix[:, a, a] = matrix[:, b, b] = angle.cos()
    matrix[:, b, a], matrix[:, a, b] = sign * angle.sin(), -sign * angle.sin()
    return matrix


def voxels(
    offset: Tensor, channel: Tensor, batch: Tensor, num_graphs: int, num_channels: int, size: int, resolution: float
) -> Tensor:
    """Occupancies [graphs, channels, size, size, size], 0 or 1.

    Args:
        offset: positions relative to the centre of the cube [N, 3], Å.
        channel: of each atom [N]; -1 for an element that has none.
        batch: graph of each atom [N].
        num_graphs, num_channels: how many there are.
        size: voxels along an edge.
        resolution: edge of a voxel, Å. The cube's edge is ``size * resolution``; what is outside is not seen.

    >>> one = torch.zeros(1, dtype=torch.int64)
    >>> voxels(torch.zeros(1, 3), one, one, num_graphs=1, num_channels=2, size=3, resolution=1.0)[0, :, 1, 1, 1]
    tensor([1., 0.])
    """
    place = torch.round((offset + size * resolution / 2) / resolution - 0.5).long()
    seen = ((place >= 0) & (place < size)).all(dim=1) & (channel >= 0)
    grid = offset.new_zeros(num_graphs, num_channels, size, size, size)
    grid[batch[seen], channel[seen], place[seen, 0], place[seen, 1], place[seen, 2]] = 1
    return grid


class CNN3D(nn.Module):
    """The 3D-CNN. Needs ``pos`` and ``atomic_number``; edges are not used.

    Args:
        out_channels: number of targets.
        elements: symbols of the elements that have a channel; atoms of others are not seen.
        radius, resolution: R and h in Å; the cube has round((2R + 1) / h) voxels along an edge.
        center: of the cube: "ligand" (centroid; needs ``ligand``), "centroid", "alpha_carbon" (needs
            ``center_index``), or "backbone": the place of an ideal C-beta, the cube fixed to N, CA and C of the residue
            (needs ``backbone_index``).
        layout: "graph": four convolutions and a head; "pair": that for two graphs after each other in the batch, with
            shared weights, and one prediction; "residue": the fully convolutional network of RES.
        dropout, head_dropout: after convolutions, and between the linear layers.
        augment: in training, a random one of 400 rotations for each graph and step; in evaluation always the first,
            so that a test can be repeated. (ATOM3D's scripts rotate at random in evaluation too.)

    Raises:
        UserError: an unknown choice or element, or a grid too small for the convolutions.

    >>> from eqgat.datasets import embedded_structure
    >>> graph = embedded_structure("5pti").graph(4.5)
    >>> graph.atomic_number = torch.from_numpy(embedded_structure("5pti").atomic_number)
    >>> CNN3D(out_channels=1, elements=("C", "N", "O", "S"), radius=10.0, center="centroid").eval()(graph).shape
    torch.Size([1, 1])
    """

    channels: Tensor
    rotations: Tensor
    head: nn.Module

    def __init__(
        self,
        out_channels: int = 1,
        elements: Sequence[str] = ("C", "O", "N", "S"),
        radius: float = 40.0,
        resolution: float = 1.3,
        center: Literal["ligand", "centroid", "alpha_carbon", "backbone"] = "centroid",
        layout: Literal["graph", "pair", "residue"] = "graph",
        dropout: float = 0.1,
        head_dropout: float = 0.25,
        augment: bool = True,
    ) -> None:
        check_options(CNN3D.__init__, locals())
        super().__init__()
        if unknown := [symbol for symbol in elements if symbol not in SYMBOLS[1:]]:
            raise UserError(f"unknown elements {', '.join(map(repr, unknown))}")
        self.center, self.layout, self.resolution, self.augment = center, layout, resolution, augment
        self.num_channels, self.size = len(elements), round((2 * radius + 1) / resolution)
        place = {symbol: index for index, symbol in enumerate(elements)}
        self.register_buffer("channels", torch.tensor([place.get(symbol, -1) for symbol in SYMBOLS]), persistent=False)
        self.register_buffer("rotations", grid_rotations().float(), persistent=False)
        if layout == "residue":
            if self.size != 20:
                raise UserError(
                    f"the layout 'residue' needs a grid of 20 voxels; radius {radius} Å and resolution "
                    f"{resolution} Å give {self.size}"
                )
            self.tower, self.head = _residue_network(self.num_channels, out_channels, dropout), nn.Flatten()
            return
        self.tower = _tower(self.num_channels, self.size, dropout, head_dropout)
        wide = [
            nn.Linear(1024, 512),
            nn.ReLU(),
            nn.Dropout(head_dropout),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Dropout(head_dropout),
        ]
        self.head = nn.Sequential(*(wide if layout == "pair" else []), nn.Linear(512, out_channels))

    @property
    def answers_pairs(self) -> bool:
        """Whether it makes one prediction of two graphs."""
        return self.layout == "pair"

    def forward(self, data: Data) -> Tensor:
        """Predictions [number of graphs, out_channels], or one row for two graphs with ``layout="pair"``.

        Raises:
            UserError: a field is missing, or coordinates are NaN.
        """
        x = self.tower(self.grid(data))
        return self.head(x.view(-1, 2 * x.shape[1]) if self.layout == "pair" else x)

    def grid(self, data: Data) -> Tensor:
        """The occupancies that the network sees [graphs, elements, n, n, n]."""
        field = {"ligand": "ligand", "alpha_carbon": "center_index", "backbone": "backbone_index"}.get(self.center)
        for name in ("atomic_number", field):
            if name is not None and data.get(name) is None:
                raise UserError(f"CNN3D needs the field {name}, which load_atom3d gives to graphs of its task")
        check_positions(data.pos)
        batch, num_graphs = graph_numbers(data)
        origin, rotation = self._placement(data, batch, num_graphs)
        offset = torch.einsum("nij,nj->ni", rotation[batch], data.pos - origin[batch])
        return voxels(
            offset.to(self.rotations.dtype),
            self.channels[data.atomic_number.long()],
            batch,
            num_graphs,
            self.num_channels,
            self.size,
            self.resolution,
        )

    def _placement(self, data: Data, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Centre [graphs, 3] of the cubes and rotations [graphs, 3, 3] into their frames."""
        if self.center == "backbone":
            return _backbone_frame(*data.pos[data.backbone_index].view(-1, 3, 3).unbind(dim=1))
        if self.center == "alpha_carbon":
            origin = data.pos[data.center_index]
        elif self.center == "ligand":
            origin = mean_over_graph(data.pos[data.ligand], batch[data.ligand], num_graphs)
        else:
            origin = mean_over_graph(data.pos, batch, num_graphs)
        rotations = self.rotations.to(data.pos.dtype)
        chosen = (
            torch.randint(len(rotations), (num_graphs,), device=origin.device)
            if self.training and self.augment
            else torch.zeros(num_graphs, dtype=torch.int64, device=origin.device)
        )
        return origin, rotations[chosen]


def _backbone_frame(n: Tensor, alpha: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Place of an ideal C-beta [M, 3] and the rotation [M, 3, 3] into the residue's frame, from atoms [M, 3].

    x points from CA to the middle between N and C, y lies in their plane, z = x × y.
    """
    to_n, to_c = (nn.functional.normalize(atom - alpha, dim=1) for atom in (n, c))
    x = nn.functional.normalize(to_n + to_c, dim=1)
    y = nn.functional.normalize(to_c - to_n, dim=1)
    frame = torch.stack([x, y, torch.linalg.cross(x, y)], dim=1)
    # Tetrahedral: 1.53 Å from CA, away from N and C, above their plane for an L amino acid.
    beta = 1.53 * (-math.cos(math.radians(54.75)) * frame[:, 0] + math.sin(math.radians(54.75)) * frame[:, 2])
    return alpha + beta, frame


def _tower(channels: int, size: int, dropout: float, head_dropout: float) -> nn.Sequential:
    """Four valid convolutions of 3³ with 32, 64, 128, 256 filters, pooled after the second and fourth; to 512."""
    layers: list[nn.Module] = []
    for number, filters in enumerate((32, 64, 128, 256)):
        layers += [nn.Conv3d(channels, filters, 3), nn.ReLU()]
        channels, size = filters, size - 2
        if number % 2:
            layers.append(nn.MaxPool3d(2))
            size //= 2
        layers.append(nn.Dropout(dropout))
    if size < 1:
        raise UserError(
            "the grid is too small for four convolutions and two poolings; raise radius or lower resolution"
        )
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size**3, 512), nn.ReLU(), nn.Dropout(head_dropout))


def _residue_network(channels: int, out_channels: int, dropout: float) -> nn.Sequential:
    """Convolutions 20³ -> 10³ -> 5³ -> 1³, without biases, with batch norm."""
    layers: list[nn.Module] = []
    for filters, kernel, stride in ((64, 4, 2), (128, 3, 1), (256, 4, 2), (512, 3, 1), (1024, 3, 1)):
        layers += [
            nn.Conv3d(channels, filters, kernel, stride, padding=1, bias=False),
            nn.BatchNorm3d(filters),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
        ]
        channels = filters
    return nn.Sequential(*layers, nn.Conv3d(channels, out_channels, 5, bias=False))


_POLYMER, _RNA = ("C", "O", "N", "S"), ("C", "O", "N", "P")
_LIGANDS = {"elements": ("H", "C", "O", "N", "F"), "radius": 20.0, "resolution": 1.0, "center": "ligand"}
_RESIDUES = {"elements": (*_POLYMER, "P"), "radius": 9.5, "resolution": 1.0, "center": "backbone", "layout": "residue"}
_PAIRS = {"elements": _POLYMER, "radius": 17.0, "resolution": 1.0, "center": "alpha_carbon", "layout": "pair"}
SPEC = ModelSpec(
    CNN3D,
    labels={"1": "CNN"},
    settings={
        "lba": atom3d_settings(50, 1e-3, 16, _LIGANDS),
        "psr": atom3d_settings(20, 1e-4, 16, {"elements": _POLYMER, "radius": 40.0, "resolution": 1.3}),
        "rsr": atom3d_settings(30, 1e-4, 16, {"elements": _RNA, "radius": 40.0, "resolution": 1.3}),
        "res": atom3d_settings(5, 1e-4, 64, _RESIDUES),
        "ppi": atom3d_settings(30, 1e-5, 16, _PAIRS),
    },
    profiles={"quick": {"epochs": 3, "schedule": "plateau", "standardise": False}},
    only_named=True,
)
