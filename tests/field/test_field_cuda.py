from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gragr_explain.context import psi_features
from gragr_explain.field import (
    GraphOperator,
    conflict_energy,
    conflict_loss,
    conjugate_gradient_smooth,
    detect_conflicts,
    dirichlet_energy,
    gradient_attention,
    jacobi_smooth,
    neighbour_mean,
    project_conflicts,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU, there is none")


def project(field: Tensor, graph: GraphOperator) -> Tensor:
    context = neighbour_mean(field, graph)
    return project_conflicts(field, context, detect_conflicts(field, context))


FUNCTIONS = [
    neighbour_mean,
    project,
    conflict_loss,
    conflict_energy,
    dirichlet_energy,
    jacobi_smooth,
    conjugate_gradient_smooth,
    gradient_attention,
    lambda field, graph: psi_features(field, graph, torch.sigmoid(field[:, 0]))[0],
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_gpu_computes_the_same(function, weighted: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(40, (2, 150), generator=generator)
    weight = torch.rand(150, generator=generator, dtype=dtype) if weighted else None
    field = torch.randn(45, 4, generator=generator, dtype=dtype)

    results = []
    for device in ("cpu", "cuda"):
        on_device = field.to(device).requires_grad_()
        graph = GraphOperator(edge_index.to(device), 45, None if weight is None else weight.to(device))
        value = function(on_device, graph)
        assert value.device.type == device
        (gradient,) = torch.autograd.grad(value.square().sum(), on_device)
        results.append((value.detach().cpu(), gradient.cpu()))
    tolerance = 1e-3 if dtype == torch.float32 else 1e-8
    torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance)
