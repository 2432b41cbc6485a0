"""A graph with wrong labels, and an audit of a model that was trained on it."""

from __future__ import annotations

import pytest
from audited_models import GNNS, three_classes, trained
from torch_geometric.data import Data

from gragr_explain import GraGR
from gragr_explain.audit import Audit, audit


@pytest.fixture(scope="session")
def graph() -> Data:
    """Not to be changed."""
    return three_classes()


@pytest.fixture
def data(graph) -> Data:
    return graph.clone()


@pytest.fixture(scope="session")
def gcn(graph) -> GraGR:
    """Not to be changed."""
    return trained("GCN", graph)


@pytest.fixture(scope="session", params=list(GNNS))
def audited(request, graph, gcn) -> Audit:
    model = gcn if request.param == "GCN" else trained(request.param, graph)
    return audit(model, graph, class_names=["red", "green", "blue"], progress=False)


@pytest.fixture(scope="session")
def found(graph, gcn) -> Audit:
    """Of the GCN, without names."""
    return audit(gcn, graph, progress=False)
