"""3D views in a real browser, with the network closed: an exported page, and a live JupyterLab.

What counts is pixels: that a molecule is drawn, that turning it changes the picture, and that a page which cannot
draw shows the still and says why.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: no browser can be driven")

from nbclient import NotebookClient  # noqa: E402
from nbconvert import HTMLExporter  # noqa: E402
from PIL import Image  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from eqgat.pages import write_mathjax, write_page  # noqa: E402
from eqgat.viz import Edges, Scalars, Scene, Vectors, scripts  # noqa: E402

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
CELLS = ["from eqgat.viz import setup, show\nsetup()", SCENE, "show(scene)"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium with chromedriver on PATH (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--use-angle=swiftshader",  # WebGL without a graphics card
        "--enable-unsafe-swiftshader",
        "--window-size=1200,1400",
        "--no-first-run",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--proxy-server=http://127.0.0.1:9",  # nobody listens there, and only loopback goes round it
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_page_load_timeout(90)
    yield browser
    browser.quit()


def notebook(cells: list[str], folder: Path) -> Path:
    """Execute a notebook with these cells; its path."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(book, timeout=120, kernel_name="python3").execute()
    path = folder / "tiny.ipynb"
    nbformat.write(book, path)
    return path


def page(path: Path) -> str:
    html = path.with_suffix(".html")
    html.write_text(HTMLExporter().from_filename(str(path))[0], encoding="utf-8")
    return html.as_uri()


def wait(browser, condition, seconds: float = 60):
    return WebDriverWait(browser, seconds, poll_frequency=0.3).until(condition)


def canvas(browser):
    """The canvas of the drawn view: waits until the view's sentence has gone."""

    def drawn(_):
        notes = browser.find_elements(By.CSS_SELECTOR, "[id^='note_eqgat']")
        canvases = browser.find_elements(By.CSS_SELECTOR, "[id^='3dmolviewer_eqgat'] canvas")
        return canvases[-1] if canvases and notes and not notes[-1].is_displayed() else None

    element = wait(browser, drawn)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    time.sleep(0.5)
    return element


def pixels(element) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)


def assert_draws_and_turns(browser) -> None:
    element = canvas(browser)
    before = pixels(element)
    coloured = (np.ptp(before, axis=2) > 40).mean()
    assert coloured > 0.01, f"only {coloured:.2%} of the canvas is coloured: nothing was drawn"
    webdriver.ActionChains(browser).drag_and_drop_by_offset(element, 120, 60).perform()
    time.sleep(0.5)
    changed = (np.abs(pixels(element) - before).max(axis=2) > 40).mean()
    assert changed > 0.01, f"turning the molecule changed only {changed:.2%} of the picture"


needs_script = pytest.mark.skipif(
    scripts.source(scripts.THREEDMOL) is None, reason="3Dmol.js is not here (python -m eqgat.viz.scripts fetches it)"
)


@needs_script
def test_exported_page_draws_and_turns_without_network(browser, tmp_path):
    path = notebook([*CELLS, "show(scene.rotated(np.diag([1.0, -1.0, -1.0])))"], tmp_path)
    assert path.read_text(encoding="utf-8").count("For license information please see") == 1, (
        "3Dmol.js belongs into a notebook exactly once"
    )
    browser.get(page(path))
    assert_draws_and_turns(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, "[id^='3dmolviewer_eqgat'] canvas")) == 2


@needs_script
def test_view_without_setup_carries_its_own_script(browser, tmp_path):
    browser.get(page(notebook(["from eqgat.viz import show", SCENE, "scene.view()"], tmp_path)))
    assert_draws_and_turns(browser)


@needs_script
def test_many_edges_leave_the_arrows_their_colour(browser, tmp_path):
    """So many edges that one mesh cannot hold them: the arrows drawn after them keep the vermilion of polar vectors."""
    rng = np.random.default_rng(0)
    scene = Scene(
        rng.uniform(-20, 20, (500, 3)),
        ["C"] * 500,
        edges=Edges(rng.integers(0, 500, (2, 8000)), Scalars(rng.random(8000), "attention"), limit=6000),
        vectors=Vectors(np.tile([0.0, 0, 1], (500, 1)), "v"),
    )
    path = tmp_path / "view.html"
    path.write_text(f"<!doctype html><meta charset='utf-8'>{scene.view().to_html()}", encoding="utf-8")
    browser.get(path.as_uri())
    red, green, blue = np.moveaxis(pixels(canvas(browser)), 2, 0)
    assert ((red > 1.5 * green) & (green > 1.5 * blue)).mean() > 0.002, "no arrow has its own colour"


def test_page_without_the_script_says_so_and_shows_the_still(browser, tmp_path):
    hide = "from eqgat.viz import scripts\nscripts.source = lambda script: None"
    browser.get(page(notebook([hide, *CELLS], tmp_path)))
    note = wait(browser, lambda b: b.find_element(By.CSS_SELECTOR, "[id^='note_eqgat']"))
    wait(browser, lambda b: "is not stored in this page" in note.text)
    assert not browser.find_elements(By.CSS_SELECTOR, "[id^='3dmolviewer_eqgat'] canvas")
    assert (np.ptp(pixels(browser.find_elements(By.CSS_SELECTOR, "img")[-1]), axis=2) > 40).mean() > 0.01


@pytest.mark.skipif(
    scripts.source(scripts.MATHJAX) is None, reason="MathJax is not here (python -m eqgat.viz.scripts fetches it)"
)
def test_formulas_of_a_page_are_set_without_network(browser, tmp_path):
    cells = [
        r"In line $\lVert v_i \rVert$ and $\mathcal N(i)$ $$\begin{aligned} \boldsymbol v&=Rv \\ s&=s \end{aligned}$$",
        "| symbol | shape |\n|---|---|\n| $\\alpha_{ji}$ | $[E, F_s]$ |",
    ]
    path = tmp_path / "01_formulas.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell) for cell in cells]), path)
    browser.get(write_page(path, write_mathjax(tmp_path)).as_uri())
    wait(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, "mjx-container svg")) == 5)
    assert not browser.find_elements(By.CSS_SELECTOR, "[data-mml-node='merror']")
    assert "$" not in browser.find_element(By.TAG_NAME, "main").text


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
        for _ in range(240):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5):
                break
            assert server.poll() is None, (tmp_path / "lab.log").read_text()
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@needs_script
def test_live_lab_shows_the_still_until_trusted_then_draws(browser, lab, tmp_path):
    notebook(CELLS, tmp_path)  # executed elsewhere, so this JupyterLab does not trust it
    browser.get(f"{lab}/lab/tree/tiny.ipynb")
    note = wait(browser, lambda b: b.find_element(By.XPATH, "//*[contains(text(), 'runs no scripts')]"))
    assert note.is_displayed()
    assert not browser.find_elements(By.CSS_SELECTOR, "[id^='3dmolviewer_eqgat'] canvas")
    assert wait(browser, lambda b: b.find_element(By.CSS_SELECTOR, ".jp-RenderedImage img")).is_displayed()
    wait(
        browser,
        lambda b: b.execute_script("return Boolean(document.querySelector('.jp-Notebook') && window.jupyterapp)"),
    )
    browser.execute_async_script(
        "const done = arguments[0]; jupyterapp.commands.execute('notebook:run-all-cells').then(() => done())"
    )
    assert_draws_and_turns(browser)
