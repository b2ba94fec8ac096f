"""The subcommands of ``eqgat`` that the course adds, in the form of ``eqgat.cli.COMMANDS``. Importing it is cheap."""

COMMANDS = {
    "notebooks": ("eqgat.notebooks:main", "execute the notebooks"),
    "figures": ("eqgat.viz.figures:main", "rebuild every figure"),
    "coursework": ("eqgat.coursework.cli:main", "student notebooks, solutions, grading"),
    "equations": ("eqgat.coursework.equations:main", "the paper's equations: code, notebook, test, exercises"),
}
