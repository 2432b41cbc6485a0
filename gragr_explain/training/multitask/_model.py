"""A shared encoder of nodes, a pooling, and a head for each task."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from torch import Tensor, nn
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidArgumentError, InvalidTypeError
from gragr_explain.history import message_passing_layers

POOLS = {"mean": global_mean_pool, "sum": global_add_pool, "max": global_max_pool}


class MultiTaskModel(nn.Module):
    """A model for several tasks on the same graphs.

    Args:
        encoder: A model made of ``MessagePassing`` layers that is called with ``x`` and ``edge_index``, and with
            ``edge_weight``, ``edge_attr`` and ``batch`` where it takes them, and returns node representations of shape
            ``[num_nodes, channels]``.
        channels: Their width.
        num_classes: The number of classes of each task.
        pool: How the nodes of a graph become one representation: ``"mean"``, ``"sum"`` or ``"max"``.

    Raises:
        UnsupportedModelError: If the encoder has no message-passing layer.
        InvalidTypeError: If a number is none.
        InvalidArgumentError: If there is no task, a task has fewer than two classes, or the pooling is unknown.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> model = MultiTaskModel(GCN(3, 8, num_layers=2), 8, num_classes=[2, 5])
        >>> [logits.shape for logits in model(torch.rand(4, 3), torch.tensor([[0, 1], [1, 0]]))]
        [torch.Size([1, 2]), torch.Size([1, 5])]
    """

    def __init__(self, encoder: nn.Module, channels: int, num_classes: Sequence[int], pool: str = "mean") -> None:
        super().__init__()
        message_passing_layers(encoder)
        check_number("channels", channels, whole=True, least=1)
        if isinstance(num_classes, str) or not isinstance(num_classes, Sequence):
            raise InvalidTypeError(f"expected num_classes as a list, of one number for each task, got {num_classes!r}")
        for classes in num_classes:
            check_number("num_classes", classes, whole=True)
        if len(num_classes) == 0 or min(num_classes) < 2:
            raise InvalidArgumentError(
                f"expected at least one task, each of 2 classes or more, got {list(num_classes)}"
            )
        if pool not in tuple(POOLS):
            raise InvalidArgumentError(f"expected pool as one of {', '.join(POOLS)}, got {pool!r}")
        self.encoder = encoder
        self._takes = frozenset(inspect.signature(encoder.forward).parameters)
        self.heads = nn.ModuleList(nn.Linear(channels, classes) for classes in num_classes)
        self.num_classes = tuple(num_classes)
        self.pool = pool

    def represent(
        self,
        x: Tensor,
        edge_index: Tensor,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
        **edges: Tensor,
    ) -> Tensor:
        """The shared representation of each graph, of shape ``[num_graphs, channels]``."""
        graphs = {"batch": batch, "batch_size": num_graphs} if batch is not None else {}
        graphs = {name: value for name, value in graphs.items() if name in self._takes}  # to normalise each by itself
        return POOLS[self.pool](self.encoder(x, edge_index, **edges, **graphs), batch, num_graphs)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None, **edges: Tensor) -> list[Tensor]:
        """The class scores of each task.

        Args:
            x: Node features of shape ``[num_nodes, num_features]``.
            edge_index: Edges of shape ``[2, num_edges]``.
            batch: The graph of each node, of shape ``[num_nodes]``; ``None`` for one graph.
            **edges: What else the encoder takes, ``edge_weight`` or ``edge_attr`` of ``[num_edges, *]``.

        Returns:
            For each task, scores of shape ``[num_graphs, num_classes]``.
        """
        shared = self.represent(x, edge_index, batch, None, **edges)
        return [head(shared) for head in self.heads]
