"""Features of graphs small enough to reckon by hand, and what has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gragr_explain.context import FEATURES, ROLES, psi_features
from gragr_explain.errors import GragrError, InvalidArgumentError, InvalidGraphError, InvalidTypeError
from gragr_explain.field import alignment, neighbour_mean

TRIANGLE = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])
FIELD = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, -2.0]])


def test_a_triangle() -> None:
    psi, valid = psi_features(FIELD, TRIANGLE, torch.tensor([1.0, 1.0, 0.5]))
    assert bool(valid.all())
    cos = torch.tensor([0.0, -2 / 13**0.5, -4 / 5])
    level = torch.tensor([0.5, 1.0, 0.0])
    torch.testing.assert_close(psi[:, 0], 3 * torch.tensor([3.0, 4.0, 2.0]) * (1 - cos))
    torch.testing.assert_close(psi[:, 1], torch.tensor([-1.0, 0.0, 0.0]))
    two_hop, three_hop = torch.tensor([12.0, 13.0, 11.0]), torch.tensor([24.0, 23.0, 25.0])
    torch.testing.assert_close(psi[:, 2], (two_hop + three_hop / 2) / 3)
    ego = -1.5 / (2.25 * 1.25) ** 0.5  # every node sees the whole triangle
    torch.testing.assert_close(psi[:, 3], torch.full((3,), ego))
    torch.testing.assert_close(psi[:, 4], torch.tensor([0.5, 0.5, 0.5]))
    variance = torch.tensor([1.0, 0.25, 0.25])
    torch.testing.assert_close(psi[:, 5], 0.4 * level + 0.35 * (1 - cos) + 0.25 * variance)


def test_the_columns_are_those_of_equation_15() -> None:
    assert FEATURES == ("conflict", "stability", "influence", "confidence", "role", "receptiveness")
    assert ROLES == {2.0: "hub", 1.5: "bridge", 1.0: "follower", 0.5: "outlier"}


NO_EDGES = torch.zeros(2, 0, dtype=torch.long)
LOOPS = torch.arange(3).repeat(2, 1)
DIAGONAL = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
WHOLE_GRAPHS: dict[str, tuple[torch.Tensor, torch.Tensor, set[str]]] = {
    "no edges": (DIAGONAL, NO_EDGES, {"confidence"}),
    "only self-loops": (DIAGONAL, LOOPS, {"confidence"}),
    "all gradients zero": (torch.zeros(3, 2), TRIANGLE, set()),
    "all norms equal": (torch.eye(3), TRIANGLE, {"conflict", "stability", "influence", "role"}),
    "one node": (torch.ones(1, 2), NO_EDGES, set()),
    "one node with a self-loop": (torch.ones(1, 2), LOOPS[:, :1], set()),
}


@pytest.mark.parametrize("name", WHOLE_GRAPHS)
def test_validity_of_whole_graphs(name: str) -> None:
    field, edges, expected = WHOLE_GRAPHS[name]
    _, valid = psi_features(field, edges, torch.full((field.size(0),), 0.5), scope="graph")
    for column, feature in enumerate(FEATURES):
        assert set(valid[:, column].tolist()) == {feature in expected}, feature


def test_a_node_of_degree_one_has_no_pair_of_neighbours() -> None:
    _, valid = psi_features(FIELD, torch.tensor([[0, 1], [1, 0]]))
    assert valid[:, FEATURES.index("stability")].tolist() == [False, False, False]
    assert valid[:, FEATURES.index("influence")].tolist() == [True, True, False]


def test_a_node_without_neighbours_has_no_confidence_of_its_own() -> None:
    field, edge_index = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0, 1], [1, 0]])
    for scope, known in (("ego", [True, True, False]), ("graph", [True, True, True])):
        psi, valid = psi_features(field, edge_index, torch.tensor([0.5, 0.6, 0.7]), scope=scope)
        assert valid[:, FEATURES.index("confidence")].tolist() == known
        assert bool(psi.isfinite().all())


def test_neighbours_that_cancel_leave_no_direction_to_compare_with() -> None:
    field = torch.tensor([[1.0, 0.0], [2.0, 1.0], [-2.0, -1.0]])
    _, valid = psi_features(field, torch.tensor([[1, 2], [0, 0]]))
    assert [name for name, known in zip(FEATURES, valid[0].tolist(), strict=True) if known] == [
        "stability",
        "influence",
    ]


def test_a_loud_node_of_high_degree_is_a_hub_whatever_its_direction() -> None:
    field = torch.tensor([[3.0, 0.0], [2.0, 1.0], [-2.0, -1.0]])
    psi, valid = psi_features(field, torch.tensor([[1, 2], [0, 0]]))
    assert bool(valid[0, 4])
    assert ROLES[float(psi[0, 4])] == "hub"


def test_all_four_roles() -> None:
    # 0: many neighbours and loud; 1 to 3: agree with 0; 4: one neighbour, against it; 5 and 6: two, against them
    edges = [(1, 0), (2, 0), (3, 0), (6, 0), (0, 1), (0, 2), (0, 3), (5, 4), (4, 5), (6, 5), (0, 6), (5, 6)]
    field = torch.tensor([[9.0, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, -1], [0, 1]])
    psi, valid = psi_features(field, torch.tensor(edges).t())
    assert bool(valid[:, 4].all())
    assert [ROLES[value] for value in psi[:, 4].tolist()] == [
        "hub",
        "follower",
        "follower",
        "follower",
        "outlier",
        "bridge",
        "bridge",
    ]


@pytest.mark.parametrize("later", [0, 7])
def test_roles_stand_at_the_percentiles_of_numpy(later: int) -> None:
    """Node v of 101 has v neighbours; the order of the norms is the same, or turned by some places."""
    field = (
        torch.tensor([[1.0 + (v - later) % 101, 0.0] for v in range(101)]) * torch.tensor([[1.0], [-1.0]] * 51)[:101]
    )
    degree, norm = np.arange(101), field.norm(dim=-1).numpy()
    psi, valid = psi_features(field, torch.triu_indices(101, 101, offset=1))
    assert valid[1:, 4].all()
    cosine = alignment(field, neighbour_mean(field, torch.triu_indices(101, 101, offset=1))).numpy()
    hub = (degree > np.percentile(degree, 80)) & (norm > np.percentile(norm, 70))
    bridge = (degree > np.percentile(degree, 40)) & (degree <= np.percentile(degree, 80)) & (cosine < 0.5)
    expected = np.where(hub, 2.0, np.where(bridge, 1.5, np.where(cosine > 0.7, 1.0, 0.5)))
    assert hub.sum() == 20 - max(0, later - 10)
    assert bridge.any()
    assert psi[1:, 4].tolist() == expected[1:].tolist()


def test_numbers_too_large_for_the_precision_are_not_valid() -> None:
    psi, valid = psi_features(FIELD * 1e30, TRIANGLE)
    assert bool(psi.isfinite().all())
    assert not bool(valid[:, 0].any())
    assert not bool(psi[~valid].any())


def test_a_field_with_a_derivative_passes_it_on() -> None:
    field = FIELD.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda g: psi_features(g, TRIANGLE, torch.full((3,), 0.5))[0], (field,))


BAD: dict[str, tuple[dict, type[GragrError], str]] = {
    "NaN": ({"field": FIELD * torch.nan}, InvalidGraphError, "finite gradient field"),
    "infinite": ({"field": FIELD / 0}, InvalidGraphError, "finite gradient field"),
    "integers": ({"field": FIELD.long()}, InvalidTypeError, "torch.int64"),
    "vector": ({"field": FIELD[:, 0]}, InvalidGraphError, r"got \[3\]"),
    "scope": ({"scope": "node"}, InvalidArgumentError, "'ego' or 'graph', got 'node'"),
    "confidence of another graph": ({"confidence": torch.ones(2)}, InvalidGraphError, r"shape \[3\], got \[2\]"),
    "confidence as a column": ({"confidence": torch.ones(3, 1)}, InvalidGraphError, r"shape \[3\], got \[3, 1\]"),
    "edge out of range": ({"graph": TRIANGLE + 1}, InvalidGraphError, r"\[0, 2\] in edge_index, got 1 to 3"),
    "negative weight": ({"edge_weight": -torch.ones(6)}, InvalidGraphError, "negative"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    changes, error, message = BAD[name]
    arguments = {"field": FIELD, "graph": TRIANGLE} | changes
    with pytest.raises(error, match=message):
        psi_features(**arguments)
