"""Parts of a still: ribbons for the backbone, labels beside their atoms, panels of one scale."""

from __future__ import annotations

import gzip
from itertools import combinations

import numpy as np
import pytest
from Bio.PDB.MMCIF2Dict import MMCIF2Dict
from scipy.spatial.transform import Rotation

from eqgat.datasets import embedded_path, embedded_structure
from eqgat.viz import Scalars, Scene, Vectors, still
from eqgat.viz.backbone import ribbons, secondary_structure
from eqgat.viz.style import as_files, png_bytes


@pytest.fixture(scope="module")
def protein():
    return embedded_structure("5pti")


def _numbers(structure, letter: str) -> set[int]:
    return set(structure.residues["residue"][secondary_structure(structure) == letter])


def test_helices_and_strands_are_those_that_the_entry_names(protein):
    with gzip.open(embedded_path("5pti"), "rt") as file:
        entry = MMCIF2Dict(file)
    ends = (entry[f"_struct_sheet_range.{end}_auth_seq_id"] for end in ("beg", "end"))
    strands = {n for first, last in zip(*ends, strict=True) for n in range(int(first), int(last) + 1) if first != last}
    helix = entry["_struct_conf.pdbx_PDB_helix_class"].index("1")  # of right-handed alpha helices there is one
    first, last = (int(entry[f"_struct_conf.{end}_auth_seq_id"][helix]) for end in ("beg", "end"))
    assert _numbers(protein, "s") == strands
    assert _numbers(protein, "h") <= set(range(first, last + 1))
    assert len(_numbers(protein, "h")) >= last - first - 1


def test_a_strand_needs_a_partner_and_a_helix_does_not(protein):
    def alone(first: int, last: int):
        return protein.select(protein.atoms["residue"].between(first, last).to_numpy())

    assert set(secondary_structure(alone(18, 24))) == {"c"}
    assert "".join(secondary_structure(alone(18, 35))).count("sssss") == 2
    assert "hhhh" in "".join(secondary_structure(alone(47, 56)))


@pytest.mark.filterwarnings("error")
def test_atoms_without_coordinates_bind_nothing(protein):
    """Files that lack coordinates have zeros: here all of one strand and of a residue in the other."""
    lost = protein.atoms["residue"].isin([18, 19, 20, 21, 22, 23, 24, 31]).to_numpy()
    kind = secondary_structure(protein.with_positions(np.where(lost[:, None], 0.0, protein.positions)))
    assert set(kind[protein.residue_index[lost]]) == {"c"}
    assert "hhhh" in "".join(kind)


def test_ribbons_turn_with_the_protein(protein):
    rotation = Rotation.random(random_state=4).as_matrix()
    turned = ribbons(protein.with_positions(protein.positions @ rotation.T))
    for before, after in zip(ribbons(protein), turned, strict=True):
        np.testing.assert_allclose(after.centre, before.centre @ rotation.T, atol=1e-9)
        np.testing.assert_allclose(after.half, before.half @ rotation.T, atol=1e-9)


def test_ribbon_is_broad_in_helices_a_line_in_coils_and_ends_a_strand_with_a_point(protein):
    (ribbon,) = ribbons(protein)
    width, number = np.linalg.norm(ribbon.half, axis=1), protein.atoms["residue"].to_numpy()[ribbon.atom]
    np.testing.assert_allclose(width[number == 52], 1.2)
    assert (width[number == 40] == 0).all()
    head = width[number == 24]
    assert head[0] > width[number == 22].max() > head[-1] == 0
    np.testing.assert_allclose((ribbon.half[:-1] * np.diff(ribbon.centre, axis=0)).sum(axis=1), 0, atol=0.35)


def test_a_missing_residue_breaks_the_ribbon_and_a_nucleic_acid_has_one(protein):
    assert len(list(ribbons(protein.select((protein.atoms["residue"] != 30).to_numpy())))) == 2
    rna = list(ribbons(embedded_structure("1k5i_md")))
    assert rna
    assert all((ribbon.half == 0).all() for ribbon in rna)
    assert not list(ribbons(protein.select([0, 1, 2])))


def test_labels_stay_in_the_picture_and_off_each_other(protein):
    near = np.argsort(np.linalg.norm(protein.positions - protein.positions[150], axis=1))[:8]
    fig = Scene.from_structure(protein, labels={int(row): f"label {row}" for row in near}).still()
    fig.draw_without_rendering()
    ax = fig.axes[0]
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 8
    frame = ax.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations([box.shrunk(0.9, 0.9) for box in boxes], 2))


def test_panels_have_one_scale_and_one_colour_bar(protein):
    def scene(count: int, high: float) -> Scene:
        return Scene(
            protein.positions[:count],
            ["C"] * count,
            title=str(count),
            atom_scalars=Scalars(np.linspace(0, 1, count), "a", limits=(0, high)),
        )

    fig = still.panels([scene(400, 1), scene(5, 1)], bar_title="a for all")
    fig.draw_without_rendering()
    assert sum(ax.get_ylabel() == "a for all" for ax in fig.axes) == 1
    drawn = [ax for ax in fig.axes if ax.collections and not ax.get_ylabel()]
    assert len(drawn) == 2
    lengths = [np.diff(ax.transData.transform([(0, 0), (1, 0)])[:, 0])[0] for ax in drawn]
    assert lengths[0] == pytest.approx(lengths[1]), "one Å has one length"
    with pytest.raises(ValueError, match="the same map and limits"):
        still.panels([scene(400, 1), scene(5, 2)], bar_title="a")


def test_arrows_of_one_length_are_as_long_in_the_still_as_in_the_scene():
    vectors = Vectors([[0, 1e-7, 0]], "v", same_length=True)
    scene = Scene(np.zeros((1, 3)), ["C"], vectors=vectors)
    assert np.ptp(scene.arrows(vectors), axis=0)[0, 1] == pytest.approx(2.5)
    assert png_bytes(scene.still()) == png_bytes(Scene(np.zeros((1, 3)), ["C"], vectors=vectors).still())


@pytest.mark.filterwarnings("error")
def test_texts_of_users_are_no_formulas(protein):
    scene = Scene.from_structure(protein.select(np.arange(20)), title="a$\\frac$ 蛋", labels={1: "b$\\frac$"})
    shown = b"".join(as_files(scene.still(), "a").values()).decode("utf-8", "replace")
    assert "<!-- a$\\frac$ 蛋 -->" in shown
