"""The shortest training there is: Adam on a loss, for demonstrations and small fits. Whole runs are ``train``'s."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["fit"]


def fit(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    steps: int,
    learning_rate: float = 1e-3,
    clip: float | None = None,
    before: Callable[[int], object] | None = None,
) -> list[float]:
    """Take ``steps`` steps of Adam, in place.

    Args:
        model: whose parameters are trained.
        loss: number of the step -> the loss, a scalar.
        steps: how many.
        learning_rate: of Adam.
        clip: largest norm of the gradient; None: it is not clipped.
        before: called with the number of each step before it is taken, and with ``steps`` at the end.

    Returns:
        The loss before each step.

    >>> model = nn.Linear(1, 1)
    >>> losses = fit(model, lambda step: model(torch.ones(1, 1)).square().sum(), steps=100, learning_rate=0.1)
    >>> losses[-1] < losses[0]
    True
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    history = []
    for step in range(steps):
        if before is not None:
            before(step)
        value = loss(step)
        optimizer.zero_grad()
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        history.append(float(value.detach()))
    if before is not None:
        before(steps)
    return history
