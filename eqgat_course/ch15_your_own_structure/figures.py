"""Figures of notebook 15: the labels, five seeds of two starts, an evaluation, and a partner that the file lacks."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from eqgat.datasets import embedded_structure
from eqgat.datasets.own import all_residues
from eqgat.training import read_predictions
from eqgat.training.evaluation import predict
from eqgat.training.metrics import regression_metrics
from eqgat.training.run import Run, train
from eqgat.viz.evaluation import evaluation_figure
from eqgat.viz.style import COLOURS, describe
from eqgat_course.ch15_your_own_structure.study import (
    STARTS,
    accessible_area,
    comparison,
    example_settings,
    example_table,
    plain_answers,
    stored_run,
    write_example,
)
from eqgat_course.figures import figure

DATA = "ten residues of each of 20 embedded chains; accessible surface, computed"
AREA = "accessible surface (Å²)"


@figure(name="own-labels", notebook="15", data=DATA, trained="nothing")
def own_labels() -> Figure:
    """The labels against the plainest thing that one can count."""
    table = example_table()
    fig, ax = subplots(figsize=(6.4, 4.2))
    for split, colour in (("train", "grey"), ("val", "orange"), ("test", "blue")):
        rows = table[table["split"] == split]
        ax.plot(rows["neighbours"], rows["area"], "o", ms=5, alpha=0.7, color=COLOURS[colour], label=split)
    ax.set(xlabel="atoms within 10 Å of the residue's CA", ylabel=AREA)
    ax.legend()
    correlation = np.corrcoef(table["neighbours"], table["area"])[0, 1]
    text = (
        f"The {len(table)} labels of the chapter against a count of neighbours, correlation {correlation:.2f}. "
        f"{(table['area'] < 5).sum()} of the residues have less than 5 Å² that water can touch."
    )
    return describe(fig, text, text)


@figure(
    name="own-five-seeds",
    notebook="15",
    data=DATA,
    trained="EQGAT, five seeds from the shipped weights and five from scratch; figures/results/own",
)
def five_seeds() -> Figure:
    """Errors on the test proteins of both starts, seed by seed, and of two answers without a network."""
    table = comparison()
    table = table[table["metric"] == "rmse"]
    fig, ax = subplots(figsize=(6.4, 3.4))
    words = []
    for row, (start, colour) in enumerate(zip(STARTS, ("blue", "vermilion"), strict=True)):
        values = table[table["start"] == start].set_index("seed")["value"].sort_index()
        ax.plot(values, np.full(len(values), row) + np.linspace(-0.15, 0.15, len(values)), "o", color=COLOURS[colour])
        ax.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color=COLOURS[colour], lw=2)
        words.append(f"{start} {values.mean():.1f} ± {values.std(ddof=1):.1f} Å² ({len(values)} seeds)")
    for name, found in plain_answers().items():
        ax.axvline(found["rmse"], color="0.4", ls=":" if "mean" in name else "--", lw=1.3, label=name)
        words.append(f"{name} {found['rmse']:.1f} Å²")
    ax.set_yticks(range(len(STARTS)), list(STARTS))
    ax.set(ylim=(len(STARTS) - 0.4, -0.6), xlabel="RMSE on six proteins not trained on (Å²)")
    ax.legend(fontsize=11, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncol=2)
    text = "Test error, one point a seed, bar: mean over seeds. " + "; ".join(words) + "."
    return describe(fig, text, text)


@figure(
    name="own-evaluation",
    notebook="15",
    data=DATA,
    trained="EQGAT from the shipped weights, seed 0; figures/results/own",
)
def own_evaluation(predictions: pd.DataFrame | None = None) -> Figure:
    """Parity, calibration and error by protein; by default of the stored run of seed 0."""
    rows = read_predictions(stored_run("from res", 0)) if predictions is None else predictions
    found = regression_metrics(rows["prediction"].to_numpy(), rows["target"].to_numpy())
    fig = evaluation_figure(rows, AREA)
    text = (
        f"Predictions for {len(rows)} residues of six test proteins: R² {found['r2']:.2f}, RMSE {found['rmse']:.1f} Å². Left: "
        "each residue, with the line of perfect prediction. Middle: mean area found where about the same was predicted; "
        "bars: standard error. Right: mean absolute error of each protein; line: of all residues."
    )
    return describe(fig, text, text)


@cache
def trained_here() -> Run:
    """The run of the notebook, for a figure that is drawn outside of it."""
    folder = write_example(tempfile.mkdtemp())
    settings = example_settings(folder / "labels.csv")
    return train(settings, data=str(folder / "structures"), runs=folder / "runs", accelerator="cpu", progress=False)


def partner_table(run: Path | None = None) -> pd.DataFrame:
    """Chain A of HIV protease (1hvr), alone and with its second chain and the ligand: areas computed and predicted.

    Columns: residue, "alone" and "together" (computed, Å²), "predicted alone" and "predicted together".

    Args:
        run: folder of a finished run of the chapter; None: it is trained first.
    """
    whole = embedded_structure("1hvr")
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, molecule in (
            ("alone", whole.select((whole.chain_name == "A") & (whole.residue_number < 100))),
            ("together", whole),
        ):
            residues = all_residues(molecule)
            residues = residues[residues["chain"] == "A"]
            file = Path(folder) / f"{name}.pdb"
            file.write_text(molecule.to_pdb(), encoding="utf-8")
            said, _ = predict(run or trained_here().folder, [file])
            own = said[said["chain"] == "A"].set_index("residue")["prediction"]
            area = accessible_area(molecule, molecule.residue_index[residues["row"]].tolist())
            tables[name] = pd.Series(area, index=residues["residue"].tolist())
            tables[f"predicted {name}"] = own
    return pd.DataFrame(tables).dropna().rename_axis("residue").reset_index()


@figure(
    name="own-missing-partner",
    notebook="15",
    data="embedded structure 1hvr, HIV protease: chain A alone, and with chain B and the ligand",
    trained="EQGAT from the shipped weights on the labels of the chapter, seed 0",
)
def missing_partner(run: Path | None = None) -> Figure:
    """What a partner that is not in the file would change."""
    table = partner_table(run)
    hidden, change = table["alone"] - table["together"], table["predicted alone"] - table["predicted together"]
    fig, (top, bottom) = subplots(2, 1, figsize=(6.8, 5.2), sharex=True)
    top.fill_between(
        table["residue"],
        table["together"],
        table["alone"],
        color=COLOURS["orange"],
        alpha=0.6,
        label="hidden by the partner",
    )
    top.plot(table["residue"], table["alone"], color=COLOURS["black"], lw=1.2, label="computed, chain alone")
    top.plot(table["residue"], table["predicted alone"], color=COLOURS["blue"], lw=1.2, label="predicted, chain alone")
    top.set(ylabel=AREA, ylim=(0, None))
    top.legend(fontsize=10)
    bottom.plot(table["residue"], hidden, color=COLOURS["orange"], label="computed")
    bottom.plot(table["residue"], change, color=COLOURS["blue"], label="predicted")
    bottom.set(
        xlabel="residue of chain A",
        ylabel="hidden by the\npartner (Å²)",
        xlim=(table["residue"].min(), table["residue"].max()),
    )
    bottom.legend(fontsize=10)
    text = (
        f"Chain A of HIV protease. In the file with one chain, {int((hidden > 20).sum())} of {len(table)} residues have more than 20 Å² "
        f"too much surface, which the second chain and the inhibitor hide in the real enzyme, {hidden.sum():.0f} Å² in all. Given "
        f"the whole complex, the model hides {change.sum():.0f} Å²; correlation by residue {np.corrcoef(hidden, change)[0, 1]:.2f}."
    )
    return describe(fig, text, text)
