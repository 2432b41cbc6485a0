"""The graph, prepared once for everything that is computed on its fields."""

from __future__ import annotations

import warnings
from functools import cached_property

import torch
from torch import Tensor

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidGraphError, InvalidTypeError


class GraphOperator:
    r"""The adjacency of a graph as a sparse operator, sorted and counted once and then reused.

    Row :math:`v` of the operator lists :math:`\mathcal{N}(v)`, the nodes that send messages to :math:`v` in PyG's
    ``source_to_target`` flow. A node is not its own neighbour: self-loops are dropped. Edges that are listed several
    times are one edge; where weights are given, their weights add up.

    Args:
        edge_index: Edges of shape ``[2, num_edges]``.
        num_nodes: The number of nodes.
        edge_weight: Non-negative weights of shape ``[num_edges]``.

    Raises:
        InvalidTypeError: If ``edge_index`` is no integer tensor, or ``edge_weight`` no floating-point tensor.
        InvalidGraphError: If shapes do not fit, an index is out of range, or a weight is negative or not finite.

    Example:
        >>> graph = GraphOperator(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=4)
        >>> graph.degree
        tensor([1, 2, 1, 0])
        >>> graph.is_undirected
        True
    """

    def __init__(self, edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None) -> None:
        check_edges(edge_index, num_nodes, edge_weight)
        source, target = edge_index
        edges = (source != target).nonzero().view(-1)
        key, slot = torch.unique(target[edges] * num_nodes + source[edges], return_inverse=True)

        self.num_nodes = num_nodes
        self.is_weighted = edge_weight is not None
        self.edge_slot = edge_index.new_full((edge_index.size(1),), -1)
        """For each given edge, its position among the operator's non-zeros; -1 for a self-loop, ``[num_edges]``."""
        self.edge_slot[edges] = slot
        self.row, self.col = key.div(max(num_nodes, 1), rounding_mode="floor"), key % max(num_nodes, 1)
        if edge_weight is None:
            self.weight = torch.ones(key.numel(), device=key.device)
        else:
            self.weight = edge_weight.new_zeros(key.numel()).index_add_(0, slot, edge_weight[edges].detach())
        self.degree = torch.bincount(self.row, minlength=num_nodes)
        """The number of neighbours of each node, ``[num_nodes]``."""
        self.rowptr = torch.cat([self.degree.new_zeros(1), self.degree.cumsum(0)])

    @property
    def num_edges(self) -> int:
        """The number of distinct directed edges, self-loops left out."""
        return self.row.numel()

    @property
    def device(self) -> torch.device:
        """The device of the operator's tensors."""
        return self.row.device

    @cached_property
    def strength(self) -> Tensor:
        """The sum of the weights of each node's neighbours, ``[num_nodes]``; the degree where there are none."""
        return self.weight.new_zeros(self.num_nodes).index_add_(0, self.row, self.weight)

    @cached_property
    def multiplicity(self) -> Tensor:
        """How often each distinct edge was listed, ``[operator.num_edges]``."""
        return torch.bincount(self.edge_slot[self.edge_slot >= 0], minlength=self.num_edges)

    @cached_property
    def _transpose(self) -> Tensor:
        """The order of the non-zeros in the transposed operator."""
        return torch.argsort(self.col * self.num_nodes + self.row)

    @cached_property
    def is_undirected(self) -> bool:
        """Whether every edge has its reverse, of the same weight."""
        order = self._transpose
        return (
            torch.equal(self.col[order], self.row)
            and torch.equal(self.row[order], self.col)
            and torch.equal(self.weight[order], self.weight)
        )

    @cached_property
    def undirected(self) -> GraphOperator:
        """The graph without directions: a pair that is linked in both has the mean of both weights."""
        if self.is_undirected:
            return self
        ends = torch.stack([torch.cat([self.col, self.row]), torch.cat([self.row, self.col])])
        total = GraphOperator(ends, self.num_nodes, torch.cat([self.weight, self.weight]))
        mean = total.weight / total.multiplicity
        return GraphOperator(torch.stack([total.col, total.row]), self.num_nodes, mean)

    @cached_property
    def unweighted(self) -> GraphOperator:
        """The same edges, each of weight one."""
        if not self.is_weighted:
            return self
        return GraphOperator(torch.stack([self.col, self.row]), self.num_nodes)

    @cached_property
    def pairs(self) -> Tensor:
        """The linked pairs of nodes ``i < j``, each once whatever its directions, ``[2, num_pairs]``."""
        graph = self.undirected
        once = graph.row < graph.col
        return torch.stack([graph.row[once], graph.col[once]])

    @cached_property
    def pair_weight(self) -> Tensor:
        """The weight of each of :attr:`pairs`, ``[num_pairs]``."""
        graph = self.undirected
        return graph.weight[graph.row < graph.col]

    def matrix(self, dtype: torch.dtype, *, transposed: bool = False) -> Tensor:
        """The operator as a sparse CSR tensor of shape ``[num_nodes, num_nodes]``, kept for the next call."""
        transposed = transposed and not self.is_undirected
        key = (dtype, transposed)
        if key not in self._matrices:
            rowptr, col, weight = self.rowptr, self.col, self.weight
            if transposed:
                counts = torch.bincount(self.col, minlength=self.num_nodes)
                rowptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
                col, weight = self.row[self._transpose], self.weight[self._transpose]
            size = (self.num_nodes, self.num_nodes)
            with warnings.catch_warnings():  # torch says once a process that its CSR tensors are in beta
                warnings.simplefilter("ignore", UserWarning)
                self._matrices[key] = torch.sparse_csr_tensor(rowptr, col, weight.to(dtype), size)
        return self._matrices[key]

    @cached_property
    def _matrices(self) -> dict[tuple[torch.dtype, bool], Tensor]:
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_nodes={self.num_nodes}, num_edges={self.num_edges})"


Graph = GraphOperator | Tensor
"""What the functions of this package take as a graph: a prepared operator, or an ``edge_index`` to prepare once."""


def prepare(field: Tensor, graph: Graph, edge_weight: Tensor | None = None) -> GraphOperator:
    """Check a field against its graph, and prepare the graph where an ``edge_index`` is given.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Raises:
        InvalidTypeError: If the field is no tensor of float32 or float64.
        InvalidGraphError: If the field is not a matrix with a row for each node of the graph.

    Example:
        >>> prepare(torch.eye(3), torch.tensor([[0, 1], [1, 0]])).num_nodes
        3
    """
    if not isinstance(field, Tensor) or field.dtype not in (torch.float32, torch.float64):
        got = field.dtype if isinstance(field, Tensor) else type(field).__name__
        raise InvalidTypeError(f"expected a field of torch.float32 or torch.float64, got {got}")
    if field.dim() != 2:
        raise InvalidGraphError(f"expected a field of shape [num_nodes, channels], got {list(field.shape)}")
    if not isinstance(graph, GraphOperator):
        return GraphOperator(graph, field.size(0), edge_weight)
    if edge_weight is not None:
        raise InvalidGraphError("edge_weight goes with an edge_index; a GraphOperator has its own weights")
    if graph.num_nodes != field.size(0):
        raise InvalidGraphError(f"expected a field with {graph.num_nodes} rows, got {field.size(0)}")
    return graph


def check_edges(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None) -> None:
    """Check edges, and their weights where there are any.

    Args:
        edge_index: Edges of shape ``[2, num_edges]``.
        num_nodes: The number of nodes.
        edge_weight: Weights of shape ``[num_edges]``.

    Raises:
        InvalidTypeError: If ``edge_index`` is no integer tensor, or ``edge_weight`` no floating-point tensor.
        InvalidGraphError: If shapes do not fit, an index is out of range, or a weight is negative or not finite.

    Example:
        >>> check_edges(torch.tensor([[0, 1], [1, 2]]), num_nodes=2)
        Traceback (most recent call last):
            ...
        gragr_explain.errors.InvalidGraphError: expected node indices in [0, 1] in edge_index, got 0 to 2
    """
    if isinstance(edge_index, Tensor) and edge_index.layout != torch.strided:
        raise InvalidTypeError(
            "expected an edge_index of shape [2, num_edges], got a sparse adjacency matrix, from which "
            "torch_geometric.utils.to_edge_index makes one"
        )
    if not isinstance(edge_index, Tensor) or edge_index.dtype != torch.long:
        got = edge_index.dtype if isinstance(edge_index, Tensor) else type(edge_index).__name__
        raise InvalidTypeError(f"expected an edge_index of torch.int64, got {got}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise InvalidGraphError(f"expected an edge_index of shape [2, num_edges], got {list(edge_index.shape)}")
    check_number("num_nodes", num_nodes, whole=True, least=0)
    if edge_index.numel() > 0:
        low, high = int(edge_index.min()), int(edge_index.max())
        if low < 0 or high >= num_nodes:
            raise InvalidGraphError(f"expected node indices in [0, {num_nodes - 1}] in edge_index, got {low} to {high}")
    if edge_weight is None:
        return
    if not isinstance(edge_weight, Tensor) or not edge_weight.is_floating_point():
        got = edge_weight.dtype if isinstance(edge_weight, Tensor) else type(edge_weight).__name__
        raise InvalidTypeError(f"expected an edge_weight of floating-point numbers, got {got}")
    if edge_weight.shape != edge_index.shape[1:]:
        raise InvalidGraphError(
            f"expected an edge_weight of shape [{edge_index.size(1)}], got {list(edge_weight.shape)}"
        )
    if not bool((edge_weight.isfinite() & (edge_weight >= 0)).all()):
        raise InvalidGraphError("expected finite edge weights of at least 0, got a negative or non-finite one")
