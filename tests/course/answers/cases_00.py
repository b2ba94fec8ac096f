"""Right and typically wrong answers to the exercises of notebook 00."""


def gyration(pos):
    return (pos - pos.mean(dim=0)).square().sum(dim=1).mean().sqrt()


def extent_along_x(pos):
    return (pos - pos.mean(dim=0))[:, 0].abs().max()


CASES = {
    "00.1": {
        "solution": "neither",
        "wrong": [
            ("v", "does the arrow from one atom to another notice"),
            ("both", "compute p_i - p_j"),
            ("nothing", "one of the words"),
        ],
    },
    "00.2": {
        "solution": gyration,
        "wrong": [
            (lambda pos: pos.square().sum(dim=1).mean().sqrt(), "subtract their mean position"),
            (lambda pos: (pos - pos.mean(0)).square().sum(1).sum().sqrt(), "summed over the atoms"),
            (lambda pos: (pos - pos.mean(0)).square().sum(1).mean(), "root is missing"),
            (lambda pos: (pos - pos.mean(0)).norm(dim=1).mean(), "root of the mean square"),
        ],
    },
    "00.3": {
        "solution": extent_along_x,
        "wrong": [
            (gyration, "it is invariant"),
            (lambda pos: pos[:, 0].max(), "a translation changes it already"),
            (lambda pos: pos[:, 0], "one number is asked for"),
        ],
    },
}
