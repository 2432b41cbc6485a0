"""How far a prediction can be relied on, as far as the facts tell."""

from dataclasses import dataclass
from enum import StrEnum

from gragr_explain.arguments import check_type
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


_DOUBTS = {
    Doubt.WRONG: "the prediction is wrong",
    Doubt.LOW_CONFIDENCE: "the confidence is low",
    Doubt.MEDIUM_CONFIDENCE: "the confidence is only medium",
    Doubt.CONFLICT: "it pulled against its neighbours",
    Doubt.INSTABILITY: "its neighbours learned in different directions",
}


@dataclass(frozen=True)
class Reliability:
    """How far a prediction can be relied on.

    Attributes:
        level: ``low``, ``medium`` or ``high``, None where nothing is known.
        doubts: why it is not high, gravest first: ``wrong``, where the label is known to be another; ``validation``,
            where the model is wrong too often about the validation nodes most like it; where that is not known,
            ``low confidence`` or ``medium confidence``; ``conflict`` and ``instability``, of its psi.
        validation: how often the model is right about the validation nodes most like it, None where that is not known.
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

    Where that is known, by how often the model is right about the validation nodes most like it in confidence and
    conflict: below 60 % is low, from 80 % on high. Else by the confidence, of which many models have too much: its band
    is lowered to medium by high conflict or low stability, and to low by both, since many nodes have one of them that
    are predicted right; and it is not high where conflict is not known. What is known to be wrong is low. How many
    predictions of each level are right is in ``reports/reliability.md``.

    Args:
        facts: what is known of the prediction.

    Raises:
        InvalidTypeError: If the facts are none.

    Example:
        >>> from gragr_explain.rationale import Facts, ValidationFact
        >>> facts = Facts("node 17", "Theory", 0.97, None, (), None, "self", (), (), validation=ValidationFact(13, 30))
        >>> judge(facts).level, judge(facts).doubts
        ('low', ('validation',))
    """
    check_type("facts", facts, Facts)
    validation, conflict, stability = facts.validation, facts.band("conflict"), facts.band("stability")
    probability = probability_band(facts.confidence if validation is None else validation.share)
    counted = validation is not None and probability == "high"  # with all that speaks against it
    signs = {
        Doubt.WRONG: facts.correct is False,
        Doubt.VALIDATION: validation is not None and probability != "high",
        Doubt.LOW_CONFIDENCE: validation is None and probability == "low",
        Doubt.MEDIUM_CONFIDENCE: validation is None and probability == "medium",
        Doubt.CONFLICT: conflict == "high" and not counted,
        Doubt.INSTABILITY: stability == "low" and not counted,
    }
    doubts = tuple(doubt.value for doubt, present in signs.items() if present)
    if Doubt.WRONG in doubts:
        return Reliability("low", doubts, validation)
    if validation is not None:
        return Reliability(probability, doubts, validation)
    if probability == "low" or {Doubt.CONFLICT, Doubt.INSTABILITY} <= set(doubts):
        return Reliability("low", doubts)
    if probability is None and conflict is None and stability is None:
        return Reliability(None, doubts)
    return Reliability("medium" if doubts or probability is None or conflict is None else "high", doubts)


def reasons(verdict: Reliability) -> list[str]:
    """Say each doubt in words."""
    said = validation_in_words(verdict) or ""
    return [said if doubt == Doubt.VALIDATION else _DOUBTS[Doubt(doubt)] for doubt in verdict.doubts]


def validation_in_words(verdict: Reliability) -> str | None:
    """Say how often the model is right about the validation nodes most like it; ``None`` where that is not known.

    Example:
        >>> from gragr_explain.rationale import ValidationFact
        >>> validation_in_words(Reliability("low", ("validation",), ValidationFact(17, 30)))
        'the model was right about only 17 of the 30 validation nodes most like this one in confidence and conflict'
    """
    found = verdict.validation
    if found is None:
        return None
    only = "only " if Doubt.VALIDATION in verdict.doubts else ""
    few = "none" if found.right == 0 else f"{only}{found.right}"
    which = f"all {found.of}" if found.right == found.of else f"{few} of the {found.of}"
    likeness = "confidence and conflict" if found.conflict else "confidence"
    return f"the model was right about {which} validation nodes most like this one in {likeness}"
