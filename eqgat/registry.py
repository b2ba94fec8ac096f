"""Lists of things by name, each in a module of its own that is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from eqgat.errors import UserError

__all__ = ["Registry", "lazily"]

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Name -> object. Adding one is a line "name: module:attribute" in ``homes``.

    Args:
        kind: what the things are called in messages.
        homes: name -> where it is.

    Raises:
        UserError: when an unknown name is asked for; the message lists the known ones.

    >>> Registry("number", {"pi": "math:pi"})["pi"] > 3
    True
    >>> Registry("number", {"pi": "math:pi"})["e"]
    Traceback (most recent call last):
    eqgat.errors.UserError: unknown number 'e'; there are pi
    """

    def __init__(self, kind: str, homes: dict[str, str]) -> None:
        self.kind, self.homes = kind, homes

    def __getitem__(self, name: str) -> T:
        if name not in self.homes:
            raise UserError(f"unknown {self.kind} {name!r}; there are {', '.join(self.homes)}")
        module, attribute = self.homes[name].split(":")
        return getattr(import_module(module), attribute)

    def get(self, name: str, default: Any = None) -> Any:
        """The thing of that name, or ``default`` where there is none."""
        return self[name] if name in self.homes else default

    def __contains__(self, name: object) -> bool:
        return name in self.homes

    def __iter__(self) -> Iterator[str]:
        return iter(self.homes)

    def __len__(self) -> int:
        return len(self.homes)


def lazily(package: str, homes: Mapping[str, str]) -> tuple[list[str], Callable[[str], Any]]:
    """``__all__`` and ``__getattr__`` of a package whose names are imported when they are first asked for.

    Args:
        package: its name.
        homes: module in the package -> the names that it has, with blanks between.

    >>> names, find = lazily("xml", {"etree.ElementTree": "Element SubElement"})
    >>> names, find("Element").__name__
    (['Element', 'SubElement'], 'Element')
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return [*home], find
