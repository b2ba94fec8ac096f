"""The results store: one small CSV per run under ``figures/results/``, merged when read.

A run owns its file, which is written whole or not at all: runs in parallel cannot spoil each other's rows, and a run
that is repeated replaces its rows instead of being counted twice.
"""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

__all__ = [
    "COLUMNS",
    "device_name",
    "git_commit",
    "package_versions",
    "read_history",
    "read_results",
    "results_folder",
    "write_results",
]

COLUMNS = (
    "task",
    "model",
    "variant",
    "profile",
    "changed",
    "seed",
    "split",
    "metric",
    "value",
    "epochs",
    "best_epoch",
    "batch_size",
    "learning_rate",
    "precision",
    "parameters",
    "num_train",
    "device",
    "seconds",
    "data",
    "versions",
    "commit",
    "date",
    "command",
)
_TEXT = (
    "task",
    "model",
    "variant",
    "profile",
    "changed",
    "split",
    "metric",
    "precision",
    "device",
    "data",
    "versions",
    "commit",
    "date",
    "command",
)


def results_folder() -> Path:
    """``figures/results`` of the checkout that this package is in, or of the current folder."""
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "figures").is_dir() else Path()) / "figures" / "results"


def write_results(
    folder: str | os.PathLike[str],
    run_id: str,
    common: dict[str, Any],
    metrics: dict[str, dict[str, float]],
    history: list[dict[str, float]],
) -> Path:
    """Write the rows of one run and its learning curve; what the same run wrote before is replaced.

    Args:
        folder: the store.
        run_id: ``Settings.run_id``, which names the files.
        common: values of all columns but split, metric and value.
        metrics: split -> metric -> value.
        history: one record an epoch.

    Returns:
        The file with the rows.

    Raises:
        ValueError: columns are missing or unknown.
    """
    rows = pd.DataFrame(
        [
            {**common, "split": split, "metric": name, "value": value}
            for split, values in metrics.items()
            for name, value in values.items()
        ]
    )
    if set(rows.columns) != set(COLUMNS):
        raise ValueError(
            f"rows of results have the columns {COLUMNS}; missing or unknown: "
            f"{sorted(set(rows.columns) ^ set(COLUMNS))}"
        )
    folder = Path(folder) / str(common["task"])
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(pd.DataFrame(history), folder / f"{run_id}.history.csv")
    file = folder / f"{run_id}.csv"
    _write_csv(rows[list(COLUMNS)], file)
    return file


def read_results(folder: str | os.PathLike[str] | None = None, task: str | None = None) -> pd.DataFrame:
    """All rows of the store (or of one task), sorted; no rows where there are no results.

    Raises:
        ValueError: a file that is not a results file.
    """
    folder = results_folder() if folder is None else Path(folder)
    frames = []
    for file in sorted(folder.glob(f"{task or '*'}/*.csv")):
        if file.name.endswith(".history.csv"):
            continue
        frame = pd.read_csv(
            file, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values={"value": ["", "nan"]}
        )  # an undefined metric is written as an empty field
        if list(frame.columns) != list(COLUMNS):
            raise ValueError(
                f"{file} is not a results file of this version: its columns are {list(frame.columns)}; "
                "remove it, or run the training again"
            )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def read_history(run_id: str, folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Learning curve of one run: one row an epoch.

    Raises:
        FileNotFoundError: no such run in the store.
    """
    folder = results_folder() if folder is None else Path(folder)
    for file in folder.glob(f"*/{run_id}.history.csv"):
        return pd.read_csv(file)
    raise FileNotFoundError(f"no run {run_id!r} in {folder}")


def device_name(device: torch.device) -> str:
    """What a run computes on: the name of the GPU, or "CPU" with its architecture."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type.upper()} ({platform.machine()})"


def package_versions() -> str:
    """Python and the packages that numbers depend on, as one short text."""
    found = [f"python {platform.python_version()}"]
    for name in ("eqgat", "torch", "torch-geometric", "lightning", "e3nn", "numpy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return "; ".join(found)


def git_commit() -> str:
    """Commit of the checkout that this package is in, "" outside of one; "+" if a file of the package was changed."""
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
    """UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write_csv(frame: pd.DataFrame, file: Path) -> None:
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    frame.to_csv(partial, index=False)
    partial.replace(file)
