"""The models that can be trained, by name. Importing the list imports none of them."""

from __future__ import annotations

from eqgat.baselines.spec import ModelSpec
from eqgat.registry import Registry

__all__ = ["MODELS"]

# One line a model: its file. A file is imported when its model is first asked for.
MODELS: Registry[ModelSpec] = Registry(
    "model",
    {
        "cnn3d": "eqgat.baselines.cnn3d:SPEC",
        "gcn": "eqgat.baselines.gcn:SPEC",
        "schnet": "eqgat.baselines.schnet:SPEC",
        "painn": "eqgat.baselines.painn:SPEC",
        "segnn": "eqgat.baselines.segnn:SPEC",
        "gvp": "eqgat.baselines.gvp:SPEC",
        "eqgat": "eqgat.training.variants:FULL",
        "eqgat-no-cross-product": "eqgat.training.variants:NO_CROSS_PRODUCT",
        "eqgat-no-feature-attention": "eqgat.training.variants:NO_FEATURE_ATTENTION",
    },
)
