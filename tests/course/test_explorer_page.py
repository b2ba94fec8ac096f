"""The page of the explorer in a real browser, with the network closed: what it shows is what the trace says."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from browsing import coloured, needs_script, pixels, wait, webdriver
from PIL import Image
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from eqgat.datasets import embedded_structure
from eqgat.inspection import attention_received, equal_share, mean_terms
from eqgat.pretrained import about, pretrained, untrained
from eqgat.viz.explorer import SHARE_STEP, STEPS, explore


@pytest.fixture(scope="module")
def protein():
    return embedded_structure("5pti")


@pytest.fixture(scope="module")
def traces(protein):
    return [model.trace(protein.graph(4.5)) for model in (pretrained("res"), untrained("res"))]


@pytest.fixture(scope="module")
def pages(tmp_path_factory, protein):
    """Addresses of an explorer of one protein, of two shapes of another, and of one in the frame of a notebook."""
    models = {"model": pretrained("res"), "untrained": untrained("res"), "about": about("res")}
    one = explore(protein, **models)
    two = explore(embedded_structure("adk_open"), other=embedded_structure("adk_closed"), **models)
    folder = tmp_path_factory.mktemp("explorer")
    frame = f"<!doctype html><meta charset='utf-8'><title>Notebook</title>{one._repr_html_()}"
    texts = {"one": one.to_html(), "two": two.to_html(), "frame": frame}
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in texts}


def opened(browser, address: str) -> None:
    browser.get(address)
    wait(browser, "the explorer", lambda b: b.execute_script("return Boolean(window.eqgat)"))
    browser.execute_script("document.getElementById('views').scrollIntoView({block: 'center'})")


def chosen(browser) -> int | None:
    return browser.execute_script("return eqgat.state.at && eqgat.state.at.atom")


def on_screen(browser, rows: list[int], view: int = 0) -> list[list[float]]:
    return browser.execute_script("return eqgat.onScreen(eqgat.views[arguments[0]], arguments[1])", view, rows)


def click_at(browser, x: float, y: float) -> None:
    action = ActionBuilder(browser)
    action.pointer_action.move_to_location(round(x), round(y)).click()
    action.perform()


def pick(browser, name: str, value: str) -> None:
    Select(browser.find_element(By.ID, name)).select_by_value(value)


@needs_script
def test_a_click_shows_the_numbers_of_the_trace(browser, pages, protein, traces):
    """Table, colours of the edges and arrows of the clicked atom against the trace of a forward pass made here."""
    opened(browser, pages["one"])
    assert coloured(pixels(browser.find_element(By.CSS_SELECTOR, ".box canvas"))) > 0.01
    near = int(np.argmax([depth for _, _, depth in on_screen(browser, list(range(len(protein))))]))
    residue = int(protein.residue_index[near])
    row = int(np.flatnonzero((protein.residue_index == residue) & (protein.atoms["name"] == "CA").to_numpy())[0])
    ((x, y, _),) = on_screen(browser, [row])
    click_at(browser, x, y)
    wait(browser, "an atom is chosen", lambda b: chosen(b) is not None)
    assert protein.atoms["name"][chosen(browser)] == "CA"
    browser.execute_script("eqgat.choose(0, arguments[0])", row)

    maps = browser.execute_script("return eqgat.data.maps.diverging")
    shares = []
    for trace in traces:
        record = trace[-1]
        incoming = (record.edges.receiver == row).nonzero().flatten()
        shares.append((record.attention[incoming].mean(dim=1) * len(incoming)).numpy())
    source, distance = record.edges.source[incoming].tolist(), record.edges.distance[incoming].tolist()
    table = browser.find_elements(By.CSS_SELECTOR, "#neighbours tbody tr")
    assert len(table) == len(source)
    assert [int(line.get_attribute("data-atom")) for line in table] != source, "sorted by attention"
    for line in table:
        edge = source.index(int(line.get_attribute("data-atom")))
        atom, _, away, ours, uniform, control = (cell.text for cell in line.find_elements(By.TAG_NAME, "td"))
        assert atom == protein.atoms["name"][source[edge]]
        assert float(away) == pytest.approx(distance[edge], abs=0.006)
        assert float(ours) == pytest.approx(shares[0][edge], abs=SHARE_STEP / 2 + 0.0051)
        assert float(uniform) == 1
        assert float(control) == pytest.approx(shares[1][edge], abs=SHARE_STEP / 2 + 0.0051)

    drawn = {edge["source"]: edge for edge in browser.execute_script("return eqgat.views[0].edges")}
    assert sorted(drawn) == sorted(source)
    for edge, atom in enumerate(source):
        at = np.clip((np.log2(shares[0][edge]) + 2) / 4, 0, 1) * (len(maps) - 1)
        assert drawn[atom]["colour"] in {maps[int(at)], maps[min(int(at) + 1, len(maps) - 1)]}

    arrows = browser.execute_script("return eqgat.views[0].arrows")
    scale = float(browser.find_element(By.ID, "key").text.rsplit("|v| = ", 1)[1])
    channel = browser.execute_script("return eqgat.data.vectors[0]")
    terms = {name: mean[:, :, channel].numpy() for name, mean in mean_terms(traces[0][-1]).items()}
    terms["sum"] = sum(terms.values())
    assert [arrow["term"] for arrow in arrows] == list(terms)
    for arrow in arrows:
        expected, step = terms[arrow["term"]][row], 3 * np.abs(terms[arrow["term"]]).max() / STEPS
        np.testing.assert_allclose(arrow["start"], protein.positions[row], atol=1e-4)
        np.testing.assert_allclose(np.subtract(arrow["end"], arrow["start"]) * scale, expected, atol=step + 1e-5)


@needs_script
def test_residues_are_coloured_by_the_trace_and_switches_change_what_is_shown(browser, pages, protein, traces):
    opened(browser, pages["one"])
    colour = "return eqgat.views[0].model.selectedAtoms({}).map((atom) => atom.color)"
    values = "return eqgat.residueValues(eqgat.structures[0], eqgat.state.model)"

    def expected(record) -> np.ndarray:
        received, equal = (
            np.bincount(protein.residue_index, part.numpy())
            for part in (attention_received(record), equal_share(record))
        )
        return np.log2(received / equal)

    np.testing.assert_allclose(browser.execute_script(values), expected(traces[0][-1]), atol=3e-3)
    cartoon = browser.execute_script(colour)
    strip = browser.execute_script("return eqgat.residueValues(eqgat.structures[0], 0).map(eqgat.tint)")
    assert cartoon == [strip[residue] for residue in protein.residue_index]
    assert len(set(cartoon)) > 10
    browser.find_element(By.ID, "untrained").click()
    np.testing.assert_allclose(browser.execute_script(values), expected(traces[1][-1]), atol=3e-3)
    assert len(set(browser.execute_script(colour))) < 5, "on the scale of the trained ones all are near grey"
    assert "untrained weights" in browser.find_element(By.ID, "sentence").text
    pick(browser, "layer", "1")
    np.testing.assert_allclose(browser.execute_script(values), expected(traces[1][1]), atol=3e-3)


@needs_script
def test_arrows_turn_with_the_molecule(browser, pages):
    """Pixels of the colour of the cross products lie where the shafts of the longest arrows are, before and after."""
    opened(browser, pages["one"])
    pick(browser, "layer", "1")
    pick(browser, "quantity", "v_cross")
    assert "axial (hollow head, rings)" in browser.find_element(By.ID, "key").text
    shafts = """const view = eqgat.views[0], long = (a) => Math.hypot(...a.end.map((x, k) => x - a.start[k]));
      const best = [...view.arrows].sort((a, b) => long(b) - long(a)).slice(0, 12);
      return view.viewer.modelToScreen(best.map((a) => { const [x, y, z] = a.start.map((s, k) => s + 0.3 * (a.end[k] - s));
        return { x, y, z }; })).map((p) => [p.x - scrollX, p.y - scrollY]);"""

    def share(places) -> float:
        box = browser.find_element(By.CSS_SELECTOR, ".box canvas")
        corner = browser.execute_script("const r = arguments[0].getBoundingClientRect(); return [r.x, r.y]", box)
        picture = np.asarray(Image.open(io.BytesIO(box.screenshot_as_png)).convert("RGB")).astype(int)
        red, green, blue = np.moveaxis(picture, 2, 0)
        pink = (red > blue + 5) & (blue > green + 10)
        found = 0
        for x, y in np.subtract(places, corner).round().astype(int):
            found += pink[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5].any()
        return found / len(places)

    before = browser.execute_script(shafts)
    wait(browser, "arrows where they should be", lambda _: share(before) > 0.6)
    box = browser.find_element(By.CSS_SELECTOR, ".box")
    for _ in range(5):
        box.send_keys("\ue014")  # the right arrow
    after = browser.execute_script(shafts)
    assert np.abs(np.subtract(after, before)).max() > 30
    wait(browser, "arrows where they are after turning", lambda _: share(after) > 0.6)
    assert share(before) < 0.5, "they have left their old places"


@needs_script
def test_everything_is_reached_by_keyboard(browser, pages, protein):
    opened(browser, pages["one"])
    browser.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    visited, tab = [], "\ue004"
    for _ in range(40):
        webdriver.ActionChains(browser).send_keys(tab).perform()
        element = browser.switch_to.active_element
        visited.append(element.get_attribute("id") or element.get_attribute("class") or element.get_attribute("role"))
        if element.get_attribute("role") == "option":
            break
    wanted = {"theme", "quantity", "layer", "channel", "vector", "trained", "untrained", "same", "box", "whole", "png"}
    assert wanted | {"csv", "words", "option"} <= set(visited)
    keys = webdriver.ActionChains(browser)
    keys.send_keys("\ue014").send_keys("\ue014").send_keys("\ue007").perform()  # right, right, Enter
    assert protein.residue_index[chosen(browser)] == 2
    assert "Asp 3" in browser.find_element(By.ID, "details").text
    assert browser.switch_to.active_element.get_attribute("aria-selected") == "true"
    webdriver.ActionChains(browser).send_keys("\ue00c").perform()  # Escape
    assert chosen(browser) is None


@needs_script
def test_files_and_sentence_say_what_is_shown(browser, pages, protein, traces):
    opened(browser, pages["one"])
    table = browser.execute_script("return eqgat.csv()").splitlines()
    assert table[0].startswith("structure,chain,residue,name,quantity,layer,channel,trained,untrained,uniform")
    assert len(table) == 1 + len(protein.residues)
    words = "model res: trained to name the amino acid at an alpha carbon"
    assert table[0].endswith(",model,caution")
    assert all(words in line for line in table[1:])
    assert [line.split(",")[3] for line in table if "hetero group" in line] == ["PO4"]
    row = protein.find_atom("A", 51, "SG")
    browser.execute_script("eqgat.choose(0, arguments[0])", row)
    neighbours = browser.execute_script("return eqgat.csv()").splitlines()
    assert len(neighbours) == 1 + int(traces[0][-1].edges.num_neighbours[row])
    sentence = browser.find_element(By.ID, "sentence")
    assert sentence.get_attribute("aria-live") == "polite"
    assert f"SG of Cys 51 has {len(neighbours) - 1} neighbours within 4.5 Å" in sentence.text
    address = browser.execute_script("return eqgat.picture()")
    picture = Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1]))).convert("RGB")
    assert picture.size[1] > browser.find_element(By.CSS_SELECTOR, ".box canvas").size["height"]
    assert coloured(np.asarray(picture).astype(int)) > 0.01
    legend = np.asarray(picture)[browser.execute_script("return eqgat.views[0].box.querySelector('canvas').height") :]
    assert len(np.unique(legend[:, -9:].reshape(-1, 3), axis=0)) == 1, "no words run over the edge"
    colours = browser.execute_script("return ['v_direction', 'v_mix', 'v_cross'].map((term) => eqgat.data.terms[term])")
    for colour in colours:
        swatch = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)
        assert (legend == swatch).all(axis=2).sum() >= 100, "each term has a swatch"


@needs_script
def test_page_says_what_it_shows_and_warns_of_what_the_training_data_did_not_have(browser, pages, protein):
    opened(browser, pages["one"])

    def text(name: str) -> str:
        return browser.find_element(By.ID, name).text

    assert text("model") == "model res: trained to name the amino acid at an alpha carbon"
    assert "hetero groups: PO4; left out: 189 water atoms" in text("facts")
    assert "Caution" not in text("sentence")
    Select(browser.find_element(By.ID, "layer")).select_by_index(1)
    assert "Caution: PO4 70 is a hetero group" in text("sentence"), "it gets least in layer 2"
    Select(browser.find_element(By.ID, "layer")).select_by_index(2)
    assert "Not in the training data: PO4" in text("notes")
    assert "08_seeing_a_protein" in browser.find_element(By.ID, "limits").get_attribute("textContent")
    # The ends of the bar in words: 2 to the power of the largest log₂.
    values = browser.execute_script("return eqgat.residueValues(eqgat.structures[0], 0)")
    assert f"full colour: {2 ** max(map(abs, values)):.2g} times an equal share" in text("key")
    browser.execute_script("eqgat.choose(0, arguments[0])", int(np.flatnonzero(protein.symbol == "P")[0]))
    assert "Caution: PO4 70 is a hetero group, and the training data had none" in text("details")
    assert "not forces" in text("key")
    browser.execute_script("eqgat.choose(0, eqgat.structures[0].residues[0].trace)")
    assert "Caution" not in text("details")


@needs_script
def test_one_scale_for_all_layers_and_a_hint_that_follows(browser, pages):
    opened(browser, pages["one"])
    ends = "return [0, 1, 2].flatMap((l) => [0, 1].flatMap((m) => eqgat.residueValues(eqgat.structures[0], m, l)))"
    most = max(abs(value) for value in browser.execute_script(ends))
    browser.execute_script("document.querySelector('[role=option]').dispatchEvent(new Event('pointerenter'))")
    keys, hints = set(), set()
    browser.find_element(By.ID, "every").click()
    for layer in "012":
        pick(browser, "layer", layer)
        keys.add(browser.find_element(By.ID, "key").text)
        hints.add(browser.find_element(By.ID, "here").text)
    (key,) = keys
    assert float(key.split(" (full")[0].split()[-1]) == pytest.approx(most, rel=6e-3)
    assert len(hints) == 3
    assert all(hint.startswith("Arg 1: ") for hint in hints)
    browser.find_element(By.ID, "every").click()
    for layer in "012":
        pick(browser, "layer", layer)
        keys.add(browser.find_element(By.ID, "key").text)
    assert len(keys) == 3, "without it each layer has its own, one of them that of all"


@needs_script
def test_two_structures_show_the_same_atom_side_by_side(browser, pages):
    opened(browser, pages["two"])
    boxes = browser.find_elements(By.CSS_SELECTOR, ".box canvas")
    assert len(boxes) == 2
    assert all(coloured(pixels(box)) > 0.01 for box in boxes)
    browser.execute_script("eqgat.choose(0, eqgat.structures[0].residues[76].trace)")
    counts = browser.execute_script("return eqgat.views.map((view) => [view.edges.length, view.arrows.length])")
    assert all(edges > 5 and arrows == 4 for edges, arrows in counts)
    assert browser.find_element(By.ID, "sentence").text.count("CA of Cys 77") == 2
    browser.find_element(By.ID, "second").click()
    assert [box.is_displayed() for box in boxes] == [False, True]


@needs_script
def test_explorer_in_a_notebooks_frame_draws_and_need_not_be_scrolled(browser, pages):
    def room() -> int:
        """Pixels of the page that the frame hides."""
        return browser.execute_script("return document.documentElement.scrollHeight - innerHeight")

    browser.get(pages["frame"])
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    wait(browser, "the explorer", lambda b: b.execute_script("return Boolean(window.eqgat && eqgat.views.length)"))
    assert not browser.find_element(By.ID, "missing").is_displayed()
    wait(browser, "the frame's height", lambda b: room() <= 0)
    before = browser.execute_script("return innerHeight")
    browser.execute_script("eqgat.choose(0, eqgat.structures[0].residues[21].trace)")
    wait(browser, "a taller frame", lambda b: b.execute_script("return innerHeight") > before and room() <= 0)
    browser.switch_to.default_content()


@needs_script
def test_page_is_accessible_wide_and_narrow_dark_and_light(browser, pages, protein):
    axe = pytest.importorskip("axe_selenium_python")
    try:
        for width, height, name in ((1400, 900, "two"), (390, 844, "one")):
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            opened(browser, pages[name])
            browser.execute_script("document.getElementById('limits').open = true")
            for _ in range(2):
                browser.find_element(By.ID, "theme").click()
                for script in ("eqgat.leave()", "eqgat.choose(0, eqgat.structures[0].residues[21].trace)"):
                    browser.execute_script(script)
                    checker = axe.Axe(browser)
                    checker.inject()
                    found = [one for one in checker.run()["violations"] if one["impact"] in ("serious", "critical")]
                    assert not found, checker.report(found)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        # Narrow as a telephone is: a tap of a finger chooses, too.
        browser.execute_script("eqgat.leave(); document.getElementById('views').scrollIntoView({block: 'center'})")
        row = protein.find_atom("A", 26, "CA")
        ((x, y, _),) = on_screen(browser, [row])
        touch = [{"x": round(x), "y": round(y)}]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": touch})
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        wait(browser, "the tap chooses an atom", lambda b: chosen(b) is not None)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
