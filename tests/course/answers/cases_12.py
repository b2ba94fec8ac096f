import torch


def area(scores, labels, tie=0.5, positive=1):
    above, below = scores[labels == positive], scores[labels == 1 - positive]
    difference = above[:, None] - below[None, :]
    return ((difference > 0).double() + tie * (difference == 0).double()).mean()


def ranked(negatives, above):
    """One positive with so many of the negatives above it."""
    scores = torch.cat([torch.zeros(1), torch.ones(above), -torch.ones(negatives - above)])
    return scores, torch.tensor([1] + [0] * negatives)


CASES = {
    "12.1": {
        "solution": 22.5,
        "wrong": [
            (4.5, "there are five layers"),
            (18.0, "one edge too few"),
            (27.0, "one edge too many"),
            (17.32, "about the model"),
            (10.0, "laid end to end"),
        ],
    },
    "12.2": {
        "solution": area,
        "wrong": [
            (lambda s, y: area(s, y, positive=0), "exchanged"),
            (lambda s, y: area(s, y) * (y == 1).sum() * (y == 0).sum(), "divide by the number of all pairs"),
            (lambda s, y: area(s, y) * (y == 1).sum() * (y == 0).sum() / (len(y) * (len(y) - 1) / 2), "one class"),
            (lambda s, y: ((s > 0).long() == y).double().mean(), "accuracy"),
            (lambda s, y: area(s, y, tie=0.0), "ties count as wrong"),
            (lambda s, y: area(s, y, tie=1.0), "ties count as right"),
            (lambda s, y: None, "returned nothing"),
        ],
    },
    "12.3": {
        "solution": "c",
        "wrong": [("a", "false positives"), ("b", "two shares"), ("d", "two definitions"), ("e", "one of the letters")],
    },
    "12.4": {
        "solution": ranked(700, 30),
        "wrong": [
            (ranked(30, 1), "still of use"),
            (ranked(700, 300), "nine tenths"),
            ((torch.zeros(3), torch.zeros(3)), "both kinds"),
            ((torch.zeros(3), torch.tensor([0, 1])), "each score needs one"),
            ((torch.zeros(3), torch.tensor([0, 1, 2])), "labels are 0"),
            (torch.zeros(3), "two tensors"),
        ],
    },
}
