"""Time and size of the 3D view of a large protein, by hand: python benchmarks/view.py [--atoms 5000]

The limits are 3 s until it is drawn and 3 MB in the notebook. The time in the browser is measured where Chromium,
chromedriver and selenium are installed; without a graphics card it is that of a software renderer.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from eqgat.datasets import embedded_names, embedded_structure
from eqgat.viz import Edges, Scalars, Scene, Vectors
from eqgat.viz.style import png_bytes

RUNS = 5  # each with a browser of its own; the median counts


def protein(atoms: int) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Embedded chains side by side, cut to `atoms` atoms: positions, elements, bonds [B, 2] and edges [2, E]."""
    positions, elements, bonds, edges, count = [], [], [], [], 0
    side = 3
    for number, name in enumerate(embedded_names("chain")):
        structure = embedded_structure(name)
        shift = 45.0 * np.array([number % side, number // side % side, number // side**2])
        positions.append(structure.positions - structure.positions.mean(axis=0) + shift)
        elements += structure.atoms["element"].tolist()
        bonds.append(structure.bonds() + count)
        edges.append(structure.graph(4.5).edge_index.numpy() + count)
        count += len(structure)
        if count >= atoms:
            break
    bond, edge = np.concatenate(bonds), np.concatenate(edges, axis=1)
    kept_bonds, kept_edges = bond[(bond < atoms).all(axis=1)], edge[:, (edge < atoms).all(axis=0)]
    return np.concatenate(positions)[:atoms], elements[:atoms], kept_bonds, kept_edges


def seconds_in_browser(page: str) -> float | None:
    """Seconds from opening the page until its molecule is drawn; None without a browser."""
    try:
        from selenium import webdriver
    except ImportError:
        return None
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--disable-dev-shm-usage",
    ):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    drawn = "const n = document.querySelector('[id^=note_]'); return n !== null && n.style.display === 'none'"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "view.html"
        path.write_text(f"<!doctype html><meta charset='utf-8'><body>{page}</body>", encoding="utf-8")
        start = time.perf_counter()
        browser.get(path.as_uri())
        while not browser.execute_script(drawn) and time.perf_counter() - start < 60:
            time.sleep(0.02)
        elapsed = time.perf_counter() - start
    browser.quit()
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, default=5000)
    n = parser.parse_args().atoms
    positions, elements, bonds, edges = protein(n)
    rng = np.random.default_rng(0)
    Scene(np.zeros((1, 3)), ["C"]).view().to_html()  # what is loaded once is not measured
    start = time.perf_counter()
    scene = Scene(
        positions,
        elements,
        bonds,
        atom_scalars=Scalars(rng.random(len(positions)), "attention received"),
        edges=Edges(edges, Scalars(rng.random(edges.shape[1]), "attention")),
        vectors=Vectors(rng.normal(size=positions.shape), "cross term", kind="axial"),
    )
    page = scene.view().to_html()
    view = time.perf_counter() - start
    print(f"{len(positions):,} atoms, {len(bonds):,} bonds, {edges.shape[1]:,} edges of which 3,000 drawn, 150 arrows")
    print(f"view made in Python: {view:.2f} s, {len(page.encode()) / 1e6:.2f} MB with 3Dmol.js")
    start = time.perf_counter()
    size = len(png_bytes(scene.still())) * 4 / 3
    print(f"still: {time.perf_counter() - start:.2f} s, {size / 1e6:.2f} MB in the notebook")
    pages = page, Scene(np.zeros((1, 3)), ["C"]).view().to_html()
    runs = [[seconds_in_browser(one) for one in pages] for _ in range(RUNS)]
    if runs[0][0] is None:
        print("drawn in the browser: not measured (needs selenium, Chromium and chromedriver)")
        return
    middle, alone = (statistics.median(column) for column in zip(*runs, strict=True))
    print(
        f"drawn in the browser: {middle:.2f} s after it was opened, {min(runs)[0]:.2f} to {max(runs)[0]:.2f} "
        f"in {RUNS} runs (a single atom: {alone:.2f} s)"
    )
    print(f"in all: {view + middle:.2f} s")


if __name__ == "__main__":
    main()
