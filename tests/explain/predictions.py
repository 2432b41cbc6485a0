"""Predictions of which every subset of edges can be judged, for tests of the search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from gragr_explain.explain.search._worth import fine_values


@dataclass(frozen=True)
class Pairs:
    """Log-odds with interactions: mask w + mask Q mask + b, for several parts of the same size."""

    weight: Tensor
    pairs: Tensor
    bias: Tensor

    dtype = torch.float32
    at_once = 3

    @property
    def num_parts(self) -> int:
        return self.weight.size(0)

    @property
    def edge_part(self) -> Tensor:
        return torch.arange(self.num_parts).repeat_interleave(self.weight.size(1))

    def scores(self, masks: Tensor) -> Tensor:
        each = masks.view(len(masks), *self.weight.shape)
        return (each * self.weight).sum(-1) + torch.einsum("mpi,pij,mpj->mp", each, self.pairs, each) + self.bias

    def only(self, parts: Tensor) -> Pairs:
        return type(self)(self.weight[parts], self.pairs[parts], self.bias[parts])


@dataclass(frozen=True)
class Parts:
    """Predictions of parts of different sizes."""

    parts: list[Pairs]

    dtype = torch.float32
    at_once = 3

    @property
    def num_parts(self) -> int:
        return len(self.parts)

    @property
    def edge_part(self) -> Tensor:
        return torch.arange(len(self.parts)).repeat_interleave(torch.tensor([p.weight.size(1) for p in self.parts]))

    def scores(self, masks: Tensor) -> Tensor:
        split = masks.split([part.weight.size(1) for part in self.parts], dim=1)
        return torch.cat([part.scores(mask) for part, mask in zip(self.parts, split, strict=True)], 1)

    def only(self, parts: Tensor) -> Parts:
        return Parts([self.parts[part] for part in parts.tolist()])


class Bent(Pairs):
    """Log-odds jump where the sum of what edges give passes 0; elsewhere gradients say little."""

    def scores(self, masks: Tensor) -> Tensor:
        return 8 * (2 * super().scores(masks)).tanh()


def bent(seed: int, num_parts: int = 1, num_edges: int = 6) -> Bent:
    return Bent(*vars(problem(seed, num_parts, num_edges, interaction=2.0)).values())


class Watched(Pairs):
    """Notes how many masks with gradients are handed over at once."""

    seen: ClassVar[list[int]] = []

    def scores(self, masks: Tensor) -> Tensor:
        if masks.requires_grad:
            self.seen.append(len(masks))
        return super().scores(masks)


class Broken(Pairs):
    """Has no answer to the first edge alone."""

    def scores(self, masks: Tensor) -> Tensor:
        broken = (masks[:, 0] > 0) & (masks.sum(1) == 1)
        return super().scores(masks).masked_fill(broken.unsqueeze(1), torch.nan)


def problem(seed: int, num_parts: int = 1, num_edges: int = 6, interaction: float = 1.0) -> Pairs:
    generator = torch.Generator().manual_seed(seed)
    weight = 2 * torch.randn(num_parts, num_edges, generator=generator)
    pairs = interaction * torch.randn(num_parts, num_edges, num_edges, generator=generator)
    return Pairs(weight, pairs, torch.randn(num_parts, generator=generator))


def subset(edges: Iterable[int], num_edges: int) -> Tensor:
    """A set of edges, as a mask."""
    kept = torch.zeros(num_edges, dtype=torch.bool)
    kept[list(edges)] = True
    return kept


def subsets(num_edges: int, length: int) -> list[Tensor]:
    """All sets of up to so many edges."""
    return [subset(some, num_edges) for size in range(length + 1) for some in combinations(range(num_edges), size)]


def worth_of(trials: Pairs, kept: Tensor) -> float:
    return float(fine_values(trials, kept.bool().view(1, -1), classes=True))


def best_by_brute_force(trials: Pairs, length: int, among: Tensor | None = None) -> float:
    """What the best set of up to so many edges is worth, of all edges or of some, a mask."""
    sets = torch.stack(subsets(trials.weight.size(1), length))
    if among is not None:
        sets = sets[~(sets & ~among).any(1)]
    return float(fine_values(trials, sets, classes=True).max())
