"""The figures of notebook 00: our drawings after the paper's Fig. 1, and the model at one atom of a real protein."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from eqgat.datasets import embedded_structure
from eqgat.viz.parts import Camera, Edges
from eqgat.viz.scene import Scene
from eqgat.viz.style import COLOURS, KIND_FILLS, describe
from eqgat_course.figures import figure
from eqgat_course.running_example import RUNNING_EXAMPLE, running_example
from eqgat_course.scenes import neighbourhood_scene

BACKBONE = ("N", "CA", "C", "O", "OXT")
FILL = {**KIND_FILLS, "map": "#FFFFFF", "sum": "#FFFFFF"}


@figure(
    name="fig-1a-neighbourhood",
    notebook="00",
    data=f"embedded structure {RUNNING_EXAMPLE.structure}",
    trained="nothing",
)
def neighbourhood(cutoff: float = 4.5) -> Figure:
    """Fig. 1a: the atoms within `cutoff` Å of the running example's carbon, and the edges along which it hears them.

    Side chains are compressed to one grey box R each, at the mean position of their atoms.
    """
    structure = embedded_structure(RUNNING_EXAMPLE.structure)
    atoms, every = structure.atoms, structure.positions
    centre = structure.find_atom(*RUNNING_EXAMPLE[1:])
    distance = np.linalg.norm(every - every[centre], axis=1)
    near = (distance < cutoff) & (distance > 0)
    residue = structure.residue_index
    shown = np.isin(residue, residue[near])
    backbone = shown & atoms["name"].isin(BACKBONE).to_numpy()
    rows = np.flatnonzero(backbone)
    boxes = [np.flatnonzero(shown & ~backbone & (residue == r)) for r in np.unique(residue[shown])]
    boxes = [box for box in boxes if len(box)]
    positions = np.concatenate([every[rows], [every[box].mean(axis=0) for box in boxes]])
    place = {row: number for number, row in enumerate(rows)}
    place |= {row: len(rows) + number for number, box in enumerate(boxes) for row in box}
    joined = {tuple(sorted((place[i], place[j]))) for i, j in structure.bonds() if i in place and j in place}
    bonds = np.array(sorted(pair for pair in joined if pair[0] != pair[1]))
    # A box sends one arrow, however many of its atoms are neighbours.
    senders = np.unique([place[row] for row in np.flatnonzero(near)])
    heard = np.zeros(len(positions), bool)
    heard[[*senders, place[centre]]] = True
    scene = Scene(
        positions,
        [*atoms["element"].to_numpy()[rows], *["C"] * len(boxes)],
        bonds,
        edges=Edges([senders, np.full(len(senders), place[centre])], colour=COLOURS["black"]),
        faded=~heard,
        radii=np.where(np.arange(len(positions)) == place[centre], 0.6, 0.4),
        camera=Camera.facing(positions[heard]),
    )
    fig = scene.still(6.4, 5.6)
    ax = fig.axes[0]
    for number, (x, y, z) in enumerate(scene.page(positions[len(rows) :])):
        inside = heard[len(rows) + number]
        half = 0.55
        look = {"facecolor": "#B5B5B5" if inside else "#E4E4E4", "edgecolor": "#222222" if inside else "#AAAAAA"}
        ax.add_patch(Rectangle((x - half, y - half), 2 * half, 2 * half, zorder=200 + z, **look))
        ax.text(x, y, "R", ha="center", va="center", zorder=200.5 + z, color="black" if inside else "#777777")
    x, y, z = scene.page(every[[centre]])[0]
    ax.text(x, y, "i", ha="center", va="center", zorder=200 + z, color="white", fontsize=16, style="italic")
    name = f"{RUNNING_EXAMPLE.name} of residue {RUNNING_EXAMPLE.residue}"
    packed = int(sum(near[box].sum() for box in boxes))
    caption = (
        f"Our drawing after the paper's Fig. 1a. The {int(near.sum())} neighbours within {cutoff:g} Å of carbon i "
        f"({name}, {RUNNING_EXAMPLE.structure}); each arrow is an edge (j, i) along which j sends scalars and vectors. "
        f"Grey boxes R stand for side chains: {packed} of the neighbours are in them. "
        f"Carbon is grey, nitrogen blue, oxygen orange; pale atoms are farther than {cutoff:g} Å away."
    )
    return describe(fig, caption, caption)


class _Diagram:
    """Boxes with names, and arrows between them; the width is 20 units."""

    def __init__(self, width: float, height: float) -> None:
        self.fig, self.ax = plt.subplots(figsize=(width, height), layout="none")
        self.ax.set_position([0, 0, 1, 1])
        self.ax.set(xlim=(0, 20), ylim=(0, 20 * height / width))
        self.ax.set_axis_off()
        self.boxes: dict[str, plt.Annotation] = {}

    def box(self, name: str, x: float, y: float, text: str, kind: str = "map") -> None:
        shape = {"map": "square,pad=0.35", "sum": "circle,pad=0.15"}.get(kind, "round,pad=0.3,rounding_size=0.4")
        patch = {"boxstyle": shape, "facecolor": FILL[kind], "edgecolor": "#333333", "linewidth": 1.2}
        self.boxes[name] = self.ax.annotate(
            text, (x, y), ha="center", va="center", fontsize=12.5, bbox=patch, zorder=3, annotation_clip=False
        )

    def link(self, start: str, end: str, bend: str = "arc3") -> None:
        first, last = self.boxes[start], self.boxes[end]
        style = {"arrowstyle": "-|>", "color": "#333333", "lw": 1.3, "mutation_scale": 13, "connectionstyle": bend}
        look = {**style, "patchA": first.get_bbox_patch(), "patchB": last.get_bbox_patch(), "shrinkA": 0, "shrinkB": 1}
        # Drawn after the boxes, which know their size only once they are drawn.
        self.ax.annotate("", xy=last.xy, xytext=first.xy, arrowprops=look, zorder=4)

    def links(self, text: str) -> None:
        """Arrows written as chains: "a b c; d c"."""
        for chain in text.split(";"):
            names = chain.split()
            for start, end in pairwise(names):
                self.link(start, end)

    def frame(self, x: float, y: float, width: float, height: float, title: str) -> None:
        look = {"facecolor": "#F7F7F7", "edgecolor": "#BBBBBB", "linewidth": 1}
        self.ax.add_patch(Rectangle((x, y), width, height, zorder=0, **look))
        self.ax.text(x + 0.2, y + height - 0.22, title, va="top", fontsize=13, fontweight="bold")


@figure(
    name="fig-1b-message-update",
    notebook="00",
    data="drawn from the equations of Section 3",
    trained="nothing",
    caption=(
        "Our drawing after the paper's Fig. 1b. Message: from the scalars of both atoms and their distance an MLP "
        "makes attention logits a and coefficients b (Eq. 1). Softmax over the neighbours turns a into feature "
        "attention α, which filters the scalars (Eq. 2); b weighs the direction (Eq. 3), the mixed vectors (Eq. "
        "4) and the cross product (Eq. 5), whose sum is averaged over the neighbours (Eq. 6). Update: residual "
        "sum, then a gated non-linearity that sees vectors only through their lengths. Blue: invariant scalars; "
        "orange: vectors that turn with the molecule; white: maps and operations."
    ),
)
def message_and_update() -> Figure:
    """Fig. 1b: the message function (above) and the update function (below) of one layer."""
    d = _Diagram(6.8, 8.0)
    d.frame(0.15, 8.35, 19.7, 15.0, "Message from j to i")
    d.frame(0.15, 0.15, 19.7, 7.9, "Update of i")

    d.box("si", 1.6, 21.4, "$s_i$", "scalar")
    d.box("sj", 3.9, 21.4, "$s_j$", "scalar")
    d.box("d", 8.3, 21.4, "$d_{ji}$", "scalar")
    d.box("rbf", 8.3, 20.0, r"$\kappa(d_{ji})\,G_d(d_{ji})$", "map")
    d.box("cat", 4.3, 18.6, r"$e_{ji} = [\,s_i\,\Vert\,s_j\,\Vert\,\kappa G_d\,]$", "scalar")
    d.box("mlp", 4.3, 17.2, "MLP: linear, SiLU, linear", "map")
    d.box("a", 2.9, 15.6, "$a_{ji}$", "scalar")
    for number, x in enumerate((7.6, 11.8, 16.0)):
        d.box(f"b{number}", x, 15.6, f"$b_{{ji,{number}}}$", "scalar")
    d.links("si cat; sj cat; d rbf cat mlp")
    for name in ("a", "b0", "b1", "b2"):
        d.link("mlp", name)

    d.box("soft", 2.9, 14.2, r"softmax over $\mathcal{N}(i)$", "map")
    d.box("alpha", 1.6, 12.9, r"$\alpha_{ji}$", "scalar")
    d.box("sj2", 4.3, 12.9, "$W_s s_j$", "scalar")
    d.box("dot", 2.9, 11.7, r"$\odot$", "sum")
    d.box("sum_s", 2.9, 10.45, r"sum over $\mathcal{N}(i)$", "map")
    d.box("ms", 2.9, 9.15, "$m_{i,s}$", "scalar")
    d.links("a soft alpha dot; sj2 dot sum_s ms")

    signs = (r"$\otimes$", r"$\odot$", r"$\odot$")
    for number, (x, sign, text) in enumerate(
        zip((7.6, 11.8, 16.0), signs, ("$p_{ji,n}$", "$v_j W_v$", r"$v_i \times v_j$"), strict=True)
    ):
        d.box(f"in{number}", x + 2.1, 14.2, text, "vector")
        d.box(f"o{number}", x, 13.2, sign, "sum")
        d.box(f"v{number}", x, 11.9, f"$v_{{ji,{number}}}$", "vector")
        d.links(f"b{number} o{number} v{number}; in{number} o{number}")
    d.box("mean", 11.8, 10.45, r"mean over $\mathcal{N}(i)$ of $v_{ji,0}+v_{ji,1}+v_{ji,2}$", "map")
    d.box("mv", 11.8, 9.15, "$m_{i,v}$", "vector")
    d.links("v0 mean; v1 mean; v2 mean; mean mv")

    d.box("key0", 16.4, 22.4, "invariant scalars", "scalar")
    d.box("key1", 16.4, 20.9, "vectors", "vector")
    d.box("key2", 16.4, 19.4, "maps, operations", "map")

    d.box("s", 3.1, 6.3, r"$\tilde s_i = s_i + m_{i,s}$", "scalar")
    d.box("cat2", 8.6, 6.3, r"$[\,\tilde s_i\,\Vert\,\Vert u\Vert\,]$", "scalar")
    d.box("mlp2", 13.7, 6.3, "linear, SiLU, linear", "map")
    d.box("ds", 18.4, 6.3, r"$\Delta s$", "scalar")
    d.box("n", 8.6, 4.9, r"$\Vert u\Vert$", "scalar")
    d.box("g", 12.6, 4.9, "$g$", "scalar")
    d.box("s_new", 16.9, 4.9, r"$s_i^{(l+1)} = \tilde s_i + \Delta s$", "scalar")
    d.box("u", 8.6, 3.5, "$u$", "vector")
    d.box("v", 3.1, 2.2, r"$\tilde v_i = v_i + m_{i,v}$", "vector")
    d.box("w0", 6.8, 2.2, "$W_0$", "map")
    d.box("w", 9.6, 2.2, "$w$", "vector")
    d.box("gate", 12.6, 2.2, r"$\odot$", "sum")
    d.box("w1", 15.0, 2.2, "$W_1$", "map")
    d.box("dv", 18.4, 2.2, r"$\Delta v$", "vector")
    d.box("v_new", 16.9, 0.95, r"$v_i^{(l+1)} = \tilde v_i + \Delta v$", "vector")
    d.links("s cat2 mlp2 ds s_new; mlp2 g gate; v w0 u n cat2; w0 w gate w1 dv v_new")
    return d.fig


@figure(
    name="first-look",
    notebook="00",
    data="embedded structure 5pti; EQGAT with untrained, seeded weights",
    trained="nothing",
)
def first_look() -> Figure:
    """What the second layer of an untrained EQGAT does at one carbon atom of a real protein."""
    example = running_example()
    record = example.model.trace(example.graph)[1]
    largest = float(record.attention[example.incoming, 0].max())
    scene = neighbourhood_scene(
        example.structure, record, example.centre, channel=0, vector_channel=0, limits=(0.0, largest)
    )
    where = f"{example.label(example.centre)} of BPTI (5PTI), layer 2 of an untrained model."
    return describe(scene.still(7.2, 5.0), f"{where} {scene.caption()}", scene.alt_text())
