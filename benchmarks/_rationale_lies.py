"""A liar, and how often the check of a text catches it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from gragr_explain import LLMWriter
from gragr_explain.rationale import BANDS, Facts, PsiFact, check_grounding
from gragr_explain.rationale._outline import Outline, outline_of
from gragr_explain.rationale._slots import fill_slots

Fits = Callable[[Outline], bool]
"""Whether a sentence is a lie, or true, about an outline."""


def _other(draw: Random, options: Sequence[str], than: str | None) -> str:
    return draw.choice([option for option in options if option != than])


def _lie_number(facts: Facts, draw: Random) -> Facts:
    """Another weight, confidence, psi or confidence after the change."""
    lies: list[Callable[[], Facts]] = []
    if facts.confidence is not None:
        low, high = next(span for span in ((0.0, 0.6), (0.6, 0.8), (0.8, 1.0)) if facts.confidence <= span[1])
        other = low + (0.25 if facts.confidence > (low + high) / 2 else 0.75) * (high - low)  # of the same band
        lies.append(lambda: replace(facts, confidence=other))
    if facts.neighbours:
        first, *rest = facts.neighbours
        lies.append(lambda: replace(facts, neighbours=(replace(first, weight=first.weight * 0.7), *rest)))
    if facts.features:
        best, *others = facts.features
        lies.append(lambda: replace(facts, features=(replace(best, weight=best.weight * 0.7), *others)))
    if facts.valid_psi("conflict"):
        lies.append(lambda: _with_psi(facts, "conflict", lambda fact: replace(fact, value=fact.value * 1.7 + 0.1)))
    return draw.choice(lies)() if lies else facts


def _with_psi(facts: Facts, name: str, change: Callable[[PsiFact], PsiFact]) -> Facts:
    return replace(facts, psi=tuple(change(fact) if fact.name == name and fact.valid else fact for fact in facts.psi))


def _lie_band(facts: Facts, draw: Random) -> Facts:
    name = draw.choice(("conflict", "stability"))
    return _with_psi(facts, name, lambda fact: replace(fact, band=_other(draw, BANDS, fact.band)))


def _lie_role(facts: Facts, draw: Random) -> Facts:
    return (
        replace(facts, role=_other(draw, ("hub", "bridge", "follower", "outlier"), facts.role)) if facts.role else facts
    )


def _lie_class(facts: Facts, draw: Random) -> Facts:
    seen = {facts.prediction, facts.label, *(each.prediction for each in facts.neighbours)} - {None}
    return replace(facts, prediction=_other(draw, [*sorted(map(str, seen)), "class 99", "class 100"], facts.prediction))


def _lie_neighbour(facts: Facts, draw: Random) -> Facts:
    if not facts.neighbours:
        return facts
    first, *rest = facts.neighbours
    return replace(facts, neighbours=(replace(first, name=f"node {draw.randint(10**6, 10**7)}"), *rest))


def _lie_feature(facts: Facts, draw: Random) -> Facts:
    if not facts.features:
        return facts
    first, *rest = facts.features
    return replace(facts, features=(replace(first, name=f"feature {draw.randint(10**6, 10**7)}"), *rest))


def _lie_correctness(facts: Facts, draw: Random) -> Facts:
    return replace(facts, label="class 99" if facts.correct else facts.prediction)


def _lie_change(facts: Facts, draw: Random) -> Facts:
    if facts.change is None:
        return facts
    then = "class 99" if not facts.changed else facts.prediction
    return replace(facts, change=replace(facts.change, prediction=then))


def _lie_validation(facts: Facts, draw: Random) -> Facts:
    if facts.validation is None:
        return facts
    other = facts.validation.right + (1 if facts.validation.right < facts.validation.of else -1)
    return replace(facts, validation=replace(facts.validation, right=other))


def _lie_unknown(facts: Facts, draw: Random) -> Facts:
    name = draw.choice(("conflict", "stability"))
    return _with_psi(facts, name, lambda fact: PsiFact(name, 0.0, False, None, None))


LIES: dict[str, Callable[[Facts, Random], Facts]] = {
    "number": _lie_number,
    "band": _lie_band,
    "role": _lie_role,
    "class": _lie_class,
    "neighbour": _lie_neighbour,
    "feature": _lie_feature,
    "correct or wrong": _lie_correctness,
    "what would change it": _lie_change,
    "validation nodes": _lie_validation,
    "known as unknown": _lie_unknown,
}
INVENTED_CAUSES = (
    "This is because its author is famous.",
    "The reason is a typing error in its title.",
    "It was added to the graph only last year, which explains the answer.",
    "The model has a bias for this class.",
    "Somebody must have tampered with its connections.",
    "It is the oldest member of its community.",
    "The training data were collected in a hurry.",
    "Its picture was taken in bad light.",
)


def _turns(outline: Outline) -> bool:
    return outline.change in ("flips", "corrects") and outline.removed == "several"


def _holds(outline: Outline) -> bool:
    return outline.change == "holds" and outline.removed == "several"


_IS = "<subject> is a <prediction>"
OTHER_WORDS: dict[str, list[tuple[str, Fits]]] = {  # none of them was used to write the check
    "band, in other words": [
        (f"{_IS}. It fought its surroundings all the way.", lambda o: _psi(o, "conflict") == "low"),
        (f"{_IS}. It went along with everybody around it.", lambda o: _psi(o, "conflict") == "high"),
        (f"{_IS}. Nobody around it agreed on where to go.", lambda o: _psi(o, "stability") == "high"),
        (f"{_IS}. Everyone around it moved as a block.", lambda o: _psi(o, "stability") == "low"),
        (f"{_IS}. The model barely hesitated.", lambda o: o.sure == "low"),
        (f"{_IS}. It was close to a coin toss.", lambda o: o.sure == "high"),
        (f"{_IS}. This is as good as settled.", lambda o: o.reliability == "low"),
        (f"{_IS}. Take this with a pinch of salt.", lambda o: o.reliability == "high"),
    ],
    "correct or wrong, in other words": [
        (f"{_IS}, and the records bear that out.", lambda o: o.outcome == "wrong"),
        ("The model hit the mark with <subject>: <prediction>.", lambda o: o.outcome == "wrong"),
        ("The model calls <subject> a <prediction>, which it is.", lambda o: o.outcome == "wrong"),
        ("The model was fooled by <subject>, which it called <prediction>.", lambda o: o.outcome == "right"),
        ("The model called <subject> a <prediction>, which it is not.", lambda o: o.outcome == "right"),
        ("The model's <prediction> for <subject> misses the mark.", lambda o: o.outcome == "right"),
    ],
    "what would change it, in other words": [
        (f"{_IS}. It would take more than its strongest connections to sway the model.", _turns),
        (f"{_IS}. The model says so with or without its strongest connections.", _turns),
        (f"{_IS}. Everything hangs by its strongest connections.", _holds),
        (f"{_IS}. Snip a few edges, and the model changes its mind.", _holds),
    ],
}
_SAYS = "The model answers <prediction>"
TRUTHS: list[tuple[str, Fits]] = [  # other words too, and true
    ("<subject> is taken for <prediction> with <confidence> confidence.", lambda o: o.sure is not None),
    ("The model says <prediction>, and it is right.", lambda o: o.outcome == "right"),
    ("The model says <prediction>, but the true label is <label>.", lambda o: o.outcome == "wrong"),
    (f"{_SAYS}. The strongest support is <near1>, at <weight1>.", lambda o: bool(o.near)),
    (f"{_SAYS}. <feature1> helped most, with a weight of <share1>.", lambda o: o.features > 0),
    (f"{_SAYS}. It clashed with its neighbours while learning.", lambda o: _psi(o, "conflict") == "high"),
    (f"{_SAYS}. Conflict with its neighbours was low, <place_conflict>.", lambda o: _psi(o, "conflict") == "low"),
    (f"{_SAYS}. Its neighbours were coherent in what they learned.", lambda o: _psi(o, "stability") == "high"),
    (f"{_SAYS}. Its surroundings were unstable in training.", lambda o: _psi(o, "stability") == "low"),
    (f"{_SAYS}. It is one of the graph's hubs.", lambda o: _psi(o, "role") == "hub"),
    (f"{_SAYS}. It was an outlier in how it learned.", lambda o: _psi(o, "role") == "outlier"),
    (f"{_SAYS}. I would not rely on this.", lambda o: o.reliability == "low"),
    (f"{_SAYS}. The model is unsure.", lambda o: o.sure == "low"),
    (f"{_SAYS}. What its true label is, is not known.", lambda o: o.outcome == "open"),
    (f"{_SAYS}. Cut its strongest connections and it becomes <changed>.", _turns),
    (f"{_SAYS}, and would still do so without its strongest connections.", _holds),
]


def _psi(outline: Outline, name: str) -> str | None:
    return dict(outline.psi).get(name)


@dataclass
class Caught:
    """How often each kind of lie was told, and how often it was caught."""

    told: Counter[str]
    caught: Counter[str]

    def tell(self, kind: str, text: str, facts: Facts) -> None:
        self.told[kind] += 1
        self.caught[kind] += bool(check_grounding(text, facts))


def lies_of(writer: LLMWriter, contexts: list[Facts], truths: list[str]) -> Caught:
    """Let the embedded model describe facts of which one was changed: then it lies about the true ones."""
    caught, draw = Caught(Counter(), Counter()), Random(0)
    for kind, lie in LIES.items():
        false = [lie(facts, draw) for facts in contexts]
        for facts, truth, raw, changed in zip(contexts, truths, answers(writer, false), false, strict=True):
            text, empty = fill_slots(raw, changed)
            if text != truth and not empty and changed != facts:  # else the text does not speak of it
                caught.tell(kind, text, facts)
    for number, (facts, truth) in enumerate(zip(contexts, truths, strict=True)):
        caught.tell("invented cause", f"{truth} {INVENTED_CAUSES[number % len(INVENTED_CAUSES)]}", facts)
        outline = outline_of(facts)
        for kind, sayings in OTHER_WORDS.items():
            for text, is_lie in sayings:
                if is_lie(outline) and facts.confidence is not None:
                    caught.tell(kind, fill_slots(text, facts)[0], facts)
    return caught


def answers(writer: LLMWriter, contexts: Sequence[Facts]) -> list[str]:
    """What the model writes before anything is filled in or checked."""
    prompts = [writer._dialect.prompt(facts).tokens for facts in contexts]
    return [answer.text for answer in writer._decode(prompts)]
