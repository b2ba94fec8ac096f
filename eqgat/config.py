"""The options of the model, in one place: what they mean, what they may be, and the paper's values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar, cast

from eqgat.checks import check_options
from eqgat.errors import UserError

__all__ = ["Aggregation", "Attention", "CrossProduct", "EQGATConfig", "Norm", "Readout", "one_config"]

Attention = Literal["feature", "scalar"]
CrossProduct = Literal["raw", "mixed"] | None
Aggregation = Literal["mean", "sum"]
Norm = Literal["equivariant"] | None
Readout = Literal["graph", "node"]
Init = TypeVar("Init", bound=Callable[..., None])


@dataclass(frozen=True)
class EQGATConfig:
    """The options of ``EQGAT``. The defaults are the paper's for the larger ATOM3D tasks (Section 4, Table 2).

    Attributes:
        num_elements: size of the vocabulary of atom types; 9 for proteins, 2 for the Triangle data.
        out_channels: number of targets.
        scalar_channels: F_s, how many numbers an atom carries that no rotation changes.
        vector_channels: F_v, how many vectors an atom carries, which rotate along.
        num_layers: L, how many layers stand one after the other.
        num_radial: K, the number of Bessel functions.
        cutoff: c in Å; must be the cutoff that the edges were built with.
        attention: "feature": one attention weight per scalar channel (paper); "scalar": one per edge
            (ablation No-Feature-Attention).
        cross_product: "raw": v_i x v_j (Eq. 5); "mixed": v_i x (v_j W_v), as in the released code; None: ablation
            No-Cross-Product, which makes the model equivariant under reflections too.
        vector_aggregation: "mean" (Eq. 6) or "sum" (released code on the Triangle data).
        norm: None (paper) or "equivariant": before each layer and after the last.
        readout: "graph": one prediction a graph, from the mean over its atoms; "node": one per atom.

    Raises:
        UserError: an unknown choice, a size below 1, a cutoff that is not positive and finite.

    >>> EQGATConfig(num_elements=9, out_channels=1).cutoff
    4.5
    """

    num_elements: int
    out_channels: int
    scalar_channels: int = 100
    vector_channels: int = 16
    num_layers: int = 5
    num_radial: int = 32
    cutoff: float = 4.5
    attention: Attention = "feature"
    cross_product: CrossProduct = "raw"
    vector_aggregation: Aggregation = "mean"
    norm: Norm = None
    readout: Readout = "graph"

    def __post_init__(self) -> None:
        check_options(type(self), vars(self))


def one_config(init: Init) -> Init:
    """An ``__init__`` that takes one ``EQGATConfig`` or its fields by name, made to refuse both at once.

    It looks at what was given: ``init`` itself cannot tell an option that was left out from one that equals its default.

    Raises:
        UserError: both were given, or something else.

    >>> class Model:
    ...     @one_config
    ...     def __init__(self, config=None, *, cutoff=4.5, fast=True): ...
    >>> Model(EQGATConfig(num_elements=9, out_channels=1, cutoff=6.0), cutoff=4.5)
    Traceback (most recent call last):
    eqgat.errors.UserError: cutoff is given beside an EQGATConfig: give the options by name, or one EQGATConfig, not both; ...
    """

    @wraps(init)
    def checked(self: Any, config: EQGATConfig | None = None, **options: Any) -> None:
        if config is not None and not isinstance(config, EQGATConfig):
            raise UserError(f"give the options by name, or one EQGATConfig; got {config!r}")
        if config is not None and (both := [name for name in options if name in EQGATConfig.__dataclass_fields__]):
            raise UserError(
                f"{', '.join(both)} is given beside an EQGATConfig: give the options by name, or one EQGATConfig, not both; "
                "dataclasses.replace changes a config"
            )
        init(self, config, **options)

    return cast(Init, checked)
