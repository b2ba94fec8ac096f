"""The way of a user who has the package and no checkout: from a folder of PDB files and a CSV to predictions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from eqgat.datasets import embedded_names, embedded_structure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked by pip into a folder of its own; what it needs is already there."""
    site = tmp_path_factory.mktemp("site")
    how = ["-q", "--no-deps", "--no-index", "--no-compile", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *how, str(wheel)], check=True)
    return site


def test_three_commands_lead_from_files_and_a_table_to_predictions_and_intervals(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    rows = []
    for number, name in enumerate(embedded_names("chain")[:8]):
        whole = embedded_structure(name, hetero=False)
        piece = whole.select(whole.residue_index < 6 + number)
        (tmp_path / "mine" / f"{name}.pdb").write_text(piece.to_pdb())
        rows.append((name, len(piece)))
    (tmp_path / "new.pdb").write_text(embedded_structure("5pti").to_pdb())
    pd.DataFrame(rows, columns=["structure", "atoms"]).to_csv(tmp_path / "labels.csv", index=False)
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> str:
        line = [sys.executable, str(installed / "bin" / "eqgat"), *words]
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    where = subprocess.run(
        [sys.executable, "-c", "import eqgat; print(eqgat.__file__)"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(installed)
    own = ["--structures", "mine", "--labels", "labels.csv"]
    said = run("train", *own, "--target", "atoms", "--from", "res", "--epochs", "2", "--option", "shares=[0.5,0.2,0.3]")
    assert "own: own labels: atoms of 8 structures (labels.csv)" in said
    assert "starts from res" in said
    (trained,) = (tmp_path / "runs" / "own").iterdir()
    evaluated = run("evaluate", str(trained), *own, "--split", "test", "-o", "tested")
    assert "95 % intervals" in evaluated
    metrics = pd.read_csv(tmp_path / "tested" / "metrics.csv").set_index("metric")
    assert metrics["low"]["rmse"] <= metrics["value"]["rmse"] <= metrics["high"]["rmse"]
    assert len(pd.read_csv(tmp_path / "tested" / "predictions.csv")) >= 2
    assert (tmp_path / "tested" / "evaluation.png").stat().st_size > 10_000
    run("predict", str(trained), "new.pdb", "mine", "-o", "predictions.csv")
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert sorted(table["structure"]) == sorted(["new", *(name for name, _ in rows)])
    assert table["prediction"].notna().all()
