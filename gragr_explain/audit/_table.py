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

ONLY_LABEL = "it is the only training label of its class, so that nothing can be said of it"


def doubts_table(
    facts: Facts,
    contributions: np.ndarray,
    probability: np.ndarray,
    suggested: Tensor,
    nodes: Tensor,
) -> pd.DataFrame:
    """One row a node, the most doubtful first, ties by number.

    Args:
        facts: What is known, and which class of each node is in question.
        contributions: What the evidence about the nodes adds to the log-odds, ``[num_rows, num_evidence]``.
        probability: The probability that the class of each is wrong, ``[num_rows]``; NaN for the only training label
            of its class.
        suggested: The class for which most speaks beside it, ``[num_nodes]``.
        nodes: Which nodes, a mask of shape ``[num_nodes]``.
    """
    index = nodes.nonzero().view(-1)
    order = np.lexsort((index.cpu().numpy(), -probability))
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
    found = [
        [ONLY_LABEL]
        if np.isnan(probability[row])
        else reasons(facts, int(index[row]), int(suggested[index[row]]), contributions[row])
        for row in order
    ]
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
