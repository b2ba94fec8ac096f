"""Puts the notebooks into the wheel, beside the course; all else about the package stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithNotebooks(build_py):
    """Copies the packages, then the notebooks, which in the checkout stand at its top."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "eqgat_course/notebooks"
            target.mkdir(parents=True, exist_ok=True)
            for path in Path("notebooks").glob("[0-9][0-9]_*.ipynb"):
                shutil.copy(path, target)


setup(cmdclass={"build_py": WithNotebooks})
