"""The plan of the house: who may import whom, what stands where, and how large a part may be."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib
from pathlib import Path

import grimp
import pytest
from mutants import MUTANTS, out_of_date

from eqgat_course.chapters import chapters

ROOT = Path(__file__).parents[1]
CORE = ("graph", "radial", "layers", "model")


def lines(*paths: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def test_import_contracts_hold():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", ["eqgat", "eqgat_course"])
def test_no_module_imports_itself_by_way_of_others(package):
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imported) > 40
    TopologicalSorter(imported).prepare()  # raises CycleError, which names the circle


def test_every_notebook_has_its_chapter_and_the_contract_names_it():
    folders = [name.rpartition(".")[2] for name in chapters()]
    assert folders == [f"ch{path.stem}" for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    independent = next(c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "independence")
    assert independent["modules"] == chapters()


@pytest.mark.parametrize("chapter", chapters())
def test_a_chapter_is_small(chapter):
    folder = ROOT / chapter.replace(".", "/")
    assert {path.name for path in folder.glob("*.py")} <= {"__init__.py", "study.py", "figures.py", "checks.py"}
    assert lines(*folder.glob("*.py")) <= 900


def test_the_core_can_be_read_in_an_evening():
    assert lines(*(ROOT / "eqgat" / f"{name}.py" for name in CORE)) < 600


def test_every_mutant_still_finds_the_text_that_it_replaces():
    """Else the list of `make mutants` would fall behind the code, and nobody would see it before the next long run."""
    assert out_of_date(MUTANTS) == []
    assert len({mutant[:2] for mutant in MUTANTS}) == len(MUTANTS), "one is there twice"
