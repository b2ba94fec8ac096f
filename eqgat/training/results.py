"""The results store: one small CSV per run under ``figures/results/``, merged when read.

A run owns its files: its rows, its learning curve, its predictions for the test set and, in ``<run>.sha256``, their
checksums. They are written whole or not at all: runs in parallel cannot spoil each other's rows, and a run that is
repeated replaces its rows instead of being counted twice.
"""

from __future__ import annotations

import gzip
import io
import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eqgat.errors import UserError
from eqgat.files import read_checked, write_files

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "COLUMNS",
    "device_name",
    "git_commit",
    "now",
    "package_versions",
    "prediction_table",
    "read_history",
    "read_predictions",
    "read_results",
    "results_folder",
    "write_results",
]

_TEXT = (
    *("task", "model", "variant", "profile", "changed", "split", "metric"),
    *("precision", "device", "data", "versions", "commit", "date", "command"),
)
COLUMNS = (
    *("task", "model", "variant", "profile", "changed", "seed", "split", "metric", "value", "epochs", "best_epoch"),
    *("batch_size", "learning_rate", "precision", "parameters", "num_train", "device", "seconds", "data", "versions"),
    *("commit", "date", "command"),
)


def results_folder() -> Path:
    """``figures/results`` of the checkout that this package is in, or of the current folder.

    >>> results_folder().parts[-2:]
    ('figures', 'results')
    """
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "figures").is_dir() else Path()) / "figures" / "results"


def write_results(
    folder: str | os.PathLike[str],
    run: str,
    common: dict[str, Any],
    metrics: dict[str, dict[str, float]],
    history: list[dict[str, float]] | None = None,
    predictions: pd.DataFrame | None = None,
) -> Path:
    """Write the rows of one run, its learning curve and its predictions; what the same run wrote before is replaced.

    Args:
        folder: the store.
        run: ``Settings.run_name``, which names the files.
        common: values of all columns but split, metric and value.
        metrics: split -> metric -> value.
        history: one record an epoch; None: nothing was trained.
        predictions: of the test set, see ``prediction_table``; None: there are none.

    Returns:
        The file with the rows.

    Raises:
        UserError: columns are missing or unknown; the disk is full.

    >>> import tempfile
    >>> common = dict.fromkeys(set(COLUMNS) - {"split", "metric", "value"}, "lba")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_results(folder, "a-run", common, {"test": {"mse": 0.5}})
    ...     read_results(folder)["value"].tolist()
    [0.5]
    """
    rows = pd.DataFrame(
        [
            {**common, "split": split, "metric": name, "value": value}
            for split, values in metrics.items()
            for name, value in values.items()
        ]
    )
    if set(rows.columns) != set(COLUMNS):
        raise UserError(
            f"rows of results have the columns {COLUMNS}; missing or unknown: "
            f"{sorted(set(rows.columns) ^ set(COLUMNS))}"
        )
    folder = Path(folder) / str(common["task"])
    tables = {"": rows[list(COLUMNS)]}
    if history is not None:
        tables[".history"] = pd.DataFrame(history)
    contents: dict[Path, bytes | str] = {
        folder / f"{run}{kind}.csv": table.to_csv(index=False) for kind, table in tables.items()
    }
    if predictions is not None:
        text = predictions.to_csv(index=False, float_format="%.7g").encode()
        contents[folder / f"{run}.predictions.csv.gz"] = gzip.compress(text, mtime=0)
    write_files(contents, folder / f"{run}.sha256")
    return folder / f"{run}.csv"


def prediction_table(prediction: Tensor, target: Tensor, data: Any) -> pd.DataFrame:
    """Predictions of a split with the ids of the samples and their targets, a row a sample.

    Columns: id; group, where the data have groups; target or target_0, target_1, ...; prediction likewise.

    >>> import torch
    >>> list(prediction_table(torch.ones(2, 1), torch.zeros(2, 1), data=None))
    ['id', 'target', 'prediction']
    """
    ids = getattr(data, "names", None)
    columns: dict[str, Any] = {"id": np.arange(len(target)) if ids is None else ids}
    if getattr(data, "groups", None) is not None:
        columns["group"] = data.groups
    for name, values in (("target", target), ("prediction", prediction)):
        rows = values.reshape(len(values), -1).numpy()
        columns |= {f"{name}_{k}" if rows.shape[1] > 1 else name: rows[:, k] for k in range(rows.shape[1])}
    return pd.DataFrame(columns)


def read_results(folder: str | os.PathLike[str] | None = None, task: str | None = None) -> pd.DataFrame:
    """All rows of the store (or of one task), sorted; no rows where there are no results.

    Raises:
        UserError: a file that is not a results file, or is damaged.

    >>> len(read_results("no/such/store"))
    0
    """
    folder = results_folder() if folder is None else Path(folder)
    frames = []
    for file in sorted(folder.glob(f"{task or '*'}/*.csv")):
        if file.name.endswith(".history.csv"):
            continue
        # An undefined metric is written as an empty field.
        frame = _read_csv(
            file, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values={"value": ["", "nan"]}
        )
        if list(frame.columns) != list(COLUMNS):
            raise UserError(
                f"{file} is not a results file of this version: its columns are {list(frame.columns)}; "
                "remove it, or run the training again"
            )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def read_history(run: str, folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Learning curve of one run: one row an epoch.

    Args:
        run: ``Settings.run_name``, or ``Settings.run_id`` where the store has it on one data set alone.
        folder: the store.

    Raises:
        FileNotFoundError: no such run in the store.
        UserError: several, on different data; or a damaged file.

    >>> read_history("triangle-eqgat-quick-seed0", "no/such/store")
    Traceback (most recent call last):
    FileNotFoundError: no run 'triangle-eqgat-quick-seed0' in no/such/store
    """
    return _read_csv(_file_of(run, ".history.csv", folder))


def read_predictions(run: str, folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Predictions of one run for its test set, see ``prediction_table``; arguments and errors as ``read_history``.

    >>> read_predictions("triangle-eqgat-quick-seed0", "no/such/store")
    Traceback (most recent call last):
    FileNotFoundError: no run 'triangle-eqgat-quick-seed0' in no/such/store
    """
    names = {"id": str, "group": str}  # a structure may be called 0012 or NA
    table = _read_csv(_file_of(run, ".predictions.csv.gz", folder), compression="gzip", converters=names)
    return table if "group" in table else table.astype({"id": int})  # no names: numbers of the samples


def _file_of(run: str, end: str, folder: str | os.PathLike[str] | None) -> Path:
    folder = results_folder() if folder is None else Path(folder)
    names = (f"{run}{end}", f"{run}-data{'?' * 10}{end}")
    found = [file for file in sorted(folder.glob(f"*/*{end}")) if any(fnmatchcase(file.name, name) for name in names)]
    if len(found) > 1:
        choices = ", ".join(file.name.removesuffix(end) for file in found)
        raise UserError(f"{run} was run on several data sets; name one of {choices}")
    if not found:
        raise FileNotFoundError(f"no run {run!r} in {folder}")
    return found[0]


def _read_csv(file: Path, **how: Any) -> pd.DataFrame:
    """A table of a run, checked against the run's checksums where there are some."""
    sums = file.with_name(re.sub(r"(\.history|\.predictions)?\.csv(\.gz)?$", ".sha256", file.name))
    try:
        content = read_checked(file, sums) if sums.is_file() else file.read_bytes()
        return pd.read_csv(io.BytesIO(content), **how)
    except (ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read ({error}); remove it, or run the training again") from error


def device_name(device: torch.device) -> str:
    """What a run computes on: the name of the GPU, or "CPU" with its architecture.

    >>> import torch
    >>> device_name(torch.device("cpu")).split()[0]
    'CPU'
    """
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return f"{device.type.upper()} ({platform.machine()})"


def package_versions() -> str:
    """Python and the packages that numbers depend on, as one short text.

    >>> package_versions().startswith("python 3.")
    True
    """
    found = [f"python {platform.python_version()}"]
    for name in ("eqgat", "torch", "torch-geometric", "lightning", "e3nn", "numpy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return "; ".join(found)


def git_commit() -> str:
    """Commit of the checkout that this package is in, "" outside of one; "+" if a file of the package was changed.

    >>> len(git_commit()) in (0, 12, 13)
    True
    """
    package = Path(__file__).resolve().parents[1]
    try:
        commit = _git(package, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(package, "status", "--porcelain", "--untracked-files=no", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True, timeout=20
    ).stdout.strip()


def now() -> str:
    """UTC, to the second.

    >>> len(now())
    20
    """
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
