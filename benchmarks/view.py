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
# Of each click: when table, words and scene are there, and when the picture can be read back, which is drawn meanwhile.
CLICK = """const one = eqgat.structures[0], canvas = eqgat.views[0].box.querySelector("canvas"), done = arguments[0];
const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d"), taken = [];
const rows = one.residues.filter((r) => r.polymer).slice(10, 31).map((r) => r.trace);
const click = () => {
  const start = performance.now();
  eqgat.choose(0, rows[taken.length]);
  const answered = performance.now() - start;
  pen.drawImage(canvas, 0, 0, 1, 1);
  pen.getImageData(0, 0, 1, 1);
  taken.push([answered, performance.now() - start]);
  taken.length < rows.length ? setTimeout(click, 50) : done(taken);
};
click();"""


def in_browser(page: Path) -> list[float] | None:
    """Seconds: until the molecule is drawn; until a click is answered, and its picture there (median, slowest of 21).

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
    spread = [f(column) / 1000 for column in zip(*clicks, strict=True) for f in (statistics.median, max)]
    return [drawn, *spread]


def main() -> None:
    for name in sys.argv[1:] or ("5pti", "19hc"):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.html"
            command = [sys.executable, "-m", "eqgat", "explore", str(embedded_path(name)), "-o", str(page)]
            start = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(
                f"{done.stdout.splitlines()[-1].split(':', 1)[1].split(';')[0].strip()}, in {time.perf_counter() - start:.1f} s"
            )
            runs = [found for found in (in_browser(page) for _ in range(RUNS)) if found]
            if not runs:
                print("in the browser: not measured (needs selenium, Chromium and chromedriver)")
                continue
            drawn, *spread = (statistics.median(column) for column in zip(*runs, strict=True))
            answered, slowest, picture, last = (f"{1000 * seconds:.0f} ms" for seconds in spread)
            print(
                f"first picture after {drawn:.2f} s; 21 clicks: answered after {answered} (slowest {slowest}), "
                f"picture after {picture} (slowest {last}); medians of {RUNS} runs"
            )


if __name__ == "__main__":
    main()
