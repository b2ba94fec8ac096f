"""Right and wrong answers to the exercises of notebook 00."""

import numpy as np
import torch
from case import Case, constant, in_float32, in_numpy, only_for


def gyration(pos):
    return (pos - pos.mean(dim=0)).square().sum(dim=1).mean().sqrt()


def gyration_from_pairs(pos):
    return (torch.cdist(pos, pos).square().sum() / 2).sqrt() / len(pos)


def gyration_in_a_loop(pos):
    centre = sum(pos) / len(pos)
    return (sum(float((p - centre) @ (p - centre)) for p in pos) / len(pos)) ** 0.5


def extent_along_x(pos):
    return (pos - pos.mean(dim=0))[:, 0].abs().max()


CASES = {
    "00.1": Case(
        right=["neither", "Neither", " (neither) ", ["neither"]],
        wrong=[
            ("v", "does the arrow from one atom to another notice"),
            ("S", "Does a distance change"),
            ("both", "compute p_i - p_j"),
            ("nothing", "one of the words"),
            (0, "one of the words"),
        ],
    ),
    "00.2": Case(
        right=[
            gyration,
            gyration_from_pairs,
            gyration_in_a_loop,
            in_float32(gyration),
            in_numpy(lambda p: np.sqrt(np.cov(p.T, ddof=0).trace())),
            lambda pos: torch.linalg.svdvals(pos - pos.mean(0)).norm() / len(pos) ** 0.5,
        ],
        wrong=[
            (lambda pos: pos.square().sum(dim=1).mean().sqrt(), "subtract their mean position"),
            (lambda pos: (pos - pos.mean(0)).square().sum(1).sum().sqrt(), "summed over the atoms"),
            (lambda pos: (pos - pos.mean(0)).square().sum(1).mean(), "root is missing"),
            (lambda pos: (pos - pos.mean(0)).norm(dim=1).mean(), "root of the mean square"),
            (lambda pos: (pos - pos.mean(0)).square().mean().sqrt(), "averaged over the three coordinates"),
            (lambda pos: pos.var(dim=0).sum().sqrt(), "divided by N - 1"),
            (constant(6.0), "take each atom's distance"),
            (only_for(33, gyration), "take each atom's distance"),
        ],
    ),
    "00.3": Case(
        right=[
            extent_along_x,
            lambda pos: pos[0, 2] - pos[1, 2],
            in_numpy(lambda p: np.ptp(p[:, 1])),
            in_float32(lambda pos: pos.double()[:, :2].var(dim=0).sum()),
            lambda pos: [float(pos[:, 2].std())],
        ],
        wrong=[
            (gyration, "it is invariant"),
            (lambda pos: pos[:, 0].max(), "a translation changes it already"),
            (lambda pos: torch.sin(2 * torch.pi / 7 * pos[0, 0]), "a translation changes it already"),
            (lambda pos: (pos - pos.mean(0))[:, 0].sum(), "it is invariant"),
            (constant(1.0), "it is invariant"),
            (lambda pos: torch.rand(1), "called again"),
            (lambda pos: pos[:, 0], "one number is asked for"),
            (constant(float("nan")), "NaN or infinite"),
        ],
    ),
}
