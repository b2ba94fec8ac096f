"""A small instructor's notebook made of exercises of the suite, submissions to it, and how they are graded."""

from __future__ import annotations

from pathlib import Path

import nbformat

from eqgat_course.grading.judge import Order
from eqgat_course.grading.sandbox import Limits, weakness

LIMITS = Limits(cell=15.0, total=240.0, memory=1024)
SEED = 4711
ORDER = Order(LIMITS, SEED, isolated=not weakness())

# exercise -> name of the answer, the solution's lines; what is a function in the suite is one here
CROSS = [
    "(a, b, c), (d, e, f) = v[receiver].unbind(1), v[source].unbind(1)",
    "return b_.unsqueeze(1) * torch.stack([b * f - c * e, c * d - a * f, a * e - b * d], dim=1)",
]
FOOL = ["return (a * b).sum(dim=1, keepdim=True) * torch.tensor([0.0, 0.0, 1.0], dtype=a.dtype)"]
GYRATION = ["return (pos - pos.mean(dim=0)).square().sum(dim=1).mean().sqrt()"]
MESSAGE = ["return torch.zeros_like(s).index_add(0, edge_index[1], attention * (s @ weight.T)[edge_index[0]])"]
FUNCTIONS = {
    "05.1": ("cross_term", "v, b_, source, receiver", CROSS),
    "05.4": ("product", "a, b", FOOL),
    "00.2": ("gyration", "pos", GYRATION),
    "03.3": ("scalar_message", "attention, s, weight, edge_index", MESSAGE),
}
VALUES = {
    "05.3": '"b"',
    "09.2": '"b"',
    "04.4": "[-0.5, -0.5, 0.0]",
    "08.1": "1.0",
    "06.4": "6464",
    "03.4": '"b"',
    "07.4": '"ade"',
}


def marks(number: str, **more: object) -> dict:
    return {
        "nbgrader": {
            "schema_version": 3,
            "grade": False,
            "locked": False,
            "solution": False,
            "task": False,
            "grade_id": f"{'ex' if 'solution' in more else 'check'}-{number.replace('.', '-')}",
            **more,
        }
    }


def name_of(number: str) -> str:
    return FUNCTIONS[number][0] if number in FUNCTIONS else "answer_" + number.replace(".", "_")


def answer_cell(number: str) -> nbformat.NotebookNode:
    if number in FUNCTIONS:
        name, arguments, lines = FUNCTIONS[number]
        body = [
            f"def {name}({arguments}):",
            "    ### BEGIN SOLUTION",
            *[f"    {line}" for line in lines],
            "    ### END SOLUTION",
        ]
    else:
        name = name_of(number)
        body = [f"{name} = None", "### BEGIN SOLUTION", f"{name} = {VALUES[number]}", "### END SOLUTION"]
    return nbformat.v4.new_code_cell("\n".join(body), metadata=marks(number, solution=True))


def test_cell(number: str) -> nbformat.NotebookNode:
    lines = [f'check("{number}", {name_of(number)})']
    if number in FUNCTIONS:
        lines += ["### BEGIN HIDDEN TESTS", f'check("{number}", {name_of(number)}, draw=987)', "### END HIDDEN TESTS"]
    return nbformat.v4.new_code_cell("\n".join(lines), metadata=marks(number, grade=True, locked=True, points=2))


test_cell.__test__ = False  # not a test, whatever its name


def instructor(path: Path, *numbers: str) -> Path:
    """Write the instructor's notebook."""
    cells = [
        nbformat.v4.new_markdown_cell("# 05 Tiny"),
        nbformat.v4.new_code_cell("import torch\nfrom eqgat_course import check\nshared = 3"),
    ]
    for number in numbers:
        cells += [nbformat.v4.new_markdown_cell(f"### Exercise {number}"), answer_cell(number), test_cell(number)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def submission(path: Path, source: Path, answers: dict[str, str], delete: tuple[str, ...] = ()) -> Path:
    """Write a submission: the instructor's notebook with these answers, without the cells of these grade_ids."""
    notebook = nbformat.read(source, as_version=4)
    kept = []
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        number = grade_id.removeprefix("ex-").replace("-", ".")
        if grade_id.startswith("ex-") and number in answers:
            cell.source = answers[number]
        if grade_id not in delete:
            kept.append(cell)
    notebook.cells = kept
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path
