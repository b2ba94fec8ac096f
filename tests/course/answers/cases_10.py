import torch


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


CASES = {
    "10.1": {
        "solution": 27.5,
        "wrong": [
            (1.44, "error of pK itself"),
            (4.22, "e to the power"),
            (1.964, "kcal/mol"),
            (14.4, "10 times 1.44"),
            (10, "one whole unit"),
            (5, "base 10. By what"),
        ],
    },
    "10.2": {
        "solution": cut_pocket,
        "wrong": [
            (lambda p, r, x, radius=6.0: torch.cdist(p, x).min(dim=1).values < radius, "near atoms alone"),
            (every, "all of their atoms near"),
            (middle, "middle of a residue"),
            (lambda p, r, x, radius=6.0: cut_pocket(p, r, x.mean(dim=0, keepdim=True), radius), "middle of the ligand"),
            (lambda p, r, x, radius=6.0: cut_pocket(p, r, x), "6 Å whatever"),
            (lambda p, r, x, radius=6.0: cut_pocket(p, r, x, radius).nonzero().flatten(), "a mask is expected"),
        ],
    },
    "10.3": {
        "solution": blind_model,
        "wrong": [
            (lambda k, y, t: y.mean().expand(len(t)), "hardly better than predict-the-mean"),
            (lambda k, y, t: blind_model(k, y, t, unknown=0.0), "worse than predict-the-mean"),
            (lambda k, y, t: blind_model(k, y, t, unknown=float("nan")), "not numbers"),
            (lambda k, y, t: y.mean(), "one prediction for each"),
        ],
    },
}
