"""Scenes and their two renderers: what is written about a picture is what the data say."""

from __future__ import annotations

import base64
import io
import re
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from scipy.spatial.transform import Rotation

from eqgat.datasets import embedded_structure
from eqgat.viz import (
    COLOURS,
    DIVERGING,
    Camera,
    Edges,
    Scalars,
    Scene,
    Vectors,
    py3dmol_view,
    save,
    scripts,
    view3d,
)
from eqgat.viz.parts import NO_VALUE_COLOUR
from eqgat.viz.style import details_of, png_bytes

MIRROR = np.diag([1.0, 1.0, -1.0])


@pytest.fixture
def ring() -> Scene:
    """Six carbons in a ring with all 30 directed edges, and a polar and an axial vector at each."""
    angle = np.arange(6) * np.pi / 3
    positions = 1.39 * np.stack([np.cos(angle), np.sin(angle), 0.1 * angle], axis=1)
    pairs = np.array([(i, j) for i in range(6) for j in range(6) if i != j]).T
    rng = np.random.default_rng(0)
    return Scene(
        positions,
        ["C"] * 5 + ["N"],
        bonds=[(i, (i + 1) % 6) for i in range(6)],
        edges=Edges(pairs, Scalars(rng.random(30), "attention")),
        vectors=(
            Vectors(rng.normal(size=(6, 3)), "direction term", unit="e"),
            Vectors(rng.normal(size=(6, 3)), "cross term", kind="axial", unit="e"),
        ),
        labels={0: "C1"},
    )


# -- words -------------------------------------------------------------------------------------------------------------


def test_caption_numbers_are_those_of_the_data(ring):
    caption = ring.caption()
    values = ring.edges.scalars.values
    assert "6 atoms (5 C, 1 N)" in caption
    assert f"attention from {values.min():.3g} to {values.max():.3g}" in caption
    for vectors in ring.vectors:
        longest = np.linalg.norm(vectors.directions, axis=1).max()
        assert f"{vectors.label} ({vectors.kind}" in caption
        assert f"the longest |v| = {longest:.3g} e" in caption
    assert f"An arrow 1 Å long stands for |v| = {ring.arrow_unit():g} e" in caption
    assert caption in ring.alt_text()
    assert "C1" in ring.alt_text()


def test_cap_keeps_the_longest_arrows_and_says_how_many_are_left_out():
    length = np.arange(100.0)  # one of them is zero and no arrow at all
    vectors = Vectors(length[:, None] * [[0, 0, 1]], "v", limit=10)
    scene = Scene(np.random.default_rng(0).normal(size=(100, 3)), ["C"] * 100, vectors=vectors)
    start, end = scene.arrows(vectors)
    drawn = np.linalg.norm(end - start, axis=1) * scene.arrow_unit()
    np.testing.assert_allclose(drawn, np.arange(90, 100))
    assert "the 10 longest of 99 arrows, 89 left out" in scene.caption()


def test_cap_of_edges_keeps_the_strongest(ring):
    values = ring.edges.scalars.values
    edges = Edges(ring.edges.index, Scalars(values, "attention"), limit=4)
    scene = Scene(ring.positions, ring.elements, edges=edges)
    colours = scene.edge_segments()[2]
    assert sorted(colours) == sorted(edges.scalars.colours()[np.argsort(values)[-4:]])
    assert "the 4 strongest of 30 edges" in scene.caption()


def test_all_zero_vectors_are_reported_not_drawn():
    scene = Scene(np.eye(3), ["C"] * 3, vectors=Vectors(np.zeros((3, 3)), "mixed vectors"))
    assert "all 3 are zero" in scene.caption()
    assert "stands for" not in scene.caption()
    png_bytes(scene.still())


def test_values_outside_the_limits_and_missing_values_are_reported():
    scalars = Scalars([0.0, 1.0, 5.0, np.nan], "charge", "e", limits=(0, 2))
    assert "from 0 to 5 e (1 outside the colour bar" in scalars.describe()
    assert "no value (1)" in scalars.describe()
    assert scalars.beyond == "max", "the colour bar shows that a value is cut off"
    assert Scalars([0.0, 1.0], "charge").beyond == "neither"
    assert scalars.colours()[3] == NO_VALUE_COLOUR


def test_diverging_limits_lie_evenly_about_zero():
    assert Scalars([-1.0, 3.0], "signed", cmap=DIVERGING).limits == (-3.0, 3.0)


@pytest.mark.parametrize("longest", [1e-4, 0.3, 1.0, 7.0, 2000.0])
def test_no_arrow_is_longer_than_three_angstrom_nor_much_shorter(longest):
    vectors = Vectors([[longest, 0, 0]], "v")
    start, end = Scene(np.zeros((1, 3)), ["C"], vectors=vectors).arrows(vectors)
    assert 1.2 - 1e-6 <= np.linalg.norm(end - start) <= 3 + 1e-6


def test_arrows_of_one_length_say_their_true_lengths():
    vectors = [
        Vectors([[0, 0, 3e-6]], "cross", kind="axial", unit="e", same_length=True),
        Vectors([[0, 5.0, 0]], "direction", unit="e", same_length=True),
    ]
    scene = Scene(np.zeros((1, 3)), ["C"], vectors=vectors)
    drawn = [np.linalg.norm(np.subtract(*scene.arrows(one))) for one in vectors]
    np.testing.assert_allclose(drawn, drawn[0])
    assert vectors[0].key == "cross (axial), |v| = 3e-06 e"
    assert "directions only" in scene.caption()
    assert "stands for" not in scene.caption()


# -- geometry ----------------------------------------------------------------------------------------------------------


def test_rotation_turns_atoms_and_all_arrows(ring):
    rotation = Rotation.random(random_state=1).as_matrix()
    turned = ring.rotated(rotation)
    np.testing.assert_allclose(turned.positions, ring.positions @ rotation.T)
    for before, after in zip(ring.vectors, turned.vectors, strict=True):
        for old, new in zip(ring.arrows(before), turned.arrows(after), strict=True):
            np.testing.assert_allclose(new, old @ rotation.T, atol=1e-12)


def test_mirror_reverses_axial_vectors_as_it_does_cross_products(ring):
    polar, axial = ring.rotated(MIRROR).vectors
    np.testing.assert_allclose(polar.directions, ring.vectors[0].directions @ MIRROR)
    np.testing.assert_allclose(axial.directions, -ring.vectors[1].directions @ MIRROR)
    a, b = np.random.default_rng(2).normal(size=(2, 3))
    crossed = Scene(np.zeros((1, 3)), ["C"], vectors=Vectors([np.cross(a, b)], "a x b", kind="axial")).rotated(MIRROR)
    np.testing.assert_allclose(crossed.vectors[0].directions[0], np.cross(MIRROR @ a, MIRROR @ b))


def test_camera_is_a_proper_rotation_that_faces_the_reader():
    camera = Camera((1, 2, 3), (0, 0, 1))
    matrix = camera.rotation()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(matrix @ np.array([1, 2, 3]) / np.sqrt(14), [0, 0, 1], atol=1e-12)


def test_both_directions_of_an_edge_are_seen_next_to_their_receivers(ring):
    start, end, _, heads = ring.edge_segments()
    assert not heads
    source, receiver = ring.positions[ring.edges.index[0]], ring.positions[ring.edges.index[1]]
    np.testing.assert_allclose(start, (source + receiver) / 2)
    assert (np.linalg.norm(end - receiver, axis=1) < np.linalg.norm(end - source, axis=1)).all()
    one_way = Scene(ring.positions, ring.elements, edges=Edges([[1, 2], [0, 0]]))
    assert one_way.edge_segments()[3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: Scene(np.zeros((2, 3)), ["C"]), "one element for each atom"),
        (lambda: Scene(np.zeros((2, 2)), ["C", "C"]), "positions: expected an array of shape"),
        (lambda: Scene(np.full((1, 3), np.nan), ["C"]), "NaN"),
        (lambda: Scene(np.zeros((1, 3)), ["C"], bonds=[(0, 1)]), "outside the 1 atoms"),
        (lambda: Scene(np.zeros((1, 3)), ["C"], vectors=Vectors(np.zeros((2, 3)), "v")), "pass atoms="),
        (lambda: Scene(np.zeros((1, 3)), ["C"], representation="cartoon"), "needs structure"),
        (lambda: Vectors(np.zeros((1, 3)), "v", kind="pseudo"), "'polar', 'axial' or 'mixed'"),
        (lambda: Scalars([np.nan], "x"), "no finite number"),
        (lambda: Camera((0, 0, 1), (0, 0, 2)).rotation(), "parallel"),
        (lambda: Scene(np.zeros((1, 3)), ["C"]).rotated(2 * np.eye(3)), "orthogonal"),
    ],
)
def test_bad_input_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        change()


# -- the still ---------------------------------------------------------------------------------------------------------


def _arrow_only(kind: str):
    vectors = Vectors([[0, 2.0, 0]], "v", kind=kind, colour=COLOURS["blue"])
    return Scene(np.zeros((1, 3)), ["C"], vectors=vectors).still()


def test_axial_arrows_are_hollow_and_ringed_polar_ones_filled():
    def heads(fig):
        return [c for c in fig.axes[0].collections if isinstance(c, PolyCollection)]

    polar, axial = heads(_arrow_only("polar")), heads(_arrow_only("axial"))
    assert len(polar) == 1
    assert len(axial) == 2, "an axial arrow has a ring beside its head"
    np.testing.assert_allclose(polar[0].get_facecolor()[0, :3], polar[0].get_edgecolor()[0, :3])
    assert all(len(c.get_facecolor()) == 0 or np.allclose(c.get_facecolor()[0, :3], 1) for c in axial)
    assert png_bytes(_arrow_only("polar")) != png_bytes(_arrow_only("axial"))


def test_still_states_unit_scale_bar_and_arrow_scale(ring):
    fig = ring.still()
    words = " | ".join(text.get_text() for ax in fig.axes for text in ax.texts) + fig.axes[1].get_ylabel()
    bar = float(re.search(r"([\d.]+) Å; as an arrow, ", words)[1])
    assert f"{bar:g} Å; as an arrow, |v| = {bar * ring.arrow_unit():g} e" in words, "one bar for lengths and arrows"
    assert "cross term (axial)" in words
    assert "attention" in words
    assert details_of(fig)["alt"] == ring.alt_text()


def test_scale_bar_is_as_long_as_it_says(ring):
    fig = ring.still()
    fig.draw_without_rendering()
    molecule, strip = fig.axes[0], fig.axes[-1]
    left, right = strip.transData.transform([(x, 0) for x in strip.lines[0].get_xdata()])[:, 0]
    one = np.diff(molecule.transData.transform([(0, 0), (1, 0)])[:, 0])[0]
    assert f"{(right - left) / one:g} Å" == strip.texts[0].get_text().split(";")[0]


def test_equal_aspect_and_nearest_drawn_last(ring):
    fig = ring.still()
    fig.draw_without_rendering()
    x, y = np.diff(fig.axes[0].transData.transform([(0, 0), (1, 1)]), axis=0)[0]
    assert x == pytest.approx(y)
    layers = [c for c in fig.axes[0].collections if isinstance(c, LineCollection)]
    assert len({c.get_zorder() for c in layers}) > 3, "the lines of a scene with depth lie in several layers"


def test_saved_figures_are_byte_identical(ring, tmp_path):
    first, second = (save(ring.still(), tmp_path / str(run) / "ring") for run in range(2))
    assert [path.name for path in first] == ["ring.png", "ring.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


# -- the view ----------------------------------------------------------------------------------------------------------


def _no_script(monkeypatch):
    monkeypatch.setattr(scripts, "source", lambda script: None)


def test_view_begins_with_the_reason_why_it_may_be_missing(ring, monkeypatch):
    _no_script(monkeypatch)
    html = ring.view()._repr_html_()
    assert html.index("not drawn here") < html.index("<script")
    assert "3Dmol.js is not stored in this page" in html
    assert "The still picture shows the same scene" in html
    assert re.search(r'aria-label="[^"]*6 atoms \(5 C, 1 N\)', html)


def test_setup_outside_a_notebook_leaves_each_view_its_own_script(ring, monkeypatch):
    """There is no page that could hold the script for the views that follow."""
    monkeypatch.setattr(scripts, "source", lambda script: "// the whole of 3Dmol.js")
    view3d.setup()
    assert "// the whole of 3Dmol.js" in ring.view()._repr_html_()


def test_a_page_of_a_view_is_whole_and_holds_the_still(ring, monkeypatch):
    monkeypatch.setattr(scripts, "source", lambda script: "// the whole of 3Dmol.js")
    page = replace(ring, title="A <ring>").view().to_html()
    assert page.startswith("<!doctype html>")
    assert '<meta charset="utf-8">' in page
    assert "<title>A &lt;ring&gt;</title>" in page
    assert "// the whole of 3Dmol.js" in page
    picture = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", page)[1])
    assert picture == png_bytes(replace(ring, title="A <ring>").still(6.4, 4.4))
    _no_script(monkeypatch)
    assert "data:image/png;base64," in ring.view().to_html(), "without the script the picture is all there is"


def test_view_of_five_thousand_atoms_stays_below_three_megabytes():
    rng = np.random.default_rng(0)
    n = 5000
    scene = Scene(
        rng.uniform(0, 50, (n, 3)),
        ["C"] * n,
        bonds=rng.integers(0, n, (n, 2)),
        atom_scalars=Scalars(rng.random(n), "attention"),
        edges=Edges(rng.integers(0, n, (2, 80_000)), Scalars(rng.random(80_000), "attention")),
        vectors=Vectors(rng.normal(size=(n, 3)), "v"),
    )
    assert len(scene.view().to_html().encode()) < 3e6, "with its still"


def test_cartoon_of_a_protein_turns_in_both_renderers(monkeypatch):
    _no_script(monkeypatch)
    structure = embedded_structure("5pti")
    rotation = Rotation.random(random_state=3).as_matrix()
    scene = Scene.from_structure(structure, representation="cartoon").rotated(rotation)
    data = view3d._data(scene)
    first = next(line for line in data["pdb"].splitlines() if line.startswith("ATOM"))
    expected = structure.positions[0] @ rotation.T
    np.testing.assert_allclose([float(first[k : k + 8]) for k in (30, 38, 46)], expected, atol=6e-4)
    assert len(data["colours"]) == len(structure)
    assert png_bytes(scene.still()) != png_bytes(scene.rotated(rotation).still())


def test_zoom_depends_on_shape_and_arrows_not_on_the_place(ring):
    def zoom(scene):
        return view3d._data(scene, 640, 440)["zoom"]

    moved = replace(ring, positions=ring.positions + 40)
    assert zoom(moved) == pytest.approx(zoom(ring), rel=1e-3)
    assert zoom(replace(ring, arrow_scale=0.2)) < zoom(ring), "longer arrows need more room"


def test_views_have_no_names_that_two_of_them_could_share(ring, monkeypatch):
    _no_script(monkeypatch)
    html = ring.view()._repr_html_()
    assert not re.search(r"\bid=", html)
    assert html == ring.view()._repr_html_(), "a notebook that is run again stays the same"


def test_label_cannot_end_the_script(monkeypatch):
    _no_script(monkeypatch)
    scene = Scene(np.zeros((1, 3)), ["C"], labels={0: "</script><b><!--<script>"})
    assert "<!--" not in scene.view()._repr_html_()
    assert scene.view()._repr_html_().count("</script>") == Scene(np.zeros((1, 3)), ["C"]).view()._repr_html_().count(
        "</script>"
    )


# -- scripts fetched at install ----------------------------------------------------------------------------------------


def test_without_npm_installing_goes_on(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(scripts, "VENDOR", tmp_path)
    monkeypatch.setattr(scripts.shutil, "which", lambda name: None)
    assert scripts.main() == 0
    assert capsys.readouterr().err.count("npm is not installed") == len(scripts.SCRIPTS)
    assert all(scripts.source(script) is None for script in scripts.SCRIPTS)


@pytest.mark.parametrize("script", scripts.SCRIPTS, ids=lambda script: script.package)
def test_another_script_than_the_pinned_one_is_refused(script, monkeypatch, tmp_path):
    monkeypatch.setattr(scripts, "VENDOR", tmp_path)

    def pack(command, cwd, **options):
        with tarfile.open(f"{cwd}/{script.package}-{script.version}.tgz", "w:gz") as archive:
            for member in (script.member, scripts.LICENCE):
                info = tarfile.TarInfo(member)
                info.size = 4
                archive.addfile(info, io.BytesIO(b"evil"))

    monkeypatch.setattr(scripts.shutil, "which", lambda name: name)
    monkeypatch.setattr(scripts.subprocess, "run", pack)
    with pytest.raises(ValueError, match="SHA-256"):
        scripts.fetch(script)
    assert not list(tmp_path.iterdir())


def test_damaged_copy_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(scripts, "VENDOR", tmp_path)
    scripts.THREEDMOL.path.write_text("half")
    scripts.THREEDMOL.licence_path.write_text("licence")
    with pytest.raises(ValueError, match=r"python -m eqgat\.viz\.scripts"):
        scripts.source(scripts.THREEDMOL)


def test_a_py3dmol_view_holds_the_molecule_and_its_values_and_asks_for_no_network():
    protein = embedded_structure("5pti")
    page = py3dmol_view(protein, np.arange(len(protein)) / 10)._make_html()
    assert protein.to_pdb(np.arange(len(protein)) / 10).splitlines()[40] in page
    assert '"min": 45.8' in page
    if scripts.source(scripts.THREEDMOL):
        assert not re.search(r"https?://(?!www\.w3)[^\s\"']*3Dmol", page)
