"""Which nodes an edit must keep the loss of, together."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.arguments import check_number, check_type
from gragr_explain.inputs import check_index


def node_subsets(y: Tensor, nodes: Tensor, num_subsets: int) -> list[Tensor]:
    """Disjoint subsets of nodes, as equal in size as can be, in the order of their classes.

    A subset of one or two classes says more about an edit than one drawn from all of them: what a correction takes
    from one class it often gives to another, and the mean over both hides that. Within a class, nodes are drawn at
    random, the same in every call.

    Args:
        y: Class labels of all nodes, ``[num_nodes]``.
        nodes: The nodes, ``[num_kept]``, at least as many as subsets.
        num_subsets: The number of subsets.

    Returns:
        The nodes of each subset.

    Raises:
        InvalidIndexError: If a node is none of those with labels.
        InvalidTypeError: If ``num_subsets`` is no integer, or ``y`` or ``nodes`` no tensor.
        InvalidArgumentError: If it is below 1.

    Example:
        >>> node_subsets(torch.tensor([1, 0, 1, 0]), torch.tensor([0, 1, 3]), 2)
        [tensor([1, 3]), tensor([0])]
    """
    check_type("y", y, Tensor)
    check_type("nodes", nodes, Tensor)
    check_number("num_subsets", num_subsets, whole=True, least=1)
    check_index(nodes, y.numel(), nodes.device)
    order = torch.randperm(nodes.numel(), generator=torch.Generator().manual_seed(0), device="cpu").to(nodes.device)
    order = order[y[nodes[order]].argsort(stable=True)]
    return [nodes[part].sort().values for part in order.tensor_split(num_subsets)]
