"""``OcclusionExplainer``: what becomes of an output without each of its edges."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.explain.config import ModelTaskLevel
from torch_geometric.nn import MessagePassing
from tqdm.auto import tqdm

from gragr_explain.arguments import check_number
from gragr_explain.explain._copies import Computation, cut, distances, messages_of_a_copy, with_batch
from gragr_explain.explain._edge_algorithm import EdgeAlgorithm
from gragr_explain.explain._listening import listening
from gragr_explain.explain._objective import check_known, check_returned, support, targets_of
from gragr_explain.explain._rounding import largest_number, rounding_unit
from gragr_explain.history import check_output, message_edges
from gragr_explain.inputs import check_index
from gragr_explain.messages import mask_dtype, maskable_layers, masked_output

_ROUNDING = 16
"""How many units in the last place of the largest output count as no change."""


class OcclusionExplainer(EdgeAlgorithm):
    r"""Explains outputs by removing each edge in turn.

    For use with :class:`torch_geometric.explain.Explainer`. Let :math:`s(m)` be how strongly the output stands for its
    target where :math:`m_e^{(\ell)}` multiplies the message of edge :math:`e` in layer :math:`\ell`. The evidence of
    the edge is exactly

    .. math::
        s(\mathbf 1) - s(\mathbf 1 - \mathbf 1_e) \quad \text{(input)}, \qquad
        s(\mathbf 1) - s(\mathbf 1 - \mathbf 1_e^{(\ell)}) \quad \text{(layer)},

    positive where the output stands less for its target without the edge. Layer by layer this is the occlusion search
    of He et al., `"Explaining GNN Explanations with Edge Gradients" <https://arxiv.org/abs/2508.01048>`_ (KDD 2025),
    of which :class:`EdgeGradientExplainer` gives the first order, and all of it where :math:`s` is linear in the
    masks of each layer.

    An edge is removed as PyG's edge masks remove it: its messages are multiplied by zero, while degrees and attention
    coefficients stay those of the whole graph. For classifiers :math:`s` is the log-likelihood, which orders the edges
    of one output as its probability does and does not vanish where the model is certain; see
    :func:`~gragr_explain.explain._objective.support`. Changes within rounding error of the outputs are zero.

    Only edges from which messages can reach the explained outputs are removed, from many disjoint copies of the part
    of the graph they are in at once. Where such copies do not give what the whole graph gives (a normalisation over
    all nodes, a cache, an argument that cannot be split), which is tested first, every edge of the graph is removed
    from the whole graph, one after another.

    Beside the mask, the :class:`~torch_geometric.explain.Explanation` has ``edge_evidence``, the signed changes,
    ``[num_edges]``. For ``level="layer"`` they are added up over the layers, and ``layer_edge_evidence`` and
    ``layer_edge_masks`` have them for each layer, ``[num_edges, num_layers]``, with layers in the order in which the
    model registers them, without those that have ``explain = False``. A layer that is called several times is one
    layer. Masks are the positive changes, scaled to ``[0, 1]``.

    Args:
        level: ``"input"`` to remove an edge from all layers, ``"layer"`` to remove it from one layer at a time.
        memory_mb: How much memory, about, the copies may take, in MiB. There is at least one copy at a time.
        progress: Whether to show a progress bar where it takes more than a second.

    Raises:
        InvalidArgumentError: If ``level`` is another or ``memory_mb`` not positive.

    Example:
        >>> from torch_geometric.explain import Explainer
        >>> from torch_geometric.nn import GCN
        >>> _ = torch.manual_seed(0)
        >>> x, edge_index = torch.rand(4, 3), torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=OcclusionExplainer(),
        ...     explanation_type="model",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> explainer(x, edge_index, index=0).edge_evidence.nonzero().view(-1)  # of (1, 0), (0, 1) and (2, 1)
        tensor([0, 1, 3])
    """

    def __init__(self, level: str = "input", *, memory_mb: int = 512, progress: bool = True) -> None:
        super().__init__(level)
        check_number("memory_mb", memory_mb, whole=True, least=1)
        self.memory_mb = memory_mb
        self.progress = progress

    def supports(self) -> bool:
        """Every explanation type, mode, task level and return type of PyG is supported, with no node mask."""
        node_mask_type = self.explainer_config.node_mask_type
        if node_mask_type is not None:
            logging.error(
                f"'OcclusionExplainer' does not support explaining node features, "
                f"got (`node_mask_type={node_mask_type.value}`)"
            )
            return False
        return True

    def _evidence(
        self,
        model: nn.Module,
        x: Tensor,
        edge_index: Tensor,
        target: Tensor,
        index: int | Tensor | None,
        kwargs: dict[str, Any],
    ) -> tuple[Tensor, None]:
        ones = torch.ones(edge_index.size(1), dtype=mask_dtype(x), device=x.device)
        with listening(model) as calls:
            output = masked_output(model, ones, x, edge_index, **kwargs)
        check_output(output)
        chosen = check_index(index, output.size(0), x.device)
        wanted = torch.arange(output.size(0), device=x.device) if chosen is None else chosen
        config, kind = self.model_config, self.explainer_config.explanation_type
        check_returned(output, config)
        check_known(target, wanted, output.size(0), config)
        targets = targets_of(target, wanted, output.size(0))
        support(output[wanted], targets, config, kind)  # so that targets that do not fit are found before the work

        def score(outputs: Tensor) -> Tensor:
            count = outputs.size(0) // wanted.numel()
            return support(outputs, targets.repeat(count, 1), config, kind).view(count, -1).sum(1)

        first = _first_calls(model, calls.order, self.level).to(x.device)
        evidence = torch.zeros(first.numel(), edge_index.size(1), dtype=output.dtype, device=x.device)
        if wanted.numel() == 0 or not calls.order:
            return evidence, None
        whole = Computation(x, edge_index, with_batch(model, x, kwargs, config.task_level), wanted, output.size(0))
        removals = _plan(model, whole, config.task_level, first, len(calls.order), output[wanted])
        bar = tqdm(total=removals.row.numel(), desc="removing edges", unit="edge", disable=not self.progress, delay=1)
        with bar:
            for chunk, change in removals.run(model, score, self.memory_mb * 2**20, by_layer=self.level == "layer"):
                evidence[removals.row[chunk], removals.original[removals.edge[chunk]]] = change
                bar.update(change.numel())
        return evidence, None


@dataclass(frozen=True)
class _Removals:
    """Which edges are removed from which layers of which graph.

    Attributes:
        part: The graph, or a part of one.
        original: The edge of the whole graph that each of its edges is, ``[num_part_edges]``.
        num_rows: The number of layers, one at input level.
        row: The layers that edges are removed from, ``[num_removals]``.
        edge: The edges, ``[num_removals]``.
        largest: How many numbers the largest messages of a copy hold; ``None`` where there may be no copies.
    """

    part: Computation
    original: Tensor
    num_rows: int
    row: Tensor
    edge: Tensor
    largest: int | None

    def run(
        self, model: nn.Module, score: Callable[[Tensor], Tensor], memory: int, by_layer: bool
    ) -> Iterator[tuple[slice, Tensor]]:
        """How much the score falls by each removal, chunk by chunk within so many bytes."""
        part, num_rows, dtype = self.part, self.num_rows, mask_dtype(self.part.x)
        ones = part.x.new_ones(num_rows, part.num_edges, dtype=dtype)
        output = part.run(model, ones if by_layer else ones[0])
        before, rounding = score(output), _rounding(output)
        at_once = 1
        if self.largest is not None:
            numbers = max(2 * part.x.numel() + 3 * self.largest + 2 * ones.numel(), 1)
            at_once = max(1, min(memory // (numbers * ones.element_size()), len(self.row)))
        copies = part.copies(at_once)
        for start in range(0, len(self.row), at_once):
            chunk = slice(start, min(start + at_once, len(self.row)))
            count = chunk.stop - chunk.start
            if count < at_once:
                copies = part.copies(count)
            mask = ones.unsqueeze(1).repeat(1, count, 1)
            mask[self.row[chunk], torch.arange(count, device=mask.device), self.edge[chunk]] = 0
            mask = mask.view(num_rows, -1)
            outputs = copies.run(model, mask if by_layer else mask[0])
            difference = (outputs.view(count, *output.shape) - output).abs()
            changed = ~(difference <= rounding).flatten(1).all(1)
            yield chunk, torch.where(changed, before - score(outputs), 0)


def _plan(
    model: nn.Module, whole: Computation, level: ModelTaskLevel, first: Tensor, num_hops: int, output: Tensor
) -> _Removals:
    """Remove edges from copies of what the wanted outputs are computed from, or if need be from the whole graph."""
    senders, receivers = message_edges(model, whole.edge_index)
    distance = distances(whole, level, senders, receivers, num_hops)
    if distance is not None:
        # one ring more than messages travel, so that every node that is heard has its true degree
        edges = (distance[receivers] <= num_hops).nonzero().view(-1)
        part = cut(whole, level, distance, edges)
        largest = messages_of_a_copy(model, whole, part, output)
        if largest is not None:
            heard = distance[receivers[edges]] < (num_hops - first).unsqueeze(1)
            row, edge = heard.nonzero().unbind(1)
            return _Removals(part, edges, first.numel(), row, edge, largest)
    edges = torch.arange(whole.num_edges, device=first.device)
    row, edge = (first < num_hops).unsqueeze(1).expand(-1, whole.num_edges).nonzero().unbind(1)
    return _Removals(whole, edges, first.numel(), row, edge, None)


def _first_calls(model: nn.Module, order: list[MessagePassing], level: str) -> Tensor:
    """After how many calls each layer, or any of them, first passes messages, ``[num_layers or 1]``.

    A message in the c-th of C calls is carried by at most C - c more, over as many edges.
    """
    first = [order.index(layer) if layer in order else len(order) for layer in maskable_layers(model)]
    return torch.tensor(first if level == "layer" else [min(first, default=len(order))], dtype=torch.long)


def _rounding(output: Tensor) -> float:
    return _ROUNDING * rounding_unit(output.dtype) * largest_number(output)
