"""How many condensed nodes each class gets, and the real nodes that they begin as."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError
from gragr_explain.labels import labels_of, mask_of

_SHOWN = 10  # how many classes an error names


def check_classes(data: Data) -> None:
    """Check that every class can be condensed.

    Raises:
        InvalidTypeError: If the training mask is no boolean tensor.
        InvalidGraphError: If the graph has no edge, labels or mask do not fit it, or a class has no training node.
    """
    if data.edge_index.size(1) == 0:
        raise InvalidGraphError("expected a graph with edges, got one without: there is no structure to condense")
    y, mask = labels_of(data), mask_of(data, "train_mask")
    if mask is None or not bool(mask.any()):
        raise InvalidGraphError("expected a train_mask with at least one training node, got none")
    if int(y[mask].min()) < 0:
        raise InvalidGraphError(f"expected training labels of at least 0, got {int(y[mask].min())}")
    trained, num_classes = set(y[mask].tolist()), int(y.max()) + 1
    if len(trained) < num_classes:
        missing = list(islice((label for label in range(num_classes) if label not in trained), _SHOWN + 1))
        shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        raise InvalidGraphError(
            f"expected a training node of every class, got none of {shown}; put one of each into the train_mask, or "
            "renumber the labels without them (-1 for their nodes)"
        )


def class_sizes(labels: Tensor, num_nodes: int, ratio: float) -> Tensor:
    r"""The condensed nodes of each class: ``ratio * num_nodes`` of them, shared as the training labels are.

    Largest remainders decide about fractions, and the first class about ties.

    Args:
        labels: The labels of the training nodes, of shape ``[num_training]``, of which every class has one.
        num_nodes: The number of nodes of the graph.
        ratio: The share of them that the condensed graph has, in ``(0, 1)``.

    Returns:
        Counts of shape ``[num_classes]``.

    Raises:
        InvalidTypeError: If the ratio is no number.
        InvalidArgumentError: If it is outside ``(0, 1)``, or leaves a class without a node.

    Example:
        >>> class_sizes(torch.tensor([0, 0, 0, 0, 0, 1, 1, 2]), num_nodes=50, ratio=0.1)
        tensor([3, 1, 1])
    """
    check_number("a ratio", ratio, within="(0, 1)")
    total = round(ratio * num_nodes)
    share = torch.bincount(labels).double()
    share = total * share / share.sum()
    sizes = share.floor().long()
    largest = torch.argsort(sizes - share, stable=True)[: total - int(sizes.sum())]
    sizes[largest] += 1
    if bool((sizes == 0).any()):
        empty = (sizes == 0).nonzero().view(-1).tolist()
        raise InvalidArgumentError(
            f"expected a ratio that leaves each class a node, got {ratio}, with which {total} nodes are shared among "
            f"{sizes.numel()} classes and none is left for {empty}"
        )
    return sizes


def draw_nodes(labels: Tensor, sizes: Tensor, generator: torch.Generator) -> Tensor:
    """Training nodes of each class, each drawn once before any is drawn again.

    Args:
        labels: The labels of the training nodes, of shape ``[num_training]``.
        sizes: How many to draw of each class, of shape ``[num_classes]``.
        generator: Where the chance comes from.

    Returns:
        Positions in ``labels``, class after class, of shape ``[sizes.sum()]``.
    """
    drawn = []
    for label, size in enumerate(sizes.tolist()):
        nodes = (labels == label).nonzero().view(-1)
        rounds = [
            nodes[torch.randperm(nodes.numel(), generator=generator, device="cpu")]
            for _ in range(-(-size // nodes.numel()))
        ]
        drawn.append(torch.cat(rounds)[:size])
    return torch.cat(drawn)
