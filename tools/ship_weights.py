"""Put a finished run of RES into ``eqgat/pretrained/NAME``: weights, settings, rows, and the list of its entries.

    python tools/ship_weights.py RUN NAME --data DIR --results DIR

RUN is the folder of the run, DIR the data and the results store that ``eqgat train`` was given. Besides what the run
itself found, the rows tell what the weights reach on the embedded test proteins, which anyone can compute again; so
no training protein may be akin to an embedded protein that is not for training. That is checked first, by shared
pieces of five residues, which see relatives and copies but not every common fold.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eqgat.chemistry import ELEMENTS, OTHER_ELEMENT, residue_letter
from eqgat.datasets.atom3d import load_atom3d
from eqgat.datasets.atom3d.load import open_items
from eqgat.files import checksum, write_checked, write_files
from eqgat.pretrained import HERE
from eqgat.training import evaluate
from eqgat_course.toy import sample_items

PIECE, MOST_SHARED = 5, 0.08


def pieces(atoms: pd.DataFrame) -> Iterator[set[str]]:
    """For each chain, all pieces of its sequence that are five residues long."""
    for _, chain in atoms[atoms["name"] == "CA"].groupby(["model", "chain"]):
        letters = "".join(residue_letter(name.strip()) or "X" for name in chain["resname"])
        if len(letters) >= 20:
            yield {letters[k : k + PIECE] for k in range(len(letters) - PIECE + 1)}


def relatives(train: Sequence[Mapping[str, Any]]) -> list[str]:
    """Training proteins that share too much with an embedded protein that validation or test asks about."""
    kept = [own for split in ("val", "test") for item in sample_items("res", split) for own in pieces(item["atoms"])]
    return [
        str(item["id"])
        for item in train
        if any(len(a & b) > MOST_SHARED * min(len(a), len(b)) for a in pieces(item["atoms"]) for b in kept)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    asked = parser.parse_args(argv)
    model, folder = asked.run / "model", HERE / asked.name
    options = json.loads((model / "settings.json").read_text())["data_options"]
    splits = {split: load_atom3d("res", asked.data, split, **options) for split in ("train", "val", "test")}
    if akin := relatives(open_items("res", asked.data, "train")):
        raise SystemExit(f"leave out of the training data, for they are akin to embedded proteins: {', '.join(akin)}")
    there = sorted({int(code) for k in range(len(splits["train"])) for code in splits["train"][k].z.unique()})
    if OTHER_ELEMENT in there:
        raise SystemExit("the training data hold elements that have no place of their own; the list cannot name them")

    folder.mkdir(exist_ok=True)
    for name in ("config.json", "settings.json", "weights.pt"):
        for file in (name, f"{name}.sha256"):
            shutil.copy(model / file, folder / file)
    stored = next(file for file in asked.results.rglob(f"{asked.run.name}.csv"))
    rows = pd.read_csv(stored, keep_default_na=False)
    shutil.copy(stored.with_name(f"{asked.run.name}.history.csv"), folder / "history.csv")
    found = evaluate(folder, task="res", split="test").metrics.set_index("metric")["value"]
    here = rows[(rows["split"] == "test") & rows["metric"].isin(found.index)].copy()
    here["value"], here["split"] = here["metric"].map(found), "embedded test"
    write_files({folder / "results.csv": pd.concat([rows, here]).to_csv(index=False)})

    entries = pd.DataFrame(
        [
            (split, name, count)
            for split, data in splits.items()
            for name, count in pd.Series(data.groups).value_counts(sort=False).items()
        ],
        columns=["split", "entry", "environments"],
    )
    write_files({folder / "entries.csv": entries.to_csv(index=False)})
    symbols = {index: symbol for symbol, index in ELEMENTS.items()}
    write_checked(folder / "elements.json", json.dumps([symbols[code] for code in there]))
    print(f"{folder}: {len(entries)} entries, weights {checksum(folder / 'weights.pt')[:12]}")


if __name__ == "__main__":
    main()
