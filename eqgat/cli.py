"""The command ``eqgat``: finds the subcommand, catches what a user can mend, says it in one line.

A subcommand is a function of a list of arguments that returns an exit status or None. Those of the library are in the
modules named in ``COMMANDS``; other packages add theirs through the entry-point group "eqgat.commands", whose entries
are dictionaries of the same form. Only the module of the subcommand that is run is imported.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from itertools import takewhile
from typing import Any, NoReturn

from eqgat.errors import UserError

__all__ = ["COMMANDS", "Parser", "all_commands", "main"]

# Subcommand -> (module:function, what it does).
COMMANDS = {
    "explore": (
        "eqgat.viz.cli:main",
        "see what a model attends to on a structure: one page that needs no network",
    ),
    "train": ("eqgat.training.cli:train", "train a model on a task, or on a table of your own"),
    "predict": ("eqgat.training.cli:predict", "predict for structure files with a trained model"),
    "evaluate": ("eqgat.viz.evaluation:main", "test a trained model: metrics with intervals, predictions, plots"),
    "download": ("eqgat.datasets.cli:download", "fetch an ATOM3D data set"),
    "prepare": ("eqgat.datasets.cli:prepare", "convert a data set into the form that loads fast"),
}


class Parser(argparse.ArgumentParser):
    """A parser that raises ``UserError`` instead of printing its usage and leaving, and names an unknown option first.

    >>> parser = Parser(prog="eqgat train")
    >>> _ = parser.add_argument("--epochs", type=int)
    >>> parser.parse_args(["--epoch", "3"])
    Traceback (most recent call last):
    eqgat.errors.UserError: there is no option --epoch; is --epochs meant?; eqgat train --help shows the options
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """argparse would take the value behind an unknown option for another argument, and complain of that alone."""
        known = [name for name in self._option_string_actions if name.startswith("--")]
        # Behind the name of a subcommand, the parser of the subcommand looks.
        parsers = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        commands = [name for action in parsers for name in action.choices]
        for word in takewhile(lambda word: word not in ("--", *commands), sys.argv[1:] if args is None else args):
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in word and name not in known:
                close = get_close_matches(name.lower(), known, 1)
                where = f" before the command ({', '.join(commands)})" if commands else ""
                self.error(f"there is no option {name}{where}{f'; is {close[0]} meant?' if close else ''}")
        return super().parse_known_args(args, namespace)

    def add_named_values(self, group: Any, name: str, what: str) -> None:
        """An option NAME=VALUE, which may be given several times."""
        several = f"{what}; may be given several times"
        group.add_argument(name, action="append", default=[], metavar="NAME=VALUE", help=several)

    def error(self, message: str) -> NoReturn:
        """What argparse calls for wrong arguments."""
        raise UserError(f"{message}; {self.prog} --help shows the options")


def all_commands() -> dict[str, tuple[str, str]]:
    """The library's subcommands and those that other packages add.

    >>> all_commands()["train"][0]
    'eqgat.training.cli:train'
    """
    commands = dict(COMMANDS)
    for entry in entry_points(group="eqgat.commands"):
        commands.update(entry.load())
    return commands


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        Its exit status; 2 for anything that the user can mend, said in one line; 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may have letters that a terminal cannot show
            stream.reconfigure(errors="replace")
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    commands = all_commands()
    if name in ("-h", "--help"):
        print(_usage(commands))
        return 0
    try:
        if name not in commands:
            raise UserError(f"unknown command {name!r}; there are {', '.join(commands)}")
        module, function = commands[name][0].split(":")
        return getattr(import_module(module), function)(arguments) or 0
    except KeyboardInterrupt:
        print("\ninterrupted; give the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # eqgat ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        advice = "activate the environment that the project is installed in, or in its folder pip install '.[all]'"
        return _complain(name, f"this Python lacks {error.name}: {advice}")
    except (UserError, OSError) as error:
        return _complain(name, str(error))


def _complain(name: str, message: str) -> int:
    """One line, whatever is in the message."""
    text = " ".join(message.split()).encode("utf-8", "replace").decode()
    print(f"eqgat {name if name.isprintable() else ''}: {text}", file=sys.stderr)
    return 2


def _usage(commands: dict[str, tuple[str, str]]) -> str:
    width = max(map(len, commands))
    return "\n".join(
        [
            "usage: eqgat COMMAND [OPTIONS], with COMMAND one of",
            *(f"  {name:<{width}}  {text}" for name, (_, text) in commands.items()),
            "eqgat COMMAND --help shows the options of a command; python -m eqgat is the same",
        ]
    )
