"""The subcommands ``runs``, ``trivial``, ``tables``, ``expressivity``, ``robustness``; PyTorch is imported only to do the work."""

from __future__ import annotations

import sys
from pathlib import Path

from eqgat.cli import Parser
from eqgat.datasets.task import SPLITS, TASKS
from eqgat.errors import UserError
from eqgat.files import home, is_writable
from eqgat.training.cli import seconds

__all__ = ["expressivity", "robustness", "runs", "tables", "trivial"]


def runs(argv: list[str]) -> int:
    """Run what a plan asks for and the results store lacks. Give the same command again after whatever stopped it."""
    parser = Parser(prog="eqgat runs", description=runs.__doc__)
    parser.add_argument("--plan", metavar="NAME|FILE", help="a plan of the suite or a TOML file; without it: list them")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="runs at the same time (default: 1)")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data folders that the plan names")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="only tell which runs the store lacks")
    what.add_argument(
        "--print-commands",
        action="store_true",
        help="only print their commands, one a line, for the array of a batch job",
    )
    parser.add_argument("--time-limit", type=seconds, metavar="HH:MM:SS", help="stop with checkpoints; go on later")
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", default=Path("runs"), help="checkpoints, models, logs (default: runs)"
    )
    parser.add_argument("--results", type=Path, metavar="DIR", help="results store (default: figures/results)")
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu, ... (Lightning; default: auto)")
    options = parser.parse_args(argv)
    if options.workers < 1:
        raise UserError(f"--workers must be at least 1; got {options.workers}")
    for folder, option in ((options.runs, "--runs"), (options.results, "--results")):
        if folder is not None:
            is_writable(folder, option)
    if options.data_root is not None and not home(options.data_root).is_dir():
        raise UserError(f"there is no folder {str(options.data_root)!r} (--data-root)")
    from eqgat_course.experiments.plans import plan_about, plan_names, read_plan

    if options.plan is None:
        for name in plan_names():
            print(f"{name}: {plan_about(name)}")
        print("eqgat runs --plan NAME --dry-run tells which runs a plan has that the store lacks")
        return 0
    from eqgat.training.results import results_folder
    from eqgat_course.experiments import running

    plan, store = read_plan(options.plan), options.results or results_folder()
    root = None if options.data_root is None else home(options.data_root).absolute()
    if options.dry_run or options.print_commands:
        missing = running.missing_runs(plan, store, root)
        if options.print_commands:
            places = [("--runs", options.runs), ("--results", options.results)]
            extra = [word for name, value in places if value not in (None, Path("runs")) for word in (name, str(value))]
            print(*running.commands(missing, root, extra), sep="\n")
        else:
            print(*[run.name for run in missing], sep="\n")
            print(f"plan {plan.name}: {len(missing)} of {len(plan.runs)} runs are not in the store", file=sys.stderr)
        return 0
    outcome = running.run_plan(
        plan,
        store=store,
        runs=options.runs,
        root=root,
        workers=options.workers,
        time_limit=options.time_limit,
        accelerator=options.accelerator,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    for name, why in outcome.failed.items():
        print(f"{name} failed: {why}")
    print(
        f"plan {plan.name}: {outcome.known} runs were in the store, {len(outcome.finished)} finished, "
        f"{len(outcome.failed)} failed, {len(outcome.unfinished)} unfinished, {len(outcome.elsewhere)} elsewhere"
    )
    return 1 if outcome.failed else 3 if outcome.unfinished or outcome.elsewhere else 0


def trivial(argv: list[str]) -> None:
    """Score the answers that need no learning on a split of a task, and write their rows into the results store."""
    parser = Parser(prog="eqgat trivial", description=trivial.__doc__)
    names = [task for task in TASKS if not task.startswith("own")]  # their labels are in a table that is not named here
    parser.add_argument("task", choices=names, metavar="TASK", help=", ".join(names))
    parser.add_argument("--data", metavar="DIR", help="folder of the data; default: the toy data")
    parser.add_argument("--split", choices=SPLITS, default="test", help="to be scored (default: test)")
    parser.add_argument("--results", metavar="DIR", help="results store (default: figures/results)")
    options = parser.parse_args(argv)
    if options.results is not None:
        is_writable(options.results, "--results")
    if options.data is not None and not home(options.data).is_dir():
        raise UserError(f"there is no folder {options.data!r} (--data)")
    from eqgat.training.results import results_folder
    from eqgat_course.experiments.trivial import write_trivial_answers

    store = options.results or results_folder()
    for name, metrics in write_trivial_answers(options.task, store, options.data, options.split).items():
        found = ", ".join(f"{key} {value:.4g}" for key, value in metrics.items())
        print(f"{options.task} {options.split}, {name}: {found}")


def tables(argv: list[str]) -> None:
    """Write Tables 1 to 4 as CSV and Markdown, and the list of the plans that fill them."""
    parser = Parser(prog="eqgat tables", description=tables.__doc__)
    parser.add_argument("--results", type=Path, metavar="DIR", help="results store (default: figures/results)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: figures/tables beside the store")
    options = parser.parse_args(argv)
    if options.results is not None and not options.results.is_dir():
        raise UserError(f"there is no folder {str(options.results)!r} (--results)")
    if options.out is not None:
        is_writable(options.out, "--out")
    from eqgat.training.results import results_folder
    from eqgat_course.experiments import tables as module

    store = options.results or results_folder()
    out = options.out or store.parent / "tables"
    is_writable(out, "--out")
    module.write_tables(store, out)
    print(f"tables 1 to 4 and the plans of runs that fill them are in {out}")


def expressivity(argv: list[str]) -> None:
    """Train all models on all pairs of clouds that the store lacks, ten seeds each; about an hour on one core."""
    parser = Parser(prog="eqgat expressivity", description=expressivity.__doc__)
    parser.add_argument("--results", type=Path, metavar="DIR", help="results store (default: figures/results)")
    options = parser.parse_args(argv)
    if options.results is not None:
        is_writable(options.results, "--results")
    from eqgat.training.results import results_folder
    from eqgat_course.experiments.expressivity import measure_all

    measure_all(options.results or results_folder(), say=lambda line: print(line, flush=True))


def robustness(argv: list[str]) -> None:
    """Test models of the quick Triangle data on displaced points; those that --runs has not got are trained first."""
    parser = Parser(prog="eqgat robustness", description=robustness.__doc__)
    parser.add_argument("--results", type=Path, metavar="DIR", help="results store (default: figures/results)")
    parser.add_argument("--runs", type=Path, metavar="DIR", default=Path("runs"), help="trained models (default: runs)")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="default: all")
    options = parser.parse_args(argv)
    for folder, option in ((options.runs, "--runs"), (options.results, "--results")):
        if folder is not None:
            is_writable(folder, option)
    from eqgat.training.results import results_folder
    from eqgat.training.settings import MODELS
    from eqgat_course.experiments import robustness as module

    if wrong := [name for name in options.models or () if name not in MODELS]:
        raise UserError(f"unknown model {wrong[0]!r}; there are {', '.join(MODELS)}")
    chosen = tuple(options.models or module.MODELS)
    module.measure_all(options.results or results_folder(), options.runs, lambda line: print(line, flush=True), chosen)
