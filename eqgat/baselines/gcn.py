"""ATOM3D's graph baseline (Townshend et al. 2021; row GNN of Table 1): five graph convolutions on one-hot elements.

It sees distances alone, as edge weights 1 / (d + 1e-5), so it is invariant under rotations and reflections. Elements
have ATOM3D's vocabulary and not EQGAT's: 18 for proteins and RNA, 43 more for the atoms of a ligand, whose edges are
the bonds, weighted by their order. ATOM3D takes all atoms, hydrogens and waters too.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch_geometric.nn import GCNConv, global_add_pool

from eqgat.baselines.common import atom3d_settings
from eqgat.baselines.spec import ModelSpec
from eqgat.checks import check_graph, check_options
from eqgat.chemistry import SYMBOLS
from eqgat.errors import UserError
from eqgat.graph import edge_geometry
from eqgat.layers import mean_over_graph
from eqgat.model import graph_numbers

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["GCN", "SPEC"]

# ATOM3D's vocabularies, in its order; an element that is missing takes the last place.
_PROTEIN = "C H O N S P Zn Na Fe Ca Mn Ni Co Mg Cu Cl Se F"
_LIGAND = (
    "C N O S F Si P Cl Br Mg Na Ca Fe As Al I B V K Tl Yb Sb Sn Ag Pd Co Se Ti Zn H Li Ge Cu Au Ni Cd In Mn Zr "
    "Cr Pt Hg Pb"
)


class GCN(nn.Module):
    """Graph convolutions of widths h, 2h, 4h, 4h and ``last_width`` h, each with ReLU and batch norm; pooling; a head.

    Needs, beside ``edge_index`` and ``pos``, the field ``atomic_number`` [N]; with ``ligand=True`` also ``ligand``
    [N], ``bond_index`` [2, B] and ``bond_order`` [B]; with ``readout="center"`` or ``"pair"`` also ``center_index``.

    Args:
        out_channels: number of targets.
        hidden: h.
        last_width: width of the last convolution, in units of h.
        head_width: width of the hidden layer of the head, in units of h.
        readout: "mean" or "sum" over the atoms; "center": the atom that the graph is about; "pair": two graphs after
            each other in the batch, their central atoms side by side, one prediction for the two.
        ligand: whether graphs are pockets with a ligand.
        dropout: in the head.

    Raises:
        UserError: an unknown choice, or a size that is not positive.

    >>> from eqgat.datasets import embedded_structure
    >>> structure = embedded_structure("5pti")
    >>> graph = structure.graph(4.5)
    >>> graph.atomic_number = torch.from_numpy(structure.atomic_number)
    >>> GCN().eval()(graph).shape
    torch.Size([1, 1])
    """

    columns_0: Tensor
    columns_1: Tensor

    def __init__(
        self,
        out_channels: int = 1,
        hidden: int = 64,
        last_width: int = 4,
        head_width: int = 2,
        readout: Literal["mean", "sum", "center", "pair"] = "mean",
        ligand: bool = False,
        dropout: float = 0.25,
    ) -> None:
        check_options(GCN.__init__, locals())
        super().__init__()
        self.readout, self.has_ligand = readout, ligand
        self.vocabularies = [_PROTEIN.split(), *([_LIGAND.split()] if ligand else [])]
        self.sizes = [len(vocabulary) for vocabulary in self.vocabularies]
        for number, vocabulary in enumerate(self.vocabularies):
            place = {symbol: index for index, symbol in enumerate(vocabulary)}
            columns = torch.tensor([place.get(symbol, len(vocabulary) - 1) for symbol in SYMBOLS])
            self.register_buffer(f"columns_{number}", columns + sum(self.sizes[:number]), persistent=False)
        widths = [sum(self.sizes), hidden, 2 * hidden, 4 * hidden, 4 * hidden, last_width * hidden]
        self.convolutions = nn.ModuleList(GCNConv(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        pooled = widths[-1] * (2 if readout == "pair" else 1)
        self.head = nn.Sequential(
            nn.Linear(pooled, head_width * hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(head_width * hidden, out_channels),
        )

    @property
    def answers_pairs(self) -> bool:
        """Whether it makes one prediction of two graphs."""
        return self.readout == "pair"

    def forward(self, data: Data) -> Tensor:
        """Predictions [number of graphs, out_channels], or one row for two graphs with ``readout="pair"``.

        Raises:
            UserError: missing fields, wrong shapes, NaN coordinates, unsorted or out-of-range edges.
        """
        check_graph(data, len(SYMBOLS))
        x, edges, weight = self._graph(data)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(torch.relu(convolution(x, edges, weight)))
        batch, num_graphs = graph_numbers(data)
        if self.readout == "mean":
            x = mean_over_graph(x, batch, num_graphs)
        elif self.readout == "sum":
            x = global_add_pool(x, batch, num_graphs)
        else:
            x = x[data.center_index]
            x = x.view(-1, 2 * x.shape[1]) if self.readout == "pair" else x
        return self.head(x)

    def _graph(self, data: Data) -> tuple[Tensor, Tensor, Tensor]:
        """One-hot elements [N, 18] or [N, 61], edges [2, E] and their weights [E]."""
        needed = ["atomic_number", *(["ligand", "bond_index", "bond_order"] if self.has_ligand else [])]
        if missing := [name for name in needed if data.get(name) is None]:
            raise UserError(f"GCN needs the field {', '.join(missing)}, which load_atom3d gives to its graphs")
        number = data.atomic_number.long()
        column = self.columns_0[number]
        distance, _ = edge_geometry(data.pos, data.edge_index)
        edges, weight = data.edge_index, 1 / (distance + 1e-5)
        if self.has_ligand:
            column = torch.where(data.ligand, self.columns_1[number], column)
            within = data.ligand[edges].all(dim=0)
            edges = torch.cat([edges[:, ~within], data.bond_index, data.bond_index.flip(0)], dim=1)
            weight = torch.cat([weight[~within], data.bond_order.to(weight.dtype).repeat(2)])
        dtype = next(self.head.parameters()).dtype
        return one_hot(column, sum(self.sizes)).to(dtype), edges, weight.to(dtype)


SPEC = ModelSpec(
    GCN,
    labels={"1": "GNN"},
    settings={
        "lba": atom3d_settings(100, 1e-4, 16, {"last_width": 8, "head_width": 4, "readout": "sum", "ligand": True}),
        "psr": atom3d_settings(20, 1e-4, 40, {}, hydrogens=True),
        "rsr": atom3d_settings(20, 1e-4, 32, {}, hydrogens=True),
        "res": atom3d_settings(5, 1e-4, 64, {"last_width": 2, "readout": "center"}),
        "ppi": atom3d_settings(20, 1e-3, 16, {"last_width": 2, "head_width": 4, "readout": "pair"}, hydrogens=True),
    },
    profiles={"quick": {"epochs": 3, "schedule": "plateau", "standardise": False}},
    only_named=True,
)
