"""Settings of every training run, as data: a task's profile, what a model says about it, and what the user changes."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from torch import nn

from eqgat.datasets.task import TASKS, TaskSpec
from eqgat.errors import UserError
from eqgat.files import checksum
from eqgat.model import EQGAT
from eqgat.options import check_values, known_options
from eqgat.pretrained import saved_folder, saved_settings
from eqgat.saving import WEIGHTS, seeded
from eqgat.training.models import MODELS
from eqgat.training.variants import num_parameters

__all__ = [
    "CHANGES",
    "MODELS",
    "Settings",
    "build_model",
    "check_fixed",
    "make_settings",
    "models_of",
    "num_parameters",
]


@dataclass(frozen=True)
class Settings:
    """All that determines a run beside its data: the same settings on one CPU give the same weights, bit by bit.

    Attributes:
        task, model, profile, seed: which run it is; ``seed`` sets initial weights, order of the batches and dropout.
        epochs, batch_size, learning_rate: ``batch_size`` counts graphs over all devices together.
        schedule: "plateau" (the paper's): after more than ``lr_patience`` epochs without a better validation metric the
            rate is multiplied by ``lr_factor``, down to ``min_lr``; or "cosine": from the rate down to zero over the
            epochs, which suits short runs.
        gradient_clip: largest norm of the gradient.
        standardise: subtract the mean of the training targets and divide by their standard deviation inside the
            loss. Metrics are always of raw targets. False is the paper's way.
        standardise_readout: do so, too, with what the head sees of each graph, by statistics of the batch as in a batch
            norm, which become part of the head's weights in the end. A mean over a thousand atoms is nearly the same
            for all graphs: without this, a short training ends at a constant. False is the paper's way.
        loss: name of a loss that the task has; "" is its default.
        monitor: name of the validation metric that chooses the best epoch and steers the learning rate; "" is the
            task's default.
        stop_after: epochs without a better validation metric after which the training ends early; 0: it never does.
        start: where the weights come from: the name of shipped ones, or the folder of a model or of a run; "": they are
            drawn from the seed. The head starts fresh, but for "res", whose classes are the same everywhere. Graphs hold
            the atoms that they held there (``TaskSpec.atom_options``), unless ``data_options`` say otherwise.
        start_weights: checksum of the weights in ``start``.
        precision: Lightning's name: "32-true", "bf16-mixed" or "64-true".
        model_options, data_options: given to the model and to the task's data.
        changed: what the user changed against the profile, "" for the profile itself.

    Raises:
        UserError: values that make no sense, or that the task does not have.
    """

    task: str
    model: str
    profile: str
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str = "plateau"
    lr_factor: float = 0.75
    lr_patience: int = 10
    min_lr: float = 1e-7
    gradient_clip: float = 10.0
    standardise: bool = False
    standardise_readout: bool = False
    loss: str = ""
    monitor: str = ""
    stop_after: int = 0
    start: str = ""
    start_weights: str = ""
    precision: str = "32-true"
    model_options: dict[str, Any] = field(default_factory=dict)
    data_options: dict[str, Any] = field(default_factory=dict)
    changed: str = ""

    def __post_init__(self) -> None:
        check_values([Settings], asdict(self), "the settings")
        for name in ("epochs", "batch_size", "learning_rate", "gradient_clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} must be positive; got {getattr(self, name)}")
        task = TASKS[self.task]
        for name, allowed in (
            ("schedule", ("plateau", "cosine")),
            ("precision", ("32-true", "bf16-mixed", "64-true")),
            ("loss", ("", *task.losses)),
            ("monitor", ("", *task.metrics)),
        ):
            if getattr(self, name) not in allowed:
                choices = ", ".join(choice for choice in allowed if choice)
                raise UserError(f"{name} must be one of {choices} for {self.task}; got {getattr(self, name)!r}")
        if self.stop_after < 0:
            raise UserError(f"stop_after must not be negative; got {self.stop_after}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed must not be negative, and have at most 63 bits; got {self.seed}")

    @property
    def run_id(self) -> str:
        """Name of the run but for its data; changed settings have another one.

        >>> make_settings("triangle").run_id
        'triangle-eqgat-quick-seed0'
        """
        name = f"{self.task}-{self.model}-{self.profile}-seed{self.seed}"
        return f"{name}-{hashlib.sha256(self.changed.encode()).hexdigest()[:8]}" if self.changed else name

    def run_name(self, data: str) -> str:
        """Name of the run's folder and of its results: a run on other data has another one.

        Args:
            data: what the data are, as in the column "data" of the results; it ends in their digest.

        >>> make_settings("triangle").run_name("3a538a-95a64a-d3c58c")
        'triangle-eqgat-quick-seed0-data3a538a95a6'
        """
        return f"{self.run_id}-data{data.rpartition(', ')[2].replace('-', '')[:10]}"

    @property
    def taken_over(self) -> dict[str, Any]:
        """The options of the data that are those of the run in ``start``, because nobody said otherwise.

        >>> make_settings("own-res", start="res").taken_over
        {'radius': 9.0}
        >>> make_settings("own-res", start="res", data_options={"radius": 12}).taken_over
        {}
        """
        said = json.loads(self.changed or "{}").get("data_options", {})
        own = TASKS[self.task].atom_options if self.start else ()
        return {name: self.data_options[name] for name in own if name in self.data_options and name not in said}

    @property
    def command(self) -> str:
        """What to type for this run.

        >>> make_settings("lba", "painn", epochs=2).command
        'eqgat train lba --model painn --profile quick --seed 0 --epochs 2'
        """
        words = ["eqgat", "train", *_TYPED.get(self.task, [self.task]), "--model", self.model]
        words += ["--profile", self.profile, "--seed", f"{self.seed}"]
        for name, value in json.loads(self.changed or "{}").items():
            if name in ("data_options", "model_options"):
                flags, option = (FLAGS, "--option") if name == "data_options" else ({}, "--model-option")
                for k, v in value.items():
                    if k in flags:
                        words += [flags[k], f"{v}"]
                    elif k not in TASKS[self.task].derived:
                        words += [option, f"{k}={_plain(v)}"]
            elif name == "start":
                words += ["--from", value]
            elif isinstance(value, bool):
                words.append(f"--{'' if value else 'no-'}{name.replace('_', '-')}")
            elif not isinstance(value, dict):
                words += [f"--{name.replace('_', '-')}", f"{value}"]
        return shlex.join(words)

    def to_json(self) -> str:
        """All fields, in a form that is equal for equal settings; fields that came later only where they are used."""
        values = asdict(self)
        return json.dumps({k: v for k, v in values.items() if v or k not in _LATER}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """What ``to_json`` wrote.

        >>> Settings.from_json(make_settings("lba").to_json()) == make_settings("lba")
        True
        """
        return cls(**json.loads(text))


def make_settings(
    task: str,
    model: str = "eqgat",
    profile: str = "quick",
    seed: int = 0,
    data_options: dict[str, Any] | None = None,
    model_options: dict[str, Any] | None = None,
    **changes: Any,
) -> Settings:
    """The settings of a profile, with ``changes`` to any field of ``Settings``; None means unchanged.

    Raises:
        UserError: an unknown task, model, profile, field or option, or a value that one cannot have.

    >>> make_settings("lba", profile="full").learning_rate
    0.0001
    >>> make_settings("lba", model_options={"layers": 2})
    Traceback (most recent call last):
    eqgat.errors.UserError: eqgat has no option layers; it has num_elements, ...
    """
    spec, about = TASKS[task], MODELS[model]
    if profile not in spec.profiles:
        raise UserError(f"unknown profile {profile!r} of {task}; there are {', '.join(spec.profiles)}")
    if wrong := sorted(set(changes) - _FREE):
        raise UserError(f"unknown settings {', '.join(wrong)}; there are {', '.join(sorted(_FREE))}")
    if not _has_settings(model, task):
        raise UserError(f"{model} has no settings for {task}; there are {', '.join(models_of(task))}")
    takers = [about.fields or about.model]
    own = about.settings.get(task, about.settings.get("", {}))
    values = {**spec.profiles[profile], **own, **about.profiles.get(profile, {})}
    common = {
        key: value for key, value in spec.profiles[profile]["model_options"].items() if key in known_options(takers)
    }
    extra = {"data_options": data_options or {}, "model_options": model_options or {}}
    check_values(takers, extra["model_options"], model)
    check_values(spec.options, extra["data_options"], f"the data of {task}")
    defaults = {f.name: f.default for f in fields(Settings)}
    changes = {
        name: value
        for name, value in changes.items()
        if value is not None and value != values.get(name, defaults[name])
    }
    changed = json.dumps({**changes, **{k: v for k, v in extra.items() if v}}, sort_keys=True)
    values["model_options"] = {**common, **own.get("model_options", {}), **about.options}
    fixed = {k: v for k, v in {"readout": "graph", **values["model_options"]}.items() if k not in spec.derived}
    if changes.get("start"):
        saved = _saved_options(changes["start"], model, extra["model_options"])
        check_fixed(fixed, saved, task, f"the weights of {changes['start']} are of another kind of data")
        values["model_options"] |= saved
        values["start_weights"] = checksum(saved_folder(changes["start"]) / WEIGHTS)[:12]
    values["model_options"] |= extra["model_options"]
    check_fixed(fixed, values["model_options"], task)
    values["data_options"] = {**values.get("data_options", {}), **extra["data_options"]}
    if changes.get("start"):
        of_atoms = values["model_options"].get("readout") == "node"
        values["data_options"] = {**_saved_atoms(changes["start"], spec, of_atoms), **values["data_options"]}
    _check_data_options(spec, values["data_options"], values["model_options"].get("cutoff"))
    return Settings(task, model, profile, seed, **{**values, **changes}, changed="" if changed == "{}" else changed)


def check_fixed(
    fixed: dict[str, Any], chosen: dict[str, Any], task: str, advice: str = "leave this option out"
) -> None:
    """Check that options of the model which follow from the data of a task were left as they are.

    Args:
        fixed: option -> value, of those that follow from the data, and maybe others.
        chosen: option -> value, as a user or saved weights have them.
        task: whose data they are.
        advice: what to do about another value.

    Raises:
        UserError: another value.

    >>> check_fixed({"out_channels": 1, "num_layers": 3}, {"out_channels": 3, "num_layers": 2}, "lba")
    Traceback (most recent call last):
    eqgat.errors.UserError: out_channels must be 1 for lba, which follows from its data; got 3: leave this option out
    """
    for name in ("num_elements", "out_channels", "readout"):
        if name in fixed and chosen.get(name, fixed[name]) != fixed[name]:
            raise UserError(
                f"{name} must be {fixed[name]!r} for {task}, which follows from its data; got {chosen[name]!r}: {advice}"
            )


def _check_data_options(task: TaskSpec, values: dict[str, Any], cutoff: float | None) -> None:
    """Check options of the data as far as that goes before the data are there. ``cutoff``: of the model, if it has one."""
    for kind in task.options:
        if isinstance(kind, type):  # a class of options looks at their values when it is made
            kind(**{name: value for name, value in values.items() if name in known_options([kind])})
    if cutoff is not None and "cutoff" in values and values["cutoff"] != cutoff:
        raise UserError(
            f"the edges would have the cutoff {values['cutoff']} Å (--option), and the model {cutoff} Å; "
            f"give --model-option cutoff={values['cutoff']} alone: the edges follow the model"
        )


# What the command line can change against a profile, beside the options; and all that can be changed.
CHANGES = (
    *("epochs", "batch_size", "learning_rate", "precision", "loss", "monitor", "schedule", "stop_after", "start"),
    "standardise_readout",
)
FLAGS = {"n": "--size", "labels": "--labels", "target": "--target", "split": "--split"}  # of options of the data
_TYPED = {"own": [], "own-classes": ["--classes"], "own-res": ["res"]}  # what is typed for a task on own data
_LATER = ("stop_after", "start", "start_weights")
_FREE = {f.name for f in fields(Settings)} - {
    *("task", "model", "profile", "seed", "changed", "model_options", "data_options", "start_weights")
}


def _saved_options(start: str, model: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The options of the model whose weights a run starts from, but for those of its head."""
    if model != "eqgat":
        raise UserError(f"only eqgat can start from saved weights; got {model}")
    saved = asdict(EQGAT.from_pretrained(saved_folder(start)).config)
    other = {k: v for k, v in asked.items() if k not in ("out_channels", "readout") and saved.get(k) != v}
    if other:
        raise UserError(
            f"the weights of {start} are of a model with { ({k: saved.get(k) for k in other}) }; leave {other} out"
        )
    return {k: v for k, v in saved.items() if k not in ("out_channels", "readout")}


def _saved_atoms(start: str, task: TaskSpec, of_atoms: bool) -> dict[str, Any]:
    """Which atoms the graphs held that the weights of ``start`` were trained on, in options that ``task`` has too."""
    saved = saved_settings(start)
    shared = set(task.atom_options) & set(TASKS[saved["task"]].atom_options if saved.get("task") in TASKS else ())
    if not of_atoms:
        shared.discard("radius")  # a whole structure has no centre
    return {name: value for name, value in saved.get("data_options", {}).items() if name in shared}


def _plain(value: Any) -> str:
    """A value as ``--option NAME=VALUE`` takes it: text without quotation marks, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _has_settings(model: str, task: str) -> bool:
    return not MODELS[model].only_named or task in MODELS[model].settings


def models_of(task: str) -> list[str]:
    """The models that have settings for a task: ATOM3D's two baselines are made for its tasks alone.

    >>> "gcn" in models_of("lba"), "gcn" in models_of("triangle")
    (True, False)
    """
    return [model for model in MODELS if _has_settings(model, task)]


def build_model(settings: Settings) -> nn.Module:
    """The model of a run with its initial weights, which depend on the seed alone; random state is left as it was.

    Raises:
        UserError: options that the model cannot have.

    >>> num_parameters(build_model(make_settings("triangle")))
    27411
    """
    try:
        if settings.start:
            return seeded(_started, settings.seed, settings=settings)
        return seeded(MODELS[settings.model].model, settings.seed, **settings.model_options)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{settings.model} cannot be built with {settings.model_options}: {error}") from error


def _started(settings: Settings) -> EQGAT:
    """The model that a run starts from; its ``fresh_parameters`` are not the saved ones."""
    shape = {
        name: settings.model_options[name] for name in ("out_channels", "readout") if name in settings.model_options
    }
    model = EQGAT.from_pretrained(saved_folder(settings.start), **shape)
    if TASKS[settings.task].answers != "residues":
        model.head = EQGAT(model.config).head
        model.fresh_parameters = tuple(f"head.{name}" for name in model.head.state_dict())
    return model
