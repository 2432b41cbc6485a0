"""From signed evidence to masks in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.explain.config import MaskType


def support_mask(evidence: Tensor, part: Tensor | None = None) -> Tensor:
    """The share of each entry in the strongest support.

    Args:
        evidence: Signed evidence of any shape: positive speaks for the explained output, negative against it.
        part: The part that each entry belongs to, where they belong to several outputs, ``[num_entries]``.

    Returns:
        A mask in ``[0, 1]`` of the same shape. Zero where nothing speaks for the output: outside the computation
        graph, and for what speaks against it.

    Example:
        >>> support_mask(torch.tensor([2.0, -3.0, 1.0, 0.0]))
        tensor([1.0000, 0.0000, 0.5000, 0.0000])
    """
    positive = evidence.clamp(min=0).abs()  # of -0.0, clamp makes -0.0
    if positive.numel() == 0:
        return positive
    strongest = positive.max()
    if part is not None:
        strongest = positive.new_zeros(int(part.max()) + 1).scatter_reduce_(0, part, positive, "amax")[part]
    return positive / torch.where(strongest > 0, strongest, 1)


def use_mask(gradient: Tensor, edge_index: Tensor, heard: Tensor | None = None, part: Tensor | None = None) -> Tensor:
    """How much a prediction depends on each pair of nodes, whether it speaks for the prediction or against it.

    The larger magnitude of the gradients of an edge and of its reverse, as a share of the largest.

    Args:
        gradient: Signed gradients of edges, ``[num_edges]``.
        edge_index: The edges, ``[2, num_edges]``.
        heard: Whether an edge is in the computation graph, ``[num_edges]``; all are if ``None``.
        part: The part that each edge belongs to, where they belong to several outputs, ``[num_edges]``.

    Returns:
        A mask in ``[0, 1]``, ``[num_edges]``, zero outside the computation graph.

    Example:
        >>> use_mask(torch.tensor([2.0, -4.0, 1.0]), torch.tensor([[0, 1, 1], [1, 0, 2]]))
        tensor([1.0000, 1.0000, 0.2500])
    """
    magnitude = gradient.abs()
    if magnitude.numel() == 0:
        return magnitude
    pairs, pair = edge_index.sort(0).values.unique(dim=1, return_inverse=True)
    largest = magnitude.new_zeros(pairs.size(1)).scatter_reduce_(0, pair, magnitude, "amax")
    mask = support_mask(largest[pair], part)
    return mask if heard is None else torch.where(heard, mask, 0)


def feature_evidence(evidence: Tensor, mask_type: MaskType) -> Tensor:
    """The evidence of features, summed to the wanted kind of mask.

    Args:
        evidence: The evidence of each feature of each node, ``[num_nodes, *]``: gradient times input.
        mask_type: ``attributes`` for each feature of each node, ``common_attributes`` for each feature over all
            nodes, ``object`` for each node over all features.

    Returns:
        Evidence of shape ``[num_nodes, num_features]``, ``[1, num_features]`` or ``[num_nodes, 1]``.
    """
    evidence = evidence.reshape(evidence.size(0), -1)
    if mask_type == MaskType.attributes:
        return evidence
    return evidence.sum(0, keepdim=True) if mask_type == MaskType.common_attributes else evidence.sum(1, keepdim=True)
