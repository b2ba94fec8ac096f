"""EQGAT and its variants of Appendix C, as they are trained; and how a model gets its initial weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from eqgat.baselines.spec import ModelSpec
from eqgat.model import EQGAT, EQGATConfig

__all__ = ["FULL", "NO_CROSS_PRODUCT", "NO_FEATURE_ATTENTION", "num_parameters", "seeded"]

Model = TypeVar("Model", bound=nn.Module)

# Triangle (Appendix B): F_s = 32, F_v = 8; 16 radial functions as in the released code, and a norm, which is an
# equivariant one here.
_SETTINGS = {
    "triangle": {
        "model_options": {"scalar_channels": 32, "vector_channels": 8, "num_radial": 16, "norm": "equivariant"}
    }
}
FULL = ModelSpec(
    EQGAT,
    labels={"1": "EQGAT", "2": "EQGAT", "3": "EQGAT-Full", "4": "EQGAT-Full"},
    settings=_SETTINGS,
    fields=EQGATConfig,
)
NO_CROSS_PRODUCT = ModelSpec(
    EQGAT,
    labels={"3": "EQGAT-No-Cross-Product", "4": "EQGAT-No-Cross-Product"},
    variant="no-cross-product",
    options={"cross_product": None},
    settings=_SETTINGS,
    fields=EQGATConfig,
)
NO_FEATURE_ATTENTION = ModelSpec(
    EQGAT,
    labels={"3": "EQGAT-No-Feature-Attention", "4": "EQGAT-No-Feature-Attention"},
    variant="no-feature-attention",
    options={"attention": "scalar"},
    settings=_SETTINGS,
    fields=EQGATConfig,
)


def seeded(kind: Callable[..., Model], seed: int, **options: Any) -> Model:
    """A model whose initial weights depend on the seed alone; the state of the random numbers is left as it was.

    >>> a, b = (seeded(EQGAT, 3, num_elements=2, out_channels=1) for _ in range(2))
    >>> bool((a.embedding.weight == b.embedding.weight).all())
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(**options)


def num_parameters(model: nn.Module) -> int:
    """Number of trainable parameters.

    >>> num_parameters(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
