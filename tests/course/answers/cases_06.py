"""Right and wrong answers to the exercises of notebook 06."""

from fractions import Fraction

import numpy as np
import torch
from case import Case, detached, in_float32, in_numpy
from torch.nn.functional import binary_cross_entropy_with_logits, silu
from torch_geometric.data import Data

from eqgat import EQGAT
from eqgat.symmetry import random_reflection, rotation_about
from eqgat_course.own_functions import PARTS, layers_of


def residual(s, v, scalar_message, vector_sum, num_neighbours):
    return s + scalar_message, v + vector_sum / num_neighbours.clamp(min=1).view(-1, 1, 1)


def update(
    s, v, vector_in, vector_out, hidden, out, swap=False, activation=silu, gate_function=lambda g: g, old=1.0, eps=1e-6
):
    u, w = vector_in(v).split(v.shape[2], dim=2)
    if swap:
        u, w = w, u
    length = (u.square().sum(dim=1) + eps).sqrt()
    gate, change = out(activation(hidden(torch.cat([s, length], dim=1)))).split([v.shape[2], s.shape[1]], dim=1)
    return old * s + change, old * v + vector_out(gate_function(gate).unsqueeze(1) * w)


def lengths_first(s, v, vector_in, vector_out, hidden, out):
    return update(s, v, vector_in, vector_out, lambda x: hidden(x.roll(v.shape[2], dims=1)), out)


def change_first(s, v, vector_in, vector_out, hidden, out):
    return update(s, v, vector_in, vector_out, hidden, lambda x: out(x).roll(v.shape[2], dims=1))


def changed(**options):
    return lambda *args: update(*args, **options)


def residual_in_a_loop(s, v, scalar_message, vector_sum, num_neighbours):
    means = [total / n if n else total for total, n in zip(vector_sum, num_neighbours.tolist(), strict=True)]
    return [s + scalar_message, v + torch.stack(means)]


def residual_in_numpy(s, v, scalar_message, vector_sum, num_neighbours):
    return s + scalar_message, v + np.einsum("nxc,n->nxc", vector_sum, 1 / np.maximum(num_neighbours, 1))


def update_by_chunks(s, v, vector_in, vector_out, hidden, out):
    """The lengths by PyTorch's norm, with the root of ε as a fourth component; the gate by einsum."""
    u, w = vector_in(v).chunk(2, dim=2)
    lengths = torch.linalg.norm(torch.nn.functional.pad(u, (0, 0, 0, 1), value=1e-3), dim=1)
    both = out(silu(hidden(torch.cat([s, lengths], dim=1))))
    gate, change = both[:, : v.shape[2]], both[:, v.shape[2] :]
    return s.add(change), torch.einsum("nxc,dc->nxd", w * gate[:, None], vector_out.weight) + v


def update_in_a_loop(s, v, vector_in, vector_out, hidden, out):
    rows = [update(s[i : i + 1], v[i : i + 1], vector_in, vector_out, hidden, out) for i in range(len(s))]
    return torch.cat([row[0] for row in rows]), torch.cat([row[1] for row in rows])


def update_in_float32(s, v, *maps):
    """Everything in fewer digits: the maps are rounded as well."""

    def rounded(linear):
        bias = None if linear.bias is None else linear.bias.float()
        return lambda x: torch.nn.functional.linear(x, linear.weight.float(), bias)

    return update(s.float(), v.float(), *map(rounded, maps))


def bare_root(s, v, vector_in, vector_out, hidden, out):
    u, w = vector_in(v).split(v.shape[2], dim=2)
    length = u.square().sum(dim=1).sqrt()
    gate, change = out(silu(hidden(torch.cat([s, length], dim=1)))).split([v.shape[2], s.shape[1]], dim=1)
    return s + change, v + vector_out(gate.unsqueeze(1) * w)


def part(name):
    return PARTS[name].suite


def layer(
    w,
    s,
    v,
    pos,
    edge_index,
    radial,
    bias=1.0,
    to_all=False,
    old=1.0,
    transpose=True,
    mean=True,
    updated=True,
    cross=1.0,
):
    source, receiver = edge_index
    count = torch.bincount(receiver, minlength=len(s)).unsqueeze(1)
    first = (w["filter.hidden.weight"], w["filter.hidden.bias"])
    second = (w["filter.out.weight"], w["filter.out.bias"])
    a, b_0, b_1, b_2 = part("edge_filter")(s, radial, edge_index, *first, *second, v.shape[2])
    attention = part("my_softmax")(a, receiver, len(s))
    m_s = part("scalar_message")(attention, s, w["scalar_weight.weight"], edge_index)
    m_s = m_s + bias * w["scalar_weight.bias"] * (torch.ones_like(count) if to_all else count > 0)
    W_v = w["vector_weight.weight"].T if transpose else w["vector_weight.weight"]
    terms = part("my_direction_term")(pos, edge_index, b_0) + part("my_mixing_term")(v, W_v, b_1, edge_index)
    terms = terms + cross * part("cross_term")(v, b_2, source, receiver)
    m_v = part("my_vector_message")(terms, receiver, len(s)) * (1 if mean else count.unsqueeze(2))
    if not updated:
        return s + m_s, v + m_v
    maps = [linear(w, f"update.{name}") for name in ("vector_in", "vector_out", "hidden", "out")]
    return update(old * s + m_s, old * v + m_v, *maps)


def linear(w, name):
    return lambda x: x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def different(function, **options):
    return lambda *args: function(*args, **options)


def model(
    w, z, pos, edge_index, batch, mean="molecule", mixed=True, act=silu, head_first=False, envelope=True, layers=2
):
    source, receiver = edge_index
    distance = (pos[receiver] - pos[source]).norm(dim=1)
    radial = part("my_bessel_basis")(distance, 4.5, 8)
    if envelope:
        radial = radial * part("my_envelope")(distance, 4.5, 6).unsqueeze(1)
    s = w["embedding.weight"][z]
    v = s.new_zeros(len(z), 3, len(w["readout.vector.weight"]))
    for each in layers_of(w)[:layers]:
        s, v = layer(each, s, v, pos, edge_index, radial)
    length = ((linear(w, "readout.vector")(v) if mixed else v).square().sum(dim=1) + 1e-6).sqrt()
    h = linear(w, "readout.out")(torch.cat([s, length], dim=1))
    count = torch.bincount(batch).unsqueeze(1)

    def head(x):
        return linear(w, "head.2")(act(linear(w, "head.0")(x)))

    def total(x):
        return x.new_zeros(len(count), x.shape[1]).index_add(0, batch, x)

    if head_first:
        return total(head(h)) / count
    if mean == "all":
        return head(h.mean(dim=0).expand(len(count), -1))
    return head(total(h) / (count if mean == "molecule" else 1))


def training(model, batch, label, steps, rate=5e-3, clip=0.3, forget=True, learn=True, late=False):
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        if forget:
            optimiser.zero_grad()
        loss = binary_cross_entropy_with_logits(model(batch).squeeze(1), label)
        if learn:
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimiser.step()
        losses.append(loss.item())
    return losses


X, Z = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)

QUARTER = rotation_about(Z, torch.pi / 2)


def layer_edge_by_edge(w, s, v, pos, edge_index, radial):
    """The layer as a loop over atoms and their neighbours."""
    hidden, out, value = (linear(w, name) for name in ("filter.hidden", "filter.out", "scalar_weight"))
    num_scalar, num_vector = s.shape[1], v.shape[2]
    new_s, new_v = s.clone(), v.clone()
    for i in range(len(s)):
        edges = (edge_index[1] == i).nonzero().flatten().tolist()
        if not edges:
            continue
        sources = edge_index[0, edges]
        f = torch.stack([out(silu(hidden(torch.cat([s[i], s[edge_index[0, e]], radial[e]])))) for e in edges])
        a, b_0, b_1, b_2 = f.split([num_scalar, *[num_vector] * 3], dim=1)
        new_s[i] = s[i] + (a.softmax(dim=0) * value(s[sources])).sum(dim=0)
        unit = torch.nn.functional.normalize(pos[i] - pos[sources], dim=1)
        mixed = torch.einsum("nxf,gf->nxg", v[sources], w["vector_weight.weight"])
        crossed = torch.linalg.cross(v[i].expand_as(mixed), v[sources], dim=1)
        terms = torch.einsum("nx,nf->nxf", unit, b_0) + b_1.unsqueeze(1) * mixed + b_2.unsqueeze(1) * crossed
        new_v[i] = v[i] + terms.mean(dim=0)
    return update(new_s, new_v, *(linear(w, f"update.{name}") for name in ("vector_in", "vector_out", "hidden", "out")))


def model_molecule_by_molecule(w, z, pos, edge_index, batch):
    """Each molecule by itself, in a loop; its atoms stand together."""
    results = []
    for number in range(int(batch[-1]) + 1):
        mine = batch == number
        first, inside = int(mine.nonzero()[0]), mine[edge_index[0]]
        alone = torch.zeros_like(batch[mine])
        results.append(model(w, z[mine], pos[mine], edge_index[:, inside] - first, alone))
    return torch.cat(results)


def model_of_the_library(w, z, pos, edge_index, batch):
    """The reference model itself, with these weights."""
    sizes = {"scalar_channels": w["embedding.weight"].shape[1], "vector_channels": len(w["readout.vector.weight"])}
    outputs = len(w["head.2.weight"])
    own = EQGAT(num_elements=9, out_channels=outputs, num_layers=len(layers_of(w)), num_radial=8, **sizes).double()
    own.load_state_dict(w)
    return own(Data(z=z, pos=pos, edge_index=edge_index, batch=batch)).detach()


def training_by_hand(model, batch, label, steps):
    """Gradients from autograd.grad, clipping and the cross-entropy written out."""
    weights = list(model.parameters())
    optimiser = torch.optim.Adam(weights, lr=5e-3)
    losses = []
    for _ in range(steps):
        logit = model(batch)[:, 0]
        loss = (torch.log1p((-logit.abs()).exp()) + logit.clamp(min=0) - logit * label).mean()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        norm = sum(g.square().sum() for g in gradients if g is not None).sqrt()
        for weight, g in zip(weights, gradients, strict=True):
            weight.grad = None if g is None else g * min(1.0, 0.3 / (float(norm) + 1e-6))
        optimiser.step()
        losses.append(loss.item())
    return losses


CASES = {
    "06.1": Case(
        right=[
            residual,
            residual_in_a_loop,
            in_numpy(residual_in_numpy),
            in_float32(residual),
            lambda s, v, m, total, n: (s + m, v + torch.where(n > 0, 1 / n, 0.0)[:, None, None] * total),
        ],
        wrong=[
            (lambda s, v, m, total, n: (m, v + total), "old scalars are missing"),
            (lambda s, v, m, total, n: (s + m, v + total), "Eq. (6) has the mean"),
            (lambda s, v, m, total, n: (s + m, v + total / n.view(-1, 1, 1)), "0 / 0"),
            (lambda s, v, m, total, n: (s + m, v + total / (n + 1).view(-1, 1, 1)), "|N(i)| + 1"),
            (lambda s, v, m, total, n: (s + m, residual(s, 0 * v, m, total, n)[1]), "old vectors"),
            (lambda s, v, m, total, n: (s + m / n.clamp(min=1).unsqueeze(1), v), "add up to 1 already"),
            (lambda s, v, m, total, n: s + m, "both states"),
            (lambda s, v, m, total, n: (s, v), "The scalars are not s + m_s"),
            (lambda s, v, m, total, n: (s + m, v + total / 3), "The vectors are not v +"),
        ],
    ),
    "06.2": Case(
        right=[update, update_by_chunks, update_in_a_loop, update_in_float32],
        wrong=[
            (changed(old=0.0), "second residual"),
            (changed(swap=True), "exchanged"),
            (lengths_first, "the scalars first"),
            (change_first, "first F_v outputs are the gate"),
            (changed(activation=lambda x: x), "no non-linearity"),
            (changed(gate_function=torch.sigmoid), "bare output"),
            (changed(gate_function=torch.ones_like), "gate is missing"),
            (changed(activation=torch.relu), "The scalars are wrong"),
            (bare_root, "where v = 0 the gradient is NaN"),
            (changed(eps=1e-8), "wrong for very short ones"),
            (detached(update), "no gradient gets from the new s"),
            (
                lambda s, v, *maps: (update(s, v, *maps)[0], update(s, v, *maps)[1].detach()),
                "from the new v to the old v",
            ),
            (lambda s, v, *maps: update(s, v, *maps)[0], "Return both states"),
        ],
    ),
    "06.3": Case(
        right=[
            (rotation_about(X, 1.0), QUARTER),
            [rotation_about(X, -2.5).numpy(), rotation_about((0.0, 1.0, 0.0), torch.pi / 2).numpy()],
            (torch.diag(torch.tensor([-1.0, -1.0, 1.0])), QUARTER.float()),
            ([[1, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
            torch.stack([rotation_about(X, 1.0), QUARTER]),
        ],
        wrong=[
            ((rotation_about(Z, 1.0), rotation_about(Z, 1.5)), "only v_x²"),
            ((rotation_about(X, 1.0), rotation_about(X, 1.5)), "move the long x components"),
            ((torch.eye(3), rotation_about(Z, 1.5)), "identity is no test"),
            ((random_reflection(0), rotation_about(Z, 1.5)), "no rotation"),
            ((rotation_about(X, 1.0), 2 * QUARTER), "second matrix is no rotation"),
            ((torch.eye(2), QUARTER), "must be 3 by 3"),
            (rotation_about(X, 1.0), "two matrices"),
        ],
    ),
    "06.4": Case(
        right=[6464, "6464", "6,464", 4 * (100 * 16 + 16.0), Fraction(6464), torch.tensor(6464)],
        wrong=[
            (8080, "4 of the 5 layers"),
            ("6400", "has a bias too, not only"),
            (1616.0, "one layer"),
            ("8,000", "and the first layer has no cross product"),
            (12345, "Count what vanishes"),
            ("many", "a number or tensor is expected"),
        ],
    ),
    "06.5": Case(
        right=[layer, lambda *args: list(layer(*args)), layer_edge_by_edge],
        wrong=[
            (different(layer, bias=0.0), "bias of W_s is missing"),
            (different(layer, to_all=True), "without neighbours hears nothing"),
            (different(layer, old=0.0), "residual step is missing"),
            (different(layer, updated=False), "gated update is missing"),
            (different(layer, mean=False), "not the sum"),
            (different(layer, transpose=False), "hand over its .T"),
            (different(layer, cross=-1.0), "one after the other"),
            (lambda *args: layer(*args)[0], "both states"),
            (lambda *args: [state.float().double() for state in layer(*args)], "is not exact"),
        ],
    ),
    "06.6": Case(
        right=[model, model_molecule_by_molecule, model_of_the_library],
        wrong=[
            (different(model, mean="sum"), "takes their mean"),
            (different(model, mean="all"), "which atom is whose"),
            (different(model, mixed=False), "before it takes lengths"),
            (different(model, act=lambda x: x), "SiLU is missing"),
            (different(model, head_first=True), "after the mean"),
            (different(model, envelope=False), "the envelope"),
            (lambda *args: model(*args)[:1], "shape should be [2, 2]"),
            (lambda *args: model(*args).float().double(), "is not exact"),
        ],
    ),
    "06.7": Case(
        right=[training, lambda *args: torch.tensor(training(*args)), training_by_hand],
        wrong=[
            (different(training, forget=False), "zero_grad"),
            (different(training, clip=1e9), "not clipped"),
            (different(training, rate=1e-3), "default is 0.001"),
            (different(training, learn=False), "does not change"),
            (different(training, rate=0.1), "not those of the recipe"),
            (lambda *args: training(*args)[:3], "as many as there are steps"),
        ],
    ),
}
