"""What the explainers that weigh edges, at input level or layer by layer, have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.explain import ExplainerAlgorithm, Explanation

from gragr_explain.errors import InvalidArgumentError, InvalidTypeError
from gragr_explain.explain._masks import support_mask
from gragr_explain.inputs import check_graph
from gragr_explain.modes import evaluating

LEVELS = ("input", "layer")


class EdgeAlgorithm(ExplainerAlgorithm):
    """Explains outputs by signed evidence of edges.

    Args:
        level: ``"input"`` for one number per edge, ``"layer"`` for one per edge and message-passing layer.

    Raises:
        InvalidArgumentError: If the level is another.
    """

    def __init__(self, level: str) -> None:
        super().__init__()
        if level not in LEVELS:
            raise InvalidArgumentError(f"expected level 'input' or 'layer', got {level!r}")
        self.level = level

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
            index: Which outputs to explain, their evidence added up; all of them if ``None``.
            **kwargs: What else the model takes.

        Raises:
            InvalidTypeError: If an input is of the wrong type, or a graph is heterogeneous.
            InvalidGraphError: If the graph cannot be used.
            InvalidIndexError: If the index is out of range.
            UnsupportedModelError: If the model has no message-passing layers, or its edges cannot be masked.
        """
        if isinstance(x, dict) or isinstance(edge_index, dict):
            raise InvalidTypeError("expected a homogeneous graph, got dictionaries of a heterogeneous one")
        check_graph(x, edge_index)
        if self.explainer_config.node_mask_type is not None and not x.is_floating_point():
            raise InvalidTypeError(f"a node mask needs features of floating-point numbers, got {x.dtype}")
        with evaluating(model):
            evidence, node_evidence = self._evidence(model, x, edge_index, target, index, kwargs)

        explanation = Explanation(edge_evidence=evidence.sum(0))
        if self.level == "layer":
            explanation.layer_edge_evidence = evidence.t().contiguous()
            explanation.layer_edge_masks = self._mask(explanation.layer_edge_evidence)
        if self.explainer_config.edge_mask_type is not None:
            explanation.edge_mask = self._mask(explanation.edge_evidence)
        if node_evidence is not None:
            explanation.node_evidence = node_evidence
            explanation.node_mask = self._mask(node_evidence)
        return explanation

    @abstractmethod
    def _evidence(
        self,
        model: nn.Module,
        x: Tensor,
        edge_index: Tensor,
        target: Tensor,
        index: int | Tensor | None,
        kwargs: dict[str, Any],
    ) -> tuple[Tensor, Tensor | None]:
        """Evidence of edges, ``[1 or num_layers, num_edges]``, and of nodes, where a node mask is wanted."""

    def _mask(self, evidence: Tensor) -> Tensor:
        """From signed evidence to a mask in ``[0, 1]`` of the same shape."""
        return support_mask(evidence)
