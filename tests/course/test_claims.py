"""What the README says of the paper's claims follows from the rows, whichever way they come out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eqgat.training.results import COLUMNS
from eqgat_course.experiments.claims import NOT_TRIED, Claim, claims
from eqgat_course.experiments.plans import read_plan


def triangle(model: str, errors: list[float], profile: str = "cpu") -> list[dict]:
    row = dict.fromkeys(COLUMNS, "") | {"task": "triangle", "split": "test", "metric": "mse", "profile": profile}
    return [row | {"model": model, "seed": seed, "value": error} for seed, error in enumerate(errors)]


def verdict(rows: list[dict], of: str) -> str:
    found = [claim for claim in claims(pd.DataFrame(rows, columns=list(COLUMNS))) if f" {of}" in claim.says]
    assert len(found) == 1, of
    return found[0].verdict


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([1.0, 1.1, 0.9], [10.0, 11.0, 9.0], "cpu: reproduced (p = "),
        ([10.0, 11.0, 9.0], [1.0, 1.1, 0.9], "cpu: the other way round (p = "),
        ([1.0, 1.1, 0.9], [1.0, 1.2, 0.9], "cpu: not told apart (p = "),
        ([1.0], [10.0, 11.0], "cpu: agrees, but one seed"),
        ([10.0, 11.0], [1.0], "cpu: the other way round, but one seed"),
        ([1.0], [], NOT_TRIED),
    ],
)
def test_verdict_of_two_models_on_triangles(ours: list[float], theirs: list[float], said: str) -> None:
    assert verdict(triangle("eqgat", ours) + triangle("schnet", theirs), "SchNet (6").startswith(said)


def test_a_claim_that_eqgat_is_the_worse_one_is_turned_round() -> None:
    rows = triangle("eqgat", [3.0, 3.1, 2.9]) + triangle("segnn", [1.0, 1.1, 0.9])
    assert verdict(rows, "SEGNN").startswith("cpu: reproduced")


def test_every_profile_that_has_both_models_is_told() -> None:
    few = triangle("eqgat", [9.0]) + triangle("schnet", [1.0]) + triangle("schnet", [1.0], "full")
    many = triangle("eqgat", [1.0, 1.1], "quick") + triangle("schnet", [10.0, 11.0, 12.0], "quick")
    found = next(claim for claim in claims(pd.DataFrame(few + many)) if "SchNet (6" in claim.says)
    assert found.here == "cpu: 9.00 and 1.00, one seed each; quick: 1.05 and 11.00, 2 and 3 seeds"
    assert found.verdict.startswith("cpu: the other way round, but one seed; quick: reproduced (p = ")


def residues(folder: Path, right: dict[str, float], seeds: int = 1, proteins: int = 9) -> list[dict]:
    """Rows and predictions of the runs of the plan: the share of ten environments of each protein that is right."""
    rows = []
    for run in read_plan("res-weights").runs:
        own, value = run.settings, right[run.settings.model]
        if own.seed >= seeds:
            continue
        rows.append(
            {key: getattr(own, key) for key in ("task", "model", "profile", "changed", "seed", "epochs", "batch_size")}
            | {"learning_rate": own.learning_rate, "precision": own.precision, "split": "test", "metric": "accuracy"}
            | {"value": value, "data": "environments, 0123456789"}
        )
        said = [float(place < 10 * value) for place in range(10)] * proteins
        places = range(10 * proteins)
        table = pd.DataFrame({"id": [f"{k}" for k in places], "group": [f"{k // 10}" for k in places], "target": 1})
        file = folder / "res" / f"{own.run_name('environments, 0123456789')}.predictions.csv.gz"
        file.parent.mkdir(exist_ok=True, parents=True)
        table.assign(prediction_0=0.5, prediction_1=said).to_csv(file, index=False)
    return rows


def res_claims(folder: Path, shares: dict[str, float], **sizes: int) -> dict[str, Claim]:
    rows = pd.DataFrame(residues(folder, shares | {"eqgat-no-cross-product": 0.1}, **sizes), columns=list(COLUMNS))
    found = [claim for claim in claims(rows, folder) if claim.says.startswith("RES")]
    return {name: next(claim for claim in found if f"above {name}" in claim.says) for name in ("SchNet", "PaiNN")}


@pytest.mark.slow
def test_other_data_is_called_so_and_judged_by_whole_proteins(tmp_path: Path) -> None:
    shares = {"eqgat": 0.5, "schnet": 0.3, "painn": 0.7}
    found = res_claims(tmp_path, shares, seeds=2)
    assert found["SchNet"].says == "RES: EQGAT's accuracy is above SchNet's (0.54 and 0.33)"
    assert found["SchNet"].here == "other data: 0.50 and 0.30, 2 seeds each; difference +0.200 to +0.200"
    assert [claim.verdict for claim in found.values()] == ["agrees", "the other way round"]
    one = res_claims(tmp_path, shares)
    assert [claim.verdict for claim in one.values()] == ["agrees, but one seed", "the other way round, but one seed"]
    assert res_claims(tmp_path, shares | {"painn": 0.5})["PaiNN"].verdict == "not told apart"
    assert verdict([], "accuracy is above PaiNN") == NOT_TRIED


@pytest.mark.slow
def test_without_predictions_or_with_few_proteins_there_is_no_verdict(tmp_path: Path) -> None:
    shares = {"eqgat": 0.5, "schnet": 0.3, "painn": 0.7}
    assert res_claims(tmp_path, shares, proteins=4)["PaiNN"].verdict == "4 targets are too few to judge by"
    rows = residues(tmp_path, shares | {"eqgat-no-cross-product": 0.1})
    none = claims(pd.DataFrame(rows, columns=list(COLUMNS)), tmp_path / "elsewhere")
    assert "no predictions to judge by" in [claim.verdict for claim in none]
