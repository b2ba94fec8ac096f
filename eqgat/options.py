"""Options by name, as a command line gives them: read from text, and checked against what takes them."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from eqgat.errors import UserError

__all__ = ["check_values", "known_options", "named_value", "named_values"]


def named_value(text: str) -> tuple[str, Any]:
    """ "NAME=VALUE" -> name and value; a value that is no number, list, true, false or null is text.

    >>> named_value("num_layers=3"), named_value("readout=node")
    (('num_layers', 3), ('readout', 'node'))
    """
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UserError(f"{text!r} is not NAME=VALUE, for example hydrogens=true")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def named_values(texts: Iterable[str], **given: Any) -> dict[str, Any]:
    """Several "NAME=VALUE", and what other options of the command gave.

    Raises:
        UserError: two values for one name.

    >>> named_values(["num_points=9"], n=50)
    {'n': 50, 'num_points': 9}
    """
    values = dict(given)
    for name, value in map(named_value, texts):
        if name in values and values[name] != value:
            raise UserError(f"{name} is given twice, as {values[name]!r} and as {value!r}; give it once")
        values[name] = value
    return values


def known_options(takers: Iterable[Callable[..., Any]]) -> dict[str, Any]:
    """Option -> its type, of the classes or functions ``takers``, which take them by name.

    The first parameter of a function is what it works on, and no option.

    >>> def rotate(points, angle: float, axis: str = "z"): ...
    >>> known_options([rotate])
    {'angle': <class 'float'>, 'axis': <class 'str'>}
    """
    known: dict[str, Any] = {}
    for taker in takers:
        hints = get_type_hints(getattr(taker, "__init__") if isinstance(taker, type) else taker)  # noqa: B009
        known |= {
            name: hints.get(name, Any)
            for name, parameter in [*signature(taker).parameters.items()][not isinstance(taker, type) :]
            if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        }
    return known


def check_values(takers: Iterable[Callable[..., Any]], values: Mapping[str, Any], what: str) -> None:
    """Check the names and types of options, before anything is done with them.

    Args:
        takers: classes or functions that take the options by name.
        values: option -> value.
        what: has the options; for the message.

    Raises:
        UserError: an option that there is not, or a value of another type.

    >>> def rotate(points, angle: float, axis: str = "z"): ...
    >>> check_values([rotate], {"axis": 3}, "rotate")
    Traceback (most recent call last):
    eqgat.errors.UserError: axis of rotate must be text; got 3
    """
    known = known_options(takers)
    if wrong := sorted(set(values) - set(known)):
        raise UserError(f"{what} has no option {', '.join(wrong)}; it has {', '.join(known)}")
    for name, value in values.items():
        if not _fits(value, known[name]):
            raise UserError(f"{name} of {what} must be {_name(known[name])}; got {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; a whole number is a float too, and a bool is no number."""
    origin = get_origin(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(kind))
    if origin is Literal:
        return value in get_args(kind)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, (list, tuple)) and all(_fits(part, get_args(kind)[0]) for part in value)
    return isinstance(value, types.NoneType if kind is None else origin or kind)


def _name(kind: Any) -> str:
    """A type as a reader calls it: its choices, or the kind of value.

    >>> _name(Literal["raw", "mixed"] | None), _name(Sequence[float])
    ("'raw', 'mixed' or null (None)", 'a list, each a number')
    """
    *first, last = _choices(kind)
    return f"{', '.join(first)} or {last}" if first else last


def _choices(kind: Any) -> list[str]:
    """The values or types that an option may have, each in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [repr(part) for part in parts]
    if origin in (Union, types.UnionType):
        return [choice for part in parts for choice in _choices(part)]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [f"a list, each {_name(parts[0])}"]
    return [_WORDS.get(kind, getattr(kind, "__name__", str(kind)))]


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    types.NoneType: "null (None)",
}
