"""What a task says of itself. One file a task ends in such a ``TaskSpec``; ``TASKS`` lists the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from eqgat.registry import Registry

__all__ = ["ATOM3D", "SPLITS", "TASKS", "TaskSpec", "direction"]

SPLITS = ("train", "val", "test")
_SMALLER = ("mse", "rmse", "mae", "cross_entropy")  # is better; of all other metrics, larger is


@dataclass(frozen=True)
class TaskSpec:
    """A task: its data, what is predicted, how it is judged, and the settings of its runs. Plain data and functions.

    Attributes:
        name: of the task.
        title: its name in the paper's tables.
        goal: what a model of it is trained for, as in "trained to ...".
        kind: what a prediction is. "regression": numbers; "ranking": a number, judged within groups of samples too;
            "classes": one logit a class; "pairs": the logit of two graphs, or of two atoms of one.
        answers: what a trained model can be asked about: "structures", whole files; "residues", each of a file ("which
            amino acid was here?"); "samples", those of the task alone.
        load: ``load(folder, **options)`` -> the data sets "train", "val" and "test", of one row of predictions an
            item. They have ``y``, all targets, and ``digest()``; they may have ``names`` and ``groups`` of the samples.
            ``folder`` is where the user keeps the data; None: what comes with the package, or is generated.
        options: classes or functions whose parameters are the options of ``load``, but for the first one of a function.
            Classes check their values, too.
        describe: what the loaded data are, in a few words, for every result of theirs.
        metrics: names of the metrics; the first chooses the best epoch where the settings do not name another.
        losses: names of the losses that a run can have; the first is the default.
        profiles: profile -> values of fields of ``Settings``. ``model_options`` are given to every model that takes
            them.
        finish: last touch to a batch on the device, of the batch and the options of the model: for example its edges.
        trivial: name -> what an answer without learning gives for the samples of a data set, [n, 1].
        counts: name -> plain numbers of the samples of a data set, [n, k], for a straight line fitted to the training
            labels: the answer of someone who only counts.
        derived: options that follow from the data and from others, so that nobody types them.
        atom_options: those that say which atoms graphs hold, by names that mean the same in all tasks that list them. A
            run that starts from the weights of another one has them from there.
        archive, reader, sizes: of the tasks of ATOM3D: see ``eqgat.datasets.atom3d.spec``.

    >>> TASKS["lba"].title, TASKS["lba"].kind, TASKS["lba"].losses
    ('LBA', 'regression', ('mse',))
    """

    name: str
    title: str
    kind: Literal["regression", "ranking", "classes", "pairs"]
    load: Callable[..., dict[str, Any]]
    options: tuple[Callable[..., Any], ...]
    describe: Callable[[Mapping[str, Any]], str]
    metrics: tuple[str, ...]
    profiles: Mapping[str, Mapping[str, Any]]
    losses: tuple[str, ...] = ("mse",)
    goal: str = ""
    answers: Literal["samples", "structures", "residues"] = "samples"
    finish: Callable[[Any, Mapping[str, Any]], Any] = lambda batch, _options: batch
    trivial: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    counts: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    atom_options: tuple[str, ...] = ()
    archive: Any = None
    reader: Any = None
    sizes: tuple[int | None, ...] = ()


def direction(metric: str) -> Literal["min", "max"]:
    """Whether smaller or larger is better.

    >>> direction("rmse"), direction("spearman")
    ('min', 'max')
    """
    return "min" if metric.startswith(_SMALLER) else "max"


# One line a task: its file. A file is imported when its task is first asked for.
TASKS: Registry[TaskSpec] = Registry(
    "task",
    {
        "triangle": "eqgat.datasets.triangle:SPEC",
        "lba": "eqgat.datasets.atom3d.lba:SPEC",
        "psr": "eqgat.datasets.atom3d.psr:SPEC",
        "rsr": "eqgat.datasets.atom3d.rsr:SPEC",
        "res": "eqgat.datasets.atom3d.res:SPEC",
        "ppi": "eqgat.datasets.atom3d.ppi:SPEC",
        "own": "eqgat.datasets.own.tasks:NUMBERS",
        "own-classes": "eqgat.datasets.own.tasks:CLASSES",
        "own-res": "eqgat.datasets.own.tasks:RESIDUES",
    },
)
# Those of ATOM3D, whose files are in its folder.
ATOM3D = tuple(name for name, home in TASKS.homes.items() if home.startswith("eqgat.datasets.atom3d."))
