"""Right and wrong answers to the exercises of notebook 10."""

import numpy as np
import pandas as pd
import torch
from case import Case, in_float32, in_numpy
from scipy.spatial import KDTree


def cut_pocket(pos, residue, ligand_pos, radius=6.0):
    near = torch.cdist(pos, ligand_pos).min(dim=1).values < radius
    return torch.isin(residue, residue[near])


def middle(pos, residue, ligand_pos, radius=6.0):
    found = [
        number
        for number in residue.unique().tolist()
        if torch.cdist(pos[residue == number].mean(dim=0, keepdim=True), ligand_pos).min() < radius
    ]
    return torch.isin(residue, torch.tensor(found))


def every(pos, residue, ligand_pos, radius=6.0):
    far = torch.cdist(pos, ligand_pos).min(dim=1).values >= radius
    return ~torch.isin(residue, residue[far])


def blind_model(protein, pk, test, unknown=None):
    unknown = pk.mean() if unknown is None else torch.tensor(unknown, dtype=pk.dtype)
    own = [pk[protein == number] for number in test.tolist()]
    return torch.stack([labels.mean() if len(labels) else unknown for labels in own])


def pocket_in_a_loop(pos, residue, ligand_pos, radius=6.0):
    near = {int(number) for p, number in zip(pos, residue, strict=True) if (ligand_pos - p).norm(dim=1).amin() < radius}
    return [int(number) in near for number in residue]


def pocket_by_tree(pos, residue, ligand_pos, radius=6.0):
    return np.isin(residue, residue[KDTree(ligand_pos).query(pos)[0] < radius])


def by_pandas(protein, pk, test):
    return pd.Series(test).map(pd.Series(pk).groupby(protein).mean()).fillna(pk.mean()).to_numpy()


def shrunk(protein, pk, test):
    """Towards the mean of all, the more the fewer there are."""
    count = torch.bincount(protein, minlength=int(test.max()) + 1)
    total = torch.zeros(len(count), dtype=pk.dtype).index_add(0, protein, pk - pk.mean())
    return (pk.mean() + total / (count + 0.3))[test]


CASES = {
    "10.1": Case(
        right=[27.5, 10**1.44, "27.54", np.float32(27.5), torch.tensor([28.0])],
        wrong=[
            (1.44, "error of pK itself"),
            (4.22, "e to the power"),
            (1.964, "kcal/mol"),
            ("14.4", "10 times 1.44"),
            (10, "one whole unit"),
            (5, "base 10. By what"),
            ("a lot", "a number or tensor is expected"),
        ],
    ),
    "10.2": Case(
        right=[cut_pocket, pocket_in_a_loop, in_numpy(pocket_by_tree), in_float32(cut_pocket)],
        wrong=[
            (lambda p, r, x, radius=6.0: torch.cdist(p, x).min(dim=1).values < radius, "near atoms alone"),
            (every, "all of their atoms near"),
            (middle, "middle of a residue"),
            (lambda p, r, x, radius=6.0: cut_pocket(p, r, x.mean(dim=0, keepdim=True), radius), "middle of the ligand"),
            (lambda p, r, x, radius=6.0: cut_pocket(p, r, x), "6 Å whatever"),
            (lambda p, r, x, radius=6.0: cut_pocket(p, r, x, radius).nonzero().flatten(), "a mask is expected"),
            (lambda p, r, x, radius=6.0: ~cut_pocket(p, r, x, radius), "a residue is in as soon as"),
            (lambda p, r, x, radius=6.0: cut_pocket(p, r, x, radius)[1:], "shape should be"),
        ],
    ),
    "10.3": Case(
        right=[blind_model, in_numpy(by_pandas), shrunk, lambda k, y, t: blind_model(k, y, t).tolist()],
        wrong=[
            (lambda k, y, t: y.mean().expand(len(t)), "hardly better than predict-the-mean"),
            (lambda k, y, t: blind_model(k, y, t, unknown=0.0), "worse than predict-the-mean"),
            (lambda k, y, t: blind_model(k, y, t, unknown=float("nan")), "not numbers"),
            (lambda k, y, t: y.mean(), "one prediction for each"),
            (lambda k, y, t: y[torch.arange(len(t)) % len(y)], "worse than predict-the-mean"),
        ],
    ),
}
