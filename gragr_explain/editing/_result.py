"""What an edit has done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gragr_explain.errors import EditingError
from gragr_explain.history import find_history
from gragr_explain.inputs import same_numbers


class Flip(NamedTuple):
    """A node that is predicted otherwise than before an edit."""

    node: int
    before: int
    after: int


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit of a model, as :func:`edit` has made it.

    Attributes:
        index: The nodes to correct, ``[num_targets]``.
        target: The class that each was to have, ``[num_targets]``.
        method: How.
        success: Whether each now has it. Without success the model is as it was.
        reason: Why there is no success; empty if there is.
        steps: The number of steps.
        prediction_before: The class of each node before the edit, ``[num_nodes]``.
        prediction_after: The same after it.
        probs_before: The targets' class probabilities before the edit, ``[num_targets, num_classes]``.
        probs_after: The same after it.
        accuracy_before: The percentage of test nodes that were right, the targets left out; ``None`` where there is no
            ``test_mask`` or no label.
        accuracy_after: The same after it.
        change: How far the tensors that have changed have moved, as a share of their length.
    """

    index: Tensor
    target: Tensor
    method: str
    success: bool
    reason: str
    steps: int
    prediction_before: Tensor
    prediction_after: Tensor
    probs_before: Tensor
    probs_after: Tensor
    accuracy_before: float | None
    accuracy_after: float | None
    change: float
    _changed: list[tuple[Tensor, Tensor, Tensor]]
    _model: nn.Module

    def __repr__(self) -> str:
        why = "" if self.success else f"reason={self.reason!r}, "
        return (
            f"Edit(index={self.index.tolist()}, target={self.target.tolist()}, method={self.method!r}, "
            f"success={self.success}, {why}steps={self.steps}, flips={len(self.flips)}, drawdown={self.drawdown})"
        )

    @property
    def drawdown(self) -> float | None:
        """The points of test accuracy that the edit has cost, negative where it has gained some."""
        if self.accuracy_before is None or self.accuracy_after is None:
            return None
        return self.accuracy_before - self.accuracy_after

    @property
    def flips(self) -> list[Flip]:
        """Every node that is predicted otherwise than before, the corrected ones among them."""
        nodes = (self.prediction_before != self.prediction_after).nonzero().view(-1)
        before, after = self.prediction_before[nodes], self.prediction_after[nodes]
        return [Flip(*row) for row in zip(nodes.tolist(), before.tolist(), after.tolist(), strict=True)]

    @torch.no_grad()
    def undo(self) -> None:
        """Put the model back as it was before the edit, bit for bit; where it is so already, do nothing.

        Raises:
            EditingError: If the model is not as the edit has left it: a later edit must be undone first.
        """
        history = find_history(self._model)
        own: list[Tensor | None] = [*self._model.parameters(), *self._model.buffers()]
        held = {id(tensor) for tensor in (*own, None if history is None else history.validation)}
        if not all(id(tensor) in held for tensor, _, _ in self._changed):
            raise EditingError("expected the model that was edited, got one whose tensors have been replaced since")
        if all(same_numbers(tensor, before.to(tensor.device)) for tensor, before, _ in self._changed):
            return
        if not all(same_numbers(tensor, after.to(tensor.device)) for tensor, _, after in self._changed):
            raise EditingError("expected the model as this edit has left it, got another: undo later edits first")
        for tensor, before, _ in self._changed:
            tensor.copy_(before)
