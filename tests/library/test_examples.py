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

# Public names that go without an example, one at a time, and why.
WITHOUT = {
    "eqgat.atom_rows.AtomRows": "Molecule.from_table and read_structure, whose inside it is, have one",
    "eqgat.cli.main": "the command itself: `eqgat --help` lists examples",
    "eqgat.datasets.atom3d.data.Atom3DData": "ItemData and PreparedData, whose base it is, have one",
    "eqgat.datasets.atom3d.download.download": "needs the network",
    "eqgat.datasets.cli.download": "a command",
    "eqgat.datasets.cli.prepare": "a command",
    "eqgat.fast.Chunks": "in_chunks, which makes it, has one",
    "eqgat.training.cli.predict": "a command",
    "eqgat.training.cli.train": "a command",
    "eqgat.training.engine.TrainingModule": "the Lightning module, which only train uses",
    "eqgat.viz.cli.main": "a command",
    "eqgat.viz.evaluation.main": "a command",
    "eqgat.viz.explorer.Explorer": "explore, which makes it, has one",
    "eqgat.viz.scripts.fetch": "needs the network",
    "eqgat.viz.scripts.main": "a command, and needs the network",
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


def public(module: str) -> list[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes of a module: those in `__all__`; without one, all whose names begin with no underscore."""
    found = import_module(module)
    names = getattr(found, "__all__", None)
    return [
        node
        for node in ast.parse(inspect.getsource(found)).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and (not node.name.startswith("_") if names is None else node.name in names)
    ]


def only_holds_values(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """A record or an exception without methods: fields that the docstring names, and nothing to call."""
    words = [ast.unparse(part) for part in (*node.decorator_list, *getattr(node, "bases", []))]
    record = any(
        word.startswith(("dataclass", "NamedTuple")) or word.endswith(("Error", "Exception")) for word in words
    )
    return record and not any(isinstance(part, ast.FunctionDef) and part.name[0] != "_" for part in node.body)


def lacking(module: str) -> set[str]:
    """Public functions and classes without an example that is run, in their own docstring or in that of a method."""
    tests = doctest.DocTestFinder().find(import_module(module))
    run = {t.name for t in tests if any(not example.options.get(doctest.SKIP) for example in t.examples)}
    names = {f"{module}.{node.name}" for node in public(module) if not only_holds_values(node)}
    return {name for name in names if not any(f"{test}.".startswith(f"{name}.") for test in run)}


def test_public_functions_and_classes_have_an_example() -> None:
    """But for those that are named above, all of which exist and have none."""
    assert set().union(*map(lacking, LIBRARY)) == set(WITHOUT)


def test_names_of_a_module_without_a_list_of_them_are_seen() -> None:
    assert not hasattr(import_module("eqgat.layers"), "__all__")
    assert {"Edges", "EQGATLayer", "neighbour_softmax"} <= {node.name for node in public("eqgat.layers")}
    assert "is_known" not in {node.name for node in public("eqgat.chemistry")}  # which has a list, without this one
