"""``eqgat explore``. PyTorch is imported only after the first line is said, as that takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from eqgat.cli import Parser
from eqgat.files import check_new_file, home, stem

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """``eqgat explore FILE``: write the page of a structure.

    Raises:
        UserError: a structure, model or residue that cannot be used.
    """
    parser = Parser(
        prog="eqgat explore", description="See what a model attends to, and which vectors it builds, on a structure."
    )
    parser.add_argument(
        "file", metavar="FILE", help="PDB or mmCIF, gzipped or not; or the name of an embedded structure, as 5pti"
    )
    parser.add_argument(
        "-o", "--out", metavar="OUT", help="the page; FILE's name with .html, in this folder, if left out"
    )
    parser.add_argument(
        "--model",
        default="res",
        metavar="DIR",
        help="folder of save_pretrained or of a run, or a shipped model (%(default)s)",
    )
    parser.add_argument("--other", metavar="FILE", help="a second structure to show beside the first")
    parser.add_argument("--chains", metavar="A,B", help="only these chains; all if left out")
    parser.add_argument(
        "--explain",
        metavar="WHAT",
        help="attributions of a prediction too: of a residue, as A:22 or A:52B, or of the graph",
    )
    arguments = parser.parse_args(argv)
    out = home(stem(Path(arguments.file).name) + ".html" if arguments.out is None else arguments.out)
    names = [name for name in (arguments.file, arguments.other) if name is not None]
    check_new_file(out, "--out", names)
    chains = None if arguments.chains is None else arguments.chains.split(",")
    print(f"loading the model {arguments.model} ...", file=sys.stderr, flush=True)

    from eqgat.attribution import fresh
    from eqgat.datasets import embedded_names, embedded_path
    from eqgat.model import EQGAT
    from eqgat.pretrained import about, pretrained, pretrained_names, saved_folder, untrained
    from eqgat.structures import read_structure
    from eqgat.viz.explorer import attributed, explore, what_was_read

    shipped = arguments.model in pretrained_names()
    model = pretrained(arguments.model) if shipped else EQGAT.from_pretrained(saved_folder(arguments.model))
    print(f"reading {' and '.join(names)} ...", file=sys.stderr, flush=True)
    files = [embedded_path(name) if name in embedded_names() and not Path(name).exists() else name for name in names]
    molecules = [read_structure(file, chains=chains) for file in files]
    control = untrained(arguments.model) if shipped else fresh(model)
    extra = attributed(molecules[0], model, control, arguments.explain) if arguments.explain is not None else {}
    other = (*molecules, None)[1]
    what = about(arguments.model)
    explorer = explore(molecules[0], model, untrained=control, other=other, about=what, extra=extra)
    path = explorer.save(out)
    print(what.words)
    for molecule in molecules:
        print(f"{molecule.name}: {what_was_read(molecule)}")
    print(f"{path}: {len(molecules[0]):,} atoms, {path.stat().st_size / 1e6:.1f} MB; open it in a browser")
