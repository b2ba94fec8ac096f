"""One registry: each equation of the paper -> the code that is it -> the notebook section that derives it ->
the test that checks it -> its exercises. ``tests/course/test_equations.py`` walks it and fails where a link is dead.

``python -m eqgat equations`` prints it as a table; the site has a page of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from eqgat.cli import Parser
from eqgat.errors import UserError

__all__ = ["EQUATIONS", "Equation", "equation_table", "insert_between", "resolve"]


@dataclass(frozen=True)
class Equation:
    """One row: ``code`` is a dotted name, ``notebook`` a file stem, ``section`` its heading, ``test`` a pytest id."""

    name: str
    paper: str
    latex: str
    code: str
    notebook: str
    section: str
    test: str
    exercises: tuple[str, ...]


EQUATIONS: tuple[Equation, ...] = (
    Equation(
        "Neighbourhood",
        "Section 2.1",
        r"\mathcal N(i)=\{j:\lVert p_j-p_i\rVert<c\}",
        "eqgat.graph.radius_graph",
        "01_geometric_graphs",
        "The radius graph",
        "tests/library/test_graph.py::test_radius_graph_equals_brute_force",
        ("01.1",),
    ),
    Equation(
        "Message passing",
        "Section 2.1",
        r"m_i=\sum_{j\in\mathcal N(i)}M(x_i,x_j),\quad x_i\leftarrow U(x_i,m_i)",
        "eqgat.layers.sum_over_neighbours",
        "01_geometric_graphs",
        "Message passing",
        "tests/library/test_layers.py::test_layer_equals_literal_equations",
        ("01.2",),
    ),
    Equation(
        "Bessel basis",
        "Section 3, reference [9]",
        r"G_k(d)=\sqrt{2/c}\,\sin(k\pi d/c)/d",
        "eqgat.radial.bessel_basis",
        "02_radial_basis",
        "Bessel functions from the wave equation",
        "tests/library/test_radial.py::test_bessel_basis_equals_formula_and_its_limit",
        ("02.1",),
    ),
    Equation(
        "Envelope",
        "Section 3, reference [9]",
        r"\kappa(d)=1-\tfrac{(p+1)(p+2)}{2}x^p+p(p+2)\,x^{p+1}-\tfrac{p(p+1)}{2}x^{p+2},\;x=d/c<1,\;p=6",
        "eqgat.radial.polynomial_envelope",
        "02_radial_basis",
        "The envelope",
        "tests/library/test_radial.py::test_envelope_and_two_derivatives_vanish_at_the_cutoff",
        ("02.2",),
    ),
    Equation(
        "Edge filter",
        "Eq. (1)",
        r"f_{ji}=\mathrm{MLP}([s_i\Vert s_j\Vert\kappa(d_{ji})G_d(d_{ji})])",
        "eqgat.layers.AttentionFilter",
        "03_feature_attention",
        "Equation 1: the edge filter",
        "tests/library/test_layers.py::test_filter_equals_concatenation",
        ("03.1",),
    ),
    Equation(
        "Feature attention",
        "Section 3, after Eq. (1)",
        r"\alpha_{ji}=\exp(a_{ji})/\sum_{k\in\mathcal N(i)}\exp(a_{ki})",
        "eqgat.layers.neighbour_softmax",
        "03_feature_attention",
        "The softmax, channel by channel",
        "tests/library/test_layers.py::test_softmax_sums_to_one_in_each_channel",
        ("03.2",),
    ),
    Equation(
        "Scalar message",
        "Eq. (2)",
        r"m_{i,s}=\sum_j\alpha_{ji}\odot W_s s_j=\sum_j W_{ji}s_j",
        "eqgat.layers.EQGATLayer",
        "03_feature_attention",
        "Equation 2: the scalar message",
        "tests/library/test_layers.py::test_layer_equals_literal_equations",
        ("03.3",),
    ),
    Equation(
        "Direction term",
        "Eq. (3)",
        r"v_{ji,0}=p_{ji,n}\otimes b_{ji,0}",
        "eqgat.layers.LayerTrace.v_direction",
        "04_vector_messages",
        "Equation 3: directions",
        "tests/library/test_layers.py::test_trace_terms_add_up_to_the_message",
        ("04.1",),
    ),
    Equation(
        "Mixing term",
        "Eq. (4)",
        r"v_{ji,1}=b_{ji,1}\odot v_jW_v",
        "eqgat.layers.LayerTrace.v_mix",
        "04_vector_messages",
        "Equation 4: mixing",
        "tests/library/test_layers.py::test_trace_terms_add_up_to_the_message",
        ("04.2",),
    ),
    Equation(
        "Cross-product term",
        "Eq. (5)",
        r"v_{ji,2}=b_{ji,2}\odot(v_i\times v_j)",
        "eqgat.layers.LayerTrace.v_cross",
        "05_cross_products",
        "Equation 5: the cross product",
        "tests/library/test_layers.py::test_trace_terms_add_up_to_the_message",
        ("05.1", "05.2"),
    ),
    Equation(
        "Vector message",
        "Eq. (6)",
        r"m_{i,v}=\frac1{|\mathcal N(i)|}\sum_j(v_{ji,0}+v_{ji,1}+v_{ji,2})",
        "eqgat.layers.EQGATLayer",
        "04_vector_messages",
        "Equation 6: the mean over neighbours",
        "tests/library/test_layers.py::test_layer_equals_literal_equations",
        ("04.3",),
    ),
    Equation(
        "Residual step",
        "Section 3, after Eq. (6)",
        r"\tilde s_i=s_i+m_{i,s},\quad\tilde v_i=v_i+m_{i,v}",
        "eqgat.layers.EQGATLayer",
        "06_update_and_layer",
        "The residual step",
        "tests/library/test_layers.py::test_layer_equals_literal_equations",
        ("06.1",),
    ),
    Equation(
        "Gated update",
        "Fig. 1b, references [18, 20]",
        r"(s,v)\leftarrow U(\tilde s,\tilde v)",
        "eqgat.layers.GatedUpdate",
        "06_update_and_layer",
        "The gated update",
        "tests/library/test_layers.py::test_layer_equals_literal_equations",
        ("06.2",),
    ),
    Equation(
        "Equivariance",
        "Eq. (7)",
        r"f(g.h)=g.f(h)",
        "eqgat.symmetry.equivariance_errors",
        "07_proofs",
        "Equation 7: what is to be proved",
        "tests/library/test_symmetry.py::test_model_is_equivariant_on_every_embedded_structure",
        ("07.1",),
    ),
    Equation(
        "Translation",
        "Appendix A.1, note",
        r"(p_j+t)-(p_i+t)=p_j-p_i",
        "eqgat.graph.edge_geometry",
        "07_proofs",
        "Permutation and translation",
        "tests/library/test_symmetry.py::test_model_is_equivariant_on_every_embedded_structure",
        ("07.2",),
    ),
    Equation(
        "Coordinate update",
        "Appendix A.1, note, reference [27]",
        r"p_i\leftarrow p_i+\sum_j p_{ji,n}\,s_{ji}",
        "eqgat_course.ch07_proofs.study.coordinate_update",
        "07_proofs",
        "Moving the atoms: a coordinate update",
        "tests/course/test_ch07_proofs.py::test_coordinate_update_is_equivariant_under_rotation_and_translation",
        ("07.3",),
    ),
)


def resolve(name: str) -> tuple[str, object]:
    """The module that a dotted name starts with and the object it names: a function, a class, or a part of a class.

    Raises:
        ValueError: no module begins the name, or the module has no such attribute.
    """
    parts = name.split(".")
    for size in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:size])
        try:
            found: object = import_module(module)
        except ModuleNotFoundError:
            continue
        for part in parts[size:]:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                raise ValueError(f"{name}: {found!r} has no attribute {part!r}")
            found = getattr(found, part, None)
        return module, found
    raise ValueError(f"{name}: there is no module {parts[0]!r}")


def equation_table() -> str:
    """The registry as a Markdown table, with links relative to the project's folder; no newline at the end."""
    lines = [
        "| equation | in the paper | formula | code | derived in | tested by | exercises |",
        "|---|---|---|---|---|---|---|",
    ]
    for equation in EQUATIONS:
        module, _ = resolve(equation.code)
        path = module.replace(".", "/") + ".py"
        test_file, _, test = equation.test.partition("::")
        cells = [
            equation.name,
            equation.paper,
            # A bar would end the cell; the backticks keep the backslashes of the formula from Markdown.
            "$`" + equation.latex.replace("|", r"\vert ") + "`$",
            f"[`{equation.code.removeprefix('eqgat.').removeprefix('eqgat_course.')}`]({path})",
            f"[{equation.notebook[:2]}, {equation.section}](notebooks/{equation.notebook}.ipynb)",
            f"[`{test.removeprefix('test_')}`]({test_file})",
            ", ".join(equation.exercises),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def insert_between(markers: tuple[str, str], text: str, table: str) -> str:
    """``text`` with what stands between the two lines ``markers`` replaced by ``table``.

    Raises:
        UserError: the markers are missing, or not there once each and in order.
    """
    start, end = markers
    if text.count(start) != 1 or text.count(end) != 1 or text.index(end) < text.index(start):
        raise UserError(f"the file needs one line {start} and, below it, one line {end}; the table goes between them")
    return f"{text.split(start)[0]}{start}\n{table}\n{end}{text.split(end)[1]}"


def main(argv: list[str] | None = None) -> int:
    """The command ``python -m eqgat equations``; its exit status."""
    description = "The paper's equations, with code, notebook, test and exercises."
    Parser(prog="eqgat equations", description=description).parse_args(argv)
    print(equation_table())
    return 0
