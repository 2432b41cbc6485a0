"""The channel mixing of a gradient flow: a symmetric matrix, and what its spectrum may be."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError

MIXINGS = ("sum", "prod", "neg-prod", "diagonally-dominant")
"""The names of the parametrisations of a channel mixing."""


class ChannelMixing(nn.Module):
    r"""The symmetric matrices :math:`W` and :math:`\Omega` of :class:`GRAFFConv`, and what they are learned as.

    Gradient-flow slides, "Different choices for W". Positive eigenvalues of :math:`W` attract the representations of
    neighbours, negative ones repel them.

    - ``"sum"``: :math:`W = W' + W'^\top`, any eigenvalues;
    - ``"prod"``: :math:`W = W'^\top W'`, attraction only;
    - ``"neg-prod"``: :math:`W = -W'^\top W'`, repulsion only;
    - ``"diagonally-dominant"``: :math:`W = \operatorname{diag}(w) + W^0` with the symmetric :math:`W^0`, zero on the
      diagonal, and :math:`w_\alpha = q_\alpha \sum_\beta |W^0_{\alpha\beta}| + r_\alpha`, which by Gershgorin's theorem
      moves eigenvalues to either side.

    :math:`\Omega = \operatorname{diag}(\omega)`, which makes the slides' number of parameters, :math:`d^2 + 3d` for the
    diagonally dominant variant.

    A share :math:`h` of heat flow, which has :math:`W = \Omega = I`, may be mixed into both: :math:`h I + (1 - h) W`
    and :math:`h I + (1 - h) \Omega` take their places, and the energy is :math:`h` times that of heat flow, the
    Dirichlet energy, and :math:`1 - h` times the learned one. With a large share, a model is a smoothing one at first
    and weight decay keeps it so, which suits graphs whose neighbours are alike. What is said of eigenvalues above holds
    of the learned part. For :math:`W`, it is the identity mapping of GCNII (Chen et al., `Simple and Deep Graph
    Convolutional Networks <https://arxiv.org/abs/2007.02133>`_).

    Args:
        channels: The number :math:`d` of channels.
        w: One of the names above, or a symmetric matrix of shape ``[channels, channels]`` that is not learned.
        heat: The share :math:`h` of heat flow, at least 0 and below 1.

    Raises:
        InvalidTypeError: If ``w`` is neither a name nor a tensor.
        InvalidArgumentError: If there is no such variant, a matrix is of another shape, not symmetric or not finite, or
            the share is out of range.

    Example:
        >>> mixing = ChannelMixing(4, "neg-prod")
        >>> w = mixing()
        >>> bool((torch.linalg.eigvalsh(w) < 1e-6).all())
        True
        >>> ChannelMixing(2, torch.zeros(2, 2), heat=0.75)()
        tensor([[0.7500, 0.0000],
                [0.0000, 0.7500]])
    """

    omega: Tensor

    def __init__(self, channels: int, w: str | Tensor = "sum", heat: float = 0.0) -> None:
        super().__init__()
        check_number("channels", channels, whole=True, least=1)
        check_number("heat", heat, within="[0, 1)")
        self.channels = channels
        self.heat = heat
        if not isinstance(w, str):
            check_symmetric(w, channels)
        self.kind = w if isinstance(w, str) else "given"
        self.omega = nn.Parameter(torch.empty(channels))
        if isinstance(w, Tensor):
            self.register_buffer("weight", w.detach().clone())
        elif w in MIXINGS:
            self.weight = nn.Parameter(torch.empty(channels, channels))
        else:
            raise InvalidArgumentError(f"expected w as one of {MIXINGS} or a symmetric matrix, got {w!r}")
        if self.kind == "diagonally-dominant":
            self.q = nn.Parameter(torch.empty(channels))
            self.r = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew: learned eigenvalues between about -1 and 1, and no external field but heat's."""
        nn.init.zeros_(self.omega)
        if self.kind in ("prod", "neg-prod"):
            nn.init.normal_(self.weight, std=1 / math.sqrt(4 * self.channels))
        elif self.kind in ("sum", "diagonally-dominant"):
            nn.init.normal_(self.weight, std=1 / math.sqrt(8 * self.channels))
        if self.kind == "diagonally-dominant":
            nn.init.zeros_(self.q)
            nn.init.zeros_(self.r)

    def forward(self) -> Tensor:
        """The matrix W of shape ``[channels, channels]``."""
        w = self._learned()
        return w.lerp(torch.eye(self.channels, dtype=w.dtype, device=w.device), self.heat) if self.heat else w

    def external(self) -> Tensor:
        r"""The diagonal of the external field :math:`\Omega`, of shape ``[channels]``."""
        return self.omega.lerp(torch.ones_like(self.omega), self.heat) if self.heat else self.omega

    def _learned(self) -> Tensor:
        if self.kind == "given":
            return self.weight.to(self.omega.dtype)
        if self.kind == "prod":
            return self.weight.t() @ self.weight
        if self.kind == "neg-prod":
            return -(self.weight.t() @ self.weight)
        w = self.weight + self.weight.t()
        if self.kind == "sum":
            return w
        w = w.fill_diagonal_(0)
        return w.diagonal_scatter(self.q * w.abs().sum(1) + self.r)

    def __repr__(self) -> str:
        heat = f", heat={self.heat}" if self.heat else ""
        return f"{type(self).__name__}({self.channels}, w={self.kind!r}{heat})"


def check_symmetric(w: Tensor, channels: int, name: str = "w") -> None:
    """Check a channel mixing that is handed in.

    Raises:
        InvalidTypeError: If it is no tensor.
        InvalidArgumentError: If it is of another shape, not symmetric up to rounding, or not finite.
    """
    check_type(name, w, Tensor)
    if w.shape != (channels, channels):
        raise InvalidArgumentError(f"expected {name} of shape [{channels}, {channels}], got {list(w.shape)}")
    w = w.detach()
    if not w.is_floating_point() or not bool(w.isfinite().all()):
        raise InvalidArgumentError(f"expected {name} of finite floating-point numbers, got {w.dtype}")
    if not torch.allclose(w, w.t(), rtol=1e-5, atol=1e-6 * float(w.abs().max())):
        worst = float((w - w.t()).abs().max())
        raise InvalidArgumentError(f"expected a symmetric {name}, got one that is {worst:.2g} from its transpose")
