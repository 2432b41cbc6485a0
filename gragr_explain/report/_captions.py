"""What stands below a figure: what it shows, and what is to be seen in it."""

from __future__ import annotations

from gragr_explain.context import FEATURES
from gragr_explain.report._findings import FEW, Findings
from gragr_explain.report._psi import WORDING
from gragr_explain.report._wording import percent

CURVES = {
    "Loss": "How badly the model still did on the labels that it learned from. It should fall and level out.",
    "Accuracy": "The share of validation nodes, of which it did not learn, that it got right.",
    "Nodes in conflict": "The share of nodes that pulled strongly against their neighbours.",
    "Conflict energy": "How hard neighbours pulled against each other: 0 is not at all, 1 is as hard as they can.",
    "How nodes agreed with neighbours": "Whether the typical node pulled with its neighbours (1) or against them (-1), "
    "which its conflict is made of; the band holds the middle half of nodes.",
    "How sure the model was": "The confidence of the typical node; the band holds the middle half of nodes.",
    "How hard nodes pulled": "The size of the typical node's gradient; the band holds the middle half of nodes.",
}
"""What the figures of the training show."""


def psi_caption(findings: Findings, feature: str) -> str:
    """What a psi is, and whether the wrong predictions stand out in it.

    Args:
        findings: What stands out in the explanations.
        feature: One of :data:`gragr_explain.context.FEATURES`.
    """
    meaning = WORDING[feature].meaning
    seen = _role_errors(findings) if feature == "role" else _contrast(findings, FEATURES.index(feature))
    return f"{meaning} {seen}".strip()


def _contrast(findings: Findings, column: int) -> str:
    """Where wrong and right predictions lie in the ranks of a psi."""
    name = f"rank_{FEATURES[column]}"
    judged = findings.judged.dropna(subset=name)
    right = judged["correct"].astype(bool)
    if right.sum() < FEW or (~right).sum() < FEW:
        return ""
    bad, good = judged.loc[~right, name].median(), judged.loc[right, name].median()
    if abs(bad - good) < 0.1:
        return "Wrong and right predictions hardly differ in it."
    where = f"above {percent(bad)} of the graph, the typical right one above {percent(good)}"
    return f"The typical wrong prediction is {where}."


def _role_errors(findings: Findings) -> str:
    """Which role has most wrong predictions."""
    by_role = findings.judged.dropna(subset="role").groupby("role")["correct"].agg(["mean", "size"])
    wrong = 1 - by_role.loc[by_role["size"] >= FEW, "mean"].astype(float).sort_values(kind="stable")
    if len(wrong) < 2 or wrong.iloc[0] == wrong.iloc[-1]:
        return ""
    most, least = (f"{wrong.index[end]}s ({percent(wrong.iloc[end])})" for end in (0, -1))
    return f"The model is wrong most often about {most}, least often about {least}."
