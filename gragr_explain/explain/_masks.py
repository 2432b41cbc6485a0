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
        graph, for what speaks against it, and where a gradient is no finite number.

    Example:
        >>> support_mask(torch.tensor([2.0, -3.0, 1.0, 0.0]))
        tensor([1.0000, 0.0000, 0.5000, 0.0000])
    """
    positive = evidence.nan_to_num(0, 0, 0).clamp(min=0).abs()  # of -0.0, clamp makes -0.0
    if positive.numel() == 0:
        return positive
    strongest = positive.max()
    if part is not None:
        strongest = positive.new_zeros(int(part.max()) + 1).scatter_reduce_(0, part, positive, "amax")[part]
    return positive / torch.where(strongest > 0, strongest, 1)


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
