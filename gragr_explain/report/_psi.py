"""The six psi in words, and why one of them is not defined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gragr_explain.context import FEATURES
from gragr_explain.field import GraphOperator

if TYPE_CHECKING:
    from gragr_explain.context import GradientContext


@dataclass(frozen=True)
class Wording:
    """How a page speaks of one psi: its title, what it says, the words at the ends of its axis.

    Its tone is ``"hot"`` where a high value calls for attention.
    """

    title: str
    meaning: str
    low: str
    high: str
    tone: str = "cool"


WORDING = {
    "conflict": Wording(
        "Conflict",
        "How hard the node pulls against its neighbours while the model learns: the size of its gradient times how "
        "far it points away from theirs.",
        "pulls with its neighbours",
        "pulls against them",
        "hot",
    ),
    "stability": Wording(
        "Stability",
        "How well the neighbours' gradients agree with one another.",
        "neighbours disagree",
        "neighbours agree",
    ),
    "influence": Wording(
        "Influence",
        "How much gradient flows two and three steps around the node: how lively the learning is where it sits.",
        "quiet surroundings",
        "lively surroundings",
    ),
    "confidence": Wording(
        "Confidence and gradient",
        "Whether the model is confident where little is left to learn (near 0), or confident in spite of strong "
        "gradients (near \N{MINUS SIGN}1), here and among the neighbours.",
        "sure despite strong gradients",
        "sure, with small ones",
    ),
    "role": Wording(
        "Role",
        "The node's part in the learning, from its degree and gradient.",
        "outlier",
        "hub",
    ),
    "receptiveness": Wording(
        "Receptiveness",
        "How much a correction of its gradient could help the node: strong, misaligned gradients among uneven "
        "neighbours.",
        "little to gain",
        "much to gain",
        "hot",
    ),
}

ROLE_MEANING = {
    "hub": "well connected, with a strong gradient: it drives the learning",
    "bridge": "fairly well connected, its gradient at odds with its neighbours': it joins different regions",
    "follower": "its gradient points where its neighbours' do: it learns what they learn",
    "outlier": "none of the others: isolated or noisy",
}

SOURCE_MEANING = {
    "self": "recorded while the model was trained, each node judged by its label where the model was trained on it "
    "and by the model's own prediction elsewhere",
    "training": "recorded while the model was trained, from the very loss it was trained on",
    "post hoc": "taken from the finished model and its own predictions, since no history of its training was at hand",
}

REASONS = (
    "it has no neighbours",
    "it has only one neighbour",
    "fewer than two of its neighbours have a gradient",
    "its own gradient is zero",
    "its neighbours' gradients cancel out, or are zero",
    "there is no confidence, or no gradient around it, to compare",
)
"""Why an entry of psi is not defined; what ends the sentence "not defined, because ..."."""


def undefined_reasons(context: GradientContext, edge_index: Tensor) -> Tensor:
    """Why entries of psi are not defined.

    Args:
        context: The psi of ``num_nodes`` nodes.
        edge_index: Edges of shape ``[2, num_edges]``.

    Returns:
        Positions in :data:`REASONS` of shape ``[num_nodes, 6]``, -1 where an entry is defined.
    """
    degree = GraphOperator(edge_index.cpu(), context.num_nodes).degree.unsqueeze(-1)
    stability = torch.tensor([name == "stability" for name in FEATURES])
    confidence = torch.tensor([name == "confidence" for name in FEATURES])
    still = (context.norm.cpu() == 0).unsqueeze(-1)
    reason = torch.where(still, 3, torch.full((context.num_nodes, len(FEATURES)), 4))
    reason = torch.where(stability, torch.where(degree == 1, 1, 2), reason)
    reason = torch.where(degree == 0, 0, reason)
    reason = torch.where(confidence, 5, reason)
    return torch.where(context.valid.cpu(), -1, reason)
