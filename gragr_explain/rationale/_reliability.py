"""How far a prediction can be relied on, as far as the facts tell."""

from dataclasses import dataclass
from enum import StrEnum

from gragr_explain.rationale._facts import Facts

UNSURE, SURE = 0.6, 0.8  # a confidence below the first is low, one from the second on is high


class Doubt(StrEnum):
    """A reason not to rely on a prediction, in words."""

    WRONG = "the prediction is wrong"
    LOW_CONFIDENCE = "the confidence is low"
    MEDIUM_CONFIDENCE = "the confidence is only medium"
    CONFLICT = "it pulled against its neighbours"
    INSTABILITY = "its neighbours learned in different directions"


@dataclass(frozen=True)
class Reliability:
    """A verdict: ``low``, ``medium`` or ``high``, None where nothing is known, and the doubts behind it."""

    level: str | None
    doubts: tuple[Doubt, ...]


def confidence_band(confidence: float | None) -> str | None:
    """Return the band of a probability: low below 0.6, high from 0.8 on; None stays None."""
    if confidence is None:
        return None
    return "low" if confidence < UNSURE else "medium" if confidence < SURE else "high"


def judge(facts: Facts) -> Reliability:
    """Judge how far a prediction can be relied on.

    The level is low where the prediction is known to be wrong, where its confidence is low, or where conflict is
    high and stability low at once: a third of every graph has high conflict, so one psi alone is not enough. Any
    other doubt makes it medium. It is high only where both the confidence and psi speak for it.

    Args:
        facts: what is known of the prediction.

    Returns:
        The level and the doubts, gravest first.
    """
    confidence, conflict, stability = (
        confidence_band(facts.confidence),
        facts.band("conflict"),
        facts.band("stability"),
    )
    signs = {
        Doubt.WRONG: facts.correct is False,
        Doubt.LOW_CONFIDENCE: confidence == "low",
        Doubt.MEDIUM_CONFIDENCE: confidence == "medium",
        Doubt.CONFLICT: conflict == "high",
        Doubt.INSTABILITY: stability == "low",
    }
    doubts = tuple(doubt for doubt, present in signs.items() if present)
    grave = {Doubt.WRONG, Doubt.LOW_CONFIDENCE} & set(doubts) or {Doubt.CONFLICT, Doubt.INSTABILITY} <= set(doubts)
    if grave:
        return Reliability("low", doubts)
    if confidence is None and conflict is None and stability is None:
        return Reliability(None, doubts)
    return Reliability("medium" if doubts or confidence is None or conflict is None else "high", doubts)
