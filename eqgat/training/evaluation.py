"""What a trained model says of other data: predictions for structure files, metrics with intervals for labelled ones."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from eqgat.datasets.atom3d import RESIDUES, ItemData, load_atom3d
from eqgat.datasets.atom3d.environments import residue_item
from eqgat.datasets.own.data import OwnData
from eqgat.datasets.own.load import load_residues, load_table
from eqgat.datasets.own.structures import all_residues, read_structures, structure_files
from eqgat.datasets.task import ATOM3D, SPLITS, TASKS
from eqgat.errors import UserError
from eqgat.files import home, read_checked, stem
from eqgat.molecule import Molecule
from eqgat.options import known_options
from eqgat.pretrained import saved_folder
from eqgat.saving import SETTINGS, WEIGHTS, of_this_version
from eqgat.training.intervals import cluster_interval
from eqgat.training.memory import freed_memory_kept
from eqgat.training.results import prediction_table
from eqgat.training.run import FINISHED
from eqgat.training.settings import Settings
from eqgat.training.tasks import Task, left_out, make_task

__all__ = [
    "Evaluation",
    "Trained",
    "evaluate",
    "load_trained",
    "metric_lines",
    "metric_table",
    "predict",
    "predict_all",
]


class Trained(NamedTuple):
    """A trained model with the settings of its run.

    >>> load_trained("res").classes[:3]
    ('HIS', 'LYS', 'ARG')
    """

    settings: Settings
    model: nn.Module

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it tells apart; empty where it predicts numbers."""
        if self.guesses:
            return RESIDUES
        return tuple(self.settings.data_options.get("classes", ()))

    @property
    def task(self) -> Task:
        """What the engine knows of it."""
        return make_task(replace(self.settings, start=""))

    @property
    def guesses(self) -> bool:
        """Whether it guesses which amino acid was there."""
        return TASKS[self.settings.task].answers == "residues"

    @property
    def of_residues(self) -> bool:
        """Whether it answers for residues, and not for whole structures."""
        return self.settings.model_options.get("readout") == "node"


class Evaluation(NamedTuple):
    """What an evaluation found.

    Attributes:
        settings: of the model's run.
        predictions: a row a sample, with its target.
        metrics: columns metric, value, low and high (95 % interval over groups, of fewer than ten too short; nan where
            there is none).
        data: what the model was tested on, in words.
        told: what was left out of the data, with counts.
    """

    settings: Settings
    predictions: pd.DataFrame
    metrics: pd.DataFrame
    data: str
    told: str


def load_trained(source: str | Path) -> Trained:
    """A model with the settings of its run.

    Args:
        source: name of a shipped model ("res"), or the folder of a finished run or of its model.

    Raises:
        UserError: no such model, one of another version, or one without settings (``save_pretrained`` alone does not
            know what it was for).

    >>> load_trained("res").settings.task
    'res'
    """
    run = home(source)
    baseline = run / "model.pt"
    folder = run if baseline.is_file() else saved_folder(source)
    try:
        kept = read_checked(run / FINISHED if baseline.is_file() else folder / SETTINGS)
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} has no {SETTINGS}, so that nobody knows what its model predicts; give the folder of a run"
        ) from error
    weights = read_checked(baseline if baseline.is_file() else folder / WEIGHTS)
    with of_this_version(folder):
        settings = Settings.from_json(json.loads(kept)["settings"] if baseline.is_file() else kept.decode())
        # The weights are here: those that the run started from may be gone.
        model = make_task(replace(settings, start="")).build()
        model.load_state_dict(torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True))
    return Trained(settings, model.eval())


@freed_memory_kept()
@torch.no_grad()
def predict_all(trained: Trained, data: Any) -> Tensor:
    """Raw predictions of a trained model for all items of a data set of its task, [rows, outputs], on the CPU.

    Raises:
        UserError: some are not finite.

    >>> trained = load_trained("res")
    >>> test = trained.task.load(None)["test"]
    >>> predict_all(trained, [test[0], test[1]]).shape
    torch.Size([2, 20])
    """
    task, size, found = trained.task, trained.settings.batch_size, []
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = trained.model.to(device)
    for start in range(0, len(data), size):
        batch = task.collate([data[k] for k in range(start, min(start + size, len(data)))]).to(device)
        found.append(task.predict(model, task.prepare(batch)).float().cpu())
    model.cpu()
    answers = torch.cat(found)
    if wrong := int((~answers.isfinite()).any(dim=1).sum()):
        raise UserError(
            f"{wrong} of {len(answers)} answers of the model are no finite numbers; its training went wrong: train again "
            "with a lower learning rate"
        )
    return answers


def predict(source: str | Path | Trained, files: Iterable[str | Path]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Predictions for structures without labels.

    Args:
        source: see ``load_trained``.
        files: structure files, or folders of them.

    Returns:
        A table, and for each structure or folder of which something was left out why. The table has a row a structure:
        its name and "prediction"; or a row a residue: structure, chain, residue, insertion_code, resname and
        "prediction". Where classes are predicted, "prediction" is the most probable one, and each has its probability
        in a column "p_<class>". A model of RES sees each residue without its side chain, as it was trained.

    Raises:
        UserError: no such model or file; a model of pairs; nothing can be predicted.

    >>> from eqgat.datasets import embedded_path
    >>> table, told = predict("res", [embedded_path("5pti")])
    >>> len(table), sorted(set(table["prediction"]) - set(RESIDUES)), told
    (58, [], {})
    """
    trained = source if isinstance(source, Trained) else load_trained(source)
    settings = trained.settings
    if TASKS[settings.task].answers == "samples":
        raise UserError(f"a model of {settings.task} does not answer for single structures")
    told: dict[str, str] = {}
    tables, answers = [], []
    for name, molecule in _read(trained, _named_files(files, told), told).items():
        try:
            residues, data = _questions(trained, molecule)
        except UserError as error:
            told[name] = str(error)
            continue
        if not len(data):
            told[name] = "it has no residue that can be asked about"
            continue
        needed = (
            "one of the 20 amino acids with N, CA, C and O, and N, CA, C not on a line"
            if trained.guesses
            else "a residue with a CA or C1' atom"
        )
        if (trained.guesses or trained.of_residues) and (left := _count_residues(molecule) - len(residues)) > 0:
            told[name] = f"{left} residues have no row: none is {needed}"
        tables.append(residues)
        answers.append(predict_all(trained, data))
    if not tables:
        raise UserError(f"nothing can be predicted; the first: {next(iter(told.values()), 'no file')}")
    return _with_answers(pd.concat(tables, ignore_index=True), torch.cat(answers), trained.classes), told


def _named_files(files: Iterable[str | Path], told: dict[str, str]) -> dict[str, Path]:
    """Structure files by name; a folder stands for those in it, and what else is in it is counted in ``told``."""
    found: dict[str, Path] = {}
    for given in files:
        path = home(given)
        if not path.exists():
            raise UserError(f"there is no structure file or folder {str(given)!r}")
        inside = structure_files(path) if path.is_dir() else {stem(path.name): path}
        if path.is_dir() and (
            other := sorted({each.name for each in path.iterdir()} - {f.name for f in inside.values()})
        ):
            told[str(given)] = f"{len(other)} files or folders in it that are no structure files (first: {other[0]})"
        for name, file in inside.items():
            if name in found:
                raise UserError(f"{found[name]} and {file} have one name; predict them one after the other")
            found[name] = file
    return found


def _read(trained: Trained, files: dict[str, Path], told: dict[str, str]) -> dict[str, Molecule]:
    chosen = trained.settings.data_options
    how: dict[str, Any] = {name: chosen[name] for name in ("hydrogens", "waters", "hetero") if name in chosen}
    molecules, broken = read_structures(files, **({"hetero": False} if trained.guesses else how))
    told.update(broken)
    return molecules


def _questions(trained: Trained, molecule: Molecule) -> tuple[pd.DataFrame, Any]:
    """What is asked of a molecule, a row a prediction, and the graphs."""
    shape: dict[str, Any] = {
        "cutoff": trained.task.all_options["cutoff"],
        "hops": getattr(trained.model, "hops", None) if trained.of_residues else None,
        "radius": trained.settings.data_options.get("radius"),
    }
    name = molecule.name
    if trained.guesses:
        item = residue_item(molecule)
        if item["labels"].empty:
            return pd.DataFrame(), []
        data = ItemData("res", [item], "test", **shape)
        alpha_carbons = [sample.views[0].marks[0] for sample in data.parse(0).samples]
        keys = item["atoms"].iloc[alpha_carbons].reset_index(drop=True).assign(structure=name)
        for column in ("chain", "insertion_code"):
            keys[column] = keys[column].str.strip()
        return keys[["structure", "chain", "residue", "insertion_code", "resname"]], data
    if not trained.of_residues:
        return pd.DataFrame({"structure": [name]}), OwnData({name: molecule}, [(name, None, name)], [0.0], **shape)
    residues = all_residues(molecule).assign(chain=lambda table: table["chain"].str.strip())
    samples = [(name, row, name) for row in residues["row"].tolist()]
    return residues.drop(columns="row"), OwnData({name: molecule}, samples, [0.0] * len(samples), **shape)


def _count_residues(molecule: Molecule) -> int:
    """Residues of the polymers, whole or not, and others that can be asked about; no ligands, ions and waters."""
    rows = np.flatnonzero(np.char.strip(molecule.hetero.astype(str)) == "")
    return len(np.unique(molecule.residue_index[np.concatenate([rows, all_residues(molecule)["row"]])]))


def _with_answers(table: pd.DataFrame, answers: Tensor, classes: Sequence[str]) -> pd.DataFrame:
    """The table with the predictions, in numbers or as names of classes with their probabilities."""
    if not classes:
        return table.assign(prediction=answers[:, 0].numpy())
    chance = answers.softmax(dim=1).numpy()
    own = pd.DataFrame({f"p_{name}": chance[:, k] for k, name in enumerate(classes)}, index=table.index)
    return pd.concat([table.assign(prediction=np.array(classes)[chance.argmax(axis=1)]), own], axis=1)


def evaluate(
    source: str | Path | Trained,
    *,
    structures: str | Path | None = None,
    labels: str | Path | None = None,
    target: str = "",
    task: str = "",
    data: str | None = None,
    split: str = "",
) -> Evaluation:
    """Metrics of a trained model, with intervals, and its predictions.

    Args:
        source: see ``load_trained``.
        structures: folder of own structures; with ``labels``, or without for a model of RES.
        labels, target: table of labels and its column; default: the column that the model was trained on.
        task: of the model, where it is tested on the data of that task; default: what it was trained on.
        data: folder of these data; None: the toy data.
        split: part that is tested: "train", "val", "test" or "all"; "": the test part of a task's data and of the table
            that the model was trained on, all of other own data.

    Raises:
        UserError: no such model, data or column; data that the model does not answer for.

    >>> import shutil, tempfile
    >>> from eqgat.datasets import embedded_path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = shutil.copy(embedded_path("5pti"), folder)
    ...     evaluate("res", structures=folder).metrics["metric"].tolist()
    ['accuracy', 'cross_entropy', 'share_of_commonest_class']
    """
    trained = source if isinstance(source, Trained) else load_trained(source)
    if split not in ("", "all", *SPLITS):
        raise UserError(f"unknown split {split!r}; there are {', '.join(SPLITS)} and all")
    if not split:
        split = "all" if structures is not None and not _is_its_table(trained, labels, target) else "test"
    part = _part_to_test(trained, structures, labels, target, task, data, split)
    prediction = predict_all(trained, part)
    rows = prediction_table(prediction, part.y, part)
    found = trained.task.metrics(prediction, part.y, part)
    if trained.classes:
        names = np.array(trained.classes)
        rows.insert(list(rows).index("target") + 1, "target_class", names[part.y.numpy()])
        rows.insert(list(rows).index("target") + 2, "predicted_class", names[prediction.argmax(dim=1).numpy()])
        found["share_of_commonest_class"] = float(rows["target_class"].value_counts(normalize=True).iloc[0])
    where = str(structures or data or "")
    toy = getattr(part, "toy", False)
    what = "toy data, made of structures that come along" if toy else f"{where or task or trained.settings.task}"
    return Evaluation(
        trained.settings,
        rows,
        metric_table(found, rows),
        f"{what}, {split}",
        left_out(part),
    )


def metric_table(metrics: dict[str, float], predictions: pd.DataFrame) -> pd.DataFrame:
    """Columns metric, value, low and high: 95 % intervals by ``cluster_interval``, nan where it has none.

    >>> rows = pd.DataFrame({"id": range(6), "target": [0.0] * 6, "prediction": [1.0, -1.0] * 3})
    >>> metric_table({"mse": 1.0}, rows).to_dict("list")
    {'metric': ['mse'], 'value': [1.0], 'low': [1.0], 'high': [1.0]}
    """
    own = predictions.drop(columns=["target_class", "predicted_class"], errors="ignore")
    nothing = (float("nan"), float("nan"))
    rows = [(name, value, *(cluster_interval([own], name) or nothing)) for name, value in metrics.items()]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def metric_lines(table: pd.DataFrame) -> str:
    """The table of ``metric_table`` as text, a line a metric.

    >>> print(metric_lines(pd.DataFrame({"metric": ["mse"], "value": [1.0], "low": [0.5], "high": [2.0]})))
      mse                       1     0.5 to 2
    """
    lines = [
        f"  {row.metric:24}{row.value:>8.4g}" + (f"{row.low:>8.4g} to {row.high:.4g}" if row.low == row.low else "")
        for row in table.itertuples()
    ]
    alone = [] if table["low"].notna().any() else ["  (no intervals: they take two groups or more)"]
    return "\n".join([*lines, *alone])


def _is_its_table(trained: Trained, labels: Any, target: str) -> bool:
    """Whether these are the labels that the model was trained on."""
    known = trained.settings.data_options
    if labels is None or not known.get("labels") or target not in ("", known.get("target")):
        return False
    return home(labels).resolve() == home(known["labels"]).resolve()


def _told_part(parts: dict[str, Any], split: str) -> Any:
    """A part of own data, which says what was left out of all parts; of several, the part to train on knows."""
    part = parts[split]
    part.told = parts.get("train", part).told
    return part


def _part_to_test(
    trained: Trained, structures: Any, labels: Any, target: str, task: str, data: str | None, split: str
) -> Any:
    settings = trained.settings
    if structures is not None and (task or data):
        raise UserError("give own structures (--structures), or a task's data (--task, --data), not both")
    options = trained.task.data_options()
    if structures is not None and trained.guesses and labels is None:
        options = {k: v for k, v in options.items() if k in known_options(TASKS["own-res"].options)}
        return _told_part(load_residues(str(structures), whole=split == "all", **options), split)
    if structures is not None:
        if TASKS[settings.task].answers != "structures":
            raise UserError(f"a model of {settings.task} cannot be tested on a table of labels")
        if labels is None:
            raise UserError("own structures need a table of labels (--labels)")
        options = {k: v for k, v in options.items() if k in known_options(TASKS["own"].options)}
        target = target or options.get("target", "")
        if not target:
            raise UserError("which column holds the labels? Give --target")
        options |= {"labels": str(labels), "target": target}
        parts = load_table(str(structures), whole=split == "all", residues=trained.of_residues, **options)
        part = _told_part(parts, split)
        if _is_its_table(trained, labels, target):
            seen = {"test": "of them the part that it has not seen is tested"}.get(split, "it has seen some of them")
            also = f"these are the labels of the training itself; {seen}"
            part.told = f"{part.told}; {also}" if part.told else also
        return part
    if settings.task.startswith("own") and not (trained.guesses and task == "res"):
        raise UserError("a model of own data needs own structures to be tested on (--structures, --labels)")
    if task not in ("", settings.task, "res" if trained.guesses else ""):
        raise UserError(f"this is a model of {settings.task}, which does not answer for {task}")
    task = task or settings.task
    if split == "all":
        raise UserError(f"of a task's data one split is tested: {', '.join(SPLITS)}")
    if settings.task != task:
        options = {k: v for k, v in options.items() if k in ("cutoff", "hops", "radius")}
    if data is None or task not in ATOM3D:
        return TASKS[task].load(data, **options)[split]
    options.pop("train_items", None)
    return load_atom3d(task, data, split, **options)
