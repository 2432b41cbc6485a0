"""What else a model takes, of a part of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch_geometric.data import Data


def arguments_of_part(
    arguments: Mapping[str, Any], x: Tensor, edge_index: Tensor, nodes: Tensor | slice, edges: Tensor
) -> dict[str, Any]:
    """The arguments of a model for some nodes and edges of a graph, as PyG tells those of nodes from those of edges.

    Args:
        arguments: What else the model takes, by name. What is of neither, and the ends of links to be predicted
            (``edge_label_index``), stays as it is.
        x: The features of all nodes, ``[num_nodes, *]``.
        edge_index: All edges, ``[2, num_edges]``.
        nodes: Which nodes are meant, ``[num_kept_nodes]``.
        edges: Which edges, ``[num_kept_edges]``.

    Example:
        >>> import torch
        >>> x, edge_index = torch.rand(3, 2), torch.tensor([[0, 1], [1, 2]])
        >>> given = {"edge_weight": torch.tensor([0.5, 2.0]), "pos": torch.tensor([1.0, 2.0, 3.0]), "scale": 2}
        >>> arguments_of_part(given, x, edge_index, torch.tensor([2, 1]), torch.tensor([1]))
        {'edge_weight': tensor([2.]), 'pos': tensor([3., 2.]), 'scale': 2}
    """
    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    data, kept = Data.from_dict({"x": x, "edge_index": edge_index, **tensors}), dict(arguments)
    for name, value in tensors.items():
        if name == "edge_label_index":
            continue
        if data.is_edge_attr(name):
            kept[name] = value.index_select(data.__cat_dim__(name, value), edges)
        elif data.is_node_attr(name):
            kept[name] = value[nodes]
    return kept
