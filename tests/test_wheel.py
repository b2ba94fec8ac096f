"""The built wheel, installed by pip into an empty folder, works outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eqgat.viz import scripts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel; what the project depends on is taken from the environment of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def run(installed: Path, folder: Path, *arguments: str) -> str:
    """What Python says in a folder outside of the checkout, with the installed packages."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_library_course_data_and_weights_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        "import eqgat, eqgat_course, sys\n"
        "from eqgat.datasets import embedded_structure\n"
        "from eqgat.pretrained import pretrained\n"
        "from eqgat.viz import scripts\n"
        "from eqgat_course.exercises import load_exercises\n"
        "model = pretrained('res')\n"
        "print(eqgat.__file__, eqgat_course.__file__, len(embedded_structure('5pti')), len(load_exercises()) > 60)\n"
        "print([bool(scripts.source(script)) for script in scripts.SCRIPTS])\n"
    )
    first, second = run(installed, tmp_path, "-c", code).splitlines()
    assert first == f"{installed}/eqgat/__init__.py {installed}/eqgat_course/__init__.py 459 True"
    assert second == str([bool(scripts.source(script)) for script in scripts.SCRIPTS]), "as the checkout has them"


def test_commands_work_and_notebooks_are_laid_out(installed: Path, tmp_path: Path) -> None:
    assert "coursework" in run(installed, tmp_path, "-m", "eqgat", "--help")
    notebooks = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    said = run(installed, tmp_path, "-m", "eqgat", "notebooks", "--copy", "mine")
    assert said.startswith(f"{len(notebooks)} notebooks are new in mine, 0 were there")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == notebooks
    assert "without solutions, new" in run(installed, tmp_path, "-m", "eqgat", "coursework", "lab", "student")
    structure = installed / "eqgat/datasets/embedded_data/5pti.cif.gz"
    assert structure.is_file()
    run(installed, tmp_path, "-m", "eqgat", "explore", str(structure), "--out", "page.html")
    assert "<!doctype html>" in (tmp_path / "page.html").read_text(encoding="utf-8").lower()
