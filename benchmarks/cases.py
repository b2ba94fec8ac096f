"""What is measured: batches that need no download, and the models side by side on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import SchNet as PyGSchNet

from eqgat import radius_graph
from eqgat.datasets import embedded_structure, make_triangles
from eqgat.training.settings import build_model, make_settings
from eqgat_course.literal import literal_forward

LARGE = ("7cfn", "7ddo", "1bd2", "2xhe", "19hc", "1a28", "10gs", "6wg6")  # embedded structures of thousands of atoms
SIDES = ("EQGAT", "EQGAT readable", "EQGAT literal", "SchNet", "PaiNN", "GVP-GNN", "SEGNN", "SchNet (PyG)")


@dataclass(frozen=True)
class Case:
    """A batch, by name: ``count`` graphs of ``size`` atoms, and the models' settings for ``task``."""

    name: str
    task: str
    count: int
    size: int

    @property
    def quarter(self) -> Case:
        """The same with a quarter of the graphs."""
        return Case(self.name, self.task, -(-self.count // 4), self.size)

    @property
    def about(self) -> str:
        return f"{self.count} x {self.size:,} atoms"


CASES = {
    "Triangle": Case("Triangle", "triangle", 64, 100),
    "LBA-like": Case("LBA-like", "lba", 16, 400),
    "PSR-like": Case("PSR-like", "psr", 16, 1500),
}


def protein(size: int, seed: int = 0) -> Data:
    """``size`` atoms of an embedded structure, those nearest to one of them; of more than it has, copies in a row."""
    whole = embedded_structure(LARGE[seed % len(LARGE)] if size <= 3000 else LARGE[0]).graph(
        cutoff=4.5, dtype=torch.float32
    )
    if size <= len(whole.z):
        centre = torch.randint(len(whole.z), (1,), generator=torch.Generator().manual_seed(seed))
        nearest = (whole.pos - whole.pos[centre]).norm(dim=1).argsort()[:size].sort().values
        z, pos = whole.z[nearest], whole.pos[nearest]
    else:
        copies = -(-size // len(whole.z))
        side = round(copies ** (1 / 3) + 0.5)
        place = torch.cartesian_prod(*[torch.arange(side)] * 3)[:copies]
        apart = float((whole.pos.amax(0) - whole.pos.amin(0)).max()) + 2
        z = whole.z.repeat(copies)[:size]
        pos = (whole.pos + apart * place.unsqueeze(1)).flatten(0, 1)[:size]
    pos = pos - pos.mean(dim=0)
    return Data(z=z, pos=pos, edge_index=radius_graph(pos, 4.5))


def make_batch(case: Case) -> Data:
    """The graphs of a case, with their edges."""
    if case.task == "triangle":
        batch = make_triangles(case.count, num_points=case.size, progress=False).__getitems__(list(range(case.count)))
        batch.edge_index = radius_graph(batch.pos, 10.0, batch.batch)
        return batch
    return Batch.from_data_list([protein(case.size, seed) for seed in range(case.count)])


class Plain(nn.Module):
    """PyG's SchNet at the sizes of ours, on the edges of the batch; its own search needs a library beyond PyG."""

    def __init__(self, scalar_channels: int = 100, num_layers: int = 5, num_radial: int = 32, cutoff: float = 4.5):
        super().__init__()
        self.edges: tuple[Tensor, Tensor] | None = None
        self.model = PyGSchNet(
            hidden_channels=scalar_channels,
            num_filters=scalar_channels,
            num_interactions=num_layers,
            num_gaussians=num_radial,
            cutoff=cutoff,
            interaction_graph=lambda pos, batch: self.edges,
            readout="mean",
        )

    def forward(self, data: Data) -> Tensor:
        source, receiver = data.edge_index
        self.edges = data.edge_index, (data.pos[receiver] - data.pos[source]).norm(dim=1)
        return self.model(data.z, data.pos, data.get("batch"))


def make_side(name: str, case: Case) -> tuple[nn.Module, Callable[[Data], Tensor]]:
    """A model of ``SIDES`` at the full profile's size for the task, with fixed weights, and the call that runs it."""
    torch.manual_seed(0)
    if name == "SchNet (PyG)":
        options = make_settings(case.task, "schnet", "full").model_options
        model: nn.Module = Plain(**{k: v for k, v in options.items() if k in Plain.__init__.__annotations__})
        return model, model
    known = {"EQGAT": "eqgat", "SchNet": "schnet", "PaiNN": "painn", "GVP-GNN": "gvp", "SEGNN": "segnn"}
    model = build_model(make_settings(case.task, known[name.split()[0]], "full"))
    if name == "EQGAT literal":
        return model, lambda data: literal_forward(model, data)  # type: ignore[arg-type]
    if name == "EQGAT readable":
        model.fast = False
    return model, model
