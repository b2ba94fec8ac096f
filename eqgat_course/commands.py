"""The subcommands of ``eqgat`` that the course adds, in the form of ``eqgat.cli.COMMANDS``. Importing it is cheap."""

COMMANDS = {
    "runs": ("eqgat_course.experiments.cli:runs", "run what a plan of runs asks for and the results store lacks"),
    "trivial": ("eqgat_course.experiments.cli:trivial", "score the answers that need no learning on a task"),
    "tables": ("eqgat_course.experiments.cli:tables", "write the paper's tables with our results beside them"),
    "expressivity": (
        "eqgat_course.experiments.cli:expressivity",
        "train models to tell clouds apart, as success rates",
    ),
    "robustness": ("eqgat_course.experiments.cli:robustness", "test trained models on displaced points"),
    "toy": ("eqgat_course.toy:main", "write toy data in the form of the ATOM3D archives, without a download"),
    "notebooks": ("eqgat_course.run:main", "execute the notebooks"),
    "figures": ("eqgat_course.figures:main", "rebuild every figure"),
    "coursework": ("eqgat_course.cli:main", "student notebooks, solutions, grading"),
    "equations": ("eqgat_course.equations:main", "the paper's equations: code, notebook, test, exercises"),
}
