"""What a model refuses, with a reason: options, positions, batches, edges and graphs that would give wrong answers."""

from __future__ import annotations

from inspect import signature

import numpy as np
import pytest
import torch
from helpers import make_graph, make_model
from torch_geometric.data import Batch, Data

from eqgat import EQGAT, EQGATConfig, radius_graph
from eqgat.checks import MOST_GRAPHS, RESOLUTION, check_lengths, check_positions
from eqgat.chemistry import element_index
from eqgat.datasets import embedded_names, embedded_path, embedded_structure
from eqgat.datasets.atom3d.environments import residue_item
from eqgat.datasets.atom3d.samples import AtomOptions
from eqgat.errors import UserError


def change(**fields):
    """A graph of five atoms with some fields replaced."""
    graph = make_graph(5)
    for name, value in fields.items():
        graph[name] = value
    return graph


def edges(*pairs):
    return torch.tensor(pairs).T


def long_edge():
    graph = make_graph(5)
    graph.pos[:, 0] *= 100
    return graph


HALVES = torch.tensor([0, 0, 0, 1, 1])
NO_EDGES = torch.empty(2, 0, dtype=torch.int64)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (Data(), r"data\.z is missing"),
        (change(edge_index=None), r"edge_index is missing.*radius_graph"),
        (change(pos=torch.full((5, 3), float("nan"))), "NaN or infinite coordinates at 5"),
        (change(pos=torch.full((5, 3), -float("inf"))), "NaN or infinite coordinates at 5"),
        (change(pos=torch.zeros(5, 2)), r"pos must be a floating tensor of shape \[N, 3\]; got float32 \[5, 2\]"),
        (change(pos=torch.zeros(5, 3, dtype=torch.int32)), "pos must be a floating tensor"),
        (change(pos=np.zeros((5, 3))), "pos must be a floating tensor.*got ndarray"),
        (change(pos=[[0.0, 0.0, 0.0]] * 5), "pos must be a floating tensor.*got list"),
        (change(pos=torch.full((5, 3), 1e30)), "reaches 1e\\+30 Å from the origin.*move the molecule"),
        (change(pos=torch.full((5, 3), 1e5)), "torch.float32 rounds by up to 0.006 Å"),
        (change(pos=torch.full((5, 3), 20.0, dtype=torch.bfloat16)), "torch.bfloat16 rounds"),
        (change(z=torch.zeros(4, dtype=torch.int64)), r"z must be an int64 tensor of shape \[5\]; got int64 \[4\]"),
        (change(z=torch.zeros(5)), "z must be an int64 tensor"),
        (change(z=np.zeros(5, dtype=int)), "z must be an int64 tensor.*got ndarray"),
        (change(z=torch.full((5,), 9)), r"element numbers 9\.\.9, but the model knows 0\.\.8"),
        (change(z=torch.tensor([0, 0, -1, 0, 0])), r"element numbers -1\.\.0"),
        (change(edge_index=edges([0, 5])), r"atoms 0\.\.5, but the graph has the atoms 0\.\.4"),
        (change(edge_index=edges([0, -1], [1, 0])), r"atoms -1\.\.1"),
        (change(edge_index=edges([0, 1], [1, 0])), "sorted by receiver"),
        (change(edge_index=edges([1, 0], [2, 2], [1, 2])), "1 edge.s. from an atom to itself, first at column 1"),
        (change(edge_index=torch.zeros(3, 2, dtype=torch.int64)), r"shape \[2, E\]"),
        (change(edge_index=torch.zeros(2, 2)), "edge_index must be an int64 tensor"),
        (change(edge_index=np.zeros((2, 0), dtype=int)), "edge_index must be an int64 tensor.*got ndarray"),
        (change(batch=HALVES, edge_index=edges([0, 4])), "two different graphs"),
        (change(batch=HALVES.float()), r"batch must be an int64 tensor of shape \[5\]; got float32 \[5\]"),
        (change(batch=HALVES.int()), "batch must be an int64 tensor"),
        (change(batch=HALVES[:4]), r"batch must be an int64 tensor of shape \[5\]; got int64 \[4\]"),
        (change(batch=HALVES[:, None]), r"got int64 \[5, 1\]"),
        (change(batch=HALVES.numpy()), "batch must be an int64 tensor.*got ndarray"),
        (change(batch=HALVES - 1), "batch must be ascending from 0"),
        (change(batch=HALVES.flip(0)), "batch must be ascending from 0"),
        (change(batch=HALVES * MOST_GRAPHS, edge_index=NO_EDGES), "batch numbers the graphs up to 1000000"),
        (change(batch=HALVES, ptr=torch.tensor([0, 2, 5]), edge_index=NO_EDGES), "ptr does not fit batch"),
        (change(batch=HALVES, ptr=torch.tensor([0, 3]), edge_index=NO_EDGES), "ptr does not fit batch"),
        (change(batch=HALVES, ptr=torch.tensor([1, 3, 5]), edge_index=NO_EDGES), "ptr does not fit batch"),
        (change(batch=HALVES, ptr=torch.tensor([], dtype=torch.int64), edge_index=NO_EDGES), "ptr does not fit batch"),
        (change(batch=HALVES, ptr=torch.tensor([0.0, 3, 5]), edge_index=NO_EDGES), "ptr must be an int64 tensor"),
        (change(batch=HALVES, ptr=[0, 3, 5], edge_index=NO_EDGES), "ptr must be an int64 tensor.*got list"),
        (long_edge(), "the longest edge has .* but the cutoff of the model is 4.5 Å"),
    ],
)
def test_bad_graphs_are_refused_with_a_reason(graph, message):
    with pytest.raises(UserError, match=message):
        make_model()(graph)


def test_edges_may_exceed_the_cutoff_by_the_rounding_of_coordinates_and_no_more():
    check_lengths(torch.tensor([4.5 + 4 * RESOLUTION - 1e-5]), 4.5)
    check_lengths(torch.empty(0), 4.5)
    with pytest.raises(UserError, match="longest edge"):
        check_lengths(torch.tensor([4.5 + 4 * RESOLUTION + 1e-5]), 4.5)


def test_graphs_of_another_cutoff_are_refused_by_the_model():
    graph = make_graph(30)
    graph.edge_index = radius_graph(graph.pos, 6.0)
    with pytest.raises(UserError, match=r"cutoff of the model is 4\.5"):
        make_model()(graph)
    make_model(cutoff=6.0)(graph)


def test_coordinates_of_structure_files_are_near_enough_for_float32():
    """A PDB file has at most 9999.999 Å; whatever is so far away that float32 moves it by over 0.001 Å is refused."""
    check_positions(torch.full((1, 3), 9999.999))
    check_positions(torch.empty(0, 3))
    farthest = 2 * RESOLUTION / torch.finfo(torch.float32).eps
    check_positions(torch.full((1, 3), 0.999 * farthest))
    with pytest.raises(UserError, match=r"rounds by up to 0\.001 Å"):
        check_positions(torch.full((1, 3), -1.001 * farthest))
    check_positions(torch.full((1, 3), 1.001 * farthest, dtype=torch.float64))


def test_a_batch_of_pyg_passes_with_empty_graphs_at_either_end():
    empty = Data(z=torch.empty(0, dtype=torch.int64), pos=torch.empty(0, 3).double(), edge_index=NO_EDGES)
    assert make_model()(Batch.from_data_list([empty, make_graph(4), empty, make_graph(3), empty])).shape == (5, 2)
    assert make_model()(Batch.from_data_list([empty, empty])).shape == (2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "feature-wise"}, "attention must be one of 'feature', 'scalar'; got 'feature-wise'"),
        ({"cross_product": "yes"}, "cross_product must be one of 'raw', 'mixed', None"),
        ({"norm": "batch"}, "norm must be one of 'equivariant', None"),
        ({"vector_aggregation": "max"}, "vector_aggregation must be one of 'mean', 'sum'"),
        ({"readout": ["graph"]}, "readout must be one of 'graph', 'node'"),
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; got 0"),
        ({"num_radial": 2.5}, "num_radial must be a whole number"),
        ({"out_channels": "3"}, "out_channels must be a whole number"),
        ({"num_elements": True}, "num_elements must be a whole number"),
        ({"cutoff": 0.0}, "cutoff must be a positive length in Å; got 0.0"),
        ({"cutoff": -4.5}, "cutoff must be a positive length"),
        ({"cutoff": float("inf")}, "cutoff must be a positive length"),
        ({"cutoff": float("nan")}, "cutoff must be a positive length"),
        ({"cutoff": "4.5"}, "cutoff must be a positive length"),
    ],
    ids=str,
)
def test_bad_options_are_refused_with_a_reason(options, message):
    with pytest.raises(UserError, match=message):
        make_model(**options)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda protein: protein.find_atom("A", 999, "CA"), "does not exist"),
        (lambda protein: protein.find_atom("A", 22, "CX"), "0 atoms are called CX"),
        (lambda protein: protein.chain("Z"), "there is no chain 'Z'"),
        (lambda protein: protein.select([]), "no atom of 5pti is selected"),
        (lambda protein: embedded_path("9xyz"), "there is no embedded structure '9xyz'"),
        (lambda protein: embedded_names("fungus"), "there is no kind 'fungus'"),
        (lambda protein: element_index("Qq"), "'Qq' is not a chemical element"),
        (lambda protein: AtomOptions(models="last"), "models must be 'all' or 'first'"),
        (lambda protein: residue_item(protein, 0), "environments must be at least 1"),
    ],
)
def test_mistakes_of_a_user_are_user_errors(wrong, message):
    with pytest.raises(UserError, match=message):
        wrong(embedded_structure("5pti"))


def test_sizes_that_nobody_gave_are_asked_for():
    with pytest.raises(UserError, match="num_elements must be a whole number of at least 1"):
        EQGAT(out_channels=1)
    with pytest.raises(UserError, match="out_channels must be a whole number of at least 1"):
        EQGAT(num_elements=9)


def test_a_model_takes_its_configuration_or_its_fields():
    config = EQGATConfig(num_elements=4, out_channels=2, num_layers=2, norm="equivariant", cutoff=5)
    assert EQGAT(config).config == EQGAT(**vars(config)).config == config
    with pytest.raises(UserError, match="not both"):
        EQGAT(config, num_layers=3)
    with pytest.raises(UserError, match="give the options by name"):
        EQGAT(9)
    assert EQGAT(config, fast=False).config == EQGAT(config=config).config == config
    for given in ({"cutoff": 4.5}, {"norm": None}, {"readout": "graph"}, {"num_elements": 4}, {"num_elements": 0}):
        with pytest.raises(UserError, match=f"{next(iter(given))} is given beside an EQGATConfig"):
            EQGAT(config, **given)
    assert signature(EQGAT).parameters["cutoff"].default == 4.5, "what completion and help show"
