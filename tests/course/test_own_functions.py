"""The capstone of notebook 06: whose functions it takes, and that together they are EQGAT."""

from __future__ import annotations

import nbformat
import pytest
import torch

from eqgat import EQGAT
from eqgat_course.own_functions import PARTS, collect, layers_of

SCALAR_MESSAGE = """\
def scalar_message(attention, s, weight, edge_index):
    source, receiver = edge_index
    return empty_like(s).zero_().index_add(0, receiver, attention * (s @ weight.T)[source])"""


def notebook(folder, number, answer):
    """A notebook with an import, something that cannot run, and the answer cell of an exercise."""
    answer_cell = nbformat.v4.new_code_cell(answer, metadata={"nbgrader": {"grade_id": f"ex-{number}"}})
    cells = [
        nbformat.v4.new_code_cell(text) for text in ("from torch import empty_like\n1 / 0", "%matplotlib inline\nx =")
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=[*cells, answer_cell]), folder / f"{number[:2]}_title.ipynb")


@pytest.mark.parametrize(
    ("answer", "whose"),
    [
        (SCALAR_MESSAGE, "yours"),
        (SCALAR_MESSAGE.replace("attention * ", ""), "the suite's; yours does not pass its check"),
        ("def scalar_message(attention, s, weight, edge_index):\n    # YOUR ANSWER HERE\n    ...", "yours is blank"),
        ("scalar_message = helper", "the suite's; name 'helper' is not defined"),
    ],
)
def test_the_list_says_whose_each_function_is(tmp_path, capsys, answer, whose):
    notebook(tmp_path, "03-3", answer)
    parts = collect(tmp_path)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["scalar_message"].endswith(whose)
    assert "no answer cell of exercise 03.2 in 03_title.ipynb" in lines["my_softmax"]
    assert "no notebook 05 in this folder" in lines["cross_term"]
    assert (parts.scalar_message is PARTS["scalar_message"].suite) == (whose != "yours")


def test_a_part_can_be_taken_from_the_suite(tmp_path, capsys):
    notebook(tmp_path, "03-3", SCALAR_MESSAGE)
    assert collect(tmp_path, suite=["scalar_message"]).scalar_message is PARTS["scalar_message"].suite
    assert "the suite's; as you asked" in capsys.readouterr().out
    with pytest.raises(KeyError, match="'softmax' is no part of the model"):
        collect(tmp_path, suite=["softmax"])


def test_what_the_first_layer_leaves_out_is_zero():
    model = EQGAT(num_elements=9, out_channels=1, scalar_channels=6, vector_channels=4, num_layers=2, num_radial=8)
    first, second = layers_of(model.state_dict())
    assert {name: value.shape for name, value in first.items()} == {name: value.shape for name, value in second.items()}
    assert torch.equal(first["filter.out.weight"][:10], model.layers[0].filter.out.weight)
    assert not first["filter.out.weight"][10:].any()
    assert not first["vector_weight.weight"].any()
