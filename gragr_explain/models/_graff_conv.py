"""One step of a gradient flow as a layer (Di Giovanni et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.resolver import activation_resolver
from torch_geometric.typing import Adj, OptTensor, SparseTensor
from torch_geometric.utils import add_remaining_self_loops, spmm, to_edge_index

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, InvalidTypeError
from gragr_explain.inputs import check_undirected
from gragr_explain.models._energy import flow_energy
from gragr_explain.models._mixing import ChannelMixing


class GRAFFConv(MessagePassing):
    r"""One step of the gradient flow of a learned energy.

    .. math::
        F(t + \tau) = F(t) + \tau\, \sigma\!\left(-F(t)\, \Omega + \bar{A} F(t)\, W + \beta F(0)\right)

    Gradient-flow slides, "General ingredients of the framework GRAFF"; Di Giovanni et al., `Graph Neural Networks as
    Gradient Flows <https://arxiv.org/abs/2206.10991>`_. Without :math:`\sigma`, and on an undirected graph, it is a
    step of size :math:`\tau` down the energy :meth:`energy`. On a directed graph :math:`\bar{A}` is not symmetric,
    there is no such energy, and without self-loops a node that no edge leads to sends nothing to anybody; so a directed
    graph is refused in training, unless ``directed=True``. In evaluation mode edges are taken as they are given, for
    the parts of a graph that one prediction depends on have directions. :math:`\bar{A} = D^{-1/2} A D^{-1/2}` has no
    self-loops but those that the graph has, unless they are asked for. Weights that are not the same both ways make it
    as little symmetric; they are refused only where the energy is asked for.

    Args:
        channels: The size :math:`d` of a node's representation.
        w: How :math:`W` is learned, or what it is; see :class:`ChannelMixing`. A :class:`ChannelMixing` may be shared
            between layers.
        step_size: The step size :math:`\tau`, above 0 and at most 1.
        beta: The strength :math:`\beta` of the source :math:`F(0)`.
        act: The non-linearity :math:`\sigma`, as a function or by PyG's name for it; none by default.
        improved, cached, add_self_loops, normalize: As in :class:`~torch_geometric.nn.conv.GCNConv`.
        directed: Whether to be trained on directed graphs too, as the batches of a
            :class:`~torch_geometric.loader.NeighborLoader` are: messages follow the directions.
        **kwargs: Arguments of :class:`~torch_geometric.nn.conv.MessagePassing`.

    Raises:
        InvalidArgumentError: If an argument is out of range.

    Example:
        >>> conv, x = GRAFFConv(8, w="diagonally-dominant", step_size=0.5), torch.rand(3, 8)
        >>> conv(x, x, torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 8])
    """

    _cached: tuple[Adj, OptTensor, OptTensor] | None

    def __init__(
        self,
        channels: int,
        w: str | Tensor | ChannelMixing = "sum",
        step_size: float = 1.0,
        beta: float = 0.0,
        act: str | Callable[[Tensor], Tensor] | None = None,
        improved: bool = False,
        cached: bool = False,
        add_self_loops: bool = False,
        normalize: bool = True,
        directed: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        check_number("step_size", step_size, within="(0, 1]")
        check_number("beta", beta, within="(-inf, inf)")
        if add_self_loops and not normalize:
            raise InvalidArgumentError("expected normalize=True where self-loops are added, got normalize=False")
        self.mixing = w if isinstance(w, ChannelMixing) else ChannelMixing(channels, w)
        if self.mixing.channels != channels:
            raise InvalidArgumentError(f"expected a mixing of {channels} channels, got {self.mixing}")
        self.channels = channels
        self.step_size = step_size
        self.beta = beta
        self.act = activation("act", act)
        self.improved = improved
        self.cached = cached
        self.add_self_loops = add_self_loops
        self.normalize = normalize
        self.directed = directed
        self._cached = None

    def reset_parameters(self) -> None:
        """Draw the parameters anew, and forget what was cached."""
        super().reset_parameters()
        self.mixing.reset_parameters()
        self._cached = None

    def forward(self, x: Tensor, x_0: Tensor, edge_index: Adj, edge_weight: OptTensor = None) -> Tensor:
        r"""Take one step.

        Args:
            x: The representations :math:`F(t)` of shape ``[num_nodes, channels]``.
            x_0: The source :math:`F(0)` of the same shape.
            edge_index: Edges of shape ``[2, num_edges]``, or a sparse adjacency matrix.
            edge_weight: Weights of shape ``[num_edges]``.

        Returns:
            The representations :math:`F(t + \tau)` of the same shape.

        Raises:
            InvalidGraphError: If shapes do not fit, or the graph is directed, in training and without ``directed``.
        """
        self._check(x, x_0, edge_index, edge_weight)
        if self.training and not self.directed and self._cached is None and not torch.compiler.is_compiling():
            _check_directions(edge_index, x.shape[self.node_dim])
        if self.act is not None:
            around = self._around(x @ self.mixing(), edge_index, edge_weight)
            direction = around - x * self.mixing.external()
            if self.beta:
                direction.add_(x_0, alpha=self.beta)
            return torch.add(x, self.act(direction), alpha=self.step_size)
        around = self._around(x @ (self.step_size * self.mixing()), edge_index, edge_weight)  # fewer passes over nodes
        out = torch.addcmul(around, x, 1 - self.step_size * self.mixing.external())
        return out.add_(x_0, alpha=self.step_size * self.beta) if self.beta else out

    def energy(self, x: Tensor, x_0: Tensor, edge_index: Adj, edge_weight: OptTensor = None) -> Tensor:
        r"""The energy :math:`\mathcal{E}^{\text{tot}}` of representations (:func:`flow_energy`), a scalar.

        Takes what :meth:`forward` takes, and raises as it does; and if the graph is directed, or edges weigh more one
        way than the other, in any case.

        Raises:
            InvalidArgumentError: If messages are not added up (``aggr``): then there is no such energy.
        """
        if self.aggr != "add":
            raise InvalidArgumentError(f"expected aggr='add' for an energy to exist, got {self.aggr!r}")
        self._check(x, x_0, edge_index, edge_weight)
        _check_directions(edge_index, x.shape[self.node_dim], "")
        edges, own_weight = _listed(edge_index)
        weight = edge_weight if own_weight is None else own_weight
        if weight is not None:
            check_undirected(edges, x.shape[self.node_dim], weight)
        around = self._around(x, edge_index, edge_weight)
        return flow_energy(x, around, self.mixing(), self.mixing.external(), beta=self.beta, source=x_0)

    def message(self, x_j: Tensor, edge_weight: OptTensor) -> Tensor:
        """What a node sends along an edge, ``[num_edges, channels]``."""
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j

    def message_and_aggregate(self, adj_t: Adj, x: Tensor) -> Tensor:
        """The same, summed, for a sparse adjacency matrix."""
        return spmm(adj_t, x, reduce=self.aggr)

    def _around(self, x: Tensor, edge_index: Adj, edge_weight: OptTensor) -> Tensor:
        r"""The sums over neighbours :math:`\bar{A} x = D^{-1/2} (A (D^{-1/2} x))`: nodes are fewer than edges."""
        edge_index, edge_weight, root = self._graph(x, edge_index, edge_weight)
        # propagate_type: (x: Tensor, edge_weight: OptTensor)
        if root is None:
            return self.propagate(edge_index, x=x, edge_weight=edge_weight)
        return root * self.propagate(edge_index, x=root * x, edge_weight=edge_weight)

    def _graph(self, x: Tensor, edge_index: Adj, edge_weight: OptTensor) -> tuple[Adj, OptTensor, OptTensor]:
        """Edges, their weights, and the inverse roots of the degrees where edges are not normalised already."""
        if not self.normalize:
            return edge_index, edge_weight, None
        if self._cached is not None:
            return self._cached
        num_nodes, fill = x.shape[self.node_dim], 2.0 if self.improved else 1.0
        found: tuple[Adj, OptTensor, OptTensor]
        if isinstance(edge_index, Tensor) and edge_index.layout == torch.strided:
            if self.add_self_loops:
                edge_index, edge_weight = add_remaining_self_loops(edge_index, edge_weight, fill, num_nodes)
            end = edge_index[1 if self.flow == "source_to_target" else 0]
            weight = x.new_ones(end.numel()) if edge_weight is None else edge_weight
            degree = weight.new_zeros(num_nodes).index_add(0, end, weight)
            root = torch.where(degree > 0, degree, 1).rsqrt() * (degree > 0)
            found = (edge_index, edge_weight, root.to(x.dtype).unsqueeze(-1))
        else:
            sparse = gcn_norm(
                edge_index, edge_weight, num_nodes, self.improved, self.add_self_loops, self.flow, x.dtype
            )
            found = (sparse if isinstance(edge_index, SparseTensor) else sparse[0], None, None)
        self._cached = found if self.cached else None
        return found

    def _check(self, x: Tensor, x_0: Tensor, edge_index: Adj, edge_weight: OptTensor) -> None:
        if x.dim() < 2 or x.size(-1) != self.channels or x_0.shape != x.shape:
            raise InvalidGraphError(
                f"expected x and x_0 of shape [num_nodes, {self.channels}], got {list(x.shape)} and {list(x_0.shape)}"
            )
        if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
            return
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise InvalidGraphError(f"expected an edge_index of shape [2, num_edges], got {list(edge_index.shape)}")
        if edge_weight is not None and edge_weight.shape != edge_index.shape[1:]:
            raise InvalidGraphError(
                f"expected an edge_weight of shape [{edge_index.size(1)}], got {list(edge_weight.shape)}"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, w={self.mixing.kind!r}, step_size={self.step_size})"


def activation(name: str, act: str | Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor] | None:
    """A non-linearity, given as a function or by PyG's name for it; ``name`` is that of the argument."""
    if act is not None and not callable(act) and not isinstance(act, str):
        raise InvalidTypeError(f"expected {name} as a function or a name, got {type(act).__name__}")
    try:
        found: Callable[[Tensor], Tensor] | None = activation_resolver(act)
    except ValueError:
        raise InvalidArgumentError(f"expected {name} to be a name that PyG knows, as 'relu', got {act!r}") from None
    return found


_OTHERWISE = ", or pass directed=True"
_UNDIRECTED = WeakTensorKeyDictionary()  # in which version the edges of which graphs were found to have no directions


def _check_directions(edge_index: Adj, num_nodes: int, otherwise: str = _OTHERWISE) -> None:
    """Check that a graph is undirected, once for all layers and passes as long as nothing is written into its edges."""
    keeps = isinstance(edge_index, Tensor) and not edge_index.is_inference()
    if keeps and _UNDIRECTED.get(edge_index) == edge_index._version:
        return
    check_undirected(_listed(edge_index)[0], num_nodes, otherwise=otherwise)
    if keeps:
        _UNDIRECTED[edge_index] = edge_index._version


def _listed(edge_index: Adj) -> tuple[Tensor, OptTensor]:
    """The edges, ``[2, num_edges]``, and their weights where a matrix has them, ``[num_edges]``."""
    if isinstance(edge_index, Tensor) and edge_index.layout == torch.strided:
        return edge_index, None
    edges, weight = to_edge_index(edge_index)
    return edges, weight
