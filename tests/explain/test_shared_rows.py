"""Rows that are multiplied once: the same numbers as ordinary rows, in models as well."""

from __future__ import annotations

import pytest
import torch
from gnns import explainer_for
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain.explain._rows import SharedRows
from gragr_explain.messages import masked_output

INDEX = torch.tensor([3, 0, 3, 2, 2])


@pytest.fixture
def matrix() -> torch.Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x @ torch.ones(6, 2),
        lambda x: torch.nn.functional.linear(x, torch.arange(12.0).view(2, 6), torch.tensor([1.0, 2.0])),
        lambda x: x * 2 + 1,
        lambda x: x.index_select(-2, torch.tensor([1, 1, 4])).relu(),
        lambda x: torch.cat([x, x])[torch.tensor([7, 2])],
        lambda x: x.view(-1, 3, 2).sum((1, 2)),
        lambda x: x.t() @ x,
        lambda x: torch.addmm(torch.ones(5, 2), x, torch.ones(6, 2), beta=0.5),
        lambda x: x.mean(),
        lambda x: x[torch.tensor([True, False, True, False, False])],
    ],
)
def test_is_what_the_rows_are(matrix: torch.Tensor, use) -> None:
    shared = use(SharedRows(matrix, INDEX))
    shared = shared.made() if isinstance(shared, SharedRows) else shared
    assert torch.allclose(shared, use(matrix[INDEX]))


@pytest.mark.parametrize("kind", [GCN, GAT, GIN, GraphSAGE])
def test_models_and_their_gradients(matrix: torch.Tensor, kind: type) -> None:
    model = kind(6, 8, num_layers=2, out_channels=3).eval()
    edge_index = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 3]])
    outputs, gradients, of_rows = [], [], []
    for x in (SharedRows(matrix, INDEX), matrix[INDEX]):
        rows = x.detach().requires_grad_()
        output = model(rows, edge_index)
        last = list(model.parameters())[-1]
        outputs.append(output)
        of_weight, of_row = torch.autograd.grad(output.square().sum(), [last, rows])
        gradients.append(of_weight)
        of_rows.append(of_row)
    assert type(of_rows[0]) is torch.Tensor
    assert torch.allclose(*outputs, atol=1e-6)
    assert torch.allclose(*gradients, atol=1e-5)
    assert torch.allclose(*of_rows, atol=1e-5)


class Lister(torch.nn.Module):
    """Looks at the numbers of its features, as no tensor that is not there can be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = GCN(6, 8, num_layers=2, out_channels=3)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.gnn(x, edge_index) * float(x.detach().numpy().max())


def test_models_that_need_the_rows_themselves_are_explained_on_the_whole_graph(matrix: torch.Tensor) -> None:
    torch.manual_seed(0)
    model, edge_index = Lister(), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    found = explainer_for(model)(matrix, edge_index, index=0)
    mask = torch.ones(4, requires_grad=True)
    p = masked_output(model, mask, matrix, edge_index)[0].softmax(-1).max()
    expected = torch.autograd.grad(p.log(), mask)[0]
    assert torch.allclose(found.edge_evidence, expected, atol=1e-5)


def test_multiplies_once_until_the_weight_changes(matrix: torch.Tensor) -> None:
    weight, products = torch.ones(6, 2), {}
    first = SharedRows(matrix, INDEX, products) @ weight
    SharedRows(matrix, INDEX.flip(0), products) @ weight
    assert len(products) == 1
    weight.mul_(2)
    assert torch.allclose(SharedRows(matrix, INDEX, products) @ weight, 2 * first)


def test_weights_made_anew_are_not_mistaken_for_old_ones(matrix: torch.Tensor) -> None:
    rows = SharedRows(matrix, INDEX)
    for number in range(30):
        assert torch.allclose(
            rows @ torch.full((6, 2), float(number)), matrix[INDEX] @ torch.full((6, 2), float(number))
        )
