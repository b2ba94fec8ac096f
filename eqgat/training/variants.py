"""EQGAT and its variants of Appendix C, as they are trained."""

from __future__ import annotations

from typing import Any

from torch import nn

from eqgat.baselines.spec import LIKE_EQGAT, ModelSpec
from eqgat.model import EQGAT, EQGATConfig

__all__ = ["FULL", "NO_CROSS_PRODUCT", "NO_FEATURE_ATTENTION", "num_parameters"]

_SHARED: dict[str, Any] = {"settings": {"triangle": {"model_options": LIKE_EQGAT}}, "fields": EQGATConfig}
FULL = ModelSpec(EQGAT, {**dict.fromkeys("12", "EQGAT"), **dict.fromkeys("34", "EQGAT-Full")}, **_SHARED)
NO_CROSS_PRODUCT = ModelSpec(
    EQGAT, dict.fromkeys("34", "EQGAT-No-Cross-Product"), "no-cross-product", {"cross_product": None}, **_SHARED
)
NO_FEATURE_ATTENTION = ModelSpec(
    EQGAT, dict.fromkeys("34", "EQGAT-No-Feature-Attention"), "no-feature-attention", {"attention": "scalar"}, **_SHARED
)


def num_parameters(model: nn.Module) -> int:
    """Number of trainable parameters.

    >>> num_parameters(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
