import torch


def targets(points, special, order=(0, 1, 2), half=2.0, origin=False, squared=False):
    a, b, c = corners = points[special]
    sides = torch.stack([(a - b).norm(), (b - c).norm(), (c - a).norm()])
    centre = corners.mean(dim=0) - (0 if origin else points.mean(dim=0))
    area = torch.linalg.cross(b - a, c - a).norm() / half
    return torch.stack([centre.norm(), (sides.square() if squared else sides).sum(), area])[list(order)]


def memoriser(train_pos, train_y, test_pos, key=None):
    def fingerprint(pos):
        return (pos - pos.mean(dim=1, keepdim=True)).norm(dim=2)

    key = key or fingerprint
    return train_y[torch.cdist(key(test_pos).flatten(1), key(train_pos).flatten(1)).argmin(dim=1)]


CASES = {
    "09.1": {
        "solution": targets,
        "wrong": [
            (lambda p, s: targets(p, s, order=(0, 2, 1)), "order of the released code"),
            (lambda p, s: targets(p, s, half=1.0), "half of it"),
            (lambda p, s: targets(p, s, origin=True), "starts at the origin"),
            (lambda p, s: targets(p, s, squared=True), "not squared lengths"),
        ],
    },
    "09.2": {
        "solution": "b",
        "wrong": [
            ("a", "squared in Å⁴"),
            ("c", "Which of the two was larger"),
            ("d", "do not shrink by one factor"),
            ("x", "one of the letters"),
        ],
    },
    "09.3": {
        "solution": memoriser,
        "wrong": [
            (lambda x, y, t: y.mean(dim=0).expand(len(t), 3), "not even a training cloud itself"),
            (lambda x, y, t: memoriser(x, y, t, key=lambda pos: pos), "not a rotated copy"),
            (lambda x, y, t: memoriser(x, y, t, key=lambda pos: pos.norm(dim=2)), "also shifted"),
            (lambda x, y, t: y[:1], "one row of three predictions"),
        ],
    },
}
