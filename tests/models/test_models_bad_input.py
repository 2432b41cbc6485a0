"""What the gradient-flow models and energies are not to be handed, and what they make of unusual graphs."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.utils import to_torch_coo_tensor

from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, InvalidTypeError
from gragr_explain.models import GRAFF, ChannelMixing, GRAFFConv, flow_energy, limit_dominance

EDGES = torch.tensor([[0, 1], [1, 0]])
X = torch.ones(2, 3)
SKEW = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
EYE = torch.eye(3)

ARGUMENTS = {
    "no layer": (lambda: GRAFF(3, 4, 0), r"num_layers of at least 1, got 0"),
    "fewer than no layers": (lambda: GRAFF(3, 4, -1), "got -1"),
    "no channels": (lambda: GRAFF(3, 0, 2), "hidden_channels of at least 1, got 0"),
    "a step of zero": (lambda: GRAFF(3, 4, 2, step_size=0.0), r"step_size in \(0, 1\], got 0\.0"),
    "a step too long": (lambda: GRAFFConv(3, step_size=1.5), r"got 1\.5"),
    "a step that is NaN": (lambda: GRAFFConv(3, step_size=float("nan")), "got nan"),
    "an infinite source": (lambda: GRAFFConv(3, beta=float("inf")), r"beta in \(-inf, inf\), got inf"),
    "nothing but heat": (lambda: GRAFF(3, 4, 2, heat=1.0), r"heat in \[0, 1\), got 1\.0"),
    "heat that runs backwards": (lambda: ChannelMixing(3, heat=-0.1), r"got -0\.1"),
    "heat that is NaN": (lambda: ChannelMixing(3, heat=float("nan")), "got nan"),
    "dropout of everything": (lambda: GRAFF(3, 4, 2, dropout=1.0), r"dropout in \[0, 1\), got 1\.0"),
    "a step of an unknown kind": (lambda: GRAFF(3, 4, 2, act="rellu"), "act to be a name that PyG knows.* 'rellu'"),
    "an encoder of an unknown kind": (lambda: GRAFF(3, 4, 2, encoder_act="rellu"), "encoder_act .* got 'rellu'"),
    "unknown variant": (lambda: GRAFF(3, 4, 2, w="product"), "'diagonally-dominant'.* got 'product'"),
    "asymmetric W": (lambda: GRAFFConv(3, SKEW), "symmetric w, got one that is 2 from its transpose"),
    "W of another size": (lambda: GRAFF(3, 4, 2, w=EYE), r"\[4, 4\], got \[3, 3\]"),
    "W that is NaN": (lambda: ChannelMixing(3, EYE * torch.nan), "finite"),
    "W of integers": (lambda: ChannelMixing(3, EYE.long()), r"got torch\.int64"),
    "mixing of another size": (lambda: GRAFFConv(4, ChannelMixing(3)), "4 channels, got ChannelMixing"),
    "loops on a graph that is not normalised": (
        lambda: GRAFF(3, 4, 2, add_self_loops=True, normalize=False),
        "normalize=True",
    ),
    "loops in a layer that does not normalise": (
        lambda: GRAFFConv(3, add_self_loops=True, normalize=False),
        "normalize=True",
    ),
    "energy of no source": (lambda: flow_energy(X, X, EYE, beta=2.0), "expected a source for beta=2.0"),
    "energy of an asymmetric W": (lambda: flow_energy(X, X, SKEW), "symmetric w"),
    "energy of an asymmetric Ω": (lambda: flow_energy(X, X, EYE, SKEW), "symmetric omega"),
    "energy of a small W": (lambda: flow_energy(X, X, torch.eye(2)), r"\[3, 3\], got \[2, 2\]"),
    "limit of an asymmetric W": (lambda: limit_dominance(SKEW, 1.5), "symmetric w"),
    "limit of a vector": (lambda: limit_dominance(torch.ones(3), 1.5), r"got \[3\]"),
    "limit of no graph": (lambda: limit_dominance(EYE, 2.5), r"largest in \[0, 2\.000001\], got 2\.5"),
    "limit of nothing": (lambda: limit_dominance(torch.zeros(0, 0), 1.5), r"got \[0, 0\]"),
    "limit of long steps": (lambda: limit_dominance(EYE, 1.5, step_size=2.0), r"got 2\.0"),
}
NO_TENSORS = {
    "a number as a function": (lambda: GRAFFConv(3, act=3), "act as a function or a name, got int"),
    "a list as a function": (lambda: GRAFF(3, 4, 2, encoder_act=["relu"]), "encoder_act as a function .* got list"),
    "no variant": (lambda: ChannelMixing(3, None), "w as a Tensor, got NoneType"),
    "W as an array": (lambda: GRAFF(3, 4, 2, w=EYE.numpy()), "w as a Tensor, got ndarray"),
    "W as lists": (lambda: GRAFFConv(3, EYE.tolist()), "w as a Tensor, got list"),
    "energy of an array": (lambda: flow_energy(X, X, EYE.numpy()), "w as a Tensor, got ndarray"),
    "energy of another Ω": (lambda: flow_energy(X, X, EYE, [1.0]), "omega as a Tensor, got list"),
    "energy of no field": (lambda: flow_energy(None, X, EYE), "field as a Tensor, got NoneType"),
    "limit of a mixing": (lambda: limit_dominance(ChannelMixing(3), 1.5), "w as a Tensor, got ChannelMixing"),
    "limit of another Ω": (lambda: limit_dominance(EYE, 1.5, EYE.numpy()), "omega as a Tensor, got ndarray"),
}
GRAPHS = {
    "too few features": (lambda: GRAFF(5, 4, 2)(X, EDGES), r"\[num_nodes, 5\], got \[2, 3\]"),
    "features without channels": (lambda: GRAFF(3, 4, 2)(X[:, 0], EDGES), r"got \[2\]"),
    "too few channels": (lambda: GRAFFConv(5)(X, X, EDGES), r"\[num_nodes, 5\], got \[2, 3\]"),
    "source of one row": (lambda: GRAFFConv(3)(X, X[:1], EDGES), r"got \[2, 3\] and \[1, 3\]"),
    "edges in rows": (lambda: GRAFF(3, 4, 2)(X, EDGES.new_zeros(5, 2)), r"\[2, num_edges\], got \[5, 2\]"),
    "one weight for all": (lambda: GRAFFConv(3)(X, X, EDGES, torch.ones(1)), r"\[2\], got \[1\]"),
    "weights as a column": (lambda: GRAFF(3, 4, 2)(X, EDGES, torch.ones(2, 1)), r"got \[2, 1\]"),
    "energy of NaN": (lambda: GRAFF(3, 4, 2).energies(X * torch.nan, EDGES), "NaN or infinite"),
    "energy of different fields": (lambda: flow_energy(X, X[:1], EYE), r"one shape .* got \[\[2, 3\], \[1, 3\]\]"),
    "energy with another source": (lambda: flow_energy(X, X, EYE, beta=1.0, source=X[:1]), "one shape"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_out_of_range_are_refused(name):
    call, message = ARGUMENTS[name]
    with pytest.raises(InvalidArgumentError, match=message):
        call()


@pytest.mark.parametrize("name", NO_TENSORS)
def test_what_is_no_tensor_is_refused(name):
    call, message = NO_TENSORS[name]
    with pytest.raises(InvalidTypeError, match=message):
        call()


@pytest.mark.parametrize("num_layers", [1.5, True])
def test_a_number_of_layers_is_an_integer(num_layers):
    with pytest.raises(InvalidTypeError, match=f"num_layers as an integer, got {num_layers}"):
        GRAFF(3, 4, num_layers)


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_do_not_fit_are_refused(name):
    call, message = GRAPHS[name]
    with pytest.raises(InvalidGraphError, match=message):
        call()


def test_a_graph_without_edges_leaves_each_node_to_itself(graph):
    torch.manual_seed(0)
    model = GRAFF(5, 8, 3, 4, step_size=0.5, beta=1.0).eval()
    none = graph.edge_index[:, :0]
    whole = model(graph.x, none)
    torch.testing.assert_close(model(graph.x[2:3], none), whole[2:3])
    torch.testing.assert_close(model(graph.x, graph.edge_index)[9], whole[9])  # an isolated node
    assert model(graph.x[:0], none).shape == (0, 4)


def test_nan_stays_where_messages_take_it(graph):
    model = GRAFF(5, 8, 1, 4).eval()
    x = graph.x.clone()
    x[6] = torch.nan
    found = model(x, graph.edge_index).isnan().any(-1)
    assert found.nonzero().view(-1).tolist() == [6, 7]


ONE_WAY = torch.tensor([[0, 1], [1, 2]])


@pytest.mark.parametrize("layout", ["edge_index", "sparse"])
def test_a_directed_graph_is_refused_in_training(graph, layout):
    edges = torch.cat([ONE_WAY, ONE_WAY[:, :1].flip(0)], 1)  # one of three has no edge back
    if layout == "sparse":
        edges = to_torch_coo_tensor(edges, size=10)
    message = (
        "expected an undirected graph, got 1 of 3 edges without an edge back; apply .*ToUndirected.* directed=True"
    )
    with pytest.raises(InvalidGraphError, match=message):
        GRAFF(5, 8, 2, 4)(graph.x, edges)
    with pytest.raises(InvalidGraphError, match=message):
        GRAFFConv(5)(graph.x, graph.x, edges)
    assert GRAFF(5, 8, 2, 4, directed=True)(graph.x, edges).isfinite().all()


def test_a_graph_that_becomes_directed_is_refused(graph):
    """What was found of a graph is remembered until its edges are written into."""
    model, edges = GRAFF(5, 8, 2, 4), graph.edge_index.clone()
    model(graph.x, edges)
    model(graph.x, edges)
    edges[0, 0] = 2
    with pytest.raises(InvalidGraphError, match="without an edge back"):
        model(graph.x, edges)
    twice = torch.cat([graph.edge_index, graph.edge_index[:, :1]], 1)
    with pytest.raises(InvalidGraphError, match="more often one way"):
        model(graph.x, twice)


def test_a_directed_graph_has_no_energy(graph):
    for model in (GRAFF(5, 5, 2, directed=True), GRAFF(5, 5, 2).eval()):
        with pytest.raises(InvalidGraphError, match=r"ToUndirected\(\) first$"):
            model.energies(graph.x, ONE_WAY)


def test_without_training_messages_go_from_source_to_target_only(graph):
    """As in PyG's layers, and as the computation graph of a prediction needs it."""
    model = GRAFF(5, 8, 1, 4).eval()
    directed = ONE_WAY
    whole, alone = model(graph.x[:3], directed), model(graph.x[:3], directed[:, :0])
    torch.testing.assert_close(whole[0], alone[0])
    changed = graph.x[:3].clone()
    changed[2] += 1
    torch.testing.assert_close(model(changed, directed)[:2], whole[:2])
