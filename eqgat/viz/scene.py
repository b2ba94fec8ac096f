"""What is to be seen in 3D, apart from who draws it.

A `Scene` holds plain arrays: atoms, bonds, numbers per atom or per edge, vectors per atom, labels and a camera. Two
renderers draw it: `Scene.view` an interactive view, `Scene.still` a matplotlib figure. Captions and
alternative texts are made from the same arrays, so they cannot say anything that is not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from eqgat.viz.parts import Camera, Edges, Scalars, Vectors, as_array, strongest
from eqgat.viz.style import COLOURS, element_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_ARROW = 3.0  # Å, about two bonds: longer ones hide a small molecule
SAME_LENGTH = 2.5  # Å of arrows that show directions only
ARROW_SHARE = 0.15  # of the extent of a large one, in which 3 Å could not be seen
FADED_COLOUR = "#D8D8D8"
# Van der Waals radii in Å (Bondi 1964); 1.8 for the rest.
VDW_RADII = {"H": 1.2, "C": 1.7, "N": 1.55, "O": 1.52, "F": 1.47, "S": 1.8, "Cl": 1.75, "P": 1.8}


@dataclass(frozen=True, eq=False)
class Scene:
    """Atoms and what is shown at them. All lengths in Å.

    positions: [N, 3]. elements: N symbols ("C", "CL"). bonds: [B, 2] pairs of atom indices.
    representation: "balls", or "cartoon" for a protein's backbone, which needs `structure` (a
    `eqgat.molecule.Molecule` with the same atoms in the same order).
    radii: [N] of the drawn balls; a quarter of the van der Waals radius if left out.
    atom_scalars, edges, vectors: what to show. arrow_scale: how much one Å of arrow stands for, in the unit of the
    vectors; chosen if left out, the same for all of them. labels: atom index -> text. faded: [N] True for atoms that
    are only context.

    Raises:
        ValueError: if shapes do not agree, or an index points to no atom.

    >>> attention = Scalars([0.5, 1.5], "attention received")
    >>> Scene([[0, 0, 0], [1.2, 0, 0]], ["C", "O"], bonds=[[0, 1]], atom_scalars=attention).caption()
    '2 atoms (1 C, 1 O). Atom colour: attention received from 0.5 to 1.5.'
    """

    positions: Any
    elements: Sequence[str]
    bonds: Any = None
    representation: str = "balls"
    structure: Any = None
    radii: Any = None
    atom_scalars: Scalars | None = None
    edges: Edges | None = None
    vectors: tuple[Vectors, ...] = ()
    arrow_scale: float | None = None
    labels: Mapping[int, str] = field(default_factory=dict)
    faded: Any = None
    camera: Camera = field(default_factory=Camera)
    title: str = ""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "positions", as_array(self.positions, "positions", (None, 3)))
        n = len(self.positions)
        if not np.isfinite(self.positions).all():
            raise ValueError("positions contain NaN or infinite numbers")
        if n == 0 or len(self.elements) != n:
            raise ValueError(f"a scene needs one element for each atom: {n} atoms, {len(self.elements)} elements")
        set_(self, "elements", tuple(str(element).strip().capitalize() for element in self.elements))
        bonds = np.empty((0, 2), int) if self.bonds is None else as_array(self.bonds, "bonds", (None, 2), int)
        set_(self, "bonds", bonds)
        radii = [0.25 * VDW_RADII.get(element, 1.8) for element in self.elements] if self.radii is None else self.radii
        set_(self, "radii", as_array(radii, "radii", (n,)))
        set_(self, "faded", as_array(np.zeros(n) if self.faded is None else self.faded, "faded", (n,), bool))
        set_(self, "vectors", (self.vectors,) if isinstance(self.vectors, Vectors) else tuple(self.vectors))
        if self.representation not in ("balls", "cartoon"):
            raise ValueError(f"representation must be 'balls' or 'cartoon', got {self.representation!r}")
        if self.representation == "cartoon" and (self.structure is None or len(self.structure.atoms) != n):
            raise ValueError("a cartoon needs structure=..., a Molecule with the same atoms as the positions")
        if self.atom_scalars is not None and len(self.atom_scalars.values) != n:
            raise ValueError(f"{n} atoms, but {len(self.atom_scalars.values)} values for them")
        for vectors in self.vectors:
            if vectors.atoms is None and len(vectors.directions) != n:
                raise ValueError(f"vectors {vectors.label!r}: {len(vectors.directions)} for {n} atoms; pass atoms=...")
        if self.arrow_scale is not None and not self.arrow_scale > 0:
            raise ValueError(f"arrow_scale must be positive, got {self.arrow_scale}")
        indices = [bonds.ravel(), np.array(list(self.labels), int)]
        indices += [self.edges.index.ravel()] if self.edges is not None else []
        indices += [vectors.atoms for vectors in self.vectors if vectors.atoms is not None]
        used = np.concatenate(indices)
        if len(used) and (used.min() < 0 or used.max() >= n):
            raise ValueError(f"an index of a bond, edge, vector or label points outside the {n} atoms")
        self.camera.rotation()

    @classmethod
    def from_structure(cls, structure: Any, **options: Any) -> Scene:
        """Scene of a `Molecule`: its positions, elements and bonds; `options` are the other fields of `Scene`."""
        atoms = structure.atoms
        options.setdefault("bonds", structure.bonds())
        options.setdefault("camera", Camera.facing(atoms[["x", "y", "z"]].to_numpy()))
        return cls(atoms[["x", "y", "z"]].to_numpy(), atoms["element"].tolist(), structure=structure, **options)

    # -- what the renderers share ------------------------------------------------------------------------------------

    def atom_colours(self) -> np.ndarray:
        """[N] hexadecimal colours: of the scalars if any, else of the elements (chains in a cartoon); context grey."""
        if self.atom_scalars is not None:
            colours = self.atom_scalars.colours()
        elif self.representation == "cartoon":
            names = list(COLOURS.values())[:6]
            chains = self.structure.atoms["chain"].astype(str).tolist()
            order = {chain: number for number, chain in enumerate(dict.fromkeys(chains))}
            colours = np.array([names[order[chain] % len(names)] for chain in chains])
        else:
            colours = np.array([element_colour(element) for element in self.elements])
        return np.where(self.faded, FADED_COLOUR, colours)

    def edge_segments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Starts [e, 3], ends [e, 3] and colours [e] of the drawn edges, and whether they carry a head."""
        if self.edges is None:
            return np.empty((0, 3)), np.empty((0, 3)), np.empty(0, str), False
        kept, both = self._kept_edges(), not self._one_way
        source, receiver = self.edges.index[:, kept]
        start, end = self.positions[source], self.positions[receiver]
        scalars = self.edges.scalars
        colours = scalars.colours()[kept] if scalars is not None else np.full(len(source), self.edges.colour)
        # From the surface of one ball (or the middle of the line) to the surface of the other.
        along = end - start
        length = np.linalg.norm(along, axis=1)
        unit = along / np.maximum(length, 1e-9)[:, None]
        start = (start + end) / 2 if both else start + unit * np.minimum(self.radii[source], 0.3 * length)[:, None]
        end = end - unit * np.minimum(self.radii[receiver], 0.3 * length)[:, None]
        return start, end, colours, not both

    @cached_property
    def _one_way(self) -> bool:
        """Whether no edge is there together with its reverse."""
        index = self._drawn.index
        low, high = np.sort(index, axis=0)
        pair = np.sort(2 * (low * len(self.positions) + high) + (index[0] == high))  # even: from low to high
        return not ((np.diff(pair) == 1) & (pair[:-1] % 2 == 0)).any()

    @property
    def _drawn(self) -> Edges:
        """The edges of a scene that has some."""
        assert self.edges is not None
        return self.edges

    def _kept_edges(self) -> np.ndarray:
        edges = self._drawn
        source, receiver = edges.index
        if edges.scalars is not None:
            rank = np.nan_to_num(edges.scalars.values)
        else:
            rank = -1 / (1e-9 + np.linalg.norm(self.positions[source] - self.positions[receiver], axis=1))
        return strongest(rank, edges.limit)

    def arrow_unit(self) -> float:
        """How much one Å of drawn arrow stands for.

        Chosen: the smallest of 1, 2, 5 times a power of ten with which no arrow is longer than 3 Å, in a large scene
        than 15 % of its extent.
        """
        if self.arrow_scale is not None:
            return self.arrow_scale
        longest = max((vectors.longest() for vectors in self.vectors if not vectors.same_length), default=0)
        if longest == 0:
            return 1.0
        return round_unit(longest, LONGEST_ARROW * self.arrow_size())

    def arrow_size(self) -> float:
        """How much larger than in a small molecule arrows are drawn, 1 or more."""
        extent = float(np.ptp(self.positions, axis=0).max())
        return max(1.0, ARROW_SHARE * extent / LONGEST_ARROW)

    def arrows(self, vectors: Vectors) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends [m, 3] of the arrows that are drawn, in Å."""
        kept = vectors.kept()
        origin = self.positions[kept if vectors.atoms is None else vectors.atoms[kept]]
        drawn = vectors.directions[kept]
        if vectors.same_length:
            length = SAME_LENGTH * self.arrow_size()
            return origin, origin + length * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return origin, origin + drawn / self.arrow_unit()

    def arrow_words(self, length: float = 1.0) -> str:
        """What an arrow `length` Å long stands for; empty if no arrow is drawn."""
        drawn = [vectors for vectors in self.vectors if len(vectors.kept())]
        if not drawn:
            return ""
        if all(vectors.same_length for vectors in drawn):
            return "directions only"
        units = {vectors.unit for vectors in drawn if not vectors.same_length}
        unit = units.pop() if len(units) == 1 else "of the unit of each"
        return f"|v| = {length * self.arrow_unit():g} {unit}".rstrip()

    def page(self, points: np.ndarray) -> np.ndarray:
        """[n, 3] points in Å as the camera sees them: right, up, towards the eye; the origin is the scene's middle."""
        middle = (self.positions.min(axis=0) + self.positions.max(axis=0)) / 2
        return (points - middle) @ self.camera.rotation().T

    def colour_bars(self) -> list[Scalars]:
        """The scalars that need a colour bar: the atoms', then the edges'."""
        bars = [self.atom_scalars, self.edges.scalars if self.edges is not None else None]
        return [bar for bar in bars if bar is not None]

    # -- words -------------------------------------------------------------------------------------------------------

    def caption(self) -> str:
        """What is drawn, in sentences made from the data: counts, ranges, units, the scale of arrows, caps."""
        counts = {element: self.elements.count(element) for element in dict.fromkeys(self.elements)}
        ranked = sorted(counts.items(), key=lambda item: -item[1])
        composition = ", ".join(f"{count:,} {element}" for element, count in ranked[:4])
        rest = sum(count for _, count in ranked[4:])
        composition += f", {rest:,} other" if rest else ""
        sentences = [f"{_count(len(self.positions), 'atom')} ({composition})"]
        if self.title:
            sentences.insert(0, self.title)
        if self.faded.any():
            sentences.append(f"Pale grey: {_count(int(self.faded.sum()), 'atom')} shown as context")
        if self.atom_scalars is not None:
            sentences.append(f"Atom colour: {self.atom_scalars.describe()}")
        if self.edges is not None:
            sentences.append(self._edge_sentence())
        sentences += [self._vector_sentence(vectors) for vectors in self.vectors]
        words = self.arrow_words()
        if words.startswith("|v|"):
            sentences.append(f"An arrow 1 Å long stands for {words}")
        elif words:
            sentences.append(f"All arrows are drawn {SAME_LENGTH * self.arrow_size():.2g} Å long: they show {words}")
        return ". ".join(sentences) + "."

    def _edge_sentence(self) -> str:
        edges = self._drawn
        total = edges.index.shape[1]
        drawn = min(total, edges.limit)
        shown = _count(drawn, "edge")
        if drawn < total:
            order = "shortest" if edges.scalars is None else "strongest"
            shown = f"the {drawn:,} {order} of {_count(total, 'edge')}"
        how = "arrows from neighbour to receiver" if self._one_way else "half-lines, each next to its receiver"
        sentence = f"Lines: {shown}, drawn as {how}"
        return sentence + (f", coloured by {edges.scalars.describe()}" if edges.scalars is not None else "")

    def _vector_sentence(self, vectors: Vectors) -> str:
        length = np.linalg.norm(vectors.directions, axis=1)
        looks = {"polar": "filled", "axial": "hollow or pale, with a ring", "mixed": "filled with a ring"}
        kind = f"{vectors.kind}, {looks[vectors.kind]}"
        kept, nonzero = len(vectors.kept()), int((length > 0).sum())
        if not nonzero:
            return f"Arrows: {vectors.label} ({kind}): all {len(length):,} are zero, so none is drawn"
        shown = _count(kept, "arrow") if kept == nonzero else f"the {kept:,} longest of {_count(nonzero, 'arrow')}"
        left_out = f", {nonzero - kept:,} left out" if kept < nonzero else ""
        unit = f" {vectors.unit}" if vectors.unit else ""
        return f"Arrows: {vectors.label} ({kind}), {shown}{left_out}, the longest |v| = {length.max():.3g}{unit}"

    def alt_text(self) -> str:
        """The caption for somebody who cannot see the picture: it also says how the scene is drawn."""
        style = "a cartoon of the backbone" if self.representation == "cartoon" else "balls and sticks"
        size = np.ptp(self.positions @ self.camera.rotation().T, axis=0)
        labels = f" Labels: {', '.join(self.labels.values())}." if self.labels else ""
        return f"3D drawing as {style}, {size[0]:.0f} Å wide and {size[1]:.0f} Å high. {self.caption()}{labels}"

    # -- doing things with it ----------------------------------------------------------------------------------------

    def rotated(self, rotation: Any) -> Scene:
        """The scene turned, or mirrored, by an orthogonal matrix [3, 3]; the camera stays where it is.

        Positions and polar vectors become R p; axial vectors det(R) R v, which is what a cross product does.

        Raises:
            ValueError: if the matrix is not orthogonal, or mirrors vectors of mixed kind, whose mirror image takes
                knowing their polar and their axial part.
        """
        matrix = as_array(rotation, "rotation", (3, 3))
        if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-5):
            raise ValueError("rotation must be an orthogonal matrix: R times its transpose must be the identity")
        det = float(np.sign(np.linalg.det(matrix)))
        mixed = [vectors.label for vectors in self.vectors if vectors.kind == "mixed"]
        if det < 0 and mixed:
            raise ValueError(
                f"a mirror image of the mixed vectors {mixed[0]!r} is not defined: draw their polar and "
                "their axial part instead"
            )
        turned = tuple(
            replace(v, directions=v.directions @ matrix.T * (det if v.kind == "axial" else 1.0)) for v in self.vectors
        )
        positions = self.positions @ matrix.T
        structure = self.structure.with_positions(positions) if self.structure is not None else None
        return replace(self, positions=positions, vectors=turned, structure=structure)

    def view(self, width: int = 640, height: int = 440) -> Any:
        """Interactive view, an `eqgat.viz.view3d.View`. Sizes in pixels."""
        from eqgat.viz.view3d import View

        return View(self, width, height)

    def still(self, width: float = 6.4, height: float = 4.8) -> Figure:
        """Picture for print: a matplotlib figure with colour bars, scale bar and arrow key. Sizes in inches."""
        from eqgat.viz.still import render

        return render(self, width, height)


def round_unit(longest: float, length: float) -> float:
    """Smallest of 1, 2, 5 times a power of ten with which `longest` is drawn at most `length` Å long.

    >>> round_unit(longest=700.0, length=3.0)
    500.0
    """
    need = longest / length * (1 - 1e-9)
    power = 10.0 ** np.floor(np.log10(need))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= need))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
