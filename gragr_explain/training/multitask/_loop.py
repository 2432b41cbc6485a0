"""Epochs of multi-task training, and the choice of a seed to go on with."""

from __future__ import annotations

import copy
import math
import time

import torch
from tqdm.auto import tqdm

from gragr_explain.errors import TrainingError
from gragr_explain.history import copy_weights
from gragr_explain.training._loop import STOPPED, Curves
from gragr_explain.training._schedule import AdaptiveScheduler
from gragr_explain.training._trajectories import reset_parameters
from gragr_explain.training.multitask._balancing import Average, Balancer
from gragr_explain.training.multitask._batches import TaskBatch, task_losses
from gragr_explain.training.multitask._model import MultiTaskModel


class TaskLoop:
    """A training that can be run on: a model, its batches, optimiser and curves."""

    def __init__(
        self, model: MultiTaskModel, batches: list[TaskBatch], val: list[TaskBatch], lr: float, weight_decay: float
    ) -> None:
        self.model, self.batches, self.val = model, batches, val
        self.settings = (lr, weight_decay)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
        self.curves: Curves = {}
        self.good = self.best = copy_weights(model)
        self.best_epoch, self.best_key = -1, (-1.0, 0.0)

    def again(self, seed: int) -> TaskLoop:
        """The same training with new weights."""
        model = copy.deepcopy(self.model)
        torch.manual_seed(seed)
        for part in (model.encoder, *model.heads):
            reset_parameters(part)
        return TaskLoop(model, self.batches, self.val, *self.settings)

    def run(self, balancer: Balancer, epochs: int, scheduler: AdaptiveScheduler | None, bar: tqdm | None) -> None:
        """Train until so many epochs are done, with the balancer alone or where a scheduler says so.

        An epoch whose validation loss is not finite is never the best.
        """
        plain = Average(self.model)
        reasons = scheduler is None
        for epoch in range(self.done, epochs):
            self.epoch(balancer if reasons else plain, epoch)
            if scheduler is not None:
                reasons = scheduler.open(self.curves["loss"][-1])
            key = (0.0, float(epoch))
            if self.val:
                loss, accuracy = self.judge(self.val)
                self.curves.setdefault("val_loss", []).append(loss)
                self.curves.setdefault("val_acc", []).append(accuracy)
                key = (accuracy, -loss)
            if key > self.best_key and math.isfinite(key[1]):
                self.best, self.best_epoch, self.best_key = copy_weights(self.model), epoch, key
            if bar is not None:
                bar.set_postfix({name: f"{values[-1]:.3f}" for name, values in self.curves.items()}, refresh=False)
                bar.update()

    def finish(self) -> None:
        """Go back to the weights of the best epoch.

        Raises:
            TrainingError: If there is none, or their loss is not finite; the model then has the last weights whose was.
        """
        self.model.load_state_dict(self.best)
        if self.best_epoch < 0 or not (self.val or math.isfinite(self.judge(self.batches)[0])):
            self.model.load_state_dict(self.good)
            raise TrainingError(f"the last step made weights whose loss is not finite; {STOPPED}")

    @property
    def done(self) -> int:
        """The number of epochs that have been trained."""
        return len(self.curves.get("loss", []))

    def epoch(self, balancer: Balancer, epoch: int) -> None:
        """One pass over all batches."""
        self.model.train()
        losses: list[float] = []
        energies: list[float] = []
        started = time.perf_counter()
        for place in torch.randperm(len(self.batches)).tolist():
            self.optimizer.zero_grad()
            try:
                loss, energy = balancer.backward(self.batches[place])
                value = float(loss.sum())
                if not math.isfinite(value):
                    raise TrainingError(f"the loss became {value} in epoch {epoch}; {STOPPED}")
            except TrainingError:
                self.model.load_state_dict(self.good)
                raise
            self.good = copy_weights(self.model)
            self.optimizer.step()
            losses.append(value)
            energies += [] if energy is None else [energy]
        self.curves.setdefault("seconds", []).append(time.perf_counter() - started)
        self.curves.setdefault("loss", []).append(sum(losses) / len(losses))
        self.curves.setdefault("conflict_energy", []).append(sum(energies) / len(energies) if energies else math.nan)

    @torch.no_grad()
    def judge(self, batches: list[TaskBatch]) -> tuple[float, float]:
        """The sum of the tasks' losses, and the mean of their accuracies."""
        self.model.eval()
        num_tasks = len(self.model.heads)
        total, hits, counts = torch.zeros(3, num_tasks, dtype=torch.double)
        for batch in batches:
            logits = batch.logits(self.model)
            known = (batch.y >= 0).sum(1).double().cpu()
            total += torch.stack(task_losses(logits, batch)).double().cpu() * known
            hits += torch.stack([(s.argmax(-1) == y).sum() for s, y in zip(logits, batch.y, strict=True)]).cpu()
            counts += known
        labelled = counts > 0
        return float((total[labelled] / counts[labelled]).sum()), float((hits[labelled] / counts[labelled]).mean())


def select_seed(loop: TaskLoop, seed: int, num_seeds: int, epochs: int, progress: bool) -> TaskLoop:
    """Train several seeds for a few epochs, and go on with the one of the lowest validation loss (eqs. 9-11).

    Raises:
        TrainingError: If the loss of every seed became infinite or NaN.
    """
    tried: list[TaskLoop] = []
    with tqdm(total=num_seeds * epochs, desc="choosing a seed", unit="epoch", disable=not progress) as bar:
        for offset in range(num_seeds):
            candidate = loop.again((seed * num_seeds + offset) % 2**63)
            try:
                candidate.run(Average(candidate.model), epochs, None, bar)
            except TrainingError:
                continue
            if math.isfinite(candidate.curves["val_loss"][-1]):
                tried.append(candidate)
    if not tried:
        raise TrainingError(f"no seed of {num_seeds} had a finite loss after {epochs} epochs; the model is as it was")
    return min(tried, key=lambda candidate: candidate.curves["val_loss"][-1])
