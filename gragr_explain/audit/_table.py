"""Doubts as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gragr_explain.audit._evidence import NAMES, class_odds
from gragr_explain.audit._facts import Facts
from gragr_explain.audit._reasoner import DoubtReasoner
from gragr_explain.audit._reasons import reasons


def doubts_table(
    facts: Facts, reasoner: DoubtReasoner, evidence: np.ndarray, nodes: Tensor, prior: float | None = None
) -> pd.DataFrame:
    """One row a node, the most doubtful first, ties by number.

    Args:
        facts: What is known, and which class of each node is in question.
        reasoner: The Reasoner.
        evidence: The evidence about the nodes, ``[num_rows, num_evidence]``.
        nodes: Which nodes, a mask of shape ``[num_nodes]``.
        prior: The share of wrong ones among them, where it is not the one that the Reasoner was fitted with.
    """
    index = nodes.nonzero().view(-1)
    probability = reasoner.probability(evidence, prior)
    suggested = suggest(facts, reasoner)
    order = np.lexsort((index.cpu().numpy(), -probability))
    contributions = reasoner.contributions(evidence)
    names = np.array(facts.class_names, dtype=object)

    def column(value: Tensor) -> np.ndarray:
        return value[index].cpu().numpy()[order]

    label = column(facts.label)
    frame = pd.DataFrame({"node": index.cpu().numpy()[order], "label": label, "label_name": names[label]})
    frame["probability"] = probability[order]
    frame["suggested"] = column(suggested)
    frame["suggested_name"] = names[frame["suggested"]]
    frame["prediction"] = column(facts.run.prediction)
    frame["prediction_name"] = names[frame["prediction"]]
    frame["confidence"] = column(facts.run.confidence).astype(float)
    found = [reasons(facts, int(index[row]), int(suggested[index[row]]), contributions[row]) for row in order]
    frame["reasons"] = pd.Series(found, dtype=object, index=frame.index)
    return frame


def suggest(facts: Facts, reasoner: DoubtReasoner) -> Tensor:
    """For each node, the class for which most speaks beside the one in question, ``[num_nodes]``.

    What is known of every class is added up with the Reasoner's weights.
    """
    weight = dict(zip(NAMES, np.abs(reasoner.weight) / reasoner.std + 1e-6, strict=True))
    odds = class_odds(facts.run, facts.outside)
    support = sum(float(weight[name]) * value.nan_to_num() for name, value in odds.items())
    assert isinstance(support, Tensor)
    present = torch.zeros(support.size(1), dtype=torch.bool, device=support.device)
    present[facts.y[facts.known]] = True
    support = support.masked_fill(~present, -torch.inf)
    return support.scatter(-1, facts.label.unsqueeze(-1), -torch.inf).argmax(-1)
