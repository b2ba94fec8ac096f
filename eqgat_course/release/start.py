"""The start cell of a student's notebook: are Python, the packages and the data as this course needs them?"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, version

from eqgat_course.exercises import be_patient

__all__ = ["check_environment", "problems"]


_EXTRAS = ("notebooks", "train")  # train: notebook 12 compares with torchmetrics


def check_environment(release: str) -> None:
    """Print what is installed, and what is missing and how to mend it; from here on checks wait for blank answers.

    Args:
        release: version of ``eqgat`` for which the notebooks were built.
    """
    be_patient()
    found = problems(release)
    for problem in found:
        print(f"✗ {problem}")
    if not found:
        import torch

        import eqgat

        print(
            f"✓ Python {sys.version.split()[0]}, eqgat {eqgat.__version__}, torch {torch.__version__}; "
            "the structures are here, and no network is needed"
        )


def problems(release: str) -> list[str]:
    """What is wrong, one sentence each; empty if nothing is."""
    from packaging.requirements import Requirement

    import eqgat

    found = []
    if eqgat.__version__ != release:
        found.append(
            f"these notebooks are for eqgat {release}, installed is {eqgat.__version__}: "
            "install the one that came with them"
        )
    needed = distribution("eqgat")
    if not (needed.metadata["Requires-Python"] and _python_fits(needed.metadata["Requires-Python"])):
        found.append(f"Python {sys.version.split()[0]} does not fit {needed.metadata['Requires-Python']}")
    for line in needed.requires or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": extra}) for extra in _EXTRAS):
            continue
        try:
            have = version(wanted.name)
        except PackageNotFoundError:
            found.append(f"{wanted.name} is missing: pip install '{wanted.name}{wanted.specifier}'")
            continue
        if not wanted.specifier.contains(re.sub(r"\+.*", "", have), prereleases=True):
            found.append(
                f"{wanted.name} {have} is installed, {wanted.specifier} is needed: "
                f"pip install '{wanted.name}{wanted.specifier}'"
            )
    return found + _missing_data()


def _python_fits(wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(".".join(map(str, sys.version_info[:3])))


def _missing_data() -> list[str]:
    try:
        from eqgat.datasets import embedded_names, embedded_path

        missing = [name for name in embedded_names() if not embedded_path(name).is_file()]
    except Exception as error:  # whatever it is, the student should read it here and not in the middle of a notebook
        return [f"the embedded structures cannot be read ({type(error).__name__}: {error}); install eqgat again"]
    return [f"{len(missing)} structures are missing, {missing[0]} is one; install eqgat again"] if missing else []
