"""Tables that are filled cell by cell: what was measured before a stop stays, and is not measured again."""

from __future__ import annotations

import pandas as pd
import pytest

from eqgat.errors import UserError
from eqgat_course.experiments.cells import fill_table, read_table
from eqgat_course.experiments.expressivity import read_rates
from eqgat_course.experiments.robustness import read_noise


def test_a_stopped_table_goes_on_where_it_was(tmp_path):
    file, measured, said = tmp_path / "new" / "table.csv", [], []

    def measure(model: str, seed: int) -> pd.DataFrame:
        measured.append((model, seed))
        if len(measured) == 3:
            raise KeyboardInterrupt
        return pd.DataFrame({"model": model, "seed": seed, "noise": [0.0, 0.1], "error": [1 / 3, seed]})

    cells = {(name, k): lambda name=name, k=k: measure(name, k) for name in ("NA", "b") for k in (0, 1)}
    how = (("model", "seed"), cells, "cells", lambda rows: f"{len(rows)} rows", said.append)
    with pytest.raises(KeyboardInterrupt):
        fill_table(file, *how)
    assert read_table(file, ())["seed"].tolist() == [0, 0, 1, 1]
    fill_table(file, *how)
    assert measured == [("NA", 0), ("NA", 1), ("b", 0), ("b", 0), ("b", 1)]
    assert said == ["4 of 4 cells", *[f"NA, {k}: 2 rows" for k in (0, 1)], "2 of 4 cells", *[f"b, {k}: 2 rows" for k in (0, 1)]]  # fmt: skip
    rows = read_table(file, ())
    assert list(zip(rows["model"], rows["seed"], strict=True))[::2] == list(cells)
    assert rows["error"][0] == 0.333333


def test_a_damaged_table_is_not_added_to(tmp_path):
    file = tmp_path / "table.csv"
    cells = {(1,): lambda: pd.DataFrame({"n": [1]})}
    fill_table(file, ("n",), cells, "cells", str, lambda _: None)
    file.write_text("n\n2\n")
    with pytest.raises(UserError, match=r"table\.csv"):
        fill_table(file, ("n",), cells, "cells", str, lambda _: None)
    assert file.read_text() == "n\n2\n"


@pytest.mark.parametrize("read", [read_rates, read_noise])
def test_columns_are_known_where_nothing_was_measured(read, tmp_path):
    assert set(read(tmp_path / "nowhere").columns) <= set(read().columns)
    assert len(read(tmp_path / "nowhere")) == 0
