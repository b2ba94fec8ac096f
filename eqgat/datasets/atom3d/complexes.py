"""PPI by complexes: both partners whole, once, and many pairs of their residues drawn anew in every epoch.

The released code makes two graphs of 30 Å for each pair, so that a partner of 300 residues is computed again and again.
A model of five layers with edges of 4.5 Å sees 22.5 Å: at an alpha carbon it answers the same in the graph of the whole
partner. One pass then serves all pairs of a complex. Stored pairs, which validation and test need, are ``PPIOptions``'.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from eqgat.datasets.atom3d.data import Atom3DData, ItemData
from eqgat.datasets.atom3d.samples import make_graph
from eqgat.errors import UserError

__all__ = ["Complexes"]


class Complexes(torch.utils.data.Dataset):
    """Items of a PPI split: ``complexes[i]`` is one graph of both partners, without edges between them.

    Its ``center_index`` [2 P] names the alpha carbons of P pairs, those of a pair side by side, and ``y`` [2 P, 1]
    repeats the label of a pair for both. Half of the pairs touch.

    Args:
        data: the split, read from its items (prepared data hold the stored pairs alone).
        pairs: of residues that touch, drawn anew in every epoch; all, where a complex has fewer. As many as the
            options of ``data`` say (``negatives``) for each of these do not touch.

    Raises:
        UserError: data of another task, or fewer than one pair.

    >>> from eqgat.datasets.atom3d.load import toy_items
    >>> complexes = Complexes(ItemData("ppi", toy_items("ppi", "train")), pairs=2)
    >>> complexes[0].y.flatten()
    tensor([1., 1., 1., 1., 0., 0., 0., 0.])
    """

    def __init__(self, data: Atom3DData, pairs: int) -> None:
        if not isinstance(data, ItemData) or data.task != "ppi" or pairs < 1:
            raise UserError(f"complexes are made of PPI items with at least one pair; got {data} and {pairs} pairs")
        self.data, self.pairs, self.epoch = data, pairs, 0
        self.items = np.unique(data.contents.item)

    def set_epoch(self, epoch: int) -> None:
        """Which pairs are drawn depends on this number, on the option ``seed`` and on the name of the complex."""
        self.epoch = epoch

    def __getattr__(self, name: str) -> Any:
        """All else (``y``, ``skipped``, ``digest`` ...) is that of the stored pairs."""
        if name == "data":  # not there yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.data, name)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Data:
        options = self.data.options
        parsed = self.data.reader.parse(
            self.data.items[int(self.items[index])],
            replace(options, positives=self.pairs, seed=_seed(options.seed, self.epoch)),
        )
        none = np.empty(0, dtype=np.int64)
        graphs = [make_graph(molecule, None, none, None, self.data.cutoff) for molecule in parsed.molecules]
        start = np.cumsum([0, *[graph.num_nodes for graph in graphs]]).tolist()
        edges = [graph.edge_index + first for graph, first in zip(graphs, start, strict=False)]
        views = [view for sample in parsed.samples for view in sample.views]
        atoms = {key: torch.cat([graph[key] for graph in graphs]) for key in ("z", "pos", "atomic_number")}
        return Data(
            **atoms,
            edge_index=torch.cat(edges, dim=1),
            center_index=torch.tensor([start[view.molecule] + view.marks[0] for view in views]),
            y=torch.tensor([[float(sample.y)] for sample in parsed.samples for _ in sample.views]),
            name=parsed.samples[0].group,
        )


def _seed(seed: int, epoch: int) -> int:
    """Of the pairs of an epoch; none of them is ``seed`` itself but by chance."""
    return int(np.random.SeedSequence([seed, 1 + epoch]).generate_state(1)[0])
