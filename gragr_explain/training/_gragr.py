"""GraGR: training that corrects conflicting gradients, and remembers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.context import GradientContext, Reasoner
from gragr_explain.errors import HistoryMismatchError
from gragr_explain.field import GraphOperator, conflict_energy
from gragr_explain.history import (
    ATTRIBUTE,
    GradientHistory,
    GradientRecorder,
    class_log_probs,
    find_history,
    hidden_layer,
    hidden_representation,
    message_edges,
    self_labels,
    tap,
)
from gragr_explain.inputs import forward_arguments
from gragr_explain.training._correction import check_settings, correct_field
from gragr_explain.training._hyperparameters import hyperparameters_of
from gragr_explain.training._loop import check_training, train_full_batch


class GraGR(nn.Module):
    r"""The Gradient-Guided Graph Reasoner around a model for node classification.

    The wrapper's forward pass is the model's own. :meth:`fit` trains it: in each backward pass, hooks on the hidden
    representations replace the gradient field by its corrected one (GraGR paper, sections 4.1 and 4.2: conflicts
    detected by eq. 1, projected by eq. 3, smoothed by eq. 4), so that the correction costs no second pass. What the
    gradients were before their correction is recorded in :attr:`history`, from which explanations are made.

    Args:
        model: A model made of ``MessagePassing`` layers that returns class scores (or log-probabilities) of shape
            ``[num_nodes, num_classes]``.
        tau_mag: Norm above which a gradient counts (eq. 1), in units of the mean gradient norm. Here and below,
            ``None`` takes the paper's Table 5 for the model's kind of layers.
        tau_cos: Cosine below which a gradient opposes its neighbours' mean (eq. 1).
        lambda_smooth: Strength of the smoothing (eq. 4).
        smooth_iters: Its number of Jacobi steps.
        alpha_smooth: The share of the smoothed field in the corrected one.
        correct: Whether to correct gradients at all. Without, :meth:`fit` is plain training that is recorded.
        auxiliary_weight: Weight of the Reasoner's class signal (eq. 16), which is added to the model's scores once
            :meth:`fit` has made it. The signal knows the training labels, so compare on nodes outside the training.

    Attributes:
        reasoner: The :class:`~gragr_explain.context.Reasoner`, trained at the end of :meth:`fit`.
        class_signal: Its class scores for each node of the graph trained on, ``[num_nodes, num_classes]``.

    Raises:
        UnsupportedModelError: If the model has no message-passing layer.
        InvalidArgumentError: If a threshold or strength is out of range.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1]), torch.tensor([True, False, True, False])
        >>> trained = GraGR(GCN(4, 8, num_layers=2, out_channels=2)).fit(data, epochs=30, progress=False)
        >>> trained(data.x, data.edge_index).shape, trained.history.num_steps
        (torch.Size([4, 2]), 30)
    """

    reasoner: Reasoner | None
    class_signal: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        *,
        tau_mag: float | None = None,
        tau_cos: float | None = None,
        lambda_smooth: float | None = None,
        smooth_iters: int | None = None,
        alpha_smooth: float | None = None,
        correct: bool = True,
        auxiliary_weight: float = 0.0,
    ) -> None:
        super().__init__()
        given = {
            "tau_mag": tau_mag,
            "tau_cos": tau_cos,
            "lambda_smooth": lambda_smooth,
            "smooth_iters": smooth_iters,
            "alpha_smooth": alpha_smooth,
        }
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self.settings = replace(hyperparameters_of(model), **chosen)
        check_settings(self.settings)
        self.model = model
        self.correct = correct
        self.auxiliary_weight = auxiliary_weight
        self.register_module("reasoner", None)
        self.register_buffer("class_signal", None)

    @property
    def history(self) -> GradientHistory | None:
        """What was recorded of the training; ``None`` before :meth:`fit`."""
        return find_history(self)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The model's own forward pass, plus the auxiliary signal where it has a weight.

        Raises:
            HistoryMismatchError: If the signal is asked for on a graph of another size than the one trained on.
        """
        output = self.model(*args, **kwargs)
        if self.auxiliary_weight == 0 or self.class_signal is None:
            return output
        if output.shape != self.class_signal.shape:
            raise HistoryMismatchError(
                f"the auxiliary signal belongs to outputs of shape {list(self.class_signal.shape)}, "
                f"got {list(output.shape)}"
            )
        return output + self.auxiliary_weight * self.class_signal

    def fit(
        self,
        data: Data,
        epochs: int = 100,
        *,
        lr: float | None = None,
        weight_decay: float | None = None,
        patience: int | None = None,
        record: bool = True,
        progress: bool = True,
    ) -> GraGR:
        """Train on a whole graph with Adam and cross entropy.

        Args:
            data: The graph, with ``x``, ``edge_index``, ``y`` and ``train_mask``; ``val_mask`` where there is one.
            epochs: The number of epochs.
            lr: The learning rate; ``None`` takes Table 5's, as for ``weight_decay``.
            weight_decay: The weight decay.
            patience: The number of epochs without a better validation accuracy after which to stop and go back to
                the best weights. ``None`` trains to the end and keeps the last.
            record: Whether to record a :attr:`history`, and train the Reasoner on it.
            progress: Whether to show a progress bar with the loss, the validation accuracy, the share of nodes in
                conflict and the conflict energy.

        Returns:
            The wrapper itself, in evaluation mode.

        Raises:
            InvalidTypeError: If the graph, its labels or masks are of the wrong type.
            InvalidGraphError: If the graph or its labels cannot be trained on.
            InvalidArgumentError: If ``epochs`` or ``patience`` is not positive, or ``lr`` or ``weight_decay`` negative.
            UnsupportedModelError: If the model has nothing to train, or does not return a score per node and class.
            TrainingError: If the loss is not finite; the model then has the last weights whose loss was.
        """
        lr = self.settings.lr if lr is None else lr
        weight_decay = self.settings.weight_decay if weight_decay is None else weight_decay
        check_training(self.model, data, epochs, patience, lr=lr, weight_decay=weight_decay)
        graph = GraphOperator(message_edges(self.model, data.edge_index), data.x.size(0))
        self.reasoner, self.class_signal = None, None
        for recorded in (self, self.model):
            vars(recorded).pop(ATTRIBUTE, None)
        history = GradientHistory()
        with ExitStack() as hooks:
            if record:  # enters before the correction, and so records what the loss asked for
                recorder = GradientRecorder(self.model, data, count_conflicts=not self.correct)
                history = hooks.enter_context(recorder)
            if self.correct:
                hooks.enter_context(tap(self.model, self._corrector(graph, history)))
            train_full_batch(
                self.model,
                data,
                epochs=epochs,
                lr=lr,
                weight_decay=weight_decay,
                patience=patience,
                curves=history.curves,
                progress=progress,
            )
        self.eval()
        if record:
            self._reason(data, graph, history)
        return self

    def _corrector(self, graph: GraphOperator, history: GradientHistory) -> Callable[[list[Tensor], Tensor], None]:
        """A listener that corrects the gradients of all hidden layers, and counts conflicts in the recorded one."""

        def count(field: Tensor, conflict: Tensor) -> None:
            if history.conflict_count is None:
                history.conflict_count = field.new_zeros(field.size(0))
            history.conflict_count += conflict
            history.curves.setdefault("conflict_share", []).append(float(conflict.float().mean()))
            history.curves.setdefault("conflict_energy", []).append(float(conflict_energy(field, graph)))

        def listen(outputs: list[Tensor], output: Tensor) -> None:
            top = hidden_layer(outputs, output)
            for layer, hidden in enumerate(outputs[: top + 1]):

                def replace_gradient(field: Tensor, counts: bool = layer == top) -> Tensor:
                    corrected, conflict = correct_field(field, graph, self.settings)
                    if counts:
                        count(field, conflict)
                    return corrected

                if hidden.requires_grad:
                    hidden.register_hook(replace_gradient)

        return listen

    @torch.no_grad()
    def _reason(self, data: Data, graph: GraphOperator, history: GradientHistory) -> None:
        hidden, output = hidden_representation(
            self.model, data.x, data.edge_index, **forward_arguments(self.model, data)
        )
        log_probs = class_log_probs(output)
        context = GradientContext.from_field(history.field("self"), graph, "self", log_probs.amax(-1).exp())
        label = self_labels(log_probs, data.y, data.train_mask)
        self.reasoner = Reasoner(hidden.size(1), output.size(1)).to(output.device)
        self.reasoner.fit(context.psi, context.valid, hidden, label)
        self.class_signal = self.reasoner.classify(self.reasoner(context.psi, context.valid))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Make room for what only a trained wrapper has, then load as every module does."""
        device = next((parameter.device for parameter in self.model.parameters()), None)
        self.reasoner = self.class_signal = None
        decoder, classifier = (state_dict.get(f"{prefix}reasoner.{name}.weight") for name in ("decoder", "classifier"))
        if decoder is not None and classifier is not None:
            self.reasoner = Reasoner(decoder.size(0), classifier.size(0), decoder.size(1)).to(device)
        signal = state_dict.get(f"{prefix}class_signal")
        if signal is not None:
            self.class_signal = torch.empty_like(signal, device=device)
        super()._load_from_state_dict(state_dict, prefix, *args)
