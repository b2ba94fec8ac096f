"""The formula for the number of parameters equals what models have; which printed numbers it confirms."""

from __future__ import annotations

import numpy as np
import pytest

from eqgat import EQGAT
from eqgat.symmetry import rotation_about
from eqgat_course.ch06_update_and_layer.figures import AXES, surrounding_vectors
from eqgat_course.ch06_update_and_layer.study import PUBLISHED, parameter_terms

VARIANTS = [
    *[row.options for row in PUBLISHED],
    {
        "num_elements": 5,
        "out_channels": 7,
        "scalar_channels": 6,
        "vector_channels": 4,
        "num_layers": 1,
        "num_radial": 3,
    },
    {"num_elements": 9, "out_channels": 1, "cross_product": "mixed", "attention": "scalar", "num_layers": 2},
]


@pytest.mark.parametrize("options", VARIANTS, ids=range(len(VARIANTS)))
def test_terms_add_up_to_the_parameters_of_the_model(options):
    assert sum(parameter_terms(**options).values()) == sum(p.numel() for p in EQGAT(**options).parameters())


def test_two_printed_counts_are_wrong():
    counts = {row.name: sum(parameter_terms(**row.options).values()) for row in PUBLISHED}
    assert counts == {
        "LBA": 238_733,
        "PSR": 383_509,
        "RSR": 383_509,
        "RES": 386_628,
        "EQGAT-Full": 27_411,
        "No-Cross-Product": 26_883,
        "No-Feature-Attention": 24_342,
    }
    assert all(counts[row.name] // 1000 == row.printed for row in PUBLISHED if row.table == 2)  # cut off, not rounded
    wrong = [row.name for row in PUBLISHED if row.table == 3 and round(counts[row.name] / 1000, 1) != row.printed]
    assert wrong == ["No-Cross-Product", "No-Feature-Attention"]


@pytest.mark.parametrize(("axis", "zeros"), [("y", [150, 330]), ("z", [163, 343])])
def test_the_released_norm_takes_its_old_value_again_at_two_more_angles(axis, zeros):
    v = surrounding_vectors()

    def excess(degrees):
        return float(
            (rotation_about(AXES[axis], np.radians(degrees)) @ v)[:, 0].square().mean() - v[:, 0].square().mean()
        )

    assert all(excess(zero - 0.6) * excess(zero + 0.6) < 0 for zero in zeros)
    signs = np.sign([excess(degrees) for degrees in range(1, 360) if degrees != 180])
    assert np.count_nonzero(np.diff(signs)) == 3  # the two, and 180 degrees
