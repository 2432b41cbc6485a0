"""A classifier of one output that ends in a sigmoid says the same as one that returns what goes into it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GCN
from torch_geometric.utils import erdos_renyi_graph

from gragr_explain import GradientContextExplainer, GradientRecorder, edit, influences
from gragr_explain.errors import UnsupportedModelError
from gragr_explain.history import call_for_log_probs, class_log_probs


class OneOutput(torch.nn.Module):
    def __init__(self, sigmoid: bool, flat: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gnn, self.sigmoid, self.flat = GCN(3, 8, 2, 1), sigmoid, flat

    def forward(self, x, edge_index):
        score = self.gnn(x, edge_index)
        score = score.sigmoid() if self.sigmoid else score
        return score.squeeze(-1) if self.flat else score


@pytest.fixture
def data():
    torch.manual_seed(0)
    y = torch.arange(40) % 2
    x = F.one_hot(y, 3) + 0.5 * torch.randn(40, 3)
    return Data(x=x, edge_index=erdos_renyi_graph(40, 0.1), y=y, train_mask=torch.arange(40) < 20)


def trained(data, **options):
    """The same weights, whatever is returned, and a history recorded with them."""
    model = OneOutput(**options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with GradientRecorder(model, data) as history:
        for _ in range(30):
            optimizer.zero_grad()
            output = model(data.x, data.edge_index).view(-1)[data.train_mask]
            loss = F.binary_cross_entropy if options["sigmoid"] else F.binary_cross_entropy_with_logits
            loss(output, data.y[data.train_mask].float()).backward()
            optimizer.step()
    return model.eval(), history


@pytest.mark.parametrize("flat", [False, True])
def test_it_is_recorded_alike(data, flat):
    (model, history), (twin, other) = trained(data, sigmoid=True, flat=flat), trained(data, sigmoid=False, flat=flat)
    with torch.no_grad():
        outputs = model(data.x, data.edge_index), twin(data.x, data.edge_index).sigmoid()
        torch.testing.assert_close(*outputs)
        assert 0 < int((outputs[0] > 0.5).sum()) < 40
        log_probs = [call_for_log_probs(lambda net=net: net(data.x, data.edge_index)) for net in (model, twin)]
    torch.testing.assert_close(*log_probs)
    assert not log_probs[0].requires_grad
    torch.testing.assert_close(log_probs[0].exp(), torch.stack([1 - outputs[0].view(-1), outputs[0].view(-1)], dim=-1))
    torch.testing.assert_close(history.field("self"), other.field("self"), rtol=1e-3, atol=1e-6)
    for name in ("confidence", "margin"):
        torch.testing.assert_close(history.trajectories[name].values, other.trajectories[name].values)


def test_it_is_corrected(data):
    model, _ = trained(data, sigmoid=True)
    twin, _ = trained(data, sigmoid=False)
    with torch.no_grad():
        node = 20 + int((model(data.x, data.edge_index)[20:] < 0.5).view(-1).nonzero()[0])
    done, other = (edit(net, data, node, 1, num_subsets=2) for net in (model, twin))
    assert done.success
    assert other.success
    with torch.no_grad():
        assert float(model(data.x, data.edge_index)[node]) > 0.5
    torch.testing.assert_close(done.probs_before, other.probs_before)
    torch.testing.assert_close(done.probs_after, other.probs_after, rtol=1e-3, atol=1e-4)


def test_its_influences_are_the_same(data):
    found = [influences(trained(data, sigmoid=sigmoid)[0], data, [25, 30]) for sigmoid in (True, False)]
    assert torch.equal(found[0].target, found[1].target)
    torch.testing.assert_close(found[0].scores, found[1].scores, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("flat", [False, True])
def test_it_does_not_return_raw_scores(data, flat):
    model, _ = trained(data, sigmoid=True, flat=flat)

    def explainer(returns):
        config = {"mode": "binary_classification", "task_level": "node", "return_type": returns}
        return Explainer(
            model, GradientContextExplainer(), explanation_type="model", edge_mask_type="object", model_config=config
        )

    assert explainer("probs")(data.x, data.edge_index, index=1).edge_mask.shape == (data.num_edges,)
    with pytest.raises(UnsupportedModelError, match=r"returns 'raw'.* got probabilities; .* return_type='probs'"):
        explainer("raw")(data.x, data.edge_index, index=1)


def test_saturated_probabilities_stay_finite():
    score = torch.tensor([[-200.0], [200.0]], requires_grad=True)
    log_probs = class_log_probs(score.sigmoid())
    assert bool(log_probs.isfinite().all())
    assert log_probs.argmax(-1).tolist() == [0, 1]
    assert bool(torch.autograd.grad(log_probs[0, 1], score)[0].isfinite().all())
