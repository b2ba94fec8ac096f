"""Settings of the five ATOM3D tasks, as data: Section 4 and Table 2; for what these leave open, the released code.

The quick profile has the same models, for some minutes on one core of a CPU and small data: a larger learning rate that
falls to zero along a cosine, smaller batches, targets standardised inside the loss (regression), and in PPI whole
complexes with pairs drawn anew in every epoch. It was chosen by validation metrics alone.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ATOM3D"]

# F_s = 100, F_v = 16, 32 radial functions, 4.5 Å; no norm, because the paper has none.
_MODELS: dict[str, dict[str, Any]] = {
    "schnet": {},
    "painn": {},
    "segnn": {"num_layers": 3},
    "gvp": {"num_layers": 5},
    "eqgat": {},
}


def _task(
    layers: int,
    epochs: int,
    batch_size: int,
    quick: dict[str, Any],
    gcn: dict[str, Any],
    cnn3d: dict[str, Any],
    *,
    models: dict[str, dict[str, Any]] = _MODELS,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """Both profiles of a task. "own" replaces settings for ATOM3D's baselines, which trained in another way."""
    common = {"num_elements": 9, "num_layers": layers, "cutoff": 4.5, **options}
    base = {"batch_size": batch_size, "learning_rate": 1e-4, "model_options": common, "models": models}
    own = {
        name: {**settings, "epochs": 3, "schedule": "plateau", "standardise": False}
        for name, settings in (("gcn", gcn), ("cnn3d", cnn3d))
    }
    return {
        "full": {**base, "epochs": epochs, "own": {"gcn": gcn, "cnn3d": cnn3d}},
        "quick": {**base, "learning_rate": 1e-3, "schedule": "cosine", **quick, "own": own},
    }


def _own(epochs: int, learning_rate: float, batch_size: int, options: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "model_options": options,
        "data_options": data,
    }


_POLYMER, _RNA = ("C", "O", "N", "S"), ("C", "O", "N", "P")
ATOM3D: dict[str, dict[str, dict[str, Any]]] = {
    "lba": _task(
        3,
        20,
        16,
        {"epochs": 3, "batch_size": 8, "standardise": True},
        out_channels=1,
        gcn=_own(100, 1e-4, 16, {"last_width": 8, "head_width": 4, "readout": "sum", "ligand": True}),
        cnn3d=_own(
            50, 1e-3, 16, {"elements": ("H", "C", "O", "N", "F"), "radius": 20.0, "resolution": 1.0, "center": "ligand"}
        ),
    ),
    "psr": _task(
        5,
        30,
        16,
        {"epochs": 3, "batch_size": 4, "learning_rate": 2e-3, "standardise": True},
        out_channels=1,
        gcn=_own(20, 1e-4, 40, {}, hydrogens=True),
        cnn3d=_own(20, 1e-4, 16, {"elements": _POLYMER, "radius": 40.0, "resolution": 1.3}),
    ),
    "rsr": _task(
        5,
        30,
        16,
        {"epochs": 3, "batch_size": 8, "standardise": True},
        out_channels=1,
        gcn=_own(20, 1e-4, 32, {}, hydrogens=True),
        cnn3d=_own(30, 1e-4, 16, {"elements": _RNA, "radius": 40.0, "resolution": 1.3}),
    ),
    "res": _task(
        5,
        40,
        32,
        {"epochs": 8, "batch_size": 8},
        out_channels=20,
        readout="node",
        gcn=_own(5, 1e-4, 64, {"out_channels": 20, "last_width": 2, "readout": "center"}),
        cnn3d=_own(
            5,
            1e-4,
            64,
            {
                "out_channels": 20,
                "elements": ("C", "O", "N", "S", "P"),
                "radius": 9.5,
                "resolution": 1.0,
                "center": "backbone",
                "layout": "residue",
            },
        ),
    ),
    # PPI is not in Table 2: the released code's settings. SEGNN reads out as many numbers an atom as EQGAT.
    "ppi": _task(
        5,
        10,
        10,
        {"epochs": 12, "batch_size": 1, "data_options": {"drawn_pairs": 25}},
        out_channels=1,
        readout="node",
        models={**_MODELS, "segnn": {"num_layers": 3, "out_channels": 100}},
        gcn=_own(20, 1e-3, 16, {"last_width": 2, "head_width": 4, "readout": "pair"}, hydrogens=True),
        cnn3d=_own(
            30,
            1e-5,
            16,
            {"elements": _POLYMER, "radius": 17.0, "resolution": 1.0, "center": "alpha_carbon", "layout": "pair"},
        ),
    ),
}
