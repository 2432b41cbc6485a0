"""What a model predicts without the edges that support its predictions most."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.explain.config import ModelMode

from gragr_explain.explain._objective import confidences, predictions
from gragr_explain.explain._strongest import among_strongest
from gragr_explain.explain._trials import UnionTrials

_TRIED = (1, 2, 3, 5, 10)
"""How many of the strongest edges are taken away, one number after another."""


class Change(NamedTuple):
    """A prediction without its strongest edges: how many are gone, the class, and its probability."""

    removed: int
    prediction: int
    confidence: float


@torch.no_grad()
def changes(trials: UnionTrials, mask: Tensor, edge_index: Tensor, prediction: Tensor) -> list[Change | None]:
    """Take the strongest edges of predictions away until other classes are predicted.

    The 1, 2, 3, 5 and 10 strongest are tried, all numbers and all predictions in one pass. Self-loops, which connect
    nothing, are left where they are. Edges that are taken away are not there: the degrees that some layers divide by,
    and the attention of others, are those of the edges that are left, unlike under PyG's edge masks. Of a model that
    takes the edges of its graph alone, their messages are gone.

    Args:
        trials: The predictions.
        mask: The mask of their edges, ``[num_edges]``; of equal edges, the first is the stronger.
        edge_index: The nodes of the graph that their edges lie between, ``[2, num_edges]``.
        prediction: What the model predicts, ``[num_parts]``.

    Returns:
        For each prediction, the fewest edges without which it is another, or, where it never is, the most. ``None``
        for regression, where no edge weighs anything, and where the mask is of another class than the predicted one.
    """
    part, num_parts = trials.edge_part, trials.num_parts
    mask = torch.where(edge_index[0] == edge_index[1], 0, mask)
    support = torch.bincount(part[mask > 0], minlength=num_parts)
    if trials.config.mode == ModelMode.regression or not bool(support.any()):
        return [None] * num_parts
    counts = torch.tensor(_TRIED, device=part.device)
    taken = among_strongest(mask, part, num_parts, counts)
    output = trials.outputs_without(taken)
    found, confidence = predictions(output, trials.config), confidences(output, trials.config)
    assert confidence is not None
    found, confidence = found.view(-1, num_parts), confidence.view(-1, num_parts)
    differs = found != prediction.view(-1)
    shown = torch.where(differs.any(0), differs.int().argmax(0), len(counts) - 1).unsqueeze(0)
    columns = (
        (support > 0) & (trials.target.view(-1) == prediction.view(-1)),
        torch.minimum(counts[shown[0]], support),
        found.gather(0, shown)[0],
        confidence.gather(0, shown)[0],
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Change(*change) if measured else None for measured, *change in rows]
