"""One condensation: the condensed graph while it is made, and the steps that make it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gragr_explain.condensation._damping import class_graph, damping_matrix, roughness
from gragr_explain.condensation._matching import class_gradients, logit_field, matching_distance
from gragr_explain.condensation._settings import CondensationSettings
from gragr_explain.condensation._structure import LearnedAdjacency, propagate_densely
from gragr_explain.condensation._target import Target
from gragr_explain.errors import TrainingError
from gragr_explain.field import task_conflict_energy
from gragr_explain.seeds import seeded
from gragr_explain.training import project_tasks

STRUCTURE_EPOCHS, CYCLE = 10, 50
"""Of each cycle of epochs, the first ones change the structure and the others the features, as in GCond."""

_CURVES = ("loss", "conflict", "conflict_energy", "energy", "damped_energy")


@dataclass(frozen=True)
class Step:
    """What one step has found out.

    Attributes:
        loss: The matching distance.
        field: The gradient field on the condensed nodes, before it is damped, ``[num_nodes, channels]``.
        fields: Each modality's own, ``[num_modalities, num_nodes, channels]``, where they were asked for.
    """

    loss: Tensor
    field: Tensor
    fields: Tensor | None


class Condensation:
    """A graph that is being condensed.

    Args:
        target: What it has to match.
        x: The features that it begins with, class after class, of shape ``[num_nodes, channels]``.
        sizes: The condensed nodes of each class, of shape ``[num_classes]``.
        columns: The columns of each modality.
        settings: The numbers.
        decouple: Whether the modalities' gradients are matched by themselves and decoupled where they conflict.
        damp: Whether the gradient field on the condensed nodes is damped.
        structure: Whether edges are learned.
        generator: Where the chance comes from.
    """

    def __init__(
        self,
        target: Target,
        x: Tensor,
        sizes: Tensor,
        columns: list[Tensor],
        settings: CondensationSettings,
        *,
        decouple: bool,
        damp: bool,
        structure: bool,
        generator: torch.Generator,
    ) -> None:
        self.target, self.settings, self.generator = target, settings, generator
        self.decouple, self.damp = decouple and len(columns) > 1, damp
        self.columns = [part.to(x.device) for part in columns]
        self.sizes = sizes.tolist()
        self.x = x.detach().clone().requires_grad_()
        self.y = torch.repeat_interleave(sizes).to(x.device)
        self.importance = (sizes / sizes.max()).to(x)
        self.epoch = 0
        self.curves: dict[str, list[float]] = {name: [] for name in _CURVES}
        self.structure: LearnedAdjacency | None = None
        if structure:
            with seeded(int(torch.randint(1 << 62, (), generator=generator, device="cpu"))):
                self.structure = LearnedAdjacency(x.size(1)).to(x)
        self.graph = class_graph(sizes.to(x.device), x.dtype)
        self._damping = damping_matrix(self.graph, settings.damping, x.dtype)
        self._optimizers = [torch.optim.Adam([self.x], lr=settings.lr_feat)]
        if self.structure is not None:
            self._optimizers.append(torch.optim.Adam(self.structure.parameters(), lr=settings.lr_adj))

    def run_epoch(self) -> None:
        """Match gradients along the training of one freshly drawn model.

        Raises:
            TrainingError: If the distance, or a feature, is no longer finite.
        """
        weight, bias = self._draw_model()
        optimizer = torch.optim.Adam([weight, bias], lr=self.settings.lr_model)
        losses = []
        for place in range(self.settings.outer_steps):
            last = place == self.settings.outer_steps - 1
            step = self.step(weight, bias, watch=last)
            losses.append(step.loss.detach())
            if last:
                self._describe(step, torch.stack(losses))
            else:
                self._train(weight, bias, optimizer)
        self.epoch += 1
        if not math.isfinite(self.curves["loss"][-1]) or not bool(self.x.isfinite().all()):
            raise TrainingError(f"the condensed graph is not finite after epoch {self.epoch}; lower the learning rates")

    def step(self, weight: Tensor, bias: Tensor, *, watch: bool = False) -> Step:
        """One step of the features, or of the structure, towards the gradients of the real graph.

        Args:
            weight: The model's weight of shape ``[channels, num_classes]``.
            bias: Its bias of shape ``[num_classes]``.
            watch: Whether to return the modalities' fields also where they are not decoupled.
        """
        wanted = self.target.gradients(weight, bias, self.generator)
        propagated = self.propagated()
        found = class_gradients(propagated, logit_field(propagated, self.y, weight, bias), self.sizes)
        fields = None
        if self.decouple or (watch and len(self.columns) > 1):
            parts = [matching_distance(found[:, part], wanted[:, part], self.importance) for part in self.columns]
            fields = torch.stack([torch.autograd.grad(part, self.x, retain_graph=True)[0] for part in parts])
        if self.decouple and fields is not None:
            loss = torch.stack(parts).mean()
            field = project_tasks(fields, tau_cos=0.0)[0].mean(0)
        else:
            loss = matching_distance(found, wanted, self.importance)
            (field,) = torch.autograd.grad(loss, self.x, retain_graph=self.structure is not None)
        if self.structure is not None and self.epoch % CYCLE < STRUCTURE_EPOCHS:
            parameters = list(self.structure.parameters())
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
            self._optimizers[1].step()
        else:
            self.x.grad = self._damping @ field if self.damp else field
            self._optimizers[0].step()
        return Step(loss, field, fields)

    def propagated(self) -> Tensor:
        """The condensed features as the matching model sees them; without edges, the features themselves."""
        if self.structure is None:
            return self.x
        return propagate_densely(self.x, self.structure(self.x), self.settings.hops)

    @torch.no_grad()
    def adjacency(self) -> Tensor | None:
        """The learned structure of shape ``[num_nodes, num_nodes]``, or ``None``."""
        return None if self.structure is None else self.structure(self.x)

    def _draw_model(self) -> tuple[Tensor, Tensor]:
        """The first weights of a model, drawn uniformly as GCond does."""
        classes = len(self.sizes)
        bound = 1 / math.sqrt(classes)
        drawn = torch.rand(self.x.size(1) + 1, classes, dtype=self.x.dtype, generator=self.generator, device="cpu")
        drawn = ((2 * drawn - 1) * bound).to(self.x.device)
        return drawn[:-1].clone(), drawn[-1].clone()

    @torch.no_grad()
    def _train(self, weight: Tensor, bias: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Train the model on the condensed graph for a few steps."""
        x = self.propagated()
        for _ in range(self.settings.inner_steps):
            field = logit_field(x, self.y, weight, bias) / x.size(0)
            weight.grad, bias.grad = x.t() @ field, field.sum(0)
            optimizer.step()

    def _describe(self, step: Step, losses: Tensor) -> None:
        """Keep what the curves show: how well gradients match, how modalities conflict, how rough the field is."""
        self.curves["loss"].append(float(losses.mean()))
        if step.fields is not None:
            self.curves["conflict"].append(float(project_tasks(step.fields, tau_cos=0.0)[1].double().mean()))
            self.curves["conflict_energy"].append(float(task_conflict_energy(step.fields).mean()))
        self.curves["energy"].append(roughness(step.field, self.graph))
        if self.damp:
            self.curves["damped_energy"].append(roughness(self._damping @ step.field, self.graph))

    def state(self) -> dict[str, Tensor]:
        """All that the next epoch depends on."""
        tensors = {"x": self.x.detach(), "generator": self.generator.get_state()}
        if self.structure is not None:
            tensors |= {f"structure/{name}": value for name, value in self.structure.state_dict().items()}
        for place, optimizer in enumerate(self._optimizers):
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{place}/{index}/{name}": value for name, value in moments.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], epoch: int, curves: dict[str, list[float]]) -> None:
        """Go on from a :meth:`state`.

        Raises:
            KeyError, RuntimeError, ValueError: If it is none of this condensation.
        """
        with torch.no_grad():
            self.x.copy_(tensors["x"])
        self.generator.set_state(tensors["generator"])
        if self.structure is not None:
            prefix = "structure/"
            self.structure.load_state_dict(
                {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            )
        moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in self._optimizers]
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, place, index, name = key.split("/")
                moments[int(place)].setdefault(int(index), {})[name] = value
        for optimizer, state in zip(self._optimizers, moments, strict=True):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self.epoch = epoch
        self.curves = {name: list(curves[name]) for name in _CURVES}
