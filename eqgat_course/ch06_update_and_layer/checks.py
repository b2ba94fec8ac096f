"""Exercises of notebook 06: the residual step, the gated update, counting parameters, a norm that depends on x."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from eqgat.layers import GatedUpdate, vector_length
from eqgat.symmetry import ReleasedNorm
from eqgat_course.exercises import call, close, exercise, expect, expect_close, seeded


@exercise("06.1", "the residual step", "implement", points=2)
def residual_step(answer: Any) -> None:
    generator = torch.Generator().manual_seed(seeded(61))
    s, scalar_message = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    v, vector_sum = torch.randn(2, 4, 3, 5, generator=generator, dtype=torch.float64)
    num_neighbours = torch.tensor([3.0, 1.0, 0.0, 12.0], dtype=torch.float64)
    scalar_message[2], vector_sum[2] = 0.0, 0.0  # the third atom is alone
    result = call(answer, s.clone(), v.clone(), scalar_message.clone(), vector_sum.clone(), num_neighbours.clone())
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
    finite = torch.as_tensor(result[1]).isfinite()
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


@exercise("06.2", "the gated update", "implement", points=3)
def gated_update(answer: Any) -> None:
    for scalar_channels, vector_channels, seed in ((6, 4, 1), (5, 5, 2)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeded(seed))
            update = GatedUpdate(scalar_channels, vector_channels).double()
            s = torch.randn(7, scalar_channels, dtype=torch.float64)
            v = torch.randn(7, 3, vector_channels, dtype=torch.float64)
        with torch.no_grad():
            result = call(answer, s.clone(), v.clone(), update.vector_in, update.vector_out, update.hidden, update.out)
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


@exercise("06.4", "what the cross product costs", "predict")
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


@exercise("06.3", "two rotations for the released norm", "break it", points=2)
def released_norm_rotations(answer: Any) -> None:
    expect(isinstance(answer, tuple | list) and len(answer) == 2, "Hand in two matrices: (harmless, harmful).")
    harmless, harmful = (torch.as_tensor(matrix).to(torch.float64) for matrix in answer)
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
        good < 1e-9,
        f"The first rotation changes the normalised vectors by {100 * good:.2g} %. The norm sees only "
        "v_x²: which rotations leave v_x² of every vector as it is?",
    )
    expect(
        bad > 0.5,
        f"The second rotation changes the normalised vectors by only {100 * bad:.2g} %. It should move "
        "the long x components to another axis altogether.",
    )


def _norm_error(matrix: Tensor) -> float:
    """Largest relative error of ReleasedNorm(Q v) against Q ReleasedNorm(v), for vectors that are long along x."""
    generator = torch.Generator().manual_seed(seeded(64))
    v = torch.randn(20, 3, 4, generator=generator, dtype=torch.float64)
    v[:, 0] *= 3
    s, batch, norm = v.new_zeros(20, 2), torch.zeros(20, dtype=torch.int64), ReleasedNorm(2).double()
    with torch.no_grad():
        expected = matrix @ norm(s, v, batch, 1)[1]
        return float((norm(s, matrix @ v, batch, 1)[1] - expected).norm() / expected.norm())
