"""Eight pieces of proteins with tables of labels, and a model that was trained on one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from own_items import NAMES, SMALL

from eqgat.datasets import embedded_structure
from eqgat.datasets.own import all_residues
from eqgat.training import own_settings
from eqgat.training.run import train


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pieces of ten residues, a table of labels of them and one of residues."""
    place = tmp_path_factory.mktemp("own")
    (place / "structures").mkdir()
    (place / "structures" / "notes.txt").write_text("no structure")
    whole, residues = [], []
    for number, name in enumerate(NAMES):
        molecule = embedded_structure(name, hetero=False)
        piece = molecule.select(molecule.residue_index < 10)
        (place / "structures" / f"{name}.pdb").write_text(piece.to_pdb())
        split = "train" if number < 4 else "val" if number < 6 else "test"
        whole.append((name, len(piece), "long" if len(piece) > 75 else "short", split))
        for row in all_residues(piece).itertuples():
            residues.append(
                (f"{name}.pdb", row.chain, f"{row.residue}{row.insertion_code}", float(row.residue % 3), split)
            )
    pd.DataFrame(whole, columns=["structure", "atoms", "kind", "part"]).to_csv(place / "whole.csv", index=False)
    table = pd.DataFrame(residues, columns=["structure", "chain", "residue", "value", "split"])
    table.to_csv(place / "residues.csv", index=False)
    return place


@pytest.fixture(scope="session")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("runs")
    settings = own_settings(folder / "residues.csv", "value", epochs=2, model_options=SMALL)
    said: list[str] = []
    run = train(settings, data=str(folder / "structures"), runs=place, results=place / "results", say=said.append)
    return run, place, said
