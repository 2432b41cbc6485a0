"""What a doubt is said to rest on, of evidence that is made up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gragr_explain.audit._evidence import NAMES, Outside
from gragr_explain.audit._facts import Facts
from gragr_explain.audit._reasons import reasons
from gragr_explain.audit._run import Run
from gragr_explain.field import GraphOperator

SAID = {
    "held_out": "models that never saw its label say red 10%, green 90%",
    "held_out_margin": "models that never saw its label say red 10%, green 90%",
    "without_edges": "by its features alone, red 20%, green 80%",
    "without_edges_margin": "by its features alone, red 20%, green 80%",
    "neighbour_labels": "only 2 of its 3 labelled neighbours are red, 1 green",
    "two_step_labels": "by the labels two steps away, red 30%, green 70%",
    "neighbour_predictions": "its neighbours are predicted red 40%, green 60%",
    "nearest_labels": "nodes that look like it to the model are labelled red only 60%, green 40%",
    "confidence": "over the training, the model said red 25%, green 75%",
    "margin": "over the training, the model said red 25%, green 75%",
    "early_margin": "over the training, the model said red 25%, green 75%",
    "final_margin": "over the training, the model said red 25%, green 75%",
    "turned": "in 2 of 2 looks at the training, the model predicted another class",
    "norm": "its gradient was 1.5 times the mean",
    "persistence": "the cosine of its gradient with that of the step before was -0.25",
    "training_agreement": "the cosine of its gradient with its neighbours' was -0.50",
    "self_agreement": "the cosine of its gradient with its neighbours' was 0.75",
    "training_conflict": "its psi conflict is above that of 83% of the nodes",
    "self_conflict": "its psi conflict is above that of 17% of the nodes",
}


@pytest.fixture
def facts() -> Facts:
    """Node 0, labelled red, with three neighbours; node 4 with one, and node 5 with none."""
    shares = {name: torch.tensor([[own, 1 - own, 0.0]]).expand(6, 3) for name, own in _SHARES.items()}
    run = Run(
        looks=shares["looks"].expand(2, 6, 3),
        log_probs=shares["looks"].log(),
        around=shares["around"],
        nearest=shares["nearest"],
        margin=torch.zeros(4, 6),
        norm=torch.full((6,), 1.5),
        persistence=torch.full((6,), -0.25),
        agreement=torch.tensor([[-0.5], [0.75]]).expand(2, 6),
        conflict=torch.tensor([[3.0, 2, 1, torch.nan, torch.nan, torch.nan], [1.0, 2, 3, torch.nan, torch.nan, 4]]),
        psi=torch.zeros(6, 6),
    )
    run.conflict[1, 5] = torch.nan
    outside = Outside(shares["held_out"], shares["bare"], shares["far"], shares["far"])
    edge_index = torch.tensor([[0, 0, 0, 4], [1, 2, 3, 3]])
    graph = GraphOperator(torch.cat([edge_index, edge_index.flip(0)], dim=1), 6)
    y = torch.tensor([0, 0, 0, 1, 0, 0])
    return Facts(run, outside, graph, y, torch.ones(6, dtype=torch.bool), ["red", "green", "blue"], y)


_SHARES = {"looks": 0.25, "around": 0.4, "nearest": 0.6, "held_out": 0.1, "bare": 0.2, "far": 0.3}


def contributions(**given: float) -> np.ndarray:
    return np.array([given.get(name, 0.0) for name in NAMES])


@pytest.mark.parametrize("name", NAMES)
def test_of_each_kind_of_evidence_it_says_what_that_is(facts, name):
    """And not what another one on the same theme would be, which may speak the other way."""
    assert reasons(facts, 0, 1, contributions(**{name: 2.0})) == ([SAID[name]] if name in SAID else [])


def test_of_a_theme_the_strongest_is_said_if_all_of_it_speaks_against(facts):
    assert reasons(facts, 0, 1, contributions(neighbour_labels=-3, two_step_labels=2)) == []
    found = reasons(facts, 0, 1, contributions(neighbour_labels=-1, two_step_labels=2, norm=0.5, held_out=0.2))
    assert found == [SAID["two_step_labels"], SAID["norm"]]


def test_one_neighbour_is_not_counted(facts):
    assert reasons(facts, 4, 1, contributions(neighbour_labels=2)) == ["its one labelled neighbour is green"]
    assert reasons(facts, 5, 1, contributions(neighbour_labels=2)) == []


def test_neighbours_of_a_third_class_are_named_too(facts):
    assert reasons(facts, 0, 2, contributions(neighbour_labels=2, norm=1)) == [
        SAID["norm"],
        "only 2 of its 3 labelled neighbours are red, 0 blue, 1 green",
    ]


def test_shares_of_a_third_class_are_named_too_and_come_last(facts):
    assert reasons(facts, 0, 2, contributions(held_out=3, neighbour_predictions=2, norm=1)) == [
        SAID["norm"],
        "models that never saw its label say red 10%, blue 0%, green 90%",
        "its neighbours are predicted red 40%, blue 0%, green 60%",
    ]
