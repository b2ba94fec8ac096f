"""What notebook 08 looks at: groups are flat, the hidden residue is hidden, domains move, removals count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from eqgat import EQGAT
from eqgat.attribution import fresh
from eqgat.datasets import embedded_structure
from eqgat.inspection import (
    attention_received,
    effective_neighbours,
    equal_share,
    heads,
    residue_preference,
    uniform_attention,
    with_controls,
)
from eqgat.molecule import Molecule
from eqgat.pretrained import pretrained
from eqgat_course.ch08_seeing_a_protein import figures
from eqgat_course.ch08_seeing_a_protein.study import (
    adk_domain,
    cut_out,
    displacement,
    removals,
    upright_shares,
)
from eqgat_course.residues import aromatic_rings, bonds_between, peptide_planes, residue_answers, without_side_chain
from eqgat_course.shapes import best_plane, neighbourhood_change


@pytest.fixture(scope="module")
def protein():
    return embedded_structure("5pti")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return EQGAT(
        num_elements=9,
        out_channels=20,
        scalar_channels=8,
        vector_channels=4,
        num_layers=2,
        num_radial=8,
        readout="node",
    ).double()


def test_rings_and_peptides_are_flat(protein):
    rings, planes = aromatic_rings(protein), peptide_planes(protein)
    assert (len(rings), len(planes)) == (8, 57)
    assert "PHE 22" in rings
    for rows in (*rings.values(), *planes.values()):
        assert best_plane(torch.from_numpy(protein.positions[rows]))[1] < 0.06


def test_bonds_between_atoms_are_counted_along_a_chain_by_hand():
    chain = Molecule(symbol=["C"] * 6 + ["O"], positions=[[1.5 * k, 0, 0] for k in range(6)] + [[0, 50, 0]])
    assert bonds_between(chain, np.arange(7), np.zeros(7, dtype=int)).tolist() == [0, 1, 2, 3, 4, 4, 4]


def test_cut_out_cross_products_stand_upright_and_the_rest_lies_flat(protein, model):
    rings = aromatic_rings(protein)
    alone = upright_shares(model, protein, rings, alone=True).mean(numeric_only=True)
    inside = upright_shares(model, protein, rings, alone=False).mean(numeric_only=True)
    assert max(alone["v_direction"], alone["v_mix"]) < 0.1
    assert alone["v_cross"] > 0.8
    assert inside[["v_direction", "v_mix", "v_cross"]].between(0.3, 0.7).all()
    assert cut_out(protein, rings["PHE 22"]).num_nodes == 7


def test_hidden_residue_keeps_its_backbone_and_nothing_beyond_the_radius(protein):
    masked, centre = without_side_chain(protein, "A", 22, radius=9.0)
    atoms = masked.atoms
    assert atoms.loc[atoms["residue"] == 22, "name"].tolist() == ["N", "CA", "C", "O"]
    assert np.linalg.norm(masked.positions - masked.positions[centre], axis=1).max() <= 9
    with pytest.raises(ValueError, match="no residue 99 in chain 'A'"):
        without_side_chain(protein, "A", 99)


def test_removing_an_atom_out_of_sight_changes_nothing(protein, model):
    graph = protein.graph(4.5, torch.float64)
    centre = protein.find_atom("A", 22, "CA")
    far = int((graph.pos - graph.pos[centre]).norm(dim=1).argmax())
    near = int(graph.edge_index[0, graph.edge_index[1] == centre][0])
    nothing, something = removals(model, graph, centre, torch.tensor([far, near])).tolist()
    assert nothing == pytest.approx(0, abs=1e-12)
    assert something > 1e-6


def test_the_arms_of_adenylate_kinase_move_and_the_core_stays():
    opened, closed = embedded_structure("adk_open"), embedded_structure("adk_closed")
    domain = adk_domain(opened.atoms["residue"].to_numpy())
    core = (domain == "core") & (opened.atoms["name"] == "CA").to_numpy()
    laid, moved = displacement(opened, closed, core)
    assert moved[domain == "core"].mean() < 3 < 9 < min(moved[domain == "LID"].mean(), moved[domain == "NMP"].mean())
    np.testing.assert_allclose(np.linalg.norm(laid.positions - opened.positions, axis=1), moved)
    with pytest.raises(ValueError, match="same atoms"):
        displacement(opened, embedded_structure("5pti"), core)


def test_change_of_a_neighbourhood_against_a_count_by_hand(protein, model):
    graph = protein.graph(4.5, torch.float64)
    shaken = protein.with_positions(protein.positions + np.random.default_rng(0).normal(0, 0.3, (len(protein), 3)))
    first, second = model.trace(graph)[1], model.trace(shaken.graph(4.5, torch.float64))[1]
    sets, attention = neighbourhood_change(first, second)
    atom = 100

    def weights(record):
        incoming = (record.edges.receiver == atom).nonzero().flatten()
        return dict(zip(record.edges.source[incoming].tolist(), record.attention[incoming], strict=True))

    here, there = weights(first), weights(second)
    either = set(here) | set(there)
    assert float(sets[atom]) == pytest.approx(1 - len(set(here) & set(there)) / len(either))
    zero = torch.zeros(8, dtype=torch.float64)
    change = sum((here.get(j, zero) - there.get(j, zero)).abs().mean() for j in either) / 2
    assert float(attention[atom]) == pytest.approx(float(change))
    same = neighbourhood_change(first, first)
    assert all(float(part.abs().max()) < 1e-14 for part in same)


def test_controls_are_the_other_model_and_equal_shares(protein, model):
    graph = protein.graph(4.5, torch.float64)
    record, other = model.trace(graph)[1], fresh(model, seed=3).trace(graph)[1]
    received = with_controls(attention_received, [record], [other])
    assert list(received) == ["trained", "untrained", "uniform"]
    torch.testing.assert_close(received["trained"], attention_received(record))
    torch.testing.assert_close(received["untrained"], attention_received(other))
    torch.testing.assert_close(received["uniform"], equal_share(record))
    torch.testing.assert_close(
        effective_neighbours(uniform_attention(record)), torch.ones(len(protein), 8, dtype=torch.float64)
    )
    residue = torch.from_numpy(protein.residue_index)
    assert float(residue_preference(uniform_attention(record), residue).abs().max()) < 1e-12
    here = protein.residue_index == 21
    by_hand = np.log2(attention_received(record).numpy()[here].sum() / equal_share(record).numpy()[here].sum())
    assert float(residue_preference(record, residue)[21]) == pytest.approx(by_hand)


def test_heads_are_all_channels_in_groups():
    assert heads(10, 4) == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]
    with pytest.raises(ValueError, match="1 to 10 heads"):
        heads(10, 11)


@pytest.fixture(scope="module")
def concluded():
    with torch.no_grad():
        return pd.concat([figures.conclusions(name) for name in ("res", "res-seed1", "res-embedded")], axis=1)


@pytest.mark.slow
def test_what_08_says_of_three_trained_models_is_what_they_do(concluded):
    rows = concluded.T.rename(columns=lambda name: name.partition(" (")[0])
    first, second, last = (rows[f"most selective channel, layer {layer}"] for layer in (1, 2, 3))
    assert second["res-seed1"] < last["res-seed1"]  # depth alone is no rule
    assert second["res"] > last["res"]
    agreement = rows["neighbours of CA: rank correlation of attention with effect"]
    assert agreement.round(2).tolist() == [0.31, 0.22, -0.04]
    assert (last < first).all()
    assert (first[:2] < 68).all()
    assert first["res-embedded"] > 95
    paid = {kind: rows[f"attention to neighbours of kind {kind}"] for kind in ("S", "O", "2 bonds")}
    assert (paid["S"] > 1.2).all()
    assert paid["O"].round(2).tolist() == [0.70, 0.86, 1.25]
    assert paid["2 bonds"].round(2).tolist() == [1.35, 1.08, 1.02]
    axial = [rows[f"axial part of |p|²+|x|², {layer}"] for layer in ("layer 2", "last layer")]
    assert [share[:2].between(low, high).all() for share, low, high in ((axial[0], 8, 11), (axial[1], 25, 27))]
    assert 65 < axial[0]["res-embedded"] < 68
    assert rows["cost of no cross products"].round(2).tolist() == [0.44, 0.10, 0.02]
    assert (rows["enzyme: rank correlation with uniform weights"] > 0.945).all()


@pytest.mark.slow
def test_what_08_says_of_single_channels_is_what_they_do():
    with torch.no_grad():
        structure, centre, _, after = figures.question(22)
        protein, _, traces = figures.seen("5pti")
        table = figures.channel_preferences(traces[-1], protein)
    share = after[-1].attention * after[-1].edges.num_neighbours[after[-1].edges.receiver].unsqueeze(1)
    incoming = (after[-1].edges.receiver == centre).nonzero().flatten()
    names = structure.residue_name.astype(object) + structure.residue_number.astype(str) + structure.atom_name
    best = {c: names[after[-1].edges.source[incoming[share[incoming, c].argmax()]]] for c in (27, 26, 18)}
    assert best == {27: "TYR21C", 26: "TYR23N", 18: "CYS51SG"}
    assert float(share[incoming, 27].max()) == pytest.approx(13.5, abs=0.05)
    runner_up = share[incoming, 26].sort(descending=True)
    assert runner_up.values[:2].round(decimals=1).tolist() == [11.5, 3.8]
    assert names[after[-1].edges.source[incoming[runner_up.indices[1]]]] == "TYR21C"
    mean = share[incoming].mean(dim=1).sort(descending=True).values
    assert 1.5 < float(mean[5]) < float(mean[0]) < 2.2
    assert float(mean[:6].sum() / len(incoming)) == pytest.approx(0.64, abs=0.005)
    assert len(incoming) == 16
    assert table.index[:6].tolist() == [27, 3, 26, 28, 23, 29]
    assert (table.loc[[27, 3, 26, 16], "2 bonds"] >= 3).all()
    assert (table.loc[[28, 23, 29], "1 bond"] > 4).all()
    assert table.loc[18, ["1 bond", "2 bonds"]].max() < 1 < table.loc[18, "O"]


@pytest.mark.slow
def test_what_08_says_of_attention_against_geometry_is_what_the_tables_hold():
    with torch.no_grad():
        table = figures.removal_table()
    attention, nearness = figures.agreement(table), figures.agreement(table, "nearness")
    assert attention.round(2).tolist() == [0.08, 0.32, 0.03, 0.64, 0.46]
    assert nearness.round(2).tolist() == [0.84, 0.51, 0.79, 0.54, 0.64]
    assert (nearness > attention).sum() == 4
    ranks = figures.explained()[0].set_index("score")
    fresh = ranks.loc["attention"]
    assert (fresh["fresh weights"] > 0.995).all()
    assert fresh["fresh weights, neighbours"].round(1).agg(["min", "max"]).tolist() == [0.0, 0.7]
    assert fresh["effect, neighbours"].to_numpy() == pytest.approx(attention.to_numpy())
    rollout = ranks.loc["attention rollout", ["fresh weights", "fresh weights, neighbours"]].mean()
    assert rollout.round(2).tolist() == [0.98, 0.71]


@pytest.mark.slow
def test_what_08_says_of_its_accuracy_is_what_the_answers_give():
    table = residue_answers(pretrained("res"), "test", figures.RADIUS)
    right = (table["answer"] == table["truth"]).groupby(table["protein"]).mean().to_numpy()
    assert (len(table), len(right)) == (480, 12)  # 40 of each, so that a mean of proteins is the accuracy
    assert (table["answer"] == table["truth"]).sum() == 131
    assert (table["truth"] == table["truth"].mode()[0]).sum() == 43
    drawn = np.random.default_rng(0).choice(right, (20_000, len(right))).mean(axis=1)
    assert np.percentile(drawn, [2.5, 97.5]).round(2).tolist() == [0.24, 0.31]
