"""What a model says of itself to those who train it. One ``ModelSpec`` a model, at the end of its file.

What depends on how a model was built, the model says itself, as attributes: ``hops``, how many edges away an answer at
an atom depends on others (a model without it is taken to see the whole graph); ``has_unused_weights``, whether some
have no gradient, which several processes must be told; ``answers_pairs``, whether it makes one prediction of two
graphs; ``wide_pair_head``, which head it gets otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LIKE_EQGAT", "ModelSpec"]

# Triangle (Appendix B): F_s = 32, F_v = 8; 16 radial functions as in the released code, and a norm, which is an
# equivariant one here.
LIKE_EQGAT = {"scalar_channels": 32, "vector_channels": 8, "num_radial": 16, "norm": "equivariant"}


@dataclass(frozen=True)
class ModelSpec:
    """A model by name.

    Attributes:
        model: its class, called with options by name.
        fields: what has the options as parameters; None: the class.
        variant: "" for the model itself.
        labels: number of the paper's table -> name of the row.
        options: that make the variant.
        settings: task -> fields of ``Settings`` that differ from the task's; "" for tasks that are not named.
        profiles: profile -> fields of ``Settings`` that differ from these in that profile.
        only_named: whether it is made for the tasks in ``settings`` alone.

    >>> from eqgat.baselines.schnet import SPEC
    >>> SPEC.model.__name__, SPEC.labels
    ('SchNet', {'1': 'SchNet', '3': 'SchNet'})
    """

    model: type
    labels: Mapping[str, str] = field(default_factory=dict)
    variant: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    only_named: bool = False
    fields: type | None = None
