"""The subcommands of ``eqgat`` that the course adds, in the form of ``eqgat.cli.COMMANDS``. Importing it is cheap."""

COMMANDS = {
    "toy": ("eqgat_course.toy:main", "write toy data in the form of the ATOM3D archives, without a download"),
    "notebooks": ("eqgat_course.run:main", "execute the notebooks"),
    "figures": ("eqgat_course.figures:main", "rebuild every figure"),
    "coursework": ("eqgat_course.cli:main", "student notebooks, solutions, grading"),
    "equations": ("eqgat_course.equations:main", "the paper's equations: code, notebook, test, exercises"),
}
