"""The parameters of EQGAT, counted by formula, beside the numbers that Tables 2 and 3 of the paper print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["PUBLISHED", "Published", "parameter_terms"]


def parameter_terms(
    num_elements: int,
    out_channels: int,
    scalar_channels: int = 100,
    vector_channels: int = 16,
    num_layers: int = 5,
    num_radial: int = 32,
    attention: str = "feature",
    cross_product: str | None = "raw",
    norm: str | None = None,
) -> dict[str, int]:
    """Trainable parameters, term by term; their sum is the number of parameters of ``EQGAT`` with these options."""
    fs, fv, layers = scalar_channels, vector_channels, num_layers
    logits = fs if attention == "feature" else 1
    terms = 1 + (layers - 1) * (2 if cross_product is None else 3)  # of F_v coefficients each, in all layers together
    outputs = layers * logits + terms * fv
    return {
        "embedding": num_elements * fs,
        "filter, hidden": layers * ((2 * fs + num_radial) * fs + fs),
        "filter, out": outputs * fs + outputs,
        "W_s": layers * (fs * fs + fs),
        "W_v": (layers - 1) * fv * fv,
        "update": layers * (2 * fv * fv + fv * fv + (fs + fv) * fs + fs + fs * (fv + fs) + fv + fs),
        "readout": fv * fv + (fs + fv) * fs + fs,
        "head": fs * fs + fs + fs * out_channels + out_channels,
        "norms": 0 if norm is None else (layers + 1) * 2 * fs,
    }


@dataclass(frozen=True)
class Published:
    """A row of Table 2 or 3: the options of the model whose parameters were printed at start-up, and the number."""

    table: int
    name: str
    options: dict[str, Any]
    printed: float  # thousands


_TRIANGLE = {
    "num_elements": 2,
    "out_channels": 3,
    "scalar_channels": 32,
    "vector_channels": 8,
    "num_layers": 3,
    "num_radial": 16,
    "norm": "equivariant",
}
PUBLISHED = (
    Published(2, "LBA", {"num_elements": 9, "out_channels": 1, "num_layers": 3, "norm": "equivariant"}, 238),
    Published(2, "PSR", {"num_elements": 9, "out_channels": 1}, 383),
    Published(2, "RSR", {"num_elements": 9, "out_channels": 1}, 383),
    Published(2, "RES", {"num_elements": 9, "out_channels": 20, "norm": "equivariant"}, 386),
    Published(3, "EQGAT-Full", _TRIANGLE, 27.4),
    Published(3, "No-Cross-Product", {**_TRIANGLE, "cross_product": None}, 27.4),
    Published(3, "No-Feature-Attention", {**_TRIANGLE, "attention": "scalar"}, 27.4),
)
