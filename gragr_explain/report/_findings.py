"""What stands out in a batch of explanations: who is in conflict, where, and which predictions are wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from gragr_explain.context import FEATURES
from gragr_explain.field import GraphOperator
from gragr_explain.report._table import is_wrong, numbers

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from gragr_explain.explain import NodeExplanations
    from gragr_explain.history import GradientHistory

HIGH = 2 / 3
"""The rank from which a psi is in the upper third of the graph."""

FEW = 10
"""How many predictions it takes, at least, to judge by them."""


@dataclass(frozen=True)
class Predictions:
    """Predictions, one a row.

    Attributes:
        frame: The numbers of the table; ``correct`` is missing where the true class is not known.
    """

    frame: pd.DataFrame

    @property
    def known(self) -> pd.DataFrame:
        """The predictions whose true class is known."""
        return self.frame.dropna(subset="correct")

    @property
    def wrong(self) -> pd.DataFrame:
        """The predictions that contradict their label."""
        return self.frame[is_wrong(self.frame)]


@dataclass(frozen=True)
class Findings(Predictions):
    """What stands out in a batch of explanations.

    Attributes:
        frame: The numbers of the table, one row an explained node, and beside them ``rank_<feature>`` (the rank of
            its psi in the graph) and ``conflicts`` (whether it is in conflict), both missing where they are not
            defined, ``seen`` (whether the model was trained on its label), ``validates`` (whether its label says how
            reliable predictions are), ``degree`` (how many neighbours it has),
            ``agreeing`` (how many of them the model puts in the same class) and ``border`` (whether any is put in
            another; missing for a regression).
        recorded: Whether conflicts were counted while the model was trained.
        knows_seen: Whether the graph says what the model was trained on, by a mask of its nodes.
        pairs: How many nodes in conflict lie where two classes meet: two predicted classes, that of the node and
            that of a neighbour in either order, and the number of such nodes; most first.
    """

    recorded: bool
    pairs: list[tuple[int, int, int]]
    knows_seen: bool = True

    @property
    def defined(self) -> pd.DataFrame:
        """The nodes whose conflict is defined."""
        return self.frame.dropna(subset="conflicts")

    @property
    def conflicting(self) -> pd.DataFrame:
        """The nodes in conflict."""
        return self.frame[self.frame["conflicts"].eq(True).fillna(False)]

    @property
    def judged(self) -> pd.DataFrame:
        """The nodes by which the model is judged: those of known class that it was not trained on, if there are any."""
        unseen = self.known[~self.known["seen"]]
        return unseen if len(unseen) else self.known

    @property
    def judged_unseen(self) -> bool:
        """Whether that leaves out labels that the model was trained on."""
        return 0 < len(self.judged) < len(self.known)

    @property
    def whose(self) -> str:
        """What is to be said of mistakes among :attr:`judged`, after the word."""
        return " on labels that it had not seen" if self.judged_unseen else ""


def find(explanations: NodeExplanations, data: Data, history: GradientHistory | None = None) -> Findings:
    """Look a batch of explanations through.

    Nodes in conflict are those that the history counted (eq. 1 of the GraGR paper) in any step of the training. Without
    such a history, they are those whose gradient has a negative cosine with the mean of their neighbours'.

    Args:
        explanations: The explanations.
        data: The graph that was explained.
        history: What was recorded of the training.
    """
    frame = numbers(explanations)
    context, index = explanations.context, explanations.index.cpu()
    ranks = context.rank.cpu()[index].double().numpy()
    for column, feature in enumerate(FEATURES):
        frame[f"rank_{feature}"] = ranks[:, column]
    counted = history.conflict_count if history is not None else None
    recorded = counted is not None and len(counted) == context.num_nodes
    conflicts = counted.cpu() > 0 if counted is not None and recorded else context.alignment.cpu() < 0
    frame["conflicts"] = pd.Series(conflicts[index].numpy(), dtype="boolean").mask(frame["rank_conflict"].isna())
    seen = _seen(data, context.num_nodes)
    frame["seen"] = False if seen is None else seen[index].numpy()
    validation = None if history is None else history.validation
    tells = validation is not None and len(validation) == context.num_nodes
    frame["validates"] = (validation.cpu()[index] >= 0).numpy() if validation is not None and tells else False
    predictions = explanations.all_predictions.cpu()
    graph = GraphOperator(data.edge_index.cpu(), context.num_nodes).undirected
    source, target = graph.col, graph.row
    frame["degree"] = graph.degree[index].numpy()
    if predictions.is_floating_point():
        frame["agreeing"], frame["border"] = 0, pd.Series(pd.NA, frame.index, dtype="boolean")
        return Findings(frame, recorded, [], seen is not None)
    differs = predictions[source] != predictions[target]
    agreeing = target[~differs].bincount(minlength=context.num_nodes)[index].numpy()
    frame["agreeing"] = agreeing
    frame["border"] = pd.Series(agreeing < frame["degree"], dtype="boolean")
    inside = torch.zeros(context.num_nodes, dtype=torch.bool)
    inside[frame.loc[frame["conflicts"].eq(True).fillna(False), "node"].tolist()] = True
    differs &= inside[target]
    return Findings(frame, recorded, _pairs(predictions, source[differs], target[differs]), seen is not None)


def _seen(data: Data, num_nodes: int) -> Tensor | None:
    """Which nodes' labels the model was trained on; ``None`` where the graph does not say, or of several splits."""
    mask = data.get("train_mask")
    if isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == (num_nodes,):
        return mask.cpu()
    return None


def _pairs(predictions: Tensor, source: Tensor, target: Tensor) -> list[tuple[int, int, int]]:
    """Pairs of classes and how many of the target nodes lie where they meet, most first."""
    ends = torch.stack([predictions[source], predictions[target]])
    met = torch.cat([ends.sort(dim=0).values, target.unsqueeze(0)]).unique(dim=1)
    counts = Counter((one, other) for one, other, _ in met.T.tolist())
    return sorted(((*pair, count) for pair, count in counts.items()), key=lambda found: (-found[2], found[:2]))
