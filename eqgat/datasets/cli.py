"""The subcommands ``download`` and ``prepare``."""

from __future__ import annotations

from eqgat.cli import Parser
from eqgat.datasets.task import ATOM3D
from eqgat.files import is_writable
from eqgat.options import named_values

__all__ = ["download", "prepare"]


def download(argv: list[str]) -> None:
    """Fetch and unpack the official data of one ATOM3D task."""
    parser = Parser(prog="eqgat download", description=download.__doc__)
    parser.add_argument("task", choices=ATOM3D, metavar="TASK", help=", ".join(ATOM3D))
    parser.add_argument("folder", metavar="DIR", help="where to put the data")
    parser.add_argument("--keep-archive", action="store_true", help="do not remove the archive after unpacking")
    parser.add_argument("--source", metavar="URL", help="a mirror of https://zenodo.org")
    options = parser.parse_args(argv)
    if options.source is not None and not options.source.startswith(("http://", "https://")):
        parser.error(f"--source {options.source!r} is no address of the web")
    is_writable(options.folder, "the folder")
    from eqgat.datasets.atom3d import download as module

    source = options.source or module.ZENODO
    module.download(options.task, options.folder, source=source.rstrip("/"), keep_archive=options.keep_archive)


def prepare(argv: list[str]) -> None:
    """Convert the official data of one ATOM3D task into the form that loads fast: once, before training."""
    parser = Parser(prog="eqgat prepare", description=prepare.__doc__)
    parser.add_argument("task", choices=ATOM3D, metavar="TASK", help=", ".join(ATOM3D))
    parser.add_argument("folder", metavar="DIR", help="the unpacked archive")
    parser.add_argument("--out", metavar="DIR", help="default: DIR/prepared/TASK, where training on DIR finds it")
    parser.add_named_values(parser, "--option", "an option of the task, for example hydrogens=true")
    parser.add_argument("--dry-run", action="store_true", help="only tell what it would take")
    options = parser.parse_args(argv)
    chosen = named_values(options.option)
    from eqgat.datasets.atom3d.prepare import prepare as run

    run(options.task, options.folder, options.out, only_tell=options.dry_run, **chosen)
