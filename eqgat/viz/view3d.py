"""A scene as an interactive view in a notebook, or as a page of its own, drawn by 3Dmol.js.

Three things can be missing where a page is read: scripts (a preview, a notebook that is not trusted), 3Dmol.js, or
WebGL. A view therefore begins as a sentence that says so, which goes away only when the molecule has been drawn;
`show` puts the still picture and the caption below it, as outputs that need no script.
"""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex
from scipy.spatial.transform import Rotation

from eqgat.viz import scripts
from eqgat.viz.backbone import secondary_structure
from eqgat.viz.parts import Scalars, Vectors
from eqgat.viz.style import png_bytes, use_style

if TYPE_CHECKING:
    from eqgat.molecule import Molecule
    from eqgat.viz.scene import Scene

NO_SCRIPTS = (
    "The interactive 3D view is not drawn here: this page runs no scripts, or does not trust them yet "
    "(in JupyterLab, run the notebook's cells). The still picture shows the same scene."
)
_page = {"script": False}  # whether `setup` has put 3Dmol.js into this notebook


def setup() -> None:
    """First cell of a notebook with 3D views: the suite's style, and 3Dmol.js put into the page once (0.5 MB).

    Running the cell again puts it there again, in the same place. A view made without `setup`, or outside a notebook,
    carries its own copy.

    >>> with mpl.rc_context():  # which puts back the style that was there before
    ...     setup()
    <IPython.core.display.HTML object>
    """
    from IPython import get_ipython
    from IPython.display import HTML, display

    use_style()
    script = inlined()
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

    >>> from eqgat.viz.scene import Scene
    >>> show(Scene([[0, 0, 0], [1.2, 0, 0]], ["C", "O"]))  # a notebook shows these two
    <IPython.core.display.HTML object>
    Figure(640x440)
    """
    from IPython.display import HTML, display

    display(HTML(scene.view(width, height)._repr_html_()))
    display(scene.still(6.4, 6.4 * height / width))


def py3dmol_view(molecule: Molecule, values: np.ndarray, width: int = 640, height: int = 440) -> Any:
    """A py3Dmol view of a molecule coloured by a number an atom, to go on with in py3Dmol's own commands.

    Args:
        molecule: what is drawn, as a cartoon with its ligands as sticks.
        values: [N], for example attention received; blue is the smallest, red the largest.
        width, height: in pixels.

    >>> from eqgat.datasets import embedded_structure
    >>> protein = embedded_structure("5pti")
    >>> type(py3dmol_view(protein, protein.bfactor)).__name__
    'view'
    """
    import py3Dmol

    script = scripts.source(scripts.THREEDMOL)
    at_hand = {"js": f"data:text/javascript;base64,{base64.b64encode(script.encode()).decode()}"} if script else {}
    view = py3Dmol.view(width=width, height=height, **at_hand)
    view.addModel(molecule.to_pdb(values), "pdb")
    low, high = float(np.min(values)), float(np.max(values))
    colours = {"colorscheme": {"prop": "b", "gradient": "rwb", "min": high, "max": low}}
    view.setStyle({"cartoon": colours})
    view.addStyle({"hetflag": True}, {"stick": colours})
    view.zoomTo()
    return view


@dataclass(frozen=True, eq=False)
class View:
    """The interactive view of a scene. A notebook shows it; `to_html` makes a page of it. Sizes in pixels.

    >>> from eqgat.viz.scene import Scene
    >>> View(Scene([[0, 0, 0]], ["C"], title="Carbon")).to_html().count("<h1>Carbon</h1>")
    1
    """

    scene: Scene
    width: int = 640
    height: int = 440

    def to_html(self) -> str:
        """A whole page that needs no network, for a file of its own: the view, its caption and, for where the view
        cannot be drawn, the still picture."""
        scene, alt = self.scene, html.escape(self.scene.alt_text(), quote=True)
        title = html.escape(scene.title or "3D view")
        picture = base64.b64encode(png_bytes(scene.still(6.4, 6.4 * self.height / self.width))).decode()
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            "<style>body{font-family:sans-serif;max-width:60em;margin:1em auto;padding:0 1em}img{max-width:100%}"
            "</style></head>\n"
            f"<body><main><h1>{title}</h1>\n{self._fragment(inlined())}\n<p>{html.escape(scene.caption())}</p>\n"
            f'<img alt="{alt}" src="data:image/png;base64,{picture}"></main></body></html>\n'
        )

    def _repr_html_(self) -> str:
        return self._fragment("" if _page["script"] else inlined())

    def _fragment(self, script: str) -> str:
        """The view as a piece of a page: a sentence, an empty box, the data, and the scripts that fill the box."""
        scene = self.scene
        legend = "".join(
            [
                *(_arrow_key(vectors) for vectors in scene.vectors if len(vectors.kept())),
                *(_colour_bar(bar) for bar in scene.colour_bars()),
            ]
        )
        if scene.arrow_words().startswith("|v|"):
            legend += f"<div>an arrow 1 Å long: {html.escape(scene.arrow_words())}</div>"
        # Fog would pale the colours that the legend explains.
        data = {"width": self.width, "height": self.height, "fogless": bool(legend)}
        data |= _data(scene, self.width, self.height)
        return (
            f'<div class="eqgat-view"><div role="img" aria-label="{html.escape(scene.alt_text(), quote=True)}">'
            f'<p class="eqgat-note"><em>{NO_SCRIPTS}</em></p><div class="eqgat-box"></div></div>\n<div>{legend}</div>'
            f'<script type="application/json">{as_json(data)}</script></div>\n{script}'
            f"<script>{source('mesh.js')}{source('view3d.js')}\n"
            f"eqgatViews({json.dumps(scripts.THREEDMOL.address)});</script>"
        )


def source(name: str) -> str:
    """A script or style of this package, as text.

    >>> "eqgatViews" in source("view3d.js")
    True
    """
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def as_json(data: dict[str, Any]) -> str:
    """JSON that may stand inside of a script element: a label that holds "</script>" or "<!--<script" would end it.

    >>> print(as_json({"label": "</script>"}))
    {"label":"\\u003c/script>"}
    """
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def inlined() -> str:
    """3Dmol.js as a script element, or nothing. Loaders of modules are hidden from it: it shall define $3Dmol.

    >>> inlined()[:8] in ("<script>", "")
    True
    """
    text = scripts.source(scripts.THREEDMOL)
    if text is None:
        return ""
    return f"<script>if (!window.$3Dmol) (function (exports, module, define) {{\n{text}\n}}).call(window);</script>\n"


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
        "labels": [
            [text, *_flat(scene.positions[atom]), *_flat(away)]
            for (atom, text), away in zip(scene.labels.items(), _outwards(scene), strict=True)
        ],
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


def _outwards(scene: Scene) -> np.ndarray:
    """To which side of its atom each label goes, [n, 2] (right, up), as the scene is seen at first: away from the rest."""
    places = scene.page(scene.positions[list(scene.labels)])[:, :2]
    away = places - places.sum(axis=0) / max(len(places), 1)
    away[np.linalg.norm(away, axis=1) < 0.1] = (1.0, 0.6)  # alone, or in the middle
    return away / np.linalg.norm(away, axis=1, keepdims=True)


def _flat(values: np.ndarray) -> list[float]:
    return np.round(np.asarray(values, float), 2).ravel().tolist()


def _colour_bar(scalars: Scalars) -> str:
    """A colour bar for the page, with the same map and limits as the still's."""
    stops = ", ".join(to_hex(colour) for colour in mpl.colormaps[scalars.cmap](np.linspace(0, 1, 17)))
    low, high = (f"{limit:.3g}" for limit in scalars.ends)
    low = "≤ " + low if scalars.beyond in ("min", "both") else low
    high = "≥ " + high if scalars.beyond in ("max", "both") else high
    look = f"display:inline-block;width:12em;height:0.9em;background:linear-gradient(to right, {stops})"
    bar = f'<span style="{look}"></span>'
    return f"<div>{html.escape(scalars.title)}: {low} {bar} {high}</div>"


def _arrow_key(vectors: Vectors) -> str:
    """An arrow of the colour and kind of the vectors, and what the still's key says of them."""
    arrow = {"polar": "➞", "axial": "⇨", "mixed": "➲"}[vectors.kind]
    look = f"color:{to_hex(vectors.colour)};font-weight:bold"
    return f'<div><span style="{look}">{arrow}</span> {html.escape(vectors.key)}</div>'
