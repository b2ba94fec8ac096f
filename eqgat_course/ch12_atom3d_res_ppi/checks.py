"""Checks of the exercises of notebook 12: how far an answer sees, the area under the ROC curve, unbalanced pairs."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from eqgat.training.metrics import pair_metrics
from eqgat_course.ch12_atom3d_res_ppi.study import auc_by_counting
from eqgat_course.exercises import between, call, exercise, expect, expect_choice, expect_close, gaussian, read


@exercise("12.1", "How far the answer sees", "predict")
def reach(answer: Any) -> None:
    expect_close(
        answer,
        22.5,
        "each layer passes messages over one edge, and no edge is longer than 4.5 Å. How far do five of them reach, "
        "laid end to end in a straight line?",
        {
            "that is one edge; there are five layers, and each lets the news travel one edge further.": 4.5,
            "one edge too few: the first layer already listens to neighbours.": 18.0,
            "one edge too many: the last layer's message into the alpha carbon is the fifth, not the sixth.": 27.0,
            "that is the radius of the environment in the data. The question is about the model.": 17.32,
        },
        atol=1e-2,
    )


@exercise("12.2", "The area under the ROC curve", "implement", points=2)
def roc_auc(answer: Any) -> None:
    size = int(between(121, 30, 60))
    scores, noise = gaussian(122, (size,), (size,))
    labels = (scores + 1.5 * noise > 0.8).long()
    labels[scores.argmax()], labels[scores.argmin()] = 1, 0
    right, tied = auc_by_counting(scores, labels), scores.round()
    positive, negative = scores[labels == 1], scores[labels == 0]
    greater = positive[:, None] > negative[None, :]
    expect_close(
        call(answer, scores, labels),
        right,
        "count the pairs of one positive and one negative in which the positive has the larger score, and divide by "
        "the number of such pairs.",
        {
            "positives and negatives are exchanged: this is 1 minus the area.": 1 - right,
            "this is the number of pairs in order; divide by the number of all pairs.": float(greater.sum()),
            "the number of pairs is (positives) x (negatives); pairs within one class are not counted.": float(
                greater.sum()
            )
            / (len(scores) * (len(scores) - 1) / 2),
            "this is the accuracy with the threshold 0; the area asks for the order alone.": float(
                ((scores > 0).long() == labels).double().mean()
            ),
        },
    )
    expect_close(
        call(answer, tied, labels),
        auc_by_counting(tied, labels),
        "right without ties, but with equal scores it is not. A tie is neither order: count it as one half.",
        {
            "right without ties; here ties count as wrong. A tie is neither order: count it as one half.": float(
                (tied[labels == 1][:, None] > tied[labels == 0][None, :]).double().mean()
            ),
            "right without ties; here ties count as right. A tie is neither order: count it as one half.": float(
                (tied[labels == 1][:, None] >= tied[labels == 0][None, :]).double().mean()
            ),
        },
    )
    expect_close(
        call(answer, 100 * (between(123, 1.0, 3.0) * scores).exp(), labels),
        right,
        "it changes when all scores are passed through an increasing function. Only the order may count.",
    )


@exercise("12.3", "Ten times more negatives", "predict")
def more_negatives(answer: Any) -> None:
    hints = {
        "a": "precision has the false positives in it. With ten times as many negatives, how many false positives come "
        "with the same true ones?",
        "b": "the ROC curve has two shares on its axes: of the positives, and of the negatives. What does a share do "
        "when there are ten times as many of the same kind?",
        "d": "compare the two definitions: one has the number of negatives in it, the other only a share of them.",
    }
    expect_choice(answer, "c", hints)


@exercise("12.4", "A good area and a useless list", "break it", points=2)
def useless_list(answer: Any) -> None:
    expect(
        isinstance(answer, (tuple, list)) and len(answer) == 2,
        "give two tensors of one length: the scores, and the labels 0 or 1",
    )
    scores, labels = (read(part, "scores and labels are lists of numbers").double().reshape(-1) for part in answer)
    expect(len(scores) == len(labels), f"there are {len(scores)} scores and {len(labels)} labels; each score needs one")
    expect(bool(((labels == 0) | (labels == 1)).all()), "labels are 0 (apart) or 1 (touching)")
    expect(0 < int(labels.sum()) < len(labels), "both kinds of pairs are needed: without one, the area is undefined")
    metrics = _metrics(scores, labels)
    expect(
        metrics["roc_auc"] >= 0.9 - 1e-6,
        f"the area under the ROC curve is {metrics['roc_auc']:.3f}. Put the positive above nine tenths of the "
        "negatives.",
    )
    expect(
        metrics["average_precision"] <= 0.1,
        f"the average precision is {metrics['average_precision']:.3f}, so the list is still of use. Keep the share "
        "of negatives above the positive, but make them many: how many pairs that do not touch are there for each "
        "that does?",
    )


def _metrics(scores: Tensor, labels: Tensor) -> dict[str, float]:
    return pair_metrics(scores, labels.long())
