"""``GradientExplanation``: an explanation that says more than masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor
from torch_geometric.explain import Explanation
from torch_geometric.explain.config import ModelTaskLevel

from gragr_explain.context import Influences
from gragr_explain.explain._names import Names
from gragr_explain.explain._notebook import explanation_html
from gragr_explain.inputs import check_index
from gragr_explain.rationale import ChangeFact, Reliability

_OF_OUTPUTS = ("index", "rationale", "rationale_replaced", "reliability")  # what has an entry for each explained output


class GradientExplanation(Explanation):
    """An explanation with texts, which belong to outputs: they go with these where PyG selects nodes and edges."""

    @property
    def change(self) -> ChangeFact | None:
        """What is predicted without the strongest edges, ``None`` where it was not measured."""
        return self["change"] if "change" in self._store else None

    @property
    def influences(self) -> Influences | None:
        """The training nodes behind the predictions; ``None`` where the explainer was given no ``train_data``."""
        return self["influences"] if "influences" in self._store else None

    @property
    def reliability(self) -> Reliability | list[Reliability] | None:
        """How far the prediction can be relied on; a list for several outputs."""
        return self["reliability"] if "reliability" in self._store else None

    def is_edge_attr(self, key: str) -> bool:
        """Whether an entry has a value for each edge."""
        return key not in _OF_OUTPUTS and super().is_edge_attr(key)

    def is_node_attr(self, key: str) -> bool:
        """Whether an entry has a value for each node."""
        return key not in _OF_OUTPUTS and super().is_node_attr(key)

    def subgraph(self, subset: Tensor) -> Self:
        """The part with some nodes, which texts go on to call as they are called in the whole graph."""
        out = super().subgraph(subset)
        kept = subset.nonzero().view(-1) if subset.dtype == torch.bool else subset
        config, num_nodes = getattr(self, "_model_config", None), self.x.size(0)
        if config is not None and config.task_level == ModelTaskLevel.node:
            place = kept.new_full((num_nodes,), -1)
            place[kept] = torch.arange(kept.numel(), device=kept.device)
            chosen = check_index(self.get("index"), num_nodes, kept.device)
            place = place if chosen is None else place[chosen]
            rows = (place >= 0).nonzero().view(-1)
            if chosen is not None:
                out.index = place[rows]
            for name in _OF_OUTPUTS[1:]:
                if isinstance(values := self.get(name), list):
                    out[name] = [values[row] for row in rows.tolist()]
            if (below := getattr(self, "_below", None)) is not None:
                out._below = below[rows.cpu()]
        names: Names = getattr(self, "_names", Names())
        out._names = replace(names, nodes=[names.of_node(node) for node in kept.tolist()])
        return out

    def _repr_html_(self) -> str:
        return explanation_html(self)
