"""``python -m eqgat COMMAND ...``: one entry for everything that is not a notebook."""

from __future__ import annotations

import sys
from importlib import import_module

# Command -> (module with ``main(argv) -> int``, what it does). Modules are imported only when asked for.
COMMANDS = {
    "notebooks": ("eqgat_course.run", "execute the notebooks"),
    "figures": ("eqgat_course.figures", "rebuild every figure"),
    "explore": ("eqgat.viz.explorer", "see what a model attends to on a structure: one page that needs no network"),
    "samples": ("eqgat.datasets.samples", "write small data in the form of the ATOM3D archives, without a download"),
    "train": ("eqgat.training.cli", "train a model on a task"),
    "download": ("eqgat.datasets.atom3d.download", "fetch an ATOM3D data set"),
    "prepare": ("eqgat.datasets.atom3d.prepare", "convert a data set into the form that loads fast"),
    "tables": ("eqgat.training.tables", "write the paper's tables with our results beside them"),
    "coursework": ("eqgat_course.cli", "student notebooks, solutions, grading"),
    "equations": ("eqgat_course.equations", "the paper's equations: code, notebook, test, exercises"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help") or arguments[0] not in COMMANDS:
        wrong = bool(arguments) and arguments[0] not in ("-h", "--help")
        lines = [f"unknown command {arguments[0]!r}", ""] if wrong else []
        lines += ["usage: python -m eqgat COMMAND [OPTIONS], with COMMAND one of"]
        lines += [f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items()]
        lines += ["python -m eqgat COMMAND --help shows the options of a command"]
        print("\n".join(lines), file=sys.stderr if wrong else sys.stdout)
        return 2 if wrong else 0
    module, _ = COMMANDS[arguments[0]]
    return import_module(module).main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
