"""``python -m eqgat coursework build | lab | grade | map``: hand out notebooks, mark what comes back, list the exercises."""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path

from eqgat.cli import Parser
from eqgat.errors import UserError
from eqgat.files import is_writable, write_files
from eqgat_course.run import find_notebooks, notebook_folder

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """The command: 0 if it did what was asked, 1 if a file was not judged or not to the end. ``UserError``: a wrong request."""
    options = _parser().parse_args(argv)
    return {"build": _build, "lab": _lab, "grade": _grade, "map": _map}[options.command](options)


def _parser() -> Parser:
    parser = Parser(prog="eqgat coursework", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="write a student release and a solutions set")
    build.add_argument("folder", type=Path, metavar="DIR", help="a new folder, or one that this command has written")
    lab = commands.add_parser(
        "lab", help="put notebooks without solutions into a folder, and keep those that are there"
    )
    lab.add_argument("folder", type=Path, metavar="DIR", help="your own folder")
    grade = commands.add_parser("grade", help="grade submissions")
    grade.add_argument("files", type=Path, nargs="+", metavar="FILE", help="notebooks, or folders of notebooks")
    grade.add_argument(
        "--out",
        type=Path,
        default=Path("build/grades"),
        metavar="DIR",
        help="results and reports (default: %(default)s)",
    )
    grade.add_argument(
        "--jobs", type=int, default=1, help="submissions at once; each takes up to two cores (default: %(default)s)"
    )
    grade.add_argument(
        "--cell-seconds", type=float, default=60.0, help="limit for one cell or test (default: %(default)g)"
    )
    grade.add_argument("--seconds", type=float, default=900.0, help="limit for a submission (default: %(default)g)")
    grade.add_argument(
        "--memory",
        type=int,
        default=2048,
        metavar="MB",
        help="limit beyond what the libraries take (default: %(default)s)",
    )
    grade.add_argument(
        "--seed", type=int, metavar="N", help="of an earlier run: its hidden tests again (default: a new one)"
    )
    exercises = commands.add_parser("map", help="print the table of the exercises, or renew it in a file")
    exercises.add_argument("--write", type=Path, metavar="FILE")
    for command in (build, lab, grade):
        command.add_argument(
            "--source",
            type=Path,
            default=notebook_folder(),
            metavar="DIR",
            help="the instructor's notebooks (default: notebooks)",
        )
    build.add_argument("--notebooks", nargs="+", default=[], metavar="NN", help="some notebooks only, as 03 05")
    return parser


def _build(options: argparse.Namespace) -> int:
    from eqgat_course.release.build import build

    is_writable(options.folder, "DIR")
    start = time.perf_counter()
    written = build(find_notebooks(options.source, options.notebooks, "--source"), options.folder)
    print(
        f"{len(written['student'])} notebooks in {time.perf_counter() - start:.1f} s: {options.folder / 'student'} "
        f"for the students, {options.folder / 'solutions'} for afterwards"
    )
    return 0


def _lab(options: argparse.Namespace) -> int:
    from eqgat_course.release.build import lab

    is_writable(options.folder, "DIR")
    new, kept = lab(find_notebooks(options.source, [], "--source"), options.folder)
    print(f"{options.folder}: {len(new)} notebooks without solutions, new; {len(kept)} were there and stay as they are")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from eqgat_course.grading.grade import find_submissions, grade
    from eqgat_course.grading.sandbox import Limits, weakness

    limits = Limits(cell=options.cell_seconds, total=options.seconds, memory=options.memory)
    for option, value in {**asdict(limits), "jobs": options.jobs}.items():
        if not 0 < value < math.inf:
            raise UserError(f"the limit {option} must be a positive number; got {value}")
    submissions, refused = find_submissions(options.files, find_notebooks(options.source, [], "--source"))
    is_writable(options.out, "--out")
    print(f"Isolation is weaker than it can be: {weakness()}." if weakness() else "Answers run inside bubblewrap.")
    results = grade(submissions, options.out, limits, options.jobs, refused, options.seed)
    stopped = [
        f"{result['student']}: {result['notebook']}: {result['problem']}" for result in results if result["problem"]
    ]
    for reason in refused:
        print(f"not graded: {reason}", file=sys.stderr)
    print(
        f"table: {options.out / 'grades.csv'}; a page for each student: {options.out / 'reports'}; "
        f"the class, and what deserves a look: {options.out / 'class.html'}"
    )
    for reason in stopped:
        print(f"not graded to the end: {reason}", file=sys.stderr)
    return 1 if refused or stopped else 0


def _map(options: argparse.Namespace) -> int:
    from eqgat_course.exercise_map import exercise_map, insert_map

    if options.write is None:
        print(exercise_map())
        return 0
    try:
        text = options.write.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{options.write} is not a text in UTF-8; give the Markdown file with the table") from error
    write_files({options.write: insert_map(text)})
    return 0
