"""Scenes made from traces: they turn with the protein, they show what the trace says, and they can fail to do so."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from eqgat import EQGAT
from eqgat.datasets import embedded_structure
from eqgat.inspection import attention_received, mean_terms
from eqgat.symmetry import random_reflection, random_rotation
from eqgat.viz import Camera, still
from eqgat.viz.scene import Scene
from eqgat.viz.scenes import residue_scene
from eqgat.viz.style import details_of, png_bytes
from eqgat_course.controls import with_vector_bias
from eqgat_course.scenes import neighbourhood_scene, terms_scene

RING = ("CB", "CG", "CD1", "CD2", "CE1", "CE2", "CZ")
CAMERA = Camera()


@pytest.fixture(scope="module")
def protein():
    return embedded_structure("5pti")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return EQGAT(
        num_elements=9, out_channels=1, scalar_channels=8, vector_channels=4, num_layers=3, num_radial=8
    ).double()


def _trace(model, structure):
    return model.trace(structure.graph(4.5, torch.float64))


def _turned(structure, matrix):
    return structure.with_positions(structure.positions @ matrix.numpy().T)


def _scenes(model, structure, kinds_known: bool) -> dict[str, Scene]:
    """Scenes of the second layer, and where no mirror is involved of the third."""
    trace = _trace(model, structure)
    centre = structure.find_atom("A", 22, "CA")
    ring = [structure.find_atom("A", 22, name) for name in RING]
    scenes = {
        "one atom": neighbourhood_scene(structure, trace[1], centre, channel=[0, 1, 2], vector_channel=1, shares=True),
        "ring": terms_scene(structure, trace, ring, camera=CAMERA),
        "residues": residue_scene(structure, attention_received(trace[1]), "attention received", camera=CAMERA),
    }
    if not kinds_known:
        scenes["ring, third layer"] = terms_scene(structure, trace, ring, layer=3, terms=("sum",), camera=CAMERA)
        scenes["residues, third layer"] = residue_scene(structure, attention_received(trace[2]), "r", camera=CAMERA)
    return scenes


def _difference(one: Scene, other: Scene) -> float:
    """Largest difference of positions (Å), arrows (of the longest) and colours (of their range); labels must agree."""
    assert one.labels == other.labels
    worst = [np.abs(one.positions - other.positions).max()]
    for a, b in zip(one.vectors, other.vectors, strict=True):
        assert (a.kind, a.atoms is None) == (b.kind, b.atoms is None)
        longest = np.linalg.norm(a.directions, axis=1).max()
        worst.append(np.abs(a.directions - b.directions).max() / longest)
    for a, b in zip(one.colour_bars(), other.colour_bars(), strict=True):
        assert a.title == b.title
        worst.append(np.nanmax(np.abs(a.values - b.values)) / (a.limits[1] - a.limits[0]))
    if one.edges is not None:
        np.testing.assert_array_equal(one.edges.index, other.edges.index)
    return float(max(worst))


@pytest.mark.parametrize("seed", [1, 2])
def test_scene_of_the_turned_protein_is_the_turned_scene(protein, model, seed):
    matrix = random_rotation(seed)
    before, after = _scenes(model, protein, False), _scenes(model, _turned(protein, matrix), False)
    for name, scene in before.items():
        assert _difference(scene.rotated(matrix.numpy()), after[name]) < 1e-8, name


def test_in_a_mirror_polar_arrows_are_mirrored_and_axial_ones_reversed_too(protein, model):
    matrix = random_reflection(3)
    before, after = _scenes(model, protein, True), _scenes(model, _turned(protein, matrix), True)
    for name, scene in before.items():
        assert _difference(scene.rotated(matrix.numpy()), after[name]) < 1e-8, name
    polar, axial = before["ring"].vectors[0], before["ring"].vectors[2]
    assert (polar.kind, axial.kind) == ("polar", "axial")
    as_if_polar = axial.directions @ matrix.numpy().T
    there = after["ring"].vectors[2].directions
    assert np.abs(there - as_if_polar).max() > 0.1 * np.abs(there).max()


def test_a_model_with_a_bias_on_vectors_does_not_turn_along(protein, model):
    broken = with_vector_bias(copy.deepcopy(model))
    matrix = random_rotation(1)
    before, after = _scenes(broken, protein, False), _scenes(broken, _turned(protein, matrix), False)
    assert _difference(before["ring"].rotated(matrix.numpy()), after["ring"]) > 0.01


def test_sum_of_the_terms_is_the_message_and_its_kind_follows_the_layer(protein, model):
    trace = _trace(model, protein)
    rows = [protein.find_atom("A", 22, name) for name in RING]
    scene = terms_scene(protein, trace, rows, terms=("v_direction", "v_mix", "v_cross", "sum"), channel=2)
    *terms, total = scene.vectors
    assert [v.kind for v in scene.vectors] == ["polar", "polar", "axial", "mixed"]
    np.testing.assert_allclose(sum(v.directions for v in terms), total.directions, atol=1e-14)
    np.testing.assert_allclose(total.directions, trace[1].vector_message[rows, :, 2], atol=1e-14)
    first = terms_scene(protein, trace, rows, layer=1, terms=("sum",))
    assert first.vectors[0].kind == "polar"
    assert terms_scene(protein, trace, rows, layer=3).vectors[0].kind == "mixed"
    with pytest.raises(ValueError, match="polar and their axial part"):
        scene.rotated(np.diag([1.0, 1.0, -1.0]))


def test_residue_scene_shows_the_mean_of_each_residue(protein):
    values = np.arange(len(protein), dtype=float)
    scene = residue_scene(protein, values, "number", num_labels=2)
    assert scene.atom_scalars.values[0] == values[protein.residue_index == 0].mean()
    assert len(scene.labels) == 2


def test_mean_terms_add_up_to_the_vector_message(protein, model):
    for record in _trace(model, protein):
        torch.testing.assert_close(sum(mean_terms(record).values()), record.vector_message, rtol=0, atol=1e-14)


def test_bad_input_says_what_is_wrong(protein, model):
    trace = _trace(model, protein)
    small = protein.select(np.arange(10))
    for call, message in [
        (lambda: neighbourhood_scene(small, trace[0], 5), "trace has 459 atoms, the structure 10"),
        (lambda: terms_scene(protein, trace, [0, 1], layer=4), "layer must be 1 to 3"),
        (lambda: terms_scene(protein, trace, [0, 1], channel=4), "vector channel must be 0 to 3"),
        (lambda: terms_scene(protein, trace, [0, 1], terms=("v_3",)), "unknown vector term"),
        (lambda: neighbourhood_scene(protein, trace[0], 5, channel=8), "channels must be among 0 to 7"),
        (lambda: still.panels([]), "at least one scene"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_panels_hold_every_scene_with_its_caption(protein, model):
    trace = _trace(model, protein)
    rows = [protein.find_atom("A", 22, name) for name in RING]
    terms = ("v_direction", "v_cross", "sum")
    scenes = [terms_scene(protein, trace, rows, terms=(term,), title=term) for term in terms]
    fig = still.panels(scenes, columns=2, width=6, height=3)
    assert tuple(fig.get_size_inches()) == (6, 6)
    assert len(fig.subfigs) == 4
    for letter, scene in zip("abc", scenes, strict=True):
        assert f"({letter}) {scene.caption()}" in details_of(fig)["caption"]
    assert png_bytes(fig) == png_bytes(still.panels(scenes, columns=2, width=6, height=3))
