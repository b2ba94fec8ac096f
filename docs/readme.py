"""The tables of the README that come from stored numbers: ``python docs/readme.py`` (``make tables``) renews them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from eqgat.training import read_results
from eqgat_course.equations import insert_between
from eqgat_course.experiments.claims import claims

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CLAIMS = ("<!-- claims -->", "<!-- /claims -->")
RESULTS = ("<!-- results -->", "<!-- /results -->")
SPEED = ("<!-- speed -->", "<!-- /speed -->")


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table under ``figures``; none where there is no such file."""
    path = ROOT / "figures" / name
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(head: list[str], lines: Sequence[Sequence[object]]) -> str:
    """A table of Markdown; a bar in a cell would end it, and is escaped."""
    every = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in every)


def verdicts() -> str:
    """What the paper claims, and what came of it here."""
    return table(["the paper says", "here", "verdict"], claims(read_results(ROOT / "figures/results")))


def results() -> str:
    """Table 3: the error of each model, the paper's and ours, a column for each profile that was run."""
    found = rows("tables/table3.csv")
    profiles = list(dict.fromkeys(row["profile"] for row in found if row["source"] != "paper"))
    cells: dict[tuple[str, str], str] = {}
    for row in found:
        spread = f" ± {float(row['std']):.2f}" if row["std"] else ""
        count = f" (n = {row['n']})" if row["n"] else ""
        cells[row["model"], row["profile"]] = f"{float(row['mean']):.2f}{spread}{count}"
    head = ["model", "the paper", *(f"ours, {profile} profile" for profile in profiles)]
    models = dict.fromkeys(row["model"] for row in found)
    return table(
        head, [[model, *(cells.get((model, name), "not run") for name in ["", *profiles])] for model in models]
    )


def speed() -> str:
    """Seconds of a training step, a column for each batch; nothing where no benchmark is stored."""
    found = {
        (row["case"], row["side"], row["quantity"]): row for row in rows("bench/numbers.csv") if row["part"] == "models"
    }
    steps = [key[:2] for key in found if key[2] == "training step"]
    if not steps:
        return ""

    def cell(case: str, side: str) -> str:
        if step := found.get((case, side, "training step")):
            return f"{float(step['value']):.3g} {step['unit']}"
        memory = found.get((case, side, "not run; memory, from a quarter of the batch"))
        return f"not run: needs some {float(memory['value']) / 1024:.0f} GiB" if memory else "not run"

    cases = list(dict.fromkeys(case for case, _ in steps))
    head = ["model"]
    for case in cases:
        atoms, edges = (int(found[case, "", quantity]["value"]) for quantity in ("atoms", "edges"))
        head.append(f"{case}: {atoms:,} atoms, {edges:,} edges")
    lines = [[side, *(cell(case, side) for case in cases)] for side in dict.fromkeys(side for _, side in steps)]
    first = found[(*steps[0], "training step")]
    about = [
        f"Median time of forward and backward pass, {first['threads']} thread, {first['machine']}",
        "readable and literal: the same function, written as in the notebooks and as in the equations",
        "[report](figures/bench/report.md)",
    ]
    return f"\n### A training step\n\n{'; '.join(about)}.\n\n{table(head, lines)}\n{memory()}"


def memory() -> str:
    """How much longer a step takes whose memory goes back to the system, on the largest batch that was measured so."""
    found = [
        row
        for row in rows("bench/numbers.csv")
        if (row["part"], row["quantity"]) == ("allocator", "training step, against kept")
    ]
    if not found:
        return ""
    case = found[-1]["case"]
    longer = ", ".join(
        f"{float(row['value']):.1f} ({row['side'].removesuffix(', usual')})" for row in found if row["case"] == case
    )
    return (
        "\nOn a CPU, training keeps the memory that a step frees for the next one, and so do these times. Given back to the "
        f"system at once, as is usual, a step of the batch {case} takes {longer} times as long.\n"
    )


def renewed(text: str) -> str:
    """The text of the README with its tables as the stored numbers say.

    Raises:
        ValueError: markers are missing, or not once each and in order.
    """
    for markers, made in ((CLAIMS, verdicts()), (RESULTS, results()), (SPEED, speed())):
        text = insert_between(markers, text, made)
    return text


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{README.name} shows the stored numbers")
