"""What an import brings along: whoever wants the model alone waits for torch, and for nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# One process imports ever more of the package, and says after each step which libraries were loaded by then.
STEPS = [
    "from eqgat import EQGAT, EQGATConfig, radius_graph; import eqgat.structures, eqgat.symmetry, eqgat.inspection",
    "import eqgat_course, eqgat_course.grading.session",
    "from eqgat.training import read_results; import eqgat_course.experiments.tables",
    "from eqgat.datasets import load_atom3d; import eqgat.datasets.atom3d.prepared",
    "sys.modules['IPython'] = None; import eqgat.viz",
]
OF_OTHERS = {
    "matplotlib",
    "Bio",
    "atom3d",
    "lmdb",
    "lightning",
    "pytorch_lightning",
    "torchmetrics",
    "e3nn",
    "ipywidgets",
}


@pytest.fixture(scope="module")
def loaded() -> list[set[str]]:
    program = "import json, sys\n" + "\n".join(f"{step}; print(json.dumps([*sys.modules]))" for step in STEPS)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return [set(json.loads(line)) for line in done.stdout.splitlines()]


def test_model_molecules_and_symmetry_bring_torch_scipy_and_gemmi_alone(loaded):
    assert not loaded[0] & (OF_OTHERS | {"IPython", "pandas", "torch_geometric"})


def test_an_answer_of_the_coursework_starts_without_libraries_that_it_may_not_need(loaded):
    assert not loaded[1] & (OF_OTHERS | {"torch_geometric", "nbformat"})


def test_results_are_read_without_the_training_libraries(loaded):
    assert not loaded[2] & {"lightning", "pytorch_lightning", "lmdb", "atom3d"}


def test_data_sets_bring_no_library_of_their_files(loaded):
    assert not loaded[3] & {"lmdb", "atom3d", "Bio", "lightning"}


def test_figures_and_pages_do_not_need_a_notebook(loaded):
    assert "matplotlib" in loaded[4]
