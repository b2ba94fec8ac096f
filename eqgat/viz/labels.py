"""The labels of a still: each beside its atom, where it covers least of the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.patheffects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from eqgat.viz.style import plain

if TYPE_CHECKING:
    from eqgat.viz.scene import Scene


SIZE = 12  # points
DISTANCES = (1.0, 8.0, 18.0, 32.0)  # points from the ball to the text; a line leads from the text to its atom
LEADER = 5.0  # points: from here on there is one
DIRECTIONS = [(1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (0, 1), (0, -1), (1, 0), (-1, 0)]  # the first are best
_OUTSIDE, _LABEL = 1000.0, 100.0  # what it costs to leave the picture, to lie on another label


def draw_labels(scene: Scene, ax: Axes, points_per_angstrom: float) -> None:
    """Write `scene.labels` onto axes that show the scene in page coordinates.

    >>> from eqgat.viz.scene import Scene
    >>> ax = matplotlib.figure.Figure().add_subplot(xlim=(-3, 3), ylim=(-2, 2))
    >>> draw_labels(Scene([[0, 0, 0]], ["C"], labels={0: "Ala1"}), ax, points_per_angstrom=40)
    >>> [text.get_text() for text in ax.texts]
    ['Ala1']
    """
    if not scene.labels:
        return
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    corner = np.array([left, bottom])
    picture = (np.array([right, top]) - corner) * points_per_angstrom
    page = (scene.page(scene.positions)[:, :2] - corner) * points_per_angstrom
    places, radii, weights = _obstacles(scene, page, corner, points_per_angstrom)
    taken: list[tuple[np.ndarray, np.ndarray]] = []
    for atom, text in zip(scene.labels, map(plain, scene.labels.values()), strict=True):
        size = np.array([TextPath((0, 0), text, prop=FontProperties(size=SIZE)).get_extents().x1, 0.95 * SIZE])
        choices: list[tuple[Any, ...]] = []
        radius = 0.75 * scene.radii[atom] * points_per_angstrom
        for gap in DISTANCES:
            for rank, direction in enumerate(DIRECTIONS):
                low = page[atom] + np.array(direction) * (size / 2 + radius + gap) - size / 2
                cost = 0.02 * gap + 0.01 * rank + weights @ _covered(places, radii, low, low + size)
                cost += _OUTSIDE * float((low < 0).any() or (low + size > picture).any())
                cost += _LABEL * sum(bool((low < high).all() and (low + size > start).all()) for start, high in taken)
                choices.append((cost, len(choices), gap, low))
        _, _, gap, low = min(choices)
        taken.append((low, low + size))
        ends = [page[atom], np.clip(page[atom], low, low + size)] if gap >= LEADER else []
        _write(
            ax,
            text,
            (low + size / 2) / points_per_angstrom + corner,
            [end / points_per_angstrom + corner for end in ends],
        )


def _obstacles(scene: Scene, page: np.ndarray, corner: np.ndarray, scale: float) -> tuple[np.ndarray, ...]:
    """Discs that a label should not cover: places [n, 2] and radii [n] in points, and how much each counts [n]."""
    cartoon = scene.representation == "cartoon"
    shown = np.ones(len(page), bool)
    if cartoon:
        shown = scene.structure.atoms["name"].isin(["N", "CA", "C", "P"]).to_numpy()
    parts: list[tuple[Any, Any, Any]] = [
        (page[shown], scale * (1.0 if cartoon else scene.radii[shown]), np.where(scene.faded[shown], 0.4, 1.0))
    ]
    lines = [scene.edge_segments()[:2], *(scene.arrows(vectors) for vectors in scene.vectors)]
    for (start, end), weight in zip(lines, [0.15] + [0.6] * len(scene.vectors), strict=True):
        start, end = ((scene.page(ends)[:, :2] - corner) * scale for ends in (start, end))
        along = np.concatenate([start + share * (end - start) for share in np.linspace(0.1, 1, 8)])
        parts.append((along, np.full(len(along), 0.5), np.full(len(along), weight)))
    places, radii, weights = zip(*parts, strict=True)
    spread = [np.broadcast_to(radius, len(place)) for radius, place in zip(radii, places, strict=True)]
    return np.concatenate(places), np.concatenate(spread), np.concatenate(weights)


def _covered(places: np.ndarray, radii: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How much of each disc lies under a box, 0 to 1: by how deep it reaches into the box."""
    outside = np.linalg.norm(places - np.clip(places, low, high), axis=1)
    return np.clip(1 - outside / np.maximum(radii, 1e-9), 0, 1)


def _write(ax: Axes, text: str, middle: np.ndarray, leader: list[np.ndarray]) -> None:
    """A text about its middle, and the line that leads to it, if any; both with a white rim."""
    rim = [matplotlib.patheffects.withStroke(linewidth=2.5, foreground="white")]
    if leader:
        ax.plot(*np.stack(leader).T, color="black", linewidth=0.9, zorder=999, path_effects=rim)
    ax.text(*middle, text, ha="center", va="center", fontsize=SIZE, zorder=1000, path_effects=rim)
