"""Rationales from sentences that are fixed: the same facts always give the same text."""

from collections.abc import Sequence

from gragr_explain.rationale._facts import BANDS, Facts, PsiFact, Rationale
from gragr_explain.rationale._outline import unknown_titles, worth_naming
from gragr_explain.rationale._reliability import Doubt, Reliability, judge, reasons, validation_in_words
from gragr_explain.rationale._wording import (
    TITLES,
    clean_name,
    join_words,
    show_name,
    show_number,
    show_percent,
)

# What each band of a psi feature means, low to high, for a reader who has never heard of a gradient.
_MEANINGS = {
    "conflict": [f"it {how} pulled against its neighbours" for how in ("hardly", "partly", "strongly")],
    "stability": [f"its neighbours {how} learned in the same direction" for how in ("hardly", "partly", "mostly")],
    "influence": [f"its learning signal {how} spread through the graph" for how in ("hardly", "partly", "strongly")],
    "confidence": [
        f"the model's confidence around it was a {how} guide to what was learned already"
        for how in ("weak", "moderate", "strong")
    ],
    "receptiveness": [f"it would {how} gain from a correction" for how in ("hardly", "moderately", "strongly")],
}
_ROLES = {
    "hub": "a hub, with many connections and much still to learn",
    "bridge": "a bridge, between groups that learned different things",
    "follower": "a follower, which mostly did what was done around it",
    "outlier": "an outlier, which played no particular part",
}


class TemplateWriter:
    """Write rationales from a template: deterministic, in plain words, and only what is valid.

    A text says what was predicted and how confidently, which neighbours and features mattered, what would change the
    prediction, what psi tells in the words of its bands (conflict, stability and role, and of the others the one that
    is furthest from typical), how far all of this can be relied on, and, where there is reason for doubt, what to do.
    What is not known is said to be unknown: an undefined psi entry, whether a prediction is right, what changes it.

    Example:
        >>> from gragr_explain.rationale import Facts, TemplateWriter
        >>> facts = Facts("node 17", "Theory", 0.5, None, (), None, "self", (), ())
        >>> [rationale] = TemplateWriter()([facts])
        >>> rationale.text.split("; ")[0]
        'Node 17 is predicted as "Theory" with a confidence of 50%'
    """

    def __call__(self, facts: Sequence[Facts]) -> list[Rationale]:
        """Write one rationale for each of ``facts``."""
        return [Rationale(write(each), writer="template", replaced=False, problems=()) for each in facts]


def write(facts: Facts) -> str:
    """Write the text of one rationale, four to seven sentences."""
    evidence, verdict = [_prediction(facts), _support(facts), _change(facts)], judge(facts)
    sentences = [*evidence, *_learning(facts), _reliability(facts, verdict), _action(facts, verdict.doubts)]
    return " ".join(_capitalise(sentence) + "." for sentence in sentences if sentence)


def _prediction(facts: Facts) -> str:
    subject = show_name(facts.subject)
    if facts.confidence is None:
        said = f"{subject} is predicted to have the value {clean_name(facts.prediction)}"
        return f"{said}, and its true value is {clean_name(facts.label)}" if facts.label is not None else said
    said = f"{subject} is predicted as {show_name(facts.prediction)}"
    said += f" with a confidence of {show_percent(facts.confidence)}"
    if facts.label is None:
        return f"{said}; whether that is right is not known, as no true label was given"
    verdict = "correct" if facts.correct else "wrong"
    return f"{said}, which is {verdict}: its true label is {show_name(facts.label)}"


def _support(facts: Facts) -> str:
    neighbours = [
        f"{show_name(each.name)} (weight {show_number(each.weight)}"
        + (f", predicted as {show_name(each.prediction)})" if each.prediction is not None else ")")
        for each in worth_naming(facts.neighbours)
    ]
    features = [f"{show_name(each.name)} (weight {show_number(each.weight)})" for each in worth_naming(facts.features)]
    whose = "its neighbourhood, above all" if facts.kind == "node" else "the graph, above all"
    other = None if facts.explained is None else show_name(facts.explained)
    parts = []
    if neighbours:
        what = "support" if other is None else f"what speaks for {other}"
        parts.append(f"{what} comes from {whose} {join_words(neighbours)}")
    if features:
        which = "that count most" if other is None else f"that speak most for {other}"
        parts.append(f"the input features {which} are {join_words(features)}")
    nothing = "its support" if other is None else f"support of {other}"
    return "; ".join(parts) or f"no connection and no input feature stands out as {nothing}"


def _change(facts: Facts) -> str:
    """Say what the prediction is without its strongest connections."""
    change = facts.change
    if change is None:
        unsupported = facts.confidence is not None and facts.explained is None and not facts.neighbours
        why = "as no connection supports it, " if unsupported else ""
        return f"{why}what would change this prediction was not measured"
    gone = "strongest connection" if change.removed == 1 else f"{change.removed} strongest connections"
    other = f"{show_name(change.prediction)} ({show_percent(change.confidence)})"
    if not facts.changed:
        return f"even without its {gone}, it would still be predicted as {other}"
    right = ", which is its true label" if change.prediction == facts.label else ""
    return f"without its {gone}, it would be predicted as {other}{right}"


def _learning(facts: Facts) -> list[str]:
    """Say what psi tells: conflict and stability, what else stands out most, the role, and what is unknown.

    Nothing of what has no psi, such as a graph.
    """
    if not facts.psi:
        return []
    recorded = facts.source != "post hoc"
    when = "while the model learned" if recorded else "in a trial learning step, as training was not recorded"
    known = {fact.name: fact for fact in facts.psi if fact.valid}
    first = [_meaning(known[name]) for name in ("conflict", "stability") if name in known]
    others = [known[name] for name in ("influence", "confidence", "receptiveness") if name in known]
    telling = [fact for fact in others if fact.band != "medium"] if first else others
    rest = [_meaning(max(telling, key=_distance_from_typical))] if telling else []
    if facts.known_role:
        rest.append(f"its role was that of {_ROLES.get(facts.known_role, facts.known_role)}")
    unknown = unknown_titles(facts)
    if facts.confidence is None and len(unknown) < len(TITLES):  # a regression has none
        unknown = [title for title in unknown if title != TITLES["confidence"]]
    sentences = [f"{when}, {join_words(first)}"] if first else []
    if rest:
        sentences.append("; ".join(rest) if first else f"{when}, {'; '.join(rest)}")
    if len(unknown) == len(TITLES):
        why = "nothing was learned from it" + ("" if facts.neighbours else ", or it has no neighbours")
        return [f"how it was learned is not known, as {why}"]
    if unknown:
        verb = "is" if len(unknown) == 1 else "are"
        sentences[-1] += f"; its {join_words(unknown)} {verb} not known, as too little was learned around it"
    return sentences


def _distance_from_typical(fact: PsiFact) -> float:
    return 0.0 if fact.rank is None else abs(fact.rank - 0.5)


def _meaning(fact: PsiFact) -> str:
    title = f"{TITLES[fact.name]} {show_number(fact.value)}"
    if fact.band is None:
        return f"it had a {title}"
    place = ""
    if fact.rank is not None:
        above = fact.rank >= 0.5
        place = f", {'above' if above else 'below'} {show_percent(fact.rank if above else 1 - fact.rank)} of the nodes"
    return f"{_MEANINGS[fact.name][BANDS.index(fact.band)]} ({title}: {fact.band}{place})"


def _reliability(facts: Facts, verdict: Reliability) -> str:
    if verdict.level is None:
        return "the reliability of this prediction is not known"
    validation = validation_in_words(verdict)
    if verdict.doubts:
        said = f"its reliability is {verdict.level}, because {join_words(reasons(verdict))}"
        return f"{said}, although {validation}" if validation and Doubt.VALIDATION not in verdict.doubts else said
    if validation:
        return f"its reliability is {verdict.level}, because {validation}"
    if verdict.level == "high":
        return "its reliability is high, because neither its confidence nor how it was learned gives reason for doubt"
    unknown = "how it was learned" if facts.band("conflict") is None else "how sure the model is"
    return f"its reliability is {verdict.level}: nothing speaks against it, but {unknown} is not fully known"


def _action(facts: Facts, doubts: Sequence[str]) -> str:
    if not doubts:
        return ""
    strongest = show_name(facts.neighbours[0].name) if facts.neighbours else None
    if Doubt.WRONG in doubts:
        advice = "check whether its true label holds, and if it does, correct this prediction"
        advice += f", with a look at {strongest} first" if strongest else ""
    elif Doubt.CONFLICT in doubts or Doubt.INSTABILITY in doubts:
        where = f"its connections, {strongest} first," if strongest else "its connections"
        advice = f"check its label and {where} before acting on this prediction"
    else:
        what = f"it, and at {strongest}," if strongest else "it"
        advice = f"let a person look at {what} before acting on this prediction"
    return f"suggested action: {advice}"


def _capitalise(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
