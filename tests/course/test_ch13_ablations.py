"""What notebook 13 computes: intervals, power, parts knocked out; each against an independent way."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from stored_rows import planned_runs

from eqgat import EQGAT
from eqgat.datasets import embedded_structure
from eqgat.pretrained import pretrained_rows
from eqgat.training.intervals import difference_interval
from eqgat.training.results import COLUMNS, read_predictions, read_results
from eqgat.training.settings import build_model, make_settings, num_parameters
from eqgat_course.ch13_ablations import figures
from eqgat_course.ch13_ablations import study as ablations
from eqgat_course.ch13_ablations.study import ABLATED, FULL, KNOCK_OUTS
from eqgat_course.results import quick_triangle_errors

VARIANTS = ["eqgat", "eqgat-no-cross-product", "eqgat-no-feature-attention"]
mpl.use("agg")


@pytest.mark.parametrize("sizes", [(3, 3), (2, 7)])
def test_welch_equals_scipy(sizes):
    random = np.random.default_rng(1)
    first, second = 1 + 2 * random.standard_normal(sizes[0]), 3 + random.standard_normal(sizes[1])
    ours = ablations.welch(first.mean(), first.std(ddof=1), second.mean(), second.std(ddof=1), *sizes)
    theirs = stats.ttest_ind(second, first, equal_var=False)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert (ours.p, ours.freedom) == pytest.approx((theirs.pvalue, theirs.df))


@pytest.mark.parametrize("numbers", [(1.0, 0.1, 2.0, 0.1, 1, 3), (1.0, 0.0, 2.0, 0.0)])
def test_one_run_has_no_interval(numbers):
    with pytest.raises(ValueError, match="two runs or more"):
        ablations.welch(*numbers)


def test_one_difference_of_the_paper_leaves_out_zero_and_none_survives_eight_looks():
    rows = ablations.paper_differences()
    assert len(rows) == 8
    sure = rows[(rows["low"] > 0) | (rows["high"] < 0)]
    assert sure[["column", "model"]].to_numpy().tolist() == [["PSR, global R_S ↑", ABLATED[1]]]
    assert not any(ablations.holm(rows["p"]))
    worse = rows[rows["difference"] < 0]
    assert worse[["column", "model"]].to_numpy().tolist() == [["PSR, mean R_S ↑", ABLATED[1]]]


def test_holm_stops_at_the_first_that_fails():
    assert ablations.holm([0.5, 0.01, 0.02, 0.04]) == [False, True, False, False]
    assert ablations.holm([0.001, 0.02, 0.04]) == [True, True, True]


def runs(*values: tuple[str, int, float]) -> pd.DataFrame:
    rows = [
        {
            **dict.fromkeys(COLUMNS, ""),
            "task": "triangle",
            "split": "test",
            "profile": "quick",
            "device": "CPU",
            "commit": "abc",
            "parameters": 1,
            "model": model,
            "seed": seed,
            "metric": metric,
            "value": value,
        }
        for model, seed, value in values
        for metric in ("mse", "mse_distance", "mse_perimeter", "mse_area")
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_our_runs_are_compared_where_there_are_two_or_more():
    store = runs(
        ("eqgat", 0, 1.0),
        ("eqgat", 1, 2.0),
        ("eqgat-no-cross-product", 0, 3.0),
        ("eqgat-no-cross-product", 1, 5.0),
        ("eqgat-no-feature-attention", 0, 9.0),
        ("schnet", 0, 9.0),
    )
    own = ablations.our_runs(store)
    assert set(own["model"]) == {FULL, *ABLATED}
    assert ablations.store_label(own) == "quick profile, CPU, n = 1 to 2 seeds, commit abc"
    rows = ablations.our_choices(store).set_index("choice")
    assert list(rows.index) == ["no cross product"], "one run alone has no spread"
    row = rows.loc["no cross product"]
    assert (row["n"], row["full"], row["other"], row["difference"], row["worse"]) == (2, 1.5, 4.0, 2.5, 2)
    assert row["effect"] == pytest.approx(2.5 / ((0.5 + 2.0) / 2) ** 0.5), "in spreads of single runs"
    assert row["sign_p"] == 0.5
    assert not row["stands"]
    assert row["sentence"].endswith("(2 seeds each, worse in 2); not significant.")
    assert ablations.our_choices(store[store["seed"] == 0]).empty
    assert "no runs" in ablations.store_label(ablations.our_runs(runs()))


def test_choices_are_paired_by_seed_and_data_and_by_their_options_alone():
    store = runs(*(("eqgat", seed, 1.0 + seed) for seed in range(4)), *(("eqgat", seed, 9.0) for seed in range(2)))
    store.loc[store.index[16:], "changed"] = '{"model_options": {"num_layers": 2}}'
    assert ablations.our_choices(store)["n"].tolist() == [2]
    store.loc[store.index[16:], "changed"] = '{"epochs": 3, "model_options": {"num_layers": 2}}'
    assert ablations.our_choices(store).empty, "another number of epochs is another experiment"
    store.loc[store.index[16:], ["changed", "data"]] = ['{"model_options": {"num_layers": 2}}', "other clouds"]
    assert ablations.our_choices(store).empty


def test_the_committed_store_has_the_same_seeds_of_each_variant():
    own = ablations.our_runs(read_results(task="triangle"))
    assert own.groupby(["column", "model"])["seed"].nunique().nunique() == 1
    rows = ablations.our_choices(read_results(task="triangle"))
    assert {"no cross product", "one attention for all channels"} <= set(rows["choice"])
    assert rows["n"].min() >= 2


@pytest.mark.slow
def test_the_cost_of_knocking_out_is_that_of_notebook_08():
    cost = ablations.cost_of_knocking_out("cross product")
    assert len(cost) == 12
    assert cost.mean() == pytest.approx(0.438, abs=0.001)


def test_power_equals_simulation_and_textbook():
    assert ablations.runs_needed(1.0) == 17
    assert ablations.runs_needed(0.5) == 64
    assert ablations.power(0.0, 5) == pytest.approx(0.05)
    assert ablations.power(1.0, 20) == pytest.approx(ablations.simulated_power(1.0, 20), abs=0.02)
    assert ablations.power(4.0, 100) == 1.0
    with pytest.raises(ValueError, match="more than 100 runs"):
        ablations.runs_needed(0.1, most=100)


def test_rules_for_three_runs_err_as_often_as_they_should():
    rates = ablations.miss_rates(draws=20_000)
    bars, normal, welch, same = rates.values()
    assert welch < 0.05 < bars < normal < same


def small(**options) -> EQGAT:
    torch.manual_seed(0)
    sizes = {
        "num_elements": 9,
        "out_channels": 3,
        "scalar_channels": 8,
        "vector_channels": 4,
        "num_layers": 3,
        "num_radial": 6,
        "readout": "node",
    }
    return EQGAT(**{**sizes, **options}).double()


@pytest.fixture(scope="module")
def graph():
    return embedded_structure("5pti").graph(4.5, torch.float64)


@pytest.mark.parametrize("part", ["cross product", "attention per channel"])
def test_a_knocked_out_network_is_one_of_the_ablated_class(part, graph):
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    twin, knocked = ablations.ablated_twin(model, part), ablations.knock_out(model, part)
    with torch.no_grad():
        assert torch.allclose(twin(graph), knocked(graph), rtol=0, atol=1e-12)
        assert not torch.allclose(model(graph), knocked(graph), rtol=0, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert sum(p.numel() for p in twin.parameters()) < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("part", "name"), [("cross product", "v_cross"), ("mixing", "v_mix"), ("direction", "v_direction")]
)
def test_knocked_out_terms_are_zero_and_the_others_are_not(part, name, graph):
    layer = ablations.knock_out(small(), part).trace(graph)[1]
    for term in ("v_direction", "v_mix", "v_cross"):
        if part != "direction" or term == name:  # without directions all vectors are zero
            assert bool(getattr(layer, term).abs().max() == 0) == (term == name)


def test_attention_knocked_out_is_uniform(graph):
    layer = ablations.knock_out(small(), "all attention").trace(graph)[1]
    count = layer.edges.num_neighbours[layer.edges.receiver].unsqueeze(1)
    assert torch.allclose(layer.attention * count, torch.ones_like(layer.attention))
    with pytest.raises(ValueError, match="part must be one of"):
        ablations.knock_out(small(), "everything")


def test_answers_of_the_shipped_weights_are_those_of_their_row():
    rows = pretrained_rows("res").query("split == 'embedded test' and metric == 'accuracy'")
    found = ablations.lost_and_won("test", ()).attrs
    assert found["right"] / found["environments"] == pytest.approx(rows["value"].item(), abs=0.005)


@pytest.mark.slow
def test_what_13_says_of_knocking_out_and_training_without_is_what_came_out():
    table = ablations.lost_and_won("test")
    assert table.loc["cross product", ["lost", "won"]].tolist() == [55, 11]
    assert table.loc["cross product", "p"] < 1e-7
    assert all(ablations.holm(table["p"].tolist()))
    net = (table["lost"] - table["won"]).sort_values(ascending=False)
    assert net.index[:2].tolist() == ["direction", "cross product"]
    costs = {
        name: [
            round(float(ablations.cost_of_knocking_out("cross product", split, name).mean()), 2)
            for split in ("test", "val")
        ]
        for name in ("res", "res-seed1")
    }
    assert costs == {"res": [0.44, 0.55], "res-seed1": [0.10, 0.12]}
    for seed, said in ((0, [0.05, 0.03, 0.07]), (1, [0.03, 0.01, 0.05])):
        trained = ablations.cost_of_training_without(seed)
        interval = stats.ttest_1samp(trained, 0).confidence_interval(0.95)
        assert [round(float(x), 2) for x in (trained.mean(), *interval)] == said
        assert len(trained) == 70
    seeds = [
        float(pretrained_rows(name).query("split == 'test' and metric == 'cross_entropy'")["value"].item())
        for name in ("res", "res-seed1")
    ]
    assert seeds[1] - seeds[0] == pytest.approx(0.03, abs=0.005)
    for split, lost, won in (("test", 15, 5), ("val", 2, 6)):
        row = ablations.lost_and_won(split, ("cross product",), "res-embedded").iloc[0]
        assert (row["lost"], row["won"]) == (lost, won)


@pytest.mark.slow
def test_table_of_parts_adds_up():
    table = ablations.lost_and_won("val", KNOCK_OUTS[:1])
    assert table.loc["cross product", "right"] == table.attrs["right"] + table["won"].item() - table["lost"].item()
    assert ablations.sign_test(5, 5) == 1.0
    assert ablations.sign_test(0, 0) == 1.0
    assert ablations.sign_test(8, 0) == pytest.approx(2 / 2**8)


def test_retraining_is_never_worse_than_knocking_out():
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        x, y = torch.randn(30, 2, generator=generator), torch.randn(30, generator=generator)
        errors = ablations.linear_errors(x.double(), y.double())
        assert errors["full"] <= errors["retrained"] <= errors["knocked out"]


def test_width_that_brings_the_parameters_back():
    base = build_model(make_settings("triangle", "eqgat-no-feature-attention", "full"))
    assert ablations.width_for(num_parameters(base), base) == (32, num_parameters(base))
    channels, count = ablations.width_for(27_411, base)
    assert channels == 34
    assert abs(count - 27_411) < 27_411 - num_parameters(base)


def test_figures_say_so_where_the_store_is_empty(monkeypatch):
    monkeypatch.setattr(figures, "read_results", lambda task: runs())
    for draw in (figures.our_runs_as_figure, figures.our_intervals):
        draw().canvas.draw()


@pytest.mark.parametrize(
    "draw",
    [
        figures.paper_tables,
        figures.paper_intervals,
        figures.equal_models,
        figures.power_curves,
        figures.our_runs_as_figure,
        figures.our_intervals,
    ],
)
def test_figures_draw(draw):
    draw().canvas.draw()


def test_what_13_says_of_our_choices_is_what_the_store_holds():
    rows = ablations.our_choices(read_results(task="triangle")).set_index("choice")
    assert len(rows) == 12
    assert rows.loc["no cross product", "n"] == rows.loc["one attention for all channels", "n"] == 20
    assert set(rows.index[rows["stands"]]) == {"one attention for all channels", "cutoff 4.5", "2 layers, not 3"}
    assert 3.5 < rows.loc["cutoff 4.5", "ratio"] < 4.5
    assert 1.4 < rows.loc["2 layers, not 3", "ratio"] < 1.7
    assert rows["ratio"].nlargest(2).index.tolist() == ["cutoff 4.5", "2 layers, not 3"]
    assert rows.loc["no cross product", "p"] < 0.05
    assert (rows.filter(like="as many parameters", axis=0)[["n"]] == 10).all().all()
    assert (rows.filter(like="as many parameters", axis=0)["p"] > 0.05).all()
    assert rows.filter(like="as many parameters", axis=0)["difference"].round(2).tolist() == [0.08, 0.55]
    assert rows.loc["one attention, as many parameters", "low"] == pytest.approx(0, abs=0.01)
    store = read_results(task="triangle")
    of = {
        name: quick_triangle_errors(store[store["model"] == name], {}).set_index("seed")["value"] for name in VARIANTS
    }
    narrow = {name: (of[name] - of["eqgat"])[range(10)].mean() for name in VARIANTS[1:]}
    assert [round(value, 2) for value in narrow.values()] == [0.36, 0.75]
    wide = {"scalar_channels": 34, "vector_channels": 9}
    one = quick_triangle_errors(store[store["model"] == VARIANTS[2]], wide).set_index("seed")["value"]
    logs = stats.ttest_ind(np.log(of["eqgat"][one.index]), np.log(one), equal_var=False).pvalue
    assert [round(p, 3) for p in (logs, rows.loc["one attention, as many parameters", "p"])] == [0.036, 0.053]
    nothing = ["cross product of mixed vectors", "4 layers, not 3", "8 radial functions, not 16"]
    assert (rows.loc[nothing, "p"] > 0.2).all()
    assert rows.loc[["no norm", "32 radial functions, not 16"], "p"].between(0.04, 0.06).all()
    assert (rows.loc[["no norm", "32 radial functions, not 16"], "ratio"] > 1).all()
    total = rows.loc["sum over neighbours, not mean"]
    assert (total["n"], total["worse"], round(total["sign_p"], 2)) == (5, 0, 0.06)


@pytest.mark.slow
def test_what_13_says_of_the_papers_other_columns_is_in_the_store():
    """Each interval of its table; and in which of the six the full model is behind."""
    told = {
        ("lba", "rmse", -1): [(-0.029, 0.003), (-0.028, 0.007)],
        ("psr", "mean_spearman", 1): [(-0.010, 0.014), (-0.095, 0.034)],
        ("psr", "global_spearman", 1): [(-0.036, 0.014), (-0.050, 0.003)],
    }
    behind = 0
    for (task, metric, sign), ends in told.items():
        rows = read_results(task=task).query("split == 'test' and metric == @metric").astype({"value": float})
        means = rows.groupby("model")["value"].mean()
        runs = {model: [read_predictions(run) for run in planned_runs(task, model)] for model in VARIANTS}
        assert all(len(each) == 3 for each in runs.values())
        found = [difference_interval(runs["eqgat"], runs[model], metric) or () for model in VARIANTS[1:]]
        turned = [tuple(sorted(sign * round(end, 3) for end in each)) for each in found]  # positive: the part helps
        assert turned == ends
        assert all(low < 0 < high for low, high in ends)
        behind += sum(sign * means["eqgat"] < sign * means[model] for model in VARIANTS[1:])
    assert behind == 5
    assert runs["eqgat"][0]["group"].nunique() == 5
