"""Which training nodes are behind a prediction: products of gradients over the recorded training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.arguments import check_number, check_type
from gragr_explain.context._curvature import Curvature
from gragr_explain.context._influence_input import (
    asked_classes,
    current_log_probs,
    current_state,
    recorded_states,
)
from gragr_explain.context._jacobian import Jacobian, trained_names
from gragr_explain.inputs import check_data, check_index
from gragr_explain.labels import training_nodes
from gragr_explain.modes import evaluating, uncompiled, unwrapped


@dataclass(frozen=True, eq=False)
class Influences:
    """Which training nodes speak for predictions, and which against.

    Attributes:
        index: The nodes whose predictions are in question, ``[num_queries]``.
        target: Their classes in question, ``[num_queries]``.
        train: The training nodes, ``[num_train]``.
        label: Their labels, ``[num_train]``.
        scores: By how much the loss of each prediction would rise if the model had been trained without the label of
            each training node, to first order, ``[num_queries, num_train]``; without curvature, in units of the
            learning rate.
    """

    index: Tensor
    target: Tensor
    train: Tensor
    label: Tensor
    scores: Tensor

    def proponents(self, row: int = 0, count: int = 5) -> list[tuple[int, float]]:
        """The training nodes that speak most for a prediction and their scores, the strongest first."""
        return [(node, score) for node, score in self._extreme(row, count, largest=True) if score > 0]

    def opponents(self, row: int = 0, count: int = 5) -> list[tuple[int, float]]:
        """The training nodes that speak most against a prediction and their scores, the strongest first."""
        return [(node, score) for node, score in self._extreme(row, count, largest=False) if score < 0]

    def _extreme(self, row: int, count: int, *, largest: bool) -> list[tuple[int, float]]:
        check_number("row", row, whole=True, within=f"[0, {self.index.numel()})")
        check_number("count", count, whole=True, least=0)
        order = self.scores[row].argsort(descending=largest, stable=True)[:count]
        return list(zip(self.train[order].tolist(), self.scores[row, order].tolist(), strict=True))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_queries={self.index.numel()}, num_train={self.train.numel()})"


def influences(
    model: nn.Module,
    data: Data,
    index: int | Sequence[int] | Tensor | None = None,
    *,
    target: int | Sequence[int] | Tensor | None = None,
    curvature: bool = True,
) -> Influences:
    r"""Find the training nodes that are most probably behind predictions.

    By influence functions (Koh & Liang, ICML 2017) along the training: products of the gradients of two nodes' losses,
    with respect to all trained weights, weighed by the inverse of the damped curvature :math:`H` of the training loss
    (:class:`Curvature`) in its strongest directions,

    .. math::
        s(q, i) = \frac{1}{n} \operatorname{mean}_t\, \nabla \ell_q(\theta_t)^\top (H_t + \delta_t I)^{-1}\,
        \nabla \ell_i(\theta_t)

    at every other one of the weights that the model's history kept of the later half of the training; where nothing
    was recorded, at the model's own weights. Without curvature, it is the sum over all recorded weights, each as often
    as the steps it stands for, with respect to the last layer's weights (those after the hidden representation),

    .. math::
        s(q, i) = \frac{1}{n} \sum_t \nabla \ell_q(\theta_t)^\top \nabla \ell_i(\theta_t)

    which is TracIn (Pruthi et al., NeurIPS 2020; the products of gradients of the GraGR paper's eq. 5, of weights
    instead of representations). Beside the scores, memory grows neither with the number of queries nor with that of
    training nodes or epochs; for all nodes of a large graph, ask for some thousands at a time.

    Args:
        model: A model for node classification that was trained on this graph, or one that wraps it.
        data: The graph, with ``y`` and ``train_mask`` as in the training.
        index: The nodes whose predictions are in question; ``None`` for all.
        target: The class in question of each, or one for all; ``None`` for what the model predicts.
        curvature: Whether to weigh by the inverse curvature, which foretells retraining far better
            (``reports/influence.md``), and takes longer.

    Raises:
        InvalidTypeError: If the graph, the index or the target is of another type.
        InvalidGraphError: If the graph cannot be used, or has no training nodes with labels of the model's classes.
        InvalidIndexError: If an index, or a class in question, is out of range.
        InvalidArgumentError: If there is not a class for each node in question.
        UnsupportedModelError: If the model has no message-passing layers, does not return a finite score per node and
            class, or has nothing to train.
        HistoryError: Without curvature, if nothing was recorded of the model's training.
        HistoryMismatchError: If the history belongs to another graph.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1]), torch.tensor([True, False, True, False])
        >>> model = GCN(4, 8, num_layers=2, out_channels=2)
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        >>> for epoch in range(30):
        ...     optimizer.zero_grad()
        ...     output = model(data.x, data.edge_index)[data.train_mask]
        ...     torch.nn.functional.cross_entropy(output, data.y[data.train_mask]).backward()
        ...     _ = optimizer.step()
        >>> [node for node, score in influences(model, data, 1, target=0).proponents(count=1)]
        [0]
    """
    return TrainedOn(model, data, curvature=curvature).influences(index, target)


class TrainedOn:
    """What a model was trained on, made ready for many questions of :func:`influences`, whose arguments it takes.

    Example:
        >>> TrainedOn(trained, data).influences(3).train
        tensor([0, 5])
    """

    def __init__(self, model: nn.Module, data: Data, *, curvature: bool = True) -> None:
        check_data(data)
        check_type("model", model, nn.Module)
        model = unwrapped(model)
        states = recorded_states(model, data, required=not curvature)
        with evaluating(model), uncompiled():
            self._log_probs = current_log_probs(model, data)
            self._train = training_nodes(data, self._log_probs.size(1))
            self._label = data.y[self._train]
            every, last = trained_names(model, data)
            kind, names = (_Curved, every) if curvature else (_Plain, last)
            if curvature:
                states = states[len(states) // 2 :: 2] or [(0, current_state(model))]
            shares = [1 / len(states)] * len(states) if curvature else _steps([step for step, _ in states])
            self._seen = [
                kind(Jacobian(model, data, weights, names), self._train, self._label) for _, weights in states
            ]
            self._shares = [share / self._train.numel() for share in shares]

    def influences(
        self, index: int | Sequence[int] | Tensor | None = None, target: int | Sequence[int] | Tensor | None = None
    ) -> Influences:
        """Find the training nodes behind predictions; see :func:`influences`."""
        num_nodes, device = self._log_probs.size(0), self._log_probs.device
        chosen = check_index(index, num_nodes, device)
        queries = torch.arange(num_nodes, device=device) if chosen is None else chosen
        classes = asked_classes(target, self._log_probs, queries)
        scores = self._log_probs.new_zeros(queries.numel(), self._train.numel())
        for seen, share in zip(self._seen, self._shares, strict=True):
            for start in range(0, queries.numel(), seen.jacobian.at_once):
                part = slice(start, start + seen.jacobian.at_once)
                scores[part] += share * seen.products(seen.jacobian.gradients(queries[part], classes[part]))
        return Influences(queries, classes, self._train, self._label, scores)


class _Plain:
    """The training nodes' gradients at some weights, to be multiplied with."""

    def __init__(self, jacobian: Jacobian, train: Tensor, label: Tensor) -> None:
        self.jacobian, self._train, self._label = jacobian, train, label

    def products(self, rows: Tensor) -> Tensor:
        """Inner products with vectors, at most ``at_once`` of them, ``[num_rows, num_train]``."""
        return self.jacobian.products(rows, self._train, self._label)


class _Curved(_Plain):
    """The same, divided by the curvature."""

    def __init__(self, jacobian: Jacobian, train: Tensor, label: Tensor) -> None:
        super().__init__(jacobian, train, label)
        curvature = Curvature(jacobian, train)
        self._directions = curvature.directions
        parts = [super(_Curved, self).products(rows) for rows in self._directions.split(jacobian.at_once)]
        self._divided = curvature.divide(torch.cat(parts).t())

    def products(self, rows: Tensor) -> Tensor:
        return rows @ self._directions.t() @ self._divided.t()


def _steps(steps: Sequence[int]) -> list[float]:
    """How many steps each recorded one stands for."""
    gaps = torch.tensor(steps, dtype=torch.float).diff() / 2
    found: list[float] = (F.pad(gaps, (0, 1)) + F.pad(gaps, (1, 0))).tolist()
    return found
