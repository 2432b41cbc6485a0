"""A model whose layers are the steps of one gradient flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.typing import Adj, OptTensor

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidGraphError
from gragr_explain.models._graff_conv import GRAFFConv, activation
from gragr_explain.models._mixing import ChannelMixing


class GRAFF(nn.Module):
    r"""A graph neural network that is a gradient flow: encoder, steps of :class:`GRAFFConv`, decoder.

    .. math::
        F(0) = \psi_{\text{EN}}(X), \qquad
        F(t + \tau) = F(t) + \tau \left(-F(t)\, \Omega + \bar{A} F(t)\, W + \beta F(0)\right), \qquad
        Y = \psi_{\text{DE}}(F(T))

    Gradient-flow slides, "General ingredients of the framework GRAFF"; Di Giovanni et al., `Graph Neural Networks as
    Gradient Flows <https://arxiv.org/abs/2206.10991>`_. :math:`\Omega` and :math:`W` are symmetric and shared by all
    layers, so that the whole model descends one energy. With ``bias=False`` and the diagonally dominant :math:`W` it
    has :math:`pd + d^2 + 3d + dk` parameters, for :math:`p` input, :math:`d` hidden and :math:`k` output channels.

    Choose its weight decay by validation: its authors use 0.0002 to 0.04, and in ``reports/graff.md`` validation
    chooses 0.05 on most graphs, and 0.0005 or 0.005 where nearly all neighbours are alike and on Cora and CiteSeer.
    Where most edges join nodes of one class, try ``heat=0.9`` with ``step_size=1.0`` and ``beta=0.5`` as well, or
    ``heat=0.98`` with ``beta=1.0``, ``act="relu"`` and ``encoder_act="relu"``, two or three steps, and dropout of the
    features.

    Made as PyG's :class:`~torch_geometric.nn.models.basic_gnn.BasicGNN` models are, but trained on undirected graphs;
    see :class:`GRAFFConv`.

    Args:
        in_channels: The number of features of a node; ``-1`` to take it from the first graph seen.
        hidden_channels: The size of a node's representation.
        num_layers: The number of steps, which is the depth.
        out_channels: The number of outputs per node; without it, the representations are returned.
        dropout: The probability of dropout, after the encoder and before the decoder.
        act: A non-linearity within each step; see :class:`GRAFFConv`.
        w: How the channel mixing is learned, or what it is; see :class:`ChannelMixing`.
        step_size: The step size :math:`\tau`, above 0 and at most 1.
        beta: The strength :math:`\beta` of the source :math:`F(0)`.
        heat: The share of heat flow in :math:`W` and :math:`\Omega`, below 1; see :class:`ChannelMixing`.
        encoder_act: A non-linearity after the encoder, as a function or by PyG's name for it; none by default.
        bias: Whether encoder and decoder have one.
        **kwargs: Further arguments of :class:`GRAFFConv`, such as ``add_self_loops``, ``directed`` and ``cached``.

    Raises:
        InvalidArgumentError: If an argument is out of range.

    Example:
        >>> model = GRAFF(16, 8, num_layers=3, out_channels=4, w="diagonally-dominant", bias=False)
        >>> model(torch.rand(3, 16), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 4])
        >>> sum(parameter.numel() for parameter in model.parameters()) == 16 * 8 + 8**2 + 3 * 8 + 8 * 4
        True
    """

    supports_edge_weight: Final[bool] = True
    supports_edge_attr: Final[bool] = False

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int | None = None,
        dropout: float = 0.0,
        act: str | Callable[[Tensor], Tensor] | None = None,
        *,
        w: str | Tensor = "sum",
        step_size: float = 1.0,
        beta: float = 0.0,
        heat: float = 0.0,
        encoder_act: str | Callable[[Tensor], Tensor] | None = None,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        check_number("in_channels", in_channels, whole=True, least=-1)
        check_number("hidden_channels", hidden_channels, whole=True, least=1)
        check_number("num_layers", num_layers, whole=True, least=1)
        check_number("dropout", dropout, within="[0, 1)")
        check_number("out_channels", out_channels, whole=True, least=1, optional=True)
        mixing = ChannelMixing(hidden_channels, w, heat)
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.out_channels = hidden_channels if out_channels is None else out_channels
        self.dropout = nn.Dropout(dropout)
        self.encoder = Linear(in_channels, hidden_channels, bias=bias)
        self.encoder_act = activation("encoder_act", encoder_act)
        self.convs = nn.ModuleList(
            GRAFFConv(hidden_channels, mixing, step_size, beta, act, **kwargs) for _ in range(num_layers)
        )
        self.decoder = nn.Identity() if out_channels is None else Linear(hidden_channels, out_channels, bias=bias)

    @property
    def mixing(self) -> ChannelMixing:
        """The channel mixing that all layers share."""
        return self._conv.mixing

    @property
    def _conv(self) -> GRAFFConv:
        first = self.convs[0]
        assert isinstance(first, GRAFFConv)
        return first

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in (self.encoder, *self.convs, self.decoder):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, x: Tensor, edge_index: Adj, edge_weight: OptTensor = None) -> Tensor:
        r"""Run the flow.

        Args:
            x: Node features of shape ``[num_nodes, in_channels]``.
            edge_index: Edges of shape ``[2, num_edges]``, or a sparse adjacency matrix.
            edge_weight: Weights of shape ``[num_edges]``.

        Returns:
            Outputs of shape ``[num_nodes, out_channels]``.

        Raises:
            InvalidGraphError: If shapes do not fit, or the graph is directed, in training and without ``directed``.
        """
        for step in self._flow(x, edge_index, edge_weight):
            x = step
        return self.decoder(self.dropout(x))

    def trajectory(self, x: Tensor, edge_index: Adj, edge_weight: OptTensor = None) -> Tensor:
        r"""The representations :math:`F(0), F(\tau), \dots, F(T)`, ``[num_layers + 1, num_nodes, hidden_channels]``.

        Takes what :meth:`forward` takes, and raises as it does.
        """
        return torch.stack(list(self._flow(x, edge_index, edge_weight)))

    def energies(self, x: Tensor, edge_index: Adj, edge_weight: OptTensor = None) -> Tensor:
        r"""The energy :math:`\mathcal{E}^{\text{tot}}` (:func:`flow_energy`) along the flow, ``[num_layers + 1]``.

        It falls from step to step where ``act`` is none and the step size is small enough: below 2 over the largest
        eigenvalue of :math:`\Omega \otimes I - W \otimes \bar{A}`. Takes what :meth:`forward` takes, and raises as it
        does; and if the graph is directed, in any case.
        """
        trajectory = self.trajectory(x, edge_index, edge_weight)
        return torch.stack([self._conv.energy(step, trajectory[0], edge_index, edge_weight) for step in trajectory])

    def _flow(self, x: Tensor, edge_index: Adj, edge_weight: OptTensor) -> Iterator[Tensor]:
        if x.dim() != 2 or self.in_channels not in (-1, x.size(1)):
            raise InvalidGraphError(f"expected x of shape [num_nodes, {self.in_channels}], got {list(x.shape)}")
        encoded = self.encoder(x)
        x = x_0 = self.dropout(encoded if self.encoder_act is None else self.encoder_act(encoded))
        yield x
        for conv in self.convs:
            x = conv(x, x_0, edge_index, edge_weight)
            yield x

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, num_layers={self.num_layers})"
