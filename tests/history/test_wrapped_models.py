"""Models that are compiled or wrapped are recorded, and asked about, as they are without."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from torch_geometric.utils import erdos_renyi_graph

from gragr_explain import GradientHistory, GradientRecorder, GraGR, GraGRPlusPlus, edit, influences
from gragr_explain.errors import HistoryError
from gragr_explain.history import find_history
from gragr_explain.models import frequency_history


@pytest.fixture
def data() -> Data:
    torch.manual_seed(0)
    y = torch.arange(40) % 2
    x = F.one_hot(y, 3) + 0.3 * torch.randn(40, 3)
    return Data(x=x, edge_index=erdos_renyi_graph(40, 0.1), y=y, train_mask=torch.arange(40) < 30)


def network() -> GCN:
    torch.manual_seed(0)
    return GCN(3, 4, 2, 2)


def train(model, data, epochs: int = 4) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        optimizer.zero_grad()
        F.cross_entropy(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()


def compiled_in_place(model):
    model.compile(backend="aot_eager")
    return model, model


def compiled(model):
    return torch.compile(model, backend="aot_eager"), model


def parallel(model):
    return torch.nn.DataParallel(model), model


@pytest.mark.parametrize("wrap", [compiled_in_place, compiled, parallel])
@pytest.mark.parametrize("inner", [True, False])
def test_they_are_recorded_and_asked(wrap, inner, data):
    plain = network()
    with GradientRecorder(plain, data) as expected:
        train(plain, data)
    model, inside = wrap(network())
    with GradientRecorder(inside if inner else model, data) as history:
        train(model, data)
    assert history.num_steps == 4
    torch.testing.assert_close(history.field("self"), expected.field("self"))
    assert all(torch.equal(own, other) for own, other in zip(inside.parameters(), plain.parameters(), strict=True))
    assert list(history.weights[0]) == list(expected.weights[0])
    assert find_history(model) is find_history(inside) is history
    wanted = influences(plain.eval(), data, 1)
    for asked in (model, inside):
        torch.testing.assert_close(influences(asked, data, 1).scores, wanted.scores)
        before = int(asked(data.x, data.edge_index)[1].argmax())
        done = edit(asked, data, 1, 1 - before, num_subsets=1, method="gd")
        assert done.success
        done.undo()


def test_a_history_fits_the_model_in_the_wrapper_that_it_is_attached_to(data, tmp_path):
    trained = GraGR(network()).fit(data, epochs=6, progress=False)
    wanted = influences(trained, data, 1)
    trained.history.save(tmp_path)
    again = GraGR(network())
    again.model.load_state_dict(trained.model.state_dict())
    GradientHistory.load(tmp_path).attach(again.eval())
    torch.testing.assert_close(influences(again, data, 1).scores, wanted.scores)
    other = GCN(3, 8, 2, 2)
    trained.history.attach(other)
    with pytest.raises(HistoryError, match=r"history of this GCN, got weights of step \d+ that do not fit it"):
        influences(other, data, 1)


def test_a_history_fits_the_model_in_another_precision(data):
    trained = GraGR(network()).fit(data, epochs=6, progress=False)
    wanted = influences(trained, data, 1)
    double, data.x = copy.deepcopy(trained).double(), data.x.double()
    torch.testing.assert_close(influences(double, data, 1).scores, wanted.scores.double(), rtol=1e-3, atol=1e-5)
    assert len(frequency_history(double, data)) > 1


def test_a_compiled_model_forgets_an_earlier_training(data):
    trained = GraGR(torch.compile(network(), backend="aot_eager"))
    assert trained.fit(data, epochs=2, progress=False).history.num_steps == 2
    assert trained.fit(data, epochs=2, progress=False, record=False).history is None


def test_seeds_of_a_compiled_model_are_chosen_in_one_pass(data):
    data.val_mask = ~data.train_mask
    found = []
    for wrap in (lambda model: model, lambda model: torch.compile(model, backend="eager")):
        torch.manual_seed(0)
        found.append(GraGRPlusPlus(wrap(network()), seeds=3).fit(data, epochs=6, progress=False).selection)
    assert torch.equal(found[0].val_loss, found[1].val_loss)
