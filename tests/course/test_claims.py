"""What the README says of the paper's claims follows from the rows, whichever way they come out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eqgat.training.results import COLUMNS
from eqgat_course.experiments.claims import NOT_TRIED, claims
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
        ([1.0, 1.1, 0.9], [10.0, 11.0, 9.0], "reproduced (p = "),
        ([10.0, 11.0, 9.0], [1.0, 1.1, 0.9], "the other way round (p = "),
        ([1.0, 1.1, 0.9], [1.0, 1.2, 0.9], "not told apart (p = "),
        ([1.0], [10.0, 11.0], "agrees, but one seed"),
        ([10.0, 11.0], [1.0], "the other way round, but one seed"),
        ([1.0], [], NOT_TRIED),
    ],
)
def test_verdict_of_two_models_on_triangles(ours: list[float], theirs: list[float], said: str) -> None:
    assert verdict(triangle("eqgat", ours) + triangle("schnet", theirs), "SchNet (6").startswith(said)


def test_a_claim_that_eqgat_is_the_worse_one_is_turned_round() -> None:
    rows = triangle("eqgat", [3.0, 3.1, 2.9]) + triangle("segnn", [1.0, 1.1, 0.9])
    assert verdict(rows, "SEGNN").startswith("reproduced")


def test_the_profile_with_more_seeds_is_asked() -> None:
    few = triangle("eqgat", [9.0]) + triangle("schnet", [1.0])
    many = triangle("eqgat", [1.0, 1.1], "quick") + triangle("schnet", [10.0, 11.0], "quick")
    assert "quick" in next(claim for claim in claims(pd.DataFrame(few + many)) if "SchNet (6" in claim.says).here


def residues(folder: Path, right: dict[str, float]) -> list[dict]:
    """Rows and predictions of the runs of seed 0 in the plan: the share of ten environments of each of nine proteins."""
    rows = []
    for run in read_plan("res-weights").runs:
        own, value = run.settings, right[run.settings.model]
        if own.seed:
            continue
        rows.append(
            {key: getattr(own, key) for key in ("task", "model", "profile", "changed", "seed", "epochs", "batch_size")}
            | {"learning_rate": own.learning_rate, "precision": own.precision, "split": "test", "metric": "accuracy"}
            | {"value": value, "data": "environments, 0123456789"}
        )
        said = [float(place < 10 * value) for place in range(10)] * 9
        table = pd.DataFrame(
            {"id": [f"{k}" for k in range(90)], "group": [f"{k // 10}" for k in range(90)], "target": 1}
        )
        file = folder / "res" / f"{own.run_name('environments, 0123456789')}.predictions.csv.gz"
        file.parent.mkdir(exist_ok=True)
        table.assign(prediction_0=0.5, prediction_1=said).to_csv(file, index=False)
    return rows


def test_other_data_is_called_so_and_judged_by_whole_proteins(tmp_path: Path) -> None:
    shares = {"eqgat": 0.5, "schnet": 0.3, "painn": 0.7, "eqgat-no-cross-product": 0.1}
    found = claims(pd.DataFrame(residues(tmp_path, shares), columns=list(COLUMNS)), tmp_path)
    schnet, painn = (next(claim for claim in found if f"above {name}" in claim.says) for name in ("SchNet", "PaiNN"))
    assert schnet.says == "RES: EQGAT's accuracy is above SchNet's (0.54 and 0.33)"
    assert schnet.here == "0.50 and 0.30, 1 and 1 seeds, other data; difference +0.200 to +0.200"
    assert (schnet.verdict, painn.verdict) == ("agrees, other data", "the other way round, other data")
    shares["painn"] = 0.5
    same = claims(pd.DataFrame(residues(tmp_path, shares), columns=list(COLUMNS)), tmp_path)
    assert "not told apart, other data" in [claim.verdict for claim in same if "above PaiNN" in claim.says]
    assert verdict([], "accuracy is above PaiNN") == NOT_TRIED
    none = claims(pd.DataFrame(residues(tmp_path, shares), columns=list(COLUMNS)), tmp_path / "elsewhere")
    assert "other data, and no predictions to judge by" in [claim.verdict for claim in none]
