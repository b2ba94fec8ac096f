"""HTML pages of executed notebooks, readable without network, and an index of them."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["heading", "reading_time", "write_index", "write_mathjax", "write_page"]

MATHJAX_FILE = "mathjax.js"

# nbconvert's page with one change: it asks the network for nothing. Its own MathJax (a 2.x from a CDN) is replaced;
# require.js and Mermaid serve outputs that these notebooks do not have. Long formulas scroll within the page.
TEMPLATE = r"""
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}
<script>
window.MathJax = {
  tex: {
    inlineMath: [["$", "$"], ["\\(", "\\)"]],
    displayMath: [["$$", "$$"], ["\\[", "\\]"]],
    processEscapes: true,
    tags: "ams"
  }
};
</script>
<script src="MATHJAX_FILE" defer></script>
<style>
mjx-container[display="true"] { overflow-x: auto; overflow-y: hidden; padding: 2px 0; }
.jp-Cell .jp-RenderedMarkdown.jp-MarkdownOutput { overflow-y: hidden; } /* else hidden text adds a scroll bar */
</style>
{%- endblock -%}
""".replace("MATHJAX_FILE", MATHJAX_FILE)

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>EQGAT: the notebooks</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: 0.4rem 1rem 0.4rem 0; border-bottom: 1px solid #ccc; vertical-align: top; }}
td:last-child {{ white-space: nowrap; }}
</style>
</head>
<body>
<h1>EQGAT: the notebooks</h1>
<p>Executed with the {profile} profile. Read them in this order.
To change and run their cells: <code>make lab</code>.</p>
<table>
<thead><tr><th>Notebook</th><th>Time for you</th><th>Ran in</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def heading(notebook: NotebookNode) -> str | None:
    """The first heading of the first level (``# ...``) in the notebook's text, or None."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^# +(.+?) *$", cell.source, re.MULTILINE)):
            return found[1]
    return None


def reading_time(notebook: NotebookNode) -> str:
    """What the first cell says after **Time**, in a sentence or in a row of a table; empty if it says nothing."""
    first = notebook.cells[0].source if notebook.cells else ""
    found = re.search(r"\*\*Time\.?\*\*[ |]*([^*|\n]+)", first)
    return found[1].strip().rstrip(".") if found else ""


def write_mathjax(folder: Path) -> bool:
    """Put MathJax into a folder of pages, once for all of them; False where it has not been fetched.

    Raises:
        ValueError: the fetched file is not the pinned one (see `eqgat.viz.scripts`).
    """
    from eqgat.viz import scripts

    script = scripts.source(scripts.MATHJAX)
    if script is None:
        return False
    (folder / MATHJAX_FILE).write_text(script, encoding="utf-8")
    return True


def write_page(path: Path, local_mathjax: bool) -> Path:
    """Write the page of a notebook beside it, ``NN_title.html``; returns its path.

    Formulas are drawn by the script of `write_mathjax`, or, if ``local_mathjax`` is False, by nbconvert's own address
    on the network. Links to other notebooks lead to their pages.
    """
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["title"] = f"{heading(notebook) or path.stem} · EQGAT"
    template = {"extra_loaders": [DictLoader({"page": TEMPLATE})], "template_file": "page"} if local_mathjax else {}
    page, _ = HTMLExporter(**template).from_notebook_node(notebook)
    page = re.sub(r'(<a href="\d\d_\w+)\.ipynb(["#])', r"\1.html\2", page)
    target = path.with_suffix(".html")
    target.write_text(page, encoding="utf-8")
    return target


def write_index(folder: Path, sources: list[Path], seconds: dict[str, float | None], profile: str) -> Path:
    """Write ``index.html``: each notebook with its heading, the reader's time and the seconds it ran.

    ``seconds`` of the notebooks run this time, by file name, None for one that failed.
    """
    import nbformat

    rows = []
    for source in sources:
        notebook = nbformat.read(source, as_version=4)
        name = html.escape(heading(notebook) or source.stem)
        ran = seconds.get(source.name)
        failed = source.name in seconds and ran is None
        page = f"{source.stem}.html"
        if (folder / page).exists() and not failed:
            name = f'<a href="{page}">{name}</a>'
        state = "failed" if failed else "not run this time" if ran is None else f"{ran:.1f} s"
        rows.append(f"<tr><td>{name}</td><td>{html.escape(reading_time(notebook))}</td><td>{state}</td></tr>")
    target = folder / "index.html"
    target.write_text(INDEX.format(profile=html.escape(profile), rows="\n".join(rows)), encoding="utf-8")
    return target
