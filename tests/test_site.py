"""The site in a real browser, from a folder and with the network closed.

It is built once, from the notebooks as they are stored, into ``build/site``. Every page is looked at in the mass
(links, pictures, alternative texts), some pages with their eyes: wide and narrow, light and dark.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

pytest.importorskip("myst_nb", reason="the libraries of the site are not installed")
pytest.importorskip("selenium", reason="selenium is not installed: no browser can be driven")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from eqgat.viz import scripts

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build/site"
PATIENCE = 60  # s
SCREENS = [(1400, 900), (390, 844)]
# One of each kind: front page, notebook with 3D views, look-up, figures with code, API.
KINDS = [
    "index.html",
    "notebooks/00_start_here.html",
    "reference/equations.html",
    "figures/chapter-05.html",
    "api/eqgat.layers.html",
]
NEEDS_SCRIPTS = pytest.mark.skipif(
    None in (scripts.source(scripts.THREEDMOL), scripts.source(scripts.MATHJAX)),
    reason="3Dmol.js or MathJax is not here (python -m eqgat.viz.scripts fetches them)",
)


class Page(HTMLParser):
    """The links, pictures and targets of a page. Only what a reader meets in the page's own part is a link to walk."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.scripts: list[str] = []
        self.targets: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.targets |= {value for name in ("id", "name") if (value := found.get(name))}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        elif tag == "img":
            self.pictures.append(found)
        elif tag in ("script", "link") and (address := found.get("src") or found.get("href")):
            self.scripts.append(address)


@cache
def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the site, made new where a source has changed. Sphinx must have nothing to warn of."""
    command = [sys.executable, "docs/make_site.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    assert "ERROR" not in done.stderr, done.stderr
    return SITE


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def leads_to(start: Path, link: str) -> tuple[Path, str]:
    """File and target of a link of a page."""
    address, target = urldefrag(link)
    return (start.parent / unquote(address)).resolve() if address else start, unquote(target)


def test_no_link_and_no_picture_is_broken_and_every_picture_has_a_text(site: Path) -> None:
    broken = []
    for path in pages(site):
        if path.name == "explorer.html":  # has tests of its own
            continue
        for link in page(path).links:
            if re.match(r"https?:|mailto:", link):
                continue
            file, target = leads_to(path, link)
            if not file.is_file():
                broken.append(f"{path.relative_to(site)}: no file {link}")
            elif target and file.suffix == ".html" and target not in page(file).targets:
                broken.append(f"{path.relative_to(site)}: no target {link}")
        for picture in page(path).pictures:
            source = picture.get("src") or ""
            if not (source.startswith("data:") or (path.parent / unquote(source)).is_file()):
                broken.append(f"{path.relative_to(site)}: no picture {source}")
            in_card = "sd-card-img" in (picture.get("class") or "")  # the card's own text says it
            if picture.get("alt") is None or not (picture["alt"] or in_card):
                broken.append(f"{path.relative_to(site)}: no text for {source}")
    assert not broken, "\n".join(broken[:40])


def test_no_page_asks_the_network_for_anything(site: Path) -> None:
    asked = Counter(
        address for path in pages(site) for address in page(path).scripts if re.match(r"(https?:)?//", address)
    )
    assert not asked


# What a stranger looks for -> the page and target that has it. Each must be three clicks from the front page.
NAMED = {
    "the notation": "reference/notation.html",
    "Equation 5": "reference/equations.html#equation-cross-product-term",
    "where Equation 2 is derived": "notebooks/03_feature_attention.html#nb-03-equation-2-the-scalar-message",
    "the code of the softmax": "api/eqgat.layers.html#eqgat.layers.neighbour_softmax",
    "the test of the envelope": "code/tests/library/test_radial.py.html",
    "exercise 03.2": "notebooks/03_feature_attention.html#exercise-03-2",
    "exercise 12.3": "notebooks/12_atom3d_res_ppi.html#exercise-12-3",
    "the option cross_product": "reference/options.html#cross-product",
    "the option cutoff": "reference/options.html#cutoff",
    "the options of eqgat train": "reference/commands.html#eqgat-train",
    "the code of the figure polar-and-axial": "figures/chapter-05.html#figure-polar-and-axial",
    "the figure of Table 3": "figures/chapter-09.html#figure-triangle-table-3",
    "the 3D views": "figures/views.html",
    "training on labels of one's own": "notebooks/15_your_own_structure.html",
    "the explorer": "explorer.html",
    "Table 3": "results/table3.html",
    "the command of a result": "results/runs.html#triangle",
    "the plans of runs": "results/plans.html",
    "the benchmarks": "results/benchmarks.html",
    "how far grading can be trusted": "docs/reliability.html#grading",
    "the plan of a one-day course": "docs/teachers-guide.html",
    "the rubrics of projects": "docs/projects.html",
    "where a new figure goes": "CONTRIBUTING.html",
    "reading a structure": "api/eqgat.structures.html#eqgat.structures.read_structure",
    "systems and versions": "docs/platforms.html",
}


def test_named_things_are_at_most_three_clicks_away(site: Path) -> None:
    """A click leads to a page and a place in it; on a long page the contents at its side are a click, too."""
    front = (site / "index.html").resolve()
    reached: dict[tuple[Path, str], int] = {(front, ""): 0}
    opened: dict[Path, int] = {front: 0}
    for clicks in (1, 2, 3):
        for start in [path for path, when in opened.items() if when == clicks - 1]:
            for link in page(start).links:
                if not re.match(r"https?:|mailto:", link):
                    file, target = leads_to(start, link)
                    reached.setdefault((file, target), clicks)
                    reached.setdefault((file, ""), clicks)
                    if file.suffix == ".html" and file.is_file():
                        opened.setdefault(file, clicks)
    far = []
    for name, address in NAMED.items():
        file, target = leads_to(front, address)
        assert file.is_file(), address
        assert not target or target in page(file).targets, address
        if reached.get((file, target), 9) > 3:
            far.append(f"{name}: {address}")
    assert not far, "\n".join(far)
    assert len(NAMED) >= 20


def show(browser, path: Path, width: int = 1400, height: int = 900, query: str = "") -> None:
    """Open a page on a screen of that size, and wait until its formulas are set."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(path.as_uri() + query)
    browser.execute_script("if (window.MathJax && MathJax.startup) MathJax.startup.promise.then(() => settled = true)")
    ready = "return document.readyState === 'complete' && (!window.MathJax || !MathJax.startup || window.settled)"
    WebDriverWait(browser, PATIENCE, poll_frequency=0.1).until(lambda b: b.execute_script(ready))


@pytest.fixture
def screen(browser):
    """The browser, whose screen and colours are put back afterwards."""
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@NEEDS_SCRIPTS
@pytest.mark.parametrize(("width", "height"), SCREENS)
@pytest.mark.parametrize("name", KINDS)
def test_a_page_fits_the_screen_and_is_accessible_light_and_dark(screen, site: Path, name, width, height) -> None:
    axe = pytest.importorskip("axe_selenium_python")
    show(screen, site / name, width, height)
    checker = axe.Axe(screen)
    checker.inject()
    still = "document.head.insertAdjacentHTML('beforeend', '<style>* { transition: none !important }</style>')"
    screen.execute_script(still)  # colours that still change from light to dark are of neither
    for scheme in ("light", "dark"):
        colours = [{"name": "prefers-color-scheme", "value": scheme}]
        screen.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": colours})
        theme = "return document.documentElement.dataset.theme"
        WebDriverWait(screen, PATIENCE, poll_frequency=0.1).until(lambda b: b.execute_script(theme) == scheme)  # noqa: B023
        assert screen.execute_script("return document.documentElement.scrollWidth") <= width
        found = [one for one in checker.run()["violations"] if one["impact"] in ("serious", "critical")]
        assert not found, checker.report(found)


@NEEDS_SCRIPTS
@pytest.mark.parametrize("width", [1400, 390])
def test_views_are_drawn_inside_of_the_screen_and_their_still_pictures_hidden(screen, site: Path, width: int) -> None:
    show(screen, site / "notebooks/00_start_here.html", width, 844)
    drawn = "return [...document.querySelectorAll('.eqgat-box canvas')].length"
    WebDriverWait(screen, PATIENCE, poll_frequency=0.2).until(lambda b: b.execute_script(drawn) > 0)
    edges = screen.execute_script(
        "return [...document.querySelectorAll('.eqgat-box')].map((box) => box.getBoundingClientRect())"
        ".map((box) => [box.left, box.right, box.height])"
    )
    assert edges
    assert all(left >= 0 and right <= width and height > 200 for left, right, height in edges)
    still = screen.find_element(By.CSS_SELECTOR, ".cell_output:has(.eqgat-view) img")
    assert not still.is_displayed()


@NEEDS_SCRIPTS
def test_formulas_are_set_and_none_is_an_error(screen, site: Path) -> None:
    show(screen, site / "notebooks/07_proofs.html")
    assert len(screen.find_elements(By.CSS_SELECTOR, "mjx-container svg")) > 50
    assert not screen.find_elements(By.CSS_SELECTOR, "[data-mml-node='merror']")
    assert not re.search(r"\$|\\\[|\\begin", screen.find_element(By.TAG_NAME, "article").text)


def test_search_finds_what_is_asked_for(screen, site: Path) -> None:
    show(screen, site / "search.html", query="?q=cross+product")
    found = "return [...document.querySelectorAll('#search-results li a')].map((link) => link.textContent)"
    WebDriverWait(screen, PATIENCE).until(lambda b: len(b.execute_script(found)) > 5)
    assert any("Cross products" in title for title in screen.execute_script(found))


def test_solutions_and_long_code_are_folded_and_open(screen, site: Path) -> None:
    show(screen, site / "notebooks/03_feature_attention.html")
    folded = screen.find_elements(By.CSS_SELECTOR, "details.hide.above-input")
    solutions = [one for one in folded if "solution" in one.text]
    assert len(solutions) == 5
    assert "BEGIN SOLUTION" not in screen.page_source
    assert "HIDDEN TESTS" not in screen.page_source
    code = solutions[0].find_element(By.TAG_NAME, "pre")
    assert not code.is_displayed()
    solutions[0].find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    WebDriverWait(screen, PATIENCE).until(lambda _: code.is_displayed())
