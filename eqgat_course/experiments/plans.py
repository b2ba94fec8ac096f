"""Plans of runs, as data: which runs an experiment takes. The plans of the suite are the files in ``plans/``.

A plan is a TOML file:

    about = "what it is for"
    tables = [3]                        # tables of the paper that it fills; may be left out

    [[runs]]                            # once or more
    task = "triangle"
    models = ["eqgat", "painn"]
    profile = "quick"
    seeds = 20                          # 0 to 19; or a list
    test = true                         # false: as `eqgat train --no-test`
    data = "lba"                        # folder under --data-root; may be left out
    learning_rate = [1e-3, 3e-3]        # any change to the profile: a value, or a list, of which each makes a run
    model_options = { num_layers = 2 }  # and data_options: a table, or a list of tables; the text "null" is no value
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqgat.errors import UserError

if TYPE_CHECKING:  # PyTorch is imported where it is needed: to list the plans takes no second
    import pandas as pd

    from eqgat.training.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Finder", "Plan", "PlannedRun", "plan_about", "plan_names", "read_plan", "recorded"]

_FOLDER = files("eqgat_course.experiments").joinpath("plans")
_OPTIONS = ("model_options", "data_options")


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        settings: of the run.
        data: name of its folder under the data root; "": the task's default data.
        test: False: the test set is left alone.
    """

    settings: Settings
    data: str = ""
    test: bool = True

    @property
    def name(self) -> str:
        """Of the run and its data folder; different for all runs of a plan."""
        return f"{self.settings.run_id}-{self.data}" if self.data else self.settings.run_id

    def folder(self, root: Path | None) -> str | None:
        """Its data folder; None: the task's default data."""
        return str(root / self.data) if root is not None and self.data else None

    def arguments(self, root: Path | None) -> list[str]:
        """What follows ``eqgat`` on the command line."""
        folder = self.folder(root)
        return [
            *shlex.split(self.settings.command)[1:],
            *([] if folder is None else ["--data", folder]),
            *([] if self.test else ["--no-test"]),
        ]


@dataclass(frozen=True)
class Plan:
    """What is to be run, in this order.

    Attributes:
        name: of the plan.
        about: what it is for.
        tables: of the paper, that it fills.
        runs: each once.
    """

    name: str
    about: str
    tables: tuple[int, ...]
    runs: tuple[PlannedRun, ...]


def plan_names() -> list[str]:
    """The plans that come with the package.

    >>> "ablations" in plan_names()
    True
    """
    return sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml"))


def read_plan(name: str) -> Plan:
    """A plan that comes with the package, or one in a file.

    Args:
        name: of the plan, or path of a file that ends in ".toml".

    Raises:
        UserError: no such plan, or one that cannot be read; the message says what is wrong in which part of it.

    >>> len(read_plan("table3").runs)
    21
    """
    content = _read(name)
    runs: dict[str, PlannedRun] = {}
    for number, part in enumerate(content.get("runs", []), start=1):
        for run in _expand(part, f"plan {name}, part {number}"):
            runs.setdefault(run.name, run)
    if not runs:
        raise UserError(f"plan {name} has no runs; see the plans in {_FOLDER}")
    return Plan(Path(name).stem, content.get("about", ""), tuple(content.get("tables", ())), tuple(runs.values()))


def plan_about(name: str) -> str:
    """What a plan is for; fast, as its runs are not made.

    Raises:
        UserError: as ``read_plan``, but for what is wrong in a part.

    >>> plan_about("table3")[:7]
    'Table 3'
    """
    return str(_read(name).get("about", ""))


def _read(name: str) -> dict[str, Any]:
    if name.endswith(".toml"):
        file: Any = Path(name)
        if not file.is_file():
            raise UserError(f"there is no plan {name}")
    else:
        file = _FOLDER.joinpath(f"{name}.toml")
        if name not in plan_names():
            raise UserError(f"unknown plan {name!r}; there are {', '.join(plan_names())}, or give a file NAME.toml")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{name} is not a plan in TOML: {error}") from error
    _check_keys(content, {"about": str, "tables": list, "runs": list}, f"plan {name}")
    return content


def _check_keys(given: Any, known: dict[str, Any], where: str) -> None:
    if not isinstance(given, dict):
        raise UserError(f"{where} must be a table; got {given!r}")
    if wrong := sorted(set(given) - set(known)):
        raise UserError(f"{where}: unknown {', '.join(wrong)}; there are {', '.join(known)}")
    for name, value in given.items():
        if not isinstance(value, known[name]):
            raise UserError(f"{where}: {name} cannot be {value!r}")


def _expand(part: Any, where: str) -> Iterable[PlannedRun]:
    """The runs of one part: seed after seed, so that all models have their first seed early."""
    from eqgat.training.settings import CHANGES, make_settings

    known = {"task": str, "models": list, "profile": str, "seeds": (int, list), "test": bool, "data": str}
    _check_keys(part, {**known, **dict.fromkeys(CHANGES, object), **dict.fromkeys(_OPTIONS, (dict, list))}, where)
    if missing := [name for name in ("task", "models", "seeds") if name not in part]:
        raise UserError(f"{where}: {', '.join(missing)} is missing")
    seeds = part["seeds"] if isinstance(part["seeds"], list) else range(part["seeds"])
    varied = {
        name: value if isinstance(value, list) else [value]
        for name, value in part.items()
        if name in CHANGES or name in _OPTIONS
    }
    for name in set(varied) & set(_OPTIONS):
        for value in varied[name]:
            if not isinstance(value, dict):
                raise UserError(f"{where}: {name} must be a table, or a list of tables; got {value!r}")
    for seed, *values in product(seeds, *varied.values()):
        changes: dict[str, Any] = {
            name: {k: None if v == "null" else v for k, v in value.items()} if name in _OPTIONS else value
            for name, value in zip(varied, values, strict=True)
        }
        for model in part["models"]:
            try:
                settings = make_settings(part["task"], model, part.get("profile", "quick"), seed, **changes)
            except UserError as error:
                raise UserError(f"{where}: {error}") from error
            yield PlannedRun(settings, part.get("data", ""), part.get("test", True))


def recorded(run: PlannedRun, results: pd.DataFrame) -> pd.DataFrame:
    """The rows of the store that are of a run with these settings, on whatever data."""
    own = run.settings
    rows = results[
        (results["task"] == own.task)
        & (results["model"] == own.model)
        & (results["profile"] == own.profile)
        & (results["changed"] == own.changed)
        & (results["seed"] == own.seed)
        & (results["epochs"] == own.epochs)
        & (results["batch_size"] == own.batch_size)
        & (results["learning_rate"] == own.learning_rate)
        & (results["precision"] == own.precision)
    ]
    return rows[rows["split"] == "test"] if run.test else rows


class Finder:
    """Which runs the store has: those with the same settings, number of parameters and data.

    Args:
        root: folder of the data folders; None: only the tasks' default data.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._digests: dict[tuple[str, ...], str] = {}

    def has(self, run: PlannedRun, results: pd.DataFrame) -> bool:
        """Whether the rows of a run are in ``results``. The data are only opened where some rows might be its own.

        Raises:
            UserError: data that cannot be used.
            FileNotFoundError: no such data.
        """
        from eqgat.training.settings import num_parameters
        from eqgat.training.tasks import make_task

        rows = recorded(run, results)
        if rows.empty:
            return False
        task = make_task(run.settings)
        rows = rows[rows["parameters"] == num_parameters(task.build())]
        return bool(len(rows)) and bool((rows["data"] == self._digest(run, task)).any())

    def _digest(self, run: PlannedRun, task: Any) -> str:
        key = (run.settings.task, run.data, repr(sorted(task.data_options().items())))
        if key not in self._digests:
            self._digests[key] = task.digest(task.load(run.folder(self.root)))
        return self._digests[key]
