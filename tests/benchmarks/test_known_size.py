"""What the benchmark of known sizes measures, on models of random weights, beside what the page makes of it."""

from __future__ import annotations

import pandas as pd
import pytest
from test_fidelity_ceiling import BACKBONES, case

from benchmarks import known_size
from benchmarks.ceiling import compared
from benchmarks.fidelity._ceiling import SIZES, ceiling


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_set_of_each_size_is_between_the_ranking_and_the_best(backbone):
    problem, instance = case(backbone, 0, 24)
    best = {row["mask"]: row for row in ceiling(problem, instance, instance.predicted, SIZES)}
    found = {
        name: {row["mask"]: row for row in known_size.rows_of(problem, instance, name)}
        for name in known_size.EXPLAINERS
    }
    for size in map(str, SIZES):
        top = best[size]["p_kept"] - best[size]["p_removed"]
        ranking, own = (
            found[name][size]["p_kept"] - found[name][size]["p_removed"] for name in (known_size.ONE, known_size.KNOWN)
        )
        assert ranking - 0.01 <= own <= top + 0.01
        assert len({row[size]["p_full"] for row in found.values()}) == 1
    seconds = [row["seconds"] for row in found[known_size.ONE].values()]
    assert len(set(seconds)) == 1 < len({row["seconds"] for row in found[known_size.KNOWN].values()})


def rows(values: dict[str, float]) -> pd.DataFrame:
    about = {"dataset": "Cora", "backbone": "GCN", "instance": 1, "focus": "model", "p_full": 0.9, "p_removed": 0.1}
    return pd.DataFrame(
        [
            {**about, "mask": str(size), "explainer": name, "p_kept": kept, "seconds": kept}
            for name, kept in values.items()
            for size in SIZES
        ]
    )


def test_the_verdict_is_that_of_the_set():
    best = rows({"best": 0.9}).drop(columns=["explainer", "focus", "p_full", "seconds"])
    own = rows({known_size.ONE: 0.5, known_size.KNOWN: 0.895})
    found = compared(best, own)
    _, text = known_size.verdict(found)
    assert "GCN 50.0, 50.0, 50.0 → **99.4, 99.4, 99.4 %** (goal 99 %: met)" in text
    missed = compared(best, own.assign(p_kept=own.p_kept.where(own["mask"] != "5", 0.5)))
    assert "**99.4, 50.0, 99.4 %** (goal 99 %: missed)" in known_size.verdict(missed)[1]
    costs = known_size.costs(own.assign(level="nodes", edges=own["mask"].astype(int)))
    assert costs[f"{known_size.KNOWN} / {known_size.ONE}"].tolist() == ["1.79"] * 3
