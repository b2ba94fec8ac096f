"""Settings of every training run, as data: models with their sizes, tasks with their profiles (Table 2, Appendix B)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import nn

from eqgat.training.atom3d_settings import ATOM3D

__all__ = [
    "MODELS",
    "PROFILES",
    "ModelEntry",
    "Settings",
    "build_model",
    "make_settings",
    "models_of",
    "num_parameters",
]


class ModelEntry(NamedTuple):
    """A model by name: where its class is, which variant it is, and what the paper's tables call it."""

    home: str  # module:class
    variant: str  # "" for the model itself
    labels: dict[str, str]  # number of the paper's table -> name of the row
    options: dict[str, Any]  # options that make the variant


_EQGAT = "eqgat.model:EQGAT"
MODELS = {
    "cnn3d": ModelEntry("eqgat.baselines.cnn3d:CNN3D", "", {"1": "CNN"}, {}),
    "gcn": ModelEntry("eqgat.baselines.gcn:GCN", "", {"1": "GNN"}, {}),
    "schnet": ModelEntry("eqgat.baselines.schnet:SchNet", "", {"1": "SchNet", "3": "SchNet"}, {}),
    "painn": ModelEntry("eqgat.baselines.painn:PaiNN", "", {"1": "PaiNN", "3": "PaiNN"}, {}),
    "segnn": ModelEntry("eqgat.baselines.segnn:SEGNN", "", {"1": "SEGNN", "3": "SEGNN"}, {}),
    "gvp": ModelEntry("eqgat.baselines.gvp:GVPGNN", "", {"1": "GVP-GNN", "3": "GVP"}, {}),
    "eqgat": ModelEntry(_EQGAT, "", {"1": "EQGAT", "2": "EQGAT", "3": "EQGAT-Full", "4": "EQGAT-Full"}, {}),
    "eqgat-no-cross-product": ModelEntry(
        _EQGAT,
        "no-cross-product",
        {"3": "EQGAT-No-Cross-Product", "4": "EQGAT-No-Cross-Product"},
        {"cross_product": None},
    ),
    "eqgat-no-feature-attention": ModelEntry(
        _EQGAT,
        "no-feature-attention",
        {"3": "EQGAT-No-Feature-Attention", "4": "EQGAT-No-Feature-Attention"},
        {"attention": "scalar"},
    ),
}


@dataclass(frozen=True)
class Settings:
    """All that determines a run: the same settings on one CPU give the same weights, bit by bit.

    Attributes:
        task, model, profile, seed: which run it is; ``seed`` sets initial weights, order of the batches and dropout.
        epochs, batch_size, learning_rate: ``batch_size`` counts graphs over all devices together.
        schedule: "plateau" (the paper's): after more than ``lr_patience`` epochs without a better validation metric the
            rate is multiplied by ``lr_factor``, down to ``min_lr``; or "cosine": from the rate down to zero over the
            epochs, which suits short runs.
        gradient_clip: largest norm of the gradient.
        standardise: subtract the mean of the training targets and divide by their standard deviation inside the
            loss. Metrics are always of raw targets. False is the paper's way.
        loss: name of a loss that the task has; "" is its default.
        precision: Lightning's name: "32-true", "bf16-mixed" or "64-true".
        model_options, data_options: given to the model and to the task's data.
        changed: what the user changed against the profile, "" for the profile itself.
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
    loss: str = ""
    precision: str = "32-true"
    model_options: dict[str, Any] = field(default_factory=dict)
    data_options: dict[str, Any] = field(default_factory=dict)
    changed: str = ""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "gradient_clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.schedule not in ("plateau", "cosine"):
            raise ValueError(f"schedule must be plateau or cosine; got {self.schedule!r}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative; got {self.seed}")
        if self.precision not in ("32-true", "bf16-mixed", "64-true"):
            raise ValueError(f"precision must be 32-true, bf16-mixed or 64-true; got {self.precision!r}")

    @property
    def run_id(self) -> str:
        """Name of the run's folder and of its results; changed settings have another one."""
        name = f"{self.task}-{self.model}-{self.profile}-seed{self.seed}"
        return f"{name}-{hashlib.sha256(self.changed.encode()).hexdigest()[:8]}" if self.changed else name

    @property
    def command(self) -> str:
        """What to type for this run."""
        words = [f"python -m eqgat train {self.task} --model {self.model} --profile {self.profile} --seed {self.seed}"]
        for name, value in json.loads(self.changed or "{}").items():
            if name == "data_options":
                words += [f"--size {v}" if k == "n" else f"--option {k}={_plain(v)}" for k, v in value.items()]
            elif name == "model_options":
                words += [f"--model-option {k}={_plain(v)}" for k, v in value.items()]
            elif not isinstance(value, dict):
                words.append(f"--{name.replace('_', '-')} {value}")
        return " ".join(words)

    def to_json(self) -> str:
        """All fields, in a form that is equal for equal settings."""
        return json.dumps(asdict(self), sort_keys=True)


# Triangle (Appendix B: 3 layers, F_s = 32, F_v = 8, 50 epochs). What the paper leaves open is as in the released code
# (cutoff 10 Å, 16 radial functions, batch 64, rate 1e-4, a norm), except where that contradicts the paper's equations
# or breaks a symmetry: vectors are averaged (Eq. 6), the norm is an equivariant one, neighbours are not capped.
_TRIANGLE = {"num_elements": 2, "out_channels": 3, "num_layers": 3}
_TRIANGLE_MODELS: dict[str, dict[str, Any]] = {
    "schnet": {"scalar_channels": 32, "num_radial": 16, "norm": "equivariant"},
    "painn": {"scalar_channels": 32, "vector_channels": 8, "num_radial": 16, "norm": "equivariant"},
    "segnn": {"width": 76},
    "gvp": {
        "scalar_channels": 32,
        "vector_channels": 8,
        "edge_scalars": 16,
        "num_radial": 16,
        "num_message": 2,
        "layout": "triangle",
    },
    "eqgat": {"scalar_channels": 32, "vector_channels": 8, "num_radial": 16, "norm": "equivariant"},
}
# Quick Triangle: 30 points at the density of the paper's 100, and the cutoff again as large as the ball's radius.
# Batch and learning rates were chosen on the validation set alone, by runs with --no-test and another seed, whose rows
# are in the store; the epochs are what a minute of one processor allows EQGAT.
_QUICK_RADIUS = round(10.0 * 0.3 ** (1 / 3), 3)
PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "triangle": {
        "full": {
            "epochs": 50,
            "batch_size": 64,
            "learning_rate": 1e-4,
            "data_options": {"n": 50_000, "num_points": 100, "radius": 10.0, "min_distance": 2.0, "seed": 0},
            "model_options": {**_TRIANGLE, "cutoff": 10.0},
            "models": _TRIANGLE_MODELS,
        },
        "quick": {
            "epochs": 7,
            "batch_size": 16,
            "learning_rate": 3e-3,
            "schedule": "cosine",
            "standardise": True,
            "data_options": {"n": 3750, "num_points": 30, "radius": _QUICK_RADIUS, "min_distance": 2.0, "seed": 9},
            "model_options": {**_TRIANGLE, "cutoff": _QUICK_RADIUS},
            "models": _TRIANGLE_MODELS,
        },
    },
    **ATOM3D,
}


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
        ValueError: an unknown task, model, profile or field.
    """
    for kind, name, known in (("task", task, PROFILES), ("model", model, MODELS)):
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(known)}")
    if profile not in PROFILES[task]:
        raise ValueError(f"unknown profile {profile!r}; there are {', '.join(PROFILES[task])}")
    known = {f.name for f in fields(Settings)} - {"task", "model", "profile", "seed", "changed"}
    if wrong := set(changes) - known:
        raise ValueError(f"unknown settings {sorted(wrong)}; there are {sorted(known)}")
    if model not in models_of(task):
        raise ValueError(f"{model} has no settings for {task}; there are {', '.join(models_of(task))}")
    entry, values = MODELS[model], dict(PROFILES[task][profile])
    own = values.pop("own", {}).get(model)
    base = values.pop("models").get("eqgat" if model.startswith("eqgat") else model, {})
    values.update(own or {})
    changes = {
        name: value
        for name, value in changes.items()
        if value is not None and value != values.get(name, Settings.__dataclass_fields__[name].default)
    }
    extra = {"data_options": data_options or {}, "model_options": model_options or {}}
    changed = json.dumps({**changes, **{k: v for k, v in extra.items() if v}}, sort_keys=True)
    values["model_options"] = {**values["model_options"], **base, **entry.options, **extra["model_options"]}
    values["data_options"] = {**values.get("data_options", {}), **extra["data_options"]}
    return Settings(task, model, profile, seed, **{**values, **changes}, changed="" if changed == "{}" else changed)


def _plain(value: Any) -> str:
    """A value as ``--option NAME=VALUE`` takes it: text without quotation marks, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def models_of(task: str) -> list[str]:
    """The models that have settings for a task: ATOM3D's two baselines are made for its tasks alone."""
    return [model for model in MODELS if model not in ("cnn3d", "gcn") or task in ATOM3D]


def build_model(settings: Settings) -> nn.Module:
    """The model of a run with its initial weights, which depend on the seed alone; random state is left as it was."""
    module, name = MODELS[settings.model].home.split(":")
    kind = getattr(import_module(module), name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return kind(**settings.model_options)


def num_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
