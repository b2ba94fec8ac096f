"""Do the tests bite? Small errors are put into the core, one at a time; the tests of that module must notice each.

    python tests/mutants.py [--workers 2] [--only layers]

Each mutant is one piece of text of one module, replaced by another in a copy of the project, and what it breaks. The
module's own tests run on the copy: a mutant that passes them has survived, and the command fails. The tests must pass
on an unchanged copy first, and a text that is no longer there exactly once is an error, so that the list stays true.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded

import hypothesis  # noqa: F401  (loaded here once, not in each run)
import pytest
import scipy.spatial  # noqa: F401
import torch_geometric.data  # noqa: F401

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
PACKAGES = ("eqgat", "eqgat_course")


class Mutant(NamedTuple):
    """A module of a package, the text to replace, the new text, and what the change breaks."""

    module: str
    old: str
    new: str
    breaks: str


MUTANTS = [
    Mutant("neighbours", "y + z * z) < cutoff", "y + z * z) <= cutoff", "the cutoff itself is outside: trees"),
    Mutant("neighbours", ".sqrt() < cutoff", ".sqrt() <= cutoff", "the cutoff itself is outside: cells"),
    Mutant(
        "neighbours",
        "np.stack([matrix.indices.astype(np.int64), receiver])",
        "np.stack([receiver, matrix.indices.astype(np.int64)])",
        "source before receiver",
    ),
    Mutant("neighbours", "2 * cutoff * graph", "0.5 * cutoff * graph", "graphs of a batch stay apart"),
    Mutant("neighbours", "_at_most(points, graph, cutoff) > MOST_EDGES", "False", "too many edges are refused: trees"),
    Mutant("neighbours", "        _refuse_too_many(found, cutoff)\n", "", "too many edges are refused: cells"),
    Mutant("neighbours", "(source != receiver)", "(source >= 0)", "nobody is a neighbour of itself"),
    Mutant("neighbours", "(cell_sorted, row - 1)", "(cell_sorted, row)", "all 27 cells are looked at"),
    Mutant("neighbours", "/ 2**15", "/ 2**40", "numbers of cells do not overflow"),
    Mutant("neighbours", "amax(dim=0) + 2", "amax(dim=0)", "an empty layer between the cells of two graphs"),
    Mutant("neighbours", "source).sort().values", "source)", "sources ascend, from cells too"),
    Mutant("fast", "> _SAFE", "> 1e9", "large logits do not overflow"),
    Mutant(
        "fast",
        "x.logits.sub_(shift.index_select(0, chunk.receiver))\n        torch.mul",
        "pass\n        torch.mul",
        "nor in the backward pass",
    ),
    Mutant("fast", "torch.where(total > 0, total, 1)", "total", "no NaN at an atom without neighbours"),
    Mutant("fast", ".clamp(min=1).view", ".view", "nor in its mean"),
    Mutant(
        "fast", "cross(d_vector, v, dim=1)", "cross(v, d_vector, dim=1)", "the order of a cross product's derivative"
    ),
    Mutant("fast", "(x.sigmoid, one, x.hidden", "(x.sigmoid, one, x.sigmoid", "the derivative of SiLU"),
    Mutant("fast", "d_out_bias += x.d_filter.sum(0)", "d_out_bias = x.d_filter.sum(0)", "all chunks are added up"),
    Mutant("fast", "tensor.view_as(tensor)", "tensor", "second derivatives are partial ones"),
    Mutant("fast", "if torch.is_grad_enabled() else _backward", "if False else _backward", "second derivatives"),
    Mutant("fast", "(upstream[0].device.type, enabled=False)", "(upstream[0].device.type)", "backward under autocast"),
    Mutant("fast", " and not any(getattr(part, hook) for hook in hooks)", "", "hooks are heard"),
    Mutant("fast", "type(part) is kinds.get(name, nn.Linear)", "True", "layers of other kinds run as they are"),
    Mutant("fast", "not in (torch.float32, torch.float64)", "is None", "half precision runs as it is"),
    Mutant("graph", "pos[receiver] - pos[source]", "pos[source] - pos[receiver]", "directions point to the centre"),
    Mutant("graph", "torch.where(apart, relative, 1.0)", "relative", "no NaN where atoms coincide"),
    Mutant("graph", "relative / distance * apart", "relative / distance", "no direction where atoms coincide"),
    Mutant("graph", ".detach().double()", ".detach().half().double()", "neighbours in the precision of the positions"),
    Mutant("graph", "    check_positions(pos)\n", "", "bad positions are refused"),
    Mutant("graph", "> 1e-10  # Å", "> 1e-3  # Å", "atoms coincide to 1e-10 Å, no farther"),
    Mutant("radial", "torch.where(x < 1, value, 0.0)", "value", "nothing beyond the cutoff"),
    Mutant(
        "radial", "(p + 1) * (p + 2) / 2 * x**p", "(p + 1) * (p + 2) / 2 * x ** (p + 1)", "the envelope's first power"
    ),
    Mutant("radial", "exponent: int = 6) -> Tensor", "exponent: int = 5) -> Tensor", "the paper's exponent"),
    Mutant("radial", "torch.arange(1, num_radial + 1", "torch.arange(0, num_radial", "k starts at 1"),
    Mutant("radial", "math.sqrt(2 / cutoff) * wave", "math.sqrt(1 / cutoff) * wave", "the basis is orthonormal"),
    Mutant(
        "radial",
        "torch.where(small, series, divisor.sin() / divisor)",
        "torch.sinc(x / math.pi)",
        "a second derivative at zero",
    ),
    Mutant("radial", "x.square() / 6 +", "x.square() / 3 +", "the series near zero"),
    Mutant("radial", "envelope.unsqueeze(-1) * bessel_basis", "bessel_basis", "the envelope scales the basis"),
    Mutant("radial", "or exponent < 2", "or exponent < 1", "a smooth envelope at zero"),
    Mutant("radial", "small = x < 1e-3", "small = x < 1e-1", "the short series near zero alone"),
    Mutant("layers", "clamp(min=1).to(values.dtype)", "to(values.dtype)", "an empty graph has mean zero"),
    Mutant("layers", "logits - largest.index_select(0, receiver)", "logits", "the softmax does not overflow"),
    Mutant(
        "layers",
        "weight / total.index_select(0, receiver)",
        "weight / (total.index_select(0, receiver) + 1e-6)",
        "weights sum to exactly 1",
    ),
    Mutant(
        "layers",
        "self.hidden.bias).index_select(0, edges.receiver)",
        "self.hidden.bias).index_select(0, edges.source)",
        "the filter sees the receiver",
    ),
    Mutant(
        "layers",
        "linear(s, of_source).index_select(0, edges.source)",
        "linear(s, of_source).index_select(0, edges.receiver)",
        "the filter sees the source",
    ),
    Mutant("layers", "linear(s, of_receiver, self.hidden.bias)", "linear(s, of_receiver)", "the bias of the filter"),
    Mutant("layers", 'num_scalar if config.attention == "feature" else 1', "num_scalar", "one coefficient an edge"),
    Mutant("layers", "self.scalar_weight(s).index_select(0, source)", "s.index_select(0, source)", "W_s in Eq. 2"),
    Mutant("layers", "v_mixed.index_select(0, source)  # Eq. 4", "v.index_select(0, source)  # Eq. 4", "W_v in Eq. 4"),
    Mutant("layers", 'v if self.cross_product == "raw" else v_mixed', "v", "the mixed cross product"),
    Mutant(
        "layers",
        "torch.linalg.cross(v, weighted, dim=1)",
        "torch.linalg.cross(weighted, v, dim=1)",
        "the sign of Eq. 5",
    ),
    Mutant("layers", "num_neighbours.clamp(min=1)", "num_neighbours.clamp(min=2)", "the mean of Eq. 6"),
    Mutant("layers", 'if self.vector_aggregation == "mean":', "if True:", "the sum of vector messages"),
    Mutant(
        "layers",
        "self.update(s + scalar_message, v + vector_message)",
        "self.update(s + scalar_message, vector_message)",
        "the residual connection",
    ),
    Mutant("layers", "return s + s_change, v", "return s_change, v", "the residual of the update"),
    Mutant("layers", "self.vector_out(gate.unsqueeze(1).contiguous() * w)", "self.vector_out(w)", "the gate"),
    Mutant("layers", "vector_length(u)], dim=1)))", "vector_length(w)], dim=1)))", "the lengths of u in the update"),
    Mutant("layers", "vector_length(self.vector(v))", "vector_length(v)", "V in the readout"),
    Mutant("layers", "+ self.epsilon).sqrt() + self.bias", "+ self.epsilon).sqrt()", "the norm's bias"),
    Mutant("layers", "self.weight * centred", "centred", "the norm's gain"),
    Mutant("layers", "centred = s - mean(s)", "centred = s", "the norm subtracts the mean"),
    Mutant("layers", "mean(v.square().sum(dim=1))", "mean(v[:, 0].square())", "the norm of vectors is invariant"),
    Mutant(
        "layers",
        "self.v_in[self.edges.receiver], self.v_partner",
        "self.v_in[self.edges.source], self.v_partner",
        "the cross term of the trace",
    ),
    Mutant(
        "layers",
        "nn.Linear(num_scalar, num_scalar)  # W_s",
        "nn.Linear(num_scalar, num_scalar, bias=False)  # W_s",
        "the bias of W_s",
    ),
    Mutant(
        "layers",
        "vector_channels, 2 * vector_channels, bias=False",
        "vector_channels, 2 * vector_channels",
        "no bias on vectors: into the update",
    ),
    Mutant(
        "layers",
        "self.vector_out = nn.Linear(vector_channels, vector_channels, bias=False)",
        "self.vector_out = nn.Linear(vector_channels, vector_channels)",
        "no bias on vectors: out of the update",
    ),
    Mutant(
        "layers",
        "nn.Linear(num_vector, num_vector, bias=False)  # W_v",
        "nn.Linear(num_vector, num_vector)  # W_v",
        "no bias on vectors: W_v",
    ),
    Mutant("layers", ".to(v.dtype)  # autocast", "  # autocast", "mixed vectors in float32 under autocast"),
    Mutant("layers", "epsilon: float = 1e-6) -> None", "epsilon: float = 1e-3) -> None", "the norm's epsilon"),
    Mutant("model", "nn.init.zeros_(module.bias)", "pass", "biases start at zero"),
    Mutant(
        "model",
        "edge_geometry(data.pos, edge_index)",
        "edge_geometry(data.pos.to(s.dtype), edge_index)",
        "geometry in the precision of the positions",
    ),
    Mutant(
        "model",
        "return self.norms[-1](s, v, batch, num_graphs) if self.norms else (s, v)",
        "return s, v",
        "the last norm",
    ),
    Mutant("model", "self.norms[number](s", "self.norms[0](s", "a norm of its own for each layer"),
    Mutant("model", "s, v = self.norms[number]", "s, _ = self.norms[number]", "normalised vectors"),
    Mutant("model", "first=number == 0", "first=False", "no unused weights in the first layer"),
    Mutant("model", 'if self.config.readout == "graph":', "if True:", "one prediction an atom"),
    Mutant(
        "model",
        "x = mean_over_graph(x, *graph_numbers(data))",
        "x = mean_over_graph(x, *graph_numbers(data)) * len(x)",
        "the mean over the atoms",
    ),
    Mutant("model", "self.basis(distance).to", "self.basis(2 * distance).to", "distances in Å"),
    Mutant("model", "s, v = record.s, record.v", "s, v = record.s, record.v_in", "states go from layer to layer"),
    Mutant("model", "len(ptr) - 1 if ptr is not None", "len(ptr) - 2 if ptr is not None", "empty graphs count"),
    Mutant("model", "        check_graph(data, self.config.num_elements)\n", "", "bad graphs are refused"),
    Mutant("model", "        check_lengths(distance, self.config.cutoff)\n", "", "edges of another cutoff are refused"),
    Mutant("model", "    @torch.no_grad()\n    def trace", "    def trace", "a trace without gradients"),
    Mutant("model", "BesselBasis(c.num_radial, c.cutoff)", "BesselBasis(c.num_radial, 4.5)", "the cutoff of the basis"),
    Mutant(
        "model",
        "return None if self.norms else len(self.layers)",
        "return len(self.layers)",
        "through the norm an answer depends on all atoms",
    ),
    Mutant(
        "model",
        "torch.bincount(receiver, minlength",
        "torch.bincount(source, minlength",
        "neighbours are those that an atom hears",
    ),
    Mutant("model", "if self.fast and records is None else None", "if records is None else None", "fast=False"),
    Mutant("symmetry", "q = q * r.diagonal().sign()", "q = q", "uniform rotations"),
    Mutant("symmetry", "    q[:, 0] *= torch.linalg.det(q).sign()\n", "", "rotations without mirror"),
    Mutant("symmetry", "[1.0, 1.0, -1.0]", "[1.0, -1.0, -1.0]", "a reflection"),
    Mutant("symmetry", "+ turn.sin() * cross", "- turn.sin() * cross", "the sense of a rotation"),
    Mutant(
        "symmetry",
        "axis = torch.as_tensor(axis, dtype=dtype)\n    if not",
        "axis = torch.as_tensor(axis, dtype=dtype) * 0 + 1\n    if not",
        "the axis of a rotation",
    ),
    Mutant(
        "symmetry",
        "moved.pos @ matrix.to(moved.pos).T",
        "moved.pos @ matrix.to(moved.pos)",
        "rows turn with the transposed matrix",
    ),
    Mutant("symmetry", "moved.pos + shift.to(moved.pos)", "moved.pos", "translations"),
    Mutant("symmetry", "moved = data.clone()", "moved = data", "the graph that was given stays"),
    Mutant("symmetry", "/ (scale or 1.0)", "/ 1e6", "errors are relative"),
    Mutant(
        "symmetry",
        '"reflection": _Move(random_reflection(seed)',
        '"reflection": _Move(random_rotation(seed)',
        "the reflection is one",
    ),
    Mutant(
        "symmetry", 'if kind == "pseudovector" else 1', 'if kind == "vector" else 1', "axial vectors keep their sign"
    ),
    Mutant("symmetry", "matrix.T + self.shift.to(value)", "matrix.T", "positions shift"),
    Mutant("symmetry", "value, matrix = value[self.order], ", "value, matrix = value, ", "rows follow their atoms"),
    Mutant(
        "symmetry", "self.order.argsort()[data.edge_index]", "self.order[data.edge_index]", "edges follow their atoms"
    ),
    Mutant(
        "symmetry",
        "order = order[batch[order].argsort(stable=True)]",
        "order = order[batch[order].argsort(stable=True)].flip(0)",
        "graphs of a batch stay together",
    ),
    Mutant("symmetry", "(1 - turn.cos())", "(1 + turn.cos())", "the angle of a rotation"),
    Mutant(
        "symmetry", "edge_index[:, edge_index[1].argsort(stable=True)]", "edge_index", "edges stay sorted by receiver"
    ),
    Mutant("symmetry", "    if expected.numel() == 0:\n        return 0.0\n", "", "nothing to compare is no error"),
    Mutant(
        "inspection",
        "over_channels(record.attention, channels), edges.source",
        "over_channels(record.attention, channels), edges.receiver",
        "attention is received by sources",
    ),
    Mutant(
        "inspection",
        "1 / edges.num_neighbours[edges.receiver], edges.source",
        "1 / edges.num_neighbours[edges.source], edges.source",
        "equal shares are those of the receiver",
    ),
    Mutant("inspection", "entropy.exp() / number", "entropy / number", "the number of neighbours, not the entropy"),
    Mutant("inspection", "number.where(number > 0, torch.nan)", "number.clamp(min=1)", "no number for an atom alone"),
    Mutant(
        "inspection", "attention[:, chosen].mean(dim=1)", "attention[:, chosen].sum(dim=1)", "the mean over channels"
    ),
    Mutant("inspection", "0 <= channel < attention", "channel < attention", "channels that do not exist"),
    Mutant(
        "inspection",
        "edges.receiver, len(record.s)) / count for",
        "edges.receiver, len(record.s)) for",
        "terms are averaged",
    ),
    Mutant("inspection", "(received / equal).log2()", "(received / equal).log()", "the logarithm to base 2"),
    Mutant(
        "inspection",
        "weight = 1 / edges.num_neighbours[edges.receiver]",
        "weight = 1 / edges.num_neighbours[edges.source]",
        "uniform weights are those of the receiver",
    ),
    Mutant("inspection", '"untrained": measure(*untrained)', '"untrained": measure(*trained)', "the untrained control"),
    Mutant("shapes", "full_matrices=True)[2][2]", "full_matrices=True)[2][0]", "the normal of a plane"),
    Mutant("shapes", "positions - positions.mean(dim=0)", "positions", "a plane need not pass the origin"),
    Mutant(
        "shapes",
        "normal * normal[normal.abs().argmax()].sign()",
        "-normal * normal[normal.abs().argmax()].sign()",
        "the sign of a normal",
    ),
    Mutant(
        "shapes",
        "(here.v + back) / 2, (here.v - back) / 2",
        "(here.v - back) / 2, (here.v + back) / 2",
        "polar before axial",
    ),
    Mutant(
        "shapes",
        "difference[there] -= second.attention",
        "difference[there] -= first.attention",
        "attention of both shapes",
    ),
    Mutant(
        "shapes",
        "1 - shared / total.clamp(min=1)",
        "shared / total.clamp(min=1)",
        "the sets' difference, not their overlap",
    ),
    Mutant("shapes", "num_nodes) / 2\n", "num_nodes)\n", "a share of at most 1"),
    Mutant(
        "inspection",
        "torch.arange(num_channels).tensor_split(num_heads)",
        "torch.arange(num_channels).split(num_heads)",
        "so many heads",
    ),
    Mutant("saving", "weights_only=True", "weights_only=False", "weights are never unpickled"),
    Mutant(
        "saving", "read_checked(folder / WEIGHTS)", "(folder / WEIGHTS).read_bytes()", "damaged weights are noticed"
    ),
    Mutant(
        "saving",
        "read_checked(folder / CONFIG)",
        "(folder / CONFIG).read_bytes()",
        "a damaged configuration is noticed",
    ),
    Mutant("saving", "            if config != saved:\n", "            if False:\n", "a changed head starts anew"),
    Mutant(
        "atom_rows",
        '(columns["symbol"] == "H") | (columns["symbol"] == "D")',
        'columns["symbol"] == "H"',
        "deuterium is hydrogen",
    ),
    Mutant("atom_rows", "-round(sum(s) / len(s), 4)", "round(sum(s) / len(s), 4)", "the highest occupancy"),
    Mutant(
        "atom_rows",
        "taken.setdefault(name, label) != label",
        'label != c["altloc"][rows[0]]',
        "a residue without a hole",
    ),
    Mutant(
        "atom_rows",
        'kept = kept[np.argsort(self.residue[kept], kind="stable")]',
        "pass",
        "the atoms of a residue stand together",
    ),
    Mutant("atom_rows", " & ~organic[self.residue]", "", "what has carbon is no water"),
    Mutant(
        "atom_rows",
        "(self.positions[other] == self.positions[index]).all() for other in before",
        "False for other in before",
        "a repeated row is one atom",
    ),
    Mutant("chemistry", 'if polymer and one and one in "HDCNOSP":', "if False:", "carbon alpha is no calcium"),
    Mutant(
        "atom_rows", "self._tell_by_segment()\n        organic", "pass\n        organic", "segments tell residues apart"
    ),
    Mutant(
        "molecule",
        'arrays["residue_index"] = ordered(arrays["residue_index"])',
        "pass",
        "the residues of a selection count from 0",
    ),
    Mutant(
        "atom_rows", "self.dropped[reason], self.left = count", "self.dropped[reason], self.left = 1", "all are counted"
    ),
    Mutant(
        "molecule", "radius_graph(exact, cutoff)", "radius_graph(exact.float(), cutoff)", "edges of exact positions"
    ),
    Mutant(
        "molecule", '(self.atom_name == "CA") & (self.symbol == "C")', 'self.atom_name == "CA"', "an ion is no residue"
    ),
    Mutant("molecule", "if len(symbol) == 2 or len(name) > 3", "if len(name) > 3", "calcium in the columns of PDB"),
    Mutant("molecule", " & ~(hydrogen[i] & hydrogen[j])", "", "no bond between hydrogens"),
    Mutant("molecule", " & (self.insertion_code == insertion_code)", "", "a residue has its insertion code"),
    Mutant("molecule", "_BOND_TOLERANCE = 0.4", "_BOND_TOLERANCE = 0.25", "the longest bond"),
    Mutant("molecule", "(distance > 0.4)", "(distance > 0.0)", "the shortest bond"),
    Mutant("molecule", "return pairs[np.lexsort(pairs.T[::-1])]", "return pairs", "bonds ascend"),
    Mutant("atom_rows", "np.abs(self.positions) <= MAX_COORDINATE", "np.abs(self.positions) < np.inf", "no far atoms"),
    Mutant("structures", '"utf-8-sig")', '"utf-8")', "a byte order mark"),
    Mutant("structures", '.replace("\\r", "\\n")', "", "lines that end as on an old Macintosh"),
    Mutant("structures", "sum(map(len, parts)) > MAX_BYTES:", "False:", "too large files are refused"),
    Mutant("pdb", "len(set(given)) < len(given)", "False", "repeated models"),
    Mutant("columns", "(-10 if digits[0].isupper()", "(10 if digits[0].isupper()", "numbers beyond 9999"),
    Mutant(
        "mmcif",
        'texts("auth_asym_id", "label_asym_id")',
        'texts("label_asym_id", "auth_asym_id")',
        "the authors' names of chains",
    ),
    Mutant("mmcif", "if len(tables) > 1:", "if len(tables) > 2:", "two data blocks are refused"),
    Mutant("mmcif", "closed and (places", "(places", "quotes around blanks are no even rows"),
    Mutant("mmcif", " and len(begins) == count * width:", ":", "a row with a word too many is not even"),
    Mutant("mmcif", "places < ends", "places < length", "words in their columns"),
    Mutant("mmcif", "len(tables[0][1]) == 1 and ", "", "a table that goes on behind its even rows"),
    Mutant("columns", "np.append(True, texts[1:] != texts[:-1])", "texts != texts[0]", "values that come again"),
    Mutant("pdb", " and len(numbers) == len(letters)", "", "a blank within a number"),
    Mutant("columns", r"(?:\(\d+\))?", "", "uncertainties behind a number"),
]

# A module without a test file of its own name is tested with those that use it.
TESTED_BY = {"saving": ["model"]} | {
    module: ["structures", "mmcif", "elements", "molecule", "dialects"]
    for module in ("chemistry", "columns", "pdb", "mmcif", "atom_rows", "molecule", "structures")
}


def file_of(module: str) -> Path:
    """The file of a module, in the first package that has it."""
    return next(path for package in PACKAGES if (path := ROOT / package / f"{module}.py").is_file())


def tests_of(module: str) -> list[Path]:
    """The files with the tests of a module."""
    names = [f"test_{name}.py" for name in TESTED_BY.get(module, [module])]
    return [next(iter(sorted((ROOT / "tests").rglob(name)))) for name in names]


def copy_project(folder: Path) -> None:
    """The project in another folder: modules and tests copied, all that no mutant touches linked."""
    for path in ROOT.iterdir():
        if path.name in (*PACKAGES, "tests", "conftest.py", "pyproject.toml") or path.name.startswith("."):
            continue
        (folder / path.name).symlink_to(path)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for package in PACKAGES:
        (folder / package).mkdir()
        for path in (ROOT / package).iterdir():
            if path.is_dir() and path.name != "__pycache__":
                (folder / package / path.name).symlink_to(path)
            elif path.is_file():
                shutil.copy(path, folder / package / path.name)


def run_tests(folder: Path, module: str) -> bool:
    """Whether the module's tests pass in a copy of the project. Ends with its process: it loads the copy's modules."""
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)  # for tests that start a process
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path).resolve() not in (ROOT, ROOT / "tests"))]
    files = [str(folder / file.relative_to(ROOT)) for file in tests_of(module)]
    with open(folder / "log", "w") as log, redirect_stdout(log), redirect_stderr(log):
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(folder), *files])
    home = Path(sys.modules["eqgat"].__file__ or "").parent.parent
    if code not in (0, 1, 2) or home != folder:  # passed, failed, stopped while collecting; else pytest itself failed
        raise RuntimeError(f"the tests of {module} could not be run:\n{(folder / 'log').read_text()}")
    return code == 0


def passes(task: str | Mutant) -> bool:
    """Whether the tests of a module pass on an unchanged copy of the project, or on one with a mutant."""
    module = task if isinstance(task, str) else task.module
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        copy_project(folder)
        if not isinstance(task, str):
            file = folder / file_of(module).relative_to(ROOT)
            file.write_text(file.read_text(encoding="utf-8").replace(task.old, task.new), encoding="utf-8")
        return run_tests(folder, module)


def out_of_date(mutants: Sequence[Mutant]) -> list[str]:
    """Mutants whose text is not exactly once in its module."""
    problems = []
    for mutant in mutants:
        count = file_of(mutant.module).read_text(encoding="utf-8").count(mutant.old)
        if count != 1:
            problems.append(f"{mutant.module}.py holds {count} times, not once: {mutant.old!r}")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Put small errors into the core and see that the tests notice each.")
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time")
    parser.add_argument("--only", metavar="MODULE", help="mutants of one module alone")
    options = parser.parse_args(arguments)
    mutants = [mutant for mutant in MUTANTS if options.only in (None, mutant.module)]
    problems = out_of_date(mutants)
    if problems or not mutants:
        print("\n".join(problems) or f"there are no mutants of {options.only}")
        return 2
    start, modules = time.monotonic(), sorted({mutant.module for mutant in mutants})
    # Every run is a process of its own, forked from this one, which has loaded the libraries once for all.
    with multiprocessing.get_context("fork").Pool(options.workers, maxtasksperchild=1) as pool:
        for module, passed in zip(modules, pool.imap(passes, modules, chunksize=1), strict=True):
            if not passed:
                print(f"the tests of {module} fail without any mutant")
                return 2
        survivors = 0
        for mutant, passed in zip(mutants, pool.imap(passes, mutants, chunksize=1), strict=True):
            print("SURVIVED" if passed else "killed  ", f"{mutant.module:10}", mutant.breaks, flush=True)
            survivors += passed
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants killed in {time.monotonic() - start:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
