"""What GraGR does in an epoch beside the base model: correct, attend, weigh, open the pathway."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.errors import UnsupportedModelError
from gragr_explain.field import GraphOperator, conflict_energy, gradient_attention
from gragr_explain.history import GradientHistory, class_log_probs, full_precision, hidden_layer, tap
from gragr_explain.training._conflict_term import conflict_term
from gragr_explain.training._correction import correct_field
from gragr_explain.training._loop import Step
from gragr_explain.training._node_weights import conflict_hypergradient, reweight, validation_hypergradient
from gragr_explain.training._pathway_gate import PathwayGate
from gragr_explain.training._schedule import AdaptiveScheduler

if TYPE_CHECKING:
    from gragr_explain.training._gragr import GraGR

_FIELD_DECAY = 0.9  # of the running mean of gradients that attention is made of


class GradientReasoning:
    """One training's reasoning, as :func:`~gragr_explain.training._loop.train_full_batch` calls it.

    The model's forward passes must run inside of :meth:`listening`. Backward passes beside the one that trains are made
    inside of ``aside()``.
    """

    def __init__(
        self,
        trainer: GraGR,
        data: Data,
        graph: GraphOperator,
        history: GradientHistory,
        epochs: int,
        num_classes: int,
        aside: Callable[[], AbstractContextManager[None]] = nullcontext,
        counts: bool = True,
    ) -> None:
        self.trainer = trainer
        self.switches = trainer.switches
        self.settings = trainer.settings
        self.data = data
        self.graph = graph
        self.history = history
        self.curves = history.curves
        self.counts = counts
        self.epochs = epochs
        self.aside = aside
        switches = self.switches
        self.scheduler = (
            AdaptiveScheduler(switches.schedule_threshold, switches.schedule_min_epochs) if switches.schedule else None
        )
        self.open = self.scheduler is None
        self.opened_at: int | None = None
        self._outputs: list[Tensor] = []
        self._field: Tensor | None = None
        pathway = trainer.pathway
        self._gate = None if pathway is None else PathwayGate(pathway, switches, data, graph, num_classes)

    def listening(self) -> AbstractContextManager[None]:
        """Listen to the model's layers, as long as the context lasts."""

        def keep(outputs: list[Tensor], _output: Tensor) -> None:
            self._outputs = outputs

        return tap(self.trainer.model, keep)

    def begin(self, epoch: int) -> None:
        """Renew the attention, where it is open."""
        if self.open and self.opened_at is None:
            self.opened_at = epoch
        if self._gate is not None:
            self._gate.raise_gate()
        if self.open and self._field is not None:
            start = (self.opened_at or 0) + 1  # the first epoch that has a gradient to attend by
            share = (epoch - start) / max(self.epochs - 1 - start, 1)
            beta = self.settings.beta_start + share * (self.settings.beta_end - self.settings.beta_start)
            direction = F.normalize(self._field, dim=-1)
            alpha = gradient_attention(direction, self.graph, beta)
            self.trainer.attend(alpha, self.graph, self.data.edge_index)

    def objective(self, losses: Tensor, output: Tensor) -> Tensor:
        """The weighted loss, with the conflict term; the gradients of its backward pass are corrected on the way."""
        if not (self.open or self.switches.meta):
            return losses.mean()
        with self.aside():
            loss = self._weighted(losses, output)
        if self.open:
            self._correct(output)
        return loss

    def _weighted(self, losses: Tensor, output: Tensor) -> Tensor:
        hidden, switches = self._hidden(output), self.switches
        if self.open and switches.attention == "predicted":
            guess = F.nll_loss(class_log_probs(output), output.detach().argmax(-1))
            (field,) = torch.autograd.grad(guess, hidden, retain_graph=True)
            self._attend_to(self._corrected(field)[0])
        if switches.meta:
            self._weigh(losses, output, hidden)
        weights = self.trainer.loss_weights
        loss = losses.mean() if weights is None else (weights.to(losses.dtype) * losses).mean()
        if self.open and switches.conflict_weight:
            term = conflict_term(loss, hidden, self.graph, exact=switches.exact_conflict)
            loss = loss + switches.conflict_weight * loss.detach() * term
        return loss

    def _hidden(self, output: Tensor) -> Tensor:
        hidden, switches = self._outputs[hidden_layer(self._outputs, output)], self.switches
        needs = (
            switches.attention or switches.conflict_weight or (switches.meta and switches.meta_objective == "conflict")
        )
        if needs and not hidden.requires_grad:
            raise UnsupportedModelError(
                "attention, the conflict loss and weights by it need gradients at the hidden representation, but all "
                "layers up to it are frozen"
            )
        return hidden

    def _corrected(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        switches = self.switches
        field = full_precision(gradient.detach())
        return correct_field(field, self.graph, self.settings, conflict=switches.conflict, alignment=switches.alignment)

    def end(self, loss: float, hits: Tensor | None) -> Step:
        """Move the gates."""
        step = Step.GO_ON
        if self._gate is not None:
            self.curves.setdefault("beta", []).append(float(self._gate.pathway.beta))
            step = self._gate.end(hits, self.open)
        if not self.open and self.switches.corrects:
            for name in ("conflict_share", "conflict_energy"):
                self.curves.setdefault(name, []).append(math.nan)
        if self.scheduler is not None:
            self.open = self.scheduler.open(loss)
        return step

    def finish(self) -> Step:
        """Judge what is still on trial."""
        return Step.GO_ON if self._gate is None else self._gate.finish()

    def _attend_to(self, field: Tensor) -> None:
        self._field = field.clone() if self._field is None else torch.lerp(field, self._field, _FIELD_DECAY)

    def _weigh(self, losses: Tensor, output: Tensor, hidden: Tensor) -> None:
        """Let the weights of nodes or classes follow their hypergradient."""
        switches, y = self.switches, self.data.y[self.data.train_mask]
        weights = self.trainer.loss_weights
        weights = torch.ones_like(losses).detach() if weights is None else weights
        if switches.meta == "class":
            group = F.one_hot(y).to(losses.dtype)
            group = group[:, group.sum(0) > 0]
            losses = group.t() @ losses
            weights = (group.t() @ weights) / group.sum(0)
        if switches.meta_objective == "validation":
            parameters = [parameter for parameter in self.trainer.parameters() if parameter.requires_grad]
            known = self.data.val_mask
            val_loss = F.cross_entropy(output[known], self.data.y[known])
            direction = torch.autograd.grad(
                val_loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            gradient = validation_hypergradient(losses, parameters, direction)
        else:
            gradient = conflict_hypergradient(losses, weights, hidden, self.graph)
        fresh = switches.meta == "node" and switches.meta_objective == "validation"
        weights = reweight(weights, gradient, None if fresh else self.settings.meta_lr)
        self.trainer.loss_weights = group @ weights if switches.meta == "class" else weights

    def _correct(self, output: Tensor) -> None:
        """Let the backward pass go on with corrected gradients, and count conflicts in the recorded layer."""
        if not self.switches.corrects:
            return
        top = hidden_layer(self._outputs, output)
        for layer, hidden in enumerate(self._outputs[: top + 1]):

            def replace(gradient: Tensor, recorded: bool = layer == top) -> Tensor:
                corrected, conflict = self._corrected(gradient)
                if recorded:
                    self._count(full_precision(gradient), conflict)
                    if self.switches.attention == "training":
                        self._attend_to(corrected)
                return corrected.to(gradient.dtype)

            if hidden.requires_grad:
                hidden.register_hook(replace)

    def _count(self, field: Tensor, conflict: Tensor) -> None:
        if self.counts:
            if self.history.conflict_count is None:
                self.history.conflict_count = field.new_zeros(field.size(0))
            self.history.conflict_count += conflict
        self.curves.setdefault("conflict_share", []).append(float(conflict.float().mean()))
        self.curves.setdefault("conflict_energy", []).append(float(conflict_energy(field, self.graph)))
