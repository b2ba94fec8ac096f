"""A scene as a matplotlib figure: the picture for print, and for pages where no script runs.

Orthographic: one Å has the same length everywhere, so the scale bar and the arrows can be measured. What is farther
away is drawn first, and paler; colours that stand for numbers are never paled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_lowercase

import matplotlib as mpl
import matplotlib.patheffects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection, PolyCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure, SubFigure
from scipy.interpolate import CubicSpline
from scipy.spatial import ConvexHull

from eqgat.viz.parts import Vectors
from eqgat.viz.scene import Scene
from eqgat.viz.style import describe, style

MANY_ATOMS = (
    1500  # from here on an SVG holds the molecule as an image (megabytes of circles otherwise); text stays text
)
SLICES = 120  # depth is sorted in this many layers
FOG = 0.5  # how far the farthest things fade into the page
BOND_WIDTH = 0.22  # Å
TUBE_WIDTH = 0.9  # Å
ARROW_WIDTH = 0.12  # Å, in a small scene
OUTLINE, FADED_OUTLINE = "#222222", "#A8A8A8"


@dataclass
class _Canvas:
    """Axes in page coordinates, and the depth of everything drawn on it."""

    ax: Axes
    points_per_angstrom: float
    near: float
    far: float

    def depth(self, z: np.ndarray) -> np.ndarray:
        """0 for the farthest, 1 for the nearest."""
        return (np.asarray(z) - self.far) / max(self.near - self.far, 1e-9)

    def slices(self, z: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """(layer, indices) of what lies in each layer of depth, farthest first."""
        layer = np.clip((self.depth(z) * SLICES).astype(int), 0, SLICES)
        return [(int(k), np.flatnonzero(layer == k)) for k in np.unique(layer)]

    def fog(self, colours: np.ndarray, z: np.ndarray) -> np.ndarray:
        rgb = np.array([to_rgb(colour) for colour in colours]).reshape(-1, 3)
        share = FOG * (1 - self.depth(z))[:, None]
        return rgb * (1 - share) + share

    def lines(self, start: np.ndarray, end: np.ndarray, colours: np.ndarray, width: float, rank: float, **kw) -> None:
        """Line segments [n, 3] to [n, 3]; `width` in points; `rank` orders what lies in one layer."""
        for layer, index in self.slices((start[:, 2] + end[:, 2]) / 2):
            segments = np.stack([start[index, :2], end[index, :2]], axis=1)
            self.ax.add_collection(
                LineCollection(segments, colors=colours[index], linewidths=width, zorder=10 + layer + rank, **kw)
            )


def render(scene: Scene, width: float = 6.4, height: float = 4.8) -> Figure:
    """The figure of a scene, `width` by `height` inches, with caption and alternative text attached."""
    with style():
        fig = _empty(width, height)
        _draw(scene, fig, width, height)
        return describe(fig, scene.caption(), scene.alt_text())


def panels(scenes: Sequence[Scene], columns: int = 2, width: float = 7.2, height: float = 3.6) -> Figure:
    """Several scenes in one figure, `width` inches wide; `height` of one row. Give each a title.

    The caption joins those of the scenes. Arrows can be compared between panels only where all have one
    `arrow_scale`, colours where all have the same limits.

    Raises:
        ValueError: no scene.
    """
    if not scenes:
        raise ValueError("panels needs at least one scene")
    rows = -(-len(scenes) // columns)
    with style():
        fig = _empty(width, height * rows)
        parts = fig.subfigures(rows, columns, squeeze=False).ravel()
        for part, scene in zip(parts, scenes, strict=False):
            _draw(scene, part, width / columns, height)
        lettered = list(zip(ascii_lowercase, scenes, strict=False))
        return describe(fig, " ".join(f"({letter}) {scene.caption()}" for letter, scene in lettered),
                        " ".join(f"({letter}) {scene.alt_text()}" for letter, scene in lettered))


def _empty(width: float, height: float) -> Figure:
    fig = Figure(figsize=(width, height))
    fig.set_layout_engine("none")  # the axes are placed by hand, so that line widths can be given in Å
    return fig


def _draw(scene: Scene, fig: Figure | SubFigure, width: float, height: float) -> None:
    """Draw a scene into a figure, or a part of one, of `width` by `height` inches."""
    bars = scene.colour_bars()
    keys = [vectors for vectors in scene.vectors if len(vectors.kept())]
    strip, title = 0.34 + 0.27 * len(keys), 0.34 if scene.title else 0.0
    right = 1.05 * len(bars)
    box = (0.05, strip, width - right - 0.1, height - strip - title - 0.05)  # inches: left, bottom, width, height
    ax = fig.add_axes([box[0] / width, box[1] / height, box[2] / width, box[3] / height])
    canvas = _canvas(scene, ax, box[2], box[3])
    if len(scene.positions) > MANY_ATOMS:
        ax.set_rasterization_zorder(999)
    _draw_atoms(scene, canvas)
    _draw_edges(scene, canvas)
    for vectors in scene.vectors:
        start, end = scene.arrows(vectors)
        _draw_arrows(canvas, scene.page(start), scene.page(end), vectors, scene.arrow_size())
    _draw_labels(scene, canvas)
    if scene.title:
        fig.text(0.5, 1 - 0.08 / height, scene.title, ha="center", va="top", fontsize=14 if width > 4.5 else 13)
    for number, scalars in enumerate(bars):
        left = width - right + 1.05 * number + 0.08
        cax = fig.add_axes([left / width, (strip + 0.35) / height, 0.16 / width, (box[3] - 0.7) / height])
        bar = fig.colorbar(mpl.cm.ScalarMappable(Normalize(*scalars.limits), scalars.cmap), cax=cax)
        bar.set_label(scalars.title, fontsize=11)
        bar.ax.tick_params(labelsize=10)
        bar.locator = mpl.ticker.MaxNLocator(4)
        bar.update_ticks()
        bar.outline.set_linewidth(0.6)
    _draw_strip(scene, fig, canvas, keys, strip, width, height)


def _canvas(scene: Scene, ax: Axes, width: float, height: float) -> _Canvas:
    """Axes, `width` by `height` inches, with limits around everything that is drawn."""
    page = scene.page(scene.positions)
    ends = [scene.page(scene.arrows(vectors)[1]) for vectors in scene.vectors]
    pad = scene.radii[:, None] + 0.25
    everything = np.concatenate([page - pad, page + pad, *[end - 0.3 for end in ends], *[end + 0.3 for end in ends]])
    low, high = everything.min(axis=0), everything.max(axis=0)
    per_angstrom = min(width / (high - low)[0], height / (high - low)[1])
    middle = (low + high) / 2
    ax.set_xlim(middle[0] - width / per_angstrom / 2, middle[0] + width / per_angstrom / 2)
    ax.set_ylim(middle[1] - height / per_angstrom / 2, middle[1] + height / per_angstrom / 2)
    ax.set_axis_off()
    return _Canvas(ax, 72 * per_angstrom, near=page[:, 2].max(), far=page[:, 2].min())


def _draw_atoms(scene: Scene, canvas: _Canvas) -> None:
    page, colours = scene.page(scene.positions), scene.atom_colours()
    shown = np.ones(len(page), bool)
    if scene.representation == "cartoon":
        shown = scene.structure.atoms["hetero"].astype(str).str.startswith("H").to_numpy()
        _draw_tubes(scene, canvas, page, colours)
    exact = scene.atom_scalars is not None
    outlines = np.where(scene.faded, FADED_OUTLINE, OUTLINE)
    bonds = scene.bonds[shown[scene.bonds].all(axis=1)]
    if len(bonds):
        first, second = page[bonds[:, 0]], page[bonds[:, 1]]
        middle = (first + second) / 2
        along = (second - first) / np.maximum(np.linalg.norm(second - first, axis=1, keepdims=True), 1e-9)
        first = first + 0.9 * scene.radii[bonds[:, :1]] * along  # a bond begins inside the surface of its ball
        second = second - 0.9 * scene.radii[bonds[:, 1:]] * along
        start, end = np.concatenate([first, second]), np.concatenate([middle, middle])
        ends = colours[bonds.T.ravel()] if not exact else np.full(len(start), "#9A9A9A")
        rgb = canvas.fog(ends, (start[:, 2] + end[:, 2]) / 2)
        width = max(BOND_WIDTH * canvas.points_per_angstrom, 0.8)
        if width > 2:
            outline = canvas.fog(outlines[bonds.T.ravel()], (start[:, 2] + end[:, 2]) / 2)
            canvas.lines(start, end, outline, width + 1.4, 0.0, capstyle="butt")
        canvas.lines(start, end, rgb, width, 0.1, capstyle="butt")
    page, colours, radii = page[shown], colours[shown], scene.radii[shown]
    if not len(page):
        return
    faces = np.array([to_rgb(c) for c in colours]) if exact else canvas.fog(colours, page[:, 2])
    edges = canvas.fog(outlines[shown], page[:, 2])
    line = float(np.clip(0.06 * canvas.points_per_angstrom, 0.25, 1.0))
    for layer, index in canvas.slices(page[:, 2]):
        size = 2 * radii[index]
        canvas.ax.add_collection(
            EllipseCollection(
                size,
                size,
                np.zeros(len(index)),
                units="xy",
                offsets=page[index, :2],
                offset_transform=canvas.ax.transData,
                facecolors=faces[index],
                edgecolors=edges[index],
                linewidths=line,
                zorder=10 + layer + 0.3,
            )
        )


def _draw_tubes(scene: Scene, canvas: _Canvas, page: np.ndarray, colours: np.ndarray) -> None:
    """The backbone as a smooth tube through the C-alpha (or phosphorus) atoms of each chain."""
    atoms = scene.structure.atoms
    trace = np.flatnonzero(
        atoms["name"].isin(["CA", "P"]).to_numpy() & ~atoms["hetero"].astype(str).str.startswith("H").to_numpy()
    )
    if len(trace) < 2:
        return
    chain = atoms["chain"].astype(str).to_numpy()[trace]
    step = np.linalg.norm(np.diff(scene.positions[trace], axis=0), axis=1)
    limit = np.where(atoms["name"].to_numpy()[trace][1:] == "P", 8.0, 4.3)  # Å between neighbours in a chain
    breaks = np.flatnonzero((chain[1:] != chain[:-1]) | (step > limit)) + 1
    starts, ends, tints = [], [], []
    for piece in np.split(trace, breaks):
        if len(piece) < 2:
            continue
        curve = CubicSpline(np.arange(len(piece)), page[piece])(
            np.linspace(0, len(piece) - 1, 8 * (len(piece) - 1) + 1)
        )
        nearest = np.rint((np.arange(len(curve) - 1) + 0.5) / 8).astype(int)
        starts.append(curve[:-1])
        ends.append(curve[1:])
        tints.append(colours[piece][np.minimum(nearest, len(piece) - 1)])
    start, end, tint = np.concatenate(starts), np.concatenate(ends), np.concatenate(tints)
    z = (start[:, 2] + end[:, 2]) / 2
    rgb = np.array([to_rgb(c) for c in tint]) if scene.atom_scalars is not None else canvas.fog(tint, z)
    width = max(TUBE_WIDTH * canvas.points_per_angstrom, 1.5)
    canvas.lines(start, end, canvas.fog(np.full(len(start), OUTLINE), z), width + 1.2, 0.0, capstyle="butt")
    canvas.lines(start, end, rgb, width, 0.1, capstyle="round")


def _draw_edges(scene: Scene, canvas: _Canvas) -> None:
    start, end, colours, heads = scene.edge_segments()
    if not len(start):
        return
    towards_eye = np.array([0.0, 0.0, 0.4])  # an edge along a bond lies on the bond, not inside it
    start, end = scene.page(start) + towards_eye, scene.page(end) + towards_eye
    rgb = np.array([to_rgb(colour) for colour in colours])
    width = float(np.clip(0.1 * canvas.points_per_angstrom, 0.7, 2.6))
    if heads:
        along = end - start
        unit = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        _draw_heads(canvas, end, unit, rgb, rgb, length=0.3, width=0.14, rank=0.25)
        end = end - unit * 0.28
    corners = start + np.linspace(0, 1, 5)[:, None, None] * (end - start)
    for first, second in pairwise(corners):  # pieces, so that each has its own depth
        canvas.lines(first, second, rgb, width, 0.2, capstyle="butt")


def _draw_arrows(canvas: _Canvas, start: np.ndarray, end: np.ndarray, vectors: Vectors, size: float = 1.0) -> None:
    """Filled arrows for polar vectors; hollow ones with a ring for axial vectors; filled ones with a ring for sums."""
    if not len(start):
        return
    along = end - start
    length = np.linalg.norm(along, axis=1, keepdims=True)
    unit = along / length
    head = np.minimum(0.45 * size, 0.45 * length)
    neck = end - unit * head
    colour = np.tile(to_rgb(vectors.colour), (len(start), 1))
    width = max(ARROW_WIDTH * size * canvas.points_per_angstrom, 1.0)
    axial = vectors.kind == "axial"
    canvas.lines(start, neck, colour, width, 0.5, capstyle="butt")
    if axial:
        canvas.lines(start, neck, np.ones_like(colour), 0.4 * width, 0.55, capstyle="butt")
    if vectors.kind != "polar":
        rings = _circles(start + 0.5 * (neck - start), unit, np.minimum(0.24 * size, 0.25 * length[:, 0]))
        for layer, index in canvas.slices(rings[:, :, 2].mean(axis=1)):
            canvas.ax.add_collection(
                PolyCollection(
                    rings[index, :, :2],
                    facecolors="none",
                    edgecolors=vectors.colour,
                    linewidths=max(0.35 * width, 0.8),
                    zorder=10 + layer + 0.58,
                )
            )
    face = np.ones_like(colour) if axial else colour
    _draw_heads(canvas, end, unit, face, colour, head, 0.38 * head, rank=0.6, line=max(0.3 * width, 0.8))


def _draw_heads(canvas, tip, unit, face, edge, length, width, rank, line=0.5) -> None:
    """Cones: the outline of each, as seen by the reader, is the convex hull of its tip and its base."""
    length = np.broadcast_to(np.asarray(length, float).reshape(-1, 1), (len(tip), 1))
    width = np.broadcast_to(np.asarray(width, float).reshape(-1), (len(tip),))
    base = _circles(tip - unit * length, unit, width)
    outlines = []
    for corner, circle in zip(tip, base, strict=True):
        points = np.concatenate([corner[None, :2], circle[:, :2]])
        outlines.append(points[ConvexHull(points, qhull_options="QJ").vertices])
    for layer, index in canvas.slices(tip[:, 2] - unit[:, 2] * length[:, 0] / 2):
        canvas.ax.add_collection(
            PolyCollection(
                [outlines[i] for i in index],
                facecolors=face[index],
                edgecolors=edge[index],
                linewidths=line,
                zorder=10 + layer + rank,
            )
        )


def _circles(centre: np.ndarray, axis: np.ndarray, radius: np.ndarray, corners: int = 20) -> np.ndarray:
    """[n, corners, 3] points on circles around `axis`."""
    helper = np.where(np.abs(axis[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(axis, first)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)[None, :, None]
    radius = np.asarray(radius).reshape(-1, 1, 1)
    return centre[:, None] + radius * (np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None])


def _draw_labels(scene: Scene, canvas: _Canvas) -> None:
    page = scene.page(scene.positions)
    for atom, text in scene.labels.items():
        gap = 0.75 * scene.radii[atom] * canvas.points_per_angstrom + 1
        # 6.5 points a letter: where the text would run over the right edge, it goes to the left of its atom.
        room = (canvas.ax.get_xlim()[1] - page[atom, 0]) * canvas.points_per_angstrom
        side, align = (1, "left") if room > gap + 6.5 * len(text) else (-1, "right")
        label = canvas.ax.annotate(text, page[atom, :2], (side * gap, gap), textcoords="offset points", ha=align)
        label.set_fontsize(11)
        label.set(zorder=1000, path_effects=[mpl.patheffects.withStroke(linewidth=2.5, foreground="white")])


def _draw_strip(
    scene: Scene,
    fig: Figure | SubFigure,
    canvas: _Canvas,
    keys: list[Vectors],
    strip: float,
    width: float,
    height: float,
) -> None:
    """Below the molecule: the scale bar, then one arrow of each kind with its name and scale."""
    ax = fig.add_axes([0, 0, 1, strip / height])
    unit = 4.0  # an inch of the key counts as 4 Å, so that its arrows are drawn at a readable size in every scene
    ax.set(xlim=(0, width * unit), ylim=(0, strip * unit))
    ax.set_axis_off()
    per_inch = 72 / canvas.points_per_angstrom  # Å of the scene
    bar = next((step for step in (50, 20, 10, 5, 2, 1, 0.5, 0.2) if step <= 0.25 * width * per_inch), 0.1)
    y, left, end = (strip - 0.17) * unit, 0.15 * unit, (0.15 + bar / per_inch) * unit
    ax.plot([left, end], [y, y], color="black", lw=2.5, solid_capstyle="butt")
    ax.text(end + 0.1 * unit, y, f"{bar:g} Å", va="center", fontsize=11)
    key = _Canvas(ax, 72 / unit, near=1.0, far=0.0)
    for vectors in keys:
        y -= 0.27 * unit
        _draw_arrows(key, np.array([[left, y, 0.0]]), np.array([[left + 0.5 * unit, y, 0.0]]), vectors)
        text = f"{vectors.label} ({vectors.kind}); 1 Å of arrow = {scene.arrow_unit():g} {vectors.unit}".rstrip()
        ax.text(left + 0.6 * unit, y, text, va="center", fontsize=11)
