"""What the README says of the paper's claims follows from the rows, whichever way they come out."""

from __future__ import annotations

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


def test_residues_are_those_of_the_plan_and_called_other_data() -> None:
    rows = []
    for run in read_plan("res-weights").runs:
        own, values = run.settings, {"eqgat": 0.25, "schnet": 0.2, "painn": 0.3}
        value = values.get(own.model, 0.0) if not own.data_options.get("train_items") and own.seed == 0 else 0.0
        rows.append(
            {key: getattr(own, key) for key in ("task", "model", "profile", "changed", "seed", "epochs", "batch_size")}
            | {"learning_rate": own.learning_rate, "precision": own.precision, "split": "test", "metric": "accuracy"}
            | {"value": value}
        )
    assert verdict(rows, "accuracy is above SchNet") == "agrees, other data"
    assert verdict(rows, "accuracy is above PaiNN") == "the other way round, other data"
    assert verdict([], "accuracy is above PaiNN") == NOT_TRIED
