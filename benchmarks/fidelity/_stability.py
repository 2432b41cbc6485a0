"""How much an explanation changes with what should not change it: chance, small changes of the graph, retraining."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

from benchmarks._runs import Job
from benchmarks.fidelity._cases import problem
from benchmarks.fidelity._explainers import Explain, prepare
from benchmarks.fidelity._instance import Instance, Problem, probabilities
from benchmarks.fidelity._perturbed import Perturbed, rewired, with_noise

TOP = 10
SEEDS = 3
NOISE_DRAWS = 2
REMOVALS, REMOVED = 30, 0.2
MODEL_FREE = ("PageRank", "PageRank, weaker end", "distance", "random")
"""What does not look at the model, whose change it cannot notice."""
HISTORY = ("ours", "ours, no history", "ours, shuffled history")
"""Our explainer with the history of the training, without it and with that of other nodes."""
BETTER = {
    "seeds": "higher",
    "noise": "higher",
    "rewiring": "higher",
    "retraining": "higher",
    "sensitivity": "lower",
    "infidelity": "lower",
}
"""What stability is ranked by, and which values are better."""
Row = dict[str, Any]


def measure(job: Job) -> list[Row]:
    """Explain instances of a case with one explainer, again and a little different.

    Args:
        job: ``dataset``, ``backbone``, ``explainer`` and ``instances``. Our explainer's variants are only compared
            between retrained models.

    Returns:
        A row for each instance and what was measured; those that could not be explained have an ``error``.
    """
    name, cases = job["explainer"], _retrained(job["dataset"], job["backbone"])
    try:
        trained = [prepare(name, case, seed) for seed, case in enumerate(cases)]
        seeded = [prepare(name, cases[0], seed) for seed in range(1, SEEDS)] if name not in HISTORY[1:] else []
    except Exception as error:  # other people's code raises what it likes; the page says what
        return [{"instance": -1, "measure": "error", "value": 0.0, "error": f"{type(error).__name__}: {error}"[:200]}]
    rows: list[Row] = []
    for place in instances_of(cases[0], job["instances"]):
        about = {"instance": cases[0].instances[place].name, "error": ""}
        try:
            found = {"retraining": _retraining(cases, trained, place)}
            if name not in HISTORY[1:]:
                found |= _perturbation(name, cases[0], cases[0].instances[place], trained[0], seeded)
        except Exception as error:
            rows.append({**about, "measure": "error", "value": 0.0, "error": f"{type(error).__name__}: {error}"[:200]})
            continue
        rows += [{**about, "measure": kind, "value": value} for kind, value in found.items()]
    return rows


def instances_of(case: Problem, count: int) -> list[int]:
    """The first instances with more edges to choose from than are chosen."""
    return [place for place, found in enumerate(case.instances) if int(found.heard.sum()) > TOP][:count]


@lru_cache(maxsize=1)
def _retrained(dataset: str, backbone: str) -> list[Problem]:
    """The same case with models trained from other seeds."""
    return [problem(dataset, backbone, seed) for seed in range(SEEDS)]


def _retraining(cases: list[Problem], trained: list[Explain], place: int) -> float:
    """The agreement between models on the strongest edges for the true class."""
    masks = [
        explain(case.instances[place], case.instances[place].label).edges
        for case, explain in zip(cases, trained, strict=True)
    ]
    return _mean_jaccard(masks)


def _perturbation(
    name: str, case: Problem, instance: Instance, explain: Explain, seeded: list[Explain]
) -> dict[str, float]:
    target = instance.predicted
    mask = explain(instance, target).edges
    again = [other(instance, target).edges for other in seeded]
    found = {
        "seeds": _mean_jaccard([mask, *again]),
        "seeds, cosine": sum(cosine(mask, other) for other in again) / len(again),
        "identical": float(all(torch.equal(mask, other) for other in again)),
        "infidelity": _infidelity(case, instance, mask),
    }

    def edges_of(changed: Perturbed) -> Tensor:
        if name in HISTORY and instance.origin is not None:  # on the whole graph, where the history belongs
            return prepare(name, changed.problem)(changed.instance, target).edges
        another = replace(changed.instance, name=-1 - instance.name)  # so that chance plays anew, as in any second call
        return explain(another, target).edges

    noises = [with_noise(case, instance, draw) for draw in range(NOISE_DRAWS)]
    noisy = [noise for noise in noises if noise is not None]
    if noisy:
        masks = [edges_of(noise) for noise in noisy]
        found["noise"] = sum(cosine(mask, other) for other in masks) / len(masks)
        found["noise, Jaccard"] = sum(jaccard(mask, other) for other in masks) / len(masks)
        found["sensitivity"] = _sensitivity(instance, mask, noisy, masks)
    other = rewired(case, instance)
    if other is not None:
        edges = edges_of(other)
        found["rewiring"] = cosine(mask[other.same], edges[other.same])
        found["rewiring, Jaccard"] = jaccard(mask * other.same, edges * other.same)
    return found


def _sensitivity(instance: Instance, mask: Tensor, noisy: list[Perturbed], masks: list[Tensor]) -> float:
    """Captum's ``sensitivity_max``, for draws of noise that are explained already."""
    changed = torch.stack([noise.instance.x for noise in noisy])

    def explain(inputs: tuple[Tensor, ...] | Tensor) -> tuple[Tensor]:
        return (torch.stack(masks) if inputs is changed else mask.unsqueeze(0),)

    return float(sensitivity_max(explain, instance.x.unsqueeze(0), lambda _: changed, n_perturb_samples=len(noisy)))


def _infidelity(case: Problem, instance: Instance, mask: Tensor) -> float:
    """Captum's ``infidelity``, up to the scale of the mask: whether it adds up to what the removal of edges changes."""
    generator = torch.Generator().manual_seed(instance.name)

    def probability(masks: Tensor) -> Tensor:
        return probabilities(case, instance, masks)[:, instance.predicted]

    def remove(masks: Tensor) -> tuple[Tensor, Tensor]:
        removed = (torch.rand(masks.shape, generator=generator) < REMOVED) & instance.heard
        return removed.to(masks.dtype), masks * ~removed

    ones = instance.x.new_ones(1, instance.num_edges)
    return float(
        infidelity(probability, remove, ones, mask.to(ones).unsqueeze(0), n_perturb_samples=REMOVALS, normalize=True)
    )


def _mean_jaccard(masks: list[Tensor]) -> float:
    pairs = [jaccard(*pair) for pair in combinations(masks, 2)]
    return sum(pairs) / len(pairs)


def jaccard(first: Tensor, second: Tensor, count: int = TOP) -> float:
    """The agreement of two masks on their strongest edges: in both, as a share of those in one or both.

    Edges of importance 0 are in none. Two empty masks agree.

    Args:
        first: Importance of each edge, never negative, ``[num_edges]``.
        second: The same of another mask.
        count: How many edges are the strongest.

    Example:
        >>> jaccard(torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([3.0, 0.0, 1.0, 2.0]), count=2)
        0.3333333333333333
    """
    tops = []
    for mask in (first, second):
        top = mask.argsort(descending=True, stable=True)[:count]
        tops.append({edge for edge in top.tolist() if mask[edge] > 0})
    union = tops[0] | tops[1]
    return len(tops[0] & tops[1]) / len(union) if union else 1.0


def cosine(first: Tensor, second: Tensor) -> float:
    """The cosine of two masks; 1 where both are zero, 0 where one is.

    Of explanations before and after a change that keeps the prediction, this is one minus the graph explanation
    stability (GES, a distance) of Agarwal et al., `"Evaluating Explainability for Graph Neural Networks"
    <https://arxiv.org/abs/2208.09339>`_.
    """
    norms = first.norm() * second.norm()
    if float(norms) == 0:
        return float(float(first.norm()) == float(second.norm()))
    return float((first @ second / norms).clamp(max=1))
