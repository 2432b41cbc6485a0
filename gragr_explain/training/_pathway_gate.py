"""The gate of the conflict pathway: when it opens, and whether it stays open."""

from __future__ import annotations

import math
from collections import deque

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.field import GraphOperator
from gragr_explain.training._loop import Step
from gragr_explain.training._pathway import ConflictPathway, first_field, relative_conflict
from gragr_explain.training._switches import Switches

_DOUBT = 10  # edges without conflict that are thought to be there, beside those between training nodes


class PathwayGate:
    """Opens the conflict pathway where neighbours oppose each other, and closes it for good where it does not help.

    The conflict is that of the first gradients (:func:`first_field`), relative to any two nodes, and as if there were
    ten more edges without any: a handful of edges between training nodes proves little. Above ``pathway_threshold``,
    the gate rises from 0 to 1 in ``pathway_epochs`` epochs, once the scheduler's gate is open and three times as many
    epochs have been watched. It is then on trial for as long as was watched: its best epoch must be right on more
    validation nodes than the best one watched, by more than one standard deviation of what chance would do to those on
    which the two differ; else the training goes back to where it was, without a pathway; likewise where it ends
    earlier. Where there is nothing to validate on, it stays open.
    """

    def __init__(
        self, pathway: ConflictPathway, switches: Switches, data: Data, graph: GraphOperator, num_classes: int
    ) -> None:
        self.pathway = pathway
        self.rise = switches.pathway_epochs
        field = first_field(data.y, data.train_mask, num_classes)
        edges = int(data.train_mask[graph.pairs].all(0).sum())
        self.conflict = relative_conflict(field, graph) * edges / (edges + _DOUBT)
        self.shut = not self.conflict > switches.pathway_threshold
        self.age: int | None = None  # in epochs, since it began to rise
        self._before: deque[Tensor] = deque(maxlen=3 * self.rise)
        self._since: list[Tensor] = []

    def raise_gate(self) -> None:
        """Before an epoch: the gate as it has to be for its age."""
        if not self.shut and self.age is not None:
            self.pathway.beta.fill_(min(1.0, (self.age + 1) / self.rise))

    def end(self, hits: Tensor | None, reasons: bool) -> Step:
        """After an epoch: watch, begin to rise, or judge."""
        if self.shut:
            return Step.GO_ON
        if self.age is None:
            if hits is not None:
                self._before.append(hits)
            watched = hits is None or len(self._before) == self._before.maxlen
            if not (reasons and watched):
                return Step.GO_ON
            self.age = 0
            return Step.REMEMBER
        self.age += 1
        if hits is not None and self.age <= 3 * self.rise:
            self._since.append(hits)
        return self._judge() if self.age == 3 * self.rise else Step.GO_ON

    def finish(self) -> Step:
        """After the last epoch: judge a trial that is not over."""
        on_trial = not self.shut and self.age is not None and self.age < 3 * self.rise
        return self._judge() if on_trial else Step.GO_ON

    def _judge(self) -> Step:
        if not self._before:
            return Step.GO_ON
        before = max(self._before, key=_count)
        since = max(self._since, key=_count, default=torch.zeros_like(before))
        won, lost = int((since & ~before).sum()), int((before & ~since).sum())
        if won - lost > math.sqrt(won + lost):
            return Step.GO_ON
        self.shut = True
        return Step.GO_BACK


def _count(hits: Tensor) -> int:
    return int(hits.sum())
