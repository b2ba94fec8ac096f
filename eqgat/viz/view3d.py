"""A scene as an interactive view in a notebook or an exported page, drawn by 3Dmol.js through py3Dmol.

Three things can be missing where a page is read: scripts (a preview, a notebook that is not trusted), 3Dmol.js, or
WebGL. A view therefore begins as a sentence that says so, which goes away only when the molecule has been drawn;
`show` puts the still picture and the caption below it, as outputs that need no script.
"""

from __future__ import annotations

import html
import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import py3Dmol
from matplotlib.colors import to_hex
from scipy.spatial.transform import Rotation

from eqgat.viz import scripts
from eqgat.viz.backbone import secondary_structure
from eqgat.viz.parts import Scalars, Vectors
from eqgat.viz.scene import Scene
from eqgat.viz.style import use_style

# Where py3Dmol itself loads the script from: for pages without a copy of it.
ADDRESS = inspect.signature(py3Dmol.view.__init__).parameters["js"].default
DRAW = Path(__file__).with_name("view3d.js")
PAGE = Path(__file__).with_name("page.js")
NO_SCRIPTS = (
    "The interactive 3D view is not drawn here: this page runs no scripts, or does not trust them yet "
    "(in JupyterLab, run the notebook's cells). The still picture shows the same scene."
)
_numbers = itertools.count(1)
_page = {"script": False}  # whether `setup` has put 3Dmol.js into this notebook


def setup() -> None:
    """First cell of a notebook with 3D views: the suite's style, and 3Dmol.js put into the page once (0.5 MB).

    Running the cell again puts it there again, in the same place. A view made without `setup`, or outside a notebook,
    carries its own copy.
    """
    from IPython import get_ipython
    from IPython.display import HTML, display

    use_style()
    script = _inlined()
    _page["script"] = bool(script) and get_ipython() is not None  # a plain script has no page that could hold it
    display(
        HTML(
            script
            or "<p>3Dmol.js is not installed here (<code>python -m eqgat.viz.scripts</code> fetches it): "
            "3D views will ask the network for it, and every view has a still picture.</p>"
        )
    )


def show(scene: Scene, width: int = 640, height: int = 440) -> None:
    """Show a scene in a notebook: the interactive view, and below it the still picture and the caption.

    These are separate outputs, so that the picture is seen wherever the view is not. `width`, `height`: of the view,
    in pixels; the picture has the same shape.
    """
    from IPython.display import HTML, Markdown, display

    display(HTML(scene.view(width, height).to_html()))
    display(scene.still(6.4, 6.4 * height / width))
    display(Markdown(f"*{scene.caption()}*"))


class View(py3Dmol.view):
    """A py3Dmol view whose page needs no network, and which says what is missing where it cannot be drawn.

    Methods of 3Dmol's viewer (`addLabel`, `spin`, ...) can be called on it as on every py3Dmol view.
    """

    def __init__(self, width: int, height: int, alt: str, legend: str = "") -> None:
        super().__init__(width=width, height=height, js=ADDRESS)
        self.startjs = self.startjs[self.startjs.index("<script>") :]  # py3Dmol's box is empty until it is drawn
        options = f"antialias: eqgatSmooth(), disableFog: {json.dumps(bool(legend))}"  # fog would pale what has a key
        self.startjs = self.startjs.replace("{backgroundColor:", f"{{{options}, backgroundColor:")
        self.size, self.alt, self.legend = (width, height), alt, legend

    def to_html(self) -> str:
        """The view as a piece of a page: a sentence, an empty box, and the scripts that fill it."""
        self.uniqueid = f"eqgat{next(_numbers)}"  # counted, not timed: a notebook that is run again stays the same
        self.updatejs = ""
        options = {"id": self.uniqueid, "width": self.size[0], "height": self.size[1], "address": ADDRESS}
        page = PAGE.read_text(encoding="utf-8")
        return (
            f'<div role="img" aria-label="{html.escape(self.alt, quote=True)}">'
            f'<p id="note_{self.uniqueid}"><em>{NO_SCRIPTS}</em></p><div id="3dmolviewer_{self.uniqueid}"></div>'
            f'<div id="legend_{self.uniqueid}">{self.legend}</div></div>\n'
            + ("" if _page["script"] else _inlined())
            + f"<script>{page}\neqgatWait({json.dumps(options)});</script>\n"
            + (self.startjs + self.endjs).replace("UNIQUEID", self.uniqueid)
            + f'<script>eqgatDone("{self.uniqueid}");</script>'
        )

    _make_html = to_html  # what py3Dmol's own methods call

    def _repr_html_(self) -> str:
        return self.to_html()

    def show(self) -> None:
        """Display the view; py3Dmol's own version would store the page twice."""
        from IPython.display import HTML, display

        display(HTML(self.to_html()))


def render(scene: Scene, width: int = 640, height: int = 440) -> View:
    """The view of a scene; `width` and `height` in pixels."""
    legend = "".join(
        [
            *(_arrow_key(vectors) for vectors in scene.vectors if len(vectors.kept())),
            *(_colour_bar(bar) for bar in scene.colour_bars()),
        ]
    )
    if scene.arrow_words().startswith("|v|"):
        legend += f"<div>an arrow 1 Å long: {html.escape(scene.arrow_words())}</div>"
    view = View(width, height, scene.alt_text(), legend)
    # JSON may hold "</script>" in a label, which would end the script.
    data = json.dumps(_data(scene, width, height), ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    view.startjs += f"{DRAW.read_text(encoding='utf-8')}\neqgatDraw(viewer_UNIQUEID, {data});\n"
    return view


def _inlined() -> str:
    """3Dmol.js as a script element, or nothing. Loaders of modules are hidden from it: it shall define $3Dmol."""
    source = scripts.source(scripts.THREEDMOL)
    if source is None:
        return ""
    return (
        f"<script>if (!window.$3Dmol) (function (exports, module, define) {{\n{source}\n}}).call(window);\n"
        "window.$3Dmolpromise = Promise.resolve();</script>\n"
    )


def _data(scene: Scene, width: int = 640, height: int = 440) -> dict[str, Any]:
    """What view3d.js draws: plain lists, coordinates rounded to 0.01 Å, colours as indices into a palette."""
    start, end, edge_colours, heads = scene.edge_segments()
    every = np.concatenate([scene.atom_colours(), edge_colours]).astype(str)
    palette, index = np.unique(every, return_inverse=True)
    n = len(scene.positions)
    size = scene.arrow_size()
    arrows = []
    for vectors in scene.vectors:
        origin, tip = scene.arrows(vectors)
        marks = {"ring": vectors.kind != "polar", "hollow": vectors.kind == "axial"}
        look = {"colour": to_hex(vectors.colour), **marks, "width": 0.07 * size, "head": 0.45 * size}
        arrows.append({"start": _flat(origin), "end": _flat(tip), **look})
    data = {
        "palette": palette.tolist(),
        "colours": index[:n].tolist(),
        "radii": _flat(scene.radii),
        "stick": 0.11,
        "zoom": round(_zoom(scene, width, height), 3),
        "edges": {
            "start": _flat(start),
            "end": _flat(end),
            "colours": index[n:].tolist(),
            "heads": heads,
            "width": 0.06,
        },
        "arrows": arrows,
        "labels": [[text, *_flat(scene.positions[atom])] for atom, text in scene.labels.items()],
        "quaternion": Rotation.from_matrix(scene.camera.rotation()).as_quat().round(5).tolist(),
    }
    if scene.representation == "cartoon":
        kind = secondary_structure(scene.structure)[scene.structure.residue_index]
        return {**data, "pdb": scene.structure.to_pdb(), "secondary": "".join(kind)}
    molecule = {
        "elements": list(scene.elements),
        "positions": _flat(scene.positions),
        "bonds": scene.bonds.ravel().tolist(),
    }
    return {**data, **molecule}


def _zoom(scene: Scene, width: int, height: int) -> float:
    """By how much to enlarge what 3Dmol shows at first, so that atoms and arrows fill the view.

    At first half the height of the view is the distance from the mean of the atoms to the farthest of them, 5 Å at
    least.
    """
    middle = scene.positions.mean(axis=0)
    reach = max(5.0, np.linalg.norm(scene.positions - middle, axis=1).max())
    points = np.concatenate([scene.positions, *[scene.arrows(vectors)[1] for vectors in scene.vectors]])
    across, up = np.abs((points - middle) @ scene.camera.rotation().T)[:, :2].max(axis=0) + scene.radii.max()
    return 0.88 * min(reach * width / height / across, reach / up)  # perspective enlarges what is near


def _flat(values: np.ndarray) -> list[float]:
    return np.round(np.asarray(values, float), 2).ravel().tolist()


def _colour_bar(scalars: Scalars) -> str:
    """A colour bar for the page, with the same map and limits as the still's."""
    stops = ", ".join(to_hex(colour) for colour in mpl.colormaps[scalars.cmap](np.linspace(0, 1, 17)))
    low, high = (f"{limit:.3g}" for limit in scalars.limits)
    look = f"display:inline-block;width:12em;height:0.9em;background:linear-gradient(to right, {stops})"
    bar = f'<span style="{look}"></span>'
    return f"<div>{html.escape(scalars.title)}: {low} {bar} {high}</div>"


def _arrow_key(vectors: Vectors) -> str:
    """An arrow of the colour and kind of the vectors, and what the still's key says of them."""
    arrow = {"polar": "➞", "axial": "⇨", "mixed": "➲"}[vectors.kind]
    look = f"color:{to_hex(vectors.colour)};font-weight:bold"
    return f'<div><span style="{look}">{arrow}</span> {html.escape(vectors.key)}</div>'
