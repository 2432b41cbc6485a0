"""Weights of nodes or node groups in the loss, learned by hypergradients (eqs. 7 and 8)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.field import GraphOperator, conflict_loss
from gragr_explain.history import full_precision


def validation_hypergradient(
    losses: Tensor, parameters: Sequence[Tensor], val_gradient: Sequence[Tensor], step_size: float = 1.0
) -> Tensor:
    r"""How the validation loss after one step would change with each loss's weight.

    .. math::
        \theta' = \theta - \eta \sum_i \gamma_i \nabla L_i(\theta), \qquad
        \frac{\partial L_{\text{val}}(\theta')}{\partial \gamma_i}
            = -\eta\, \nabla L_{\text{val}}(\theta')^\top \nabla L_i(\theta)

    GraGR paper, eq. 8, with one inner step of gradient descent. All inner products come from one backward pass through
    a backward pass: the gradient of :math:`\sum_i u_i L_i` is linear in :math:`u`, and :math:`\partial / \partial u_i`
    of its product with :math:`\nabla L_{\text{val}}` is the one with :math:`\nabla L_i`.

    Args:
        losses: The losses :math:`L_i`, of shape ``[num_losses]``, on an autograd graph that is kept.
        parameters: The parameters :math:`\theta`.
        val_gradient: The gradient of the validation loss with respect to each of them, at :math:`\theta'`; at
            :math:`\theta`, the result is that of an infinitely small step.
        step_size: :math:`\eta`.

    Returns:
        The derivatives, of shape ``[num_losses]``.

    Raises:
        InvalidTypeError: If the losses are no tensor, or the others no sequences.
        InvalidArgumentError: If the losses are no vector, or a parameter has no validation gradient.

    Example:
        >>> theta = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> validation_hypergradient(theta * 3, [theta], [torch.tensor([1.0, -1.0])], step_size=0.5)
        tensor([-1.5000,  1.5000])
    """
    check_number("step_size", step_size)
    check_type("losses", losses, Tensor)
    for name, given in (("parameters", parameters), ("val_gradient", val_gradient)):
        check_type(name, given, Sequence)
        for each in given:
            check_type(f"each of {name}", each, Tensor)
    if losses.dim() != 1 or len(parameters) != len(val_gradient):
        raise InvalidArgumentError(
            f"expected losses of shape [num_losses] and a gradient for each of {len(parameters)} parameters, got "
            f"{list(losses.shape)} and {len(val_gradient)}"
        )
    probe = torch.zeros_like(losses, requires_grad=True)
    gradients = torch.autograd.grad(losses, parameters, probe, create_graph=True, allow_unused=True)
    reached = [(g, v) for g, v in zip(gradients, val_gradient, strict=True) if g is not None and g.requires_grad]
    if not reached:
        return torch.zeros_like(losses).detach()
    (products,) = torch.autograd.grad([g for g, _ in reached], probe, [v for _, v in reached])
    return -step_size * products


def conflict_hypergradient(losses: Tensor, weights: Tensor, hidden: Tensor, graph: GraphOperator) -> Tensor:
    r"""How the conflict loss changes with each loss's weight.

    .. math::
        \frac{\partial}{\partial \gamma_i} \sum_{(u,v) \in E} \max(0, -g_u^\top g_v), \qquad
        g = \nabla_h \sum_i \gamma_i L_i

    GraGR paper, the alternative of section 4.4.

    Args:
        losses: The losses :math:`L_i`, of shape ``[num_losses]``, on an autograd graph that is kept.
        weights: Their weights :math:`\gamma`, of the same shape.
        hidden: The hidden representation, ``[num_nodes, channels]``.
        graph: The prepared graph.

    Returns:
        The derivatives, of shape ``[num_losses]``.

    Raises:
        InvalidTypeError: If one that should be is no tensor.
        InvalidArgumentError: If the shapes of losses and weights differ.

    Example:
        >>> hidden = torch.tensor([[1.0], [-1.0]], requires_grad=True)
        >>> weights = torch.ones(2, requires_grad=True)
        >>> losses = (hidden**2 / 2).view(-1)  # their gradients, 1 and -1, oppose each other along the edge
        >>> graph = GraphOperator(torch.tensor([[0, 1], [1, 0]]), 2)
        >>> conflict_hypergradient(losses, weights, hidden, graph)
        tensor([1., 1.])
    """
    check_type("losses", losses, Tensor)
    check_type("weights", weights, Tensor)
    check_type("hidden", hidden, Tensor)
    if losses.shape != weights.shape:
        raise InvalidArgumentError(f"expected weights of shape {list(losses.shape)}, got {list(weights.shape)}")
    with torch.enable_grad():
        probe = weights.detach().clone().requires_grad_()
        (field,) = torch.autograd.grad(losses, hidden, probe, create_graph=True)
        (found,) = torch.autograd.grad(
            conflict_loss(full_precision(field), graph), probe, allow_unused=True, materialize_grads=True
        )
    return found


def reweight(weights: Tensor, hypergradient: Tensor, rate: float | None) -> Tensor:
    r"""One step of hypergradient descent on weights that are not negative and have a mean of one.

    .. math::
        \gamma_i \leftarrow \frac{[\gamma_i - \eta\, h_i / \bar h]_+}{\operatorname{mean}_j [\cdot]_+}, \qquad
        \bar h = \operatorname{mean}_j |h_j|

    GraGR paper, eq. 8. Without a rate, the step is taken from :math:`\gamma = 0`, so that only losses count whose
    descent lowers the objective now (Ren et al., 2018, Learning to reweight examples, eq. 8). That is the better rule
    for single nodes, whose hypergradients have heavy tails: added up over epochs, they put all weight on a few.

    Args:
        weights: The weights of shape ``[num_losses]``.
        hypergradient: The derivatives of the objective, of the same shape.
        rate: :math:`\eta`, or ``None``.

    Returns:
        The new weights. Where all would be zero, or a derivative is not finite, they stay as they are.

    Raises:
        InvalidTypeError: If weights or hypergradient are no tensor.

    Example:
        >>> reweight(torch.ones(3), torch.tensor([-2.0, -1.0, 3.0]), rate=None)
        tensor([2., 1., 0.])
        >>> reweight(torch.ones(3), torch.tensor([-2.0, -1.0, 3.0]), rate=0.5)
        tensor([1.5000, 1.2500, 0.2500])
    """
    check_type("weights", weights, Tensor)
    check_type("hypergradient", hypergradient, Tensor)
    check_number("rate", rate, least=0, optional=True)
    unit = hypergradient.abs().mean()
    if not bool(unit > 0) or not bool(unit.isfinite()):
        return weights
    moved = -hypergradient / unit if rate is None else weights - rate * hypergradient / unit
    moved = moved.clamp(min=0)
    mean = moved.mean()
    return moved / mean if bool(mean > 0) else weights
