"""The explorer's page without a browser: what it stores is the trace, and its size, words and errors are as promised."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil

import numpy as np
import pytest
import torch

from eqgat import EQGAT
from eqgat.attribution import fresh
from eqgat.cli import main
from eqgat.datasets import embedded_path, embedded_structure
from eqgat.inspection import attention_received, effective_neighbours, equal_share, mean_terms, over_channels
from eqgat.pretrained import about, pretrained, untrained
from eqgat.structures import read_structure
from eqgat.viz import explorer as module
from eqgat.viz.explorer import SHARE_STEP, SINGLE_STEP, STEPS, attributed, explore, what_was_read


class Page:
    """A page read back: its data, and its arrays in full."""

    def __init__(self, html: str) -> None:
        self.data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])
        self.bytes = gzip.decompress(base64.b64decode(self.data["bytes"]))

    def array(self, place: dict) -> np.ndarray:
        size = {"i2": 2, "u4": 4, "f4": 4}[place["kind"]]
        raw = np.frombuffer(self.bytes, np.uint8, size * place["count"], place["at"])
        values = raw.reshape(size, -1).T.copy().view("<" + place["kind"]).ravel()
        return np.where(values == -32768, np.nan, values * place["step"]) if place["kind"] == "i2" else values


@pytest.fixture(scope="module")
def protein():
    return embedded_structure("5pti")


@pytest.fixture(scope="module")
def models():
    return pretrained("res"), untrained("res")


@pytest.fixture(scope="module")
def page(protein, models):
    return Page(explore(protein, models[0], untrained=models[1], about=about("res")).to_html())


def test_every_number_is_that_of_the_trace(page, protein, models):
    stored = page.data["structures"][0]
    np.testing.assert_allclose(page.array(stored["positions"]).reshape(-1, 3), protein.positions, atol=1e-4)
    for model, layers in zip(models, stored["models"], strict=True):
        trace = model.trace(protein.graph(4.5))
        np.testing.assert_array_equal(page.array(stored["edges"]["source"]), trace[0].edges.source)
        np.testing.assert_array_equal(page.array(stored["edges"]["degree"]), trace[0].edges.num_neighbours)
        equal = equal_share(trace[0])
        np.testing.assert_allclose(page.array(stored["edges"]["equal"]), equal, atol=float(equal.max()) / STEPS)
        for record, layer in zip(trace, layers, strict=True):
            neighbours = record.edges.num_neighbours[record.edges.receiver]
            for label, channels, step in (
                ("mean over all 32 channels", None, SHARE_STEP),
                ("head: channels 8 to 15", range(8, 16), SHARE_STEP),
                ("channel 7", 7, SINGLE_STEP),
            ):
                group = page.data["groups"].index(label)
                share = over_channels(record.attention, channels) * neighbours
                np.testing.assert_allclose(page.array(layer["share"][group]), share, atol=step / 2 + 1e-6)
                received = attention_received(record, channels)
                close = {"atol": float(received.max()) / STEPS}
                np.testing.assert_allclose(page.array(layer["received"][group]), received, **close)
            effective = effective_neighbours(record).mean(dim=1)
            np.testing.assert_allclose(page.array(layer["effective"][0]), effective, atol=1 / STEPS)
            for name, mean in mean_terms(record).items():
                for place, channel in zip(layer["terms"][name], page.data["vectors"], strict=True):
                    vectors = mean[:, :, channel].numpy()
                    close = {"atol": np.abs(vectors).max() / STEPS + 1e-12}
                    np.testing.assert_allclose(page.array(place).reshape(-1, 3), vectors, **close)


def test_a_vector_is_drawn_polar_axial_or_mixed_as_its_layer_makes_it(page, protein):
    assert page.data["kinds"]["v_cross"] == ["polar", "axial", "mixed"]
    assert page.data["kinds"]["v_mix"] == ["polar", "polar", "mixed"]
    sizes = {"num_elements": 9, "out_channels": 1, "scalar_channels": 8, "vector_channels": 2, "num_layers": 3}
    without = explore(protein, EQGAT(**sizes, num_radial=4, cross_product=None, attention="scalar"))
    assert {kind for kinds in without.data["kinds"].values() for kind in kinds} == {"polar"}
    assert without.data["groups"] == ["the only channel"]


def test_page_says_which_model_it_shows_and_what_was_read(page, protein, models):
    assert page.data["model"] == "model res: trained to name the amino acid at an alpha carbon"
    assert page.data["seen"] == ["C", "N", "O", "S"]
    (stored,) = page.data["structures"]
    assert [residue["name"] for residue in stored["residues"] if residue["hetero"]] == ["PO4"]
    left_out = "189 water atoms, 447 hydrogen atoms, 8 atoms of other alternate locations"
    assert stored["read"] == f"chain A; hetero groups: PO4; left out: {left_out}"
    nobody_knows = explore(protein, models[0]).data
    assert nobody_knows["model"] == "EQGAT with 3 layers; what it was trained for is not noted"
    assert nobody_knows["seen"] is None


def test_chains_that_were_not_wanted_are_named():
    protease = read_structure(embedded_path("1hvr"), chains="B")
    words = what_was_read(protease)
    assert words.startswith("chain B of A, B; hetero groups: CSO; left out: ")
    assert f"{protease.dropped['chain']:,} atoms of other chains" in words


def test_page_is_small_whole_and_asks_no_network(protein, models):
    explorer = explore(protein, models[0], untrained=models[1], title="A <b> & c")
    html = explorer.to_html()
    assert len(html.encode()) < 2.7e6
    assert html.startswith("<!doctype html>")
    assert "<title>A &lt;b&gt; &amp; c</title>" in html
    addresses = set(re.findall(r'(?:src|href)="(?!data:)([^"]*)"', html))
    assert not addresses, addresses
    assert "37 of 37 choices of channels and 8 of 8 vector channels" in explorer.data["kept"]


@pytest.mark.slow
def test_a_large_protein_keeps_means_and_heads_and_says_so(models):
    explorer = explore(embedded_structure("19hc"), models[0], untrained=models[1])
    assert len(explorer.to_html().encode()) < 8e6
    assert re.match(r"5 of 37 choices of channels and \d of 8 vector channels", explorer.data["kept"])
    assert len(explorer.data["vectors"]) >= 4


@pytest.mark.slow
def test_a_second_structure_is_laid_over_the_first(models):
    opened, closed = embedded_structure("adk_open"), embedded_structure("adk_closed")
    away = closed.with_positions(closed.positions[:, [1, 2, 0]] + 50.0)
    page = Page(explore(opened, models[0], other=away).to_html())
    first, second = (page.array(one["positions"]).reshape(-1, 3) for one in page.data["structures"])
    core = opened.atoms["residue"].between(1, 29).to_numpy() & (opened.atoms["name"] == "CA").to_numpy()
    assert np.linalg.norm(first[core] - second[core], axis=1).mean() < 5


@pytest.mark.slow
def test_attributions_are_shown_for_the_model_and_for_the_control(protein, models):
    pytest.importorskip("captum")
    extra = attributed(protein, *models, "A:22")
    explorer = explore(protein, models[0], untrained=models[1], extra=extra)
    labels = [quantity["label"] for quantity in explorer.data["quantities"]]
    assert [label.split(":")[0] for label in labels[6:]] == ["gradient", "integrated gradients", "attention rollout"]
    page = Page(explorer.to_html())
    for pair, values in zip(page.data["extra"], extra.values(), strict=True):
        for place, one in zip(pair, values, strict=True):
            np.testing.assert_allclose(page.array(place), one, atol=np.abs(one).max() / STEPS)


@pytest.mark.parametrize(("chain", "what"), [("A", "A:8B"), (" ", ":8B"), (" ", ":-3"), ("A", "A:8")])
def test_residues_with_insertion_codes_and_without_a_chain_are_explained(tmp_path, protein, chain, what):
    pytest.importorskip("captum")
    moved = {9: "   8B", 10: "  -3 "}
    lines = protein.select(protein.residue_index < 12).to_pdb().splitlines()
    (tmp_path / "a.pdb").write_text(
        "\n".join(
            line[:21] + chain + moved.get(int(line[22:26]), line[22:27]) + line[27:]
            for line in lines
            if line.startswith("ATOM")
        )
    )
    model = EQGAT(num_elements=9, out_channels=2, scalar_channels=4, vector_channels=1, num_layers=1, readout="node")
    extra = attributed(read_structure(tmp_path / "a.pdb"), model, fresh(model), what)
    assert all(label.endswith(f"at the alpha carbon of {what}") for label in extra)
    first = next(iter(extra.values()))[0]
    number = {"8": 8, "8B": 9, "-3": 10}[what.partition(":")[2]]
    assert protein.residue_number[: len(first)][np.argmax(np.abs(first))] in (number - 1, number, number + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, m: explore(p, m, untrained=EQGAT(num_elements=9, out_channels=1)), "same configuration"),
        (lambda p, m: explore(p, m, extra={"mine": np.zeros(3)}), "'mine' must have 459 numbers"),
        (lambda p, m: explore(p.select(np.arange(1)), m), "no two atoms of 5pti are within the cutoff of 4.5 Å"),
        (lambda p, m: explore(p, m, other=p.select(np.arange(1))), "no two atoms of 5pti"),
        (lambda p, m: attributed(p, m, fresh(m), "graph"), "reads out nodes"),
        (lambda p, m: attributed(p, m, fresh(m), "A22"), "write its chain and number, as A:22"),
        (lambda p, m: attributed(p, m, fresh(m), "B:22"), "does not exist"),
        (lambda p, m: attributed(p, m, fresh(m), "A:22BB"), "write its chain and number, as A:22"),
        (lambda p, m: attributed(p, m, fresh(m), "A:22B"), "22B of chain 'A' in 5pti does not exist"),
    ],
)
def test_bad_input_says_what_is_wrong(change, message, protein, models):
    with pytest.raises(ValueError, match=message):
        change(protein, models[0])


def test_too_many_atoms_for_a_page_are_refused_before_the_model_runs(protein, models, monkeypatch):
    monkeypatch.setattr(module, "MOST_ATOMS", 400)
    monkeypatch.setattr(EQGAT, "trace", None)
    with pytest.raises(ValueError, match="459 atoms are too many"):
        explore(protein, models[0])


def test_notebook_gets_the_page_the_still_and_the_words(protein, models, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda output, raw=False: shown.append(output))
    explore(protein, models[0])._ipython_display_()
    frame, still = shown
    assert frame["text/html"].startswith('<iframe title="')
    assert "&lt;!doctype html&gt;" in frame["text/html"]
    assert still.get_size_inches().tolist() == [6.4, 4.0]
    shown.clear()
    monkeypatch.setattr("IPython.display.display", lambda output, metadata=None, raw=False: shown.append(output))
    still._ipython_display_()
    picture, words = shown
    assert picture["image/png"]
    assert "log₂ of attention received / equal share" in words["text/plain"]
    assert "log₂ of attention received / equal share" in words["text/html"]


def test_command_writes_the_page_and_says_what_is_wrong(tmp_path, capsys, monkeypatch, models):
    model = EQGAT(num_elements=9, out_channels=1, scalar_channels=8, vector_channels=2, num_layers=2, num_radial=4)
    model.save_pretrained(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert main(["explore", "5pti", "--model", "mine"]) == 0  # a file of that name is not there: the embedded one
    said = capsys.readouterr()
    assert said.err == "loading the model mine ...\nreading 5pti ...\n"
    for words in (
        "model mine: what it was trained for is not noted",
        "5pti: chain A; hetero groups: PO4; left out: 189 water atoms",
        "5pti.html: 459 atoms",
    ):
        assert words in said.out
    page = Page((tmp_path / "5pti.html").read_text(encoding="utf-8"))
    fresh_layer = fresh(EQGAT.from_pretrained("mine")).trace(embedded_structure("5pti").graph(4.5))[0]
    stored = page.array(page.data["structures"][0]["models"][1][0]["received"][0])
    assert stored == pytest.approx(attention_received(fresh_layer).numpy(), abs=2e-3)
    shutil.copy(embedded_path("5pti"), "5pti.1.cif.gz")
    assert main(["explore", "5pti.1.cif.gz", "--model", "mine"]) == 0
    assert "5pti.1.html: 459 atoms" in capsys.readouterr().out  # 5pti.2.cif.gz has a page of its own
    for argv, message in (
        (["5pti.1.cif.gz", "-o", str(tmp_path / "5pti.1.cif.gz")], "would be written over what is read"),
        (["5pti", "--other", "5pti.1.cif.gz", "-o", "5pti.1.cif.gz"], "would be written over what is read"),
        (["nothing.pdb"], "nothing.pdb"),
        ([str(embedded_path("5pti")), "--model", "nowhere"], "there is no model in 'nowhere'"),
        ([str(embedded_path("5pti")), "-o", "no/folder.html"], "there is no folder no"),
        ([str(embedded_path("5pti")), "--explain", "A:99"], "does not exist"),
    ):
        assert main(["explore", *argv]) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        steps = ("loading the model ", "reading ")
        assert len([line for line in captured.err.splitlines() if not line.startswith(steps)]) == 1
        assert ("reading" in captured.err) == (message in ("nothing.pdb", "does not exist")), "the model comes first"
    assert torch.is_grad_enabled()
