"""The registry of figures: what is built, from which data, with which words, and always the same bytes."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import pytest
import torch

from eqgat.datasets import embedded_structure
from eqgat.training import results
from eqgat.viz import describe, still
from eqgat.viz.style import details_of
from eqgat_course import figures
from eqgat_course.ch00_start_here.figures import neighbourhood
from eqgat_course.experiments import robustness
from eqgat_course.running_example import RUNNING_EXAMPLE


@pytest.fixture
def two_figures(monkeypatch):
    """A registry with one figure of fixed caption and one whose caption is made from its data."""
    monkeypatch.setattr(figures, "REGISTRY", {})
    monkeypatch.setattr(figures, "load_all", lambda: figures.REGISTRY)

    @figures.figure("line", notebook="02", data="computed", trained="a model on toy data", caption="A line.")
    def line():
        fig, ax = plt.subplots()
        ax.plot([1, 2])
        return fig

    @figures.figure("dot", notebook="03", data="embedded structure 5pti", trained="nothing")
    def dot():
        fig, ax = plt.subplots()
        ax.plot([1], "o")
        return describe(fig, "One dot.", "A dot in the middle.", "a model, quick profile")

    return line, dot


def test_build_writes_each_figure_and_a_list_of_them(two_figures, tmp_path, capsys):
    paths = figures.build(tmp_path)
    assert [path.name for path in paths] == ["line.png", "line.svg", "dot.png", "dot.svg", "README.md"]
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| [line](#line) | 02 | computed | a model on toy data |" in text
    assert "| [dot](#dot) | 03 | embedded structure 5pti | a model, quick profile |" in text
    assert "A line." in text
    assert "![A dot in the middle.](dot.png)" in text
    assert "One dot." in text
    assert "[2/2] dot:" in capsys.readouterr().out


def test_every_figure_says_what_was_trained_for_it(two_figures):
    assert [entry.trained for entry in figures.load_all().values()] == ["a model on toy data", "nothing"]
    with pytest.raises(TypeError, match="trained"):
        figures.figure("silent", notebook="02", data="computed")


def test_build_of_an_unknown_figure_lists_the_known_ones(two_figures, tmp_path):
    with pytest.raises(ValueError, match="no figure named lime; there are: line, dot"):
        figures.build(tmp_path, ["lime"])


def test_figure_leaves_the_reader_s_own_style_alone(two_figures):
    before = plt.rcParams["font.size"]
    fig = two_figures[0]()
    assert plt.rcParams["font.size"] == before
    assert not plt.fignum_exists(getattr(fig, "number", -1)), "an open figure would be shown twice in a notebook"


def test_two_figures_cannot_share_a_name(two_figures):
    with pytest.raises(ValueError, match="two figures are named"):
        figures.figure("line", notebook="04", data="x", trained="nothing")(lambda: None)


def test_registered_figures_have_source_caption_and_alternative_text():
    entries = figures.load_all()
    assert {"fig-1a-neighbourhood", "fig-1b-message-update"} <= set(entries)
    for entry in entries.values():
        assert re.fullmatch(r"\d\d", entry.notebook), entry.name
        assert entry.data, entry.name


NUMBER = re.compile(r"(?<![\w.])\d[\d,.]*(?:e[-+]?\d+)?")
REFERENCE = re.compile(r"\b(?:Eqs?|Figs?|Tables?|Section)\b\.? \d+[a-z]?(?:(?:, | and |–)\d+)*")
COUNT = "one|two|three|four|five|six|seven|eight|nine|ten|all|none|half|most"
IN_WORDS = re.compile(
    rf"\b(?:tenths?|fifths?|(?:{COUNT}) of (?:the )?(?:{COUNT}|table)|"
    r"(?:about|near|nearly|almost|roughly|over|than) (?:an? )?(?:half|third|quarter|one))\b",
    re.IGNORECASE,
)


def typed_results(caption: str, source: str) -> list[str]:
    """Numbers of a caption that nothing computes: neither of its source, nor of an equation or table, nor 0 or 1."""
    known = {number.rstrip(".,") for number in NUMBER.findall(source)} | {"0", "1"}
    numbers = [number.rstrip(".,") for number in NUMBER.findall(REFERENCE.sub("", caption))]
    return [number for number in numbers if number not in known] + IN_WORDS.findall(caption)


@pytest.mark.parametrize("name", figures.load_all())
def test_what_a_decorator_says_holds_no_result(name):
    entry = figures.REGISTRY[name]
    for words in (entry.caption, entry.alt):
        found = typed_results(words, f"{entry.data} {entry.trained}")
        assert not found, (
            f"{found}: compute it in the figure and hand it to `describe`, or name it in data= or trained="
        )


@pytest.mark.parametrize(
    "result",
    [
        "a correlation of 0.43",
        "near 1e-5",
        "at 4e-7, then flat",
        "29 neighbours",
        "7,264 edges",
        "Nine tenths are area",
        "about half of it",
        "just over half",
        "Seven of the eight contain zero",
        "Two of Table 3 do not fit",
    ],
)
def test_a_result_in_a_decorator_is_noticed(result):
    assert typed_results(f"Eq. 4 and Table 3 at 4.5 Å: {result}.", "cutoff 4.5 Å, seed 2")
    assert not typed_results("Eqs. 3–6 and Fig. 1a at 4.5 Å, channel 0.", "cutoff 4.5 Å, seed 2")


def test_a_figure_of_an_empty_store_says_that_nothing_was_trained(monkeypatch, tmp_path):
    for module in (results, robustness):
        monkeypatch.setattr(module, "results_folder", lambda: tmp_path)
    of_store = [
        entry
        for name, entry in figures.load_all().items()
        if entry.trained != "nothing"
        and ("runs, if the store has" in entry.trained or name.startswith(("triangle-", "ablation-our")))
    ]
    trained = {entry.name: details_of(entry.draw())["trained"] for entry in of_store}
    assert len(trained) > 8
    assert {name: words for name, words in trained.items() if "nothing yet" not in words or "profile" in words} == {}


def test_fig_1a_has_the_neighbours_of_the_graph():
    structure = embedded_structure(RUNNING_EXAMPLE.structure)
    centre = structure.find_atom(*RUNNING_EXAMPLE[1:])
    degree = int((structure.graph(4.5).edge_index[1] == centre).sum())
    caption = details_of(neighbourhood())["caption"]
    assert f"The {degree} neighbours within 4.5 Å" in caption
    assert "after the paper's Fig. 1a" in caption


@pytest.fixture
def noise(monkeypatch):
    """A registry with two figures that draw random numbers."""
    monkeypatch.setattr(figures, "REGISTRY", {})
    monkeypatch.setattr(figures, "load_all", lambda: figures.REGISTRY)

    def draw():
        fig = still.Figure()
        fig.subplots().plot(torch.rand(3))
        return fig

    for name in ("one", "two"):
        figures.figure(name, notebook="02", data="random", trained="nothing")(draw)


def test_a_figure_does_not_depend_on_what_was_drawn_before(noise, tmp_path):
    figures.build(tmp_path / "both", ["one", "two"])
    torch.rand(7)
    figures.build(tmp_path / "alone", ["two"])
    assert (tmp_path / "both" / "two.png").read_bytes() == (tmp_path / "alone" / "two.png").read_bytes()


@pytest.mark.slow
def test_figures_have_the_same_bytes_from_run_to_run_and_with_any_number_of_workers(tmp_path):
    names = ["planar-cross-product", "fig-1a-neighbourhood"]
    runs = [figures.build(tmp_path / str(workers), names, workers) for workers in (1, 2)]
    assert [path.name for path in runs[0]] == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    for one, other in zip(*runs, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes(), one.name
    with pytest.raises(ValueError, match="workers must be 1 or more"):
        figures.build(tmp_path, names, 0)
