"""One look for every figure: the style sheet, the palettes, the colours of the elements, and how a figure is saved.

Colours are safe for colour-blind readers: Okabe and Ito's for categories, viridis (light to dark) for amounts,
red to blue through white for signed amounts. No rainbow map: it shows edges where the data have none.
"""

from __future__ import annotations

import html
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from eqgat.files import write_files

STYLE_SHEET = Path(__file__).with_name("style.mplstyle")

COLOURS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "pink": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#000000",
    "yellow": "#F0E442",  # for areas; too light for a line on white
    "grey": "#7F7F7F",
}
SEQUENTIAL = "viridis_r"  # amounts: light is little, dark is much, so that little fades into the white page
DIVERGING = "RdBu_r"  # signed amounts: use limits that lie evenly about zero

# The colours chemists expect (nitrogen blue, oxygen red, sulphur yellow), in shades colour-blind readers tell apart.
ELEMENT_COLOURS = {
    "H": "#FFFFFF",
    "C": "#5A5A5A",
    "N": "#0072B2",
    "O": "#D55E00",
    "F": "#56B4E9",
    "S": "#F0E442",
    "Cl": "#556B2F",
    "P": "#8C510A",
}
OTHER_ELEMENT_COLOUR = "#9E9AC8"

# The colours of the three vector terms of Eqs. 3-5, the same in every notebook; none is that of an element.
TERM_COLOURS = {"v_direction": COLOURS["green"], "v_mix": COLOURS["orange"], "v_cross": COLOURS["pink"]}

# What one meets in several notebooks, each in one colour. Fills of boxes: what no rotation changes, and what turns along.
KIND_FILLS = {"scalar": "#CFE4F2", "vector": "#FBE3B5"}
# Parts that make up a whole, in their order: shades, so that none looks like one of the colours above.
PART_COLOURS = ["#0B2F4F", "#1F5F8B", "#5B94BE", "#9DC3DE", "#C9C9C9", "#8A8A8A"]
# Vector or scalar channels beside one another, in their order; none of the colours of a vector term or of a mistake.
CHANNEL_COLOURS = ["#332288", "#117733", "#882255", "#999933"]
# The sign of a coefficient or component: the ends of the map for signed amounts.
SIGN_COLOURS = {"plus": "#B2182B", "minus": "#2166AC"}


def element_colour(element: str) -> str:
    """Colour of a chemical element ("C", "CL" or "Cl") as a hexadecimal string; one shade for all rare elements.

    >>> element_colour("CL"), element_colour("Fe")
    ('#556B2F', '#9E9AC8')
    """
    return ELEMENT_COLOURS.get(element.strip().capitalize(), OTHER_ELEMENT_COLOUR)


def plain(text: str) -> str:
    """A user's text for a figure: matplotlib would read what stands between two dollar signs as a formula.

    >>> plain("US$")
    'US\\\\$'
    """
    return text.replace("$", "\\$")


def use_style() -> None:
    """Switch matplotlib to the suite's style sheet, for the rest of the session.

    >>> with mpl.rc_context():  # which puts back what was set before
    ...     use_style()
    ...     mpl.rcParams["font.size"]
    13.0
    """
    plt.style.use(STYLE_SHEET)


@contextmanager
def style() -> Iterator[None]:
    """The suite's style for the time of a `with` block, whatever was set before; a letter that the font lacks is a box.

    >>> with style():
    ...     mpl.rcParams["font.size"]
    13.0
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        mpl.rcdefaults()
        plt.style.use(STYLE_SHEET)
        yield


def describe(fig: Figure, caption: str, alt: str = "", trained: str = "") -> Figure:
    """Attach a caption, an alternative text and what was trained for the figure, all made from the data.

    `eqgat_course.figures.build` prefers them to what the decorator says; a notebook shows the caption under the figure
    and hands the alternative text to screen readers. Returns the same figure.

    >>> fig = describe(Figure(), "Two atoms and the bond between them.", alt="Two balls and a stick.")
    >>> details_of(fig)["alt"]
    'Two balls and a stick.'
    """
    details = {"caption": caption, "alt": alt or caption, "trained": trained}
    fig.eqgat_details = {**details_of(fig), **{key: value for key, value in details.items() if value}}
    fig._ipython_display_ = lambda: _display(fig)  # IPython would show the picture without its alternative text
    return fig


def details_of(fig: Figure) -> dict[str, str]:
    """What `describe` attached: caption, alt and trained, as far as they are known.

    >>> details_of(describe(Figure(), "Two atoms.", trained="res"))
    {'caption': 'Two atoms.', 'alt': 'Two atoms.', 'trained': 'res'}
    """
    return dict(getattr(fig, "eqgat_details", {}))


def png_bytes(fig: Figure, dpi: float | None = None) -> bytes:
    """The figure as a PNG file in memory, without dates or versions: the same figure gives the same bytes.

    >>> png_bytes(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """

    buffer = io.BytesIO()
    with style():
        fig.savefig(buffer, format="png", dpi=dpi or 100, metadata={"Software": None})
    return buffer.getvalue()


def as_files(fig: Figure, stem: str | Path) -> dict[Path, bytes]:
    """What `save` writes: `stem`.png and `stem`.svg, with their content.

    >>> [str(path) for path in as_files(Figure(figsize=(1, 1)), "figure")]
    ['figure.png', 'figure.svg']
    """
    stem, contents = Path(stem), {}
    metadata: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with style():
        for suffix, entries in metadata.items():
            buffer = io.BytesIO()
            fig.savefig(buffer, format=suffix, metadata=entries)
            contents[stem.with_name(f"{stem.name}.{suffix}")] = buffer.getvalue()
    return contents


def save(fig: Figure, stem: str | Path) -> list[Path]:
    """Write `stem`.png and `stem`.svg, byte-identical from run to run on one machine, both or none; the two paths.

    Raises:
        UserError: the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save(Figure(figsize=(1, 1)), f"{folder}/figure")]
    ['figure.png', 'figure.svg']
    """
    contents = as_files(fig, stem)
    write_files(contents)
    return list(contents)


def _display(fig: Figure) -> None:
    from IPython.display import display

    caption, alt = (details_of(fig).get(key, "") for key in ("caption", "alt"))
    display({"image/png": png_bytes(fig), "text/plain": alt}, metadata={"image/png": {"alt": alt}}, raw=True)
    if caption:
        look = "max-width:46em;font-size:0.9em;opacity:0.85"
        page = f'<p class="eqgat-caption" style="{look}">{html.escape(caption)}</p>'
        display({"text/html": page, "text/plain": caption}, raw=True)
