"""Time and size of the explorer, by hand: python benchmarks/view.py [NAME ...] with names of embedded structures.

The limits: a protein of 450 atoms takes less than 10 s with the import and 2.5 MB, one of 5,000 less than 40 s and 8 MB;
the first picture is there within 3 s, a click is answered within 0.2 s. The browser's times are measured where Chromium,
chromedriver and selenium are installed; without a graphics card they are those of a software renderer.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from eqgat.datasets import embedded_path

RUNS = 5  # each with a browser of its own; the median counts
# A click is answered when its picture can be read back: drawing is done behind the script's back.
CLICK = """const one = eqgat.structures[0], canvas = eqgat.views[0].box.querySelector("canvas"), done = arguments[0];
const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d"), taken = [];
const rows = one.residues.filter((r) => r.polymer).slice(10, 31).map((r) => r.trace);
const click = () => {
  const start = performance.now();
  eqgat.choose(0, rows[taken.length]);
  pen.drawImage(canvas, 0, 0, 1, 1);
  pen.getImageData(0, 0, 1, 1);
  taken.push(performance.now() - start);
  taken.length < rows.length ? setTimeout(click, 50) : done(taken);
};
click();"""


def in_browser(page: Path) -> tuple[float, float, float] | None:
    """Seconds from opening the page to the drawn molecule, of the median and of the slowest of 21 clicks.

    None without a browser.
    """
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        return None
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--disable-dev-shm-usage",
        "--window-size=1400,1000",
    ):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    start = time.perf_counter()
    browser.get(page.as_uri())
    while not browser.execute_script("return Boolean(window.eqgat)") and time.perf_counter() - start < 60:
        time.sleep(0.02)
    drawn, clicks = time.perf_counter() - start, browser.execute_async_script(CLICK)
    browser.quit()
    return drawn, statistics.median(clicks) / 1000, max(clicks) / 1000


def main() -> None:
    for name in sys.argv[1:] or ("5pti", "19hc"):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.html"
            command = [sys.executable, "-m", "eqgat", "explore", str(embedded_path(name)), "-o", str(page)]
            start = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{done.stdout.split(':', 1)[1].split(';')[0].strip()}, in {time.perf_counter() - start:.1f} s")
            runs = [found for found in (in_browser(page) for _ in range(RUNS)) if found]
            if not runs:
                print("in the browser: not measured (needs selenium, Chromium and chromedriver)")
                continue
            drawn, click, slowest = (statistics.median(column) for column in zip(*runs, strict=True))
            print(
                f"first picture after {drawn:.2f} s; of 21 clicks the median {1000 * click:.0f} ms, "
                f"the slowest {1000 * slowest:.0f} ms; medians of {RUNS} runs"
            )


if __name__ == "__main__":
    main()
