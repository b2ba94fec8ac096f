"""Build what a teacher hands out, from the instructor's notebooks: a student release and a solutions set.

``DIR/student``: solutions and hidden tests taken out, outputs cleared, and a first cell that checks the environment;
and the starter code of the projects.
``DIR/solutions``: with solutions and outputs, without markers and without the hidden tests, which can be used again.
``lab``: the student's notebooks in a folder of one's own, to learn alone; what is there stays as it is.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import eqgat
from eqgat.errors import UserError
from eqgat_course import projects
from eqgat_course.cells import blank, blank_text, hidden_part, visible_part, without_markers

__all__ = ["MANIFEST", "build", "hidden_lines", "lab", "leaks", "solution_notebook", "student_notebook"]

MANIFEST = "release.json"
_NBGRADER = ("cell_type", "grade", "grade_id", "locked", "points", "schema_version", "solution", "task")
_START = """\
# Run this cell first. It says whether all that this notebook needs is installed.
import sys

try:
    from eqgat_course.release.start import check_environment
except ImportError as error:
    print(f"✗ {{error}}. This is {{sys.executable}}; choose the kernel that has eqgat, or install eqgat there.")
else:
    check_environment("{version}")"""


_MARK_OF_TESTS = re.compile(r"\A# NBVAL_\w+\n")  # nbval's comment: which outputs the tests compare


def build(notebooks: list[Path], folder: Path) -> dict[str, list[Path]]:
    """Write ``folder/student`` and ``folder/solutions``, the stored results beside both; the notebooks written.

    The starter code of the projects goes to ``folder/student/projects``.

    Raises:
        FileExistsError: the folder holds something that this command has not written.
        UserError: a notebook has a marker without its partner, or something hidden stayed in the release.
    """
    _make_room(folder)
    written: dict[str, list[Path]] = {"student": [], "solutions": []}
    extra: list[Path] = []
    for path in notebooks:
        print(f"{path.stem} ... ", end="", flush=True)
        source = _read(path)
        for kind, make in (("student", student_notebook), ("solutions", solution_notebook)):
            notebook = make(source)
            target = folder / kind / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            text = nbformat.writes(notebook)
            left = leaks(text, hidden_lines(source))
            if left:
                raise UserError(
                    f"{path.name}: a hidden test would stay in the {kind} set, where it does not belong "
                    f"(an output, a picture?): {left[0]!r}"
                )
            target.write_text(text + ("" if text.endswith("\n") else "\n"), encoding="utf-8")
            written[kind].append(target)
        print("done")
    for path in _stores(notebooks):
        for kind in written:
            target = folder / kind / "figures" / "results" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            extra.append(target)
    for path in sorted(Path(projects.__file__).parent.glob("new_*.py")):
        target = folder / "student" / "projects" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
        extra.append(target)
    sums = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for paths in (*written.values(), extra)
        for path in paths
    }
    (folder / MANIFEST).write_text(json.dumps({"eqgat": eqgat.__version__, "sha256": sums}, indent=1) + "\n")
    return written


def _read(path: Path) -> NotebookNode:
    """An instructor's notebook. Raises: UserError: the file is none."""
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a Jupyter notebook of format 4 ({type(error).__name__})") from error


def lab(notebooks: list[Path], folder: Path) -> tuple[list[Path], list[Path]]:
    """Put the student's notebooks and the stored results into a folder; which were new, and which were there already.

    A notebook that is there is never touched, whatever is in it: remove or rename it to get a fresh one.
    """
    new, kept = [], []
    for path in notebooks:
        target = folder / path.name
        if target.exists():
            kept.append(target)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(student_notebook(_read(path)), target)
        new.append(target)
    for path in _stores(notebooks):
        target = folder / "figures" / "results" / path.parent.name / path.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return new, kept


def _stores(notebooks: list[Path]) -> list[Path]:
    """The stored results of trainings beside the notebooks; some notebooks read them from the current folder."""
    folders = {path.resolve().parents[1] / "figures" / "results" for path in notebooks}
    return [file for folder in sorted(folders) for file in sorted(folder.glob("*/*.csv"))]


def student_notebook(source: NotebookNode) -> NotebookNode:
    """The notebook that a student gets."""
    notebook = _copied(source, keep_tests=False)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = blank(cell.source) if "### BEGIN SOLUTION" in cell.source else visible_part(cell.source)
            cell.source = _MARK_OF_TESTS.sub("", cell.source)
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = blank_text(cell.source)
    first = next((place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"), len(notebook.cells))
    notebook.cells.insert(first, nbformat.v4.new_code_cell(_START.format(version=eqgat.__version__), id="environment"))
    return notebook


def solution_notebook(source: NotebookNode) -> NotebookNode:
    """The notebook with its solutions and outputs, and without hidden tests."""
    notebook = _copied(source, keep_tests=True)
    for cell in notebook.cells:
        cell.source = without_markers(cell.source)
    return notebook


def hidden_lines(source: NotebookNode) -> list[str]:
    """The lines of a notebook's hidden tests that stand nowhere else in it."""
    shown = {line.strip() for cell in source.cells for line in visible_part(cell.source).splitlines()}
    hidden = (line.strip() for cell in source.cells for line in hidden_part(cell.source).splitlines())
    return [line for line in hidden if len(line) > 7 and line not in shown]


def leaks(text: str, lines: list[str]) -> list[str]:
    """Which of the lines are in a text: as they stand, escaped as in JSON, as hexadecimal digits, or as base64."""
    return [line for line in lines if any(form in text for form in _forms(line))]


def _forms(line: str) -> list[str]:
    raw = line.encode()
    forms = [line, json.dumps(line)[1:-1], json.dumps(line, ensure_ascii=False)[1:-1], raw.hex()]
    for offset in range(3):  # where base64's groups of three bytes begin is not known; cut what depends on neighbours
        coded = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        forms.append(coded[4 if offset else 0 : len(coded) - 1])
    return forms


def _copied(source: NotebookNode, keep_tests: bool) -> NotebookNode:
    """A copy with the metadata and attachments that are known to be harmless; ``keep_tests``: with nbval's tags."""
    notebook = copy.deepcopy(source)
    notebook.metadata = NotebookNode(
        {key: source.metadata[key] for key in ("kernelspec", "language_info") if key in source.metadata}
    )
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader")
        tags = [tag for tag in cell.metadata.get("tags", []) if keep_tests or not tag.startswith("nbval-")]
        cell.metadata = NotebookNode({"tags": tags} if tags else {})
        if marks:
            cell.metadata.nbgrader = NotebookNode({key: marks[key] for key in _NBGRADER if key in marks})
        if "attachments" in cell:
            used = {
                name: data
                for name, data in cell.attachments.items()
                if cell.cell_type == "markdown" and not marks and f"attachment:{name}" in cell.source
            }
            cell.pop("attachments")
            if used:
                cell.attachments = used
    return notebook


def _make_room(folder: Path) -> None:
    """Remove what this command has written before; anything else is an error."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; name a folder")
    present = sorted(path for path in folder.rglob("*") if not path.is_dir())
    manifest = folder / MANIFEST
    try:
        ours = json.loads(manifest.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        ours = {}
    for path in present:
        name = str(path.relative_to(folder))
        if path != manifest and hashlib.sha256(path.read_bytes()).hexdigest() != ours.get(name):
            what = "has been changed since it was built" if name in ours else "was not written by this command"
            raise FileExistsError(f"{folder} is not empty, and {name} {what}. Name a new folder, or remove that file")
    for path in present:
        path.unlink()
