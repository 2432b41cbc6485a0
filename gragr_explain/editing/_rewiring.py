"""What remains of a gradient once a step along it may not raise the training loss."""

from __future__ import annotations

import torch
from scipy.optimize import nnls
from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.errors import EditingError, InvalidArgumentError


def gre(gradient: Tensor, anchor: Tensor) -> Tensor:
    r"""Rewire a gradient so that the training loss does not rise, to first order.

    .. math::
        g^* = g_{tg} - v^* g_{train}, \qquad v^* = \min\Bigl(0, \frac{g_{tg}^\top g_{train}}{\|g_{train}\|^2}\Bigr)

    GRE (Jiang et al., NeurIPS 2024, Algorithm 1), the closed solution of the dual of :math:`\min_g \|g - g_{tg}\|^2`
    subject to :math:`g^\top g_{train} \ge 0`. The algorithm's factor :math:`(1 + \lambda)^{-1}` scales the whole and is
    left out, since the length of a step is chosen afterwards.

    Args:
        gradient: The gradient :math:`g_{tg}` of the target's loss, ``[num_parameters]``.
        anchor: The gradient :math:`g_{train}` of the training loss, ``[num_parameters]``.

    Returns:
        The rewired gradient, ``[num_parameters]``.

    Raises:
        InvalidTypeError: If a gradient is no tensor.
        InvalidArgumentError: If the shapes do not fit.

    Example:
        >>> gre(torch.tensor([1.0, 1.0]), torch.tensor([-1.0, 0.0]))
        tensor([0., 1.])
        >>> gre(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]))
        tensor([1., 1.])
    """
    _check(gradient, "anchor", anchor, "[num_parameters]")
    target, train = gradient.double(), anchor.double()
    squared = train @ train
    if not bool(squared > 0):
        return gradient
    return (target - (target @ train / squared).clamp(max=0) * train).to(gradient.dtype)


def gre_plus(gradient: Tensor, anchors: Tensor) -> Tensor:
    r"""Rewire a gradient so that the loss of no training subset rises, to first order.

    GRE+ (Jiang et al., NeurIPS 2024): the nearest :math:`g` to :math:`g_{tg}` with :math:`G g \ge 0`, where the rows of
    :math:`G` are the gradients of the subsets. The dual of this quadratic program, :math:`\min_{v \ge 0}
    \|G^\top v + g_{tg}\|^2` with :math:`g^* = g_{tg} + G^\top v^*`, is a non-negative least-squares problem, which
    :func:`scipy.optimize.nnls` solves exactly. It is solved in the coordinates of a QR decomposition, ``K + 1`` numbers
    instead of as many as there are parameters.

    Args:
        gradient: The gradient :math:`g_{tg}` of the target's loss, ``[num_parameters]``.
        anchors: The gradients of the losses of the subsets, ``[num_subsets, num_parameters]``.

    Returns:
        The rewired gradient, ``[num_parameters]``; zero, up to rounding, where no step lowers the target's loss and
        keeps those of the subsets.

    Raises:
        InvalidTypeError: If a gradient is no tensor.
        InvalidArgumentError: If the shapes do not fit.
        EditingError: If the program cannot be solved.

    Example:
        >>> gre_plus(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([[-1.0, 0.0, 0.0], [0.0, -2.0, 0.0]]))
        tensor([0., 0., 1.])
    """
    _check(gradient, "anchors", anchors, "[num_subsets, num_parameters]")
    target, train = gradient.double(), anchors.double()
    length = train.norm(dim=1, keepdim=True)
    train = train / length.where(length > 0, 1.0)  # their lengths change v alone
    corner = torch.linalg.qr(torch.cat([train, target.unsqueeze(0)]).t(), mode="r").R.cpu().numpy()
    try:
        v, _ = nnls(corner[:, :-1], -corner[:, -1])
    except (RuntimeError, ValueError) as error:
        raise EditingError(
            f"the quadratic program of {len(train)} training subsets has no solution: {error}"
        ) from error
    return (target + torch.from_numpy(v).to(train) @ train).to(gradient.dtype)


def _check(gradient: Tensor, name: str, anchors: Tensor, shape: str) -> None:
    check_type("gradient", gradient, Tensor)
    check_type(name, anchors, Tensor)
    if gradient.dim() != 1 or anchors.dim() != 1 + shape.count(",") or anchors.size(-1) != gradient.numel():
        raise InvalidArgumentError(
            f"expected a gradient of shape [num_parameters] and {name} of shape {shape}, got {list(gradient.shape)} "
            f"and {list(anchors.shape)}"
        )
