"""``GradientContextExplainer``: explanations from how a model learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.explain import ExplainerAlgorithm, Explanation
from torch_geometric.explain.config import ExplanationType, ModelTaskLevel

from gragr_explain.errors import InvalidArgumentError, InvalidTypeError
from gragr_explain.explain._context import ModelContext, model_context
from gragr_explain.explain._facts import output_facts, top_edges, top_features
from gragr_explain.explain._gradients import input_gradients
from gragr_explain.explain._masks import feature_evidence, support_mask
from gragr_explain.explain._memo import Memo
from gragr_explain.explain._objective import support
from gragr_explain.history import GradientHistory, find_history
from gragr_explain.inputs import check_graph, check_index
from gragr_explain.rationale import Rationale, TemplateWriter, Writer


class GradientExplanation(Explanation):
    """An explanation with texts, which belong to outputs and stay whole where PyG selects edges."""

    def is_edge_attr(self, key: str) -> bool:
        """Whether an entry has a value for each edge."""
        return not key.startswith("rationale") and super().is_edge_attr(key)


class GradientContextExplainer(ExplainerAlgorithm):
    r"""Explains a model's outputs by the gradients it learned with.

    For use with :class:`torch_geometric.explain.Explainer`. One backward pass gives the signed evidence of every edge
    and feature: the gradient of the output's log-likelihood with respect to a factor on the edge's messages, and
    gradient times input for features. The gradient attention of the training (GraGR paper, eq. 5) weighs edges whose
    ends learned together. What speaks for the output is scaled to masks in ``[0, 1]``; what speaks against it, and
    what lies outside the computation graph, is zero.

    Beside the masks, the :class:`~torch_geometric.explain.Explanation` has

    - ``psi``, the six context features of every node (eqs. 15 to 26), ``[num_nodes, 6]``, and ``psi_valid``, which
      of them mean something;
    - ``psi_source``: ``"self"`` or ``"training"``, the recorded field that psi is from, or ``"post hoc"``, the
      gradients of the model's own outputs, where nothing was recorded;
    - ``embedding``, the Reasoner's embeddings (eq. 16), ``[num_nodes, embedding_channels]``;
    - ``edge_evidence`` and ``node_evidence``, the signed evidence from which the masks are made;
    - ``rationale``, the text of the explanation (eq. 17), and ``rationale_replaced``, whether it stands in for a text
      of a language model that claimed what the explanation does not support; lists for several outputs.

    The same inputs give the same explanation: nothing is drawn at random.

    Args:
        history: What was recorded while the model was trained. By default it is found on the model;
            ``False`` explains without it.
        history_weight: How much the gradient attention of the training weighs in the evidence of edges, as an
            exponent: 0 is not at all, 1 is in full. The default costs neither fidelity nor stability, and more gains
            none (``reports/history_weight.md``).
        scope: Whether psi's confidence feature is taken per node (``"ego"``) or for the whole ``"graph"`` (eq. 21).
        writer: Who writes rationales; by default a template. See :class:`~gragr_explain.rationale.LLMWriter`.
        class_names: Names of the classes, for rationales.
        feature_names: Names of the features, for rationales.

    Raises:
        InvalidTypeError: If ``history`` is no history, or ``writer`` cannot be called.
        InvalidArgumentError: If ``history_weight`` is outside ``[0, 1]`` or ``scope`` unknown.

    Example:
        >>> from torch_geometric.explain import Explainer
        >>> from torch_geometric.nn import GCN
        >>> x, edge_index = torch.rand(4, 3), torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> explanation = explainer(x, edge_index, index=0)
        >>> explanation.edge_mask.shape, explanation.psi.shape, explanation.psi_source
        (torch.Size([6]), torch.Size([4, 6]), 'post hoc')
    """

    def __init__(
        self,
        history: GradientHistory | bool | None = None,
        *,
        history_weight: float = 0.1,
        scope: str = "ego",
        writer: Writer | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if not (history is None or history is False or isinstance(history, GradientHistory)):
            raise InvalidTypeError(f"expected a GradientHistory, False or None, got {type(history).__name__}")
        if not 0 <= history_weight <= 1:
            raise InvalidArgumentError(f"expected history_weight in [0, 1], got {history_weight}")
        if writer is not None and not callable(writer):
            raise InvalidTypeError(f"expected a writer of rationales to be callable, got {type(writer).__name__}")
        if scope not in ("ego", "graph"):
            raise InvalidArgumentError(f"expected scope 'ego' or 'graph', got {scope!r}")
        self.history = history
        self.history_weight = history_weight
        self.scope = scope
        self.writer = TemplateWriter() if writer is None else writer
        self.class_names = class_names
        self.feature_names = feature_names
        self._memo: Memo[ModelContext] = Memo()

    def supports(self) -> bool:
        """Every explanation type, mask type, mode, task level and return type of PyG is supported."""
        return True

    @torch.no_grad()
    def forward(
        self,
        model: nn.Module,
        x: Tensor,
        edge_index: Tensor,
        *,
        target: Tensor,
        index: int | Tensor | None = None,
        **kwargs: Any,
    ) -> Explanation:
        """Explain outputs of a model; called by :class:`torch_geometric.explain.Explainer`.

        Args:
            model: The model.
            x: Node features of shape ``[num_nodes, num_features]``.
            edge_index: Edges of shape ``[2, num_edges]``.
            target: The targets of all of the model's outputs.
            index: Which outputs to explain; all of them if ``None``.
            **kwargs: What else the model takes.

        Raises:
            InvalidTypeError: If an input is of the wrong type, or a graph is heterogeneous.
            InvalidGraphError: If the graph cannot be used.
            InvalidArgumentError: If there is not a name for each feature, where they have names.
            InvalidIndexError: If the index is out of range.
            UnsupportedModelError: If the model has no message-passing layers, or its edges cannot be masked.
            HistoryMismatchError: If the history was recorded on another graph.
        """
        was_training = model.training
        model.eval()
        try:
            shared = self.context(model, x, edge_index, target=target, **kwargs)
            chosen = check_index(index, shared.output.size(0), x.device)

            def objective(output: Tensor) -> Tensor:
                each = support(output, target, self.model_config, self.explainer_config.explanation_type)
                return (each if chosen is None else each[chosen]).sum()

            edge_gradient, gradient = input_gradients(model, objective, x, edge_index, **kwargs)
        finally:
            model.train(was_training)

        edge_evidence = self.weigh(edge_gradient, shared)
        explanation = GradientExplanation(edge_evidence=edge_evidence)
        if self.explainer_config.edge_mask_type is not None:
            explanation.edge_mask = support_mask(edge_evidence)
        if self.explainer_config.node_mask_type is not None:
            explanation.node_evidence = feature_evidence(gradient, x, self.explainer_config.node_mask_type)
            explanation.node_mask = support_mask(explanation.node_evidence)
        explanation.psi, explanation.psi_valid = shared.gradients.psi, shared.gradients.valid
        explanation.psi_source = shared.gradients.source
        explanation.embedding = shared.embedding
        written = self._rationales(chosen, target, shared, edge_evidence, gradient * x)
        texts, replaced = [each.text for each in written], [each.replaced for each in written]
        explanation.rationale = texts[0] if len(written) == 1 else texts
        explanation.rationale_replaced = replaced[0] if len(written) == 1 else replaced
        return explanation

    def context(
        self, model: nn.Module, x: Tensor, edge_index: Tensor, *, target: Tensor, **kwargs: Any
    ) -> ModelContext:
        """What the explanations of all of a model's outputs share; kept while model and graph stay the same.

        Takes and raises what :meth:`forward` does.
        """
        if isinstance(x, dict) or isinstance(edge_index, dict):
            raise InvalidTypeError("expected a homogeneous graph, got dictionaries of a heterogeneous one")
        check_graph(x, edge_index)
        if self.explainer_config.node_mask_type is not None and not x.is_floating_point():
            raise InvalidTypeError(f"a node mask needs features of floating-point numbers, got {x.dtype}")
        if self.feature_names is not None and len(self.feature_names) < x[0].numel():
            raise InvalidArgumentError(f"expected {x[0].numel()} feature_names, got {len(self.feature_names)}")
        history = find_history(model) if self.history is None else self.history or None
        explanation_type = self.explainer_config.explanation_type
        sources = [model, x, edge_index, history, self.scope, self.model_config, explanation_type]
        sources += [*kwargs, *kwargs.values()]
        if explanation_type == ExplanationType.phenomenon:
            sources.append(target)
        return self._memo.get(
            sources,
            lambda: model_context(
                model,
                x,
                edge_index,
                target=target,
                history=history,
                config=self.model_config,
                explanation_type=explanation_type,
                scope=self.scope,
                **kwargs,
            ),
        )

    def weigh(self, edge_gradient: Tensor, shared: ModelContext, edges: Tensor | slice = slice(None)) -> Tensor:
        """Join the gradients of edges with the attention of the training, where one was recorded.

        Args:
            edge_gradient: Signed gradients of shape ``[num_edges]``.
            shared: The model on its graph.
            edges: Which of the graph's edges they belong to.

        Returns:
            Signed evidence of the same shape.
        """
        if shared.gradients.source == "post hoc" or self.history_weight == 0:
            return edge_gradient
        return edge_gradient * shared.attention[edges] ** self.history_weight

    def _rationales(
        self,
        chosen: Tensor | None,
        target: Tensor,
        shared: ModelContext,
        edge_evidence: Tensor,
        node_evidence: Tensor,
    ) -> list[Rationale]:
        level = self.model_config.task_level
        outputs = range(shared.output.size(0)) if chosen is None else chosen.tolist()
        alone = len(outputs) == 1
        phenomenon = self.explainer_config.explanation_type == ExplanationType.phenomenon
        edge_mask = support_mask(edge_evidence)
        own = alone or level != ModelTaskLevel.node
        # of a mask that several nodes share, only what arrives at a node surely speaks for it
        arriving = torch.argsort(shared.messages[1], stable=True)
        ends = torch.bincount(shared.messages[1], minlength=node_evidence.size(0)).cumsum(0).tolist()
        facts = []
        for output in outputs:
            edges = slice(None) if own else arriving[ends[output - 1] if output else 0 : ends[output]]
            evidence = node_evidence.sum(0) if own else node_evidence[output]
            facts.append(
                output_facts(
                    output,
                    level.value,
                    shared,
                    top_edges(edge_mask[edges], shared.messages[:, edges], 10),
                    top_features(support_mask(evidence.reshape(-1)), 10),
                    label=int(target[output]) if phenomenon and shared.confidence is not None else None,
                    class_names=self.class_names,
                    feature_names=self.feature_names,
                )
            )
        return self.writer(facts)
