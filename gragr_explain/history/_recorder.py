"""Recording gradient fields around any training loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.arguments import check_number
from gragr_explain.errors import (
    HistoryMismatchError,
    InvalidGraphError,
    InvalidTypeError,
    UnsupportedModelError,
    warn_caller,
)
from gragr_explain.field import GraphOperator, alignment, detect_conflicts, neighbour_mean, neighbour_sum
from gragr_explain.history._arguments import listen_to_arguments
from gragr_explain.history._history import GradientHistory, find_history, graph_digest
from gragr_explain.history._known_weights import knows_weights, weights_checksum
from gragr_explain.history._predictions import class_log_probs, margins, self_labels
from gragr_explain.history._running import FieldRecord, Trajectory, full_precision
from gragr_explain.history._tap import Hook, hidden_layer, message_edges, message_passing_layers, tap
from gragr_explain.labels import classes_of, mask_of, validation_classes
from gragr_explain.modes import unwrapped

WEIGHT_SNAPSHOTS = 8


class GradientRecorder:
    r"""Records a model's :class:`GradientHistory` while any loop trains it.

    Works for every model that is made of :class:`~torch_geometric.nn.MessagePassing` layers and is trained on one
    whole graph at a time. The model computes exactly what it computes without: hooks read the gradients of the
    backward passes that the loop makes anyway; only every ``self_field_every`` steps, the *self* field takes one
    more, through the layers above the recorded one.

    A step is a forward pass in training mode with all the backward passes through it, whose gradients are added up, as
    the parameters' are. It is counted when the next one begins or the recording stops. Gradients are those of the loss
    that is differentiated: with a ``GradScaler``, of the scaled one, and so longer by its scale, which changes norms
    and what a step weighs in the means, but no direction.

    Args:
        model: The model to record; of one that ``torch.compile`` or ``DataParallel`` has wrapped, the model inside.
        data: The graph it is trained on. Where given, the self field uses the true labels of the training nodes
            (``data.y``, ``data.train_mask``), conflicts (eq. 1) are counted along ``data.edge_index``, how the self
            field agrees with the neighbours' is traced, the labels of the validation nodes (``data.val_mask``) are kept
            for explanations to judge the model by, and the history belongs to the graph of these features and edges
            alone (:meth:`GradientHistory.check_graph`).
        layer: The message-passing layer whose output is the hidden representation ``h``. By default the last but
            one of a model with an output per node, and the last of others.
        self_field_every: The number of steps from one record of the self field to the next.
        snapshots: Steps, counted from 0, at which the whole training field is kept.
        count_conflicts: Whether to count, at every step, which nodes are in conflict. The magnitude threshold of
            eq. 1 is a tenth of the mean norm, since the unit of a gradient depends on how the loss is averaged.
        around: What gives the state of what a wrapper puts around the model while it trains, by its name in the
            wrapper. It is kept beside the model's weights.

    Raises:
        UnsupportedModelError: If the model has no message-passing layer; from a forward pass while recording, if it
            does not return one tensor, or has no such ``layer``.
        InvalidArgumentError: If ``self_field_every`` is not positive, or a step of ``snapshots`` negative.
        InvalidTypeError: If ``data`` is no :class:`~torch_geometric.data.Data`, or a number none; when it starts, if a
            ``val_mask`` is no boolean tensor.
        HistoryMismatchError: From a forward pass of the model while recording, if it is given another graph.
        InvalidGraphError: Likewise, if labels or training mask do not fit the model's outputs; when it starts, if a
            ``val_mask`` does not fit the graph, for example because it holds many splits.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> model, x, edge_index = GCN(3, 4, 2, 2), torch.rand(3, 3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> with GradientRecorder(model) as history:
        ...     for epoch in range(10):
        ...         optimizer.zero_grad()
        ...         loss = torch.nn.functional.cross_entropy(model(x, edge_index)[:2], torch.tensor([0, 1]))
        ...         loss.backward()
        ...         _ = optimizer.step()
        >>> history.num_steps, history.field("training").shape
        (10, torch.Size([3, 4]))
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data | None = None,
        *,
        layer: int | None = None,
        self_field_every: int = 10,
        snapshots: Collection[int] = (),
        count_conflicts: bool = True,
        around: Callable[[], Mapping[str, Tensor]] = dict,
    ) -> None:
        message_passing_layers(model)
        check_number("layer", layer, whole=True, optional=True)
        check_number("self_field_every", self_field_every, whole=True, least=1)
        if not isinstance(snapshots, Collection):
            raise InvalidTypeError(f"expected snapshots as a collection of steps, got {snapshots!r}")
        for step in snapshots:
            check_number("a step of snapshots", step, whole=True, least=0)
        if not (data is None or isinstance(data, Data)):
            raise InvalidTypeError(f"expected a torch_geometric.data.Data or None, got {type(data).__name__}")
        self.model = unwrapped(model)
        self.layer = layer
        self.self_field_every = self_field_every
        self.snapshots = frozenset(snapshots)
        self.history = GradientHistory()
        self._num_nodes = data.num_nodes if data is not None else None
        self._graph = None
        self._counts_conflicts = count_conflicts
        if data is not None and (count_conflicts or data.edge_index is not None):
            self._graph = GraphOperator(message_edges(model, data.edge_index), data.num_nodes or 0)
        self._data = data
        self._around = around
        self._forwards = 0
        self._pending: tuple[int, Tensor] | None = None
        self._weight_stride = 1
        self._checksums: list[Tensor] = []
        self._running = ExitStack()
        self._started = False
        self._paused = False
        self._updates = _Updates(self.model)

    def start(self) -> GradientHistory:
        """Begin to record, and return the history, which fills while the model trains."""
        before = find_history(self.model)
        if before is not None and before is not self.history and knows_weights(before, self.model):
            warn_caller(
                f"the model's history of {before.num_steps} steps is replaced by that of what is recorded now: "
                "what is told of how the model learned will be of this part of its training alone"
            )
        if not self._started:
            self._thin_weights()  # where an earlier recording ended is not the end any more
            if self._data is not None and self._data.x is not None and self._data.edge_index is not None:
                mask_of(self._data, "val_mask")
                self.history.graph_digest = graph_digest(self._data.x, self._data.edge_index)
                self.history.validation = validation_classes(self._data)
            self.history.checksums = None
            self._running.enter_context(tap(self.model, self._on_forward))
            self._running.enter_context(listen_to_arguments(self.model, self.history.arguments))
            self._running.enter_context(self.model.register_forward_hook(Hook(self._updates.after_pass)))
            self._started = True
        self.history.attach(self.model)
        return self.history

    def stop(self) -> GradientHistory:
        """Stop recording and remove every hook; the history stays on the model."""
        if self._started:
            self._running.close()
            self._started = False
            self._settle()
            if self.history.num_steps:
                self._copy_state(self._forwards)
                self._checksums.append(weights_checksum(self.model))
                self.history.checksums = torch.stack([found.cpu() for found in self._checksums]).unique()
            if (unseen := self._updates.close()) > self.history.num_steps:
                warn_caller(
                    f"{unseen} updates of the model's weights followed passes in evaluation mode, which are not "
                    f"recorded, and {self.history.num_steps} steps are: call model.train() before each step of training"
                )
        return self.history

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record no gradient as long as the context lasts, for backward passes that are made beside the training."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def __enter__(self) -> GradientHistory:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _on_forward(self, outputs: list[Tensor], output: Tensor) -> None:
        hidden = outputs[hidden_layer(outputs, output, self.layer)]
        if not hidden.requires_grad:
            return
        self._check_hidden(hidden)
        self._settle()
        step = self._forwards
        self._forwards += 1
        self._checksums.append(weights_checksum(self.model))
        if step % self._weight_stride == 0:
            self._keep_weights(step)
        if output.dim() <= 2 and output.shape[:1] == hidden.shape[:1]:
            self._on_predictions(hidden, output, step)
        hidden.register_hook(lambda gradient: self._on_gradient(gradient, step))

    def _check_hidden(self, hidden: Tensor) -> None:
        if hidden.dim() != 2:
            raise UnsupportedModelError(
                f"expected a hidden representation of shape [num_nodes, channels], got {list(hidden.shape)}"
            )
        self._num_nodes = self._num_nodes or hidden.size(0)
        if hidden.size(0) != self._num_nodes:
            raise HistoryMismatchError(
                f"expected every step to train on the same whole graph of {self._num_nodes} nodes, "
                f"got one of {hidden.size(0)} nodes, or a layer that sees no more, as after pooling"
            )

    def _on_predictions(self, hidden: Tensor, output: Tensor, step: int) -> None:
        due = step % self.self_field_every == 0
        y, train_mask = self._truth(output)
        if y is not None and y.is_floating_point():
            if due:
                known = slice(None) if train_mask is None else train_mask
                error = output[known] - y.view_as(output)[known]
                self._record("self", _gradient(error.square().sum() / 2, hidden))
            return
        with torch.set_grad_enabled(due):
            log_probs = class_log_probs(output, by_columns=not due)
        label = self_labels(log_probs.detach(), y, train_mask)
        if due:
            loss = torch.nn.functional.nll_loss(log_probs, label, reduction="sum")
            field = _gradient(loss, hidden)
            self._record("self", field)
            if (graph := self._graph_on(field.device)) is not None:
                self._trace("alignment", alignment(field, neighbour_mean(field, graph)))
        probs = log_probs.detach().exp()
        self._trace("confidence", probs.amax(-1))
        self._trace("margin", margins(probs, label))

    def _graph_on(self, device: torch.device) -> GraphOperator | None:
        """The graph where the model is, to which data may be moved after the recorder was made."""
        if self._graph is not None and self._graph.device != device:
            edge_index = torch.stack([self._graph.col, self._graph.row]).to(device)
            self._graph = GraphOperator(edge_index, self._graph.num_nodes)
        return self._graph

    def _truth(self, output: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The labels, classes or the numbers of a regression, and which of them are trained on.

        Of a model with one output, floating-point labels that are all 0 or 1 are classes, as for binary cross-entropy.
        """
        y, train_mask = (None if self._data is None else self._data.get(name) for name in ("y", "train_mask"))
        train_mask = None if train_mask is None else train_mask.to(output.device)
        if y is None:
            return None, train_mask
        y = y.to(output.device)
        classes = classes_of(y, output.numel()) if y.is_floating_point() and output.shape[1:].numel() == 1 else None
        if classes is not None and int(classes.max()) <= 1:
            y = classes
        expected = output.shape if y.is_floating_point() else output.shape[:1]
        if y.numel() != expected.numel():
            raise InvalidGraphError(f"expected labels y of shape {list(expected)}, got {list(y.shape)}")
        if train_mask is not None and train_mask.shape != output.shape[:1]:
            raise InvalidGraphError(f"expected a train_mask of shape [{output.size(0)}], got {list(train_mask.shape)}")
        return y, train_mask

    def _on_gradient(self, gradient: Tensor, forward: int) -> None:
        if self._paused or torch.is_grad_enabled():
            return  # a derivative of the gradient is being taken; the pass that trains comes later
        field = full_precision(gradient.detach())
        if self._pending is not None and self._pending[0] == forward:
            field = self._pending[1] + field
        else:
            self._settle()
            field = field.clone()  # autograd may go on to write into it
        self._pending = forward, field

    def _settle(self) -> None:
        """Record what the backward passes through one forward pass have added up to."""
        if self._pending is None:
            return
        (_, field), self._pending = self._pending, None
        step = self.history.num_steps
        norm = self._record("training", field)
        if self.history.num_steps == step:
            return  # not finite, and so not recorded
        self._trace("norm", norm)
        if step in self.snapshots:
            self.history.snapshots["training", step] = field.clone()
        if self._counts_conflicts and (graph := self._graph_on(field.device)) is not None:
            context = neighbour_sum(field, graph)  # of the direction of the mean, which is all that counts here
            conflict = detect_conflicts(field, context, tau_mag=0.1 * float(norm.mean()), norm=norm)
            if self.history.conflict_count is None:
                self.history.conflict_count = torch.zeros_like(norm)
            self.history.conflict_count += conflict

    def _record(self, name: str, field: Tensor) -> Tensor:
        if name not in self.history.fields:
            self.history.fields[name] = FieldRecord.empty(field)
        return self.history.fields[name].update(field)

    def _trace(self, name: str, value: Tensor) -> None:
        if name not in self.history.trajectories:
            self.history.trajectories[name] = Trajectory(value.numel())
        self.history.trajectories[name].add(value)

    def _keep_weights(self, step: int) -> None:
        self._copy_state(step)
        if len(self.history.weights) > WEIGHT_SNAPSHOTS:
            self._weight_stride *= 2
            self._thin_weights()

    def _copy_state(self, step: int) -> None:
        self.history.weights[step] = copy_weights(self.model)
        if around := self._around():
            self.history.around[step] = {name: value.detach().clone() for name, value in around.items()}

    def _thin_weights(self) -> None:
        for states in (self.history.weights, self.history.around):
            for stale in [kept for kept in states if kept % self._weight_stride]:
                del states[stale]


class _Updates:
    """Counts the changes of a model's weights that follow passes in evaluation mode; passes without autograd aside."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._version, self._is_unseen, self._count = 0, False, 0

    def after_pass(self, model: nn.Module, _args: Any, output: Any) -> None:
        if not torch.is_grad_enabled():
            return
        self._count += self._is_unseen and self._version != self._now()
        self._version = self._now()
        self._is_unseen = not model.training and isinstance(output, Tensor) and output.requires_grad

    def close(self) -> int:
        """How many there were; the count begins anew."""
        count = self._count + (self._is_unseen and self._version != self._now())
        self._version, self._is_unseen, self._count = 0, False, 0
        return count

    def _now(self) -> int:
        return sum(parameter._version for parameter in self._model.parameters() if not parameter.is_inference())


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model's ``state_dict``, as they are now.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> before = copy_weights(layer)
        >>> _ = nn.init.zeros_(layer.weight)
        >>> bool((before["weight"] == layer.weight).all())
        False
    """
    return {name: value.detach().clone() for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def _gradient(loss: Tensor, hidden: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, hidden, retain_graph=True, allow_unused=True, materialize_grads=True)
    return full_precision(gradient).clone()  # its memory may be anyone's
