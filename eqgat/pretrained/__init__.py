"""Small trained models that come with the package, each with the rows of the results store that made it.

``res`` names the amino acid at an alpha carbon; it learned from 513 proteins, which ``pretrained_entries`` lists.
``res-seed1`` is the same run with another seed, ``res-embedded`` the same network trained on the 34 embedded proteins
alone, which anyone can repeat: what one says of ``res`` can be held against both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqgat.datasets.task import TASKS
from eqgat.errors import UserError
from eqgat.files import home, read_checked
from eqgat.model import EQGAT
from eqgat.saving import CONFIG, SETTINGS, of_this_version, seeded

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "About",
    "about",
    "pretrained",
    "pretrained_entries",
    "pretrained_history",
    "pretrained_names",
    "pretrained_rows",
    "saved_folder",
    "saved_settings",
    "untrained",
]

HERE = Path(__file__).parent


def pretrained_names() -> list[str]:
    """Names of the models.

    >>> pretrained_names()
    ['res', 'res-embedded', 'res-seed1']
    """
    return sorted(file.parent.name for file in HERE.glob("*/config.json"))


def pretrained(name: str) -> EQGAT:
    """A trained model, on the CPU.

    Raises:
        UserError: there is no model of this name, or its files are damaged.

    >>> pretrained("res").config.out_channels
    20
    """
    return EQGAT.from_pretrained(_folder(name)).eval()


def saved_folder(name: str | Path) -> Path:
    """The folder of a model: that of a shipped one by name, or one that ``save_pretrained`` or a finished run wrote.

    Raises:
        UserError: it is neither.

    >>> saved_folder("res").name
    'res'
    """
    if str(name) in pretrained_names():
        return HERE / name
    for folder in (home(name), home(name) / "model"):
        if (folder / CONFIG).is_file():
            return folder
    raise UserError(
        f"there is no model in {str(name)!r}; give {' or '.join(pretrained_names())}, or the folder of a finished run"
    )


def saved_settings(name: str | Path) -> dict[str, Any]:
    """The settings of the run that made a model, found as ``saved_folder`` does; empty where nobody noted them.

    Raises:
        UserError: as ``saved_folder``; a file that is not what was written (its checksum differs), or of another version.

    >>> saved_settings("res")["data_options"]
    {'radius': 9.0}
    """
    file = saved_folder(name) / SETTINGS
    if not file.is_file():
        return {}
    content = read_checked(file)
    with of_this_version(file):
        return dict(**json.loads(content))


@dataclass(frozen=True)
class About:
    """What a model is, for readers of its pictures.

    Attributes:
        words: its name, and what it was trained for.
        elements: those of its training data, which had no hetero groups; None: nobody noted what was in them.
    """

    words: str
    elements: tuple[str, ...] | None = None


def about(name: str | Path) -> About:
    """Which model it is and what it was trained for, of a shipped model or of the folder of a model.

    Raises:
        UserError: as ``saved_folder``; a file that is not what was written (its checksum differs).

    >>> about("res").words
    'model res: trained to name the amino acid at an alpha carbon'
    """
    folder = saved_folder(name)
    task, elements = saved_settings(name).get("task", ""), folder / "elements.json"
    goal = TASKS[task].goal if task in TASKS else ""
    what = f"trained {goal or f'for the task {task}'}" if task else "what it was trained for is not noted"
    title = folder.name if folder.parent == HERE else Path(name).resolve().name
    seen = tuple(json.loads(read_checked(elements))) if elements.is_file() else None
    return About(f"model {title}: {what}", seen)


def untrained(name: str) -> EQGAT:
    """The same model with the weights that its training started from, made anew from the seed of the run.

    >>> untrained("res").config == pretrained("res").config
    True
    """
    return seeded(EQGAT, int(pretrained_rows(name)["seed"].iloc[0]), config=pretrained(name).config).eval()


def pretrained_rows(name: str) -> pd.DataFrame:
    """The rows that the training run wrote: task, seed, metrics on validation and test data, command, versions.

    >>> pretrained_rows("res")["task"].unique().tolist()
    ['res']
    """
    import pandas as pd

    return pd.read_csv(_folder(name) / "results.csv", keep_default_na=False)


def pretrained_history(name: str) -> pd.DataFrame:
    """The learning curve of the training run, one row an epoch.

    >>> pretrained_history("res").columns[0]
    'epoch'
    """
    import pandas as pd

    return pd.read_csv(_folder(name) / "history.csv")


def pretrained_entries(name: str) -> pd.DataFrame:
    """The proteins of the run's data: split, entry, number of environments. Empty for the embedded data, which are here.

    An entry begins with the code of the Protein Data Bank (behind ``dips_`` in some); what follows tells which side of
    the complex, or which chain, it is.

    >>> pretrained_entries("res").groupby("split")["entry"].count().to_dict()
    {'test': 70, 'train': 513, 'val': 45}
    """
    import pandas as pd

    file = _folder(name) / "entries.csv"
    return pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=["split", "entry", "environments"])


def _folder(name: str) -> Path:
    if name not in pretrained_names():
        raise UserError(f"there is no pretrained model {name!r}; there are {', '.join(pretrained_names()) or 'none'}")
    return HERE / name
