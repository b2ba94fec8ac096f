"""Build the site: ``python docs/make_site.py`` (``make site``) writes it into ``build/site``.

Its sources are laid out in ``build/site-source`` as they stand in the repository, so that links between notebooks,
guides and figures hold in both places. Beside them come pages that the registries know: equations, exercises, options,
figures, results, commands, the API. Notebooks are shown as they were executed and are not run.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import inspect
import io
import os
import pkgutil
import re
import shutil
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import nbformat
from readme import table
from sphinx.cmd.build import build_main

import eqgat
import eqgat_course
from eqgat.cli import all_commands
from eqgat.cli import main as command
from eqgat.config import EQGATConfig
from eqgat.datasets import embedded_structure
from eqgat.pretrained import about, pretrained, untrained
from eqgat.viz import scripts
from eqgat.viz.explorer import explore
from eqgat_course import cells, figures
from eqgat_course.equations import EQUATIONS
from eqgat_course.exercises import load_exercises

ROOT = Path(__file__).parents[1]
LONG = 20  # lines; longer code is folded, its results are not
GUIDES = ("teachers-guide", "projects", "reliability", "cofactor-rule", "platforms")


def slug(text: str) -> str:
    """A heading as the name of a target.

    >>> slug("Equation 5: the cross product")
    'equation-5-the-cross-product'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def reading_time(text: str) -> str:
    """What the first cell of a notebook says after **Time**, in a sentence or in a row of a table.

    >>> reading_time("**Time.** 30 minutes to read, 20 for the exercises. **Profile.** Quick.")
    '30 minutes to read, 20 for the exercises'
    """
    found = re.search(r"\*\*Time\.?\*\*[ |]*([^*|\n]+)", text)
    return found[1].strip().rstrip(".") if found else ""


class Sources:
    """The folder of the sources. A file is written only where it changes, so that Sphinx reads it again only then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: set[Path] = set()
        self.code: set[str] = set()

    def write(self, name: str, content: str | bytes) -> None:
        path = self.folder / name
        data = content.encode("utf-8") if isinstance(content, str) else content
        self.kept.add(path)
        if not (path.is_file() and path.read_bytes() == data):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def page(self, name: str, text: str) -> None:
        """A page of Markdown; what it links to outside of the site becomes a page too."""
        self.write(name, self.linked(name, text))

    def linked(self, name: str, text: str) -> str:
        """The text with its links to files of code turned to the pages that show them."""

        def turn(found: re.Match[str]) -> str:
            target = os.path.normpath(Path(name).parent / found[1])
            if not (ROOT / target).is_file() or target.endswith((".md", ".ipynb", ".png")):
                return found[0]
            self.code.add(target)
            return f"]({os.path.relpath(f'code/{target}.md', Path(name).parent)})"

        return re.sub(r"\]\((?!https?:|#)([^)#\s]+)\)", turn, text)

    def finish(self) -> bool:
        """Write the pages of code that others link to, and remove what an earlier build left; was there any?"""
        for target in sorted(self.code):
            language = "python" if target.endswith(".py") else "text"
            text = (ROOT / target).read_text(encoding="utf-8")
            self.write(f"code/{target}.md", f"---\norphan: true\n---\n# {target}\n\n{block(text, language)}\n")
        stale = [path for path in self.folder.rglob("*") if path.is_file() and path not in self.kept]
        for path in stale:
            path.unlink()
        return bool(stale)


def block(text: str, language: str) -> str:
    """Code as a block of Markdown, whatever backticks are in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{{code-block}} {language}\n{text.rstrip()}\n{fence}"


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook with its outputs: the copy that ``make run`` made, if it is of the same cells, or the committed one."""
    committed = nbformat.read(path, as_version=4)
    copy = ROOT / "build/notebooks" / path.name
    if copy.is_file():
        notebook = nbformat.read(copy, as_version=4)
        if [cell.source for cell in notebook.cells] == [cell.source for cell in committed.cells]:
            return notebook
    return committed


def notebook_paths() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def chapter_rows() -> dict[str, tuple[str, str, str]]:
    """Of each notebook that the README lists: the figure that stands for it, its title and what it shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    row = r'^\| <img src="figures/([\w-]+)\.png"[^|]*\| \[(.+?)\]\(notebooks/(\d\d)_\w+\.ipynb\) \| (.+?) \|$'
    return {number: (name, title, what) for name, title, number, what in re.findall(row, text, re.MULTILINE)}


def notebooks(sources: Sources) -> list[dict[str, str]]:
    """Write the notebooks and their list; what is known of their 3D views."""
    views: list[dict[str, str]] = []
    cards = []
    known = chapter_rows()
    for path in notebook_paths():
        notebook = executed(path)
        views += prepared(sources, path, notebook)
        sources.write(f"notebooks/{path.name}", nbformat.writes(notebook))
        name, title, what = known[path.stem[:2]]
        picture = f":img-top: /figures/{name}.png\n:img-alt: {name}\n"
        cards.append(
            f":::{{grid-item-card}} {title}\n:link: {path.stem}\n:link-type: doc\n{picture}\n{what}\n\n"
            f"*{reading_time(notebook.cells[0].source)}*\n:::\n"
        )
    sources.page(
        "notebooks/index.md",
        "# Notebooks\n\nRead 00 to 07 in order; each takes 20 to 40 minutes. Solutions and long code are folded: open "
        "them where they stand. To work in them, `make lab` opens copies without solutions.\n\n"
        "::::{grid} 1 2 3 3\n:gutter: 3\n\n" + "\n".join(cards) + "::::\n\n"
        "```{toctree}\n:hidden:\n:glob:\n\n[0-9]*\n```\n",
    )
    return views


def prepared(sources: Sources, path: Path, notebook: nbformat.NotebookNode) -> list[dict[str, str]]:
    """Change a notebook into a page: headings that can be linked to, solutions and long code folded; its 3D views."""
    number, seen, views, heading = path.stem[:2], set[str](), [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = []
            for line in sources.linked(f"notebooks/{path.name}", cell.source).splitlines():
                if found := re.match(r"##+ +(.+?) *$", line):
                    heading = found[1]
                    exercise = re.match(r"Exercise (\d\d\.\d+)", heading)
                    target = f"exercise-{exercise[1]}" if exercise else f"nb-{number}-{slug(heading)}"
                    if target not in seen:
                        seen.add(target)
                        lines.append(f"({target})=")
                lines.append(line)
            cell.source = "\n".join(lines)
            continue
        tags = cell.metadata.setdefault("tags", [])
        if cells.is_answer(cell):
            tags.append("hide-input")
            cell.metadata["mystnb"] = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}
        elif cell.source.startswith("%matplotlib"):
            tags.append("hide-input")
            cell.metadata["mystnb"] = {"code_prompt_show": "Show the set-up", "code_prompt_hide": "Hide the set-up"}
        cell.source = re.sub(r"^# NBVAL_\w+\n", "", cells.without_markers(cell.source), flags=re.MULTILINE)
        if cell.source.count("\n") >= LONG and "hide-input" not in tags:
            tags.append("hide-input")
            lines_of = cell.source.count("\n") + 1
            cell.metadata["mystnb"] = {"code_prompt_show": f"Show the code ({lines_of} lines)"}
        is_view = any("eqgat-view" in output.get("data", {}).get("text/html", "") for output in cell.outputs)
        for output in cell.outputs if is_view else []:
            if "image/png" in output.get("data", {}):
                name = f"views/{number}-{len(views)}.png"
                sources.write(name, base64.b64decode(output["data"]["image/png"]))
                alt = output["metadata"].get("image/png", {}).get("alt", "")
                views.append({"picture": name, "alt": alt, "notebook": path.stem, "heading": heading})
    return views


def equations(sources: Sources) -> None:
    parts = [
        "# Equations\n\nEvery equation of the paper: where it is derived, the code that is it, the test that holds the "
        "code to it, and its exercises."
    ]
    for equation in EQUATIONS:
        path, _, test = equation.test.partition("::")
        exercises = ", ".join(f"[{number}](#exercise-{number})" for number in equation.exercises)
        parts.append(
            f"(equation-{slug(equation.name)})=\n## {equation.name}\n\n*{equation.paper}*\n\n$$\n{equation.latex}\n$$\n\n"
            f"- Derived in [{equation.notebook[:2]}: {equation.section}]"
            f"(#nb-{equation.notebook[:2]}-{slug(equation.section)})\n"
            f"- Code: {{py:obj}}`{equation.code}`\n"
            f"- Test: [`{test}`](../{path})\n"
            f"- Exercises: {exercises}"
        )
    sources.page("reference/equations.md", "\n\n".join(parts) + "\n")


def exercises(sources: Sources) -> None:
    rows = [
        [f"[{number}](#exercise-{number})", item.title, item.kind, item.points, item.minutes]
        for number, item in load_exercises().items()
    ]
    sources.page(
        "reference/exercises.md",
        "# Exercises\n\nEach has a check that answers with a hint when something is wrong, and a solution, folded.\n\n"
        + table(["exercise", "what", "kind", "points", "minutes"], rows)
        + "\n",
    )


def notation(sources: Sources) -> None:
    """The section of notebook 00, which is the one place of the notation."""
    notebook = executed(notebook_paths()[0])
    text = next(cell.source for cell in notebook.cells if cell.source.startswith("## Symbols and names"))
    sources.page("reference/notation.md", "# Notation\n\n" + text.partition("\n")[2].strip() + "\n")


def options(sources: Sources) -> None:
    text = inspect.getdoc(EQGATConfig) or ""
    listed = text.partition("Attributes:\n")[2].partition("\n\n")[0]
    meanings: dict[str, str] = {}
    for names, meaning in re.findall(r"^ {4}(\w[\w, ]*): (.+(?:\n {8}.+)*)", listed, re.MULTILINE):
        meanings |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    parts = [
        "# Options of the model\n\nThe options of `eqgat.EQGAT`, given by name or as one "
        "[`EQGATConfig`](../api/eqgat.config.md). The defaults are the paper's for the larger ATOM3D tasks."
    ]
    for field in fields(EQGATConfig):
        default = "It must be given" if field.default is MISSING else f"Default: `{field.default!r}`"
        meaning = meanings[field.name]
        parts.append(f"## {field.name}\n\n{meaning[0].upper()}{meaning[1:]}\n\n{default}. Type: `{field.type}`.")
    sources.page("reference/options.md", "\n\n".join(parts) + "\n")


def commands(sources: Sources) -> None:
    """What ``eqgat COMMAND --help`` prints, of each command."""
    parts = ["# Commands\n\n`eqgat COMMAND` and `python -m eqgat COMMAND` are the same."]
    os.environ["COLUMNS"] = "100"
    for name, (_, what) in all_commands().items():
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
            command([name, "--help"])
        parts.append(f"## eqgat {name}\n\n{what[0].upper()}{what[1:]}.\n\n{block(said.getvalue(), 'text')}")
    sources.page("reference/commands.md", "\n\n".join(parts) + "\n")


def described_figures() -> dict[str, tuple[str, str]]:
    """Alternative text and caption of each figure that ``eqgat figures`` has drawn."""
    text = (ROOT / "figures/README.md").read_text(encoding="utf-8")
    found = re.findall(r"^## (\S+)\n\n!\[(.*?)\]\(\S+?\)\n\n(.*?)\n(?=\n|\Z)", text, re.MULTILINE)
    return {name: (alt, caption) for name, alt, caption in found}


def gallery(sources: Sources, views: list[dict[str, str]]) -> None:
    """All figures at a glance, those of a chapter with their sources, and the 3D views."""
    described = described_figures()
    chapters: dict[str, list[figures.FigureEntry]] = {}
    for entry in figures.load_all().values():
        if entry.name in described:
            chapters.setdefault(entry.notebook, []).append(entry)
    titles = {path.stem[:2]: path.stem for path in notebook_paths()}
    glance = []
    for number, entries in chapters.items():
        parts = [
            f"# Figures of notebook {number}\n\nThey stand in [the notebook](../notebooks/{titles[number]}.ipynb)."
        ]
        for entry in entries:
            alt, caption = described[entry.name]
            sources.write(f"figures/{entry.name}.png", (ROOT / f"figures/{entry.name}.png").read_bytes())
            source = inspect.getsource(inspect.unwrap(entry.draw))
            where = entry.draw.__module__.replace(".", "/") + ".py"
            parts.append(
                f"(figure-{entry.name})=\n## {entry.name}\n\n![{alt}]({entry.name}.png)\n\n{caption}\n\n"
                f"Data: {entry.data}. Draw it again: `eqgat figures {entry.name}`.\n\n"
                f"::::{{dropdown}} Source: {where}\n{block(source, 'python')}\n::::"
            )
            glance.append(
                f":::{{grid-item-card}} {entry.name}\n:link: figure-{entry.name}\n:link-type: ref\n"
                f":img-bottom: {entry.name}.png\n:img-alt: {entry.name}\n:::\n"
            )
        sources.page(f"figures/chapter-{number}.md", "\n\n".join(parts) + "\n")
    sources.page(
        "figures/index.md",
        f"# Figures and views\n\nAll {len(glance)} figures, in the order of the notebooks; each leads to its caption, "
        "its data and the code that draws it. The molecules that turn under the mouse: [3D views](views.md).\n\n"
        "::::{grid} 2 3 4 4\n:gutter: 2\n:class-container: glance\n\n" + "\n".join(glance) + "::::\n\n"
        "```{toctree}\n:hidden:\n\nviews\n" + "".join(f"chapter-{number}\n" for number in chapters) + "```\n",
    )
    shown = [
        f":::{{grid-item-card}} {view['notebook'][:2]} · {view['heading']}\n"
        f":link: nb-{view['notebook'][:2]}-{slug(view['heading'])}\n:link-type: ref\n"
        f":img-bottom: /{view['picture']}\n:img-alt: {view['alt']}\n:::\n"
        for view in views
    ]
    sources.page(
        "figures/views.md",
        "# 3D views\n\nEach opens in its notebook, where it turns under the mouse. For a structure of your own, "
        "`eqgat explore FILE` makes a page like "
        '<a href="../explorer.html">this one of the trypsin inhibitor BPTI</a>: click a residue or an atom, and see '
        "what a trained model attends to there, beside an untrained one.\n\n"
        "::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n".join(shown) + "::::\n",
    )


def results(sources: Sources) -> None:
    """The tables as ``eqgat tables`` wrote them, and the command of each stored run."""
    names = []
    for path in sorted((ROOT / "figures/tables").glob("*.md")):
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
        title, _, more = first.partition(". ")
        sources.page(f"results/{path.name}", f"{title.rstrip('.')}\n\n{more}\n{rest}")
        names.append(path.stem)
    runs: dict[str, list[list[str]]] = {}
    for path in sorted((ROOT / "figures/results").glob("*/*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows or "command" not in rows[0] or "history" in path.name:
            continue
        first = rows[0]
        scores = ", ".join(
            f"{row['metric']} {float(row['value']):.3g}" for row in rows if row["split"] == "test" and row["value"]
        )
        runs.setdefault(first["task"], []).append(
            [first["model"], first["profile"], first["seed"], scores, first["device"], f"`{first['command']}`"]
        )
    head = ["model", "profile", "seed", "test set", "device", "command"]
    parts = [f"## {task}\n\n{table(head, lines)}" for task, lines in runs.items()]
    sources.page(
        "results/runs.md",
        "# Runs and their commands\n\nEvery run of the results store, `figures/results`, with the command that made "
        "it.\n\n" + "\n\n".join(parts) + "\n",
    )
    bench = ROOT / "figures/bench"
    if (bench / "report.md").is_file():
        for path in bench.glob("*.png"):
            sources.write(f"results/{path.name}", path.read_bytes())
        text = (bench / "report.md").read_text(encoding="utf-8")
    else:
        text = "# Benchmarks\n\nNothing is stored here yet. `make bench` measures speed and memory on your machine.\n"
    sources.page("results/benchmarks.md", text)
    entries = "\n".join([*names, "runs", "benchmarks", "/docs/reliability"])
    sources.page(
        "results/index.md",
        "# Results\n\nNumbers come from runs of this code, stored with seed, device, versions and commit, and stand "
        "beside the paper's. A cell that nobody ran is empty.\n\n```{toctree}\n:maxdepth: 1\n\n" + entries + "\n```\n",
    )


def api(sources: Sources) -> None:
    """One page for each module of the library, and of the course outside of its chapters."""
    library = [name for _, name, _ in pkgutil.walk_packages(eqgat.__path__, "eqgat.") if not name.endswith("__main__")]
    every = [name for _, name, _ in pkgutil.walk_packages(eqgat_course.__path__, "eqgat_course.")]
    course = [name for name in every if not re.search(r"\.(ch\d\d|_)", name)]
    parts = ["# API\n\nThe examples in it run as tests."]
    for package, names in (("eqgat", ["eqgat", *library]), ("eqgat_course", course)):
        rows = []
        for name in sorted(names):
            module = __import__(name, fromlist=["_"])
            what = " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split())
            rows.append([f"[`{name}`]({name}.md)", what.replace("``", "`")])
            offered = {word: getattr(module, word) for word in getattr(module, "__all__", [])}
            home = {  # constants that a package passes on do not say where they are from, and are left out here
                word: getattr(value, "__module__", name)
                for word, value in offered.items()
                if hasattr(value, "__module__") or word in vars(module)
            }
            own = ", ".join(word for word in home if home[word] == name)
            others = ", ".join(f"{{py:obj}}`{home[word]}.{word}`" for word in home if home[word] != name)
            members = "" if offered and not own else f"   :members: {own}\n"
            text = f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n{members}```\n"
            sources.page(f"api/{name}.md", text + (f"\nFrom other modules: {others}.\n" if others else ""))
        parts.append(f"## {package}\n\n" + table(["module", "what it is"], rows))
    parts.append("```{toctree}\n:hidden:\n:glob:\n\neqgat*\n```")
    sources.page("api/index.md", "\n\n".join(parts) + "\n")


def ten_lines() -> str:
    """The README's model in ten lines, as a block of code."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text[text.index("```python") :].partition("\n```\n")[0] + "\n```"


def lay_out(folder: Path) -> bool:
    """Write all sources of the site; true if pages of an earlier build are gone."""
    sources = Sources(folder)
    views = notebooks(sources)
    for make in (equations, exercises, notation, options, commands, results, api):
        make(sources)
    gallery(sources, views)
    for name in GUIDES:
        if (ROOT / f"docs/{name}.md").is_file():
            sources.page(f"docs/{name}.md", (ROOT / f"docs/{name}.md").read_text(encoding="utf-8"))
    sources.page("CONTRIBUTING.md", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    for path in (ROOT / "docs/site").rglob("*.md"):
        sources.page(str(path.relative_to(ROOT / "docs/site")), path.read_text(encoding="utf-8"))
    front = (ROOT / "docs/site/index.md").read_text(encoding="utf-8")
    own = next((f"notebooks/{path.stem}" for path in notebook_paths() if "own" in path.stem), "figures/views")
    sources.page("index.md", front.replace("OWN", own).replace("TEN", ten_lines()))
    if script := scripts.source(scripts.MATHJAX):
        sources.write("_static/mathjax.js", script)
    sources.write("_static/explorer.png", (ROOT / "docs/_static/explorer.png").read_bytes())
    explorer = explore(embedded_structure("5pti"), pretrained("res"), untrained=untrained("res"), about=about("res"))
    sources.write("_extra/explorer.html", explorer.to_html())
    return sources.finish()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/site", help="folder of the site (build/site)")
    parser.add_argument("--jobs", default="2", help="processes of Sphinx (2)")
    options = parser.parse_args(argv)
    source, trees = ROOT / "build/site-source", ROOT / "build/site-trees"
    if lay_out(source):  # a page that is gone would leave its traces
        shutil.rmtree(trees, ignore_errors=True)
        shutil.rmtree(options.out, ignore_errors=True)
    shutil.rmtree(options.out / "_modules", ignore_errors=True)  # Sphinx keeps pages of code that has moved
    arguments = ["-b", "html", "-j", options.jobs, "-c", str(ROOT / "docs"), "-d", str(trees)]
    failed = build_main([*arguments, str(source), str(options.out)])
    if not failed:
        missing = [script for script in scripts.SCRIPTS if scripts.source(script) is None]
        needs = "" if missing else " It needs no network."
        print(f"The site is made: open {options.out / 'index.html'} in a browser.{needs}")
        for script in missing:
            print(f"{script.name} is not here (python -m eqgat.viz.scripts fetches it). {script.without}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
