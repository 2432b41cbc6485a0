"""Training a model again, with other labels or fewer of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.history import ATTRIBUTE, GradientHistory
from gragr_explain.seeds import seeded
from gragr_explain.training import GraGR


@dataclass(frozen=True)
class Retraining:
    """How a model was trained, so that it can be trained again.

    Attributes:
        model: The model as it is now; it is left alone.
        data: The graph.
        history: The model's history; each training starts from the weights that its own did.
        epochs: The number of epochs.
        lr: The learning rate; ``None`` takes Table 5's, as for ``weight_decay``.
        weight_decay: The weight decay.
    """

    model: nn.Module
    data: Data
    history: GradientHistory
    epochs: int
    lr: float | None = None
    weight_decay: float | None = None

    def run(
        self, y: Tensor, train_mask: Tensor, seed: int, *, edges: bool = True, record: bool = False
    ) -> tuple[GraGR, Data]:
        """Train a copy of the model from the same first weights.

        Args:
            y: The labels of shape ``[num_nodes]``.
            train_mask: Which nodes to train on, ``[num_nodes]``.
            seed: What dropout draws; the global random state is left alone.
            edges: Whether the model sees the edges.
            record: Whether to record a history.

        Returns:
            The trained model, and the graph that it was trained on.
        """
        data = copy.copy(self.data)
        data.y, data.train_mask = y, train_mask
        if not edges:
            _drop_edges(data)
        trainer = self._copy()
        if not (trainer.switches.seeds > 1 or trainer.switches.meta or trainer.switches.pathway):
            data.val_mask = None  # nobody asks how it validates
        with seeded(seed, data.x.device):
            trainer.fit(data, self.epochs, lr=self.lr, weight_decay=self.weight_decay, record=record, progress=False)
        return trainer, data

    def _copy(self) -> GraGR:
        """The model with its first weights, without its history and what layers keep of a graph; switches stay."""
        model = copy.deepcopy(self.model, {id(self.history): GradientHistory()})
        holder = next(module for module in model.modules() if ATTRIBUTE in vars(module))
        holder.load_state_dict(self.history.start or self.history.weights[min(self.history.weights)])
        for module in model.modules():
            vars(module).pop(ATTRIBUTE, None)
            vars(module).update({name: None for name in vars(module) if name.startswith("_cached_")})
        return model if isinstance(model, GraGR) else GraGR(model, conflict=False, alignment=False)


def _drop_edges(data: Data) -> None:
    """Leave a graph its nodes."""
    for name, value in data.to_dict().items():
        if name != "edge_index" and isinstance(value, Tensor) and data.is_edge_attr(name):
            data[name] = value[:0]
    data.edge_index = data.edge_index[:, :0]
