"""Instances that are a little different, of which a model predicts the same."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.fidelity._instance import Instance, Problem, probabilities
from gragr_explain.history import message_passing_layers

NOISE = 0.01
REWIRED = 0.05
_DRAWS = 20


@dataclass(frozen=True)
class Perturbed:
    """An instance that is a little different.

    Attributes:
        instance: With the same nodes, and edges in the same places.
        problem: With the whole graph changed in the same way, for explainers that look at it.
        same: Which edges are what they were and heard in both, ``[num_edges]``.
    """

    instance: Instance
    problem: Problem
    same: Tensor


def with_noise(problem: Problem, instance: Instance, draw: int) -> Perturbed | None:
    """Another instance with noise on its features.

    Where features are zeros and ones, one in a hundred of the ones is moved to another feature of its node, at least
    one. Else normal noise of a hundredth of the features' standard deviation is added.

    Args:
        problem: The model.
        instance: Any of its instances.
        draw: Another number is another draw.

    Returns:
        One of which the model predicts the same class; ``None`` where twenty draws have none.
    """

    def change(generator: torch.Generator) -> Perturbed:
        x = noisy(instance.x, generator)
        data = problem.graphs
        if instance.nodes is not None:
            (whole,) = problem.graphs
            changed = whole.clone()
            changed.x = whole.x.index_copy(0, instance.nodes, x)
            data = [changed]
        return Perturbed(replace(instance, x=x), replace(problem, graphs=data), instance.heard)

    return _first_alike(problem, instance, f"noise {draw}", change)


def rewired(problem: Problem, instance: Instance) -> Perturbed | None:
    """Another instance where one in twenty of the edges that are heard, at least one, comes from another node.

    The other node is drawn from those whose messages do not take more layers to the prediction than those of the
    first, so that all that is heard of it is there.

    Args:
        problem: The model.
        instance: Any of its instances.

    Returns:
        One of which the model predicts the same class; ``None`` where twenty draws have none.
    """
    hops = _hops(problem, instance.edge_index, instance)
    heard = instance.heard.nonzero().view(-1)

    def change(generator: torch.Generator) -> Perturbed | None:
        count = math.ceil(REWIRED * len(heard))
        chosen = heard[torch.randperm(len(heard), generator=generator)[:count]]
        edge_index = instance.edge_index.clone()
        for edge in chosen.tolist():
            sender, receiver = edge_index[:, edge].tolist()
            others = hops <= hops[sender]
            others[receiver] = False
            others[edge_index[0, edge_index[1] == receiver]] = False
            candidates = others.nonzero().view(-1)
            if len(candidates):
                edge_index[0, edge] = candidates[int(torch.randint(len(candidates), (1,), generator=generator))]
        moved = edge_index[0] != instance.edge_index[0]
        if not moved.any():
            return None
        graphs = problem.graphs
        if instance.origin is not None and instance.nodes is not None:
            (whole,) = problem.graphs
            changed = whole.clone()
            changed.edge_index = whole.edge_index.clone()
            changed.edge_index[0, instance.origin[moved]] = instance.nodes[edge_index[0, moved]]
            graphs = [changed]
        still = _hops(problem, edge_index, instance)[edge_index[1]] < _num_layers(problem)
        part = replace(instance, edge_index=edge_index, heard=instance.heard & still)
        return Perturbed(part, replace(problem, graphs=graphs), part.heard & ~moved)

    return _first_alike(problem, instance, "rewired", change)


def noisy(x: Tensor, generator: torch.Generator) -> Tensor:
    """Features with noise, see :func:`with_noise`; features without any spread stay as they are.

    Example:
        >>> x = torch.eye(3)
        >>> noisy(x, torch.Generator().manual_seed(0)).sum(1)
        tensor([1., 1., 1.])
    """
    if not bool(((x == 0) | (x == 1)).all()):
        return x + NOISE * x.std() * torch.randn(x.shape, generator=generator)
    found = x.clone()
    movable = ((x == 1) & (x == 0).any(1, keepdim=True)).nonzero()
    count = math.ceil(NOISE * len(movable))
    for row, column in movable[torch.randperm(len(movable), generator=generator)[:count]].tolist():
        free = (found[row] == 0).nonzero().view(-1)
        found[row, column] = 0
        found[row, free[int(torch.randint(len(free), (1,), generator=generator))]] = 1
    return found


def _first_alike(
    problem: Problem, instance: Instance, what: str, change: Callable[[torch.Generator], Perturbed | None]
) -> Perturbed | None:
    """The first of some changes after which the model predicts the same class."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{problem.dataset} {instance.name} {what}".encode()))
    for _ in range(_DRAWS):
        found = change(generator)
        if found is not None:
            ones = found.instance.x.new_ones(1, instance.num_edges)
            if int(probabilities(problem, found.instance, ones).argmax()) == instance.predicted:
                return found
    return None


def _hops(problem: Problem, edge_index: Tensor, instance: Instance) -> Tensor:
    """How many layers a message from each node takes to the prediction, ``[num_nodes]``."""
    layers = _num_layers(problem)
    hops = torch.zeros(instance.x.size(0), dtype=torch.long)
    if problem.level == "node":
        hops += layers + 1
        hops[instance.index] = 0
        for hop in range(layers):
            senders = edge_index[0, hops[edge_index[1]] == hop]
            hops[senders] = hops[senders].clamp(max=hop + 1)
    return hops


def _num_layers(problem: Problem) -> int:
    return len(message_passing_layers(problem.model))
