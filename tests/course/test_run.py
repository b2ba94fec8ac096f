"""The command that executes the notebooks, and the pages it writes."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

from make_site import reading_time  # noqa: E402

from eqgat.cli import main  # noqa: E402
from eqgat_course.run import copy_notebooks, find_notebooks, run_notebook  # noqa: E402

FIRST = "# 01 Length & angle\n\n**Time.** 5 minutes to read. **Profile.** Q.\n\n$\\lVert v \\rVert$, [02](02_b.ipynb)."
WIDGET = "from ipywidgets import interact\nprint('still')\ninteract(lambda x: print(x), x=3);"


def write(path: Path, *cells: str) -> Path:
    """A notebook whose cells are text if they begin with a heading, and else code."""
    new = nbformat.v4
    made = [new.new_markdown_cell(cell) if cell.startswith("# ") else new.new_code_cell(cell) for cell in cells]
    nbformat.write(new.new_notebook(cells=made), path)
    return path


def test_notebooks_are_found_in_order_and_by_the_beginning_of_their_names(tmp_path):
    for name in ("02_b", "01_a", "draft"):
        write(tmp_path / f"{name}.ipynb")
    assert [path.stem for path in find_notebooks(tmp_path, [])] == ["01_a", "02_b"]
    assert [path.stem for path in find_notebooks(tmp_path, ["02"])] == ["02_b"]
    with pytest.raises(FileNotFoundError, match=r"starts with '07'; there are 01_a, 02_b"):
        find_notebooks(tmp_path, ["01", "07"])


def test_folder_without_notebooks_is_an_error_that_names_it(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="--folder"):
        find_notebooks(tmp_path, [])
    assert main(["notebooks", "--folder", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.slow
def test_a_failing_notebook_is_reported_and_the_others_run(tmp_path, capsys):
    write(tmp_path / "01_a.ipynb", FIRST, "print(6 * 7)", WIDGET)
    write(tmp_path / "02_b.ipynb", "# 02 Broken", "1 / 0")
    write(tmp_path / "03_c.ipynb", "# 03 Last", "print('ran')")
    out = tmp_path / "out"
    assert main(["notebooks", "--folder", str(tmp_path), "--out", str(out), "--workers", "2"]) == 1
    printed = capsys.readouterr().out
    assert "ZeroDivisionError" in printed
    assert "2 of 3 notebooks ran" in printed
    assert [line[:10] for line in printed.splitlines() if line.startswith("[3/3]")], "a line for each that ended"
    assert "42" in (out / "01_a.ipynb").read_text(encoding="utf-8")
    assert not (out / "02_b.ipynb").exists()
    assert (out / "03_c.ipynb").exists()
    assert nbformat.read(tmp_path / "01_a.ipynb", 4).cells[1].outputs == [], "the source must stay as it was"
    cell = nbformat.read(out / "01_a.ipynb", 4).cells[2]
    assert [output.get("text") for output in cell.outputs] == ["still\n"], "a dead widget must not be kept"


def test_another_profile_is_refused_before_a_notebook_runs(tmp_path, capsys, monkeypatch):
    write(tmp_path / "01_a.ipynb", "1")
    monkeypatch.setenv("EQGAT_PROFILE", "fast")
    assert main(["notebooks", "--folder", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert "EQGAT_PROFILE must be 'quick' or 'full', or not set; got 'fast'" in said.err
    assert not said.out
    assert not (tmp_path / "out").exists()


def test_no_worker_at_all_is_refused(tmp_path, capsys):
    write(tmp_path / "01_a.ipynb", "1")
    assert main(["notebooks", "--folder", str(tmp_path), "--workers", "0"]) == 2
    assert "--workers must be 1 or more; got 0" in capsys.readouterr().err


@pytest.mark.slow
def test_execution_in_place_changes_nothing_when_repeated(tmp_path):
    path = write(tmp_path / "01_a.ipynb", "import random\nrandom.seed(0)\nprint(random.random())", WIDGET)
    assert run_notebook(path, path) > 0
    once = path.read_bytes()
    run_notebook(path, path)
    assert path.read_bytes() == once
    assert [file.name for file in tmp_path.iterdir()] == ["01_a.ipynb"]


def test_copies_are_laid_out_once_and_never_overwritten(tmp_path, capsys):
    new, kept = copy_notebooks(tmp_path / "mine")
    assert len(new) > 14
    assert not kept
    new[0].write_text("my own work")
    assert main(["notebooks", "--copy", str(tmp_path / "mine")]) == 0
    assert f"0 notebooks are new in {tmp_path / 'mine'}, {len(new)} were there" in capsys.readouterr().out
    assert new[0].read_text() == "my own work"


def test_every_notebook_of_the_suite_has_a_heading_and_a_time():
    for path in find_notebooks(Path(__file__).parents[2] / "notebooks", []):
        first = nbformat.read(path, as_version=4).cells[0].source
        assert first.startswith(f"# {path.stem[:2]} · "), path.name
        assert "minutes" in reading_time(first), path.name


def test_no_formula_begins_with_a_bracket_that_tex_takes_for_an_option():
    """``\\begin{aligned} [u`` swallows the bracket and what is in it; ``{}[u`` does not."""
    for path in find_notebooks(Path(__file__).parents[2] / "notebooks", []):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                found = re.search(r"\\begin\{(aligned|gathered|split)\}\s*\[", cell.source)
                assert not found, f"{path.name}: {cell.source[found.start() : found.end() + 20]!r}"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of this kind")
@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGTERM), (2, signal.SIGINT)])
def test_a_signal_ends_the_whole_run_and_not_one_notebook(tmp_path, capsys, workers, number):
    for name in ("01_a", "02_b", "03_c")[2 - workers :]:
        cell = f"import os, pathlib, time; pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch(); time.sleep(60)"
        write(tmp_path / f"{name}.ipynb", cell)

    def kernels() -> list[int]:
        return [int(file.name) for file in tmp_path.iterdir() if file.name.isdigit()]

    def send() -> None:
        while len(kernels()) < workers:
            time.sleep(0.1)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send, daemon=True)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    try:
        sender.start()
        code = main(["notebooks", "--in-place", "--folder", str(tmp_path), "--workers", str(workers)])
    except SystemExit as stop:
        code = stop.code
    finally:
        signal.signal(signal.SIGINT, former)
    assert code == 128 + number
    assert "03_c" not in capsys.readouterr().out
    for kernel in kernels():
        with pytest.raises(ProcessLookupError):
            os.kill(kernel, 0)


BAD = """figures --workers x|figures --workers 0|figures nope|figures --out FILE planar-cross-product|figures --nope
notebooks --workers 0|notebooks --workers x|notebooks nope|notebooks 99|notebooks --folder FILE|notebooks --out FILE/x 00
equations --nope|equations extra
coursework|coursework nope|coursework build|coursework build --nope|coursework lab|coursework build FILE
coursework build NEW --notebooks 77|coursework build NEW --source FILE|coursework lab FILE|coursework map --write NEW
coursework grade|coursework grade NEW|coursework grade EMPTY|coursework grade FILE --seed x
coursework grade FILE --jobs 0|coursework grade FILE --seconds -1|coursework grade FILE --seconds nan
coursework grade FILE --cell-seconds 0|coursework grade FILE --memory 0|coursework grade FILE --memory x
coursework grade FILE --source NEW|coursework grade NB --out FILE"""


def test_no_bad_line_of_the_course_ends_in_a_traceback(tmp_path, capsys, record_property):
    """Exit status 2 and one line that names the command; nothing on stdout."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "05_x.ipynb").write_text("{}")
    places = {"FILE": "file", "NEW": "new", "EMPTY": "empty", "NB": "05_x.ipynb"}
    wrong = []
    lines = BAD.replace("\n", "|").split("|")
    for line in lines:
        for name, place in places.items():
            line = line.replace(name, str(tmp_path / place))
        status = main(line.split())
        said = capsys.readouterr()
        if status != 2 or said.err.count("\n") != 1 or not said.err.startswith("eqgat ") or said.out:
            wrong.append((line, status, said.err, said.out))
    record_property("command lines", f"{len(lines) - len(wrong)} of {len(lines)} refused")
    assert wrong == []
    assert not (tmp_path / "new").exists()
