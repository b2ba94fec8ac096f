"""The examples in the docstrings run and give what they say, and the public functions and classes have one."""

from __future__ import annotations

import ast
import doctest
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import eqgat
import eqgat_course

LIBRARY = [name for _, name, _ in pkgutil.walk_packages(eqgat.__path__, "eqgat.") if not name.endswith("__main__")]
COURSE = [
    name
    for _, name, is_package in pkgutil.walk_packages(eqgat_course.__path__, "eqgat_course.")
    if not is_package and (name.count(".") == 1 or name.startswith("eqgat_course.experiments."))
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# Modules, and single names, that go without an example, and why.
WITHOUT = {
    "eqgat.cli": "the command itself: `eqgat --help` lists examples",
    "eqgat.datasets.cli": "commands",
    "eqgat.training.cli": "commands",
    "eqgat.fast": "the inside of EQGAT.forward",
    "eqgat.training.engine": "the inside of a run",
    "eqgat.training.run": "a run takes minutes; `eqgat train` has examples",
    "eqgat.training.checkpoint": "the inside of a run",
    "eqgat.datasets.atom3d.download": "needs the network",
    "eqgat.datasets.atom3d.prepare": "needs an archive",
    "eqgat.datasets.atom3d.prepared": "needs an archive",
    "eqgat.datasets.atom3d.complexes": "needs the data of PPI",
    "eqgat.datasets.atom3d.data.Atom3DData": "what its two kinds share",
    "eqgat.datasets.atom3d.data.warn_of_broken": "the inside of load_atom3d",
    "eqgat.datasets.atom3d.lmdb.LMDBItems": "read_lmdb has one",
    "eqgat.datasets.atom3d.load.open_items": "the inside of load_atom3d",
    "eqgat.datasets.atom3d.psr.parse": "the inside of a data set",
    "eqgat.datasets.atom3d.spec": "how the tasks' files are written",
    "eqgat.datasets.atom3d.trivial.openness": "needs the data of PPI",
    "eqgat.datasets.atom3d.trivial.plain_scores": "needs the data of PSR",
    "eqgat.training.evaluation.evaluate": "needs a trained model and data; chapter 15 runs it",
    "eqgat.training.own.own_settings": "needs a table of labels; its five lines run in the tests of own data",
    "eqgat.training.results.git_commit": "depends on the checkout",
    "eqgat.training.results.read_predictions": "needs a run",
    "eqgat.training.results.write_results": "needs a run",
    "eqgat.training.tasks": "takes the data of a task",
    "eqgat.viz": "draws; what it draws is tested as pictures",
}


def test_the_examples_are_found() -> None:
    assert len(LIBRARY) > 50
    assert "eqgat.model" in LIBRARY
    assert len(COURSE) > 10


@pytest.mark.parametrize("name", [*LIBRARY, *COURSE])
def test_the_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("EQGAT_CACHE", "EQGAT_PROFILE"):  # what an example sets is put back
        monkeypatch.setenv(variable, "quick" if variable == "EQGAT_PROFILE" else str(tmp_path))
    result = doctest.testmod(import_module(name), optionflags=FLAGS)
    assert result.failed == 0


def exempt(name: str) -> bool:
    return any(name == out or name.startswith(f"{out}.") for out in WITHOUT)


def lacking(module: str) -> list[str]:
    """Public functions and classes without an example; records, which only hold values, need none."""
    found = import_module(module)
    tree, public = ast.parse(inspect.getsource(found)), getattr(found, "__all__", [])
    return [
        name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in public and not is_record(node)
        if ">>>" not in ast.unparse(node) and not exempt(name := f"{module}.{node.name}")
    ]


def is_record(node: ast.FunctionDef | ast.ClassDef) -> bool:
    words = [ast.unparse(part) for part in (*node.decorator_list, *getattr(node, "bases", []))]
    return any(word.startswith(("dataclass", "NamedTuple")) or word.endswith("Error") for word in words)


def test_public_functions_and_classes_have_an_example() -> None:
    assert [name for module in LIBRARY if not exempt(module) for name in lacking(module)] == []


def test_what_goes_without_an_example_exists() -> None:
    for name in WITHOUT:
        module, _, attribute = name.rpartition(".")
        assert name in LIBRARY or hasattr(import_module(module), attribute), name
