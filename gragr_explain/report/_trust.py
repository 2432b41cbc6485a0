"""How far to trust a model, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from gragr_explain.report._findings import FEW, HIGH, Findings, Predictions
from gragr_explain.report._wording import percent

if TYPE_CHECKING:
    from gragr_explain.explain import NodeExplanations

SURE, UNSURE, VALID = 0.9, 0.6, 0.8
"""The confidence from which a prediction is called sure, that below which unsure, and a high share of right ones."""


def trust(explanations: NodeExplanations, findings: Findings) -> list[str]:
    """What is explained, how many predictions are right, and what confidence and conflict say of the others.

    Args:
        explanations: The explanations.
        findings: What stands out in them.
    """
    frame, known, judged = findings.frame, findings.known, findings.judged
    total, explained = explanations.context.num_nodes, frame["node"].nunique()
    sentences = [
        f"Every one of the graph's {total:,} nodes is explained here."
        if explained == total
        else f"{explained:,} of the graph's {total:,} nodes {'is' if explained == 1 else 'are'} explained here."
    ]
    sentences += right_and_wrong(findings)
    if known.empty:
        return sentences
    if findings.judged_unseen:
        sentences.append(
            f"What counts more: of the {len(judged):,} whose label it was not shown while it learned, it is right "
            f"about {int(judged['correct'].sum()):,} ({percent(judged['correct'].mean())})."
        )
    elif not findings.knows_seen:
        sentences.append("Which of these nodes it learned from is not known here: about those it is right too easily.")
    elif judged["seen"].all():
        sentences.append("It learned from these very labels, which flatters it.")
    sentences += [*how_sure(judged), *_as_sure(judged[~judged["validates"]])]
    sentences += _warning(findings)
    return sentences


def right_and_wrong(found: Predictions) -> list[str]:
    """How many predictions are right, as far as that is known."""
    known, wrong = len(found.known), len(found.wrong)
    if not known:
        unknown = "The true labels are not known, so the page cannot say how many predictions are right."
        return [unknown] if found.frame["label"].isna().all() else []
    if not wrong:
        return [f"The model is right about all {known:,} whose label is known."]
    return [
        f"The model is right about {known - wrong:,} of the {known:,} whose label is known, and wrong about {wrong:,}."
    ]


def how_sure(judged: pd.DataFrame) -> list[str]:
    """Whether a model's confidence can be taken at its word, by predictions that are ``correct`` or not."""
    if judged["confidence"].notna().sum() < FEW:
        return []
    right = judged["correct"].astype(bool)
    sure, unsure = judged["confidence"].ge(SURE), judged["confidence"].lt(UNSURE)
    said = []
    if sure.sum() >= FEW:
        said.append(f"where it is at least {percent(SURE)} sure, it is right {percent(right[sure].mean())} of the time")
    if unsure.sum() >= FEW:
        said.append(f"where it is less than {percent(UNSURE)} sure, {percent(right[unsure].mean())}")
    gap = judged["confidence"].mean() - right.mean()
    taken = (
        f"On the whole it is surer than it should be: {percent(judged['confidence'].mean())} sure, and "
        f"{percent(right.mean())} right."
        if gap > 0.05
        else "On the whole it is right more often than it thinks."
        if gap < -0.05
        else "On the whole its confidence can be taken at its word."
    )
    sentence = "; ".join(said)
    return [*([f"{sentence[0].upper()}{sentence[1:]}."] if sentence else []), taken]


def _as_sure(judged: pd.DataFrame) -> list[str]:
    """Whether what validation nodes say of predictions holds, where no label was seen that it is made of."""
    told = judged.dropna(subset="validation_of")
    share, right = (told["validation_right"] / told["validation_of"]).astype(float), told["correct"].astype(bool)
    most, few, held = share.ge(VALID), share.lt(UNSURE), []
    if most.sum() >= FEW:
        held.append(f"at least {percent(VALID)} of them right, {percent(right[most].mean())} of its predictions are")
    if few.sum() >= FEW:
        held.append(f"less than {percent(UNSURE)} of them right, {percent(right[few].mean())} are")
    if not held:
        return []
    return [
        "Each rationale counts about how many of the validation nodes most like its own the model is right. "
        f"Where it gets {'; where it gets '.join(held)}."
    ]


def mistakes_known(known: int, total: int, whose: str) -> str:
    """So many mistakes, of which not all need have a conflict.

    Example:
        >>> mistakes_known(37, 48, " on labels that it had not seen")
        '37 mistakes on labels that it had not seen whose conflict is known (of 48)'
    """
    return f"{known:,} mistakes{whose}" + (f" whose conflict is known (of {total:,})" if known < total else "")


def _warning(findings: Findings) -> list[str]:
    """Whether conflict tells wrong predictions from right ones, where no label was seen that conflict is made of."""
    total = int((~findings.judged["correct"].astype(bool)).sum())
    judged = findings.judged.dropna(subset="rank_conflict")
    right = judged["correct"].astype(bool)
    if not right.any() or right.all():
        return []
    high = judged["rank_conflict"].ge(HIGH)
    bad, good, count = high[~right].mean(), high[right].mean(), int(high[~right].sum())
    which = mistakes_known(int((~right).sum()), total, findings.whose)
    said = (
        f"Of its {which}, {count:,} ({percent(bad)}) lie in the third "
        f"of the graph with the most conflict; of its right answers, {percent(good)}"
    )
    if (~right).sum() < FEW:
        return [said + "."]
    verdict = (
        "so conflict is a warning to heed here"
        if bad >= 1.5 * good
        else "so conflict is a weak warning here"
        if bad >= 1.15 * good
        else "so conflict does not tell right from wrong here"
    )
    return [f"{said}: {verdict}."]
