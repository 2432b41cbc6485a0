"""Which frequencies a gradient flow ends up with, read off the spectrum of its channel mixing."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.models._mixing import check_symmetric

Dominance = Literal["low", "high", "neither"]
"""Which frequencies dominate."""

_TIE = 1e-6


def limit_dominance(w: Tensor, largest: float, omega: Tensor | None = None, step_size: float = 1.0) -> Dominance:
    r"""Which frequencies dominate :math:`F(t + \tau) = F(t) + \tau (-F(t) \Omega + \bar{A} F(t) W)` in the limit.

    Along an eigenvector of the normalised Laplacian with frequency :math:`\lambda`, a step multiplies by
    :math:`M(\lambda) = I + \tau \left((1 - \lambda) W - \Omega\right)`. Its spectral norm is convex in
    :math:`\lambda`, so that what grows fastest lies at :math:`\lambda = 0` or at :math:`\lambda = \rho_\Delta`: the
    larger of the two norms dominates, for almost every start. Without :math:`\Omega` this is the slides' theorem: high
    if :math:`|\lambda_-^W| (\rho_\Delta - 1) > \lambda_+^W` and :math:`|\lambda_-^W| < 2 / (\tau (2 - \rho_\Delta))`.
    A source :math:`\beta F(0)` changes nothing as long as something grows.

    Args:
        w: The symmetric mixing :math:`W` of shape ``[channels, channels]``.
        largest: The largest frequency :math:`\rho_\Delta` of the graph; :func:`gragr_explain.field.largest_frequency`.
        omega: The external field :math:`\Omega`, symmetric of the same shape, or its diagonal, ``[channels]``; zero by
            default.
        step_size: The step size :math:`\tau`.

    Returns:
        ``"low"``, ``"high"``, or ``"neither"`` for a tie.

    Raises:
        InvalidTypeError: If a matrix is no tensor.
        InvalidArgumentError: If a matrix is not symmetric, or ``largest`` or ``step_size`` is out of range.

    Example:
        >>> limit_dominance(torch.diag(torch.tensor([1.0, 0.5])), largest=1.9)
        'low'
        >>> limit_dominance(torch.diag(torch.tensor([0.5, -1.0])), largest=1.9)
        'high'
    """
    check_type("w", w, Tensor)
    if w.dim() != 2 or not w.numel():
        raise InvalidArgumentError(f"expected w of shape [channels, channels], got {list(w.shape)}")
    check_symmetric(w, w.size(1))
    check_number("largest", largest, within=f"[0, {2 + _TIE}]")
    check_number("step_size", step_size, within="(0, 1]")
    start, w = torch.eye(w.size(1), dtype=torch.double), w.detach().double().cpu()
    if omega is not None:
        check_type("omega", omega, Tensor)
        omega = omega.diag() if omega.dim() == 1 else omega
        check_symmetric(omega, w.size(1), "omega")
        start = start - step_size * omega.detach().double().cpu()
    low, high = (
        float(torch.linalg.eigvalsh(start + step_size * (1 - frequency) * w).abs().max())
        for frequency in (0.0, largest)
    )
    if abs(low - high) <= _TIE * max(low, high):
        return "neither"
    return "low" if low > high else "high"
