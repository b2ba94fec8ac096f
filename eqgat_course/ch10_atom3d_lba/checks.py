"""Checks of the exercises of notebook 10: an RMSE as a factor, a pocket, a model that never sees a ligand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eqgat_course.ch10_atom3d_lba.study import family_labels, pocket_rows
from eqgat_course.exercises import between, call, exercise, expect, expect_close, gaussian, generator, read, seeded


@exercise("10.1", "What an RMSE of 1.44 means", "predict")
def factor(answer: Any) -> None:
    expect_close(
        answer,
        10**1.44,
        "pK is a logarithm to base 10. By what is K multiplied when pK changes by 1.44?",
        {
            "that is e to the power of 1.44; pK is a logarithm to base 10.": 2.718281828459045**1.44,
            "that is the error of pK itself. The question is about K.": 1.44,
            "that is the error in kcal/mol. The question is by what factor K is off.": 1.44 * 1.364,
            "that is 10 times 1.44. A difference of logarithms is the logarithm of a ratio.": 14.4,
            "that is the factor for one whole unit.": 10.0,
        },
        rtol=0.03,
    )


@exercise("10.2", "Cut out a pocket", "implement", points=2)
def cut_pocket(answer: Any) -> None:
    residues, radius = int(between(101, 35, 50)), between(102, 4.0, 5.5)
    source = generator(102)
    centres = 14.0 * torch.rand(residues, 3, generator=source, dtype=torch.float64)
    order = torch.randperm(5 * residues, generator=source)  # a residue's atoms need not be next to each other
    residue = torch.arange(residues).repeat_interleave(5)[order] + 7
    spread, place = gaussian(103, (5 * residues, 3), (9, 3))
    pos = (centres.repeat_interleave(5, dim=0) + spread)[order]
    ligand = 7.0 + 1.5 * place
    distances = torch.cdist(pos, ligand)
    whole = [residue == number for number in residue.unique()]
    every = torch.stack([distances[own].min(dim=1).values.max() < radius for own in whole])
    mean = torch.stack([torch.cdist(pos[own].mean(dim=0, keepdim=True), ligand).min() < radius for own in whole])
    right = pocket_rows(pos, residue, ligand, radius)

    def of(chosen: Tensor) -> Tensor:
        return torch.isin(residue, residue.unique()[chosen])

    actual = read(call(answer, pos, residue, ligand, radius))
    expect(actual.dtype == torch.bool, f"a mask is expected: True or False for each atom; yours is {actual.dtype}.")
    expect_close(
        actual,
        right,
        "a residue is in as soon as one of its atoms is closer than radius to one atom of the ligand.",
        {
            "these are the near atoms alone. The recipe takes whole residues: all atoms of a residue that has one near.": distances.min(
                dim=1
            ).values
            < radius,
            "this asks for residues with all of their atoms near. One is enough.": of(every),
            "this measures from the middle of a residue; the recipe asks for its nearest atom.": of(mean),
            "this measures to the middle of the ligand; the recipe asks for its nearest atom.": pocket_rows(
                pos, residue, ligand.mean(dim=0, keepdim=True), radius
            ),
            "it uses 6 Å whatever radius says.": pocket_rows(pos, residue, ligand, 6.0),
        },
    )


@exercise("10.3", "Win without looking at a ligand", "break it", points=2)
def blind_model(answer: Any) -> None:
    family, label = (torch.as_tensor(values) for values in family_labels(between=1.5, within=0.8, seed=seeded(103)))

    def errors(test: Tensor) -> tuple[float, float]:
        train = ~test
        result = read(call(answer, family[train], label[train], family[test]))
        expect(tuple(result.shape) == (int(test.sum()),), "return one prediction for each test complex: [m].")
        expect(
            torch.isfinite(result).all(),
            "some predictions are not numbers. What is the mean of the training labels of a protein that has none?",
        )
        trivial = (label[train].mean() - label[test]).square().mean().sqrt()
        return float((result - label[test]).square().mean().sqrt()), float(trivial)

    source = generator(104)
    random = torch.rand(len(label), generator=source) < 0.2
    unknown = torch.isin(family, torch.randperm(60, generator=source)[:12])
    found, trivial = errors(unknown)
    expect(
        found < 1.02 * trivial,
        "for proteins that are not in the training set it is worse than predict-the-mean. Nothing is known about "
        "them: what is the best constant?",
    )
    found, trivial = errors(random)
    expect(
        found < 0.9 * trivial,
        "on the random split it is hardly better than predict-the-mean. The labels of one protein are alike: use "
        "those of the same protein in the training set.",
    )
