"""How far a prediction can be relied on, as far as the facts tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gragr_explain.rationale._facts import Facts, ValidationFact

UNSURE, SURE = 0.6, 0.8  # a probability below the first is low, one from the second on is high


class Doubt(StrEnum):
    """A reason not to rely on a prediction."""

    WRONG = "wrong"
    VALIDATION = "validation"
    LOW_CONFIDENCE = "low confidence"
    MEDIUM_CONFIDENCE = "medium confidence"
    CONFLICT = "conflict"
    INSTABILITY = "instability"


@dataclass(frozen=True)
class Reliability:
    """How far a prediction can be relied on.

    Attributes:
        level: ``low``, ``medium`` or ``high``, None where nothing is known.
        doubts: what speaks against the prediction, gravest first: ``wrong``, where its label is known to be another;
            ``validation``, where the model is wrong too often about validation nodes of which it is about as sure;
            where that is not known, ``low confidence`` or ``medium confidence``; ``conflict`` and ``instability``, of
            its psi.
        validation: how often the model is right where it is about as sure, None where that is not known.
    """

    level: str | None
    doubts: tuple[str, ...] = ()
    validation: ValidationFact | None = None


def probability_band(probability: float | None) -> str | None:
    """Return the band of a probability: low below 0.6, high from 0.8 on; None stays None."""
    if probability is None:
        return None
    return "low" if probability < UNSURE else "medium" if probability < SURE else "high"


def judge(facts: Facts) -> Reliability:
    """Judge how far a prediction can be relied on.

    By how often the model is right about validation nodes of which it is about as sure, where that is known, and else
    by its confidence, of which many models have too much. The level is low where the prediction is known to be wrong,
    where that probability is low, or where conflict is high and stability low at once: a third of every graph has high
    conflict, so one psi alone is not enough. Any other doubt makes it medium. It is high only where both the
    probability and psi speak for it. ``reports/reliability.md`` says how many predictions of each level are right.

    Args:
        facts: what is known of the prediction.

    Example:
        >>> from gragr_explain.rationale import Facts, ValidationFact
        >>> facts = Facts("node 17", "Theory", 0.97, None, (), None, "self", (), (), validation=ValidationFact(13, 30))
        >>> judge(facts)
        Reliability(level='low', doubts=('validation',), validation=ValidationFact(right=13, of=30))
    """
    validation = facts.validation
    probability = probability_band(facts.confidence if validation is None else validation.share)
    conflict, stability = facts.band("conflict"), facts.band("stability")
    signs = {
        Doubt.WRONG: facts.correct is False,
        Doubt.VALIDATION: validation is not None and probability != "high",
        Doubt.LOW_CONFIDENCE: validation is None and probability == "low",
        Doubt.MEDIUM_CONFIDENCE: validation is None and probability == "medium",
        Doubt.CONFLICT: conflict == "high",
        Doubt.INSTABILITY: stability == "low",
    }
    doubts = tuple(doubt.value for doubt, present in signs.items() if present)
    return Reliability(_level(doubts, probability, conflict, stability), doubts, validation)


def _level(doubts: Sequence[str], probability: str | None, conflict: str | None, stability: str | None) -> str | None:
    if Doubt.WRONG in doubts or probability == "low" or {Doubt.CONFLICT, Doubt.INSTABILITY} <= set(doubts):
        return "low"
    if probability is None and conflict is None and stability is None:
        return None
    return "medium" if doubts or probability is None or conflict is None else "high"
