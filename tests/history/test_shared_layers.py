"""Models that share one layer, which is then registered several times, are left as they were, whatever is asked."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.utils import erdos_renyi_graph

from gragr_explain import GraGR, GraGRPlusPlus, edit, influences
from gragr_explain.audit import audit
from gragr_explain.history import call_with
from gragr_explain.models import GRAFF, frequency_history


class Shared(nn.Module):
    """One convolution, twice; a decoder that is tied to the encoder; and a buffer that both layers use."""

    def __init__(self) -> None:
        super().__init__()
        conv = GCNConv(8, 8)
        self.encoder, self.convs, self.decoder = nn.Linear(6, 8), nn.ModuleList([conv, conv]), nn.Linear(8, 3)
        self.again = nn.Linear(8, 3)
        self.again.weight = self.decoder.weight

    def forward(self, x, edge_index):
        x = self.encoder(x)
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        return self.decoder(x) + self.again(x)


@pytest.fixture
def data():
    torch.manual_seed(0)
    y = torch.arange(120) % 3
    masks = {f"{part}_mask": torch.arange(120) % 4 == place for place, part in enumerate(("train", "val", "test"))}
    return Data(x=torch.eye(6)[y] + torch.rand(120, 6), edge_index=erdos_renyi_graph(120, 0.04), y=y, **masks)


@pytest.mark.parametrize("model", [Shared, lambda: GRAFF(6, 8, 3, 3)])
@pytest.mark.parametrize(
    "ask",
    [
        lambda model, data: audit(model, data, progress=False),
        lambda model, data: influences(model, data, 3),
        lambda model, data: influences(model, data, 3, curvature=False),
        frequency_history,
        lambda model, data: GraGRPlusPlus(model.model, seeds=2, meta="node", pathway=False).fit(
            data, epochs=4, progress=False
        ),
    ],
)
def test_they_are_left_as_they_were(model, ask, data):
    torch.manual_seed(0)
    trained = GraGR(model()).fit(data, epochs=8, progress=False)
    trains = "GraGRPlusPlus" in ask.__code__.co_names
    before, names = trained(data.x, data.edge_index).detach(), list(trained.state_dict())
    held = [id(each) for each in trained.parameters()]
    ask(trained, data)
    assert [id(each) for each in trained.parameters()] == held
    assert all(isinstance(each, nn.Parameter) and each.is_leaf for each in trained.parameters())
    assert list(trained.state_dict()) == names
    if not trains:
        assert torch.equal(trained.eval()(data.x, data.edge_index), before)
    edit(trained, data, 0, (int(before[0].argmax()) + 1) % 3)
    trained.load_state_dict(trained.state_dict())


def test_a_call_with_other_weights_is_that_of_a_model_that_has_them(data):
    torch.manual_seed(0)
    model, other = Shared(), Shared()
    call = call_with(
        model, {"convs.1.lin.weight": torch.eye(8), "again.weight": torch.ones(3, 8)}, data.x, data.edge_index
    )
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.convs[0].lin.weight.copy_(torch.eye(8))
        other.decoder.weight.fill_(1)
    assert torch.equal(call, other(data.x, data.edge_index))
    assert not torch.equal(call, model(data.x, data.edge_index))
