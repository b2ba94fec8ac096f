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
from selenium.common.exceptions import TimeoutException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from eqgat.viz import Edges, Scalars, Scene, Vectors, scripts  # noqa: E402
from eqgat_course.pages import write_mathjax, write_page  # noqa: E402

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
PATIENCE = 180  # s, for machines that do other things as well; on a quiet one each wait is over in a few seconds
CELLS = ["from eqgat.viz import setup, show\nsetup()", SCENE, "show(scene, 320, 240)"]
SHOWN = ["import importlib\nfrom eqgat.viz import scripts\nimportlib.reload(scripts)", *CELLS]  # nothing hidden


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium with chromedriver on PATH (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--use-angle=swiftshader",  # WebGL without a graphics card
        "--enable-unsafe-swiftshader",
        "--window-size=900,800",  # software WebGL takes time for every pixel
        "--disable-dev-shm-usage",  # containers have little shared memory
        "--disable-gpu-sandbox",
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
    browser.set_page_load_timeout(PATIENCE)
    browser.set_script_timeout(PATIENCE)
    yield browser
    browser.quit()


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
    path.write_text(f"<!doctype html><meta charset='utf-8'>{view._repr_html_()}", encoding="utf-8")
    return path.as_uri()


def wait(browser, what: str, condition):
    """What `condition` gives as soon as it is true; else a failure that says what the page and its console say."""
    try:
        return WebDriverWait(browser, PATIENCE, poll_frequency=0.2).until(condition)
    except TimeoutException:
        pytest.fail(f"not within {PATIENCE} s: {what}. {state(browser)}")


def state(browser) -> str:
    """What a log has to say about a page that did not do as it should."""
    lines = [f"{entry['level']}: {entry['message'][:300]}" for entry in browser.get_log("browser")[-20:]]
    text = browser.execute_script("return document.body ? document.body.innerText : ''")
    views = "return [...document.querySelectorAll(\"[id^='note_eqgat']\")].map((n) => n.style.display + n.textContent)"
    return (
        f"Address: {browser.current_url}\nConsole:\n"
        + ("\n".join(lines) or "(empty)")
        + f"\nViews: {browser.execute_script(views)}\nText of the page:\n{text[:1500]}"
    )


def canvas(browser):
    """The canvas of the drawn view, scrolled to: waits until the view's sentence has gone."""

    def drawn(_):
        notes = browser.find_elements(By.CSS_SELECTOR, "[id^='note_eqgat']")
        canvases = browser.find_elements(By.CSS_SELECTOR, "[id^='3dmolviewer_eqgat'] canvas")
        return canvases[-1] if canvases and notes and not notes[-1].is_displayed() else None

    element = wait(browser, "a view has been drawn", drawn)
    pixels(element)
    return element


def pixels(element) -> np.ndarray:
    element.parent.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)


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


def coloured(picture: np.ndarray) -> float:
    """Share of the pixels that are not grey."""
    return float((np.ptp(picture, axis=2) > 40).mean())


needs_script = pytest.mark.skipif(
    scripts.source(scripts.THREEDMOL) is None, reason="3Dmol.js is not here (python -m eqgat.viz.scripts fetches it)"
)


@needs_script
def test_exported_page_draws_and_turns_without_network(browser, executed):
    path = executed["drawn"]
    assert path.read_text(encoding="utf-8").count("For license information please see") == 1, (
        "3Dmol.js belongs into a notebook exactly once"
    )
    browser.get(page(path))
    assert_draws_and_turns(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, "[id^='3dmolviewer_eqgat'] canvas")) == 2


@needs_script
def test_view_without_setup_carries_its_own_script(browser, tmp_path):
    names: dict = {}
    exec(SCENE, names)
    browser.get(page_of_view(names["scene"].view(320, 240), tmp_path))
    assert_draws_and_turns(browser)


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
    assert browser.execute_script(f"return viewer_{view.uniqueid}.shapes.length") > 1, "one mesh held all: add edges"

    def vermilion(_):
        red, green, blue = np.moveaxis(pixels(element), 2, 0)
        return ((red > 1.5 * green) & (green > 1.5 * blue)).mean() > 0.002

    wait(browser, "the arrows have their own colour", vermilion)


def test_page_without_the_script_says_so_and_shows_the_still(browser, executed):
    browser.get(page(executed["without"]))
    note = wait(browser, "a view", lambda b: b.find_element(By.CSS_SELECTOR, "[id^='note_eqgat']"))
    wait(browser, "the view says what is missing", lambda b: "is not stored in this page" in note.text)
    assert not browser.find_elements(By.CSS_SELECTOR, "[id^='3dmolviewer_eqgat'] canvas")
    assert coloured(pixels(browser.find_elements(By.CSS_SELECTOR, "img")[-1])) > 0.01


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
    wait(browser, "five formulas", lambda b: len(b.find_elements(By.CSS_SELECTOR, "mjx-container svg")) == 5)
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
        for _ in range(4 * PATIENCE):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5):
                break
            assert server.poll() is None, (tmp_path / "lab.log").read_text()
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@needs_script
def test_live_lab_shows_the_still_until_trusted_then_draws(browser, executed, lab, tmp_path):
    shutil.copy(executed["drawn"], tmp_path / "tiny.ipynb")  # executed elsewhere, so this JupyterLab does not trust it
    browser.get(f"{lab}/lab/tree/tiny.ipynb")
    sentence = "//*[contains(text(), 'runs no scripts')]"
    wait(browser, "the sentence of a view", lambda b: b.find_element(By.XPATH, sentence).is_displayed())
    assert not browser.find_elements(By.CSS_SELECTOR, "[id^='3dmolviewer_eqgat'] canvas")
    wait(browser, "the still", lambda b: b.find_element(By.CSS_SELECTOR, ".jp-RenderedImage img").is_displayed())
    ready = "return Boolean(document.querySelector('.jp-Notebook') && window.jupyterapp)"
    wait(browser, "the notebook's commands", lambda b: b.execute_script(ready))
    browser.execute_async_script(
        "const done = arguments[0]; jupyterapp.commands.execute('notebook:run-all-cells').then(() => done())"
    )
    assert_draws_and_turns(browser)
