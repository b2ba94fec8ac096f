"""The parts of a `Scene`: numbers as colours, edges as lines, vectors as arrows, and the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize, to_hex

from eqgat.viz.style import COLOURS, DIVERGING, SEQUENTIAL

NO_VALUE_COLOUR = "#BBBBBB"


def as_array(values: Any, name: str, shape: tuple[int | None, ...], dtype: type = float) -> np.ndarray:
    """A NumPy copy (of a torch tensor too) with the shape checked; None in `shape` fits any length.

    >>> as_array([[0, 0, 1.5]], "positions", (None, 3)).shape
    (1, 3)
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array: np.ndarray = np.array(values, dtype=dtype)
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name}: expected an array of shape [{wanted}], got {list(array.shape)}")
    return array


def strongest(values: np.ndarray, limit: int) -> np.ndarray:
    """Indices of the `limit` largest absolute values, in their original order; ties go to the earlier one.

    >>> strongest(np.array([0.1, -3.0, 2.0]), limit=2).tolist()
    [1, 2]
    """
    return np.sort(np.argsort(-np.abs(values), kind="stable")[:limit])


@dataclass(frozen=True, eq=False)
class Scalars:
    """Numbers shown as colours.

    values: [N] or [E]; NaN is drawn grey. label: what they are; unit: "" for a pure number. cmap: a matplotlib map.
    limits: the values at the two ends of the colour bar; the range of the data if left out (evenly about zero for
    the diverging map).

    >>> Scalars([0.0, 0.5, 3.0], "attention", limits=(0, 1)).describe()
    'attention from 0 to 3 (1 outside the colour bar, which ends at 0 and 1)'
    """

    values: Any
    label: str
    unit: str = ""
    cmap: str = SEQUENTIAL
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        values = as_array(self.values, f"values of {self.label!r}", (None,))
        finite = values[np.isfinite(values)]
        if not len(finite):
            raise ValueError(f"values of {self.label!r}: there is no finite number to show")
        low, high = self.limits or (float(finite.min()), float(finite.max()))
        if self.limits is None and self.cmap == DIVERGING:
            high = max(abs(low), abs(high))
            low = -high
        if self.limits is None and low == high:  # one value everywhere: any width will do
            low, high = low - 0.5, high + 0.5
        if not low < high:
            raise ValueError(f"limits of {self.label!r}: the lower must be below the upper, got {low:g} and {high:g}")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "limits", (float(low), float(high)))

    @property
    def title(self) -> str:
        """Label with unit, as written at the colour bar."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def ends(self) -> tuple[float, float]:
        """The limits, as numbers in any case."""
        assert self.limits is not None  # set when the object was made
        return self.limits

    @property
    def beyond(self) -> str:
        """At which end of the colour bar values are cut off, in matplotlib's words: neither, min, max or both."""
        low, high = np.nanmin(self.values) < self.ends[0], np.nanmax(self.values) > self.ends[1]
        return "both" if low and high else "min" if low else "max" if high else "neither"

    def colours(self) -> np.ndarray:
        """[n] array of hexadecimal colours, one for each value."""
        steps = 256
        table = np.array([to_hex(colour) for colour in mpl.colormaps[self.cmap](np.linspace(0, 1, steps))])
        share = Normalize(*self.ends, clip=True)(np.nan_to_num(self.values))
        return np.where(np.isfinite(self.values), table[np.rint(share * (steps - 1)).astype(int)], NO_VALUE_COLOUR)

    def describe(self) -> str:
        """Range of the values, and what the colour bar cuts off or cannot show."""
        finite = self.values[np.isfinite(self.values)]
        unit = f" {self.unit}" if self.unit else ""
        text = f"{self.label} from {finite.min():.3g} to {finite.max():.3g}{unit}"
        outside = int(((finite < self.ends[0]) | (finite > self.ends[1])).sum())
        if outside:
            text += f" ({outside} outside the colour bar, which ends at {self.ends[0]:.3g} and {self.ends[1]:.3g})"
        missing = len(self.values) - len(finite)
        return text + (f"; grey: no value ({missing})" if missing else "")


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges of a graph, drawn as lines.

    index: [2, E], source j above receiver i, as in `edge_index`. scalars: values [E], or None for one colour.
    limit: the most edges to draw; the strongest are kept, or without values the shortest.
    Where an edge and its reverse are both there, each is drawn as the half of the line next to its receiver, so that
    both colours are seen; otherwise as a full line with a head at the receiver.

    >>> Edges([[0, 1], [1, 0]], Scalars([0.2, 0.8], "attention")).scalars.ends
    (0.2, 0.8)
    """

    index: Any
    scalars: Scalars | None = None
    colour: str = COLOURS["grey"]
    limit: int = 3000

    def __post_init__(self) -> None:
        index = as_array(self.index, "edge index", (2, None), int)
        if self.scalars is not None and len(self.scalars.values) != index.shape[1]:
            raise ValueError(f"{index.shape[1]} edges, but {len(self.scalars.values)} values for them")
        object.__setattr__(self, "index", index)


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors at atoms, drawn as arrows.

    directions: [M, 3]. atoms: [M] the atoms they start from; None if there is one for each atom of the scene.
    kind: "polar" (a displacement: turns with the molecule, and reverses under inversion) is drawn as a filled arrow;
    "axial" (a cross product of two polar vectors: stays as it is under inversion) as a hollow arrow with a ring;
    "mixed" (a sum of both: turns with the molecule, and has no mirror image of its own) as a filled arrow with a ring.
    colour: vermilion for polar, pink for axial and black for mixed ones if left out.
    limit: the most arrows to draw; the longest are kept, and the caption says how many were left out.
    same_length: draw all of them equally long, for vectors whose lengths differ by orders of magnitude; key and caption
    then say the true length.

    >>> vectors = Vectors([[0, 0, 2.0], [0, 0, 0]], "torque", kind="axial")
    >>> vectors.key, vectors.kept().tolist()
    ('torque (axial)', [0])
    """

    directions: Any
    label: str
    kind: str = "polar"
    unit: str = ""
    atoms: Any = None
    colour: str = ""
    limit: int = 150
    same_length: bool = False

    def __post_init__(self) -> None:
        own = {"polar": "vermilion", "axial": "pink", "mixed": "black"}
        if self.kind not in own:
            raise ValueError(f"kind of vectors {self.label!r} must be 'polar', 'axial' or 'mixed', got {self.kind!r}")
        if not self.colour:
            object.__setattr__(self, "colour", COLOURS[own[self.kind]])
        directions = as_array(self.directions, f"vectors {self.label!r}", (None, 3))
        if not np.isfinite(directions).all():
            raise ValueError(f"vectors {self.label!r} contain NaN or infinite numbers")
        object.__setattr__(self, "directions", directions)
        if self.atoms is not None:
            object.__setattr__(self, "atoms", as_array(self.atoms, f"atoms of {self.label!r}", (len(directions),), int))

    @property
    def key(self) -> str:
        """What the arrow key says: label, kind, and the true length where the drawn one does not show it."""
        most = "" if len(self.directions) == 1 else "up to "
        length = f", |v| = {most}{self.longest():.2g} {self.unit}".rstrip() if self.same_length else ""
        return f"{self.label} ({self.kind}){length}"

    def longest(self) -> float:
        """Length of the longest, in their unit."""
        return float(np.linalg.norm(self.directions, axis=1).max(initial=0))

    def kept(self) -> np.ndarray:
        """Indices of the arrows that are drawn: the longest, without those of length zero."""
        length = np.linalg.norm(self.directions, axis=1)
        kept = strongest(length, self.limit)
        return kept[length[kept] > 0]


@dataclass(frozen=True, eq=False)
class Camera:
    """Where the reader stands: `direction` points from the scene to the eye, `up` to the top of the page.

    >>> Camera(direction=(1.0, 0.0, 0.0)).rotation()[2].tolist()  # x points towards the eye
    [1.0, 0.0, 0.0]
    """

    direction: tuple[float, float, float] = (0.0, 0.0, 1.0)
    up: tuple[float, float, float] = (0.0, 1.0, 0.0)

    def rotation(self) -> np.ndarray:
        """[3, 3] matrix with rows right, up and towards the eye: `positions @ rotation().T` are page coordinates.

        Raises:
            ValueError: if direction and up are parallel, or one of them is zero.
        """
        towards = np.asarray(self.direction, float)
        right = np.cross(np.asarray(self.up, float), towards)
        if np.linalg.norm(right) < 1e-9:
            raise ValueError(f"camera: direction {self.direction} and up {self.up} must not be parallel or zero")
        towards, right = towards / np.linalg.norm(towards), right / np.linalg.norm(right)
        return np.stack([right, np.cross(towards, right), towards])

    @classmethod
    def facing(cls, positions: Any) -> Camera:
        """Look at a cloud of points from where it is widest: its two long axes lie in the page."""
        positions = as_array(positions, "positions", (None, 3))
        _, _, axes = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=len(positions) < 3)
        # An axis has no sign of its own; take the one whose largest component is positive.
        axes = axes * np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])[:, None]
        return cls(direction=tuple(axes[2].tolist()), up=tuple(axes[1].tolist()))
