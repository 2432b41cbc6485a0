"""Everything about a model on a graph that the explanations of its outputs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.explain.config import ExplanationType, ModelConfig, ModelTaskLevel

from gragr_explain.context import FEATURES, GradientContext, Reasoner
from gragr_explain.errors import HistoryMismatchError, UnsupportedModelError
from gragr_explain.explain._node_parts import NodeParts
from gragr_explain.explain._objective import check_returned, confidences, known_targets, predictions, support
from gragr_explain.explain._rounding import warn_of_chance
from gragr_explain.explain._validation import Validation
from gragr_explain.field import GraphOperator, gradient_attention
from gragr_explain.history import (
    GradientHistory,
    full_precision,
    hidden_representation,
    message_edges,
    warn_of_other_arguments,
    warn_of_other_weights,
)
from gragr_explain.inputs import check_finite

_HAND_OVER = ": hand it over, as in explainer(x, edge_index, {}), or in the graph for explain_many"


@dataclass(frozen=True)
class ModelContext:
    """A model on a graph, before any one output is explained.

    Attributes:
        gradients: psi of all nodes, and where it comes from.
        embedding: The Reasoner's embeddings, ``[num_nodes, embedding_channels]``.
        hidden: The hidden representations, ``[num_nodes, hidden_channels]``.
        output: The model's output.
        prediction: What it predicts, classes of shape ``[num_outputs]`` or the output itself.
        confidence: The probability of each prediction, ``[num_outputs]``; ``None`` for regression.
        validation: What is known of how often the predictions are right; ``None`` where nothing is.
        attention: For each edge, its gradient attention (eq. 5, of the gradients' directions) times the number of the
            receiver's neighbours, so that 1 is uniform, ``[num_edges]``.
        messages: Sender and receiver of each edge's message, ``[2, num_edges]``.
        parts: Cuts out the computation graphs of nodes; ``None`` where outputs are not of nodes.
        links: The ends of each link whose output is explained, ``[2, num_outputs]``: what the model takes as
            ``edge_label_index``; ``None`` where it takes none, or outputs are not of links.
    """

    gradients: GradientContext
    embedding: Tensor
    hidden: Tensor
    output: Tensor
    prediction: Tensor
    confidence: Tensor | None
    validation: Validation | None
    attention: Tensor
    messages: Tensor
    parts: NodeParts | None
    links: Tensor | None


def model_context(
    model: nn.Module,
    x: Tensor,
    edge_index: Tensor,
    *,
    target: Tensor,
    history: GradientHistory | None,
    config: ModelConfig,
    explanation_type: ExplanationType,
    scope: str,
    **kwargs: Any,
) -> ModelContext:
    """Run a model once, and find the gradients from which its outputs are explained.

    Args:
        model: The model, in evaluation mode.
        x: Node features of shape ``[num_nodes, num_features]``.
        edge_index: Edges of shape ``[2, num_edges]``.
        target: The targets of all outputs.
        history: What was recorded while the model was trained on this graph; ``None`` to take the gradients of the
            model's outputs as they are now.
        config: What the model returns.
        explanation_type: Whether its predictions or a phenomenon are explained.
        scope: The scope of psi's confidence feature.
        **kwargs: What else the model takes.

    Raises:
        InvalidGraphError: If a number that the model takes beside the features is NaN or infinite.
        HistoryMismatchError: If the history belongs to another graph.
        UnsupportedModelError: If an output is not a number, or not what the configuration says, or if the model hides
            a part of the nodes alone, as after pooling.
    """
    check_finite(kwargs)
    with torch.enable_grad():
        inputs = x.detach().requires_grad_(x.is_floating_point())  # so that frozen models have gradients too
        hidden, output = hidden_representation(model, inputs, edge_index, **kwargs)
        if count := output.isnan().nonzero()[:, :1].unique().numel():
            raise UnsupportedModelError(
                f"expected outputs that are numbers, got NaN in {count} of {len(output)}; "
                "look for NaN and infinite numbers among the model's weights"
            )
        if hidden.shape[:1] != x.shape[:1]:
            raise UnsupportedModelError(
                f"expected a hidden representation of each of {x.size(0)} nodes, got {hidden.size(0)}: a layer that "
                "runs on a part of the graph, as after pooling, has other neighbours than edge_index says"
            )
        check_returned(output, config)
        prediction, confidence = predictions(output.detach(), config), confidences(output.detach(), config)
        if history is not None:
            field, source = _recorded_field(history, x, edge_index)
            given = [name for name, value in kwargs.items() if isinstance(value, Tensor)]
            warn_of_other_arguments(history, given, _HAND_OVER)
            warn_of_other_weights(history, model)
        else:
            loss = -support(output, known_targets(target, prediction), config, explanation_type).sum()
            field, source = _post_hoc_field(loss, hidden), "post hoc"
    hidden, output = hidden.detach(), output.detach()
    with torch.no_grad():
        warn_of_chance(output, model(x, edge_index, **kwargs))
    messages = message_edges(model, edge_index)
    graph = GraphOperator(messages, x.size(0))
    by_node = config.task_level == ModelTaskLevel.node and confidence is not None
    gradients = GradientContext.from_field(field, graph, source, confidence if by_node else None, scope=scope)
    reasoner = _reasoner(model, gradients, hidden, prediction if by_node else None)
    with torch.no_grad():
        embedding = reasoner(gradients.psi, gradients.valid)
    attention = _relative_attention(field, graph, messages)
    parts = NodeParts(model, x, edge_index, kwargs) if config.task_level == ModelTaskLevel.node else None
    validation, classes = None, None if history is None else history.validation
    if by_node and confidence is not None and classes is not None:
        conflict = gradients.rank[:, FEATURES.index("conflict")]
        validation = Validation.of(prediction, confidence, conflict, classes.to(prediction.device))
    links = kwargs.get("edge_label_index") if config.task_level == ModelTaskLevel.edge else None
    links = links if isinstance(links, Tensor) and links.shape == (2, output.size(0)) else None
    return ModelContext(
        gradients, embedding, hidden, output, prediction, confidence, validation, attention, messages, parts, links
    )


def _recorded_field(history: GradientHistory, x: Tensor, edge_index: Tensor) -> tuple[Tensor, str]:
    try:
        history.check_graph(x.size(0), x, edge_index)
    except HistoryMismatchError as error:
        raise HistoryMismatchError(
            f"{error}; use GradientContextExplainer(history=False) to explain this graph without it"
        ) from error
    source = "self" if "self" in history.fields else "training"
    return history.field(source).to(x.device), source


def _post_hoc_field(loss: Tensor, hidden: Tensor) -> Tensor:
    if not loss.requires_grad or not hidden.requires_grad:
        return full_precision(torch.zeros_like(hidden))
    (gradient,) = torch.autograd.grad(loss, hidden, allow_unused=True)
    return full_precision(torch.zeros_like(hidden) if gradient is None else gradient)


def _reasoner(model: nn.Module, gradients: GradientContext, hidden: Tensor, prediction: Tensor | None) -> Reasoner:
    trained = getattr(model, "reasoner", None)
    if isinstance(trained, Reasoner) and trained.was_fitted_on(gradients.psi, gradients.valid):
        return trained
    num_classes = 0 if prediction is None else int(prediction.max()) + 1
    reasoner = Reasoner(hidden.size(1), num_classes).to(hidden.device)
    return reasoner.fit(gradients.psi, gradients.valid, hidden, prediction)


def _relative_attention(field: Tensor, graph: GraphOperator, messages: Tensor) -> Tensor:
    is_loop = messages[0] == messages[1]
    copies = torch.where(is_loop, 1, graph.multiplicity[graph.edge_slot]) if graph.num_edges else 1
    relative = gradient_attention(F.normalize(field, dim=-1), graph) * graph.degree[messages[1]] * copies
    return torch.where(is_loop, 1.0, relative)
