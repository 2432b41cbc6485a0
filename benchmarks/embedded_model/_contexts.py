"""Facts that nobody observed, for a model to learn from: everything in them is drawn by chance."""

from __future__ import annotations

from random import Random

from gragr_explain.rationale import BANDS, ChangeFact, Facts, FeatureFact, NeighbourFact, PsiFact, ValidationFact

PSI = ("conflict", "stability", "influence", "confidence", "role", "receptiveness")
ROLES = {2.0: "hub", 1.5: "bridge", 1.0: "follower", 0.5: "outlier"}
_SYLLABLES = ("ba", "co", "di", "fe", "gu", "ha", "ki", "lo", "mi", "nu", "pa", "re", "so", "ti", "vu", "za")


def random_facts(draw: Random) -> Facts:
    """Facts of one prediction, of any kind that the package can explain."""
    regression = draw.random() < 0.04
    whole = regression or draw.random() < 0.1
    classes = [_name(draw) for _ in range(draw.randint(2, 9))]
    number = f"{draw.uniform(-50, 50):.4g}"
    prediction = number if regression else draw.choice(classes)
    label = None if draw.random() < 0.2 else number if regression else _label(draw, classes, prediction)
    psi = () if whole and draw.random() < 0.8 else _psi(draw)
    known_role = psi and psi[PSI.index("role")].valid
    neighbours = _neighbours(draw, classes, prediction, whole)
    return Facts(
        subject=f"{draw.choice(('graph', 'edge')) if whole else 'node'} {draw.randint(0, 99_999)}",
        prediction=prediction,
        confidence=None
        if regression
        else draw.choice((draw.uniform(0.12, 0.6), draw.uniform(0.6, 0.8), draw.uniform(0.8, 1))),
        label=label,
        psi=psi,
        role=ROLES[psi[PSI.index("role")].value] if known_role else None,
        source=draw.choice(("self", "self", "training", "post hoc")),
        neighbours=neighbours,
        features=tuple(FeatureFact(_feature(draw), weight) for weight in _weights(draw)),
        change=None
        if regression or draw.random() < (0.2 if neighbours else 0.5)
        else _change(draw, classes, prediction, label),
        validation=None if whole or draw.random() < 0.4 else _validation(draw),
    )


def _name(draw: Random) -> str:
    word = "".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4)))
    return draw.choice(
        (word, word.title(), f"class {draw.randint(0, 99)}", str(draw.randint(0, 99)), f"{word} {word[::-1]}")
    )


def _feature(draw: Random) -> str:
    return draw.choice((f"feature {draw.randint(0, 9_999)}", f"pixel {draw.randint(0, 999)}", _name(draw)))


def _label(draw: Random, classes: list[str], prediction: str) -> str:
    return prediction if draw.random() < 0.5 else draw.choice(classes)


def _weights(draw: Random) -> list[float]:
    """Weights as masks give them: falling from 1, now and then so fast that only the first is worth naming."""
    falling = draw.choice((0.02, 0.6, 0.9))
    return [falling**rank * draw.uniform(0.7, 1) for rank in range(draw.randint(0, 5))]


def _neighbours(draw: Random, classes: list[str], prediction: str, whole: bool) -> tuple[NeighbourFact, ...]:
    same = draw.choice((0.0, 0.5, 0.9, 1.0))
    numbers = draw.sample(range(99_999), 5)
    found = []
    for number, weight in zip(numbers, sorted(_weights(draw), reverse=True), strict=False):
        predicted = None if whole else prediction if draw.random() < same else draw.choice(classes)
        found.append(NeighbourFact(f"node {number}", weight, predicted))
    return tuple(found)


def _psi(draw: Random) -> tuple[PsiFact, ...]:
    """All known, some unknown, none known, or all but stability, as where there is only one neighbour."""
    share, one_neighbour = draw.choice((1.0, 1.0, 1.0, 0.7, 0.7, 0.0)), draw.random() < 0.2
    facts = []
    for name in PSI:
        valid, rank = draw.random() < share and not (one_neighbour and name == "stability"), draw.random()
        value = draw.choice(sorted(ROLES)) if name == "role" else draw.choice((1, -1)) * 10 ** draw.uniform(-4, 3)
        band = BANDS[min(int(3 * rank), 2)]
        facts.append(PsiFact(name, value, valid, rank if valid else None, band if valid else None))
    return tuple(facts)


def _validation(draw: Random) -> ValidationFact:
    of = draw.choice((30, draw.randint(10, 30)))
    share = draw.choice((draw.uniform(0, 0.6), draw.uniform(0.6, 0.8), draw.uniform(0.8, 1)))
    return ValidationFact(round(share * of), of)


def _change(draw: Random, classes: list[str], prediction: str, label: str | None) -> ChangeFact:
    then = draw.choice((prediction, draw.choice(classes), label or prediction))
    return ChangeFact(draw.choice((1, 2, 3, 5, 10)), then, draw.uniform(0.1, 1))
