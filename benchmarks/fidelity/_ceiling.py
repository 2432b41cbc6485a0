"""The best explanation there is: the few edges that keep a prediction alone, and without which it falls.

No method can find a subset of edges for which p(target | only these) - p(target | all but these) is larger, so that
what a method reaches is a share of the best. Found by beam searches, up from no edge and down from all, then swaps, not
proven: a lower bound of the best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from benchmarks._runs import Job
from benchmarks.fidelity._cases import problem
from benchmarks.fidelity._instance import Instance, Problem, probabilities
from gragr_explain.history import message_passing_layers
from gragr_explain.messages import edge_mask_applied

SIZES = (3, 5, 10)
MOST_EDGES = 60
"""Instances with more heard edges than these are left out: the search grows with their square."""

_UP, _DOWN = 8, 2  # how many subsets the beams follow; down from all edges, there are many more steps
_LEAST_GAIN = 1e-6
_NUMBERS_AT_ONCE = 1_000_000
_FIRST_WEIGHTS = {  # what multiplies the features, before or after their sum over edges
    "GCNConv": ("lin",),
    "GATConv": ("lin",),
    "GINConv": ("nn.lins.0",),
    "SAGEConv": ("lin_l", "lin_r"),
}


def ceiling_jobs(cases: Sequence[Job]) -> list[Job]:
    """One search for each case."""
    search_settings = {"sizes": list(SIZES), "most_edges": MOST_EDGES, "width": [_UP, _DOWN]}
    return [{**case, "part": "ceiling", "settings": {"case": case["settings"], **search_settings}} for case in cases]


def measure(job: Job) -> list[dict[str, Any]]:
    """Search the best subsets of the instances of a case that have few enough edges, for the predicted class.

    Args:
        job: ``dataset``, ``backbone``, ``instances`` and ``seed``.

    Returns:
        A row for each instance and size.
    """
    case = problem(job["dataset"], job["backbone"], job["seed"])
    rows = []
    for instance in case.instances[: job["instances"]]:
        num_heard = int(instance.heard.sum())
        if 0 < num_heard <= MOST_EDGES:
            about = {"instance": instance.name, "num_heard": num_heard}
            rows += [{**about, **row} for row in ceiling(case, instance, instance.predicted, SIZES)]
    return rows


def ceiling(case: Problem, instance: Instance, target: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The best subsets of heard edges.

    Args:
        case: The model.
        instance: The explained prediction, of at most :data:`MOST_EDGES` heard edges.
        target: The class whose probability counts.
        sizes: How many edges a subset may have at most.

    Returns:
        For each size, the name of the ``mask`` as in the scores, and of the best subset found ``num_edges``,
        ``p_kept`` and ``p_removed``.
    """
    heard = instance.heard.nonzero().view(-1)
    probability = _probability(case, instance, target)

    def masks(subsets: Tensor) -> Tensor:
        found = instance.x.new_zeros(len(subsets), instance.num_edges)
        found[:, heard] = subsets.to(found.dtype)
        return found

    @torch.no_grad()
    def score(subsets: Tensor) -> Tensor:
        kept = masks(subsets)
        return probability(kept) - probability(1 - kept)

    best = search(score, len(heard), sizes, _slopes(probability, instance)[:, heard])
    kept = masks(torch.stack([best[size] for size in sizes]))
    p_kept, p_removed = (probabilities(case, instance, part)[:, target].tolist() for part in (kept, 1 - kept))
    return [
        {"mask": str(size), "num_edges": int(best[size].sum()), "p_kept": p_kept[row], "p_removed": p_removed[row]}
        for row, size in enumerate(sizes)
    ]


def search(
    score: Callable[[Tensor], Tensor], num_edges: int, sizes: Sequence[int], slopes: Tensor
) -> dict[int, Tensor]:
    """The best subsets of limited size, by beam searches and then swaps, drops and additions of edges until none helps.

    Args:
        score: From subsets of shape ``[num_subsets, num_edges]`` to a number each.
        num_edges: The number of edges to choose from.
        sizes: How many of them a subset may have at most.
        slopes: What subsets beside the beams' are started from: for each row, the edges where it is largest,
            ``[num_starts, num_edges]``.

    Returns:
        For each size the best subset found, ``[num_edges]``.

    Example:
        >>> worth = torch.tensor([1.0, -1.0, 3.0, 2.0])
        >>> search(lambda subsets: (subsets * worth).sum(1), 4, [2], worth.view(1, -1))
        {2: tensor([False, False,  True,  True])}
    """
    if num_edges == 0:
        return {size: torch.zeros(0, dtype=torch.bool) for size in sizes}
    none = torch.zeros(1, num_edges, dtype=torch.bool)
    most = min(max(sizes), num_edges)
    beams = [_beam(score, none, range(1, most + 1), _UP), _beam(score, ~none, range(num_edges, 0, -1), _DOWN)]
    best: dict[int, Tensor] = {}
    smaller = none
    for size in sorted(sizes):
        count = min(size, num_edges)
        chosen = torch.zeros(len(slopes), num_edges, dtype=torch.bool)
        chosen.scatter_(1, slopes.topk(count).indices, True)
        starts = torch.cat([*(beam[count] for beam in beams if count), chosen, smaller]).unique(dim=0)
        ends = [_climb(score, start, count) for start in starts]
        best[size] = max(ends, key=lambda end: end[1])[0]
        smaller = best[size].unsqueeze(0)
    return best


def _beam(score: Callable[[Tensor], Tensor], start: Tensor, sizes: Sequence[int], width: int) -> dict[int, Tensor]:
    """The two best subsets of each size that a beam search meets that adds or removes one edge after another."""
    beam, found = start, {}
    for size in sizes:
        if size != int(beam[0].sum()):
            children = _one_further(beam, grows=size > int(beam[0].sum()))
            beam = children[score(children).argsort(descending=True, stable=True)[:width]]
        found[size] = beam[:2]
    return found


def _one_further(subsets: Tensor, grows: bool) -> Tensor:
    """All subsets with one edge more, or one less, than one of these, each once."""
    row, edge = (subsets ^ grows).nonzero().unbind(1)
    children = subsets[row]
    children[torch.arange(len(row)), edge] = grows
    return children.unique(dim=0)


def _climb(score: Callable[[Tensor], Tensor], subset: Tensor, size: int) -> tuple[Tensor, float]:
    """Take the best swap, drop or addition of an edge as long as there is one that helps."""
    value = float(score(subset.unsqueeze(0)))
    while True:
        around = _neighbours(subset, size)
        if not len(around):
            return subset, value
        values = score(around)
        top = int(values.argmax())
        if not float(values[top]) > value + _LEAST_GAIN:
            return subset, value
        subset, value = around[top], float(values[top])


def _neighbours(subset: Tensor, size: int) -> Tensor:
    inside, outside = subset.nonzero().view(-1), (~subset).nonzero().view(-1)
    none = inside.new_full((1,), -1)
    out = torch.cat([inside, none]) if len(inside) < size else inside
    pairs = torch.cartesian_prod(out, torch.cat([outside, none]))
    pairs = pairs[(pairs >= 0).any(1)]
    found = subset.repeat(len(pairs), 1)
    for column, present in enumerate((False, True)):  # leaves, enters
        rows = (pairs[:, column] >= 0).nonzero().view(-1)
        found[rows, pairs[rows, column]] = present
    return found


def _slopes(probability: Callable[[Tensor], Tensor], instance: Instance) -> Tensor:
    """The gradient of the probability at all edges, at none, and their sum, ``[3, num_edges]``."""
    masks = torch.stack([instance.x.new_ones(instance.num_edges), instance.x.new_zeros(instance.num_edges)])
    masks.requires_grad_()
    (gradient,) = torch.autograd.grad(probability(masks).sum(), masks)
    return torch.cat([gradient, gradient.sum(0, keepdim=True)])


def _probability(case: Problem, instance: Instance, target: int) -> Callable[[Tensor], Tensor]:
    """The probability of a class under masks of shape ``[num_masks, num_edges]``, differentiable, for many masks.

    As :func:`~benchmarks.fidelity._instance.probabilities`, from fewer features.
    """
    x, weights = _in_fewer_features(case, instance.x)
    num_nodes = x.size(0)
    at_once = max(1, _NUMBERS_AT_ONCE // (64 * (num_nodes + instance.num_edges) + x.numel()))

    def probability(masks: Tensor) -> Tensor:
        found = []
        for part in masks.split(at_once):
            copy = torch.arange(len(part))
            edges = (instance.edge_index.unsqueeze(1) + num_nodes * copy.view(1, -1, 1)).reshape(2, -1)
            batch = {"batch": copy.repeat_interleave(num_nodes)} if case.level == "graph" else {}
            with edge_mask_applied(case.model, part.reshape(-1), edges):
                output = functional_call(case.model, weights, (x.repeat(len(part), 1), edges), batch)
            rows = num_nodes * copy + instance.index if case.level == "node" else copy
            found.append(output[rows].softmax(-1)[:, target])
        return torch.cat(found)

    return probability


def _in_fewer_features(case: Problem, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Coordinates of the features in an orthonormal basis of what they span, and the first weights in that basis.

    The features of n nodes span at most n dimensions.
    """
    first = message_passing_layers(case.model)[0]
    layers = _FIRST_WEIGHTS.get(type(first).__name__)
    if layers is None or x.size(1) <= x.size(0):
        return x, {}
    basis, coordinates = torch.linalg.qr(x.t())
    prefix = next(name for name, module in case.model.named_modules() if module is first)
    names = [f"{prefix}.{layer}.weight" for layer in layers]
    return coordinates.t(), {name: case.model.get_parameter(name).detach() @ basis for name in names}
