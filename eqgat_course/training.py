"""How the notebooks train: the one place where a training cell gets its settings, its data and its device."""

from __future__ import annotations

import os
from typing import Any

from eqgat.errors import UserError
from eqgat.files import home
from eqgat.profiles import profile
from eqgat.training import Settings, make_settings

__all__ = ["data_folder", "told", "training_here"]


def data_folder(task: str) -> str | None:
    """The folder of a task's data in ``EQGAT_DATA``, a folder with one folder a task; None where it is not set.

    Raises:
        UserError: it is set, and there is no such folder.
    """
    root = os.environ.get("EQGAT_DATA")
    if not root:
        return None
    folder = home(root) / task
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; EQGAT_DATA must name a folder that has one folder a task")
    return str(folder)


def training_here(
    task: str, model: str = "eqgat", short: dict[str, Any] | None = None, data: str | None = None
) -> tuple[Settings, dict[str, Any]]:
    """Settings of a training in a notebook, seed 0, and how it is run: the arguments "data" and "accelerator" of
    ``train``.

    ``EQGAT_PROFILE`` chooses. "quick": the quick profile with the changes ``short``, on the CPU. "full": the paper's
    settings as they are, on a GPU where there is one. Data come from ``EQGAT_DATA`` in both, see ``data_folder``.

    Args:
        task, model: by name.
        short: changes that bring a training down to the time that a notebook has, as ``make_settings`` takes them.
        data: folder of the data where ``EQGAT_DATA`` is not set; None: the task's default.

    Raises:
        UserError: as ``make_settings`` and ``data_folder`` do.

    >>> settings, how = training_here("triangle", short={"epochs": 2})
    >>> settings.epochs, how
    (2, {'data': None, 'accelerator': 'cpu'})
    """
    quick = profile() == "quick"
    settings = make_settings(task, model, profile(), seed=0, **((short or {}) if quick else {}))
    return settings, {"data": data_folder(task) or data, "accelerator": "cpu" if quick else "auto"}


def told(settings: Settings) -> str:
    """What a picture of a run has to say about it.

    >>> told(make_settings("triangle", epochs=2, data_options={"n": 3000}))
    'quick profile, changed, 2 epochs, 3,000 items, seed 0'
    """
    size = settings.data_options.get("n")
    parts = (
        f"{settings.profile} profile",
        "changed" if settings.changed else "",
        f"{settings.epochs} epochs",
        f"{size:,} items" if size else "",
        f"seed {settings.seed}",
    )
    return ", ".join(part for part in parts if part)
