"""Figures of notebook 07: symmetry as a picture, and the errors that a proof leaves to the computer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, FancyArrowPatch
from matplotlib.ticker import NullLocator
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from eqgat import EQGAT
from eqgat.symmetry import random_rotation, relative_error, rotation_about, transform
from eqgat.viz.parts import Camera
from eqgat.viz.style import CHANNEL_COLOURS, COLOURS, describe, element_colour
from eqgat_course.ch07_proofs.study import coordinate_update
from eqgat_course.controls import with_released_norm, with_vector_bias
from eqgat_course.figures import figure
from eqgat_course.running_example import RunningExample, running_example

if TYPE_CHECKING:
    from torch_geometric.data import Data

STARTS = [(-2.2, 2.2), (2.2, 2.2), (-2.2, -2.2), (2.2, -2.2)]  # of the four arrows: side by side, none hides another
LOWEST = 1e-17  # of the logarithmic axes: errors that are exactly zero are drawn here
Z_AXIS = (0.0, 0.0, 1.0)


@figure(
    name="commuting-square",
    notebook="07",
    data="embedded structure 5pti, untrained model",
    trained="nothing",
    caption="Down and right, or right and down: turning the vectors that the layer computed (pale) gives the "
    "vectors that the layer computes for the turned protein (dark). One colour a channel; each channel "
    "has a scale of its own, the same in both panels.",
)
def commuting_square(angle: float = 40.0) -> Figure:
    """Eq. 7 as a square of four pictures, for the vectors of the central atom; ``angle`` in degrees."""
    return describe(
        _square(angle, running_example()),
        "",
        f"Four panels in a square: the neighbourhood of an atom, the same turned by {angle:g} degrees, and the four vectors "
        "at the atom after the first layer, before and after the turn. In the last panel the vectors of both ways lie on "
        "each other.",
    )


@figure(
    name="commuting-square-broken",
    notebook="07",
    data="embedded structure 5pti, untrained model",
    trained="nothing",
    caption="The same square for a layer with a bias on its vectors: the two ways end at different vectors.",
    alt="Four panels as in the square that commutes, but in the last one the dark and the pale vectors differ.",
)
def commuting_square_broken(angle: float = 40.0) -> Figure:
    """The square of ``commuting_square`` for a model that is not equivariant; ``angle`` in degrees."""
    example = running_example()
    with_vector_bias(example.model, bias=0.05)
    return _square(angle, example)


def _square(angle: float, example: RunningExample) -> Figure:
    """The neighbourhood and the vectors after the first layer, before and after a turn about the line of sight."""
    graph, centre = example.graph, example.centre
    near = graph.pos[[centre, *example.neighbours.tolist()]] - graph.pos[centre]
    view = torch.tensor(Camera.facing(near).rotation().copy())
    start = transform(graph, view, -view @ graph.pos[centre])
    turn = rotation_about(Z_AXIS, math.radians(angle))
    turned = transform(start, turn)
    v, v_turned = (example.model.trace(data)[0].v[centre] for data in (start, turned))

    fig = Figure(figsize=(6.4, 6.8))
    axes = fig.subplots(2, 2)
    fig.get_layout_engine().set(wspace=0.16, hspace=0.14)
    elements = example.structure.atoms["element"].to_numpy()
    for ax, data, shade in zip(axes.flat, (start, turned, start, turned), (1, 1, 0.25, 0.25), strict=True):
        _neighbourhood(ax, data, example, elements, shade)
    length = v.norm(dim=0) / 2.8  # each channel has a scale of its own, the same in both panels
    _arrows(axes[1, 0], v / length)
    _arrows(axes[1, 1], turn @ v / length, pale=True)
    _arrows(axes[1, 1], v_turned / length)
    for ax, title in zip(
        axes.flat, ("protein $x$", "turned protein $Rx$", "$v(x)$", "dark: $v(Rx)$, pale: $R\\,v(x)$"), strict=True
    ):
        ax.set_title(title)
    for a, b, label in (
        (axes[0, 0], axes[0, 1], "turn"),
        (axes[1, 0], axes[1, 1], "turn"),
        (axes[0, 0], axes[1, 0], "layer"),
        (axes[0, 1], axes[1, 1], "layer"),
    ):
        _between(fig, a, b, label, vertical=label == "layer")
    return fig


def _neighbourhood(ax: Axes, data: Data, example: RunningExample, elements: np.ndarray, shade: float) -> None:
    rows = [example.centre, *example.neighbours.tolist()]
    pos = data.pos[rows].numpy()
    for x, y, _ in pos[1:]:
        ax.plot([0, x], [0, y], color="#BBBBBB", lw=1, zorder=1, alpha=shade)
    order = np.argsort(pos[:, 2])
    ax.scatter(
        *pos[order, :2].T,
        s=70,
        c=[element_colour(elements[rows[k]]) for k in order],
        edgecolor="#222222",
        linewidth=0.8,
        zorder=2,
        alpha=shade,
    )
    ax.scatter([0], [0], s=70, c="black", zorder=6)
    ax.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
    ax.axis("off")


def _arrows(ax: Axes, vectors: Tensor, pale: bool = False) -> None:
    for (x, y, _), colour, start in zip(vectors.T.tolist(), CHANNEL_COLOURS, STARTS, strict=True):
        # A pale arrow is broad, so that it shows on both sides of a dark one that lies on it.
        shape = "tail_width=10,head_width=26,head_length=22" if pale else "tail_width=3,head_width=12,head_length=13"
        ax.add_patch(
            FancyArrowPatch(
                start,
                (start[0] + x, start[1] + y),
                arrowstyle=f"simple,{shape}",
                mutation_scale=1,
                lw=0,
                color=colour,
                alpha=0.3 if pale else 1,
                shrinkA=0,
                shrinkB=0,
                zorder=4 if pale else 5,
            )
        )


def _between(fig: Figure, a: Axes, b: Axes, label: str, vertical: bool) -> None:
    """An arrow from panel ``a`` to panel ``b``, with a word beside it."""
    start, end = ((0.5, -0.01), (0.5, 1.13)) if vertical else ((0.99, 0.5), (0.01, 0.5))
    fig.add_artist(
        ConnectionPatch(
            start, end, a.transAxes, b.transAxes, arrowstyle="-|>", mutation_scale=16, lw=1.6, color="black"
        )
    )
    x, y = (0.53, -0.08) if vertical else (1.07, 0.53)
    a.text(
        x,
        y,
        label,
        transform=a.transAxes,
        ha="left" if vertical else "center",
        va="center" if vertical else "bottom",
        fontsize=13,
    )


@figure(
    name="error-against-angle",
    notebook="07",
    data="embedded structure 5pti, untrained models",
    trained="nothing",
    caption="Relative error of the vectors under rotation, by angle. What is proved stays at rounding for every "
    "angle; what is not proved shows, but not for every axis and angle.",
)
def error_against_angle() -> Figure:
    """Equivariance error of v against the angle of rotation, for the model in two precisions and two broken ones."""
    example = running_example()
    graph = example.graph
    broken = with_released_norm(_model(norm="equivariant"))
    biased = with_vector_bias(_model())
    angles = [1, 3, 6, *range(10, 181, 10)]
    fig = Figure()
    ax, told = fig.subplots(), []
    curves: list[tuple[str, EQGAT, tuple[float, float, float], torch.dtype, str, str, tuple[float, float]]] = [
        ("bias on vectors, about z", biased, Z_AXIS, torch.float64, "vermilion", "-", (100, 1.1e-3)),
        ("released norm, about z", broken, Z_AXIS, torch.float64, "orange", "-", (66, 8.0)),
        ("released norm, about x", broken, (1.0, 0.0, 0.0), torch.float64, "green", "--", (90, 2e-14)),
        ("EQGAT in float32, about z", _model(), Z_AXIS, torch.float32, "sky", "-", (90, 1.2e-5)),
        ("EQGAT in float64, about z", _model(), Z_AXIS, torch.float64, "blue", "-", (90, 4e-17)),
    ]
    for label, model, axis, dtype, colour, line, place in curves:
        errors = _vector_errors(model, graph, [rotation_about(axis, math.radians(angle)) for angle in angles], dtype)
        told.append(f"{label} {min(errors):.0e} to {max(errors):.0e} (at {angles[-1]}: {errors[-1]:.0e})")
        ax.semilogy(angles, np.maximum(errors, LOWEST), line, color=COLOURS[colour])
        ax.text(*place, label, color=COLOURS[colour], ha="center", fontsize=12)
    ax.set(
        xlabel="angle of rotation (degrees)",
        ylabel="relative error of $v$",
        ylim=(LOWEST, 100),
        xticks=range(0, 181, 30),
    )
    return describe(fig, "", f"Logarithmic plot of errors against the angle of rotation in degrees: {'; '.join(told)}.")


def _model(**options) -> EQGAT:
    """An untrained model of the size of the running example's."""
    torch.manual_seed(0)
    sizes = {"scalar_channels": 8, "vector_channels": 4, "num_layers": 2, "num_radial": 8}
    return EQGAT(num_elements=9, out_channels=1, **{**sizes, **options}).double().eval()


@torch.no_grad()
def _vector_errors(model: EQGAT, graph: Data, matrices: list[Tensor], dtype: torch.dtype) -> list[float]:
    """Relative error of v under each rotation, the model run in one precision."""
    model = model.to(dtype)
    v = model.encode(_cast(graph, dtype))[1].double()
    # The atoms are turned in float64, and cast then: the turn itself is not what is tested.
    return [
        relative_error(model.encode(_cast(transform(graph, matrix), dtype))[1].double(), matrix @ v)
        for matrix in matrices
    ]


@figure(
    name="rounding-error",
    notebook="07",
    data="embedded structure 5pti, untrained models, 5 random rotations",
    trained="nothing",
    caption="The error that rounding leaves: it does not grow with depth, but in proportion to the distance of the "
    "molecule from the origin. Bands: smallest to largest of five rotations.",
)
def rounding_error() -> Figure:
    """Error of v against depth and against the distance from the origin, in float32 and float64."""
    graph = running_example().graph
    graph = transform(graph, shift=-graph.pos.mean(dim=0))
    fig = Figure(figsize=(6.4, 3.7))
    by_depth, by_place = fig.subplots(1, 2, sharey=True)
    deep, shallow = _model(num_layers=16), _model()
    places, flat, far = [1, 10, 100, 1e3, 1e4], [], []
    for dtype, name, colour in ((torch.float32, "float32", "vermilion"), (torch.float64, "float64", "blue")):
        depth, place = [], []
        for seed in range(5):
            matrix = random_rotation(seed)
            turned = [
                [record.v.double() for record in deep.to(dtype).trace(_cast(data, dtype))]
                for data in (graph, transform(graph, matrix))
            ]
            depth.append([relative_error(b, matrix @ a) for a, b in zip(*turned, strict=True)])
            with torch.no_grad():
                v = matrix @ shallow.double().encode(graph)[1]
                shift = random_rotation(seed + 100)[0]  # a random direction
                place.append(
                    [
                        relative_error(
                            shallow.to(dtype).encode(_cast(transform(graph, matrix, r * shift), dtype))[1].double(), v
                        )
                        for r in places
                    ]
                )
        for ax, x, errors in ((by_depth, range(1, 17), depth), (by_place, places, place)):
            ax.semilogy(x, np.median(errors, axis=0), color=COLOURS[colour], marker="o", ms=4, label=name)
            ax.fill_between(x, np.min(errors, axis=0), np.max(errors, axis=0), color=COLOURS[colour], alpha=0.25, lw=0)
        by_depth.text(8.5, np.max(depth) * 4, name, color=COLOURS[colour], ha="center")
        layers, away = np.median(depth, axis=0), np.median(place, axis=0)
        flat.append(f"{layers.min():.0e} to {layers.max():.0e} in {name}")
        far.append(f"{away[1]:.0e} at {places[1]} Å and {away[-1]:.0e} at {places[-1]:.0f} Å in {name}")
    by_depth.set(xlabel="layer", ylabel="relative error of $v$", xticks=(1, 4, 8, 12, 16), ylim=(1e-16, 1e-2))
    by_place.set(xlabel="distance from the origin (Å)", xscale="log")
    by_place.xaxis.set_minor_locator(NullLocator())
    return describe(
        fig,
        "",
        f"Two panels with logarithmic error, medians. Left: no growth over {len(layers)} layers, {' and '.join(flat)}. "
        f"Right: growing with the distance from the origin, {'; '.join(far)}.",
    )


def _cast(data: Data, dtype: torch.dtype) -> Data:
    data = data.clone()
    data.pos = data.pos.to(dtype)
    return data


@figure(
    name="learned-or-built",
    notebook="07",
    data="random triangles in float32, networks trained in this figure's function",
    trained="two networks of three linear maps (width 64) on raw coordinates and an EQGAT of one layer (F_s 16, F_v 4), on "
    "random triangles: 300 steps of 128 triangles each, seed 0",
)
def learned_or_built() -> Figure:
    """How much the output changes when the input is turned: learned from data, or built in."""
    fig = Figure()
    ax = fig.subplots()
    words = []
    for built, turned, colour, label, place in (
        (False, False, "vermilion", "coordinates, one plane", 1.6),
        (False, True, "orange", "coordinates, turned examples", 3e-3),
        (True, False, "blue", "EQGAT, one plane", 3e-6),
    ):
        steps, errors = _train_on_triangles(built, turned)
        words.append(f"{label}: {errors[0]:.1g} before and {errors[-1]:.1g} after {steps[-1]} steps")
        ax.loglog(steps, errors, "o-", color=COLOURS[colour])
        ax.text(17, place, label, color=COLOURS[colour], ha="center", fontsize=12)
    ax.set(
        xlabel="training steps",
        ylabel="change of output under rotation\n(standard deviations of the target)",
        ylim=(1e-10, 10),
    )
    ax.set_xticks(steps, labels=["none", *map(str, steps[1:])])
    ax.minorticks_off()
    return describe(
        fig,
        "Two kinds of network (seed 0) learn the perimeter of the same triangles, in float32; the change is measured on 256 "
        "others. The change of the output under "
        "rotation is learned by the one on raw coordinates, from turned examples; in EQGAT it is rounding, before training "
        "and after it.",
        f"Rotation error, in standard deviations of the target, against training steps. {'; '.join(words)}.",
    )


@torch.enable_grad()
def _train_on_triangles(built: bool, turned: bool) -> tuple[list[int], list[float]]:
    """Learn the perimeter with EQGAT (``built``) or from 9 coordinates; mean |f(Rx) - f(x)| on 256 triangles."""
    torch.manual_seed(0)
    if built:
        network: nn.Module = EQGAT(
            num_elements=1,
            out_channels=1,
            scalar_channels=16,
            vector_channels=4,
            num_layers=1,
            num_radial=8,
            cutoff=12.0,
        )
    else:
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(9, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
        )
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    rotations = torch.tensor(Rotation.random(4096, random_state=0).as_matrix(), dtype=torch.float32)
    flat = torch.tensor([1.0, 1.0, 0.0])
    test = torch.randn(256, 3, 3) * flat
    scale, shown, errors = _perimeter(test).std(), [0, 3, 10, 30, 100, 300], []

    def predict(triangles: Tensor) -> Tensor:
        return network(_as_graphs(triangles) if built else triangles)

    for step in range(shown[-1] + 1):
        if step in shown:
            with torch.no_grad():
                change = predict(test @ rotations[: len(test)].mT) - predict(test)
                errors.append(float(change.abs().mean() / scale))
        triangles = torch.randn(128, 3, 3) * flat
        if turned:
            triangles = triangles @ rotations[torch.randint(4096, (len(triangles),))].mT
        loss = (predict(triangles) - _perimeter(triangles)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return [1, *shown[1:]], errors  # a logarithmic axis has no 0: before the first step stands at 1


def _as_graphs(triangles: Tensor) -> Data:
    """Triangles [n, 3, 3] as one batch of graphs: three atoms each, every one a neighbour of the two others."""
    from torch_geometric.data import Data

    n = len(triangles)
    one = torch.tensor([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]])
    edge_index = (one + 3 * torch.arange(n).view(-1, 1, 1)).permute(1, 0, 2).reshape(2, -1)
    batch = torch.arange(n).repeat_interleave(3)
    return Data(
        z=torch.zeros(3 * n, dtype=torch.int64), pos=triangles.flatten(0, 1), edge_index=edge_index, batch=batch
    )


def _perimeter(triangles: Tensor) -> Tensor:
    return (triangles - triangles.roll(1, dims=1)).norm(dim=2).sum(dim=1, keepdim=True)


def relax(pos: Tensor, edge_index: Tensor, rest: Tensor, steps: int) -> list[Tensor]:
    """Positions after 0, 1, ... ``steps`` coordinate updates whose weights pull each distance to its rest length.

    s_ji = (rest_ji - d_ji) / (|N(i)| + |N(j)|): made of distances and numbers of neighbours, so invariant.

    Args:
        pos: where to begin [N, 3], Å.
        edge_index: [2, E].
        rest: wanted distances [E], Å.
        steps: how many updates.
    """
    source, receiver = edge_index
    degree = torch.bincount(receiver, minlength=len(pos))
    path = [pos]
    for _ in range(steps):
        distance = (path[-1][receiver] - path[-1][source]).norm(dim=1)
        path.append(coordinate_update(path[-1], edge_index, (rest - distance) / (degree[source] + degree[receiver])))
    return path


def superposed_rmsd(pos: Tensor, reference: Tensor) -> float:
    """Root mean square distance in Å between two sets of positions [N, 3], after the best rotation and shift."""
    centred = (pos - pos.mean(dim=0)).numpy(), (reference - reference.mean(dim=0)).numpy()
    _, distance = Rotation.align_vectors(*centred)
    return float(distance / math.sqrt(len(pos)))


@figure(
    name="coordinate-update",
    notebook="07",
    data="residues 47-58 of embedded structure 5pti",
    trained="nothing",
)
def coordinate_update_path(steps: int = 300) -> Figure:
    """A disturbed peptide repaired by iterating p_i <- p_i + sum_j p_ji,n s_ji, from two orientations."""
    true, start, edge_index, rest, backbone = peptide()
    matrix, shift = random_rotation(5), torch.tensor([60.0, -80.0, 0.0], dtype=torch.float64)
    path = relax(start, edge_index, rest, steps)
    moved = relax(start @ matrix.T + shift, edge_index, rest, steps)
    fig = Figure(figsize=(6.4, 3.9))
    left, right = fig.subplots(1, 2, width_ratios=(1.15, 1))
    view = torch.tensor(Camera.facing(true).rotation().copy())
    final = _superposed(path[-1], true)
    for pos, colour, label, width in (
        (start, COLOURS["grey"], "disturbed", 1.5),
        (true, COLOURS["sky"], "true", 6.0),
        (final, COLOURS["black"], f"after {steps} updates", 1.8),
    ):
        left.plot(*(pos @ view.T)[backbone, :2].T.tolist(), color=colour, lw=width, label=label)
    corner = (true @ view.T).amin(dim=0).tolist()
    left.plot([corner[0], corner[0] + 5], [corner[1] - 1.5] * 2, color=COLOURS["black"], lw=3)
    left.text(corner[0] + 2.5, corner[1] - 1.9, "5 Å", ha="center", va="top", fontsize=12)
    left.set(aspect="equal", title="backbone")
    left.axis("off")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), fontsize=12)
    shown = range(0, steps + 1)
    away = [superposed_rmsd(path[k], true) for k in shown]
    right.plot(shown, away, color=COLOURS["black"], label="first run")
    right.plot(
        shown,
        [superposed_rmsd(moved[k], true) for k in shown],
        ":",
        lw=4,
        color=COLOURS["orange"],
        label="run from turned,\nshifted start",
    )
    gap = max(float((b - (a @ matrix.T + shift)).abs().max()) for a, b in zip(path, moved, strict=True))
    right.set(xlabel="updates", ylabel="RMSD from the true structure (Å)", ylim=(0, None))
    right.legend(loc="upper right", fontsize=11)
    exact = "less than 1e-9 Å" if gap < 1e-9 else f"{gap:.0e} Å"
    return describe(
        fig,
        "The last 12 residues of BPTI, the atoms displaced at random, and the same after "
        f"{steps} coordinate updates. A second run starts turned and 100 Å away and follows the same path: "
        f"turned back, its positions differ from those of the first run by {exact} at every step.",
        "Left: backbone of the peptide, disturbed, repaired and true; the last two nearly coincide. Right: the deviation from "
        f"the true structure falls from {away[0]:.2f} to {away[-1]:.2f} Å, in the same way for the run that starts turned and "
        "shifted.",
    )


def peptide(noise: float = 0.5) -> tuple[Tensor, Tensor, Tensor, Tensor, list[int]]:
    """The last 12 residues of the running protein (they hold a helix), true and disturbed.

    Args:
        noise: standard deviation of the displacements along each axis, Å.

    Returns:
        True and disturbed positions [N, 3], ``edge_index`` [2, E] and true distances [E], and the rows of N, CA and C
        in order along the chain.
    """
    structure = running_example().structure
    residues = structure.atoms["residue"]
    structure = structure.select((residues >= 47).to_numpy() & (residues <= 58).to_numpy())
    graph = structure.graph(cutoff=4.5, dtype=torch.float64)
    source, receiver = graph.edge_index
    generator = torch.Generator().manual_seed(0)
    start = graph.pos + noise * torch.randn(graph.pos.shape, generator=generator, dtype=torch.float64)
    backbone = np.flatnonzero(structure.atoms["name"].isin(["N", "CA", "C"])).tolist()
    return graph.pos, start, graph.edge_index, (graph.pos[receiver] - graph.pos[source]).norm(dim=1), backbone


def _superposed(pos: Tensor, reference: Tensor) -> Tensor:
    """``pos`` moved rigidly onto ``reference``, both [N, 3]."""
    centre, goal = pos.mean(dim=0), reference.mean(dim=0)
    rotation, _ = Rotation.align_vectors((reference - goal).numpy(), (pos - centre).numpy())
    return (pos - centre) @ torch.tensor(rotation.as_matrix()).T + goal
