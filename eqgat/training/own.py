"""Training on a table of one's own labels: the settings that follow from the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eqgat.datasets.own.labels import read_labels
from eqgat.errors import UserError
from eqgat.training.settings import Settings, check_fixed, make_settings

__all__ = ["own_settings"]


def own_settings(
    labels: str | Path,
    target: str,
    *,
    classes: bool = False,
    model: str = "eqgat",
    profile: str = "quick",
    seed: int = 0,
    data_options: dict[str, Any] | None = None,
    model_options: dict[str, Any] | None = None,
    **changes: Any,
) -> Settings:
    """The settings of a run on a table of labels, see ``eqgat.datasets.own``; ``train(settings, data=FOLDER)`` does it.

        settings = own_settings("labels.csv", "pK", start="res")
        run = train(settings, data="structures")
        run.metrics["test"], run.predictions

    Args:
        labels: the table.
        target: its column with the labels.
        classes: the labels are names of classes; else numbers.
        model, profile, seed, model_options, changes: as ``make_settings`` takes them; ``start="res"`` begins with
            shipped weights, ``start=FOLDER`` with those of a model or a run.
        data_options: of ``TableOptions``, for example ``{"split": "clusters"}``.

    Raises:
        UserError: a table that cannot be used, unknown options or values.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "labels.csv"
    ...     _ = file.write_text("structure,kind\\n1abc,enzyme\\n2xyz,antibody\\n")
    ...     own_settings(file, "kind", classes=True).data_options["classes"]
    ['antibody', 'enzyme']
    """
    table = read_labels(labels, target, classes)
    data = {"labels": str(labels), "target": target, **({"classes": list(table.classes)} if classes else {})}
    shape = {"readout": "node" if table.residues else "graph", "out_channels": len(table.classes) or 1}
    task = "own-classes" if classes else "own"
    check_fixed(shape, model_options or {}, f"{target} of {labels}")
    if both := [name for name, value in (data_options or {}).items() if data.get(name, value) != value]:
        raise UserError(f"{', '.join(both)} follows from the table and its column; leave it out of the options")
    return make_settings(
        task,
        model,
        profile,
        seed,
        {**data, **(data_options or {})},
        {**shape, **(model_options or {})},
        **changes,
    )
