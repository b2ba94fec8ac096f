"""Paper against released code, as data and as measurements; what a layer costs; clouds that models confuse."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, radius_graph
from eqgat.datasets import embedded_structure
from eqgat.layers import AttentionFilter, Edges
from eqgat.saving import seeded
from eqgat.symmetry import random_rotation, relative_error
from eqgat_course.clouds import PAIRS, chain, difference, untrained
from eqgat_course.controls import capped_radius_graph, with_released_norm

__all__ = [
    "AUDIT",
    "GROUPS",
    "PARTS",
    "AuditRow",
    "audit_table",
    "edges_lost",
    "harmonic_sums",
    "literal_filter",
    "matrix_multiplications",
    "message_sizes",
    "multiplications",
    "numbers_kept",
    "released_seeds",
    "shrinkage_of_std",
    "symmetry_of_variants",
    "tells_apart",
    "torsion_curve",
]

GROUPS = ("equations", "training", "data and metrics")


@dataclass(frozen=True)
class AuditRow:
    """One difference: what the paper says, what the released code does, what this suite does, why it matters.

    ``here`` names the option in code where there is one. ``matters`` is our own measurement or count, or where it is.
    ``where`` is the place in the released source: file, function.
    """

    group: str
    topic: str
    paper: str
    code: str
    here: str
    matters: str
    where: str


def _read_audit() -> tuple[AuditRow, ...]:
    with Path(__file__).with_name("audit.csv").open(encoding="utf-8", newline="") as file:
        return tuple(AuditRow(**row) for row in csv.DictReader(file))


AUDIT = _read_audit()


def audit_table(group: str) -> str:
    """The rows of a group as a Markdown table.

    Raises:
        ValueError: there is no such group.
    """
    if group not in GROUPS:
        raise ValueError(f"there is no group {group!r}; there are {', '.join(GROUPS)}")
    lines = ["| | the paper | the released code | this suite | why it matters |", "|---|---|---|---|---|"]
    for row in AUDIT:
        if row.group == group:
            where = re.sub(r"([_*])", r"\\\1", escape(row.where))  # else Markdown prints __init__ in bold
            where = where.replace("/", "/<wbr>")
            here = re.sub(r"`([^`]+)`", _breakable, row.here)
            lines.append(
                f"| **{row.topic}** | {row.paper} | {row.code} <br><small>{where}</small> | {here} | {row.matters} |"
            )
    return "\n".join(lines)


def _breakable(code: re.Match[str]) -> str:
    """Code for a narrow column of a table: a line may end behind a sign, and not within a word."""
    return f"<code>{re.sub('(?<=[=._])', '<wbr>', escape(code[1], quote=False))}</code>"


def _small(**options: Any) -> EQGAT:
    """An untrained model of three layers in float64; the same weights whatever the options."""
    size = {"scalar_channels": 16, "vector_channels": 8, "num_layers": 3, "num_radial": 8}
    return seeded(EQGAT, 0, num_elements=9, out_channels=4, **size, **options).double()


def symmetry_of_variants(seed: int = 0) -> dict[str, dict[str, float]]:
    """Relative change of an untrained model's predictions when BPTI is turned, and when its atoms are listed anew.

    Graphs are built anew after each change. The two lines with a cap are of BPTI with hydrogens, where it bites.

    Returns:
        name of the variant -> {"rotation": error, "permutation": error}.
    """
    exact: Callable[[Tensor, float], Tensor] = radius_graph
    normed = _small(norm="equivariant")
    cases = {
        "as printed": (_small(), exact, False),
        "cross product mixed": (_small(cross_product="mixed"), exact, False),
        "sum over neighbours": (_small(vector_aggregation="sum"), exact, False),
        "equivariant norm": (normed, exact, False),
        "released norm": (with_released_norm(deepcopy(normed)), exact, False),
        "with H, all neighbours": (_small(), exact, True),
        "with H, released cap": (_small(), capped_radius_graph, True),
    }
    return {name: _errors(model, build, hydrogens, seed) for name, (model, build, hydrogens) in cases.items()}


@torch.no_grad()
def _errors(model: EQGAT, build: Callable[[Tensor, float], Tensor], hydrogens: bool, seed: int) -> dict[str, float]:
    graph = embedded_structure("5pti", hydrogens=hydrogens).graph(cutoff=4.5, dtype=torch.float64)
    order = torch.randperm(len(graph.z), generator=torch.Generator().manual_seed(seed))

    def predict(z: Tensor, pos: Tensor) -> Tensor:
        edges = build(pos, 4.5)
        return model(Data(z=z, pos=pos, edge_index=edges))

    expected = predict(graph.z, graph.pos)
    return {
        "rotation": relative_error(predict(graph.z, graph.pos @ random_rotation(seed).T), expected),
        "permutation": relative_error(predict(graph.z[order], graph.pos[order]), expected),
    }


def edges_lost(pos: Tensor, cutoff: float, cap: int = 32) -> float:
    """Share of the directed edges that a cap removes, 0 to 1; which ones is up to the search, how many is not."""
    degree = torch.bincount(radius_graph(pos, cutoff)[1], minlength=len(pos))
    return float((degree - cap).clamp(min=0).sum() / degree.sum())


def message_sizes(data: Data, layer: int = 2) -> dict[str, dict[str, float]]:
    """Root mean square length of what one layer of an untrained full-size EQGAT (100, 16) computes, by variant.

    Args:
        data: a graph in float64 with edges within 4.5 Å.
        layer: 1 for the first.
    """
    sizes = {}
    variants: dict[str, dict[str, Any]] = {
        "as printed": {},
        'cross_product="mixed"': {"cross_product": "mixed"},
        'vector_aggregation="sum"': {"vector_aggregation": "sum"},
    }
    for name, options in variants.items():
        model = seeded(EQGAT, 0, num_elements=9, out_channels=1, num_layers=layer, **options).double()
        record = model.trace(data)[-1]
        sizes[name] = {
            term: float(getattr(record, term).square().sum(dim=1).mean().sqrt())
            for term in ("v_direction", "v_mix", "v_cross", "vector_message")
        }
    return sizes


def released_seeds(runs: int, seed: int = 0) -> list[int]:
    """The seeds of the runs as the released loop sets them: it seeds first, and adds the number of the run after."""
    used = []
    for run in range(runs):
        used.append(seed)
        seed += run
    return used


def shrinkage_of_std(draws: int = 200_000) -> tuple[float, float]:
    """Expected sample standard deviation (ddof 1) of three numbers of deviation 1: all independent; two of them equal.

    Exactly sqrt(π)/2 = 0.886 and 2/sqrt(3π) = 0.651; returned are the averages over random draws, as a check.
    """
    x = torch.randn(draws, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    twice = torch.stack([x[:, 0], x[:, 0], x[:, 1]], dim=1)
    found = float(x.std(dim=1).mean()), float(twice.std(dim=1).mean())
    assert abs(found[0] - math.sqrt(math.pi) / 2) < 0.01
    assert abs(found[1] - 2 / math.sqrt(3 * math.pi)) < 0.01
    return found


# -- what a layer costs, counted and not timed ---------------------------------------------------------------------------

PARTS = ("Eq. 1, first map", "Eq. 1, second map", "cross products", "other terms", "per-atom maps")


def multiplications(
    num_atoms: int,
    num_edges: int,
    scalar_channels: int = 100,
    vector_channels: int = 16,
    num_radial: int = 32,
    literal: bool = False,
) -> dict[str, int]:
    """Multiplications in the forward pass of one layer with all three vector terms, by part (``PARTS``).

    Args:
        num_atoms, num_edges: N and E.
        scalar_channels, vector_channels, num_radial: F_s, F_v, K.
        literal: as printed, the concatenation and the cross product on every edge; else with the two identities.
    """
    n, e, fs, fv, k = num_atoms, num_edges, scalar_channels, vector_channels, num_radial
    first = e * (2 * fs + k) * fs if literal else 2 * n * fs * fs + e * k * fs
    # weights times vectors: 3 F_v an edge; a cross product: 6 multiplications
    cross = (6 + 3) * e * fv if literal else 3 * e * fv + 6 * n * fv
    maps = fs * fs + 3 * fv * fv + 3 * (2 * fv * fv + fv * fv) + (fs + fv) * fs + fs * (fs + fv) + 3 * fv
    return dict(zip(PARTS, (first, e * fs * (fs + 3 * fv), cross, e * (fs + 6 * fv), n * maps), strict=True))


def literal_filter(own: AttentionFilter, s: Tensor, edges: Edges) -> list[Tensor]:
    """Eq. 1 as printed: the concatenation of every edge through both maps; the same results as ``own(s, edges)``."""
    joined = torch.cat([s[edges.receiver], s[edges.source], edges.radial], dim=1)
    return list(own.out(silu(own.hidden(joined))).split(own.sizes, dim=1))


def matrix_multiplications(function: Callable[[], object]) -> int:
    """Multiplications in the matrix products of a call, as PyTorch counts them (its operations are twice as many)."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() // 2


def numbers_kept(function: Callable[[], object], known: tuple[Tensor, ...] = ()) -> int:
    """How many numbers PyTorch keeps from a call for its backward pass; each tensor once, those in ``known`` not."""
    kept: dict[int, Tensor] = {}
    besides = {tensor.data_ptr() for tensor in known}

    def keep(tensor: Tensor) -> Tensor:
        return kept.setdefault(tensor.data_ptr(), tensor) if tensor.is_floating_point() else tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function()
    del result
    return sum(tensor.numel() for pointer, tensor in kept.items() if pointer not in besides)


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
