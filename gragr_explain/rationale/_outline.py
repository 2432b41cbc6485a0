"""What the wording of a rationale depends on, without a single name or number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gragr_explain.rationale._facts import Facts, FeatureFact, NeighbourFact
from gragr_explain.rationale._reliability import judge, probability_band
from gragr_explain.rationale._wording import TITLES

Fact = TypeVar("Fact", NeighbourFact, FeatureFact)
_MOST_NAMED = 3  # neighbours and features named in a text
_WORTH_NAMING = 0.05  # of the weight of the strongest
_TELLING = ("influence", "confidence", "receptiveness")  # one of these is told, beside conflict, stability and role


@dataclass(frozen=True)
class Outline:
    """What the wording of a rationale depends on.

    Attributes:
        subject: ``node``, or ``whole`` for a graph or an edge, which have no neighbours of their own.
        outcome: ``right``, ``wrong``, or ``open`` where no label is known; for regression ``valued`` where the true
            value is known, else ``value``.
        sure: the band of the confidence, or None for regression.
        near: for each neighbour worth naming, whether its own prediction is the ``same``, ``other`` or ``unknown``.
        features: how many features are worth naming.
        change: whether the prediction ``holds`` without its strongest connections, ``flips`` to another class, or
            ``corrects`` itself to the true one; ``unmeasured`` where that is not known.
        removed: whether ``one`` or ``several`` connections were taken away for that.
        psi: the band of each psi feature, or ``unknown``; the role for ``role``. What has no psi, has none.
        validation: the band of the share of the validation nodes like it about which the model is right, or None where
            that is not known.
        trial: whether psi is from a trial step on the finished model, not from its training.
        tell: the psi feature beside conflict, stability and role that is furthest from typical, or ``none``.
        unknown: whether ``one``, ``several`` or ``all`` of the psi features are unknown, or ``none``.
        reliability: the package's verdict, or ``unknown``.
        doubts: what speaks against relying on the prediction, gravest first.
    """

    subject: str
    outcome: str
    sure: str | None
    near: tuple[str, ...]
    features: int
    change: str
    removed: str
    psi: tuple[tuple[str, str], ...]
    validation: str | None
    trial: bool
    tell: str
    unknown: str
    reliability: str
    doubts: tuple[str, ...]

    def words(self) -> Iterator[str]:
        """Yield the outline as words that a language model reads, one for each thing known."""
        yield from (self.subject, self.outcome)
        yield from [f"sure:{self.sure}"] if self.sure else []
        yield from (f"near{rank}:{kind}" for rank, kind in enumerate(self.near, start=1))
        yield f"features:{self.features}"
        yield f"change:{self.change}"
        yield from [f"removed:{self.removed}"] if self.change != "unmeasured" else []
        yield from (f"{name}:{band}" for name, band in self.psi)
        yield from [f"validation:{self.validation}"] if self.validation else []
        yield from ["trial"] if self.trial else []
        yield ":".join(["tell", self.tell, *(band for name, band in self.psi if name == self.tell)])
        yield f"unknown:{self.unknown}"
        yield f"reliability:{self.reliability}"
        yield from (f"doubt:{doubt}" for doubt in self.doubts)


def outline_of(facts: Facts) -> Outline:
    """Return what the wording of a rationale of these facts depends on."""
    psi = dict(_psi(facts)) if facts.psi else {}
    unknown = sum(band == "unknown" for band in psi.values())
    verdict = judge(facts)
    return Outline(
        subject="node" if facts.kind == "node" else "whole",
        outcome=_outcome(facts),
        sure=probability_band(facts.confidence),
        near=tuple(_agreement(each, facts) for each in worth_naming(facts.neighbours)),
        features=len(worth_naming(facts.features)),
        change=_change(facts),
        removed="one" if facts.change is not None and facts.change.removed == 1 else "several",
        psi=tuple(psi.items()),
        validation=probability_band(None if verdict.validation is None else verdict.validation.share),
        trial=bool(psi) and facts.source == "post hoc",
        tell=_most_telling(facts, psi),
        unknown={0: "none", len(TITLES): "all", 1: "one"}.get(unknown, "several"),
        reliability=verdict.level or "unknown",
        doubts=tuple(doubt.replace(" ", "_") for doubt in verdict.doubts),
    )


def worth_naming(found: Sequence[Fact]) -> Sequence[Fact]:
    """Return the neighbours or features that a text names: the strongest three, if not far weaker than the first."""
    return [each for each in found[:_MOST_NAMED] if each.weight >= _WORTH_NAMING * found[0].weight]


def unknown_titles(facts: Facts) -> list[str]:
    """Return what the psi features that are undefined are called."""
    return [TITLES[name] for name, band in _psi(facts) if band == "unknown"]


def _psi(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the band of each psi feature; a valid one without a band has nothing to be said in words."""
    for name in TITLES:
        known = facts.valid_psi(name) is not None and (name != "role" or facts.role is not None)
        band = facts.known_role if name == "role" else facts.band(name)
        if not known or band is not None:
            yield name, (band or "unknown") if known else "unknown"


def _outcome(facts: Facts) -> str:
    if facts.confidence is None:
        return "value" if facts.label is None else "valued"
    return {True: "right", False: "wrong", None: "open"}[facts.correct]


def _agreement(neighbour: NeighbourFact, facts: Facts) -> str:
    if neighbour.prediction is None:
        return "unknown"
    return "same" if neighbour.prediction == facts.prediction else "other"


def _change(facts: Facts) -> str:
    if facts.change is None:
        return "unmeasured"
    if not facts.changed:
        return "holds"
    return "corrects" if facts.change.prediction == facts.label else "flips"


def _most_telling(facts: Facts, psi: dict[str, str]) -> str:
    distances = {}
    for name in _TELLING:
        fact = facts.valid_psi(name)
        if fact is not None and fact.rank is not None and psi.get(name) in ("low", "high"):
            distances[name] = abs(fact.rank - 0.5)
    return max(distances, key=lambda name: distances[name]) if distances else "none"
