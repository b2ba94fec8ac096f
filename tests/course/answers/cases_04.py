import torch


def direction_term(pos, edge_index, b):
    source, receiver = edge_index
    relative = pos[receiver] - pos[source]
    direction = relative / relative.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return direction.unsqueeze(2) * b.unsqueeze(1)


def no_clamp(pos, edge_index, b):
    relative = pos[edge_index[1]] - pos[edge_index[0]]
    return (relative / relative.norm(dim=1, keepdim=True)).unsqueeze(2) * b.unsqueeze(1)


def unnormalised(pos, edge_index, b):
    return (pos[edge_index[1]] - pos[edge_index[0]]).unsqueeze(2) * b.unsqueeze(1)


def mixing_term(v, weight, b, edge_index):
    return b.unsqueeze(1) * (v @ weight)[edge_index[0]]


def vector_message(terms, receiver, num_nodes, divide=True, smallest=1):
    total = torch.zeros(num_nodes, *terms.shape[1:], dtype=terms.dtype).index_add(0, receiver, terms)
    count = torch.bincount(receiver, minlength=num_nodes).clamp(min=smallest).view(-1, 1, 1)
    return total / count if divide else total


CASES = {
    "04.1": {
        "solution": direction_term,
        "wrong": [
            (lambda pos, e, b: direction_term(pos, e.flip(0), b), "the sign is turned round"),
            (unnormalised, "not divided by their length"),
            (lambda pos, e, b: direction_term(pos, e, b).transpose(1, 2), "the axes are exchanged"),
            (lambda pos, e, b: (pos[e[1]] - pos[e[0]]).sign().unsqueeze(2) * b.unsqueeze(1), "component is normalised"),
            (no_clamp, "two atoms in one place"),
        ],
    },
    "04.2": {
        "solution": mixing_term,
        "wrong": [
            (lambda v, w, b, e: b.unsqueeze(1) * (w @ v)[e[0]], "from the left"),
            (lambda v, w, b, e: mixing_term(v, w.T, b, e), "W_v is transposed"),
            (lambda v, w, b, e: mixing_term(v, w, b, e.flip(0)), "vectors of the receiver"),
            (lambda v, w, b, e: b.unsqueeze(2) * (v @ w)[e[0]], "b scales the components"),
            (lambda v, w, b, e: (v @ w)[e[0]], "coefficients b are missing"),
        ],
    },
    "04.3": {
        "solution": vector_message,
        "wrong": [
            (lambda t, r, n: vector_message(t, r, n, divide=False), "summed instead of averaged"),
            (lambda t, r, n: vector_message(t, r, n, smallest=0), "atom without neighbours"),
            (lambda t, r, n: vector_message(t, r, n, divide=False) / len(r), "number of all edges"),
        ],
    },
    "04.4": {
        "solution": [-0.5, -0.5, 0.0],
        "wrong": [
            ([0.5, 0.5, 0.0], "the sign"),
            ([-1.0, -1.0, 0.0], "divides by the number"),
            ([-1.0, -1.5, 0.0], "unit vectors"),
            ([0.0, 0.0, 0.0], "draw it"),
        ],
    },
    "04.5": {
        "solution": lambda v: v**3,
        "wrong": [
            (torch.relu, "a quarter turn catches"),
            (lambda v: 2 * v, "not broken"),
            (lambda v: v.norm(dim=1), "of the same shape"),
            (lambda v: v / v.square().mean(dim=0).sqrt(), "each vector by itself"),
        ],
    },
}
