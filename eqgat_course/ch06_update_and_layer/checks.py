"""Exercises of notebook 06: residual step, gated update, a norm that depends on x, parameters, and an own EQGAT."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, silu
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, EQGATConfig, radius_graph
from eqgat.graph import edge_geometry
from eqgat.layers import (
    Edges,
    EQGATLayer,
    GatedUpdate,
    LayerTrace,
    mean_over_graph,
    sum_over_neighbours,
    vector_length,
)
from eqgat.radial import bessel_basis
from eqgat_course.controls import ReleasedNorm
from eqgat_course.exercises import (
    CheckFailed,
    between,
    call,
    close,
    exercise,
    expect,
    expect_close,
    gaussian,
    gradient,
    read,
    seeded,
)
from eqgat_course.own_functions import layers_of

SMALL = EQGATConfig(num_elements=9, out_channels=1, scalar_channels=6, vector_channels=4, num_radial=5)


@exercise("06.1", "The residual step", "implement", points=2)
def residual_step(answer: Any) -> None:
    scalars, vectors = int(between(61, 5, 9)), int(between(62, 2, 5))
    num_neighbours = torch.tensor([3.0, 1.0, 0.0, 12.0, 2.0], dtype=torch.float64)  # the third atom is alone
    s, scalar_message = gaussian(61, (5, scalars), (5, scalars))
    v, vector_sum = gaussian(63, (5, 3, vectors), (5, 3, vectors))
    scalar_message[2], vector_sum[2] = 0.0, 0.0
    result = call(answer, s, v, scalar_message, vector_sum, num_neighbours)
    expect(isinstance(result, tuple | list) and len(result) == 2, "Return both states: s and v.")
    mean = vector_sum / num_neighbours.clamp(min=1).view(-1, 1, 1)
    expect_close(
        result[0],
        s + scalar_message,
        "The scalars are not s + m_s.",
        {
            "The old scalars are missing: the message is added to s, it does not replace s.": scalar_message,
            "The attention weights of Eq. (2) add up to 1 already: the scalar message is not divided by the "
            "number of neighbours.": s + scalar_message / num_neighbours.clamp(min=1).unsqueeze(1),
        },
    )
    finite = read(result[1]).isfinite()
    expect(finite.all(), "The atom without neighbours has NaN: 0 / 0. Divide by at least 1; its message is zero.")
    expect_close(
        result[1],
        v + mean,
        "The vectors are not v + (1/|N(i)|) times the sum over neighbours.",
        {
            "The old vectors are missing: the message is added to v, it does not replace v.": mean,
            "The sum was added; Eq. (6) has the mean: divide by the number of neighbours first.": v + vector_sum,
            "You divided by |N(i)| + 1. The atom itself is not one of its neighbours; only a 0 is to be avoided.": v
            + vector_sum / (num_neighbours + 1).view(-1, 1, 1),
        },
    )


@exercise("06.2", "The gated update", "implement", points=3)
def gated_update(answer: Any) -> None:
    for scalar_channels, vector_channels, seed in ((6, 4, 1), (5, 5, 2), (int(between(64, 3, 8)), 8, 3)):
        atoms = int(between(seed, 4, 9))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeded(seed))
            update = GatedUpdate(scalar_channels, vector_channels).double()
            s = torch.randn(atoms, scalar_channels, dtype=torch.float64)
            v = torch.randn(atoms, 3, vector_channels, dtype=torch.float64)
        maps = (update.vector_in, update.vector_out, update.hidden, update.out)
        with torch.no_grad():
            result = call(answer, s, v, *maps)
            expect(isinstance(result, tuple | list) and len(result) == 2, "Return both states: s and v.")
            expected = update(s, v)
            mistakes = _update_mistakes(update, s, v)
        for place, name, advice in (
            (0, "scalars", "n = |u|; the last F_s outputs of the MLP are the change of s"),
            (1, "vectors", "the first F_v outputs are the gate g; v + (g ⊙ w) W_1"),
        ):
            expect_close(
                result[place],
                expected[place],
                f"The {name} are wrong. Remember: {advice}.",
                {hint: wrong[place] for hint, wrong in mistakes.items()},
            )
        v[0] = 0.0  # the state in which every atom starts
        for place, name in enumerate("sv"):
            slope = gradient(answer, [s, v, *maps], 1, result=place)
            if slope is None:
                raise CheckFailed(
                    f"The values are right, but no gradient gets from the new {name} to the old v: they are detached, or "
                    "computed outside PyTorch. Such a layer cannot learn."
                )
            expect(
                slope.isfinite().all(),
                "The values are right, but where v = 0 the gradient is NaN or infinite: the root in a length has an "
                "infinite slope at 0, and all vectors are 0 in the first layer. Add a small number under the root.",
            )
        short = 1e-3 * v  # as long as the root of ε
        with torch.no_grad():
            expect_close(
                call(answer, s, short, *maps)[0],
                update(s, short)[0],
                "Right for long vectors, wrong for very short ones: the number under the root is ε = 1e-6. Another one "
                "makes another model, and at the end of this notebook yours is to match eqgat's.",
                rtol=1e-6,
            )


def _update_mistakes(update: GatedUpdate, s: Tensor, v: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Hint -> what the typical mistake makes of (s, v)."""
    channels = v.shape[2]

    def run(u: Tensor, w: Tensor, activation: Any = silu, gate_function: Any = lambda g: g) -> tuple[Tensor, Tensor]:
        gate, change = update.out(activation(update.hidden(torch.cat([s, vector_length(u)], dim=1)))).split(
            [channels, s.shape[1]], dim=1
        )
        return change, update.vector_out(gate_function(gate).unsqueeze(1) * w)

    def reordered(lengths_first: bool) -> tuple[Tensor, Tensor]:
        """The input of the MLP in the wrong order, or its output."""
        lengths = vector_length(u)
        given = torch.cat([lengths, s] if lengths_first else [s, lengths], dim=1)
        parts = update.out(silu(update.hidden(given))).split(
            [channels, s.shape[1]] if lengths_first else [s.shape[1], channels], dim=1
        )
        gate, change = parts if lengths_first else parts[::-1]
        return s + change, v + update.vector_out(gate.unsqueeze(1) * w)

    u, w = update.vector_in(v).split(channels, dim=2)
    right, swapped, linear = run(u, w), run(w, u), run(u, w, activation=lambda x: x)
    gated = run(u, w, gate_function=torch.sigmoid)
    ungated = run(u, w, gate_function=torch.ones_like)
    return {
        "The second residual is missing: the update adds its result to s and to v.": right,
        "u and w are exchanged: the first half of v W_0 gives the lengths, the second half is gated.": (
            s + swapped[0],
            v + swapped[1],
        ),
        "The MLP takes [s || n], the scalars first and the lengths after them.": reordered(lengths_first=True),
        "The MLP gives [g || Δs]: its first F_v outputs are the gate, the F_s others the change of s.": reordered(
            lengths_first=False
        ),
        "The MLP has no non-linearity: SiLU stands between its two linear maps.": (s + linear[0], v + linear[1]),
        "A sigmoid on the gate is a good idea, but not this model: the gate is the bare output of the MLP.": (
            s + gated[0],
            v + gated[1],
        ),
        "The gate is missing: multiply w, channel by channel, by g before W_1.": (s + ungated[0], v + ungated[1]),
    }


@exercise("06.4", "What the cross product costs", "predict")
def cross_product_cost(answer: Any) -> None:
    expect_close(
        answer,
        6464,
        "Count what vanishes: b_ji,2 has F_v outputs, each with F_s weights and a bias, in each "
        "layer that has a cross product.",
        {
            "The first layer has no cross product (v = 0), so only 4 of the 5 layers lose outputs.": 8080,
            "Each of the F_v outputs has a bias too, not only F_s weights.": 6400,
            "That is one layer. The model has five, of which the first has no cross product.": 1616,
            "Each of the F_v outputs has a bias too, and the first layer has no cross product.": 8000,
        },
    )


@exercise("06.3", "Two rotations for the released norm", "break it", points=2)
def released_norm_rotations(answer: Any) -> None:
    expect(isinstance(answer, tuple | list | Tensor) and len(answer) == 2, "Hand in two matrices: (harmless, harmful).")
    harmless, harmful = (read(matrix, "Hand in two matrices").to(torch.float64) for matrix in answer)
    eye = torch.eye(3, dtype=torch.float64)
    for name, matrix in (("first", harmless), ("second", harmful)):
        expect(matrix.shape == (3, 3), f"The {name} matrix must be 3 by 3; it is {list(matrix.shape)}.")
        expect(
            close(matrix @ matrix.T, eye) and float(torch.linalg.det(matrix)) > 0,
            f"The {name} matrix is no rotation: Q Qᵀ must be the identity, and det Q = +1.",
        )
    expect(not close(harmless, eye, atol=1e-3), "The identity is no test: choose a rotation that moves something.")
    good, bad = _norm_error(harmless), _norm_error(harmful)
    expect(
        good < 1e-5,
        f"The first rotation changes the normalised vectors by {100 * good:.3g} %. The norm sees only "
        "v_x²: which rotations leave v_x² of every vector as it is?",
    )
    expect(
        bad > 0.5,
        f"The second rotation changes the normalised vectors by only {100 * bad:.3g} %. It should move "
        "the long x components to another axis altogether.",
    )


def _norm_error(matrix: Tensor) -> float:
    """Largest relative error of ReleasedNorm(Q v) against Q ReleasedNorm(v), for vectors that are long along x."""
    (v,) = gaussian(64, (20, 3, 4))
    v[:, 0] *= 3
    s, batch, norm = v.new_zeros(20, 2), torch.zeros(20, dtype=torch.int64), ReleasedNorm(2).double()
    with torch.no_grad():
        expected = matrix @ norm(s, v, batch, 1)[1]
        return float((norm(s, matrix @ v, batch, 1)[1] - expected).norm() / expected.norm())


@exercise("06.5", "One layer of your own functions", "implement", points=3)
def own_layer(answer: Any) -> None:
    for first, seed in ((False, 65), (True, 66)):
        layer, s, v, edges, pos = _layer_and_atoms(first, seeded(seed))
        (weights,) = layers_of({f"layers.0.{name}": value for name, value in layer.state_dict().items()})
        edge_index = torch.stack([edges.source, edges.receiver])
        with torch.no_grad():
            result = call(
                answer,
                {name: value.clone() for name, value in weights.items()},
                *(given.clone() for given in (s, v, pos, edge_index, edges.radial)),
            )
            expect(isinstance(result, tuple | list) and len(result) == 2, "Return both states: s and v.")
            record = layer(s, v, edges)
            mistakes = _layer_mistakes(layer, s, v, edges, record)
        for place, name in enumerate(("scalars", "vectors")):
            right = (record.s, record.v)[place]
            expect_close(
                result[place],
                right,
                _nearly(result[place], right)
                or f"The {name} of the {'first' if first else 'second'} layer are wrong. Compare your steps with the "
                "list above the exercise, one after the other.",
                {hint: wrong[place] for hint, wrong in mistakes.items()},
                rtol=1e-9,
                atol=1e-10,
            )


def _nearly(found: Any, right: Tensor) -> str:
    """A hint for numbers that only lack digits, so that no step is to blame; "" for others."""
    if not close(read(found), right):
        return ""
    return (
        "Your numbers agree with eqgat's to five digits, and should to nine. So your steps are right, and one of the "
        "functions in them is not exact: float32 comes from torch.zeros without a dtype, or from a tensor of integers "
        "times a number, as for k in 02.1."
    )


def _layer_and_atoms(first: bool, seed: int) -> tuple[EQGATLayer, Tensor, Tensor, Edges, Tensor]:
    """A layer with random weights and biases, and seven atoms in random states, of which the last is alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = EQGATLayer(SMALL, first=first).double()
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.5)
        pos = 2.5 * torch.rand(7, 3, dtype=torch.float64)
        s, v = torch.randn(7, 6, dtype=torch.float64), torch.randn(7, 3, 4, dtype=torch.float64)
    pos[6] += 100
    if first:
        v = torch.zeros_like(v)
    source, receiver = edge_index = radius_graph(pos, 2.2)
    distance, direction = edge_geometry(pos, edge_index)
    count = torch.bincount(receiver, minlength=7).to(pos.dtype)
    return layer, s, v, Edges(source, receiver, distance, direction, bessel_basis(distance, 2.2, 5), count), pos


def _layer_mistakes(
    layer: EQGATLayer, s: Tensor, v: Tensor, edges: Edges, record: LayerTrace
) -> dict[str, tuple[Tensor, Tensor]]:
    """Hint -> what the typical mistake makes of (s, v)."""
    m_s, m_v, bias = record.scalar_message, record.vector_message, layer.scalar_weight.bias
    heard = (edges.num_neighbours > 0).unsqueeze(1)
    mistakes = {
        "The bias of W_s is missing: add it to the scalar message.": layer.update(s + m_s - heard * bias, v + m_v),
        "An atom without neighbours hears nothing, not even the bias of W_s: its scalar message is zero.": layer.update(
            s + m_s + ~heard * bias, v + m_v
        ),
        "The residual step is missing: the messages are added to s and v, and the sums go into the update.": (
            layer.update(m_s, m_v)
        ),
        "The gated update is missing: it comes after the residual step.": (s + m_s, v + m_v),
        "The vector message is the mean over the neighbours (Eq. 6), not the sum.": layer.update(
            s + m_s, v + m_v * edges.num_neighbours.view(-1, 1, 1)
        ),
    }
    if layer.vector_weight is not None:
        turned = deepcopy(layer)
        turned.load_state_dict({**layer.state_dict(), "vector_weight.weight": layer.vector_weight.weight.T})
        wrong = turned(s, v, edges)
        mistakes["vector_weight.weight is the transpose of W_v, as nn.Linear stores it: hand over its .T."] = (
            wrong.s,
            wrong.v,
        )
    return mistakes


@exercise("06.6", "The whole model of your own functions", "implement", points=3)
def own_model(answer: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(67))
        model = EQGAT(
            num_elements=9, out_channels=2, scalar_channels=6, vector_channels=4, num_layers=2, num_radial=8
        ).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        molecules = [
            Data(z=torch.randint(9, (n,)), pos=pos, edge_index=radius_graph(pos, 4.5))
            for n, size in ((5, 3.0), (8, 6.0))
            for pos in (size * torch.rand(n, 3, dtype=torch.float64),)
        ]
    data = Batch.from_data_list(molecules)
    given = (data.z, data.pos, data.edge_index, data.batch)
    with torch.no_grad():
        result = call(
            answer,
            {name: value.clone() for name, value in model.state_dict().items()},
            *(tensor.clone() for tensor in given),
        )
        expected = model(data)
        s, v = model.encode(data)
        h = model.readout(s, v)
        summed = sum_over_neighbours(h, data.batch, 2)
        unmixed = model.readout.out(torch.cat([s, vector_length(v)], dim=1))
        linear_head = nn.Sequential(*list(model.head.children())[::2])(mean_over_graph(h, data.batch, 2))
        mistakes = {
            "You added up the atoms of each molecule; the readout takes their mean.": model.head(summed),
            "The mean is over the atoms of each molecule, not over all of them: `batch` says which atom is whose.": (
                model.head(h.mean(dim=0, keepdim=True)).expand(2, -1)
            ),
            "The readout mixes the channels of v with V before it takes lengths.": model.head(
                mean_over_graph(unmixed, data.batch, 2)
            ),
            "SiLU is missing between the two linear maps of the head.": linear_head,
            "The head comes after the mean over the atoms, not before it.": mean_over_graph(
                model.head(h), data.batch, 2
            ),
        }
    expect_close(
        result,
        expected,
        _nearly(result, expected)
        or "The predictions differ from eqgat's with the same weights. Is the radial input the envelope (p = 6) times the "
        "Bessel functions, v = 0 at the start, and the order of the layers right?",
        mistakes,
        rtol=1e-10,
        atol=1e-10,
    )


@exercise("06.7", "A training loop", "implement", points=3)
def own_training(answer: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(68))
        model = EQGAT(
            num_elements=9, out_channels=1, scalar_channels=6, vector_channels=3, num_layers=1, num_radial=4
        ).double()
        with torch.no_grad():  # loud, so that gradients are longer than 0.3 whatever is drawn
            cast("Tensor", model.head[2].weight).mul_(30)
        pos = 3 * torch.rand(8, 4, 3, dtype=torch.float64)
        graphs = [
            Data(z=torch.randint(1, 4, (4,)), pos=place, edge_index=radius_graph(place, 4.5)) for place in pos.unbind()
        ]
    batch, label = Batch.from_data_list(graphs), torch.tensor([1.0, 0.0] * 4, dtype=torch.float64)
    with torch.enable_grad():
        losses = call(answer, deepcopy(model), batch, label, 4)
        right = _train(model, batch, label, 4)
        mistakes = {
            "The gradients of earlier steps are still there: call optimiser.zero_grad() in each step.": _train(
                model, batch, label, 4, forget=False
            ),
            "The gradients are not clipped: torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3) stands between "
            "backward() and step().": _train(model, batch, label, 4, clip=float("inf")),
            "The learning rate is 0.005; Adam's own default is 0.001.": _train(model, batch, label, 4, rate=1e-3),
            "The loss does not change from step to step: does your loop call backward() and optimiser.step()?": (
                right[:1] * 4
            ),
            "The loss of a step is the one from before its update.": [*right[1:], right[-1]],
        }
    expect(
        isinstance(losses, list | tuple | Tensor) and len(losses) == 4,
        "Return a list with the loss of each step, as many as there are steps.",
    )
    expect_close(
        torch.as_tensor([float(loss) for loss in losses], dtype=torch.float64),
        torch.tensor(right, dtype=torch.float64),
        "The losses are not those of the recipe. Adam with learning rate 0.005; in each step zero_grad, the loss of "
        "model(batch).squeeze(1) with binary_cross_entropy_with_logits, backward, clipping at 0.3, step.",
        {hint: torch.tensor(wrong, dtype=torch.float64) for hint, wrong in mistakes.items()},
        rtol=1e-6,
    )


def _train(
    model: EQGAT, batch: Data, label: Tensor, steps: int, rate: float = 5e-3, clip: float = 0.3, forget: bool = True
) -> list[float]:
    """The losses of a copy of the model in training; ``forget``: the gradients of the step before."""
    model = deepcopy(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        if forget:
            optimiser.zero_grad()
        loss = binary_cross_entropy_with_logits(model(batch).squeeze(1), label)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        losses.append(loss.item())
    return losses
