"""Wrong labels in real graphs."""

from __future__ import annotations

import os

import pytest
import torch
from audited_models import GNNS
from sklearn.metrics import roc_auc_score

from gragr_explain import GraGR
from gragr_explain.audit import audit
from gragr_explain.datasets import load_dataset


def with_wrong_labels(name, rate=0.1):
    """A graph with its 256 most frequent words, which is enough to learn from, and fast; and its right labels."""
    if "GRAGR_DATA" not in os.environ:
        pytest.skip("GRAGR_DATA names no folder of data sets")
    data = load_dataset(name).data.clone()
    data.x = data.x[:, data.x.sum(0).topk(256).indices.sort().values].contiguous()
    data.clean, data.y = data.y, data.y.clone()
    known = data.train_mask.nonzero().view(-1)
    generator = torch.Generator().manual_seed(0)
    chosen = known[torch.randperm(known.numel(), generator=generator)[: round(rate * known.numel())]]
    count = int(data.clean.max()) + 1
    data.y[chosen] = (data.y[chosen] + torch.randint(1, count, chosen.shape, generator=generator)) % count
    return data


@pytest.mark.parametrize(
    ("name", "backbone", "least", "within"),
    [
        ("Cora", "GCN", 0.93, 0.08),
        ("Cora", "GraphSAGE", 0.93, 0.08),
        ("Texas", "GAT", 0.6, 0.35),  # 87 labels, of which the models themselves get a third wrong
        ("Texas", "GIN", 0.7, 0.35),
    ],
)
def test_wrong_labels_come_first(name, backbone, least, within):
    data = with_wrong_labels(name)
    torch.manual_seed(0)
    model = GNNS[backbone](256, 16, num_layers=2, out_channels=int(data.clean.max()) + 1, dropout=0.5)
    trained = GraGR(model).fit(data, 30, progress=False)
    found = audit(trained, data, progress=False)
    table = found.labels
    wrong = (data.y != data.clean)[torch.tensor(table["node"].to_numpy())].numpy()
    assert roc_auc_score(wrong, table["probability"]) > least
    assert table["probability"].mean() == pytest.approx(wrong.mean(), abs=within)
