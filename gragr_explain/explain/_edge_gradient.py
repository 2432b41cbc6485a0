"""``EdgeGradientExplainer``: the gradient of an output with respect to its edges."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gragr_explain.errors import InvalidArgumentError
from gragr_explain.explain._edge_algorithm import EdgeAlgorithm
from gragr_explain.explain._gradients import input_gradients, layer_gradients
from gragr_explain.explain._masks import feature_evidence, support_mask
from gragr_explain.explain._objective import check_known, check_returned, support, targets_of
from gragr_explain.history import check_output
from gragr_explain.inputs import check_index

HEURISTICS = ("signed", "sign")


class EdgeGradientExplainer(EdgeAlgorithm):
    r"""Explains outputs by the gradients of their edges, with one backward pass.

    From He et al., `"Explaining GNN Explanations with Edge Gradients" <https://arxiv.org/abs/2508.01048>`_ (KDD 2025).
    For use with :class:`torch_geometric.explain.Explainer`.

    Let :math:`s` be how strongly the output stands for its target, the log-likelihood for classifiers, and
    :math:`m_e^{(\ell)}` a factor on the message of edge :math:`e` in layer :math:`\ell`. The evidence of the edge is,
    at the unmasked graph,

    .. math::
        \frac{\partial s}{\partial m_e^{(\ell)}} \Big|_{m = 1} \quad \text{(layer)}, \qquad
        \sum_\ell \frac{\partial s}{\partial m_e^{(\ell)}} \Big|_{m = 1} \quad \text{(input)}.

    The sum is the gradient of one factor that all layers share, as in PyG's edge masks. Where the model is linear,
    layerwise evidence is exactly what :class:`OcclusionExplainer` finds layer by layer, at the cost of one backward
    pass. Where :math:`\partial s / \partial m_e` keeps its sign on :math:`m \in [0, 1]`, gradient ascent on a mask
    drives each factor to 1 or 0 by that sign: ``GNNExplainer`` without its penalties tends to
    ``heuristic="sign"``.

    Beside the masks, the :class:`~torch_geometric.explain.Explanation` has

    - ``edge_evidence``, the signed input-level gradients, ``[num_edges]``;
    - ``node_evidence``, gradient times input in the shape of the node mask, where one is wanted;
    - for ``level="layer"``, ``layer_edge_evidence`` and ``layer_edge_masks``, both ``[num_edges, num_layers]`` (edges
      first, as PyG expects of whatever belongs to edges). Layers are in the order in which the model registers them,
      without those that have ``explain = False``; a layer that is called several times is one layer.

    The edge mask is made of ``edge_evidence`` at either level, so that the level does not change it.

    Args:
        heuristic: How masks are made of evidence: ``"signed"`` scales what speaks for the output to ``[0, 1]``;
            ``"sign"`` is 1 for what speaks for the output and 0 for all else.
        level: ``"input"`` for one gradient per edge, ``"layer"`` for one per edge and layer as well.

    Raises:
        InvalidArgumentError: If ``heuristic`` or ``level`` is another.

    Example:
        >>> from torch_geometric.explain import Explainer
        >>> from torch_geometric.nn import GCN
        >>> x, edge_index = torch.rand(4, 3), torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=EdgeGradientExplainer(level="layer"),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> explanation = explainer(x, edge_index, index=0)
        >>> explanation.edge_mask.shape, explanation.layer_edge_masks.shape
        (torch.Size([6]), torch.Size([6, 2]))
        >>> torch.allclose(explanation.layer_edge_evidence.sum(1), explanation.edge_evidence)
        True
    """

    def __init__(self, heuristic: str = "signed", *, level: str = "input") -> None:
        super().__init__(level)
        if heuristic not in HEURISTICS:
            raise InvalidArgumentError(f"expected heuristic 'signed' or 'sign', got {heuristic!r}")
        self.heuristic = heuristic

    def supports(self) -> bool:
        """Every explanation type, mask type, mode, task level and return type of PyG is supported."""
        return True

    def _evidence(
        self,
        model: nn.Module,
        x: Tensor,
        edge_index: Tensor,
        target: Tensor,
        index: int | Tensor | None,
        kwargs: dict[str, Any],
    ) -> tuple[Tensor, Tensor | None]:
        def objective(output: Tensor) -> Tensor:
            check_output(output)
            check_returned(output, self.model_config)
            chosen = check_index(index, output.size(0), x.device)
            wanted = torch.arange(output.size(0), device=x.device) if chosen is None else chosen
            check_known(target, wanted, output.size(0), self.model_config)
            targets = targets_of(target, wanted, output.size(0))
            return support(output[wanted], targets, self.model_config, self.explainer_config.explanation_type).sum()

        gradients = layer_gradients if self.level == "layer" else input_gradients
        edge_evidence, gradient = gradients(model, objective, x, edge_index, **kwargs)
        node_mask_type = self.explainer_config.node_mask_type
        node_evidence = None if node_mask_type is None else feature_evidence(gradient * x, node_mask_type)
        return torch.atleast_2d(edge_evidence), node_evidence

    def _mask(self, evidence: Tensor) -> Tensor:
        return support_mask(evidence) if self.heuristic == "signed" else (evidence > 0).to(evidence.dtype)
