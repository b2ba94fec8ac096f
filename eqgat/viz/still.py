"""A scene as a matplotlib figure: the picture for print, and for pages where no script runs.

Orthographic: one Å has the same length everywhere, so the scale bar and the arrows can be measured. What is farther
away is drawn first, and paler; colours that stand for numbers are never paled.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection, PolyCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure, SubFigure
from scipy.spatial import ConvexHull

from eqgat.viz.backbone import ribbons
from eqgat.viz.labels import draw_labels
from eqgat.viz.parts import Scalars, Vectors
from eqgat.viz.style import describe, plain, style

if TYPE_CHECKING:
    from eqgat.viz.scene import Scene

MANY_ATOMS = (
    1500  # from here on an SVG holds the molecule as an image (megabytes of circles otherwise); text stays text
)
SLICES = 120  # depth is sorted in this many layers
FOG = 0.5  # how far the farthest things fade into the page
BOND_WIDTH = 0.22  # Å
COIL_WIDTH = 0.55  # Å
TOWARDS_EYE = np.array([0.0, 0.0, 0.4])  # Å: an edge or an arrow along a bond lies on the bond, not inside it
ARROW_WIDTH = 0.12  # Å, in a small scene
BAR_WIDTH = 1.2  # inches for a colour bar with its numbers and title
SMALL = 12
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

    def polygons(self, corners: Any, z: np.ndarray, face: Any, edge: Any, width: float, rank: float) -> None:
        """Outlines [n, corners, 2] at depths `z` [n]; `face` and `edge`: a colour for each, or one for all."""
        for layer, index in self.slices(z):
            colours = {
                name: colour if isinstance(colour, str) else colour[index]
                for name, colour in (("facecolors", face), ("edgecolors", edge))
            }
            pieces = [corners[i] for i in index]
            self.ax.add_collection(PolyCollection(pieces, linewidths=width, zorder=10 + layer + rank, **colours))


def render(scene: Scene, width: float = 6.4, height: float = 4.8) -> Figure:
    """The figure of a scene, `width` by `height` inches, with caption and alternative text attached.

    >>> from eqgat.viz.scene import Scene
    >>> render(Scene([[0, 0, 0], [1.2, 0, 0]], ["C", "O"]), width=3.0, height=2.0).eqgat_details["caption"]
    '2 atoms (1 C, 1 O).'
    """
    with style():
        fig = _empty(width, height)
        _draw(scene, fig, _Layout.of(scene, width, height))
        return describe(fig, scene.caption(), scene.alt_text())


def panels(
    scenes: Sequence[Scene],
    columns: int = 2,
    width: float = 7.2,
    height: float = 3.6,
    bar_title: str | None = None,
    caption: str | None = None,
) -> Figure:
    """Several scenes in one figure with letters, `width` inches wide; `height` of one row. Give each a title.

    One Å has the same length in all of them. Without `caption` those of the scenes are joined. Arrows can be compared between
    panels only where all have one `arrow_scale`. With `bar_title`, one colour bar of that title serves all panels;
    their colours must then have the same map and limits.

    Raises:
        ValueError: no scene; or one colour bar is asked for and the scenes have several.

    >>> from eqgat.viz.scene import Scene
    >>> carbon, oxygen = Scene([[0, 0, 0]], ["C"], title="one"), Scene([[0, 0, 0]], ["O"], title="other")
    >>> panels([carbon, oxygen]).eqgat_details["caption"]
    '(a) one. 1 atom (1 C). (b) other. 1 atom (1 O).'
    """
    if not scenes:
        raise ValueError("panels needs at least one scene")
    scenes = [
        replace(scene, title=f"({letter}) {scene.title or ''}".strip())
        for letter, scene in zip(ascii_lowercase, scenes, strict=False)
    ]
    bars = [bar for scene in scenes for bar in scene.colour_bars()]
    if bar_title is not None and len({(bar.cmap, bar.limits) for bar in bars}) != 1:
        raise ValueError("one colour bar for all panels needs the same map and limits in all; pass limits=...")
    rows = -(-len(scenes) // columns)
    right = 0.0 if bar_title is None else BAR_WIDTH
    each = (width - right) / columns
    with style():
        fig = _empty(width, height * rows)
        whole = fig if not right else fig.subfigures(1, 2, width_ratios=(width - right, right))[0]
        parts = whole.subfigures(rows, columns, squeeze=False).ravel()
        layouts = [_Layout.of(scene, each, height, bar_title is None) for scene in scenes]
        scale = min(layout.scale(scene) for layout, scene in zip(layouts, scenes, strict=True))
        for part, scene, layout in zip(parts, scenes, layouts, strict=False):
            _draw(scene, part, layout, scale)
        if right:
            length = min(2.8, height * rows - 0.8)
            place = (width - right, (height * rows - length) / 2, length)
            everything = np.concatenate([bar.values for bar in bars])
            _draw_bar(
                fig, replace(bars[0], values=everything, label=bar_title or "", unit=""), place, (width, height * rows)
            )
        said = " ".join(scene.caption() for scene in scenes) if caption is None else caption
        return describe(fig, said, " ".join(scene.alt_text() for scene in scenes))


def _empty(width: float, height: float) -> Figure:
    fig = Figure(figsize=(width, height))
    fig.set_layout_engine("none")  # the axes are placed by hand, so that line widths can be given in Å
    return fig


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a still lie, in inches: the strip below with scale bar and key, the heading, the bars."""

    width: float
    height: float
    strip: float
    box: tuple[float, float, float, float]  # of the molecule: left, bottom, width, height
    bars: tuple[Scalars, ...]

    @classmethod
    def of(cls, scene: Scene, width: float, height: float, with_bars: bool = True) -> _Layout:
        bars = tuple(scene.colour_bars()) if with_bars else ()
        strip, title = 0.34 + 0.27 * len(_keys(scene)), 0.34 if scene.title else 0.0
        box = (0.05, strip, width - BAR_WIDTH * len(bars) - 0.1, height - strip - title - 0.05)
        return cls(width, height, strip, box, bars)

    def scale(self, scene: Scene) -> float:
        """Inches for an Å with which all of the scene just fits."""
        low, high = _extent(scene)
        return min(self.box[2] / (high - low)[0], self.box[3] / (high - low)[1])


def _keys(scene: Scene) -> list[Vectors]:
    return [vectors for vectors in scene.vectors if len(vectors.kept())]


def _draw(scene: Scene, fig: Figure | SubFigure, layout: _Layout, scale: float | None = None) -> None:
    """Draw a scene into a figure, or a part of one; `scale` in inches for an Å, as large as possible if left out."""
    width, height, box = layout.width, layout.height, layout.box
    ax = fig.add_axes([box[0] / width, box[1] / height, box[2] / width, box[3] / height])
    canvas = _canvas(scene, ax, box[2], box[3], scale or layout.scale(scene))
    if len(scene.positions) > MANY_ATOMS:
        ax.set_rasterization_zorder(999)
    _draw_atoms(scene, canvas)
    _draw_edges(scene, canvas)
    for vectors in scene.vectors:
        start, end = scene.arrows(vectors)
        _draw_arrows(
            canvas, scene.page(start) + TOWARDS_EYE, scene.page(end) + TOWARDS_EYE, vectors, scene.arrow_size()
        )
    draw_labels(scene, canvas.ax, canvas.points_per_angstrom)
    if scene.title:
        fig.text(0.5, 1 - 0.08 / height, plain(scene.title), ha="center", va="top", fontsize=14 if width > 4.5 else 13)
    for number, scalars in enumerate(layout.bars):
        left = width - BAR_WIDTH * (len(layout.bars) - number)
        _draw_bar(fig, scalars, (left, layout.strip + 0.35, box[3] - 0.7), (width, height))
    _draw_strip(scene, fig, canvas, layout)


def _draw_bar(
    fig: Figure | SubFigure, scalars: Scalars, place: tuple[float, float, float], size: tuple[float, float]
) -> None:
    """A colour bar at `place`, its left, bottom and length, in a figure of this `size`, all in inches."""
    (left, bottom, length), (width, height) = place, size
    cax = fig.add_axes([(left + 0.08) / width, bottom / height, 0.16 / width, length / height])
    shades = mpl.cm.ScalarMappable(Normalize(*scalars.ends), scalars.cmap)
    bar = fig.colorbar(shades, cax=cax, extend=scalars.beyond)  # a tip where values are cut off
    fits = max(12, int(length * 72 / (0.56 * SMALL)))  # letters in a line
    lines = len(textwrap.wrap(scalars.title, fits))
    even = next(
        n for n in range(-(-len(scalars.title) // lines), fits + 1) if len(textwrap.wrap(scalars.title, n)) == lines
    )  # no single word in a line of its own
    bar.set_label(textwrap.fill(scalars.title, even), fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    bar.locator = mpl.ticker.MaxNLocator(5, steps=[1, 2, 5, 10])
    bar.update_ticks()
    bar.outline.set_linewidth(0.6)


def _extent(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest page coordinates [3] of everything that is drawn, in Å."""
    page = scene.page(scene.positions)
    ends = [scene.page(scene.arrows(vectors)[1]) for vectors in scene.vectors]
    pad = scene.radii[:, None] + 0.25
    everything = np.concatenate([page - pad, page + pad, *[end - 0.3 for end in ends], *[end + 0.3 for end in ends]])
    return everything.min(axis=0), everything.max(axis=0)


def _canvas(scene: Scene, ax: Axes, width: float, height: float, scale: float) -> _Canvas:
    """Axes of `width` by `height` inches, `scale` of them for an Å, with the scene in the middle."""
    depth, (low, high) = scene.page(scene.positions)[:, 2], _extent(scene)
    middle, half = (low + high) / 2, np.array([width, height]) / (2 * scale)
    ax.set(xlim=(middle[0] - half[0], middle[0] + half[0]), ylim=(middle[1] - half[1], middle[1] + half[1]))
    ax.set_axis_off()
    return _Canvas(ax, 72 * scale, near=depth.max(), far=depth.min())


def _draw_atoms(scene: Scene, canvas: _Canvas) -> None:
    page, colours = scene.page(scene.positions), scene.atom_colours()
    shown = np.ones(len(page), bool)
    if scene.representation == "cartoon":
        shown = scene.structure.atoms["hetero"].astype(str).str.startswith("H").to_numpy()
        _draw_ribbons(scene, canvas, colours)
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


def _draw_ribbons(scene: Scene, canvas: _Canvas, colours: np.ndarray) -> None:
    """The backbone of each chain: a tube where it is a coil, a broad band in a helix, a flat arrow in a strand."""
    exact, thin = scene.atom_scalars is not None, max(COIL_WIDTH * canvas.points_per_angstrom, 1.2)
    for ribbon in ribbons(scene.structure):
        centre, half = scene.page(ribbon.centre), ribbon.half @ scene.camera.rotation().T
        start, end = centre[:-1], centre[1:]
        z, tint = (start[:, 2] + end[:, 2]) / 2, colours[ribbon.atom[:-1]]
        rgb = np.array([to_rgb(c) for c in tint]) if exact else canvas.fog(tint, z)
        outline = canvas.fog(np.full(len(z), OUTLINE), z)
        canvas.lines(start, end, outline, thin + 1.2, 0.0, capstyle="butt")
        canvas.lines(start, end, rgb, thin, 0.1, capstyle="round")
        wide = np.flatnonzero((np.abs(half[:-1]) + np.abs(half[1:])).sum(axis=1) > 0)
        if not len(wide):
            continue
        corners = np.stack([start - half[:-1], start + half[:-1], end + half[1:], end - half[1:]], axis=1)
        canvas.polygons(corners[wide, :, :2], z[wide], rgb[wide], rgb[wide], 0.4, 0.15)
        for first, second in ((0, 3), (1, 2)):
            canvas.lines(corners[wide, first], corners[wide, second], outline[wide], 0.8, 0.16, capstyle="round")


def _draw_edges(scene: Scene, canvas: _Canvas) -> None:
    start, end, colours, heads = scene.edge_segments()
    if not len(start):
        return
    start, end = scene.page(start) + TOWARDS_EYE, scene.page(end) + TOWARDS_EYE
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
        depth, line = rings[:, :, 2].mean(axis=1), max(0.35 * width, 0.8)
        canvas.polygons(rings[:, :, :2], depth, "none", vectors.colour, line, 0.58)
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
    canvas.polygons(outlines, tip[:, 2] - unit[:, 2] * length[:, 0] / 2, face, edge, line, rank)


def _circles(centre: np.ndarray, axis: np.ndarray, radius: np.ndarray, corners: int = 20) -> np.ndarray:
    """[n, corners, 3] points on circles around `axis`."""
    helper = np.where(np.abs(axis[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(axis, first)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)[None, :, None]
    radius = np.asarray(radius).reshape(-1, 1, 1)
    return centre[:, None] + radius * (np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None])


def _draw_strip(scene: Scene, fig: Figure | SubFigure, canvas: _Canvas, layout: _Layout) -> None:
    """Below the molecule: the scale bar and what the length of an arrow means, then an arrow of each kind."""
    ax = fig.add_axes([0, 0, 1, layout.strip / layout.height])
    unit = 4.0  # an inch of the key counts as 4 Å, so that its arrows are drawn at a readable size in every scene
    ax.set(xlim=(0, layout.width * unit), ylim=(0, layout.strip * unit))
    ax.set_axis_off()
    per_inch = 72 / canvas.points_per_angstrom  # Å of the scene
    bar = next((step for step in (50, 20, 10, 5, 2, 1, 0.5, 0.2) if step <= 0.25 * layout.width * per_inch), 0.1)
    y, left, end = (layout.strip - 0.17) * unit, 0.15 * unit, (0.15 + bar / per_inch) * unit
    ax.plot([left, end], [y, y], color="black", lw=2.5, solid_capstyle="butt")
    words = scene.arrow_words(bar)
    if words:
        words = f"; as an arrow, {words}" if words.startswith("|v|") else f"; arrows: {words}"
    words = f"{bar:g} Å{words}"
    ax.text(end + 0.1 * unit, y, words, va="center", fontsize=SMALL)
    key = _Canvas(ax, 72 / unit, near=1.0, far=0.0)
    for vectors in _keys(scene):
        y -= 0.27 * unit
        _draw_arrows(key, np.array([[left, y, 0.0]]), np.array([[left + 0.5 * unit, y, 0.0]]), vectors)
        ax.text(left + 0.6 * unit, y, vectors.key, va="center", fontsize=SMALL)
