"""Which chapters there are: each has a folder ``chNN_title`` of its own, named as its notebook is."""

from __future__ import annotations

from pathlib import Path

__all__ = ["chapters", "modules"]


def chapters(number: str = "") -> list[str]:
    """Packages of the chapters whose numbers begin with ``number``, in order; all of them by default.

    >>> chapters("03")
    ['eqgat_course.ch03_feature_attention']
    """
    return [
        f"eqgat_course.{path.name}" for path in sorted(Path(__file__).parent.glob(f"ch{number}*_*")) if path.is_dir()
    ]


def modules(name: str) -> list[str]:
    """Modules of this name in the chapters that have one: not each has exercises, or figures of its own.

    >>> modules("checks")[0]
    'eqgat_course.ch00_start_here.checks'
    """
    here = Path(__file__).parent
    return [
        f"{chapter}.{name}" for chapter in chapters() if (here / chapter.rpartition(".")[2] / f"{name}.py").is_file()
    ]
