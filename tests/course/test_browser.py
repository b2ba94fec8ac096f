"""3D views in a real browser, with the network closed: an exported page, and a live JupyterLab.

What counts is pixels: that a molecule is drawn, that turning it changes the picture, and that a page which cannot
draw shows the still and says why.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from browsing import PATIENCE, coloured, needs_script, pixels, wait, webdriver

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

from nbclient import NotebookClient  # noqa: E402
from nbconvert import HTMLExporter  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

from eqgat.viz import Edges, Scalars, Scene, Vectors  # noqa: E402

SCENE = """
import numpy as np
from eqgat.viz import Camera, Edges, Scalars, Scene, Vectors
angle = np.arange(6) * np.pi / 3
ring = 1.39 * np.c_[np.cos(angle), np.sin(angle), 0 * angle]
pairs = np.array([(i, j) for i in range(6) for j in range(6) if i != j]).T
scene = Scene(
    ring, ["C"] * 6, bonds=[(i, (i + 1) % 6) for i in range(6)],
    edges=Edges(pairs, Scalars(np.linspace(0, 1, 30), "attention")),
    vectors=[Vectors(np.tile([0, 0, 2.0], (6, 1)), "cross term", kind="axial"), Vectors(ring, "direction term")],
    labels={0: "C1"}, camera=Camera((1, 1, 1), (0, 0, 1)),
)
"""
CELLS = ["from eqgat.viz import setup, show\nsetup()", SCENE, "show(scene, 320, 240)"]
SHOWN = ["import importlib\nfrom eqgat.viz import scripts\nimportlib.reload(scripts)", *CELLS]  # nothing hidden


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Two notebooks, executed one after the other in one kernel: `without` 3Dmol.js in reach, and `drawn` with it."""
    hide = "from eqgat.viz import scripts\nscripts.source = lambda script: None"
    books = {"without": [hide, *CELLS], "drawn": [*SHOWN, "show(scene.rotated(np.diag([1.0, -1.0, -1.0])), 320, 240)"]}
    sources = [cell for cells in books.values() for cell in cells]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(book, timeout=PATIENCE, kernel_name="python3").execute()
    folder, every, paths = tmp_path_factory.mktemp("executed"), iter(book.cells), {}
    for name, cells in books.items():
        paths[name] = folder / f"{name}.ipynb"
        part = nbformat.v4.new_notebook(cells=[next(every) for _ in cells], metadata=book.metadata)
        nbformat.write(part, paths[name])
    return paths


def page(path: Path) -> str:
    """Address of the exported page of a notebook."""
    html = path.with_suffix(".html")
    html.write_text(HTMLExporter().from_filename(str(path))[0], encoding="utf-8")
    return html.as_uri()


def page_of_view(view, folder: Path) -> str:
    """Address of a page that holds nothing but a view."""
    path = folder / "view.html"
    path.write_text(view.to_html(), encoding="utf-8")
    return path.as_uri()


def canvas(browser):
    """The canvas of the drawn view, scrolled to: waits until the view's sentence has gone."""

    def drawn(_):
        notes = browser.find_elements(By.CSS_SELECTOR, ".eqgat-note")
        canvases = browser.find_elements(By.CSS_SELECTOR, ".eqgat-box canvas")
        return canvases[-1] if canvases and notes and not notes[-1].is_displayed() else None

    element = wait(browser, "a view has been drawn", drawn)
    pixels(element)
    return element


def assert_draws_and_turns(browser) -> None:
    element = canvas(browser)
    wait(browser, "more than 1 % of the canvas is coloured", lambda _: coloured(pixels(element)) > 0.01)
    before = pixels(element)
    webdriver.ActionChains(browser).drag_and_drop_by_offset(element, 60, 30).perform()
    wait(
        browser,
        "turning the molecule changes more than 1 % of the picture",
        lambda _: (np.abs(pixels(element) - before).max(axis=2) > 40).mean() > 0.01,
    )


@needs_script
def test_exported_page_draws_and_turns_without_network(browser, executed):
    path = executed["drawn"]
    assert path.read_text(encoding="utf-8").count("For license information please see") == 1, (
        "3Dmol.js belongs into a notebook exactly once"
    )
    browser.get(page(path))
    assert_draws_and_turns(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".eqgat-box canvas")) == 2


@needs_script
def test_view_without_setup_carries_its_own_script(browser, tmp_path):
    names: dict = {}
    exec(SCENE, names)
    browser.get(page_of_view(names["scene"].view(320, 240), tmp_path))
    assert_draws_and_turns(browser)


def molecule(count: int) -> str:
    """Cells of a notebook that shows a row of atoms: so many, and so many colours of pixels."""
    return (
        "from eqgat.viz import Scene, setup, show\n"
        f"scene = Scene([(2.0 * k, 0, 0) for k in range({count})], ['N'] * {count})\n"
    )


def outputs(*cells: str) -> list[str]:
    """HTML outputs of some cells in a kernel of their own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(book, timeout=PATIENCE, kernel_name="python3").execute()
    found = [output["data"] for cell in book.cells for output in cell.outputs if output.output_type == "display_data"]
    return [data["text/html"] for data in found if "text/html" in data]


DRAWN = """return [...document.querySelectorAll('.eqgat-view')].map((view) => {
  const viewer = view.querySelector('.eqgat-box').viewer;
  return viewer ? viewer.selectedAtoms({}).length : -1;
});"""


@needs_script
def test_two_kernels_and_one_output_twice_each_draw_their_own_molecule(browser, tmp_path):
    """Also a kernel that was started anew, in which only a later cell has run: nobody called setup() there."""
    first = outputs(molecule(2) + "setup()\nshow(scene, 200, 150)")
    second = outputs(molecule(5) + "setup()\nshow(scene, 200, 150)")
    again = outputs(molecule(7) + "show(scene, 200, 150)")
    path = tmp_path / "page.html"
    shown = next(html for html in first if "eqgat-view" in html)
    html = "\n".join([*first, *second, shown, *again])
    path.write_text(f"<!doctype html><meta charset='utf-8'><title>Pages</title>{html}", encoding="utf-8")
    browser.get(path.as_uri())
    wait(browser, "all four molecules, each in its own box", lambda b: b.execute_script(DRAWN) == [2, 5, 2, 7])
    assert not [note for note in browser.find_elements(By.CSS_SELECTOR, ".eqgat-note") if note.is_displayed()]
    for box in browser.find_elements(By.CSS_SELECTOR, ".eqgat-box"):
        wait(browser, "a picture", lambda _, box=box: coloured(pixels(box)) > 0.005)


@needs_script
def test_many_edges_leave_the_arrows_their_colour(browser, tmp_path):
    """So many edges that one mesh (64,000 corners) cannot hold them: arrows drawn after them keep their vermilion."""
    pairs = np.stack(np.triu_indices(50, k=1))  # edges one way have heads, which take most corners: 60 each
    crowd = np.random.default_rng(0).uniform(-5, 5, (50, 3))
    beside = [(8, y, 0) for y in range(-5, 6, 2)]
    scene = Scene(
        [*crowd, *beside],
        ["C"] * 56,
        edges=Edges(pairs, Scalars(np.linspace(0, 1, pairs.shape[1]), "attention")),
        vectors=Vectors(np.tile([3.0, 0, 0], (6, 1)), "v", atoms=range(50, 56)),
    )
    view = scene.view(320, 240)
    browser.get(page_of_view(view, tmp_path))
    element = canvas(browser)
    assert browser.execute_script("return document.querySelector('.eqgat-box').viewer.shapes.length") > 1, (
        "one mesh held all: add edges"
    )

    def vermilion(_):
        red, green, blue = np.moveaxis(pixels(element), 2, 0)
        return ((red > 1.5 * green) & (green > 1.5 * blue)).mean() > 0.002

    wait(browser, "the arrows have their own colour", vermilion)


def test_page_without_the_script_says_so_and_shows_the_still(browser, executed):
    browser.get(page(executed["without"]))
    note = wait(browser, "a view", lambda b: b.find_element(By.CSS_SELECTOR, ".eqgat-note"))
    wait(browser, "the view says what is missing", lambda b: "is not stored in this page" in note.text)
    assert not browser.find_elements(By.CSS_SELECTOR, ".eqgat-box canvas")
    assert coloured(pixels(browser.find_elements(By.CSS_SELECTOR, "img")[-1])) > 0.01


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab on loopback that shows `tmp_path`, with settings of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / "settings" / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--ServerApp.root_dir={tmp_path}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.news_url="]
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env={**os.environ, **folders}, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(4 * PATIENCE):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5):
                break
            assert server.poll() is None, (tmp_path / "lab.log").read_text()
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


@needs_script
def test_live_lab_shows_the_still_until_trusted_then_draws(browser, executed, lab, tmp_path):
    shutil.copy(executed["drawn"], tmp_path / "tiny.ipynb")  # executed elsewhere, so this JupyterLab does not trust it
    browser.get(f"{lab}/lab/tree/tiny.ipynb")
    sentence = "//*[contains(text(), 'runs no scripts')]"
    wait(browser, "the sentence of a view", lambda b: b.find_element(By.XPATH, sentence).is_displayed())
    assert not browser.find_elements(By.CSS_SELECTOR, ".eqgat-box canvas")
    wait(browser, "the still", lambda b: b.find_element(By.CSS_SELECTOR, ".jp-RenderedImage img").is_displayed())
    ready = "return Boolean(document.querySelector('.jp-Notebook') && window.jupyterapp)"
    wait(browser, "the notebook's commands", lambda b: b.execute_script(ready))
    browser.execute_async_script(
        "const done = arguments[0]; jupyterapp.commands.execute('notebook:run-all-cells').then(() => done())"
    )
    assert_draws_and_turns(browser)


@needs_script
def test_two_notebooks_in_one_lab_and_an_output_shown_twice(browser, lab, tmp_path):
    for name, count in (("one", 3), ("two", 6)):
        cells = [nbformat.v4.new_code_cell(molecule(count) + "setup()\nshow(scene, 200, 150)")]
        book = nbformat.v4.new_notebook(cells=cells)
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, tmp_path / f"{name}.ipynb")
    browser.get(f"{lab}/lab")

    def run(name: str, options: dict | None = None) -> None:  # without waiting for its end, which a kernel may delay
        browser.execute_script("jupyterapp.commands.execute(arguments[0], arguments[1])", name, options or {})

    ready = "return Boolean(window.jupyterapp && jupyterapp.commands.hasCommand('docmanager:open'))"
    # Not its status: that stays unknown where the first word of an idle kernel was missed. Cells wait for the kernel.
    connected = """const widget = jupyterapp.shell.currentWidget, kernel = widget?.sessionContext?.session?.kernel;
      return Boolean(widget?.context?.path === arguments[0] && kernel?.connectionStatus === 'connected');"""
    wait(browser, "the lab", lambda b: b.execute_script(ready))
    for name, molecules in (("one.ipynb", [3]), ("two.ipynb", [3, 6])):
        run("docmanager:open", {"path": name})
        wait(browser, f"a kernel for {name}", lambda b, name=name: b.execute_script(connected, name))
        run("notebook:run-all-cells")
        wait(browser, "its molecule", lambda b, molecules=molecules: sorted(b.execute_script(DRAWN)) == molecules)
    run("notebook:create-output-view")
    wait(browser, "the output of the second twice", lambda b: sorted(b.execute_script(DRAWN)) == [3, 6, 6])
