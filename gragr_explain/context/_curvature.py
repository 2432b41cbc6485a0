"""The directions in which the training loss is curved, from few products with its curvature."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.context._jacobian import Jacobian

_DAMPING = 3e-4  # of the trace
_MOST_DIRECTIONS = 128
_MOST_ENTRIES = 2**24  # of all directions together


class Curvature:
    r"""The Gauss-Newton matrix of the mean loss of some nodes in its strongest directions, damped, to be divided by.

    .. math::
        H = \frac{1}{n} \sum_i \sum_c p_{ic}\, \nabla \log p_{ic}\, \nabla \log p_{ic}^\top,
        \qquad \delta = 3 \cdot 10^{-4} \operatorname{tr} H

    Few directions hold nearly all of it. They are found by a randomised Nyström approximation (Frangella, Tropp &
    Udell, *Randomized Nyström Preconditioning*, 2023), :math:`H \approx Y (\Omega^\top Y)^{-1} Y^\top` with
    :math:`Y = H \Omega`, from at most 128 products with vectors that are the same in every call; fewer where there are
    more than 131,072 weights. What a gradient has outside of them is left out, which is next to nothing of a training
    node's, and nothing where there are no more weights than directions.

    Args:
        jacobian: The Jacobian of the model's log-probabilities.
        nodes: The nodes, ``[num_train]``.

    Attributes:
        values: The eigenvalues that were found, largest first, ``[num_directions]``.
        directions: Their eigenvectors, ``[num_directions, num_weights]``.
        damping: :math:`\delta`.
    """

    def __init__(self, jacobian: Jacobian, nodes: Tensor) -> None:
        weight = torch.zeros_like(jacobian.log_probs)
        weight[nodes] = jacobian.log_probs[nodes].exp() / nodes.numel()
        size = jacobian.num_weights
        count = min(size, _MOST_DIRECTIONS, max(1, _MOST_ENTRIES // size))
        drawn = torch.randn(size, count, generator=torch.Generator().manual_seed(0), dtype=weight.dtype, device="cpu")
        tried = torch.linalg.qr(drawn.to(weight.device)).Q
        made = torch.cat([jacobian.pull(weight * jacobian.push(part)) for part in tried.t().split(jacobian.at_once)])
        core = made @ tried
        scale, turn = torch.linalg.eigh((core + core.t()) / 2)
        known = scale > count * torch.finfo(scale.dtype).eps * scale[-1]
        root = torch.where(known, scale, torch.inf).rsqrt()
        _, roots, self.directions = torch.linalg.svd((turn * root).t() @ made, full_matrices=False)
        self.values = roots.square()
        self.damping = (_DAMPING * self.values.sum()).clamp(min=torch.finfo(roots.dtype).tiny)

    def divide(self, parts: Tensor) -> Tensor:
        """Parts of vectors along the directions, divided by the damped curvature, ``[num_vectors, num_directions]``."""
        return parts / (self.values + self.damping)
