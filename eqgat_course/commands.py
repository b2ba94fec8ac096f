"""The subcommands of ``eqgat`` that the course adds, in the form of ``eqgat.cli.COMMANDS``. Importing it is cheap."""

COMMANDS = {
    "notebooks": ("eqgat_course.run:main", "execute the notebooks"),
    "figures": ("eqgat_course.figures:main", "rebuild every figure"),
    "coursework": ("eqgat_course.cli:main", "student notebooks, solutions, grading"),
    "equations": ("eqgat_course.equations:main", "the paper's equations: code, notebook, test, exercises"),
}
