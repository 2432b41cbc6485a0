"""GraGR and GraGR++: training that corrects conflicting gradients, and remembers them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.arguments import check_number
from gragr_explain.context import GradientContext, Reasoner
from gragr_explain.errors import HistoryMismatchError
from gragr_explain.field import GraphOperator
from gragr_explain.history import (
    ATTRIBUTE,
    GradientHistory,
    GradientRecorder,
    class_log_probs,
    copy_weights,
    find_history,
    hidden_representation,
    message_edges,
    self_labels,
)
from gragr_explain.inputs import forward_arguments, trial_output
from gragr_explain.messages import edge_mask_applied, mask_dtype
from gragr_explain.modes import unwrapped
from gragr_explain.training._hyperparameters import check_hyperparameters, hyperparameters_of
from gragr_explain.training._loop import check_training, train_full_batch
from gragr_explain.training._pathway import ConflictPathway, layer_sizes
from gragr_explain.training._reasoning import GradientReasoning
from gragr_explain.training._switches import Switches, check_switches, check_validation
from gragr_explain.training._trajectories import Selection, select_trajectory

_PATHWAY_WEIGHT = re.compile(r"pathway\.layers\.(\d+)\.weight")


class GraGR(nn.Module):
    r"""The Gradient-Guided Graph Reasoner around a model for node classification.

    The wrapper's forward pass is the model's own, unless attention or a pathway is switched on. :meth:`fit` trains it:
    in each backward pass, hooks on the hidden representations replace the gradient field by its corrected one (GraGR
    paper, sections 4.1 and 4.2: conflicts detected by eq. 1, projected by eq. 3, smoothed by eq. 4), so that the
    correction costs no second pass. What the gradients were before their correction is recorded in :attr:`history`,
    from which explanations are made. Every part is a switch; :class:`GraGRPlusPlus` has others switched on.

    Args:
        model: A model made of ``MessagePassing`` layers that returns class scores (or log-probabilities) of shape
            ``[num_nodes, num_classes]``.
        conflict: Whether to project conflicting gradients (section 4.1).
        alignment: Whether to smooth gradients along the edges (section 4.2).
        attention: Whether messages are weighed by the agreement of gradients (section 4.3, eq. 5): those of the
            ``"training"`` loss, which know the training labels, or of the loss against the model's own
            ``"predicted"`` labels, which do not; or ``None``. Taken of the gradients' directions, averaged over epochs.
        meta: What has a weight in the loss that is learned by hypergradient (section 4.4, eqs. 7 and 8): every
            training ``"node"``, every ``"class"`` (by the sum of its nodes' losses), or nothing (``None``).
        meta_objective: What the hypergradient lowers: the ``"validation"`` loss, which needs a ``val_mask``, or the
            ``"conflict"`` loss; at the weights of the epoch, as of an infinitely small inner step.
        conflict_weight: The weight :math:`\lambda_{\text{conf}}` of the conflict loss (eqs. 2 and 7), as a share of the
            loss.
        exact_conflict: Whether to differentiate it by double backward; else with the gradients' own derivative
            stopped (:func:`conflict_term`).
        schedule: Whether to reason only once the loss has reached a plateau (section 5.2, eq. 14). Until then, an epoch
            is one of the base model; what attention and pathway have opened by then stays open. Weights of the loss
            alone (``meta``) are learned from the first epoch, before wrong labels are.
        schedule_threshold: The share of the loss by which an epoch must improve it to keep the gate closed.
        schedule_min_epochs: The number of epochs for which it stays closed in any case.
        pathway: Whether each layer has a second way for graphs whose neighbours oppose each other (section 5.1,
            eqs. 12 and 13; :class:`ConflictPathway`).
        pathway_threshold: How much the first gradients of neighbours must oppose each other for it to open, relative to
            those of any two nodes (:func:`relative_conflict` of the :func:`first_field`).
        pathway_epochs: The number of epochs in which it opens, after three times as many without it. After three times
            as many with it, it must have helped on validation nodes, or the training goes back to where it was.
        seeds: From how many initialisations to choose the one to train on (section 5.1, eqs. 9 to 11). The first is the
            model as it is.
        seed_epochs: For how many epochs each is trained; ``None`` is a twentieth of them all.
        tau_mag: Norm above which a gradient counts (eq. 1), in units of the mean gradient norm. Here and below,
            ``None`` takes the paper's Table 5 for the model's kind of layers.
        tau_cos: Cosine below which a gradient opposes its neighbours' mean (eq. 1).
        lambda_smooth: Strength of the smoothing (eq. 4).
        smooth_iters: Its number of Jacobi steps.
        alpha_smooth: The share of the smoothed field in the corrected one.
        beta_start: The sharpness of the attention when it begins.
        beta_end: The same at the end of the training.
        meta_lr: The rate of the hypergradient descent. Weights of single nodes by the validation loss have none
            (:func:`reweight`).
        auxiliary_weight: Weight of the Reasoner's class signal (eq. 16), which is added to the model's scores once
            :meth:`fit` has made it. The signal knows the training labels, so compare on nodes outside the training.

    Attributes:
        settings: The numbers of Table 5 that are used.
        switches: What is switched on.
        curves: One number per epoch, by name: ``"loss"``, ``"val_acc"``, and what the parts write, such as
            ``"conflict_energy"``; those of the history, where one is recorded.
        reasoner: The :class:`~gragr_explain.context.Reasoner`, trained at the end of :meth:`fit`.
        class_signal: Its class scores for each node of the graph trained on, ``[num_nodes, num_classes]``.
        loss_weights: The weight of each training node in the last epoch's loss, ``[num_train]``; ``None`` without
            ``meta``.
        attention: What messages are multiplied by, ``[num_edges]``, one where all neighbours agree alike.
        pathway: The :class:`ConflictPathway`; its ``beta`` says whether it is open.
        selection: The outcome of the seed selection.

    Raises:
        UnsupportedModelError: If the model has no message-passing layer.
        InvalidArgumentError: If a threshold or strength is out of range, or switches contradict each other.
        InvalidTypeError: If one of them is no number, a number of epochs or seeds no integer, or a flag no boolean.

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
    attention: Tensor | None
    attention_edges: Tensor | None
    pathway: ConflictPathway | None

    def __init__(
        self,
        model: nn.Module,
        *,
        conflict: bool = True,
        alignment: bool = True,
        attention: Literal["training", "predicted"] | None = None,
        meta: Literal["node", "class"] | None = None,
        meta_objective: Literal["validation", "conflict"] = "validation",
        conflict_weight: float = 0.0,
        exact_conflict: bool = False,
        schedule: bool = False,
        schedule_threshold: float = 1e-3,
        schedule_min_epochs: int = 10,
        pathway: bool = False,
        pathway_threshold: float = 0.5,
        pathway_epochs: int = 10,
        seeds: int = 1,
        seed_epochs: int | None = None,
        tau_mag: float | None = None,
        tau_cos: float | None = None,
        lambda_smooth: float | None = None,
        smooth_iters: int | None = None,
        alpha_smooth: float | None = None,
        beta_start: float | None = None,
        beta_end: float | None = None,
        meta_lr: float | None = None,
        auxiliary_weight: float = 0.0,
    ) -> None:
        super().__init__()
        check_number("auxiliary_weight", auxiliary_weight, least=0)
        given = {
            "tau_mag": tau_mag,
            "tau_cos": tau_cos,
            "lambda_smooth": lambda_smooth,
            "smooth_iters": smooth_iters,
            "alpha_smooth": alpha_smooth,
            "beta_start": beta_start,
            "beta_end": beta_end,
            "meta_lr": meta_lr,
        }
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self.settings = replace(hyperparameters_of(model), **chosen)
        check_hyperparameters(self.settings)
        self.switches = Switches(
            conflict=conflict,
            alignment=alignment,
            attention=attention,
            meta=meta,
            meta_objective=meta_objective,
            conflict_weight=conflict_weight,
            exact_conflict=exact_conflict,
            schedule=schedule,
            schedule_threshold=schedule_threshold,
            schedule_min_epochs=schedule_min_epochs,
            pathway=pathway,
            pathway_threshold=pathway_threshold,
            pathway_epochs=pathway_epochs,
            seeds=seeds,
            seed_epochs=seed_epochs,
        )
        check_switches(self.switches, chosen)
        self.model = model
        self.auxiliary_weight = auxiliary_weight
        self.loss_weights: Tensor | None = None
        self.curves: dict[str, list[float]] = {}
        self.selection: Selection | None = None
        for module in ("reasoner", "pathway"):
            self.register_module(module, None)
        for buffer in ("class_signal", "attention", "attention_edges"):
            self.register_buffer(buffer, None)

    @property
    def history(self) -> GradientHistory | None:
        """What was recorded of the training; ``None`` before :meth:`fit`."""
        return find_history(self)

    def forward(self, x: Tensor, edge_index: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The model's own forward pass, with attention, pathway and auxiliary signal where there are any.

        Raises:
            HistoryMismatchError: If attention or signal are asked for on another graph than the one trained on.
        """
        with ExitStack() as parts:
            if self.pathway is not None:
                parts.enter_context(self.pathway.joined(self.model))
            if self.attention is not None:
                if self.attention_edges is None or not torch.equal(edge_index, self.attention_edges):
                    raise HistoryMismatchError(
                        f"the attention belongs to the {self.attention.numel()} edges trained on, got other "
                        f"{edge_index.size(1)} edges; train with attention=None"
                    )
                parts.enter_context(edge_mask_applied(self.model, self.attention.to(mask_dtype(x)), edge_index))
            output = self.model(x, edge_index, *args, **kwargs)
        if self.auxiliary_weight == 0 or self.class_signal is None:
            return output
        if output.shape != self.class_signal.shape:
            raise HistoryMismatchError(
                f"the auxiliary signal belongs to outputs of shape {list(self.class_signal.shape)}, "
                f"got {list(output.shape)}"
            )
        return output + self.auxiliary_weight * self.class_signal

    def attend(self, alpha: Tensor, graph: GraphOperator, edge_index: Tensor) -> None:
        """Weigh messages by attention.

        Args:
            alpha: The weights of each node's neighbours (eq. 5) of shape ``[num_edges]``, which add up to one.
            graph: The prepared graph; its degrees scale the weights, so that uniform ones leave the model as it is.
            edge_index: The edges of shape ``[2, num_edges]``, as the model is called with them.
        """
        links, receiver = graph.edge_slot >= 0, message_edges(self.model, edge_index)[1]
        self.attention = torch.ones_like(alpha).detach()
        scale = graph.degree[receiver[links]] * graph.multiplicity[graph.edge_slot[links]]
        self.attention[links] = alpha.detach()[links] * scale
        self.attention_edges = edge_index.clone()  # the caller's own may change in place

    @torch.enable_grad()
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
    ) -> Self:
        """Train on a whole graph with Adam and cross entropy, with all modules in training mode.

        Args:
            data: The graph, with ``x``, ``edge_index``, ``y`` and ``train_mask``; ``val_mask`` where there is one.
            epochs: The number of epochs, those of the chosen seed included. Of one epoch none is left to choose a seed
                in, and the model's own is trained.
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
            InvalidArgumentError: If ``epochs`` or ``patience`` is not positive, ``lr`` or ``weight_decay`` negative, or
                there is no ``val_mask`` for what needs one.
            UnsupportedModelError: If the model has nothing to train, does not return a score per node and class, or is
                frozen where a switch needs gradients, or has layers that no pathway fits.
            TrainingError: If the loss is not finite; the model then has the last weights whose loss was.
        """
        lr = self.settings.lr if lr is None else lr
        weight_decay = self.settings.weight_decay if weight_decay is None else weight_decay
        num_classes = check_training(self.model, data, epochs, patience, lr=lr, weight_decay=weight_decay)
        switches = self.switches
        check_validation(switches, data, num_classes)
        sizes = layer_sizes(self.model, lambda: trial_output(self.model, data)) if switches.pathway else []
        self._forget()
        graph = GraphOperator(message_edges(self.model, data.edge_index), data.x.size(0))
        moments = best = first = None
        if switches.seeds > 1 and epochs > 1:
            first = copy_weights(self.model)
            ahead = min(epochs - 1, switches.seed_epochs or max(1, epochs // 20))
            self.selection = select_trajectory(
                self.model,
                data,
                seeds=switches.seeds,
                epochs=ahead,
                lr=lr,
                weight_decay=weight_decay,
                progress=progress,
            )
            self.model.load_state_dict(self.selection.weights)
            moments, epochs = self.selection.moments, epochs - ahead
            peak = {f"model.{name}": value for name, value in self.selection.best.items()}
            best = (peak, float(self.selection.val_acc[self.selection.chosen].max()))
        if switches.pathway:
            with torch.random.fork_rng(devices=[]):  # dropout draws what it draws without a pathway
                self.pathway = ConflictPathway(sizes).to(data.x.device, self._dtype)
        history = GradientHistory()
        aside: Callable[[], AbstractContextManager[None]] = nullcontext
        counts = switches.corrects and not switches.schedule  # as a by-product of every epoch
        with ExitStack() as hooks:
            hooks.callback(self.eval)
            if record:  # enters before the correction, and so records what the loss asked for
                parts = partial(self._parts, data.edge_index.size(1))
                recorder = GradientRecorder(self.model, data, count_conflicts=not counts, around=parts)
                recorder.history.start = first or {}  # an audit trains again from weights that have seen no label
                history, aside = hooks.enter_context(recorder), recorder.paused
            self.curves = history.curves
            reasoning = None
            if switches.reasons:
                reasoning = GradientReasoning(self, data, graph, history, epochs, num_classes, aside, counts)
                hooks.enter_context(reasoning.listening())
            train_full_batch(
                self,
                data,
                epochs=epochs,
                lr=lr,
                weight_decay=weight_decay,
                patience=patience,
                curves=history.curves,
                progress=progress,
                moments=moments,
                best=best,
                reasoning=reasoning,
            )
        if "self" in history.fields:  # frozen layers have no gradients
            self._reason(data, graph, history)
        return self

    @property
    def _dtype(self) -> torch.dtype:
        """The type of the model's numbers."""
        numbers = (parameter.dtype for parameter in self.model.parameters() if parameter.is_floating_point())
        return next(numbers, torch.get_default_dtype())

    def _parts(self, num_edges: int) -> dict[str, Tensor]:
        """What is around the model in an epoch; attention that is not there yet is one of ones."""
        parts = {} if self.pathway is None else self.pathway.state_dict(prefix="pathway.")
        if self.switches.attention:
            parts["attention"] = torch.ones(num_edges) if self.attention is None else self.attention
        return parts

    def _forget(self) -> None:
        """Leave nothing of an earlier training but the model's weights."""
        self.reasoner = self.class_signal = self.pathway = self.attention = self.attention_edges = None
        self.loss_weights = self.selection = None
        for recorded in (self, self.model, unwrapped(self.model)):
            vars(recorded).pop(ATTRIBUTE, None)

    @torch.no_grad()
    def _reason(self, data: Data, graph: GraphOperator, history: GradientHistory) -> None:
        hidden, output = hidden_representation(self, data.x, data.edge_index, **forward_arguments(self, data))
        log_probs = class_log_probs(output)
        context = GradientContext.from_field(history.field("self"), graph, "self", log_probs.amax(-1).exp())
        label = self_labels(log_probs, data.y, data.train_mask)
        self.reasoner = Reasoner(hidden.size(1), output.size(1)).to(output.device)
        self.reasoner.fit(context.psi, context.valid, hidden, label)
        self.class_signal = self.reasoner.classify(self.reasoner(context.psi, context.valid))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Make room for what only a trained wrapper has, then load as every module does."""
        device = next((parameter.device for parameter in self.model.parameters()), None)
        own = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
        self.reasoner = None
        if "reasoner.decoder.weight" in own and "reasoner.classifier.weight" in own:
            decoder, classifier = own["reasoner.decoder.weight"], own["reasoner.classifier.weight"]
            self.reasoner = Reasoner(decoder.size(0), classifier.size(0), decoder.size(1)).to(device)
        if self.pathway is None or "pathway.beta" not in own:  # an existing one keeps its parameters
            layers = {int(found[1]): value for name, value in own.items() if (found := _PATHWAY_WEIGHT.fullmatch(name))}
            sizes = [(layers[number].size(1), layers[number].size(0)) for number in sorted(layers)]
            with torch.random.fork_rng(devices=[]):
                self.pathway = ConflictPathway(sizes).to(device, self._dtype) if sizes else None
        for name in ("class_signal", "attention", "attention_edges"):
            value = own.get(name)
            setattr(self, name, None if value is None else torch.empty_like(value, device=device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class GraGRPlusPlus(GraGR):
    r"""GraGR++: GraGR that reasons only where it has earned it (GraGR paper, section 5).

    Seed selection (eqs. 9 to 11), the conflict pathway (eq. 13) and the adaptive scheduler (eq. 14) are switched on;
    all else is as for :class:`GraGR`. While the gate of the scheduler is closed, an epoch is one of the base model.

    Args:
        model: As for :class:`GraGR`, as are all other arguments.
        schedule: Whether to reason only once the loss has reached a plateau.
        pathway: Whether each layer has a second way for graphs whose neighbours oppose each other.
        seeds: From how many initialisations to choose the one to train on.
        **options: All other arguments of :class:`GraGR`.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1]), torch.tensor([True, False, True, False])
        >>> data.val_mask = ~data.train_mask
        >>> trained = GraGRPlusPlus(GCN(4, 8, num_layers=2, out_channels=2)).fit(data, epochs=30, progress=False)
        >>> trained.selection.val_loss.shape
        torch.Size([4, 1])
    """

    def __init__(
        self, model: nn.Module, *, schedule: bool = True, pathway: bool = True, seeds: int = 4, **options: Any
    ) -> None:
        super().__init__(model, schedule=schedule, pathway=pathway, seeds=seeds, **options)
