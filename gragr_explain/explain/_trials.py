"""Several predictions under many masks of their edges."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch_geometric.explain.config import ExplanationType, ModelConfig

from gragr_explain.explain._copies import REFUSALS, Computation
from gragr_explain.explain._objective import strength
from gragr_explain.explain._union import Union
from gragr_explain.history import message_passing_layers
from gragr_explain.messages import keeps_its_graph, mask_dtype


@dataclass(frozen=True)
class UnionTrials:
    """The predictions that a union of graphs is made of; see :class:`~gragr_explain.explain.search.Trials`.

    Attributes:
        model: The model, in evaluation mode.
        union: The graphs.
        target: The target of each prediction, ``[num_parts, *]``.
        config: What the model returns.
        explanation_type: Whether the model's prediction or a phenomenon is explained.
        at_once: How many masks a pass takes.
        copies: Whether a pass can take several; refining a ranking takes long where it cannot.
    """

    model: nn.Module
    union: Union
    target: Tensor
    config: ModelConfig
    explanation_type: ExplanationType
    at_once: int = 8
    copies: bool = True
    _copies: dict[int, Computation] = field(default_factory=dict, init=False, repr=False)

    @property
    def edge_part(self) -> Tensor:
        """Which prediction each edge belongs to, ``[num_edges]``."""
        return self.union.edge_part

    @property
    def num_parts(self) -> int:
        """The number of predictions."""
        return self.union.num_parts

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers of masks."""
        return mask_dtype(self.union.x)

    def outputs(self, masks: Tensor) -> Tensor:
        """The model's outputs under masks ``[num_masks, num_edges]``, mask by mask, ``[num_masks * num_parts, *]``."""
        found = []
        for some in masks.split(self.at_once):
            found.append(self._copied(len(some)).run(self.model, some.reshape(-1)))
        return torch.cat(found)

    def outputs_without(self, gone: Tensor) -> Tensor:
        """The model's outputs without edges ``[num_sets, num_edges]``, set by set, ``[num_sets * num_parts, *]``.

        Degrees and attention are those of the edges that are left. Where a model holds on to the edges of its graph, as
        layers that cache what they make of them do, and GraGR's attention, their messages alone are gone.
        """
        if any(keeps_its_graph(layer) for layer in message_passing_layers(self.model)):
            return self.outputs((~gone).to(self.dtype))
        found = []
        try:
            for some in gone.split(self.at_once):
                left = self._copied(len(some)).without(some.reshape(-1))
                found.append(left.run(self.model, torch.ones(left.num_edges, dtype=self.dtype, device=gone.device)))
        except torch.OutOfMemoryError:
            raise
        except REFUSALS:  # of a model with a parameter for each edge, for one
            return self.outputs((~gone).to(self.dtype))
        return torch.cat(found)

    def _copied(self, count: int) -> Computation:
        """So many copies of the graphs; those of a whole pass are kept, and those last asked for beside them."""
        if count not in self._copies:
            for other in [size for size in self._copies if size != self.at_once]:
                del self._copies[other]
            self._copies[count] = self.union.copies(count)
        return self._copies[count]

    def scores(self, masks: Tensor) -> Tensor:
        """How strongly each prediction stands under masks ``[num_masks, num_edges]``, ``[num_masks, num_parts]``."""
        target = torch.cat([self.target] * len(masks))
        return strength(self.outputs(masks), target, self.config, self.explanation_type).view(len(masks), -1)

    def only(self, parts: Tensor) -> UnionTrials:
        """Some of the predictions, ``[num_kept]`` in ascending order. Of a smaller union, a pass takes more copies."""
        if parts.numel() == self.num_parts:
            return self
        union = self.union.only(parts)
        sizes = [(each.x.size(0), each.x.size(0) + each.num_edges) for each in (self.union, union)]
        smaller = min(before / max(now, 1) for before, now in zip(*sizes, strict=True))
        at_once = int(self.at_once * smaller) if self.copies else 1
        return replace(self, union=union, target=self.target[parts], at_once=at_once)
