"""Shared by the tests in a real browser: waiting for a page, and its pixels. Skips a file where selenium is missing."""

from __future__ import annotations

import io

import numpy as np
import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: no browser can be driven")

from PIL import Image  # noqa: E402
from selenium.common.exceptions import TimeoutException  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from eqgat.viz import scripts  # noqa: E402

PATIENCE = 180  # s, for machines that do other things as well; on a quiet one each wait is over in a few seconds

needs_script = pytest.mark.skipif(
    scripts.source(scripts.THREEDMOL) is None, reason="3Dmol.js is not here (python -m eqgat.viz.scripts fetches it)"
)


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
    views = "return [...document.querySelectorAll('.eqgat-note')].map((n) => n.style.display + n.textContent)"
    return (
        f"Address: {browser.current_url}\nConsole:\n"
        + ("\n".join(lines) or "(empty)")
        + f"\nViews: {browser.execute_script(views)}\nText of the page:\n{text[:1500]}"
    )


def pixels(element) -> np.ndarray:
    element.parent.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)


def coloured(picture: np.ndarray) -> float:
    """Share of the pixels that are not grey."""
    return float((np.ptp(picture, axis=2) > 40).mean())
