"""The conflict loss as a term of the training loss (eqs. 2 and 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.field import GraphOperator, conflict_loss
from gragr_explain.history import full_precision


def conflict_term(loss: Tensor, hidden: Tensor, graph: GraphOperator, *, exact: bool = True) -> Tensor:
    r"""How much the gradients of linked nodes oppose each other, as a term to add to the loss.

    .. math::
        \frac{1}{|E|\,\mu^2} \sum_{(i,j) \in E} \max(0, -g_i^\top g_j), \qquad g_v = \nabla_{h_v} \mathcal{L}

    GraGR paper, eqs. 2 and 7, as a mean over the linked pairs and with gradients in units of their mean norm
    :math:`\mu` (a constant to the derivative): a gradient of a loss that is averaged over n nodes is n times shorter,
    and :math:`\lambda_{\text{conf}}` would mean something else on every graph.

    The exact form is differentiated through the gradients, by double backward. The other one stops there: its value is
    the same, its derivative with respect to ``hidden`` is :math:`\mu` times that of the term with respect to ``g``, as
    if :math:`\partial g / \partial h = \mu I` (a squared error has :math:`I`). It costs no second-order pass.

    Args:
        loss: The scalar loss.
        hidden: The hidden representation that it depends on, ``[num_nodes, channels]``.
        graph: The prepared graph.
        exact: Whether to differentiate through the gradients.

    Returns:
        A non-negative scalar on the autograd graph.

    Raises:
        InvalidTypeError: If one that should be is no tensor, or the graph is not prepared.
        InvalidArgumentError: If the loss is no scalar that depends on the hidden representation.

    Example:
        >>> hidden = torch.tensor([[1.0], [-1.0]], requires_grad=True)
        >>> graph = GraphOperator(torch.tensor([[0, 1], [1, 0]]), 2)
        >>> conflict_term(hidden.square().sum() / 2, hidden, graph)
        tensor(1., grad_fn=<DivBackward0>)
    """
    check_type("loss", loss, Tensor)
    check_type("hidden", hidden, Tensor)
    check_type("graph", graph, GraphOperator)
    check_type("exact", exact, bool)
    if loss.dim() != 0 or not loss.requires_grad or not hidden.requires_grad:
        raise InvalidArgumentError(
            f"expected a scalar loss and a hidden representation with gradients, got a loss of shape {list(loss.shape)}"
        )
    (field,) = torch.autograd.grad(
        loss, hidden, create_graph=exact, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    unit = torch.linalg.vector_norm(field.detach(), dim=-1).mean()
    field = full_precision(field)
    scale = torch.where(unit > 0, unit.square(), 1) * max(graph.pairs.size(1), 1)
    if exact:
        return conflict_loss(field, graph) / scale
    with torch.enable_grad():
        leaf = field.detach().requires_grad_()
        term = conflict_loss(leaf, graph) / scale
        (push,) = torch.autograd.grad(term, leaf) if term.requires_grad else (torch.zeros_like(leaf),)
    surrogate = (hidden * (push * unit)).sum()
    return term.detach() + surrogate - surrogate.detach()
