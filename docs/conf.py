"""How Sphinx makes the site. Its sources are laid out by `make_site.py`, which also calls Sphinx."""

from __future__ import annotations

import re
from importlib.metadata import version as installed

from docutils import nodes

from eqgat.viz import scripts

project = "EQGAT"
author = "The EQGAT teaching suite authors"
copyright = "the EQGAT teaching suite authors. Code and text: MIT licence"
version = release = installed("eqgat")
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]

# Notebooks are shown as they were executed.
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_merge_streams = True
nb_code_prompt_show = "Show {type}"
nb_code_prompt_hide = "Hide {type}"
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # a name that two modules offer is one thing

# One file that loads nothing further; without it, as in `eqgat.viz.scripts`, pages ask the network.
mathjax_path = "mathjax.js" if scripts.source(scripts.MATHJAX) else scripts.MATHJAX.address
mathjax3_config = {"tex": {"tags": "none"}}

# Docstrings name code between single quotes as well as between double ones.
default_role = "code"
autodoc_default_options = {"show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
add_module_names = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "EQGAT"
html_static_path = ["_static", "../build/site-source/_static"]
html_extra_path = ["../build/site-source/_extra"]
exclude_patterns = ["_extra"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
smartquotes = False  # in prose, too, quotes stand in pieces of code
html_show_search_summary = False  # it fetches the pages, which no browser does from a folder
html_theme_options = {
    "logo": {"text": "EQGAT"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "collapse_navigation": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "search_bar_text": "Search",
    "back_to_top_button": True,
}
html_sidebars = {"index": [], "search": []}
copybutton_prompt_text = ">>> |\\.\\.\\. |\\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = False


def describe_images(app, doctree: nodes.document) -> None:
    """Give the picture of a figure its alternative text, which the figure brings as its plain text."""
    for bundle in doctree.findall(
        lambda node: node.get("nb_element") == "mime_bundle" if isinstance(node, nodes.container) else False
    ):
        texts = [part.astext() for part in bundle.children if part["mime_type"] == "text/plain"]
        for image in bundle.findall(nodes.image):
            image["alt"] = " ".join("".join(texts).split())


def plain_formulas(app, doctree: nodes.document) -> None:
    """Leave a displayed formula as it is written: Sphinx would put one with line breaks where no number may stand."""
    for formula in doctree.findall(nodes.math_block):
        if not formula.get("nowrap") and not formula.get("no-wrap"):
            text = formula.astext()
            formula.children = [nodes.Text(f"\\[{text}\\]")]
            formula["nowrap"] = formula["no-wrap"] = True


def keep_punctuation(app, doctree: nodes.document) -> None:
    """Take what follows a formula at once, as a comma, into it: a line could end between the two."""
    for formula in list(doctree.findall(nodes.math)):
        siblings, place = formula.parent.children, formula.parent.index(formula) + 1
        behind = siblings[place] if place < len(siblings) else None
        if isinstance(behind, nodes.Text) and (marks := re.match(r"[.,;:!?)]+", behind)):
            formula.children = [nodes.Text(f"{formula.astext()}\\text{{{marks[0]}}}")]
            siblings[place] = nodes.Text(behind[marks.end() :])


def keep_bars(app, what, name, obj, options, lines: list[str]) -> None:
    """In docstrings |v| is a length: reStructuredText would look for a substitution of that name."""
    example = False
    for number, line in enumerate(lines):
        example = (example or line.lstrip().startswith(">>>")) and bool(line.strip())
        if not example:
            lines[number] = re.sub(r"(`+.*?`+)|\|", lambda found: found[1] or r"\|", line)


def skip_fields(app, what, name, obj, skip: bool, options) -> bool | None:
    """Leave out the fields of a named tuple, of which Python says "Alias for field number 0"."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("doctree-read", describe_images)
    app.connect("doctree-read", plain_formulas)
    app.connect("doctree-read", keep_punctuation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
