import torch


def upright(vectors, positions, axis=2, centre=True, divide=True, absolute=True):
    if centre:
        positions = positions - positions.mean(dim=0)
    component = vectors @ torch.linalg.svd(positions)[2][axis]
    if divide:
        component = component / vectors.norm(dim=1)
    return component.abs() if absolute else component


CASES = {
    "08.1": {
        "solution": 1,
        "wrong": [
            (1 / 15.8, "mean of α over the edges"),
            (15.8, "number of neighbours"),
            (459, "all atoms receive"),
            (2.0, "gives away a fixed total"),
        ],
    },
    "08.2": {
        "solution": upright,
        "wrong": [
            (lambda v, p: upright(v, p, axis=0), "first axis"),
            (lambda v, p: upright(v, p, axis=1), "second axis"),
            (lambda v, p: upright(v, p, centre=False), "not centred"),
            (lambda v, p: upright(v, p, divide=False), "not divided by the length"),
            (lambda v, p: upright(v, p, absolute=False), "sign is left in"),
            (lambda v, p: (1 - upright(v, p) ** 2).sqrt(), "lies in the plane"),
        ],
    },
    "08.3": {
        "solution": lambda p, x: (p * x).sum(dim=1),
        "wrong": [
            (lambda p, x: p[:, 2], "changes when the protein is turned"),
            (lambda p, x: p.norm(dim=1), "the mirror image gets the same colours"),
            (lambda p, x: (p + x).norm(dim=1), "not opposite"),
            (lambda p, x: (p * x).sum(), "one number for each atom"),
        ],
    },
}
