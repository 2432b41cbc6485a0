"""What a rationale may speak of: the facts of one explanation, and the text that came of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gragr_explain.rationale._wording import PLAIN_NAME

BANDS = ("low", "medium", "high")
"""Names of the bands of a psi feature, lowest first."""


@dataclass(frozen=True)
class PsiFact:
    """One of the six psi features of the explained node (eqs. 18-26).

    Attributes:
        name: one of ``conflict``, ``stability``, ``influence``, ``confidence``, ``role``, ``receptiveness``.
        value: the feature, in its own units.
        valid: whether the value means something; where it does not, no text may state it.
        rank: share of the graph's valid nodes with a smaller value, where it is at least 0.5, or 1 less the share of
            those with a larger one, where that is below 0.5; None where too many nodes have the same value for either.
        band: one of :data:`BANDS`, the third of the graph that the rank falls into; but conflict is high only of a node
            that learned against its neighbours' direction, and low of one that learned in it, and stability is low only
            where their directions differ, and high where they are the same.
    """

    name: str
    value: float
    valid: bool
    rank: float | None
    band: str | None


@dataclass(frozen=True)
class NeighbourFact:
    """A neighbour whose edge supports what is explained.

    Attributes:
        name: what a text calls the neighbour: ``node 5``, or its name in the data.
        weight: the weight of its edge in the mask, in (0, 1]; of edges that were searched for, the order counts.
        prediction: the class that the model predicts for it.
    """

    name: str
    weight: float
    prediction: str | None


@dataclass(frozen=True)
class FeatureFact:
    """An input feature that supports the prediction, with its importance in (0, 1]."""

    name: str
    weight: float


@dataclass(frozen=True)
class ChangeFact:
    """What the model predicts of a graph without the connections that support a prediction most, measured.

    Attributes:
        removed: how many of the strongest supporting connections (edges between two nodes) were taken away, at least 1.
        prediction: the class that the model then predicts.
        confidence: the probability of that class.
    """

    removed: int
    prediction: str
    confidence: float


@dataclass(frozen=True)
class ValidationFact:
    """How often a model is right about the validation nodes most like one.

    Attributes:
        right: about how many of them it is right.
        of: how many there are, at least 1.
        conflict: whether they are like it in conflict, too, and not in confidence alone.
    """

    right: int
    of: int
    conflict: bool = True

    @property
    def share(self) -> float:
        """The share about which it is right: how probably the prediction is right, as far as that can be measured."""
        return self.right / self.of


@dataclass(frozen=True)
class Facts:
    """Everything that a rationale may state about one prediction.

    Attributes:
        subject: what was predicted: ``node 17``, ``graph 3``, ``link 3-7`` between two nodes, ``edge 4`` where they are
            not known, or the name of a node.
        prediction: a class name, or a formatted number for regression.
        confidence: probability of the predicted class, or None for regression.
        label: the true class or value, where it is known.
        psi: the six features in the order of eq. 15; all of them may be invalid.
        role: ``hub``, ``bridge``, ``follower`` or ``outlier``, or None where it is undefined.
        source: where psi comes from: ``self``, ``training`` or ``post hoc``.
        neighbours: the neighbours that support the prediction, strongest first.
        features: the features that support the prediction, strongest first.
        change: the prediction without its strongest supporting connections, or None where it was not measured.
        explained: the class that neighbours and features support, where it is another than the prediction: the label of
            a wrong prediction, where a phenomenon is explained.
        validation: how often the model is right about validation nodes like it, or None where that is not known.

    Example:
        >>> facts = Facts("node 17", "Theory", 0.5, "Theory", (), None, "self", (), ())
        >>> facts.kind, facts.correct, facts.valid_psi("conflict")
        ('node', True, None)
    """

    subject: str
    prediction: str
    confidence: float | None
    label: str | None
    psi: tuple[PsiFact, ...]
    role: str | None
    source: str
    neighbours: tuple[NeighbourFact, ...]
    features: tuple[FeatureFact, ...]
    change: ChangeFact | None = None
    explained: str | None = None
    validation: ValidationFact | None = None

    def valid_psi(self, name: str) -> PsiFact | None:
        """Return the psi feature ``name`` where it means something, else None."""
        return next((fact for fact in self.psi if fact.name == name and fact.valid), None)

    def band(self, name: str) -> str | None:
        """Return the band of the psi feature ``name``, or None where it is undefined."""
        fact = self.valid_psi(name)
        return fact.band if fact else None

    @property
    def kind(self) -> str:
        """What was predicted: ``node``, ``graph`` or ``edge``."""
        kind = self.subject.partition(" ")[0] if PLAIN_NAME.fullmatch(self.subject) else "node"
        return {"graph": "graph", "edge": "edge", "link": "edge"}.get(kind, "node")

    @property
    def known_role(self) -> str | None:
        """The role, or None where psi says that it is undefined."""
        return self.role if self.valid_psi("role") else None

    @property
    def correct(self) -> bool | None:
        """Whether a predicted class is the true one; None where no label is known, and for regression."""
        return None if self.label is None or self.confidence is None else self.prediction == self.label

    @property
    def changed(self) -> bool | None:
        """Whether another class is predicted without the strongest connections; None where that was not measured."""
        return None if self.change is None else self.change.prediction != self.prediction


@dataclass(frozen=True)
class Rationale:
    """The text of an explanation (eq. 17) and where it came from.

    Attributes:
        text: what to show.
        writer: who wrote ``text``: ``template`` or ``llm``.
        replaced: True where a language model's text was unusable, so that ``text`` is the template's.
        problems: what was wrong with the language model's text, or what had to be left out for it.
    """

    text: str
    writer: str
    replaced: bool
    problems: tuple[str, ...]


Writer: TypeAlias = Callable[[Sequence[Facts]], list[Rationale]]
"""Writes one rationale for each of the facts, in their order."""
